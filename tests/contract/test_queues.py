"""What queues promise: their rows in PostgreSQL and their use cases, on the embedded server and on one outside."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rows import (
    BUCKET,
    DONE,
    LATER,
    NOW,
    OPERATOR,
    QUEUE_ID,
    ROOT,
    add_bucket,
    bucket,
    changes,
    execute,
    found,
    job,
    queue,
    release,
    started,
)
from rows import waiting_for_a_lock as blocked
from sordino.adapters.clock import SystemClock
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.cam.accounts import Accounts
from sordino.domain.callback import CallbackEvent, CallbackFormat, CallbackType, MqMode, MqTarget, NotifyConfig
from sordino.domain.job import JobState
from sordino.domain.page import Page
from sordino.domain.queue import MAX_LIMIT, Queue, QueueSettings, QueueState
from sordino.domain.release import MAX_WEIGHT
from sordino.domain.service import ServiceKind
from sordino.errors import ServiceError
from sordino.jobs.queues import Queues
from sordino.storage.bindings import Bindings
from sordino.wire.ids import new_queue_id

RICH = QueueSettings(
    name="队列-1*_",
    state=QueueState.PAUSED,
    notify=NotifyConfig(
        on=True,
        events=(CallbackEvent.TASK_FINISH, CallbackEvent.WORKFLOW_FINISH),
        type=CallbackType.TDMQ,
        format=CallbackFormat.JSON,
        url="http://hooks.example/é?x=1",
        mq=MqTarget(region="gz", mode=MqMode.TOPIC, name="ends"),
    ),
)


@pytest.fixture
def pokes() -> list[None]:
    """One entry for every time something might be released."""
    return []


@pytest.fixture
def queues(database: PostgresDatabase, pokes: list[None]) -> Queues:
    """The use cases; three queues a bucket."""
    return Queues(
        database=database,
        clock=SystemClock(),
        new_queue_id=new_queue_id,
        max_queues=3,
        poke=lambda: pokes.append(None),
    )


MORE = """
INSERT INTO jobs (job_id, bucket, region, queue_id, input_object, operation, state, created_at, code, message, progress,
                  attempt)
SELECT 'k' || number, bucket, region, queue_id, input_object, operation, state, created_at, code, message, progress,
       attempt
  FROM jobs CROSS JOIN generate_series(2, 20000) AS number
