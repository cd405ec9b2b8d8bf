"""The calls of access control lists.

https://cloud.tencent.com/document/product/436 ("PUT Bucket acl", "GET Bucket acl", "PUT Object acl", "GET Object acl")
"""

from collections.abc import Sequence

from starlette.responses import Response

from sordino import errors
from sordino.api.body import whole
from sordino.api.call import Call, xml
from sordino.api.object_headers import BUCKET_ACLS, OBJECT_ACLS, asked_acl
from sordino.domain.acl import Acl
from sordino.domain.bucket import Bucket
from sordino.wire.acl import ROOT, parse_acl, render_acl


async def put_bucket_acl(call: Call) -> Response:
    """``PUT /?acl`` with ``x-cos-acl`` or a body."""
    bucket = call.bucket()
    await call.services.sharing.share_bucket(bucket, await _asked(call, bucket, BUCKET_ACLS))
    return Response(status_code=200)


async def get_bucket_acl(call: Call) -> Response:
    """``GET /?acl``."""
    bucket = call.bucket()
    return xml(render_acl(bucket.acl, bucket.owner))


async def put_object_acl(call: Call) -> Response:
    """``PUT /<key>?acl`` with ``x-cos-acl`` or a body."""
    bucket = call.bucket()
    await call.services.sharing.share_object(bucket, call.object_key, await _asked(call, bucket, OBJECT_ACLS))
    return Response(status_code=200)


async def get_object_acl(call: Call) -> Response:
    """``GET /<key>?acl``: of an object that says nothing itself the bucket's list, with ``x-cos-acl: default``."""
    bucket = call.bucket()
    stored = await call.services.objects.head(bucket, call.object_key)
    headers = {"x-cos-acl": stored.acl.value} if stored.acl is Acl.DEFAULT else {}
    return xml(render_acl(stored.acl.within(bucket.acl), bucket.owner), headers=headers)


async def _asked(call: Call, bucket: Bucket, legal: Sequence[Acl]) -> Acl:
    """What the header says, else the body."""
    acl = asked_acl(call.request, legal)
    if acl is None:
        return parse_acl(await call.cos_document(ROOT), bucket.owner)
    if await whole(call.request):
        raise errors.INVALID_ARGUMENT("The list is given in x-cos-acl and in the body; give it once.")
    return acl
