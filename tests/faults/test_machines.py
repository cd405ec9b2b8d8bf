"""Several machines: workers that share nothing but the database and the blob store."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from cryptography.fernet import Fernet

from server import Server
from sordino.adapters.postgres.embedded import EmbeddedPostgres
from support import QUICK_TAKEOVER, clean_environment, job_body, noisy_speech, wait_for_jobs, wait_ready, wav_bytes

NOTE_WRITES = """
CREATE TABLE sordino.written (key text);
CREATE FUNCTION sordino.note_write() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN INSERT INTO sordino.written VALUES (NEW.key); RETURN NULL; END';
CREATE TRIGGER note_write AFTER INSERT OR UPDATE ON sordino.objects
  FOR EACH ROW EXECUTE FUNCTION sordino.note_write();
"""
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'sordino' AND pid <> pg_backend_pid()"


@dataclass(frozen=True)
class Machines:
    """One that runs the API, two that run a worker each, and the database that they share."""

    database: EmbeddedPostgres
    api: Server
    workers: Sequence[Server]

    def submit(self, count: int, seconds: float) -> tuple[str, list[str]]:
        """Submit jobs on a recording of that length, each with an output of its own; bucket and ids."""
        client, bucket = self.api.client(), f"machines-{self.api.root_key.appid}"
        client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=bucket, Key="in.wav", Body=wav_bytes(noisy_speech(seconds, 8000), 8000))
        bodies = [job_body(bucket, f"out/{n}.wav", SampleRate="8000") for n in range(count)]
        replies = [client.ci_create_media_jobs(Bucket=bucket, Jobs=body, Lst={}) for body in bodies]
        return bucket, [reply["JobsDetail"][0]["JobId"] for reply in replies]

    def check_each_once(self, bucket: str, jobs: Sequence[str]) -> None:
        """Every job succeeds, and every output is written once."""
        ended = wait_for_jobs(self.api.client(), bucket, list(jobs), seconds=250)
        assert {detail["State"] for detail in ended.values()} == {"Success"}
        with psycopg.connect(self.database.dsn) as connection:
            written = connection.execute("SELECT key FROM sordino.written WHERE key LIKE 'out/%'").fetchall()
        assert sorted(key for (key,) in written) == sorted(f"out/{n}.wav" for n in range(len(jobs)))

    def wait_for_work(self) -> None:
        """Return once both workers have begun a job."""
        for worker in self.workers:
            worker.wait_until(lambda it=worker: "job started" in it.log.read_text(), 60, "a job")


def launch(room: Path, name: str, *command: str, **environment: str) -> Server:
    """Start a part of the service on a machine of its own: with its own data and cache directories."""
    data = room / name
    log = data.with_suffix(".log")
    own = {"SORDINO_DATA": str(data), "SORDINO_CACHE_DIR": str(room / f"{name}-cache")}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "sordino", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=clean_environment(**own, **QUICK_TAKEOVER, SORDINO_DENOISER="fast", **environment),
            start_new_session=True,
        )
    return Server(process=process, data=data, log=log)


@pytest.fixture
def machines(room: Path) -> Iterator[Machines]:
    """Three machines, ready, with a note of every output that is written."""
    with ExitStack() as stack:
        database = stack.enter_context(EmbeddedPostgres(room / "database"))
        shared = {
            "SORDINO_DATABASE_URL": database.dsn,
            "SORDINO_BLOBS_URL": (room / "blobs").as_uri(),
            "SORDINO_SECRETS_KEY": Fernet.generate_key().decode(),
        }
        api = launch(room, "api", "api", "--port", "0", **shared)
        stack.callback(api.stop)
        wait_ready(api)
        workers = [launch(room, name, "worker", SORDINO_DRAIN_SECONDS="0", **shared) for name in ("one", "two")]
        for worker in workers:
            stack.callback(worker.stop)
        with psycopg.connect(database.dsn, autocommit=True) as connection:
            connection.execute(NOTE_WRITES)
        yield Machines(database, api, workers)


def test_machines_share_the_work(machines: Machines) -> None:
    """Both workers run jobs; when one of the machines is lost the other one does what is left, each job once."""
    bucket, jobs = machines.submit(6, 90.0)
    machines.wait_for_work()
    os.kill(machines.workers[0].process.pid, signal.SIGKILL)
    machines.check_each_once(bucket, jobs)


def test_workers_cut_off_from_the_database(machines: Machines) -> None:
    """Workers whose sessions with the database are all ended, twice, come back and run no job to its end twice."""
    bucket, jobs = machines.submit(4, 100.0)
    machines.wait_for_work()
    with psycopg.connect(machines.database.dsn, autocommit=True) as connection:
        for _ in range(2):
            for (pid,) in connection.execute(BACKENDS).fetchall():
                connection.execute("SELECT pg_terminate_backend(%s)", [pid])
            time.sleep(1)
    machines.check_each_once(bucket, jobs)


def test_the_database_stops_for_ten_seconds(machines: Machines) -> None:
    """Workers wait for a database that is away, come back with it, and run no job to its end twice."""
    bucket, jobs = machines.submit(3, 150.0)
    machines.wait_for_work()
    machines.database.stop()
    time.sleep(10)
    machines.database.start()
    wait_ready(machines.api)
    machines.check_each_once(bucket, jobs)
    for worker in machines.workers:
        worker.check()


def test_the_api_stops_though_the_database_hangs(room: Path) -> None:
    """What it would tell the audit log at last keeps it for some seconds."""
    with EmbeddedPostgres(room / "database") as database:
        api = launch(room, "api", "api", "--port", "0", SORDINO_DATABASE_URL=database.dsn)
        try:
            wait_ready(api)
            client, bucket = api.client(), f"hangs-{api.root_key.appid}"
            client.create_bucket(Bucket=bucket)
            with psycopg.connect(database.dsn) as connection:
                backends = [pid for (pid,) in connection.execute(BACKENDS)]
            client.put_object(Bucket=bucket, Key="last", Body=b"")
            for pid in backends:
                os.kill(pid, signal.SIGSTOP)
            api.process.terminate()
            assert api.process.wait(15) == -signal.SIGALRM
        finally:
            api.stop()
            for pid in backends:
                os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_the_api_tells_the_audit_log_all_before_it_stops(room: Path, number: signal.Signals) -> None:
    """Calls that were answered just before are in the log."""
    with EmbeddedPostgres(room / "database") as database:
        api = launch(room, "api", "api", "--port", "0", SORDINO_DATABASE_URL=database.dsn)
        try:
            wait_ready(api)
            client, bucket = api.client(), f"told-{api.root_key.appid}"
            client.create_bucket(Bucket=bucket)
            for count in range(3):
                client.put_object(Bucket=bucket, Key=str(count), Body=b"")
        finally:
            status = api.stop(number)
        with psycopg.connect(database.dsn) as connection:
            told = connection.execute("SELECT count(*) FROM sordino.audit WHERE action = 'cos:PutObject'").fetchone()
    assert (told, status) == ((3,), 0)
