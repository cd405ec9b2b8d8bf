"""Replies whose bytes lie in files: the kernel sends them, where the connection can do that."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sordino.domain.ports import FileRun

ZERO_COPY: Final = "http.response.zerocopysend"
"""ASGI's extension: a message of this type has a file instead of a body."""


def can_send_files(request: Request) -> bool:
    """Whether the connection takes messages of ``ZERO_COPY``."""
    return ZERO_COPY in request.scope.get("extensions", {})


class FilesResponse(Response):
    """A reply whose body is runs of files, one after the other; each is closed as soon as it is sent."""

    def __init__(self, runs: AsyncGenerator[FileRun, None], status_code: int, headers: Mapping[str, str]) -> None:
        """Prepare.

        Args:
            runs: the body, as long as the header Content-Length says.
            status_code: of the reply.
            headers: all of them.
        """
        super().__init__(None, status_code, dict(headers))
        self._runs = runs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI calls it
        """Send it; ``scope`` has the extension ``ZERO_COPY``."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._runs) as runs:
            async for run in runs:
                with run.file:
                    await send(
                        {
                            "type": ZERO_COPY,
                            "file": run.file,
                            "offset": run.start,
                            "count": run.end - run.start,
                            "more_body": True,
                        }
                    )
        await send({"type": "http.response.body", "body": b"", "more_body": False})
