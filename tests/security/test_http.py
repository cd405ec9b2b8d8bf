"""What hostile and careless clients send: each gets a complete refusal, never a 5xx, a stack trace or a hang."""

import hashlib
import http.client
import socket
import time
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest

from raw_http import authorization as authorization_of
from raw_http import host_of, refusal, send
from server import Server

JOB = b"<Request><Tag>NoiseReduction</Tag><Input><Object>a</Object></Input></Request>"


@pytest.mark.parametrize(
    ("kind", "status", "code"), [("cos", 403, "AccessDenied"), ("ci", 401, "MissingAuthorization")]
)
def test_unsigned(service: Server, new_bucket: Callable[[], str], kind: str, status: int, code: str) -> None:
    """An unsigned request is refused in the words of the service it asks."""
    answer = send(service, "GET", "/k", bucket=new_bucket(), kind=kind, signed=False)
    assert (answer[0], refusal(answer[2])["Code"]) == (status, code)


@pytest.mark.parametrize(
    ("kind", "status", "code"), [("cos", 403, "SignatureDoesNotMatch"), ("ci", 401, "AccessDenied")]
)
def test_wrong_secret(service: Server, new_bucket: Callable[[], str], kind: str, status: int, code: str) -> None:
    """A signature made with another key does not match."""
    answer = send(service, "GET", "/k", bucket=new_bucket(), kind=kind, secret_key="x" * 32)
    assert (answer[0], refusal(answer[2])["Code"]) == (status, code)


@pytest.mark.parametrize(
    ("kind", "shift", "status", "code"),
    [
        ("cos", timedelta(hours=-2), 403, "AccessDenied"),
        ("cos", timedelta(hours=2), 403, "RequestTimeTooSkewed"),
        ("ci", timedelta(hours=-2), 401, "SignatureExpired"),
        ("ci", timedelta(hours=2), 401, "SignatureExpired"),
    ],
)
def test_out_of_its_time(service: Server, new_bucket: Callable[[], str], kind, shift, status, code) -> None:
    """A signature that is too old or too new is refused; COS's words let the Node SDK correct its clock."""
    answer = send(service, "GET", "/k", bucket=new_bucket(), kind=kind, shift=shift)
    told = refusal(answer[2])
    assert (answer[0], told["Code"]) == (status, code)
    if code == "AccessDenied":
        assert told["Message"] == "Request has expired"


def test_small_skew_is_forgiven(service: Server, new_bucket: Callable[[], str]) -> None:
    """A client two minutes ahead is answered."""
    assert send(service, "HEAD", "/", bucket=new_bucket(), shift=timedelta(minutes=2))[0] == 200


@pytest.mark.parametrize(("kind", "path"), [("cos", "/k"), ("ci", "/jobs/j1")])
def test_a_bucket_that_does_not_exist(service: Server, kind: str, path: str) -> None:
    """A bucket that is not there is told so to a signer that is known, and to no other."""
    missing = f"missing-{service.root_key.appid}"
    answer = send(service, "GET", path, bucket=missing, kind=kind)
    assert (answer[0], refusal(answer[2])["Code"]) == (404, "NoSuchBucket")
    assert send(service, "GET", path, bucket=missing, kind=kind, secret_key="x" * 32)[0] in (401, 403)


def test_signature_of_another_request(service: Server, new_bucket: Callable[[], str]) -> None:
    """A signature does not carry over to another path, method or host."""
    bucket, other = new_bucket(), new_bucket()
    fields = {"Authorization": authorization_of(service, "GET", "/a", host_of(bucket))}
    for method, path, target in (("GET", "/b", bucket), ("PUT", "/a", bucket), ("GET", "/a", other)):
        answer = send(service, method, path, bucket=target, signed=False, headers=fields)
        assert refusal(answer[2])["Code"] == "SignatureDoesNotMatch"
    assert refusal(send(service, "GET", "/a", bucket=bucket, signed=False, headers=fields)[2])["Code"] == "NoSuchKey"


