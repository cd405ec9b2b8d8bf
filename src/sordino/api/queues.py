"""The queue calls of CI: list, update; and, which CI does in its console only, create and delete.

https://cloud.tencent.com/document/product/460 ("Queues")
"""

from starlette.responses import Response

from sordino.api.call import Call, xml
from sordino.domain.queue import QueueSettings
from sordino.wire.queues import (
    QueueLimits,
    parse_queue,
    parse_queue_query,
    render_found_queues,
    render_queue,
    render_queue_page,
    render_removed_queue,
)


async def describe_queues(call: Call) -> Response:
    """``GET /asrqueue``."""
    bucket, queues = call.bucket(), call.services.queues
    asked = parse_queue_query(call.query)
    if asked.ids:
        found, missing = await queues.find(bucket.name, asked.ids)
        return xml(render_found_queues(found, missing, _limits(call), call.request_id))
    paged = await queues.page(bucket.name, asked.state, asked.page)
    return xml(render_queue_page(paged, _limits(call), call.request_id))


async def create_queue(call: Call) -> Response:
    """``POST /asrqueue``, an extension of ours."""
    bucket = call.bucket()
    queue = await call.services.queues.create(bucket.name, await _settings(call))
    return xml(render_queue(queue, _limits(call), call.request_id))


async def update_queue(call: Call) -> Response:
    """``PUT /asrqueue/<id>``."""
    bucket = call.bucket()
    queue = await call.services.queues.update(bucket.name, call.last_id, await _settings(call))
    return xml(render_queue(queue, _limits(call), call.request_id))


async def delete_queue(call: Call) -> Response:
    """``DELETE /asrqueue/<id>``, an extension of ours."""
    bucket = call.bucket()
    await call.services.queues.remove(bucket.name, call.last_id)
    return xml(render_removed_queue(call.last_id, call.request_id))


async def _settings(call: Call) -> QueueSettings:
    """The body, whose callback must be one that can be called."""
    settings = parse_queue(await call.document())
    call.services.callbacks.check_notify(settings.notify)
    return settings


def _limits(call: Call) -> QueueLimits:
    settings = call.services.settings
    return QueueLimits(max_size=settings.queue_max_size, max_concurrent=settings.queue_max_concurrent)
