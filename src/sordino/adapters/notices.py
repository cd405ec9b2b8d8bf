"""Notices of new tasks, which the task engine sends by NOTIFY."""

import asyncio
from typing import Final, NoReturn

import psycopg
from procrastinate.manager import get_channel_for_queues
from psycopg import sql

CHECK_SECONDS: Final = 30.0
"""How long a connection may be silent before it is asked whether it still is one."""


async def listen(conninfo: str, queue: str, bell: asyncio.Event) -> NoReturn:
    """Ring for each new task of an engine's queue, and at the beginning: tasks may have come before that.

    The engine's own listener does not tell when it begins. A task that came between a worker's look and that moment
    would wait for the next look.

    Raises:
        psycopg.OperationalError: there is no connection, or not any more.
    """
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        for channel in get_channel_for_queues([queue]):
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        while True:
            bell.set()
            async for _ in connection.notifies(timeout=CHECK_SECONDS):
                bell.set()
            await connection.execute("SELECT 1")
