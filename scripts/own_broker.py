"""A RabbitMQ of one's own, which may be killed as often as one likes: others have theirs left in peace."""

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from server import ServerError

PROGRAM: Final = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""Where distributions put it; the one on the path changes to an account of its own first."""

START_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.1


class OwnBroker:
    """A broker in a directory of its own, with the same interface as a ``Cable``; a context manager.

    Attributes:
        url: where it answers, while it is whole.
        whole: whether it runs.

    Args:
        directory: for its files; it is made.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._port, self._distribution_port = _free_port(), _free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}/"

    def __enter__(self) -> Self:
        """Start it.

        Raises:
            ServerError: it is not installed, or does not start.
        """
        if shutil.which(PROGRAM) is None:
            raise ServerError(f"There is no {PROGRAM}: install rabbitmq-server, or name a broker that runs.")
        self._directory.mkdir(parents=True)
        (self._directory / "plugins").write_text("[].\n")
        self.mend()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    @property
    def whole(self) -> bool:
        """Whether it runs."""
        return self._process is not None

    def cut(self) -> None:
        """Kill it, and what it has started, with SIGKILL."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def mend(self) -> None:
        """Start it, with what it had on the disk, and wait until it answers.

        Raises:
            ServerError: it does not.
        """
        if self._process is None:
            with (self._directory / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [PROGRAM],
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self._wait()

    @property
    def _environment(self) -> dict[str, str]:
        own = {
            "NODENAME": f"sordino{self._port}@localhost",
            "NODE_IP_ADDRESS": "127.0.0.1",
            "NODE_PORT": str(self._port),
            "DIST_PORT": str(self._distribution_port),
            "MNESIA_BASE": str(self._directory / "data"),
            "LOG_BASE": str(self._directory / "logs"),
            "PID_FILE": str(self._directory / "pid"),
            "ENABLED_PLUGINS_FILE": str(self._directory / "plugins"),
            "CONFIG_FILE": str(self._directory / "none"),
            "CONF_ENV_FILE": os.devnull,
        }
        return {**os.environ, "HOME": str(self._directory), **{f"RABBITMQ_{name}": own[name] for name in own}}

    def _wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
                return
            time.sleep(_POLL_SECONDS)
        log = (self._directory / "log").read_text(errors="replace")
        raise ServerError(f"RabbitMQ did not answer within {START_SECONDS:g} s:\n{log[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
