"""The use cases of multipart uploads over a real database: parts, their object, and how an upload ends."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import md5
from typing import BinaryIO

import pytest
from fastcrc import crc64
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rows import BUCKET, NOW, QUEUE_ID, bucket, execute, job, put, release
from sordino import chore
from sordino.adapters.blobs import ObstoreBlobs
from sordino.adapters.clock import SystemClock
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.domain.acl import Acl
from sordino.domain.bucket import StoredObject
from sordino.domain.job import JobState, MediaInfo, NoiseReduction
from sordino.domain.ports import BlobNotFoundError, MediaResult
from sordino.domain.upload import MAX_PARTS, MIN_PART_BYTES, NamedPart
from sordino.errors import ServiceError
from sordino.jobs.pipeline import Limits, Pipeline
from sordino.storage import stale_uploads as stale_module
from sordino.storage.objects import ObjectStore, Upload
from sordino.storage.stale_uploads import StaleUploads
from sordino.storage.sweep import GRACE, Sweep
from sordino.storage.uploads import UploadStore
from sordino.storage.writing import AHEAD, UPLOAD_TIME
from sordino.wire.ids import new_upload_id

HOME = bucket()
MEGABYTE = b"x" * MIN_PART_BYTES


@dataclass
class ShiftedClock:
    """The time of day, and some more."""

    shift: timedelta = timedelta(0)

    def now(self) -> datetime:
        """The time it shows."""
        return datetime.now(UTC) + self.shift


@dataclass
class Store:
    """The use cases over one database and a store in memory."""

    database: PostgresDatabase
    blobs: ObstoreBlobs = field(default_factory=lambda: ObstoreBlobs("memory:///"))
    clock: ShiftedClock = field(default_factory=ShiftedClock)
    max_bytes: int = 10 * MIN_PART_BYTES
    max_uploads: int = 1000

    @property
    def uploads(self) -> UploadStore:
        """Of multipart uploads."""
        return UploadStore(
            database=self.database,
            blobs=self.blobs,
            clock=self.clock,
            new_upload_id=new_upload_id,
            max_bytes=self.max_bytes,
            max_uploads=self.max_uploads,
        )

    @property
    def objects(self) -> ObjectStore:
        """Of objects."""
        return ObjectStore(database=self.database, blobs=self.blobs, clock=self.clock)

    async def begin(self, key: str = "a") -> str:
        """The id of a new upload."""
        return (await self.uploads.begin(Upload(bucket=HOME, key=key), "100000000001")).upload_id

    async def put(self, upload_id: str, number: int, content: bytes, key: str = "a") -> NamedPart:
        """Add a part; what names it."""
        part = await self.uploads.put_part(HOME, key, upload_id, number, chunks(content))
        return NamedPart(part.number, part.etag)

    async def complete(self, upload_id: str, *named: NamedPart, key: str = "a") -> StoredObject:
        """Complete an upload."""
        return await self.uploads.complete(HOME, key, upload_id, named)

    async def made_of(self, *contents: bytes) -> StoredObject:
        """An object of these parts."""
        upload_id = await self.begin()
        named = [await self.put(upload_id, number, content) for number, content in enumerate(contents, 1)]
        return await self.complete(upload_id, *named)

    async def read(self, stored: StoredObject, start: int = 0, end: int | None = None) -> bytes:
        """The object's bytes."""
        stop = stored.size if end is None else end
        return b"".join([chunk async for chunk in self.objects.read(HOME, stored, start, stop)])

    async def blob_ids(self, table: str) -> set[object]:
        """The blobs that a table names."""
        return {row["blob_id"] for row in await execute(self.database, f"SELECT blob_id FROM {table}")}


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    """Some chunks."""
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


@pytest.fixture
def store(database: PostgresDatabase) -> Store:
    """The use cases over a bucket."""
    return Store(database)


async def refused(call: object, code: str) -> str:
    """The message with which a call is refused, which has that code and is the client's fault."""
    with pytest.raises(ServiceError) as refusal:
        await call  # type: ignore[misc]
    assert refusal.value.code == code
    assert 400 <= refusal.value.status < 500
    return refusal.value.message


