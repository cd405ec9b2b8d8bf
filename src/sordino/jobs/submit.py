"""Submit: from a validated request to a waiting job, in one transaction with the engine's task."""

from collections.abc import Callable
from dataclasses import dataclass

from sordino import errors
from sordino.domain.bucket import Bucket
from sordino.domain.job import Job, JobRequest
from sordino.domain.ports import Clock, Database, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """Accepts jobs. Once ``__call__`` returns, the job is stored and will run, whatever is killed."""

    database: Database
    clock: Clock
    new_job_id: Callable[[], str]

    async def __call__(self, bucket: Bucket, request: JobRequest) -> Job:
        """Store the job and its task.

        Raises:
            ServiceError: QueueNotFound, or InvalidArgument when Output.Region is not that of the output bucket.
        """
        async with self.database.transaction() as tx:
            queue_id = await _queue_id(tx, bucket, request.queue_id)
            await _check_region(tx, bucket, request)
            job = Job(
                job_id=self.new_job_id(),
                bucket=bucket.name,
                region=bucket.region,
                queue_id=queue_id,
                input_object=request.input_object,
                operation=request.operation,
                created_at=self.clock.now(),
            )
            await tx.jobs.add(job)
            await tx.tasks.run_job(job.job_id, job.level)
        return job


async def _queue_id(tx: Transaction, bucket: Bucket, wanted: str | None) -> str:
    queue = await tx.buckets.queue(bucket.name)
    if queue is None:
        raise errors.QUEUE_NOT_FOUND(f"The bucket {bucket.name} has no speech queue.")
    if wanted not in (None, queue.queue_id):
        raise errors.QUEUE_NOT_FOUND(
            f"QueueId {wanted} is not a queue of {bucket.name}; leave it out, or use {queue.queue_id}."
        )
    return queue.queue_id


async def _check_region(tx: Transaction, bucket: Bucket, request: JobRequest) -> None:
    """Only for buckets of the caller: of other accounts' buckets nothing is told here, the job itself finds out."""
    output = request.operation.output
    target = await tx.buckets.get(output.bucket)
    if target is not None and target.appid == bucket.appid and target.region != output.region:
        raise errors.INVALID_ARGUMENT(
            f"Request.Operation.Output.Region is {output.region}, but the bucket {target.name} is in {target.region}."
        )
