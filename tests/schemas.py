"""Migrated schemas for tests: one that a test left in order is emptied and used again, as migrating takes longest."""

from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from sordino.adapters.postgres.migrate import migrate, migrations
from support import new_name

MAX_BYTES = 256 * 1024  # a table or index that a test has made larger is slow, or planned for in another way

# Statistics that a test has made would decide the plans of the next; a statement still running could write later.
_IN_ORDER = """
SELECT NOT EXISTS (
    SELECT FROM pg_class
    WHERE relnamespace = %(schema)s::regnamespace AND relkind IN ('r', 'i')
        AND (reltuples > 0 OR pg_relation_size(oid) > %(most)s)
) AND NOT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND backend_type = 'client backend' AND state <> 'idle'
)
"""
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename <> 'migrations'"
_RESTART = """
SELECT setval(seqrelid, seqstart, false)
FROM pg_sequence JOIN pg_class ON pg_class.oid = seqrelid
WHERE relnamespace = %s::regnamespace
"""


@dataclass(frozen=True, slots=True)
class Schemas:
    """The schemas of one database; no migration leaves rows in one, but its own record."""

    dsn: str
    free: list[str] = field(default_factory=list)

    async def take(self) -> str:
        """The name of a migrated schema without a row."""
        if self.free:
            return self.free.pop()
        name = new_name("s")
        await migrate(self.dsn, name)
        return name

    async def give_back(self, name: str) -> None:
        """Empty the schema for the next test, or drop it when that would not make it a new one."""
        async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as connection:
            if await _in_order(connection, name) and await _empty(connection, name):
                self.free.append(name)
            else:
                await drop(connection, name)


async def drop(connection: psycopg.AsyncConnection, name: str) -> None:
    """Drop the schema with all in it, if it is there."""
    await connection.execute("SET client_min_messages = warning")
    await connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))


async def _in_order(connection: psycopg.AsyncConnection, name: str) -> bool:
    applied = sql.SQL("SELECT number, checksum FROM {}.migrations ORDER BY number").format(sql.Identifier(name))
    if await (await connection.execute(applied)).fetchall() != [(step.number, step.checksum) for step in migrations()]:
        return False
    row = await (await connection.execute(_IN_ORDER, {"schema": name, "most": MAX_BYTES})).fetchone()
    return row == (True,)


async def _empty(connection: psycopg.AsyncConnection, name: str) -> bool:
    """Delete all rows; False where the role may not do so past the foreign keys and triggers."""
    tables = await (await connection.execute(_TABLES, [name])).fetchall()
    deletes = [sql.SQL("DELETE FROM {}").format(sql.Identifier(name, table)) for (table,) in tables]
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(sql.SQL("; ").join(deletes))
            await connection.execute(_RESTART, [name])
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True
