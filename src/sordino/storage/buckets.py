"""Buckets: create with their speech queue, look up, list, delete."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sordino import errors
from sordino.domain.bucket import Bucket, split_bucket
from sordino.domain.identity import Account
from sordino.domain.ports import Clock, Database
from sordino.domain.queue import Queue

SPEECH_QUEUE = "queue-speech"


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketStore:
    """The bucket use cases over a database."""

    database: Database
    clock: Clock
    new_queue_id: Callable[[], str]

    async def create(self, name: str, region: str, owner: Account) -> Bucket:
        """Create a bucket of ``owner`` with its speech queue.

        Raises:
            ServiceError: InvalidBucketName, AccessDenied (another account's APPID), BucketAlreadyOwnedByYou,
                BucketAlreadyExists.
        """
        parts = split_bucket(name)
        if parts is None:
            raise errors.INVALID_BUCKET_NAME()
        if parts[1] != owner.appid:
            raise errors.ACCESS_DENIED(f"Your APPID is {owner.appid}: name the bucket {parts[0]}-{owner.appid}.")
        now = self.clock.now()
        bucket = Bucket(name=name, region=region, appid=owner.appid, created_at=now)
        queue = Queue(queue_id=self.new_queue_id(), bucket=name, name=SPEECH_QUEUE, created_at=now, updated_at=now)
        async with self.database.transaction() as tx:
            if await tx.buckets.add(bucket, queue):
                return bucket
            existing = await tx.buckets.get(name)
        if existing is None or existing.appid == owner.appid:
            raise errors.BUCKET_ALREADY_OWNED_BY_YOU()
        raise errors.BUCKET_ALREADY_EXISTS()

    async def get(self, name: str) -> Bucket:
        """The bucket of that name.

        Raises:
            ServiceError: NoSuchBucket.
        """
        async with self.database.transaction() as tx:
            bucket = await tx.buckets.get(name)
        if bucket is None:
            raise errors.NO_SUCH_BUCKET()
        return bucket

    async def list(self, owner: Account) -> Sequence[Bucket]:
        """The buckets of ``owner``, by name."""
        async with self.database.transaction() as tx:
            return await tx.buckets.list(owner.appid)

    async def remove(self, name: str) -> None:
        """Delete an empty bucket.

        Raises:
            ServiceError: BucketNotEmpty when it holds objects or unfinished jobs.
        """
        async with self.database.transaction() as tx:
            if not await tx.buckets.remove(name):
                raise errors.BUCKET_NOT_EMPTY(
                    "The bucket still holds objects, or jobs that have not ended; delete or await them first."
                )
