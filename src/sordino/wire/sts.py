"""Requests and replies of STS, the API that gives temporary keys out.

A request is signed in one of two ways: as a form, by ``Signature`` (version 1 of the general API's signature), or as
JSON or a form, by an Authorization header (version 3, see ``tc3``). Replies are JSON.

https://cloud.tencent.com/document/product/1312/48195 ("AssumeRole", "GetFederationToken", "GetCallerIdentity"),
https://cloud.tencent.com/document/product/1312/48172 ("Signature v1")
"""

import hmac
import json
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Protocol, Self

from sordino.domain import sts_errors
from sordino.domain.identity import Caller, CallerKind, TemporaryKey
from sordino.errors import ServiceError
from sordino.wire import percent
from sordino.wire.query import Query
from sordino.wire.tc3 import ALGORITHM, ApiRequest, Tc3Signature
from sordino.wire.words import quote

VERSION: Final = "2018-08-13"
HOST: Final = "sts.tencentcloudapi.com"
"""What clients sign as host that are told of another URL alone."""

MAX_BODY_BYTES: Final = 256 * 1024
"""Room for the longest policy, every byte of it escaped."""

MAX_SKEW: Final = timedelta(minutes=5)
"""How far a client's clock may be away; a request may come again as long."""

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"
"""The type of every reply; the official Python SDK compares it whole."""

_DIGESTS: Final[Mapping[str, str]] = MappingProxyType({"HmacSHA1": "sha1", "HmacSHA256": "sha256"})
_WHOLE: Final = re.compile(r"[0-9]{1,10}")
_UNSPEAKABLE: Final = re.compile("[\0\ud800-\udfff]")
"""What JSON can hold and neither UTF-8 nor the database can."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a request, as text; what is empty or null counts as absent."""

    values: Mapping[str, str]

    @classmethod
    def of_form(cls, raw: bytes) -> Self:
        """Read ``name=value&...``.

        Raises:
            ServiceError: InvalidParameter.ParamError.
        """
        try:
            pairs = Query.parse(raw).pairs
        except ServiceError as refusal:
            raise sts_errors.BAD_PARAMETER(refusal.message) from None
        if len(values := dict(pairs)) < len(pairs):
            raise sts_errors.BAD_PARAMETER("A parameter is given twice; give it once.")
        return cls(values)

    @classmethod
    def of_json(cls, raw: bytes) -> Self:
        """Read an object; what is neither text nor a number stays JSON.

        Raises:
            ServiceError: InvalidParameter.ParamError.
        """
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise sts_errors.BAD_PARAMETER("The body is no JSON object.")
        if any(_UNSPEAKABLE.search(it) for pair in found.items() for it in pair if isinstance(it, str)):
            raise sts_errors.BAD_PARAMETER("The body holds a NUL or half of a character.")
        return cls(
            {name: it if isinstance(it, str) else json.dumps(it) for name, it in found.items() if it is not None}
        )

    def get(self, name: str) -> str | None:
        """A parameter, or None."""
        return self.values.get(name) or None

    def text(self, name: str) -> str:
        """A parameter that must be there and say something.

        Raises:
            ServiceError: MissingParameter.
        """
        if (value := self.get(name)) is None:
            raise sts_errors.MISSING_PARAMETER(f"The parameter {name} is missing.")
        return value

    def whole(self, name: str) -> int | None:
        """A whole number, or None.

        Raises:
            ServiceError: InvalidParameter.ParamError.
        """
        if (word := self.get(name)) is None:
            return None
        if _WHOLE.fullmatch(word) is None:
            raise sts_errors.BAD_PARAMETER(f"{name} is {quote(word)}; use a whole number.")
        return int(word)

    def policy(self) -> str | None:
        """The parameter Policy, which is JSON escaped as in URLs; also as JSON itself.

        Raises:
            ServiceError: InvalidParameter.ParamError.
        """
        text = self.get("Policy")
        if text is None or text.lstrip().startswith("{"):
            return text
        try:
            return percent.decode(text.replace("+", " ").encode())
        except ServiceError:
            raise sts_errors.BAD_PARAMETER(
                "Policy cannot be decoded; send the JSON of the policy, escaped as in URLs."
            ) from None

    def refuse(self, *names: str) -> None:
        """Refuse what is not offered, and would make less of what is given out.

        Raises:
            ServiceError: UnsupportedOperation.
        """
        for name, value in self.values.items():
            if value not in ("", "[]") and name.partition(".")[0] in names:
                raise sts_errors.NOT_OFFERED(f"{name[:64]} is not offered; leave it out.")


class Signature(Protocol):
    """What a request is signed with, in either way."""

    @property
    def secret_id(self) -> str:
        """The key it says to be signed with."""
        ...

    @property
    def timestamp(self) -> int:
        """When it says to be signed, Unix time."""
        ...

    def fits(self, secret_key: str) -> bool:
        """Whether it was made with that key."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FormSignature:
    """A request's parameters, one of which is their signature."""

    secret_id: str
    timestamp: int
    signature: str
    request: ApiRequest
    parameters: Parameters

    @classmethod
    def read(cls, request: ApiRequest, parameters: Parameters) -> Self:
        """Read what a request is signed with.

        Raises:
            ServiceError: MissingParameter, InvalidParameter.ParamError.
        """
        parameters.text("Nonce")
        parameters.text("Timestamp")
        if (method := parameters.get("SignatureMethod") or "HmacSHA1") not in _DIGESTS:
            raise sts_errors.BAD_PARAMETER(f"SignatureMethod is {quote(method)}; use {' or '.join(_DIGESTS)}.")
        return cls(
            secret_id=parameters.text("SecretId"),
            timestamp=parameters.whole("Timestamp") or 0,
            signature=parameters.text("Signature"),
            request=request,
            parameters=parameters,
        )

    def fits(self, secret_key: str) -> bool:
        """Whether it was made with that key."""
        values = {name: value for name, value in self.parameters.values.items() if name != "Signature"}
        given, method = self.signature.encode(), self.request.method
        return any(
            hmac.compare_digest(sign(method, it, values, secret_key).encode(), given) for it in self.request.hosts
        )


