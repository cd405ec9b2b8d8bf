"""The server: one application behind a plain port and, if there is TLS, an encrypted one; beside it the admin API's."""

import asyncio
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from sordino.api.protocol import Protocol, State
from sordino.api.tunnel import FAREWELL_SECONDS, HANDSHAKE_SECONDS, Tls

REFRESH_SECONDS = 10
"""How often the certificate is looked at."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port beside the plain one.

    Attributes:
        listener: its socket.
        application: what answers there; None: the same as on the plain one.
        protocol: how its connections are spoken on.
        tls: what they are encrypted with; None: nothing.
    """

    listener: socket.socket
    application: ASGIApp | None = None
    protocol: type[Protocol] = Protocol
    tls: Tls | None = None


class Server(uvicorn.Server):
    """uvicorn's server, which listens on further ports as well: connections, limits and the stop are common."""

    def __init__(
        self,
        application: ASGIApp,
        tls: Tls | None = None,
        ports: Sequence[Port] = (),
        *,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; ``serve(sockets=[plain])`` runs it.

        Args:
            application: what answers.
            tls: what the tunnels of the plain port are encrypted with.
            ports: the others.
            on_stop: called when the server is to stop, before it waits for the replies under way.
        """
        super().__init__(_config(application, tls))
        self.server_state = State(tls)
        self._on_stop = on_stop
        self._ports = ports

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections."""
        await super().startup(sockets)
        for port in self._ports:
            self.servers.append(await self._listen(port))

    async def _listen(self, port: Port) -> asyncio.Server:
        config = self.config if port.application is None else _config(port.application, None)
        if not config.loaded:
            config.load()
        encrypted: dict[str, Any] = {}
        if port.tls is not None:
            encrypted = {
                "ssl": port.tls.context,
                "ssl_handshake_timeout": HANDSHAKE_SECONDS,
                "ssl_shutdown_timeout": FAREWELL_SECONDS,
            }
        return await asyncio.get_running_loop().create_server(
            lambda: port.protocol(config, self.server_state, self.lifespan.state),
            sock=port.listener,
            backlog=config.backlog,
            **encrypted,
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as it is called
        """Begin to stop; a second Ctrl-C does not wait for the replies.

        uvicorn's own raises the signal anew when it has stopped, and so ends the process before what is to be done
        after the replies, such as writing the audit log.
        """
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End."""
        self._on_stop()
        await super().shutdown(sockets)


def _config(application: ASGIApp, tls: Tls | None) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        # Connections; each may hold a second descriptor, and 1024 is the usual limit of a process.
        limit_concurrency=500,
        timeout_graceful_shutdown=10,
        callback_notify=tls.refresh if tls else None,
        timeout_notify=REFRESH_SECONDS,
    )
