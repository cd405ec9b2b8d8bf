"""The object calls of COS: put, get, head, delete.

https://cloud.tencent.com/document/product/436 ("Object operations")
"""

from collections.abc import Mapping

from starlette.responses import Response, StreamingResponse

from sordino import errors
from sordino.api import object_headers as fields
from sordino.api.body import chunks, require_length
from sordino.api.call import Call
from sordino.domain.bucket import MAX_KEY_BYTES, StoredObject
from sordino.storage.objects import Upload
from sordino.wire.times import http_date

DEFAULT_TYPE = "application/octet-stream"


async def put_object(call: Call) -> Response:
    """``PUT /<key>``."""
    request = call.request
    fields.refuse_not_yet(request)
    upload = Upload(
        bucket=call.bucket().name,
        key=_key(call),
        content_type=request.headers.get("content-type") or DEFAULT_TYPE,
        headers=fields.stored_headers_of(request),
        metadata=fields.metadata_of(request),
        storage_class=fields.storage_class_of(request),
        acl=fields.acl_of(request),
        md5=fields.md5_of(request),
    )
    require_length(request)
    body = chunks(request, call.services.settings.max_object_bytes, errors.ENTITY_TOO_LARGE)
    stored = await call.services.objects.put(upload, body)
    return Response(status_code=200, headers=_digest_headers(stored))


async def get_object(call: Call) -> Response:
    """``GET /<key>`` with Range, conditions and ``response-*``."""
    stored, headers = await _found(call)
    if fields.not_modified(call.request.headers, stored):
        return Response(status_code=304, headers=headers)
    span = fields.span_of(fields.range_of(call.request.headers, stored), stored.size)
    headers |= {"Content-Type": stored.content_type, **fields.overrides(call.query)}
    headers["Content-Length"] = str(span.end - span.start)
    if span.partial:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{stored.size}"
    body = call.services.objects.read(call.bucket(), stored, span.start, span.end)
    return StreamingResponse(body, 206 if span.partial else 200, headers)


async def head_object(call: Call) -> Response:
    """``HEAD /<key>``."""
    stored, headers = await _found(call)
    if fields.not_modified(call.request.headers, stored):
        return Response(status_code=304, headers=headers)
    headers |= {"Content-Type": stored.content_type, "Content-Length": str(stored.size)}
    return Response(status_code=200, headers=headers)


async def delete_object(call: Call) -> Response:
    """``DELETE /<key>``; 204 also when there was none."""
    await call.services.objects.remove(call.bucket(), _key(call))
    return Response(status_code=204)


async def _found(call: Call) -> tuple[StoredObject, dict[str, str]]:
    stored = await call.services.objects.head(call.bucket(), _key(call))
    return stored, _object_headers(stored)


def _key(call: Call) -> str:
    key = call.address.path[1:]
    if len(key.encode()) > MAX_KEY_BYTES:
        raise errors.KEY_TOO_LONG()
    return key


def _object_headers(stored: StoredObject) -> dict[str, str]:
    headers: dict[str, str] = {
        **stored.headers,
        **_digest_headers(stored),
        **{fields.METADATA_PREFIX + name: value for name, value in stored.metadata.items()},
        "Last-Modified": http_date(stored.last_modified),
        "Accept-Ranges": "bytes",
    }
    if stored.storage_class != fields.STORAGE_CLASSES[0]:
        headers["x-cos-storage-class"] = stored.storage_class
    return headers


def _digest_headers(stored: StoredObject) -> Mapping[str, str]:
    crc64 = {} if stored.crc64 is None else {"x-cos-hash-crc64ecma": str(stored.crc64)}
    return {"ETag": f'"{stored.etag}"', **crc64}
