"""What the embedded server promises: it starts, stops, keeps data, and picks up after being killed."""

import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock

import psycopg
import pytest

from rows import VAULT
from sordino.adapters.data_directory import locked
from sordino.adapters.postgres import binaries
from sordino.adapters.postgres import embedded as embedded_module
from sordino.adapters.postgres.binaries import Binaries
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.adapters.postgres.embedded import MAX_SOCKET_PATH, EmbeddedPostgres, EmbeddedPostgresError
from sordino.adapters.postgres.migrate import migrate

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes to another account")
needs_proc = pytest.mark.skipif(not Path("/proc").is_dir(), reason="there is no /proc to find processes in")


@pytest.fixture
def data(room: Path) -> Path:
    """A data directory that does not exist yet."""
    return room / "data"


def write(dsn: str, value: int) -> None:
    """Commit a row."""
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value integer)")
        connection.execute("INSERT INTO kept VALUES (%s)", [value])


def read(dsn: str) -> list[int]:
    """The rows committed so far."""
    with psycopg.connect(dsn) as connection:
        return [value for (value,) in connection.execute("SELECT value FROM kept ORDER BY value")]


def setting(dsn: str, name: str) -> str:
    """What the server says of one of its settings."""
    with psycopg.connect(dsn) as connection:
        (value,) = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
        return str(value)


@contextmanager
def living_process() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has nothing to do with PostgreSQL."""
    with subprocess.Popen(["sleep", "300"]) as process:
        try:
            yield process
        finally:
            process.kill()


def lives(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_keeps_data_over_restarts(data: Path) -> None:
    """The same object and a new one find what was committed; stopping twice is quiet."""
    server = EmbeddedPostgres(data)
    for value in (1, 2):
        server.start()
        write(server.dsn, value)
        server.stop()
        server.stop()
        assert server.pid is None
    with EmbeddedPostgres(data) as again:
        assert read(again.dsn) == [1, 2]


def test_is_set_up_for_us(embedded: str) -> None:
    """UTF-8, bytewise order, checksums, durable writes."""
    with psycopg.connect(embedded) as connection:
        row = connection.execute(
            "SELECT current_database(), current_user, pg_encoding_to_char(encoding), datlocprovider, datlocale"
            "  FROM pg_database WHERE datname = current_database()"
        ).fetchone()
        order = connection.execute("SELECT array_agg(x ORDER BY x) FROM unnest(ARRAY['é', 'b', 'a', 'B']) AS x")
        assert order.fetchone() == (["B", "a", "b", "é"],)
    assert row == ("sordino", "sordino", "UTF8", "b", "C.UTF-8")
    assert [setting(embedded, name) for name in ("data_checksums", "fsync", "full_page_writes", "jit")] == [
        "on",
        "on",
        "on",
        "off",
    ]


def test_listens_on_a_private_socket_only(data: Path) -> None:
    """There is no TCP port, and nobody else may enter the socket's directory."""
    with EmbeddedPostgres(data) as server:
        host = Path(psycopg.conninfo.conninfo_to_dict(server.dsn)["host"])
        assert setting(server.dsn, "listen_addresses") == ""
        assert host.stat().st_mode & 0o777 == 0o700
        assert host.owner() == (data / "postgres").owner()


@pytest.mark.parametrize("name", ["x" * MAX_SOCKET_PATH, "a,b"])
def test_the_socket_of_an_awkward_path_lies_elsewhere(data: Path, name: str) -> None:
    """A path that is too long for a socket, or that would read as two, gets a private directory while it runs."""
    with EmbeddedPostgres(data / name) as server:
        host = Path(psycopg.conninfo.conninfo_to_dict(server.dsn)["host"])
        assert not host.is_relative_to(data)
        assert host.stat().st_mode & 0o777 == 0o700
        write(server.dsn, 1)
    assert not host.exists()


def test_a_path_with_spaces_and_letters_of_any_kind(data: Path) -> None:
    """The connection string quotes what needs it."""
    with EmbeddedPostgres(data / "d é'\\x") as server:
        write(server.dsn, 1)
        assert read(server.dsn) == [1]


def test_recovers_after_its_server_was_killed(data: Path) -> None:
    """Everything committed is there after SIGKILL, at the very next start."""
    server = EmbeddedPostgres(data)
    server.start()
    with psycopg.connect(server.dsn):  # A session that is still open must not stand in the way.
        write(server.dsn, 1)
        os.kill(server.pid, signal.SIGKILL)
        with EmbeddedPostgres(data) as again:
            assert read(again.dsn) == [1]
    server.stop()


