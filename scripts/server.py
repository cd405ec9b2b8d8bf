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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.1
# Everything shall lie in the fresh directory, wherever the caller's environment points.
_ELSEWHERE: Final = ("SORDINO_DATABASE_URL", "SORDINO_DATABASE_SCHEMA", "SORDINO_BLOBS_URL")
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
        match = _LISTENS.search(self.log.read_text(errors="replace"))
        if match is None:
            raise ServerError("The server does not listen yet.")
        return f"http://127.0.0.1:{match['port']}"

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

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

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
        if _LISTENS.search(self.log.read_text(errors="replace")) is None:
            return False
        try:
            with _NO_PROXY.open(f"{self.url}/readyz", timeout=5) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False

    def stop(self) -> None:
        """Ask it to stop and wait; by force when it does not."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def start_server() -> Iterator[Server]:
    """Start a server that is gone, with all its data, when the block ends; it may not be ready yet."""
    with tempfile.TemporaryDirectory(prefix="sordino-demo-", ignore_cleanup_errors=True) as name:
        room = Path(name)
        # Under root PostgreSQL runs as another account, which must pass through.
        room.chmod(0o711)
        log = room / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "sordino",
                    "serve",
                    "--host",
                    "127.0.0.1",
                    "--port",
                    "0",
                    "--data",
                    room / "data",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={"SORDINO_LOG_FORMAT": "text", **_environment()},
                # Ctrl-C reaches the caller alone, which then stops the server in order.
                start_new_session=True,
            )
        server = Server(process=process, data=room / "data", log=log)
        try:
            yield server
        finally:
            server.stop()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}


def exit_on_sigterm() -> None:
    """Let SIGTERM unwind the program as Ctrl-C does, so that what it started is stopped."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
