"""What a mounted bucket promises, in an S3 server that is not ours."""

import asyncio
import gc
import hashlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing

import obstore
import pytest

from seaweed import S3Server
from sordino.adapters.mounted import MAX_PART_BYTES, MAX_PARTS, PART_BYTES, S3Bucket, try_mount
from sordino.adapters.s3_client import S3Client
from sordino.domain.bucket import StoredObject
from sordino.domain.mount import Location, Mount, NewObject, parse_location
from sordino.domain.ports import BlobNotFoundError, BlobStoreError
from sordino.errors import ServiceError
from support import free_port

BUCKET = "music-1250000000"
CHUNK = 100_000
MIB = 1 << 20


@pytest.fixture(params=["", "/deep/er"])
def location(request: pytest.FixtureRequest, s3_server: S3Server, s3_bucket: str) -> Location:
    """Of a whole bucket, and of a part of one."""
    return parse_location(f"s3://{s3_bucket}{request.param}", s3_server.endpoint)


@pytest.fixture
async def mounted(s3_server: S3Server, location: Location) -> AsyncIterator[S3Bucket]:
    """An empty one."""
    async with aclosing(S3Client.open(location, s3_server.access_key_id, s3_server.secret)) as client:
        yield S3Bucket(bucket=BUCKET, client=client)


async def stream(chunks: Iterable[bytes], error: Exception | None = None) -> AsyncIterator[bytes]:
    """The chunks, then the error if there is one."""
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk
    if error is not None:
        raise error


async def put(mounted: S3Bucket, key: str, content: bytes = b"x", **said: object) -> StoredObject:
    """Write an object."""
    pieces = [content[at : at + CHUNK] for at in range(0, len(content), CHUNK)]
    return await mounted.put(NewObject(key=key, **said), stream(pieces))


async def whole(mounted: S3Bucket, stored: StoredObject) -> bytes:
    """The bytes of an object."""
    return b"".join([chunk async for chunk in mounted.read(stored, 0, stored.size)])


async def test_keeps_all_that_is_said(mounted: S3Bucket) -> None:
    """Bytes, digests, type, headers and metadata come back; what we add to the metadata does not."""
    headers = {
        "Cache-Control": "no-cache",
        "Content-Disposition": 'attachment; filename="a  b.wav"',
        "Content-Language": "de",
        "Expires": "Wed, 21 Oct 2030 07:28:00 GMT",
    }
    metadata = {"k": "v 1*'()~", "x-y": "z"}
    new = NewObject(key="a/b.wav", content_type="audio/wav; x=1", headers=headers, metadata=metadata)
    made = await mounted.put(new, stream([b"hel", b"", b"lo"]))
    found = await mounted.head("a/b.wav")
    assert (found.size, found.etag, found.crc64) == (5, hashlib.md5(b"hello").hexdigest(), 11177612005948864433)
    assert (found.content_type, found.headers, found.metadata) == (new.content_type, headers, metadata)
    assert (made.size, made.etag, made.crc64, made.bucket) == (found.size, found.etag, found.crc64, BUCKET)
    assert await whole(mounted, found) == b"hello"


async def test_objects_of_others_have_no_crc(mounted: S3Bucket, s3_server: S3Server, location: Location) -> None:
    """What others wrote is there, under the same key below the prefix; its CRC is not known, and is not made up."""
    await obstore.put_async(s3_server.store(location.bucket), f"{location.prefix}theirs", b"hello")
    found = await mounted.head("theirs")
    assert (found.size, found.crc64) == (5, None)
    await put(mounted, "ours", b"hi")
    got = await obstore.get_async(s3_server.store(location.bucket), f"{location.prefix}ours")
    assert bytes(await got.bytes_async()) == b"hi"


@pytest.mark.parametrize("content", [b"", b"0123456789"])
async def test_reads_ranges(mounted: S3Bucket, content: bytes) -> None:
    """Every range inside the object is the slice of its bytes."""
    await put(mounted, "a", content)
    stored = await mounted.head("a")
    for start in range(len(content) + 1):
        for end in range(start, len(content) + 1):
            assert b"".join([chunk async for chunk in mounted.read(stored, start, end)]) == content[start:end]


async def test_reads_what_was_looked_up(mounted: S3Bucket) -> None:
    """An object that was replaced since it was looked up is not read in its place, nor one that was deleted."""
    stored = await put(mounted, "a", b"old")
    await put(mounted, "a", b"new")
    with pytest.raises(BlobNotFoundError):
        await whole(mounted, stored)
    await mounted.remove("a")
    with pytest.raises(BlobNotFoundError):
        await whole(mounted, stored)


async def test_a_reader_that_goes_away_frees_its_connection(mounted: S3Bucket) -> None:
    """However many begin to read and do not come to the end, no connection stays taken."""
    stored = await put(mounted, "big", bytes(MIB))
    for _ in range(20):
        async with aclosing(mounted.read(stored, 0, stored.size)) as body:
            assert await anext(body)
        reading = mounted.read(stored, 0, stored.size)
        assert await anext(reading)
        del reading  # as who forgets to close it
    while any(not connection.is_idle() for connection in mounted.client.pool.connections):
        gc.collect()
        await asyncio.sleep(0.01)
    assert await whole(mounted, stored) == bytes(MIB)


