"""What repositories run their statements with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.rows import DictRow

from sordino.adapters.postgres.session import Connection


@dataclass(frozen=True, slots=True)
class Statements:
    """Statements over one connection."""

    connection: Connection

    async def _rows(self, query: str, values: Mapping[str, Any]) -> list[DictRow]:
        return await (await self.connection.execute(query, values)).fetchall()

    async def _row(self, query: str, values: Mapping[str, Any]) -> DictRow | None:
        return await (await self.connection.execute(query, values)).fetchone()

    async def _done(self, query: str, values: Mapping[str, Any]) -> bool:
        """Whether it did anything to a row."""
        return (await self.connection.execute(query, values)).rowcount > 0
