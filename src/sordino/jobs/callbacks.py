"""Callbacks of jobs: where they may go, when one is due, what became of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sordino import errors
from sordino.domain.callback import resolve
from sordino.domain.callback_url import Allowed, CallbackUrlError, parse_callback_url
from sordino.domain.delivery import LoggedDelivery
from sordino.domain.job import Job, JobState
from sordino.domain.ports import Clock, Database, Transaction

TOLD_STATES = frozenset({JobState.SUCCESS, JobState.FAILED})
"""The ends that are told. A cancelled job's is not: whoever cancelled it knows."""


async def announce(tx: Transaction, job: Job, at: datetime) -> bool:
    """Have the end of a job told, in the transaction that ends it; False when nobody wants to know."""
    queue = next(iter(await tx.queues.find(job.bucket, [job.queue_id])), None)
    target = resolve(job.callback, queue.settings.notify if queue else None)
    # Message queues are refused where they are asked for.
    if target is None or target.url is None:
        return False
    await tx.deliveries.add(job.job_id, target.url, target.format, at)
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCallbacks:
    """What users do with callbacks.

    Attributes:
        allowed: what the server's owner allows in spite of the rules.
        poke: makes a new delivery start at once.
    """

    database: Database
    clock: Clock
    allowed: Allowed
    poke: Callable[[], None]

    def check(self, url: str | None, element: str) -> None:
        """Refuse a URL that could not be called, as far as that is known without DNS.

        Args:
            url: None is fine.
            element: where the URL stands in the request, for the message.

        Raises:
            ServiceError: InvalidArgument.
        """
        if url is None:
            return
        try:
            parse_callback_url(url, self.allowed)
        except CallbackUrlError as error:
            raise errors.INVALID_ARGUMENT(f"{element}: the URL {error}.") from None

    async def log(self, bucket: str, job_id: str) -> Sequence[LoggedDelivery]:
        """The latest deliveries of a job, the last one first.

        Raises:
            ServiceError: InvalidArgument, there is no such job.
        """
        async with self.database.transaction() as tx:
            await _job(tx, bucket, job_id)
            return await tx.deliveries.of_job(job_id)

    async def again(self, bucket: str, job_id: str) -> Sequence[LoggedDelivery]:
        """Have the end of a job told once more, to where its callback goes now; the log with it.

        Raises:
            ServiceError: InvalidArgument: there is no such job, it has not ended, or it has no callback.
        """
        async with self.database.transaction() as tx:
            job = await _job(tx, bucket, job_id)
            if job.state not in TOLD_STATES:
                raise errors.INVALID_ARGUMENT(
                    f"The job {job_id} is {job.state}; its callback can be sent again once it is Success or Failed."
                )
            if not await announce(tx, job, self.clock.now()):
                raise errors.INVALID_ARGUMENT(
                    f"The job {job_id} has no callback: give its queue a NotifyConfig, or the next job a CallBack."
                )
            deliveries = await tx.deliveries.of_job(job_id)
        self.poke()
        return deliveries


async def _job(tx: Transaction, bucket: str, job_id: str) -> Job:
    found = await tx.jobs.find(bucket, [job_id])
    if not found:
        raise errors.INVALID_ARGUMENT(f"There is no job {job_id} in {bucket}.")
    return found[0]
