"""Uploads of whole objects: what is kept beside the bytes, what is checked, and which keys there are."""

import io
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import md5
from urllib.parse import quote

import pytest
from fastcrc import crc64
from qcloud_cos import CosS3Client, CosServiceError

from raw_http import authorization, host_of, refusal, send
from server import Server

KEPT = {
    "CacheControl": "no-cache, max-age=60",
    "ContentDisposition": "attachment; filename=\"a b.wav\"; filename*=UTF-8''%E4%B8%AD.wav",
    "ContentEncoding": "gzip",
    "ContentLanguage": "zh-CN",
    "Expires": "Thu, 01 Dec 2033 16:00:00 GMT",
    "ContentType": "audio/wav; rate=16000",
}
SENT_AS = {
    "CacheControl": "Cache-Control",
    "ContentDisposition": "Content-Disposition",
    "ContentEncoding": "Content-Encoding",
    "ContentLanguage": "Content-Language",
    "Expires": "Expires",
    "ContentType": "Content-Type",
}


@pytest.fixture
def client(service: Server) -> CosS3Client:
    """The SDK with the root key."""
    return service.client()


@pytest.fixture
def bucket(new_bucket: Callable[[], str]) -> str:
    """An empty bucket."""
    return new_bucket()


def content(client: CosS3Client, bucket: str, key: str) -> bytes:
    """The bytes of an object, as they are."""
    return client.get_object(Bucket=bucket, Key=key)["Body"].get_raw_stream().read(decode_content=False)


def test_headers_that_are_kept(client: CosS3Client, bucket: str) -> None:
    """They come back as they went, with HEAD and with GET; an upload without them leaves none of the one before."""
    client.put_object(Bucket=bucket, Key="k", Body=b"hello", **KEPT)
    for reply in (client.head_object(Bucket=bucket, Key="k"), client.get_object(Bucket=bucket, Key="k")):
        assert {name: reply[SENT_AS[name]] for name in KEPT} == KEPT
    client.put_object(Bucket=bucket, Key="k", Body=b"hello")
    head = client.head_object(Bucket=bucket, Key="k")
    assert not set(SENT_AS.values()) - {"Content-Type"} & set(head)


def test_metadata_of_any_script(client: CosS3Client, bucket: str) -> None:
    """The SDK sends values as the bytes of UTF-8, and gets the same bytes back."""
    client.put_object(Bucket=bucket, Key="k", Body=b"", Metadata={"x-cos-meta-Name": "中文 🎧 é", "x-cos-meta-b": "1"})
    head = client.head_object(Bucket=bucket, Key="k")
    assert head["x-cos-meta-name"].encode("latin-1").decode() == "中文 🎧 é"
    assert head["x-cos-meta-b"] == "1"


@pytest.mark.parametrize(("size", "status"), [(2048, 200), (2049, 400)])
def test_metadata_has_two_kilobytes(service: Server, bucket: str, size: int, status: int) -> None:
    """Names and values count together, without the prefix."""
    headers = {"x-cos-meta-a": "v" * 1023, "x-cos-meta-b": "v" * (size - 1025)}
    answer = send(service, "PUT", "/k", bucket=bucket, headers=headers)
    assert answer[0] == status
    if status == 400:
        assert "2048" in refusal(answer[2])["Message"]


@pytest.mark.parametrize(
    ("word", "shown"), [("STANDARD", None), ("standard_ia", "STANDARD_IA"), ("MAZ_STANDARD", "MAZ_STANDARD")]
)
def test_storage_classes(client: CosS3Client, bucket: str, word: str, shown: str | None) -> None:
    """The class is told again, in HEAD unless it is the usual one, and in lists."""
    client.put_object(Bucket=bucket, Key="k", Body=b"", StorageClass=word)
    assert client.head_object(Bucket=bucket, Key="k").get("x-cos-storage-class") == shown
    assert client.list_objects(Bucket=bucket)["Contents"][0]["StorageClass"] == word.upper()


def test_headers_of_no_effect(service: Server, bucket: str) -> None:
    """Limits of the line, and what an SDK says of itself, change nothing."""
    headers = {"x-cos-traffic-limit": "819200", "x-cos-sdk-retry": "true", "x-cos-mfa": "1", "Origin-Agent": "x"}
    assert send(service, "PUT", "/k", bucket=bucket, body=b"hello", headers=headers)[0] == 200


def test_digests(client: CosS3Client, bucket: str) -> None:
    """ETag, CRC and Content-MD5 are those of the bytes, of a stream of many megabytes, too."""
    body = bytes(range(256)) * (20 << 12)
    reply = client.put_object(Bucket=bucket, Key="k", Body=io.BytesIO(body), EnableMD5=True)
    assert reply["ETag"] == f'"{md5(body).hexdigest()}"'
    assert reply["x-cos-hash-crc64ecma"] == str(crc64.xz(body))
    assert content(client, bucket, "k") == body


def generated() -> Iterator[bytes]:
    """A body without a length, which the SDK sends in chunks."""
    yield from (b"a" * 70_000, b"b", b"c" * 300_000)


def test_a_body_in_chunks(client: CosS3Client, bucket: str) -> None:
    """A body of unknown length is an upload as any other."""
    client.put_object(Bucket=bucket, Key="k", Body=generated())
    assert content(client, bucket, "k") == b"".join(generated())


