"""HTTP/1.1 as uvicorn speaks it, with a time limit on request heads and refusals in the protocol's own form."""

import asyncio
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, BinaryIO

import h11
import structlog
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from sordino import errors
from sordino.api.app import CROWDED, SERVERS
from sordino.api.files import ZERO_COPY
from sordino.api.tunnel import ESTABLISHED, Connection, Tls, check, encrypt, told
from sordino.errors import ServiceError
from sordino.wire.address import Service
from sordino.wire.ids import new_request_id, new_trace_id
from sordino.wire.responses import render_error
from sordino.wire.times import http_date

log = structlog.get_logger(__name__)

HEAD_SECONDS = 30.0

UNREAD_SECONDS = 120.0
"""How long a client may read nothing of its reply, or confirm nothing, while more of it waits to be sent."""


class State(ServerState):
    """What the connections of a server share."""

    def __init__(self, tls: Tls | None) -> None:
        super().__init__()
        self.tls = tls


class Protocol(H11Protocol):
    """One connection of a client.

    h11 alone keeps the case of header names, which the official Python SDK needs.

    uvicorn's own timer ends a connection that is quiet after a reply, but stops with the first byte of the next
    request and does not run before the first one: a head that never ends would hold the connection for ever.
    """

    _head_timer: asyncio.TimerHandle
    _handshake: asyncio.Task[None] | None = None

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as uvicorn calls it
        super().__init__(*args, **options)
        self.conn = Connection(self._connect, self._refuse_two_lengths)
        # uvicorn's own refusal of a crowd has no code, and no probe would be answered.
        self._most, self.limit_concurrency = self.limit_concurrency, None
        self.app = self._serve

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Start to wait for the first request."""
        super().connection_made(transport)
        _limit_silence(transport)
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._end_unless_answering)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        crowded = self._most is not None and len(self.connections) > self._most
        scope = {**scope, CROWDED: crowded}
        if self.scheme == "http":
            # What is to be encrypted passes through this process anyway.
            scope["extensions"] = {ZERO_COPY: {}}
            send = partial(self._send, send)
        await self.config.loaded_app(scope, receive, send)

    async def _send(self, send: Send, message: Message) -> None:
        """What uvicorn sends, and ASGI's extension ``ZERO_COPY``."""
        if message["type"] != ZERO_COPY:
            await send(message)
            return
        await self._send_file(message["file"], message["offset"], message["count"])
        if not message.get("more_body", False):
            await send({"type": "http.response.body", "body": b""})

    async def _send_file(self, file: BinaryIO, offset: int, count: int) -> None:
        """Send a part of the body; nothing to a client that is gone.

        Raises:
            RuntimeError: the file ends before.
            OSError: it cannot be read.
        """
        if self.cycle.disconnected or not count:
            return
        # h11 counts the bytes without seeing them.
        for piece in self.conn.send_with_data_passthrough(h11.Data(data=_Run(count))) or ():  # type: ignore[arg-type]
            if not isinstance(piece, _Run):
                self.transport.write(piece)
            elif await self._copied(file, offset, count) < count:
                raise RuntimeError("A file is shorter than the reply that it is to fill.")

    async def _copied(self, file: BinaryIO, offset: int, count: int) -> int:
        """How many bytes of the file were sent; all, when the client hung up instead."""
        if self.transport.is_closing():
            return count
        try:
            return await self.loop.sendfile(self.transport, file, offset, count)
        except (ConnectionError, TimeoutError):
            self.transport.abort()
            return count

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean up."""
        self._head_timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Start to wait for the next request; what is left of the last one's body counts as part of it."""
        self._head_timer.cancel()
        super().on_response_complete()
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._end_unless_answering)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Refuse what is no HTTP, unless a reply is under way or may have no body; hang up."""
        state = self.conn.our_state
        if state is h11.IDLE or (state is h11.SEND_RESPONSE and self.scope["method"] != "HEAD"):
            refusal = errors.INVALID_ARGUMENT("The request is not valid HTTP/1.1, or its head is too large.")
            self._refuse(refusal, b"Bad Request")
        self.transport.close()

    def shutdown(self) -> None:
        """End the connection as soon as its reply is sent."""
        if self._handshake is not None:
            self._handshake.cancel()
        else:
            super().shutdown()

    def _refuse_two_lengths(self) -> None:
        refusal = errors.INVALID_ARGUMENT("Send Content-Length or Transfer-Encoding, not both.")
        self._refuse(refusal, b"Bad Request")
        self.transport.close()

    def _end_unless_answering(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.timeout_keep_alive_handler()

    def _connect(self, request: h11.Request) -> None:
        self._head_timer.cancel()
        tls = self.server_state.tls if isinstance(self.server_state, State) else None
        more, _ = self.conn.trailing_data
        try:
            tls = check(request, tls, encrypted=self.scheme == "https", more=more)
        except ServiceError as refusal:
            self._refuse(refusal, told(refusal))
            self.transport.close()
        else:
            # What follows is for TLS.
            self.transport.pause_reading()
            self.transport.write(ESTABLISHED)
            self._handshake = self.loop.create_task(self._encrypt(tls))
            self.tasks.add(self._handshake)
            self._handshake.add_done_callback(self.tasks.discard)

    async def _encrypt(self, tls: Tls) -> None:
        try:
            encrypted = await encrypt(self.transport, tls.context)
        finally:
            self.connections.discard(self)
        if encrypted is not None:
            transport, received = encrypted
            inner = type(self)(self.config, self.server_state, self.app_state, self.loop)
            transport.set_protocol(inner)
            inner.connection_made(transport)
            if received:
                inner.data_received(received)

    def told(self, refusal: ServiceError, request_id: str) -> tuple[Mapping[str, str], bytes]:
        """What is said of a request that no application saw: headers, and the body.

        No address was read, so it is told in COS's way, which every SDK reads.
        """
        trace_id = new_trace_id()
        headers = {
            "Server": SERVERS[Service.COS],
            "Content-Type": "application/xml",
            "x-cos-request-id": request_id,
            "x-cos-trace-id": trace_id,
        }
        return headers, render_error(Service.COS, refusal, resource="/", request_id=request_id, trace_id=trace_id)

    def _refuse(self, refusal: ServiceError, reason: bytes) -> None:
        now = datetime.now(UTC)
        request_id = new_request_id(now)
        own, body = self.told(refusal, request_id)
        headers = {"Date": http_date(now), "Content-Length": str(len(body)), "Connection": "close", **own}
        response = h11.Response(status_code=refusal.status, headers=list(headers.items()), reason=reason)
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        log.info("refused", request_id=request_id, code=refusal.code, message=refusal.message)


class _Run:
    """Stands for bytes of a file, in the place of these; h11 asks how many."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count


def _limit_silence(transport: asyncio.Transport) -> None:
    """Have the kernel end the connection of a client that stops to read, where it can: Linux.

    Only the kernel knows what of its large buffers was read; a timer of ours would end slow downloads, too.
    """
    connection, option = transport.get_extra_info("socket"), getattr(socket, "TCP_USER_TIMEOUT", None)
    if connection is not None and option is not None:
        connection.setsockopt(socket.IPPROTO_TCP, option, int(UNREAD_SECONDS * 1000))
