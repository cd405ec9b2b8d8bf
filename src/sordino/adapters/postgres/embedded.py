"""A PostgreSQL server of our own: the programs come in a wheel, the data lies in the data directory.

The server listens on a Unix socket only, inside its data directory, which nobody but its account may enter: so it
trusts whoever reaches the socket. It runs as our child in a session of its own and outlives us only when we are killed;
the next start then stops it first.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psycopg
import structlog
from psycopg import sql
from psycopg.conninfo import make_conninfo

from sordino.adapters.data_directory import make_directory
from sordino.adapters.postgres.account import Account, choose_account
from sordino.adapters.postgres.binaries import Binaries, reachable_binaries
from sordino.adapters.postgres.directory import building
from sordino.adapters.postgres.errors import EmbeddedPostgresError

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "find_running"]

log = structlog.get_logger(__name__)

NAME: Final = "sordino"
"""Name of the database, and of the role that owns it."""

MAX_SOCKET_PATH: Final = 103
"""Bytes of the longest socket path that every platform takes: ``sun_path`` less its NUL, 104 on macOS, 108 on Linux."""

START_SECONDS: Final = 600.0
"""How long crash recovery may take before a start is given up."""

STOP_SECONDS: Final = 60.0
"""How long a fast shutdown, which writes a checkpoint, may take before the server is told to drop everything."""

QUIT_SECONDS: Final = 15.0
"""How long that may take; PostgreSQL itself kills what is left of its processes after 5 s."""

LEAST_CONNECTIONS: Final = 100
"""PostgreSQL's own default of how many sessions there may be."""

_POLL_SECONDS: Final = 0.02
_PORT: Final = 5432
_SOCKET: Final = f".s.PGSQL.{_PORT}"
_PID_FILE: Final = "postmaster.pid"
_PID_FILE_SOCKET_LINE: Final = 4
_PID_FILE_STATUS_LINE: Final = 7
_LOG_TAIL: Final = 2000
_PROC: Final = Path("/proc")
# LC_MESSAGES decides the language of what initdb and a failing server say; no PG* variable of ours may reach them.
_ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}

_INITDB_OPTIONS: Final = (
    f"--username={NAME}",
    "--auth-local=trust",
    "--auth-host=reject",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--data-checksums",
    "--no-instructions",
)
_SERVER_SETTINGS: Final = {
    "listen_addresses": "",
    "port": str(_PORT),
    "unix_socket_permissions": "0700",
    "shared_buffers": "64MB",
    # By itself it would be a 32nd of that: a queue of 100,000 jobs is then paused at half the speed.
    "wal_buffers": "16MB",
    # Short queries on few cores: compiling them, spreading them and reading ahead for them cost more than they give.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "io_method": "sync",
    "max_logical_replication_workers": "0",
    # The log has no rotation while the server runs: what it repeats every few minutes stays out.
    "log_checkpoints": "off",
    "log_autovacuum_min_duration": "-1",
}


