"""Callbacks over HTTP, to addresses that were checked.

httpcore connects to the very addresses that the guard has seen, asks no proxy, follows no redirect and keeps no
cookies. A connection serves one try: the next one asks DNS, and the guard, anew.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeAlias

import httpcore

from sordino.domain.addresses import Address, parse_address
from sordino.domain.callback_url import (
    PORTS,
    Allowed,
    CallbackUrl,
    CallbackUrlError,
    parse_callback_url,
    refused_address,
)
from sordino.domain.delivery import Callback, Receipt
from sordino.domain.ports import CallbackFailedError
from sordino.wire.callbacks import retry_after

MAX_REPLY_BYTES: Final = 64 * 1024
"""Of a reply's body, which is read out of courtesy: a receiver that still writes would take the end for an error."""
READ_OUT_SECONDS: Final = 1.0

# A thread stays with a name server that is silent long after its try has ended: four times as many as there are tries.
RESOLVER_THREADS: Final = 64

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[Address]]]
"""The addresses of a host; OSError when it has none."""


@dataclass(frozen=True, slots=True)
class SystemResolver:
    """The operating system's way to resolve names: its hosts file, its name servers.

    The threads are our own, so that silent name servers hold up nothing else.
    """

    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="callback-dns")
    )

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        """The addresses of a host, each once, in the order of the system's preference."""
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        addresses = (parse_address(str(place[0])) for *_, place in found)
        return list(dict.fromkeys(address for address in addresses if address is not None))


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSender:
    """``ports.Sender`` over HTTP/1.1, for URLs.

    Attributes:
        timeout: seconds for everything: DNS, connecting, sending, and the reply's head.
        allowed: what may be called in spite of the rules.
        tls: which certificates are trusted; by default those of the operating system.
    """

    timeout: float
    allowed: Allowed
    resolve: Resolve = field(default_factory=SystemResolver)
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    async def send(self, callback: Callback) -> Receipt:
        """Send a callback, once.

        Raises:
            CallbackFailedError: there was no reply in time, or the receiver may not be called.
        """
        try:
            url = parse_callback_url(callback.target.url or "", self.allowed)
            async with asyncio.timeout(self.timeout) as limit:
                return await self._exchange(url, callback, limit)
        except CallbackUrlError as error:
            raise CallbackFailedError(f"the URL {error}") from error
        except (TimeoutError, httpcore.TimeoutException) as error:
            raise CallbackFailedError(f"no reply within {self.timeout:g} s") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise CallbackFailedError(_reason(error)) from error

    async def _exchange(self, url: CallbackUrl, callback: Callback, limit: asyncio.Timeout) -> Receipt:
        place = httpcore.URL(
            scheme=url.scheme.encode(), host=url.host.encode(), port=url.port, target=url.target.encode()
        )
        backend = _CheckedBackend(partial(self._checked, url.host), self.timeout)
        connection = httpcore.AsyncHTTPConnection(place.origin, ssl_context=self.tls, network_backend=backend)
        headers = [("Host", _authority(url)), ("Content-Length", str(len(callback.body))), *callback.headers]
        async with (
            connection,
            connection.stream("POST", place, headers=headers, content=callback.body) as response,
        ):
            # The answer is known; how its body ends decides nothing any more.
            limit.reschedule(None)
            with suppress(TimeoutError, httpcore.NetworkError, httpcore.ProtocolError, OSError):
                async with asyncio.timeout(READ_OUT_SECONDS):
                    await _read_out(response)
        return Receipt(status=response.status, retry_after=_wish(response))

    async def _checked(self, host: str, port: int) -> Sequence[Address]:
        """The addresses of a host, if all of them may be called: one that leads inside condemns them all.

        Raises:
            CallbackUrlError: they may not.
        """
        literal = parse_address(host)
        addresses = [literal] if literal is not None else await self.resolve(host, port)
        for address in addresses:
            if (reason := refused_address(host, address, self.allowed)) is not None:
                raise CallbackUrlError(reason)
        return addresses


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to checked addresses, one after the other, wherever httpcore is told to."""

    def __init__(self, checked: Callable[[int], Awaitable[Sequence[Address]]], seconds: float) -> None:
        self._checked = checked
        self._seconds = seconds
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109, ARG002 - httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers; each gets its share of the time."""
        failure: Exception = OSError(f"{host} has no address")
        addresses = await self._checked(port)
        for address in addresses:
            try:
                return await self._network.connect_tcp(
                    str(address), port, self._seconds / len(addresses), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


def _authority(url: CallbackUrl) -> str:
    """The Host header: the port only where it is not the scheme's."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    return host if url.port == PORTS[url.scheme] else f"{host}:{url.port}"


def _wish(response: httpcore.Response) -> float | None:
    found = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"")
    return retry_after(found.decode("latin-1").strip(), datetime.now(UTC))


async def _read_out(response: httpcore.Response) -> None:
    size = 0
    async for chunk in response.aiter_stream():
        size += len(chunk)
        if size > MAX_REPLY_BYTES:
            return


def _reason(error: Exception) -> str:
    """What went wrong, in one line that says more than the name of its class."""
    if isinstance(error, socket.gaierror):
        return f"the host's name cannot be resolved: {error.strerror}"
    text = " ".join(str(error).split())[:300]
    return text or type(error).__name__
