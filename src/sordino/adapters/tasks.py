"""The task engine: procrastinate over our PostgreSQL.

A task is one row of the engine. It is deferred on the connection, so in the transaction, that writes our own rows, and
it says no more than which job to run, and of which release it is: everything else is the job's row.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import procrastinate
import psycopg
from procrastinate.types import JSONDict

from sordino.domain.ports import ReleasedJob

RUN_JOB: Final = "run_job"
MEDIA_QUEUE: Final = "media"


def engine() -> procrastinate.App:
    """The engine; open it with ``app.open_async(pool)`` over the database's pool before use."""
    return procrastinate.App(connector=procrastinate.PsycopgConnector())


def job_and_release(task: Mapping[str, Any]) -> tuple[str, int]:
    """What a task that ``EngineTasks.run_job`` deferred is about; those of earlier versions name no release."""
    return str(task["job_id"]), int(task.get("release", 0))


async def run_job(run: Callable[[str, int], Awaitable[None]], task: Mapping[str, Any]) -> None:
    """Do such a task."""
    await run(*job_and_release(task))


@dataclass(frozen=True, slots=True)
class EngineTasks:
    """``ports.Tasks`` on one connection: tasks become visible when its transaction commits."""

    app: procrastinate.App
    connection: psycopg.AsyncConnection[Any]

    async def run_job(self, job_id: str, release: int) -> None:
        """Defer the job. All have one priority: going by levels, an account could keep the others from running."""
        await self.run_jobs([ReleasedJob(job_id=job_id, release=release)])

    async def run_jobs(self, jobs: Sequence[ReleasedJob]) -> None:
        """Defer the jobs in one statement."""
        deferrer = self.app.configure_task(RUN_JOB, queue=MEDIA_QUEUE, connection=self.connection)
        tasks: list[JSONDict] = [{"job_id": job.job_id, "release": job.release} for job in jobs]
        await deferrer.batch_defer_async(*tasks)
