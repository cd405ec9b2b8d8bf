"""What every connection of ours starts with, and how losing it is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

from procrastinate.exceptions import ConnectorException
from psycopg import AsyncConnection, OperationalError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import IdleInTransactionSessionTimeout
from psycopg.rows import DictRow

from sordino.domain.ports import DatabaseUnavailableError

Connection: TypeAlias = AsyncConnection[DictRow]
"""A connection of the pool: its rows are dictionaries by column."""

_LOST: Final = (OperationalError, IdleInTransactionSessionTimeout)
"""What passes. The second: the server ended the session of a process that was stopped in its turn."""

CONNECT_SECONDS: Final = 5
"""How long a server may take to accept a connection."""

_DEFAULTS: Final[dict[str, str | int]] = {
    "connect_timeout": CONNECT_SECONDS,
    "application_name": "sordino",
    "client_encoding": "UTF8",
}


def conninfo(dsn: str, schema: str) -> str:
    """``dsn`` with our session's settings: names are looked up in ``schema`` only, times are UTC, no query is compiled.

    They travel with the connection's start, so they cost no round trip and hold in every process given this string.
    What ``dsn`` says itself about timeouts and names stays. Compiling takes longer than any of our queries does.
    """
    given = conninfo_to_dict(dsn)
    missing = {name: value for name, value in _DEFAULTS.items() if name not in given}
    options = f"{given.get('options') or ''} -c search_path={schema} -c timezone=UTC -c jit=off".strip()
    return make_conninfo(dsn, **missing, options=options)


def lazy(conninfo: str) -> str:
    """A connection string of ``conninfo`` for sessions whose commits do not wait for the disk.

    A server that dies forgets what they did in its last moments.
    """
    return make_conninfo(conninfo, options=f"{conninfo_to_dict(conninfo)['options']} -c synchronous_commit=off")


@contextmanager
def unavailable_when_lost() -> Iterator[None]:
    """Turn psycopg's ``OperationalError`` and its like, also where the task engine wrapped it, into the port's error.

    It covers a connection lost or refused, none free in time, a server starting or stopping, a session ended for its
    silence, a deadlock, a full disk: all that may pass.

    Raises:
        DatabaseUnavailableError: the block raised one of these.
    """
    try:
        yield
    except _LOST as error:
        raise DatabaseUnavailableError(str(error)) from error
    except ConnectorException as error:
        if isinstance(error.__cause__, _LOST):
            raise DatabaseUnavailableError(str(error.__cause__)) from error
        raise
