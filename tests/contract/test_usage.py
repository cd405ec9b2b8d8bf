"""What buckets hold is counted exactly, and their quotas hold exactly, on both servers."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rows import BUCKET, NOW, add_bucket, changes, execute, put, put_object, stored, waiting_for_a_lock
from sordino.adapters.blobs import ObstoreBlobs
from sordino.adapters.clock import SystemClock
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.adapters.postgres.migrate import migrations
from sordino.domain.quota import Quota, Usage
from sordino.domain.upload import NamedPart
from sordino.errors import ServiceError
from sordino.storage.objects import ObjectStore, Upload
from sordino.storage.operate_buckets import OperateBuckets
from sordino.storage.quota import Quotas
from sordino.storage.uploads import UploadStore
from support import new_name

OTHER = "other-1250000000"
UPLOAD = """
INSERT INTO uploads VALUES (%s, %s, 'k', '1', now(), 'text/plain', '{}', '{}', 'STANDARD', 'default')
ON CONFLICT DO NOTHING
"""
PART = """
INSERT INTO parts (upload_id, number, blob_id, size, etag, crc64, last_modified)
VALUES (%s, %s, gen_random_uuid()::text, %s, '5d41402abc4b2a76b9719d911017c592', 0, now())
ON CONFLICT (upload_id, number) DO UPDATE SET size = excluded.size, blob_id = excluded.blob_id
"""


async def usage(database: PostgresDatabase, bucket: str = BUCKET) -> Usage:
    """What the bucket holds; told the same by the rows themselves."""
    async with database.transaction() as tx:
        used, counted = await tx.usages.both(bucket)
        assert used == counted
        assert used == await tx.usages.of(bucket)
        assert (await tx.usages.all()).get(bucket, Usage()) == used
    return used


async def limit(database: PostgresDatabase, **quota: int) -> None:
    """Give the bucket a quota."""
    async with database.transaction() as tx:
        await tx.buckets.limit(BUCKET, Quota(**quota))


async def put_sized(database: PostgresDatabase, key: str, size: int) -> None:
    """Store an object that says to have so many bytes."""
    async with database.transaction() as tx:
        await put_object(tx, replace(stored(key), size=size, blob_id=new_name("b")))


async def fall_back(database: PostgresDatabase, key: str) -> None:
    """Store an object and delete another, and do not commit.

    Raises:
        RuntimeError: it always does.
    """
    async with database.transaction() as tx:
        await put_object(tx, replace(stored(key), size=1000, blob_id=new_name("b")))
        await tx.objects.remove(BUCKET, "a")
        raise RuntimeError("rolled back")


async def stream(content: bytes) -> AsyncIterator[bytes]:
    """The bytes in one piece."""
    yield content


async def fold(database: PostgresDatabase) -> int:
    """Fold every count; how many rows there were."""
    async with database.transaction() as tx:
        return sum([await tx.usages.fold(bucket) for bucket in await tx.usages.unfolded(100)])


async def test_objects_count(database: PostgresDatabase) -> None:
    """Objects that come, are replaced and go change what the bucket holds; what is rolled back does not."""
    assert await usage(database) == Usage()
    await put_sized(database, "a", 7)
    await put_sized(database, "b", 5)
    assert await usage(database) == Usage(bytes=12, objects=2)
    await put_sized(database, "a", 1)
    assert await usage(database) == Usage(bytes=6, objects=2)
    with pytest.raises(RuntimeError):
        await fall_back(database, "c")
    async with database.transaction() as tx:
        await tx.objects.remove_many(BUCKET, ["a", "b", "c"])
    assert await usage(database) == Usage()


async def test_parts_count_as_bytes(database: PostgresDatabase) -> None:
    """Parts of unfinished uploads count until they are replaced, dropped with their upload, or become an object's."""
    await execute(database, UPLOAD, "u1", BUCKET)
    for number, size in ((1, 100), (2, 10), (1, 50)):
        await execute(database, PART, "u1", number, size)
    assert await usage(database) == Usage(bytes=60)
    await execute(database, "DELETE FROM uploads")
    assert await usage(database) == Usage()


