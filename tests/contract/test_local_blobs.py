"""What a blob store in a local directory promises beside the rest: room, power failures, what killed writers leave."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from disks import mounted_disk
from sordino.adapters.blobs import PART_BYTES, ObstoreBlobs
from sordino.domain.ports import BlobStoreFullError

ROOM = 12 * 2**20
LATER = timedelta(hours=1)


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    """The chunks."""
    for chunk in chunks:
        yield chunk


def files(directory: Path) -> list[Path]:
    """Every file below the directory."""
    return [path for path in directory.rglob("*") if path.is_file()]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MB."""
    with mounted_disk(tmp_path / "small", ROOM) as directory:
        yield directory


async def test_no_room(small_disk: Path) -> None:
    """A blob that the disk has no room for is refused as such, leaves nothing, and keeps no smaller one out."""
    blobs = ObstoreBlobs(small_disk.as_uri())
    await blobs.put("kept", stream(bytes(PART_BYTES - 1)))
    for parts in (1, 3):
        with pytest.raises(BlobStoreFullError, match="No space left"):
            await blobs.put("large", stream(*[bytes(PART_BYTES)] * parts))
    with pytest.raises(BlobStoreFullError):
        await blobs.put("smaller", stream(bytes(PART_BYTES - 1)))
    await blobs.put("small", stream(b"hello"))
    assert sorted(file.name for file in files(small_disk)) == ["kept", "small"]


@pytest.mark.parametrize(("fsync", "names"), [(True, ["1ab", "ab", "store", "2ab", "ab", "3ab", "ab"]), (False, [])])
async def test_what_is_synchronised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsync: bool, names: list[str]
) -> None:
    """A blob and its directory are forced to the disk, the directory's own name once; nothing is, if so wished."""
    synced: list[str] = []

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name.partition("#")[0])

    monkeypatch.setattr(os, "fsync", note)
    blobs = ObstoreBlobs((tmp_path / "store").as_uri(), fsync=fsync)
    await blobs.put("1ab", stream(b"x"))
    await blobs.put("2ab", stream(b"y"))
    await blobs.copy("1ab", "3ab")
    assert synced == names


async def test_what_killed_writers_left(tmp_path: Path) -> None:
    """Unfinished files go once nobody has touched them for long enough; blobs and what others keep there stay."""
    blobs = ObstoreBlobs(tmp_path.as_uri())
    await blobs.put("00aa", stream(b"hello"))
    (tmp_path / "aa" / "11aa#1").write_bytes(b"hal")
    (tmp_path / "note").write_bytes(b"")
    assert await blobs.remove_unfinished(datetime.now(UTC) - LATER) == 0
    assert await blobs.remove_unfinished(datetime.now(UTC) + LATER) == 1
    assert sorted(file.name for file in files(tmp_path)) == ["00aa", "note"]
    assert await ObstoreBlobs("memory:///").remove_unfinished(datetime.now(UTC) + LATER) == 0


async def test_a_copy_of_a_file_that_has_all_the_names_it_may_have(tmp_path: Path) -> None:
    """It has bytes of its own, however often a blob was copied, and however few names a file may have at all."""
    blobs, most = ObstoreBlobs(tmp_path.as_uri()), os.pathconf(tmp_path, "PC_LINK_MAX")
    if most > 100_000:
        pytest.skip(f"a file may have {most} names here")
    await blobs.put("1ab", stream(b"hello"))
    (file,) = files(tmp_path)
    for number in range(most - 1):
        (tmp_path / f"{number}").hardlink_to(file)
    await blobs.copy("1ab", "2ab")
    assert b"".join([bytes(chunk) async for chunk in blobs.get("2ab")]) == b"hello"
    assert (file.with_name("2ab").stat().st_nlink, file.stat().st_nlink) == (1, most)


async def test_a_copy_under_way_is_not_old(tmp_path: Path) -> None:
    """The unfinished file of a copy counts from when it was made, however old what it copies is."""
    blobs = ObstoreBlobs(tmp_path.as_uri())
    await blobs.put("00aa", stream(b"hello"))
    os.utime(tmp_path / "aa" / "00aa", (0, 0))
    os.link(tmp_path / "aa" / "00aa", tmp_path / "aa" / "11aa#1")
    assert await blobs.remove_unfinished(datetime.now(UTC) - LATER) == 0


async def test_a_writer_is_left_alone(tmp_path: Path) -> None:
    """The file that a put is writing is not taken for a killed writer's, and its blob is whole in the end."""
    blobs, half, go = ObstoreBlobs(tmp_path.as_uri()), asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield bytes(PART_BYTES)
        half.set()
        await go.wait()
        yield b"end"

    putting = asyncio.create_task(blobs.put("00aa", slowly()))
    await half.wait()
    assert ["#" in file.name for file in files(tmp_path)] == [True]
    assert await blobs.remove_unfinished(datetime.now(UTC) - LATER) == 0
    go.set()
    assert (await putting).size == 4 * PART_BYTES + 3
    assert (tmp_path / "aa" / "00aa").stat().st_size == 4 * PART_BYTES + 3
