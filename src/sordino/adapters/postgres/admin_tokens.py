"""Rows of tokens of the admin API in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from sordino.adapters.postgres.statements import Statements
from sordino.domain.admin_token import AdminToken

_ADD: Final = """
INSERT INTO admin_tokens (name, appid, read_only, created_at, expires_at, used_at, token_sha256)
VALUES (%(name)s, %(appid)s, %(read_only)s, %(created_at)s, %(expires_at)s, %(used_at)s, %(sha256)s)
    ON CONFLICT (name) DO NOTHING
"""

# It is written once a minute, not with every call: calls read.
_FIND: Final = """
WITH found AS (
    SELECT tokens.name, tokens.appid, tokens.read_only, tokens.created_at, tokens.expires_at, tokens.used_at
      FROM admin_tokens AS tokens LEFT JOIN accounts USING (appid)
     WHERE token_sha256 = %(sha256)s
       AND (expires_at IS NULL OR expires_at > %(now)s)
       AND (tokens.appid IS NULL OR enabled)
), noted AS (
    UPDATE admin_tokens SET used_at = %(now)s
      FROM found
     WHERE admin_tokens.name = found.name
       AND (found.used_at IS NULL OR found.used_at < %(now)s - interval '1 minute')
)
SELECT * FROM found
"""

_LIST: Final = """
SELECT name, appid, read_only, created_at, expires_at, used_at FROM admin_tokens ORDER BY name
"""
_REMOVE: Final = "DELETE FROM admin_tokens WHERE name = %(name)s"


@dataclass(frozen=True, slots=True)
class PostgresAdminTokens(Statements):
    """``cam_ports.AdminTokens`` over one connection."""

    async def add(self, token: AdminToken, sha256: str) -> bool:
        """Keep one; False when its name is taken."""
        return await self._done(_ADD, {**asdict(token), "sha256": sha256})

    async def find(self, sha256: str, now: datetime) -> AdminToken | None:
        """The token of that digest whose time is not over, or None; notes to the minute or so that it was used.

        None also when its account is disabled.
        """
        row = await self._row(_FIND, {"sha256": sha256, "now": now})
        return AdminToken(**row) if row else None

    async def list(self) -> Sequence[AdminToken]:
        """All, by name."""
        return [AdminToken(**row) for row in await self._rows(_LIST, {})]

    async def remove(self, name: str) -> bool:
        """Remove one; False when there is none."""
        return await self._done(_REMOVE, {"name": name})
