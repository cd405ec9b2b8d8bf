"""Callbacks of jobs: where they may go, when one is due, what became of them."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sordino import errors
from sordino.domain.callback import CallbackType, JobCallback, MqTarget, NotifyConfig, resolve
from sordino.domain.callback_url import Allowed, CallbackUrlError, parse_callback_url
from sordino.domain.delivery import LoggedDelivery
from sordino.domain.job import Job, JobState
from sordino.domain.ports import Clock, Database, Transaction

RESERVED = "amq."
"""What the names begin with that RabbitMQ keeps for itself."""

TOLD_STATES = frozenset({JobState.SUCCESS, JobState.FAILED})
"""The ends that are told. A cancelled job's is not: whoever cancelled it knows."""

MAX_WAITING: Final = 5
"""Deliveries of a job that may wait when another is asked for."""


async def announce(tx: Transaction, job: Job, at: datetime) -> bool:
    """Have the end of a job told, in the transaction that ends it; False when nobody wants to know."""
    queue = next(iter(await tx.queues.find(job.bucket, [job.queue_id])), None)
    target = resolve(job.callback, queue.settings.notify if queue else None)
    if target is None:
        return False
    await tx.deliveries.add(job.job_id, target, at)
    return True


async def announce_again(tx: Transaction, job: Job, at: datetime) -> None:
    """Have the end of a job told once more, to where its callback goes now.

    Raises:
        ServiceError: InvalidArgument: it has not ended, has no callback, or ``MAX_WAITING`` of its deliveries wait.
    """
    if job.state not in TOLD_STATES:
        raise errors.INVALID_ARGUMENT(
            f"The job {job.job_id} is {job.state}; its callback can be sent again once it is Success or Failed."
        )
    _check_few_wait(job.job_id, await tx.deliveries.waiting(job.job_id))
    if not await announce(tx, job, at):
        raise errors.INVALID_ARGUMENT(
            f"The job {job.job_id} has no callback: give its queue a NotifyConfig, or the next job a CallBack."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCallbacks:
    """What users do with callbacks.

    Attributes:
        allowed: what the server's owner allows in spite of the rules.
        mq_regions: the regions that have a message queue.
        poke: makes a new delivery start at once.
    """

    database: Database
    clock: Clock
    allowed: Allowed
    mq_regions: Collection[str]
    poke: Callable[[], None]

    def check_job(self, callback: JobCallback) -> None:
        """Refuse what a job says of its callback if that could not be sent, as far as it is known.

        Raises:
            ServiceError: InvalidArgument.
        """
        self.check(callback.url, "Request.CallBack")
        if not callback.muted and callback.type is not CallbackType.URL:
            self._check_queue(callback.mq, "Request.CallBackMqConfig")

    def check_notify(self, config: NotifyConfig) -> None:
        """Refuse what a queue says of its callbacks if they could not be sent, as far as it is known.

        Raises:
            ServiceError: InvalidArgument.
        """
        self.check(config.url, "Request.NotifyConfig.Url")
        if config.on and config.type is CallbackType.TDMQ:
            self._check_queue(config.mq, "Request.NotifyConfig")

    def _check_queue(self, target: MqTarget | None, element: str) -> None:
        if target is None:
            return
        if target.region not in self.mq_regions:
            raise errors.INVALID_ARGUMENT(
                f"{element}.MqRegion: no message queue is configured for {target.region}; "
                f"use {_legal(self.mq_regions)}."
            )
        if target.name.startswith(RESERVED):
            raise errors.INVALID_ARGUMENT(f"{element}.MqName: names that begin with {RESERVED} are the broker's own.")

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
            ServiceError: InvalidArgument: there is no such job, it has not ended, it has no callback, or
                ``MAX_WAITING`` of its deliveries wait already.
        """
        async with self.database.transaction() as tx:
            job = await _job(tx, bucket, job_id)
            await announce_again(tx, job, self.clock.now())
            deliveries = await tx.deliveries.of_job(job_id)
        self.poke()
        return deliveries


def _check_few_wait(job_id: str, waiting: int) -> None:
    """Each call makes a row and a day of tries: nobody may pile them up on a receiver that does not answer."""
    if waiting >= MAX_WAITING:
        raise errors.INVALID_ARGUMENT(
            f"{waiting} callbacks of the job {job_id} wait for their next try already; await or mend the receiver."
        )


async def _job(tx: Transaction, bucket: str, job_id: str) -> Job:
    found = await tx.jobs.find(bucket, [job_id])
    if not found:
        raise errors.INVALID_ARGUMENT(f"There is no job {job_id} in {bucket}.")
    return found[0]


def _legal(regions: Collection[str]) -> str:
    if not regions:
        return f"a callback of type {CallbackType.URL}"
    return f"one of {', '.join(regions)}, or a callback of type {CallbackType.URL}"
