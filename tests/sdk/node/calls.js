'use strict';
// Drives the official Node SDK against a server and prints one line of JSON for each call.
// SDK_HOST (address:port), SDK_MODE, SDK_BUCKET, SDK_REGION, SDK_SECRET_ID and SDK_SECRET_KEY say where and as whom.

const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');
const COS = require('cos-nodejs-sdk-v5');

const env = process.env;
const [Bucket, Region] = [env.SDK_BUCKET, env.SDK_REGION];
const place = { Bucket, Region };

const modes = {
  proxy: { Proxy: `http://${env.SDK_HOST}` },
  IP: { Ip: env.SDK_HOST },
  'path-style': { Domain: `${env.SDK_HOST}/{Bucket}`, ServiceDomain: env.SDK_HOST },
};
const room = fs.mkdtempSync(path.join(os.tmpdir(), 'node-sdk-'));
const cos = new COS({
  ConfCwd: room, // where the SDK notes uploads that are under way
  SecretId: env.SDK_SECRET_ID,
  SecretKey: env.SDK_SECRET_KEY,
  Protocol: 'http:',
  ...modes[env.SDK_MODE],
});
// The SDK has no methods for CI: its users write the URL.
const ciHost = env.SDK_MODE === 'path-style' ? `${env.SDK_HOST}/${Bucket}` : `${Bucket}.ci.${Region}.myqcloud.com`;

function ci(Method, path, { query, body } = {}) {
  const xml = body === undefined ? {} : { Body: `<Request>${body}</Request>`, ContentType: 'application/xml' };
  return cos.request({ ...place, Method, Key: path.slice(1), Url: `http://${ciHost}${path}`, Query: query, ...xml });
}

// What a plain client gets for a signed URL, its host being the server.
function fetch(url, method = 'GET', body = '') {
  const { host, pathname, search } = new URL(url);
  const [address, port] = env.SDK_HOST.split(':');
  return new Promise((resolve, reject) => {
    const headers = { Host: host, 'Content-Length': body.length };
    const request = http.request({ host: address, port, method, path: pathname + search, headers }, (reply) => {
      const chunks = [];
      reply.on('data', (chunk) => chunks.push(chunk));
      reply.on('end', () => resolve({ status: reply.statusCode, type: reply.headers['content-type'], text: Buffer.concat(chunks).toString() }));
    });
    request.on('error', reject);
    request.end(body);
  });
}

function readable(reply) {
  return JSON.parse(JSON.stringify(reply, (_, value) => (value?.type === 'Buffer' ? Buffer.from(value).toString() : value)));
}

async function call(name, send) {
  try {
    const reply = readable(await send());
    console.log(JSON.stringify({ call: name, reply }));
    return reply;
  } catch (error) {
    console.log(JSON.stringify({ call: name, error: `${error.code || ''} ${error.message || error} ${error.stack}` }));
    return {};
  }
}

function job(target) {
  const output = `<Region>${Region}</Region><Bucket>${Bucket}</Bucket><Object>${target}</Object>`;
  return (
    '<Tag>NoiseReduction</Tag><Input><Object>in/a b.wav</Object></Input><Operation>' +
    '<NoiseReduction><Format>wav</Format><SampleRate>16000</SampleRate></NoiseReduction>' +
    `<Output>${output}</Output><UserData>ticket-42</UserData><JobLevel>1</JobLevel></Operation>`
  );
}

function queue(name, state) {
  return `<Name>${name}</Name><State>${state}</State><NotifyConfig><State>Off</State></NotifyConfig>`;
}

function template(format) {
  const order = `<NoiseReduction><Format>${format}</Format><Samplerate>48000</Samplerate></NoiseReduction>`;
  return `<Tag>NoiseReduction</Tag><Name>模板_1</Name>${order}`;
}

async function objects() {
  const Key = 'in/a b+中(1)!.txt';
  await call('putBucket', () => cos.putBucket(place));
  await call('headBucket', () => cos.headBucket(place));
  await call('getService', () => cos.getService({ Region }));
  await call('putObject', () =>
    cos.putObject({ ...place, Key, Body: 'hello', Headers: { 'x-cos-meta-k': 'v' }, CacheControl: '' }),
  );
  await call('headObject', () => cos.headObject({ ...place, Key }));
  await call('getObject', () => cos.getObject({ ...place, Key, Range: 'bytes=1-3' }));
  const Query = { 'response-content-type': 'text/plain' };
  await call('getObjectUrl', () => fetch(cos.getObjectUrl({ ...place, Key, Sign: true, Query })));
  await call('uploadFile', () => cos.uploadFile({ ...place, Key: 'program', FilePath: __filename, SliceSize: 1024 ** 2 }));
  await call('getBucket', () => cos.getBucket({ ...place, Prefix: 'in/', EncodingType: 'url' }));
  await call('deleteObject', () => cos.deleteObject({ ...place, Key }));
  await cos.deleteObject({ ...place, Key: 'program' });
}

