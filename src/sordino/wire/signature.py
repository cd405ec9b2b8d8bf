"""The request signature of COS and CI: HMAC-SHA1 over method, path and the listed parameters and headers.

Source: "Request signature" (COS document 436/7778), and the official SDKs where it leaves something open.

What must be signed: the protocol demands nothing beyond method, path and time. The client chooses which headers and
parameters it signs and says so in two lists; what it leaves out is not protected. Official SDKs leave out parameters
(``?cancel``) and even the host (Python's ``SignHost=False``), so no minimum is enforced here. A signature without the
host, or of a path-style request, is therefore good for the same path in every bucket its key may reach, until it
expires.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import product
from operator import itemgetter
from urllib.parse import quote, unquote

MAX_AUTHORIZATION = 8192
MAX_LISTED_NAMES = 256
MAX_TOKEN = 4096

_ALGORITHM = "sha1"
_KEYS = (
    "q-sign-algorithm",
    "q-ak",
    "q-sign-time",
    "q-key-time",
    "q-header-list",
    "q-url-param-list",
    "q-signature",
)
_WHOLE = "sign"
"""The parameter in which the PHP SDK's URLs carry all that an Authorization header would."""
_TOKEN_NAMES = ("x-cos-security-token", "x-ci-security-token")
_TIMES = re.compile(r"([0-9]{1,11});([0-9]{1,11})")
_SECRET_ID = re.compile(r"[!-~]{1,128}")
_SIGNATURE = re.compile(r"[0-9a-f]{40}")


class Reason(StrEnum):
    """Why a signature is refused."""

    MALFORMED = "malformed"
    EXPIRED = "expired"
    NOT_YET_VALID = "not yet valid"
    MISMATCH = "mismatch"


class SignatureError(Exception):
    """The request's signature is refused; the message is fit for the client."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """The parts of a request a signature can cover.

    Attributes:
        method: as received.
        paths: decoded paths the client may have signed, without the query; at least one.
        hosts: values of Host the client may have signed; they stand in for the Host header.
        headers: names (any case) and raw values, in any order.
        query: decoded names and values, in any order.
    """

    method: str
    paths: Sequence[str]
    hosts: Sequence[str] = ()
    headers: Sequence[tuple[bytes, bytes]] = ()
    query: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """The seven pairs of a signature, parsed, and the token that came beside them.

    Attributes:
        key_start: first valid second, Unix time.
        key_end: last valid second, Unix time.
        header_list: names of the signed headers as listed.
        param_list: names of the signed query parameters as listed.
        signature: 40 lower-case hex digits.
        token: the security token of temporary keys, or None.
        in_query: whether the pairs came in the query rather than in the Authorization header.
    """

    secret_id: str
    key_start: int
    key_end: int
    key_time: str
    header_list: tuple[str, ...]
    param_list: tuple[str, ...]
    signature: str
    token: str | None = field(default=None, repr=False)
    in_query: bool = False

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The seven names and values in the customary order."""
        values = (
            _ALGORITHM,
            self.secret_id,
            self.key_time,
            self.key_time,
            ";".join(self.header_list),
            ";".join(self.param_list),
            self.signature,
        )
        return tuple(zip(_KEYS, values, strict=True))

    @property
    def header(self) -> str:
        """The value of an Authorization header."""
        return "&".join(f"{name}={value}" for name, value in self.pairs)

    @property
    def query(self) -> str:
        """The pairs as part of a URL's query, encoded."""
        return "&".join(f"{name}={encode(value)}" for name, value in self.pairs)


def encode(text: str | bytes) -> str:
    """Percent-encode UTF-8 with upper-case hex, keeping only ``A-Z a-z 0-9 - _ . ~``."""
    return quote(text, safe="")


