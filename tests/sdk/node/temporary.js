'use strict';
// Uses a temporary key with the official Node SDK and prints what became of it as one line of JSON.
// SDK_HOST (address:port), SDK_MODE, SDK_BUCKET, SDK_REGION, SDK_SECRET_ID, SDK_SECRET_KEY and SDK_TOKEN say where and
// as whom.

const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');
const COS = require('cos-nodejs-sdk-v5');

const env = process.env;
const [Bucket, Region] = [env.SDK_BUCKET, env.SDK_REGION];
const pathStyle = env.SDK_MODE === 'path-style';
const cos = new COS({
  ConfCwd: fs.mkdtempSync(path.join(os.tmpdir(), 'node-sdk-')),
  SecretId: env.SDK_SECRET_ID,
  SecretKey: env.SDK_SECRET_KEY,
  SecurityToken: env.SDK_TOKEN,
  Protocol: 'http:',
  ...(pathStyle ? { Domain: `${env.SDK_HOST}/{Bucket}` } : { Proxy: `http://${env.SDK_HOST}` }),
});
const ciHost = pathStyle ? `${env.SDK_HOST}/${Bucket}` : `${Bucket}.ci.${Region}.myqcloud.com`;

function status(url) {
  const { host, pathname, search } = new URL(url);
  const [address, port] = env.SDK_HOST.split(':');
  return new Promise((resolve, reject) => {
    const request = http.request({ host: address, port, path: pathname + search, headers: { Host: host } }, (reply) => {
      reply.resume();
      resolve(reply.statusCode);
    });
    request.on('error', reject);
    request.end();
  });
}

function code(promise) {
  return promise.then(() => 'done', (error) => error.code);
}

async function main() {
  const place = { Bucket, Region, Key: 'in/a' };
  const signed = cos.getObjectUrl({ ...place, Sign: true }, () => {});
  const bare = signed.replace(/[&?]x-cos-security-token=[^&]*/, '');
  console.log(JSON.stringify({
    get: (await cos.getObject(place)).Body.toString(),
    put: await code(cos.putObject({ ...place, Body: 'x' })),
    queue: (await cos.request({ Bucket, Region, Method: 'GET', Key: 'asrqueue', Url: `http://${ciHost}/asrqueue` })).statusCode,
    url: await status(signed),
    bare: await status(bare),
  }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