async def test_parts_make_an_object(store: Store) -> None:
    """Of whatever order they came in; its bytes, size, ETag and CRC are those of all, the rest as it was begun."""
    wanted = Upload(
        bucket=HOME,
        key="a",
        content_type="audio/wav",
        headers={"Cache-Control": "no-cache"},
        metadata={"k": "v"},
        storage_class="STANDARD_IA",
        acl=Acl.PUBLIC_READ,
    )
    upload = await store.uploads.begin(wanted, "100000000001")
    last = await store.put(upload.upload_id, 7, b"end")
    first = await store.put(upload.upload_id, 2, MEGABYTE)
    made = await store.complete(upload.upload_id, first, last)
    stored = await store.objects.head(HOME, "a")
    assert stored == made
    assert (stored.size, stored.crc64, stored.pieces) == (len(MEGABYTE) + 3, crc64.xz(MEGABYTE + b"end"), 2)
    assert stored.etag == md5(md5(MEGABYTE).digest() + md5(b"end").digest()).hexdigest() + "-2"
    assert (stored.content_type, stored.headers, stored.metadata) == ("audio/wav", wanted.headers, wanted.metadata)
    assert (stored.storage_class, stored.acl) == ("STANDARD_IA", Acl.PUBLIC_READ)
    assert await store.read(stored) == MEGABYTE + b"end"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.binary(max_size=12), min_size=1, max_size=6), data=st.data())
async def test_ranges_cross_the_borders_of_parts(
    store: Store, monkeypatch: pytest.MonkeyPatch, parts: list[bytes], data: st.DataObject
) -> None:
    """Whatever the parts are, also empty ones, any range of the object is that of their bytes."""
    monkeypatch.setattr("sordino.storage.uploads.MIN_PART_BYTES", 0)
    whole = b"".join(parts)
    stored = await store.made_of(*parts)
    assert (stored.size, stored.crc64) == (len(whole), crc64.xz(whole))
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    assert await store.read(stored, start, end) == whole[start:end]
    assert await store.read(stored) == whole


async def test_a_part_is_replaced(store: Store) -> None:
    """The one that came last counts; the ETag of the earlier one names none."""
    upload_id = await store.begin()
    old, new = await store.put(upload_id, 1, b"old"), await store.put(upload_id, 1, b"new")
    assert "part 1" in await refused(store.complete(upload_id, old), "InvalidPart")
    assert await store.read(await store.complete(upload_id, new)) == b"new"


async def test_a_wrong_digest(store: Store) -> None:
    """The part is refused, its bytes go at once, and the one of before stays."""
    upload_id = await store.begin()
    kept = await store.put(upload_id, 1, b"kept")
    wrong = store.uploads.put_part(HOME, "a", upload_id, 1, chunks(b"sent"), md5="0" * 32)
    await refused(wrong, "BadDigest")
    (lost,) = await store.blob_ids("unreferenced_blobs")
    assert await gone(store, lost)
    assert await store.read(await store.complete(upload_id, kept)) == b"kept"


async def gone(store: Store, blob_id: object) -> bool:
    """Whether the blob store has no blob of that id."""
    try:
        async for _ in store.blobs.get(str(blob_id)):
            pass
    except BlobNotFoundError:
        return True
    return False


@pytest.mark.parametrize("what", ["unknown", "another key", "another bucket"])
async def test_an_upload_of_something_else(store: Store, what: str) -> None:
    """An id is good for its own key in its own bucket alone; no byte of a part is asked for."""
    upload_id = await store.begin()
    named = await store.put(upload_id, 1, b"x")
    where = replace(HOME, name="other-1250000000") if what == "another bucket" else HOME
    key = "b" if what == "another key" else "a"
    unknown = "u" if what == "unknown" else upload_id

    async def body() -> AsyncIterator[bytes]:
        pytest.fail("the body was asked for")
        yield b""

    uploads = store.uploads
    await refused(uploads.put_part(where, key, unknown, 1, body()), "NoSuchUpload")
    await refused(uploads.complete(where, key, unknown, [named]), "NoSuchUpload")
    await refused(uploads.abort(where, key, unknown), "NoSuchUpload")
    await refused(uploads.parts(where, key, unknown, after=0, limit=1), "NoSuchUpload")
    assert await store.read(await store.complete(upload_id, named)) == b"x"


