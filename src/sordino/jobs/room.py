"""Room for jobs that are to wait, in a queue or in all queues of an account."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sordino.jobs.counts import Counts

CROWD: Final = 600
"""More jobs than are on their way into one place at a time, which takes a hundred submits of six operations each: with
so much room left, they need not take turns."""

MOMENT: Final = 5
"""Other processes do not fill a place by so large a share, one in five, while a count is fresh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A place where jobs wait.

    Attributes:
        name: of the place, under which its counts are remembered.
        most: jobs that may wait there.
        count: counts those that wait, no further than ``most``.
        fill: waits until no other transaction fills the place, which holds until this one ends.
    """

    name: str
    most: int
    count: Callable[[], Awaitable[int]]
    fill: Callable[[], Awaitable[None]]

    async def take(self, more: int, counts: Counts, now: datetime) -> int | None:
        """Take room for so many; None, or, when there is too little, how many wait.

        Exact, though those who see much room neither wait for each other nor count each for itself.
        """
        fresh = counts.fresh(self.name, now)
        if fresh is not None and fresh + more + max(CROWD, self.most // MOMENT) <= self.most:
            counts.add(self.name, more)
            return None
        waiting = await self.count()
        counts.note(self.name, now, waiting)
        if waiting + more + CROWD > self.most:
            await self.fill()
            waiting = await self.count()
        if waiting + more > self.most:
            return waiting
        counts.add(self.name, more)
        return None
