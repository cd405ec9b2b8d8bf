"""Look after jobs that were submitted."""

from collections.abc import Sequence
from dataclasses import dataclass

from sordino.domain.job import Job
from sordino.domain.ports import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class ManageJobs:
    """Queries over the jobs of a bucket."""

    database: Database

    async def query(self, bucket: str, job_ids: Sequence[str]) -> tuple[Sequence[Job], Sequence[str]]:
        """The jobs of ``bucket`` among ``job_ids``, and the ids that are none, both in the order asked."""
        async with self.database.transaction() as tx:
            jobs = await tx.jobs.find(bucket, job_ids)
        found = {job.job_id for job in jobs}
        return jobs, [job_id for job_id in dict.fromkeys(job_ids) if job_id not in found]
