"""A running server whose jobs are made, held back and let go by SQL: benches need more of them than one submits."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

import psycopg
from psycopg import sql
from qcloud_cos import CosS3Client

from real_sound import RATE, spoken
from server import REGION, Server

SHORT: Final = "short.flac"
SHORT_SECONDS: Final = 1.0
LONG: Final = "long.flac"
LONG_SECONDS: Final = 10.0
END_SECONDS: Final = 300.0
POLL_SECONDS: Final = 0.02

MARK: Final = sql.SQL("/* bench */")
"""In each statement of ours, so that those of the service can be told from them."""

_COLUMNS: Final = """
SELECT {mark} column_name FROM information_schema.columns
 WHERE table_schema = 'sordino' AND table_name = 'jobs' AND is_generated = 'NEVER'
"""
# Copies of a job that has ended, as they were when they were accepted.
_POUR: Final = """
INSERT {mark} INTO sordino.jobs ({columns})
SELECT {values}
  FROM sordino.jobs AS job, generate_series(1, %(count)s) AS number, jsonb_populate_record(job, %(changes)s::jsonb ||
       jsonb_build_object('job_id', 'j' || md5(%(name)s || number),
                          'created_at', now() + number * interval '1 microsecond',
                          'operation', job.operation || jsonb_build_object(
                              'job_level', %(level)s::integer,
                              'noise_reduction', job.operation -> 'noise_reduction' || %(sound)s::jsonb,
                              'output', job.operation -> 'output' || jsonb_build_object(
                                  'object', 'out/' || %(name)s || number)))) AS copy
 WHERE job.job_id = %(like)s
"""
_NEW: Final = {
    "state": "Submitted",
    "started_at": None,
    "ended_at": None,
    "media_info": None,
    "progress": 0,
    "attempt": 0,
    "released": False,
    "release": 0,
}
_TIMES: Final = """
SELECT {mark} job_id, level, state, extract(epoch FROM created_at)::float8, extract(epoch FROM started_at)::float8,
       extract(epoch FROM ended_at)::float8
  FROM sordino.jobs
 WHERE bucket = %(bucket)s AND started_at IS NOT NULL
"""
_SINCE: Final = _TIMES + " AND created_at >= to_timestamp(%(since)s) ORDER BY started_at, job_id"
_ONE: Final = _TIMES + " AND job_id = %(job_id)s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When a job was accepted, begun and ended, seconds since the epoch."""

    job_id: str
    level: int
    state: str
    created: float
    started: float
    ended: float | None

    @property
    def wait(self) -> float:
        """Seconds until it began."""
        return self.started - self.created

    @property
    def run(self) -> float:
        """Seconds from its beginning to its end, which must have come."""
        assert self.ended is not None
        return self.ended - self.started


