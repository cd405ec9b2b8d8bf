"""How PostgreSQL carries out what a repository asks."""

from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import patch

from sordino.adapters.postgres.database import PostgresDatabase, PostgresTransaction


async def plan_of(database: PostgresDatabase, act: Callable[[PostgresTransaction], Awaitable[Any]]) -> str:
    """The plans of the statements of a repository's call, as they were carried out."""
    plans: list[str] = []
    async with database.reading() as tx:
        execute = type(tx.connection).execute

        async def explained(self: Any, query: str | bytes, parameters: Any = None) -> Any:
            text = query if isinstance(query, bytes) else query.encode()
            rows = await (await execute(self, b"EXPLAIN (ANALYZE) " + text, parameters)).fetchall()
            plans.extend(row["QUERY PLAN"] for row in rows)
            return await execute(self, text, parameters)

        with patch.object(type(tx.connection), "execute", explained):
            await act(tx)
    return "\n".join(plans)
