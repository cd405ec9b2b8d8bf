"""What lists, cancelling and pausing of jobs in PostgreSQL promise, on the embedded server and on one outside."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rows import BUCKET, DONE, LATER, NOW, QUEUE_ID, add_bucket, execute, found, job, queue, release, started
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.domain.callback import CallbackFormat, CallbackType, JobCallback, MqMode, MqTarget
from sordino.domain.job import Job, JobCursor, JobFilter, JobState, Order, TemplateRef
from sordino.jobs.manage import ManageJobs

JOBS = 60
STATES = tuple(JobState)


def at(second: int) -> datetime:
    """A time of creation; three jobs share each."""
    return NOW + timedelta(seconds=second // 3)


def many() -> Sequence[Job]:
    """Jobs of every state, two queues and three inputs, some of the same time."""
    return [
        job(
            f"j{number:02}",
            created_at=at(number),
            queue_id=("p1", "p2")[number % 2],
            input_object=("a", "b", "a b")[number % 5 % 3],
            state=STATES[number % 7 % 6],
            **_as_in_state(STATES[number % 7 % 6]),
        )
        for number in range(JOBS)
    ]


def _as_in_state(state: JobState) -> dict[str, object]:
    began = state in (JobState.RUNNING, JobState.SUCCESS, JobState.FAILED)
    return {
        "started_at": NOW if began else None,
        "attempt": int(began),
        "ended_at": LATER if state.terminal else None,
        "code": "InternalError" if state is JobState.FAILED else "Success",
    }


def model_list(wanted: JobFilter, order: Order, after: JobCursor | None, limit: int) -> list[str]:
    """The rule, said plainly: filter, sort, cut."""
    jobs = [
        it
        for it in many()
        if (not wanted.states or it.state in wanted.states)
        and wanted.queue_id in (None, it.queue_id)
        and wanted.input_object in (None, it.input_object)
        and (wanted.created_from is None or it.created_at >= wanted.created_from)
        and (wanted.created_until is None or it.created_at <= wanted.created_until)
    ]
    jobs.sort(key=_place, reverse=order is Order.DESCENDING)
    if after is not None:
        mark = (after.created_at, after.job_id)
        jobs = [it for it in jobs if (_place(it) > mark if order is Order.ASCENDING else _place(it) < mark)]
    return [it.job_id for it in jobs[:limit]]


def _place(it: Job) -> tuple[datetime, str]:
    return it.created_at, it.job_id


@pytest.fixture
async def filled(database: PostgresDatabase) -> PostgresDatabase:
    """The database with ``many`` jobs in its bucket, and one in another."""
    async with database.transaction() as tx:
        await tx.queues.add(queue("p2", is_default=False))
        await add_bucket(tx, "other-1250000000", "o1")
        await tx.jobs.add(job("j00x", bucket="other-1250000000", queue_id="o1"))
        for it in many():
            await tx.jobs.add(it)
    return database


FILTERS = st.builds(
    JobFilter,
    states=st.frozensets(st.sampled_from(STATES), max_size=3),
    queue_id=st.sampled_from([None, "p1", "p2", "o1"]),
    input_object=st.sampled_from([None, None, "a", "b", "a b", "none"]),
    created_from=st.none() | st.integers(-3, JOBS + 3).map(at),
    created_until=st.none() | st.integers(-3, JOBS + 3).map(at),
)
CURSORS = st.none() | st.integers(0, JOBS).map(lambda it: JobCursor(created_at=at(it), job_id=f"j{it:02}"))


class TestList:
    """Lists of jobs."""

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(wanted=FILTERS, order=st.sampled_from(Order), after=CURSORS, limit=st.integers(1, JOBS + 1))
    async def test_agrees_with_the_rule(
        self, filled: PostgresDatabase, wanted: JobFilter, order: Order, after: JobCursor | None, limit: int
    ) -> None:
        """Any filter, order, cursor and limit give what sorting everything in memory gives."""
        async with filled.transaction() as tx:
            page = await tx.jobs.list(BUCKET, wanted, order=order, after=after, limit=limit)
        assert [it.job_id for it in page] == model_list(wanted, order, after, limit)

    async def test_jobs_come_whole(self, filled: PostgresDatabase) -> None:
        """A list has the same jobs that a query by id has."""
        async with filled.transaction() as tx:
            page = await tx.jobs.list(BUCKET, JobFilter(), order=Order.ASCENDING, after=None, limit=JOBS)
        assert list(page) == sorted(many(), key=_place)

    @pytest.mark.parametrize("order", Order)
    async def test_pages_are_stable_while_jobs_come_and_change(self, filled: PostgresDatabase, order: Order) -> None:
        """Following ``next`` visits every job that was there once, though others are added and some end meanwhile."""
        manage = ManageJobs(database=filled, clock=_Noon(), poke=lambda: None)
        seen: list[str] = []
        after: JobCursor | None = None
        while True:
            page = await manage.list(BUCKET, JobFilter(), order=order, after=after, size=7)
            seen += [it.job_id for it in page.jobs]
            async with filled.transaction() as tx:
                await tx.jobs.add(job(f"n{len(seen)}", created_at=at(JOBS + 3)))
                await tx.jobs.cancel(BUCKET, seen[-1], LATER)
            if page.next is None:
                break
            after = page.next
        assert [it for it in seen if it.startswith("j")] == model_list(JobFilter(), order, None, JOBS)
        assert len(seen) == len(set(seen))

    async def test_a_full_last_page_is_the_end(self, filled: PostgresDatabase) -> None:
        """As many jobs as the page has room for: there is no next one, and an empty list has none either."""
        manage = ManageJobs(database=filled, clock=_Noon(), poke=lambda: None)
        whole = await manage.list(BUCKET, JobFilter(), order=Order.ASCENDING, after=None, size=JOBS)
        empty = await manage.list("none-1250000000", JobFilter(), order=Order.ASCENDING, after=None, size=1)
        assert (len(whole.jobs), whole.next) == (JOBS, None)
        assert (empty.jobs, empty.next) == ((), None)

    @pytest.mark.parametrize(
        "wanted",
        [
            JobFilter(),
            JobFilter(states=frozenset({JobState.FAILED, JobState.CANCEL})),
            JobFilter(queue_id="old"),
            JobFilter(input_object="old"),
            JobFilter(created_from=NOW + timedelta(seconds=500), created_until=NOW + timedelta(seconds=600)),
        ],
        ids=["all", "states", "queue", "input", "time"],
    )
    @pytest.mark.parametrize("order", Order)
    async def test_reads_few_of_many(self, database: PostgresDatabase, wanted: JobFilter, order: Order) -> None:
        """A page of 10 among 20,000 reads some rows of the table and not all, wherever in time its jobs are."""
        async with database.transaction() as tx:
            await tx.jobs.add(job(state=JobState.SUCCESS, **_as_in_state(JobState.SUCCESS)))
        columns = "bucket, region, operation, state, started_at, ended_at, code, message, progress, attempt"
        await execute(
            database,
            f"INSERT INTO jobs (job_id, queue_id, input_object, created_at, {columns})"
            " SELECT 'j' || n, place, place, created_at + n * interval '1 second', "
            f"{columns} FROM jobs, generate_series(2, 20000) AS n,"
            " LATERAL (SELECT CASE WHEN n BETWEEN 8000 AND 12000 THEN 'old' ELSE 'new' END) AS it (place)",
        )
        await execute(database, "ANALYZE jobs")
        read = "SELECT idx_tup_fetch + seq_tup_read AS rows FROM pg_stat_xact_user_tables WHERE relname = 'jobs'"
        async with database.transaction() as tx:
            await tx.jobs.list(BUCKET, wanted, order=order, after=None, limit=10)
            fetched = await (await tx.jobs.connection.execute(read)).fetchone()
        assert fetched["rows"] < 100


class _Noon:
    """A clock that stands."""

    def now(self) -> datetime:
        """Always the same."""
        return LATER


class TestWaiting:
    """Jobs that wait: counted, cancelled, paused, let go on."""

    async def test_counts_up_to_the_limit(self, filled: PostgresDatabase) -> None:
        """Submitted and paused jobs of the queue count, others do not, and counting stops at the limit."""
        waiting = [it for it in many() if it.queue_id == "p1" and it.state in (JobState.SUBMITTED, JobState.PAUSE)]
        async with filled.transaction() as tx:
            assert await tx.jobs.waiting(BUCKET, "p1", 1000) == len(waiting)
            assert await tx.jobs.waiting(BUCKET, "p1", 3) == 3
            assert await tx.jobs.waiting(BUCKET, "none", 3) == 0

    @pytest.mark.parametrize("state", STATES)
    async def test_knows_what_is_unfinished(self, database: PostgresDatabase, state: JobState) -> None:
        """Waiting, paused and running jobs keep bucket and queue busy, ended ones do not."""
        async with database.transaction() as tx:
            await tx.jobs.add(job(state=state, **_as_in_state(state)))
            assert await tx.jobs.unfinished(BUCKET) is not state.terminal
            assert await tx.jobs.unfinished(BUCKET, QUEUE_ID) is not state.terminal
            assert not await tx.jobs.unfinished(BUCKET, "p2")
            assert not await tx.jobs.unfinished("other-1250000000")

    @pytest.mark.parametrize("state", STATES)
    async def test_cancels_what_waits(self, database: PostgresDatabase, state: JobState) -> None:
        """Submitted and paused jobs end as cancelled; all others stay as they are."""
        waits = state in (JobState.SUBMITTED, JobState.PAUSE)
        before = job(state=state, **_as_in_state(state))
        async with database.transaction() as tx:
            await tx.jobs.add(before)
            assert not await tx.jobs.cancel("other-1250000000", "j1", LATER)
            assert await tx.jobs.cancel(BUCKET, "j1", LATER) is waits
        expected = replace(before, state=JobState.CANCEL, ended_at=LATER) if waits else before
        assert await found(database) == expected

    async def test_a_released_job_can_be_cancelled(self, database: PostgresDatabase) -> None:
        """As long as no worker began it; the one that comes then does not start it."""
        async with database.transaction() as tx:
            await tx.jobs.add(job())
            (it,) = await release(tx)
            assert await tx.jobs.cancel(BUCKET, "j1", LATER)
            assert await tx.jobs.start("j1", it.release, LATER) is None

    async def test_of_start_and_cancel_one_wins(self, database: PostgresDatabase) -> None:
        """A job that is begun and cancelled at once is one of both."""
        async with database.transaction() as tx:
            await tx.jobs.add(job())
            await release(tx)

        async def start() -> bool:
            async with database.transaction() as tx:
                return await tx.jobs.start("j1", 1, NOW) is not None

        async def cancel() -> bool:
            async with database.transaction() as tx:
                return await tx.jobs.cancel(BUCKET, "j1", LATER)

        began, cancelled = await asyncio.gather(start(), cancel())
        assert began != cancelled
        assert (await found(database)).state is (JobState.RUNNING if began else JobState.CANCEL)

    async def test_pauses_and_resumes_a_queue(self, filled: PostgresDatabase) -> None:
        """Its waiting jobs alone are paused, and wait again as they did, in their old order."""
        before = {it.job_id: it for it in many()}
        submitted = [it.job_id for it in many() if it.queue_id == "p1" and it.state is JobState.SUBMITTED]
        paused = [it.job_id for it in many() if it.queue_id == "p1" and it.state is JobState.PAUSE]
        async with filled.transaction() as tx:
            assert await tx.jobs.pause(BUCKET, "p1") == len(submitted)
            now = {it.job_id: it for it in await tx.jobs.find(BUCKET, list(before))}
        for job_id in submitted:
            assert now[job_id] == replace(before[job_id], state=JobState.PAUSE)
            before[job_id] = now[job_id]
        assert now == before
        async with filled.transaction() as tx:
            assert await tx.jobs.resume(BUCKET, "p1") == len(submitted) + len(paused)
            waiting = await tx.jobs.list(
                BUCKET,
                JobFilter(states=frozenset({JobState.SUBMITTED}), queue_id="p1"),
                order=Order.ASCENDING,
                after=None,
                limit=JOBS,
            )
        assert [it.job_id for it in waiting] == sorted(submitted + paused)

    async def test_pausing_takes_back_what_was_released(self, database: PostgresDatabase) -> None:
        """A job that was released and not begun is paused; the task it had is void, also once it waits again."""
        async with database.transaction() as tx:
            await tx.jobs.add(job())
            (first,) = await release(tx)
            assert await tx.jobs.pause(BUCKET, QUEUE_ID) == 1
            assert await tx.jobs.start("j1", first.release, NOW) is None
            assert await tx.jobs.resume(BUCKET, QUEUE_ID) == 1
            assert await tx.jobs.start("j1", first.release, NOW) is None
            (second,) = await release(tx)
            assert await tx.jobs.start("j1", first.release, NOW) is None
            assert await tx.jobs.start("j1", second.release, NOW) is not None

    async def test_running_jobs_go_on(self, database: PostgresDatabase) -> None:
        """Pausing and resuming leave them alone."""
        running = await started(database)
        async with database.transaction() as tx:
            assert await tx.jobs.pause(BUCKET, QUEUE_ID) == 0
            assert await tx.jobs.resume(BUCKET, QUEUE_ID) == 0
            assert await tx.jobs.finish("j1", running.attempt, DONE, LATER)

    @pytest.mark.parametrize(
        "callback",
        [
            JobCallback(muted=True),
            JobCallback(url="http://hooks.example/é", type=CallbackType.URL, format=CallbackFormat.JSON),
            JobCallback(type=CallbackType.TDMQ, mq=MqTarget(region="sh", mode=MqMode.TOPIC, name="ends")),
        ],
        ids=["muted", "url", "mq"],
    )
    async def test_callback_and_template_come_back_equal(
        self, database: PostgresDatabase, callback: JobCallback
    ) -> None:
        """What a job says of its callback and the template it was made from survive."""
        operation = replace(job().operation, template=TemplateRef(template_id="t1", name="名"))
        async with database.transaction() as tx:
            await tx.jobs.add(job(callback=callback, operation=operation))
        assert await found(database) == job(callback=callback, operation=operation)
