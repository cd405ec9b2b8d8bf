"""The PostgreSQL servers that the adapters are tested against: the embedded one, and one outside when it answers."""

import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from sordino.adapters.postgres.database import PostgresDatabase
from sordino.adapters.postgres.embedded import EmbeddedPostgres
from sordino.adapters.postgres.migrate import migrate
from sordino.adapters.tasks import EngineTasks, engine

EXTERNAL = os.environ.get(
    "SORDINO_TEST_DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/postgres?connect_timeout=3"
)


def new_name(prefix: str) -> str:
    """A name nobody else uses, good for schemas and databases."""
    return f"{prefix}_{uuid.uuid4().hex}"


@contextmanager
def new_room() -> Iterator[Path]:
    """A directory that the server's account may pass through.

    Not pytest's own: each run of pytest closes the directory above all runs to other accounts, also under a server of
    another run.
    """
    with tempfile.TemporaryDirectory(prefix="sordino-test-") as directory:
        Path(directory).chmod(0o711)
        yield Path(directory)


@pytest.fixture
def room() -> Iterator[Path]:
    """Such a directory."""
    with new_room() as directory:
        yield directory


@pytest.fixture(scope="session")
def embedded() -> Iterator[str]:
    """Connection string of an embedded server."""
    with new_room() as directory, EmbeddedPostgres(directory / "data") as server:
        yield server.dsn


@pytest.fixture(scope="session")
def external() -> Iterator[str]:
    """Connection string of a database of our own on the server outside."""
    name = new_name("sordino_test")
    database = sql.Identifier(name)
    try:
        with psycopg.connect(EXTERNAL, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0").format(database))
    except psycopg.Error as error:
        pytest.skip(f"no PostgreSQL outside (SORDINO_TEST_DATABASE_URL): {error}")
    yield psycopg.conninfo.make_conninfo(EXTERNAL, dbname=name)
    with psycopg.connect(EXTERNAL, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {}").format(database))


@pytest.fixture(scope="session", params=["embedded", "external"])
def dsn(request: pytest.FixtureRequest) -> str:
    """Connection string of each server in turn."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
async def schema(dsn: str) -> AsyncIterator[str]:
    """The name of a schema that does not exist yet; dropped afterwards."""
    name = new_name("s")
    yield name
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("SET client_min_messages = warning")
        await connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture
async def empty_database(dsn: str, schema: str) -> AsyncIterator[PostgresDatabase]:
    """A migrated, open database without a row."""
    await migrate(dsn, schema)
    app = engine(dsn, schema)
    async with (
        app.open_async(),
        PostgresDatabase(dsn, schema=schema, max_connections=4, tasks=lambda it: EngineTasks(app, it)) as database,
    ):
        yield database