class EmbeddedPostgres:
    """The embedded server of one data directory; a context manager that starts and stops it.

    The caller holds a lock on ``data``: a server found running there is taken for one that a killed predecessor left.

    Attributes:
        cluster: PostgreSQL's own data directory, ``<data>/postgres``.
        log: what the server said since its last start, ``<data>/postgres.log``; the one before is ``postgres.log.1``.
    """

    def __init__(self, data: Path, *, user: str | None = None, max_connections: int = LEAST_CONNECTIONS) -> None:
        """Prepare; nothing is touched before ``start``.

        Args:
            data: the service's data directory; created when missing.
            user: account to run the server as when we are root; see ``choose_account`` for the default.
            max_connections: how many sessions there may be at a time.
        """
        self._data = data.absolute()
        self._user = user
        self._max_connections = max_connections
        self.cluster = self._data / "postgres"
        self.log = self._data / "postgres.log"
        self._sockets = self.cluster
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        """Connection string of the database ``sordino`` for libpq, valid from ``start`` on."""
        return _dsn(self._sockets, NAME)

    @property
    def pid(self) -> int | None:
        """Process id of the running server's postmaster."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether the server lives; ``revive`` starts one again that died by itself."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Make the data directory if there is none, start the server and wait until it takes connections.

        Raises:
            EmbeddedPostgresError: it cannot; the message says why and what to do.
        """
        if self._process is not None:
            raise EmbeddedPostgresError("This server is running already.")
        account = choose_account(self._user, self.cluster)
        self._make_data(account)
        binaries = reachable_binaries(account, self._data)
        if not self.cluster.exists():
            self._initialise(binaries, account)
        self._check_version(binaries)
        _stop_left_over(self.cluster)
        self._hand_over(account)
        self._launch(binaries, account)
        try:
            self._wait_until_ready()
            self._create_database()
        except BaseException:
            self._halt()
            raise

    def revive(self) -> None:
        """Start the server again, at the same socket, if it has died by itself, and say so.

        Raises:
            EmbeddedPostgresError: it cannot; another call tries again.
        """
        if not self.running:
            log.error("PostgreSQL has died; starting it again", log=str(self.log))
            self._halt()
            self.start()
            log.info("PostgreSQL is back")

    def stop(self) -> None:
        """Shut down fast: sessions end, a checkpoint is written. Without an answer, drop everything; the WAL has it.

        Raises:
            EmbeddedPostgresError: the server does not go away.
        """
        self._halt()
        if self._sockets != self.cluster:
            shutil.rmtree(self._sockets)
            self._sockets = self.cluster

    def _halt(self) -> None:
        if self._process is not None:
            _end(self._process)
            self._process = None

    def _make_data(self, account: Account) -> None:
        try:
            make_directory(self._data)
        except OSError as error:
            raise EmbeddedPostgresError(
                f"The data directory {self._data} cannot be made: {error.strerror}; choose another (SORDINO_DATA)."
            ) from error
        if (closed := account.first_unreachable(self._data)) is not None:
            raise EmbeddedPostgresError(
                f"PostgreSQL runs as the account with user id {account.uid}, which may not enter {closed}. "
                f"Allow it (chmod o+x {closed}), choose another data directory (SORDINO_DATA), "
                "or run Sordino as an ordinary user."
            )

    def _initialise(self, binaries: Binaries, account: Account) -> None:
        with building(self.cluster) as scratch:
            account.own(scratch)
            result = subprocess.run(
                [binaries.program("initdb"), "--pgdata", scratch, *_INITDB_OPTIONS],
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                cwd="/",
                env=_ENVIRONMENT,
                **account.popen_options(),
            )
            if result.returncode != 0:
                raise EmbeddedPostgresError(f"initdb failed: {result.stderr.strip()[-_LOG_TAIL:]}")

    def _check_version(self, binaries: Binaries) -> None:
        try:
            found = (self.cluster / "PG_VERSION").read_text().strip()
        except OSError as error:
            raise EmbeddedPostgresError(
                f"{self.cluster} cannot be read as a PostgreSQL data directory: {error.strerror}."
            ) from error
        if found != binaries.major:
            raise EmbeddedPostgresError(
                f"{self.cluster} was made by PostgreSQL {found}; this installation brings PostgreSQL {binaries.major}. "
                f"Dump it with the version of Sordino that made it (pg_dump), move {self.cluster} away and restore."
            )

    def _hand_over(self, account: Account) -> None:
        """Give a data directory that root owns, as after a restored backup, to the account."""
        if not account.is_ours and self.cluster.stat().st_uid != account.uid:
            for path in [self.cluster, *self.cluster.rglob("*")]:
                os.chown(path, account.uid, account.gid, follow_symlinks=False)

    def _launch(self, binaries: Binaries, account: Account) -> None:
        if self._sockets == self.cluster:
            self._sockets = self._socket_directory(account)
        settings = {
            **_SERVER_SETTINGS,
            "max_connections": str(self._max_connections),
            "unix_socket_directories": str(self._sockets),
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        if self.log.exists():
            self.log.replace(self.log.with_name(f"{self.log.name}.1"))
        self.log.touch(mode=0o600)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [binaries.program("postgres"), "-D", self.cluster, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_ENVIRONMENT,
                start_new_session=True,
                **account.popen_options(),
            )

    def _socket_directory(self, account: Account) -> Path:
        """The data directory itself, or a private one where its path is too long for a socket or reads as a list."""
        path = os.fsencode(self.cluster / _SOCKET)
        if len(path) <= MAX_SOCKET_PATH and b"," not in path:
            return self.cluster
        directory = Path(tempfile.mkdtemp(prefix="sordino-"))
        account.own(directory)
        return directory

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        process = self._process
        if not _until(lambda: process.poll() is not None or self._ready(process.pid), START_SECONDS):
            raise EmbeddedPostgresError(f"PostgreSQL did not get ready within {START_SECONDS:.0f} s; see {self.log}.")
        if process.poll() is not None:
            said = self.log.read_text(errors="replace").strip()[-_LOG_TAIL:]
            raise EmbeddedPostgresError(f"PostgreSQL stopped with status {process.returncode}: {said}")

    def _ready(self, pid: int) -> bool:
        lines = _pid_file(self.cluster)
        return lines[0] == str(pid) and len(lines) > _PID_FILE_STATUS_LINE and lines[_PID_FILE_STATUS_LINE] == "ready"

    def _create_database(self) -> None:
        with psycopg.connect(_dsn(self._sockets, "postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT FROM pg_database WHERE datname = %s", [NAME]).fetchone()
            if known is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))