async function sharing() {
  const Key = 'in/a b+中(1)!.txt';
  await cos.putObject({ ...place, Key, Body: 'hello' });
  await call('putBucketAcl', () => cos.putBucketAcl({ ...place, ACL: 'public-read' }));
  await call('getBucketAcl', () => cos.getBucketAcl(place));
  await call('getObjectAcl', () => cos.getObjectAcl({ ...place, Key }));
  const { Owner } = await cos.getBucketAcl(place);
  const Grants = [{ Grantee: { ID: Owner.ID }, Permission: 'FULL_CONTROL' }];
  const AccessControlPolicy = { Owner: { ID: Owner.ID }, Grants };
  await call('putObjectAcl', () => cos.putObjectAcl({ ...place, Key, AccessControlPolicy }));
  await cos.deleteObject({ ...place, Key });
  const rule = {
    AllowedOrigins: ['https://*.example.org'],
    AllowedMethods: ['GET', 'PUT'],
    AllowedHeaders: ['*'],
    ExposeHeaders: ['ETag'],
    MaxAgeSeconds: '500',
  };
  await call('putBucketCors', () => cos.putBucketCors({ ...place, CORSRules: [rule], ResponseVary: 'true' }));
  await call('getBucketCors', () => cos.getBucketCors(place));
  const page = { Origin: 'https://a.example.org', AccessControlRequestMethod: 'PUT' };
  const AccessControlRequestHeaders = 'authorization,x-cos-acl';
  await call('optionsObject', () => cos.optionsObject({ ...place, Key, ...page, AccessControlRequestHeaders }));
  await call('deleteBucketCors', () => cos.deleteBucketCors(place));
  const statement = {
    effect: 'allow',
    principal: { qcs: ['qcs::cam::anyone:anyone'] },
    action: ['name/cos:GetObject'],
    resource: [`qcs::cos:${Region}:uid/${Bucket.split('-').pop()}:${Bucket}/open/*`],
  };
  await call('putBucketPolicy', () => cos.putBucketPolicy({ ...place, Policy: { version: '2.0', statement: [statement] } }));
  await call('getBucketPolicy', () => cos.getBucketPolicy(place));
  await call('deleteBucketPolicy', () => cos.deleteBucketPolicy(place));
}

// Whether an object of each key is what was put there, and listed.
async function keys() {
  const odd = ['a b+c', '+', '%', '%2F', 'd//e', 'f/../g', './h', 'trail/', '中文/声音', '🎧', 'h?i&j=k', '#', "q'\"()!*~"];
  const all = [...odd, '<x>&amp;', 'jobs/talk.wav', 'queue/2026/a', 'k'.repeat(850)].map((key) => `keys/${key}`.slice(-850));
  await call('keys', async () => {
    const same = [];
    for (const Key of all) {
      await cos.putObject({ ...place, Key, Body: Key });
      const { Body } = await cos.getObject({ ...place, Key });
      same.push(Body.toString() === Key);
    }
    const { Contents } = await cos.getBucket({ ...place, EncodingType: 'url' });
    const listed = Contents.map((entry) => decodeURIComponent(entry.Key));
    for (const Key of all) await cos.deleteObject({ ...place, Key });
    const { Contents: left } = await cos.getBucket(place);
    return { same, listed: listed.sort().join() === [...all].sort().join(), left: left.length };
  });
}

async function copies() {
  const Key = 'copies/a b+中';
  const CopySource = `${Bucket}.cos.${Region}.myqcloud.com/${encodeURIComponent(Key)}`;
  const Body = Buffer.alloc(3 * 1024 ** 2 + 5, 'abc');
  await cos.putObject({ ...place, Key, Body, Headers: { 'x-cos-meta-k': 'v' } });
  await call('putObjectCopy', () => cos.putObjectCopy({ ...place, Key: 'copies/1', CopySource }));
  const { UploadId } = await cos.multipartInit({ ...place, Key: 'copies/2' });
  const part = { ...place, Key: 'copies/2', UploadId, PartNumber: 1, CopySource, CopySourceRange: 'bytes=0-2' };
  await call('uploadPartCopy', () => cos.uploadPartCopy(part));
  await cos.multipartAbort({ ...place, Key: 'copies/2', UploadId });
  const sizes = { CopySliceSize: 1024 ** 2, CopyChunkSize: 1024 ** 2 };
  await call('sliceCopyFile', async () => {
    const made = await cos.sliceCopyFile({ ...place, Key: 'copies/3', CopySource, ...sizes });
    const copy = await cos.getObject({ ...place, Key: 'copies/3' });
    return { ...made, whole: copy.Body.equals(Body), meta: copy.headers['x-cos-meta-k'] };
  });
  await call('getBucketLocation', () => cos.getBucketLocation(place));
  const signed = cos.getObjectUrl({ ...place, Key: 'copies/4', Sign: true, Method: 'PUT' });
  await call('getObjectUrl PUT', () => fetch(signed, 'PUT', 'hello'));
  const Objects = [Key, 'copies/1', 'copies/3', 'copies/4', '<ghost>&'].map((Key) => ({ Key }));
  await call('deleteMultipleObject', () => cos.deleteMultipleObject({ ...place, Objects }));
}

