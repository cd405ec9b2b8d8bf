"""The sweep: removes the bytes of blobs that no object refers to any more."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import structlog

from sordino.domain.ports import Blobs, Clock, Database, DatabaseUnavailableError

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
        """Remove what has been unreferenced for ``GRACE``; the number of blobs removed."""
        removed = 0
        while batch := await self._batch():
            removed += batch
        return removed

    async def run(self) -> None:
        """Sweep every minute until cancelled."""
        while True:
            try:
                removed = await self()
            except (DatabaseUnavailableError, OSError) as error:
                log.warning("sweep put off", error=str(error))
            else:
                log.debug("swept", blobs=removed)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _batch(self) -> int:
        async with self.database.transaction() as tx:
            blob_ids = await tx.objects.take_unreferenced(self.clock.now() - GRACE, BATCH)
            for blob_id in blob_ids:
                await self.blobs.remove(blob_id)
        return len(blob_ids)
