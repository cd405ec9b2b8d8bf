"""A receiver of callbacks: an HTTP server in a thread that answers as it is told and remembers what came."""

import queue
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What the receiver answers: after ``seconds``, with so many bytes of body."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    body: bytes = b""


@dataclass(frozen=True)
class Received:
    """One request. The names of headers are lower-case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    at: float


@dataclass
class Receiver:
    """``answers`` are given in their order, the last one again and again."""

    port: int
    answers: list[Answer]
    scheme: str = "http"
    requests: "queue.Queue[Received]" = field(default_factory=queue.Queue)
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, target: str = "/hook", host: str = "127.0.0.1") -> str:
        """Where it listens."""
        return f"{self.scheme}://{host}:{self.port}{target}"

    def next(self, seconds: float = 60.0) -> Received:
        """The next request, which must come within that time."""
        return self.requests.get(timeout=seconds)

    def silent(self, seconds: float) -> bool:
        """Whether no request comes for so long."""
        time.sleep(seconds)
        return self.requests.empty()

    def answer(self) -> Answer:
        """The answer whose turn it is."""
        with self.lock:
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the requests that are answered at the same time."""
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield
        finally:
            with self.lock:
                self.at_once -= 1


@contextmanager
def receiving(*answers: Answer, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Receive on 127.0.0.1 for the length of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", port), _handler(lambda: receiver))
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    scheme = "http" if tls is None else "https"
    receiver = Receiver(port=server.server_port, answers=list(answers) or [Answer()], scheme=scheme)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(receiver: Callable[[], Receiver]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            """Clients that hang up, or do not trust us, are part of the tests."""
            try:
                super().handle()
            except OSError:
                self.close_connection = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            with receiver().counted():
                receiver().requests.put(Received(self.command, self.path, headers, body, time.monotonic()))
                answer = receiver().answer()
                time.sleep(answer.seconds)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in answer.headers:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

        do_GET = do_POST  # noqa: N815 - what a redirect would be followed with

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler
