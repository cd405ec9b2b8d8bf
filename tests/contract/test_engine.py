"""The task engine's worker and the takeover, over real databases that fail at the worst moment."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import procrastinate
import psycopg
import pytest
from procrastinate.exceptions import ConnectorException

from rows import NOW, execute, found, job, release
from sordino.adapters import worker as worker_module
from sordino.adapters.clock import SystemClock
from sordino.adapters.postgres.database import PostgresDatabase, PostgresTransaction
from sordino.adapters.postgres.jobs import PostgresJobs
from sordino.adapters.takeover import Takeover
from sordino.adapters.tasks import MEDIA_QUEUE, run_job
from sordino.adapters.worker import EngineWorker
from sordino.domain.callback import JobCallback
from sordino.domain.job import JobState
from sordino.domain.ports import DatabaseUnavailableError, ReleasedJob
from sordino.jobs.losses import Losses
from sordino.jobs.pipeline import TryAgainError

WORKERS = "SELECT id FROM procrastinate_workers ORDER BY id"
TASKS = "SELECT args ->> 'job_id' AS job_id, status, worker_id FROM procrastinate_jobs ORDER BY id"


@asynccontextmanager
async def working(
    app: procrastinate.App, run: Callable[[str, int], Awaitable[None]], **options: Any
) -> AsyncIterator[None]:
    """A worker that works while the block runs."""
    options = {"queue": MEDIA_QUEUE, "heartbeat": 0.05, "silence": 5.0} | options
    worker = EngineWorker(app=app, clock=SystemClock(), act=partial(run_job, run), **options)
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def takeover_of(app: procrastinate.App, database: PostgresDatabase, *, silence: float = 10, limit: int = 3) -> Takeover:
    """A takeover; a job may cost so many workers."""
    clock = SystemClock()
    losses = Losses(clock=clock, limit=limit)
    return Takeover(app=app, database=database, clock=clock, losses=losses, silence=silence, poke=lambda: None)


async def defer(database: PostgresDatabase, *job_ids: str, release: int = 1) -> None:
    """Have jobs run."""
    async with database.transaction() as tx:
        for job_id in job_ids:
            await tx.tasks.run_job(job_id, release)


async def rows(database: PostgresDatabase, query: str) -> list[dict[str, object]]:
    """What the engine's tables hold."""
    async with database.pool.connection() as connection:
        return list(await (await connection.execute(query)).fetchall())


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.02)


