"""Topics and subscriptions in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from sordino.adapters.postgres.session import Connection
from sordino.domain.message import Found, Search, Subscription, Topic

_COLUMNS: Final = "topic_id, appid AS account, name, max_size, created_at, updated_at"
_ADD: Final = """
INSERT INTO mq_topics (topic_id, appid, name, max_size, created_at, updated_at)
VALUES (%(topic_id)s, %(account)s, %(name)s, %(max_size)s, %(created_at)s, %(updated_at)s)
ON CONFLICT (appid, name) DO NOTHING
"""
_PUT: Final = "UPDATE mq_topics SET max_size = %(max_size)s, updated_at = %(updated_at)s WHERE topic_id = %(topic_id)s"
_FIND: Final = f"SELECT {_COLUMNS} FROM mq_topics WHERE appid = %(account)s AND name = %(name)s"  # noqa: S608 - ours
_REMOVE: Final = "DELETE FROM mq_topics WHERE appid = %(account)s AND name = %(name)s"
_MATCHING: Final = "FROM mq_topics WHERE appid = %(account)s AND strpos(name, %(word)s) > 0"
_PAGE: Final = f"SELECT {_COLUMNS} {_MATCHING} ORDER BY name OFFSET %(offset)s LIMIT %(limit)s"
_COUNT: Final = f"SELECT count(*) AS number {_MATCHING}"
_SUBSCRIBE: Final = """
INSERT INTO mq_subscriptions (subscription_id, topic_id, name, queue_id, created_at)
VALUES (%(subscription_id)s, %(topic_id)s, %(name)s, %(queue_id)s, %(created_at)s)
ON CONFLICT (topic_id, name) DO NOTHING
"""
_UNSUBSCRIBE: Final = "DELETE FROM mq_subscriptions WHERE topic_id = %(topic_id)s AND name = %(name)s"
_SUBSCRIPTIONS: Final = """
  FROM mq_subscriptions JOIN mq_queues USING (queue_id)
 WHERE topic_id = %(topic_id)s AND strpos(mq_subscriptions.name, %(word)s) > 0
"""
_SUBSCRIPTION_PAGE: Final = f"""
SELECT subscription_id, topic_id, mq_subscriptions.name, queue_id, mq_queues.name AS queue_name,
       mq_subscriptions.created_at
{_SUBSCRIPTIONS}
 ORDER BY mq_subscriptions.name OFFSET %(offset)s LIMIT %(limit)s
"""
_SUBSCRIPTION_COUNT: Final = f"SELECT count(*) AS number {_SUBSCRIPTIONS}"


@dataclass(frozen=True, slots=True)
class PostgresMessageTopics:
    """``ports.MessageTopics`` over one connection."""

    connection: Connection

    async def add(self, topic: Topic) -> bool:
        """Create a topic; False when the account has one of that name."""
        return (await self.connection.execute(_ADD, asdict(topic))).rowcount > 0

    async def find(self, account: str, name: str) -> Topic | None:
        """The account's topic of that name, or None."""
        row = await (await self.connection.execute(_FIND, {"account": account, "name": name})).fetchone()
        return Topic(**row) if row else None

    async def page(self, account: str, search: Search) -> Found[Topic]:
        """A page of the account's topics, by name."""
        values = {"account": account, **asdict(search)}
        total = await (await self.connection.execute(_COUNT, values)).fetchone()
        rows = await (await self.connection.execute(_PAGE, values)).fetchall()
        return Found(items=tuple(Topic(**row) for row in rows), total=total["number"] if total else 0)

    async def put(self, topic: Topic) -> None:
        """Write the size of a topic's messages and its time of update."""
        await self.connection.execute(_PUT, asdict(topic))

    async def remove(self, account: str, name: str) -> bool:
        """Delete a topic with its subscriptions; False when there is none."""
        return (await self.connection.execute(_REMOVE, {"account": account, "name": name})).rowcount > 0

    async def subscribe(self, subscription: Subscription) -> bool:
        """Add a subscription; False when the topic has one of that name."""
        return (await self.connection.execute(_SUBSCRIBE, asdict(subscription))).rowcount > 0

    async def unsubscribe(self, topic_id: str, name: str) -> bool:
        """Delete a subscription; False when there is none."""
        return (await self.connection.execute(_UNSUBSCRIBE, {"topic_id": topic_id, "name": name})).rowcount > 0

    async def subscriptions(self, topic_id: str, search: Search) -> Found[Subscription]:
        """A page of a topic's subscriptions, by name."""
        values = {"topic_id": topic_id, **asdict(search)}
        total = await (await self.connection.execute(_SUBSCRIPTION_COUNT, values)).fetchone()
        rows = await (await self.connection.execute(_SUBSCRIPTION_PAGE, values)).fetchall()
        return Found(items=tuple(Subscription(**row) for row in rows), total=total["number"] if total else 0)

    async def subscribed(self, topic_id: str) -> Sequence[str]:
        """The ids of the queues that get what is published, once for each subscription."""
        rows = await (
            await self.connection.execute(
                "SELECT queue_id FROM mq_subscriptions WHERE topic_id = %(topic_id)s ORDER BY queue_id",
                {"topic_id": topic_id},
            )
        ).fetchall()
        return [row["queue_id"] for row in rows]
