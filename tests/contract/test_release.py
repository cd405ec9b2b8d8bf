"""The hand-over of waiting jobs to the engine, over real databases, with real workers of the engine."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

import procrastinate
import pytest

from rows import (
    BUCKET,
    DONE,
    LATER,
    NOW,
    OPERATOR,
    QUEUE_ID,
    VAULT,
    add_bucket,
    changes,
    execute,
    found,
    job,
    queue,
    waiting_for_a_lock,
)
from sordino.adapters import worker as worker_module
from sordino.adapters.clock import SystemClock
from sordino.adapters.postgres import migrate as migrate_module
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.adapters.postgres.migrate import migrate, migrations
from sordino.adapters.takeover import Takeover
from sordino.adapters.tasks import MEDIA_QUEUE, EngineTasks, engine, run_job
from sordino.adapters.worker import EngineWorker
from sordino.cam.accounts import Accounts
from sordino.domain.job import Job, JobState
from sordino.domain.ports import Database, DatabaseUnavailableError
from sordino.domain.queue import QueueSettings, QueueState
from sordino.domain.release import MAX_WEIGHT, depth, shares
from sordino.jobs.losses import Losses
from sordino.jobs.manage import ManageJobs
from sordino.jobs.queues import Queues
from sordino.jobs.release import Releaser

OTHER_BUCKET = "other-1250000001"
TASKS = "SELECT args ->> 'job_id' AS job_id, args -> 'release' AS release FROM procrastinate_jobs ORDER BY id"

# What the version before releases could have.
OLD_ROWS = (
    "INSERT INTO accounts (appid, uin) VALUES ('1250000000', '1')",
    "INSERT INTO buckets VALUES ('b-1250000000', 'r', '1250000000', now())",
    """
    INSERT INTO jobs (job_id, bucket, region, queue_id, input_object, operation, state, created_at, ended_at, code,
                      message, progress, attempt)
    SELECT job_id, 'b-1250000000', 'r', 'p1', 'in.wav',
           '{"noise_reduction": {"format": "wav", "sample_rate": 16000, "spelling": "SampleRate"},
             "output": {"region": "r", "bucket": "b-1250000000", "object": "o"}, "user_data": null, "job_level": null}',
           state, now(), CASE state WHEN 'Failed' THEN now() END, CASE state WHEN 'Failed' THEN 'x' ELSE 'Success' END,
           '', 0, 0
      FROM (VALUES ('old', 'Submitted'), ('ended', 'Failed')) AS given (job_id, state)
    """,
)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers look for tasks often, and begin anew at once."""
    monkeypatch.setattr(worker_module, "LONGEST_PAUSE", 0.05)


def releaser(database: Database, **changes: float) -> Releaser:
    """A releaser that looks once an hour unless it is poked."""
    return Releaser(database=database, **{"silence": 60.0, "max_concurrent": 1000, "interval": 3600.0} | changes)


def queues(database: PostgresDatabase) -> Queues:
    """The use cases of queues; nobody is poked."""
    return Queues(database=database, clock=SystemClock(), new_queue_id=lambda: "new", max_queues=10, poke=lambda: None)


async def add_slots(database: PostgresDatabase, count: int, *, silent_for: float = 0.0) -> None:
    """Workers that have given a sign of life so many seconds ago."""
    await execute(
        database,
        "WITH workers AS (INSERT INTO procrastinate_workers (last_heartbeat)"
        " SELECT now() - %s FROM generate_series(1, %s) RETURNING id) INSERT INTO slots SELECT id FROM workers",
        timedelta(seconds=silent_for),
        count,
    )


async def add_jobs(database: PostgresDatabase, *job_ids: str, **changes: object) -> None:
    """Waiting jobs, each a second younger than the one before."""
    async with database.transaction() as tx:
        for number, job_id in enumerate(job_ids):
            created = NOW + timedelta(seconds=number)
            await tx.jobs.add(job(job_id, **{"created_at": created} | changes))


