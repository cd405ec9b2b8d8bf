"""The bucket calls of COS, and the list of an account's buckets.

https://cloud.tencent.com/document/product/436 ("Bucket operations", "GET Service")
"""

import operator
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from starlette.responses import Response

from sordino import errors
from sordino.api.call import Call, xml
from sordino.api.object_headers import bucket_acl_of, refuse_not_yet
from sordino.domain.bucket import Bucket
from sordino.wire.responses import render_bucket_list, render_location, render_object_list

MAX_KEYS = 1000
MAX_BUCKETS = 2000
COMPARISONS: Mapping[str, Callable[[int, int], bool]] = MappingProxyType(
    {"lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge}
)
_WHOLE = re.compile(r"[0-9]{1,12}")


async def create_bucket(call: Call) -> Response:
    """``PUT /`` on a bucket host; the region is the host's, else the default one."""
    refuse_not_yet(call.request)
    acl = bucket_acl_of(call.request)
    region = call.address.region or call.services.settings.region
    await call.services.buckets.create(call.bucket_name, region, call.key.account, acl)
    return Response(status_code=200)


async def head_bucket(call: Call) -> Response:
    """``HEAD /``."""
    bucket = call.bucket()
    return Response(status_code=200, headers={"x-cos-bucket-region": bucket.region})


async def get_bucket_location(call: Call) -> Response:
    """``GET /?location``."""
    return xml(render_location(call.bucket()))


async def delete_bucket(call: Call) -> Response:
    """``DELETE /``; the bucket must be empty."""
    bucket = call.bucket()
    await call.services.buckets.remove(bucket.name)
    return Response(status_code=204)


async def list_objects(call: Call) -> Response:
    """``GET /`` on a bucket host."""
    bucket = call.bucket()
    if call.query.get("list-type") is not None:
        raise errors.NOT_IMPLEMENTED("list-type is not offered: leave it out, and go on from marker and NextMarker.")
    prefix, delimiter, marker = (call.query.get(name) or "" for name in ("prefix", "delimiter", "marker"))
    max_keys, encoding = _max_keys(call, MAX_KEYS), _encoding_type(call)
    listing = await call.services.objects.list(
        bucket, prefix=prefix, delimiter=delimiter, marker=marker, limit=max_keys
    )
    body = render_object_list(
        listing,
        bucket=bucket.name,
        prefix=prefix,
        marker=marker,
        delimiter=delimiter,
        max_keys=max_keys,
        url_encoded=encoding,
        owner=bucket.appid,
    )
    return xml(body, headers={"x-cos-bucket-region": bucket.region})


async def list_buckets(call: Call) -> Response:
    """``GET /`` on the service host: a page of the buckets of the signer's account, of one region if asked."""
    region, marker = call.query.get("region") or call.address.region, call.query.get("marker") or ""
    max_keys, in_time = _max_keys(call, MAX_BUCKETS), _in_time(call)
    # No bucket has a tag.
    buckets = [] if call.query.get("tagkey") else await call.services.buckets.list(call.key.account)
    left = [it for it in buckets if region in (None, it.region) and it.name > marker and in_time(it)]
    page = left[:max_keys]
    next_marker = page[-1].name if page and len(left) > len(page) else None
    return xml(render_bucket_list(page, owner=call.key.account, marker=marker, next_marker=next_marker))


def _in_time(call: Call) -> Callable[[Bucket], bool]:
    """Whether a bucket was made before or after ``create-time``, seconds since 1970, as ``range`` says.

    Raises:
        ServiceError: InvalidArgument.
    """
    compare, second = call.query.choice("range", COMPARISONS), call.query.get("create-time")
    if compare is None and second is None:
        return lambda _: True
    if compare is None or second is None or not _WHOLE.fullmatch(second):
        raise errors.INVALID_ARGUMENT("Send range and, as seconds since 1970, create-time: both, or neither.")
    return lambda bucket: COMPARISONS[compare](int(bucket.created_at.timestamp()), int(second))


def _max_keys(call: Call, most: int) -> int:
    text = call.query.get("max-keys") or str(most)
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise errors.INVALID_ARGUMENT(f"max-keys is {text!r}; use 0 to {most}.")
    return min(int(text), most)


def _encoding_type(call: Call) -> bool:
    encoding = call.query.get("encoding-type")
    if encoding not in (None, "url"):
        raise errors.INVALID_ARGUMENT(f"encoding-type is {encoding!r}; the only one there is: url.")
    return encoding is not None
