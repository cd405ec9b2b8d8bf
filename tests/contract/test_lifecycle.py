"""The chores of the object store: old results go, counts are folded, and the operator sees what there is."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rows import BUCKET, NOW, OPERATOR, add_bucket, changes, execute, put_object, stored
from sordino import chore
from sordino.adapters.blobs import ObstoreBlobs
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.domain.audit import AuditSearch
from sordino.domain.quota import Quota, Usage
from sordino.errors import ServiceError
from sordino.storage import lifecycle as lifecycle_module
from sordino.storage.leftovers import Leftovers
from sordino.storage.lifecycle import Lifecycle
from sordino.storage.operate_buckets import OperateBuckets
from sordino.storage.quota import Folding
from sordino.storage.writing import UPLOAD_TIME

DAY = timedelta(days=1)
OTHER = "other-1250000000"
FILL = """
INSERT INTO objects (bucket, key, size, etag, crc64, blob_id, last_modified, content_type, headers, metadata,
                     storage_class, job_id)
SELECT %s, 'k' || n, 5, '5d41402abc4b2a76b9719d911017c592', 0, 'b' || n, %s, 'audio/wav', '{}', '{}', 'STANDARD', %s
  FROM generate_series(1, %s) AS n
"""


class Clock:
    """A clock that stands still."""

    def __init__(self, now: datetime) -> None:
        self.time = now

    def now(self) -> datetime:
        """The time it shows."""
        return self.time


@pytest.fixture(autouse=True)
def _no_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches follow each other at once."""
    monkeypatch.setattr(chore, "REST_SECONDS", 0.0)


def lifecycle(database: PostgresDatabase, days: float, default: int = 0) -> Lifecycle:
    """One that looks so many days after ``NOW``."""
    return Lifecycle(database=database, clock=Clock(NOW + days * DAY), default_days=default)


async def put_result(database: PostgresDatabase, key: str, bucket: str = BUCKET) -> None:
    """Store what a job wrote at ``NOW``."""
    async with database.transaction() as tx:
        await put_object(tx, replace(stored(key, bucket=bucket), job_id="j1"))


async def put_own(database: PostgresDatabase, key: str) -> None:
    """Store what a user wrote at ``NOW``."""
    async with database.transaction() as tx:
        await put_object(tx, stored(key, blob_id=f"own {key}"))


async def keys(database: PostgresDatabase) -> list[object]:
    """Of every bucket's objects."""
    return [row["key"] for row in await execute(database, "SELECT key FROM objects ORDER BY key")]


async def test_old_results_go(database: PostgresDatabase) -> None:
    """What jobs wrote goes when it is old enough; what users wrote stays, also over a job's object."""
    for key in ("made", "replaced"):
        await put_result(database, key)
    for key in ("own", "replaced"):
        await put_own(database, key)
    async with database.transaction() as tx:
        found = [await tx.objects.get(BUCKET, key) for key in ("made", "replaced")]
    assert [it and it.job_id for it in found] == ["j1", None]
    assert await lifecycle(database, 6.9, default=7)() == 0
    assert await lifecycle(database, 7.1, default=7)() == 1
    assert await keys(database) == ["own", "replaced"]
    assert "test-1250000000/made" in [
        row["blob_id"] for row in await execute(database, "SELECT blob_id FROM unreferenced_blobs")
    ]


@pytest.mark.parametrize(
    ("own", "default", "left"),
    [(None, 0, True), (0, 1, True), (30, 1, True), (2, 0, False), (2, 30, False), (None, 1, False)],
)
async def test_a_bucket_has_its_own_days(database: PostgresDatabase, own: int | None, default: int, left: bool) -> None:
    """The bucket's days count before the server's, and 0 is for ever."""
    await put_result(database, "made")
    await OperateBuckets(changes(database)).keep_results(OPERATOR, BUCKET, own)
    await lifecycle(database, 10, default)()
    assert await keys(database) == (["made"] if left else [])


async def test_many_results_side_by_side(database: PostgresDatabase) -> None:
    """Several processes delete what several batches hold, each object once."""
    count = 3 * lifecycle_module.BATCH + 1
    await execute(database, FILL, BUCKET, NOW, "j1", count)
    deleted = await asyncio.gather(*(lifecycle(database, 2, 1)() for _ in range(3)))
    assert sum(deleted) == count
    assert await keys(database) == []
    assert (await OperateBuckets(changes(database)).show(BUCKET)).usage == Usage()


async def test_results_that_are_held_are_passed_over(database: PostgresDatabase) -> None:
    """An object that is being replaced is waited for by nobody, and stays when its writer was a user."""
    for key in ("a", "b"):
        await put_result(database, key)
    async with database.transaction() as tx:
        await put_object(tx, stored("a", blob_id="own a"))
        assert await lifecycle(database, 2, 1)() == 1
    assert await lifecycle(database, 2, 1)() == 0
    assert await keys(database) == ["a"]


async def test_an_index_finds_old_results(database: PostgresDatabase) -> None:
    """Looking for old results reads an index of what jobs wrote, not the table, however much users have."""
    await execute(database, FILL, BUCKET, NOW, None, 3000)
    await execute(database, "ANALYZE objects")
    query = """
    EXPLAIN SELECT key FROM objects WHERE bucket = %s AND job_id IS NOT NULL AND last_modified < %s
    ORDER BY last_modified LIMIT 500 FOR UPDATE SKIP LOCKED
    """
    plan = "\n".join(str(row["QUERY PLAN"]) for row in await execute(database, query, BUCKET, NOW))
    assert "objects_of_jobs" in plan
    assert "Seq Scan" not in plan


