"""Rows of jobs in PostgreSQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.errors import ForeignKeyViolation
from psycopg.rows import DictRow

from sordino.adapters.postgres.documents import (
    dump,
    dump_callback,
    dump_media_info,
    load_callback,
    load_media_info,
    load_operation,
)
from sordino.adapters.postgres.listing import listing
from sordino.adapters.postgres.session import Connection
from sordino.domain.job import WAITING, Job, JobCursor, JobFilter, JobState, LostAttempt, Order, Outcome, sources
from sordino.errors import NO_SUCH_BUCKET

_COLUMNS: Final = """
job_id, bucket, region, queue_id, input_object, operation, created_at, state, started_at, ended_at, code, message,
progress, attempt, release, media_info, callback
"""
_ADD: Final = f"""
INSERT INTO jobs ({_COLUMNS})
VALUES (%(job_id)s, %(bucket)s, %(region)s, %(queue_id)s, %(input_object)s, %(operation)s, %(created_at)s, %(state)s,
        %(started_at)s, %(ended_at)s, %(code)s, %(message)s, %(progress)s, %(attempt)s, %(release)s, %(media_info)s,
        %(callback)s)
"""  # noqa: S608 - the only text put in is ours
_FIND: Final = f"""
SELECT {_COLUMNS}
  FROM jobs
 WHERE bucket = %(bucket)s AND job_id = ANY(%(job_ids)s)
 ORDER BY array_position(%(job_ids)s, job_id)
"""  # noqa: S608 - the only text put in is ours
# The jobs of a queue are looked up by the key of the index jobs_by_queue.
_WAITING: Final = """
SELECT count(*) AS waiting
  FROM (SELECT
          FROM jobs
         WHERE bucket = %(bucket)s
           AND (state || ' ' || queue_id) IN ('Submitted ' || %(queue_id)s::text, 'Pause ' || %(queue_id)s::text)
         LIMIT %(limit)s) AS waiting
"""
_UNFINISHED: Final = """
SELECT EXISTS (SELECT FROM jobs WHERE bucket = %(bucket)s AND state IN ('Submitted', 'Running', 'Pause')) AS unfinished
"""
_UNFINISHED_OF_QUEUE: Final = """
SELECT EXISTS (
         SELECT
           FROM jobs
          WHERE bucket = %(bucket)s
            AND (state || ' ' || queue_id) IN ('Submitted ' || %(queue_id)s::text, 'Running ' || %(queue_id)s::text,
                                               'Pause ' || %(queue_id)s::text)) AS unfinished
"""
_CANCEL: Final = """
UPDATE jobs
   SET state = 'Cancel', ended_at = %(at)s
 WHERE bucket = %(bucket)s AND job_id = %(job_id)s AND state = ANY(%(sources)s)
"""
_GET: Final = f"""
SELECT {_COLUMNS}
  FROM jobs
 WHERE job_id = ANY(%(job_ids)s)
"""  # noqa: S608 - the only text put in is ours
_STOP: Final = """
UPDATE jobs
   SET state = 'Cancel', ended_at = %(at)s, message = %(message)s
 WHERE job_id = %(job_id)s AND state = ANY(%(sources)s)
"""
# The rows are locked in the order of their ids first: whoever else changes several jobs in that order is no deadlock.
# Then they are changed in the order of an index, which spares the others of them a place at random for each. A join of
# both would be one statement; but with statistics from before a flood of jobs it compared every job with every other.
_LOCK: Final = """
SELECT count(*)
  FROM (SELECT
          FROM jobs
         WHERE bucket = %(bucket)s AND (state || ' ' || queue_id) = %(state)s || ' ' || %(queue_id)s::text
         ORDER BY job_id
           FOR UPDATE) AS locked
"""
_PAUSE: Final = """
UPDATE jobs
   SET state = 'Pause', released = false
 WHERE bucket = %(bucket)s AND (state || ' ' || queue_id) = %(state)s || ' ' || %(queue_id)s::text
   AND state = ANY(%(sources)s)
