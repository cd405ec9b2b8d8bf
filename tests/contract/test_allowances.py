"""What accounts may have done, over real PostgreSQL: jobs that wait at a time, and audio that jobs read a day."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from unittest.mock import Mock

import pytest

from plans import plan_of
from rows import BUCKET, NOW, QUEUE_ID, add_bucket, bucket, execute, job, release
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.domain.allowance import NO_ALLOWANCE, Allowance
from sordino.domain.job import JobRequest, JobState, NoiseReduction, OperationRequest, Output
from sordino.errors import ServiceError
from sordino.jobs import room as rooms
from sordino.jobs.allowances import count_audio
from sordino.jobs.counts import FRESH, Counts
from sordino.jobs.submit import Submit
from sordino.wire.ids import new_job_id

APPID = "1250000000"
OTHER_BUCKET = "other-1250000000"
HOUR = 3600
TODAY = NOW.date()
FILL = """
INSERT INTO jobs (job_id, bucket, region, queue_id, input_object, operation, state, created_at, code, message, progress,
                  attempt)
SELECT 'f' || n, %s, 'ap-guangzhou', %s, 'in.mp3', '{}', 'Submitted', now(), 'Success', '', 0, 0
  FROM generate_series(1, %s) AS n
"""


def request(jobs: int = 1) -> JobRequest:
    """A request of so many operations."""
    outputs = [Output(region="ap-guangzhou", bucket=BUCKET, object=f"out{number}.wav") for number in range(jobs)]
    return JobRequest(
        input_object="in.mp3",
        operations=tuple(OperationRequest(noise_reduction=NoiseReduction(), output=output) for output in outputs),
    )


def submit(database: PostgresDatabase, now: datetime = NOW, **usual: int) -> Submit:
    """The use case of a process that has counted nothing yet, where accounts may so much that have no own limit."""
    return Submit(
        database=database,
        clock=Mock(now=lambda: now),
        new_job_id=new_job_id,
        max_size=1_000_000,
        poke=lambda: None,
        allowance=Allowance(**usual),
        counts=Counts(),
    )


async def allow(database: PostgresDatabase, **own: int) -> None:
    """Give the account limits of its own."""
    async with database.transaction() as tx:
        assert await tx.identities.allow(APPID, Allowance(**own))


async def fill(database: PostgresDatabase, count: int, name: str = BUCKET, queue_id: str = QUEUE_ID) -> None:
    """So many jobs that wait."""
    await execute(database, FILL, name, queue_id, count)


async def count(database: PostgresDatabase) -> int:
    """The jobs that there are."""
    (row,) = await execute(database, "SELECT count(*)::integer AS jobs FROM jobs")
    return int(str(row["jobs"]))


async def read(database: PostgresDatabase, day: date = TODAY) -> float:
    """Seconds of audio that the account's jobs have read of a day."""
    async with database.reading() as tx:
        return await tx.allowances.audio(APPID, day)


async def refusal(use: Submit, jobs: int = 1) -> ServiceError:
    """How a request is refused."""
    with pytest.raises(ServiceError) as caught:
        await use(bucket(), request(jobs))
    return caught.value


