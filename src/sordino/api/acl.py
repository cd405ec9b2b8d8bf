"""The calls of access control lists.

https://cloud.tencent.com/document/product/436 ("PUT Bucket acl", "GET Bucket acl", "PUT Object acl", "GET Object acl")
"""

from collections.abc import Sequence

from starlette.responses import Response

from sordino import errors
from sordino.api.access import allow
from sordino.api.body import whole
from sordino.api.call import Call, xml
from sordino.api.object_headers import BUCKET_ACLS, OBJECT_ACLS, asked_acl
from sordino.api.operation import About
from sordino.domain.acl import Acl
from sordino.wire.acl import ROOT, parse_acl, render_acl


async def put_bucket_acl(call: Call) -> Response:
    """``PUT /?acl`` with ``x-cos-acl`` or a body."""
    bucket = call.bucket()
    acl = await _asked(call, BUCKET_ACLS, "cos:PutBucketACL", About.BUCKET)
    await call.services.sharing.share_bucket(bucket, acl)
    return Response(status_code=200)


async def get_bucket_acl(call: Call) -> Response:
    """``GET /?acl``."""
    bucket = call.bucket()
    return xml(render_acl(bucket.acl, bucket.owner))


async def put_object_acl(call: Call) -> Response:
    """``PUT /<key>?acl`` with ``x-cos-acl`` or a body."""
    bucket = call.bucket()
    acl = await _asked(call, OBJECT_ACLS, "cos:PutObjectACL", About.OBJECT)
    await call.services.sharing.share_object(bucket, call.object_key, acl)
    return Response(status_code=200)


async def get_object_acl(call: Call) -> Response:
    """``GET /<key>?acl``: of an object that says nothing itself the bucket's list, with ``x-cos-acl: default``."""
    bucket = call.bucket()
    stored = await call.services.objects.head(bucket, call.object_key)
    headers = {"x-cos-acl": stored.acl.value} if stored.acl is Acl.DEFAULT else {}
    return xml(render_acl(stored.acl.within(bucket.acl), bucket.owner), headers=headers)


async def _asked(call: Call, legal: Sequence[Acl], action: str, about: About) -> Acl:
    """What the header says, else the body.

    Policies that deny lists go by ``cos:x-cos-acl``: whoever may not say it in the header may not in the body.
    """
    acl = asked_acl(call.request, legal)
    if acl is None:
        acl = parse_acl(await call.cos_document(ROOT), call.bucket().owner)
        await allow(call, action, about, {"cos:x-cos-acl": (acl.value,)})
    elif await whole(call.request):
        raise errors.INVALID_ARGUMENT("The list is given in x-cos-acl and in the body; give it once.")
    return acl
