"""Uploads that nobody completes end some time after their beginning, and their parts go."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sordino.chore import in_batches, repeat
from sordino.domain.ports import Clock, Database

BATCH: Final = 10
"""Uploads that one transaction ends: each may have ten thousand parts."""

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
        return await in_batches(self._batch)

    async def run(self) -> None:
        """Do so every ten minutes until cancelled; nothing else ends it."""
        await repeat("end of stale uploads", self, PAUSE_SECONDS)

    async def _batch(self) -> int:
        if self.keep is None:
            return 0
        async with self.database.transaction() as tx:
            return await tx.uploads.remove_stale(self.clock.now() - self.keep, BATCH)
