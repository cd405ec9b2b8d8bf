"""Buckets: create, look up, list, delete."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sordino import errors
from sordino.domain.acl import Acl
from sordino.domain.bucket import Bucket, split_bucket
from sordino.domain.identity import Account
from sordino.domain.ports import Clock, Database, Transaction
from sordino.domain.service import ServiceKind
from sordino.storage.bindings import add_default_queue


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketStore:
    """The bucket use cases over a database.

    Attributes:
        bind_on_create: whether every service is open on a new bucket.
        max_buckets: how many an account may have.
    """

    database: Database
    clock: Clock
    new_queue_id: Callable[[], str]
    bind_on_create: bool
    max_buckets: int

    async def create(self, name: str, region: str, owner: Account, acl: Acl = Acl.PRIVATE) -> Bucket:
        """Create a bucket of ``owner``.

        Raises:
            ServiceError: InvalidBucketName, AccessDenied (another account's APPID), BucketAlreadyOwnedByYou,
                BucketAlreadyExists, TooManyBuckets.
        """
        parts = split_bucket(name)
        if parts is None:
            raise errors.INVALID_BUCKET_NAME()
        if parts[1] != owner.appid:
            raise errors.ACCESS_DENIED(f"Your APPID is {owner.appid}: name the bucket {parts[0]}-{owner.appid}.")
        bucket = Bucket(name=name, region=region, appid=owner.appid, created_at=self.clock.now(), acl=acl)
        async with self.database.transaction() as tx:
            if await self.add(tx, bucket):
                return bucket
            existing = await tx.buckets.get(name)
        if existing is None or existing.appid == owner.appid:
            raise errors.BUCKET_ALREADY_OWNED_BY_YOU()
        raise errors.BUCKET_ALREADY_EXISTS()

    async def add(self, tx: Transaction, bucket: Bucket) -> bool:
        """Add a bucket as new ones begin; False when the name is taken.

        Raises:
            ServiceError: TooManyBuckets.
        """
        if not await tx.buckets.add(bucket):
            return False
        number = await tx.buckets.count(bucket.appid)
        if number > self.max_buckets:
            raise errors.TOO_MANY_BUCKETS(
                f"The account {bucket.appid} has {number - 1} buckets, as many as it may have; delete one first."
            )
        if self.bind_on_create:
            await self._bind(tx, bucket)
        return True

    async def _bind(self, tx: Transaction, bucket: Bucket) -> None:
        """Open every service. Nobody sees the bucket yet, so nobody has to be kept out."""
        for kind in ServiceKind:
            await tx.bindings.open(bucket.name, kind, bucket.created_at, automatic=True)
        await add_default_queue(tx, bucket.name, self.new_queue_id, bucket.created_at)

    async def find(self, name: str) -> Bucket | None:
        """The bucket of that name, whoever owns it; None when there is none."""
        async with self.database.reading() as tx:
            return await tx.buckets.get(name)

    async def list(self, owner: Account) -> Sequence[Bucket]:
        """The buckets of ``owner``, by name."""
        async with self.database.reading() as tx:
            return await tx.buckets.list(owner.appid)

    async def remove(self, name: str) -> None:
        """Delete an empty bucket.

        Raises:
            ServiceError: BucketNotEmpty when it holds objects, unfinished uploads or unfinished jobs; AccessDenied when
                it is mounted.
        """
        async with self.database.transaction() as tx:
            bucket = await tx.buckets.get(name)
            if bucket is not None and bucket.mounted:
                raise errors.ACCESS_DENIED(
                    f"The bucket {name} is mounted, and its objects lie elsewhere: its operator can unmount it "
                    "(sordino admin bucket unmount)."
                )
            if not await tx.buckets.remove(name):
                raise errors.BUCKET_NOT_EMPTY(
                    "The bucket still holds objects, or uploads or jobs that have not ended; "
                    "delete, abort or await them first."
                )
