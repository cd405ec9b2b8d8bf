"""The calls of COS that take their bytes from another object.

https://cloud.tencent.com/document/product/436/10881 ("PUT Object - Copy")
https://cloud.tencent.com/document/product/436/8287 ("Upload Part - Copy")
"""

from dataclasses import replace
from typing import Final

from starlette.responses import Response

from sordino import errors
from sordino.api import object_headers as fields
from sordino.api.access import GET_OBJECT, allow, object_to_read
from sordino.api.body import chunks
from sordino.api.call import Call, xml
from sordino.api.objects import refuse_existing, upload_of
from sordino.api.operation import About
from sordino.domain.bucket import Bucket, StoredObject
from sordino.domain.ports import BlobNotFoundError
from sordino.errors import ServiceError
from sordino.storage.copy import MAX_MOVED_BYTES, replaced
from sordino.storage.objects import Upload
from sordino.wire.copy_source import HEADER, read_copy_range, read_copy_source
from sordino.wire.responses import render_copied_object, render_copied_part
from sordino.wire.upload_requests import parse_part_number, parse_upload_id
from sordino.wire.words import quote

CONDITIONS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
KEEP, REPLACE = frozenset({"", "copy"}), frozenset({"replaced", "replace"})
"""What x-cos-metadata-directive may say, in lower case."""


SOURCE: Final = f"cos:{HEADER}"
"""The condition key of what is copied."""


async def copy_object(call: Call) -> Response:
    """``PUT /<key>`` with ``x-cos-copy-source``."""
    target = replace(upload_of(call), md5=None)
    keep = _keeps_metadata(call)
    await _refuse_body(call)
    await refuse_existing(call, target)
    bucket, stored = await _source(call, "cos:PutObject")
    if keep:
        target = _described_as(stored, target)
    await call.services.quotas.check(target.bucket, stored.size, key=target.key)
    copied = await call.services.copies.copy(bucket, stored, target)
    return xml(render_copied_object(copied))


async def copy_part(call: Call) -> Response:
    """``PUT /<key>?partNumber&uploadId`` with ``x-cos-copy-source``, of all of it or of a range."""
    bucket, key = call.bucket(), call.object_key
    upload_id, number = parse_upload_id(call.query), parse_part_number(call.query)
    fields.refuse_not_yet(call.request)
    await _refuse_body(call)
    source, stored = await _source(call, "cos:UploadPart")
    start, end = read_copy_range(call.request.headers.get(f"{HEADER}-range", ""), stored.size)
    if end - start > MAX_MOVED_BYTES:
        raise errors.ENTITY_TOO_LARGE(f"The range has {end - start} bytes; a part has at most {MAX_MOVED_BYTES}.")
    await call.services.quotas.check(bucket, end - start, part=(upload_id, number))
    body = call.services.objects.read(source, stored, start, end)
    try:
        part = await call.services.uploads.put_part(bucket, key, upload_id, number, body)
    except BlobNotFoundError as error:
        raise replaced() from error
    return xml(render_copied_part(part))


def _keeps_metadata(call: Call) -> bool:
    """Whether the copy is described as its source is, and not as the request's headers say."""
    word = call.request.headers.get("x-cos-metadata-directive", "")
    if word.lower() not in KEEP | REPLACE:
        raise errors.INVALID_ARGUMENT(f"x-cos-metadata-directive is {quote(word)}; use Copy or Replaced.")
    return word.lower() in KEEP


async def _refuse_body(call: Call) -> None:
    async for _ in chunks(call.request, 0, errors.INVALID_ARGUMENT):
        raise errors.INVALID_ARGUMENT(f"The bytes are those of {HEADER}; send no body.")


async def _source(call: Call, action: str) -> tuple[Bucket, StoredObject]:
    """The object to copy, which whoever calls may read and which is as the conditions want it, and its bucket.

    The header names it in one of many spellings. Policies go by the documented one: whoever may not copy it so may not
    in another.

    Raises:
        ServiceError: InvalidArgument, NotImplemented, NoSuchBucket, AccessDenied, NoSuchCopySource, PreconditionFailed.
    """
    address = read_copy_source(call.request.headers[HEADER], call.services.settings.default_bucket)
    named = await call.services.buckets.find(address.bucket) if address.bucket else None
    there = replace(call, address=address, named_bucket=named, stored=None)
    try:
        bucket, stored = await object_to_read(await allow(there, GET_OBJECT, About.OBJECT))
    except ServiceError as refusal:
        if refusal.code != errors.NO_SUCH_KEY.code:
            raise
        raise errors.NO_SUCH_COPY_SOURCE() from None
    spelt = f"{bucket.name}.cos.{bucket.region}.myqcloud.com/{stored.key}"
    await allow(call, action, About.OBJECT, {SOURCE: (spelt,)})
    _check_conditions(call, stored)
    return bucket, stored


def _check_conditions(call: Call, stored: StoredObject) -> None:
    headers = {name: call.request.headers.get(f"{HEADER}-{name}", "") for name in CONDITIONS}
    if fields.not_modified(headers, stored):
        raise errors.PRECONDITION_FAILED("The source is as a condition of the request says that it must not be.")


def _described_as(stored: StoredObject, target: Upload) -> Upload:
    """The target with what is known of the source besides its bytes; class and list of a copy are its own.

    Raises:
        ServiceError: InvalidArgument when it is the source itself.
    """
    if (stored.bucket, stored.key) == (target.bucket.name, target.key):
        raise errors.INVALID_ARGUMENT(
            "A copy onto itself changes an object's headers: send x-cos-metadata-directive: Replaced, and all of them."
        )
    return replace(target, content_type=stored.content_type, headers=stored.headers, metadata=stored.metadata)
