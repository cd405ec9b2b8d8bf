"""The template calls of CI: create, update, list, delete.

https://cloud.tencent.com/document/product/460 ("Templates": audio noise reduction)
"""

from starlette.responses import Response

from sordino.api.call import Call, xml
from sordino.domain.page import Paged
from sordino.wire.templates import (
    parse_template,
    parse_template_query,
    render_found_templates,
    render_removed_template,
    render_template,
    render_template_page,
)


async def create_template(call: Call) -> Response:
    """``POST /template``."""
    bucket = call.bucket()
    name, order = parse_template(await call.document(), call.services.models)
    template = await call.services.templates.create(bucket.name, name, order)
    return xml(render_template(template, call.request_id))


async def update_template(call: Call) -> Response:
    """``PUT /template/<id>``."""
    bucket = call.bucket()
    name, order = parse_template(await call.document(), call.services.models)
    template = await call.services.templates.update(bucket.name, call.last_id, name, order)
    return xml(render_template(template, call.request_id))


async def describe_templates(call: Call) -> Response:
    """``GET /template``."""
    bucket, templates = call.bucket(), call.services.templates
    asked = parse_template_query(call.query)
    if asked.ids:
        found, missing = await templates.find(bucket.name, asked.ids) if asked.ours else ((), asked.ids)
        return xml(render_found_templates(found, missing, call.request_id))
    if not asked.ours:
        return xml(render_template_page(Paged(items=(), total=0, page=asked.page), call.request_id))
    paged = await templates.page(bucket.name, asked.prefix, asked.page)
    return xml(render_template_page(paged, call.request_id))


async def delete_template(call: Call) -> Response:
    """``DELETE /template/<id>``."""
    bucket = call.bucket()
    await call.services.templates.remove(bucket.name, call.last_id)
    return xml(render_removed_template(call.last_id, call.request_id))
