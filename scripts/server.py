"""A Sordino server of one's own: ``sordino serve`` on a free port and a fresh data directory, stopped at the end."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import psutil
from qcloud_cos import CosConfig, CosS3Client

REGION: Final = "ap-guangzhou"
START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.1
# The last one counts: the log of a server that was started again holds several.
_LISTENS: Final = re.compile(r"listens on http://127\.0\.0\.1:(?P<port>[0-9]+)")
_NO_PROXY: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ServerError(Exception):
    """The server does not start, or has stopped by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootKey:
    """The root account of a new server."""

    appid: str
    secret_id: str
    secret_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running ``sordino serve``.

    Attributes:
        data: its data directory.
        log: the file that holds all it says.
    """

    process: subprocess.Popen[bytes]
    data: Path
    log: Path

    @property
    def url(self) -> str:
        """``http://127.0.0.1:<port>``, once the server listens; an HTTP proxy to official SDKs.

        Raises:
            ServerError: it does not listen yet.
        """
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """Where it listens.

        Raises:
            ServerError: it does not listen yet.
        """
        ports: list[str] = _LISTENS.findall(self.log.read_text(errors="replace"))
        if not ports:
            raise ServerError("The server does not listen yet.")
        return int(ports[-1])

    @property
    def root_key(self) -> RootKey:
        """The key pair that the server made at its first start."""
        lines = (self.data / "root-key.env").read_text().splitlines()
        values = dict(line.split("=", 1) for line in lines)
        return RootKey(
            appid=values["SORDINO_APPID"],
            secret_id=values["SORDINO_SECRET_ID"],
            secret_key=values["SORDINO_SECRET_KEY"],
        )

    def client(self, *, retry: int = 1, **options: object) -> CosS3Client:
        """The official SDK with the root key.

        Args:
            retry: how often it sends a failed request again, whatever became of the first.
            options: of ``CosConfig``, saying how to reach the server. Without any, the server is the SDK's proxy for
                plain HTTP: host names stay those of the cloud, and no DNS is needed.
        """
        key = self.root_key
        return CosS3Client(
            CosConfig(
                Region=REGION,
                SecretId=key.secret_id,
                SecretKey=key.secret_key,
                **{"Scheme": "http", **(options or {"Proxies": {"http": self.url}})},
            ),
            retry=retry,
        )

    @property
    def workers(self) -> list[int]:
        """Process ids of its workers."""
        return [child.pid for child in self.children if "worker" in child.cmdline()]

    @property
    def api(self) -> list[int]:
        """Process id of its API; none while it is being started again."""
        return [child.pid for child in self.children if "api" in child.cmdline()]

    @property
    def children(self) -> list[psutil.Process]:
        """Its API and worker processes."""
        alive = [child for child in psutil.Process(self.process.pid).children() if child.status() != "zombie"]
        return [child for child in alive if "--lifeline" in child.cmdline()]

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the log, without those that carry the root key: the first start announces it."""
        secrets = self._secrets()
        said = self.log.read_text(errors="replace").splitlines()
        return "\n".join([line for line in said if not any(secret in line for secret in secrets)][-lines:])

    def _secrets(self) -> tuple[str, ...]:
        try:
            key = self.root_key
        except FileNotFoundError:  # it has not come to making one
            return ()
        return key.secret_id, key.secret_key

    def check(self) -> None:
        """Make sure that it still runs.

        Raises:
            ServerError: it has ended.
        """
        if (status := self.process.poll()) is not None:
            raise ServerError(f"The server has ended with status {status}.")

    def wait_until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for a condition while the server lives.

        Raises:
            ServerError: the server has ended, or ``seconds`` have passed without ``what``.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise ServerError(f"The server did not come to this within {seconds:.0f} s: {what}.")
            time.sleep(POLL_SECONDS)

    def ready(self) -> bool:
        """Whether it can take work now."""
        try:
            with _NO_PROXY.open(f"{self.url}/readyz", timeout=5) as reply:
                return bool(reply.status == 200)
        except (ServerError, urllib.error.URLError, TimeoutError, ConnectionError):
            return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop and wait, by force when it does not; the exit status."""
        self.process.send_signal(number)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def launch(data: Path, environment: Mapping[str, str] = MappingProxyType({})) -> Server:
    """Start a server on a data directory and a free port; it may not be ready yet, and the caller stops it.

    Args:
        data: its data directory; what it says is appended to a ``.log`` file beside it.
        environment: settings; those of the caller's environment do not count.
    """
    log = data.with_suffix(".log")
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sordino", "serve", "--host", "127.0.0.1", "--port", "0", "--data", data],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**_foreign(os.environ), **environment},
            # Ctrl-C reaches the caller alone, which then stops the server in order.
            start_new_session=True,
        )
    return Server(process=process, data=data, log=log)


@contextmanager
def new_room() -> Iterator[Path]:
    """A directory that is removed in the end, and that the account of the embedded database may pass through.

    As root PostgreSQL runs as another account, which may not enter the directories that pytest makes.
    """
    with tempfile.TemporaryDirectory(prefix="sordino-", ignore_cleanup_errors=True) as name:
        room = Path(name)
        room.chmod(0o711)
        yield room


@contextmanager
def start_server() -> Iterator[Server]:
    """Start a server that is gone, with all its data, when the block ends; it may not be ready yet."""
    with new_room() as room:
        server = launch(room / "data", {"SORDINO_LOG_FORMAT": "text"})
        try:
            yield server
        finally:
            server.stop()


def _foreign(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without Sordino's settings, but for those that say where prepared models lie."""
    kept = ("SORDINO_MODEL_DIR", "SORDINO_CACHE_DIR")
    return {name: value for name, value in environment.items() if not name.startswith("SORDINO_") or name in kept}


def exit_on_sigterm() -> None:
    """Let SIGTERM unwind the program as Ctrl-C does, so that what it started is stopped."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