class Log:
    """Notes which jobs were run, and which of their releases."""

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.releases: list[int] = []

    async def __call__(self, job_id: str, release: int) -> None:
        """Run a job."""
        self.jobs.append(job_id)
        self.releases.append(release)

    async def has(self, count: int) -> bool:
        """Whether so many jobs were run."""
        return len(self.jobs) >= count


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions begin anew at once."""
    monkeypatch.setattr(worker_module, "LONGEST_PAUSE", 0.05)


async def test_runs_what_was_first(app: procrastinate.App, empty_database: PostgresDatabase) -> None:
    """Tasks run in the order in which they were deferred, and leave no row."""
    await defer(empty_database, "old", "young")
    await defer(empty_database, "youngest", release=2)
    log = Log()
    async with working(app, log):
        await until(lambda: log.has(3))
        await until(lambda: _empty(empty_database))
    assert log.jobs == ["old", "young", "youngest"]
    assert log.releases == [1, 1, 2]


async def test_a_task_of_an_earlier_version(app: procrastinate.App, empty_database: PostgresDatabase) -> None:
    """A task that names no release is of release 0."""
    await app.configure_task("run_job", queue=MEDIA_QUEUE).defer_async(job_id="j1")
    log = Log()
    async with working(app, log):
        await until(lambda: log.has(1))
    assert (log.jobs, log.releases) == (["j1"], [0])


async def test_says_when_it_is_free(app: procrastinate.App, empty_database: PostgresDatabase) -> None:
    """A worker asks for more when it begins and after each task, and has a slot as long as it works."""
    log, asked = Log(), []
    await defer(empty_database, "j1")
    async with working(app, log, slot=True, free=lambda: asked.append(len(log.jobs))):
        await until(lambda: _beaten(asked, 2))
        assert [row["worker_id"] for row in await rows(empty_database, "SELECT worker_id FROM slots")] == [
            row["id"] for row in await rows(empty_database, WORKERS)
        ]
    assert asked == [0, 1]
    assert await rows(empty_database, "SELECT FROM slots") == []


async def test_serves_its_own_queue(app: procrastinate.App, empty_database: PostgresDatabase) -> None:
    """A worker of another queue leaves jobs alone and has no slot."""
    await defer(empty_database, "j1")
    await app.configure_task("other", queue="other").defer_async(job_id="o1")
    log = Log()
    async with working(app, log, queue="other"):
        await until(lambda: log.has(1))
        assert await rows(empty_database, "SELECT FROM slots") == []
    assert log.jobs == ["o1"]


async def _empty(database: PostgresDatabase) -> bool:
    return not await rows(database, TASKS)


async def test_a_new_task_wakes_the_worker(
    app: procrastinate.App, empty_database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task deferred while the worker waits is picked up by notice, without waiting for the next poll."""
    monkeypatch.setattr(worker_module, "POLL_SECONDS", 3600.0)
    log = Log()
    async with working(app, log):
        await until(lambda: _listening(empty_database))
        await defer(empty_database, "j1")
        await until(lambda: log.has(1))


async def _listening(database: PostgresDatabase) -> bool:
    query = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"
    return bool(await rows(database, query))


async def test_try_again_runs_again(app: procrastinate.App, empty_database: PostgresDatabase) -> None:
    """A task whose job shall be tried again runs again after the time named."""
    log = Log()

    async def run(job_id: str, release: int) -> None:
        await log(job_id, release)
        if len(log.jobs) == 1:
            raise TryAgainError(0)

    await defer(empty_database, "j1")
    async with working(app, run):
        await until(lambda: log.has(2))
    assert log.jobs == ["j1", "j1"]


async def test_a_task_that_cannot_begin_does_not_hold_up_the_others(
    app: procrastinate.App, empty_database: PostgresDatabase
) -> None:
    """A task that breaks is put off, and the next one runs in the same session."""
    log = Log()

    async def run(job_id: str, release: int) -> None:
        await log(job_id, release)
        if job_id == "broken":
            raise KeyError("row of another version")

    await defer(empty_database, "broken", "sound")
    async with working(app, run):
        await until(lambda: log.has(2))
        await until(lambda: _only_task(empty_database, "broken", "todo"))
    assert log.jobs == ["broken", "sound"]


async def _only_task(database: PostgresDatabase, job_id: str, status: str) -> bool:
    return [(row["job_id"], row["status"]) for row in await rows(database, TASKS)] == [(job_id, status)]


async def test_stopping_gives_the_task_back(app: procrastinate.App, empty_database: PostgresDatabase) -> None:
    """A worker that is stopped leaves its task waiting, and no trace of itself."""
    started = asyncio.Event()

    async def run(job_id: str, release: int) -> None:
        started.set()
        await asyncio.sleep(60)

    await defer(empty_database, "j1")
    async with working(app, run):
        await started.wait()
    assert await _only_task(empty_database, "j1", "todo")
    assert await rows(empty_database, WORKERS) == []


