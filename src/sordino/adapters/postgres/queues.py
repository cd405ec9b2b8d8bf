"""Queues in PostgreSQL.

A bucket's queues stand behind a gate, an advisory lock. Submits pass it side by side; who changes, adds or removes a
queue goes through alone. Locks of rows alone would not do: a stream of submits could keep a row for ever from the one
who waits for it. Lock the gate first, then rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg.errors import ForeignKeyViolation
from psycopg.rows import DictRow

from sordino.adapters.postgres.documents import dump, load_notify
from sordino.adapters.postgres.session import Connection
from sordino.domain.page import Page, Paged
from sordino.domain.queue import Queue, QueueSettings, QueueState
from sordino.errors import NO_SUCH_BUCKET

_COLUMNS: Final = """
queue_id, bucket, name, state, notify, created_at, updated_at, is_default, max_size, max_concurrent,
weight
"""
_GATE: Final = "hashtextextended('sordino queues of ' || current_schema() || ' ' || %(bucket)s, 0)"
_ALONE: Final = f"SELECT pg_advisory_xact_lock({_GATE})"
# By its own name, so that the submits of a queue that is nearly full take turns behind the gate.
_FILL: Final = """
SELECT pg_advisory_xact_lock(hashtextextended('sordino queue ' || current_schema() || ' ' || %(queue_id)s, 0))
"""
_ADD: Final = f"""
INSERT INTO queues ({_COLUMNS})
VALUES (%(queue_id)s, %(bucket)s, %(name)s, %(state)s, %(notify)s, %(created_at)s, %(updated_at)s, %(is_default)s,
        %(max_size)s, %(max_concurrent)s, %(weight)s)
"""  # noqa: S608 - the only text put in is ours
_COUNT: Final = "SELECT count(*) AS queues FROM queues WHERE bucket = %(bucket)s"
_ONE: Final = (
    "bucket = %(bucket)s AND CASE WHEN %(queue_id)s::text IS NULL THEN is_default ELSE queue_id = %(queue_id)s END"
)
# The row is locked so that it is read as it is behind the gate: the statement may have waited there for a change of it.
_HELD: Final = f"""
WITH gate AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared({_GATE}))
SELECT {_COLUMNS}
  FROM gate CROSS JOIN queues
 WHERE {_ONE}
   FOR SHARE OF queues
"""  # noqa: S608 - the only text put in is ours
_GET: Final = f"""
SELECT {_COLUMNS}
  FROM queues
 WHERE {_ONE}
"""  # noqa: S608 - the only text put in is ours
_FIND: Final = f"""
SELECT {_COLUMNS}
  FROM queues
 WHERE bucket = %(bucket)s AND queue_id = ANY(%(queue_ids)s)
 ORDER BY array_position(%(queue_ids)s, queue_id)
"""  # noqa: S608 - the only text put in is ours
_OF_STATE: Final = "bucket = %(bucket)s AND (%(state)s::text IS NULL OR state = %(state)s)"
_TOTAL: Final = f"SELECT count(*) AS total FROM queues WHERE {_OF_STATE}"  # noqa: S608 - the only text put in is ours
_PAGE: Final = f"""
SELECT {_COLUMNS}
  FROM queues
 WHERE {_OF_STATE}
 ORDER BY is_default DESC, created_at, queue_id
 LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608 - the only text put in is ours
_PUT: Final = """
UPDATE queues
   SET name = %(name)s, state = %(state)s, notify = %(notify)s, updated_at = %(updated_at)s, max_size = %(max_size)s,
       max_concurrent = %(max_concurrent)s, weight = %(weight)s
 WHERE queue_id = %(queue_id)s
"""
_REMOVE: Final = "DELETE FROM queues WHERE bucket = %(bucket)s AND queue_id = %(queue_id)s"
_CLEAR: Final = "DELETE FROM queues WHERE bucket = %(bucket)s"