async def add_other_account(database: PostgresDatabase) -> None:
    """A second account with a bucket and its queue ``other``."""
    await execute(database, "INSERT INTO accounts (appid, uin) VALUES ('1250000001', '100000000002')")
    async with database.transaction() as tx:
        await add_bucket(tx, OTHER_BUCKET, "other")


async def tasks(database: PostgresDatabase) -> list[str]:
    """The jobs that the engine has, the first one first."""
    return [str(row["job_id"]) for row in await execute(database, TASKS)]


async def end(database: PostgresDatabase, *job_ids: str) -> None:
    """Run released jobs to their end, and settle their tasks."""
    for job_id in job_ids:
        (row,) = await execute(database, "SELECT release FROM jobs WHERE job_id = %s", job_id)
        async with database.transaction() as tx:
            running = await tx.jobs.start(job_id, int(str(row["release"])), NOW)
            assert running is not None
            assert await tx.jobs.finish(job_id, running.attempt, DONE, LATER)
        await execute(database, "DELETE FROM procrastinate_jobs WHERE args ->> 'job_id' = %s", job_id)


async def test_keeps_the_engine_shallow(database: PostgresDatabase) -> None:
    """The engine gets what the workers can run and a reserve, and more only as jobs end."""
    await add_slots(database, 2)
    await add_jobs(database, *"abcdefg")
    assert await releaser(database)() == depth(2) == 3
    assert await releaser(database)() == 0
    assert await tasks(database) == ["a", "b", "c"]
    await end(database, "a", "b")
    assert await releaser(database)() == 2
    assert await tasks(database) == ["c", "d", "e"]
    assert [row["release"] for row in await execute(database, TASKS)] == [1, 1, 1]


async def test_nothing_without_living_workers(database: PostgresDatabase) -> None:
    """Nothing is released for workers that are silent, nor for those that do not run jobs."""
    await add_slots(database, 3, silent_for=61)
    await execute(database, "INSERT INTO procrastinate_workers DEFAULT VALUES")
    await add_jobs(database, "a")
    assert await releaser(database)() == 0
    assert not (await found(database, "a")).release


async def test_priority_among_a_thousand(database: PostgresDatabase) -> None:
    """Inside a queue the highest level comes first, then the oldest, then the smallest id, however many wait."""
    await add_slots(database, 8)
    chance = random.Random(4)
    waiting = [
        job(f"j{number:04}", created_at=NOW + timedelta(seconds=chance.randrange(300))) for number in range(1000)
    ]
    waiting = [replace(it, operation=replace(it.operation, job_level=chance.choice([None, 0, 1, 2]))) for it in waiting]
    async with database.transaction() as tx:
        for it in waiting:
            await tx.jobs.add(it)
    expected = [it.job_id for it in sorted(waiting, key=lambda it: (-it.level, it.created_at, it.job_id))]
    for first in range(0, 60, depth(8)):
        assert await releaser(database)() == depth(8)
        released = await tasks(database)
        assert released == expected[first : first + depth(8)]
        await end(database, *released)


async def test_a_long_history_is_not_read(database: PostgresDatabase) -> None:
    """However many jobs have ended, or wait, a pass finds those that it hands over by an index."""
    await add_slots(database, 2)
    await add_jobs(database, *"abc")
    await execute(
        database,
        "INSERT INTO jobs (job_id, bucket, region, queue_id, input_object, operation, state, created_at, ended_at,"
        " code, message, progress, attempt, released)"
        " SELECT 'h' || number, bucket, region, queue_id, input_object, operation,"
        " CASE WHEN number < 5000 THEN 'Cancel' ELSE 'Submitted' END, now(), CASE WHEN number < 5000 THEN now() END,"
        " code, message, progress, attempt, number < 5000"
        " FROM jobs, generate_series(1, 10000) AS number WHERE job_id = 'a'",
    )
    await execute(database, "ANALYZE")
    async with database.transaction() as tx:
        await tx.releases.turn(60, 3, 1000)
        assert [it.job_id for it in await tx.releases.release({QUEUE_ID: 3})] == ["a", "b", "c"]
        query = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relid = 'jobs'::regclass"
        assert await (await tx.releases.connection.execute(query)).fetchone() == {"seq_scan": 0}


