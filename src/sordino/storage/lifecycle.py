"""Lifecycle: what jobs wrote is deleted after a while, where its bucket or the server is set so."""

from dataclasses import dataclass
from typing import Final

from sordino.chore import Removal

BATCH: Final = 500
"""Objects that one transaction deletes: their rows are locked for some milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle(Removal):
    """Deletes it.

    Attributes:
        default_days: how long buckets that say nothing keep what jobs wrote; 0: for ever.
    """

    name = "removal of old results"

    default_days: int

    async def _batch(self) -> int:
        async with self.database.transaction() as tx:
            return await tx.objects.remove_results(self.clock.now(), self.default_days, BATCH)
