"""Notices of new tasks, over real databases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import procrastinate
import psycopg
import pytest

from rows import execute
from sordino.adapters import notices
from sordino.adapters.notices import listen
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.adapters.tasks import MEDIA_QUEUE


@asynccontextmanager
async def listening(database: PostgresDatabase, bell: asyncio.Event) -> AsyncIterator[asyncio.Task[None]]:
    """Listen while the block runs, which begins after the first ring."""
    task = asyncio.create_task(listen(database.conninfo, MEDIA_QUEUE, bell))
    try:
        async with asyncio.timeout(20):
            await bell.wait()
            bell.clear()
            yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, psycopg.OperationalError):
            await task


async def test_rings_at_the_beginning_and_for_its_queue(
    app: procrastinate.App, empty_database: PostgresDatabase
) -> None:
    """It rings when it begins to listen, and for new tasks of its queue alone."""
    bell = asyncio.Event()
    async with listening(empty_database, bell):
        await app.configure_task("other", queue="other").defer_async()
        await asyncio.sleep(0.2)
        assert not bell.is_set()
        await app.configure_task("run_job", queue=MEDIA_QUEUE).defer_async()
        await bell.wait()


async def test_asks_whether_the_connection_lives(
    empty_database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When nothing comes for a while it asks the server, and rings."""
    monkeypatch.setattr(notices, "CHECK_SECONDS", 0.05)
    bell = asyncio.Event()
    async with listening(empty_database, bell):
        await bell.wait()


async def test_a_lost_connection(empty_database: PostgresDatabase) -> None:
    """A connection that is cut ends it with the driver's error."""
    async with listening(empty_database, asyncio.Event()) as task:
        await execute(
            empty_database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE 'LISTEN%%' AND datname = current_database()",
        )
        with pytest.raises(psycopg.OperationalError):
            await asyncio.shield(task)