async def test_limits_of_queues(database: PostgresDatabase) -> None:
    """A queue has no more jobs in the engine than its own limit says, or else the server's."""
    await add_slots(database, 10)
    async with database.transaction() as tx:
        await tx.queues.add(queue("q2", is_default=False, max_concurrent=1))
    await add_jobs(database, *"abcdef")
    await add_jobs(database, *"tuv", queue_id="q2")
    assert await releaser(database, max_concurrent=4)() == 5
    assert sorted(await tasks(database)) == ["a", "b", "c", "d", "t"]
    await queues(database).limit(OPERATOR, BUCKET, "q2", {"max_concurrent": 2})
    assert await releaser(database, max_concurrent=4)() == 1
    await queues(database).limit(OPERATOR, BUCKET, "q2", {"max_concurrent": None})
    assert await releaser(database, max_concurrent=4)() == 1
    assert sorted(await tasks(database)) == ["a", "b", "c", "d", "t", "u", "v"]


async def test_jobs_that_wait_for_another_try(database: PostgresDatabase) -> None:
    """While a job waits for its next try another one takes its place in the engine, but not in its queue's limit."""
    await add_slots(database, 1)
    await add_jobs(database, *"abcd")
    assert await releaser(database)() == 2
    await execute(
        database, "UPDATE procrastinate_jobs SET scheduled_at = now() + interval '1 hour' WHERE args ->> 'job_id' = 'a'"
    )
    assert await releaser(database, max_concurrent=2)() == 0
    assert await releaser(database, max_concurrent=3)() == 1


async def test_jobs_that_are_due_for_another_try(database: PostgresDatabase) -> None:
    """They queue up again, each once: however many an outage has left, another account does not wait for all."""
    await add_slots(database, 1)
    await add_other_account(database)
    await add_jobs(database, *"abcdef")
    for _ in range(3):
        assert await releaser(database)() == 2
        await execute(database, "UPDATE procrastinate_jobs SET scheduled_at = now() + interval '1 hour'")
    await add_jobs(database, "late", bucket=OTHER_BUCKET, queue_id="other", created_at=LATER + timedelta(days=1))
    await execute(database, "UPDATE procrastinate_jobs SET scheduled_at = now()")
    assert await releaser(database)() == 2
    assert await tasks(database) == ["a", "late"]
    await end(database, "late")
    await end(database, "a")
    assert await releaser(database)() == 2
    assert await tasks(database) == ["b", "c"]


async def test_what_is_due_waits_while_its_queue_is_paused(database: PostgresDatabase) -> None:
    """A pause counts for jobs that wait for another try, too: their tasks are stale, and taken by nobody."""
    await add_slots(database, 1)
    await add_jobs(database, "a")
    assert await releaser(database)() == 1
    await execute(database, "UPDATE procrastinate_jobs SET scheduled_at = now()")
    paused = QueueSettings(name="queue-speech", state=QueueState.PAUSED)
    await queues(database).update(BUCKET, QUEUE_ID, paused)
    assert await releaser(database)() == 0
    assert (await found(database, "a")).state is JobState.PAUSE
    await queues(database).update(BUCKET, QUEUE_ID, replace(paused, state=QueueState.ACTIVE))
    assert await releaser(database)() == 1


