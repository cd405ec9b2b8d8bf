"""The calls of multipart uploads: begin, put parts, complete, abort, and the lists of parts and of uploads.

https://cloud.tencent.com/document/product/436 ("Multipart upload": Initiate Multipart Upload, Upload Part, Complete
Multipart Upload, Abort Multipart Upload, List Parts, List Multipart Uploads)
"""

import asyncio
from urllib.parse import quote

from starlette.responses import Response

from sordino import errors
from sordino.api import object_headers as fields
from sordino.api.body import chunks, require_length
from sordino.api.call import Call, xml
from sordino.api.objects import refuse_existing, upload_of
from sordino.wire.address import Style
from sordino.wire.upload_replies import render_begun, render_completed, render_part_list, render_upload_list
from sordino.wire.upload_requests import (
    COMPLETE_ROOT,
    MAX_COMPLETE_BYTES,
    parse_named_parts,
    parse_part_number,
    parse_parts_query,
    parse_upload_id,
    parse_uploads_query,
)


async def begin_upload(call: Call) -> Response:
    """``POST /<key>?uploads``: what the object will be besides its bytes is said here."""
    wanted = upload_of(call)
    await refuse_existing(call, wanted)
    # Who begins one without signing does so in the name of the owner, whose policy opens the bucket to him.
    initiator = wanted.bucket.owner.uin if call.caller is None else call.caller.account.uin
    return xml(render_begun(await call.services.uploads.begin(wanted, initiator)))


async def put_part(call: Call) -> Response:
    """``PUT /<key>?partNumber=&uploadId=``."""
    request = call.request
    bucket, key = call.bucket(), call.object_key
    upload_id, number = parse_upload_id(call.query), parse_part_number(call.query)
    fields.refuse_not_yet(request)
    md5 = fields.md5_of(request)
    require_length(request)
    await call.check_room(part=(upload_id, number))
    body = chunks(request, call.services.settings.max_object_bytes, errors.ENTITY_TOO_LARGE)
    part = await call.services.uploads.put_part(bucket, key, upload_id, number, body, md5=md5)
    return Response(status_code=200, headers=fields.digests(part.etag, part.crc64))


async def complete_upload(call: Call) -> Response:
    """``POST /<key>?uploadId=``: the parts become the object."""
    bucket, key, upload_id = call.bucket(), call.object_key, parse_upload_id(call.query)
    fields.refuse_not_yet(call.request)
    overwrite = fields.overwrite_of(call.request)
    named = await asyncio.to_thread(parse_named_parts, await call.cos_document(COMPLETE_ROOT, MAX_COMPLETE_BYTES))
    stored = await call.services.uploads.complete(bucket, key, upload_id, named, overwrite=overwrite)
    return xml(render_completed(stored, _location(call)), headers=fields.crc_of(stored.crc64))


async def abort_upload(call: Call) -> Response:
    """``DELETE /<key>?uploadId=``."""
    await call.services.uploads.abort(call.bucket(), call.object_key, parse_upload_id(call.query))
    return Response(status_code=204)


async def list_parts(call: Call) -> Response:
    """``GET /<key>?uploadId=``."""
    bucket, asked = call.bucket(), parse_parts_query(call.query)
    listing = await call.services.uploads.parts(
        bucket, call.object_key, parse_upload_id(call.query), after=asked.after, limit=asked.limit
    )
    return xml(render_part_list(listing, asked, bucket.owner.uin))


async def list_uploads(call: Call) -> Response:
    """``GET /?uploads``."""
    bucket, asked = call.bucket(), parse_uploads_query(call.query)
    listing = await call.services.uploads.list(
        bucket,
        prefix=asked.prefix,
        delimiter=asked.delimiter,
        key_marker=asked.key_marker,
        upload_id_marker=asked.upload_id_marker,
        limit=asked.limit,
    )
    return xml(render_upload_list(listing, asked, bucket=bucket.name, owner=bucket.owner.uin))


def _location(call: Call) -> str:
    """The object's URL, on the host that the client knows."""
    host = call.request.headers.get("host", "")
    prefix = f"/{call.address.bucket}" if call.address.style is Style.PATH else ""
    return f"{call.request.url.scheme}://{host}{prefix}{quote(call.address.path)}"
