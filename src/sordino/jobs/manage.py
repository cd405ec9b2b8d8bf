"""Look after jobs that were submitted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sordino import errors
from sordino.domain.job import Job, JobCursor, JobFilter, JobListing, JobState, Order
from sordino.domain.lookup import missing
from sordino.domain.ports import Clock, Database


@dataclass(frozen=True, slots=True, kw_only=True)
class ManageJobs:
    """Queries over the jobs of a bucket, and their cancelling.

    ``poke`` is called when there may be something to release.
    """

    database: Database
    clock: Clock
    poke: Callable[[], None]

    async def query(self, bucket: str, job_ids: Sequence[str]) -> tuple[Sequence[Job], Sequence[str]]:
        """The jobs of ``bucket`` among ``job_ids``, and the ids that are none, both in the order asked."""
        async with self.database.reading() as tx:
            jobs = await tx.jobs.find(bucket, job_ids)
        return jobs, missing(job_ids, {job.job_id for job in jobs})

    async def list(
        self, bucket: str, wanted: JobFilter, *, order: Order, after: JobCursor | None, size: int
    ) -> JobListing:
        """A page of up to ``size`` jobs after ``after``, by time of creation."""
        async with self.database.reading() as tx:
            jobs = await tx.jobs.list(bucket, wanted, order=order, after=after, limit=size + 1)
        page = tuple(jobs[:size])
        following = JobCursor(created_at=page[-1].created_at, job_id=page[-1].job_id) if len(jobs) > size else None
        return JobListing(jobs=page, next=following)

    async def cancel(self, bucket: str, job_id: str) -> None:
        """Cancel a job that waits; quiet when it is cancelled already, since SDKs ask twice when a reply is lost.

        Raises:
            ServiceError: InvalidArgument when there is no such job, or it no longer waits.
        """
        async with self.database.transaction() as tx:
            if not await tx.jobs.cancel(bucket, job_id, self.clock.now()):
                _check_cancelled(job_id, await tx.jobs.find(bucket, [job_id]))
        self.poke()


def _check_cancelled(job_id: str, found: Sequence[Job]) -> None:
    if not found:
        raise errors.INVALID_ARGUMENT(f"There is no job {job_id} in this bucket.")
    state = found[0].state
    if state is not JobState.CANCEL:
        raise errors.INVALID_ARGUMENT(
            f"The job {job_id} is {state}; only jobs that wait, {JobState.SUBMITTED} or {JobState.PAUSE}, can be "
            "cancelled."
        )
