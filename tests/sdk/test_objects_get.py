"""Downloads: ranges, conditions, headers on request, files in parts and signed URLs."""

import hashlib
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from qcloud_cos import CosS3Client, CosServiceError

from raw_http import refusal, send
from server import REGION, Server

ETAG = '"5d41402abc4b2a76b9719d911017c592"'
OF_ITS_OWN = {"Date", "x-cos-request-id"}
"""Headers that differ from reply to reply."""
LONG_AGO, LONG_FROM_NOW = "Sat, 01 Jan 2000 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"


@pytest.fixture
def client(service: Server) -> CosS3Client:
    """The SDK with the root key."""
    return service.client()


@pytest.fixture
def bucket(client: CosS3Client, new_bucket: Callable[[], str]) -> str:
    """A bucket with an object of five bytes."""
    name = new_bucket()
    client.put_object(Bucket=name, Key="a b", Body=b"hello", ContentType="audio/wav", CacheControl="no-cache")
    return name


@pytest.mark.parametrize(
    ("asked", "got", "told"),
    [
        ("bytes=0-0", b"h", "bytes 0-0/5"),
        ("bytes=1-3", b"ell", "bytes 1-3/5"),
        ("bytes=3-", b"lo", "bytes 3-4/5"),
        ("bytes=-2", b"lo", "bytes 3-4/5"),
        ("bytes=3-99", b"lo", "bytes 3-4/5"),
        ("bytes=0-1,3-4", b"hello", None),
        ("lines=1-2", b"hello", None),
    ],
)
def test_ranges(client: CosS3Client, bucket: str, asked: str, got: bytes, told: str | None) -> None:
    """A part is what was asked for, with the size of the whole; ETag and CRC are the whole object's."""
    reply = client.get_object(Bucket=bucket, Key="a b", Range=asked)
    assert reply["Body"].get_raw_stream().read() == got
    assert (reply.get("Content-Range"), reply["Content-Length"]) == (told, str(len(got)))
    assert (reply["ETag"], reply["x-cos-hash-crc64ecma"]) == (ETAG, "11177612005948864433")
    assert reply["Accept-Ranges"] == "bytes"


def test_a_range_of_an_empty_object(client: CosS3Client, bucket: str) -> None:
    """There is no byte to give."""
    client.put_object(Bucket=bucket, Key="empty", Body=b"")
    with pytest.raises(CosServiceError) as refused:
        client.get_object(Bucket=bucket, Key="empty", Range="bytes=0-")
    assert (refused.value.get_status_code(), refused.value.get_error_code()) == (416, "InvalidRange")
    assert client.get_object(Bucket=bucket, Key="empty")["Body"].get_raw_stream().read() == b""


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ({"IfMatch": ETAG}, 200),
        ({"IfMatch": '"other", ' + ETAG}, 200),
        ({"IfMatch": "*"}, 200),
        ({"IfMatch": '"other"'}, 412),
        ({"IfNoneMatch": '"other"'}, 200),
        ({"IfNoneMatch": ETAG}, 304),
        ({"IfModifiedSince": LONG_AGO}, 200),
        ({"IfModifiedSince": LONG_FROM_NOW}, 304),
        ({"IfUnmodifiedSince": LONG_FROM_NOW}, 200),
        ({"IfUnmodifiedSince": LONG_AGO}, 412),
        ({"IfMatch": ETAG, "IfUnmodifiedSince": LONG_AGO}, 200),
        ({"IfNoneMatch": '"other"', "IfModifiedSince": LONG_FROM_NOW}, 200),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["get_object", "head_object"])
def test_conditions(client: CosS3Client, bucket: str, method: str, condition: dict[str, str], status: int) -> None:
    """An object is sent while the condition holds; what is not modified has headers and no body."""
    call = getattr(client, method)
    if status == 412:
        with pytest.raises(CosServiceError) as refused:
            call(Bucket=bucket, Key="a b", **condition)
        assert refused.value.get_status_code() == 412
        return
    reply = call(Bucket=bucket, Key="a b", **condition)
    assert reply["ETag"] == ETAG
    if method == "get_object":
        assert reply["Body"].get_raw_stream().read() == (b"hello" if status == 200 else b"")