@pytest.mark.parametrize(
    "authorization",
    ["Bearer token", "q-sign-algorithm=md5", "q-ak=x&q-ak=x", "q-sign-algorithm=sha1&q-ak=%00", "=&=&=", "A" * 9000],
)
@pytest.mark.parametrize("kind", ["cos", "ci"])
def test_malformed_authorization(service: Server, new_bucket: Callable[[], str], kind: str, authorization: str) -> None:
    """Nonsense in Authorization is a 4xx with a code."""
    answer = send(
        service,
        "GET",
        "/jobs/j1",
        bucket=new_bucket(),
        kind=kind,
        signed=False,
        headers={"Authorization": authorization},
    )
    assert answer[0] in (400, 401)
    assert refusal(answer[2])["Code"] in ("InvalidArgument", "InvalidAuthorization")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not xml",
        b"<Request>",
        b"<?xml version='1.0'?><!DOCTYPE r [<!ENTITY a 'aaaaaaaaaa'>]><Request>&a;</Request>",
        b"<!DOCTYPE r SYSTEM 'file:///etc/passwd'><Request/>",
        b"<a>" * 100_000,
        b"<Request " + b" ".join(b"a%d='1'" % n for n in range(60_000)) + b"/>",
        b"<Request>" + b"\x00" + b"</Request>",
        b"\xff\xfe<\x00R\x00/\x00>\x00",
        b"<Other/>",
        JOB,
        b"x" * (2 << 20),
    ],
    ids=lambda body: f"{body[:12]!r}-{len(body)}",
)
def test_hostile_job_bodies(service: Server, new_bucket: Callable[[], str], body: bytes) -> None:
    """Broken, huge, nested and entity-laden XML is refused with a code, quickly."""
    answer = send(service, "POST", "/jobs", bucket=new_bucket(), kind="ci", body=body)
    assert 400 <= answer[0] < 500
    assert refusal(answer[2])["Code"] in ("MissingContent", "InvalidContent", "InvalidArgument")


@pytest.mark.parametrize(
    ("target", "status"),
    [("/%zz", 400), ("/%ff", 400), ("/a%00b", 400), ("/" + "k" * 851, 400), ("/%2e%2e/etc/passwd", 404), ("//", 404)],
)
def test_odd_keys(service: Server, new_bucket: Callable[[], str], target: str, status: int) -> None:
    """Keys are decoded strictly and never normalised into something else."""
    bucket = new_bucket()
    signature = authorization_of(service, "GET", unquote(target, errors="replace"), host_of(bucket))
    answer = send(service, "GET", target, bucket=bucket, signed=False, headers={"Authorization": signature})
    assert answer[0] == status
    refusal(answer[2])


@pytest.mark.parametrize(
    ("kind", "method", "path", "status", "code"),
    [
        ("ci", "GET", "/nothing", 404, "InvalidUrl"),
        ("ci", "DELETE", "/jobs", 405, "MethodNotAllowed"),
        ("cos", "PATCH", "/k", 405, "MethodNotAllowed"),
        ("ci", "GET", "/jobs/" + ",".join(f"j{n}" for n in range(11)), 400, "InvalidArgument"),
        ("cos", "PUT", "/k?tagging", 501, "NotImplemented"),
        *(("ci", "DELETE", f"/{path}/{'x' * 129}", 400, "InvalidArgument") for path in ("template", "asrqueue")),
        ("ci", "GET", f"/jobs/{'x' * 129}?callbacks", 400, "InvalidArgument"),
    ],
)
def test_wrong_calls(service: Server, new_bucket: Callable[[], str], kind, method, path, status, code) -> None:
    """Unknown paths, wrong methods and sub-resources get their own codes."""
    answer = send(service, method, path, bucket=new_bucket(), kind=kind)
    assert (answer[0], refusal(answer[2])["Code"]) == (status, code)


def test_sub_resource_does_not_overwrite(service: Server, new_bucket: Callable[[], str]) -> None:
    """``PUT /k?acl`` is not a plain PUT of the object."""
    bucket = new_bucket()
    send(service, "PUT", "/k", bucket=bucket, body=b"precious")
    send(service, "PUT", "/k?acl", bucket=bucket, body=b"<AccessControlPolicy/>")
    assert send(service, "GET", "/k", bucket=bucket)[2] == b"precious"


def test_upload_faults(service: Server, new_bucket: Callable[[], str]) -> None:
    """A wrong digest, a body cut short and a missing length leave no object."""
    bucket = new_bucket()
    wrong = send(service, "PUT", "/k", bucket=bucket, body=b"a", headers={"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="})
    assert refusal(wrong[2])["Code"] == "BadDigest"
    malformed = send(service, "PUT", "/k", bucket=bucket, body=b"a", headers={"Content-MD5": "zz"})
    assert refusal(malformed[2])["Code"] == "InvalidDigest"
    _cut_upload(service, bucket)
    assert send(service, "HEAD", "/k", bucket=bucket)[0] == 404


