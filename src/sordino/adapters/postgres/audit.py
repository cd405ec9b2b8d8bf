"""The audit log in PostgreSQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.rows import DictRow

from sordino.adapters.postgres.session import Connection
from sordino.domain.audit import AuditEntry, AuditSearch, NumberedEntry

MOST_CHARACTERS: Final = 2048
"""Of a column: names that strangers send may be as long as a request's head."""

_COLUMNS: Final = "at, appid, caller, secret_id, source, request_id, action, resource, owner, decision, code, reason"
# An insert costs both sides twice as much.
_ADD: Final = f"COPY audit ({_COLUMNS}) FROM STDIN"
_FOUND: Final = f"SELECT number, {_COLUMNS} FROM audit WHERE "  # noqa: S608 - the only text put in is ours
_NEWEST: Final = " ORDER BY number DESC LIMIT %(size)s"
_CONDITIONS: Final[Mapping[str, str]] = {
    "caller": "caller = %(caller)s",
    "secret_id": "secret_id = %(secret_id)s",
    "source": "source = %(source)s",
    "action": "action = %(action)s",
    "request_id": "request_id = %(request_id)s",
    "decision": "decision = %(decision)s",
    "since": "at >= %(since)s",
    "until": "at < %(until)s",
    "before": "number < %(before)s",
}
# Each has an index of its own, which is read from its end until there are enough.
_OF_ACCOUNT: Final = ("appid = %(account)s", "owner = %(account)s")
# As an array: for those of a subquery the planner reads all of the table, in each batch.
_SWEEP: Final = """
DELETE FROM audit
 WHERE number = ANY (ARRAY(
       SELECT number FROM audit WHERE at < %(before)s ORDER BY at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
"""


@dataclass(frozen=True, slots=True)
class PostgresAuditLog:
    """``cam_ports.AuditLog`` over one connection."""

    connection: Connection

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """Write entries, each text cut to ``MOST_CHARACTERS``."""
        if entries:
            async with self.connection.cursor() as cursor, cursor.copy(_ADD) as copy:
                for entry in entries:
                    await copy.write_row(_row(entry))

    async def search(self, search: AuditSearch) -> Sequence[NumberedEntry]:
        """What is asked for, the newest first."""
        asked = _asked(search)
        conditions = [text for name, text in _CONDITIONS.items() if asked[name] is not None]
        if search.account is None:
            query = _page(conditions)
        else:
            query = f"{' UNION '.join(f'({_page([of, *conditions])})' for of in _OF_ACCOUNT)}{_NEWEST}"
        # Ours, every piece of it.
        found = await self.connection.execute(query.encode(), asked)
        return [_numbered(row) for row in await found.fetchall()]

    async def sweep(self, before: datetime, limit: int) -> int:
        """Remove entries older than that, ``limit`` at most; how many."""
        return (await self.connection.execute(_SWEEP, {"before": before, "limit": limit})).rowcount


def _page(conditions: Sequence[str]) -> str:
    return f"{_FOUND}{' AND '.join(conditions) or 'true'}{_NEWEST}"


def _asked(search: AuditSearch) -> Mapping[str, Any]:
    return {
        "account": search.account,
        "caller": search.caller,
        "secret_id": search.secret_id,
        "source": search.source,
        "action": search.action,
        "request_id": search.request_id,
        "decision": None if search.allowed is None else _decision(allowed=search.allowed),
        "since": search.since,
        "until": search.until,
        "before": search.before,
        "size": search.size,
    }


def _row(entry: AuditEntry) -> Sequence[Any]:
    """In the order of ``_COLUMNS``."""
    return (
        entry.at,
        entry.appid,
        _text(entry.caller),
        None if entry.secret_id is None else _text(entry.secret_id),
        _text(entry.source),
        _text(entry.request_id),
        _text(entry.action),
        _text(entry.resource),
        entry.owner,
        _decision(allowed=entry.allowed),
        entry.code,
        _text(entry.reason),
    )


def _text(text: str) -> str:
    """What the database can hold of it: neither NUL nor half a character."""
    return text[:MOST_CHARACTERS].replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def _decision(*, allowed: bool) -> str:
    return "allow" if allowed else "deny"


def _numbered(row: DictRow) -> NumberedEntry:
    entry = AuditEntry(
        at=row["at"],
        appid=row["appid"],
        caller=row["caller"],
        secret_id=row["secret_id"],
        source=row["source"],
        request_id=row["request_id"],
        action=row["action"],
        resource=row["resource"],
        owner=row["owner"],
        allowed=row["decision"] == "allow",
        code=row["code"],
        reason=row["reason"],
    )
    return NumberedEntry(row["number"], entry)