class JobStore:
    """One bucket of a running server, with its default queue and recordings; a context manager.

    Args:
        server: ready.
        name: of the bucket, without the APPID.
    """

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.bucket = f"{name}-{server.root_key.appid}"
        self.client: CosS3Client = server.client()
        self._db = psycopg.connect(
            host=str(server.data / "postgres"), user="sordino", dbname="sordino", autocommit=True
        )
        self._poured = 0
        self._furnish()
        self.queue_id = str(self.client.ci_get_asr_queue(Bucket=self.bucket)["QueueList"][0]["QueueId"])
        self._model = self.submit(SHORT)
        self.await_ends([self._model])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def _furnish(self) -> None:
        self.client.create_bucket(Bucket=self.bucket)
        for key, seconds in ((SHORT, SHORT_SECONDS), (LONG, LONG_SECONDS)):
            self.client.put_object(Bucket=self.bucket, Key=key, Body=spoken(seconds))

    def submit(self, source: str = SHORT, level: int = 0) -> str:
        """Submit a job by the official SDK; its id."""
        operation = {
            "NoiseReduction": {"Format": "wav", "SampleRate": str(RATE)},
            "Output": {"Region": REGION, "Bucket": self.bucket, "Object": "out/submitted.wav"},
            "JobLevel": str(level),
        }
        job = {"Tag": "NoiseReduction", "Input": {"Object": source}, "Operation": operation}
        return str(self.client.ci_create_media_jobs(Bucket=self.bucket, Jobs=job, Lst={})["JobsDetail"][0]["JobId"])

    def pour(self, count: int, *, level: int = 0, model: str | None = None) -> float:
        """Add so many waiting jobs on a second of sound; the time before them, seconds since the epoch.

        Args:
            count: how many.
            level: of them, 0 to 2; 2 comes first.
            model: engine that they name, if any.
        """
        since = self.now()
        self._poured += 1
        columns = [sql.Identifier(str(name)) for (name,) in self.ask(_COLUMNS)]
        values = sql.SQL(", ").join(sql.SQL("copy.{}").format(column) for column in columns)
        parameters = {
            "count": count,
            "level": level,
            "name": f"{self._poured}-",
            "like": self._model,
            "changes": json.dumps(_NEW),
            "sound": json.dumps({"model": model}),
        }
        self._db.execute(_text(_POUR, columns=sql.SQL(", ").join(columns), values=values), parameters)
        return since

    def settle(self) -> None:
        """Have the database's statistics and dead rows as they are after a while."""
        self._db.execute("VACUUM ANALYZE")

    @contextmanager
    def open(self) -> Iterator[None]:
        """Let jobs run during the block."""
        self.gate("Active")
        try:
            yield
        finally:
            self.gate("Paused")

    def gate(self, state: str) -> None:
        """Open or close the queue, and leave its jobs as they are; those that the engine has still run."""
        self.ask("UPDATE {mark} sordino.queues SET state = %(state)s WHERE queue_id = %(id)s", state=state)

    @contextmanager
    def idle_workers(self) -> Iterator[None]:
        """Let no worker have a job during the block."""
        taken = self.ask("DELETE {mark} FROM sordino.slots RETURNING worker_id")
        try:
            yield
        finally:
            self.ask(
                "INSERT {mark} INTO sordino.slots SELECT id FROM sordino.procrastinate_workers WHERE id = ANY(%(ids)s)",
                ids=[worker_id for (worker_id,) in taken],
            )

    def turn(self, state: str) -> None:
        """Make the queue Active or Paused through the API."""
        settings = {"Name": "queue-speech", "State": state, "NotifyConfig": {"State": "Off"}}
        self.client.ci_update_asr_queue(
            Bucket=self.bucket, QueueId=self.queue_id, Request=settings, ContentType="application/xml"
        )

    def drop_waiting(self) -> None:
        """Remove the jobs that wait, once those that the engine has have ended."""
        self.gate("Paused")
        self.await_idle()
        self.ask("DELETE {mark} FROM sordino.jobs WHERE queue_id = %(id)s AND state IN ('Submitted', 'Pause')")
        self.settle()

    def await_idle(self) -> None:
        """Wait until the engine has no job of the queue."""
        query = """SELECT {mark} count(*) FROM sordino.jobs
                    WHERE queue_id = %(id)s AND released AND state IN ('Submitted', 'Running')"""
        self.server.wait_until(lambda: self.ask(query)[0][0] == 0, END_SECONDS, "the end of jobs that run")

    def await_ends(self, job_ids: Sequence[str]) -> None:
        """Wait until those jobs have ended."""
        query = "SELECT {mark} count(*) FROM sordino.jobs WHERE job_id = ANY(%(ids)s) AND ended_at IS NOT NULL"
        self._await(lambda: self.ask(query, ids=list(job_ids))[0][0] == len(job_ids))

    def await_count(self, count: int, since: float, level: int) -> None:
        """Wait until so many jobs of a level, accepted since then, have ended."""
        query = """SELECT {mark} count(*) FROM sordino.jobs
                    WHERE queue_id = %(id)s AND created_at >= to_timestamp(%(since)s) AND level = %(level)s
                      AND ended_at IS NOT NULL"""
        self._await(lambda: self.ask(query, since=since, level=level)[0][0] >= count)

    def _await(self, condition: Any) -> None:  # noqa: ANN401 - a query
        deadline = time.monotonic() + END_SECONDS
        while not condition():
            self.server.check()
            assert time.monotonic() < deadline, "jobs do not end"
            time.sleep(POLL_SECONDS)

    def times(self, since: float) -> Sequence[Times]:
        """Those of the jobs that were accepted since then and have begun, in the order of their beginning."""
        return [_times(row) for row in self.ask(_SINCE, since=since, bucket=self.bucket)]

    def times_of(self, job_id: str) -> Times:
        """Those of a job that has begun."""
        return _times(self.ask(_ONE, job_id=job_id, bucket=self.bucket)[0])

    def ask(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401 - SQL
        """The rows of a query; ``{mark}`` stands where it is marked as ours, ``%(id)s`` for the queue."""
        found = self._db.execute(_text(query), {"id": getattr(self, "queue_id", None), **parameters})
        return found.fetchall() if found.description else []

    def now(self) -> float:
        """Seconds since the epoch, by the database."""
        return float(self.ask("SELECT {mark} extract(epoch FROM clock_timestamp())::float8")[0][0])


def _times(row: tuple[Any, ...]) -> Times:
    job_id, level, state, created, started, ended = row
    return Times(job_id=job_id, level=level, state=state, created=created, started=started, ended=ended)


def _text(query: str, **parts: sql.Composable) -> sql.Composed:
    return sql.SQL(query).format(mark=MARK, **parts)
