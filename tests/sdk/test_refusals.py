"""Every code of the error tables that a client can meet, as the official Python SDK reads it."""

import socket
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import md5
from typing import Any

import pytest
from qcloud_cos import CosS3Auth, CosS3Client, CosServiceError

from sdk.clients import send
from server import REGION, Server, new_room
from sordino import errors
from sordino.errors import ErrorKind
from support import job_body, start_service

TINY = {
    "SORDINO_WORKERS": "1",
    "SORDINO_QUEUE_MAX_SIZE": "1",
    "SORDINO_MAX_QUEUES": "1",
    "SORDINO_MAX_TEMPLATES": "1",
    "SORDINO_MAX_OBJECT_BYTES": "1000",
}
"""Settings of a server whose limits are soon met."""


@dataclass(frozen=True)
class Ground:
    """A server, and a fresh bucket on it."""

    service: Server
    bucket: str

    @cached_property
    def client(self) -> CosS3Client:
        """The SDK with the root key."""
        return self.service.client()

    def other(self, **change: str) -> CosS3Client:
        """The SDK with something wrong in its configuration."""
        client = self.service.client()
        for name, value in change.items():
            setattr(client._conf, name, value)
        return client

    @property
    def nameless(self) -> CosS3Client:
        """The SDK in the mode in which some of its calls name no bucket."""
        return self.service.client(IP="127.0.0.1", Port=self.service.port)

    def ci(self, method: str, path: str, body: bytes | None = None, **more: Any) -> object:
        """A CI request for which the SDK has no method."""
        return send(self.client, method, self.bucket, path, body=body, **more)

    def submit(self, **change: object) -> object:
        """Submit a job over an input that is not there."""
        return self.client.ci_create_media_jobs(Bucket=self.bucket, Jobs=job_body(self.bucket, "o") | change)

    def template(self, name: str) -> object:
        """Create a template."""
        body = {"Tag": "NoiseReduction", "Name": name, "NoiseReduction": ""}
        return self.client.ci_create_template(Bucket=self.bucket, Template=body)

    def put(self, key: str = "k", body: bytes = b"hello", **more: Any) -> object:
        """Upload an object."""
        return self.client.put_object(Bucket=self.bucket, Key=key, Body=body, **more)

    def copy(self, key: str) -> object:
        """Copy an object of the bucket."""
        source = {"Bucket": self.bucket, "Key": key, "Region": REGION}
        return self.client.copy_object(Bucket=self.bucket, Key="copy", CopySource=source)

    def pause(self) -> str:
        """Pause the bucket's queue; its id."""
        (queue,) = self.client.ci_get_asr_queue(Bucket=self.bucket)["QueueList"]
        request = {"Name": "q", "State": "Paused", "NotifyConfig": ""}
        self.client.ci_update_asr_queue(Bucket=self.bucket, QueueId=queue["QueueId"], Request=request)
        return queue["QueueId"]

    def signed(self, path: str, start: int, end: int) -> Callable[[Any], Any]:
        """Signs a path for the time from ``start`` to ``end``, seconds from now."""

        def sign(request: Any) -> Any:
            now, real = time.time(), time.time
            time.time = lambda: now + start + 60  # the SDK begins a minute earlier
            try:
                return CosS3Auth(self.client._conf, path, expire=end - start - 60)(request)
            finally:
                time.time = real

        return sign

    def raw(self, target: str, bucket: str = "") -> None:
        """Send a request that the SDK would not send, and raise what comes back as it would."""
        host = f"{bucket or self.bucket}.cos.{REGION}.myqcloud.com"
        head = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.service.port), timeout=60) as connection:
            connection.sendall(head.encode())
            connection.shutdown(socket.SHUT_WR)
            reply = b"".join(iter(lambda: connection.recv(65536), b""))
        top, _, content = reply.partition(b"\r\n\r\n")
        raise CosServiceError("RAW", content.decode(), int(top.split()[1]))


def _twice(call: Callable[[], object]) -> None:
    call()
    call()


def _two_templates(ground: Ground) -> None:
    for name in ("a", "b"):
        ground.template(name)


def _full_queue(ground: Ground) -> None:
    ground.pause()
    _twice(ground.submit)


def _closed(ground: Ground) -> None:
    ground.client.ci_close_asr_bucket(Bucket=ground.bucket)
    ground.submit()


def _twice_open(ground: Ground, path: str) -> None:
    """The first time takes over what came with the bucket."""
    _twice(lambda: ground.ci("POST", path))


