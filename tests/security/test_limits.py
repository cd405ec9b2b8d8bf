"""Limits on slow and broken connections, and what is logged of them, without a whole service."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
import uvicorn
from starlette.requests import Request

from sordino import errors
from sordino.adapters.clock import SystemClock
from sordino.api import body, health, protocol
from sordino.api.app import Application
from sordino.api.source import Proxies
from sordino.api.visit import Watch
from sordino.cam.audit import Audit
from sordino.cam.limits import Rates, SignIns
from sordino.domain.cors import NO_CORS
from sordino.errors import ServiceError
from sordino.wire.address import resolve

BUCKET = "main-1250000000"


def request_of(*messages: dict[str, Any], length: int | None = None) -> Request:
    """A request whose body comes in these messages and then stalls."""
    left = iter(messages)

    async def receive() -> dict[str, Any]:
        for message in left:
            return message
        await asyncio.Event().wait()
        raise AssertionError

    headers = [] if length is None else [(b"content-length", str(length).encode())]
    return Request({"type": "http", "method": "PUT", "path": "/", "headers": headers}, receive)


def part(content: bytes, more: bool = True) -> dict[str, Any]:
    """One message of a body."""
    return {"type": "http.request", "body": content, "more_body": more}


async def read(request: Request, limit: int = 10) -> bytes:
    """The body as the service reads it."""
    return b"".join([chunk async for chunk in body.chunks(request, limit, errors.ENTITY_TOO_LARGE)])


async def test_whole_body() -> None:
    """A body within its limits is read to its end."""
    assert await read(request_of(part(b"12345"), part(b""), part(b"67890", more=False), length=10)) == b"1234567890"


@pytest.mark.parametrize(
    ("messages", "length", "code"),
    [
        ([part(b"1")], 5, "RequestTimeOut"),
        ([part(b"1"), {"type": "http.disconnect"}], 5, "IncompleteBody"),
        ([part(b"1" * 11)], None, "EntityTooLarge"),
        ([], 11, "EntityTooLarge"),
    ],
)
async def test_refused_bodies(
    monkeypatch: pytest.MonkeyPatch, messages: list[dict[str, Any]], length: int | None, code: str
) -> None:
    """A body that stalls, ends early or is too large is refused."""
    monkeypatch.setattr(body, "SILENCE_SECONDS", 0.05)
    with pytest.raises(ServiceError) as refusal:
        await asyncio.wait_for(read(request_of(*messages, length=length)), 5)
    assert refusal.value.code == code


def trickle(count: int) -> Request:
    """A request whose body comes byte by byte, 20 ms apart."""
    sent = 0

    async def receive() -> dict[str, Any]:
        nonlocal sent
        await asyncio.sleep(0.02)
        sent += 1
        return part(b"1", more=sent < count)

    return Request({"type": "http", "method": "PUT", "path": "/", "headers": []}, receive)


async def test_a_body_that_trickles(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that keeps the connection with a byte now and then is refused; one that is slow but comes on is not."""
    monkeypatch.setattr(body, "SILENCE_SECONDS", 0.5)
    with pytest.raises(ServiceError) as refusal:
        await asyncio.wait_for(read(trickle(1000), 1000), 10)
    assert refusal.value.code == "RequestTimeOut"
    monkeypatch.setattr(body, "LEAST_BYTES", 2)
    assert len(await read(trickle(60), 60)) == 60


