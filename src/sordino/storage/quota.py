"""Quotas: what is sure not to fit is refused before its bytes are sent.

What else does not fit the commit refuses (``ports.Database.transaction``).
"""

from dataclasses import dataclass
from typing import Final

from sordino import errors
from sordino.chore import repeat
from sordino.domain.bucket import Bucket, StoredObject
from sordino.domain.ports import Database, Transaction
from sordino.domain.quota import refusal
from sordino.domain.upload import Part

BATCH: Final = 10_000
"""Buckets whose counts one look folds: all that are written to, or busy ones would keep others from their turn."""

PAUSE_SECONDS: Final = 10.0
"""In that time a bucket's count grows by as many rows as it is written to; a look at its quota reads them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """Looks at what buckets hold."""

    database: Database

    async def check(
        self, bucket: Bucket, size: int, *, key: str | None = None, part: tuple[str, int] | None = None
    ) -> None:
        """Refuse ``size`` bytes more, as an object of ``key`` or as a ``part`` of an upload, which they may replace.

        A bucket without a quota costs nothing. Nothing is reserved: what passes may be refused at its commit.

        Raises:
            ServiceError: QuotaExceeded.
        """
        if bucket.quota.none:
            return
        async with self.database.reading() as tx:
            used, quota = await tx.usages.of(bucket.name), bucket.quota
            replaced = await _replaced(tx, bucket, key, part)
        more = size - (replaced.size if replaced else 0)
        if quota.bytes is not None and more > 0 and used.bytes + more > quota.bytes:
            raise errors.QUOTA_EXCEEDED(refusal(bucket.name, "bytes", used.bytes + more, quota.bytes))
        if quota.objects is not None and key is not None and replaced is None and used.objects + 1 > quota.objects:
            raise errors.QUOTA_EXCEEDED(refusal(bucket.name, "objects", used.objects + 1, quota.objects))


async def _replaced(
    tx: Transaction, bucket: Bucket, key: str | None, part: tuple[str, int] | None
) -> StoredObject | Part | None:
    """What is there under that key, or as that part; whether the upload is one of the bucket is for others to say."""
    if key is not None:
        return await tx.objects.get(bucket.name, key)
    if part is not None:
        upload_id, number = part
        found = await tx.uploads.parts(upload_id, after=number - 1, limit=1)
        return next((it for it in found if it.number == number), None)
    return None


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
