"""The job calls of CI: create, query, list, cancel.

https://cloud.tencent.com/document/product/460 ("Audio noise reduction": create, query; "Tasks": list, cancel)
"""

from starlette.responses import Response

from sordino import errors
from sordino.api.access import require
from sordino.api.body import whole
from sordino.api.call import Call, xml
from sordino.domain.identity import CI_ROLE
from sordino.domain.job import JobListing
from sordino.domain.resource import role_resource
from sordino.wire.job_query import parse_job_ids, parse_job_list
from sordino.wire.job_replies import render_job_list, render_jobs
from sordino.wire.job_request import parse_job


async def create_job(call: Call) -> Response:
    """``POST /jobs``."""
    bucket = call.bucket()
    # The job reads and writes as that role, so who may not hand it on may not have it do so. A bucket's policy cannot
    # allow it: jobs are for those of the bucket's account.
    require(call, "cam:PassRole", role_resource(CI_ROLE, bucket.owner))
    request = parse_job(await call.document(), call.services.models)
    call.services.callbacks.check_job(request.callback)
    return xml(render_jobs(await call.services.submit(bucket, request)))


async def describe_jobs(call: Call) -> Response:
    """``GET /jobs/<id>[,<id>...]``."""
    bucket = call.bucket()
    jobs, missing = await call.services.jobs.query(bucket.name, parse_job_ids(call.last_segment))
    return xml(render_jobs(jobs, missing))


async def list_jobs(call: Call) -> Response:
    """``GET /jobs``."""
    bucket = call.bucket()
    asked = parse_job_list(call.query)
    if asked is None:
        return xml(render_job_list(JobListing(jobs=(), next=None), call.request_id))
    listing = await call.services.jobs.list(
        bucket.name, asked.wanted, order=asked.order, after=asked.after, size=asked.size
    )
    return xml(render_job_list(listing, call.request_id))


async def cancel_job(call: Call) -> Response:
    """``PUT /jobs/<id>?cancel``; the Java SDK sends it without ``?cancel``, and never with a body."""
    bucket = call.bucket()
    job_ids = parse_job_ids(call.last_segment)
    if len(job_ids) > 1:
        raise errors.INVALID_ARGUMENT(f"{len(job_ids)} job ids are given; cancel one at a time.")
    if "cancel" not in call.query and await whole(call.request):
        raise errors.INVALID_ARGUMENT(
            "A job cannot be changed; send PUT without a body, or with ?cancel, to cancel one that waits."
        )
    await call.services.jobs.cancel(bucket.name, job_ids[0])
    return Response(status_code=200)
