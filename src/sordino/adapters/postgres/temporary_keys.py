"""Keys that end by themselves, in PostgreSQL.

They go with the key that asked for them and with their role, by the references of the tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.errors import ForeignKeyViolation
from psycopg.rows import DictRow

from sordino.adapters.postgres.statements import Statements
from sordino.domain.identity import TemporaryKey
from sordino.domain.ports import Vault
from sordino.domain.token import digest

MOST_LISTED: Final = 1000

_ADD: Final = """
INSERT INTO temporary_keys
    (secret_id, sealed, token_sha256, appid, parent, role, session_name, policy, created_at, expires_at)
VALUES
    (%(secret_id)s, %(sealed)s, %(token_sha256)s, %(appid)s, %(parent)s, %(role)s, %(session_name)s, %(policy)s,
     %(created_at)s, %(expires_at)s)
"""
# Of all keys of the account that asks, so that asking for roles of others uses nobody else's up.
_COUNT: Final = """
SELECT count(*) AS number
  FROM (SELECT FROM temporary_keys
         WHERE parent = ANY(ARRAY(SELECT secret_id FROM access_keys WHERE appid = %(appid)s))
           AND expires_at > %(now)s LIMIT %(most)s) AS live
"""
_SESSION: Final = """
SELECT session_name, coalesce(access_keys.uin, accounts.uin) AS uin
  FROM temporary_keys JOIN access_keys ON access_keys.secret_id = parent
       JOIN accounts ON accounts.appid = access_keys.appid
 WHERE temporary_keys.secret_id = %(secret_id)s
"""
_LIST: Final = """
SELECT secret_id, appid, parent, role, session_name, policy, created_at, expires_at
  FROM temporary_keys
 WHERE appid = %(appid)s AND expires_at > %(now)s
 ORDER BY created_at DESC, secret_id
 LIMIT %(most)s
"""
_REMOVE: Final = "DELETE FROM temporary_keys WHERE appid = %(appid)s AND secret_id = %(secret_id)s"
_SWEEP: Final = """
DELETE FROM temporary_keys
 WHERE secret_id IN (SELECT secret_id FROM temporary_keys WHERE expires_at <= %(before)s
                      ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
"""


@dataclass(frozen=True, slots=True)
class PostgresTemporaryKeys(Statements):
    """``cam_ports.TemporaryKeys`` over one connection."""

    vault: Vault

    async def add(self, key: TemporaryKey) -> bool:
        """Keep one; False, and the transaction is lost, when the key that asked for it or its role is gone.

        Raises:
            VaultError: there is nothing to encrypt it with.
        """
        row = {
            "secret_id": key.secret_id,
            "sealed": self.vault.seal(key.secret_key),
            "token_sha256": digest(key.token),
            "appid": key.appid,
            "parent": key.parent,
            "role": key.role,
            "session_name": key.session_name,
            "policy": key.policy,
            "created_at": key.created_at,
            "expires_at": key.expires_at,
        }
        try:
            return await self._done(_ADD, row)
        except ForeignKeyViolation:
            return False

    async def count(self, appid: str, now: datetime, most: int) -> int:
        """How many that keys of an account asked for are not over; ``most`` when there are as many or more."""
        (row,) = await self._rows(_COUNT, {"appid": appid, "now": now, "most": most})
        return int(row["number"])

    async def session(self, secret_id: str) -> tuple[str, str] | None:
        """The name of its session, and the uin of the user or root who asked for it; None when there is none."""
        row = await self._row(_SESSION, {"secret_id": secret_id})
        return (row["session_name"], row["uin"]) if row else None

    async def list(self, appid: str, now: datetime) -> Sequence[TemporaryKey]:
        """Those of an account whose time is not over, the newest first, at most 1,000, without secrets and tokens."""
        return [_key(row) for row in await self._rows(_LIST, {"appid": appid, "now": now, "most": MOST_LISTED})]

    async def remove(self, appid: str, secret_id: str) -> bool:
        """End one; False when there is none."""
        return await self._done(_REMOVE, {"appid": appid, "secret_id": secret_id})

    async def sweep(self, before: datetime, limit: int) -> int:
        """Remove those whose time was over by then, ``limit`` at most; how many."""
        return (await self.connection.execute(_SWEEP, {"before": before, "limit": limit})).rowcount


def _key(row: DictRow) -> TemporaryKey:
    return TemporaryKey(secret_key="", token="", **row)