def _expired(ground: Ground) -> None:
    ground.ci("GET", "/jobs", auth=ground.signed("/jobs", -1000, -500))


def _cos(ground: Ground, method: str = "GET", **more: Any) -> None:
    client = ground.client
    url = client._conf.uri(bucket=ground.bucket, path="k")
    client.send_request(method=method, url=url, bucket=ground.bucket, **({"headers": {}} | more))


def _full_bucket(ground: Ground) -> None:
    ground.put()
    ground.client.delete_bucket(Bucket=ground.bucket)


def _part(ground: Ground, **more: str) -> None:
    ground.put()
    ground.client.get_object(Bucket=ground.bucket, Key="k", **more)


def _complete(ground: Ground, *parts: tuple[int, bytes]) -> None:
    """Upload the parts 1 and 2 as they are given, and complete with the numbers that are."""
    place = {"Bucket": ground.bucket, "Key": "k"}
    place["UploadId"] = ground.client.create_multipart_upload(**place)["UploadId"]
    for number, body in enumerate((body for _, body in parts), 1):
        ground.client.upload_part(**place, PartNumber=number, Body=body)
    named = [{"PartNumber": number, "ETag": md5(body).hexdigest()} for number, body in parts]
    ground.client.complete_multipart_upload(**place, MultipartUpload={"Part": named})


Provoke = Callable[[Ground], object]

CI: tuple[tuple[ErrorKind, Provoke], ...] = (
    (errors.INVALID_ARGUMENT, lambda g: g.submit(Tag="Transcode")),
    (errors.MISSING_CONTENT, lambda g: g.ci("POST", "/jobs", b"")),
    (errors.INVALID_CONTENT, lambda g: g.ci("POST", "/jobs", b"<Request><Tag>")),
    (errors.INVALID_CONTENT, lambda g: g.ci("POST", "/jobs", b"<R/>", headers=_of_another(b"other"))),
    (errors.INVALID_CONTENT_TYPE, lambda g: g.ci("POST", "/jobs", b"{}", headers={"Content-Type": "application/json"})),
    (errors.CONTENT_TOO_LARGE, lambda g: g.ci("POST", "/jobs", b"<Request>" + b" " * 3_000_000 + b"</Request>")),
    (errors.INVALID_HOST, lambda g: g.nameless.ci_open_asr_bucket(Bucket=g.bucket)),
    (errors.INVALID_URL, lambda g: g.ci("GET", "/nothing")),
    (errors.METHOD_NOT_ALLOWED, lambda g: g.ci("DELETE", "/jobs")),
    (errors.MISSING_AUTHORIZATION, lambda g: g.other(_anonymous=True).ci_get_asr_queue(Bucket=g.bucket)),
    (errors.INVALID_AUTHORIZATION, lambda g: g.ci("GET", "/jobs", auth=_malformed)),
    (errors.SECRET_ID_NOT_EXIST, lambda g: g.other(_secret_id="AKIDnobody").ci_get_asr_queue(Bucket=g.bucket)),
    (errors.SIGNATURE_EXPIRED, _expired),
    (errors.CI_ACCESS_DENIED, lambda g: g.other(_secret_key="wrong").ci_get_asr_queue(Bucket=g.bucket)),
    (errors.QUEUE_NOT_FOUND, lambda g: g.submit(QueueId="p" + "0" * 32)),
    (errors.QUEUE_SATURATED, _full_queue),
    (
        errors.QUEUE_NUM_LIMIT,
        lambda g: g.ci("POST", "/asrqueue", b"<Request><Name>q</Name><State>Active</State><NotifyConfig/></Request>"),
    ),
    (errors.TEMPLATE_NOT_FOUND, lambda g: g.client.ci_delete_template(Bucket=g.bucket, TemplateId="t1none")),
    (errors.CREATED_TEMPLATE_NUM_LIMIT, _two_templates),
    (errors.BUCKET_ALREADY_BINDED, lambda g: _twice_open(g, "/asrbucket")),
    (errors.BUCKET_ALREADY_BINDED, lambda g: _twice_open(g, "/ai_bucket")),
    (errors.MEDIA_BUCKET_ALREADY_BINDED, lambda g: _twice_open(g, "/mediabucket")),
    (errors.MEDIA_BUCKET_UN_BINDED, _closed),
)
"""Codes of CI, and how each is met on a server of the ``TINY`` settings."""

