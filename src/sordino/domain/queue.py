"""The queues of a bucket."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypedDict

from sordino.domain.callback import NotifyConfig

MAX_QUEUE_NAME = 128
DEFAULT_QUEUE_NAME = "queue-speech"

MAX_LIMIT = 10**9
"""What the limits of a queue may be at most."""


class QueueState(StrEnum):
    """Whether the queue hands out work."""

    ACTIVE = "Active"
    PAUSED = "Paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """What a user sets of a queue, all of it at a time."""

    name: str
    state: QueueState = QueueState.ACTIVE
    notify: NotifyConfig = field(default_factory=NotifyConfig)


class NewLimits(TypedDict, total=False):
    """Limits of a queue to set, and its weight; None: the server's setting."""

    max_size: int | None
    max_concurrent: int | None
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A CI queue: jobs of one bucket wait in it.

    Attributes:
        is_default: whether jobs that name no queue wait here; one queue of a bucket is, as long as its speech service
            is open.
        max_size: most jobs that may wait, 1 to ``MAX_LIMIT``; None: the server's setting.
        max_concurrent: most jobs that may run at a time, 1 to ``MAX_LIMIT``; None: the server's setting.
        weight: its share of the workers beside other queues of its account, 1 to ``release.MAX_WEIGHT``.
    """

    queue_id: str
    bucket: str
    settings: QueueSettings
    created_at: datetime
    updated_at: datetime
    is_default: bool = True
    max_size: int | None = None
    max_concurrent: int | None = None
    weight: int = 1
