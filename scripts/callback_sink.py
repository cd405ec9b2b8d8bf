"""A receiver of callbacks that can be killed at any moment: what it has said yes to is in its file.

Run by `Sink` as ``python callback_sink.py PORT FILE``; it ends with the process that started it.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One callback as it came.

    Attributes:
        delivery: id of its delivery, the same for each try of it.
        body: its JSON document.
        at: when, seconds since the epoch.
    """

    delivery: str
    body: dict[str, Any]
    at: float


class Sink:
    """The receiver's process; a context manager that starts and stops it.

    Attributes:
        name: what this way of being told is called.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._port = file, 0
        self._process: subprocess.Popen[bytes] | None = None
        self.name = "url"

    @property
    def elements(self) -> Mapping[str, object]:
        """What a job says to be told in this way; the address is the same whenever it is started again."""
        return {"CallBack": f"http://127.0.0.1:{self._port}/hook", "CallBackFormat": "JSON"}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def up(self) -> bool:
        """Whether it runs."""
        return self._process is not None

    def start(self) -> None:
        """Start it unless it runs; it listens when this returns."""
        if self._process is not None:
            return
        command = [sys.executable, __file__, str(self._port), str(self._file)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """Kill it with SIGKILL, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def receipts(self) -> Sequence[Receipt]:
        """All that came so far, the first one first."""
        lines = self._file.read_bytes().splitlines() if self._file.exists() else []
        return [Receipt(**json.loads(line)) for line in lines]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    file: int

    def do_POST(self) -> None:
        """Note the callback, and only then answer."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        _note(self.file, {"delivery": self.headers["x-sordino-delivery"], "body": body})
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _note(file: int, receipt: dict[str, Any]) -> None:
    """Append a line in one write: a kill leaves it whole or not at all."""
    os.write(file, json.dumps(receipt | {"at": time.time()}).encode() + b"\n")


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Receive until killed."""
    _, port, path = sys.argv
    _Handler.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), _Handler)
    server.daemon_threads = True
    threading.Thread(target=_end_with_parent, daemon=True).start()
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
