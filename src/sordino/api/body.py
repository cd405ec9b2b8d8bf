"""Request bodies: read in chunks, with a limit on their size and on the silence of the sender; XML is checked first."""

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import md5

from starlette.requests import ClientDisconnect, Request

from sordino import errors
from sordino.api.object_headers import md5_of
from sordino.errors import ErrorKind
from sordino.wire.part import MAX_BODY_BYTES
from sordino.wire.words import quote

SILENCE_SECONDS = 30.0
LEAST_BYTES = 4096
"""What has to arrive in that time: one who sends a byte now and then is as good as silent."""

XML_TYPES = ("application/xml", "text/xml")
CHARSETS = frozenset({"utf-8", "utf8", "us-ascii"})


async def document(request: Request) -> bytes:
    """The body of a call that takes XML.

    Raises:
        ServiceError: InvalidContentType, MissingContentLength, InvalidContent (413) when it has more than
            ``MAX_BODY_BYTES``, InvalidContent when it is not that of Content-MD5, RequestTimeOut, IncompleteBody.
    """
    _check_type(request.headers.get("content-type", ""))
    require_length(request)
    body = await whole(request)
    digest = b64encode(md5(body, usedforsecurity=False).digest()).decode()
    if request.headers.get("content-md5", "") not in ("", digest):
        raise errors.INVALID_CONTENT(f"Content-MD5 is not that of the body, which is {digest}.")
    return body


async def cos_body(request: Request, most: int) -> bytes:
    """The body of a COS call that takes XML, of whatever type it is said to be: SDKs name several.

    Raises:
        ServiceError: MissingContentLength, EntityTooLarge when it has more than ``most`` bytes, BadDigest,
            InvalidDigest, RequestTimeOut, IncompleteBody.
    """
    require_length(request)
    digest = md5_of(request)
    body = b"".join([chunk async for chunk in chunks(request, most, errors.ENTITY_TOO_LARGE)])
    if digest is not None and md5(body, usedforsecurity=False).hexdigest() != digest:
        raise errors.BAD_DIGEST()
    return body


async def whole(request: Request) -> bytes:
    """All of a body of at most ``MAX_BODY_BYTES``.

    Raises:
        ServiceError: InvalidContent (413), RequestTimeOut, IncompleteBody.
    """
    return b"".join([chunk async for chunk in chunks(request, MAX_BODY_BYTES, errors.CONTENT_TOO_LARGE)])


def require_length(request: Request) -> None:
    """Refuse a request that does not say whether it has a body.

    Raises:
        ServiceError: MissingContentLength.
    """
    if not {"content-length", "transfer-encoding"} & set(request.headers):
        raise errors.MISSING_CONTENT_LENGTH()


def length_of(request: Request) -> int | None:
    """How many bytes the body is said to have; None when that is not said."""
    announced = request.headers.get("content-length")
    return None if announced is None else int(announced)


def _check_type(value: str) -> None:
    """No Content-Type is fine, and so is a type of XML in UTF-8."""
    kind, *parameters = value.lower().split(";")
    pairs = (parameter.partition("=") for parameter in parameters)
    charsets = {text.strip().strip('"') for name, _, text in pairs if name.strip() == "charset"}
    if value.strip() and not (kind.strip() in XML_TYPES and charsets <= CHARSETS):
        raise errors.INVALID_CONTENT_TYPE(f"Content-Type is {quote(value)}; send the body as application/xml in UTF-8.")


async def chunks(request: Request, limit: int, too_large: ErrorKind) -> AsyncIterator[bytes]:
    """The body, refused when it is longer than ``limit``, stalls, or ends before it should.

    Args:
        request: whose body was not read yet.
        limit: most bytes accepted.
        too_large: how a longer body is refused.

    Raises:
        ServiceError: ``too_large``, RequestTimeOut, IncompleteBody.
    """
    announced = length_of(request)
    if announced is not None and announced > limit:
        raise too_large(f"The body has {announced} bytes; at most {limit}.")
    stream, patience = request.stream(), _Patience()
    size = 0
    while chunk := await patience.next(stream):
        size += len(chunk)
        if size > limit:
            raise too_large(f"The body has more than {limit} bytes.")
        yield chunk


class _Patience:
    """How long more of a body is waited for: ``LEAST_BYTES`` of it buy ``SILENCE_SECONDS``.

    Only the waiting counts, and not what becomes of a chunk before the next one is asked for.
    """

    def __init__(self) -> None:
        self._seconds = SILENCE_SECONDS
        self._heard = 0

    async def next(self, stream: AsyncIterator[bytes]) -> bytes:
        """The next chunk; the stream's last is empty, and no other is."""
        began = time.monotonic()
        chunk = await _next(stream, self._seconds)
        self._seconds -= time.monotonic() - began
        self._heard += len(chunk)
        if self._heard >= LEAST_BYTES:
            self._seconds, self._heard = SILENCE_SECONDS, 0
        return chunk


async def _next(stream: AsyncIterator[bytes], seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            return await anext(stream)
    except TimeoutError:
        raise errors.REQUEST_TIMEOUT(
            f"Less than {LEAST_BYTES} bytes of the body arrived in {SILENCE_SECONDS:.0f} s."
        ) from None
    except ClientDisconnect:
        raise errors.INCOMPLETE_BODY() from None