async def test_a_backlog_delays_nobody_else(database: PostgresDatabase) -> None:
    """An account with one job does not wait for the thousand of another."""
    await add_slots(database, 1)
    await add_other_account(database)
    await add_jobs(database, *(f"j{number}" for number in range(1000)))
    assert await releaser(database)() == 2
    await add_jobs(database, "late", bucket=OTHER_BUCKET, queue_id="other", created_at=LATER + timedelta(days=1))
    await end(database, (await tasks(database))[0])
    assert await releaser(database)() == 1
    assert "late" in await tasks(database)


async def test_accounts_of_different_weights(database: PostgresDatabase) -> None:
    """Two accounts that weigh 1 and 3 have one and three of four slots' jobs, and change with their weights."""
    await add_slots(database, 4)
    await add_other_account(database)
    await add_jobs(database, *(f"a{number}" for number in range(20)))
    await add_jobs(database, *(f"b{number}" for number in range(20)), bucket=OTHER_BUCKET, queue_id="other")
    await Accounts(changes(database)).weigh(OPERATOR, "1250000001", 3)
    async with database.transaction() as tx:
        load, waiting = await tx.releases.turn(60, 4, 1000)
        assert load.slots == 4
        assert shares(4, waiting) == {QUEUE_ID: 1, "other": 3}
        await tx.releases.release(shares(4, waiting))
    await Accounts(changes(database)).weigh(OPERATOR, "1250000000", 3)
    async with database.transaction() as tx:
        _, waiting = await tx.releases.turn(60, 4, 1000)
        assert shares(2, waiting) == {QUEUE_ID: 2}


async def test_queues_of_different_weights(database: PostgresDatabase) -> None:
    """The queues of one account share what it gets by their weights."""
    await add_slots(database, 5)
    async with database.transaction() as tx:
        await tx.queues.add(queue("q2", is_default=False))
    await queues(database).limit(OPERATOR, BUCKET, "q2", {"weight": 3})
    await add_jobs(database, *(f"a{number}" for number in range(20)))
    await add_jobs(database, *(f"b{number}" for number in range(20)), queue_id="q2")
    assert await releaser(database)() == depth(5) == 8
    assert Counter(job_id[0] for job_id in await tasks(database)) == {"a": 2, "b": 6}


@pytest.mark.parametrize("heaviest", [1, 4, MAX_WEIGHT])
async def test_the_queues_that_are_looked_at_are_enough(database: PostgresDatabase, heaviest: int) -> None:
    """Whatever room and weights, the queues that the database tells lead to the same shares as all queues do."""
    chance = random.Random(7)
    await add_slots(database, 10)
    for number in range(12):
        appid = 1250000001 + number % 5
        await execute(
            database, "INSERT INTO accounts (appid, uin) VALUES (%s, %s) ON CONFLICT DO NOTHING", str(appid), str(appid)
        )
        name, queue_id = f"b{number}-{appid}", f"q{number}"
        async with database.transaction() as tx:
            await add_bucket(tx, name, queue_id)
        await queues(database).limit(OPERATOR, name, queue_id, {"weight": chance.randint(1, heaviest)})
        await Accounts(changes(database)).weigh(OPERATOR, str(appid), chance.randint(1, heaviest))
        job_ids = [f"{queue_id}j{count}" for count in range(chance.randrange(9))]
        for job_id in job_ids:
            created = NOW + timedelta(seconds=chance.randrange(5))
            await add_jobs(database, job_id, bucket=name, queue_id=queue_id, created_at=created)
        async with database.transaction() as tx:
            await tx.releases.release({queue_id: chance.randrange(3)})
    async with database.transaction() as tx:
        _, every = await tx.releases.turn(60, 10_000, 5)
        for room in range(1, 20):
            _, enough = await tx.releases.turn(60, room, 5)
            assert shares(room, enough) == shares(room, every)


