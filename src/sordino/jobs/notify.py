"""Notify: takes the deliveries that are due and sends them, many at a time, until the receivers have them."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

import structlog

from sordino.cancelling import mind_cancelling
from sordino.domain.callback import CallbackTarget
from sordino.domain.delivery import Callback, Delivery, DeliveryState, DueDelivery, Receipt
from sordino.domain.job import Job
from sordino.domain.ports import CallbackFailedError, Clock, Database, DatabaseUnavailableError, Sender

log = structlog.get_logger(__name__)

CONCURRENCY: Final = 16
"""Tries under way in one process."""

PER_HOST: Final = 4
"""Tries under way to one host: a slow receiver cannot take all places."""

PER_ACCOUNT: Final = CONCURRENCY // 2
"""Tries of one account under way in one process, while another account has a delivery that is due.

Half: what turns give each of two accounts anyway. The bound is for moments in which the other has less due than that:
the places that it leaves free are still free when more of it comes soon after. With nobody else in a look an account
gets all places, and who comes then waits until the first of these tries ends.
"""

POLL_SECONDS: Final = 1.0
OUTAGE_SECONDS: Final = 5.0
FAREWELL_SECONDS: Final = 6.0

LEASE_SLACK: Final = timedelta(seconds=15)
"""How much longer than its time limit a try may take to be noted, before it counts as lost and is made again."""

FIRST_PAUSE: Final = 4.0
LONGEST_PAUSE: Final = 512.0
LEAST_PAUSE: Final = 1.0
LONGEST_WISH: Final = 3600.0
"""Seconds that a receiver can ask for at most with Retry-After."""

MAX_REASON: Final = 500
"""Characters that are kept of why a try failed."""


def pause(attempts: int, wish: float | None = None) -> float:
    """Seconds to wait after a failed try: at random up to a bound that doubles with each, so that tries spread out.

    Args:
        attempts: tries so far, from 1.
        wish: seconds that the receiver asked for; not less than that, then, but at most an hour.
    """
    # Ten doublings are more than the longest pause needs.
    bound = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempts - 1, 10))
    drawn = random.uniform(LEAST_PAUSE, bound)  # noqa: S311 - it guards nothing
    return drawn if wish is None else max(drawn, min(wish, LONGEST_WISH))


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """Sends deliveries until cancelled; any number of processes may do it side by side.

    A try begins by taking the delivery for as long as a try may last. A process that is killed during one leaves it
    taken, and once that time is over another makes the next: every delivery arrives at least once.

    Attributes:
        sender: the way to the receivers.
        render: makes the request of a try.
        timeout: seconds a try may take.
        retry_for: how long after the job's end new tries begin.
    """

    database: Database
    clock: Clock
    sender: Sender
    render: Callable[[Job, Delivery, datetime], Callback]
    timeout: float
    retry_for: timedelta
    _bell: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _tries: dict[asyncio.Task[None], str] = field(default_factory=dict, init=False)

    def poke(self) -> None:
        """Look for due deliveries at once."""
        self._bell.set()

    async def run(self) -> None:
        """Send until cancelled; tries under way are then given a while to end."""
        try:
            while True:
                mind_cancelling()
                await self._look()
        finally:
            await self._farewell()

    async def _farewell(self) -> None:
        """Wait for the tries under way; those that take too long count as lost, and are made again by another."""
        if self._tries:
            _, late = await asyncio.wait(self._tries, timeout=FAREWELL_SECONDS)
            for attempt in late:
                attempt.cancel()

    async def _look(self) -> None:
        """Begin what is due, and wait until something may be."""
        self._bell.clear()
        seconds = POLL_SECONDS
        try:
            await self.begin_due()
        except DatabaseUnavailableError as error:
            log.warning("cannot look for callbacks to send", error=str(error))
            seconds = OUTAGE_SECONDS
        except Exception:
            # It would end all callbacks, and the next look may do.
            log.exception("looking for callbacks broke")
            seconds = OUTAGE_SECONDS
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._bell.wait()

    async def begin_due(self) -> int:
        """Begin a try of as many due deliveries as there is room for; how many."""
        room = CONCURRENCY - len(self._tries)
        if room <= 0:
            return 0
        now = self.clock.now()
        until = now + timedelta(seconds=self.timeout) + LEASE_SLACK
        async with self.database.transaction() as tx:
            due = await tx.deliveries.take(
                now,
                until=until,
                limit=room,
                per_host=PER_HOST,
                per_account=PER_ACCOUNT,
                held=Counter(self._tries.values()),
            )
        for it in due:
            attempt = asyncio.create_task(self._try(it))
            self._tries[attempt] = it.account
            attempt.add_done_callback(self._ended)
        return len(due)

    def _ended(self, attempt: asyncio.Task[None]) -> None:
        del self._tries[attempt]
        self.poke()

    async def _try(self, due: DueDelivery) -> None:
        delivery = due.delivery
        with structlog.contextvars.bound_contextvars(
            job_id=delivery.job_id, delivery_id=delivery.delivery_id, attempt=delivery.attempts
        ):
            began = time.monotonic()
            outcome = await self._send(due)
            try:
                await self._settle(delivery, outcome, round((time.monotonic() - began) * 1000))
            except DatabaseUnavailableError as error:
                # It counts as lost soon, and is made again.
                log.warning("what became of a callback cannot be noted", error=str(error))

    async def _send(self, due: DueDelivery) -> Receipt | str:
        """The reply, or why there is none."""
        try:
            return await self.sender.send(self.render(due.job, due.delivery, self.clock.now()))
        except CallbackFailedError as failure:
            return _legible(str(failure))
        except Exception:
            # One delivery that breaks the server must not keep its place for ever.
            log.exception("callback broke")
            return "the server failed; its log tells why"

    async def _settle(self, delivery: Delivery, outcome: Receipt | str, milliseconds: int) -> None:
        state, next_at = self._verdict(delivery, outcome)
        async with self.database.transaction() as tx:
            ours = await tx.deliveries.settle(
                delivery, outcome, milliseconds=milliseconds, state=state, next_at=next_at
            )
        told = {"status": outcome.status} if isinstance(outcome, Receipt) else {"error": outcome}
        level = log.info if state is DeliveryState.DELIVERED else log.warning
        level(
            "callback",
            receiver=_receiver(delivery.target),
            state=state.value,
            milliseconds=milliseconds,
            in_time=ours,
            **told,
        )

    def _verdict(self, delivery: Delivery, outcome: Receipt | str) -> tuple[DeliveryState, datetime | None]:
        """What becomes of the delivery; the last try is at the end of its time, however long the pause before."""
        if isinstance(outcome, Receipt) and outcome.accepted:
            return DeliveryState.DELIVERED, None
        now, deadline = self.clock.now(), delivery.created_at + self.retry_for
        if now >= deadline:
            return DeliveryState.GIVEN_UP, None
        wish = outcome.retry_after if isinstance(outcome, Receipt) else None
        return DeliveryState.WAITING, min(deadline, now + timedelta(seconds=pause(delivery.attempts, wish)))


def _legible(reason: str) -> str:
    """What can be noted, and shown as XML: a receiver may have chosen the characters."""
    return "".join(it if it.isprintable() else "?" for it in reason[:MAX_REASON])


def _receiver(target: CallbackTarget) -> str:
    """Not the whole URL: its path and query may be somebody's secret."""
    return f"{target.host}/{target.mq.mode}/{target.mq.name}" if target.mq else urlsplit(target.url or "").netloc
