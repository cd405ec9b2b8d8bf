"""The speech queue of a bucket."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class QueueState(StrEnum):
    """Whether the queue hands out work."""

    ACTIVE = "Active"
    PAUSED = "Paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A CI queue: jobs of one bucket wait in it."""

    queue_id: str
    bucket: str
    name: str
    created_at: datetime
    updated_at: datetime
    state: QueueState = QueueState.ACTIVE
