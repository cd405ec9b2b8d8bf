"""Topics: what is published to one goes to every queue that is subscribed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from sordino.domain import cmq_errors
from sordino.domain.cmq_errors import CmqError
from sordino.domain.message import MAX_MESSAGE_BYTES, MAX_SUBSCRIPTIONS, MAX_TOPICS, Found, Search, Subscription, Topic
from sordino.domain.ports import Clock, Database, Transaction
from sordino.messages.queues import MessageQueues, check_size, find_queue

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageTopics:
    """The topics of all accounts, each seen by its own account alone.

    Every call raises ``CmqError``.

    Attributes:
        new_id: makes the id of a topic.
        new_subscription_id: makes the id of a subscription.
        queues: what they publish to.
    """

    database: Database
    clock: Clock
    new_id: Callable[[], str]
    new_subscription_id: Callable[[], str]
    queues: MessageQueues

    async def create(self, account: str, name: str, max_size: int) -> Topic:
        """Create a topic."""
        async with self.database.transaction() as tx:
            topic = await self._make(tx, account, name, max_size)
            if topic is None:
                raise cmq_errors.EXISTS(f"There is a topic {name} already.")
        return topic

    async def ensure(self, tx: Transaction, account: str, name: str) -> Topic:
        """The topic of that name, which is made when it is missing, in a transaction under way."""
        found = await tx.message_topics.find(account, name)
        # Of two who make it at the same time one finds the other's.
        return found or await self._make(tx, account, name, MAX_MESSAGE_BYTES) or await find_topic(tx, account, name)

    async def _make(self, tx: Transaction, account: str, name: str, max_size: int) -> Topic | None:
        now = self.clock.now()
        topic = Topic(
            topic_id=self.new_id(), account=account, name=name, max_size=max_size, created_at=now, updated_at=now
        )
        if (await tx.message_topics.page(account, Search(limit=0))).total >= MAX_TOPICS:
            raise cmq_errors.TOO_MANY(f"The account has {MAX_TOPICS} topics, which is as many as it may have.")
        return topic if await tx.message_topics.add(topic) else None

    async def remove(self, account: str, name: str) -> None:
        """Delete a topic with its subscriptions; messages that were published stay in their queues."""
        async with self.database.transaction() as tx:
            if not await tx.message_topics.remove(account, name):
                raise _missing(name)

    async def change(self, account: str, name: str, max_size: int) -> None:
        """Change how large messages may be."""
        async with self.database.transaction() as tx:
            topic = await find_topic(tx, account, name)
            await tx.message_topics.put(replace(topic, max_size=max_size, updated_at=self.clock.now()))

    async def describe(self, account: str, name: str) -> Topic:
        """A topic."""
        async with self.database.reading() as tx:
            return await find_topic(tx, account, name)

    async def list(self, account: str, search: Search) -> Found[Topic]:
        """A page of the account's topics."""
        async with self.database.reading() as tx:
            return await tx.message_topics.page(account, search)

    async def subscribe(self, account: str, topic_name: str, name: str, queue_name: str) -> Subscription:
        """Let a queue get what is published from now on."""
        async with self.database.transaction() as tx:
            topic = await find_topic(tx, account, topic_name)
            queue = await find_queue(tx, account, queue_name)
            subscription = Subscription(
                subscription_id=self.new_subscription_id(),
                topic_id=topic.topic_id,
                name=name,
                queue_id=queue.queue_id,
                queue_name=queue.name,
                created_at=self.clock.now(),
            )
            if (await tx.message_topics.subscriptions(topic.topic_id, Search(limit=0))).total >= MAX_SUBSCRIPTIONS:
                raise cmq_errors.TOO_MANY_SUBSCRIPTIONS()
            if not await tx.message_topics.subscribe(subscription):
                raise cmq_errors.SUBSCRIPTION_EXISTS()
        return subscription

    async def unsubscribe(self, account: str, topic_name: str, name: str) -> None:
        """Let a queue get no more."""
        async with self.database.transaction() as tx:
            topic = await find_topic(tx, account, topic_name)
            if not await tx.message_topics.unsubscribe(topic.topic_id, name):
                raise cmq_errors.NOT_FOUND(f"The topic {topic_name} has no subscription {name}.")

    async def subscriptions(self, account: str, topic_name: str, search: Search) -> Found[Subscription]:
        """A page of a topic's subscriptions."""
        async with self.database.reading() as tx:
            topic = await find_topic(tx, account, topic_name)
            return await tx.message_topics.subscriptions(topic.topic_id, search)

    async def publish(self, account: str, name: str, bodies: Sequence[str]) -> None:
        """Send messages to every queue that is subscribed; one that cannot take them goes without."""
        async with self.database.transaction() as tx:
            arrived = await self.put(tx, await find_topic(tx, account, name), bodies)
        self.queues.arrivals.ring(arrived)

    async def put(self, tx: Transaction, topic: Topic, bodies: Sequence[str]) -> dict[str, int]:
        """Publish in a transaction under way; how many messages came to which queue."""
        check_size(bodies, topic.max_size)
        subscribed = await tx.message_topics.subscribed(topic.topic_id)
        arrived: dict[str, int] = {}
        held = {queue.queue_id: queue for queue in await tx.message_queues.held(subscribed)}
        for queue_id in filter(held.__contains__, subscribed):
            try:
                await self.queues.put(tx, held[queue_id], bodies)
            except CmqError as refusal:
                log.warning("a subscribed queue goes without", topic=topic.name, error=refusal.message)
            else:
                arrived[queue_id] = arrived.get(queue_id, 0) + len(bodies)
        return arrived


async def find_topic(tx: Transaction, account: str, name: str) -> Topic:
    """The account's topic of that name.

    Raises:
        CmqError: there is none.
    """
    topic = await tx.message_topics.find(account, name)
    if topic is None:
        raise _missing(name)
    return topic


def _missing(name: str) -> CmqError:
    return cmq_errors.NOT_FOUND(f"There is no topic {name}; create it, or mend topicName.")
