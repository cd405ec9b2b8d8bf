"""Message queues of our own: use cases and rows, on the embedded PostgreSQL and on one outside."""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from hand import Hand
from rows import ROOT
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.domain import cmq_errors, message
from sordino.domain.cmq_errors import CmqError, CmqErrorKind
from sordino.domain.message import QueueAttributes, Receipt, Search
from sordino.messages import arrivals as waiting
from sordino.messages import queues, topics
from sordino.messages.arrivals import Arrivals
from sordino.messages.queues import MessageQueues
from sordino.messages.topics import MessageTopics
from sordino.wire.ids import new_message_queue_id, new_subscription_id, new_topic_id

ME = ROOT.account.appid


@dataclass
class Place:
    """The use cases over one database, with a clock of our own; nobody looks for messages by itself."""

    database: PostgresDatabase
    clock: Hand
    arrivals: Arrivals
    queues: MessageQueues
    topics: MessageTopics

    async def take(self, name: str = "q", limit: int = 16) -> list[str]:
        """Receive bodies, at once."""
        return [it.body for it in await self.queues.receive(ME, name, limit, 0)]

    async def empty(self, name: str = "q") -> bool:
        """Whether there is nothing to receive now."""
        return await refused(self.queues.receive(ME, name, 1, 0)) == cmq_errors.NO_MESSAGE.code

    def later(self, seconds: float) -> None:
        """Move the clock."""
        self.clock.at += timedelta(seconds=seconds)


async def refused(call) -> int:
    """The code that a call is refused with."""
    with pytest.raises(CmqError) as refusal:
        await call
    return refusal.value.code


@pytest.fixture
async def place(database: PostgresDatabase) -> Place:
    """A place with the queue ``q``."""
    clock = Hand()
    arrivals = Arrivals(database=database, clock=clock)
    made = MessageQueues(database=database, clock=clock, new_id=new_message_queue_id, arrivals=arrivals)
    published = MessageTopics(
        database=database,
        clock=clock,
        new_id=new_topic_id,
        new_subscription_id=new_subscription_id,
        queues=made,
    )
    await made.create(ME, "q", QueueAttributes())
    return Place(database, clock, arrivals, made, published)


async def test_order_and_receipts(place: Place) -> None:
    """Messages come in the order they were sent, are hidden from others, and gone once deleted."""
    await place.queues.send(ME, "q", ["a", "b"])
    await place.queues.send(ME, "q", ["c"])
    (first,) = await place.queues.receive(ME, "q", 1, 0)
    assert (first.body, first.receipt.dequeues, first.sent_at) == ("a", 1, place.clock.at)
    assert await place.take() == ["b", "c"]
    assert await place.queues.delete(ME, "q", [first.receipt]) == []
    place.later(31)
    assert await place.take() == ["b", "c"]


async def test_visible_again(place: Place) -> None:
    """A message that is not deleted in time is received again, counted, and its old receipt is good no more."""
    await place.queues.send(ME, "q", ["a"])
    (once,) = await place.queues.receive(ME, "q", 1, 0)
    place.later(29)
    assert await place.empty()
    place.later(2)
    assert await place.queues.delete(ME, "q", [once.receipt]) == [once.receipt]
    (twice,) = await place.queues.receive(ME, "q", 1, 0)
    assert (twice.receipt, twice.first_received_at) == (replace(once.receipt, dequeues=2), once.first_received_at)
    assert await place.queues.delete(ME, "q", [once.receipt, twice.receipt]) == [once.receipt]
    place.later(60)
    assert await place.empty()


async def test_receivers_side_by_side(place: Place) -> None:
    """Receivers that come at the same time get each message once."""
    await place.queues.send(ME, "q", [str(number) for number in range(40)])
    taken = await asyncio.gather(*(place.take(limit=10) for _ in range(4)))
    assert sorted(int(body) for bodies in taken for body in bodies) == list(range(40))


async def test_delay(place: Place) -> None:
    """A delayed message is not seen before its time."""
    await place.queues.send(ME, "q", ["late"], delay=10)
    assert await place.empty()
    _, counts = await place.queues.describe(ME, "q")
    assert (counts.active, counts.hidden, counts.delayed) == (0, 0, 1)
    place.later(10)
    assert await place.take() == ["late"]


