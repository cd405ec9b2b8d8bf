"""Ids of blobs, which are noted for the sweep before they are given out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rows import execute
from sordino.adapters.postgres.database import PostgresDatabase, PostgresTransaction
from sordino.storage.writing import AHEAD, MOST_IDS, BlobIds

TOMORROW = datetime.now(UTC) + timedelta(days=1)


@dataclass
class Counting:
    """A database that counts the statements that write."""

    database: PostgresDatabase
    statements: int = 0

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[PostgresTransaction]:
        """One more."""
        self.statements += 1
        async with self.database.statement() as tx:
            yield tx


async def notes(database: PostgresDatabase) -> dict[str, datetime]:
    """Until when which blobs are expected."""
    rows = await execute(database, "SELECT blob_id, since FROM unreferenced_blobs")
    return {row["blob_id"]: row["since"] for row in rows}


async def test_one_that_is_given_out_is_noted(empty_database: PostgresDatabase) -> None:
    """For as long as its upload may take, or longer; the first one alone."""
    blob_id = await BlobIds().take(empty_database, TOMORROW)
    assert await notes(empty_database) == {blob_id: TOMORROW + AHEAD}


async def test_many_at_once(empty_database: PostgresDatabase) -> None:
    """Nobody gets what another has, all are noted, and few statements do it."""
    ids, database = BlobIds(), Counting(empty_database)
    taken = await asyncio.gather(*(ids.take(database, TOMORROW + timedelta(seconds=it)) for it in range(300)))
    noted = await notes(empty_database)
    assert len(set(taken)) == 300
    assert set(taken) <= set(noted)
    assert all(noted[blob_id] >= TOMORROW + timedelta(seconds=it) for it, blob_id in enumerate(taken))
    assert len(noted) < 300 + MOST_IDS
    assert database.statements < 300 / MOST_IDS + 10


async def test_what_has_waited_too_long_is_not_given_out(empty_database: PostgresDatabase) -> None:
    """The sweep may come to its note before its upload ends; and a server that is not busy notes one at a time."""
    ids = BlobIds()
    taken = {await ids.take(empty_database, TOMORROW) for _ in range(4)}
    spare = set(await notes(empty_database)) - taken
    later = await ids.take(empty_database, TOMORROW + AHEAD + timedelta(seconds=1))
    assert spare
    assert later not in spare | taken
    assert set(await notes(empty_database)) == taken | spare | {later}
