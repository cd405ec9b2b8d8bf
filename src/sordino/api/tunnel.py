"""CONNECT, with which clients ask a proxy for a tunnel to an https server.

Here it leads to this server's own TLS, on the very connection it came by: none is ever made to where it says.
"""

import asyncio
import re
import ssl
from collections.abc import Callable
from typing import Final, Protocol

import h11
import structlog

from sordino import errors
from sordino.errors import ServiceError

log = structlog.get_logger(__name__)

HANDSHAKE_SECONDS: Final = 10.0
FAREWELL_SECONDS: Final = 2.0
"""How long a client has to answer the end of TLS; many never do."""

ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"

_AUTHORITY: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_Event = h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]


class Tls(Protocol):
    """What connections are encrypted with."""

    @property
    def context(self) -> ssl.SSLContext:
        """The same for all of them."""
        ...

    def covers(self, host: str) -> bool:
        """Whether the certificate is for this host, a name or an address."""
        ...

    async def refresh(self) -> None:
        """Take a changed certificate for new connections."""
        ...


class Connection(h11.Connection):
    """The server's side of HTTP/1.1, which tells of a CONNECT, and of a body of two lengths, and then reads no further.

    h11 takes chunks in spite of a Content-Length. A proxy before this server may count the bytes, and what is the end
    of a body to one of them is a request to the other.
    """

    def __init__(self, on_connect: Callable[[h11.Request], None], on_two_lengths: Callable[[], None]) -> None:
        super().__init__(h11.SERVER)
        self._on_connect = on_connect
        self._on_two_lengths = on_two_lengths

    def next_event(self) -> _Event:
        """The next event, but for those."""
        event = super().next_event()
        if not isinstance(event, h11.Request):
            return event
        if event.method == b"CONNECT":
            self._on_connect(event)
        elif {name for name, _ in event.headers} >= _FRAMING:
            self._on_two_lengths()
        else:
            return event
        return h11.NEED_DATA


def check(request: h11.Request, tls: Tls | None, *, encrypted: bool, more: bytes) -> Tls:
    """What to encrypt the connection with.

    Args:
        request: the CONNECT.
        tls: the server's, if it has any.
        encrypted: whether the connection is inside TLS already.
        more: what the client has sent after the head of the request.

    Raises:
        ServiceError: the tunnel is refused.
    """
    target = _AUTHORITY.fullmatch(request.target.decode("ascii"))
    if target is None:
        raise errors.INVALID_URI("CONNECT needs a target such as cos.ap-guangzhou.myqcloud.com:443.")
    if more or any(name in _FRAMING and value != b"0" for name, value in request.headers):
        raise errors.INVALID_ARGUMENT("CONNECT has no body, and what follows waits for the reply.")
    if encrypted:
        raise errors.METHOD_NOT_ALLOWED("This connection is encrypted already; send CONNECT to the HTTP port.")
    if tls is None:
        raise errors.METHOD_NOT_ALLOWED("This server has no TLS: start it with --tls-port, or use http URLs.")
    if not tls.covers(target["host"]):
        raise errors.ACCESS_DENIED(f"This proxy leads to Sordino alone, whose certificate is not for {target['host']}.")
    return tls


async def encrypt(plain: asyncio.WriteTransport, context: ssl.SSLContext) -> tuple[asyncio.Transport, bytes] | None:
    """Speak TLS on a connection that was plain: its new transport, and what has arrived through it so far.

    None when the client does not come to an agreement. The caller gives the transport its protocol.
    """
    early = _Early()
    try:
        transport = await asyncio.get_running_loop().start_tls(
            plain,
            early,
            context,
            server_side=True,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=FAREWELL_SECONDS,
        )
    except OSError as error:  # ssl.SSLError is one
        log.info("no TLS after CONNECT", error=str(error))
        return None
    # None, too, when the client hangs up first.
    return (transport, bytes(early.received)) if transport is not None else None


class _Early(asyncio.Protocol):
    """Keeps what arrives between the handshake and the moment that the connection has its protocol."""

    def __init__(self) -> None:
        self.received = bytearray()

    def data_received(self, data: bytes) -> None:
        self.received += data


def told(refusal: ServiceError) -> bytes:
    """The refusal as a reason phrase: clients of proxies show nothing else of a reply to CONNECT."""
    return refusal.message.encode("ascii")
