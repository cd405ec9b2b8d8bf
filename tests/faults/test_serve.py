"""``sordino serve`` as an operator meets it: first start, second start, wrong settings, signals."""

import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from sordino.adapters.data_directory import DataDirectoryError, write_root_key
from sordino.cam.accounts import new_root_key
from sordino.cli import serve
from sordino.settings import Settings
from support import clean_environment, free_port, job_body, new_name, start_service, wait_for_jobs


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
    """An address in use is told in one line, and leaves no directory behind."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        result = run("serve", "--data", str(data), "--port", str(listener.getsockname()[1]))
    assert result.returncode == 1
    assert "cannot listen" in result.stderr
    assert "Traceback" not in result.stderr
    assert not data.exists()


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


def test_malformed_database_url(data: Path) -> None:
    """It is a usage error, and the password is not shown."""
    result = run("serve", "--data", str(data), SORDINO_DATABASE_URL="postgresql://sordino:hunter2%zz@db/sordino")
    assert result.returncode == 2
    assert "SORDINO_DATABASE_URL" in result.stderr
    assert "Traceback" not in result.stderr
    assert "hunter2" not in result.stdout + result.stderr


def test_traceback_on_a_terminal_shows_no_variables() -> None:
    """Local variables may be keys and passwords: text logs leave them out."""
    script = (
        "import structlog; from sordino import logs; logs.configure('text', 'info')\n"
        "def fail(password): 1 / 0\n"
        "try: fail('hunter' + '2')\n"
        "except ZeroDivisionError: structlog.get_logger('sordino').exception('failed')\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "ZeroDivisionError" in result.stderr
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize("url", ["file:///proc/nope", "az://container"])
def test_blob_store_that_cannot_be_opened(data: Path, external: str, url: str) -> None:
    """A directory that cannot be made and a store without its account are told in one line."""
    environment = {"SORDINO_DATABASE_URL": external, "SORDINO_DATABASE_SCHEMA": new_name("blobs")}
    result = run("serve", "--data", str(data), "--port", "0", SORDINO_BLOBS_URL=url, **environment)
    assert result.returncode == 1
    assert "SORDINO_BLOBS_URL" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("half", ["serve", "worker"])
def test_engine_that_cannot_be_loaded(half: str, data: Path, external: str, tmp_path: Path) -> None:
    """A start without the model's weights ends with one line that says what is missing and what to do."""
    environment = {
        "SORDINO_DENOISER": "dfn3",
        "SORDINO_MODEL_DIR": str(tmp_path),
        "SORDINO_CACHE_DIR": str(tmp_path),
        "SORDINO_DATABASE_URL": external,
        "SORDINO_DATABASE_SCHEMA": new_name("engine"),
        "SORDINO_PORT": "0",
    }
    result = run(half, "--data", str(data), **environment)
    assert result.returncode == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("sordino: ")]
    assert line.startswith("sordino: the engine 'dfn3' cannot be loaded: There is no model archive")
    assert "SORDINO_MODEL_DIR" in line
    assert "Traceback" not in result.stderr
    assert "listens" not in result.stdout


def test_unknown_variable_is_told_once(data: Path) -> None:
    """A misspelt setting gets one warning, not one of each process, and those of the root key's file get none."""
    service = start_service(data, SORDINO_WORKER="1", SORDINO_WORKERS="1", SORDINO_SECRET_ID="x")
    assert service.stop() == 0
    text = service.log.read_text()
    assert text.count('SORDINO_WORKER"') == 1, text
    assert "SORDINO_SECRET_ID" not in text


def test_closed_terminal(data: Path) -> None:
    """SIGHUP ends everything in order, as SIGTERM does."""
    service = start_service(data, SORDINO_WORKERS="1")
    pids = [child.pid for child in psutil.Process(service.process.pid).children(recursive=True)]
    assert service.stop(signal.SIGHUP) == 0
    assert "Sordino has stopped." in service.log.read_text()
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_nohup(data: Path) -> None:
    """Who starts it with SIGHUP ignored has it run on when the terminal closes."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        service = start_service(data, SORDINO_WORKERS="1")
    finally:
        signal.signal(signal.SIGHUP, before)
    service.process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        service.process.wait(1)
    assert service.stop() == 0


def test_another_database_keeps_the_first_root_key(data: Path, external: str) -> None:
    """The key of a second database goes to a file of its own, which the announcement names."""
    service = start_service(data, SORDINO_WORKERS="1")
    first = service.root_key
    assert service.stop() == 0
    schema = new_name("other")
    other = start_service(data, SORDINO_WORKERS="1", SORDINO_DATABASE_URL=external, SORDINO_DATABASE_SCHEMA=schema)
    try:
        assert other.root_key == first
        (path,) = data.glob("root-key.*.env")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert f"kept in {path}," in other.log.read_text()
        assert first.secret_key not in path.read_text()
    finally:
        assert other.stop() == 0


def test_root_keys_are_never_replaced(tmp_path: Path) -> None:
    """Each key has its file; when both names are taken, the start is refused."""
    key = new_root_key()
    assert write_root_key(tmp_path, key) == tmp_path / "root-key.env"
    second = write_root_key(tmp_path, key)
    assert second == tmp_path / f"root-key.{key.account.appid}.env"
    with pytest.raises(DataDirectoryError, match="another root key"):
        write_root_key(tmp_path, key)
    assert set(tmp_path.iterdir()) == {tmp_path / "root-key.env", second}


@pytest.mark.parametrize(("workers", "sessions"), [(1, 100), (64, 800)])
def test_database_has_room_for_all_processes(workers: int, sessions: int) -> None:
    """The embedded server allows the sessions that API and workers may open, however many cores there are."""
    assert serve._sessions(Settings(workers=workers)) == sessions


def test_api_alone_tells_its_port(data: Path, external: str) -> None:
    """`api --port 0` says which port it took."""
    environment = {"SORDINO_DATABASE_URL": external, "SORDINO_DATABASE_SCHEMA": new_name("alone")}
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "sordino", "api", "--port", "0", "--data", str(data)],
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(**environment),
    ) as process:
        try:
            line = next(line for line in process.stdout if "listens on" in line)
            socket.create_connection(("127.0.0.1", int(line.rstrip(".\n").rpartition(":")[2]))).close()
        finally:
            process.terminate()
            process.stdout.close()


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
