"""Which call a request is: the table of everything the service answers.

A row with ``not_yet`` is a documented call of CI or COS that this version refuses with NotImplemented, so that a client
learns the difference between a wrong address and a missing capability.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from starlette.responses import Response

from sordino import errors
from sordino.api.acl import get_bucket_acl, get_object_acl, put_bucket_acl, put_object_acl
from sordino.api.auth import unsigned
from sordino.api.buckets import (
    create_bucket,
    delete_bucket,
    get_bucket_location,
    head_bucket,
    list_buckets,
    list_objects,
)
from sordino.api.call import Call, Handler
from sordino.api.callbacks import QUERY, describe_callbacks, send_callback_again
from sordino.api.copy import copy_object, copy_part
from sordino.api.cors import delete_bucket_cors, get_bucket_cors, put_bucket_cors
from sordino.api.jobs import cancel_job, create_job, describe_jobs, list_jobs
from sordino.api.objects import delete_object, delete_objects, get_object, head_object, put_object
from sordino.api.queues import create_queue, delete_queue, describe_queues, update_queue
from sordino.api.services import KINDS, close_service, describe_services, open_service
from sordino.api.templates import create_template, delete_template, describe_templates, update_template
from sordino.api.uploads import abort_upload, begin_upload, complete_upload, list_parts, list_uploads, put_part
from sordino.errors import ServiceError
from sordino.wire.address import Service
from sordino.wire.copy_source import HEADER as COPY_SOURCE


class Resource(StrEnum):
    """What a COS address points at."""

    SERVICE = "service"
    BUCKET = "bucket"
    OBJECT = "object"


@dataclass(frozen=True, slots=True)
class Operation:
    """A documented call and who handles it; ``public``: also when nobody signed it."""

    name: str
    method: str
    handler: Handler
    public: bool = False


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
        Operation("GetBucket", "GET", list_objects, public=True),
        Operation("HeadBucket", "HEAD", head_bucket, public=True),
        Operation("DeleteBucket", "DELETE", delete_bucket),
        Operation("PostObject", "POST", not_yet),
    ),
    Resource.OBJECT: (
        Operation("PutObject", "PUT", put_object),
        Operation("GetObject", "GET", get_object, public=True),
        Operation("HeadObject", "HEAD", head_object, public=True),
        Operation("DeleteObject", "DELETE", delete_object),
        Operation("AppendObject", "POST", not_yet),
    ),
}

# The calls of COS that a query name makes of an address.
SUB_OPERATIONS: dict[Resource, dict[str, tuple[Operation, ...]]] = {
    Resource.SERVICE: {},
    Resource.BUCKET: {
        "location": (Operation("GetBucketLocation", "GET", get_bucket_location),),
        "delete": (Operation("DeleteMultipleObjects", "POST", delete_objects),),
        "uploads": (Operation("ListMultipartUploads", "GET", list_uploads),),
        "acl": (
            Operation("PutBucketAcl", "PUT", put_bucket_acl),
            Operation("GetBucketAcl", "GET", get_bucket_acl),
        ),
        "cors": (
            Operation("PutBucketCors", "PUT", put_bucket_cors),
            Operation("GetBucketCors", "GET", get_bucket_cors),
            Operation("DeleteBucketCors", "DELETE", delete_bucket_cors),
        ),
    },
    Resource.OBJECT: {
        "uploads": (Operation("InitiateMultipartUpload", "POST", begin_upload),),
        "uploadId": (
            Operation("UploadPart", "PUT", put_part),
            Operation("CompleteMultipartUpload", "POST", complete_upload),
            Operation("AbortMultipartUpload", "DELETE", abort_upload),
            Operation("ListParts", "GET", list_parts),
        ),
        "acl": (
            Operation("PutObjectAcl", "PUT", put_object_acl),
            Operation("GetObjectAcl", "GET", get_object_acl),
        ),
    },
}

# What the calls of these names are when a header names an object to take the bytes from.
COPIES = {
    "PutObject": Operation("PutObjectCopy", "PUT", copy_object),
    "UploadPart": Operation("UploadPartCopy", "PUT", copy_part),
}

# A query name that turns a plain bucket or object call into another one, offered or not. Taking it for the plain call
# would be a grave mistake (PUT /key?acl would overwrite the object).
SUBRESOURCES = frozenset(
    """
    accelerate acl append attributes ci-process cors delete domain domaincertificate encryption intelligent-tiering
    intelligenttiering inventory lifecycle live location logging metaquery object-lock objectlock origin partNumber
    policy referer replication response-control restore retention select symlink tagging torrent uploadId uploads
    versionId versioning versions vod website
    """.split()  # noqa: SIM905  # a list would take a line a name
)


# What names of the query begin with that ask for a changed picture in place of the object.
PICTURES = ("imageMogr2", "imageView2", "imageInfo", "imageAve", "watermark", "exif", "style", "pipeline")


def admit(call: Call) -> Operation:
    """The operation of a call. Who did not sign learns of none but the public ones.

    Raises:
        ServiceError: InvalidUrl, MethodNotAllowed, NotImplemented; AccessDenied or MissingAuthorization: not signed.
    """
    try:
        operation = find(call)
    except ServiceError:
        if call.signer is None:
            raise unsigned(call.address.service) from None
        raise
    if call.signer is None and not operation.public:
        raise unsigned(call.address.service)
    return operation


def find(call: Call) -> Operation:
    """The operation of a call.

    Raises:
        ServiceError: InvalidUrl, MethodNotAllowed, NotImplemented.
    """
    operations = _ci_operations(call) if call.address.service is Service.CI else _cos_operations(call)
    for operation in operations:
        if operation.method == call.request.method:
            return COPIES.get(operation.name, operation) if call.request.headers.get(COPY_SOURCE) else operation
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
    resource = _resource(call)
    offered = SUB_OPERATIONS[resource]
    asked = {name for name, value in call.query if name in SUBRESOURCES and not _says_nothing(name, value, call)}
    asked |= {name for name, _ in call.query if name.partition("/")[0] in PICTURES}
    for name in sorted(asked - set(offered)):
        raise errors.NOT_IMPLEMENTED(f"The sub-resource ?{name[:64]} is not offered.")
    if len(asked) > 1:
        names = ", ".join(sorted(asked))
        raise errors.INVALID_ARGUMENT(f"The query names {len(asked)} sub-resources, {names}; a call has one.")
    return offered[asked.pop()] if asked else COS_OPERATIONS[resource]


def _says_nothing(name: str, value: str, call: Call) -> bool:
    """Whether the call is no other one for it: clients of a bucket without versions send an empty versionId."""
    return (name == "versionId" and not value) or (name == "partNumber" and "uploadId" in call.query)


def _resource(call: Call) -> Resource:
    if call.address.bucket is None:
        if call.address.path != "/":
            raise errors.INVALID_HOST()
        return Resource.SERVICE
    return Resource.BUCKET if call.address.path == "/" else Resource.OBJECT
