"""Message queues and their messages in PostgreSQL."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg.rows import DictRow

from sordino.adapters.postgres.session import Connection
from sordino.domain.message import Found, Message, MessageQueue, QueueAttributes, QueueCounts, Receipt, Search

_ATTRIBUTES: Final = ("polling_wait", "visibility", "max_size", "retention", "max_messages")
_COLUMNS: Final = f"queue_id, appid AS account, name, {', '.join(_ATTRIBUTES)}, created_at, updated_at"
_ADD: Final = f"""
INSERT INTO mq_queues (queue_id, appid, name, {", ".join(_ATTRIBUTES)}, created_at, updated_at)
VALUES (%(queue_id)s, %(account)s, %(name)s, {", ".join(f"%({name})s" for name in _ATTRIBUTES)},
        %(created_at)s, %(updated_at)s)
ON CONFLICT (appid, name) DO NOTHING
"""  # noqa: S608 - the only text put in is ours
_PUT: Final = f"""
UPDATE mq_queues SET {", ".join(f"{name} = %({name})s" for name in _ATTRIBUTES)}, updated_at = %(updated_at)s
 WHERE queue_id = %(queue_id)s
"""  # noqa: S608 - the only text put in is ours
_FIND: Final = f"SELECT {_COLUMNS} FROM mq_queues WHERE appid = %(account)s AND name = %(name)s"  # noqa: S608 - ours
# Whoever sends holds the queue against its end.
_FIND_IDS: Final = f"SELECT {_COLUMNS} FROM mq_queues WHERE queue_id = ANY(%(ids)s) ORDER BY queue_id FOR KEY SHARE"  # noqa: S608 - ours
_REMOVE: Final = "DELETE FROM mq_queues WHERE appid = %(account)s AND name = %(name)s"
_MATCHING: Final = "FROM mq_queues WHERE appid = %(account)s AND strpos(name, %(word)s) > 0"
_PAGE: Final = f"SELECT {_COLUMNS} {_MATCHING} ORDER BY name OFFSET %(offset)s LIMIT %(limit)s"
_COUNT: Final = f"SELECT count(*) AS number {_MATCHING}"
_HELD: Final = """
SELECT count(*) AS number
  FROM (SELECT FROM mq_messages WHERE queue_id = %(queue_id)s LIMIT %(limit)s) held
"""
_COUNTS: Final = """
SELECT count(*) FILTER (WHERE visible_at <= %(at)s) AS active,
       count(*) FILTER (WHERE visible_at > %(at)s AND dequeues > 0) AS hidden,
       count(*) FILTER (WHERE visible_at > %(at)s AND dequeues = 0) AS delayed,
       min(sent_at) AS first_sent_at
  FROM mq_messages
 WHERE queue_id = %(queue_id)s AND sent_at > %(oldest)s
"""
_SEND: Final = """
INSERT INTO mq_messages (queue_id, body, sent_at, visible_at)
SELECT %(queue_id)s, body, %(at)s, %(visible_at)s
  FROM unnest(%(bodies)s::text[]) WITH ORDINALITY AS given (body, place)
 ORDER BY place
RETURNING number
"""
_RECEIVE: Final = """
WITH next AS (
    SELECT number
      FROM mq_messages
     WHERE queue_id = %(queue_id)s AND visible_at <= %(at)s AND sent_at > %(oldest)s
     ORDER BY visible_at, number
     LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
)
UPDATE mq_messages
   SET visible_at = %(until)s, dequeues = dequeues + 1, first_received_at = coalesce(first_received_at, %(at)s)
  FROM next
 WHERE mq_messages.number = next.number
RETURNING mq_messages.number, body, sent_at, first_received_at, visible_at, dequeues
"""
_DELETE: Final = """
DELETE FROM mq_messages
 USING unnest(%(numbers)s::bigint[], %(dequeues)s::integer[]) AS receipt (number, dequeues)
 WHERE queue_id = %(queue_id)s AND visible_at > %(at)s
   AND mq_messages.number = receipt.number AND mq_messages.dequeues = receipt.dequeues
RETURNING receipt.number, receipt.dequeues
"""
_READY: Final = """
SELECT wanted.queue_id, count(*) AS number
  FROM unnest(%(queue_ids)s::text[], %(limits)s::integer[]) AS wanted (queue_id, most),
       LATERAL (SELECT FROM mq_messages
                 WHERE queue_id = wanted.queue_id AND visible_at <= %(at)s
                 LIMIT wanted.most) message
 GROUP BY wanted.queue_id
"""
# As an array, or else the planner reads all messages to find those few.
_FORGET: Final = """
DELETE FROM mq_messages
 WHERE number = ANY (ARRAY(
           SELECT old.number
             FROM mq_queues queue,
                  LATERAL (SELECT number
                             FROM mq_messages
                            WHERE queue_id = queue.queue_id
                              AND sent_at <= %(at)s - make_interval(secs => queue.retention)
                            ORDER BY sent_at
                            LIMIT %(limit)s
                              FOR UPDATE SKIP LOCKED) old
            LIMIT %(limit)s))