operations = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abc"), st.integers(0, 2**40)),
        st.tuples(st.just("remove"), st.lists(st.sampled_from("abcd"), max_size=4)),
        st.tuples(st.just("part"), st.sampled_from("uv"), st.integers(1, 3), st.integers(0, 2**33)),
        st.tuples(st.just("abort"), st.sampled_from("uv")),
        st.tuples(st.just("fold")),
        st.tuples(st.just("roll back"), st.sampled_from("abc")),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=operations)
async def test_the_count_is_the_sum(database: PostgresDatabase, steps: list[tuple[object, ...]]) -> None:
    """After whatever was done in whatever order the count is the sum of the rows."""
    for step in steps:
        match step:
            case "put", str(key), int(size):
                await put_sized(database, key, size)
            case "remove", [*keys]:
                async with database.transaction() as tx:
                    await tx.objects.remove_many(BUCKET, keys)
            case "part", str(upload_id), int(number), int(size):
                await execute(database, UPLOAD, upload_id, BUCKET)
                await execute(database, PART, upload_id, number, size)
            case "abort", str(upload_id):
                await execute(database, "DELETE FROM uploads WHERE upload_id = %s", upload_id)
            case ("fold",):
                await fold(database)
            case "roll back", str(key):
                with pytest.raises(RuntimeError):
                    await fall_back(database, key)
        await usage(database)
    await execute(database, "DELETE FROM uploads")
    await execute(database, "DELETE FROM objects")
    assert await usage(database) == Usage()


async def test_putting_waits_for_nobody(database: PostgresDatabase) -> None:
    """Transactions that add to one bucket, remove from it and fold its count go on side by side."""
    await put(database, "a", "b")
    async with database.transaction() as first, database.transaction() as second, database.transaction() as third:
        await put_object(first, stored("c"))
        await second.objects.remove(BUCKET, "a")
        assert await third.usages.fold(BUCKET) == 2
        await put_object(second, stored("d"))
        await first.objects.remove(BUCKET, "b")
    assert await usage(database) == Usage(bytes=10, objects=2)


async def test_counts_are_folded(database: PostgresDatabase) -> None:
    """Many rows become one, several may fold at once, and the count stays the same; a count of nothing has no row."""
    await put(database, *(str(number) for number in range(30)))
    assert sum(await asyncio.gather(*(fold(database) for _ in range(3)))) >= 30
    await fold(database)
    assert len(await execute(database, "SELECT bucket FROM bucket_usage")) == 1
    assert await usage(database) == Usage(bytes=150, objects=30)
    await execute(database, "DELETE FROM objects")
    await fold(database)
    assert await execute(database, "SELECT bucket FROM bucket_usage") == []


async def test_an_index_finds_what_is_to_fold(database: PostgresDatabase) -> None:
    """Buckets whose count is one row are not looked at."""
    await put(database, "a")
    assert await fold(database) == 1
    async with database.transaction() as tx:
        assert await tx.usages.unfolded(10) == []


async def test_what_was_there_counts(database: PostgresDatabase) -> None:
    """The rows that a schema of an earlier version brings along are counted by the migration."""
    await put(database, "a", "b")
    await execute(database, UPLOAD, "u1", BUCKET)
    await execute(database, PART, "u1", 1, 100)
    before = await usage(database)
    text = next(step.text for step in migrations() if step.name == "usage")
    backfill = text[text.index("INSERT INTO bucket_usage") :].partition(";")[0]
    await execute(database, "DELETE FROM bucket_usage")
    await execute(database, backfill)
    assert await usage(database) == before == Usage(bytes=110, objects=2)


