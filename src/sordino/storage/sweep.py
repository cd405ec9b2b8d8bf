"""The sweep: removes the bytes of blobs that no object refers to, any more or since their writer died."""

from dataclasses import dataclass
from datetime import timedelta

import structlog

from sordino.chore import repeat
from sordino.domain.ports import Blobs, BlobStoreError, Clock, Database, Transaction

log = structlog.get_logger(__name__)

GRACE = timedelta(minutes=10)
"""How long a replaced or deleted object's bytes stay for those who are still reading them."""

BATCH = 100
PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Sweeps when called, or again and again; any number of processes may do it side by side."""

    database: Database
    blobs: Blobs
    clock: Clock

    async def __call__(self) -> int:
        """Remove what has been unreferenced for ``GRACE``; how many are gone, or never came.

        A blob that cannot be removed waits for ``GRACE`` once more, and keeps no other from being removed.
        """
        removed = 0
        while batch := await self._batch():
            removed += sum(batch)
        return removed

    async def run(self) -> None:
        """Sweep every minute until cancelled; nothing else ends it."""
        await repeat("sweep", self, PAUSE_SECONDS)

    async def _batch(self) -> list[bool]:
        """For every blob of a batch, whether it was removed."""
        async with self.database.transaction() as tx:
            blob_ids = await tx.objects.take_unreferenced(self.clock.now() - GRACE, BATCH)
            return [await self._remove(tx, blob_id) for blob_id in blob_ids]

    async def _remove(self, tx: Transaction, blob_id: str) -> bool:
        try:
            await self.blobs.remove(blob_id)
        except BlobStoreError as error:
            log.warning("blob cannot be removed yet", blob_id=blob_id, error=str(error))
            await tx.objects.expect_blob(blob_id, self.clock.now())
            return False
        return True