COS: tuple[tuple[ErrorKind, Provoke], ...] = (
    (errors.NOT_IMPLEMENTED, lambda g: g.client.get_bucket_website(Bucket=g.bucket)),
    (errors.ACCESS_DENIED, lambda g: g.other(_anonymous=True).get_object(Bucket=g.bucket, Key="k")),
    (errors.INVALID_ACCESS_KEY_ID, lambda g: g.other(_secret_id="AKIDnobody").get_object(Bucket=g.bucket, Key="k")),
    (errors.SIGNATURE_DOES_NOT_MATCH, lambda g: g.other(_secret_key="wrong").get_object(Bucket=g.bucket, Key="k")),
    (errors.REQUEST_HAS_EXPIRED, lambda g: _cos(g, auth=g.signed("/k", -1000, -500))),
    (errors.REQUEST_TIME_TOO_SKEWED, lambda g: _cos(g, auth=g.signed("/k", 100_000, 200_000))),
    (errors.NO_SUCH_BUCKET, lambda g: g.client.list_objects(Bucket=f"ghost-{g.service.root_key.appid}")),
    (errors.NO_SUCH_KEY, lambda g: g.client.get_object(Bucket=g.bucket, Key="ghost")),
    (errors.NO_SUCH_COPY_SOURCE, lambda g: g.copy("ghost")),
    (errors.FILE_ALREADY_EXISTS, lambda g: _twice(lambda: g.put(Metadata={"x-cos-forbid-overwrite": "true"}))),
    (errors.NO_SUCH_CORS, lambda g: g.client.get_bucket_cors(Bucket=g.bucket)),
    (errors.NO_SUCH_BUCKET_POLICY, lambda g: g.client.get_bucket_policy(Bucket=g.bucket)),
    (errors.MALFORMED_POLICY, lambda g: g.client.put_bucket_policy(Bucket=g.bucket, Policy={"version": "1.0"})),
    (errors.NO_SUCH_UPLOAD, lambda g: g.client.list_parts(Bucket=g.bucket, Key="k", UploadId="ghost")),
    (errors.INVALID_PART, lambda g: _complete(g, (3, b"x"))),
    (errors.INVALID_PART_ORDER, lambda g: _complete(g, (2, b"x"), (1, b"x"))),
    (errors.ENTITY_TOO_SMALL, lambda g: _complete(g, (1, b"x"), (2, b"x"))),
    (errors.ENTITY_TOO_LARGE, lambda g: _complete(g, (1, b"x" * 1001))),
    (errors.BUCKET_ALREADY_OWNED_BY_YOU, lambda g: g.client.create_bucket(Bucket=g.bucket)),
    (errors.BUCKET_NOT_EMPTY, _full_bucket),
    (errors.INVALID_BUCKET_NAME, lambda g: g.raw("/", "under_score-1250000000")),
    (errors.KEY_TOO_LONG, lambda g: g.put("k" * 851)),
    (errors.ENTITY_TOO_LARGE, lambda g: g.put(body=b"x" * 1001)),
    (errors.BAD_DIGEST, lambda g: g.put(ContentMD5=_md5(b"other"))),
    (errors.INVALID_DIGEST, lambda g: g.put(ContentMD5="nonsense")),
    (errors.PRECONDITION_FAILED, lambda g: _part(g, IfMatch='"other"')),
    (errors.INVALID_RANGE, lambda g: _part(g, Range="bytes=9-")),
    (errors.INVALID_URI, lambda g: g.raw("/%zz")),
)
"""Codes of COS."""

