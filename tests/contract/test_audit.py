"""The audit log over real PostgreSQL: what is written, found and removed, and what happens while there is none."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from plans import plan_of
from rows import NOW, ROOT, execute
from sordino import chore
from sordino.adapters.clock import SystemClock
from sordino.adapters.postgres.audit import MOST_CHARACTERS
from sordino.adapters.postgres.database import PostgresDatabase, PostgresTransaction
from sordino.cam import audit as auditing
from sordino.cam.audit import Audit, AuditReader, AuditRetention
from sordino.domain.audit import AuditEntry, AuditSearch
from sordino.domain.ports import DatabaseUnavailableError

SECOND = timedelta(seconds=1)
ENTRY = AuditEntry(
    at=NOW,
    appid="1250000000",
    caller="uin/100000000001",
    secret_id="AKIDroot",
    source="192.0.2.1",
    request_id="r1",
    action="cos:PutObject",
    resource="qcs::cos:ap-guangzhou:uid/1250000000:test-1250000000/a.wav",
    owner="1250000000",
    allowed=True,
    code="",
    reason="he is the account's root",
)
STRANGER = replace(
    ENTRY, appid=None, caller="unknown", secret_id="AKIDnobody", owner=None, allowed=False, code="AccessDenied"
)


async def add(database: PostgresDatabase, *entries: AuditEntry) -> None:
    """Write entries."""
    async with database.statement() as tx:
        await tx.audit.add(entries)


async def found(database: PostgresDatabase, **asked: Any) -> Sequence[AuditEntry]:
    """The entries of a search."""
    return [it.entry for it in await AuditReader(database=database).search(AuditSearch(**asked))]


class TestLog:
    """The repository."""

    async def test_entries_come_back_as_they_were(self, database: PostgresDatabase) -> None:
        """Each field is kept, also where there is none, and the newest comes first."""
        bare = replace(ENTRY, appid=None, secret_id=None, owner=None, allowed=False, code="SlowDown", reason="")
        await add(database, ENTRY, bare)
        assert await found(database) == [bare, ENTRY]

    async def test_nothing_to_write(self, database: PostgresDatabase) -> None:
        """No entries are no row."""
        await add(database)
        assert await found(database) == []

    @pytest.mark.parametrize(
        ("asked", "kept"),
        [
            pytest.param({"caller": "uin/2"}, [2], id="caller"),
            pytest.param({"secret_id": "AKID3"}, [3], id="key"),
            pytest.param({"source": "2001:db8::4"}, [4], id="source"),
            pytest.param({"action": "ci:CreateAsrJobs"}, [5], id="action"),
            pytest.param({"request_id": "r6"}, [6], id="request"),
            pytest.param({"allowed": False}, [7], id="denied"),
            pytest.param({"allowed": True, "since": NOW + 5 * SECOND}, [6, 5], id="allowed since"),
            pytest.param({"since": NOW + 6 * SECOND}, [7, 6], id="since"),
            pytest.param({"until": NOW + 2 * SECOND}, [1, 0], id="until"),
            pytest.param({"account": "1250000009"}, [7, 1, 0], id="account of caller or owner"),
            pytest.param({"account": "1250000009", "allowed": True, "size": 1}, [1], id="account and more"),
            pytest.param({"size": 2}, [7, 6], id="page"),
        ],
    )
    async def test_search(self, database: PostgresDatabase, asked: dict[str, Any], kept: list[int]) -> None:
        """Each condition holds, alone and with others."""
        entries = [replace(ENTRY, at=NOW + number * SECOND) for number in range(8)]
        entries[0] = replace(entries[0], owner="1250000009")
        entries[1] = replace(entries[1], appid="1250000009", owner="1250000009")
        entries[2] = replace(entries[2], caller="uin/2")
        entries[3] = replace(entries[3], secret_id="AKID3")
        entries[4] = replace(entries[4], source="2001:db8::4")
        entries[5] = replace(entries[5], action="ci:CreateAsrJobs")
        entries[6] = replace(entries[6], request_id="r6")
        entries[7] = replace(entries[7], allowed=False, appid="1250000009")
        await add(database, *entries)
        assert [entries.index(it) for it in await found(database, **asked)] == kept

    @pytest.mark.parametrize("account", [None, "1250000000"])
    async def test_pages(self, database: PostgresDatabase, account: str | None) -> None:
        """By the number of the last entry of a page the next is asked for, until there is none."""
        entries = [replace(ENTRY, request_id=f"r{number}") for number in range(7)]
        await add(database, *entries)
        reader, before, pages = AuditReader(database=database), None, []
        while page := await reader.search(AuditSearch(account=account, before=before, size=3)):
            before = page[-1].number
            pages.append([it.entry.request_id for it in page])
        assert pages == [["r6", "r5", "r4"], ["r3", "r2", "r1"], ["r0"]]

    async def test_what_strangers_send(self, database: PostgresDatabase) -> None:
        """NUL, half characters and endless names are kept as far as they can be."""
        odd = replace(ENTRY, secret_id="AKID\0\udc80", resource="a" * 100_000, caller="'; DROP TABLE audit; --")
        await add(database, odd)
        kept = replace(odd, secret_id="AKID\N{REPLACEMENT CHARACTER}?", resource="a" * MOST_CHARACTERS)
        assert await found(database, caller=odd.caller) == [kept]

    async def test_old_entries_go(self, database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
        """Entries go after so many days, in batches, and never where they are kept for ever."""
        monkeypatch.setattr(auditing, "SWEEP_BATCH", 2)
        monkeypatch.setattr(chore, "REST_SECONDS", 0.0)
        now = SystemClock().now()
        old = [replace(ENTRY, at=now - timedelta(days=91)) for _ in range(5)]
        young = replace(ENTRY, at=now - timedelta(days=89))
        await add(database, *old, young)
        for_ever = AuditRetention(database=database, clock=SystemClock(), keep=None)
        assert await for_ever() == 0
        assert await replace(for_ever, keep=timedelta(days=90))() == 5
        assert await found(database) == [young]

    @pytest.mark.parametrize(
        ("asked", "index"),
        [
            pytest.param({}, "audit_pkey", id="newest"),
            pytest.param({"account": "1250000007"}, "audit_by_caller", id="account"),
            pytest.param({"account": "1250000007", "allowed": False}, "audit_by_owner", id="denied of account"),
            pytest.param({"secret_id": "AKID7"}, "audit_by_key", id="key"),
            pytest.param({"request_id": "r7"}, "audit_by_request", id="request"),
        ],
    )
    async def test_a_long_log_is_not_read(self, database: PostgresDatabase, asked: dict[str, Any], index: str) -> None:
        """The newest entries, of all or of an account, are found by an index, however long the log is."""
        await execute(
            database,
            "INSERT INTO audit (at, appid, caller, secret_id, source, request_id, action, resource, owner, decision)"
            " SELECT now(), 1250000000 + mod(n, 2000), 'c', 'AKID' || mod(n, 2000), 's', 'r' || n, 'a', 'x',"
            " 1250000000 + mod(n, 2000),"
            " CASE mod(n, 9) WHEN 0 THEN 'deny' ELSE 'allow' END FROM generate_series(1, 20000) AS n",
        )
        await execute(database, "ANALYZE audit")
        plan = await plan_of(database, lambda tx: tx.audit.search(AuditSearch(**asked, size=20)))
        assert index in plan
        assert "Seq Scan" not in plan

    async def test_a_sweep_reads_what_it_removes(self, database: PostgresDatabase) -> None:
        """A batch is found by indexes alone, also when nearly all of a long log is too old."""
        await execute(
            database,
            "INSERT INTO audit (at, caller, source, request_id, action, resource, decision)"
            " SELECT now() - make_interval(secs => n), 'c', 's', 'r', 'a', 'x', 'allow'"
            " FROM generate_series(1, 50000) AS n",
        )
        await execute(database, "ANALYZE audit")
        (row,) = await execute(database, "SELECT now() AS now")
        plan = await plan_of(database, lambda tx: tx.audit.sweep(row["now"], 500))
        assert "audit_by_time" in plan
        assert "Seq Scan" not in plan


@dataclass
class Away:
    """A database that can be away."""

    database: PostgresDatabase
    away: bool = False
    writes: list[int] = field(default_factory=list)

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[PostgresTransaction]:
        """As the database's, if it is there."""
        if self.away:
            raise DatabaseUnavailableError("gone")
        async with self.database.statement() as tx:
            self.writes.append(1)
            yield tx


