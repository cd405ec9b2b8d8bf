"""``sordino serve`` as an operator meets it: first start, second start, wrong settings, signals."""

import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from support import clean_environment, free_port, job_body, start_service, wait_for_jobs


@pytest.fixture
def data(room: Path) -> Path:
    """The data directory of a new service."""
    return room / "data"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "sordino", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=clean_environment(**environment),
    )


def test_first_start_second_start_and_restart(data: Path) -> None:
    """The root key is shown once and private; a second serve on the directory is refused; a restart has all data."""
    service = start_service(data)
    key, shown = service.root_key, service.log.read_text()
    assert key.secret_key in shown
    assert stat.S_IMODE((data / "root-key.env").stat().st_mode) == 0o600
    service.client().create_bucket(Bucket=f"kept-{service.root_key.appid}")
    service.client().put_object(Bucket=f"kept-{service.root_key.appid}", Key="k", Body=b"v")
    second = run("serve", "--data", str(data), "--port", str(free_port()))
    assert second.returncode == 1
    assert str(service.process.pid) in second.stderr
    assert "--data" in second.stderr
    assert "Traceback" not in second.stderr
    assert service.stop(signal.SIGINT) == 0
    again = start_service(data)
    try:
        assert again.root_key == key
        assert again.log.read_text().count(key.secret_key) == 1
        body = (
            again.client().get_object(Bucket=f"kept-{service.root_key.appid}", Key="k")["Body"].get_raw_stream().read()
        )
        assert body == b"v"
    finally:
        assert again.stop() == 0


def test_port_in_use(data: Path) -> None:
    """An address in use is told in one line."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        result = run("serve", "--data", str(data), "--port", str(listener.getsockname()[1]))
    assert result.returncode == 1
    assert "cannot listen" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("half", ["api", "worker"])
def test_half_without_a_database(half: str, data: Path) -> None:
    """API and worker alone say that they need a database to share."""
    result = run(half, "--data", str(data), **({"SORDINO_PORT": str(free_port())} if half == "api" else {}))
    assert result.returncode == 1
    assert "SORDINO_DATABASE_URL" in result.stderr
    assert "Traceback" not in result.stderr


def test_bad_setting() -> None:
    """A setting of the wrong type is named with what is wrong, as a usage error."""
    result = run("serve", SORDINO_WORKERS="many")
    assert result.returncode == 2
    assert "SORDINO_WORKERS" in result.stderr
    assert "many" in result.stderr
    assert "Traceback" not in result.stderr


def test_database_that_does_not_answer(data: Path) -> None:
    """A server that is not there is told, with no traceback."""
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    result = run("serve", "--data", str(data), "--port", str(free_port()), SORDINO_DATABASE_URL=url)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "database" in result.stderr.lower()


def test_external_database(data: Path, external: str, recording: bytes) -> None:
    """SORDINO_DATABASE_URL uses a PostgreSQL server: no embedded one is made, and jobs run."""
    service = start_service(data, SORDINO_DATABASE_URL=external)
    try:
        assert not (data / "postgres").exists()
        client, bucket = service.client(), f"ext-{service.root_key.appid}"
        client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=bucket, Key="in.wav", Body=recording)
        reply = client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, "o.wav"), Lst={})
        job_id = reply["JobsDetail"][0]["JobId"]
        assert wait_for_jobs(client, bucket, [job_id])[job_id]["State"] == "Success"
    finally:
        assert service.stop() == 0
