"""Message queues: making them, sending to them, receiving from them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from sordino.domain import cmq_errors
from sordino.domain.message import (
    MAX_QUEUES,
    Found,
    Message,
    MessageQueue,
    QueueAttributes,
    QueueCounts,
    Receipt,
    Search,
)
from sordino.domain.ports import Clock, Database, Transaction
from sordino.messages.arrivals import Arrivals

RECOUNT: Final = timedelta(seconds=10)
"""How often the messages of a full queue are counted: other processes may have deleted some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageQueues:
    """The queues of all accounts, each seen by its own account alone.

    Every call raises ``CmqError``.

    Attributes:
        new_id: makes the id of a queue.
        arrivals: those who wait for messages.
    """

    database: Database
    clock: Clock
    new_id: Callable[[], str]
    arrivals: Arrivals
    # How many more messages each queue takes, as of when they were counted: counting is slow where there are many.
    _room: dict[str, tuple[int, datetime]] = field(default_factory=dict, init=False)

    async def create(self, account: str, name: str, attributes: QueueAttributes) -> MessageQueue:
        """Create a queue."""
        async with self.database.transaction() as tx:
            queue = await self._make(tx, account, name, attributes)
            if queue is None:
                raise cmq_errors.EXISTS(f"There is a queue {name} already.")
        return queue

    async def ensure(self, tx: Transaction, account: str, name: str) -> MessageQueue:
        """The queue of that name, which is made when it is missing, in a transaction under way."""
        found = await tx.message_queues.find(account, name)
        # Of two who make it at the same time one finds the other's.
        return found or await self._make(tx, account, name, QueueAttributes()) or await find_queue(tx, account, name)

    async def _make(self, tx: Transaction, account: str, name: str, attributes: QueueAttributes) -> MessageQueue | None:
        now = self.clock.now()
        queue = MessageQueue(
            queue_id=self.new_id(), account=account, name=name, attributes=attributes, created_at=now, updated_at=now
        )
        if (await tx.message_queues.page(account, Search(limit=0))).total >= MAX_QUEUES:
            raise cmq_errors.TOO_MANY(f"The account has {MAX_QUEUES} queues, which is as many as it may have.")
        return queue if await tx.message_queues.add(queue) else None

    async def remove(self, account: str, name: str) -> None:
        """Delete a queue with its messages and subscriptions."""
        async with self.database.transaction() as tx:
            if not await tx.message_queues.remove(account, name):
                raise _missing(name)

    async def change(
        self, account: str, name: str, change: Callable[[QueueAttributes], QueueAttributes]
    ) -> MessageQueue:
        """Change attributes of a queue."""
        async with self.database.transaction() as tx:
            queue = await find_queue(tx, account, name)
            queue = replace(queue, attributes=change(queue.attributes), updated_at=self.clock.now())
            await tx.message_queues.put(queue)
        self._room.pop(queue.queue_id, None)
        return queue

    async def describe(self, account: str, name: str) -> tuple[MessageQueue, QueueCounts]:
        """A queue and how many messages it holds."""
        async with self.database.reading() as tx:
            queue = await find_queue(tx, account, name)
            return queue, await tx.message_queues.counts(queue, self.clock.now())

    async def list(self, account: str, search: Search) -> Found[MessageQueue]:
        """A page of the account's queues."""
        async with self.database.reading() as tx:
            return await tx.message_queues.page(account, search)

    async def send(self, account: str, name: str, bodies: Sequence[str], delay: int = 0) -> Sequence[int]:
        """Send messages to a queue, all or none; their numbers.

        Args:
            account: whose queue it is.
            name: of the queue.
            bodies: of the messages.
            delay: seconds that they stay invisible.
        """
        async with self.database.transaction() as tx:
            queue = await find_queue(tx, account, name)
            numbers = await self.put(tx, queue, bodies, delay)
        self.arrivals.ring({queue.queue_id: len(bodies)})
        return numbers

    async def put(self, tx: Transaction, queue: MessageQueue, bodies: Sequence[str], delay: int = 0) -> Sequence[int]:
        """Send messages in a transaction under way."""
        check_size(bodies, queue.attributes.max_size)
        await self._take_room(tx, queue, len(bodies))
        if not await tx.message_queues.held([queue.queue_id]):
            raise _missing(queue.name)
        return await tx.message_queues.send(queue.queue_id, bodies, self.clock.now(), timedelta(seconds=delay))

    async def _take_room(self, tx: Transaction, queue: MessageQueue, number: int) -> None:
        now, most = self.clock.now(), queue.attributes.max_messages
        room, counted_at = self._room.get(queue.queue_id, (0, None))
        if counted_at is None or (room < number and now - counted_at >= RECOUNT):
            room, counted_at = most - await tx.message_queues.number(queue.queue_id, most), now
        taken = number if room >= number else 0
        self._room[queue.queue_id] = room - taken, counted_at
        if not taken:
            raise cmq_errors.QUEUE_FULL()

    async def receive(
        self,
        account: str,
        name: str,
        limit: int,
        seconds: int | None = None,
        gone: Callable[[], Awaitable[bool]] | None = None,
    ) -> Sequence[Message]:
        """Receive up to ``limit`` messages, at least one.

        Args:
            account: whose queue it is.
            name: of the queue.
            limit: most messages.
            seconds: how long to wait for the first one; None: as long as the queue says.
            gone: whether the receiver has left meanwhile; it gets nothing then.
        """
        async with self.database.transaction() as tx:
            queue = await find_queue(tx, account, name)
            messages = await tx.message_queues.receive(queue, self.clock.now(), limit)
        wait = queue.attributes.polling_wait if seconds is None else seconds
        end = self.clock.now() + timedelta(seconds=wait)
        while not messages:
            left = (end - self.clock.now()).total_seconds()
            if not await self.arrivals.wait(queue.queue_id, left) or (gone is not None and await gone()):
                raise cmq_errors.NO_MESSAGE()
            async with self.database.transaction() as tx:
                messages = await tx.message_queues.receive(queue, self.clock.now(), limit)
        return messages

    async def delete(self, account: str, name: str, receipts: Sequence[Receipt]) -> Sequence[Receipt]:
        """Delete received messages; the receipts that were not good."""
        async with self.database.transaction() as tx:
            queue = await find_queue(tx, account, name)
            deleted = await tx.message_queues.delete(queue.queue_id, receipts, self.clock.now())
        if queue.queue_id in self._room:
            room, counted_at = self._room[queue.queue_id]
            self._room[queue.queue_id] = room + len(deleted), counted_at
        return [receipt for receipt in receipts if receipt not in deleted]


async def find_queue(tx: Transaction, account: str, name: str) -> MessageQueue:
    """The account's queue of that name.

    Raises:
        CmqError: there is none.
    """
    queue = await tx.message_queues.find(account, name)
    if queue is None:
        raise _missing(name)
    return queue


def check_size(bodies: Sequence[str], most: int) -> None:
    """Refuse bodies of more than ``most`` bytes.

    Raises:
        CmqError: one has more.
    """
    size = max(len(body.encode()) for body in bodies)
    if size > most:
        raise cmq_errors.MESSAGE_TOO_LARGE(f"The message has {size} bytes; at most {most} (maxMsgSize).")


def _missing(name: str) -> cmq_errors.CmqError:
    return cmq_errors.NOT_FOUND(f"There is no queue {name}; create it, or mend queueName.")
