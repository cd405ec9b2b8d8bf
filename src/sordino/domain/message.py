"""Message queues and topics of our own, as CMQ has them: what they hold, and their limits."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

T = TypeVar("T")

MESSAGE_NAME: Final = re.compile(r"[A-Za-z0-9_.\-]{1,128}")
"""Of queues, topics and subscriptions: whatever MqName may be."""

MAX_QUEUES: Final = 1000
MAX_TOPICS: Final = 1000
MAX_SUBSCRIPTIONS: Final = 100
"""Of an account, of an account, of a topic."""

MAX_BATCH: Final = 16
MAX_WAIT: Final = 30
"""Seconds that a receiver may wait."""

MAX_DELAY: Final = 3600
MAX_MESSAGE_BYTES: Final = 65536
MAX_MESSAGES: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueAttributes:
    """What the owner of a queue chooses.

    Attributes:
        polling_wait: seconds that a receiver who does not say waits for a message, 0-30.
        visibility: seconds that a received message is hidden from others, 1-43200.
        max_size: bytes of a message, 1024-65536.
        retention: seconds that a message is kept, 60-1296000.
        max_messages: messages that the queue may hold; several API processes may together exceed it.
    """

    polling_wait: int = 0
    visibility: int = 30
    max_size: int = MAX_MESSAGE_BYTES
    retention: int = 345_600
    max_messages: int = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageQueue:
    """A queue of an account, the one of its name there."""

    queue_id: str
    account: str
    name: str
    attributes: QueueAttributes
    created_at: datetime
    updated_at: datetime

    def oldest(self, at: datetime) -> datetime:
        """Messages sent by then are kept no longer at ``at``."""
        return at - timedelta(seconds=self.attributes.retention)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Which receipt of which message; it is good until the next one."""

    number: int
    dequeues: int

    def __str__(self) -> str:
        return f"{self.number}.{self.dequeues}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message as it is received.

    Attributes:
        visible_at: when others may receive it, unless it is deleted.
    """

    receipt: Receipt
    body: str
    sent_at: datetime
    first_received_at: datetime
    visible_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCounts:
    """How many messages wait, are hidden since somebody received them, and were sent with a delay that lasts.

    ``first_sent_at`` is that of the oldest; None when there is none.
    """

    active: int
    hidden: int
    delayed: int
    first_sent_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic of an account, the one of its name there; ``max_size`` is in bytes of a message."""

    topic_id: str
    account: str
    name: str
    max_size: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A queue that gets what is published to a topic."""

    subscription_id: str
    topic_id: str
    name: str
    queue_id: str
    queue_name: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A page of a list: names that contain ``word``, from ``offset``, at most ``limit``."""

    word: str = ""
    offset: int = 0
    limit: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Generic[T]):
    """What a search found on its page, and how much on all of them."""

    items: tuple[T, ...]
    total: int