async def test_refused_lists_of_parts(store: Store) -> None:
    """Parts that are not there, have another ETag, are out of order, twice, or too small; the upload stays as it is."""
    upload_id = await store.begin()
    one, two = await store.put(upload_id, 1, b"small"), await store.put(upload_id, 2, b"end")
    assert "Part 1 is named after part 2" in await refused(store.complete(upload_id, two, one), "InvalidPartOrder")
    await refused(store.complete(upload_id, one, one), "InvalidPartOrder")
    assert "Part 3" in await refused(store.complete(upload_id, NamedPart(3, one.etag)), "InvalidPart")
    await refused(store.complete(upload_id, NamedPart(0, one.etag)), "InvalidPart")
    await refused(store.complete(upload_id, NamedPart(10**8, one.etag)), "InvalidPart")
    await refused(store.complete(upload_id, replace(one, etag=two.etag)), "InvalidPart")
    await refused(store.complete(upload_id, replace(one, etag=None)), "InvalidPart")
    assert "Part 1 has 5 bytes" in await refused(store.complete(upload_id, one, two), "EntityTooSmall")
    assert await store.read(await store.complete(upload_id, two)) == b"end"


async def test_too_large_an_object(store: Store) -> None:
    """The sum of the parts counts."""
    store.max_bytes = MIN_PART_BYTES
    upload_id = await store.begin()
    named = [await store.put(upload_id, 1, MEGABYTE), await store.put(upload_id, 2, b"x")]
    await refused(store.complete(upload_id, *named), "EntityTooLarge")
    assert (await store.complete(upload_id, named[0])).size == MIN_PART_BYTES


async def test_completing_again_is_told_the_same(store: Store) -> None:
    """With the same parts, while the object is there; with others, or afterwards, there is no such upload."""
    upload_id = await store.begin()
    one, two = await store.put(upload_id, 1, MEGABYTE), await store.put(upload_id, 2, b"x")
    made = await store.complete(upload_id, one, two)
    assert await store.complete(upload_id, one, two) == made
    await refused(store.complete(upload_id, one), "NoSuchUpload")
    await refused(store.complete(upload_id, replace(one, etag=None)), "NoSuchUpload")
    await put(store.database, "a")
    await refused(store.complete(upload_id, one, two), "NoSuchUpload")


async def test_of_many_that_complete_one_makes_the_object(store: Store) -> None:
    """All are told the same, and no blob is lost or left."""
    upload_id = await store.begin()
    named = await store.put(upload_id, 1, b"content")
    made = await asyncio.gather(*(store.complete(upload_id, named) for _ in range(8)))
    assert len(set(map(repr, made))) == 1
    assert await store.read(await store.objects.head(HOME, "a")) == b"content"
    assert await store.blob_ids("unreferenced_blobs") == set()


@pytest.mark.parametrize("round_", range(3))
async def test_completing_beside_aborting(store: Store, round_: int) -> None:
    """Either the object is there, whole, or the upload was dropped; never both, never neither."""
    upload_id = await store.begin()
    named = await store.put(upload_id, 1, b"content")
    calls = [store.complete(upload_id, named), store.uploads.abort(HOME, "a", upload_id)]
    results = await asyncio.gather(*calls[:: -1 if round_ % 2 else 1], return_exceptions=True)
    (refusal,) = (result for result in results if isinstance(result, BaseException))
    assert isinstance(refusal, ServiceError)
    assert refusal.code == "NoSuchUpload"
    pieces, noted = await store.blob_ids("pieces"), await store.blob_ids("unreferenced_blobs")
    assert len(pieces) + len(noted) == 1
    if pieces:
        assert await store.read(await store.objects.head(HOME, "a")) == b"content"
    else:
        await refused(store.objects.head(HOME, "a"), "NoSuchKey")


async def test_parts_beside_the_end(store: Store) -> None:
    """A part that comes too late is refused and its bytes go at once; one that came counts, and none is left over."""
    upload_id = await store.begin()
    named = await store.put(upload_id, 1, b"content")
    more = [store.put(upload_id, number, b"more") for number in range(2, 8)]
    results = await asyncio.gather(*more, store.complete(upload_id, named), return_exceptions=True)
    made = results.pop()
    assert isinstance(made, StoredObject)
    assert await store.read(made) == b"content"
    late = [it for it in results if isinstance(it, ServiceError)]
    assert {it.code for it in late} <= {"NoSuchUpload"}
    assert len(late) + sum(isinstance(it, NamedPart) for it in results) == 6
    left = [await gone(store, blob_id) for blob_id in await store.blob_ids("unreferenced_blobs")]
    assert left.count(False) == 6 - len(late)


