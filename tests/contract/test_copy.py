"""The use case of copying over each database and a local store: what a copy is made of, what stays of failed ones."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from rows import bucket, stored
from sordino.adapters.blobs import ObstoreBlobs
from sordino.adapters.clock import SystemClock
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.domain.bucket import Bucket, Piece, StoredObject
from sordino.errors import ServiceError
from sordino.storage.copy import Copies
from sordino.storage.objects import ObjectStore, Upload

SOURCE = bucket()
LATER = datetime.now(UTC) + timedelta(days=2)


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    """The parts, one by one."""
    for part in parts:
        yield part


@dataclass(frozen=True)
class World:
    """A database, a directory of blobs and the use cases over both."""

    database: PostgresDatabase
    directory: Path
    objects: ObjectStore
    copies: Copies

    async def put(self, key: str, content: bytes) -> StoredObject:
        """An object of one blob."""
        return await self.objects.put(Upload(bucket=SOURCE, key=key), chunks(content))

    async def put_pieces(self, key: str, *contents: bytes) -> StoredObject:
        """An object of a blob for each of these."""
        pieces = []
        for content in contents:
            piece = Piece(uuid4().hex, len(content))
            async with self.database.transaction() as tx:
                await tx.objects.expect_blob(piece.blob_id, LATER)
            await self.objects.blobs.put(piece.blob_id, chunks(content))
            pieces.append(piece)
        size = sum(map(len, contents))
        row = replace(stored(key, blob_id=uuid4().hex), size=size, etag=f"{'a' * 32}-2", pieces=len(pieces))
        async with self.database.transaction() as tx:
            await tx.objects.put(row, pieces)
        return row

    async def copy(self, source: StoredObject, key: str = "copy", **said: object) -> StoredObject:
        """A copy within the bucket."""
        return await self.copies.copy(SOURCE, source, Upload(bucket=SOURCE, key=key, **said))

    async def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """The bytes of an object, or a range of them."""
        row = await self.objects.head(SOURCE, key)
        body = self.objects.read(SOURCE, row, start, row.size if end is None else end)
        return b"".join([chunk async for chunk in body])

    def files(self) -> Mapping[str, int]:
        """The blobs there are, each with the number of its file on the disk."""
        return {path.name: path.stat().st_ino for path in self.directory.rglob("*") if path.is_file()}


@pytest.fixture
def world(database: PostgresDatabase, tmp_path: Path) -> World:
    """An empty bucket."""
    objects = ObjectStore(database=database, blobs=ObstoreBlobs(tmp_path.as_uri()), clock=SystemClock())
    copies = Copies(database=database, blobs=objects.blobs, clock=objects.clock, objects=objects)
    return World(database, tmp_path, objects, copies)


async def test_takes_no_room(world: World) -> None:
    """The copy's blob is another name of the source's file, and goes on its own."""
    source = await world.put("a", b"hello")
    copy = await world.copy(source)
    files = world.files()
    assert copy.blob_id != source.blob_id
    assert files[copy.blob_id] == files[source.blob_id]
    await world.objects.blobs.remove(source.blob_id)
    assert await world.read("copy") == b"hello"


async def test_what_came_in_parts(world: World) -> None:
    """A copy has pieces of its own, in the same order, and is told to be the same."""
    source = await world.put_pieces("a", b"hello ", b"", b"world")
    copy = await world.copy(source)
    assert (copy.size, copy.etag, copy.crc64, copy.pieces) == (source.size, source.etag, source.crc64, 3)
    await world.objects.remove(SOURCE, "a")
    assert await world.read("copy") == b"hello world"
    assert await world.read("copy", 4, 8) == b"o wo"


async def test_many_pieces(world: World) -> None:
    """More pieces than are copied at a time keep their order."""
    source = await world.put_pieces("a", *(b"%03d" % number for number in range(20)))
    await world.copy(source)
    assert await world.read("copy") == b"".join(b"%03d" % number for number in range(20))


async def test_onto_itself(world: World) -> None:
    """An object in parts stays whole when a copy takes its place, and its old blobs are for the sweep."""
    source = await world.put_pieces("a", b"hello ", b"world")
    copy = await world.copy(source, "a", content_type="text/plain")
    assert await world.read("a") == b"hello world"
    assert (await world.objects.head(SOURCE, "a")).content_type == "text/plain"
    async with world.database.transaction() as tx:
        assert len(await tx.objects.take_unreferenced(LATER, 10)) == 2
        assert len(await tx.objects.pieces(copy.blob_id)) == 2


async def test_copies_are_no_results(world: World) -> None:
    """A copy of what a job wrote is the user's own, and is not deleted as old results are."""
    source = replace(await world.put("a", b"hello"), job_id="j1")
    assert (await world.copy(source)).job_id is None


@pytest.mark.parametrize("parts", [1, 2])
async def test_a_source_that_is_gone(world: World, parts: int) -> None:
    """It is told, and nothing of the copy stays."""
    source = await (world.put("a", b"hello") if parts == 1 else world.put_pieces("a", b"hello", b"world"))
    await world.objects.remove(SOURCE, "a")
    for blob_id in world.files():
        await world.objects.blobs.remove(blob_id)
    with pytest.raises(ServiceError) as refusal:
        await world.copy(source)
    assert (refusal.value.status, refusal.value.code) == (404, "NoSuchCopySource")
    assert not world.files()


@pytest.mark.parametrize("parts", [1, 2])
async def test_a_target_that_may_not_be_replaced(world: World, parts: int) -> None:
    """It stays as it is, and nothing of the copy does."""
    source = await (world.put("a", b"hello") if parts == 1 else world.put_pieces("a", b"hello", b"world"))
    await world.put("copy", b"there")
    files = world.files()
    with pytest.raises(ServiceError) as refusal:
        await world.copy(source, overwrite=False)
    assert refusal.value.code == "FileAlreadyExists"
    assert await world.read("copy") == b"there"
    assert world.files() == files


async def test_a_bucket_that_is_gone(world: World) -> None:
    """A target bucket that was removed meanwhile is told, and nothing of the copy stays."""
    source = await world.put("a", b"hello")
    files = world.files()
    ghost: Bucket = bucket("ghost-1250000000")
    with pytest.raises(ServiceError) as refusal:
        await world.copies.copy(SOURCE, source, Upload(bucket=ghost, key="copy"))
    assert refusal.value.code == "NoSuchBucket"
    assert world.files() == files
