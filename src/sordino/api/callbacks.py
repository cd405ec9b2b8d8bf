"""The log of a job's callbacks, and sending one again: calls of our own (docs/how-to/receive-callbacks.md)."""

from starlette.responses import Response

from sordino.api.call import Call, xml
from sordino.wire.callbacks import render_deliveries


async def describe_callbacks(call: Call) -> Response:
    """``GET /jobs/<id>?callbacks``."""
    bucket, job_id = call.bucket(), call.last_id
    return xml(render_deliveries(job_id, await call.services.callbacks.log(bucket.name, job_id)))


async def send_callback_again(call: Call) -> Response:
    """``POST /jobs/<id>?callbacks``; it needs no body."""
    bucket, job_id = call.bucket(), call.last_id
    return xml(render_deliveries(job_id, await call.services.callbacks.again(bucket.name, job_id)))