def test_starts_again_after_its_server_was_killed(data: Path) -> None:
    """The object whose server died can stop and start."""
    server = EmbeddedPostgres(data)
    server.start()
    assert server.running
    os.kill(server.pid, signal.SIGKILL)
    while server.running:
        time.sleep(0.01)
    server.stop()
    with server:
        write(server.dsn, 1)
        assert read(server.dsn) == [1]


@needs_proc
def test_takes_over_from_a_killed_predecessor(data: Path) -> None:
    """A server whose parent was killed is stopped, and its data is found."""
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from sordino.adapters.postgres.embedded import EmbeddedPostgres\n"
        "server = EmbeddedPostgres(Path(sys.argv[1])); server.start()\n"
        "print(server.pid, server.dsn, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, data], check=False, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    pid, _, dsn = killed.stdout.strip().partition(" ")
    assert lives(int(pid))
    write(dsn, 1)
    with EmbeddedPostgres(data) as server:
        assert not lives(int(pid))
        assert read(server.dsn) == [1]


@needs_proc
def test_a_second_server_ends_the_first(data: Path) -> None:
    """Without the caller's lock the later one gets the data, and never do two run on it."""
    with EmbeddedPostgres(data) as first:
        write(first.dsn, 1)
        pid = first.pid
        with EmbeddedPostgres(data) as second:
            assert not lives(pid)
            assert read(second.dsn) == [1]


@needs_proc
def test_a_stale_pid_file_is_harmless(data: Path) -> None:
    """Its number may be another living process's by now, which is left alone."""
    with EmbeddedPostgres(data):
        pass
    with living_process() as bystander:
        for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            (data / "postgres" / name).write_text(f"{bystander.pid}\n{data / 'postgres'}\n0\n5432\n\n\n")
        with EmbeddedPostgres(data) as server:
            assert setting(server.dsn, "port") == "5432"
        assert bystander.poll() is None


def test_what_a_killed_initdb_left_is_removed(data: Path) -> None:
    """A half-made data directory never carries the final name, and the next start clears it away."""
    half = data / "postgres.new-abc"
    (half / "base").mkdir(parents=True)
    with EmbeddedPostgres(data):
        assert not half.exists()


def test_does_not_start_twice(data: Path) -> None:
    """One object runs one server."""
    with EmbeddedPostgres(data) as server:
        with pytest.raises(EmbeddedPostgresError, match="running already"):
            server.start()
        write(server.dsn, 1)


def test_refuses_data_of_another_version(data: Path) -> None:
    """Data of another major version is left alone, with advice."""
    with EmbeddedPostgres(data):
        pass
    (data / "postgres" / "PG_VERSION").write_text("15\n")
    with pytest.raises(EmbeddedPostgresError, match=r"made by PostgreSQL 15.*pg_dump"):
        EmbeddedPostgres(data).start()