async def test_retention(place: Place) -> None:
    """A message that is kept no longer is not received, and is deleted by the upkeep; others stay."""
    await place.queues.change(ME, "q", lambda it: replace(it, retention=60))
    await place.queues.send(ME, "q", ["old"])
    place.later(30)
    await place.queues.send(ME, "q", ["young"])
    place.later(31)
    await place.arrivals.forget()
    async with place.database.transaction() as tx:
        queue = await queues.find_queue(tx, ME, "q")
        assert await tx.message_queues.number(queue.queue_id, 10) == 1
    assert await place.take() == ["young"]


async def test_counts(place: Place) -> None:
    """What a queue holds is counted by kind, with the time of the oldest message."""
    await place.queues.send(ME, "q", ["a", "b", "c"])
    place.later(1)
    await place.queues.receive(ME, "q", 1, 0)
    queue, counts = await place.queues.describe(ME, "q")
    assert (counts.active, counts.hidden, counts.delayed) == (2, 1, 0)
    assert counts.first_sent_at == place.clock.at - timedelta(seconds=1)
    assert (queue.name, queue.attributes) == ("q", QueueAttributes())


async def test_full(place: Place) -> None:
    """A queue takes as many messages as it may hold, and again when some were deleted."""
    await place.queues.change(ME, "q", lambda it: replace(it, max_messages=3))
    await place.queues.send(ME, "q", ["a", "b"])
    assert await refused(place.queues.send(ME, "q", ["c", "d"])) == cmq_errors.QUEUE_FULL.code
    await place.queues.send(ME, "q", ["c"])
    assert await refused(place.queues.send(ME, "q", ["d"])) == cmq_errors.QUEUE_FULL.code
    (one,) = await place.queues.receive(ME, "q", 1, 0)
    await place.queues.delete(ME, "q", [one.receipt])
    await place.queues.send(ME, "q", ["d"])


async def test_full_for_others(place: Place) -> None:
    """What another process deletes makes room, too, a little later; what it sends counts then."""
    elsewhere = replace(place.queues, arrivals=place.arrivals)
    await place.queues.change(ME, "q", lambda it: replace(it, max_messages=2))
    await place.queues.send(ME, "q", ["a", "b"])
    (one,) = await elsewhere.receive(ME, "q", 1, 0)
    await elsewhere.delete(ME, "q", [one.receipt])
    assert await refused(place.queues.send(ME, "q", ["c"])) == cmq_errors.QUEUE_FULL.code
    place.later(10)
    await place.queues.send(ME, "q", ["c"])
    assert await refused(elsewhere.send(ME, "q", ["d"])) == cmq_errors.QUEUE_FULL.code


async def test_size(place: Place) -> None:
    """Size is counted in bytes, not in characters."""
    await place.queues.change(ME, "q", lambda it: replace(it, max_size=1024))
    await place.queues.send(ME, "q", ["é" * 512])
    assert await refused(place.queues.send(ME, "q", ["a", "é" * 513])) == cmq_errors.MESSAGE_TOO_LARGE.code
    assert await place.take() == ["é" * 512]


async def test_accounts(place: Place) -> None:
    """An account does not see the queues and topics of another, and may use the same names."""
    await place.topics.create(ME, "t", 1024)
    async with place.database.pool.connection() as connection:
        await connection.execute("INSERT INTO accounts (appid, uin) VALUES ('1250000001', '100000000002')")
    other = "1250000001"
    for call in (
        place.queues.send(other, "q", ["a"]),
        place.queues.remove(other, "q"),
        place.topics.publish(other, "t", ["a"]),
        place.topics.remove(other, "t"),
    ):
        assert await refused(call) == cmq_errors.NOT_FOUND.code
    await place.queues.create(other, "q", QueueAttributes())
    await place.queues.send(other, "q", ["theirs"])
    assert await place.empty()
    assert (await place.queues.list(other, Search())).total == 1


