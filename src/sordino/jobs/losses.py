"""Losses: what becomes of a job whose worker vanished in the middle of it."""

from dataclasses import dataclass

import structlog

from sordino.domain.job import JobState, LostAttempt, Outcome
from sordino.domain.ports import Clock, Transaction
from sordino.errors import INTERNAL_ERROR
from sordino.jobs.callbacks import announce

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Counts them, and ends a job that has cost too many.

    Attributes:
        limit: workers that a job may cost; with the last of them it ends.
    """

    clock: Clock
    limit: int

    async def count(self, tx: Transaction, job_id: str, release: int) -> bool:
        """Note that the worker that had this release of the job is gone; whether the job is to run again."""
        lost = await tx.jobs.lose(job_id, release)
        if lost is None or lost.losses < self.limit:
            return True
        await self._end(tx, lost)
        return False

    async def _end(self, tx: Transaction, lost: LostAttempt) -> None:
        job, now = lost.job, self.clock.now()
        outcome = Outcome(state=JobState.FAILED, code=INTERNAL_ERROR.code, message=_message(lost))
        if await tx.jobs.finish(job.job_id, job.attempt, outcome, now):
            await announce(tx, job, now)
        log.error("job was given up: its workers vanish", job_id=job.job_id, losses=lost.losses)


def _message(lost: LostAttempt) -> str:
    times = "once" if lost.losses == 1 else f"{lost.losses} times"
    return (
        f"The worker that ran this job vanished {times}: it was killed, as when memory is short, or its machine went "
        "down. The job is not tried again; submit it again if that had other causes. The server's log tells more under "
        f"{lost.job.job_id}."
    )
