"""Workers as an operator meets them: jobs that kill them, jobs that are stopped, deadlines, draining, their memory."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from psycopg import sql
from qcloud_cos import CosS3Client

from server import Server
from support import QUICK_TAKEOVER, clean_environment, job_body, noisy_speech, start_service, wait_for_jobs, wav_bytes

ONE = {"SORDINO_WORKERS": "1", "SORDINO_DENOISER": "fast", "SORDINO_MAX_INPUT_BYTES": "100000000", **QUICK_TAKEOVER}


@pytest.fixture
def start(room: Path) -> Iterator[Callable[..., Server]]:
    """Starts a service that is stopped at the end, without patience for its jobs."""
    running: list[Server] = []

    def begin(**environment: str) -> Server:
        running.append(start_service(room / "data", **ONE | environment))
        return running[-1]

    yield begin
    for service in running:
        if service.process.poll() is None:
            service.process.send_signal(signal.SIGTERM)
            service.stop()


def admin(service: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``sordino admin job`` beside the service."""
    command = [sys.executable, "-m", "sordino", "admin", "job", *arguments, "--data", str(service.data)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=clean_environment())


def shown(service: Server, job_id: str) -> dict[str, Any]:
    """The job as its operator sees it."""
    result = admin(service, "show", job_id, "--json")
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


def submit(service: Server, seconds: float) -> tuple[CosS3Client, str, str]:
    """Submit a job on a recording of that length; client, bucket and id."""
    client, bucket = service.client(), f"workers-{service.root_key.appid}"
    if not client.bucket_exists(Bucket=bucket):
        client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="in.wav", Body=wav_bytes(noisy_speech(seconds, 8000), 8000))
    reply = client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, "out.wav", SampleRate="8000"), Lst={})
    return client, bucket, reply["JobsDetail"][0]["JobId"]


def until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Poll until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def media_processes(service: Server) -> list[psutil.Process]:
    """The processes that work on media now: children of a worker's zygotes."""
    found = []
    for worker in service.workers:
        try:
            found += [child for zygote in psutil.Process(worker).children() for child in zygote.children()]
        except psutil.NoSuchProcess:
            continue
    return found


def at_work(service: Server) -> psutil.Process:
    """The process that works on the only job, once there is one."""
    until(lambda: bool(media_processes(service)), "no media process")
    return media_processes(service)[0]