async def test_names(place: Place) -> None:
    """There is one queue and one topic of a name, and a list finds them by a part of it, page by page."""
    assert await refused(place.queues.create(ME, "q", QueueAttributes())) == cmq_errors.EXISTS.code
    for name in ("ends-a", "ends-b", "other_%"):
        await place.queues.create(ME, name, QueueAttributes())
        await place.topics.create(ME, name, 1024)
    assert await refused(place.topics.create(ME, "ends-a", 1024)) == cmq_errors.EXISTS.code
    for use_case in (place.queues, place.topics):
        found = await use_case.list(ME, Search(word="ends", offset=1, limit=1))
        assert ([it.name for it in found.items], found.total) == (["ends-b"], 2)
        assert (await use_case.list(ME, Search(word="%"))).total == 1


async def test_queue_that_ends(place: Place) -> None:
    """A queue ends with its messages and subscriptions."""
    await place.topics.create(ME, "t", 1024)
    await place.topics.subscribe(ME, "t", "s", "q")
    await place.queues.send(ME, "q", ["a"])
    await place.queues.remove(ME, "q")
    assert await refused(place.queues.send(ME, "q", ["a"])) == cmq_errors.NOT_FOUND.code
    assert (await place.topics.subscriptions(ME, "t", Search())).total == 0
    await place.queues.create(ME, "q", QueueAttributes())
    assert await place.empty()


async def test_topic(place: Place) -> None:
    """What is published goes to every subscribed queue; one that is full goes without, and holds up no other."""
    await place.queues.create(ME, "full", QueueAttributes(max_messages=1))
    await place.topics.create(ME, "t", 1024)
    for name in ("q", "full"):
        await place.topics.subscribe(ME, "t", f"to-{name}", name)
    assert await refused(place.topics.subscribe(ME, "t", "to-q", "full")) == cmq_errors.SUBSCRIPTION_EXISTS.code
    for body in ("a", "b"):
        await place.topics.publish(ME, "t", [body])
    assert await place.take("full") == ["a"]
    assert await place.take() == ["a", "b"]
    await place.topics.unsubscribe(ME, "t", "to-q")
    assert await refused(place.topics.unsubscribe(ME, "t", "to-q")) == cmq_errors.NOT_FOUND.code
    await place.topics.publish(ME, "t", ["c"])
    place.later(31)
    assert await place.take() == ["a", "b"]


async def test_topic_settings(place: Place) -> None:
    """A topic bounds the size of its messages, and that can be changed."""
    await place.topics.create(ME, "t", 1024)
    assert await refused(place.topics.publish(ME, "t", ["a" * 1025])) == cmq_errors.MESSAGE_TOO_LARGE.code
    await place.topics.change(ME, "t", 2048)
    await place.topics.publish(ME, "t", ["a" * 1025])
    assert (await place.topics.describe(ME, "t")).max_size == 2048


@pytest.mark.parametrize(
    ("module", "bound", "kind"),
    [
        (queues, "MAX_QUEUES", cmq_errors.TOO_MANY),
        (topics, "MAX_TOPICS", cmq_errors.TOO_MANY),
        (topics, "MAX_SUBSCRIPTIONS", cmq_errors.TOO_MANY_SUBSCRIPTIONS),
    ],
)
async def test_bounds(
    place: Place, monkeypatch: pytest.MonkeyPatch, module: object, bound: str, kind: CmqErrorKind
) -> None:
    """An account has a bounded number of queues and topics, a topic of subscriptions."""
    assert getattr(message, bound) >= 100
    await place.topics.create(ME, "t", 1024)
    await place.topics.subscribe(ME, "t", "s", "q")
    monkeypatch.setattr(module, bound, 1)
    calls = {
        "MAX_QUEUES": lambda: place.queues.create(ME, "new", QueueAttributes()),
        "MAX_TOPICS": lambda: place.topics.create(ME, "new", 1024),
        "MAX_SUBSCRIPTIONS": lambda: place.topics.subscribe(ME, "t", "new", "q"),
    }
    assert await refused(calls[bound]()) == kind.code