def test_tells_why_the_server_ended(data: Path) -> None:
    """A server that gives up at start is reported with its own words, not waited for."""
    with EmbeddedPostgres(data):
        pass
    (data / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(EmbeddedPostgresError, match="no_such_setting"):
        EmbeddedPostgres(data).start()


def test_keeps_the_log_of_the_start_before(data: Path) -> None:
    """The log begins anew with each start, private, and the last one is kept."""
    server = EmbeddedPostgres(data)
    for _ in range(3):
        with server:
            pass
    assert {path.name for path in data.glob("postgres.log*")} == {"postgres.log", "postgres.log.1"}
    assert server.log.read_text().count("starting PostgreSQL") == 1
    assert server.log.stat().st_mode & 0o777 == 0o600


def test_as_many_sessions_as_asked_for(data: Path) -> None:
    """The limit is the caller's, who knows how many processes there will be."""
    with EmbeddedPostgres(data, max_connections=137) as server:
        assert setting(server.dsn, "max_connections") == "137"


def test_revive_tells_that_the_server_is_back(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log has the death of the server and its return."""
    log = Mock()
    monkeypatch.setattr(embedded_module, "log", log)
    with EmbeddedPostgres(data) as server:
        server.revive()
        assert not log.mock_calls
        os.kill(server.pid, signal.SIGKILL)
        while server.running:
            time.sleep(0.01)
        server.revive()
        log.error.assert_called_once()
        log.info.assert_called_once_with("PostgreSQL is back")
        write(server.dsn, 1)


@pytest.mark.parametrize("umask", [0o077, 0o022])
def test_a_new_data_directory_can_be_entered(room: Path, umask: int) -> None:
    """A strict umask does not lock out the account that PostgreSQL runs as, from the data nor from what is above."""
    before = os.umask(umask)
    try:
        with locked(room / "new" / "data"), EmbeddedPostgres(room / "new" / "data") as server:
            write(server.dsn, 1)
    finally:
        os.umask(before)
    expected = 0o711 if os.geteuid() == 0 else 0o700
    assert [path.stat().st_mode & 0o777 for path in (room / "new", room / "new" / "data")] == [expected, expected]


def test_its_session_is_its_own(data: Path) -> None:
    """Ctrl-C on our terminal does not reach the server."""
    with EmbeddedPostgres(data) as server:
        assert os.getsid(server.pid) == server.pid


async def test_transactions_work_again_after_a_restart(data: Path) -> None:
    """The pool notices that its connections died, and heals by itself."""
    server = EmbeddedPostgres(data)
    server.start()
    try:
        await migrate(server.dsn, "s")
        async with PostgresDatabase(server.dsn, schema="s", max_connections=2, vault=VAULT, tasks=Mock()) as database:
            assert await database.ready()
            server.stop()
            assert not await database.ready()
            server.start()
            async with database.transaction() as tx:
                assert not await tx.identities.accounts()
            assert await database.ready()
    finally:
        server.stop()


@needs_root
def test_root_drops_to_the_account_of_the_data(data: Path) -> None:
    """Server and data belong to the account named first, also when a later start names none; ours stays root's."""
    with EmbeddedPostgres(data, user="nobody"):
        pass
    with EmbeddedPostgres(data) as server:
        assert Path(f"/proc/{server.pid}").owner() == "nobody"
    assert (data / "postgres").owner() == "nobody"
    assert data.owner() == "root"
    assert data.stat().st_mode & 0o777 == 0o711


@needs_root
def test_data_that_root_owns_is_handed_over(data: Path) -> None:
    """A data directory restored from a backup by root starts."""
    with EmbeddedPostgres(data) as server:
        write(server.dsn, 1)
    for path in [data / "postgres", *(data / "postgres").rglob("*")]:
        os.chown(path, 0, 0)
    with EmbeddedPostgres(data) as server:
        assert read(server.dsn) == [1]


@needs_root
def test_names_the_directory_that_is_closed(room: Path) -> None:
    """When the account cannot reach the data, the error names the outermost closed directory, which stays closed."""
    closed = room / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(EmbeddedPostgresError, match=rf"chmod o\+x {closed}\)"):
        EmbeddedPostgres(closed / "data").start()
    assert closed.stat().st_mode & 0o777 == 0o700


@needs_root
def test_copies_programs_that_are_out_of_reach(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs below a closed directory (a virtual environment in /root) run from a copy, which is made once."""
    installed = binaries.find_binaries()
    closed = room / "root"
    closed.mkdir(mode=0o700)
    (closed / "site").symlink_to(installed.site)
    hidden = Binaries(site=closed / "site", version=installed.version)
    monkeypatch.setattr(binaries, "find_binaries", lambda: hidden)
    data = room / "data"
    copy = data / f"postgresql-{installed.version}"
    made = []
    for _ in range(2):
        with EmbeddedPostgres(data) as server:
            assert Path(f"/proc/{server.pid}/exe").readlink().is_relative_to(copy)
        made.append(copy.stat().st_ino)
    assert made[0] == made[1]
    assert not list(copy.rglob("include"))


@needs_root
def test_an_ordinary_user_runs_it_as_themselves(data: Path) -> None:
    """Without root everything belongs to the user who starts it, and the data directory is private."""
    nobody = pwd.getpwnam("nobody")
    script = f"""
import os, sys
from pathlib import Path
from unittest.mock import Mock
import psycopg
from sordino.adapters.postgres.binaries import find_binaries
from sordino.adapters.postgres.embedded import EmbeddedPostgres
find_binaries()  # Loads what this interpreter may not find any more when it is nobody.
str("x".encode("idna"))
os.setgroups([]); os.setgid({nobody.pw_gid}); os.setuid({nobody.pw_uid})
for _ in range(2):
    with EmbeddedPostgres(Path(sys.argv[1])) as server, psycopg.connect(server.dsn) as connection:
        print(connection.execute("SELECT count(*) FROM pg_database").fetchone()[0])
"""
    data.parent.chmod(0o777)
    result = subprocess.run([sys.executable, "-c", script, data], check=False, capture_output=True, text=True)
    assert result.stdout.split() == ["4", "4"], result.stderr
    assert {data.owner(), (data / "postgres").owner(), (data / "postgres.log").owner()} == {"nobody"}
    assert data.stat().st_mode & 0o777 == 0o700