def alive(process: psutil.Process) -> bool:
    """Whether it is more than an entry in a table."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_job_that_kills_its_workers(start: Callable[..., Server]) -> None:
    """A job whose worker is killed three times fails with a message that says so; the next job runs."""
    service = start(SORDINO_JOB_WORKER_DEATHS="3")
    client, bucket, job_id = submit(service, 1200.0)
    for _ in range(3):
        at_work(service)
        (worker,) = service.workers
        os.kill(worker, signal.SIGKILL)
        until(lambda pid=worker: pid not in service.workers, "the worker lives")
    detail = wait_for_jobs(client, bucket, [job_id])[job_id]
    assert (detail["State"], detail["Code"]) == ("Failed", "InternalError")
    assert "3 times" in detail["Message"]
    assert shown(service, job_id)["attempt"] == 3
    assert not client.object_exists(Bucket=bucket, Key="out.wav")
    _, _, following = submit(service, 1.0)
    assert wait_for_jobs(client, bucket, [following])[following]["State"] == "Success"


def test_an_operator_stops_a_running_job(start: Callable[..., Server]) -> None:
    """The media process of a job that is cancelled is gone soon, no output appears, and the worker goes on."""
    service = start()
    client, bucket, job_id = submit(service, 1200.0)
    process = at_work(service)
    with ThreadPoolExecutor() as beside:
        command = beside.submit(admin, service, "cancel", job_id)
        until(lambda: not alive(process), "the media process goes on")
        gone = datetime.now(UTC)
        result = command.result()
    assert result.returncode == 0, result.stderr
    assert "Cancel" in result.stdout
    ended = datetime.fromisoformat(shown(service, job_id)["ended_at"])
    print(f"the media process was gone {(gone - ended).total_seconds():.2f} s after the job was cancelled")
    detail = client.ci_get_media_jobs(Bucket=bucket, JobIDs=job_id)["JobsDetail"][0]
    assert detail["State"] == "Cancel"
    assert "operator" in detail["Message"]
    _, _, following = submit(service, 1.0)
    assert wait_for_jobs(client, bucket, [following])[following]["State"] == "Success"
    assert shown(service, job_id)["state"] == "Cancel"
    refused = admin(service, "cancel", following)
    assert refused.returncode == 1
    assert "Success" in refused.stderr
    assert "no job" in admin(service, "show", "j0").stderr


def test_a_media_process_that_stands_still(start: Callable[..., Server]) -> None:
    """A job whose process does nothing any more is stopped at its deadline and says so; the next job runs."""
    service = start(SORDINO_JOB_WALL_SECONDS="3")
    client, bucket, job_id = submit(service, 1200.0)
    process = at_work(service)
    process.suspend()
    detail = wait_for_jobs(client, bucket, [job_id])[job_id]
    assert (detail["State"], detail["Code"]) == ("Failed", "ResourceNotSupported")
    assert "took longer than the 3 s" in detail["Message"]
    assert not alive(process)
    _, _, following = submit(service, 1.0)
    assert wait_for_jobs(client, bucket, [following])[following]["State"] == "Success"


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"SORDINO_MEDIA_CPU_SECONDS": "1"}, "CPU time"),
        ({"SORDINO_MEDIA_MEMORY_BYTES": str(2**20)}, "memory"),
        ({"SORDINO_MAX_INPUT_SECONDS": "100"}, "100 s"),
    ],
)
def test_limits_end_a_job(start: Callable[..., Server], limit: dict[str, str], message: str) -> None:
    """CPU, memory and decoded duration beyond the limit end the job once and say which, and whom to ask for more."""
    service = start(**limit)
    client, bucket, job_id = submit(service, 600.0)
    detail = wait_for_jobs(client, bucket, [job_id])[job_id]
    assert (detail["State"], detail["Code"]) == ("Failed", "ResourceNotSupported")
    assert message in detail["Message"]
    assert "operator" in detail["Message"]
    assert shown(service, job_id)["attempt"] == 1


def test_a_stop_lets_jobs_end(start: Callable[..., Server]) -> None:
    """A job that ends within the time for that is finished before the service stops."""
    service = start(SORDINO_DRAIN_SECONDS="60")
    _, bucket, job_id = submit(service, 120.0)
    at_work(service)
    assert service.stop() == 0
    again = start()
    assert again.client().ci_get_media_jobs(Bucket=bucket, JobIDs=job_id)["JobsDetail"][0]["State"] == "Success"
    assert shown(again, job_id)["attempt"] == 1
    assert again.client().object_exists(Bucket=bucket, Key="out.wav")


@pytest.mark.parametrize("patience", ["1", "600"])
def test_a_stop_does_not_wait_for_ever(start: Callable[..., Server], patience: str) -> None:
    """When the time is up, or at a second signal, the job goes back, and the next start takes it up."""
    service = start(SORDINO_DRAIN_SECONDS=patience)
    *_, job_id = submit(service, 1200.0)
    at_work(service)
    if patience == "600":
        service.process.send_signal(signal.SIGTERM)
        until(lambda: "a second signal hurries" in service.log.read_text(), "no word of the second signal")
    assert service.stop() == 0
    again = start()
    at_work(again)
    assert shown(again, job_id)["attempt"] == 2


def test_hundreds_of_jobs_leave_nothing_in_memory(start: Callable[..., Server]) -> None:
    """Neither a worker, nor what it forks jobs' processes from, nor the engine's tables grow with every job."""
    service = start(SORDINO_QUEUE_MAX_CONCURRENT="10")
    client, bucket, first = submit(service, 0.5)
    wait_for_jobs(client, bucket, [first])
    sizes, forked_from = [], _zygotes(service)
    for count in (50, 100, 100):
        ids = [
            client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, f"{n}.wav"), Lst={})["JobsDetail"][0][
                "JobId"
            ]
            for n in range(count)
        ]
        ended = wait_for_jobs(client, bucket, ids)
        assert {detail["State"] for detail in ended.values()} == {"Success"}
        sizes.append(_memory(service))
    assert _zygotes(service) == forked_from, "the engine was loaded again"
    print(f"MiB of worker and zygote after 50, 150 and 250 jobs: {sizes}")
    for before, after in zip(sizes[0], sizes[-1], strict=True):
        assert after < before * 1.05 + 2
    with psycopg.connect(host=str(service.data / "postgres"), user="sordino", dbname="sordino") as connection:
        for table in ("procrastinate_jobs", "procrastinate_events"):
            query = sql.SQL("SELECT count(*) FROM sordino.{}").format(sql.Identifier(table))
            assert connection.execute(query).fetchone() == (0,), f"the engine keeps rows in {table}"


def _zygotes(service: Server) -> list[int]:
    """What jobs' processes are forked from."""
    (worker,) = service.workers
    return [zygote.pid for zygote in psutil.Process(worker).children()]


def _memory(service: Server) -> tuple[float, ...]:
    """Memory that is the process's own, of the worker and of its zygote, MiB."""
    (worker,) = service.workers
    processes = [psutil.Process(worker), *psutil.Process(worker).children()]
    return tuple(round(process.memory_full_info().uss / 2**20, 1) for process in processes)
