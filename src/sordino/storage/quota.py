"""Quotas: what is sure not to fit is refused before its bytes are sent.

What else does not fit the commit refuses (``ports.Database.transaction``).
"""

from dataclasses import dataclass
from typing import Final

from sordino import errors
from sordino.domain.bucket import Bucket
from sordino.domain.ports import Database, Transaction
from sordino.domain.quota import refusal
from sordino.storage.chore import repeat

BATCH: Final = 10_000
"""Buckets whose counts one look folds: all that are written to, or busy ones would keep others from their turn."""

PAUSE_SECONDS: Final = 10.0
"""In that time a bucket's count grows by as many rows as it is written to; a look at its quota reads them all."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Folding:
    """Keeps the counts of what buckets hold short, when called or again and again; any number may do it at once."""

    database: Database

    async def __call__(self) -> int:
        """Fold the counts that have grown; the number of rows that are gone.

        Raises:
            DatabaseUnavailableError: the rest stays until the next time.
        """
        async with self.database.reading() as tx:
            buckets = await tx.usages.unfolded(BATCH)
        return sum([await self._fold(bucket) for bucket in buckets])

    async def run(self) -> None:
        """Fold every ten seconds until cancelled; nothing else ends it."""
        await repeat("folding of counts", self, PAUSE_SECONDS)

    async def _fold(self, bucket: str) -> int:
        async with self.database.transaction() as tx:
            return await tx.usages.fold(bucket)