"""
_RESUME: Final = """
UPDATE jobs
   SET state = 'Submitted'
 WHERE bucket = %(bucket)s AND (state || ' ' || queue_id) = %(state)s || ' ' || %(queue_id)s::text
   AND state = ANY(%(sources)s)
"""
_START: Final = f"""
UPDATE jobs
   SET state = 'Running', started_at = %(at)s, progress = 0, attempt = attempt + 1
 WHERE job_id = %(job_id)s AND released AND release = %(release)s AND state = ANY(%(sources)s)
RETURNING {_COLUMNS}
"""  # noqa: S608 - the only text put in is ours
# What follows is said by a worker of the attempt it runs: the attempt's number fences off those that were overtaken.
_RUNS: Final = """
SELECT EXISTS (SELECT FROM jobs WHERE job_id = %(job_id)s AND attempt = %(attempt)s AND state = 'Running') AS runs
"""
_PROGRESS: Final = """
UPDATE jobs
   SET progress = %(percent)s
 WHERE job_id = %(job_id)s AND attempt = %(attempt)s AND state = 'Running'
"""
# An attempt that others held for lost was none: its worker has just spoken.
_REQUEUE: Final = """
UPDATE jobs
   SET state = 'Submitted', started_at = NULL, progress = 0, lost_attempts = array_remove(lost_attempts, attempt)
 WHERE job_id = %(job_id)s AND attempt = %(attempt)s AND state = 'Running' AND state = ANY(%(sources)s)
"""
_FAULT: Final = """
UPDATE jobs
   SET faults = faults + 1
 WHERE job_id = %(job_id)s AND attempt = %(attempt)s AND state = 'Running'
RETURNING faults
"""
# A task may be taken from two dead workers one after the other before the next attempt begins.
_LOSE: Final = f"""
UPDATE jobs
   SET lost_attempts = array_append(array_remove(lost_attempts, attempt), attempt)
 WHERE job_id = %(job_id)s AND release = %(release)s AND state = 'Running'
RETURNING {_COLUMNS}, cardinality(lost_attempts) AS losses
"""  # noqa: S608 - the only text put in is ours
_FIND_AGAIN: Final = """
UPDATE jobs
   SET lost_attempts = array_remove(lost_attempts, %(attempt)s)
 WHERE job_id = %(job_id)s AND %(attempt)s = ANY(lost_attempts) AND ended_at IS NULL
"""
_FINISH: Final = """
UPDATE jobs
   SET state = %(state)s, ended_at = %(at)s, code = %(code)s, message = %(message)s, media_info = %(media_info)s,
       progress = CASE %(state)s WHEN 'Success' THEN 100 ELSE progress END
 WHERE job_id = %(job_id)s AND attempt = %(attempt)s AND state = 'Running' AND state = ANY(%(sources)s)
"""
# The engine keeps a task's row as long as it waits or runs. EXCEPT reads each table once whatever the planner believes:
# with NOT EXISTS, and statistics from before a flood of jobs, it compared every job with every task.
_WITHOUT_TASK: Final = f"""
SELECT {_COLUMNS}
  FROM jobs
 WHERE job_id IN (
         SELECT job_id
           FROM (SELECT job_id, release
                   FROM jobs
                  WHERE released AND state IN ('Submitted', 'Running') AND created_at < %(before)s
                 EXCEPT
                 SELECT args ->> 'job_id', coalesce((args ->> 'release')::integer, 0)
                   FROM procrastinate_jobs
                  WHERE task_name = 'run_job' AND status IN ('todo', 'doing')) AS lost)
 ORDER BY created_at, job_id
 LIMIT %(limit)s
"""  # noqa: S608 - the only text put in is ours
# Deliveries and their tries go with their job.
_REMOVE_ENDED: Final = """
DELETE FROM jobs
 WHERE job_id IN (SELECT job_id
                    FROM jobs
                   WHERE ended_at < %(before)s
                   ORDER BY ended_at
                   LIMIT %(limit)s
                     FOR UPDATE SKIP LOCKED)
