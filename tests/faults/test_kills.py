"""Processes killed at any moment: no job is lost, none ends twice."""

import os
import random
import signal
import time
from pathlib import Path

import psycopg
import pytest

from chaos import QUICK_RECOVERY, SETTINGS, Plan, torment
from server import Server
from support import job_body, noisy_speech, start_service, wait_for_jobs, wait_ready, wav_bytes

OUR_BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'sordino' AND pid <> pg_backend_pid()"
BEATING_WORKERS = """
SELECT count(*) FROM sordino.procrastinate_workers WHERE last_heartbeat > now() - interval '1.5 seconds'
"""


@pytest.fixture
def data(room: Path) -> Path:
    """The data directory of a new service."""
    return room / "data"


def submit_long_job(service: Server, seconds: float = 120.0) -> tuple[str, str]:
    """Submit a job that runs for several seconds; its bucket and id."""
    client, bucket = service.client(), f"faults-{service.root_key.appid}"
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="in.wav", Body=wav_bytes(noisy_speech(seconds, 8000), 8000))
    reply = client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, "out.wav", SampleRate="8000"), Lst={})
    return bucket, reply["JobsDetail"][0]["JobId"]


def wait_for_state(service: Server, bucket: str, job_id: str, state: str) -> dict[str, object]:
    """Poll until the job is in that state."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        detail = service.client().ci_get_media_jobs(Bucket=bucket, JobIDs=job_id)["JobsDetail"][0]
        if detail["State"] == state:
            return detail
        time.sleep(0.05)
    pytest.fail(f"the job did not become {state}: {detail}")


def test_everything_killed_at_random(data: Path) -> None:
    """Every job ends once as it must, every output is written once and every end told, whatever is killed."""
    service = start_service(data, SORDINO_WORKERS="2", **SETTINGS)
    try:
        result = torment(service, Plan(jobs=20, seconds=4, torment_seconds=40, seed=1), data.parent)
    finally:
        service.stop()
    assert result.hits > 0
    assert result.outcome.sound, result


def test_stop_gives_running_jobs_back(data: Path) -> None:
    """SIGTERM ends the service cleanly with a job half done; the next start finishes it."""
    service = start_service(data, SORDINO_WORKERS="1", SORDINO_DRAIN_SECONDS="0")
    bucket, job_id = submit_long_job(service)
    wait_for_state(service, bucket, job_id, "Running")
    assert service.stop(signal.SIGTERM) == 0
    again = start_service(data, SORDINO_WORKERS="1")
    try:
        detail = again.client().ci_get_media_jobs(Bucket=bucket, JobIDs=job_id)["JobsDetail"][0]
        assert detail["State"] in ("Submitted", "Running")
        assert wait_for_jobs(again.client(), bucket, [job_id])[job_id]["State"] == "Success"
    finally:
        again.stop()


def test_whole_service_killed(data: Path) -> None:
    """SIGKILL of the supervisor takes API and workers with it; the next start has all data and finishes the job."""
    service = start_service(data, SORDINO_WORKERS="1", **QUICK_RECOVERY)
    bucket, job_id = submit_long_job(service)
    wait_for_state(service, bucket, job_id, "Running")
    children = service.children
    service.process.kill()
    service.process.wait()
    deadline = time.monotonic() + 20
    while any(child.is_running() for child in children):
        assert time.monotonic() < deadline, "children outlive their supervisor"
        time.sleep(0.1)
    again = start_service(data, SORDINO_WORKERS="1", **QUICK_RECOVERY)
    try:
        assert wait_for_jobs(again.client(), bucket, [job_id])[job_id]["State"] == "Success"
        assert again.client().object_exists(Bucket=bucket, Key="out.wav")
    finally:
        again.stop()


def test_database_killed(data: Path) -> None:
    """SIGKILL of the database: the service brings it back, and the accepted job still ends well."""
    service = start_service(data, SORDINO_WORKERS="1", **QUICK_RECOVERY)
    try:
        bucket, job_id = submit_long_job(service, 60.0)
        wait_for_state(service, bucket, job_id, "Running")
        postmaster = int((data / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(postmaster, signal.SIGKILL)
        time.sleep(1)
        wait_ready(service)
        assert wait_for_jobs(service.client(), bucket, [job_id])[job_id]["State"] == "Success"
    finally:
        assert service.stop() == 0


def test_worker_asleep_past_its_time(data: Path) -> None:
    """A worker that was only stopped wakes up to find its job taken over, and leaves no second result."""
    service = start_service(data, SORDINO_WORKERS="2", **QUICK_RECOVERY)
    try:
        bucket, job_id = submit_long_job(service, 120.0)
        wait_for_state(service, bucket, job_id, "Running")
        with psycopg.connect(host=str(data / "postgres"), user="sordino", dbname="sordino") as db:
            time.sleep(0.5)
            for pid in service.workers:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(3)
            for pid in service.workers:
                os.kill(pid, signal.SIGCONT)
            assert wait_for_jobs(service.client(), bucket, [job_id])[job_id]["State"] == "Success"
            time.sleep(1)
            unfinished = db.execute("SELECT count(*) FROM sordino.procrastinate_jobs WHERE status = 'doing'").fetchone()
            assert unfinished == (0,)
    finally:
        service.stop()


def test_connections_cut_at_random(data: Path) -> None:
    """Connections to the database that break while jobs run cost no job, and leave workers that give signs of life."""
    chance = random.Random(3)
    service = start_service(data, SORDINO_WORKERS="2", **QUICK_RECOVERY)
    try:
        client, bucket = service.client(), f"cuts-{service.root_key.appid}"
        client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=bucket, Key="in.wav", Body=wav_bytes(noisy_speech(30), 16000))
        jobs = [
            client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, f"{n}.wav"), Lst={})["JobsDetail"][0][
                "JobId"
            ]
            for n in range(10)
        ]
        with psycopg.connect(host=str(data / "postgres"), user="sordino", dbname="sordino", autocommit=True) as db:
            for _ in range(30):
                backends = [pid for (pid,) in db.execute(OUR_BACKENDS)]
                if backends:
                    db.execute("SELECT pg_terminate_backend(%s)", [chance.choice(backends)])
                time.sleep(0.2)
            ended = wait_for_jobs(client, bucket, jobs)
            assert {detail["State"] for detail in ended.values()} == {"Success"}
            deadline = time.monotonic() + 20
            while db.execute(BEATING_WORKERS).fetchone() != (2,):
                assert time.monotonic() < deadline, "a worker gives no signs of life"
                time.sleep(0.2)
            assert db.execute("SELECT count(*) FROM sordino.procrastinate_jobs").fetchone() == (0,)
    finally:
        service.stop()