def find_running(data: Path) -> str | None:
    """Connection string of the server that runs on a data directory, in whatever process; None when none does.

    Raises:
        EmbeddedPostgresError: only others may enter the directory.
    """
    cluster = data.absolute() / "postgres"
    try:
        lines = _pid_file(cluster)
    except PermissionError:
        raise EmbeddedPostgresError(
            f"{cluster} cannot be entered: run this as root, or as the account that runs the service."
        ) from None
    if len(lines) <= _PID_FILE_STATUS_LINE or lines[_PID_FILE_STATUS_LINE] != "ready" or not _lives(lines[0]):
        return None
    return _dsn(Path(lines[_PID_FILE_SOCKET_LINE]), NAME)


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another account: root's service, whose files we may read
        return True
    return True


def _dsn(sockets: Path, database: str) -> str:
    return make_conninfo(host=str(sockets), port=_PORT, user=NAME, dbname=database)


def _end(process: subprocess.Popen[bytes]) -> None:
    for request, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, QUIT_SECONDS)):
        process.send_signal(request)
        if _until(lambda: process.poll() is not None, seconds):
            return
    raise EmbeddedPostgresError(f"PostgreSQL (process {process.pid}) does not stop.")


def _stop_left_over(cluster: Path) -> None:
    """Stop what a killed predecessor left: its server, or the processes of a server that was itself killed.

    Only where /proc tells which process works in which directory; elsewhere PostgreSQL's own check of its pid file
    refuses a second server.
    """
    if not _PROC.is_dir():
        return
    postmaster = _pid_file(cluster)[0]
    left = _server_processes(cluster)
    if postmaster in left:
        os.kill(int(postmaster), signal.SIGINT)
        _until(lambda: not _server_processes(cluster), STOP_SECONDS)
    for pid in _server_processes(cluster):
        _quit(int(pid))
    if not _until(lambda: not _server_processes(cluster), QUIT_SECONDS):
        raise EmbeddedPostgresError(
            f"Processes of an earlier PostgreSQL on {cluster} do not stop: {', '.join(_server_processes(cluster))}."
        )
    # In a container the number in a stale file may be anyone's by now, even ours, and PostgreSQL would refuse to start.
    for name in (_PID_FILE, f"{_SOCKET}.lock"):
        (cluster / name).unlink(missing_ok=True)


def _quit(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGQUIT)
    except ProcessLookupError:
        return


def _server_processes(cluster: Path) -> frozenset[str]:
    """Process ids of PostgreSQL's processes that work in ``cluster``: all of them do, and a zombie works nowhere."""
    home = cluster.resolve()
    return frozenset(path.name for path in _PROC.glob("[0-9]*") if _serves(path, home))


def _serves(process: Path, home: Path) -> bool:
    try:
        return (process / "cwd").readlink() == home and (process / "comm").read_text().strip() == "postgres"
    except OSError:  # It ended meanwhile, or is not ours to look into.
        return False


def _pid_file(cluster: Path) -> list[str]:
    """The stripped lines of ``postmaster.pid``, one empty line when there is none."""
    try:
        text = (cluster / _PID_FILE).read_text()
    except FileNotFoundError:
        text = ""
    return [line.strip() for line in text.splitlines()] or [""]


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until ``condition`` holds; False when it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