async def test_unknown_receipt(place: Place) -> None:
    """A receipt of no message, and one of another queue's, delete nothing."""
    await place.queues.create(ME, "other", QueueAttributes())
    await place.queues.send(ME, "other", ["a"])
    (one,) = await place.queues.receive(ME, "other", 1, 0)
    unknown = Receipt(number=10**17, dequeues=1)
    assert await place.queues.delete(ME, "q", [one.receipt, unknown]) == [one.receipt, unknown]
    assert await place.queues.delete(ME, "other", [one.receipt]) == []


async def waiters(place: Place, number: int) -> list[asyncio.Task[list[str]]]:
    """Receivers that wait for a message, in their order."""

    async def wait() -> list[str]:
        return [it.body for it in await place.queues.receive(ME, "q", 1, 30)]

    tasks: list[asyncio.Task[list[str]]] = []
    while len(tasks) < number:  # one after another, so that they stand in the order of the list
        tasks.append(asyncio.create_task(wait()))
        while sum(len(line) for line in place.arrivals._waiting.values()) < len(tasks):
            await asyncio.sleep(0.01)
    return tasks


async def test_waiting(place: Place) -> None:
    """Those who wait hold no connection; a message wakes one of them, in turn."""
    tasks = await waiters(place, 10)
    assert place.database.pool.get_stats().get("pool_available") == place.database.pool.get_stats()["pool_size"]
    await place.queues.send(ME, "q", ["a"])
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert tasks[0].done()
    await place.queues.send(ME, "q", ["b", "c"])
    while sum(task.done() for task in tasks) < 3:
        await asyncio.sleep(0.01)
    assert sorted(task.result()[0] for task in tasks if task.done()) == ["a", "b", "c"]
    place.arrivals.stop()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [end.code for end in ends if isinstance(end, CmqError)] == [cmq_errors.NO_MESSAGE.code] * 7
    assert await place.empty()


async def test_messages_of_other_processes(place: Place) -> None:
    """A message that another process sent, or that is visible again, is found by looking."""
    elsewhere = replace(place.queues, arrivals=Arrivals(database=place.database, clock=place.clock))
    (task,) = await waiters(place, 1)
    await place.arrivals.look()
    await elsewhere.send(ME, "q", ["a"])
    await asyncio.sleep(0.05)
    assert not task.done()
    await place.arrivals.look()
    assert await task == ["a"]


async def test_receiver_that_left(place: Place) -> None:
    """A message does not go to a receiver that has left while it waited."""

    async def gone() -> bool:
        return True

    task = asyncio.create_task(place.queues.receive(ME, "q", 1, 30, gone))
    while not place.arrivals._waiting:
        await asyncio.sleep(0.01)
    await place.queues.send(ME, "q", ["a"])
    assert await refused(task) == cmq_errors.NO_MESSAGE.code
    assert await place.take() == ["a"]


async def test_nothing_comes(place: Place) -> None:
    """A receiver waits as long as the queue says when it says nothing itself, and nobody is left in line."""
    await place.queues.change(ME, "q", lambda it: replace(it, polling_wait=1))
    task = asyncio.create_task(place.queues.receive(ME, "q", 1))
    while not place.arrivals._waiting:
        await asyncio.sleep(0.01)
    assert await refused(task) == cmq_errors.NO_MESSAGE.code
    assert place.arrivals._waiting == {}


async def test_loop(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop looks and forgets, and outlives an outage."""
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.01)
    plain, faults = PostgresDatabase.transaction, [ZeroDivisionError(), cmq_errors.NOT_FOUND()]

    def failing(database: PostgresDatabase) -> object:
        if faults:
            raise faults.pop()
        return plain(database)

    monkeypatch.setattr(PostgresDatabase, "transaction", failing)
    loop = asyncio.create_task(place.arrivals.run())
    while faults:
        await asyncio.sleep(0.01)
    elsewhere = replace(place.queues, arrivals=Arrivals(database=place.database, clock=place.clock))
    (task,) = await waiters(place, 1)
    await elsewhere.send(ME, "q", ["a"])
    assert await task == ["a"]
    loop.cancel()
    await asyncio.wait([loop])