async def test_a_paused_queue_gives_nothing(database: PostgresDatabase) -> None:
    """Jobs of a paused queue wait, also those the engine had, and go on in their old order, under a new release."""
    await add_slots(database, 1)
    await add_jobs(database, *"abc")
    assert await releaser(database)() == 2
    await queues(database).update(BUCKET, QUEUE_ID, QueueSettings(name="q", state=QueueState.PAUSED))
    assert {(await found(database, job_id)).state for job_id in "abc"} == {JobState.PAUSE}
    assert await releaser(database)() == 0
    async with database.transaction() as tx:
        assert await tx.jobs.start("a", 1, NOW) is None
    await queues(database).update(BUCKET, QUEUE_ID, QueueSettings(name="q"))
    async with database.transaction() as tx:
        assert await tx.jobs.start("a", 1, NOW) is None
    assert await releaser(database)() == 2
    assert await tasks(database) == ["a", "b", "a", "b"]
    assert [(await found(database, job_id)).release for job_id in "abc"] == [2, 2, 0]
    async with database.transaction() as tx:
        assert await tx.jobs.start("a", 1, NOW) is None
        assert (await tx.jobs.start("a", 2, NOW)).attempt == 1


async def test_a_cancelled_job_makes_room(database: PostgresDatabase) -> None:
    """A job that is cancelled while the engine has it does not start, and another takes its place."""
    await add_slots(database, 1)
    await add_jobs(database, *"abc")
    await releaser(database)()
    await ManageJobs(database=database, clock=SystemClock(), poke=lambda: None).cancel(BUCKET, "a")
    assert await releaser(database)() == 1
    async with database.transaction() as tx:
        assert await tx.jobs.start("a", 1, NOW) is None
    assert await tasks(database) == ["a", "b", "c"]


async def test_a_job_that_somebody_changes_is_passed_over(database: PostgresDatabase) -> None:
    """A pass does not wait for a cancel under way; it takes the next job."""
    await add_slots(database, 1)
    await add_jobs(database, *"abc")
    async with database.transaction() as tx:
        assert await tx.jobs.cancel(BUCKET, "a", LATER)
        assert await releaser(database, max_concurrent=1)() == 1
        assert await tasks(database) == ["b"]


async def test_passes_take_turns(database: PostgresDatabase) -> None:
    """A pass waits for the one before it and then sees what that one gave."""
    await add_slots(database, 1)
    await add_jobs(database, *"abcd")
    async with asyncio.timeout(20):
        async with database.transaction() as tx:
            await tx.releases.turn(60, 1, 1000)
            second = asyncio.create_task(releaser(database)())
            await waiting_for_a_lock(database)
            await tx.releases.release({QUEUE_ID: 1})
        assert await second == 1


async def test_releasers_side_by_side(database: PostgresDatabase) -> None:
    """However many make passes at once, no job is released twice and the engine is not overfull."""
    await add_slots(database, 20)
    await add_jobs(database, *(f"j{number:03}" for number in range(100)))
    counts = await asyncio.gather(*(releaser(database)() for _ in range(12)))
    assert sum(counts) == depth(20)
    assert max(Counter(await tasks(database)).values()) == 1
    assert len(await tasks(database)) == depth(20)


