"""The hand-over of waiting jobs to the task engine, in PostgreSQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from sordino.adapters.postgres.session import Connection
from sordino.domain.ports import ReleasedJob
from sordino.domain.release import WHOLE, Candidate, EngineLoad

# The words of the conditions are those of the indexes jobs_waiting and jobs_released. Which jobs wait for their next
# try the engine knows: their tasks have a time. NOT IN, as it is hashed: the tasks are read once. Here and below an
# order that nobody needs keeps the planner to the index: it would look for a waiting job among all that have ended.
# EXISTS would drop the order.
_LOAD: Final = """
SELECT (SELECT count(*)
          FROM slots JOIN procrastinate_workers AS worker ON worker.id = slots.worker_id
         WHERE worker.last_heartbeat >= now() - %(silence)s * interval '1 second') AS slots,
       (SELECT count(*)
          FROM jobs
         WHERE released AND state IN ('Submitted', 'Running')
           AND job_id NOT IN (SELECT coalesce(args ->> 'job_id', '')
                                FROM procrastinate_jobs
                               WHERE task_name = 'run_job' AND status = 'todo' AND scheduled_at IS NOT NULL)) AS jobs,
       coalesce((SELECT true
                   FROM jobs
                  WHERE state = 'Submitted' AND NOT released
                  ORDER BY queue_id
                  LIMIT 1), false) AS waiting,
       EXISTS (SELECT
                 FROM procrastinate_jobs
                WHERE task_name = 'run_job' AND status = 'todo' AND scheduled_at <= now()) AS due
"""
# A process that is stopped in its turn would keep all others waiting: the server ends its session. Nobody waits for the
# disk either: a hand-over that is lost with the server is made again, and a job that has begun took it to the disk.
_TAKE_TURN: Final = """
SELECT set_config('idle_in_transaction_session_timeout', '5s', true), set_config('synchronous_commit', 'off', true),
       pg_advisory_xact_lock(hashtextextended('sordino releases of ' || current_schema(), 0))
"""
# Only jobs that would run: a task may be stale, and goes when it does. What others hold is passed over, so that a pass
# waits for nobody. The array keeps the planner to the jobs' key, whatever it believes of the tasks.
_TAKE_BACK: Final = """
WITH due AS MATERIALIZED (
    SELECT task.id, jobs.job_id
      FROM procrastinate_jobs AS task
      JOIN jobs ON jobs.job_id = task.args ->> 'job_id' AND jobs.release = (task.args ->> 'release')::integer
     WHERE task.task_name = 'run_job' AND task.status = 'todo' AND task.scheduled_at <= now()
       AND jobs.job_id = ANY (ARRAY (
             SELECT args ->> 'job_id'
               FROM procrastinate_jobs
              WHERE task_name = 'run_job' AND status = 'todo' AND scheduled_at <= now()))
       AND jobs.released AND jobs.state = 'Submitted'
       FOR UPDATE SKIP LOCKED),
back AS (
    UPDATE jobs SET released = false WHERE job_id = ANY (ARRAY (SELECT job_id FROM due)))
DELETE FROM procrastinate_jobs WHERE id = ANY (ARRAY (SELECT id FROM due))
"""
# `heads` hops over the index from the head of one queue to that of the next, whatever lies between. As many
# accounts as jobs, and as many queues of each, are enough: whatever comes after so many others is not reached. They
# stand in the order of `domain.release.shares`.
_CANDIDATES: Final = """
WITH RECURSIVE heads AS (
    (SELECT queue_id, created_at
       FROM jobs
      WHERE state = 'Submitted' AND NOT released
      ORDER BY queue_id, level DESC, created_at, job_id
      LIMIT 1)
    UNION ALL
    SELECT next.queue_id, next.created_at
      FROM heads
     CROSS JOIN LATERAL (
           SELECT jobs.queue_id, jobs.created_at
             FROM jobs
            WHERE state = 'Submitted' AND NOT released AND jobs.queue_id > heads.queue_id
            ORDER BY jobs.queue_id, level DESC, jobs.created_at, job_id
            LIMIT 1) AS next),
engine AS MATERIALIZED (
    SELECT queue_id, bucket, count(*) AS held
      FROM jobs
     WHERE released AND state IN ('Submitted', 'Running')
     GROUP BY queue_id, bucket),
busy AS MATERIALIZED (
    SELECT appid, sum(held)::bigint AS held
      FROM engine JOIN buckets ON buckets.name = engine.bucket
     GROUP BY appid),