def raw(service: Server, bucket: str, head: Mapping[str, str], *bodies: bytes) -> tuple[bytes, bytes]:
    """Send a PUT of /k by hand, awaiting a reply before the body; both replies."""
    host = host_of(bucket)
    fields = {"Host": host, "Authorization": authorization(service, "PUT", "/k", host), "Connection": "close", **head}
    text = "PUT /k HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(text.encode())
        first = connection.recv(65536)
        for body in bodies if first.startswith(b"HTTP/1.1 100") else ():
            connection.sendall(body)
        return first, b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_client_that_asks_first(service: Server, client: CosS3Client, bucket: str) -> None:
    """It is told to go on, sends, and has uploaded; where something is wrong it is told so in place of that."""
    asking = {"Content-Length": "5", "Expect": "100-continue"}
    first, second = raw(service, bucket, asking, b"hel", b"lo")
    assert first.startswith(b"HTTP/1.1 100")
    assert second.startswith(b"HTTP/1.1 200")
    assert content(client, bucket, "k") == b"hello"
    first, _ = raw(service, bucket, asking | {"x-cos-forbid-overwrite": "true"})
    assert first.startswith(b"HTTP/1.1 409")
    first, _ = raw(service, bucket, {"Content-Length": str(6 << 30), "Expect": "100-continue"})
    assert first.startswith(b"HTTP/1.1 400")
    assert content(client, bucket, "k") == b"hello"


def test_a_damaged_stream(service: Server, client: CosS3Client, bucket: str) -> None:
    """An object that is there survives an upload whose bytes are not those of its Content-MD5."""
    client.put_object(Bucket=bucket, Key="k", Body=b"hello")
    wrong = b64encode(md5(b"other").digest()).decode()
    answer = send(service, "PUT", "/k", bucket=bucket, body=b"hallo", headers={"Content-MD5": wrong})
    assert refusal(answer[2])["Code"] == "BadDigest"
    assert content(client, bucket, "k") == b"hello"


def test_of_uploads_that_may_replace_nothing_one_wins(service: Server, client: CosS3Client, bucket: str) -> None:
    """Of a crowd at once one is stored, and the others are told that there is one."""

    def upload(number: int) -> int:
        body, headers = str(number).encode() * 50_000, {"x-cos-forbid-overwrite": "true"}
        return send(service, "PUT", "/k", bucket=bucket, body=body, headers=headers)[0]

    with ThreadPoolExecutor(8) as crowd:
        statuses = list(crowd.map(upload, range(8)))
    assert sorted(statuses) == [200] + [409] * 7
    assert content(client, bucket, "k") == str(statuses.index(200)).encode() * 50_000


KEYS = [
    "a b+c.txt",
    "+",
    "%",
    "%25",
    "%2F",
    "100%",
    "d//e",
    "//",
    "f/../g",
    "..",
    ".",
    "./a",
    "a/.",
    "trail/",
    "中文/声音.wav",
    "emoji-🎧",
    "h?i&j=k",
    "semi;colon",
    "hash#tag",
    "quote\"'",
    "<xml>&amp;",
    "back\\slash",
    "tab\tnewline\n",
    "\x01control\x7f",
    "\ufeff\u200b\ufffe",
    "~*'()!$@,:=[]{}|^`",
    "jobs/talk.wav",
    "jobs/a/b",
    "queue/2026/talk.wav",
    "template/x.json",
    "mediabucket/x",
    "healthz",
    "cors",
    "k" * 850,
    "声" * 283 + "x",
]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: ascii(key)[:24])
def test_keys(service: Server, client: CosS3Client, bucket: str, key: str) -> None:
    """A key of any characters is uploaded, found, listed, copied and deleted as it is, raw and by the SDK."""
    target = "/" + quote(key, safe="")
    signed = {"Authorization": authorization(service, "PUT", f"/{key}", host_of(bucket))}
    assert send(service, "PUT", target, bucket=bucket, body=b"raw", signed=False, headers=signed)[0] == 200
    assert [entry["Key"] for entry in client.list_objects(Bucket=bucket)["Contents"]] == [key]
    # The SDK takes a leading slash away, and what it is built on resolves a last segment of dots.
    if not key.startswith("/") and key.rpartition("/")[2] not in (".", ".."):
        assert client.head_object(Bucket=bucket, Key=key)["Content-Length"] == "3"
        client.put_object(Bucket=bucket, Key=key, Body=b"by the SDK")
        reply = client.get_object(Bucket=bucket, Key=key, KeySimplifyCheck=False)
        assert reply["Body"].get_raw_stream().read() == b"by the SDK"
    headers = {"x-cos-copy-source": f"/{bucket}{target}"}
    assert send(service, "PUT", "/copy", bucket=bucket, headers=headers)[0] == 200
    signed = {"Authorization": authorization(service, "DELETE", f"/{key}", host_of(bucket))}
    assert send(service, "DELETE", target, bucket=bucket, signed=False, headers=signed)[0] == 204
    assert [entry["Key"] for entry in client.list_objects(Bucket=bucket)["Contents"]] == ["copy"]


@pytest.mark.parametrize("key", ["k" * 851, "声" * 283 + "xx"])
def test_keys_that_are_too_long(client: CosS3Client, bucket: str, key: str) -> None:
    """A key of 851 bytes is refused, however few characters it has."""
    with pytest.raises(CosServiceError) as refusal:
        client.put_object(Bucket=bucket, Key=key, Body=b"")
    assert (refusal.value.get_status_code(), refusal.value.get_error_code()) == (400, "KeyTooLong")