async def test_the_end_comes_while_a_part_is_on_its_way(store: Store) -> None:
    """Its sender is told that there is no such upload, and its bytes go."""
    upload_id = await store.begin()

    async def body() -> AsyncIterator[bytes]:
        yield b"begins"
        await store.uploads.abort(HOME, "a", upload_id)
        yield b"and ends"

    await refused(store.uploads.put_part(HOME, "a", upload_id, 1, body()), "NoSuchUpload")
    (lost,) = await store.blob_ids("unreferenced_blobs")
    assert await gone(store, lost)


async def test_a_part_that_took_too_long(store: Store) -> None:
    """Nothing refers to it: its bytes may be gone already."""
    upload_id = await store.begin()
    store.clock = ShiftedClock(-UPLOAD_TIME - AHEAD - timedelta(seconds=1))
    await refused(store.put(upload_id, 1, b"late"), "RequestTimeOut")
    async with store.database.transaction() as tx:
        assert await tx.uploads.parts(upload_id, limit=9) == []


async def test_aborting_drops_all(store: Store) -> None:
    """The sweep removes the parts; what is aborted cannot be completed, nor aborted again."""
    upload_id = await store.begin()
    named = await store.put(upload_id, 1, b"content")
    (blob_id,) = await store.blob_ids("parts")
    await store.uploads.abort(HOME, "a", upload_id)
    await refused(store.complete(upload_id, named), "NoSuchUpload")
    await refused(store.uploads.abort(HOME, "a", upload_id), "NoSuchUpload")
    clock = ShiftedClock(GRACE + timedelta(minutes=1))
    assert await Sweep(database=store.database, blobs=store.blobs, clock=clock)() == 1
    assert await gone(store, blob_id)


async def test_the_sweep_leaves_parts_and_pieces(store: Store) -> None:
    """However old they are, and only theirs."""
    await store.made_of(MEGABYTE, b"end")
    upload_id = await store.begin("b")
    named = await store.put(upload_id, 1, b"part", "b")
    clock = ShiftedClock(UPLOAD_TIME + AHEAD + GRACE + timedelta(minutes=1))
    assert await Sweep(database=store.database, blobs=store.blobs, clock=clock)() == 0
    assert await store.read(await store.objects.head(HOME, "a")) == MEGABYTE + b"end"
    assert await store.read(await store.complete(upload_id, named, key="b")) == b"part"


async def test_an_object_that_was_replaced_is_read_to_its_end(store: Store) -> None:
    """Who has just looked it up has all of its bytes until the sweep comes, and then none, however far that is."""
    stored = await store.made_of(MEGABYTE, b"end")
    await put(store.database, "a")
    assert await store.read(stored) == MEGABYTE + b"end"
    async with store.database.transaction() as tx:
        await tx.objects.take_unreferenced(datetime.now(UTC) + timedelta(hours=1), 1)
    with pytest.raises(BlobNotFoundError):
        await store.read(stored)


async def test_pages_of_parts(store: Store) -> None:
    """Each ends with the number that begins the next; the last has none, and a page of nothing is the last."""
    upload_id = await store.begin()
    for number in (1, 5, MAX_PARTS):
        await store.put(upload_id, number, b"x")

    async def page(after: int, limit: int) -> tuple[Sequence[int], int | None]:
        found = await store.uploads.parts(HOME, "a", upload_id, after=after, limit=limit)
        assert found.upload.upload_id == upload_id
        return [part.number for part in found.parts], found.next_marker

    assert await page(0, 2) == ([1, 5], 5)
    assert await page(5, 2) == ([MAX_PARTS], None)
    assert await page(0, 3) == ([1, 5, MAX_PARTS], None)
    assert await page(0, 0) == ([], None)


async def test_pages_of_uploads(store: Store) -> None:
    """Of a key the newest comes last: the Python SDK resumes that one."""
    ids = []
    for second in range(3):
        store.clock = ShiftedClock(timedelta(seconds=second))
        ids.append(await store.begin())
    await store.begin("b")
    names = partial(store.uploads.list, HOME, delimiter="", key_marker="", upload_id_marker="")
    assert [it.upload_id for it in (await names(prefix="a", limit=9)).uploads] == ids
    assert (await names(prefix="", limit=3)).next_key == "a"
    assert (await names(prefix="", limit=0)).uploads == ()


