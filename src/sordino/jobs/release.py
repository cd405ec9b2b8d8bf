"""Release: hand waiting jobs to the task engine, as many as its workers can soon run."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import structlog

from sordino.cancelling import mind_cancelling
from sordino.domain.ports import Database, DatabaseUnavailableError
from sordino.domain.release import depth, shares

log = structlog.get_logger(__name__)

PASS_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Releaser:
    """Makes passes; any number of processes may do so side by side.

    Attributes:
        silence: seconds without a sign of life after which a worker counts as dead.
        max_concurrent: jobs of a queue in the engine at most, if the queue says nothing else.
        interval: seconds between two passes, at most. A pass follows every change that may let a job go; this one finds
            what a process that died between the two has left.
    """

    database: Database
    silence: float
    max_concurrent: int
    interval: float = PASS_SECONDS
    _bell: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def poke(self) -> None:
        """Ask for a pass that sees what is committed by now; passes asked for meanwhile become one."""
        self._bell.set()

    async def run(self) -> None:
        """Make passes until cancelled; nothing else ends it."""
        while True:
            mind_cancelling()
            self._bell.clear()
            try:
                await self()
            except DatabaseUnavailableError as error:
                log.warning("release put off", error=str(error))
            except Exception:
                # Without passes no job would run any more.
                log.exception("release broke off")
            with suppress(TimeoutError):
                async with asyncio.timeout(self.interval):
                    await self._bell.wait()

    async def __call__(self) -> int:
        """Make one pass; how many jobs it handed over.

        Raises:
            DatabaseUnavailableError: nothing was handed over, or what was is not known to be.
        """
        async with self.database.reading() as tx:
            look = await tx.releases.load(self.silence)
        # Whoever makes room later asks for a pass of its own, so a look is enough when there is none.
        return await self._turn(depth(look.slots)) if look.room or look.due else 0

    async def _turn(self, most: int) -> int:
        """Let jobs that are due queue up again, and hand over up to ``most``, if there still is room; how many."""
        async with self.database.transaction() as tx:
            load, candidates = await tx.releases.turn(self.silence, most, self.max_concurrent)
            given = shares(min(load.room, most), candidates)
            jobs = await tx.releases.release(given) if given else ()
            if not jobs:
                return 0
            await tx.tasks.run_jobs(jobs)
        log.debug("released jobs", jobs=len(jobs))
        return len(jobs)
