"""Deliveries and their tries in PostgreSQL."""

import random
from collections.abc import Mapping, Sequence
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

LOOKED_AT: Final = 16
"""Accounts that a look considers at most, and hosts of each, for the first try and again for others."""

_COLUMNS: Final = "delivery_id, job_id, url, mq, format, state, created_at, next_at, attempts"
_ADD: Final = """
INSERT INTO deliveries (job_id, account, url, mq, host, format, created_at, next_at)
SELECT job_id, appid, %(url)s, %(mq)s, %(host)s, %(format)s, %(at)s, %(at)s
  FROM jobs JOIN buckets ON buckets.name = jobs.bucket
 WHERE job_id = %(job_id)s
"""
# A statement of its own: the next one sees what was added by whoever held the job.
_HOLD: Final = "SELECT FROM jobs WHERE job_id = %(job_id)s FOR NO KEY UPDATE"
_WAITING: Final = "SELECT count(*) AS waiting FROM deliveries WHERE job_id = %(job_id)s AND state = 'Waiting'"
# `accounts` and `hosts` hop along an index from one to the next, round the ring, whatever lies between; first tries and
# repeated ones have rings of their own, since many hosts may wait for a second try, and few for the first. What is due
# for longest in an account goes first, unless it is too much for its hosts: then whoever comes next in the ring. So a
# look costs the same with a long queue before one host and with many hosts; none is passed over for good, as each look
# begins at another place. Conditions that always hold are those of the index that is meant. An array, since the planner
# takes it for few ids, and looks each up.
_TAKE: Final = f"""
WITH RECURSIVE accounts (repeated, account_place, hops) AS (
    VALUES (false, %(start)s::bigint, 0), (true, %(start)s::bigint, 0)
    UNION ALL
    SELECT repeated, coalesce(next.after, next.first), hops + 1
      FROM accounts
     CROSS JOIN LATERAL (
           SELECT (SELECT account_place
                     FROM deliveries
                    WHERE state = 'Waiting' AND attempts >= 0 AND repeated = accounts.repeated
                      AND account_place > accounts.account_place
                    ORDER BY account_place
                    LIMIT 1) AS after,
                  (SELECT account_place
                     FROM deliveries
                    WHERE state = 'Waiting' AND attempts >= 0 AND repeated = accounts.repeated
                    ORDER BY account_place
                    LIMIT 1) AS first) AS next
     WHERE hops < {LOOKED_AT} AND next.first IS NOT NULL
), hosts (repeated, account_place, host_place, hops) AS (
    SELECT DISTINCT repeated, account_place, %(start)s::bigint, 0 FROM accounts WHERE hops > 0
    UNION ALL
    SELECT repeated, account_place, coalesce(next.after, next.first), hops + 1
      FROM hosts
     CROSS JOIN LATERAL (
           SELECT (SELECT host_place
                     FROM deliveries
                    WHERE state = 'Waiting' AND number >= 0
                      AND repeated = hosts.repeated AND account_place = hosts.account_place
                      AND host_place > hosts.host_place
                    ORDER BY host_place
                    LIMIT 1) AS after,
                  (SELECT host_place
                     FROM deliveries
                    WHERE state = 'Waiting' AND number >= 0
                      AND repeated = hosts.repeated AND account_place = hosts.account_place
                    ORDER BY host_place
                    LIMIT 1) AS first) AS next
     WHERE hops < {LOOKED_AT}
), due AS (
    SELECT found.*
      FROM (SELECT DISTINCT repeated, account_place FROM accounts WHERE hops > 0) AS at
     CROSS JOIN LATERAL (
           SELECT delivery_id, account, host, repeated, next_at
             FROM deliveries
            WHERE state = 'Waiting' AND attempts >= 0 AND repeated = at.repeated AND account_place = at.account_place
              AND next_at <= %(at)s
            ORDER BY next_at
            LIMIT {LOOKED_AT}) AS found
    UNION
    SELECT found.*
      FROM (SELECT DISTINCT repeated, account_place, host_place FROM hosts WHERE hops > 0) AS at
     CROSS JOIN LATERAL (
           SELECT delivery_id, account, host, repeated, next_at
             FROM deliveries
            WHERE state = 'Waiting' AND number >= 0 AND repeated = at.repeated AND account_place = at.account_place
              AND host_place = at.host_place AND next_at <= %(at)s
            ORDER BY next_at
            LIMIT %(per_host)s) AS found
), busy AS (
    SELECT host, tries
      FROM (SELECT DISTINCT host FROM due) AS at
     CROSS JOIN LATERAL (
           SELECT count(*) AS tries
             FROM deliveries
            WHERE under_way AND host = at.host AND next_at > %(at)s) AS there
), by_host AS (
    SELECT *, tries + row_number() OVER (PARTITION BY account, host ORDER BY repeated, next_at) AS host_turn
      FROM due JOIN busy USING (host)
), by_account AS (
    SELECT *, min(account) OVER () < max(account) OVER () AS shared,
           coalesce(held.own, 0)
           + row_number() OVER (PARTITION BY account ORDER BY repeated, host_turn, next_at) AS account_turn
      FROM by_host
      LEFT JOIN unnest(%(accounts)s::text[], %(held)s::integer[]) AS held (account, own) USING (account)
     WHERE host_turn <= %(per_host)s
), in_turn AS (
    SELECT *, tries + row_number() OVER (PARTITION BY host ORDER BY account_turn, next_at) AS turn_of_all
      FROM by_account
     WHERE account_turn <= %(per_account)s OR NOT shared
), chosen AS (
    SELECT deliveries.delivery_id
      FROM unnest(ARRAY (
             SELECT delivery_id
               FROM in_turn
              WHERE turn_of_all <= %(per_host)s
              ORDER BY account_turn, next_at)) WITH ORDINALITY AS wanted (delivery_id, number)
      JOIN deliveries USING (delivery_id)
     WHERE state = 'Waiting' AND next_at <= %(at)s
     ORDER BY wanted.number
     LIMIT %(limit)s
       FOR UPDATE OF deliveries SKIP LOCKED
), taken AS (
    UPDATE deliveries
       SET under_way = true, next_at = %(until)s, attempts = attempts + 1
      FROM chosen
     WHERE deliveries.delivery_id = chosen.delivery_id
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

    async def waiting(self, job_id: str) -> int:
        """How many deliveries of a job wait; who else asks waits until this transaction ends."""
        await self.connection.execute(_HOLD, {"job_id": job_id})
        row = await (await self.connection.execute(_WAITING, {"job_id": job_id})).fetchone()
        return row["waiting"] if row else 0

    async def take(
        self, at: datetime, *, until: datetime, limit: int, per_host: int, per_account: int, held: Mapping[str, int]
    ) -> Sequence[DueDelivery]:
        """Begin the next try of deliveries that are due, and keep others from them until ``until``."""
        bounds = {"at": at, "until": until, "limit": limit, "per_host": per_host, "per_account": per_account}
        ours = {"accounts": list(held.keys()), "held": list(held.values())}
        taken = await self.connection.execute(_TAKE, {**bounds, **ours, "start": _anywhere()})
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


def _anywhere() -> int:
    """A place in the rings of accounts and hosts: any signed number of 64 bits."""
    return random.getrandbits(64) - 2**63


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