def _cut_upload(service: Server, bucket: str) -> None:
    """Announce 1000 bytes, send 10, hang up."""
    host = host_of(bucket)
    fields = {"Host": host, "Authorization": authorization_of(service, "PUT", "/k", host), "Content-Length": "1000"}
    head = "PUT /k HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(f"{head}\r\n0123456789".encode())
    time.sleep(0.5)


def test_early_refusal_reaches_a_client_that_is_sending(service: Server, new_bucket: Callable[[], str]) -> None:
    """The reply to a large upload with a bad signature arrives instead of a broken connection."""
    answer = send(service, "PUT", "/k", bucket=new_bucket(), body=b"x" * (20 << 20), secret_key="wrong" * 6)
    assert refusal(answer[2])["Code"] == "SignatureDoesNotMatch"


def test_headers_in_canonical_case(service: Server, new_bucket: Callable[[], str]) -> None:
    """Header names come in the case that the official Python SDK looks them up in."""
    bucket = new_bucket()
    _, headers, _ = send(service, "PUT", "/k", bucket=bucket, body=b"hello")
    assert {"ETag", "Content-Length", "Date", "Server", "x-cos-request-id", "x-cos-hash-crc64ecma"} <= set(headers)
    assert headers["x-cos-hash-crc64ecma"] == "11177612005948864433"
    assert headers["Server"] == "tencent-cos"
    _, headers, _ = send(service, "GET", "/jobs/j1", bucket=bucket, kind="ci")
    assert headers["Content-Type"] == "application/xml"
    assert headers["Server"] == "tencent-ci"
    assert "x-ci-request-id" in headers


