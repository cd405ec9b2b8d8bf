"""Replies of the job calls."""

from collections.abc import Sequence
from datetime import tzinfo

from sordino.domain.job import Job, JobListing
from sordino.wire import xml
from sordino.wire.job_detail import job_nodes
from sordino.wire.job_token import write_token
from sordino.wire.times import CI_ZONE


def render_jobs(jobs: Sequence[Job], non_existing: Sequence[str] = (), *, zone: tzinfo = CI_ZONE) -> bytes:
    """The reply of submitting and of querying jobs: one JobsDetail a job, one NonExistJobIds an unknown id.

    Args:
        jobs: in the order to show.
        non_existing: ids that were asked for and do not exist.
        zone: of the times shown.
    """
    details = _details(jobs, zone)
    return xml.document("Response", [*details, *(("NonExistJobIds", job_id) for job_id in non_existing)])


def render_job_list(listing: JobListing, request_id: str, *, zone: tzinfo = CI_ZONE) -> bytes:
    """The reply of listing jobs; NextToken is there when more follow.

    Args:
        listing: the page.
        request_id: shown even though the documents do not: a reply without any element is no dictionary to the Python
            SDK, and an empty NextToken would keep those turning pages who look whether it is there.
        zone: of the times shown.
    """
    following: list[xml.Node] = [] if listing.next is None else [("NextToken", write_token(listing.next))]
    return xml.document("Response", [("RequestId", request_id), *_details(listing.jobs, zone), *following])


def _details(jobs: Sequence[Job], zone: tzinfo) -> list[xml.Node]:
    return [("JobsDetail", job_nodes(job, zone)) for job in jobs]
