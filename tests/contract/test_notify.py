"""Callbacks from the end of a job to a receiver, over a real database, with a clock and receivers of our own."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from itertools import pairwise

import pytest

from hand import Hand
from rows import BUCKET, DONE, NOW, deliveries_of_others, execute, queue, started
from sordino.adapters.postgres.database import PostgresDatabase, PostgresTransaction
from sordino.domain.callback import (
    CallbackEvent,
    CallbackFormat,
    CallbackTarget,
    CallbackType,
    JobCallback,
    MqMode,
    MqTarget,
    NotifyConfig,
)
from sordino.domain.callback_url import Allowed
from sordino.domain.delivery import Callback, DeliveryState, LoggedDelivery, Receipt
from sordino.domain.ports import CallbackFailedError, DatabaseUnavailableError
from sordino.domain.queue import QueueSettings
from sordino.errors import ServiceError
from sordino.jobs.callbacks import MAX_WAITING, JobCallbacks, announce
from sordino.jobs.notify import CONCURRENCY, MAX_REASON, PER_ACCOUNT, PER_HOST, Notify
from sordino.wire.callbacks import render_callback, render_deliveries

DAY, SPAN = timedelta(days=1), timedelta(hours=3)
HERE = JobCallback(url="http://hooks.example/", format=CallbackFormat.JSON)


@dataclass
class Receivers:
    """Receivers that answer what ``act`` returns or raises."""

    act: Callable[[Callback], Awaitable[Receipt]]
    got: list[Callback] = field(default_factory=list)

    async def send(self, callback: Callback) -> Receipt:
        """Note it and answer."""
        self.got.append(callback)
        return await self.act(callback)


@dataclass
class World:
    """The use cases over one database."""

    database: PostgresDatabase
    clock: Hand
    receivers: Receivers
    notify: Notify
    callbacks: JobCallbacks

    async def end(self, job_id: str = "j1", callback: JobCallback = HERE) -> bool:
        """Run and end a job; whether anybody wants to know."""
        running = replace(await started(self.database, job_id), callback=callback)
        async with self.database.transaction() as tx:
            assert await tx.jobs.finish(job_id, running.attempt, DONE, self.clock.now())
            return await announce(tx, running, self.clock.now())

    async def round(self) -> int:
        """Begin what is due, and see it through."""
        begun = await self.notify.begin_due()
        while self.notify._tries:
            await asyncio.wait([*self.notify._tries])
            await asyncio.sleep(0)
        return begun

    async def log(self, job_id: str = "j1") -> Sequence[LoggedDelivery]:
        """The job's log."""
        return await self.callbacks.log(BUCKET, job_id)


async def accept(_: Callback) -> Receipt:
    """Take it."""
    return Receipt(status=200)


async def refuse(_: Callback) -> Receipt:
    """Be broken."""
    return Receipt(status=500)


@pytest.fixture
def world(database: PostgresDatabase) -> World:
    """A world in which every receiver accepts."""
    clock, receivers = Hand(), Receivers(accept)
    notify = Notify(
        database=database,
        clock=clock,
        sender=receivers,
        render=partial(render_callback, secret="s3cret"),
        timeout=5.0,
        retry_for=SPAN,
    )
    callbacks = JobCallbacks(database=database, clock=clock, allowed=Allowed(), mq_regions=("sh",), poke=notify.poke)
    return World(database, clock, receivers, notify, callbacks)


async def test_delivered(world: World) -> None:
    """The end of a job arrives once, with the headers of its first try."""
    assert await world.end()
    assert await world.round() == 1
    assert await world.round() == 0
    (callback,) = world.receivers.got
    headers = dict(callback.headers)
    (logged,) = await world.log()
    assert logged.delivery.state is DeliveryState.DELIVERED
    assert headers["x-sordino-delivery"] == logged.delivery.delivery_id
    assert (headers["x-sordino-attempt"], headers["Content-Type"]) == ("1", "application/json")
    assert json.loads(callback.body)["JobsDetail"]["State"] == "Success"


