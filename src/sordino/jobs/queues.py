"""Queues: create, change, delete, look up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sordino import errors
from sordino.cam.accounts import check_weight
from sordino.cam.operator import Changes, Operator
from sordino.domain.lookup import missing
from sordino.domain.page import MAX_PAGE_SIZE, Page, Paged
from sordino.domain.ports import Clock, Database, Transaction
from sordino.domain.queue import MAX_LIMIT, NewLimits, Queue, QueueSettings, QueueState
from sordino.domain.service import ServiceKind
from sordino.storage.bindings import speech_not_open


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """The queue use cases.

    Attributes:
        max_queues: how many queues a bucket may have.
        poke: called when there may be something to release.
    """

    database: Database
    clock: Clock
    new_queue_id: Callable[[], str]
    max_queues: int
    poke: Callable[[], None]

    async def create(self, bucket: str, settings: QueueSettings) -> Queue:
        """Create a queue beside the default one; names need not differ.

        Raises:
            ServiceError: MediaBucketUnBinded when the speech service is not open, QueueNumLimit.
        """
        now = self.clock.now()
        queue = Queue(
            queue_id=self.new_queue_id(),
            bucket=bucket,
            settings=settings,
            created_at=now,
            updated_at=now,
            is_default=False,
        )
        async with self.database.transaction() as tx:
            await tx.queues.alone(bucket)
            if not await tx.bindings.is_open(bucket, ServiceKind.SPEECH):
                raise speech_not_open(bucket)
            await self._check_number(tx, bucket)
            await tx.queues.add(queue)
        return queue

    async def _check_number(self, tx: Transaction, bucket: str) -> None:
        number = await tx.queues.count(bucket)
        if number >= self.max_queues:
            raise errors.QUEUE_NUM_LIMIT(
                f"The bucket has {number} queues, which is as many as it may have; delete one first."
            )

    async def update(self, bucket: str, queue_id: str, settings: QueueSettings) -> Queue:
        """Replace what a user sets of a queue. Pausing it pauses its waiting jobs, running ones go on.

        Raises:
            ServiceError: QueueNotFound.
        """
        async with self.database.transaction() as tx:
            queue = await _locked(tx, bucket, queue_id)
            changed = replace(queue, settings=settings, updated_at=self.clock.now())
            await tx.queues.put(changed)
            if settings.state is not queue.settings.state:
                await _follow(tx, changed)
        self.poke()
        return changed

    async def remove(self, bucket: str, queue_id: str) -> None:
        """Delete a queue whose jobs have all ended; they stay.

        Raises:
            ServiceError: QueueNotFound, or InvalidArgument when it is the default one or has jobs that have not ended.
        """
        async with self.database.transaction() as tx:
            queue = await _locked(tx, bucket, queue_id)
            if queue.is_default:
                raise errors.INVALID_ARGUMENT(
                    f"The queue {queue_id} is the default one, which goes with the speech service (DELETE /asrbucket)."
                )
            if await tx.jobs.unfinished(bucket, queue_id):
                raise errors.INVALID_ARGUMENT(
                    f"The queue {queue_id} has jobs that have not ended; cancel or await them first."
                )
            await tx.queues.remove(bucket, queue_id)

    async def limit(self, operator: Operator, bucket: str, queue_id: str | None, limits: NewLimits) -> Queue:
        """Set limits and weight of a queue, or of the default one; what is not given stays.

        Raises:
            ServiceError: QueueNotFound, or InvalidArgument for a limit that is not 1 to ``MAX_LIMIT``, or a weight that
                is not 1 to ``MAX_WEIGHT``.
        """
        said = ", ".join(f"{name}={value}" for name, value in limits.items())
        changes = Changes(self.database, self.clock)
        async with changes.of_bucket(
            operator, "sordino:PutQueueLimits", bucket, f"queue {queue_id or 'default'}, {said}"
        ) as tx:
            _check(limits)
            queue = await _locked(tx, bucket, queue_id)
            changed = replace(queue, updated_at=self.clock.now(), **limits)
            await tx.queues.put(changed)
        self.poke()
        return changed

    async def find(self, bucket: str, queue_ids: Sequence[str]) -> tuple[Sequence[Queue], Sequence[str]]:
        """The queues among ``queue_ids``, and the ids that are none, both in the order asked."""
        async with self.database.reading() as tx:
            queues = await tx.queues.find(bucket, queue_ids)
        return queues, missing(queue_ids, {queue.queue_id for queue in queues})

    async def page(self, bucket: str, state: QueueState | None, page: Page) -> Paged[Queue]:
        """A page of the bucket's queues, of one state if asked: the default one first, then by age."""
        async with self.database.transaction() as tx:
            return await tx.queues.page(bucket, state, page)

    async def every(self, bucket: str) -> Sequence[Queue]:
        """All queues of a bucket, the default one first, then by age; none when there is no such bucket."""
        found: list[Queue] = []
        while True:
            page = Page(number=len(found) // MAX_PAGE_SIZE + 1, size=MAX_PAGE_SIZE)
            items = (await self.page(bucket, None, page)).items
            found += items
            if len(items) < MAX_PAGE_SIZE:
                return found


def _check(limits: NewLimits) -> None:
    for most in (limits.get("max_size"), limits.get("max_concurrent")):
        if most is not None and not 1 <= most <= MAX_LIMIT:
            raise errors.INVALID_ARGUMENT(f"A limit of a queue is {most}; use 1 to {MAX_LIMIT}.")
    check_weight(limits.get("weight", 1))


async def _locked(tx: Transaction, bucket: str, queue_id: str | None) -> Queue:
    queue = await tx.queues.locked(bucket, queue_id)
    if queue is None:
        wanted = "a default queue" if queue_id is None else f"a queue {queue_id}"
        raise errors.QUEUE_NOT_FOUND(f"The bucket {bucket} does not have {wanted}.")
    return queue


async def _follow(tx: Transaction, queue: Queue) -> None:
    """Let the waiting jobs follow the state of their queue."""
    if queue.settings.state is QueueState.PAUSED:
        await tx.jobs.pause(queue.bucket, queue.queue_id)
    else:
        await tx.jobs.resume(queue.bucket, queue.queue_id)
