"""What the rows of jobs in PostgreSQL promise, on the embedded server and on one outside."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from rows import (
    BUCKET,
    DONE,
    LATER,
    MEDIA_INFO,
    NOW,
    PLAIN_MEDIA_INFO,
    RICH_ORDER,
    execute,
    found,
    job,
    release,
    started,
    waiting_for_a_lock,
)
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.domain.job import (
    KEEP,
    Job,
    JobState,
    NoiseReduction,
    Operation,
    Outcome,
    Output,
)

OLD_OPERATION = {
    "noise_reduction": {"format": "wav", "sample_rate": 16000, "spelling": "SampleRate"},
    "output": {"region": "ap-guangzhou", "bucket": BUCKET, "object": "out.wav"},
    "user_data": None,
    "job_level": None,
}
OLD_MEDIA_INFO = {
    "duration": 1 / 3,
    "sample_rate": 16000,
    "channels": 1,
    "size": 10712,
    "format_name": "wav",
    "codec_name": "pcm_s16le",
}


class TestJobs:
    """Rows of jobs."""

    async def test_comes_back_equal(self, database: PostgresDatabase) -> None:
        """Every field of a submitted job survives, and what was left out stays left out."""
        plain = job("plain")
        rich = job(
            "rich",
            operation=Operation(
                noise_reduction=RICH_ORDER,
                output=Output(region="ap-beijing", bucket="other-1250000000", object="out/é\\😀.m4a"),
                user_data="",
                job_level=2,
            ),
        )
        async with database.transaction() as tx:
            await tx.jobs.add(plain)
            await tx.jobs.add(rich)
        async with database.transaction() as tx:
            assert await tx.jobs.find(BUCKET, ["rich", "plain"]) == [rich, plain]

    async def test_loudness_that_is_kept(self, database: PostgresDatabase) -> None:
        """The word comes back as the word."""
        order = NoiseReduction(loudness=KEEP)
        kept = job(operation=replace(job().operation, noise_reduction=order))
        async with database.transaction() as tx:
            await tx.jobs.add(kept)
        assert await found(database) == kept

    async def test_loads_jobs_of_earlier_versions(self, database: PostgresDatabase) -> None:
        """A row as the version before the extensions wrote it is a job that has none of them."""
        await started(database)
        async with database.transaction() as tx:
            await tx.jobs.finish("j1", 1, DONE, LATER)
        operation, info = (json.dumps(value) for value in (OLD_OPERATION, OLD_MEDIA_INFO))
        await execute(database, "UPDATE jobs SET operation = %s::jsonb, media_info = %s::jsonb", operation, info)
        ended = await found(database)
        assert ended.operation == job().operation
        assert ended.media_info == PLAIN_MEDIA_INFO

    async def test_finds_in_the_order_asked(self, database: PostgresDatabase) -> None:
        """Unknown ids and those of other buckets are left out."""
        async with database.transaction() as tx:
            for job_id in "abc":
                await tx.jobs.add(job(job_id))
            assert [it.job_id for it in await tx.jobs.find(BUCKET, ["c", "x", "a"])] == ["c", "a"]
            assert await tx.jobs.find("other-1250000000", ["a"]) == []
            assert await tx.jobs.find(BUCKET, []) == []

    async def test_starts_and_finishes(self, database: PostgresDatabase) -> None:
        """The states, times and counters of a job that succeeds, as the rows tell them."""
        running = await started(database)
        assert running == job(state=JobState.RUNNING, started_at=NOW, attempt=1, release=1)
        async with database.transaction() as tx:
            assert await tx.jobs.progress("j1", 1, 40)
        assert await found(database) == replace(running, progress=40)
        async with database.transaction() as tx:
            assert await tx.jobs.finish("j1", 1, replace(DONE, message="cut short"), LATER)
        assert await found(database) == replace(
            running,
            state=JobState.SUCCESS,
            ended_at=LATER,
            message="cut short",
            progress=100,
            media_info=MEDIA_INFO,
        )

    async def test_fails(self, database: PostgresDatabase) -> None:
        """A failed job keeps its code and how far it was."""
        running = await started(database)
        failure = Outcome(state=JobState.FAILED, code="ResourceNotSupported", message="no audio")
        async with database.transaction() as tx:
            await tx.jobs.progress("j1", 1, 40)
            assert await tx.jobs.finish("j1", 1, failure, LATER)
        assert await found(database) == replace(
            running, state=JobState.FAILED, ended_at=LATER, code="ResourceNotSupported", message="no audio", progress=40
        )

    async def test_of_two_attempts_the_later_one_counts(self, database: PostgresDatabase) -> None:
        """Two workers start the job at once: both run, and whatever the earlier one says is refused."""

        async def start() -> Job | None:
            async with database.transaction() as tx:
                return await tx.jobs.start("j1", 1, LATER)

        async with database.transaction() as tx:
            await tx.jobs.add(job())
            await release(tx)
        async with database.transaction() as tx:
            first = await tx.jobs.start("j1", 1, NOW)
            second_start = asyncio.create_task(start())
            await waiting_for_a_lock(database)
        second = await second_start
        assert (first.attempt, second.attempt) == (1, 2)
        async with database.transaction() as tx:
            assert not await tx.jobs.progress("j1", 1, 50)
            assert not await tx.jobs.requeue("j1", 1)
            assert await tx.jobs.fault("j1", 1) is None
            assert not await tx.jobs.finish("j1", 1, DONE, LATER)
        assert await found(database) == second
        async with database.transaction() as tx:
            assert await tx.jobs.finish("j1", 2, DONE, LATER)

    async def test_another_worker_begins_from_the_start(self, database: PostgresDatabase) -> None:
        """A job taken over while it runs has a new attempt, a new start time and no progress."""
        running = await started(database)
        async with database.transaction() as tx:
            await tx.jobs.progress("j1", 1, 40)
            taken = await tx.jobs.start("j1", 1, LATER)
        assert taken == replace(running, started_at=LATER, attempt=2, progress=0)

    async def test_ends_once(self, database: PostgresDatabase) -> None:
        """Two that end the same attempt at once: one is told True, and its outcome stays."""
        await started(database)

        async def finish(outcome: Outcome) -> bool:
            async with database.transaction() as tx:
                return await tx.jobs.finish("j1", 1, outcome, LATER)

        failure = Outcome(state=JobState.FAILED, code="InternalError")
        succeeded, failed = await asyncio.gather(finish(DONE), finish(failure))
        assert succeeded != failed
        assert (await found(database)).state == (JobState.SUCCESS if succeeded else JobState.FAILED)

    @pytest.mark.parametrize("state", ["Success", "Failed", "Cancel", "Pause"])
    async def test_does_not_start_what_may_not_run(self, database: PostgresDatabase, state: str) -> None:
        """Ended and paused jobs are left as they are."""
        async with database.transaction() as tx:
            await tx.jobs.add(job())
        await execute(
            database,
            "UPDATE jobs SET state = %s, released = %s, started_at = %s, ended_at = %s, code = %s, attempt = 1,"
            " release = 1",
            state,
            state != "Pause",
            None if state == "Pause" else NOW,
            None if state == "Pause" else LATER,
            "InternalError" if state == "Failed" else "Success",
        )
        before = await found(database)
        async with database.transaction() as tx:
            assert await tx.jobs.start("j1", 1, LATER) is None
            assert not await tx.jobs.requeue("j1", 1)
            assert not await tx.jobs.finish("j1", 1, DONE, LATER)
        assert await found(database) == before

    async def test_an_unknown_job_does_not_start(self, database: PostgresDatabase) -> None:
        """None, nothing raised."""
        async with database.transaction() as tx:
            assert await tx.jobs.start("none", 1, NOW) is None

    async def test_requeues(self, database: PostgresDatabase) -> None:
        """A job given back waits as if it had not run, but its attempt counts, and it can start again."""
        await started(database)
        async with database.transaction() as tx:
            await tx.jobs.progress("j1", 1, 40)
            assert await tx.jobs.requeue("j1", 1)
            assert not await tx.jobs.requeue("j1", 1)
        assert await found(database) == job(attempt=1, release=1)
        async with database.transaction() as tx:
            assert (await tx.jobs.start("j1", 1, LATER)).attempt == 2

    async def test_a_waiting_job_cannot_finish(self, database: PostgresDatabase) -> None:
        """Only a running attempt ends; a job that never ran has none."""
        async with database.transaction() as tx:
            await tx.jobs.add(job())
            assert not await tx.jobs.finish("j1", 0, DONE, LATER)
            assert not await tx.jobs.progress("j1", 0, 1)

    async def test_counts_faults_across_attempts(self, database: PostgresDatabase) -> None:
        """Faults add up over the attempts of a job."""
        await started(database)
        async with database.transaction() as tx:
            assert await tx.jobs.fault("j1", 1) == 1
            await tx.jobs.requeue("j1", 1)
            await tx.jobs.start("j1", 1, LATER)
            assert await tx.jobs.fault("j1", 2) == 2

    async def test_finds_unfinished_jobs_without_a_task(self, database: PostgresDatabase) -> None:
        """Jobs that wait or run and that no waiting or running task of theirs would run, the oldest first."""
        async with database.transaction() as tx:
            for number, job_id in enumerate(("running", "lost", "doing", "todo", "ended", "young")):
                await tx.jobs.add(job(job_id, created_at=NOW + timedelta(seconds=number)))
                await tx.tasks.run_job(job_id, 1)
            await release(tx)
            for job_id in ("running", "ended"):
                await tx.jobs.start(job_id, 1, NOW)
            await tx.jobs.finish("ended", 1, DONE, LATER)
        gone = "DELETE FROM procrastinate_jobs WHERE args ->> 'job_id' = ANY(%s)"
        await execute(database, gone, ["running", "ended", "young"])
        for status, job_id in (("doing", "doing"), ("failed", "lost")):
            change = "UPDATE procrastinate_jobs SET status = %s WHERE args ->> 'job_id' = %s"
            await execute(database, change, status, job_id)
        async with database.transaction() as tx:
            assert [it.job_id for it in await tx.jobs.unfinished_without_task(LATER, 10)] == ["running", "lost"]
            assert [it.job_id for it in await tx.jobs.unfinished_without_task(LATER, 1)] == ["running"]
            assert await tx.jobs.unfinished_without_task(NOW, 10) == []
            await tx.tasks.run_job("lost", 1)
            assert [it.job_id for it in await tx.jobs.unfinished_without_task(LATER, 10)] == ["running"]

    async def test_finds_them_among_many(self, database: PostgresDatabase) -> None:
        """One lost job among 20,000 with a task is found quickly, though no statistics tell of them yet."""
        async with database.transaction() as tx:
            await tx.jobs.add(job("lost"))
            await release(tx)
        columns = (
            "bucket, region, queue_id, input_object, operation, state, created_at, code, message, progress, attempt,"
            " released, release"
        )
        await execute(
            database,
            f"INSERT INTO jobs (job_id, {columns}) SELECT 'j' || n, {columns} FROM jobs, generate_series(1, 20000) n",
        )
        await execute(
            database,
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args)"
            " SELECT 'media', 'run_job', jsonb_build_object('job_id', 'j' || n, 'release', 1)"
            " FROM generate_series(1, 20000) AS n",
        )
        async with database.transaction() as tx:
            await tx.jobs.connection.execute("SET LOCAL statement_timeout = '2s'")
            assert [it.job_id for it in await tx.jobs.unfinished_without_task(LATER, 10)] == ["lost"]

    async def test_an_id_is_used_once(self, database: PostgresDatabase) -> None:
        """A second job of the same id is an error, not a replacement."""
        async with database.transaction() as tx:
            await tx.jobs.add(job())
        with pytest.raises(psycopg.errors.UniqueViolation):
            async with database.transaction() as tx:
                await tx.jobs.add(job(input_object="other.mp3"))
