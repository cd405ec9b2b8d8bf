"""Chores: what a process does now and then beside its work."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Final, NoReturn

import structlog

from sordino.cancelling import mind_cancelling
from sordino.domain.ports import Clock, Database, DatabaseUnavailableError

log = structlog.get_logger(__name__)

REST_SECONDS: Final = 0.1
"""Pause between two batches, in which the database has time for others."""

PAUSE_SECONDS: Final = 600.0
"""Between two looks for rows that are too old."""


async def repeat(name: str, chore: Callable[[], Awaitable[int]], seconds: float) -> NoReturn:
    """Do a chore again and again, with pauses, until cancelled; nothing else ends it.

    Args:
        name: what it is called in the log.
        chore: does it; how many things it removed.
        seconds: between its end and its next beginning.
    """
    while True:
        try:
            removed = await chore()
        except DatabaseUnavailableError as error:
            log.warning("chore put off", chore=name, error=str(error))
        except Exception:
            # Left alone it would end whatever else the process does, which matters more than what is left lying about.
            log.exception("chore broke off", chore=name)
        else:
            log.debug("chore done", chore=name, removed=removed)
        mind_cancelling()
        await asyncio.sleep(seconds)


async def in_batches(batch: Callable[[], Awaitable[int]]) -> int:
    """Do a batch after the other, with short rests, until one finds nothing; how many things they removed together."""
    removed = 0
    while found := await batch():
        removed += found
        await asyncio.sleep(REST_SECONDS)
    return removed


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal(ABC):
    """Removes rows that are too old when called, or again and again; any number of processes may do it side by side.

    Attributes:
        name: what it is called in the log.
    """

    name: ClassVar[str]

    database: Database
    clock: Clock

    async def __call__(self) -> int:
        """Remove what is too old; how many things.

        Raises:
            DatabaseUnavailableError: the rest stays until the next time.
        """
        return await in_batches(self._batch)

    async def run(self) -> None:
        """Do so every ten minutes until cancelled; nothing else ends it."""
        await repeat(self.name, self, PAUSE_SECONDS)

    @abstractmethod
    async def _batch(self) -> int:
        """Remove some; how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry(Removal):
    """The same of what is kept for some time.

    Attributes:
        keep: for how long; None: for ever.
    """

    keep: timedelta | None

    async def _batch(self) -> int:
        return 0 if self.keep is None else await self._remove(self.clock.now() - self.keep)

    @abstractmethod
    async def _remove(self, before: datetime) -> int:
        """Remove some that are older than that; how many."""
