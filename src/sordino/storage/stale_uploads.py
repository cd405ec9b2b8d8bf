"""Uploads that nobody completes end some time after their beginning, and their parts go."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sordino.domain.ports import Clock, Database
from sordino.storage.chore import repeat

BATCH: Final = 10
"""Uploads that one transaction ends: each may have ten thousand parts."""

REST_SECONDS: Final = 0.1
"""Pause between two batches, in which the database has time for others."""

PAUSE_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleUploads:
    """Ends them when called, or again and again; any number of processes may do it side by side.

    Attributes:
        keep: how long an upload may take; None: for ever.
    """

    database: Database
    clock: Clock
    keep: timedelta | None

    async def __call__(self) -> int:
        """End what is too old; the number of uploads ended.

        Raises:
            DatabaseUnavailableError: the rest stays until the next time.
        """
        ended = 0
        while batch := await self._batch():
            ended += batch
            await asyncio.sleep(REST_SECONDS)
        return ended

    async def run(self) -> None:
        """Do so every ten minutes until cancelled; nothing else ends it."""
        await repeat("end of stale uploads", self, PAUSE_SECONDS)

    async def _batch(self) -> int:
        if self.keep is None:
            return 0
        async with self.database.transaction() as tx:
            return await tx.uploads.remove_stale(self.clock.now() - self.keep, BATCH)
