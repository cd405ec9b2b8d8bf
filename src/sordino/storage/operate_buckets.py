"""What the operator of a service does with buckets, whosever they are: look, limit, let results go."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sordino import errors
from sordino.cam.operator import Changes, Operator
from sordino.domain.bucket import Bucket
from sordino.domain.ports import Transaction
from sordino.domain.quota import NewQuota, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBucket:
    """A bucket and what it holds, which is not known of a mounted one."""

    bucket: Bucket
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class OperateBuckets:
    """The use cases over a database."""

    changes: Changes

    async def every(self) -> Sequence[HeldBucket]:
        """All buckets, by name."""
        async with self.changes.database.reading() as tx:
            usages = await tx.usages.all()
            buckets = await tx.buckets.every()
        return [_held(bucket, usages.get(bucket.name, Usage())) for bucket in buckets]

    async def show(self, name: str) -> HeldBucket:
        """A bucket.

        Raises:
            ServiceError: NoSuchBucket.
        """
        async with self.changes.database.reading() as tx:
            return await _show(tx, name)

    async def count(self, name: str) -> tuple[Usage, Usage]:
        """What a bucket holds as it is known, and as the rows of all its objects and parts say at the same moment.

        Raises:
            ServiceError: NoSuchBucket.
        """
        async with self.changes.database.reading() as tx:
            await _get(tx, name)
            return await tx.usages.both(name)

    async def limit(self, operator: Operator, name: str, quota: NewQuota) -> HeldBucket:
        """Set how much a bucket may hold; what is not named in ``quota`` stays.

        Raises:
            ServiceError: NoSuchBucket, or InvalidArgument: it is mounted.
        """
        note = ", ".join(f"{unit}={most}" for unit, most in quota.items())
        async with self.changes.of_bucket(operator, "sordino:PutBucketQuota", name, note) as tx:
            bucket = await _own(tx, name, "what it holds is not counted here. Limit it")
            await tx.buckets.limit(name, replace(bucket.quota, **quota))
            return await _show(tx, name)

    async def keep_results(self, operator: Operator, name: str, days: int | None) -> HeldBucket:
        """Set how long a bucket keeps what jobs wrote, days; 0: for ever, None: as the server is set.

        Raises:
            ServiceError: NoSuchBucket, or InvalidArgument: it is mounted.
        """
        async with self.changes.of_bucket(operator, "sordino:PutBucketLifecycle", name, f"results_days={days}") as tx:
            await _own(tx, name, "its objects are not known here. Let them go by a rule")
            await tx.buckets.keep_results(name, days)
            return await _show(tx, name)


async def _get(tx: Transaction, name: str) -> Bucket:
    bucket = await tx.buckets.get(name)
    if bucket is None:
        raise errors.NO_SUCH_BUCKET(f"There is no bucket {name}; see `sordino admin bucket list`.")
    return bucket


async def _own(tx: Transaction, name: str, instead: str) -> Bucket:
    """A bucket whose objects are ours."""
    bucket = await _get(tx, name)
    if bucket.mounted:
        raise errors.INVALID_ARGUMENT(f"The bucket {name} is mounted: {instead} in its own store.")
    return bucket


async def _show(tx: Transaction, name: str) -> HeldBucket:
    return _held(await _get(tx, name), await tx.usages.of(name))


def _held(bucket: Bucket, usage: Usage) -> HeldBucket:
    return HeldBucket(bucket=bucket, usage=None if bucket.mounted else usage)
