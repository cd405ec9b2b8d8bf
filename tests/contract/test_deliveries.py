"""What the rows of deliveries promise, on the embedded PostgreSQL and on one outside."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from types import MappingProxyType

from rows import BUCKET, NOW, ROOT, deliveries_of_others, execute, job, waiting_for_a_lock
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.adapters.postgres.deliveries import KEPT_ATTEMPTS, SHOWN_DELIVERIES
from sordino.domain.callback import CallbackFormat, CallbackTarget, JobCallback
from sordino.domain.delivery import Attempt, DeliveryState, DueDelivery, LoggedDelivery, Receipt
from sordino.domain.job import JobState

LEASE = timedelta(seconds=20)
MOMENT = timedelta(milliseconds=1)
URL = "https://Hooks.example/ci"


async def add(database: PostgresDatabase, *urls: str, at: datetime = NOW, job_id: str = "j1") -> None:
    """Have the end of a job told to each URL; the job is made when it is not there."""
    async with database.transaction() as tx:
        if not await tx.jobs.by_id([job_id]):
            callback = JobCallback(url=URL)
            await tx.jobs.add(
                job(job_id, state=JobState.FAILED, ended_at=NOW, code="ResourceNotFound", callback=callback)
            )
        for url in urls:
            await tx.deliveries.add(job_id, CallbackTarget(url=url, format=CallbackFormat.JSON), at)


async def take(
    database: PostgresDatabase,
    at: datetime = NOW,
    *,
    limit: int = 100,
    per_host: int = 100,
    per_account: int = 100,
    held: Mapping[str, int] = MappingProxyType({}),
) -> Sequence[DueDelivery]:
    """Take what is due in a transaction of its own."""
    async with database.transaction() as tx:
        return await tx.deliveries.take(
            at, until=at + LEASE, limit=limit, per_host=per_host, per_account=per_account, held=held
        )


async def settle(
    database: PostgresDatabase,
    due: DueDelivery,
    outcome: Receipt | str = "nobody is there",
    *,
    state: DeliveryState = DeliveryState.WAITING,
    next_at: datetime | None = NOW,
) -> bool:
    """Note the end of a try in a transaction of its own."""
    async with database.transaction() as tx:
        return await tx.deliveries.settle(due.delivery, outcome, milliseconds=7, state=state, next_at=next_at)


async def log(database: PostgresDatabase, job_id: str = "j1") -> Sequence[LoggedDelivery]:
    """The log of a job."""
    async with database.transaction() as tx:
        return await tx.deliveries.of_job(job_id)


async def test_life(database: PostgresDatabase) -> None:
    """A delivery waits, fails, waits for its next try, and arrives; the log tells it all."""
    await add(database, URL)
    (first,) = await take(database)
    assert (first.job.job_id, first.job.callback) == ("j1", JobCallback(url=URL))
    assert (first.delivery.target.url, first.delivery.target.format, first.delivery.attempts) == (
        URL,
        CallbackFormat.JSON,
        1,
    )
    later = NOW + timedelta(seconds=60)
    assert await settle(database, first, Receipt(status=503), next_at=later)
    assert await take(database, later - timedelta(microseconds=1)) == []
    (second,) = await take(database, later)
    assert second.delivery.attempts == 2
    assert await settle(database, second, Receipt(status=204), state=DeliveryState.DELIVERED, next_at=None)
    assert await take(database, later + timedelta(days=2)) == []
    (logged,) = await log(database)
    assert (logged.delivery.state, logged.delivery.next_at) == (DeliveryState.DELIVERED, None)
    assert (logged.delivery.created_at, logged.delivery.attempts) == (NOW, 2)
    assert logged.attempts == (
        Attempt(number=1, at=NOW, status=503, milliseconds=7),
        Attempt(number=2, at=later, status=204, milliseconds=7),
    )


async def test_error(database: PostgresDatabase) -> None:
    """Why there was no reply is kept in words, and a delivery that was given up is not taken again."""
    await add(database, URL)
    (due,) = await take(database)
    assert await settle(database, due, state=DeliveryState.GIVEN_UP, next_at=None)
    (logged,) = await log(database)
    assert logged.delivery.state is DeliveryState.GIVEN_UP
    assert logged.attempts == (Attempt(number=1, at=NOW, error="nobody is there", milliseconds=7),)
    assert await take(database, NOW + timedelta(days=2)) == []


async def test_lease(database: PostgresDatabase) -> None:
    """What was taken is nobody else's until its time is over; then the late one changes nothing."""
    await add(database, URL)
    (late,) = await take(database)
    assert await take(database, NOW + LEASE - timedelta(microseconds=1)) == []
    (again,) = await take(database, NOW + LEASE)
    assert (again.delivery.delivery_id, again.delivery.attempts) == (late.delivery.delivery_id, 2)
    assert not await settle(database, late, Receipt(status=200), state=DeliveryState.DELIVERED, next_at=None)
    (logged,) = await log(database)
    assert (logged.delivery.state, logged.delivery.attempts) == (DeliveryState.WAITING, 2)
    # What it found out is in the log all the same, beside the try that is under way.
    assert [(attempt.number, attempt.status) for attempt in logged.attempts] == [(1, 200), (2, None)]
    assert await settle(database, again, Receipt(status=200), state=DeliveryState.DELIVERED, next_at=None)
    assert not await settle(database, again)


