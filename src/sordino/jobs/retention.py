"""Retention: jobs that ended long ago are removed, with the log of their callbacks."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sordino.chore import in_batches, repeat
from sordino.domain.ports import Clock, Database

BATCH: Final = 500
"""Jobs that one transaction removes: their rows are locked for some milliseconds."""

PAUSE_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Removes when called, or again and again; any number of processes may do it side by side.

    Attributes:
        keep: how long a job is kept after its end; None: for ever.
    """

    database: Database
    clock: Clock
    keep: timedelta | None

    async def __call__(self) -> int:
        """Remove what is too old; the number of jobs removed.

        Raises:
            DatabaseUnavailableError: the rest stays until the next time.
        """
        return await in_batches(self._batch)

    async def run(self) -> None:
        """Remove every ten minutes until cancelled; nothing else ends it."""
        await repeat("removal of old jobs", self, PAUSE_SECONDS)

    async def _batch(self) -> int:
        if self.keep is None:
            return 0
        async with self.database.transaction() as tx:
            return await tx.jobs.remove_ended(self.clock.now() - self.keep, BATCH)