"""


@dataclass(frozen=True, slots=True)
class PostgresJobs:
    """``ports.Jobs`` over one connection."""

    connection: Connection

    async def add(self, job: Job) -> None:
        """Insert a new job.

        Raises:
            ServiceError: NoSuchBucket, when the bucket was removed meanwhile.
        """
        try:
            await self.connection.execute(_ADD, _row(job))
        except ForeignKeyViolation as error:
            raise NO_SUCH_BUCKET() from error

    async def find(self, bucket: str, job_ids: Sequence[str]) -> Sequence[Job]:
        """The jobs of that bucket among ``job_ids``, in the order asked."""
        found = await self.connection.execute(_FIND, {"bucket": bucket, "job_ids": [*job_ids]})
        return [_job(row) for row in await found.fetchall()]

    async def list(
        self, bucket: str, wanted: JobFilter, *, order: Order, after: JobCursor | None, limit: int
    ) -> Sequence[Job]:
        """Up to ``limit`` jobs of a bucket after ``after``, in ``order`` of their creation."""
        query, parameters = listing(_COLUMNS, bucket, wanted, order=order, after=after, limit=limit)
        found = await self.connection.execute(query, parameters)
        return [_job(row) for row in await found.fetchall()]

    async def waiting(self, bucket: str, queue_id: str, limit: int) -> int:
        """How many jobs of a queue wait, paused ones too; ``limit`` when there are as many or more."""
        counted = await self.connection.execute(_WAITING, {"bucket": bucket, "queue_id": queue_id, "limit": limit})
        row = await counted.fetchone()
        return row["waiting"] if row else 0

    async def unfinished(self, bucket: str, queue_id: str | None = None) -> bool:
        """Whether the bucket, or one queue of it, has jobs that have not ended."""
        query = _UNFINISHED if queue_id is None else _UNFINISHED_OF_QUEUE
        row = await (await self.connection.execute(query, {"bucket": bucket, "queue_id": queue_id})).fetchone()
        return bool(row and row["unfinished"])

    async def cancel(self, bucket: str, job_id: str, at: datetime) -> bool:
        """End a waiting job as cancelled; False (and nothing written) when there is none that waits."""
        return await self._change(
            _CANCEL, {"bucket": bucket, "job_id": job_id, "at": at, "sources": [state.value for state in WAITING]}
        )

    async def get(self, job_id: str) -> Job | None:
        """The job, of whatever bucket."""
        return (await self.by_id([job_id])).get(job_id)

    async def by_id(self, job_ids: Sequence[str]) -> Mapping[str, Job]:
        """The jobs among ``job_ids``, of whatever buckets."""
        found = await self.connection.execute(_GET, {"job_ids": [*job_ids]})
        return {row["job_id"]: _job(row) for row in await found.fetchall()}

    async def stop(self, job_id: str, message: str, at: datetime) -> bool:
        """End a job as cancelled, a running one too; False (and nothing written) when none is to be ended."""
        return await self._change(
            _STOP, {"job_id": job_id, "message": message, "at": at, "sources": _sources(JobState.CANCEL)}
        )

    async def pause(self, bucket: str, queue_id: str) -> int:
        """Pause the waiting jobs of a queue; how many there were."""
        return await self._move(_PAUSE, bucket, queue_id, JobState.SUBMITTED, JobState.PAUSE)

    async def resume(self, bucket: str, queue_id: str) -> int:
        """Let the paused jobs of a queue wait again, in their old order; how many there were."""
        return await self._move(_RESUME, bucket, queue_id, JobState.PAUSE, JobState.SUBMITTED)

    async def start(self, job_id: str, release: int, at: datetime) -> Job | None:
        """Begin a new attempt: state Running, attempt + 1, progress 0; None when job or release may not run."""
        started = await self.connection.execute(
            _START, {"job_id": job_id, "release": release, "at": at, "sources": _sources(JobState.RUNNING)}
        )
        row = await started.fetchone()
        return _job(row) if row else None

    async def runs(self, job_id: str, attempt: int) -> bool:
        """Whether that attempt is the one running."""
        row = await (await self.connection.execute(_RUNS, {"job_id": job_id, "attempt": attempt})).fetchone()
        return bool(row and row["runs"])

    async def progress(self, job_id: str, attempt: int, percent: int) -> bool:
        """Note the progress (0-100) of a running attempt; False when that attempt is no longer the one running."""
        return await self._change(_PROGRESS, {"job_id": job_id, "attempt": attempt, "percent": percent})

    async def requeue(self, job_id: str, attempt: int) -> bool:
        """Put a running attempt back to Submitted, without a start time; False when it is no longer the one running."""
        return await self._change(
            _REQUEUE, {"job_id": job_id, "attempt": attempt, "sources": _sources(JobState.SUBMITTED)}
        )

    async def fault(self, job_id: str, attempt: int) -> int | None:
        """Count a fault of the server against a running attempt; the faults so far, None when it no longer runs."""
        counted = await self.connection.execute(_FAULT, {"job_id": job_id, "attempt": attempt})
        row = await counted.fetchone()
        return row["faults"] if row else None

    async def lose(self, job_id: str, release: int) -> LostAttempt | None:
        """Count the running attempt of that release as lost, once; None when none of it runs."""
        counted = await self.connection.execute(_LOSE, {"job_id": job_id, "release": release})
        row = await counted.fetchone()
        return LostAttempt(losses=row.pop("losses"), job=_job(row)) if row else None

    async def find_again(self, job_id: str, attempt: int) -> None:
        """Take an attempt that counted as lost for none: its worker lives."""
        await self.connection.execute(_FIND_AGAIN, {"job_id": job_id, "attempt": attempt})

    async def finish(self, job_id: str, attempt: int, outcome: Outcome, at: datetime) -> bool:
        """End a running attempt; False (and nothing written) when it is no longer the one running.

        A success is at 100 percent.
        """
        return await self._change(
            _FINISH,
            {
                "job_id": job_id,
                "attempt": attempt,
                "at": at,
                "state": outcome.state.value,
                "code": outcome.code,
                "message": outcome.message,
                "media_info": dump_media_info(outcome.media_info),
                "sources": _sources(outcome.state),
            },
        )

    async def unfinished_without_task(self, before: datetime, limit: int) -> Sequence[Job]:
        """Up to ``limit`` released jobs created before ``before``, oldest first, that no task would run."""
        found = await self.connection.execute(_WITHOUT_TASK, {"before": before, "limit": limit})
        return [_job(row) for row in await found.fetchall()]

    async def remove_ended(self, before: datetime, limit: int) -> int:
        """Delete up to ``limit`` jobs that ended before ``before``, oldest first, with their deliveries; how many.

        Jobs that another transaction is changing are passed over.
        """
        return (await self.connection.execute(_REMOVE_ENDED, {"before": before, "limit": limit})).rowcount

    async def _move(self, query: str, bucket: str, queue_id: str, state: JobState, target: JobState) -> int:
        """Bring a queue's jobs from one state to another; how many there were."""
        parameters = {"bucket": bucket, "queue_id": queue_id, "state": state.value, "sources": _sources(target)}
        await self.connection.execute(_LOCK, parameters)
        return (await self.connection.execute(query, parameters)).rowcount

    async def _change(self, query: str, parameters: dict[str, Any]) -> bool:
        return (await self.connection.execute(query, parameters)).rowcount > 0


def _sources(target: JobState) -> Sequence[str]:
    return [state.value for state in sources(target)]


def _row(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "bucket": job.bucket,
        "region": job.region,
        "queue_id": job.queue_id,
        "input_object": job.input_object,
        "operation": dump(job.operation),
        "created_at": job.created_at,
        "state": job.state.value,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "code": job.code,
        "message": job.message,
        "progress": job.progress,
        "attempt": job.attempt,
        "release": job.release,
        "media_info": dump_media_info(job.media_info),
        "callback": dump_callback(job.callback),
    }


def _job(row: DictRow) -> Job:
    return Job(
        **{
            **row,
            "operation": load_operation(row["operation"]),
            "state": JobState(row["state"]),
            "media_info": load_media_info(row["media_info"]),
            "callback": load_callback(row["callback"]),
        }
    )
