"""Brings a schema to this version's: numbered SQL files, each applied once, in order, in a transaction of its own.

The engine's tables are one of the steps, taken from the installed release of procrastinate. The release is pinned, and
the step's checksum would tell another one.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import psycopg
from psycopg import sql

from sordino.adapters.postgres.session import conninfo, unavailable_when_lost

_RECORDS: Final = """
CREATE TABLE IF NOT EXISTS migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
_APPLIED: Final = "SELECT number, name, checksum FROM migrations ORDER BY number"
_RECORD: Final = "INSERT INTO migrations (number, name, checksum) VALUES (%s, %s, %s)"
_LOCK: Final = "SELECT pg_advisory_lock(hashtextextended('sordino migrations of ' || %s, 0))"


class MigrationError(Exception):
    """The schema cannot be brought to this version's; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step: its number in the order, its name, and its SQL (any number of statements)."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Hex SHA-256 of the SQL."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@cache
def migrations() -> Sequence[Migration]:
    """Every step of this version, in order."""
    engine = resources.files("procrastinate").joinpath("sql", "schema.sql").read_text("utf-8")
    files = (
        file
        for file in resources.files("sordino.adapters.postgres").joinpath("migrations").iterdir()
        if file.name.endswith(".sql")
    )
    steps = [Migration(number=1, name="engine", text=engine)]
    for file in files:
        number, _, name = file.name.removesuffix(".sql").partition("_")
        steps.append(Migration(number=int(number), name=name, text=file.read_text("utf-8")))
    return sorted(steps, key=lambda step: step.number)


async def migrate(dsn: str, schema: str) -> None:
    """Create ``schema`` if it is missing and apply the steps it lacks; processes that start together take turns.

    Args:
        dsn: connection string of the database; its role may create the schema, or owns it.
        schema: name of the schema.

    Raises:
        MigrationError: the schema is newer than this version, or its steps are not this version's, or the database does
            not store UTF-8. Nothing was changed.
        DatabaseUnavailableError: the database does not answer, or the connection broke.
    """
    with unavailable_when_lost():
        async with await psycopg.AsyncConnection.connect(conninfo(dsn, schema), autocommit=True) as connection:
            await _check_encoding(connection)
            await connection.execute(_LOCK, [schema])  # Held until the connection closes.
            await _create_schema(connection, schema)
            await connection.execute(_RECORDS)
            for step in await _missing(connection, schema):
                await _apply(connection, step)


async def is_current(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Whether the schema on the connection's search path holds exactly this version's steps."""
    async with connection.cursor(row_factory=psycopg.rows.scalar_row) as cursor:
        await cursor.execute("SELECT to_regclass('migrations') IS NOT NULL")
        return bool(await cursor.fetchone()) and await _applied(connection) == [_row(step) for step in migrations()]


async def _check_encoding(connection: psycopg.AsyncConnection[Any]) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise MigrationError(f"The database stores {encoding}; create one with ENCODING 'UTF8' TEMPLATE template0.")


async def _create_schema(connection: psycopg.AsyncConnection[Any], schema: str) -> None:
    # Looked up first: CREATE SCHEMA IF NOT EXISTS asks for the right to create even when there is nothing to do.
    known = await (await connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", [schema])).fetchone()
    if known is None:
        await connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))


async def _missing(connection: psycopg.AsyncConnection[Any], schema: str) -> Sequence[Migration]:
    """The steps still to apply, once those applied are known to be the first of ours."""
    applied, ours = await _applied(connection), [_row(step) for step in migrations()]
    if applied[len(ours) :]:
        raise MigrationError(
            f"The schema {schema!r} was made by a newer version of Sordino (migration {applied[-1][0]}; "
            f"this version knows {ours[-1][0]}). Run that version, or restore the database from before the upgrade."
        )
    for theirs, step in zip(applied, ours, strict=False):
        if theirs != step:
            raise MigrationError(
                f"Migration {theirs[0]} ({theirs[1]}) of the schema {schema!r} is not the one this version applies: "
                "the schema belongs to another program or to an altered build."
            )
    return migrations()[len(applied) :]


async def _apply(connection: psycopg.AsyncConnection[Any], step: Migration) -> None:
    async with connection.transaction():
        await connection.execute(step.text.encode())
        await connection.execute(_RECORD, [step.number, step.name, step.checksum])


async def _applied(connection: psycopg.AsyncConnection[Any]) -> Sequence[tuple[int, str, str]]:
    async with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        return await (await cursor.execute(_APPLIED)).fetchall()


def _row(step: Migration) -> tuple[int, str, str]:
    return step.number, step.name, step.checksum
