"""Services on buckets: open, close, list."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sordino import errors
from sordino.domain.bucket import Bucket
from sordino.domain.identity import Account
from sordino.domain.page import Page, Paged
from sordino.domain.ports import Clock, Database, Transaction
from sordino.domain.queue import DEFAULT_QUEUE_NAME, Queue, QueueSettings
from sordino.domain.service import Binding, BindingFilter, ServiceKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Bindings:
    """The use cases of services. A bucket has queues, one of them the default, while its speech service is open."""

    database: Database
    clock: Clock
    new_queue_id: Callable[[], str]

    async def open(self, bucket: Bucket, kind: ServiceKind) -> Binding:
        """Open a service; speech comes with its default queue.

        Raises:
            ServiceError: BucketAlreadyBinded or MediaBucketAlreadyBinded, NoSuchBucket.
        """
        now = self.clock.now()
        async with self.database.transaction() as tx:
            await tx.queues.alone(bucket.name)
            if not await tx.bindings.open(bucket.name, kind, now, automatic=False):
                raise _already_open(bucket, kind)
            if kind is ServiceKind.SPEECH:
                await add_default_queue(tx, bucket.name, self.new_queue_id, now)
        return Binding(bucket=bucket, kind=kind, opened_at=now)

    async def close(self, bucket: Bucket, kind: ServiceKind) -> None:
        """Close a service; the queues of speech go with it.

        Raises:
            ServiceError: MediaBucketUnBinded when it is not open, or InvalidArgument when it is speech and jobs of the
                bucket have not ended.
        """
        async with self.database.transaction() as tx:
            await tx.queues.alone(bucket.name)
            if kind is ServiceKind.SPEECH:
                await _empty(tx, bucket)
            if not await tx.bindings.close(bucket.name, kind):
                raise errors.MEDIA_BUCKET_UN_BINDED(f"The {kind} service is not open on {bucket.name}.")

    async def page(self, owner: Account, kind: ServiceKind, wanted: BindingFilter, page: Page) -> Paged[Binding]:
        """A page of the account's buckets that the service is open on, by name."""
        async with self.database.transaction() as tx:
            return await tx.bindings.page(owner.appid, kind, wanted, page)


async def add_default_queue(tx: Transaction, bucket: str, new_queue_id: Callable[[], str], now: datetime) -> None:
    """Give the bucket its default queue, unless it has one."""
    if await tx.queues.count(bucket) > 0:
        return
    settings = QueueSettings(name=DEFAULT_QUEUE_NAME)
    await tx.queues.add(
        Queue(queue_id=new_queue_id(), bucket=bucket, settings=settings, created_at=now, updated_at=now)
    )


def speech_not_open(bucket: str) -> errors.ServiceError:
    """The refusal of what needs the speech service of a bucket."""
    return errors.MEDIA_BUCKET_UN_BINDED(
        f"The speech service is not open on {bucket}; open it first (POST /asrbucket)."
    )


def _already_open(bucket: Bucket, kind: ServiceKind) -> errors.ServiceError:
    refusal = errors.MEDIA_BUCKET_ALREADY_BINDED if kind is ServiceKind.MEDIA else errors.BUCKET_ALREADY_BINDED
    return refusal(f"The {kind} service is open on {bucket.name} already.")


async def _empty(tx: Transaction, bucket: Bucket) -> None:
    if await tx.jobs.unfinished(bucket.name):
        raise errors.INVALID_ARGUMENT(f"Jobs of {bucket.name} have not ended; cancel or await them first.")
    await tx.queues.clear(bucket.name)
