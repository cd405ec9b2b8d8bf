"""The request signature of the cloud's general API, version 3: ``TC3-HMAC-SHA256``.

https://cloud.tencent.com/document/product/1312/48171 ("Signature v3"), and the official Python SDK
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from typing import Final, Self

from sordino.domain import sts_errors

ALGORITHM: Final = "TC3-HMAC-SHA256"
SERVICE: Final = "sts"
REQUIRED: Final = frozenset({"content-type", "host"})
"""What a request must sign at least."""

UNSIGNED: Final = "UNSIGNED-PAYLOAD"
"""What is signed in place of a body by a client that says so in the header ``BODY``."""

BODY: Final = "x-tc-content-sha256"
TIME: Final = "x-tc-timestamp"
MAX_HEADERS: Final = 32

_AUTHORIZATION: Final = re.compile(
    r"TC3-HMAC-SHA256 +"
    r"Credential=(?P<id>[!-.0-~]{1,128})/(?P<date>[0-9-]{10})/(?P<service>[a-z0-9]{1,32})/tc3_request, *"
    r"SignedHeaders=(?P<headers>[A-Za-z0-9;_-]{1,1024}), *Signature=(?P<signature>[0-9a-f]{64})"
)
_SPELLINGS: Final[tuple[Callable[[str], str], ...]] = (str, str.lower)
_SECONDS: Final = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """A request as it came; its path is ``/``.

    Attributes:
        method: upper-case.
        query: raw, without the ``?``.
        headers: of each name, in lower case, the values as they came, without the white space around them.
        hosts: values of Host that the client may have signed.
        body: whole.
    """

    method: str
    query: bytes = b""
    headers: Mapping[str, Sequence[str]]
    hosts: Sequence[str]
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str:
        """The value of a header; empty: there is none.

        Raises:
            ServiceError: InvalidParameter.ParamError: there are two that differ.
        """
        values = set(self.headers.get(name, ()))
        if len(values) > 1:
            raise sts_errors.BAD_PARAMETER(f"The header {name} is given twice; give it once.")
        return values.pop() if values else ""


def headers_of(raw: Iterable[tuple[bytes, bytes]]) -> Mapping[str, Sequence[str]]:
    """Header fields by name, as ``ApiRequest`` has them."""
    found: dict[str, list[str]] = {}
    for name, value in raw:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip())
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Tc3Signature:
    """An Authorization header, read, and the time beside it.

    Attributes:
        timestamp: Unix time.
        headers: names of the signed ones, in lower case, as listed.
        signature: 64 hex digits.
    """

    secret_id: str
    timestamp: int
    headers: tuple[str, ...]
    signature: str
    request: ApiRequest

    @classmethod
    def read(cls, request: ApiRequest) -> Self:
        """Read what a request is signed with.

        Raises:
            ServiceError: AuthFailure.InvalidAuthorization: it is not signed so, or for another service or day than it
                says.
        """
        match = _AUTHORIZATION.fullmatch(request.header("authorization"))
        if match is None:
            raise sts_errors.NO_AUTHORIZATION(
                f"Authorization is not of the form {ALGORITHM} Credential=<SecretId>/<date>/{SERVICE}/tc3_request, "
                "SignedHeaders=content-type;host, Signature=<64 hex digits>."
            )
        timestamp, headers = request.header(TIME), tuple(match["headers"].lower().split(";"))
        if _SECONDS.fullmatch(timestamp) is None:
            raise sts_errors.NO_AUTHORIZATION("X-TC-Timestamp is not a Unix time in seconds.")
        if match["service"] != SERVICE or match["date"] != _day(int(timestamp)):
            raise sts_errors.NO_AUTHORIZATION(
                f"The scope of the signature is {match['date']}/{match['service']}; it must be the day (UTC) of "
                f"X-TC-Timestamp, and {SERVICE}."
            )
        if not set(headers) >= REQUIRED or len(headers) > MAX_HEADERS:
            raise sts_errors.NO_AUTHORIZATION(
                f"Sign the headers content-type and host, and {MAX_HEADERS} of them at most."
            )
        return cls(
            secret_id=match["id"],
            timestamp=int(timestamp),
            headers=headers,
            signature=match["signature"],
            request=request,
        )

    def fits(self, secret_key: str) -> bool:
        """Whether it was made with that key."""
        return any(hmac.compare_digest(it, self.signature) for it in self._possible(secret_key))

    def _possible(self, secret_key: str) -> Iterable[str]:
        """Signatures of the request: SDKs differ in hosts, and in whether they sign values in lower case."""
        for host, written in product(self.request.hosts, _SPELLINGS):
            values = {name: host if name == "host" else self.request.header(name) for name in self.headers}
            yield sign(self.request, self.timestamp, {name: written(it) for name, it in values.items()}, secret_key)


def sign(request: ApiRequest, timestamp: int, headers: Mapping[str, str], secret_key: str) -> str:
    """The signature of a request, 64 hex digits.

    Args:
        request: its method, query and body are signed.
        timestamp: Unix time.
        headers: what is signed of them, in the order of SignedHeaders.
        secret_key: what to sign with.
    """
    body = UNSIGNED.encode() if request.header(BODY) == UNSIGNED else request.body
    canonical = "\n".join(
        (
            request.method,
            "/",
            request.query.decode("latin-1"),
            *(f"{name}:{value}" for name, value in headers.items()),
            "",
            ";".join(headers),
            hashlib.sha256(body).hexdigest(),
        )
    )
    scope = f"{_day(timestamp)}/{SERVICE}/tc3_request"
    text = "\n".join((ALGORITHM, str(timestamp), scope, hashlib.sha256(canonical.encode("latin-1")).hexdigest()))
    key = f"TC3{secret_key}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()


def _day(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d")
