"""The audit log in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sordino.adapters.postgres.session import Connection
from sordino.domain.audit import AuditEntry

_ADD: Final = """
INSERT INTO audit (at, appid, caller, secret_id, source, request_id, action, resource, owner, decision, code, reason)
VALUES (%(at)s, %(appid)s, %(caller)s, %(secret_id)s, %(source)s, %(request_id)s, %(action)s, %(resource)s, %(owner)s,
        %(decision)s, %(code)s, %(reason)s)
"""


@dataclass(frozen=True, slots=True)
class PostgresAuditLog:
    """``cam_ports.AuditLog`` over one connection."""

    connection: Connection

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """Write entries."""
        async with self.connection.cursor() as cursor:
            await cursor.executemany(_ADD, [_row(entry) for entry in entries])


def _row(entry: AuditEntry) -> dict[str, Any]:
    return {
        "at": entry.at,
        "appid": entry.appid,
        "caller": entry.caller,
        "secret_id": entry.secret_id,
        "source": entry.source,
        "request_id": entry.request_id,
        "action": entry.action,
        "resource": entry.resource,
        "owner": entry.owner,
        "decision": "allow" if entry.allowed else "deny",
        "code": entry.code,
        "reason": entry.reason,
    }