async def test_the_same_bytes_on_every_try(world: World) -> None:
    """A receiver that gets a callback twice gets the same body and delivery id, and another attempt number."""
    world.receivers.act = refuse
    await world.end()
    for _ in range(3):
        assert await world.round() == 1
        world.clock.at += timedelta(seconds=600)
    first, *others = world.receivers.got
    assert [dict(callback.headers)["x-sordino-attempt"] for callback in world.receivers.got] == ["1", "2", "3"]
    assert all(callback.body == first.body for callback in others)
    assert len({dict(callback.headers)["x-sordino-delivery"] for callback in world.receivers.got}) == 1
    assert len({dict(callback.headers)["x-sordino-signature"] for callback in world.receivers.got}) == 3


async def test_given_up(world: World) -> None:
    """A receiver that keeps failing is tried at growing distances, at the very end of the time, and no more."""
    world.receivers.act = refuse
    await world.end()
    tries = []
    while (delivery := (await world.log())[0].delivery).state is DeliveryState.WAITING:
        assert delivery.next_at is not None
        world.clock.at = delivery.next_at
        tries.append(world.clock.at)
        assert await world.round() == 1
    assert delivery.state is DeliveryState.GIVEN_UP
    assert (tries[0], tries[-1]) == (NOW, NOW + SPAN)
    pauses = [(later - earlier).total_seconds() for earlier, later in pairwise(tries)]
    assert pauses[0] <= 4
    assert 256 < max(pauses) <= 512
    assert 30 < len(tries) < 200


async def test_server_that_was_down_for_days(world: World) -> None:
    """A delivery that is found too late is still tried once."""
    world.receivers.act = refuse
    await world.end()
    world.clock.at += 5 * DAY
    assert await world.round() == 1
    assert (await world.log())[0].delivery.state is DeliveryState.GIVEN_UP


async def test_retry_after(world: World) -> None:
    """The next try is not before the time that the receiver asks for."""

    async def busy(_: Callback) -> Receipt:
        return Receipt(status=503, retry_after=1000.0)

    world.receivers.act = busy
    await world.end()
    await world.round()
    (logged,) = await world.log()
    assert logged.delivery.next_at == NOW + timedelta(seconds=1000)


async def test_no_reply(world: World) -> None:
    """Why there was no reply is in the log; a fault of our own is told without its text."""

    async def silent(_: Callback) -> Receipt:
        raise CallbackFailedError("no reply within 5 s")

    async def broken(_: Callback) -> Receipt:
        raise KeyError("secret")

    await world.end()
    for act in (silent, broken):
        world.receivers.act = act
        await world.round()
        world.clock.at += SPAN / 4
    (logged,) = await world.log()
    assert [attempt.error for attempt in logged.attempts] == [
        "no reply within 5 s",
        "the server failed; its log tells why",
    ]
    assert logged.delivery.state is DeliveryState.WAITING


async def test_a_reason_of_strange_characters(world: World) -> None:
    """What a receiver says of its failure is noted and shown, however it is written, and the delivery has its time."""

    async def mumble(_: Callback) -> Receipt:
        raise CallbackFailedError("4000 n\x00o\ud800\x01\n" + "é" * 10_000)

    world.receivers.act = mumble
    await world.end()
    assert await world.round() == 1
    (logged,) = await world.log()
    assert logged.attempts[0].error == ("4000 n?o???" + "é" * 10_000)[:MAX_REASON]
    assert logged.delivery.next_at <= NOW + timedelta(seconds=4)
    assert b"4000 n?o???" in render_deliveries("j1", [logged])


async def test_slow_host(world: World) -> None:
    """A receiver that does not answer takes its share of the places; others are told meanwhile."""
    gate = asyncio.Event()

    async def slow(callback: Callback) -> Receipt:
        if "slow" in (callback.target.url or ""):
            await gate.wait()
        return Receipt(status=200)

    world.receivers.act = slow
    for number in range(2 * CONCURRENCY):
        await world.end(f"slow{number}", JobCallback(url="http://slow.example/"))
    await world.end("quick", JobCallback(url="http://quick.example/"))
    assert await world.notify.begin_due() == PER_HOST + 1
    while not any("quick" in (callback.target.url or "") for callback in world.receivers.got):
        await asyncio.sleep(0.01)
    assert await world.notify.begin_due() == 0
    gate.set()
    while len(world.receivers.got) < 2 * CONCURRENCY + 1:
        await world.round()


