"""What a mounted bucket makes of stores that answer otherwise than the one that the contract suite runs against."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from sordino.adapters import s3_client
from sordino.adapters.mounted import PART_BYTES, S3Bucket, try_mount
from sordino.adapters.s3_client import S3Client
from sordino.domain.bucket import Bucket
from sordino.domain.mount import Mount, NewObject, parse_location
from sordino.domain.ports import BlobStoreError
from sordino.errors import ServiceError
from sordino.storage.objects import ObjectStore

URL = "cos://music-1250000000"
HEAD = {"ETag": '"abc"', "Last-Modified": "Mon, 12 Oct 2009 17:50:30 GMT", "Content-Type": "audio/wav"}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two tries."""
    monkeypatch.setattr(s3_client, "PAUSES", (0.0, 0.0))


class Store:
    """A server that answers as it is told, one reply a request, the last one for ever; and remembers the requests."""

    def __init__(self, *replies: bytes) -> None:
        self.requests: list[str] = []
        self._replies = list(replies)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request a connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.requests.append(head)
        length = [line for line in head.lower().splitlines() if line.startswith("content-length:")]
        await reader.readexactly(int(length[0].partition(":")[2]) if length else 0)
        writer.write(self._replies.pop(0) if len(self._replies) > 1 else self._replies[0])
        await writer.drain()
        writer.close()

    @property
    def targets(self) -> list[str]:
        """The lines that the requests began with, without the version."""
        return [request.rpartition(" HTTP")[0] for request in self.requests]


def reply(status: int, headers: dict[str, str] | None = None, body: bytes = b"", *, length: int | None = None) -> bytes:
    """A reply as it goes over the wire."""
    said = {"Content-Length": str(len(body) if length is None else length), "Connection": "close", **(headers or {})}
    lines = [f"HTTP/1.1 {status} x", *(f"{name}: {value}" for name, value in said.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def error(status: int, code: str, more: str = "") -> bytes:
    """A refusal."""
    return reply(status, body=f"<Error><Code>{code}</Code>{more}</Error>".encode())


@asynccontextmanager
async def mounted_on(store: Store) -> AsyncIterator[S3Bucket]:
    """A bucket that is mounted on it."""
    async with await asyncio.start_server(store.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        location = parse_location(URL, f"http://127.0.0.1:{port}", "ap-beijing")
        async with aclosing(S3Client.open(location, "AKID", "secret")) as client:
            yield S3Bucket(bucket="music-1", client=client)


async def chunks(content: bytes = b"x") -> AsyncIterator[bytes]:
    """One chunk."""
    yield content


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("dir/", "/dir/"),
        ("a//b", "/a//b"),
        ("/lead", "//lead"),
        ("a/../b", "/a/../b"),
        (".", "/."),
        ("é +%?#&", "/%C3%A9%20%2B%25%3F%23%26"),
    ],
)
async def test_every_key_arrives(key: str, target: str) -> None:
    """Keys reach the store escaped, and otherwise as they are."""
    store = Store(reply(200, HEAD))
    async with mounted_on(store) as mounted:
        found = await mounted.head(key)
        await mounted.put(NewObject(key=key), chunks())
        await mounted.remove(key)
    assert found.key == key
    assert store.targets == [f"{method} /music-1250000000{target}" for method in ("HEAD", "PUT", "DELETE")]


async def test_a_list_of_any_keys() -> None:
    """One that no file system has does not spoil a list."""
    contents = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2009-10-12T17:50:30.000Z</LastModified>"
        '<ETag>"a"</ETag><Size>1</Size></Contents>'
        for key in ("%2Flead", "a/../b", "a//b", "a%01b", "dir/")
    )
    body = f"<ListBucketResult><EncodingType>url</EncodingType>{contents}</ListBucketResult>".encode()
    async with mounted_on(Store(reply(200, body=body))) as mounted:
        page = await mounted.list(prefix="", delimiter="", marker="", limit=1000)
    assert [stored.key for stored in page.objects] == ["/lead", "a/../b", "a//b", "a\x01b", "dir/"]
    assert page.next_marker is None


async def test_what_cos_tells() -> None:
    """Its own CRC-64 counts, and metadata and storage class under its own names."""
    own = {"x-cos-hash-crc64ecma": "7", "x-cos-meta-k": "v", "x-cos-storage-class": "ARCHIVE"}
    async with mounted_on(Store(reply(200, HEAD | own))) as mounted:
        found = await mounted.head("a")
    assert (found.crc64, found.metadata, found.storage_class) == (7, {"k": "v"}, "ARCHIVE")


@pytest.mark.parametrize("kept", ["", "many", "-1", str(2**64), "7"])
async def test_a_crc_that_is_none(kept: str) -> None:
    """What others wrote into the metadata is a CRC or is none, and is not shown."""
    async with mounted_on(Store(reply(200, HEAD | {"x-amz-meta-sordino-crc64": kept}))) as mounted:
        found = await mounted.head("a")
    assert (found.crc64, found.metadata) == (7 if kept == "7" else None, {})


async def test_a_store_that_is_busy_is_asked_again() -> None:
    """Twice, and then with success."""
    store = Store(error(503, "SlowDown"), error(500, "InternalError"), reply(200, HEAD))
    async with mounted_on(store) as mounted:
        assert (await mounted.head("a")).etag == "abc"
    assert len(store.requests) == 3


