"""The job calls of CI: create and query.

https://cloud.tencent.com/document/product/460 ("Audio noise reduction": create, query)
"""

from starlette.responses import Response

from sordino.api.call import Call, xml
from sordino.wire.requests import parse_job, parse_job_ids
from sordino.wire.responses import render_jobs


async def create_job(call: Call) -> Response:
    """``POST /jobs``."""
    bucket = await call.bucket()
    job = await call.services.submit(bucket, parse_job(await call.body()))
    return xml(render_jobs([job]))


async def describe_jobs(call: Call) -> Response:
    """``GET /jobs/<id>[,<id>...]``."""
    bucket = await call.bucket()
    job_ids = parse_job_ids(call.address.path.removeprefix("/jobs/"))
    jobs, missing = await call.services.jobs.query(bucket.name, job_ids)
    return xml(render_jobs(jobs, missing))
