"""Deliveries and their tries in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.rows import DictRow

from sordino.adapters.postgres.documents import dump_mq, load_mq
from sordino.adapters.postgres.jobs import PostgresJobs
from sordino.adapters.postgres.session import Connection
from sordino.domain.callback import CallbackFormat, CallbackTarget
from sordino.domain.delivery import Attempt, Delivery, DeliveryState, DueDelivery, LoggedDelivery, Receipt

KEPT_ATTEMPTS: Final = 50
"""Tries that the log of a delivery holds, the latest ones."""

SHOWN_DELIVERIES: Final = 20
"""Deliveries that the log of a job shows, the latest ones."""

_COLUMNS: Final = "delivery_id, job_id, url, mq, format, state, created_at, next_at, attempts"
_ADD: Final = """
INSERT INTO deliveries (job_id, url, mq, host, format, created_at, next_at)
VALUES (%(job_id)s, %(url)s, %(mq)s, %(host)s, %(format)s, %(at)s, %(at)s)
"""
# From host to host along the index, so that a long queue before a dead one is not read: of each host no more than may
# be under way beside those that are. First tries go first, and hosts take turns: a few dead receivers, whose deliveries
# wait for longest, would else have all places.
_TAKE: Final = f"""
WITH RECURSIVE hosts (host) AS (
    (SELECT host FROM deliveries WHERE state = 'Waiting' ORDER BY host LIMIT 1)
    UNION ALL
    SELECT (SELECT host FROM deliveries WHERE state = 'Waiting' AND host > hosts.host ORDER BY host LIMIT 1)
      FROM hosts
     WHERE hosts.host IS NOT NULL
), due AS (
    SELECT candidate.delivery_id
      FROM hosts,
           LATERAL (SELECT count(*) AS tries
                      FROM deliveries
                     WHERE under_way AND host = hosts.host AND next_at > %(at)s) busy,
           LATERAL (SELECT delivery_id, attempts, next_at
                      FROM deliveries
                     WHERE state = 'Waiting' AND host = hosts.host AND next_at <= %(at)s
                     ORDER BY next_at
                     LIMIT greatest(0, %(per_host)s - busy.tries)
                       FOR UPDATE SKIP LOCKED) candidate
     ORDER BY candidate.attempts > 0,
              busy.tries + row_number() OVER (PARTITION BY hosts.host ORDER BY candidate.next_at),
              candidate.next_at
     LIMIT %(limit)s
), taken AS (
    UPDATE deliveries
       SET under_way = true, next_at = %(until)s, attempts = attempts + 1
      FROM due
     WHERE deliveries.delivery_id = due.delivery_id
    RETURNING deliveries.*
), noted AS (
    INSERT INTO delivery_attempts (delivery_id, number, at) SELECT delivery_id, attempts, %(at)s FROM taken
)
SELECT {_COLUMNS}
  FROM taken
"""  # noqa: S608 - the only text put in is ours
# The attempt's number fences off a sender that was held for lost.
_SETTLE: Final = """
UPDATE deliveries
   SET state = %(state)s, next_at = coalesce(%(next_at)s, next_at), under_way = false
 WHERE delivery_id = %(delivery_id)s AND attempts = %(number)s AND under_way
"""
_NOTE: Final = """
UPDATE delivery_attempts
   SET status = %(status)s, error = %(error)s, milliseconds = %(milliseconds)s
 WHERE delivery_id = %(delivery_id)s AND number = %(number)s
"""
_FORGET: Final = "DELETE FROM delivery_attempts WHERE delivery_id = %(delivery_id)s AND number <= %(number)s"
_OF_JOB: Final = f"""
SELECT {_COLUMNS}
  FROM deliveries
 WHERE job_id = %(job_id)s
 ORDER BY number DESC
 LIMIT %(limit)s
"""  # noqa: S608 - the only text put in is ours
_ATTEMPTS: Final = """
SELECT delivery_id, number, at, status, error, milliseconds
  FROM delivery_attempts
 WHERE delivery_id = ANY(%(delivery_ids)s)
 ORDER BY number
"""


@dataclass(frozen=True, slots=True)
class PostgresDeliveries:
    """``ports.Deliveries`` over one connection."""

    connection: Connection

    async def add(self, job_id: str, target: CallbackTarget, at: datetime) -> None:
        """Have the end of a job told, from ``at`` on."""
        where = {"url": target.url, "mq": dump_mq(target.mq), "host": target.host}
        values = {"job_id": job_id, **where, "format": target.format.value, "at": at}
        await self.connection.execute(_ADD, values)

    async def take(self, at: datetime, *, until: datetime, limit: int, per_host: int) -> Sequence[DueDelivery]:
        """Begin the next try of deliveries that are due, and keep others from them until ``until``."""
        taken = await self.connection.execute(_TAKE, {"at": at, "until": until, "limit": limit, "per_host": per_host})
        deliveries = [_delivery(row) for row in await taken.fetchall()]
        jobs = await PostgresJobs(self.connection).by_id([it.job_id for it in deliveries])
        return [DueDelivery(delivery=it, job=jobs[it.job_id]) for it in deliveries]

    async def settle(
        self,
        delivery: Delivery,
        outcome: Receipt | str,
        *,
        milliseconds: int,
        state: DeliveryState,
        next_at: datetime | None = None,
    ) -> bool:
        """Note how a try ended, and what becomes of its delivery; False when the try counted as lost already."""
        key = {"delivery_id": delivery.delivery_id, "number": delivery.attempts}
        told: dict[str, Any] = (
            {"status": outcome.status, "error": None}
            if isinstance(outcome, Receipt)
            else {"status": None, "error": outcome}
        )
        # The delivery before its tries, which is the order in which both are deleted with their job.
        settled = await self.connection.execute(_SETTLE, {**key, "state": state.value, "next_at": next_at})
        await self.connection.execute(_NOTE, {**key, **told, "milliseconds": milliseconds})
        await self.connection.execute(_FORGET, {**key, "number": delivery.attempts - KEPT_ATTEMPTS})
        return settled.rowcount > 0

    async def of_job(self, job_id: str) -> Sequence[LoggedDelivery]:
        """The latest deliveries of a job, the last one first, each with its latest tries."""
        found = await self.connection.execute(_OF_JOB, {"job_id": job_id, "limit": SHOWN_DELIVERIES})
        deliveries = [_delivery(row) for row in await found.fetchall()]
        ids = [delivery.delivery_id for delivery in deliveries]
        rows = await (await self.connection.execute(_ATTEMPTS, {"delivery_ids": ids})).fetchall()
        attempts: dict[str, list[Attempt]] = {delivery_id: [] for delivery_id in ids}
        for row in rows:
            attempts[row.pop("delivery_id")].append(Attempt(**row))
        return [LoggedDelivery(delivery=it, attempts=tuple(attempts[it.delivery_id])) for it in deliveries]


def _delivery(row: DictRow) -> Delivery:
    state = DeliveryState(row["state"])
    target = CallbackTarget(format=CallbackFormat(row.pop("format")), url=row.pop("url"), mq=load_mq(row.pop("mq")))
    return Delivery(
        **{
            **row,
            "target": target,
            "state": state,
            "next_at": row["next_at"] if state is DeliveryState.WAITING else None,
        }
    )
