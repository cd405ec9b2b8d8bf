"""Which call a request is: the table of everything the service answers.

A row with ``not_yet`` is a documented call of CI or COS that this version refuses with NotImplemented, so that a client
learns the difference between a wrong address and a missing capability.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from starlette.responses import Response

from sordino import errors
from sordino.api.buckets import create_bucket, delete_bucket, head_bucket, list_buckets, list_objects
from sordino.api.call import Call, Handler
from sordino.api.callbacks import QUERY, describe_callbacks, send_callback_again
from sordino.api.jobs import cancel_job, create_job, describe_jobs, list_jobs
from sordino.api.objects import delete_object, get_object, head_object, put_object
from sordino.api.queues import create_queue, delete_queue, describe_queues, update_queue
from sordino.api.services import KINDS, close_service, describe_services, open_service
from sordino.api.templates import create_template, delete_template, describe_templates, update_template
from sordino.wire.address import Service


class Resource(StrEnum):
    """What a COS address points at."""

    SERVICE = "service"
    BUCKET = "bucket"
    OBJECT = "object"


@dataclass(frozen=True, slots=True)
class Operation:
    """A documented call and who handles it."""

    name: str
    method: str
    handler: Handler


async def not_yet(call: Call) -> Response:
    """Answer for the calls that are still to come."""
    raise errors.NOT_IMPLEMENTED(
        f"{call.request.method} {call.address.path} is a call that this version of Sordino does not offer yet."
    )


_JOBS = "/(?:jobs|asr_jobs|ai_jobs)"
_QUEUES = "/(?:asrqueue|queue|ai_queue|picqueue)"

CI_OPERATIONS: tuple[tuple[re.Pattern[str], tuple[Operation, ...]], ...] = tuple(
    (re.compile(path), tuple(Operation(*operation) for operation in operations))
    for path, operations in (
        (_JOBS, (("CreateJob", "POST", create_job), ("DescribeJobs", "GET", list_jobs))),
        (f"{_JOBS}/[^/]+", (("DescribeJob", "GET", describe_jobs), ("CancelJob", "PUT", cancel_job))),
        (
            "/template",
            (("CreateTemplate", "POST", create_template), ("DescribeTemplates", "GET", describe_templates)),
        ),
        (
            "/template/[^/]+",
            (("UpdateTemplate", "PUT", update_template), ("DeleteTemplate", "DELETE", delete_template)),
        ),
        (_QUEUES, (("DescribeQueues", "GET", describe_queues), ("CreateQueue", "POST", create_queue))),
        (f"{_QUEUES}/[^/]+", (("UpdateQueue", "PUT", update_queue), ("DeleteQueue", "DELETE", delete_queue))),
        (
            f"/(?:{'|'.join(path[1:] for path in KINDS)})",
            (
                ("OpenService", "POST", open_service),
                ("DescribeServices", "GET", describe_services),
                ("CloseService", "DELETE", close_service),
            ),
        ),
    )
)

# Ours: the calls of a job with ``?callbacks``.
CALLBACK_PATH = re.compile(f"{_JOBS}/[^/]+")
CALLBACK_OPERATIONS = (
    Operation("DescribeCallbacks", "GET", describe_callbacks),
    Operation("SendCallbackAgain", "POST", send_callback_again),
)

COS_OPERATIONS: dict[Resource, tuple[Operation, ...]] = {
    Resource.SERVICE: (Operation("GetService", "GET", list_buckets),),
    Resource.BUCKET: (
        Operation("PutBucket", "PUT", create_bucket),
        Operation("GetBucket", "GET", list_objects),
        Operation("HeadBucket", "HEAD", head_bucket),
        Operation("DeleteBucket", "DELETE", delete_bucket),
        Operation("PostObject", "POST", not_yet),
        Operation("OptionsObject", "OPTIONS", not_yet),
    ),
    Resource.OBJECT: (
        Operation("PutObject", "PUT", put_object),
        Operation("GetObject", "GET", get_object),
        Operation("HeadObject", "HEAD", head_object),
        Operation("DeleteObject", "DELETE", delete_object),
        Operation("AppendObject", "POST", not_yet),
        Operation("OptionsObject", "OPTIONS", not_yet),
    ),
}

# A query name that turns a plain bucket or object call into another one. Taking it for the plain call would be a
# grave mistake (PUT /key?acl would overwrite the object).
SUBRESOURCES = frozenset(
    """
    accelerate acl append attributes ci-process cors delete domain encryption intelligenttiering
    inventory lifecycle logging metaquery object-lock objectlock origin partNumber policy referer
    replication restore retention tagging torrent uploadId uploads versionId versioning versions website
    """.split()  # noqa: SIM905  # a list would take a line a name
)


def find(call: Call) -> Operation:
    """The operation of a call.

    Raises:
        ServiceError: InvalidUrl, MethodNotAllowed, NotImplemented.
    """
    operations = _ci_operations(call) if call.address.service is Service.CI else _cos_operations(call)
    for operation in operations:
        if operation.method == call.request.method:
            return operation
    allowed = ", ".join(operation.method for operation in operations)
    raise errors.METHOD_NOT_ALLOWED(
        f"{call.request.method} is not answered here; the methods are {allowed}.", {"Allow": allowed}
    )


def _ci_operations(call: Call) -> tuple[Operation, ...]:
    if CALLBACK_PATH.fullmatch(call.address.path) and any(name == QUERY for name, _ in call.query):
        return CALLBACK_OPERATIONS
    for path, operations in CI_OPERATIONS:
        if path.fullmatch(call.address.path):
            return operations
    raise errors.INVALID_URL(f"CI has no call at {call.address.path!r}.")


def _cos_operations(call: Call) -> tuple[Operation, ...]:
    for name, value in call.query:
        # An empty versionId is what clients of a bucket without versions send.
        if name in SUBRESOURCES and not (name == "versionId" and not value):
            raise errors.NOT_IMPLEMENTED(f"The sub-resource ?{name} is not offered yet.")
    return COS_OPERATIONS[_resource(call)]


def _resource(call: Call) -> Resource:
    if call.address.bucket is None:
        if call.address.path != "/":
            raise errors.INVALID_HOST()
        return Resource.SERVICE
    return Resource.BUCKET if call.address.path == "/" else Resource.OBJECT