@dataclass
class Ticks:
    """A clock that goes forward when it is told to."""

    time: float = 1000.0

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.time


@dataclass
class Log:
    """The audit log of a process, over a database that can be away."""

    audit: Audit
    away: Away
    ticks: Ticks


@pytest.fixture
def log(database: PostgresDatabase) -> Log:
    """One."""
    away, ticks = Away(database), Ticks()
    return Log(Audit(database=away, clock=SystemClock(), monotonic=ticks), away, ticks)  # type: ignore[arg-type]


@asynccontextmanager
async def running(audit: Audit) -> AsyncIterator[None]:
    """Let it run beside the block, then end it as the service does."""
    task = asyncio.create_task(audit.run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@contextmanager
def pause(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Any:
    """Another pause between writes."""
    with monkeypatch.context() as patch:
        patch.setattr(auditing, "PAUSE_SECONDS", seconds)
        yield


class TestWriting:
    """How a process writes."""

    async def test_in_one_go(self, database: PostgresDatabase, log: Log) -> None:
        """What many calls told is one statement, in order."""
        entries = [replace(ENTRY, request_id=f"r{number}") for number in range(500)]
        for entry in entries:
            log.audit.note(entry)
        await log.audit.flush()
        assert log.away.writes == [1]
        assert await found(database, size=1000) == entries[::-1]
        await log.audit.flush()
        assert len(await found(database, size=1000)) == 500

    async def test_soon_and_at_the_end(
        self, database: PostgresDatabase, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Entries are written in a moment, and what is left when the service stops."""
        with pause(monkeypatch, 0.01):
            async with running(log.audit):
                log.audit.note(ENTRY)
                async with asyncio.timeout(20):
                    while not await found(database):
                        await asyncio.sleep(0.01)
        with pause(monkeypatch, 1000):
            async with running(log.audit):
                log.audit.note(replace(ENTRY, request_id="last"))
                log.audit.note_by_example(STRANGER)
        assert [it.request_id for it in await found(database)] == ["r1", "last", "r1"]

    async def test_while_the_database_is_away(self, database: PostgresDatabase, log: Log) -> None:
        """Entries stay, and are written in order once it is back."""
        log.away.away = True
        for number in range(3):
            log.audit.note(replace(ENTRY, request_id=f"r{number}"))
            log.audit.used("AKIDroot")
            await log.audit.flush()
        assert await found(database) == []
        log.away.away = False
        await log.audit.flush()
        assert [it.request_id for it in await found(database)] == ["r2", "r1", "r0"]

    async def test_the_oldest_are_lost_first(
        self, database: PostgresDatabase, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No more entries are kept than may be, and the log tells how many were lost."""
        monkeypatch.setattr(auditing, "MOST", 4)
        log.away.away = True
        for number in range(10):
            log.audit.note(replace(ENTRY, request_id=f"r{number}"))
            await log.audit.flush()
        log.away.away = False
        told: list[dict[str, Any]] = []
        monkeypatch.setattr(auditing.log, "error", lambda _, **more: told.append(more))
        await log.audit.flush()
        assert [it.request_id for it in await found(database)] == ["r9", "r8", "r7", "r6"]
        assert told == [{"entries": 6}]

    async def test_a_stop_in_the_middle_of_a_write(self, database: PostgresDatabase, log: Log) -> None:
        """What a write held that a stop cut off is written by the last one."""
        async with running(log.audit):
            log.audit.note(ENTRY)
            async with database.transaction() as tx:
                await tx.connection.execute("LOCK TABLE audit IN ACCESS EXCLUSIVE MODE")
                write = asyncio.create_task(log.audit.flush())
                await asyncio.sleep(0.2)
                write.cancel()
                await asyncio.wait([write])
        assert await found(database) == [ENTRY]

    async def test_what_cannot_be_written_stops_nothing(
        self, database: PostgresDatabase, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A batch that breaks is told in the service's log; later ones are written."""
        log.audit.note(replace(ENTRY, at=None))  # type: ignore[arg-type]
        errors: list[str] = []
        monkeypatch.setattr(auditing.log, "exception", errors.append)
        await log.audit.flush()
        log.audit.note(ENTRY)
        await log.audit.flush()
        assert errors == ["the audit log could not be written"]
        assert await found(database) == [ENTRY]


class TestFloods:
    """Refusals that cost nothing to provoke."""

    async def told(self, database: PostgresDatabase, log: Log) -> Sequence[AuditEntry]:
        """What of the minute, which is now over, is in the log, the oldest first."""
        log.ticks.time += 61
        async with running(log.audit):
            pass
        return (await found(database, size=10_000))[::-1]

    async def test_few_are_all_told(self, database: PostgresDatabase, log: Log) -> None:
        """As long as there are few, each is."""
        for _ in range(auditing.EXAMPLES):
            log.audit.note_by_example(STRANGER)
        assert await self.told(database, log) == [STRANGER] * auditing.EXAMPLES

    async def test_many_are_told_by_example(self, database: PostgresDatabase, log: Log) -> None:
        """Of a flood from one address ten entries are written, and one that says how many more there were."""
        for number in range(5000):
            log.audit.note_by_example(replace(STRANGER, request_id=f"r{number}"))
        told = await self.told(database, log)
        assert [it.request_id for it in told] == [*(f"r{number}" for number in range(10)), "r4999"]
        assert "4990 refusals" in told[-1].reason

    async def test_from_many_addresses(self, database: PostgresDatabase, log: Log) -> None:
        """Of a flood from everywhere no more is written than of so many addresses, and nobody is left uncounted."""
        for number in range(3000):
            source = f"198.51.{number // 250}.{number % 250}"
            for _ in range(2):
                log.audit.note_by_example(replace(STRANGER, source=source))
        told = await self.told(database, log)
        assert len(told) <= (auditing.PLACES + 1) * (auditing.EXAMPLES + 1)
        assert "5950 refusals" in told[-1].reason  # 6000, without 2 of each of 20 addresses and 10 of all others

    async def test_an_ipv6_client_is_one(self, database: PostgresDatabase, log: Log) -> None:
        """The addresses of one client's network count together."""
        for number in range(100):
            log.audit.note_by_example(replace(STRANGER, source=f"2001:db8:1:2::{number:x}"))
        assert len(await self.told(database, log)) == auditing.EXAMPLES + 1

    async def test_each_minute_anew(self, database: PostgresDatabase, log: Log) -> None:
        """In the next minute there are examples again."""
        for _ in range(2):
            for _ in range(auditing.EXAMPLES):
                log.audit.note_by_example(STRANGER)
            log.ticks.time += 61
        assert await self.told(database, log) == [STRANGER] * 2 * auditing.EXAMPLES


class TestUses:
    """When keys were used."""

    async def used_at(self, database: PostgresDatabase) -> datetime | None:
        """When the root's key was."""
        (row,) = await execute(database, "SELECT used_at FROM access_keys")
        return row["used_at"]  # type: ignore[return-value]

    async def test_a_use_is_noted(self, database: PostgresDatabase, log: Log) -> None:
        """Who wants to disable a key sees when it was used last."""
        before = SystemClock().now()
        log.audit.used(ROOT.secret_id)
        await log.audit.flush()
        used = await self.used_at(database)
        assert used is not None
        assert used >= before

    async def test_once_a_minute(self, database: PostgresDatabase, log: Log) -> None:
        """A key that is always used is noted once a minute."""
        log.audit.used(ROOT.secret_id)
        await log.audit.flush()
        first = await self.used_at(database)
        log.ticks.time += 59
        log.audit.used(ROOT.secret_id)
        await log.audit.flush()
        assert await self.used_at(database) == first
        log.ticks.time += 1
        log.audit.used(ROOT.secret_id)
        await log.audit.flush()
        again = await self.used_at(database)
        assert again is not None
        assert first is not None
        assert again > first

    async def test_while_the_database_is_away(self, database: PostgresDatabase, log: Log) -> None:
        """A use is noted once it is back."""
        log.away.away = True
        log.audit.used(ROOT.secret_id)
        await log.audit.flush()
        log.away.away = False
        await log.audit.flush()
        assert await self.used_at(database) is not None