@pytest.mark.parametrize("quota", [{"bytes": 22}, {"objects": 4}])
async def test_quotas_are_exact(database: PostgresDatabase, quota: dict[str, int]) -> None:
    """Of many who write at once just as many succeed as fit; the others leave nothing."""
    await limit(database, **quota)
    results = await asyncio.gather(*(put(database, str(number)) for number in range(9)), return_exceptions=True)
    refused = [error for error in results if error is not None]
    assert len(refused) == 5
    for error in refused:
        assert isinstance(error, ServiceError)
        assert (error.status, error.code) == (403, "QuotaExceeded")
        assert f"{BUCKET} would hold" in error.message
    assert await usage(database) == Usage(bytes=20, objects=4)


async def test_parts_keep_to_the_quota(database: PostgresDatabase) -> None:
    """A part that does not fit is refused; one that replaces another counts what it adds."""
    await limit(database, bytes=100)
    await execute(database, UPLOAD, "u1", BUCKET)
    await execute(database, PART, "u1", 1, 90)
    await execute(database, PART, "u1", 1, 100)
    with pytest.raises(ServiceError, match="101 bytes; its quota is 100"):
        async with database.transaction() as tx:
            await tx.connection.execute(PART, ("u1", 2, 1))
    assert await usage(database) == Usage(bytes=100)


async def test_parts_that_become_an_object_add_nothing(database: PostgresDatabase) -> None:
    """A full bucket's upload can be completed, in whichever order its rows come and go."""
    await limit(database, bytes=5)
    for late in (False, True):
        await execute(database, "DELETE FROM objects")
        await execute(database, UPLOAD, "u1", BUCKET)
        await execute(database, PART, "u1", 1, 5)
        async with database.transaction() as tx:
            if not late:
                await tx.connection.execute("DELETE FROM uploads")
            await put_object(tx, stored("a", blob_id=new_name("b")))
            await tx.connection.execute("DELETE FROM uploads")
    assert await usage(database) == Usage(bytes=5, objects=1)


async def test_a_quota_below_what_is_there(database: PostgresDatabase) -> None:
    """What is there stays and may shrink; nothing may be added, and the count may be folded."""
    await put(database, "a", "b")
    await limit(database, bytes=1, objects=1)
    for key in ("a", "c"):
        with pytest.raises(ServiceError):
            await put_sized(database, key, 6)
    await put_sized(database, "a", 4)
    await fold(database)
    async with database.transaction() as tx:
        await tx.objects.remove(BUCKET, "b")
    assert await usage(database) == Usage(bytes=4, objects=1)


async def complete_whole(database: PostgresDatabase) -> None:
    """Put an object in place of an upload of as many bytes."""
    async with database.transaction() as tx:
        await put_object(tx, stored("a"))
        await tx.uploads.remove("u1")


async def test_an_upload_of_a_bucket_above_its_quota(database: PostgresDatabase) -> None:
    """It cannot be completed, though that adds no bytes, and keeps its parts until the quota is raised."""
    await execute(database, UPLOAD, "u1", BUCKET)
    await execute(database, PART, "u1", 1, 5)
    await limit(database, bytes=4)
    with pytest.raises(ServiceError, match="5 bytes; its quota is 4"):
        await complete_whole(database)
    assert await usage(database) == Usage(bytes=5)
    await limit(database, bytes=5)
    await complete_whole(database)
    assert await usage(database) == Usage(bytes=5, objects=1)


async def test_no_quota(database: PostgresDatabase) -> None:
    """A quota that is taken away limits nothing any more."""
    await limit(database, objects=0)
    with pytest.raises(ServiceError):
        await put(database, "a")
    await limit(database)
    await put(database, "a")


