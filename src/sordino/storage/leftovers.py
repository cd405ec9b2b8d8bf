"""What writers of blobs leave behind when they are killed, beside what the sweep knows of."""

from dataclasses import dataclass
from typing import Final

from sordino.chore import repeat
from sordino.domain.ports import Blobs, Clock
from sordino.storage.writing import UPLOAD_TIME

PAUSE_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """Removes when called, or again and again; any number of processes may do it side by side."""

    blobs: Blobs
    clock: Clock

    async def __call__(self) -> int:
        """Remove what nobody has touched for longer than an upload may take; how much there was."""
        return await self.blobs.remove_unfinished(self.clock.now() - UPLOAD_TIME)

    async def run(self) -> None:
        """Remove at once, then every hour, until cancelled; nothing else ends it."""
        await repeat("removal of what killed writers left", self, PAUSE_SECONDS)