async def test_many_takers(database: PostgresDatabase) -> None:
    """Of several that take at the same time, each delivery goes to one."""
    await add(database, *(f"http://host{number % 7}.example/" for number in range(60)))
    taken = await asyncio.gather(*(take(database, limit=9) for _ in range(12)))
    rest = await take(database)
    ids = [due.delivery.delivery_id for batch in (*taken, rest) for due in batch]
    assert len(ids) == len(set(ids)) == 60


async def test_a_locked_delivery_is_passed_over(database: PostgresDatabase) -> None:
    """Nobody waits for the transaction of another taker."""
    await add(database, URL)
    async with database.transaction() as tx:
        taken = await tx.deliveries.take(NOW, until=NOW + LEASE, limit=1, per_host=1, per_account=1, held={})
        assert len(taken) == 1
        assert await take(database) == []


async def test_order_and_limit(database: PostgresDatabase) -> None:
    """Hosts take turns, within a host and a turn those go first that are due for longest, up to the limit."""
    for seconds, host in ((3, "a"), (1, "a"), (2, "a"), (5, "b"), (6, "b"), (4, "c")):
        await add(database, f"http://{host}.example/{seconds}", at=NOW + timedelta(seconds=seconds))
    taken = [await take(database, NOW + timedelta(seconds=9), limit=2) for _ in range(3)]
    assert [sorted(due.delivery.target.url[-1] for due in batch) for batch in taken] == [
        ["1", "4"],
        ["2", "5"],
        ["3", "6"],
    ]


async def test_first_tries_go_first(database: PostgresDatabase) -> None:
    """Deliveries that failed, however long they are due, do not hold up those that have not been tried."""
    await add(database, *(f"http://dead{number}.example/" for number in range(5)))
    for due in await take(database):
        await settle(database, due)
    await add(database, "http://fine.example/", at=NOW + timedelta(seconds=5))
    (taken,) = await take(database, NOW + timedelta(seconds=9), limit=1)
    assert taken.delivery.target.url == "http://fine.example/"


async def test_hosts(database: PostgresDatabase) -> None:
    """To one host no more tries are under way than may be, whatever its port and spelling; others are not held up."""
    await add(database, *(f"http://DEAD.example:{8000 + number}/" for number in range(9)), "http://fine.example/")
    taken = await take(database, per_host=2)
    dead = [due for due in taken if "DEAD" in due.delivery.target.url]
    assert (len(taken), len(dead)) == (3, 2)
    assert await take(database, per_host=2) == []
    for due in (due for due in taken if due is not dead[1]):
        assert await settle(database, due, next_at=NOW + timedelta(days=1))
    assert len(await take(database, per_host=2)) == 1
    # Tries whose time is over count as lost, and hold no place.
    assert len(await take(database, NOW + LEASE, per_host=2)) == 2


async def test_accounts_take_turns(database: PostgresDatabase) -> None:
    """A thousand deliveries of one account, due for longer, do not hold up the one of another."""
    await deliveries_of_others(database, "1", 1000)
    await add(database, URL, at=NOW + timedelta(seconds=5))
    taken = await take(database, NOW + timedelta(seconds=9), limit=2)
    assert Counter(due.account for due in taken) == {"1": 1, ROOT.account.appid: 1}


async def test_the_account_with_the_fewest_tries_goes_first(database: PostgresDatabase) -> None:
    """What the process has under way counts: accounts come out even, as far as the room goes."""
    for appid in ("1", "2", "3"):
        await deliveries_of_others(database, appid, 20)
    taken = await take(database, limit=6, held={"1": 9, "2": 1, "3": 3, "4": 7})
    assert Counter(due.account for due in taken) == {"2": 4, "3": 2}


async def test_an_account_has_its_share_while_another_waits(database: PostgresDatabase) -> None:
    """Places stay free beside one that has its share; once nobody else has anything due, it gets them."""
    await deliveries_of_others(database, "1", 20)
    await add(database, URL, URL, URL)
    taken = await take(database, limit=8, per_host=2, per_account=4, held={"1": 1})
    assert Counter(due.account for due in taken) == {"1": 3, ROOT.account.appid: 2}
    # The third goes to a host that has all tries that it may.
    alone = await take(database, limit=8, per_host=2, per_account=4, held={"1": 4})
    assert Counter(due.account for due in alone) == {"1": 8}


async def test_tries_of_one_account_are_no_worse_than_those_of_another(database: PostgresDatabase) -> None:
    """First tries go before repeated ones of their own account only."""
    await add(database, URL)
    for due in await take(database):
        await settle(database, due)
    await deliveries_of_others(database, "1", 20)
    taken = await take(database, limit=4, per_account=2)
    assert Counter(due.account for due in taken) == {"1": 2, ROOT.account.appid: 1}