ELSEWHERE = {
    "AccessForbidden": "answers browsers, which ask by themselves (tests/api/test_cors.py)",
    "BucketAlreadyExists": "is never met: a bucket's name ends with the APPID of its owner",
    "ExpiredToken": "needs a temporary key whose time is over (tests/security/test_matrix.py)",
    "SlowDown": "needs a limit, which the operator of a server sets (tests/security/test_rates.py)",
    "CIRoleNotExist": "needs an account without its role (test_roles.py)",
    "ResourceAccessDenied": "is the Code of a failed job (test_roles.py)",
    "NoSuchEntity": "answers operators (tests/contract/test_cam_operators.py)",
    "EntityAlreadyExists": "answers operators (tests/contract/test_cam_operators.py)",
    "EntityInUse": "answers operators (tests/contract/test_cam_operators.py)",
    "LimitExceeded": "answers operators (tests/contract/test_cam_operators.py)",
    "TooManyBuckets": "takes hundreds of buckets, or a server that allows few (tests/contract/test_bucket_store.py)",
    "TooManyUploads": "takes thousands of uploads, or a server that allows few (tests/api/test_storage.py)",
    "QuotaExceeded": "needs a quota, which the operator of a server sets (tests/api/test_storage.py)",
    "MissingContentMD5": "the SDK always sends it (test_objects_delete.py)",
    "IncompleteBody": "nobody is there to read it: the client has hung up (tests/security/test_limits.py)",
    "InternalError": "is a fault of the server",
    "ServiceUnavailable": "is a fault of the server's database or storage (tests/faults)",
    "MissingRequestBodyError": "the SDK always sends the body of a call that has one (tests/wire/test_part.py)",
    "MalformedXML": "the SDK sends well-formed XML (tests/wire/test_part.py)",
    "MissingContentLength": "the SDK and every client of HTTP/1.1 sends it (tests/security/test_bodies.py)",
    "RequestTimeOut": "takes half a minute of silence (tests/security/test_limits.py)",
    "ResourceNotFound": "is the Code of a failed job (test_python_sdk.py)",
    "ResourceDownloadFailed": "is the Code of a failed job when the storage fails (tests/contract)",
    "ResourceNotSupported": "is the Code of a failed job (test_python_sdk.py)",
    "WriteTargetBucketDenied": "is the Code of a failed job (test_python_sdk.py)",
    "TemplateNameDuplicate": "needs room for two templates (below)",
}
"""Codes that are not met here, and why."""


def _md5(content: bytes) -> str:
    return b64encode(md5(content).digest()).decode()


def _of_another(body: bytes) -> dict[str, str]:
    return {"Content-Type": "application/xml", "Content-MD5": _md5(body)}


def _malformed(request: Any) -> Any:
    request.headers["Authorization"] = "q-sign-algorithm=sha1"
    return request


@pytest.fixture(scope="module")
def tiny() -> Iterator[Server]:
    """A server of the ``TINY`` settings."""
    with new_room() as directory:
        running = start_service(directory / "data", **TINY)
        yield running
        assert running.stop() == 0


@pytest.fixture
def ground(tiny: Server) -> Ground:
    """A fresh bucket on the tiny server."""
    name = f"b{time.monotonic_ns()}-{tiny.root_key.appid}"
    tiny.client().create_bucket(Bucket=name)
    return Ground(tiny, name)


def test_every_code_is_met_or_explained() -> None:
    """The catalogue has no code of which nobody knows how a client meets it."""
    catalogue = {kind.code for kind in vars(errors).values() if isinstance(kind, ErrorKind)}
    met = {kind.code for kind, _ in (*CI, *COS)}
    assert met | set(ELSEWHERE) == catalogue
    assert not met & set(ELSEWHERE)


def check(refusal: CosServiceError, kind: ErrorKind) -> None:
    """Make sure that the SDK reads everything of a refusal."""
    assert (refusal.get_status_code(), refusal.get_error_code()) == (kind.status, kind.code)
    told = (refusal.get_resource_location(), refusal.get_request_id(), refusal.get_trace_id())
    assert not {"", "Unknown"} & set(told)
    assert len(refusal.get_error_msg()) > 10


@pytest.mark.parametrize(
    ("kind", "provoke"),
    [pytest.param(*row, id=f"{service} {row[0].code}") for service, rows in (("CI", CI), ("COS", COS)) for row in rows],
)
def test_refusal(ground: Ground, kind: ErrorKind, provoke: Provoke) -> None:
    """The SDK raises the status and code of the table, with message, resource, request id and trace id."""
    with pytest.raises(CosServiceError) as refusal:
        provoke(ground)
    check(refusal.value, kind)


def test_two_templates_of_one_name(service: Server, new_bucket: Callable[[], str]) -> None:
    """A name is given once in a bucket, on creating and on changing."""
    ground = Ground(service, new_bucket())
    ground.template("a")
    other = ground.template("b")
    with pytest.raises(CosServiceError) as refusal:
        ground.template("a")
    check(refusal.value, errors.TEMPLATE_NAME_DUPLICATE)
    body = {"Tag": "NoiseReduction", "Name": "a", "NoiseReduction": ""}
    with pytest.raises(CosServiceError) as refusal:
        ground.client.ci_update_template(
            Bucket=ground.bucket, TemplateId=other["Template"]["TemplateId"], Template=body
        )
    check(refusal.value, errors.TEMPLATE_NAME_DUPLICATE)
