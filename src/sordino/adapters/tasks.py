"""The task engine: procrastinate over our PostgreSQL.

A task is one row of the engine. It is deferred on the connection, so in the transaction, that writes our own rows, and
it says no more than which job to run: everything else is the job's row.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import procrastinate
import psycopg
import structlog
from procrastinate import exceptions, jobs

from sordino.adapters.postgres.session import conninfo
from sordino.jobs.pipeline import TryAgainError

log = structlog.get_logger(__name__)

RUN_JOB: Final = "run_job"
MEDIA_QUEUE: Final = "media"
# NOTIFY wakes a worker at once; polling finds tasks whose retry time has come.
POLL_SECONDS: Final = 2.0
RECONNECT_SECONDS: Final = (1, 2, 4, 8, 15)

TAKE_FROM_THE_DEAD: Final = """
DELETE FROM procrastinate_jobs task
 WHERE task.status = 'doing'
   AND NOT EXISTS (
         SELECT FROM procrastinate_workers worker
          WHERE worker.id = task.worker_id
            AND worker.last_heartbeat >= now() - %(silence)s * interval '1 second')
RETURNING task.args ->> 'job_id', task.priority
"""


class Retry(procrastinate.BaseRetryStrategy):
    """When a task runs again: at once after its worker stopped, after the time the pipeline names when it failed."""

    def get_retry_decision(self, *, exception: BaseException, job: jobs.Job) -> procrastinate.RetryDecision:  # noqa: ARG002
        """Decide for any exception: a task of ours is never given up, it is the job that ends."""
        if isinstance(exception, TryAgainError):
            return procrastinate.RetryDecision(retry_in={"seconds": round(exception.seconds)})
        if isinstance(exception, exceptions.JobAborted | asyncio.CancelledError):
            return procrastinate.RetryDecision(retry_in={"seconds": 0})
        return procrastinate.RetryDecision(retry_in={"seconds": round(POLL_SECONDS)})


def engine(dsn: str, schema: str) -> procrastinate.App:
    """The engine over the tables in ``schema``; open it with ``app.open_async()`` before use."""
    connector = procrastinate.PsycopgConnector(conninfo=conninfo(dsn, schema), min_size=1, max_size=4)
    return procrastinate.App(connector=connector)


@dataclass(frozen=True, slots=True)
class EngineTasks:
    """``ports.Tasks`` on one connection: tasks become visible when its transaction commits."""

    app: procrastinate.App
    connection: psycopg.AsyncConnection[Any]

    async def run_job(self, job_id: str, level: int) -> None:
        """Defer the job; the engine takes higher priorities first, then the oldest."""
        deferrer = self.app.configure_task(RUN_JOB, queue=MEDIA_QUEUE, priority=level, connection=self.connection)
        await deferrer.defer_async(job_id=job_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineWorker:
    """Runs tasks one at a time until cancelled, and takes over those of workers that fell silent.

    Attributes:
        run_job: the pipeline.
        heartbeat: seconds between signs of life.
        silence: seconds without one after which a worker counts as dead.
    """

    app: procrastinate.App
    run_job: Callable[[str], Awaitable[None]]
    heartbeat: float
    silence: float

    async def run(self) -> None:
        """Work until cancelled; the task that runs then goes back to the queue. Outlives restarts of the database."""

        async def run_job(job_id: str) -> None:
            await self.run_job(job_id)

        self.app.task(name=RUN_JOB, queue=MEDIA_QUEUE, retry=Retry())(run_job)
        takeover = asyncio.create_task(self._take_over())
        try:
            await self._work()
        finally:
            takeover.cancel()
            await asyncio.wait([takeover])

    async def _work(self) -> None:
        failures = 0
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self.app.run_worker_async(
                    queues=[MEDIA_QUEUE],
                    concurrency=1,
                    fetch_job_polling_interval=POLL_SECONDS,
                    update_heartbeat_interval=self.heartbeat,
                    stalled_worker_timeout=self.silence,
                    shutdown_graceful_timeout=0,
                    delete_jobs="always",
                    install_signal_handlers=False,
                )
            except (exceptions.ConnectorException, psycopg.Error) as error:
                log.warning("worker lost the database", error=str(error))
            # It also returns, without an error, when one of its own background tasks lost the database.
            lived = asyncio.get_running_loop().time() - began
            failures = 0 if lived > RECONNECT_SECONDS[-1] else failures + 1
            await asyncio.sleep(RECONNECT_SECONDS[min(failures, len(RECONNECT_SECONDS)) - 1])

    async def _take_over(self) -> None:
        while True:
            try:
                await take_over(self.app, self.silence)
            except (exceptions.ConnectorException, psycopg.Error) as error:
                log.warning("cannot look for tasks of dead workers", error=str(error))
            await asyncio.sleep(self.silence / 3)


async def take_over(app: procrastinate.App, silence: float) -> int:
    """Give the tasks of workers that were silent for ``silence`` seconds to whoever is free; how many there were.

    The old row is deleted and a new one deferred, so that a worker that was only asleep cannot end the new task.
    Which attempt may finish the job is decided by the job's row.
    """
    connector = app.connector
    assert isinstance(connector, procrastinate.PsycopgConnector)
    async with connector.pool.connection() as connection:
        rows = await (await connection.execute(TAKE_FROM_THE_DEAD, {"silence": silence})).fetchall()
        for job_id, level in rows:
            await EngineTasks(app, connection).run_job(job_id, level)
    if rows:
        log.warning("took over the tasks of dead workers", jobs=[job_id for job_id, _ in rows])
    return len(rows)