async def test_unfinished_jobs_of_the_version_before(dsn: str, schema: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that were unfinished when releases came count as released; their tasks, which name no release, run them."""
    steps = migrations()
    with monkeypatch.context() as earlier:
        earlier.setattr(migrate_module, "migrations", lambda: steps[:3])
        await migrate(dsn, schema)
    async with PostgresDatabase(
        dsn, schema=schema, max_connections=2, vault=VAULT, tasks=partial(EngineTasks, engine())
    ) as database:
        for statement in OLD_ROWS:
            await execute(database, statement)
        await migrate(dsn, schema)
        async with database.transaction() as tx:
            assert (await tx.releases.load(60)).jobs == 1
            assert (await tx.jobs.start("old", 0, NOW)).attempt == 1
        assert await execute(database, "SELECT job_id FROM jobs WHERE released") == [{"job_id": "old"}]


@dataclass
class Shop:
    """Jobs that workers run, and what was seen of them.

    Attributes:
        order: the jobs in the order of their beginnings.
        peak: how many of a queue ran at a time at most.
    """

    database: PostgresDatabase
    seconds: float = 0.01
    order: list[str] = field(default_factory=list)
    running: Counter[str] = field(default_factory=Counter)
    peak: Counter[str] = field(default_factory=Counter)

    async def run(self, job_id: str, release: int) -> None:
        """Run a job to its end, if it may run."""
        async with self.database.transaction() as tx:
            running = await tx.jobs.start(job_id, release, NOW)
        if running is None:
            return
        self.order.append(job_id)
        self.running[running.queue_id] += 1
        self.peak[running.queue_id] = max(self.peak[running.queue_id], self.running[running.queue_id])
        await asyncio.sleep(self.seconds)
        await self._end(running)

    async def _end(self, running: Job) -> None:
        self.running[running.queue_id] -= 1
        async with self.database.transaction() as tx:
            assert await tx.jobs.finish(running.job_id, running.attempt, DONE, LATER)

    async def until_ended(self, count: int) -> None:
        """Wait until so many jobs have ended and no task is left."""
        query = "SELECT count(*) FILTER (WHERE state = 'Success') AS ended FROM jobs"
        async with asyncio.timeout(60):
            while (await execute(self.database, query))[0]["ended"] != count or await tasks(self.database):
                await asyncio.sleep(0.02)


@asynccontextmanager
async def working(app: procrastinate.App, shop: Shop, workers: int, **changes: float) -> AsyncIterator[Releaser]:
    """Workers, with a releaser that they poke."""
    made = releaser(shop.database, **changes)
    engine_workers = [
        EngineWorker(
            app=app,
            clock=SystemClock(),
            queue=MEDIA_QUEUE,
            act=partial(run_job, shop.run),
            heartbeat=0.5,
            silence=60.0,
            free=made.poke,
            slot=True,
        )
        for _ in range(workers)
    ]
    async with AsyncExitStack() as stack:
        for work in (made.run, *(it.run for it in engine_workers)):
            stack.push_async_callback(_stopped, asyncio.create_task(work()))
        yield made


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_max_concurrent_with_several_workers(app: procrastinate.App, database: PostgresDatabase) -> None:
    """Three workers never run more of a queue at a time than it allows, and run all of it in the end."""
    async with database.transaction() as tx:
        await tx.queues.put(queue(max_concurrent=2))
        await tx.queues.add(queue("q2", is_default=False, max_concurrent=1))
    await add_jobs(database, *(f"a{number}" for number in range(20)))
    await add_jobs(database, *(f"b{number}" for number in range(10)), queue_id="q2")
    shop = Shop(database)
    async with working(app, shop, 3):
        await shop.until_ended(30)
    assert shop.peak[QUEUE_ID] <= 2
    assert shop.peak["q2"] == 1
    assert len(shop.order) == 30


async def test_two_accounts_share_the_workers(app: procrastinate.App, database: PostgresDatabase) -> None:
    """The few jobs of an account that comes late run between the many of the other one."""
    await add_other_account(database)
    await add_jobs(database, *(f"a{number:02}" for number in range(40)))
    shop = Shop(database)
    async with working(app, shop, 2) as made:
        while len(shop.order) < 4:
            await asyncio.sleep(0.01)
        await add_jobs(database, *(f"b{number}" for number in range(5)), bucket=OTHER_BUCKET, queue_id="other")
        before = len(shop.order)
        made.poke()
        await shop.until_ended(45)
    last = max(place for place, job_id in enumerate(shop.order) if job_id.startswith("b"))
    assert last - before <= 2 * 5 + depth(2)


async def test_one_worker_runs_in_the_order_of_release(app: procrastinate.App, database: PostgresDatabase) -> None:
    """A worker alone runs a queue from its head to its end."""
    job_ids = [f"j{number:02}" for number in range(20)]
    await add_jobs(database, *job_ids)
    shop = Shop(database, seconds=0)
    async with working(app, shop, 1):
        await shop.until_ended(20)
    assert shop.order == job_ids


async def test_the_sweep_repairs_a_crash_after_the_commit(app: procrastinate.App, database: PostgresDatabase) -> None:
    """A job whose pass never came, as its process died after the commit, is released all the same."""
    shop = Shop(database)
    async with working(app, shop, 1, interval=0.05):
        await asyncio.sleep(0.3)
        await add_jobs(database, "a")
        await shop.until_ended(1)


async def test_a_dead_worker_and_the_count(app: procrastinate.App, database: PostgresDatabase) -> None:
    """A job that is taken over from a dead worker counts once, before and after, and runs again by its release."""
    async with database.transaction() as tx:
        await tx.queues.put(queue(max_concurrent=1))
    await add_slots(database, 2)
    await add_jobs(database, "a", "b")
    assert await releaser(database)() == 1
    await execute(database, "UPDATE procrastinate_jobs SET status = 'doing'")
    async with database.transaction() as tx:
        await tx.jobs.start("a", 1, NOW)
    assert await releaser(database)() == 0
    losses = Losses(clock=SystemClock(), limit=3)
    takeover = Takeover(app=app, database=database, clock=SystemClock(), losses=losses, silence=60, poke=lambda: None)
    assert await takeover.from_the_dead() == 1
    assert await releaser(database)() == 0
    assert await tasks(database) == ["a"]
    async with database.transaction() as tx:
        assert (await tx.jobs.start("a", 1, LATER)).attempt == 2
    await end(database, "a")
    assert await releaser(database)() == 1
    assert await tasks(database) == ["b"]


@dataclass
class Unsteady:
    """A database that fails at first."""

    database: PostgresDatabase
    errors: Sequence[Exception]
    begun: int = 0

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[object]:
        """As the database's, once all errors were raised."""
        self.begun += 1
        if self.begun <= len(self.errors):
            raise self.errors[self.begun - 1]
        async with self.database.reading() as tx:
            yield tx

    def transaction(self) -> AbstractAsyncContextManager[object]:
        """One of the database's."""
        return self.database.transaction()


async def test_nothing_ends_the_releaser(database: PostgresDatabase) -> None:
    """Whatever a pass raises, the next one is made, at the latest after the interval."""
    await add_slots(database, 1)
    await add_jobs(database, "a")
    unsteady = Unsteady(database, [DatabaseUnavailableError("away"), RuntimeError("broken")])
    running = asyncio.create_task(releaser(unsteady, interval=0.02).run())
    async with asyncio.timeout(20):
        while await tasks(database) != ["a"]:
            await asyncio.sleep(0.02)
    await _stopped(running)


async def test_pokes_become_one_pass(database: PostgresDatabase) -> None:
    """Passes that are asked for while one is under way become one pass after it."""
    counted = Unsteady(database, [])
    made = releaser(counted)
    running = asyncio.create_task(made.run())
    await asyncio.sleep(0)
    for _ in range(5):
        made.poke()
    async with asyncio.timeout(20):
        while counted.begun < 2:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    assert counted.begun == 2
    await _stopped(running)


async def test_a_cancelling_that_gets_lost_ends_the_releaser_all_the_same(database: PostgresDatabase) -> None:
    """A pass during which the cancelling is forgotten, as some waits of Python 3.11 do, is the last one."""

    class Forgetful(Unsteady):
        @asynccontextmanager
        async def reading(self) -> AsyncIterator[object]:
            """Wait for the cancelling, and go on."""
            self.begun += 1
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
            async with self.database.reading() as tx:
                yield tx

    forgetful = Forgetful(database, [])
    running = asyncio.create_task(releaser(forgetful, interval=0.01).run())
    async with asyncio.timeout(20):
        while not forgetful.begun:
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
    assert running.cancelled()
    assert forgetful.begun == 1
