"""A cable to a TCP server that can be cut and mended: an outage of a server that others use, too."""

import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Self

_CHUNK: Final = 65_536
_POLL_SECONDS: Final = 0.02


class Cable:
    """Forwards connections to a server; a context manager.

    Attributes:
        port: where to connect on 127.0.0.1, the same before and after a cut.
    """

    def __init__(self, host: str, port: int) -> None:
        self._far = (host, port)
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self.port = 0
        self.mend()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    @property
    def whole(self) -> bool:
        """Whether it carries anything."""
        return self._server is not None

    def cut(self) -> None:
        """Break all connections, and refuse new ones."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            self._server = None
            for end in self._ends:
                _shut(end)

    def mend(self) -> None:
        """Take connections again."""
        if self._server is None:
            self._server = _Server(("127.0.0.1", self.port), self._forward)
            self.port = self._server.server_address[1]
            threading.Thread(target=self._server.serve_forever, args=[_POLL_SECONDS], daemon=True).start()

    def _forward(self, near: socket.socket) -> None:
        with suppress(OSError), socket.create_connection(self._far) as far:
            with self._lock:
                if self._server is None:
                    return
                self._ends |= {near, far}
            back = threading.Thread(target=_pump, args=[far, near], daemon=True)
            back.start()
            _pump(near, far)
            back.join()
            with self._lock:
                self._ends -= {near, far}


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], forward: Callable[[socket.socket], None]) -> None:
        super().__init__(address, socketserver.BaseRequestHandler)
        self._forward = forward

    def finish_request(self, request: Any, _client_address: Any) -> None:  # noqa: ANN401 - the base class's
        """Serve a connection, in a thread of its own."""
        self._forward(request)


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Carry bytes one way until either end is gone, and let both know."""
    with suppress(OSError):
        while chunk := source.recv(_CHUNK):
            target.sendall(chunk)
    _shut(source)
    _shut(target)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
