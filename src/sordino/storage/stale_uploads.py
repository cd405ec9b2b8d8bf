"""Uploads that nobody completes end some time after their beginning, and their parts go."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sordino.chore import Expiry

BATCH: Final = 10
"""Uploads that one transaction ends: each may have ten thousand parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleUploads(Expiry):
    """Ends them; ``keep`` says how long an upload may take."""

    name = "end of stale uploads"

    async def _remove(self, before: datetime) -> int:
        async with self.database.transaction() as tx:
            return await tx.uploads.remove_stale(before, BATCH)
