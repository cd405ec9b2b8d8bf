"""Takeover: nothing that was accepted is left to a worker that is gone, or to no worker at all."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import procrastinate
import structlog
from psycopg.rows import DictRow

from sordino.adapters.postgres.database import PostgresDatabase, PostgresTransaction
from sordino.adapters.tasks import RUN_JOB, job_and_release
from sordino.cancelling import mind_cancelling
from sordino.domain.ports import Clock, DatabaseUnavailableError
from sordino.jobs.losses import Losses

log = structlog.get_logger(__name__)

# A task is written with the release of its job; a job younger than this may be between two states.
YOUNG: Final = timedelta(seconds=30)
BATCH: Final = 100

# Two that looked at the same time would both see that a job has no task, and each give it one. A process that is
# stopped in its turn would keep all others from theirs: the server ends its session.
TAKE_TURN: Final = """
SELECT set_config('idle_in_transaction_session_timeout', '5s', true),
       pg_try_advisory_xact_lock(hashtextextended('sordino takeovers of ' || current_schema(), 0)) AS ours
"""

# The old row is deleted and a new one deferred, so that a worker that was only asleep cannot end the new task.
TAKE_FROM_THE_DEAD: Final = """
DELETE FROM procrastinate_jobs task
 WHERE task.status = 'doing'
   AND NOT EXISTS (
         SELECT FROM procrastinate_workers worker
          WHERE worker.id = task.worker_id
            AND worker.last_heartbeat >= now() - %(silence)s * interval '1 second')
RETURNING task.task_name, task.queue_name, task.priority, task.args
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """Looks after orphaned jobs; of any number of processes that would do it at the same time, one does.

    Which attempt may finish a job is decided by the job's row: running one twice wastes time and breaks nothing.

    Attributes:
        losses: counts the workers that a job has cost.
        silence: seconds without a sign of life after which a worker counts as dead.
        poke: called when a job has ended, so that others can be released.
    """

    app: procrastinate.App
    database: PostgresDatabase
    clock: Clock
    losses: Losses
    silence: float
    poke: Callable[[], None]

    async def run(self) -> None:
        """Look again and again until cancelled; nothing else ends it."""
        while True:
            try:
                await self.from_the_dead()
                await self.from_nobody()
            except DatabaseUnavailableError as error:
                log.warning("cannot look for orphaned jobs", error=str(error))
            except Exception:
                # It would end the job that this process runs beside, and the next look may do.
                log.exception("looking for orphaned jobs broke")
            mind_cancelling()
            await asyncio.sleep(self.silence / 3)

    async def from_the_dead(self) -> int:
        """Give the tasks of workers that fell silent to whoever is free; how many there were.

        A job that has cost too many workers ends instead. Nothing is done while another process takes over.
        """
        async with self.database.transaction() as tx:
            tasks = await self._take(tx) if await _our_turn(tx) else ()
            for task in tasks:
                if task["task_name"] != RUN_JOB or await self.losses.count(tx, *job_and_release(task["args"])):
                    await self._again(tx, task)
        if tasks:
            log.warning("took over the tasks of dead workers", tasks=[task["args"] for task in tasks])
            self.poke()
        return len(tasks)

    async def _take(self, tx: PostgresTransaction) -> Sequence[DictRow]:
        """Those tasks, in the order of their jobs: whoever else changes several jobs in that order is no deadlock."""
        found = await tx.connection.execute(TAKE_FROM_THE_DEAD, {"silence": self.silence})
        return sorted(await found.fetchall(), key=lambda task: str(task["args"].get("job_id")))

    async def _again(self, tx: PostgresTransaction, task: DictRow) -> None:
        """Defer the task as it was: for a job, its release is still the one that may run."""
        deferrer = self.app.configure_task(
            task["task_name"], queue=task["queue_name"], priority=task["priority"], connection=tx.connection
        )
        await deferrer.defer_async(**task["args"])

    async def from_nobody(self) -> int:
        """Give released jobs without a task a new one; how many there were.

        Nothing is done while another process takes over.
        """
        async with self.database.transaction() as tx:
            if not await _our_turn(tx):
                return 0
            jobs = await tx.jobs.unfinished_without_task(self.clock.now() - YOUNG, BATCH)
            for job in jobs:
                await tx.tasks.run_job(job.job_id, job.release)
        if jobs:
            log.warning("found jobs without a task", jobs=[job.job_id for job in jobs])
        return len(jobs)


async def _our_turn(tx: PostgresTransaction) -> bool:
    """Take the turn until the transaction ends; False when another has it.

    A statement of its own, so that the next one sees what the process before has committed.
    """
    row = await (await tx.connection.execute(TAKE_TURN)).fetchone()
    return bool(row and row["ours"])
