"""Retention over a real database: what goes, what stays, and side by side with others."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from rows import BUCKET, LATER, NOW, QUEUE_ID, execute, job, release
from sordino import chore
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.domain.callback import CallbackFormat, CallbackTarget
from sordino.domain.job import JobState
from sordino.jobs import retention as retention_module
from sordino.jobs.retention import Retention

DAY = timedelta(days=1)
JOB_IDS = "SELECT job_id FROM jobs ORDER BY job_id"
FILL = """
INSERT INTO jobs (job_id, bucket, region, queue_id, input_object, operation, state, created_at, started_at, ended_at,
                  code, message, progress, attempt)
SELECT 'j' || n, %s, 'ap-guangzhou', %s, 'in.mp3', '{}', 'Success', %s, %s, %s, 'Success', '', 100, 1
  FROM generate_series(1, %s) AS n
"""


class Clock:
    """A clock that stands."""

    def __init__(self, now: datetime) -> None:
        self.time = now

    def now(self) -> datetime:
        """The time it shows."""
        return self.time


def retention(database: PostgresDatabase, *, days: int | None = 90, now: datetime = NOW + 91 * DAY) -> Retention:
    """One that keeps jobs for so long."""
    return Retention(database=database, clock=Clock(now), keep=None if days is None else days * DAY)


@pytest.fixture(autouse=True)
def _no_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches follow each other at once."""
    monkeypatch.setattr(chore, "REST_SECONDS", 0.0)


async def fill(database: PostgresDatabase, count: int) -> None:
    """So many jobs that ended at ``NOW``."""
    await execute(database, FILL, BUCKET, QUEUE_ID, NOW, NOW, NOW, count)


async def remaining(database: PostgresDatabase) -> list[object]:
    """The ids of the jobs that are there."""
    return [row["job_id"] for row in await execute(database, JOB_IDS)]


async def test_old_jobs_go(database: PostgresDatabase) -> None:
    """Jobs go some time after their end, however they ended; those that are younger, wait or run stay."""
    async with database.transaction() as tx:
        for job_id, state, ended_at in (
            ("cancelled", JobState.CANCEL, NOW),
            ("failed", JobState.FAILED, NOW),
            ("succeeded", JobState.SUCCESS, NOW),
            ("young", JobState.SUCCESS, NOW + 2 * DAY),
        ):
            code = "InternalError" if state is JobState.FAILED else "Success"
            started = {"started_at": NOW, "attempt": 1}
            await tx.jobs.add(job(job_id, state=state, ended_at=ended_at, code=code, **started))
        await tx.jobs.add(job("running"))
    async with database.transaction() as tx:
        (it,) = await release(tx)
        assert await tx.jobs.start("running", it.release, NOW)
        await tx.jobs.add(job("waiting"))
    assert await retention(database)() == 3
    assert await remaining(database) == ["running", "waiting", "young"]
    assert await retention(database)() == 0


async def test_for_ever(database: PostgresDatabase) -> None:
    """Where jobs are kept for ever none goes."""
    await fill(database, 1)
    assert await retention(database, days=None, now=NOW + 100_000 * DAY)() == 0
    assert await remaining(database) == ["j1"]


async def test_the_log_of_callbacks_goes_with_the_job(database: PostgresDatabase) -> None:
    """Deliveries and their tries of an old job go; those of others stay."""
    target = CallbackTarget(format=CallbackFormat.XML, url="http://hooks.example/")
    async with database.transaction() as tx:
        for job_id, ended_at in (("old", NOW), ("young", NOW + 2 * DAY)):
            await tx.jobs.add(job(job_id, state=JobState.CANCEL, ended_at=ended_at))
            await tx.deliveries.add(job_id, target, NOW)
        taken = await tx.deliveries.take(LATER, until=LATER + DAY, limit=10, per_host=10, per_account=10, held={})
        assert len(taken) == 2
    assert await retention(database)() == 1
    assert await execute(database, "SELECT job_id FROM deliveries") == [{"job_id": "young"}]
    assert len(await execute(database, "SELECT number FROM delivery_attempts")) == 1


async def test_many_jobs_side_by_side(database: PostgresDatabase) -> None:
    """Several processes remove what several batches hold, each job once."""
    count = 3 * retention_module.BATCH + 1
    await fill(database, count)
    removed = await asyncio.gather(*(retention(database)() for _ in range(3)))
    assert sum(removed) == count
    assert await remaining(database) == []


async def test_what_another_holds_is_passed_over(database: PostgresDatabase) -> None:
    """A row that is locked is waited for by nobody, and goes the next time."""
    await fill(database, 3)
    async with database.transaction() as tx:
        await tx.connection.execute("SELECT FROM jobs WHERE job_id = 'j2' FOR SHARE")
        assert await retention(database)() == 2
    assert await retention(database)() == 1


async def test_it_goes_on(database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task that looks now and then outlives a look that fails."""
    monkeypatch.setattr(chore, "PAUSE_SECONDS", 0.01)
    failures = iter([RuntimeError("broken"), None])
    original = Retention._batch

    async def failing(self: Retention) -> int:
        if error := next(failures, None):
            raise error
        return await original(self)

    monkeypatch.setattr(Retention, "_batch", failing)
    await fill(database, 1)
    task = asyncio.create_task(retention(database).run())
    async with asyncio.timeout(20):
        while await remaining(database):
            await asyncio.sleep(0.01)
    task.cancel()


async def test_the_oldest_are_found_by_an_index(database: PostgresDatabase) -> None:
    """Looking for what is too old reads an index, not the table, however many jobs there are."""
    await fill(database, 5000)
    await execute(database, "UPDATE jobs SET ended_at = %s", datetime.now(UTC))
    await execute(database, "ANALYZE jobs")
    query = "EXPLAIN SELECT job_id FROM jobs WHERE ended_at < %s ORDER BY ended_at LIMIT 500 FOR UPDATE SKIP LOCKED"
    plan = "\n".join(str(row["QUERY PLAN"]) for row in await execute(database, query, NOW))
    assert "jobs_ended" in plan
    assert "Seq Scan" not in plan
