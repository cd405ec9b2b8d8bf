"""A client of one bucket of an S3-compatible store: signs, tries again, tells refusals from outages.

Not obstore's: that has no object ``dir/``, ``a//b`` or with an ``Expires``, no page of a list with a delimiter, and no
copy with new metadata, all of which there are in the buckets that people mount (docs/decisions/0017-mounts.md).
"""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import httpcore

from sordino import errors
from sordino.domain.mount import Location
from sordino.domain.ports import MountedStoreError
from sordino.errors import ServiceError
from sordino.wire.s3 import MAX_REPLY_BYTES, S3Error, parse_error
from sordino.wire.sigv4 import Signer, query_text

PAUSES: Final = (0.2, 1.0)
"""Seconds before a request is sent for the second and the third time."""

MAX_CONNECTIONS: Final = 512
"""More than the API has clients: one that reads slowly keeps no other waiting."""

_TIMEOUTS: Final = {"connect": 5.0, "read": 30.0, "write": 30.0, "pool": 30.0}
_NO_PARAMETERS: Final[Mapping[str, str]] = {}
_OUTAGES: Final = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError)
_BUSY: Final = frozenset({429, 500, 502, 503, 504})
IN_THREAD_BYTES: Final = 64 * 1024
"""A longer body is hashed beside the event loop."""


class RefusedError(Exception):
    """The store refuses a request.

    Attributes:
        status: HTTP status.
        error: what it says; nothing where the request was a HEAD.
    """

    def __init__(self, status: int, error: S3Error) -> None:
        super().__init__(f"{status} {error.code}".strip())
        self.status = status
        self.error = error


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply whose body has come; names of headers are lower-case, values Latin-1."""

    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Client:
    """Requests about one bucket; connections are kept, and belong to one event loop."""

    location: Location
    signer: Signer
    pool: httpcore.AsyncConnectionPool

    @classmethod
    def open(cls, location: Location, access_key_id: str, secret: str) -> "S3Client":
        """A client that trusts the certificates that the operating system does, and asks no proxy."""
        return cls(
            location=location,
            signer=Signer(access_key_id=access_key_id, secret=secret, region=location.region),
            pool=httpcore.AsyncConnectionPool(
                ssl_context=ssl.create_default_context(), max_connections=MAX_CONNECTIONS, keepalive_expiry=20.0
            ),
        )

    async def send(
        self,
        method: str,
        key: str | None,
        *,
        query: Mapping[str, str] = _NO_PARAMETERS,
        headers: Mapping[str, str] = _NO_PARAMETERS,
        body: bytes = b"",
    ) -> Reply:
        """Send a request whose reply is short, again when the store is busy or the connection breaks.

        Args:
            method: upper-case.
            key: the object, None: the bucket.
            query: parameters.
            headers: lower-case names.
            body: all of it.

        Raises:
            RefusedError: the store refuses.
            MountedStoreError: it does not answer, or is busy, however often it is asked.
        """
        for pause in PAUSES:
            try:
                return await self._send(method, key, query, headers, body)
            except MountedStoreError:
                await asyncio.sleep(pause)
        return await self._send(method, key, query, headers, body)

    async def _send(
        self, method: str, key: str | None, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Reply:
        async with self._exchange(method, key, query, headers, body) as response:
            return Reply(headers_of(response), await _short_body(response))

    @asynccontextmanager
    async def stream(self, key: str, headers: Mapping[str, str]) -> AsyncIterator[httpcore.Response]:
        """Get an object; the body of the response is read inside the block.

        Raises:
            RefusedError: the store refuses.
            MountedStoreError: it does not answer, is busy, or goes away in the middle.
        """
        async with self._exchange("GET", key, _NO_PARAMETERS, headers, b"") as response:
            yield response

    @asynccontextmanager
    async def _exchange(
        self, method: str, key: str | None, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> AsyncIterator[httpcore.Response]:
        path, text = self.location.path(key), query_text(query)
        signed = await self._signed(method, path, query, headers, body)
        url = _url(self.location.endpoint, f"{path}?{text}" if text else path)
        with _outages():
            async with self.pool.stream(
                method,
                url,
                headers=[(name.encode(), value.encode("latin-1")) for name, value in signed.items()],
                content=body,
                extensions={"timeout": _TIMEOUTS},
            ) as response:
                await _check(response)
                yield response

    async def _signed(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> dict[str, str]:
        sent = {"host": self.location.host, **headers}
        digest = partial(hashlib.sha256, body)
        payload = (await asyncio.to_thread(digest) if len(body) > IN_THREAD_BYTES else digest()).hexdigest()
        added = self.signer.sign(method, path, query, sent, payload=payload, at=datetime.now(UTC))
        length = {"content-length": str(len(body))} if method in ("PUT", "POST") else {}
        return {**sent, **added, **length}

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return all(connection.is_idle() or connection.is_closed() for connection in self.pool.connections)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.pool.aclose()


@contextmanager
def _outages() -> Iterator[None]:
    """Turn what the connection raises into the port's error."""
    try:
        yield
    except _OUTAGES as error:
        raise MountedStoreError(f"the mounted store does not answer: {type(error).__name__} {error}") from error


async def _check(response: httpcore.Response) -> None:
    if response.status in _BUSY:
        raise MountedStoreError(f"the mounted store answers with status {response.status}")
    if not 200 <= response.status < 300:
        raise RefusedError(response.status, parse_error(await _short_body(response)))


async def _short_body(response: httpcore.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_stream():
        body += chunk
        if len(body) > MAX_REPLY_BYTES:
            raise MountedStoreError(f"the mounted store answers with more than {MAX_REPLY_BYTES} bytes")
    return bytes(body)


def headers_of(response: httpcore.Response) -> dict[str, str]:
    """The headers of a response, with lower-case names."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}


def _url(endpoint: str, target: str) -> httpcore.URL:
    """Not as text, which httpcore would read and write anew."""
    parts = urlsplit(endpoint)
    return httpcore.URL(
        scheme=parts.scheme.encode(), host=(parts.hostname or "").encode(), port=parts.port, target=target.encode()
    )


def refusal(bucket: str, refused: RefusedError) -> ServiceError:
    """What a client of ours is told, which is no fault of this server's.

    Args:
        bucket: the one of ours.
        refused: what the store says.
    """
    code = refused.error.code or str(refused.status)
    where = f"The store that the bucket {bucket} is mounted on"
    match refused.status, refused.error.code:
        case 404, "NoSuchBucket":
            return errors.NO_SUCH_BUCKET(f"{where} has no such bucket any more; its operator must mount another one.")
        case 404, _:
            return errors.NO_SUCH_KEY()
        case _, "KeyTooLongError" | "KeyTooLong":
            return errors.KEY_TOO_LONG(f"{where} takes no key that is so long.")
        case _, "EntityTooLarge":
            return errors.ENTITY_TOO_LARGE(f"{where} takes no object that is so large.")
        case 401 | 403, _:
            return errors.ACCESS_DENIED(f"{where} refuses this ({code}); its operator must look at its key's rights.")
        case _:
            return errors.INVALID_ARGUMENT(f"{where} refuses this ({code}).")