async def test_counts_are_kept_short(database: PostgresDatabase) -> None:
    """Folding leaves a row for each bucket, and nothing to do the next time."""
    async with database.transaction() as tx:
        await add_bucket(tx, OTHER, "p2")
    for key in ("a", "b", "c"):
        await put_result(database, key)
        await put_result(database, key, OTHER)
    assert await Folding(database=database)() == 6
    assert await Folding(database=database)() == 0
    assert len(await execute(database, "SELECT bucket FROM bucket_usage")) == 2


async def test_leftovers_go(tmp_path: Path) -> None:
    """The file of a killed writer goes once an upload cannot take so long any more."""
    blobs = ObstoreBlobs(tmp_path.as_uri())
    (tmp_path / "aa").mkdir()
    (tmp_path / "aa" / "11aa#1").write_bytes(b"hal")
    minute = timedelta(minutes=1)
    assert await Leftovers(blobs=blobs, clock=Clock(datetime.now(UTC) + UPLOAD_TIME - minute))() == 0
    assert await Leftovers(blobs=blobs, clock=Clock(datetime.now(UTC) + UPLOAD_TIME + minute))() == 1


async def test_the_operator_sees_every_bucket(database: PostgresDatabase) -> None:
    """Buckets of all accounts are shown with what they hold, and the count can be checked."""
    async with database.transaction() as tx:
        await add_bucket(tx, OTHER, "p2")
    await put_result(database, "a")
    buckets = OperateBuckets(changes(database))
    assert [(held.bucket.name, held.usage) for held in await buckets.every()] == [
        (OTHER, Usage()),
        (BUCKET, Usage(bytes=5, objects=1)),
    ]
    assert await buckets.count(BUCKET) == (Usage(bytes=5, objects=1),) * 2
    await execute(database, "INSERT INTO bucket_usage VALUES (%s, 1, 1)", BUCKET)
    assert await buckets.count(BUCKET) == (Usage(bytes=6, objects=2), Usage(bytes=5, objects=1))


async def test_quotas_are_set_one_by_one(database: PostgresDatabase) -> None:
    """What is not named stays as it is; None takes a limit away."""
    buckets = OperateBuckets(changes(database))
    await buckets.limit(OPERATOR, BUCKET, {"bytes": 2**62})
    assert (await buckets.limit(OPERATOR, BUCKET, {"objects": 0})).bucket.quota == Quota(bytes=2**62, objects=0)
    assert (await buckets.limit(OPERATOR, BUCKET, {"bytes": None})).bucket.quota == Quota(objects=0)


async def test_mounted_buckets_are_not_counted(database: PostgresDatabase) -> None:
    """What a mounted bucket holds is not known, and it has neither quota nor lifecycle here."""
    await execute(
        database, "INSERT INTO mounts (bucket, url, options, sealed) VALUES (%s, 's3://b', '{}', 'x')", BUCKET
    )
    buckets = OperateBuckets(changes(database))
    assert (await buckets.show(BUCKET)).usage is None
    for refused in (buckets.limit(OPERATOR, BUCKET, {"bytes": 1}), buckets.keep_results(OPERATOR, BUCKET, 1)):
        with pytest.raises(ServiceError, match=r"is mounted: .* in its own store"):
            await refused


@pytest.mark.parametrize(
    "use",
    [
        lambda buckets: buckets.show("none-1250000000"),
        lambda buckets: buckets.count("none-1250000000"),
        lambda buckets: buckets.limit(OPERATOR, "none-1250000000", {"bytes": 1}),
        lambda buckets: buckets.keep_results(OPERATOR, "none-1250000000", 1),
    ],
)
async def test_buckets_that_are_none(database: PostgresDatabase, use: Callable[[OperateBuckets], object]) -> None:
    """A bucket that is none is told as such."""
    with pytest.raises(ServiceError, match="There is no bucket none-1250000000"):
        await use(OperateBuckets(changes(database)))


async def test_what_an_operator_does_to_a_bucket_is_told(database: PostgresDatabase) -> None:
    """The audit log of the bucket's account tells who did what with it, also of what was refused."""
    buckets = OperateBuckets(changes(database))
    await buckets.limit(OPERATOR, BUCKET, {"bytes": 7, "objects": None})
    await buckets.keep_results(OPERATOR, BUCKET, 3)
    with pytest.raises(ServiceError):
        await buckets.keep_results(OPERATOR, "none-1250000000", 3)
    async with database.reading() as tx:
        found = [one.entry for one in await tx.audit.search(AuditSearch(account="1250000000"))]
    assert [(it.caller, it.action, it.resource, it.code) for it in reversed(found)] == [
        ("operator/tester", "sordino:PutBucketQuota", f"bucket/{BUCKET}", ""),
        ("operator/tester", "sordino:PutBucketLifecycle", f"bucket/{BUCKET}", ""),
        ("operator/tester", "sordino:PutBucketLifecycle", "bucket/none-1250000000", "NoSuchBucket"),
    ]
    assert found[-1].reason == "bytes=7, objects=None"
