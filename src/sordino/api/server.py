"""The server: one application behind a plain port and, if there is TLS, an encrypted one."""

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from sordino.api.protocol import Protocol, State
from sordino.api.tunnel import FAREWELL_SECONDS, HANDSHAKE_SECONDS, Tls

REFRESH_SECONDS = 10
"""How often the certificate is looked at."""


class Server(uvicorn.Server):
    """uvicorn's server, which listens on the port of TLS as well: connections, limits and the stop are common."""

    def __init__(
        self,
        application: ASGIApp,
        tls: Tls | None = None,
        encrypted: socket.socket | None = None,
        *,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; ``serve(sockets=[plain])`` runs it.

        Args:
            application: what answers.
            tls: what the encrypted port, and the tunnels of the plain one, are encrypted with.
            encrypted: socket that listens for TLS.
            on_stop: called when the server is to stop, before it waits for the replies under way.
        """
        super().__init__(_config(application, tls))
        self.server_state = State(tls)
        self._on_stop = on_stop
        self._tls = tls
        self._encrypted = encrypted

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections."""
        await super().startup(sockets)
        if self._encrypted is not None and self._tls is not None:
            listening = await asyncio.get_running_loop().create_server(
                lambda: Protocol(self.config, self.server_state, self.lifespan.state),
                sock=self._encrypted,
                ssl=self._tls.context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=FAREWELL_SECONDS,
                backlog=self.config.backlog,
            )
            self.servers.append(listening)

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