def sign(method: str, host: str, values: Mapping[str, str], secret_key: str) -> str:
    """The signature of a form, base64.

    Args:
        method: of HTTP, upper-case.
        host: as the client was told.
        values: all parameters but Signature.
        secret_key: what to sign with.
    """
    named = sorted((name.replace("_", "."), value) for name, value in values.items())
    text = f"{method}{host}/?{'&'.join(f'{name}={value}' for name, value in named)}"
    digest = _DIGESTS[values.get("SignatureMethod") or "HmacSHA1"]
    return b64encode(hmac.digest(secret_key.encode(), text.encode(), digest)).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class StsRequest:
    """A request, read but not verified.

    Attributes:
        token: that came beside the signature; None: none did.
    """

    action: str
    parameters: Parameters
    signature: Signature
    token: str | None

    @classmethod
    def read(cls, request: ApiRequest) -> Self:
        """Read a request, signed in either way.

        Raises:
            ServiceError: AuthFailure.InvalidAuthorization, MissingParameter, InvalidParameter.ParamError,
                NoSuchVersion.
        """
        named = bool(request.header("authorization") or request.header("x-tc-action"))
        parameters = _parameters(request)
        if named:
            made = cls(
                action=request.header("x-tc-action"),
                parameters=parameters,
                signature=Tc3Signature.read(request),
                token=request.header("x-tc-token") or None,
            )
        else:
            made = cls(
                action=parameters.text("Action"),
                parameters=parameters,
                signature=FormSignature.read(request, parameters),
                token=parameters.get("Token"),
            )
        version = request.header("x-tc-version") if named else parameters.get("Version")
        if version and version != VERSION:
            raise sts_errors.NO_SUCH_VERSION(f"There is no Version {quote(version)}; use {VERSION}.")
        return made

    def check_time(self, now: datetime) -> None:
        """Refuse a request of another time.

        Raises:
            ServiceError: AuthFailure.SignatureExpire.
        """
        if abs(now.timestamp() - self.signature.timestamp) > MAX_SKEW.total_seconds():
            raise sts_errors.EXPIRED()


def is_signed_so(request: ApiRequest) -> bool:
    """Whether the headers or the query of a request are those of the general API, whatever its body says."""
    if request.headers.get("x-tc-action") or any(
        it.startswith(ALGORITHM) for it in request.headers.get("authorization", ())
    ):
        return True
    if request.headers.get("authorization"):
        return False
    if request.method == "POST":
        return not request.query and any(it.lower().startswith(FORM) for it in request.headers.get("content-type", ()))
    return request.method == "GET" and {b"Action", b"SecretId", b"Signature"} <= {
        pair.partition(b"=")[0] for pair in request.query.split(b"&")
    }


def _parameters(request: ApiRequest) -> Parameters:
    """Of the body or, of a GET, of the query."""
    if request.method == "GET":
        return Parameters.of_form(request.query)
    if request.header("content-type").partition(";")[0].strip().lower() == JSON:
        return Parameters.of_json(request.body)
    return Parameters.of_form(request.body)


def render(members: Mapping[str, Any], request_id: str) -> bytes:
    """The reply of a call that was done."""
    return json.dumps({"Response": {**members, "RequestId": request_id}}, ensure_ascii=False).encode()


def render_refusal(refusal: ServiceError, request_id: str) -> bytes:
    """The reply of a call that was not."""
    return render({"Error": {"Code": refusal.code, "Message": refusal.message}}, request_id)


def key_members(key: TemporaryKey) -> Mapping[str, Any]:
    """A temporary key, as it is given out."""
    return {
        "Credentials": {"Token": key.token, "TmpSecretId": key.secret_id, "TmpSecretKey": key.secret_key},
        "ExpiredTime": int(key.expires_at.timestamp()),
        "Expiration": key.expires_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def caller_members(caller: Caller, session_name: str | None, asked_for_by: str) -> Mapping[str, Any]:
    """Who calls.

    Args:
        caller: who calls.
        session_name: of a temporary key; None: the key is permanent.
        asked_for_by: uin of whoever owns the permanent key.
    """
    root, name = caller.account.uin, caller.name
    if caller.kind is CallerKind.ROLE:
        arn, kind = f"qcs::sts:{root}:assumed-role/{name}", "CAMRole"
    elif session_name is None:
        arn, kind = f"qcs::cam:{root}:uin/{name}", "CAMUser"
    else:
        arn, kind = f"qcs::sts:{root}:federated-user/{name}", "CAMUser"
    return {
        "Arn": arn,
        "AccountId": root,
        "UserId": name if session_name is None else f"{name}:{session_name}",
        "PrincipalId": asked_for_by,
        "Type": kind,
    }