async def test_places(world: World) -> None:
    """No more tries are under way than there are places."""
    gate = asyncio.Event()

    async def wait(_: Callback) -> Receipt:
        await gate.wait()
        return Receipt(status=200)

    world.receivers.act = wait
    for number in range(CONCURRENCY + 3):
        await world.end(f"j{number}", JobCallback(url=f"http://host{number}.example/"))
    assert await world.notify.begin_due() == CONCURRENCY
    assert await world.notify.begin_due() == 0
    gate.set()
    assert await world.round() == 0
    assert await world.round() == 3


async def test_account_with_many_hanging_hosts(world: World) -> None:
    """It has all places while it is alone; another account gets the first that is free, and half of them if it can."""
    gate = asyncio.Event()

    async def hang(callback: Callback) -> Receipt:
        if callback.account == "1":
            await gate.wait()
        return Receipt(status=500)

    world.receivers.act = hang
    await deliveries_of_others(world.database, "1", 1000)
    assert await world.notify.begin_due() == CONCURRENCY
    await world.end()
    assert await world.notify.begin_due() == 0
    gate.set()
    while len(world.receivers.got) < CONCURRENCY or world.notify._tries:
        await asyncio.sleep(0.01)
    gate.clear()
    assert await world.notify.begin_due() == PER_ACCOUNT + 1
    while len(world.notify._tries) > PER_ACCOUNT:
        await asyncio.sleep(0.01)
    assert [callback.job_id for callback in world.receivers.got if callback.account != "1"] == ["j1"]
    # While it has something due in each look, it finds a place each time.
    for number in range(2, 20):
        await world.end(f"j{number}")
        assert await world.notify.begin_due() == 1
        while len(world.notify._tries) > PER_ACCOUNT:
            await asyncio.sleep(0.01)
    assert await world.notify.begin_due() == CONCURRENCY - PER_ACCOUNT
    gate.set()
    await asyncio.wait([*world.notify._tries])


async def test_loop(world: World) -> None:
    """The loop finds what comes while it runs, and ends its tries before it stops."""
    gate = asyncio.Event()

    async def wait(_: Callback) -> Receipt:
        await gate.wait()
        return Receipt(status=200)

    world.receivers.act = wait
    loop = asyncio.create_task(world.notify.run())
    await world.end()
    while not world.receivers.got:
        await asyncio.sleep(0.01)
    loop.cancel()
    await asyncio.sleep(0.05)
    assert not loop.done()
    gate.set()
    await asyncio.wait([loop])
    assert (await world.log())[0].delivery.state is DeliveryState.DELIVERED


