"""What a blob store promises, on a local directory, in memory, and in an S3 server."""

import asyncio
import hashlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seaweed import S3Server
from sordino.adapters.blob_files import BLOCK_BYTES
from sordino.adapters.blobs import PART_BYTES, ObstoreBlobs
from sordino.domain.ports import BlobDigest, BlobNotFoundError, BlobStoreError
from support import free_port

CHUNK = 64 * 1024


@pytest.fixture(params=["file", "memory", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> ObstoreBlobs:
    """An empty store."""
    if request.param == "s3":
        return request.getfixturevalue("s3_blobs")
    return ObstoreBlobs((tmp_path / "blobs").as_uri() if request.param == "file" else "memory:///")


@pytest.fixture
def s3_blobs(s3_server: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> ObstoreBlobs:
    """An empty store in a part of a bucket, found as the environment says."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return ObstoreBlobs(f"s3://{s3_bucket}/some/where")


async def stream(chunks: Iterable[bytes], error: Exception | None = None) -> AsyncIterator[bytes]:
    """The chunks, then the error if there is one."""
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk
    if error is not None:
        raise error


async def whole(blobs: ObstoreBlobs, blob_id: str, start: int = 0, end: int | None = None) -> bytes:
    """The range of the blob in one piece."""
    return b"".join([chunk async for chunk in blobs.get(blob_id, start, end)])


def files(directory: Path) -> list[Path]:
    """Every file below the directory."""
    return [path for path in directory.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("content", "crc64"),
    [(b"", 0), (b"hello", 11177612005948864433), (b"123456789", 11051210869376104954)],
)
async def test_counts_what_it_writes(blobs: ObstoreBlobs, content: bytes, crc64: int) -> None:
    """Size, MD5 and the published CRC-64/XZ values, the same however the bytes are cut."""
    expected = BlobDigest(size=len(content), md5=hashlib.md5(content).hexdigest(), crc64=crc64)
    assert await blobs.put("one", stream([content])) == expected
    assert await blobs.put("many", stream(bytes([byte]) for byte in content)) == expected
    assert await blobs.put("gaps", stream([b"", content, b""])) == expected
    assert [await whole(blobs, blob_id) for blob_id in ("one", "many", "gaps")] == [content] * 3


@pytest.mark.parametrize("size", [PART_BYTES - 1, PART_BYTES, 2 * PART_BYTES + 12345])
async def test_keeps_blobs_of_several_parts(blobs: ObstoreBlobs, size: int) -> None:
    """A blob around and above the size of a part comes back whole, with its digest."""
    content = bytes(range(251)) * (size // 251 + 1)
    content = content[:size]
    digest = await blobs.put("big", stream(content[at : at + CHUNK] for at in range(0, size, CHUNK)))
    assert (digest.size, digest.md5) == (size, hashlib.md5(content).hexdigest())
    assert await whole(blobs, "big") == content
    assert await whole(blobs, "big", size - 5) == content[-5:]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(min_size=1, max_size=40), data=st.data())
async def test_reads_any_range(blobs: ObstoreBlobs, content: bytes, data: st.DataObject) -> None:
    """A range inside the blob is the slice of its bytes."""
    start = data.draw(st.integers(0, len(content) - 1))
    end = data.draw(st.none() | st.integers(start, len(content)))
    await blobs.put("a", stream([content]))
    assert await whole(blobs, "a", start, end) == content[start:end]


async def test_copies(blobs: ObstoreBlobs) -> None:
    """A copy outlives what it was copied from; of what is not there, there is none."""
    await blobs.put("a", stream([b"hello"]))
    await blobs.copy("a", "b")
    await blobs.remove("a")
    assert await whole(blobs, "b") == b"hello"
    with pytest.raises(BlobNotFoundError):
        await blobs.copy("a", "c")


@pytest.mark.parametrize("parts", [0, 1, 3])
async def test_nothing_stays_when_the_stream_fails(tmp_path: Path, parts: int) -> None:
    """The stream's own error passes through; neither blob nor file is left, whenever it comes."""
    blobs, error = ObstoreBlobs(tmp_path.as_uri()), ConnectionResetError("the client went away")
    with pytest.raises(ConnectionResetError) as raised:
        await blobs.put("a", stream([bytes(PART_BYTES)] * parts + [b"x"], error))
    assert raised.value is error
    assert files(tmp_path) == []
    with pytest.raises(BlobNotFoundError):
        await whole(blobs, "a")


async def test_tells_a_remote_store_that_is_away(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage of a remote store is told as such, soon."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    away = ObstoreBlobs("s3://bucket")
    with pytest.raises(BlobStoreError):
        await away.put("a", stream([b"1"]))
    with pytest.raises(BlobStoreError):
        await whole(away, "a")


@pytest.mark.parametrize("parts", [0, 1, 3])
async def test_nothing_stays_in_s3_when_the_stream_fails(
    s3_blobs: ObstoreBlobs, s3_server: S3Server, s3_bucket: str, parts: int
) -> None:
    """Neither the blob nor an upload in parts."""
    error = ConnectionResetError("the client went away")
    with pytest.raises(ConnectionResetError) as raised:
        await s3_blobs.put("a", stream([bytes(PART_BYTES)] * parts + [b"x"], error))
    assert raised.value is error
    with pytest.raises(BlobNotFoundError):
        await whole(s3_blobs, "a")
    assert await s3_server.unfinished(s3_bucket) == 0


async def test_nothing_stays_when_the_writer_is_cancelled(tmp_path: Path) -> None:
    """A put that is cancelled in the middle leaves no file."""
    blobs, written = ObstoreBlobs(tmp_path.as_uri()), asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(PART_BYTES)
        written.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(blobs.put("a", endless()))
    await written.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    while files(tmp_path):
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("blocks", [0, 1, 3])
async def test_a_cancelled_put_leaves_all_or_nothing(tmp_path: Path, blocks: int) -> None:
    """Whenever a put is cancelled, it either has ended or leaves neither blob nor file."""
    blobs, content = ObstoreBlobs(tmp_path.as_uri()), bytes(BLOCK_BYTES) * blocks + b"x"
    for turns in range(60):
        putting = asyncio.create_task(blobs.put(f"{turns}", stream([content])))
        for _ in range(turns // 2):
            await asyncio.sleep(0 if turns % 2 else 0.0002)
        putting.cancel()
        (ended,) = await asyncio.gather(putting, return_exceptions=True)
        if isinstance(ended, BlobDigest):
            assert await whole(blobs, f"{turns}") == content
            await blobs.remove(f"{turns}")
        assert files(tmp_path) == []


async def test_shows_a_blob_only_when_it_is_complete(blobs: ObstoreBlobs) -> None:
    """While a blob is being written nobody can read it."""
    absent = []

    async def watched() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(PART_BYTES)
            with pytest.raises(BlobNotFoundError):
                await whole(blobs, "a", 0, 1)
            absent.append(True)

    await blobs.put("a", watched())
    assert absent == [True] * 3
    assert await whole(blobs, "a", 0, 1) == b"\0"


async def test_opens_files(blobs: ObstoreBlobs) -> None:
    """Blobs that are files can be opened, and stay whole while they are open; those of other stores are no files."""
    await blobs.put("a", stream([b"hello"]))
    if not blobs.are_files:
        with pytest.raises(AssertionError):
            await blobs.open("a")
        return
    with await blobs.open("a") as file:
        await blobs.remove("a")
        assert file.read() == b"hello"
    with pytest.raises(BlobNotFoundError):
        await blobs.open("a")


async def test_removes(blobs: ObstoreBlobs) -> None:
    """A removed blob is gone, its neighbour stays, and removing it again is quiet."""
    await blobs.put("a", stream([b"1"]))
    await blobs.put("b", stream([b"2"]))
    await blobs.remove("a")
    await blobs.remove("a")
    with pytest.raises(BlobNotFoundError):
        await whole(blobs, "a")
    assert await whole(blobs, "b") == b"2"


async def test_tells_a_failing_store(tmp_path: Path) -> None:
    """Whatever the store cannot do is the port's error, and the stream's own error is told from it."""
    blobs = ObstoreBlobs(tmp_path.as_uri())
    (tmp_path / "aa").write_bytes(b"not a directory")
    (tmp_path / "bb" / "xbb" / "in the way").mkdir(parents=True)
    with pytest.raises(BlobStoreError):
        await blobs.put("xaa", stream([b"1"]))
    with pytest.raises(BlobStoreError):
        await blobs.put("xaa", stream([bytes(PART_BYTES), b"1"]))
    with pytest.raises(BlobStoreError):
        await blobs.remove("xbb")
    with pytest.raises(BlobStoreError):
        await whole(blobs, "xaa")
    with pytest.raises(ConnectionResetError):
        await blobs.put("xcc", stream([bytes(PART_BYTES)], ConnectionResetError()))


@pytest.mark.parametrize("bounds", [(0, None), (3, None), (0, 5), (2, 2)])
async def test_tells_an_unknown_blob(blobs: ObstoreBlobs, bounds: tuple[int, int | None]) -> None:
    """Whichever range is asked for."""
    with pytest.raises(BlobNotFoundError, match="nothing"):
        await whole(blobs, "nothing", *bounds)


async def test_makes_a_private_directory(tmp_path: Path) -> None:
    """The directory of a file URL is made, parents included, and closed to others; an existing one is used as it is."""
    directory = tmp_path / "new" / "blobs é#%"
    await ObstoreBlobs(directory.as_uri()).put("a", stream([b"1"]))
    assert directory.stat().st_mode & 0o777 == 0o700
    assert await whole(ObstoreBlobs(directory.as_uri()), "a") == b"1"


PUT_200_MB = """
import asyncio, resource, sys
from sordino.adapters.blobs import ObstoreBlobs

async def chunks(count):
    for _ in range(count):
        yield bytes(64 * 1024)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

async def main():
    blobs = ObstoreBlobs(sys.argv[1])
    await blobs.put("warm", chunks(320))
    before = peak()
    await blobs.put("big", chunks(3200))
    async for _ in blobs.get("big"):
        pass
    print(peak() - before)

asyncio.run(main())
"""


def test_memory_does_not_grow_with_the_blob(tmp_path: Path) -> None:
    """Writing and reading 200 MB takes little more memory (KiB on Linux) than 20 MB does."""
    result = subprocess.run(
        [sys.executable, "-c", PUT_200_MB, tmp_path.as_uri()], check=True, capture_output=True, text=True
    )
    assert int(result.stdout) < 40
