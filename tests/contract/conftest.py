"""The PostgreSQL servers that the adapters are tested against: the embedded one, and one outside when it answers."""

from collections.abc import AsyncIterator, Iterator

import procrastinate
import psycopg
import pytest

from rows import ROOT, VAULT, add_bucket
from schemas import Schemas, drop
from server import new_room
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.adapters.postgres.embedded import EmbeddedPostgres
from sordino.adapters.tasks import EngineTasks, engine
from support import new_name


@pytest.fixture(scope="session")
def embedded() -> Iterator[str]:
    """Connection string of an embedded server."""
    with new_room() as directory, EmbeddedPostgres(directory / "data") as server:
        yield server.dsn


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
        await drop(connection, name)


@pytest.fixture(scope="session")
def schemas(dsn: str) -> Schemas:
    """Migrated schemas of each server in turn."""
    return Schemas(dsn)


@pytest.fixture
def app() -> procrastinate.App:
    """The task engine over ``empty_database``."""
    return engine()


@pytest.fixture
async def empty_database(dsn: str, schemas: Schemas, app: procrastinate.App) -> AsyncIterator[PostgresDatabase]:
    """A migrated, open database without a row."""
    schema = await schemas.take()
    async with (
        PostgresDatabase(
            dsn, schema=schema, max_connections=4, vault=VAULT, tasks=lambda it: EngineTasks(app, it)
        ) as database,
        database.lazy_pool(4) as pool,
        app.open_async(pool),
    ):
        yield database
    await schemas.give_back(schema)


@pytest.fixture
async def database(empty_database: PostgresDatabase) -> PostgresDatabase:
    """An open database with the account ``ROOT`` and its bucket ``BUCKET``."""
    async with empty_database.transaction() as tx:
        assert await tx.identities.add_root(ROOT)
        await add_bucket(tx)
    return empty_database
