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
        """How many jobs waited in the queue at most ``FRESH`` before ``now``, with those added since; None: unknown."""
        counted = self._counted.get(queue_id)
        if counted is None or not timedelta(0) <= now - counted[0] <= FRESH:
            return None
        return counted[1]

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
