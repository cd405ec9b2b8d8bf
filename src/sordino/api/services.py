"""The service switches of CI: open, list, close.

https://cloud.tencent.com/document/product/460 ("Buckets": of speech, of AI, of media processing)
"""

from collections.abc import Mapping
from types import MappingProxyType

from starlette.responses import Response

from sordino.api.call import Call, xml
from sordino.domain.service import ServiceKind
from sordino.wire.services import parse_binding_query, render_binding, render_binding_page, render_closed

KINDS: Mapping[str, ServiceKind] = MappingProxyType(
    {"/asrbucket": ServiceKind.SPEECH, "/ai_bucket": ServiceKind.AI, "/mediabucket": ServiceKind.MEDIA}
)


async def open_service(call: Call) -> Response:
    """``POST /asrbucket``."""
    bucket = call.bucket()
    return xml(render_binding(await call.services.bindings.open(bucket, _kind(call)), call.request_id))


async def describe_services(call: Call) -> Response:
    """``GET /asrbucket``, a call of the account: the host may name a bucket or none."""
    asked = parse_binding_query(call.query)
    paged = await call.services.bindings.page(call.key.account, _kind(call), asked.wanted, asked.page)
    return xml(render_binding_page(_kind(call), paged, call.request_id))


async def close_service(call: Call) -> Response:
    """``DELETE /asrbucket``."""
    bucket = call.bucket()
    await call.services.bindings.close(bucket, _kind(call))
    return xml(render_closed(bucket.name, call.request_id))


def _kind(call: Call) -> ServiceKind:
    return KINDS[call.address.path]