@pytest.mark.parametrize("size", [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 2 * PART_BYTES + 12345])
async def test_keeps_objects_of_several_parts(mounted: S3Bucket, size: int) -> None:
    """An object around and above the size of a part comes back whole, with what was said of it."""
    content = (bytes(range(251)) * (size // 251 + 1))[:size]
    made = await put(mounted, "big", content, metadata={"k": "v"}, md5=hashlib.md5(content).hexdigest(), size=size)
    found = await mounted.head("big")
    assert (found.size, found.etag, found.metadata) == (size, made.etag, {"k": "v"})
    assert await whole(mounted, found) == content


@pytest.mark.parametrize("parts", [0, 1, 3])
async def test_nothing_stays_when_the_stream_fails(mounted: S3Bucket, s3_server: S3Server, parts: int) -> None:
    """The stream's own error passes through; neither object nor upload in parts is left."""
    error = ConnectionResetError("the client went away")
    with pytest.raises(ConnectionResetError) as raised:
        await mounted.put(NewObject(key="a"), stream([bytes(PART_BYTES)] * parts + [b"x"], error))
    assert raised.value is error
    await _is_missing(mounted, "a")
    assert await s3_server.unfinished(mounted.client.location.bucket) == 0


@pytest.mark.parametrize("size", [5, PART_BYTES + 5])
async def test_nothing_stays_of_other_bytes(mounted: S3Bucket, s3_server: S3Server, size: int) -> None:
    """Bytes that are not those of the MD5 are refused before they are an object."""
    with pytest.raises(ServiceError) as refusal:
        await put(mounted, "a", bytes(size), md5=hashlib.md5(b"others").hexdigest())
    assert refusal.value.code == "BadDigest"
    await _is_missing(mounted, "a")
    assert await s3_server.unfinished(mounted.client.location.bucket) == 0


async def test_nothing_stays_when_the_writer_is_cancelled(mounted: S3Bucket, s3_server: S3Server) -> None:
    """A put that is cancelled in the middle leaves no upload in parts."""
    written = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(PART_BYTES)
        written.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(mounted.put(NewObject(key="a"), endless()))
    await written.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert await s3_server.unfinished(mounted.client.location.bucket) == 0


async def test_refuses_what_no_store_takes(mounted: S3Bucket) -> None:
    """An object that would need more memory a part than it is given is refused before its first byte."""
    with pytest.raises(ServiceError) as refusal:
        await put(mounted, "a", size=MAX_PART_BYTES * MAX_PARTS + 1)
    assert refusal.value.code == "EntityTooLarge"


async def _is_missing(mounted: S3Bucket, key: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        await mounted.head(key)
    assert refusal.value.code == "NoSuchKey"


async def test_removes(mounted: S3Bucket) -> None:
    """A removed object is gone, its neighbour stays, and removing it again is quiet."""
    await put(mounted, "a")
    await put(mounted, "b")
    await mounted.remove("a")
    await mounted.remove("a")
    await _is_missing(mounted, "a")
    assert (await mounted.head("b")).size == 1


async def test_copies(mounted: S3Bucket) -> None:
    """A copy has the bytes and CRC of its source, and what is said of it alone; a source that changed is not copied."""
    source = await put(mounted, "dir ü/a", b"hello", metadata={"old": "1"}, headers={"Cache-Control": "no-cache"})
    made = await mounted.copy(source, NewObject(key="b", metadata={"new": "2"}, content_type="audio/wav"))
    found = await mounted.head("b")
    assert (found.metadata, found.headers, found.content_type) == ({"new": "2"}, {}, "audio/wav")
    assert (found.etag, found.crc64, found.size) == (made.etag, made.crc64, 5) == (source.etag, source.crc64, 5)
    assert await whole(mounted, found) == b"hello"
    await put(mounted, "dir ü/a", b"changed")
    with pytest.raises(ServiceError) as refusal:
        await mounted.copy(source, NewObject(key="c"))
    assert refusal.value.code == "NoSuchCopySource"


async def test_copies_onto_itself(mounted: S3Bucket) -> None:
    """An object may be copied onto itself, to say something else of it."""
    source = await put(mounted, "a", b"hello", metadata={"old": "1"})
    await mounted.copy(source, NewObject(key="a", metadata={"new": "2"}))
    found = await mounted.head("a")
    assert (found.metadata, found.crc64) == ({"new": "2"}, source.crc64)
    assert await whole(mounted, found) == b"hello"


KEYS = ["a&<b>.txt", "b/1", "b/2", "b/c/3", "d e+f%g", "h ü/1", "i", "é ü😀"]


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    ("prefix", "delimiter", "expected"),
    [
        ("", "", KEYS),
        ("", "/", ["a&<b>.txt", "b/", "d e+f%g", "h ü/", "i", "é ü😀"]),
        ("b", "", ["b/1", "b/2", "b/c/3"]),
        ("b/", "/", ["b/1", "b/2", "b/c/"]),
        ("nothing", "/", []),
    ],
)
async def test_lists(mounted: S3Bucket, limit: int, prefix: str, delimiter: str, expected: list[str]) -> None:
    """Pages of any size tell each key and each common prefix once, in the order of UTF-8 bytes."""
    for key in KEYS:
        await put(mounted, key)
    found, marker = [], ""
    for _ in range(2 * len(KEYS)):
        page = await mounted.list(prefix=prefix, delimiter=delimiter, marker=marker, limit=limit)
        assert len(page.objects) + len(page.prefixes) <= limit
        found += sorted([*(stored.key for stored in page.objects), *page.prefixes], key=str.encode)
        if page.next_marker is None:
            break
        marker = page.next_marker
    assert found == expected


async def test_lists_what_is_known(mounted: S3Bucket) -> None:
    """A list tells size, ETag and time as the object itself does."""
    await put(mounted, "a", b"hello")
    (listed,) = (await mounted.list(prefix="", delimiter="", marker="", limit=10)).objects
    found = await mounted.head("a")
    assert (listed.size, listed.etag, listed.last_modified) == (5, found.etag, found.last_modified)


@pytest.mark.parametrize("key", ["a/../b", "./a", ".."])
async def test_keys_that_the_store_refuses(mounted: S3Bucket, key: str) -> None:
    """A key that the other store does not take is the client's mistake, and is told with the store's own code."""
    with pytest.raises(ServiceError) as refusal:
        await put(mounted, key)
    assert refusal.value.status == 400
    assert BUCKET in refusal.value.message


async def test_a_key_without_the_right(s3_server: S3Server, location: Location) -> None:
    """What our key may not do there is refused with AccessDenied, which is no fault of the server's."""
    async with aclosing(S3Client.open(location, s3_server.reader_key_id, s3_server.secret)) as client:
        reader = S3Bucket(bucket=BUCKET, client=client)
        with pytest.raises(ServiceError) as refusal:
            await put(reader, "a")
    assert (refusal.value.status, refusal.value.code) == (403, "AccessDenied")
    assert "operator" in refusal.value.message


async def test_a_store_that_does_not_answer(location: Location) -> None:
    """An outage is told as such."""
    nowhere = parse_location(location.url, f"http://127.0.0.1:{free_port()}")
    async with aclosing(S3Client.open(nowhere, "a", "b")) as client:
        away = S3Bucket(bucket=BUCKET, client=client)
        with pytest.raises(BlobStoreError):
            await put(away, "a")
        with pytest.raises(BlobStoreError):
            await away.head("a")


def _mount(location: Location, access_key_id: str) -> Mount:
    return Mount(bucket=BUCKET, location=location, access_key_id=access_key_id, sealed="")


async def test_tries_a_mount(s3_server: S3Server, location: Location) -> None:
    """What is wrong with a mount is told before it is made: bucket, key, secret, address; what is right passes."""
    mine, secret = s3_server.access_key_id, s3_server.secret
    assert await try_mount(_mount(location, mine), secret) is None
    gone = parse_location("s3://no-such-bucket", s3_server.endpoint)
    assert "no bucket no-such-bucket" in str(await try_mount(_mount(gone, mine), secret))
    assert "no key of the id nobody" in str(await try_mount(_mount(location, "nobody"), secret))
    assert "is another one" in str(await try_mount(_mount(location, mine), "wrong"))
    nowhere = parse_location(location.url, f"http://127.0.0.1:{free_port()}")
    assert "Is the endpoint right?" in str(await try_mount(_mount(nowhere, mine), secret))


PUT_AND_READ = """
import asyncio, json, resource, sys
from sordino.adapters.mounted import S3Bucket
from sordino.adapters.s3_client import S3Client
from sordino.domain.mount import NewObject, parse_location

async def chunks(count):
    for _ in range(count):
        yield bytes(64 * 1024)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

async def main():
    url, endpoint, key_id, secret = sys.argv[1:]
    client = S3Client.open(parse_location(url, endpoint), key_id, secret)
    mounted = S3Bucket(bucket="b-1", client=client)
    await mounted.put(NewObject(key="warm"), chunks(480))
    before = peak()
    stored = await mounted.put(NewObject(key="big"), chunks(2400))
    async for _ in mounted.read(stored, 0, stored.size):
        pass
    print(peak() - before)
    await client.aclose()

asyncio.run(main())
"""


def test_memory_does_not_grow_with_the_object(s3_server: S3Server, s3_bucket: str) -> None:
    """Writing and reading 150 MB takes little more memory (KiB on Linux) than writing 30 MB does."""
    arguments = [f"s3://{s3_bucket}", s3_server.endpoint, s3_server.access_key_id, s3_server.secret]
    result = subprocess.run(
        [sys.executable, "-c", PUT_AND_READ, *arguments], check=True, capture_output=True, text=True
    )
    assert int(result.stdout) < 40
