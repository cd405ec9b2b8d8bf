"""The database: a pool of connections, and the repositories over one transaction."""

import select
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from sordino.adapters.postgres.admin_tokens import PostgresAdminTokens
from sordino.adapters.postgres.allowances import PostgresAllowances
from sordino.adapters.postgres.audit import PostgresAuditLog
from sordino.adapters.postgres.bindings import PostgresBindings
from sordino.adapters.postgres.buckets import PostgresBuckets
from sordino.adapters.postgres.deliveries import PostgresDeliveries
from sordino.adapters.postgres.identities import PostgresIdentities
from sordino.adapters.postgres.jobs import PostgresJobs
from sordino.adapters.postgres.message_queues import PostgresMessageQueues
from sordino.adapters.postgres.message_topics import PostgresMessageTopics
from sordino.adapters.postgres.migrate import is_current
from sordino.adapters.postgres.mounts import PostgresMounts
from sordino.adapters.postgres.objects import PostgresObjects
from sordino.adapters.postgres.policies import PostgresPolicies
from sordino.adapters.postgres.queues import PostgresQueues
from sordino.adapters.postgres.releases import PostgresReleases
from sordino.adapters.postgres.secrets import PostgresSecrets
from sordino.adapters.postgres.session import Connection, conninfo, lazy, unavailable_when_lost
from sordino.adapters.postgres.sharing import PostgresSharing
from sordino.adapters.postgres.templates import PostgresTemplates
from sordino.adapters.postgres.temporary_keys import PostgresTemporaryKeys
from sordino.adapters.postgres.uploads import PostgresUploads
from sordino.adapters.postgres.usage import PostgresUsages, refused_over_quota
from sordino.adapters.postgres.users import PostgresUsers
from sordino.domain.ports import Tasks, Vault

R = TypeVar("R")

WAIT_SECONDS: Final = 5.0
"""How long a transaction waits for a free connection, or for the server to come back."""

READY_SECONDS: Final = 2.0
"""How long a readiness probe does."""


@dataclass(frozen=True, slots=True)
class _Plain(Generic[R]):
    """A repository over a transaction's connection, made when it is asked for: of all of them few are."""

    make: Callable[[Connection], R]

    def __get__(self, transaction: "PostgresTransaction", owner: type) -> R:
        return self.make(transaction.connection)


@dataclass(frozen=True, slots=True)
class _Sealing(Generic[R]):
    """The same of a repository that keeps secrets."""

    make: Callable[[Connection, Vault], R]

    def __get__(self, transaction: "PostgresTransaction", owner: type) -> R:
        return self.make(transaction.connection, transaction.vault)


class PostgresTransaction:
    """``ports.Transaction``: every repository over the same connection.

    Attributes:
        connection: theirs, also for statements that belong to no repository.
        vault: encrypts the secrets of keys.
    """

    __slots__ = ("_tasks", "connection", "vault")

    identities = _Sealing(PostgresIdentities)
    secrets = _Sealing(PostgresSecrets)
    users = _Sealing(PostgresUsers)
    policies = _Plain(PostgresPolicies)
    temporary_keys = _Sealing(PostgresTemporaryKeys)
    audit = _Plain(PostgresAuditLog)
    allowances = _Plain(PostgresAllowances)
    admin_tokens = _Plain(PostgresAdminTokens)
    buckets = _Plain(PostgresBuckets)
    bindings = _Plain(PostgresBindings)
    queues = _Plain(PostgresQueues)
    templates = _Plain(PostgresTemplates)
    objects = _Plain(PostgresObjects)
    mounts = _Plain(PostgresMounts)
    sharing = _Plain(PostgresSharing)
    uploads = _Plain(PostgresUploads)
    jobs = _Plain(PostgresJobs)
    deliveries = _Plain(PostgresDeliveries)
    message_queues = _Plain(PostgresMessageQueues)
    message_topics = _Plain(PostgresMessageTopics)
    releases = _Plain(PostgresReleases)
    usages = _Plain(PostgresUsages)

    def __init__(self, connection: Connection, vault: Vault, tasks: Callable[[Connection], Tasks]) -> None:
        self.connection = connection
        self.vault = vault
        self._tasks = tasks

    @property
    def tasks(self) -> Tasks:
        """The task engine's door."""
        return self._tasks(self.connection)