@pytest.mark.parametrize(
    "answer", [error(503, "SlowDown"), error(500, "InternalError"), b"not HTTP\r\n\r\n", reply(200, HEAD, length=5)]
)
async def test_outages(answer: bytes) -> None:
    """What a store cannot do now is told as an outage, however it says so."""
    async with mounted_on(Store(answer)) as mounted:
        with pytest.raises(BlobStoreError):
            await mounted.list(prefix="", delimiter="", marker="", limit=10)


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (error(404, "NoSuchKey"), 404, "NoSuchKey"),
        (error(404, "NoSuchBucket"), 404, "NoSuchBucket"),
        (error(403, "AccessDenied"), 403, "AccessDenied"),
        (error(403, "SignatureDoesNotMatch"), 403, "AccessDenied"),
        (error(400, "KeyTooLongError"), 400, "KeyTooLong"),
        (error(400, "EntityTooLarge"), 400, "EntityTooLarge"),
        (error(400, "InvalidStorageClass"), 400, "InvalidArgument"),
        (error(409, "OperationAborted"), 400, "InvalidArgument"),
        (reply(301), 400, "InvalidArgument"),
        (reply(418, body=b"<html>"), 400, "InvalidArgument"),
    ],
)
async def test_refusals(answer: bytes, status: int, code: str) -> None:
    """What a store refuses is no fault of this server, and is told with the store's own code."""
    async with mounted_on(Store(answer)) as mounted:
        with pytest.raises(ServiceError) as refusal:
            await mounted.put(NewObject(key="a"), chunks())
    assert (refusal.value.status, refusal.value.code) == (status, code)


@pytest.mark.parametrize(
    "answer",
    [
        reply(206, {"Content-Range": "bytes 1-4/9"}, b"ab", length=4),
        reply(206, {"Content-Range": "bytes 1-4/9"}, b"ab"),
        reply(200, body=b"abcdefghi"),
    ],
)
async def test_bytes_that_do_not_come(answer: bytes) -> None:
    """A reply that breaks off, is too short, or is the whole object in place of a part, is not taken for the bytes."""
    store = Store(reply(200, HEAD | {"Content-Length": "9"}), answer)
    async with mounted_on(store) as mounted:
        stored = await mounted.head("a")
        with pytest.raises(BlobStoreError):
            _ = [chunk async for chunk in mounted.read(stored, 1, 5)]
    assert "range: bytes=1-4" in store.requests[1]
    assert 'if-match: "abc"' in store.requests[1]


@pytest.mark.parametrize("body", [b"", b"<html>", b"<Error><Code>InternalError</Code></Error>", b"<CopyObjectResult/>"])
async def test_a_copy_that_was_none(body: bytes) -> None:
    """A copy that is refused in spite of its status 200 is none."""
    store = Store(reply(200, HEAD), reply(200, body=body))
    async with mounted_on(store) as mounted:
        source = await mounted.head("a")
        with pytest.raises(BlobStoreError):
            await mounted.copy(source, NewObject(key="b"))


async def test_a_bucket_of_another_region() -> None:
    """A mount says which one it is."""
    store = Store(error(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"))
    async with mounted_on(store) as mounted:
        mount = Mount(bucket="m-1", location=mounted.client.location, access_key_id="AKID", sealed="")
        fault = await try_mount(mount, "secret")
    assert fault == "The bucket music-1250000000 is in eu-west-1, not in ap-beijing: correct --region."


async def test_requests_are_signed() -> None:
    """For the bucket's region, with the key that the mount has; the secret goes nowhere."""
    store = Store(reply(200, HEAD))
    async with mounted_on(store) as mounted:
        await mounted.head("a")
    assert "authorization: AWS4-HMAC-SHA256 Credential=AKID/" in store.requests[0]
    assert "/ap-beijing/s3/aws4_request" in store.requests[0]
    assert "secret" not in store.requests[0]


async def test_an_upload_whose_completion_was_not_heard_of() -> None:
    """Asked again, the store knows no such upload: that is an outage, which is mended by trying again, and no 404."""
    begun = reply(200, body=b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
    part = reply(200, {"ETag": '"p"'})
    store = Store(begun, part, part, b"", error(404, "NoSuchUpload"))
    async with mounted_on(store) as mounted:
        with pytest.raises(BlobStoreError):
            await mounted.put(NewObject(key="a"), chunks(bytes(PART_BYTES + 1)))
    assert [target.partition(" ")[0] for target in store.targets] == ["POST", "PUT", "PUT", "POST", "POST", "DELETE"]


@dataclass
class OneMount:
    """A mount that is open."""

    mounted: S3Bucket

    async def open(self, bucket: Bucket) -> S3Bucket:
        """The bucket."""
        return self.mounted


async def test_deleting_many_while_the_store_is_away() -> None:
    """It is told as any outage is, whatever number of deletions met it."""
    bucket = Bucket(name="music-1", region="r", appid="1", created_at=datetime.now(UTC), mounted=True)
    async with mounted_on(Store(error(503, "SlowDown"))) as mounted:
        objects = ObjectStore(database=None, blobs=None, clock=None, mounts=OneMount(mounted))
        with pytest.raises(BlobStoreError):
            await objects.remove_many(bucket, ["a", "b", "c"])