async def test_only_who_adds_takes_turns(database: PostgresDatabase) -> None:
    """The turn of a bucket with a quota is taken by a commit that adds to it; another bucket's does not wait."""
    async with database.transaction() as tx:
        await add_bucket(tx, OTHER, "p2")
    await limit(database, bytes=100)
    await put(database, "a")
    async with database.transaction() as first:
        await put_object(first, stored("b"))
        await first.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        waiting = asyncio.create_task(put(database, "c"))
        await waiting_for_a_lock(database)
        async with database.transaction() as tx:
            await tx.objects.remove(BUCKET, "a")
            await put_object(tx, stored("a", bucket=OTHER))
        assert not waiting.done()
    await waiting
    assert await usage(database) == Usage(bytes=10, objects=2)


async def use_at_random(database: PostgresDatabase, uploads: UploadStore, seed: int) -> Counter[str]:
    """Do to a few keys whatever may be done, in an order that the seed decides; how it was refused."""
    chance, refused = random.Random(seed), Counter[str]()
    bucket = (await OperateBuckets(changes(database)).show(BUCKET)).bucket
    objects = ObjectStore(database=database, blobs=uploads.blobs, clock=SystemClock())
    for _ in range(25):
        key, other, size = chance.choice("abc"), chance.choice("abc"), chance.randrange(40)
        try:
            match chance.randrange(5):
                case 0:
                    await objects.put(Upload(bucket=bucket, key=key), stream(bytes(size)))
                case 1:
                    await objects.remove(bucket, key)
                case 2:
                    await objects.remove_many(bucket, [key, other])
                case 3:
                    await fold(database)
                case _:
                    begun = await uploads.begin(Upload(bucket=bucket, key=key), "1")
                    part = await uploads.put_part(bucket, key, begun.upload_id, 1, stream(bytes(size)))
                    await uploads.complete(bucket, key, begun.upload_id, [NamedPart(1, part.etag)])
        except ServiceError as refusal:
            refused[refusal.code] += 1
    return refused


@pytest.mark.parametrize("quota", [{}, {"bytes": 60, "objects": 2}])
async def test_whatever_is_done_at_once(database: PostgresDatabase, quota: dict[str, int]) -> None:
    """Writers, deleters and folders of the same few keys never stop each other, and the count and quota stay exact."""
    await limit(database, **quota)
    uploads = UploadStore(
        database=database,
        blobs=ObstoreBlobs("memory:///"),
        clock=SystemClock(),
        new_upload_id=lambda now: new_name("u"),
        max_bytes=1000,
        max_uploads=1000,
    )
    refused = await asyncio.gather(*(use_at_random(database, uploads, seed) for seed in range(6)))
    assert set().union(*refused) == ({"QuotaExceeded"} if quota else set())
    used = await usage(database)
    if quota:
        assert (used.bytes <= quota["bytes"], used.objects <= quota["objects"]) == (True, True)


async def test_what_is_sure_not_to_fit_is_refused_early(database: PostgresDatabase) -> None:
    """Before any byte is read a size is refused that the quota has no room for, what it would replace left out."""
    quotas = Quotas(database=database)
    await put(database, "a", "b")
    await limit(database, bytes=20, objects=2)
    async with database.transaction() as tx:
        bucket = await tx.buckets.get(BUCKET)
    assert bucket is not None
    assert (bucket.quota, bucket.created_at) == (Quota(bytes=20, objects=2), NOW)
    await quotas.check(bucket, 10)
    await quotas.check(bucket, 15, key="a")
    for size, key in ((11, None), (16, "a"), (0, "c")):
        with pytest.raises(ServiceError) as raised:
            await quotas.check(bucket, size, key=key)
        assert raised.value.code == "QuotaExceeded"
    await execute(database, UPLOAD, "u1", BUCKET)
    await execute(database, PART, "u1", 2, 10)
    await quotas.check(bucket, 10, part=("u1", 2))
    for size, number in ((11, 2), (1, 1), (1, 3)):
        with pytest.raises(ServiceError, match="21 bytes; its quota is 20"):
            await quotas.check(bucket, size, part=("u1", number))
