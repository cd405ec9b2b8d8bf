"""Counts of waiting jobs that are still fresh: a long queue need not be counted for every job that joins it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

FRESH: Final = timedelta(seconds=1)
"""How long a count may be used."""

MOST: Final = 1000
"""Queues that are remembered at most."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What one process has counted of late."""

    _counted: dict[str, tuple[datetime, int]] = field(default_factory=dict)

    def fresh(self, queue_id: str, now: datetime) -> int | None:
        """How many jobs waited in the queue of late, with those added since; None: count them, and ``note`` it.

        When a count is older than ``FRESH``, one caller is asked to count; meanwhile the others go on with the old one,
        or a crowd of them would all count at once.
        """
        at, waiting = self._counted.get(queue_id, (now, None))
        if waiting is None or timedelta(0) <= now - at <= FRESH:
            return waiting
        self._counted[queue_id] = now, waiting
        return None

    def add(self, queue_id: str, more: int) -> None:
        """Let jobs that this process adds count at once; those that others add count when it counts anew."""
        if queue_id in self._counted:
            at, waiting = self._counted[queue_id]
            self._counted[queue_id] = at, waiting + more

    def note(self, queue_id: str, now: datetime, waiting: int) -> None:
        """Remember a count."""
        if len(self._counted) >= MOST:
            self._counted.clear()
        self._counted[queue_id] = now, waiting
