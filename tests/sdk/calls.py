"""Every call of the official SDKs that this product answers, and in which way of addressing each can be driven.

The tests of this directory are made from this table: a row without a test fails, so that its figures are those of the
tests. ``python tests/sdk/calls.py`` prints them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Sdk(StrEnum):
    """An official client. The first three run in the tests; of the others the exact requests are sent."""

    PYTHON = "cos-python-sdk-v5"
    NODE = "cos-nodejs-sdk-v5"
    COSCMD = "coscmd"
    GO = "cos-go-sdk-v5"
    JAVA = "cos-java-sdk-v5"
    PHP = "cos-php-sdk-v5"


class Mode(StrEnum):
    """How a client is pointed at the server."""

    PROXY = "proxy"
    """The server is the client's proxy for plain HTTP: absolute-form targets with the host names of the cloud."""
    PATH = "path-style"
    """The bucket is the first segment of the path."""
    IP = "IP"
    """The server's address, with the host names of the cloud in ``Host``."""
    DNS = "wildcard DNS"
    """Host names of one's own that lead to the server, with its port."""
    HTTP = "raw HTTP"
    """The bytes that the SDK would write, with the host names of the cloud."""
    TLS = "raw HTTPS"
    """The same over TLS."""


RUN = (Sdk.PYTHON, Sdk.NODE, Sdk.COSCMD)
"""The SDKs that run here."""

MODES: Mapping[Sdk, tuple[Mode, ...]] = MappingProxyType(
    {
        Sdk.PYTHON: (Mode.PROXY, Mode.PATH, Mode.IP, Mode.DNS),
        Sdk.NODE: (Mode.PROXY, Mode.PATH, Mode.IP),
        Sdk.COSCMD: (Mode.PROXY, Mode.DNS),
        Sdk.GO: (Mode.HTTP, Mode.TLS),
        Sdk.JAVA: (Mode.HTTP, Mode.TLS),
        Sdk.PHP: (Mode.HTTP, Mode.TLS),
    }
)
"""The ways that an SDK has."""

