"""Submit: from a validated request to waiting jobs, in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final, NoReturn

from sordino import errors
from sordino.domain.allowance import NO_ALLOWANCE, Allowance
from sordino.domain.bucket import Bucket
from sordino.domain.job import Job, JobRequest, JobState, Operation, OperationRequest, TemplateRef
from sordino.domain.ports import Clock, Database, Transaction
from sordino.domain.queue import Queue, QueueState
from sordino.domain.service import ServiceKind
from sordino.domain.template import Template
from sordino.jobs.access import check_role
from sordino.jobs.allowances import check_allowance
from sordino.jobs.counts import Counts
from sordino.jobs.room import Room
from sordino.storage.bindings import speech_not_open

# The order of the operations is the order of the jobs, in lists and in the queue.
_APART: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """Accepts jobs. Once ``__call__`` returns, they are stored and will run, whatever is killed.

    Attributes:
        max_size: most jobs that may wait in a queue that says nothing itself.
        poke: called when there may be something to release.
        allowance: what accounts may that have no limits of their own.
        counts: what this process has counted of late.
    """

    database: Database
    clock: Clock
    new_job_id: Callable[[], str]
    max_size: int
    poke: Callable[[], None]
    allowance: Allowance = NO_ALLOWANCE
    counts: Counts = field(default_factory=Counts)

    async def __call__(self, bucket: Bucket, request: JobRequest) -> Sequence[Job]:
        """Store a job for each operation of the request, all of them or none.

        Raises:
            ServiceError: MediaBucketUnBinded, QueueNotFound, QueueSaturated, TemplateNotFound, NoSuchBucket,
                CIRoleNotExist, SlowDown, or InvalidArgument when Output.Region is not that of the output bucket, or
                two outputs are the same.
        """
        _check_outputs_differ(request)
        async with self.database.transaction() as tx:
            queue = await tx.queues.held(bucket.name, request.queue_id) or await _refuse(tx, bucket, request.queue_id)
            now, more = self.clock.now(), len(request.operations)
            account = await check_role(tx, bucket.appid, now)
            await check_allowance(tx, account, self.allowance, more, self.counts, now)
            await self._check_room(tx, queue, more, now)
            await _check_regions(tx, bucket, request)
            jobs = self._jobs(bucket, request, queue, await _templates(tx, bucket, request))
            for job in jobs:
                await tx.jobs.add(job)
        self.poke()
        return jobs

    async def _check_room(self, tx: Transaction, queue: Queue, more: int, now: datetime) -> None:
        most = queue.max_size or self.max_size
        room = Room(
            name=queue.queue_id,
            most=most,
            count=partial(tx.jobs.waiting, queue.bucket, queue.queue_id, most),
            fill=partial(tx.queues.fill, queue.queue_id),
        )
        waiting = await room.take(more, self.counts, now)
        if waiting is not None:
            raise errors.QUEUE_SATURATED(
                f"In the queue {queue.queue_id} {waiting} of at most {most} jobs wait, and the request has {more}; "
                "try again when some have ended."
            )

    def _jobs(
        self, bucket: Bucket, request: JobRequest, queue: Queue, templates: Mapping[str, Template]
    ) -> Sequence[Job]:
        now = self.clock.now()
        paused = queue.settings.state is QueueState.PAUSED
        return [
            Job(
                job_id=self.new_job_id(),
                bucket=bucket.name,
                region=bucket.region,
                queue_id=queue.queue_id,
                input_object=request.input_object,
                operation=_operation(operation, templates),
                created_at=now + number * _APART,
                state=JobState.PAUSE if paused else JobState.SUBMITTED,
                callback=request.callback,
            )
            for number, operation in enumerate(request.operations)
        ]


def _check_outputs_differ(request: JobRequest) -> None:
    """Of two jobs that write the same object, who knows whose result it would have."""
    outputs = [(operation.output.bucket, operation.output.object) for operation in request.operations]
    for number, output in enumerate(outputs):
        if output in outputs[:number]:
            raise errors.INVALID_ARGUMENT(
                f"Two operations write {output[1]!r} in {output[0]}; give each an Output.Object of its own."
            )


async def _refuse(tx: Transaction, bucket: Bucket, queue_id: str | None) -> NoReturn:
    """Say why there is no such queue: every open speech service has at least the default one."""
    if await tx.buckets.get(bucket.name) is None:
        raise errors.NO_SUCH_BUCKET()
    if not await tx.bindings.is_open(bucket.name, ServiceKind.SPEECH):
        raise speech_not_open(bucket.name)
    raise errors.QUEUE_NOT_FOUND(
        f"QueueId {queue_id} is not a queue of {bucket.name}; leave it out to use the default one."
    )


async def _check_regions(tx: Transaction, bucket: Bucket, request: JobRequest) -> None:
    """Only for buckets of the caller: of other accounts' buckets nothing is told here, the job itself finds out."""
    for name in dict.fromkeys(operation.output.bucket for operation in request.operations):
        target = bucket if name == bucket.name else await tx.buckets.get(name)
        if target is not None and target.appid == bucket.appid:
            _check_region(target, request)


def _check_region(target: Bucket, request: JobRequest) -> None:
    for operation in request.operations:
        output = operation.output
        if output.bucket == target.name and output.region != target.region:
            raise errors.INVALID_ARGUMENT(
                f"Request.Operation.Output.Region is {output.region}, but the bucket {target.name} is in "
                f"{target.region}."
            )


async def _templates(tx: Transaction, bucket: Bucket, request: JobRequest) -> Mapping[str, Template]:
    """The templates that the operations name, by id."""
    wanted = [it.template_id for it in request.operations if it.template_id is not None]
    if not wanted:
        return {}
    found = {it.template_id: it for it in await tx.templates.find(bucket.name, wanted)}
    for template_id in wanted:
        if template_id not in found:
            raise errors.TEMPLATE_NOT_FOUND(f"TemplateId {template_id} is not a template of {bucket.name}.")
    return found


def _operation(request: OperationRequest, templates: Mapping[str, Template]) -> Operation:
    """What the job does, with the template's order and name as they are now."""
    template = templates[request.template_id] if request.template_id is not None else None
    return Operation(
        noise_reduction=template.noise_reduction if template else request.noise_reduction,
        output=request.output,
        template=TemplateRef(template_id=template.template_id, name=template.name) if template else None,
        user_data=request.user_data,
        job_level=request.job_level,
    )