async def test_host_of_several_accounts(database: PostgresDatabase) -> None:
    """No more tries than may be are under way to a host, whose ever they are."""
    for appid in ("1", "2", "3"):
        await deliveries_of_others(database, appid, 5, url="http://shared.example/")
    taken = await take(database, per_host=2)
    assert sorted(Counter(due.account for due in taken).values()) == [1, 1]
    assert await take(database, per_host=2) == []


async def test_a_long_queue_before_a_dead_host(database: PostgresDatabase) -> None:
    """It holds up no other host of its account: each comes to its turn, though new ones keep coming for all others."""
    await deliveries_of_others(database, "1", 2000, url="http://dead.example/")
    assert len(await take(database, per_host=2)) == 2
    await deliveries_of_others(database, "1", 60, at=NOW + MOMENT)
    at, reached = NOW + MOMENT, set[str | None]()
    while len(reached) < 60:
        at += MOMENT
        for due in await take(database, at, limit=4, per_host=2):
            url = due.delivery.target.url
            assert "dead" not in (url or "")
            await settle(database, due, Receipt(status=200), state=DeliveryState.DELIVERED, next_at=None)
            await add(database, str(url), at=at, job_id=due.job.job_id)
            reached.add(url)


async def test_a_long_queue_of_repeated_tries(database: PostgresDatabase) -> None:
    """It holds up no second try of another host either."""
    await deliveries_of_others(database, "1", 200, url="http://dead.example/")
    await deliveries_of_others(database, "1", 40)
    while taken := await take(database):
        for due in taken:
            await settle(database, due, next_at=NOW + timedelta(seconds=1 if "dead" in str(due.delivery.target) else 2))
    assert len(await take(database, NOW + timedelta(seconds=1), per_host=2)) == 2
    late, reached = NOW + timedelta(seconds=3), 0
    while reached < 40:
        taken = await take(database, late, limit=4, per_host=2)
        assert all(due.delivery.attempts == 2 and "dead" not in str(due.delivery.target) for due in taken)
        reached += len(taken)


async def test_many_accounts(database: PostgresDatabase) -> None:
    """Each comes to its turn, though all others have more to send all the time."""
    waiting = [str(number) for number in range(60)]
    for appid in waiting:
        await deliveries_of_others(database, appid, 1)
    at, reached = NOW, set[str]()
    while len(reached) < 60:
        at += MOMENT
        for due in await take(database, at, limit=2):
            await settle(database, due, Receipt(status=200), state=DeliveryState.DELIVERED, next_at=None)
            await add(database, str(due.delivery.target.url), at=at, job_id=due.job.job_id)
            reached.add(due.account)


async def test_log_of_many_tries(database: PostgresDatabase) -> None:
    """The log keeps the latest tries, so that a dead receiver does not fill the disk."""
    await add(database, URL)
    for _ in range(KEPT_ATTEMPTS + 5):
        (due,) = await take(database)
        await settle(database, due)
    (logged,) = await log(database)
    assert [attempt.number for attempt in logged.attempts] == [*range(6, KEPT_ATTEMPTS + 6)]
    assert logged.delivery.attempts == KEPT_ATTEMPTS + 5


async def test_log_of_many_deliveries(database: PostgresDatabase) -> None:
    """It shows the latest deliveries of the job, the last one first, and no other job's."""
    await add(database, *(f"http://hooks.example/{number}" for number in range(SHOWN_DELIVERIES + 3)))
    await add(database, URL, job_id="j2")
    urls = [logged.delivery.target.url for logged in await log(database)]
    assert urls == [f"http://hooks.example/{number}" for number in range(SHOWN_DELIVERIES + 2, 2, -1)]
    assert [logged.delivery.target.url for logged in await log(database, "j2")] == [URL]
    assert await log(database, "j3") == []


async def test_bucket_that_is_removed(database: PostgresDatabase) -> None:
    """Its jobs go, and their deliveries with them."""
    await add(database, URL)
    await take(database)
    async with database.transaction() as tx:
        assert await tx.buckets.remove(BUCKET)
    assert await execute(database, "SELECT FROM deliveries") == []
    assert await execute(database, "SELECT FROM delivery_attempts") == []


async def test_rollback(database: PostgresDatabase) -> None:
    """A delivery is there when its transaction commits, and not otherwise."""
    await add(database)
    with suppress(ZeroDivisionError):
        async with database.transaction() as tx:
            await tx.deliveries.add("j1", CallbackTarget(url=URL), NOW)
            raise ZeroDivisionError
    assert await take(database) == []


async def test_a_try_that_ends_while_its_job_is_deleted(database: PostgresDatabase) -> None:
    """Whoever deletes the job does not meet the end of a try in a deadlock; nothing is left to note it at."""
    await add(database, URL)
    (due,) = await take(database)
    async with asyncio.timeout(20):
        async with database.transaction() as tx:
            await tx.deliveries.connection.execute("SELECT FROM deliveries FOR UPDATE")
            settling = asyncio.create_task(settle(database, due))
            await waiting_for_a_lock(database)
            await tx.deliveries.connection.execute("DELETE FROM jobs")
        assert not await settling