@dataclass(frozen=True, slots=True)
class PostgresQueues:
    """``ports.Queues`` over one connection."""

    connection: Connection

    async def alone(self, bucket: str) -> None:
        """Keep other transactions from holding, changing, adding and removing queues of the bucket."""
        await self.connection.execute(_ALONE, {"bucket": bucket})

    async def add(self, queue: Queue) -> None:
        """Create a queue; the speech service of its bucket is open.

        Raises:
            ServiceError: NoSuchBucket, when the bucket was removed meanwhile.
        """
        try:
            await self.connection.execute(_ADD, _row(queue))
        except ForeignKeyViolation as error:
            raise NO_SUCH_BUCKET() from error

    async def count(self, bucket: str) -> int:
        """How many queues the bucket has."""
        row = await (await self.connection.execute(_COUNT, {"bucket": bucket})).fetchone()
        return row["queues"] if row else 0

    async def held(self, bucket: str, queue_id: str | None) -> Queue | None:
        """The queue, or the default one, kept from being changed or removed until the transaction ends; or None."""
        return await self._one(_HELD, bucket, queue_id)

    async def locked(self, bucket: str, queue_id: str | None) -> Queue | None:
        """The queue, or the default one, for this transaction alone to change or remove; or None."""
        await self.alone(bucket)
        return await self._one(_GET, bucket, queue_id)

    async def fill(self, queue_id: str) -> None:
        """Let no other transaction fill the queue until this one ends."""
        await self.connection.execute(_FILL, {"queue_id": queue_id})

    async def find(self, bucket: str, queue_ids: Sequence[str]) -> Sequence[Queue]:
        """The queues of that bucket among ``queue_ids``, in the order asked."""
        found = await self.connection.execute(_FIND, {"bucket": bucket, "queue_ids": [*queue_ids]})
        return [_queue(row) for row in await found.fetchall()]

    async def page(self, bucket: str, state: QueueState | None, page: Page) -> Paged[Queue]:
        """A page of the bucket's queues, of one state if asked: the default one first, then by age."""
        wanted = {"bucket": bucket, "state": state and state.value, "limit": page.size, "offset": page.offset}
        total = await (await self.connection.execute(_TOTAL, wanted)).fetchone()
        rows = await (await self.connection.execute(_PAGE, wanted)).fetchall()
        return Paged(items=tuple(map(_queue, rows)), total=total["total"] if total else 0, page=page)

    async def put(self, queue: Queue) -> None:
        """Write what may change of a queue that exists: its settings, limits, weight and time of update."""
        await self.connection.execute(_PUT, _row(queue))

    async def remove(self, bucket: str, queue_id: str) -> None:
        """Delete a queue; its jobs, which have ended, stay."""
        await self.connection.execute(_REMOVE, {"bucket": bucket, "queue_id": queue_id})

    async def clear(self, bucket: str) -> None:
        """Delete every queue of the bucket; their jobs, which have ended, stay."""
        await self.connection.execute(_CLEAR, {"bucket": bucket})

    async def _one(self, query: str, bucket: str, queue_id: str | None) -> Queue | None:
        row = await (await self.connection.execute(query, {"bucket": bucket, "queue_id": queue_id})).fetchone()
        return _queue(row) if row else None


def _row(queue: Queue) -> dict[str, Any]:
    return {
        "queue_id": queue.queue_id,
        "bucket": queue.bucket,
        "name": queue.settings.name,
        "state": queue.settings.state.value,
        "notify": dump(queue.settings.notify),
        "created_at": queue.created_at,
        "updated_at": queue.updated_at,
        "is_default": queue.is_default,
        "max_size": queue.max_size,
        "max_concurrent": queue.max_concurrent,
        "weight": queue.weight,
    }


def _queue(row: DictRow) -> Queue:
    return Queue(
        queue_id=row["queue_id"],
        bucket=row["bucket"],
        settings=QueueSettings(name=row["name"], state=QueueState(row["state"]), notify=load_notify(row["notify"])),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        is_default=row["is_default"],
        max_size=row["max_size"],
        max_concurrent=row["max_concurrent"],
        weight=row["weight"],
    )
