"""Request bodies: read in chunks, with a limit on their size and on the silence of the sender."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from sordino import errors
from sordino.errors import ErrorKind

SILENCE_SECONDS = 30.0


async def chunks(request: Request, limit: int, too_large: ErrorKind) -> AsyncIterator[bytes]:
    """The body, refused when it is longer than ``limit``, stalls, or ends before it should.

    Args:
        request: whose body was not read yet.
        limit: most bytes accepted.
        too_large: how a longer body is refused.

    Raises:
        ServiceError: ``too_large``, RequestTimeOut, IncompleteBody.
    """
    announced = request.headers.get("content-length")
    if announced is not None and int(announced) > limit:
        raise too_large(f"The body has {announced} bytes; at most {limit}.")
    stream = request.stream()
    size = 0
    while chunk := await _next(stream):
        size += len(chunk)
        if size > limit:
            raise too_large(f"The body has more than {limit} bytes.")
        yield chunk


async def _next(stream: AsyncIterator[bytes]) -> bytes:
    """The next chunk; the stream's last is empty, and no other is."""
    try:
        async with asyncio.timeout(SILENCE_SECONDS):
            return await anext(stream)
    except TimeoutError:
        raise errors.REQUEST_TIMEOUT(f"Nothing of the body arrived for {SILENCE_SECONDS:.0f} s.") from None
    except ClientDisconnect:
        raise errors.INCOMPLETE_BODY() from None
