"""Chores: what a process does now and then beside its work."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import structlog

from sordino.cancelling import mind_cancelling
from sordino.domain.ports import DatabaseUnavailableError

log = structlog.get_logger(__name__)

REST_SECONDS: Final = 0.1
"""Pause between two batches, in which the database has time for others."""


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
