"""Quotas: what is sure not to fit is refused before its bytes are sent.

What else does not fit the commit refuses (``ports.Database.transaction``).
"""

from dataclasses import dataclass

from sordino import errors
from sordino.domain.bucket import Bucket
from sordino.domain.ports import Database, Transaction
from sordino.domain.quota import refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """Looks at what buckets hold."""

    database: Database

    async def check(self, bucket: Bucket, size: int, *, key: str | None = None) -> None:
        """Refuse ``size`` bytes more, as an object of that key, which they may replace, or as a part (None).

        A bucket without a quota costs nothing. Nothing is reserved: what passes may be refused at its commit.

        Raises:
            ServiceError: QuotaExceeded.
        """
        if bucket.quota.none:
            return
        async with self.database.reading() as tx:
            await _check(tx, bucket, size, key)


async def _check(tx: Transaction, bucket: Bucket, size: int, key: str | None) -> None:
    used, quota = await tx.usages.of(bucket.name), bucket.quota
    replaced = await tx.objects.get(bucket.name, key) if key is not None else None
    more = size - (replaced.size if replaced else 0)
    if quota.bytes is not None and more > 0 and used.bytes + more > quota.bytes:
        raise errors.QUOTA_EXCEEDED(refusal(bucket.name, "bytes", used.bytes + more, quota.bytes))
    if quota.objects is not None and key is not None and replaced is None and used.objects + 1 > quota.objects:
        raise errors.QUOTA_EXCEEDED(refusal(bucket.name, "objects", used.objects + 1, quota.objects))