_EVERYWHERE: Mapping[Mode, str] = MappingProxyType({})
_NO_BUCKET: Mapping[Mode, str] = MappingProxyType(
    {Mode.IP: "the SDK names the bucket nowhere in the request: its Host is the server's address"}
)
_NO_ENDPOINT: Mapping[Mode, str] = MappingProxyType(
    {Mode.PATH: "the SDK sends nothing: beside a domain it keeps no endpoint to name the source by"}
)
_HTTPS_ONLY: Mapping[Mode, str] = MappingProxyType({Mode.HTTP: "the SDK speaks to CI over HTTPS only"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of an SDK.

    Attributes:
        sdk: whose.
        name: of the method or command.
        request: what it sends.
        refused: the code with which the server refuses it in every mode; empty where it answers.
        impossible: the modes that cannot carry it, each with the reason.
    """

    sdk: Sdk
    name: str
    request: str
    refused: str = ""
    impossible: Mapping[Mode, str] = field(default_factory=dict)

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The ways of its SDK."""
        return MODES[self.sdk]

    def works(self, mode: Mode) -> bool:
        """Whether the tests drive it to a good end in that mode."""
        return not self.refused and mode not in self.impossible


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How many calls of an SDK do what in one mode."""

    sdk: Sdk
    mode: Mode
    driven: int
    refused: int
    impossible: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.driven + self.refused + self.impossible


def _calls(sdk: Sdk, request_of: Mapping[str, str], impossible: Mapping[Mode, str] = _EVERYWHERE) -> Iterator[Call]:
    for name, request in request_of.items():
        yield Call(sdk=sdk, name=name, request=request, impossible=impossible)


_PYTHON_CI = {
    "ci_create_media_jobs": "POST /jobs",
    "ci_get_media_jobs": "GET /jobs/<ids>",
    "ci_list_media_jobs": "GET /jobs",
    "ci_cancel_jobs": "PUT /jobs/<id>?cancel",
    "ci_get_asr_job": "GET /asr_jobs/<ids>",
    "ci_list_asr_jobs": "GET /asr_jobs",
    "ci_create_template": "POST /template",
    "ci_update_template": "PUT /template/<id>",
    "ci_get_template": "GET /template",
    "ci_delete_template": "DELETE /template/<id>",
    "ci_get_asr_queue": "GET /asrqueue",
    "ci_update_asr_queue": "PUT /asrqueue/<id>",
    "ci_get_media_queue": "GET /queue",
    "ci_update_media_queue": "PUT /queue/<id>",
    "ci_get_ai_queue": "GET /ai_queue",
    "ci_update_ai_queue": "PUT /ai_queue/<id>",
    "ci_get_asr_bucket": "GET /asrbucket",
    "ci_get_ai_bucket": "GET /ai_bucket",
    "ci_get_media_bucket": "GET /mediabucket",
    "ci_get_bucket": "GET /mediabucket",
}
_PYTHON_SWITCHES = {
    "ci_open_asr_bucket": "POST /asrbucket",
    "ci_close_asr_bucket": "DELETE /asrbucket",
    "ci_open_ai_bucket": "POST /ai_bucket",
    "ci_close_ai_bucket": "DELETE /ai_bucket",
}
_PYTHON_COS = {
    "list_buckets": "GET /",
    "create_bucket": "PUT /",
    "head_bucket": "HEAD /",
    "bucket_exists": "HEAD /",
    "delete_bucket": "DELETE /",
    "list_objects": "GET /",
    "put_object": "PUT /<key>",
    "put_object_from_local_file": "PUT /<key>",
    "upload_file": "PUT /<key>, of a file of one part",
    "get_object": "GET /<key>",
    "download_file": "HEAD and GET /<key>",
    "head_object": "HEAD /<key>",
    "object_exists": "HEAD /<key>",
    "delete_object": "DELETE /<key>",
    "delete_objects": "POST /?delete",
    "copy_object": "PUT /<key>, of another object",
    "copy": "HEAD and PUT /<key>, of another object",
    "upload_part_copy": "PUT /<key>?partNumber&uploadId, of another object",
    "get_bucket_location": "GET /?location",
    "create_multipart_upload": "POST /<key>?uploads",
    "upload_part": "PUT /<key>?partNumber&uploadId",
    "list_parts": "GET /<key>?uploadId",
    "list_multipart_uploads": "GET /?uploads",
    "complete_multipart_upload": "POST /<key>?uploadId",
    "abort_multipart_upload": "DELETE /<key>?uploadId",
    "upload_file_from_buffer": "a multipart upload",
    "put_bucket_acl": "PUT /?acl",
    "get_bucket_acl": "GET /?acl",
    "put_object_acl": "PUT /<key>?acl",
    "get_object_acl": "GET /<key>?acl",
    "put_bucket_cors": "PUT /?cors",
    "get_bucket_cors": "GET /?cors",
    "delete_bucket_cors": "DELETE /?cors",
    "put_bucket_policy": "PUT /?policy",
    "get_bucket_policy": "GET /?policy",
    "delete_bucket_policy": "DELETE /?policy",
}
_PYTHON_COPIES = {
    "change_object_storage_class": "PUT /<key>, of itself",
    "update_object_meta": "PUT /<key>, of itself",
}
_PYTHON_URLS = {
    "get_presigned_url": "GET /<key>, signed in the query",
    "get_presigned_download_url": "GET /<key>, signed in the query",
}
_NODE = {
    "getService": "GET /",
    "putBucket": "PUT /",
    "headBucket": "HEAD /",
    "getBucket": "GET /",
    "deleteBucket": "DELETE /",
    "putObject": "PUT /<key>",
    "headObject": "HEAD /<key>",
    "getObject": "GET /<key>",
    "getObjectUrl": "GET /<key>, signed in the query",
    "uploadFile": "PUT /<key>, of a file below SliceSize",
    "deleteObject": "DELETE /<key>",
    "deleteMultipleObject": "POST /?delete",
    "putObjectCopy": "PUT /<key>, of another object",
    "uploadPartCopy": "PUT /<key>?partNumber&uploadId, of another object",
    "sliceCopyFile": "HEAD /<key>, and an upload of copied parts",
    "getBucketLocation": "GET /?location",
    "getObjectUrl PUT": "PUT /<key>, signed in the query",
    "multipartInit": "POST /<key>?uploads",
    "multipartUpload": "PUT /<key>?partNumber&uploadId",
    "multipartListPart": "GET /<key>?uploadId",
    "multipartList": "GET /?uploads",
    "multipartComplete": "POST /<key>?uploadId",
    "multipartAbort": "DELETE /<key>?uploadId",
    "sliceUploadFile": "a multipart upload, gone on with",
    "uploadFiles": "multipart uploads",
    "putBucketAcl": "PUT /?acl",
    "getBucketAcl": "GET /?acl",
    "putObjectAcl": "PUT /<key>?acl",
    "getObjectAcl": "GET /<key>?acl",
    "putBucketCors": "PUT /?cors",
    "getBucketCors": "GET /?cors",
    "deleteBucketCors": "DELETE /?cors",
    "putBucketPolicy": "PUT /?policy",
    "getBucketPolicy": "GET /?policy",
    "deleteBucketPolicy": "DELETE /?policy",
    "optionsObject": "OPTIONS /<key>",
    "request createJob": "POST /jobs",
    "request describeJob": "GET /jobs/<ids>",
    "request listJobs": "GET /jobs",
    "request cancelJob": "PUT /jobs/<id>?cancel",
    "request createTemplate": "POST /template",
    "request updateTemplate": "PUT /template/<id>",
    "request describeTemplates": "GET /template",
    "request deleteTemplate": "DELETE /template/<id>",
    "request describeQueues": "GET /asrqueue",
    "request updateQueue": "PUT /asrqueue/<id>",
    "request openService": "POST /asrbucket",
    "request describeServices": "GET /asrbucket",
    "request closeService": "DELETE /asrbucket",
}
_COSCMD = {
    "createbucket": "PUT /",
    "upload": "PUT /<key>, and a multipart upload",
    "listparts": "GET /?uploads",
    "abort": "GET /?uploads and DELETE /<key>?uploadId",
    "list": "GET /",
    "info": "HEAD /<key>",
    "download": "HEAD and GET /<key>",
    "signurl": "GET /<key>, signed in the query",
    "delete": "DELETE /<key>",
    "delete -r": "GET / and POST /?delete",
    "copy": "HEAD and PUT /<key>, of another object",
    "copy -r": "GET /, HEAD and PUT /<key>",
    "move": "HEAD, PUT and DELETE /<key>",
    "putbucketacl": "GET and PUT /?acl",
    "getbucketacl": "GET /?acl",
    "putobjectacl": "GET and PUT /<key>?acl",
    "getobjectacl": "GET /<key>?acl",
    "deletebucket": "DELETE /",
}
_GO = {
    "Object.Put": "PUT /<key>",
    "Object.Copy": "PUT /<key>, of another object",
    "Object.DeleteMulti": "POST /?delete",
    "Object.InitiateMultipartUpload": "POST /<key>?uploads",
    "Object.UploadPart": "PUT /<key>?partNumber&uploadId",
    "Object.ListParts": "GET /<key>?uploadId",
    "Object.CompleteMultipartUpload": "POST /<key>?uploadId",
    "Object.AbortMultipartUpload": "DELETE /<key>?uploadId",
    "Object.ListUploads": "GET /?uploads",
    "CI.CreateMediaJobs": "POST /jobs",
    "CI.CreateMultiMediaJobs": "POST /jobs",
    "CI.DescribeMediaJob": "GET /jobs/<id>",
    "CI.DescribeMultiMediaJob": "GET /jobs/<ids>",
    "CI.DescribeMediaJobs": "GET /jobs",
    "CI.CancelJob": "PUT /jobs/<id>?cancel",
    "CI.CreateNoiseReductionTemplate": "POST /template",
    "CI.UpdateNoiseReductionTemplate": "PUT /template/<id>",
    "CI.DescribeMediaTemplate": "GET /template",
    "CI.DeleteMediaTemplate": "DELETE /template/<id>",
    "CI.DescribeASRProcessQueues": "GET /asrqueue",
    "CI.UpdateMediaProcessQueue": "PUT /queue/<id>",
    "CI.CreateASRProcessBucket": "POST /asrbucket",
    "CI.DescribeASRProcessBuckets": "GET /asrbucket",
}
_JAVA = {
    "createMediaJobs": "POST /jobs",
    "describeMediaJob": "GET /jobs/<id>",
    "describeMediaJobs": "GET /jobs",
    "cancelMediaJob": "PUT /jobs/<id>",
    "describeMediaQueues": "GET /queue",
}
_PHP = {
    "createMediaNoiseReductionJobs": "POST /jobs",
    "describeMediaJob": "GET /jobs/<id>",
    "createMediaNoiseReductionTemplate": "POST /template",
    "updateMediaNoiseReductionTemplate": "PUT /template/<id>",
    "getAsrQueueList": "GET /asrqueue",
    "openAsrService": "POST /asrbucket",
}

CALLS: tuple[Call, ...] = (
    *_calls(Sdk.PYTHON, _PYTHON_CI),
    *_calls(Sdk.PYTHON, _PYTHON_SWITCHES | _PYTHON_URLS, _NO_BUCKET),
    *_calls(Sdk.PYTHON, _PYTHON_COS),
    *_calls(Sdk.PYTHON, _PYTHON_COPIES, _NO_ENDPOINT),
    Call(sdk=Sdk.PYTHON, name="ci_create_asr_job", request="POST /asr_jobs", refused="InvalidArgument"),
    *_calls(Sdk.NODE, _NODE),
    *_calls(Sdk.COSCMD, _COSCMD),
    *_calls(Sdk.GO, _GO),
    *_calls(Sdk.JAVA, _JAVA),
    *_calls(Sdk.PHP, _PHP, _HTTPS_ONLY),
    Call(sdk=Sdk.PHP, name="getObjectUrl", request="GET /<key>, signed in the query"),
)


def of(sdk: Sdk) -> tuple[Call, ...]:
    """The calls of an SDK."""
    return tuple(call for call in CALLS if call.sdk is sdk)


def figures(calls: Iterable[Call] = CALLS) -> tuple[Figures, ...]:
    """The figures of each SDK and mode, in the order of ``Sdk`` and ``MODES``."""
    rows = tuple(calls)
    return tuple(
        _figures(tuple(call for call in rows if call.sdk is sdk), sdk, mode) for sdk in Sdk for mode in MODES[sdk]
    )


def _figures(calls: tuple[Call, ...], sdk: Sdk, mode: Mode) -> Figures:
    return Figures(
        sdk=sdk,
        mode=mode,
        driven=sum(call.works(mode) for call in calls),
        refused=sum(bool(call.refused) for call in calls),
        impossible=sum(mode in call.impossible and not call.refused for call in calls),
    )


def lines() -> Iterator[str]:
    """The figures as a table for the terminal."""
    yield f"{'SDK':<20}{'addressing':<14}{'driven':>8}{'refused':>9}{'impossible':>12}{'of':>5}"
    for row in figures():
        yield f"{row.sdk:<20}{row.mode:<14}{row.driven:>8}{row.refused:>9}{row.impossible:>12}{row.total:>5}"


if __name__ == "__main__":
    print("\n".join(lines()))