def test_conditions(service: Server, new_bucket: Callable[[], str]) -> None:
    """304 and 412 as RFC 9110 has them, 416 outside the object."""
    bucket = new_bucket()
    etag = send(service, "PUT", "/k", bucket=bucket, body=b"hello")[1]["ETag"]
    cases = [
        ({"If-None-Match": etag}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-Match": '"other"'}, 412),
        ({"If-Match": etag}, 200),
        ({"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}, 304),
        ({"If-Unmodified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}, 412),
        ({"Range": "bytes=9-"}, 416),
        ({"Range": "bytes=-2"}, 206),
        ({"Range": "lines=1-2"}, 200),
        ({"Range": "bytes=0-1", "If-Range": etag}, 206),
        ({"Range": "bytes=0-1", "If-Range": '"other"'}, 200),
        ({"If-Modified-Since": f"Fri, 01 Jan {'9' * 30} 00:00:00 GMT"}, 200),
    ]
    for headers, status in cases:
        assert send(service, "GET", "/k", bucket=bucket, headers=headers)[0] == status, headers


def test_health(service: Server) -> None:
    """The probes need no signature, and do not shadow objects of the same name."""
    assert send(service, "GET", "/healthz", signed=False)[0] == 200
    assert send(service, "GET", "/readyz", signed=False)[0] == 200


def test_objects_named_like_probes(service: Server, new_bucket: Callable[[], str]) -> None:
    """A bucket may hold an object ``healthz``."""
    bucket = new_bucket()
    send(service, "PUT", "/healthz", bucket=bucket, body=b"mine")
    assert send(service, "GET", "/healthz", bucket=bucket)[2] == b"mine"


def test_refusals_carry_their_headers(service: Server, new_bucket: Callable[[], str]) -> None:
    """405 tells the methods there are, 416 the size of the object."""
    bucket = new_bucket()
    send(service, "PUT", "/k", bucket=bucket, body=b"hello")
    assert "DELETE" in send(service, "PATCH", "/k", bucket=bucket)[1]["Allow"]
    outside = send(service, "GET", "/k", bucket=bucket, headers={"Range": "bytes=9-"})
    assert outside[1]["Content-Range"] == "bytes */5"


@pytest.mark.parametrize("name", ["x-cos-meta-a", "Range", "Content-MD5", "x-cos-acl", "If-Match", "Origin"])
def test_repeated_headers(service: Server, new_bucket: Callable[[], str], name: str) -> None:
    """Which of two values of a header would count is not guessed."""
    answer = send(service, "PUT", "/k", bucket=new_bucket(), headers={name: ["private", "private"]})
    assert (answer[0], refusal(answer[2])["Code"]) == (400, "InvalidArgument")


def test_headers_we_do_not_read_may_repeat(service: Server, new_bucket: Callable[[], str]) -> None:
    """Proxies add such headers."""
    headers = {"Via": ["1.1 a", "1.1 b"], "Accept": ["a/b", "c/d"]}
    assert send(service, "PUT", "/k", bucket=new_bucket(), headers=headers)[0] == 200


@pytest.mark.parametrize(("value", "status"), [("false", 200), ("", 200), ("true", 409), ("yes", 400)])
def test_forbid_overwrite(service: Server, new_bucket: Callable[[], str], value: str, status: int) -> None:
    """Only ``true`` keeps an object from being replaced, and what is no answer is refused."""
    bucket, headers = new_bucket(), {"x-cos-forbid-overwrite": value}
    first, second = (send(service, "PUT", "/k", bucket=bucket, headers=headers, body=body) for body in (b"1", b"2"))
    assert (first[0], second[0]) == (400 if status == 400 else 200, status)
    if status == 409:
        assert refusal(second[2])["Code"] == "FileAlreadyExists"
        assert send(service, "GET", "/k", bucket=bucket)[2] == b"1"


def test_reply_header_with_white_space(service: Server, new_bucket: Callable[[], str]) -> None:
    """A ``response-*`` value with white space around it is refused; it used to end the connection."""
    bucket = new_bucket()
    send(service, "PUT", "/k", bucket=bucket, body=b"hello")
    answer = send(service, "GET", "/k?response-cache-control=%20a", bucket=bucket)
    assert refusal(answer[2])["Code"] == "InvalidArgument"


def test_digest_of_a_job(service: Server, new_bucket: Callable[[], str]) -> None:
    """The body of a job must be that of its Content-MD5; past this check the sample lacks its Operation."""
    bucket = new_bucket()
    digest = b64encode(hashlib.md5(JOB).digest()).decode()
    for value, hint in ((digest, "Operation"), ("AAAAAAAAAAAAAAAAAAAAAA==", "Content-MD5"), ("zz", "Content-MD5")):
        answer = send(service, "POST", "/jobs", bucket=bucket, kind="ci", body=JOB, headers={"Content-MD5": value})
        told = refusal(answer[2])
        assert (answer[0], told["Code"]) == (400, "InvalidArgument" if hint == "Operation" else "InvalidContent")
        assert hint in told["Message"]


def test_too_many_parameters(service: Server, new_bucket: Callable[[], str]) -> None:
    """A query of thousands of parameters is refused."""
    answer = send(service, "GET", "/?" + "&".join(["a"] * 5000), bucket=new_bucket())
    assert (answer[0], refusal(answer[2])["Code"]) == (400, "InvalidArgument")


def test_pages_of_buckets(service: Server, new_bucket: Callable[[], str]) -> None:
    """``marker`` and ``max-keys`` walk through the account's buckets, each once and in order."""
    made = {new_bucket() for _ in range(3)}
    found: list[str] = []
    marker: str | None = ""
    while marker is not None:
        page = ET.fromstring(send(service, "GET", f"/?max-keys=2&marker={marker}")[2])
        names = [name.text or "" for name in page.findall("Buckets/Bucket/Name")]
        assert 1 <= len(names) <= 2
        assert page.findtext("IsTruncated") == ("true" if page.findtext("NextMarker") else "false")
        found, marker = found + names, page.findtext("NextMarker")
    assert found == sorted(set(found))
    assert made <= set(found)


@pytest.mark.parametrize(
    "raw", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nA: " + b"x" * 70000]
)
def test_what_is_no_http(service: Server, raw: bytes) -> None:
    """Malformed HTTP gets a complete refusal too, and the connection ends."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(raw)
        reply = http.client.HTTPResponse(connection)
        reply.begin()
        told = refusal(reply.read())
        assert (reply.status, told["Code"]) == (400, "InvalidArgument")
        assert reply.headers["Content-Type"] == "application/xml"
        assert reply.headers["x-cos-request-id"] == told["RequestId"]
        assert reply.headers["Date"]
        assert reply.headers["Server"] == "tencent-cos"
