"""Retention: jobs that ended long ago are removed, with the log of their callbacks."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sordino.chore import Expiry

BATCH: Final = 500
"""Jobs that one transaction removes: their rows are locked for some milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention(Expiry):
    """Removes them; ``keep`` says how long a job is kept after its end."""

    name = "removal of old jobs"

    async def _remove(self, before: datetime) -> int:
        async with self.database.transaction() as tx:
            return await tx.jobs.remove_ended(before, BATCH)