class PostgresDatabase:
    """``ports.Database`` over a pool; an async context manager that opens and closes it.

    A connection is looked at before it is handed out, so that transactions begun after a restart of the server succeed.

    Attributes:
        conninfo: connection string with our session's settings, for others who need connections of their own.
        schema: the schema that holds the tables.
        pool: the pool.
    """

    def __init__(
        self,
        dsn: str,
        *,
        schema: str,
        max_connections: int,
        vault: Vault,
        tasks: Callable[[psycopg.AsyncConnection[Any]], Tasks],
    ) -> None:
        """Prepare; nothing is connected before ``open``.

        Args:
            dsn: connection string of the database, migrated by ``migrate``.
            schema: name of the schema.
            max_connections: connections held at most.
            vault: encrypts the secrets of keys.
            tasks: makes the task engine's door over a transaction's connection.
        """
        self.conninfo = conninfo(dsn, schema)
        self.schema = schema
        self._tasks = tasks
        self._vault = vault
        self.pool = _pool(self.conninfo, max_connections, "sordino")

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Start connecting, without waiting for the server: it may come later."""
        await self.pool.open()

    async def close(self) -> None:
        """Close every connection; a transaction under way may end first."""
        await self.pool.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresTransaction]:
        """Commits when the block ends, rolls back when it raises.

        Raises:
            DatabaseUnavailableError: no connection in time, connection lost, server shutting down, deadlock, ...:
                on entering, inside or on leaving the block.
            ServiceError: QuotaExceeded, on leaving the block: what it did would leave a bucket with more than it may
                hold, and was rolled back.
        """
        with unavailable_when_lost(), refused_over_quota():
            async with self.pool.connection() as connection, connection.transaction():
                yield self._repositories(connection)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[PostgresTransaction]:
        """No transaction: it spares the server two round trips, and each statement sees what is committed by then.

        Raises:
            DatabaseUnavailableError: as ``transaction``.
        """
        with unavailable_when_lost():
            async with self.pool.connection() as connection:
                yield self._repositories(connection)

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[PostgresTransaction]:
        """The same for a single statement that writes.

        Raises:
            DatabaseUnavailableError: as ``transaction``.
            ServiceError: QuotaExceeded, as ``transaction``.
        """
        with refused_over_quota():
            async with self.reading() as transaction:
                yield transaction

    def _repositories(self, connection: Connection) -> PostgresTransaction:
        return PostgresTransaction(connection, self._vault, self._tasks)

    def lazy_pool(self, max_connections: int) -> AsyncConnectionPool[Connection]:
        """Another pool, yet to be opened, for what is made good when a server that dies has forgotten it."""
        return _pool(lazy(self.conninfo), max_connections, "sordino lazy")

    async def ready(self) -> bool:
        """Whether the database answers and its schema is this version's."""
        try:
            async with self.pool.connection(timeout=READY_SECONDS) as connection:
                return await is_current(connection)
        except psycopg.OperationalError:
            return False


def _pool(conninfo: str, max_connections: int, name: str) -> AsyncConnectionPool[Connection]:
    """A pool whose connections make of each statement a transaction of its own, in one round trip, unless told else."""
    return AsyncConnectionPool(
        conninfo,
        kwargs={"row_factory": dict_row, "autocommit": True},
        min_size=1,
        max_size=max_connections,
        timeout=WAIT_SECONDS,
        check=_check,
        open=False,
        name=name,
    )


async def _check(connection: Connection) -> None:
    """Ask the server only where it has said something unasked, such as that it stops: asking is a round trip.

    Raises:
        OperationalError: the connection is lost.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        await AsyncConnectionPool.check_connection(connection)
