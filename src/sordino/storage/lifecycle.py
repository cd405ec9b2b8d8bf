"""Lifecycle: what jobs wrote is deleted after a while, where its bucket or the server is set so."""

from dataclasses import dataclass
from typing import Final

from sordino.chore import in_batches, repeat
from sordino.domain.ports import Clock, Database

BATCH: Final = 500
"""Objects that one transaction deletes: their rows are locked for some milliseconds."""

PAUSE_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """Deletes when called, or again and again; any number of processes may do it side by side.

    Attributes:
        default_days: how long buckets that say nothing keep what jobs wrote; 0: for ever.
    """

    database: Database
    clock: Clock
    default_days: int

    async def __call__(self) -> int:
        """Delete what is too old; the number of objects deleted.

        Raises:
            DatabaseUnavailableError: the rest stays until the next time.
        """
        return await in_batches(self._batch)

    async def run(self) -> None:
        """Delete every ten minutes until cancelled; nothing else ends it."""
        await repeat("removal of old results", self, PAUSE_SECONDS)

    async def _batch(self) -> int:
        async with self.database.transaction() as tx:
            return await tx.objects.remove_results(self.clock.now(), self.default_days, BATCH)
