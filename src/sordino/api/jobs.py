"""The job calls of CI: create and query.

https://cloud.tencent.com/document/product/460 ("Audio noise reduction": create, query)
"""

from base64 import b64encode
from hashlib import md5

from starlette.responses import Response

from sordino import errors
from sordino.api.call import Call, xml
from sordino.wire.requests import parse_job, parse_job_ids
from sordino.wire.responses import render_jobs


async def create_job(call: Call) -> Response:
    """``POST /jobs``."""
    bucket = await call.bucket()
    job = await call.services.submit(bucket, parse_job(await _checked_body(call), call.services.models))
    return xml(render_jobs([job]))


async def describe_jobs(call: Call) -> Response:
    """``GET /jobs/<id>[,<id>...]``."""
    bucket = await call.bucket()
    job_ids = parse_job_ids(call.address.path.removeprefix("/jobs/"))
    jobs, missing = await call.services.jobs.query(bucket.name, job_ids)
    return xml(render_jobs(jobs, missing))


async def _checked_body(call: Call) -> bytes:
    """The body, which must be that of the Content-MD5 header if there is one."""
    body = await call.body()
    digest = b64encode(md5(body, usedforsecurity=False).digest()).decode()
    if call.request.headers.get("content-md5", "") not in ("", digest):
        raise errors.INVALID_CONTENT(f"Content-MD5 is not that of the body, which is {digest}.")
    return body
