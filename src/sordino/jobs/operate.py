"""What the operator of a service does with its jobs, whosever they are."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sordino import errors
from sordino.cam.operator import Changes, Operator, change
from sordino.domain.bucket import appid_of
from sordino.domain.delivery import LoggedDelivery
from sordino.domain.job import Job, JobState
from sordino.domain.ports import Transaction
from sordino.errors import ServiceError
from sordino.jobs.callbacks import announce_again

STOPPED = "The operator of the service cancelled this job."


@dataclass(frozen=True, slots=True)
class OperateJobs:
    """Looks at jobs and their callbacks, stops jobs, has their ends told again."""

    changes: Changes

    async def show(self, job_id: str) -> Job:
        """The job.

        Raises:
            ServiceError: NoSuchEntity: there is none.
        """
        async with self.changes.database.reading() as tx:
            return await _job(tx, job_id)

    async def stop(self, operator: Operator, job_id: str) -> Job:
        """Cancel a job that waits or runs; quiet when it is cancelled already. The job as it then is.

        A worker that runs it notices within a second, ends its media process and leaves no output.

        Raises:
            ServiceError: NoSuchEntity; InvalidArgument: it has ended.
        """
        async with self._of_job(operator, "ci:CancelJob", job_id) as tx:
            stopped = await tx.jobs.stop(job_id, STOPPED, self.changes.clock.now())
            job = await _job(tx, job_id)
            if not stopped and job.state is not JobState.CANCEL:
                raise errors.INVALID_ARGUMENT(
                    f"The job {job_id} is {job.state} already; what has ended stays as it is."
                )
            return job

    async def callbacks(self, job_id: str) -> Sequence[LoggedDelivery]:
        """The latest deliveries of the job's end, the last one first, each with its latest tries.

        Raises:
            ServiceError: NoSuchEntity: there is no such job.
        """
        async with self.changes.database.reading() as tx:
            await _job(tx, job_id)
            return await tx.deliveries.of_job(job_id)

    async def tell_again(self, operator: Operator, job_id: str) -> Sequence[LoggedDelivery]:
        """Have the end of the job told once more, to where its callback goes now; its deliveries then.

        Raises:
            ServiceError: NoSuchEntity; InvalidArgument: see ``announce_again``.
        """
        async with self._of_job(operator, "ci:SendJobCallback", job_id) as tx:
            await announce_again(tx, await _job(tx, job_id), self.changes.clock.now())
            return await tx.deliveries.of_job(job_id)

    @asynccontextmanager
    async def _of_job(self, operator: Operator, action: str, job_id: str) -> AsyncIterator[Transaction]:
        """A change of a job, which the log of its bucket's account tells of."""
        async with self.changes.database.reading() as tx:
            job = await tx.jobs.get(job_id)
        owner = None if job is None else appid_of(job.bucket)
        async with change(self.changes.database, self.changes.clock, operator, action, f"job/{job_id}", owner) as tx:
            yield tx


async def _job(tx: Transaction, job_id: str) -> Job:
    job = await tx.jobs.get(job_id)
    if job is None:
        raise no_job(job_id)
    return job


def no_job(job_id: str) -> ServiceError:
    """There is no such job."""
    return errors.NO_SUCH_ENTITY(f"There is no job {job_id}.")