async def test_loop_that_is_stopped_does_not_wait_for_ever(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A try that does not end when the loop is stopped is left to whoever comes next."""
    monkeypatch.setattr("sordino.jobs.notify.FAREWELL_SECONDS", 0.05)

    async def never(_: Callback) -> Receipt:
        return await asyncio.Future()

    world.receivers.act = never
    loop = asyncio.create_task(world.notify.run())
    await world.end()
    while not world.receivers.got:
        await asyncio.sleep(0.01)
    loop.cancel()
    await asyncio.wait([loop])
    world.clock.at += timedelta(seconds=20)
    world.receivers.act = accept
    while (await world.log())[0].delivery.state is DeliveryState.WAITING:
        await world.round()
    assert len(world.receivers.got) == 2


async def test_loop_outlives_outages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a database that is away nor a fault ends the loop."""
    monkeypatch.setattr("sordino.jobs.notify.OUTAGE_SECONDS", 0.01)
    faults = [DatabaseUnavailableError("away"), ZeroDivisionError(), DatabaseUnavailableError("away")]
    plain = PostgresDatabase.transaction

    def failing(database: PostgresDatabase) -> object:
        if faults:
            raise faults.pop()
        return plain(database)

    await world.end()
    monkeypatch.setattr(PostgresDatabase, "transaction", failing)
    loop = asyncio.create_task(world.notify.run())
    while not world.receivers.got:
        await asyncio.sleep(0.01)
    loop.cancel()
    await asyncio.wait([loop])
    assert faults == []


async def test_outage_after_a_try(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A try that could not be noted counts as lost after a while and is made again: at least once."""
    plain = PostgresDatabase.transaction

    async def cut(_: Callback) -> Receipt:
        monkeypatch.setattr(
            PostgresDatabase, "transaction", lambda _: (_ for _ in ()).throw(DatabaseUnavailableError())
        )
        return Receipt(status=200)

    await world.end()
    world.receivers.act = cut
    await world.round()
    monkeypatch.setattr(PostgresDatabase, "transaction", plain)
    world.receivers.act = accept
    assert await world.round() == 0
    world.clock.at += timedelta(seconds=20)
    assert await world.round() == 1
    (logged,) = await world.log()
    assert [attempt.status for attempt in logged.attempts] == [None, 200]


async def notifying(tx: PostgresTransaction, **changes: object) -> None:
    """Give the queue a callback."""
    plain = NotifyConfig(
        on=True, events=(CallbackEvent.TASK_FINISH,), type=CallbackType.URL, url="http://queue.example/"
    )
    await tx.queues.put(queue(settings=QueueSettings(name="q", notify=replace(plain, **changes))))


@pytest.mark.parametrize(
    ("callback", "changes", "url"),
    [
        (JobCallback(), {}, "http://queue.example/"),
        (HERE, {}, "http://hooks.example/"),
        (JobCallback(muted=True), {}, None),
        (JobCallback(), {"on": False}, None),
        (JobCallback(), {"events": (CallbackEvent.WORKFLOW_FINISH,)}, None),
    ],
)
async def test_queue(world: World, callback: JobCallback, changes: dict[str, object], url: str | None) -> None:
    """What the queue says when the job ends counts, unless the job says otherwise."""
    async with world.database.transaction() as tx:
        await notifying(tx, **changes)
    assert await world.end(callback=callback) == (url is not None)
    assert [logged.delivery.target.url for logged in await world.log()] == ([] if url is None else [url])


async def test_message_queue(world: World) -> None:
    """A callback to a message queue waits, is tried and is logged as one to a URL is."""
    mq = MqTarget(region="sh", mode=MqMode.TOPIC, name="ends")
    world.receivers.act = refuse
    assert await world.end(callback=JobCallback(type=CallbackType.TDMQ, mq=mq))
    assert await world.round() == 1
    (sent,) = world.receivers.got
    (logged,) = await world.log()
    assert logged.delivery.target == sent.target == CallbackTarget(mq=mq)
    assert (sent.delivery_id, sent.job_id) == (logged.delivery.delivery_id, "j1")
    assert (sent.state, sent.account) == ("Success", "1250000000")
    assert (logged.delivery.state, logged.attempts[0].status) == (DeliveryState.WAITING, 500)


async def test_again(world: World) -> None:
    """A callback can be sent once more, to where it goes now, as a delivery of its own with a time of its own."""
    await world.end(callback=JobCallback())
    with pytest.raises(ServiceError, match="has no callback") as refusal:
        await world.callbacks.again(BUCKET, "j1")
    assert refusal.value.status == 400
    async with world.database.transaction() as tx:
        await notifying(tx)
    world.clock.at += 3 * DAY
    for _ in range(2):
        await world.callbacks.again(BUCKET, "j1")
    world.receivers.act = refuse
    assert await world.round() == 2
    first, second = await world.log()
    assert first.delivery.delivery_id != second.delivery.delivery_id
    assert {first.delivery.state, second.delivery.state} == {DeliveryState.WAITING}
    assert len({callback.body for callback in world.receivers.got}) == 1


async def test_again_and_again(world: World) -> None:
    """Only so many wait for a receiver that does not answer; those that it has do not count."""
    await world.end(callback=JobCallback())
    async with world.database.transaction() as tx:
        await notifying(tx)
    for _ in range(MAX_WAITING):
        await world.callbacks.again(BUCKET, "j1")
    with pytest.raises(ServiceError, match=f"{MAX_WAITING} callbacks of the job j1 wait") as refusal:
        await world.callbacks.again(BUCKET, "j1")
    assert refusal.value.status == 400
    while await world.round():
        pass
    assert await world.callbacks.again(BUCKET, "j1")


async def test_again_at_once(world: World) -> None:
    """However many ask at the same time, and whatever was delivered since, no more of them wait."""
    await world.end(callback=JobCallback())
    async with world.database.transaction() as tx:
        await notifying(tx)
    asked = [world.callbacks.again(BUCKET, "j1") for _ in range(3 * MAX_WAITING)]
    told = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(not isinstance(it, BaseException) for it in told) == MAX_WAITING
    await execute(
        world.database,
        "INSERT INTO deliveries (job_id, account, url, host, format, state, created_at, next_at)"
        " SELECT job_id, account, url, host, format, 'Delivered', created_at, next_at"
        " FROM deliveries CROSS JOIN generate_series(1, 5)",
    )
    with pytest.raises(ServiceError, match=f"{MAX_WAITING} callbacks of the job j1 wait"):
        await world.callbacks.again(BUCKET, "j1")


@pytest.mark.parametrize("call", ["log", "again"])
async def test_no_such_job(world: World, call: str) -> None:
    """A job that is not there, or is another bucket's, is refused."""
    await world.end()
    for bucket, job_id in ((BUCKET, "j2"), ("other-1250000000", "j1")):
        with pytest.raises(ServiceError, match="There is no job") as refusal:
            await getattr(world.callbacks, call)(bucket, job_id)
        assert (refusal.value.status, refusal.value.code) == (400, "InvalidArgument")


async def test_again_before_the_end(world: World) -> None:
    """A job that has not ended, or was cancelled, has nothing to tell."""
    await started(world.database)
    with pytest.raises(ServiceError, match="is Running; its callback can be sent again once it is Success or Failed"):
        await world.callbacks.again(BUCKET, "j1")


def test_check(world: World) -> None:
    """A URL that could not be called is refused with the element that holds it."""
    world.callbacks.check(None, "Request.CallBack")
    world.callbacks.check("http://hooks.example/", "Request.CallBack")
    with pytest.raises(ServiceError, match=r"Request\.CallBack: the URL leads to 10\.0\.0\.1") as refusal:
        world.callbacks.check("http://10.0.0.1/", "Request.CallBack")
    assert (refusal.value.status, refusal.value.code) == (400, "InvalidArgument")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (
            MqTarget(region="gz", mode=MqMode.QUEUE, name="q"),
            ["MqRegion", "gz", "one of sh, or a callback of type Url"],
        ),
        (MqTarget(region="sh", mode=MqMode.QUEUE, name="amq.topic"), ["MqName", "amq."]),
    ],
)
def test_refused_message_queues(world: World, target: MqTarget, words: list[str]) -> None:
    """A message queue that is not there for us is refused in a job that would use it, and in a queue that does."""
    notify = NotifyConfig(on=True, type=CallbackType.TDMQ, mq=target)
    checks = world.callbacks
    for refused in (lambda: checks.check_job(JobCallback(mq=target)), lambda: checks.check_notify(notify)):
        with pytest.raises(ServiceError) as refusal:
            refused()
        assert refusal.value.code == "InvalidArgument"
        assert all(word in refusal.value.message for word in words)
    checks.check_job(JobCallback(mq=target, muted=True))
    checks.check_job(JobCallback(mq=target, type=CallbackType.URL))
    checks.check_notify(replace(notify, on=False))


def test_no_message_queue_at_all(world: World) -> None:
    """Where no region has a message queue, the refusal leaves URLs."""
    target = MqTarget(region="sh", mode=MqMode.QUEUE, name="q")
    with pytest.raises(ServiceError, match="for sh; use a callback of type Url"):
        replace(world.callbacks, mq_regions=()).check_job(JobCallback(mq=target))
