"""The audit log: what it is told is kept in memory for a moment and written many entries at a time.

No call waits for it. A process that is killed loses what it was told in its last half second; one that stops writes
all. While the database is away entries are kept, so many at most. Refusals of those whom nobody knows are told by
example, so that whoever floods the service does not fill the disk with what it says about him.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import structlog

from sordino.cam.limits import MINUTE, network
from sordino.chore import Expiry
from sordino.domain.audit import AuditEntry, AuditSearch, NumberedEntry
from sordino.domain.ports import Clock, Database, DatabaseUnavailableError

log = structlog.get_logger(__name__)

PAUSE_SECONDS: Final = 0.5
"""Between two writes."""

BATCH: Final = 1000
"""Entries that one statement writes."""

MOST: Final = 100_000
"""Entries that are kept while they cannot be written; then the oldest go."""

EXAMPLES: Final = 10
"""Refusals of strangers at one address that are written a minute."""

PLACES: Final = 20
"""Addresses that are told apart so a minute; all others count as one more."""

MOST_KEYS: Final = 20_000
"""Keys of which it is remembered when their use was noted."""

SWEEP_BATCH: Final = 5000


@dataclass(slots=True)
class _Place:
    """What strangers at an address were refused in a minute: how often, beyond what was written, and the last of it."""

    written: int = 0
    more: int = 0
    last: AuditEntry | None = None


@dataclass(slots=True)
class _Strangers:
    """Those of a minute."""

    _until: float = 0.0
    _places: dict[str, _Place] = field(default_factory=dict)

    def tell(self, entry: AuditEntry, now: float) -> Iterator[AuditEntry]:
        """What of it is to be written, after what was left of the minute before."""
        yield from self.end(now)
        place = network(entry.source)
        if place not in self._places and len(self._places) >= PLACES:
            place = "elsewhere"
        seen = self._places.setdefault(place, _Place())
        if seen.written < EXAMPLES:
            seen.written += 1
            yield entry
        else:
            seen.more += 1
            seen.last = entry

    def end(self, now: float) -> Sequence[AuditEntry]:
        """When the minute is over: how many more there were at each address, as the last of them."""
        if now < self._until:
            return ()
        ended, self._places, self._until = self._places, {}, now + MINUTE
        return [_sum(seen.last, seen.more) for seen in ended.values() if seen.last is not None]


def _sum(last: AuditEntry, more: int) -> AuditEntry:
    alike = f"{more} refusals within a minute, of which this was the last, are told by this entry alone"
    return replace(last, reason=f"{last.reason} ({alike})" if last.reason else alike)


@dataclass(slots=True)
class _Uses:
    """Keys whose use is to be noted, and when that of others was."""

    _new: set[str] = field(default_factory=set)
    _noted: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def add(self, secret_id: str, now: float) -> None:
        if now < self._noted.get(secret_id, now):
            return
        self._noted[secret_id] = now + MINUTE
        self._noted.move_to_end(secret_id)
        if len(self._noted) > MOST_KEYS:
            self._noted.popitem(last=False)
        self._new.add(secret_id)

    def take(self) -> Sequence[str]:
        taken, self._new = sorted(self._new), set()
        return taken

    def give_back(self, secret_ids: Sequence[str]) -> None:
        self._new.update(secret_ids)


@dataclass(slots=True)
class Audit:
    """What one process has to tell.

    Attributes:
        monotonic: a clock that only goes forward, seconds.
    """

    database: Database
    clock: Clock
    monotonic: Callable[[], float]
    _entries: deque[AuditEntry] = field(default_factory=deque)
    _dropped: int = 0
    _strangers: _Strangers = field(default_factory=_Strangers)
    _uses: _Uses = field(default_factory=_Uses)

    def note(self, entry: AuditEntry) -> None:
        """Tell of a call, at once."""
        self._entries.append(entry)
        self._shed()

    def note_by_example(self, entry: AuditEntry) -> None:
        """Tell of a refusal that its caller may repeat at no cost: of many a few are written, and their number."""
        for told in self._strangers.tell(entry, self.monotonic()):
            self.note(told)

    def used(self, secret_id: str) -> None:
        """Tell that a permanent key signed, itself or through a temporary one; noted once a minute."""
        self._uses.add(secret_id, self.monotonic())

    async def run(self) -> None:
        """Write twice a second until cancelled, and then once more."""
        try:
            while True:
                await asyncio.sleep(PAUSE_SECONDS)
                for told in self._strangers.end(self.monotonic()):
                    self.note(told)
                await self.flush()
        finally:
            for told in self._strangers.end(float("inf")):
                self.note(told)
            await self.flush()

    async def flush(self) -> None:
        """Write what there is; while the database is away it stays."""
        try:
            while self._entries:
                await self._write()
            await self._note_uses()
        except DatabaseUnavailableError as error:
            log.warning("the audit log waits for the database", entries=len(self._entries), error=str(error))
        except Exception:
            # Calls go on; what cannot be written must not stand in the way of what can.
            log.exception("the audit log could not be written")

    async def _write(self) -> None:
        batch = [self._entries.popleft() for _ in range(min(BATCH, len(self._entries)))]
        try:
            async with self.database.statement() as tx:
                await tx.audit.add(batch)
        except (DatabaseUnavailableError, asyncio.CancelledError):
            self._entries.extendleft(reversed(batch))
            self._shed()
            raise
        if self._dropped:
            log.error("entries of the audit log were lost while the database was away", entries=self._dropped)
            self._dropped = 0

    async def _note_uses(self) -> None:
        if used := self._uses.take():
            try:
                async with self.database.statement() as tx:
                    await tx.users.note_use(used, self.clock.now())
            except DatabaseUnavailableError:
                self._uses.give_back(used)
                raise

    def _shed(self) -> None:
        while len(self._entries) > MOST:
            self._entries.popleft()
            self._dropped += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReader:
    """The log as operators read it."""

    database: Database

    async def search(self, search: AuditSearch) -> Sequence[NumberedEntry]:
        """What is asked for, the newest first; what happened within the last second may not be there yet."""
        async with self.database.reading() as tx:
            return await tx.audit.search(search)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRetention(Expiry):
    """Removes old entries; ``keep`` says how long one is kept."""

    name = "removal of old audit entries"

    async def _remove(self, before: datetime) -> int:
        async with self.database.statement() as tx:
            return await tx.audit.sweep(before, SWEEP_BATCH)