async def test_work_on_a_body_is_not_the_senders(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is slow with what it got does not make the sender late."""
    monkeypatch.setattr(body, "SILENCE_SECONDS", 0.3)
    read_bytes = 0
    async for chunk in body.chunks(trickle(4), 10, errors.ENTITY_TOO_LARGE):
        read_bytes += len(chunk)
        await asyncio.sleep(0.2)
    assert read_bytes == 4


@asynccontextmanager
async def listening(application: Callable[..., Awaitable[None]], most: int | None = None) -> AsyncIterator[int]:
    """The port of an application that is served as the real one is, to so many connections at most."""
    config = uvicorn.Config(
        application, http=protocol.Protocol, lifespan="off", log_config=None, ws="none", limit_concurrency=most
    )
    config.load()
    state = uvicorn.server.ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: protocol.Protocol(config, state, {}), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()


@pytest.fixture
def services() -> Any:
    """As much of the services as requests need that come to no call."""
    settings = SimpleNamespace(default_bucket=None, ci_on_any_host=True)
    clock, sharing = SimpleNamespace(now=lambda: datetime.now(UTC)), SimpleNamespace(default_cors=NO_CORS)
    database: Any = None
    watch = Watch(
        audit=Audit(database=database, clock=SystemClock(), monotonic=time.monotonic),
        sign_ins=SignIns(0, time.monotonic),
        rates=Rates(None, time.monotonic),
        proxies=Proxies(),
    )
    return SimpleNamespace(settings=settings, clock=clock, sharing=sharing, database=database, watch=watch)


async def slow_hello(scope: Any, receive: Any, send: Any) -> None:
    """Answers a while after the limit on heads has passed."""
    await asyncio.sleep(0.4)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n"


@pytest.mark.parametrize("before", [b"", GET, POST], ids=["first", "second", "rest of a body"])
async def test_a_head_that_never_ends(monkeypatch: pytest.MonkeyPatch, before: bytes) -> None:
    """A client that trickles a head, or the rest of a body nobody reads, is hung up on; slow answers are not."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    async with listening(slow_hello) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if before:
            writer.write(before)
            await reader.readuntil(b"hello")
        writer.write(b"G")
        async with asyncio.timeout(3):
            assert await reader.read() == b""
        writer.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux ends connections that nobody reads")
async def test_a_reply_that_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that leaves its reply unread is hung up on."""
    monkeypatch.setattr(protocol, "UNREAD_SECONDS", 0.5)
    ended = asyncio.Event()

    async def large(scope: Any, receive: Any, send: Any) -> None:
        """Answers with more than kernels keep for a client that does not read."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(64):
            await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
        ended.set()

    async with listening(large) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(GET)
            async with asyncio.timeout(20):
                await ended.wait()


async def test_a_crowd(services: Any) -> None:
    """With more connections than may be, requests are refused in the protocol's form, and probes are answered."""
    async with listening(Application(services), most=1) as port:
        first = await asyncio.open_connection("127.0.0.1", port)
        for path, status, told in (("jobs", b"503", b"<Code>ServiceUnavailable</Code>"), ("healthz", b"200", b"ok")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET /{path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
            async with asyncio.timeout(10):
                reply = await reader.read()
            assert reply.startswith(b"HTTP/1.1 " + status)
            assert told in reply
            writer.close()
        first[1].close()


class BrokenError(Exception):
    """A connection that fails while a reply is sent."""


async def test_a_reply_that_breaks_is_logged_with_its_request(services: Any) -> None:
    """What fails after the handler's end is found by the request's id."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/healthz",
        "raw_path": b"/healthz",
        "query_string": b"",
        "headers": [],
    }

    async def send(message: Any) -> None:
        raise BrokenError

    merge = structlog.contextvars.merge_contextvars
    with structlog.testing.capture_logs(processors=[merge]) as entries, pytest.raises(BrokenError):
        await Application(services)(scope, request_of().receive, send)
    assert [entry["event"] for entry in entries if entry["request_id"]] == ["reply broke"]


@pytest.mark.parametrize(
    ("host", "path", "answers"),
    [
        ("127.0.0.1", "/healthz", True),
        ("service.cos.myqcloud.com", "/healthz", True),
        ("127.0.0.1", f"/{BUCKET}/healthz", False),
        (f"{BUCKET}.cos.ap-guangzhou.myqcloud.com", "/healthz", False),
        ("127.0.0.1", "/other", False),
    ],
)
@pytest.mark.parametrize("default_bucket", [None, BUCKET])
async def test_probes_where_no_bucket_is_named(host: str, path: str, answers: bool, default_bucket: str | None) -> None:
    """A default bucket does not hide the probes, and the probes hide no object of a named bucket."""
    address = resolve(host, path.encode(), default_bucket=default_bucket, ci_on_any_host=True)
    unused: Any = None
    assert (await health.answer(address, unused) is not None) == answers


async def test_not_ready() -> None:
    """What is wrong is told without claiming to know which of the two causes it is."""

    async def ready() -> bool:
        return False

    database: Any = SimpleNamespace(ready=ready)
    address = resolve("127.0.0.1", b"/readyz", default_bucket=None, ci_on_any_host=True)
    answer = await health.answer(address, database)
    assert answer is not None
    assert answer.status_code == 503
    assert b"schema" in answer.body
