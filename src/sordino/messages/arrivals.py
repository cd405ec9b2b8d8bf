"""Waiting for messages: whoever waits holds no connection to the database, and is woken in turn."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from sordino.chore import repeat
from sordino.domain.ports import Clock, Database

LOOK_SECONDS: Final = 0.5
"""How often a process looks for messages that others sent, or that are visible again, while somebody waits."""

FORGET_SECONDS: Final = 60.0
FORGET_LIMIT: Final = 1000
"""How often messages are deleted that are kept no longer, and how many at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Those who wait in this process, by queue, and the loop that looks for them."""

    database: Database
    clock: Clock
    _waiting: dict[str, deque[asyncio.Event]] = field(default_factory=dict, init=False)
    _stopped: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def wait(self, queue_id: str, seconds: float) -> bool:
        """Wait in turn until there may be a message; False when there is none for ``seconds``, or we stop."""
        if self._stopped.is_set() or seconds <= 0:
            return False
        bell, line = asyncio.Event(), self._waiting.setdefault(queue_id, deque())
        line.append(bell)
        with suppress(TimeoutError):
            try:
                async with asyncio.timeout(seconds):
                    await bell.wait()
            finally:
                self._leave(queue_id, line, bell)
        return bell.is_set() and not self._stopped.is_set()

    def _leave(self, queue_id: str, line: deque[asyncio.Event], bell: asyncio.Event) -> None:
        if bell in line:
            line.remove(bell)
        if not line and self._waiting.get(queue_id) is line:
            del self._waiting[queue_id]

    def ring(self, arrived: Mapping[str, int]) -> None:
        """Wake as many of those who wait for a queue as it has messages."""
        for queue_id, number in arrived.items():
            line = self._waiting.get(queue_id, deque())
            for _ in range(min(number, len(line))):
                line.popleft().set()

    def stop(self) -> None:
        """Send everybody away, now and later: the server stops."""
        self._stopped.set()
        self.ring({queue_id: len(line) for queue_id, line in self._waiting.items()})

    async def run(self) -> None:
        """Look until cancelled."""
        forget_at = time.monotonic()

        async def chore() -> int:
            nonlocal forget_at
            await self.look()
            if time.monotonic() < forget_at:
                return 0
            forgotten = await self.forget()
            forget_at = time.monotonic() + FORGET_SECONDS
            return forgotten

        await repeat("look for messages", chore, LOOK_SECONDS)

    async def look(self) -> None:
        """Wake those for whom there is a message: one question for all of them."""
        wanted = {queue_id: len(line) for queue_id, line in self._waiting.items() if line}
        if wanted:
            async with self.database.reading() as tx:
                self.ring(await tx.message_queues.ready(wanted, self.clock.now()))

    async def forget(self) -> int:
        """Delete what is kept no longer; how many messages."""
        gone, forgotten = FORGET_LIMIT, 0
        while gone == FORGET_LIMIT:
            async with self.database.transaction() as tx:
                gone = await tx.message_queues.forget(self.clock.now(), FORGET_LIMIT)
            forgotten += gone
        return forgotten