"""


@dataclass(frozen=True, slots=True)
class PostgresMessageQueues:
    """``ports.MessageQueues`` over one connection."""

    connection: Connection

    async def add(self, queue: MessageQueue) -> bool:
        """Create a queue; False when the account has one of that name."""
        return (await self.connection.execute(_ADD, _values(queue))).rowcount > 0

    async def find(self, account: str, name: str) -> MessageQueue | None:
        """The account's queue of that name, or None."""
        row = await (await self.connection.execute(_FIND, {"account": account, "name": name})).fetchone()
        return _queue(row) if row else None

    async def held(self, queue_ids: Sequence[str]) -> Sequence[MessageQueue]:
        """The queues of these ids that are there; none of them ends before this transaction does."""
        return [_queue(row) for row in await (await self.connection.execute(_FIND_IDS, {"ids": queue_ids})).fetchall()]

    async def page(self, account: str, search: Search) -> Found[MessageQueue]:
        """A page of the account's queues, by name."""
        values = {"account": account, **asdict(search)}
        total = await (await self.connection.execute(_COUNT, values)).fetchone()
        rows = await (await self.connection.execute(_PAGE, values)).fetchall()
        return Found(items=tuple(map(_queue, rows)), total=total["number"] if total else 0)

    async def put(self, queue: MessageQueue) -> None:
        """Write the attributes of a queue and its time of update."""
        await self.connection.execute(_PUT, _values(queue))

    async def remove(self, account: str, name: str) -> bool:
        """Delete a queue with its messages and subscriptions; False when there is none."""
        return (await self.connection.execute(_REMOVE, {"account": account, "name": name})).rowcount > 0

    async def number(self, queue_id: str, limit: int) -> int:
        """How many messages the queue holds; ``limit`` when there are as many or more."""
        row = await (await self.connection.execute(_HELD, {"queue_id": queue_id, "limit": limit})).fetchone()
        return int(row["number"]) if row else 0

    async def counts(self, queue: MessageQueue, at: datetime) -> QueueCounts:
        """How many messages of each kind there are."""
        values = {"queue_id": queue.queue_id, "at": at, "oldest": queue.oldest(at)}
        row = await (await self.connection.execute(_COUNTS, values)).fetchone()
        return QueueCounts(**row) if row else QueueCounts(active=0, hidden=0, delayed=0, first_sent_at=None)

    async def send(
        self, queue_id: str, bodies: Sequence[str], at: datetime, delay: timedelta = timedelta()
    ) -> Sequence[int]:
        """Add messages to a queue that is held; their numbers."""
        values = {"queue_id": queue_id, "bodies": list(bodies), "at": at, "visible_at": at + delay}
        return [row["number"] for row in await (await self.connection.execute(_SEND, values)).fetchall()]

    async def receive(self, queue: MessageQueue, at: datetime, limit: int) -> Sequence[Message]:
        """Up to ``limit`` messages, those first that have been visible for longest, hidden from now on for a while."""
        values = {
            "queue_id": queue.queue_id,
            "at": at,
            "oldest": queue.oldest(at),
            "until": at + timedelta(seconds=queue.attributes.visibility),
            "limit": limit,
        }
        rows = await (await self.connection.execute(_RECEIVE, values)).fetchall()
        return [_message(row) for row in sorted(rows, key=lambda row: (row["sent_at"], row["number"]))]

    async def delete(self, queue_id: str, receipts: Sequence[Receipt], at: datetime) -> Collection[Receipt]:
        """Delete the messages that are hidden by these receipts; whose they were."""
        values = {
            "queue_id": queue_id,
            "at": at,
            "numbers": [receipt.number for receipt in receipts],
            "dequeues": [receipt.dequeues for receipt in receipts],
        }
        return {Receipt(**row) for row in await (await self.connection.execute(_DELETE, values)).fetchall()}

    async def ready(self, wanted: Mapping[str, int], at: datetime) -> Mapping[str, int]:
        """How many messages can be received from each queue, up to the number wanted; those with none are left out."""
        values = {"queue_ids": list(wanted), "limits": list(wanted.values()), "at": at}
        rows = await (await self.connection.execute(_READY, values)).fetchall()
        return {row["queue_id"]: row["number"] for row in rows}

    async def forget(self, at: datetime, limit: int) -> int:
        """Delete up to ``limit`` messages that are kept no longer; how many."""
        return (await self.connection.execute(_FORGET, {"at": at, "limit": limit})).rowcount


def _values(queue: MessageQueue) -> dict[str, object]:
    values = asdict(queue)
    return {**values, **values.pop("attributes")}


def _queue(row: DictRow) -> MessageQueue:
    attributes = QueueAttributes(**{name: row.pop(name) for name in _ATTRIBUTES})
    return MessageQueue(**row, attributes=attributes)


def _message(row: DictRow) -> Message:
    receipt = Receipt(number=row.pop("number"), dequeues=row.pop("dequeues"))
    return Message(**row, receipt=receipt)