"""


async def refusal(call: Coroutine[Any, Any, object]) -> tuple[int, str]:
    """Status and code of the refusal that a call ends with."""
    with pytest.raises(ServiceError) as refused:
        await call
    return refused.value.status, refused.value.code


class TestRows:
    """The repository."""

    async def test_comes_back_equal(self, database: PostgresDatabase) -> None:
        """Every field survives, and what may change can be changed and nothing else."""
        rich = queue("p2", settings=RICH, is_default=False, max_size=5, max_concurrent=MAX_LIMIT, weight=3)
        async with database.transaction() as tx:
            await tx.queues.add(rich)
            assert await tx.queues.find(BUCKET, ["p2", QUEUE_ID]) == [rich, queue()]
            changed = replace(queue(), settings=RICH, max_size=1, max_concurrent=2, weight=MAX_WEIGHT, updated_at=LATER)
            await tx.queues.put(replace(changed, created_at=LATER, is_default=False))
            assert await tx.queues.find(BUCKET, [QUEUE_ID]) == [changed]
            await tx.queues.put(queue())
            assert await tx.queues.find(BUCKET, [QUEUE_ID]) == [queue()]

    async def test_looks_into_its_bucket_only(self, database: PostgresDatabase) -> None:
        """Queues of other buckets are neither found, held, locked, counted nor removed."""
        other = "other-1250000000"
        async with database.transaction() as tx:
            assert await tx.queues.find(other, [QUEUE_ID]) == []
            assert await tx.queues.held(other, QUEUE_ID) is None
            assert await tx.queues.held(other, None) is None
            assert await tx.queues.locked(other, QUEUE_ID) is None
            await tx.queues.remove(other, QUEUE_ID)
            await tx.queues.clear(other)
            assert await tx.queues.count(other) == 0
            assert await tx.queues.count(BUCKET) == 1

    async def test_holds_and_locks_the_default_one(self, database: PostgresDatabase) -> None:
        """Without an id it is the default queue, however old the others are."""
        async with database.transaction() as tx:
            await tx.queues.add(queue("p0", is_default=False, created_at=NOW - timedelta(days=1)))
            assert (await tx.queues.held(BUCKET, None)).queue_id == QUEUE_ID
            assert (await tx.queues.held(BUCKET, "p0")).queue_id == "p0"
            assert (await tx.queues.locked(BUCKET, None)).queue_id == QUEUE_ID

    async def test_pages(self, database: PostgresDatabase) -> None:
        """The default one first, then by age; of one state if asked; beyond the end is nothing, and still a total."""
        async with database.transaction() as tx:
            for number, state in enumerate(("Active", "Paused", "Active")):
                settings = QueueSettings(name="n", state=QueueState(state))
                created_at = NOW - timedelta(days=number + 1)
                await tx.queues.add(queue(f"q{number}", settings=settings, is_default=False, created_at=created_at))

        async def page(state: QueueState | None, **asked: int) -> tuple[list[str], int]:
            async with database.transaction() as tx:
                paged = await tx.queues.page(BUCKET, state, Page(**asked))
            return [it.queue_id for it in paged.items], paged.total

        assert await page(None) == ([QUEUE_ID, "q2", "q1", "q0"], 4)
        assert await page(None, number=2, size=3) == (["q0"], 4)
        assert await page(None, number=9, size=3) == ([], 4)
        assert await page(QueueState.ACTIVE) == ([QUEUE_ID, "q2", "q0"], 3)
        assert await page(QueueState.PAUSED) == (["q1"], 1)

    async def test_any_number_may_hold_a_queue(self, database: PostgresDatabase) -> None:
        """Submits do not wait for each other."""
        async with database.transaction() as first, database.transaction() as second:
            await second.queues.connection.execute("SET LOCAL lock_timeout = '5s'")
            assert await first.queues.held(BUCKET, None) == await second.queues.held(BUCKET, QUEUE_ID)

    async def test_a_change_waits_for_holders_and_later_holders_for_it(self, database: PostgresDatabase) -> None:
        """Who waits to change a queue is not overtaken by those who would hold it, and they see what it changed."""

        async def change() -> None:
            async with database.transaction() as tx:
                it = await tx.queues.locked(BUCKET, QUEUE_ID)
                await tx.queues.put(replace(it, settings=RICH))

        async def hold() -> Queue | None:
            async with database.transaction() as tx:
                return await tx.queues.held(BUCKET, None)

        async with database.transaction() as tx:
            await tx.queues.held(BUCKET, None)
            changing = asyncio.create_task(change())
            await blocked(database)
            holding = asyncio.create_task(hold())
            done, _ = await asyncio.wait([changing, holding], timeout=0.3)
            assert not done
        await changing
        assert (await holding).settings == RICH

    async def test_a_removed_queue_is_not_held(self, database: PostgresDatabase) -> None:
        """Who waited for its removal finds none."""

        async def hold() -> Queue | None:
            async with database.transaction() as tx:
                return await tx.queues.held(BUCKET, QUEUE_ID)

        async with database.transaction() as tx:
            await tx.queues.locked(BUCKET, QUEUE_ID)
            holding = asyncio.create_task(hold())
            await blocked(database)
            await tx.queues.remove(BUCKET, QUEUE_ID)
        assert await holding is None


class TestCreate:
    """Creating queues."""

    async def test_beside_the_default_one(self, database: PostgresDatabase, queues: Queues) -> None:
        """It has what was asked for, and is found; names need not differ."""
        first, second = await queues.create(BUCKET, RICH), await queues.create(BUCKET, RICH)
        assert (first.settings, first.is_default, first.max_size, first.max_concurrent) == (RICH, False, None, None)
        assert await queues.find(BUCKET, [second.queue_id, "none", first.queue_id]) == ([second, first], ["none"])
        paged = await queues.page(BUCKET, None, Page())
        assert [it.queue_id for it in paged.items] == [QUEUE_ID, first.queue_id, second.queue_id]

    async def test_up_to_the_limit(self, queues: Queues) -> None:
        """Of many at once just as many succeed as there is room for, the default queue included."""
        made = await asyncio.gather(*(queues.create(BUCKET, RICH) for _ in range(6)), return_exceptions=True)
        assert sum(isinstance(it, Queue) for it in made) == 2
        assert {it.code for it in made if isinstance(it, ServiceError)} == {"QueueNumLimit"}
        assert await refusal(queues.create(BUCKET, RICH)) == (400, "QueueNumLimit")

    async def test_needs_the_speech_service(self, database: PostgresDatabase, queues: Queues) -> None:
        """A bucket without it has no queues, whatever else is open."""
        async with database.transaction() as tx:
            await tx.buckets.add(bucket("other-1250000000"))
            await tx.bindings.open("other-1250000000", ServiceKind.AI, NOW, automatic=False)
        assert await refusal(queues.create("other-1250000000", RICH)) == (403, "MediaBucketUnBinded")

    async def test_against_closing_the_service(self, database: PostgresDatabase, queues: Queues) -> None:
        """Of a queue and the end of its service at once, no queue is left without a service."""
        bindings = Bindings(database=database, clock=SystemClock(), new_queue_id=new_queue_id)
        made, closed = await asyncio.gather(
            queues.create(BUCKET, RICH), bindings.close(bucket(), ServiceKind.SPEECH), return_exceptions=True
        )
        assert closed is None
        assert isinstance(made, Queue) or made.code == "MediaBucketUnBinded"
        assert await execute(database, "SELECT 1 FROM queues") == []


class TestUpdate:
    """Changing queues."""

    async def test_replaces_the_settings(self, database: PostgresDatabase, queues: Queues, pokes: list[None]) -> None:
        """Name, state and callback are new, limits stay, and whoever releases is told."""
        await queues.limit(OPERATOR, BUCKET, QUEUE_ID, {"max_size": 7, "max_concurrent": 2})
        changed = await queues.update(BUCKET, QUEUE_ID, RICH)
        assert (changed.settings, changed.max_size, changed.max_concurrent) == (RICH, 7, 2)
        assert changed.is_default
        assert changed.updated_at > changed.created_at
        assert await queues.find(BUCKET, [QUEUE_ID]) == ([changed], [])
        assert len(pokes) == 2

    async def test_pauses_and_resumes_its_waiting_jobs(self, database: PostgresDatabase, queues: Queues) -> None:
        """Waiting jobs follow the state, released ones too; running ones and those of other queues do not."""
        other = await queues.create(BUCKET, QueueSettings(name="other"))
        await started(database, "running")
        async with database.transaction() as tx:
            await tx.jobs.add(job("released"))
            await release(tx)
            await tx.jobs.add(job("waiting"))
            await tx.jobs.add(job("elsewhere", queue_id=other.queue_id))

        async def states() -> list[str]:
            return [(await found(database, it)).state for it in ("running", "released", "waiting", "elsewhere")]

        await queues.update(BUCKET, QUEUE_ID, QueueSettings(name="n", state=QueueState.PAUSED))
        assert await states() == ["Running", "Pause", "Pause", "Submitted"]
        await queues.update(BUCKET, QUEUE_ID, QueueSettings(name="m", state=QueueState.PAUSED))
        assert await states() == ["Running", "Pause", "Pause", "Submitted"]
        await queues.update(BUCKET, QUEUE_ID, QueueSettings(name="n"))
        assert await states() == ["Running", "Submitted", "Submitted", "Submitted"]

    async def test_jobs_whose_states_nobody_counted(self, database: PostgresDatabase) -> None:
        """A queue whose jobs all changed since the database last took its statistics is paused all the same.

        A plan that compares every job with every other takes a minute for these, and hours for ten times as many.
        """
        async with database.transaction() as tx:
            await tx.jobs.add(job())
        await execute(database, MORE)
        async with database.transaction() as tx:
            assert await tx.jobs.pause(BUCKET, QUEUE_ID) == 20_000
        await execute(database, "ANALYZE jobs")
        async with database.transaction() as tx:
            assert await tx.jobs.resume(BUCKET, QUEUE_ID) == 20_000
        async with asyncio.timeout(45), database.transaction() as tx:
            assert await tx.jobs.pause(BUCKET, QUEUE_ID) == 20_000
        assert (await found(database, "k7")).state is JobState.PAUSE

    async def test_an_unknown_one_is_refused(self, queues: Queues) -> None:
        """Nothing is made by changing it."""
        assert await refusal(queues.update(BUCKET, "none", RICH)) == (404, "QueueNotFound")
        assert await refusal(queues.update("none-1250000000", QUEUE_ID, RICH)) == (404, "QueueNotFound")


class TestLimit:
    """The limits of a queue."""

    async def test_of_the_default_one(self, queues: Queues, pokes: list[None]) -> None:
        """Without an id it is the default queue; what is not given stays, and None takes a limit away again."""
        limited = await queues.limit(OPERATOR, BUCKET, None, {"max_size": 1, "max_concurrent": MAX_LIMIT})
        assert (limited.queue_id, limited.max_size, limited.max_concurrent) == (QUEUE_ID, 1, MAX_LIMIT)
        assert await queues.find(BUCKET, [QUEUE_ID]) == ([limited], [])
        roomy = await queues.limit(OPERATOR, BUCKET, QUEUE_ID, {"max_size": None})
        assert (roomy.max_size, roomy.max_concurrent) == (None, MAX_LIMIT)
        free = await queues.limit(OPERATOR, BUCKET, QUEUE_ID, {"max_concurrent": None})
        assert (free.max_size, free.max_concurrent) == (None, None)
        assert len(pokes) == 3

    async def test_and_its_weight(self, queues: Queues) -> None:
        """It is 1 until another is set, and stays when limits or settings are set."""
        heavy = await queues.limit(OPERATOR, BUCKET, None, {"weight": MAX_WEIGHT})
        assert (heavy.weight, heavy.max_size) == (MAX_WEIGHT, None)
        assert (await queues.limit(OPERATOR, BUCKET, None, {"max_size": 5})).weight == MAX_WEIGHT
        assert (await queues.update(BUCKET, QUEUE_ID, RICH)).weight == MAX_WEIGHT
        assert (await queues.create(BUCKET, RICH)).weight == 1

    @pytest.mark.parametrize("weight", [0, -1, MAX_WEIGHT + 1])
    async def test_refuses_what_is_no_weight(self, database: PostgresDatabase, queues: Queues, weight: int) -> None:
        """Neither a queue nor an account has it, and a weight needs an account."""
        accounts = Accounts(changes(database))
        assert await refusal(queues.limit(OPERATOR, BUCKET, None, {"weight": weight})) == (400, "InvalidArgument")
        assert await refusal(accounts.weigh(OPERATOR, ROOT.account.appid, weight)) == (400, "InvalidArgument")
        assert await refusal(accounts.weigh(OPERATOR, "7", 1)) == (404, "NoSuchEntity")
        assert [account.weight for account in await accounts.every()] == [1]

    @pytest.mark.parametrize("most", [0, -1, MAX_LIMIT + 1])
    async def test_refuses_what_is_no_limit(self, queues: Queues, most: int) -> None:
        """Neither nothing nor more than can be counted."""
        for limit in ("max_size", "max_concurrent"):
            assert await refusal(queues.limit(OPERATOR, BUCKET, None, {limit: most})) == (400, "InvalidArgument")

    async def test_an_unknown_one_is_refused(self, queues: Queues) -> None:
        """Neither by its id nor as the default of a bucket that has none."""
        for place in ((BUCKET, "none"), ("none-1250000000", None)):
            assert await refusal(queues.limit(OPERATOR, *place, {"max_size": 1})) == (404, "QueueNotFound")


class TestRemove:
    """Deleting queues."""

    async def test_its_ended_jobs_stay(self, database: PostgresDatabase, queues: Queues) -> None:
        """They still say which queue they were in."""
        made = await queues.create(BUCKET, QueueSettings(name="n"))
        async with database.transaction() as tx:
            await tx.jobs.add(job(queue_id=made.queue_id))
        assert await refusal(queues.remove(BUCKET, made.queue_id)) == (400, "InvalidArgument")
        async with database.transaction() as tx:
            (it,) = await release(tx, made.queue_id)
            await tx.jobs.start("j1", it.release, NOW)
        assert await refusal(queues.remove(BUCKET, made.queue_id)) == (400, "InvalidArgument")
        async with database.transaction() as tx:
            assert await tx.jobs.finish("j1", 1, DONE, LATER)
        await queues.remove(BUCKET, made.queue_id)
        ended = await found(database)
        assert (ended.state, ended.queue_id) == (JobState.SUCCESS, made.queue_id)
        assert await queues.find(BUCKET, [made.queue_id]) == ([], [made.queue_id])

    async def test_refuses_the_default_one_and_unknown_ones(self, queues: Queues) -> None:
        """The default queue goes with the service only."""
        assert await refusal(queues.remove(BUCKET, QUEUE_ID)) == (400, "InvalidArgument")
        assert await refusal(queues.remove(BUCKET, "none")) == (404, "QueueNotFound")

    async def test_in_another_bucket_is_unknown(self, database: PostgresDatabase, queues: Queues) -> None:
        """An id alone is not enough."""
        async with database.transaction() as tx:
            await add_bucket(tx, "other-1250000000", "o1")
        assert await refusal(queues.remove(BUCKET, "o1")) == (404, "QueueNotFound")