def parse(headers: Iterable[tuple[bytes, bytes]], query: Iterable[tuple[str, str]]) -> Authorization | None:
    """Read the signature of a request; None when it is anonymous (no Authorization or an empty one, no ``q-`` pairs).

    The pairs come as the Authorization header, as parameters, or, from the PHP SDK, all in the parameter ``sign``.

    Args:
        headers: names and raw values.
        query: decoded names and values.

    Raises:
        SignatureError: ``MALFORMED``, also for a signature in both places, another algorithm than sha1, a sign time
            that differs from the key time, or a list longer than ``MAX_LISTED_NAMES``.
    """
    lower = [(name.lower().decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    parameters = list(query)
    in_header = [value for name, value in lower if name == "authorization" and value.strip()]
    in_query = [pair for pair in parameters if pair[0] in _KEYS]
    whole = [value for name, value in parameters if name == _WHOLE and "q-signature=" in value]
    found = [*map(_split, (*in_header, *whole)), *([in_query] if in_query else [])]
    if not found:
        return None
    if len(found) > 1:
        raise SignatureError(Reason.MALFORMED, "The request carries more than one signature; send one.")
    return _authorization(_fields(found[0]), token=_token([*lower, *parameters]), in_query=not in_header)


def _split(header: str) -> list[tuple[str, str]]:
    if len(header) > MAX_AUTHORIZATION:
        raise SignatureError(Reason.MALFORMED, f"A signature is longer than {MAX_AUTHORIZATION} characters.")
    pairs = [part.partition("=") for part in header.strip().split("&")]
    return [(name, value) for name, _, value in pairs if name in _KEYS]


def _fields(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    fields = dict(pairs)
    if len(pairs) != len(_KEYS) or len(fields) != len(_KEYS):
        raise SignatureError(Reason.MALFORMED, f"A signature has each of {', '.join(_KEYS)} exactly once.")
    return fields


def _authorization(fields: dict[str, str], *, token: str | None, in_query: bool) -> Authorization:
    if fields["q-sign-algorithm"] != _ALGORITHM:
        raise SignatureError(Reason.MALFORMED, "q-sign-algorithm must be sha1.")
    if fields["q-sign-time"] != fields["q-key-time"]:
        raise SignatureError(Reason.MALFORMED, "q-sign-time and q-key-time differ; send the same times in both.")
    times = _TIMES.fullmatch(fields["q-key-time"])
    if times is None or int(times[1]) > int(times[2]):
        raise SignatureError(Reason.MALFORMED, "q-key-time must be '<start>;<end>' in Unix seconds, start first.")
    if _SECRET_ID.fullmatch(fields["q-ak"]) is None:
        raise SignatureError(Reason.MALFORMED, "q-ak must be a SecretId: 1 to 128 printable characters.")
    if _SIGNATURE.fullmatch(fields["q-signature"]) is None:
        raise SignatureError(Reason.MALFORMED, "q-signature must be 40 lower-case hex digits.")
    return Authorization(
        secret_id=fields["q-ak"],
        key_start=int(times[1]),
        key_end=int(times[2]),
        key_time=fields["q-key-time"],
        header_list=_names(fields, "q-header-list"),
        param_list=_names(fields, "q-url-param-list"),
        signature=fields["q-signature"],
        token=token,
        in_query=in_query,
    )


def _names(fields: dict[str, str], key: str) -> tuple[str, ...]:
    names = tuple(filter(None, fields[key].split(";")))
    if len(names) > MAX_LISTED_NAMES:
        raise SignatureError(Reason.MALFORMED, f"{key} lists more than {MAX_LISTED_NAMES} names.")
    return names


def _token(pairs: Iterable[tuple[str, str]]) -> str | None:
    """The one security token; SDKs send the COS name to CI too, and it may come as a header or a parameter."""
    tokens = {value for name, value in pairs if name in _TOKEN_NAMES and value}
    if len(tokens) > 1:
        raise SignatureError(Reason.MALFORMED, "The request carries two different security tokens; send one.")
    token = next(iter(tokens), None)
    if token is not None and len(token) > MAX_TOKEN:
        raise SignatureError(Reason.MALFORMED, f"The security token is longer than {MAX_TOKEN} characters.")
    return token


def verify(
    authorization: Authorization, secret_key: str, request: SignedRequest, *, now: datetime, skew: float
) -> None:
    """Check that the holder of ``secret_key`` signed the request and that ``now`` lies in the signature's time.

    Names are matched without case; all values of a listed name are covered, sorted, however often it is listed (Go
    lists it once a value); a listed name that is missing counts as empty.

    Args:
        authorization: what ``parse`` returned.
        secret_key: the key of ``authorization.secret_id``.
        request: the request as received.
        now: the current time, timezone-aware.
        skew: how far the client's clock may be ahead, seconds.

    Raises:
        SignatureError: ``MISMATCH``, ``NOT_YET_VALID`` or ``EXPIRED``, checked in this order, so that only a holder
            of the key learns about the times.
    """
    expected = _candidates(authorization, secret_key, request)
    if not any(hmac.compare_digest(candidate, authorization.signature) for candidate in expected):
        raise SignatureError(Reason.MISMATCH, "The signature does not match the request; check the SecretKey.")
    if now.timestamp() + skew < authorization.key_start:
        raise SignatureError(Reason.NOT_YET_VALID, "The signature is not valid yet; check the client's clock.")
    if now.timestamp() > authorization.key_end:
        raise SignatureError(Reason.EXPIRED, "The signature has expired; sign again, or check the client's clock.")


def sign(request: SignedRequest, *, secret_id: str, secret_key: str, start: datetime, end: datetime) -> Authorization:
    """Sign all headers and parameters of ``request``, and its first host if it has one.

    Args:
        request: what will be sent; its first path is signed.
        secret_id: printable ASCII.
        secret_key: the key of that id.
        start: first valid second, timezone-aware.
        end: last valid second, timezone-aware.

    Returns:
        The signature; send its ``header`` as Authorization or append its ``query`` to the URL.
    """
    names = [name for name, _ in request.headers] + [b"host"] * bool(request.hosts)
    header_list = tuple(sorted(map(_canonical, names)))
    param_list = tuple(sorted(_canonical(name) for name, _ in request.query))
    key_start, key_end = int(start.timestamp()), int(end.timestamp())
    key_time = f"{key_start};{key_end}"
    host = next(iter(request.hosts), None)
    text = http_string(request, request.paths[0], host, header_list=header_list, param_list=param_list)
    return Authorization(
        secret_id=secret_id,
        key_start=key_start,
        key_end=key_end,
        key_time=key_time,
        header_list=header_list,
        param_list=param_list,
        signature=_sign_text(text, secret_key, key_time),
    )


def http_string(
    request: SignedRequest, path: str, host: str | None, *, header_list: Iterable[str], param_list: Iterable[str]
) -> str:
    """The text whose digest is signed: method, path, listed parameters and listed headers, a line each.

    Args:
        request: gives method, headers and parameters.
        path: decoded, one of the request's.
        host: one of the request's, or None.
        header_list: names of the signed headers.
        param_list: names of the signed parameters.
    """
    return _Encoded.of(request, header_list=header_list, param_list=param_list).http_string(path, host)


@dataclass(frozen=True, slots=True)
class _Encoded:
    """The listed parts of a request, encoded: the costly half of an HTTP string, the same for every path and host."""

    method: str
    parameters: str
    headers: Sequence[tuple[str, str]]
    host_listed: bool

    @classmethod
    def of(cls, request: SignedRequest, *, header_list: Iterable[str], param_list: Iterable[str]) -> "_Encoded":
        names = _listed(header_list)
        others = [pair for pair in request.headers if pair[0].lower() != b"host"]
        parameters = _join(_encode_pairs(_listed(param_list), request.query))
        return cls(request.method.lower(), parameters, _encode_pairs(names - {"host"}, others), "host" in names)

    def http_string(self, path: str, host: str | None) -> str:
        place = [("host", encode(host or ""))] * self.host_listed
        headers = _join(sorted([*self.headers, *place], key=itemgetter(0)))
        return f"{self.method}\n{path}\n{self.parameters}\n{headers}\n"


def _candidates(authorization: Authorization, secret_key: str, request: SignedRequest) -> Iterator[str]:
    """The signatures this request may carry: one for each path and host the client may have meant, likeliest first."""
    encoded = _Encoded.of(request, header_list=authorization.header_list, param_list=authorization.param_list)
    places = product(request.paths, request.hosts or (None,))
    for text in dict.fromkeys(encoded.http_string(path, host) for path, host in places):
        yield _sign_text(text, secret_key, authorization.key_time)


def _listed(names: Iterable[str]) -> set[str]:
    return {_canonical(unquote(name)) for name in names}


def _encode_pairs(names: set[str], pairs: Iterable[tuple[str | bytes, str | bytes]]) -> list[tuple[str, str]]:
    """The pairs of the listed names, encoded, names in order, the values of one name in order."""
    values: dict[str, list[bytes]] = {name: [] for name in names}
    for name, value in pairs:
        if (canonical := _canonical(name)) in names:
            values[canonical].append(value.encode() if isinstance(value, str) else value)
    return [(name, encode(value)) for name in sorted(names) for value in sorted(values[name]) or [b""]]


def _join(pairs: Iterable[tuple[str, str]]) -> str:
    return "&".join(f"{name}={value}" for name, value in pairs)


def _canonical(name: str | bytes) -> str:
    return encode(name).lower()


def _sign_text(text: str, secret_key: str, key_time: str) -> str:
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return _hmac(_hmac(secret_key, key_time), f"{_ALGORITHM}\n{key_time}\n{digest}\n")


def _hmac(key: str, message: str) -> str:
    return hmac.new(key.encode(), message.encode(), hashlib.sha1).hexdigest()
