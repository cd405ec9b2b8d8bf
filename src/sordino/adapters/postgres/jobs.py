"""Rows of jobs in PostgreSQL."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from psycopg.errors import ForeignKeyViolation
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from sordino.adapters.postgres.session import Connection
from sordino.domain.job import (
    AudioFormat,
    Channels,
    Dnsmos,
    Job,
    JobState,
    MediaInfo,
    NoiseReduction,
    Operation,
    Outcome,
    Output,
    RateSpelling,
    SoundQuality,
    loudness,
    sources,
)
from sordino.errors import NO_SUCH_BUCKET

_COLUMNS: Final = """
job_id, bucket, region, queue_id, input_object, operation, created_at, state, started_at, ended_at, code, message,
progress, attempt, media_info
"""
_ADD: Final = f"""
INSERT INTO jobs ({_COLUMNS})
VALUES (%(job_id)s, %(bucket)s, %(region)s, %(queue_id)s, %(input_object)s, %(operation)s, %(created_at)s, %(state)s,
        %(started_at)s, %(ended_at)s, %(code)s, %(message)s, %(progress)s, %(attempt)s, %(media_info)s)
"""  # noqa: S608 - the only text put in is ours
_FIND: Final = f"""
SELECT {_COLUMNS}
  FROM jobs
 WHERE bucket = %(bucket)s AND job_id = ANY(%(job_ids)s)
 ORDER BY array_position(%(job_ids)s, job_id)
"""  # noqa: S608 - the only text put in is ours
_START: Final = f"""
UPDATE jobs
   SET state = 'Running', started_at = %(at)s, progress = 0, attempt = attempt + 1
 WHERE job_id = %(job_id)s AND state = ANY(%(sources)s)
RETURNING {_COLUMNS}
"""  # noqa: S608 - the only text put in is ours
# What follows is said by a worker of the attempt it runs: the attempt's number fences off those that were overtaken.
_PROGRESS: Final = """
UPDATE jobs
   SET progress = %(percent)s
 WHERE job_id = %(job_id)s AND attempt = %(attempt)s AND state = 'Running'
"""
_REQUEUE: Final = """
UPDATE jobs
   SET state = 'Submitted', started_at = NULL, progress = 0
 WHERE job_id = %(job_id)s AND attempt = %(attempt)s AND state = 'Running' AND state = ANY(%(sources)s)
"""
_FAULT: Final = """
UPDATE jobs
   SET faults = faults + 1
 WHERE job_id = %(job_id)s AND attempt = %(attempt)s AND state = 'Running'
RETURNING faults
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
         SELECT job_id FROM jobs WHERE state IN ('Submitted', 'Running') AND created_at < %(before)s
         EXCEPT
         SELECT args ->> 'job_id' FROM procrastinate_jobs WHERE task_name = 'run_job' AND status IN ('todo', 'doing'))
 ORDER BY created_at, job_id
 LIMIT %(limit)s
"""  # noqa: S608 - the only text put in is ours


@dataclass(frozen=True, slots=True)
class PostgresJobs:
    """``ports.Jobs`` over one connection."""

    connection: Connection

    async def add(self, job: Job) -> None:
        """Insert a new job.

        Raises:
            ServiceError: NoSuchBucket, when the bucket or its queue was removed meanwhile.
        """
        try:
            await self.connection.execute(_ADD, _row(job))
        except ForeignKeyViolation as error:
            raise NO_SUCH_BUCKET() from error

    async def find(self, bucket: str, job_ids: Sequence[str]) -> Sequence[Job]:
        """The jobs of that bucket among ``job_ids``, in the order asked."""
        found = await self.connection.execute(_FIND, {"bucket": bucket, "job_ids": [*job_ids]})
        return [_job(row) for row in await found.fetchall()]

    async def start(self, job_id: str, at: datetime) -> Job | None:
        """Begin a new attempt: state Running, attempt + 1, progress 0; None when the job may not run."""
        started = await self.connection.execute(
            _START, {"job_id": job_id, "at": at, "sources": _sources(JobState.RUNNING)}
        )
        row = await started.fetchone()
        return _job(row) if row else None

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
                "media_info": _media_info(outcome.media_info),
                "sources": _sources(outcome.state),
            },
        )

    async def unfinished_without_task(self, before: datetime, limit: int) -> Sequence[Job]:
        """Up to ``limit`` jobs created before ``before``, oldest first, that should run and that no task would run."""
        found = await self.connection.execute(_WITHOUT_TASK, {"before": before, "limit": limit})
        return [_job(row) for row in await found.fetchall()]

    async def _change(self, query: str, parameters: dict[str, Any]) -> bool:
        return (await self.connection.execute(query, parameters)).rowcount > 0


def _sources(target: JobState) -> Sequence[str]:
    return [state.value for state in sources(target)]


def _media_info(info: MediaInfo | None) -> Jsonb | None:
    return None if info is None else _jsonb(asdict(info))


def _jsonb(value: Mapping[str, Any]) -> Jsonb:
    """A JSON object; decimals are text in it, so that they come back with the digits they had."""
    return Jsonb(value, dumps=partial(json.dumps, default=str))


def _row(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "bucket": job.bucket,
        "region": job.region,
        "queue_id": job.queue_id,
        "input_object": job.input_object,
        "operation": _jsonb(asdict(job.operation)),
        "created_at": job.created_at,
        "state": job.state.value,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "code": job.code,
        "message": job.message,
        "progress": job.progress,
        "attempt": job.attempt,
        "media_info": _media_info(job.media_info),
    }


def _job(row: DictRow) -> Job:
    info = row["media_info"]
    return Job(
        **{
            **row,
            "operation": _operation(row["operation"]),
            "state": JobState(row["state"]),
            "media_info": _loaded_info(info) if info else None,
        }
    )


def _loaded_info(stored: Mapping[str, Any]) -> MediaInfo:
    """Rows of earlier versions lack ``before``, ``after`` and ``md5``."""
    sides = {name: _loaded_quality(stored.get(name)) for name in ("before", "after")}
    return MediaInfo(**{**stored, **sides})


def _loaded_quality(stored: Mapping[str, Any] | None) -> SoundQuality | None:
    if stored is None:
        return None
    scores = stored["dnsmos"]
    return SoundQuality(**{**stored, "dnsmos": Dnsmos(**scores) if scores else None})


def _operation(stored: Mapping[str, Any]) -> Operation:
    return Operation(
        noise_reduction=_noise_reduction(stored["noise_reduction"]),
        output=Output(**stored["output"]),
        user_data=stored["user_data"],
        job_level=stored["job_level"],
    )


def _noise_reduction(stored: Mapping[str, Any]) -> NoiseReduction:
    """Rows of earlier versions have the first three values alone."""
    channels, asked = stored.get("channels"), stored.get("loudness")
    return NoiseReduction(
        format=AudioFormat(stored["format"]),
        sample_rate=stored["sample_rate"],
        spelling=RateSpelling(stored["spelling"]),
        model=stored.get("model"),
        strength=stored.get("strength"),
        channels=None if channels is None else Channels(channels),
        loudness=None if asked is None else loudness(asked),
        video=stored.get("video", False),
    )
