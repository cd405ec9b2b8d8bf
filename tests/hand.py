"""A clock for tests."""

from dataclasses import dataclass
from datetime import datetime

from rows import NOW


@dataclass
class Hand:
    """A clock whose hand is moved by the test."""

    at: datetime = NOW

    def now(self) -> datetime:
        """Where it stands."""
        return self.at