async function uploads() {
  const Key = 'parts/a b+中';
  const begun = await call('multipartInit', () => cos.multipartInit({ ...place, Key }));
  const upload = { ...place, Key, UploadId: begun.UploadId };
  const part = await call('multipartUpload', () => cos.multipartUpload({ ...upload, PartNumber: 2, Body: 'hello' }));
  await call('multipartListPart', () => cos.multipartListPart({ ...upload, MaxParts: 5 }));
  await call('multipartList', () => cos.multipartList({ ...place, Prefix: 'parts/', EncodingType: 'url' }));
  const Parts = [{ PartNumber: 2, ETag: part.ETag }];
  await call('multipartComplete', () => cos.multipartComplete({ ...upload, Parts }));
  const { UploadId } = await cos.multipartInit({ ...place, Key });
  await call('multipartAbort', () => cos.multipartAbort({ ...upload, UploadId }));
  await files();
  for (const name of [Key, 'big', 'both/one', 'both/two']) await cos.deleteObject({ ...place, Key: name });
}

// Of a file of four parts the second is there already.
async function files() {
  const FilePath = path.join(room, 'big');
  const size = 1024 ** 2;
  const content = Buffer.alloc(3 * size + 5, 'abc');
  fs.writeFileSync(FilePath, content);
  const { UploadId } = await cos.multipartInit({ ...place, Key: 'big' });
  await cos.multipartUpload({ ...place, Key: 'big', UploadId, PartNumber: 2, Body: content.subarray(size, 2 * size) });
  const [put, sent] = [cos.multipartUpload, []];
  cos.multipartUpload = (params, done) => {
    sent.push(params.PartNumber);
    return put.call(cos, params, done);
  };
  await call('sliceUploadFile', async () => {
    const made = await cos.sliceUploadFile({ ...place, Key: 'big', FilePath, ChunkSize: size, AsyncLimit: 2 });
    const { Body } = await cos.getObject({ ...place, Key: 'big' });
    return { ...made, sent, whole: Body.equals(content) };
  });
  const both = ['both/one', 'both/two'].map((Key) => ({ ...place, Key, FilePath, ChunkSize: 2 * size }));
  await call('uploadFiles', () => cos.uploadFiles({ files: both, SliceSize: size }));
}

async function jobs() {
  const all = { pageNumber: 1, pageSize: 10, queueIds: '' };
  const found = await call('request describeQueues', () => ci('GET', '/asrqueue', { query: all }));
  const queueId = found.Response?.QueueList?.QueueId;
  await call('request updateQueue', () => ci('PUT', `/asrqueue/${queueId}`, { body: queue('node', 'Paused') }));
  const first = await call('request createJob', () => ci('POST', '/jobs', { body: job('out/1.wav') }));
  const second = await ci('POST', '/jobs', { body: job('out/2.wav') });
  const ids = [first, second].map((reply) => reply.Response?.JobsDetail?.JobId);
  await call('request describeJob', () => ci('GET', `/jobs/${ids.join(',')}`));
  const newest = { tag: 'NoiseReduction', size: 1, startCreationTime: '2001-01-01T00:00:00+0800' };
  await call('request listJobs', () => ci('GET', '/jobs', { query: newest }));
  await call('request cancelJob', () => ci('PUT', `/jobs/${ids[0]}`, { query: { cancel: '' } }));
  await ci('PUT', `/jobs/${ids[1]}`, { query: { cancel: '' } });
}

async function templates() {
  const made = await call('request createTemplate', () => ci('POST', '/template', { body: template('mp3') }));
  const path = `/template/${made.Response?.Template?.TemplateId}`;
  await call('request updateTemplate', () => ci('PUT', path, { body: template('m4a') }));
  await call('request describeTemplates', () => ci('GET', '/template', { query: { tag: 'NoiseReduction', name: '模' } }));
  await call('request deleteTemplate', () => ci('DELETE', path));
}

async function services() {
  await call('request describeServices', () => ci('GET', '/asrbucket', { query: { bucketNames: Bucket } }));
  await call('request closeService', () => ci('DELETE', '/asrbucket'));
  await call('request openService', () => ci('POST', '/asrbucket'));
}

async function main() {
  await objects();
  for (const part of [keys, copies, uploads, sharing, jobs, templates, services]) await part().catch((error) => console.error(part.name, error));
  await call('deleteBucket', () => cos.deleteBucket(place));
}

main();
