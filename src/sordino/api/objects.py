"""The object calls of COS: put, get, head, delete, of one or of many.

https://cloud.tencent.com/document/product/436 ("Object operations")
"""

import asyncio
from dataclasses import replace
from typing import Final

from starlette.responses import Response, StreamingResponse

from sordino import errors
from sordino.api import object_headers as fields
from sordino.api.access import object_to_read, refused_keys
from sordino.api.body import chunks, length_of, require_length
from sordino.api.call import Call, xml
from sordino.api.files import FilesResponse, can_send_files
from sordino.domain.bucket import Bucket, StoredObject
from sordino.storage.objects import Upload
from sordino.wire.batch_delete import MAX_BYTES, ROOT, parse_batch_delete, render_batch_delete
from sordino.wire.times import http_date

DEFAULT_TYPE = "application/octet-stream"
DELETE_OBJECT: Final = "cos:DeleteObject"
"""The action, of one object or of each of many."""


async def put_object(call: Call) -> Response:
    """``PUT /<key>``."""
    request = call.request
    upload = replace(upload_of(call), size=length_of(request))
    await refuse_existing(call, upload)
    require_length(request)
    await call.check_room(key=upload.key)
    body = chunks(request, call.services.settings.max_object_bytes, errors.ENTITY_TOO_LARGE)
    stored = await call.services.objects.put(upload, body)
    return Response(status_code=200, headers=fields.digests(stored.etag, stored.crc64))


async def get_object(call: Call) -> Response:
    """``GET /<key>`` with Range, conditions and ``response-*``."""
    bucket, stored, headers = await _found(call)
    if fields.not_modified(call.request.headers, stored):
        return Response(status_code=304, headers=headers)
    span = fields.span_of(fields.range_of(call.request.headers, stored), stored.size)
    headers |= {"Content-Type": stored.content_type, **fields.overrides(call.query)}
    headers["Content-Length"] = str(span.end - span.start)
    if span.partial:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{stored.size}"
    status, objects = 206 if span.partial else 200, call.services.objects
    if objects.in_files(bucket) and can_send_files(call.request):
        return FilesResponse(objects.files(stored, span.start, span.end), status, headers)
    return StreamingResponse(objects.read(bucket, stored, span.start, span.end), status, headers)


async def head_object(call: Call) -> Response:
    """``HEAD /<key>``."""
    _, stored, headers = await _found(call)
    if fields.not_modified(call.request.headers, stored):
        return Response(status_code=304, headers=headers)
    return Response(status_code=200, headers=headers | {"Content-Type": stored.content_type})


async def delete_object(call: Call) -> Response:
    """``DELETE /<key>``; 204 also when there was none."""
    await call.services.objects.remove(call.bucket(), call.object_key)
    return Response(status_code=204)


async def delete_objects(call: Call) -> Response:
    """``POST /?delete``; each key is decided for itself, and has a result of its own."""
    bucket = call.bucket()
    if not call.request.headers.get("content-md5"):
        raise errors.MISSING_CONTENT_MD5()
    request = parse_batch_delete(await call.cos_document(ROOT, MAX_BYTES))
    # A thousand decisions over long policies take a while, in which others are answered.
    denied = await asyncio.to_thread(refused_keys, call, DELETE_OBJECT, request.keys)
    failed = await call.services.objects.remove_many(bucket, [key for key in request.keys if key not in denied])
    return xml(render_batch_delete(request, {**denied, **failed}))


def upload_of(call: Call) -> Upload:
    """What the headers say about the object that the call makes.

    Raises:
        ServiceError: as ``Call.bucket`` and the functions of ``object_headers``.
    """
    request = call.request
    fields.refuse_not_yet(request)
    return Upload(
        bucket=call.bucket(),
        key=call.object_key,
        content_type=request.headers.get("content-type") or DEFAULT_TYPE,
        headers=fields.stored_headers_of(request),
        metadata=fields.metadata_of(request),
        storage_class=fields.storage_class_of(request),
        acl=fields.acl_of(request),
        md5=fields.md5_of(request),
        overwrite=fields.overwrite_of(request),
    )


async def refuse_existing(call: Call, upload: Upload) -> None:
    """Refuse an upload that may replace nothing before its bytes come, where there is something already.

    Raises:
        ServiceError: FileAlreadyExists.
    """
    if not upload.overwrite and await call.services.objects.find(upload.bucket, upload.key) is not None:
        raise errors.FILE_ALREADY_EXISTS()


async def _found(call: Call) -> tuple[Bucket, StoredObject, dict[str, str]]:
    bucket, stored = await object_to_read(call)
    return bucket, stored, _object_headers(stored)


def _object_headers(stored: StoredObject) -> dict[str, str]:
    headers: dict[str, str] = {
        **stored.headers,
        **fields.digests(stored.etag, stored.crc64),
        **{fields.METADATA_PREFIX + name: value for name, value in stored.metadata.items()},
        # With a 304 as well, as RFC 9110 8.6 allows: the Python SDK breaks without it.
        "Content-Length": str(stored.size),
        "Last-Modified": http_date(stored.last_modified),
        "Accept-Ranges": "bytes",
    }
    if stored.storage_class != fields.STORAGE_CLASSES[0]:
        headers["x-cos-storage-class"] = stored.storage_class
    return headers
