"""Which call a request is: the table of everything the service answers.

A row with ``not_yet`` is a documented call of CI or COS that this version refuses with NotImplemented, so that a client
learns the difference between a wrong address and a missing capability.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from starlette.responses import Response

from sordino import errors
from sordino.api.acl import get_bucket_acl, get_object_acl, put_bucket_acl, put_object_acl
from sordino.api.auth import unsigned
from sordino.api.bucket_policy import delete_bucket_policy, get_bucket_policy, put_bucket_policy
from sordino.api.buckets import (
    create_bucket,
    delete_bucket,
    get_bucket_location,
    head_bucket,
    list_buckets,
    list_objects,
)
from sordino.api.call import Call, Handler
from sordino.api.callbacks import describe_callbacks, send_callback_again
from sordino.api.copy import copy_object, copy_part
from sordino.api.cors import delete_bucket_cors, get_bucket_cors, put_bucket_cors
from sordino.api.jobs import cancel_job, create_job, describe_jobs, list_jobs
from sordino.api.objects import delete_object, delete_objects, get_object, head_object, put_object
from sordino.api.operation import About, Operation
from sordino.api.queues import create_queue, delete_queue, describe_queues, update_queue
from sordino.api.services import KINDS, close_service, describe_services, open_service
from sordino.api.sub_resources import CALLBACKS, SUBRESOURCES
from sordino.api.templates import create_template, delete_template, describe_templates, update_template
from sordino.api.uploads import abort_upload, begin_upload, complete_upload, list_parts, list_uploads, put_part
from sordino.domain.service import ServiceKind
from sordino.errors import ServiceError
from sordino.wire.address import Service
from sordino.wire.copy_source import HEADER as COPY_SOURCE


class Resource(StrEnum):
    """What a COS address points at."""

    SERVICE = "service"
    BUCKET = "bucket"
    OBJECT = "object"


async def not_yet(call: Call) -> Response:
    """Answer for the calls that are still to come."""
    raise errors.NOT_IMPLEMENTED(
        f"{call.request.method} {call.address.path} is a call that this version of Sordino does not offer yet."
    )


def _ci(name: str, method: str, handler: Handler, action: str, about: About = About.CI) -> Operation:
    return Operation(name=name, method=method, handler=handler, action=f"ci:{action}", about=about)


_JOBS = "/(?:jobs|asr_jobs|ai_jobs)"

QUEUES: Final[Mapping[str, str]] = MappingProxyType(
    {"/asrqueue": "Asr", "/queue": "Media", "/ai_queue": "AI", "/picqueue": "Pic"}
)
"""The paths of the queues of a bucket, which are the same under each, and how actions name them there."""

_SERVICES: Final[Mapping[ServiceKind, str]] = MappingProxyType(
    {ServiceKind.SPEECH: "Asr", ServiceKind.AI: "AI", ServiceKind.MEDIA: "Media"}
)


def _queue(name: str, method: str, handler: Handler, action: str, kind: str) -> Operation:
    """A call of queues, whose action has the kind in place of the braces."""
    twins = tuple(f"ci:{action.format(it)}" for it in QUEUES.values() if it != kind)
    return replace(_ci(name, method, handler, action.format(kind)), twins=twins)


def _queues() -> Iterator[tuple[str, tuple[Operation, ...]]]:
    for path, kind in QUEUES.items():
        yield (
            path,
            (
                _queue("DescribeQueues", "GET", describe_queues, "Describe{}Queues", kind),
                _queue("CreateQueue", "POST", create_queue, "Add{}Queue", kind),
            ),
        )
        yield (
            f"{path}/[^/]+",
            (
                _queue("UpdateQueue", "PUT", update_queue, "Update{}Queue", kind),
                _queue("DeleteQueue", "DELETE", delete_queue, "Delete{}Queue", kind),
            ),
        )


def _services() -> Iterator[tuple[str, tuple[Operation, ...]]]:
    for path, service in KINDS.items():
        kind = _SERVICES[service]
        yield (
            path,
            (
                _ci("OpenService", "POST", open_service, f"Create{kind}Bucket"),
                _ci("DescribeServices", "GET", describe_services, f"Describe{kind}Buckets", About.ACCOUNT),
                _ci("CloseService", "DELETE", close_service, f"Delete{kind}Bucket"),
            ),
        )


CI_OPERATIONS: tuple[tuple[re.Pattern[str], tuple[Operation, ...]], ...] = tuple(
    (re.compile(path), operations)
    for path, operations in (
        (
            _JOBS,
            (
                _ci("CreateJob", "POST", create_job, "CreateAsrJobs"),
                _ci("DescribeJobs", "GET", list_jobs, "DescribeMediaJobs"),
            ),
        ),
        (
            f"{_JOBS}/[^/]+",
            (
                _ci("DescribeJob", "GET", describe_jobs, "DescribeMediaJob"),
                _ci("CancelJob", "PUT", cancel_job, "CancelMediaJob"),
            ),
        ),
        (
            "/template",
            (
                _ci("CreateTemplate", "POST", create_template, "CreateMediaTemplate"),
                _ci("DescribeTemplates", "GET", describe_templates, "DescribeMediaTemplates"),
            ),
        ),
        (
            "/template/[^/]+",
            (
                _ci("UpdateTemplate", "PUT", update_template, "UpdateMediaTemplate"),
                _ci("DeleteTemplate", "DELETE", delete_template, "DeleteMediaTemplate"),
            ),
        ),
        *_queues(),
        *_services(),
    )
)

# Ours: the calls of a job with ``?callbacks``.
CALLBACK_PATH = re.compile(f"{_JOBS}/[^/]+")
CALLBACK_OPERATIONS = (
    _ci("DescribeCallbacks", "GET", describe_callbacks, "DescribeMediaJobCallbacks"),
    _ci("SendCallbackAgain", "POST", send_callback_again, "SendMediaJobCallback"),
)


def _cos(
    name: str,
    method: str,
    handler: Handler,
    about: About,
    *,
    action: str | None = None,
    acl_action: str | None = None,
) -> Operation:
    """A call of COS, whose action is called as it is itself, if nothing else is said."""
    return Operation(
        name=name,
        method=method,
        handler=handler,
        action=f"cos:{action or name}",
        about=about,
        acl_action=acl_action,
    )


_OBJECT_ACL: Final = "cos:PutObjectACL"

COS_OPERATIONS: dict[Resource, tuple[Operation, ...]] = {
    Resource.SERVICE: (_cos("GetService", "GET", list_buckets, About.ACCOUNT),),
    Resource.BUCKET: (
        _cos("PutBucket", "PUT", create_bucket, About.NEW_BUCKET, acl_action="cos:PutBucketACL"),
        _cos("GetBucket", "GET", list_objects, About.LIST),
        _cos("HeadBucket", "HEAD", head_bucket, About.BUCKET),
        _cos("DeleteBucket", "DELETE", delete_bucket, About.BUCKET),
        _cos("PostObject", "POST", not_yet, About.BUCKET),
    ),
    Resource.OBJECT: (
        _cos("PutObject", "PUT", put_object, About.OBJECT, acl_action=_OBJECT_ACL),
        _cos("GetObject", "GET", get_object, About.OBJECT),
        _cos("HeadObject", "HEAD", head_object, About.OBJECT),
        _cos("DeleteObject", "DELETE", delete_object, About.OBJECT),
        _cos("AppendObject", "POST", not_yet, About.OBJECT),
    ),
}

# The calls of COS that a query name makes of an address.
SUB_OPERATIONS: dict[Resource, dict[str, tuple[Operation, ...]]] = {
    Resource.SERVICE: {},
    Resource.BUCKET: {
        "location": (_cos("GetBucketLocation", "GET", get_bucket_location, About.BUCKET),),
        "delete": (_cos("DeleteMultipleObjects", "POST", delete_objects, About.KEYS, action="DeleteObject"),),
        "uploads": (_cos("ListMultipartUploads", "GET", list_uploads, About.BUCKET),),
        "acl": (
            _cos("PutBucketAcl", "PUT", put_bucket_acl, About.BUCKET, action="PutBucketACL"),
            _cos("GetBucketAcl", "GET", get_bucket_acl, About.BUCKET, action="GetBucketACL"),
        ),
        "policy": (
            _cos("PutBucketPolicy", "PUT", put_bucket_policy, About.BUCKET),
            _cos("GetBucketPolicy", "GET", get_bucket_policy, About.BUCKET),
            _cos("DeleteBucketPolicy", "DELETE", delete_bucket_policy, About.BUCKET),
        ),
        "cors": (
            _cos("PutBucketCors", "PUT", put_bucket_cors, About.BUCKET, action="PutBucketCORS"),
            _cos("GetBucketCors", "GET", get_bucket_cors, About.BUCKET, action="GetBucketCORS"),
            _cos("DeleteBucketCors", "DELETE", delete_bucket_cors, About.BUCKET, action="DeleteBucketCORS"),
        ),
    },
    Resource.OBJECT: {
        "uploads": (_cos("InitiateMultipartUpload", "POST", begin_upload, About.OBJECT, acl_action=_OBJECT_ACL),),
        "uploadId": (
            _cos("UploadPart", "PUT", put_part, About.OBJECT),
            _cos("CompleteMultipartUpload", "POST", complete_upload, About.OBJECT),
            _cos("AbortMultipartUpload", "DELETE", abort_upload, About.OBJECT),
            _cos("ListParts", "GET", list_parts, About.OBJECT),
        ),
        "acl": (
            _cos("PutObjectAcl", "PUT", put_object_acl, About.OBJECT, action="PutObjectACL"),
            _cos("GetObjectAcl", "GET", get_object_acl, About.OBJECT, action="GetObjectACL"),
        ),
    },
}

# What the calls of these names are when a header names an object to take the bytes from.
COPIES = {
    "PutObject": _cos("PutObjectCopy", "PUT", copy_object, About.OBJECT, action="PutObject", acl_action=_OBJECT_ACL),
    "UploadPart": _cos("UploadPartCopy", "PUT", copy_part, About.OBJECT, action="UploadPart"),
}

# What names of the query begin with that ask for a changed picture in place of the object.
PICTURES = ("imageMogr2", "imageView2", "imageInfo", "imageAve", "watermark", "exif", "style", "pipeline")


def admit(call: Call) -> Operation:
    """The operation of a call. Who did not sign is not told which calls there are.

    Raises:
        ServiceError: InvalidUrl, MethodNotAllowed, NotImplemented; AccessDenied or MissingAuthorization: not signed.
    """
    try:
        return find(call)
    except ServiceError:
        if call.signer is None:
            raise unsigned(call.address.service) from None
        raise


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
    if CALLBACK_PATH.fullmatch(call.address.path) and any(name == CALLBACKS for name, _ in call.query):
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