def test_headers_on_request(client: CosS3Client, bucket: str) -> None:
    """A download may have other headers than the object; what is not asked for stays."""
    asked = {
        "ResponseContentType": "text/plain; charset=utf-8",
        "ResponseContentLanguage": "zh-CN",
        "ResponseExpires": LONG_FROM_NOW,
        "ResponseContentDisposition": 'attachment; filename="b.txt"',
        "ResponseContentEncoding": "identity",
    }
    reply = client.get_object(Bucket=bucket, Key="a b", **asked)
    told = {f"Response{name.replace('-', '')}": value for name, value in reply.items() if isinstance(value, str)}
    assert {name: told[name] for name in asked} == asked
    assert reply["Cache-Control"] == "no-cache"
    assert client.get_object(Bucket=bucket, Key="a b")["Content-Type"] == "audio/wav"


def test_an_empty_version(client: CosS3Client, bucket: str) -> None:
    """Clients that know no version send an empty one."""
    assert client.head_object(Bucket=bucket, Key="a b", VersionId="")["ETag"] == ETAG


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, (3 << 20) + 7])
def test_files(client: CosS3Client, bucket: str, tmp_path: Path, size: int) -> None:
    """A file goes up and comes down in one piece or in parts, and its checksum holds."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes((hashlib.sha256(b"seed").digest() * (size // 32 + 1))[:size])
    client.put_object_from_local_file(Bucket=bucket, Key="file", LocalFilePath=str(source))
    client.download_file(Bucket=bucket, Key="file", DestFilePath=str(target), PartSize=1, EnableCRC=True)
    assert target.read_bytes() == source.read_bytes()


def test_a_small_file(client: CosS3Client, bucket: str, tmp_path: Path) -> None:
    """What fits into one part is one upload, whose ETag is its MD5."""
    source = tmp_path / "source"
    source.write_bytes(b"hello")
    assert client.upload_file(Bucket=bucket, Key="file", LocalFilePath=str(source), EnableMD5=True)["ETag"] == ETAG


def fetch(service: Server, method: str, url: str, body: bytes | None = None, **headers: str) -> tuple[int, Any, bytes]:
    """What a plain client gets for a URL of the cloud, its host being this server."""
    parts = urllib.parse.urlsplit(url)
    target = f"{service.url}{parts.path}?{parts.query}"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(target, body, {"Host": parts.netloc, **named}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, reply.headers, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_signed_urls(service: Server, client: CosS3Client, bucket: str) -> None:
    """An object is written, looked at, read and deleted by who has no key."""
    key = "to/中 文+.wav"

    def sign(method: str, **more: Mapping[str, str]) -> str:
        return client.get_presigned_url(bucket, key, method, **more)

    assert fetch(service, "PUT", sign("PUT"), b"hello", Content_Type="audio/wav")[0] == 200
    status, headers, body = fetch(service, "HEAD", sign("HEAD"))
    assert (status, headers["ETag"], headers["Content-Length"], body) == (200, ETAG, "5", b"")
    assert fetch(service, "GET", sign("GET"))[2] == b"hello"
    assert fetch(service, "GET", client.get_presigned_download_url(bucket, key), Range="bytes=1-2")[2] == b"el"
    assert fetch(service, "DELETE", sign("DELETE"))[0] == 204
    assert not client.object_exists(Bucket=bucket, Key=key)


def test_signed_parameters(service: Server, client: CosS3Client, bucket: str) -> None:
    """A parameter that was signed counts, and cannot be changed on the way."""
    params = {"response-content-type": "text/plain", "response-content-disposition": 'attachment; filename="x y"'}
    url = client.get_presigned_url(bucket, "a b", "GET", Params=params)
    _, headers, body = fetch(service, "GET", url)
    assert (headers["Content-Type"], headers["Content-Disposition"], body) == (*params.values(), b"hello")
    status, _, body = fetch(service, "GET", url.replace("text%2Fplain", "text%2Fhtml"))
    assert (status, refusal(body)["Code"]) == (403, "SignatureDoesNotMatch")


def test_signed_headers(service: Server, client: CosS3Client, bucket: str) -> None:
    """A header that was signed must be sent as it was."""
    headers = {"Content-Type": "audio/wav", "x-cos-forbid-overwrite": "true"}
    url = client.get_presigned_url(bucket, "new", "PUT", Headers=headers)
    assert fetch(service, "PUT", url, b"hello", Content_Type="audio/wav")[0] == 403
    assert fetch(service, "PUT", url, b"hello", Content_Type="text/html", x_cos_forbid_overwrite="true")[0] == 403
    for status in (200, 409):
        sent = fetch(service, "PUT", url, b"hello", Content_Type="audio/wav", x_cos_forbid_overwrite="true")
        assert sent[0] == status


def test_signed_urls_make_no_other_call(service: Server, client: CosS3Client, bucket: str) -> None:
    """Who holds a URL for an upload can neither copy with it nor open what is there, unless that was signed."""
    client.put_object(Bucket=bucket, Key="secret", Body=b"secret")
    copied = {"x-cos-copy-source": f"{bucket}.cos.{REGION}.myqcloud.com/secret"}
    url = client.get_presigned_url(bucket, "drop", "PUT")
    status, _, body = fetch(service, "PUT", url, x_cos_acl="public-read", x_cos_copy_source=copied["x-cos-copy-source"])
    assert (status, refusal(body)["Code"]) == (403, "AccessDenied")
    url = client.get_presigned_url(bucket, "secret", "PUT")
    status, _, body = fetch(service, "PUT", f"{url}&acl", x_cos_acl="public-read")
    assert (status, refusal(body)["Code"]) == (403, "AccessDenied")
    assert not client.object_exists(Bucket=bucket, Key="drop")
    assert client.get_object_acl(Bucket=bucket, Key="secret")["CannedACL"] == "default"
    url = client.get_presigned_url(bucket, "drop", "PUT", Headers=copied)
    assert fetch(service, "PUT", url, x_cos_copy_source=copied["x-cos-copy-source"])[0] == 200
    assert client.get_object(Bucket=bucket, Key="drop")["Body"].get_raw_stream().read() == b"secret"
    url = client.get_presigned_url(bucket, "drop", "PUT", Params={"acl": ""})
    assert fetch(service, "PUT", url, x_cos_acl="public-read")[0] == 200


def test_signed_urls_are_for_one_thing(service: Server, client: CosS3Client, bucket: str) -> None:
    """A URL is good for its method, its key and its time alone."""
    url = client.get_presigned_url(bucket, "a b", "GET")
    assert fetch(service, "PUT", url, b"x")[0] == 403
    assert fetch(service, "GET", url.replace("a%20b", "b%20a"))[0] == 403
    real = time.time
    try:
        time.time = lambda: real() - 1000
        late = client.get_presigned_url(bucket, "a b", "GET", Expired=300)
    finally:
        time.time = real
    status, _, body = fetch(service, "GET", late)
    assert (status, refusal(body)["Message"]) == (403, "Request has expired")


def test_head_has_what_get_has(service: Server, bucket: str) -> None:
    """The two differ in the body alone."""
    send(service, "PUT", "/k", bucket=bucket, body=b"hello", headers={"x-cos-meta-a": "1"})
    replies = [send(service, method, "/k", bucket=bucket) for method in ("GET", "HEAD")]
    shown = [{name: value for name, value in headers.items() if name not in OF_ITS_OWN} for _, headers, _ in replies]
    assert shown[0] == shown[1]
    assert [body for _, _, body in replies] == [b"hello", b""]
