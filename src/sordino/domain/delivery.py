"""Deliveries: the end of a job on its way to a URL or a message queue, and every try at it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sordino.domain.callback import CallbackTarget
from sordino.domain.job import Job


class DeliveryState(StrEnum):
    """How far a delivery is."""

    WAITING = "Waiting"
    DELIVERED = "Delivered"
    GIVEN_UP = "GivenUp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The end of one job, for one receiver.

    Attributes:
        created_at: when the job ended, or when it was asked to be told again.
        next_at: when the next try is due; None unless it waits.
        attempts: how many tries have begun.
    """

    delivery_id: str
    job_id: str
    target: CallbackTarget
    created_at: datetime
    state: DeliveryState = DeliveryState.WAITING
    next_at: datetime | None = None
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try. Without status and error it is under way, or its end was lost with the process that made it.

    Attributes:
        number: from 1.
        at: when it began.
        status: of the HTTP reply; that of ``CONFIRMED`` from a message queue.
        error: why there was none.
        milliseconds: how long it took.
    """

    number: int
    at: datetime
    status: int | None = None
    error: str | None = None
    milliseconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DueDelivery:
    """A delivery taken for one try, whose number is ``delivery.attempts``, and the job it tells of."""

    delivery: Delivery
    job: Job

    @property
    def account(self) -> str:
        """APPID of the job's bucket."""
        return self.job.bucket.rpartition("-")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedDelivery:
    """A delivery and its tries, the first one first."""

    delivery: Delivery
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """What one try sends.

    Attributes:
        delivery_id: the same in all tries.
        job_id: of the job that has ended.
        state: how it has ended.
        account: APPID of the job's bucket.
        headers: of HTTP, all but those that say where it goes and how long it is.
    """

    target: CallbackTarget
    delivery_id: str
    job_id: str
    state: str
    account: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the receiver answered.

    Attributes:
        status: of HTTP.
        retry_after: seconds that it asks to wait before the next try.
    """

    status: int
    retry_after: float | None = None

    @property
    def accepted(self) -> bool:
        """Whether the receiver has it now."""
        return 200 <= self.status < 300


CONFIRMED = Receipt(status=200)
"""What a message queue answers that has the message now."""