class TestQueuedJobs:
    """Jobs of an account that wait."""

    async def test_a_limit(self, database: PostgresDatabase) -> None:
        """As many wait as may; a request that brings more is refused whole, and told when to come again."""
        use = submit(database, queued_jobs=5)
        await use(bucket(), request(4))
        refused = await refusal(use, 2)
        assert (refused.status, refused.code) == (429, "SlowDown")
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.message.startswith("4 jobs of the account 1250000000 wait, of at most 5, and the request has 2;")
        await use(bucket(), request())
        assert await count(database) == 5
        await refusal(use)

    async def test_of_all_its_queues(self, database: PostgresDatabase) -> None:
        """Jobs in another bucket's queue count, and paused ones; those of another account and ended ones do not."""
        async with database.transaction() as tx:
            await add_bucket(tx, OTHER_BUCKET, "p2")
            await execute(database, "INSERT INTO accounts (appid, uin) VALUES ('1250000001', '9')")
            await add_bucket(tx, "foreign-1250000001", "p3")
            await tx.jobs.add(job("paused", state=JobState.PAUSE))
            await tx.jobs.add(job("ended", state=JobState.CANCEL, ended_at=NOW))
        await fill(database, 2, OTHER_BUCKET, "p2")
        await execute(database, FILL.replace("'f'", "'g'"), "foreign-1250000001", "p3", 9)
        async with database.reading() as tx:
            assert await tx.allowances.queued(APPID, 100) == 3
            assert await tx.allowances.queued(APPID, 2) == 2
        await submit(database, queued_jobs=4)(bucket(), request())
        await refusal(submit(database, queued_jobs=4))

    async def test_a_job_that_runs_does_not_wait(self, database: PostgresDatabase) -> None:
        """When one begins, another may come."""
        use = submit(database, queued_jobs=1)
        (first,) = await use(bucket(), request())
        async with database.transaction() as tx:
            (released,) = await release(tx)
            assert await tx.jobs.start(first.job_id, released.release, NOW)
        await replace(use, counts=Counts())(bucket(), request())

    async def test_an_own_limit_counts(self, database: PostgresDatabase) -> None:
        """What the operator set for the account wins over the server's setting, whichever is larger."""
        await allow(database, queued_jobs=2)
        await submit(database, queued_jobs=1)(bucket(), request(2))
        await refusal(submit(database, queued_jobs=100))
        await allow(database, queued_jobs=0)
        await refusal(submit(database))

    async def test_without_a_limit(self, database: PostgresDatabase) -> None:
        """By default there is none but the queue's."""
        await fill(database, 1000)
        assert submit(database).allowance == NO_ALLOWANCE
        await submit(database)(bucket(), request())

    async def test_in_parallel(self, database: PostgresDatabase) -> None:
        """Of submits at once, from several processes, just as many succeed as may wait."""
        uses = [submit(database, queued_jobs=5) for _ in range(12)]
        ends = await asyncio.gather(*(use(bucket(), request()) for use in uses), return_exceptions=True)
        assert sum(not isinstance(it, Exception) for it in ends) == 5
        assert {it.code for it in ends if isinstance(it, ServiceError)} == {"SlowDown"}
        assert await count(database) == 5

    async def test_a_burst_within_a_fresh_count(
        self, database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However many submits come in the second after a count, no more jobs wait than may."""
        monkeypatch.setattr(rooms, "CROWD", 4)
        use = submit(database, queued_jobs=20)
        ends = [await asyncio.gather(use(bucket(), request()), return_exceptions=True) for _ in range(30)]
        assert sum(isinstance(it, ServiceError) for (it,) in ends) == 10

    async def test_the_others_are_not_read(self, database: PostgresDatabase) -> None:
        """No more jobs are looked at than the limit is, by an index, though far more wait and have ended."""
        await fill(database, 100_000)
        await execute(
            database,
            "UPDATE jobs SET state = 'Success', started_at = now(), ended_at = now(), attempt = 1"
            " WHERE substr(job_id, 2)::integer < 60000",
        )
        await execute(database, "ANALYZE jobs")
        plan = await plan_of(database, lambda tx: tx.allowances.queued(APPID, 500))
        assert "Seq Scan on jobs" not in plan, plan
        assert "rows=500 " in plan
        assert "rows=100000" not in plan, plan

    async def test_much_room_is_not_counted_by_every_submit(self, database: PostgresDatabase) -> None:
        """While there is room by far a count of the last second is enough, and is made anew after it."""
        use = submit(database, queued_jobs=100_000)
        await use(bucket(), request())
        await execute(database, "DELETE FROM jobs")
        await use(bucket(), request())
        assert use.counts.fresh(f"account {APPID}", NOW) == 2
        later = replace(use, clock=Mock(now=lambda: NOW + 2 * FRESH))
        await later(bucket(), request())
        assert use.counts.fresh(f"account {APPID}", NOW + 2 * FRESH) == 2


class TestAudio:
    """Audio that jobs read a day."""

    async def test_what_is_read_counts(self, database: PostgresDatabase) -> None:
        """Of each day apart, by UTC."""
        evening = datetime(2026, 1, 5, 23, 59, 59, tzinfo=UTC)
        for seconds, now in ((1.5, evening), (2.25, evening), (4.0, evening + timedelta(seconds=1))):
            async with database.transaction() as tx:
                await count_audio(tx, job(), seconds, now)
        assert (await read(database), await read(database, date(2026, 1, 6))) == (3.75, 4.0)

    async def test_nothing_read(self, database: PostgresDatabase) -> None:
        """A job that read nothing leaves no row."""
        async with database.transaction() as tx:
            await count_audio(tx, job(), 0.0, NOW)
        assert await execute(database, "SELECT FROM audio_usage") == []

    async def test_jobs_that_end_at_once(self, database: PostgresDatabase) -> None:
        """None is lost of those that end side by side."""

        async def end() -> None:
            async with database.transaction() as tx:
                await count_audio(tx, job(), 1.0, NOW)

        await asyncio.gather(*(end() for _ in range(20)))
        assert await read(database) == 20

    async def test_a_day_that_is_used_up(self, database: PostgresDatabase) -> None:
        """Requests are refused until the day ends, and told when that is; the next day they are not."""
        await allow(database, audio_seconds=2 * HOUR)
        async with database.transaction() as tx:
            await count_audio(tx, job(), 2 * HOUR - 0.5, NOW)
        await submit(database)(bucket(), request())
        async with database.transaction() as tx:
            await count_audio(tx, job(), 0.5, NOW)
        refused = await refusal(submit(database))
        assert (refused.status, refused.code) == (429, "SlowDown")
        midnight = datetime(2026, 1, 6, tzinfo=UTC)
        assert abs(int(refused.headers["Retry-After"]) - (midnight - NOW).total_seconds()) <= 1
        assert refused.message.startswith("Jobs of the account 1250000000 have read 2.00 hours of audio today, of 2.00")
        await submit(database, now=midnight)(bucket(), request())
        await refusal(submit(database, now=midnight - timedelta(microseconds=1)))

    async def test_the_usual_day(self, database: PostgresDatabase) -> None:
        """The server's setting holds for accounts that have no limit of their own."""
        async with database.transaction() as tx:
            await count_audio(tx, job(), 10.0, NOW)
        await refusal(submit(database, audio_seconds=10))
        await allow(database, audio_seconds=11)
        await submit(database, audio_seconds=10)(bucket(), request())

    async def test_other_accounts_do_not_count(self, database: PostgresDatabase) -> None:
        """What one account's jobs read keeps no other from having some."""
        await execute(database, "INSERT INTO accounts (appid, uin) VALUES ('1250000001', '9')")
        async with database.transaction() as tx:
            await count_audio(tx, job(bucket="foreign-1250000001"), 100.0, NOW)
        await submit(database, audio_seconds=1)(bucket(), request())