async def test_one_failed_heartbeat_changes_nothing(
    app: procrastinate.App, empty_database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A heartbeat that fails is followed by the next one, under the same number."""
    failures = iter([True, False, False, False])
    beats: list[bool] = []
    original = EngineWorker._sign_of_life

    async def failing(self: EngineWorker, worker_id: int) -> bool:
        if next(failures, False):
            raise psycopg.OperationalError("cut")
        beats.append(await original(self, worker_id))
        return beats[-1]

    monkeypatch.setattr(EngineWorker, "_sign_of_life", failing)
    async with working(app, Log()):
        await until(lambda: _beaten(beats, 1))
        before = await rows(empty_database, WORKERS)
        await until(lambda: _beaten(beats, 4))
        assert await rows(empty_database, WORKERS) == before
    assert all(beats)


async def _beaten(beats: Sequence[object], count: int) -> bool:
    return len(beats) >= count


async def test_a_worker_held_for_dead_begins_anew(app: procrastinate.App, empty_database: PostgresDatabase) -> None:
    """A worker whose row is gone stops its job, comes back under a new number and runs the job again."""
    log = Log()

    async def run(job_id: str, release: int) -> None:
        await log(job_id, release)
        if len(log.jobs) == 1:
            await asyncio.sleep(60)

    await defer(empty_database, "j1")
    async with working(app, run):
        await until(lambda: log.has(1))
        (first,) = await rows(empty_database, WORKERS)
        async with empty_database.pool.connection() as connection:
            await connection.execute("DELETE FROM procrastinate_workers")
        await until(lambda: log.has(2))
        (second,) = await rows(empty_database, WORKERS)
    assert second != first


async def test_a_task_that_cannot_be_settled_is_not_forgotten(
    app: procrastinate.App, empty_database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a task's end cannot be written, the session ends, and the task is taken over and settled later."""
    log, finish, failures = Log(), app.job_manager.finish_job, iter([True])

    async def failing(*args: object, **options: object) -> None:
        if next(failures, False):
            raise ConnectorException from psycopg.OperationalError("cut")
        await finish(*args, **options)

    monkeypatch.setattr(app.job_manager, "finish_job", failing)
    takeover = takeover_of(app, empty_database, silence=0.3)
    await defer(empty_database, "j1")
    async with working(app, log):
        looking = asyncio.create_task(takeover.run())
        await until(lambda: log.has(2))
        await until(lambda: _empty(empty_database))
        looking.cancel()
    assert log.jobs == ["j1", "j1"]


async def test_takeover_from_the_dead_and_from_nobody_else(
    app: procrastinate.App, empty_database: PostgresDatabase
) -> None:
    """Only tasks of workers that are silent or gone are taken over, each once, of whatever queue, as they were."""
    await defer(empty_database, "dead", "alive", release=3)
    await app.configure_task("other", queue="other", priority=1).defer_async(job_id="gone", more=[1])
    async with empty_database.pool.connection() as connection:
        for job_id, age in (("dead", 60), ("gone", None), ("alive", 1)):
            worker = None
            if age is not None:
                query = "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - %s) RETURNING id"
                worker = (await (await connection.execute(query, [timedelta(seconds=age)])).fetchone())["id"]
            await connection.execute(
                "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s WHERE args ->> 'job_id' = %s",
                [worker, job_id],
            )
    takeover = takeover_of(app, empty_database, silence=10)
    assert await takeover.from_the_dead() == 2
    assert await takeover.from_the_dead() == 0
    found = {row["job_id"]: row["status"] for row in await rows(empty_database, TASKS)}
    assert found == {"alive": "doing", "dead": "todo", "gone": "todo"}
    found = await rows(
        empty_database,
        "SELECT queue_name, task_name, priority, args FROM procrastinate_jobs ORDER BY 1, args ->> 'job_id'",
    )
    assert [tuple(row.values()) for row in found] == [
        (MEDIA_QUEUE, "run_job", 0, {"job_id": "alive", "release": 3}),
        (MEDIA_QUEUE, "run_job", 0, {"job_id": "dead", "release": 3}),
        ("other", "other", 1, {"job_id": "gone", "more": [1]}),
    ]


@pytest.mark.parametrize("dead", [False, True])
async def test_takeovers_at_once(
    app: procrastinate.App, database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch, dead: bool
) -> None:
    """Of two that would take over the same job at the same time one does: the job has one task afterwards."""
    it = await released_job(database)
    if dead:
        await dies_with(database, it)
    else:
        await execute(database, "DELETE FROM procrastinate_jobs")
    looked, go = asyncio.Event(), asyncio.Event()

    def slow(take: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def taken(*args: object) -> object:
            found = await take(*args)
            if not looked.is_set():
                looked.set()
                await go.wait()
            return found

        return taken

    owner, name = (Takeover, "_take") if dead else (PostgresJobs, "unfinished_without_task")
    monkeypatch.setattr(owner, name, slow(getattr(owner, name)))
    takeover = takeover_of(app, database)
    take = takeover.from_the_dead if dead else takeover.from_nobody
    async with asyncio.timeout(20):
        first = asyncio.create_task(take())
        await looked.wait()
        assert await take() == 0
        go.set()
        assert await first == 1
    assert await take() == 0
    assert await rows(database, TASKS) == [{"job_id": "j1", "status": "todo", "worker_id": None}]


@pytest.mark.parametrize("error", [DatabaseUnavailableError("away"), KeyError("job_id")])
async def test_a_takeover_that_breaks(
    app: procrastinate.App, database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whatever breaks a look, the next one is made: the process, and the job it runs, go on."""
    await dies_with(database, await released_job(database))
    take, broken = Takeover._take, [error]

    async def breaks(self: Takeover, tx: PostgresTransaction) -> Sequence[Any]:
        if broken:
            raise broken.pop()
        return await take(self, tx)

    monkeypatch.setattr(Takeover, "_take", breaks)
    task = asyncio.create_task(takeover_of(app, database, silence=0.03).run())
    try:
        await until(lambda: _only_task(database, "j1", "todo"))
        assert not broken
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_draining_ends_after_the_task(app: procrastinate.App, empty_database: PostgresDatabase) -> None:
    """A worker that is drained ends the task it runs, begins no other, and leaves no trace of itself."""
    entered, release = asyncio.Event(), asyncio.Event()
    log = Log()

    async def run(job_id: str, number: int) -> None:
        entered.set()
        await release.wait()
        await log(job_id, number)

    await defer(empty_database, "j1", "j2")
    worker = EngineWorker(
        app=app, clock=SystemClock(), act=partial(run_job, run), queue=MEDIA_QUEUE, heartbeat=0.05, silence=5.0
    )
    task = asyncio.create_task(worker.run())
    await entered.wait()
    worker.drain()
    release.set()
    async with asyncio.timeout(20):
        await task
    assert log.jobs == ["j1"]
    assert await _only_task(empty_database, "j2", "todo")
    assert await rows(empty_database, WORKERS) == []


@pytest.mark.parametrize("away", [False, True])
async def test_draining_an_idle_worker(app: procrastinate.App, empty_database: PostgresDatabase, away: bool) -> None:
    """A worker that waits for tasks, or for the database, ends at once when it is drained."""
    begun = asyncio.Event()

    async def back() -> None:
        begun.set()
        if away:
            raise psycopg.OperationalError("away")

    worker = EngineWorker(
        app=app, clock=SystemClock(), act=Log(), queue=MEDIA_QUEUE, heartbeat=0.05, silence=5.0, back=back
    )
    task = asyncio.create_task(worker.run())
    await begun.wait()
    worker.drain()
    async with asyncio.timeout(20):
        await task


async def test_a_cancel_that_breaks_the_task_ends_the_worker(
    app: procrastinate.App, empty_database: PostgresDatabase
) -> None:
    """A worker that is cancelled ends, also when its task breaks of that with an error of the database."""
    started = asyncio.Event()

    async def run(job_id: str, release: int) -> None:
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise psycopg.OperationalError("cut") from None

    await defer(empty_database, "j1")
    async with asyncio.timeout(20), working(app, run):
        await started.wait()


async def dies_with(database: PostgresDatabase, job: ReleasedJob) -> None:
    """A worker takes the job's task, begins the job, and is seen no more."""
    async with database.transaction() as tx:
        assert await tx.jobs.start(job.job_id, job.release, NOW)
        await tx.connection.execute(
            "UPDATE procrastinate_jobs SET status = 'doing', worker_id = NULL WHERE args ->> 'job_id' = %s",
            [job.job_id],
        )


async def released_job(database: PostgresDatabase, **changes: object) -> ReleasedJob:
    """A job with its task in the engine."""
    async with database.transaction() as tx:
        await tx.jobs.add(job(**changes))
    async with database.transaction() as tx:
        (it,) = await release(tx)
        await tx.tasks.run_job(it.job_id, it.release)
    return it


async def test_a_job_that_kills_its_workers_is_given_up(app: procrastinate.App, database: PostgresDatabase) -> None:
    """A job whose third worker vanishes fails, says why, is told to its callback, and leaves no task."""
    pokes: list[None] = []
    takeover = replace(takeover_of(app, database), poke=lambda: pokes.append(None))
    it = await released_job(database, callback=JobCallback(url="http://hooks.example/"))
    for death in (1, 2, 3):
        assert (await found(database)).state.terminal is False
        await dies_with(database, it)
        assert await takeover.from_the_dead() == 1
        assert len(pokes) == death
    ended = await found(database)
    assert (ended.state, ended.code, ended.attempt) == (JobState.FAILED, "InternalError", 3)
    assert "3 times" in ended.message
    assert await rows(database, TASKS) == []
    async with database.transaction() as tx:
        assert len(await tx.deliveries.of_job("j1")) == 1
    assert await takeover.from_the_dead() == 0


async def test_an_attempt_is_lost_once(app: procrastinate.App, database: PostgresDatabase) -> None:
    """A worker that dies before it begins the job costs nothing: the attempt before it was counted already."""
    takeover = takeover_of(app, database)
    it = await released_job(database)
    await dies_with(database, it)
    for _ in range(4):
        assert await takeover.from_the_dead() == 1
        await execute(database, "UPDATE procrastinate_jobs SET status = 'doing'")
    assert await execute(database, "SELECT lost_attempts FROM jobs") == [{"lost_attempts": [1]}]
    assert (await found(database)).state is JobState.RUNNING


async def test_a_job_that_waits_is_not_lost(app: procrastinate.App, database: PostgresDatabase) -> None:
    """A worker that vanishes without having begun the job, or having given it back, costs nothing."""
    takeover = takeover_of(app, database, limit=1)
    await released_job(database)
    await execute(database, "UPDATE procrastinate_jobs SET status = 'doing'")
    assert await takeover.from_the_dead() == 1
    assert (await found(database)).state is JobState.SUBMITTED


async def test_a_worker_that_lives_after_all(app: procrastinate.App, database: PostgresDatabase) -> None:
    """An attempt that counted as lost is none once its worker speaks."""
    takeover = takeover_of(app, database, limit=1000)
    it = await released_job(database)
    for _ in range(2):
        await dies_with(database, it)
        await takeover.from_the_dead()
    async with database.transaction() as tx:
        await tx.jobs.find_again("j1", 1)
        await tx.jobs.find_again("j1", 1)
    assert await execute(database, "SELECT lost_attempts FROM jobs") == [{"lost_attempts": [2]}]


async def test_a_worker_that_gives_back_what_counts_as_lost(app: procrastinate.App, database: PostgresDatabase) -> None:
    """It lives: outages in which others hold it for dead cost its job nothing, though nobody began it meanwhile."""
    takeover = takeover_of(app, database, limit=3)
    it = await released_job(database)
    for attempt in (1, 2, 3, 4):
        await dies_with(database, it)
        assert await takeover.from_the_dead() == 1
        async with database.transaction() as tx:
            assert await tx.jobs.requeue("j1", attempt)
    assert await execute(database, "SELECT state, lost_attempts FROM jobs") == [
        {"state": "Submitted", "lost_attempts": []}
    ]