ready AS (
    SELECT appid AS account, queue_id, accounts.weight AS account_weight, coalesce(busy.held, 0) AS held_by_account,
           queues.weight, coalesce(engine.held, 0) AS held, heads.created_at AS head_at,
           least(%(most)s, coalesce(max_concurrent, %(max_concurrent)s) - coalesce(engine.held, 0)) AS allowed
      FROM heads
      JOIN queues USING (queue_id)
      JOIN buckets ON buckets.name = queues.bucket
      JOIN accounts USING (appid)
      LEFT JOIN engine USING (queue_id)
      LEFT JOIN busy USING (appid)
     WHERE queues.state = 'Active'),
placed AS (
    SELECT *, row_number() OVER own AS place, first_value(head_at) OVER own AS first_at,
           first_value(queue_id) OVER own AS first_id
      FROM ready
     WHERE allowed > 0
    WINDOW own AS (PARTITION BY account
                   ORDER BY held * div(%(whole)s::numeric, weight), head_at, queue_id COLLATE "C")),
ranked AS (
    SELECT *, dense_rank() OVER (ORDER BY held_by_account * div(%(whole)s::numeric, account_weight), first_at,
                                          first_id COLLATE "C") AS account_place
      FROM placed
     WHERE place <= %(most)s)
SELECT account, queue_id, account_weight, held_by_account, weight, held, head_at,
       (SELECT count(*)
          FROM (SELECT
                  FROM jobs
                 WHERE jobs.queue_id = ranked.queue_id AND state = 'Submitted' AND NOT released
                 ORDER BY level DESC, created_at, job_id
                 LIMIT ranked.allowed) AS waiting) AS available
  FROM ranked
 WHERE account_place <= %(most)s
"""
# Rows that others hold are passed over, so that a pass waits for nobody and is no deadlock. An array, since the planner
# takes it for few ids: with IN it believed a tenth of all jobs to be meant, and read them all, the ended ones, too.
_RELEASE: Final = """
UPDATE jobs
   SET released = true, release = release + 1
 WHERE job_id = ANY (ARRAY (
         SELECT next.job_id
           FROM unnest(%(queue_ids)s::text[], %(counts)s::integer[]) AS share (queue_id, count)
          CROSS JOIN LATERAL (
                SELECT job_id
                  FROM jobs
                 WHERE jobs.queue_id = share.queue_id AND state = 'Submitted' AND NOT released
                 ORDER BY level DESC, created_at, job_id
                 LIMIT share.count
                   FOR UPDATE SKIP LOCKED) AS next))
RETURNING job_id, release, level, created_at
"""


@dataclass(frozen=True, slots=True)
class PostgresReleases:
    """``ports.Releases`` over one connection."""

    connection: Connection

    async def load(self, silence: float) -> EngineLoad:
        """How busy the engine is; workers without a sign of life for ``silence`` seconds count as dead."""
        return await _load(await self.connection.execute(_LOAD, {"silence": silence}))

    async def turn(self, silence: float, most: int, max_concurrent: int) -> tuple[EngineLoad, Sequence[Candidate]]:
        """Wait until no other transaction has its turn, and keep it until this one ends.

        Jobs that are due for their next try are taken back from the engine first, and wait like all others.

        Returns:
            How busy the engine is then, as ``load`` tells it, and the queues that can give some of ``most`` jobs;
            ``max_concurrent`` holds for those without a limit.
        """
        # One round trip. Each statement still sees what is committed when the one before it has ended.
        async with self.connection.pipeline():
            await self.connection.execute(_TAKE_TURN)
            await self.connection.execute(_TAKE_BACK)
            load = await self.connection.execute(_LOAD, {"silence": silence})
            parameters = {"most": most, "max_concurrent": max_concurrent, "whole": WHOLE}
            found = await self.connection.execute(_CANDIDATES, parameters)
        return await _load(load), [Candidate(**row) for row in await found.fetchall()]

    async def release(self, shares: Mapping[str, int]) -> Sequence[ReleasedJob]:
        """Mark so many waiting jobs of each queue as released, the highest level first, then the oldest; which.

        Jobs that another transaction is changing are passed over.
        """
        changed = await self.connection.execute(
            _RELEASE, {"queue_ids": list(shares.keys()), "counts": list(shares.values())}
        )
        rows = sorted(await changed.fetchall(), key=lambda row: (-row["level"], row["created_at"], row["job_id"]))
        return [ReleasedJob(job_id=row["job_id"], release=row["release"]) for row in rows]


async def _load(found: AsyncCursor[DictRow]) -> EngineLoad:
    row = await found.fetchone()
    assert row is not None
    return EngineLoad(**row)