@dataclass
class Heard:
    """A sound path that keeps what it heard."""

    heard: bytes = b""

    async def denoise(
        self, source: BinaryIO, target: BinaryIO, order: NoiseReduction, on_progress: object
    ) -> MediaResult:
        """Keep the input."""
        source.seek(0)
        self.heard = source.read()
        target.write(b"clean")
        info = MediaInfo(duration=1.0, sample_rate=16000, channels=1, size=5, format_name="wav", codec_name="pcm_s16le")
        return MediaResult(info=info)


async def test_a_job_on_an_object_of_parts(store: Store) -> None:
    """Its input is all of them."""
    await store.made_of(MEGABYTE, b"end")
    media = Heard()
    pipeline = Pipeline(
        database=store.database,
        objects=store.objects,
        media=media,
        clock=SystemClock(),
        limits=Limits(max_input_bytes=2 * MIN_PART_BYTES, attempts=1, retry_seconds=2, store_seconds=60.0),
    )
    async with store.database.transaction() as tx:
        await tx.jobs.add(replace(job(), input_object="a", created_at=NOW))
    async with store.database.transaction() as tx:
        (released,) = await release(tx, QUEUE_ID)
    await pipeline.run(released.job_id, released.release)
    async with store.database.transaction() as tx:
        (ended,) = await tx.jobs.find(BUCKET, ["j1"])
    assert (ended.state, media.heard) == (JobState.SUCCESS, MEGABYTE + b"end")


async def test_up_to_the_limit(store: Store) -> None:
    """One unfinished upload more is refused and not there; in place of one that ended there may be another."""
    store.max_uploads = 3
    ids = [await store.begin(key) for key in "abc"]
    for _ in range(2):
        await refused(store.begin("d"), "TooManyUploads")
    await store.uploads.abort(HOME, "a", ids[0])
    await store.begin("d")
    assert len(await execute(store.database, "SELECT upload_id FROM uploads")) == 3


class TestStale:
    """Uploads that nobody ends."""

    @pytest.fixture(autouse=True)
    def _no_rests(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(chore, "REST_SECONDS", 0.0)
        monkeypatch.setattr(stale_module, "BATCH", 2)

    def stale(self, store: Store, days: int | None, later: float) -> StaleUploads:
        """The chore, so many days later."""
        keep = None if days is None else timedelta(days=days)
        return StaleUploads(database=store.database, clock=ShiftedClock(timedelta(days=later)), keep=keep)

    async def test_end_after_their_time(self, store: Store) -> None:
        """All of them, in batches, with their parts; not before."""
        for key in "abcde":
            upload_id = await store.begin(key)
            await store.put(upload_id, 1, b"x", key)
        assert await self.stale(store, 7, 6.9)() == 0
        assert await self.stale(store, 7, 7.1)() == 5
        await refused(store.uploads.find(HOME, "e", upload_id), "NoSuchUpload")
        assert len(await store.blob_ids("unreferenced_blobs")) == 5

    async def test_may_be_kept_for_ever(self, store: Store) -> None:
        """Then none ends."""
        await store.begin()
        assert await self.stale(store, None, 10_000)() == 0

    async def test_side_by_side(self, store: Store) -> None:
        """Any number of processes share the work."""
        for key in "abcdef":
            await store.begin(key)
        assert sum(await asyncio.gather(*(self.stale(store, 7, 8)() for _ in range(3)))) == 6

    async def test_again_and_again(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """It goes on until it is told to stop."""
        monkeypatch.setattr(chore, "PAUSE_SECONDS", 0.01)
        going_on = asyncio.create_task(self.stale(store, 7, 8).run())
        for _ in range(2):
            upload_id = await store.begin()
            while await execute(store.database, "SELECT 1 FROM uploads WHERE upload_id = %s", upload_id):
                await asyncio.sleep(0.01)
        going_on.cancel()
        with suppress(asyncio.CancelledError):
            await going_on


def test_ids_sort_by_time() -> None:
    """An upload that began later has the greater id."""
    times = [datetime(2001, 9, 9, 1, 46, 39, tzinfo=UTC), NOW, NOW + timedelta(milliseconds=1), NOW.replace(year=2286)]
    ids = [new_upload_id(at) for at in times]
    assert ids == sorted(ids)
    assert len({len(it) for it in ids}) == 1
