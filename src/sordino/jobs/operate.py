"""What the operator of a service does with its jobs, whosever they are."""

from collections.abc import Sequence
from dataclasses import dataclass

from sordino import errors
from sordino.domain.delivery import LoggedDelivery
from sordino.domain.job import Job, JobState
from sordino.domain.ports import Clock, Database, Transaction
from sordino.jobs.callbacks import announce_again

STOPPED = "The operator of the service cancelled this job."


@dataclass(frozen=True, slots=True, kw_only=True)
class OperateJobs:
    """Looks at jobs and their callbacks, stops jobs, has their ends told again."""

    database: Database
    clock: Clock

    async def show(self, job_id: str) -> Job:
        """The job.

        Raises:
            ServiceError: InvalidArgument, there is none.
        """
        async with self.database.reading() as tx:
            return await _job(tx, job_id)

    async def stop(self, job_id: str) -> Job:
        """Cancel a job that waits or runs; quiet when it is cancelled already. The job as it then is.

        A worker that runs it notices within a second, ends its media process and leaves no output.

        Raises:
            ServiceError: InvalidArgument: there is no such job, or it has ended.
        """
        async with self.database.transaction() as tx:
            stopped = await tx.jobs.stop(job_id, STOPPED, self.clock.now())
            job = await _job(tx, job_id)
        if not stopped and job.state is not JobState.CANCEL:
            raise errors.INVALID_ARGUMENT(f"The job {job_id} is {job.state} already; what has ended stays as it is.")
        return job

    async def callbacks(self, job_id: str) -> Sequence[LoggedDelivery]:
        """The latest deliveries of the job's end, the last one first, each with its latest tries.

        Raises:
            ServiceError: InvalidArgument, there is no such job.
        """
        async with self.database.reading() as tx:
            await _job(tx, job_id)
            return await tx.deliveries.of_job(job_id)

    async def tell_again(self, job_id: str) -> Sequence[LoggedDelivery]:
        """Have the end of the job told once more, to where its callback goes now; its deliveries then.

        Raises:
            ServiceError: InvalidArgument: there is no such job, or see ``announce_again``.
        """
        async with self.database.transaction() as tx:
            await announce_again(tx, await _job(tx, job_id), self.clock.now())
            return await tx.deliveries.of_job(job_id)


async def _job(tx: Transaction, job_id: str) -> Job:
    job = await tx.jobs.get(job_id)
    if job is None:
        raise errors.INVALID_ARGUMENT(f"There is no job {job_id}.")
    return job
