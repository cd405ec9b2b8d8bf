"""Sign-in: who signed the request, and is the signature right?

CI and COS refuse with different codes (the error tables of both), so each reason maps to a pair.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from starlette.requests import Request

from sordino import errors
from sordino.api.limits import TOO_MANY_FAILURES, TOO_MANY_REQUESTS, slow_down
from sordino.api.sub_resources import ACL, CALLBACKS, NO_CALL, SUBRESOURCES
from sordino.api.visit import Visit
from sordino.cam.signers import find_signer
from sordino.domain.bucket import Bucket
from sordino.domain.identity import Signer
from sordino.domain.ports import Database
from sordino.domain.token import TokenFault, token_fault
from sordino.errors import ErrorKind, ServiceError
from sordino.wire.address import Address, Service
from sordino.wire.copy_source import HEADER as COPY_SOURCE
from sordino.wire.query import Query
from sordino.wire.signature import Authorization, Reason, SignatureError, SignedRequest, parse, verify

# COS says "AccessDenied, Request has expired" in these very words: the Node SDK then corrects its clock and retries.
REFUSALS: Mapping[Service, Mapping[Reason, ErrorKind]] = MappingProxyType(
    {
        Service.CI: {
            Reason.MALFORMED: errors.INVALID_AUTHORIZATION,
            Reason.EXPIRED: errors.SIGNATURE_EXPIRED,
            Reason.NOT_YET_VALID: errors.SIGNATURE_EXPIRED,
            Reason.MISMATCH: errors.CI_ACCESS_DENIED,
        },
        Service.COS: {
            Reason.MALFORMED: errors.INVALID_ARGUMENT,
            Reason.EXPIRED: errors.REQUEST_HAS_EXPIRED,
            Reason.NOT_YET_VALID: errors.REQUEST_TIME_TOO_SKEWED,
            Reason.MISMATCH: errors.SIGNATURE_DOES_NOT_MATCH,
        },
    }
)
ANONYMOUS: Mapping[Service, ErrorKind] = MappingProxyType(
    {Service.CI: errors.MISSING_AUTHORIZATION, Service.COS: errors.ACCESS_DENIED}
)
UNKNOWN_KEY: Mapping[Service, ErrorKind] = MappingProxyType(
    {Service.CI: errors.SECRET_ID_NOT_EXIST, Service.COS: errors.INVALID_ACCESS_KEY_ID}
)
ENDED_KEY: Mapping[Service, ErrorKind] = MappingProxyType(
    {Service.CI: errors.SIGNATURE_EXPIRED, Service.COS: errors.EXPIRED_TOKEN}
)

_CALLS: Final[Mapping[str, str]] = MappingProxyType(
    {name.lower(): name for name in (SUBRESOURCES | {CALLBACKS}) - NO_CALL}
)
"""Names of parameters that make another call, by how signatures list them."""

_OF_ACLS: Final = ("x-cos-acl", "x-cos-grant-")
"""What names of headers begin with that open what a call writes."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who signed a request, if anybody did, and the bucket it names, if there is one of that name."""

    key: Signer | None
    bucket: Bucket | None


def read(request: Request, service: Service, query: Query) -> Authorization | None:
    """The signature of a request; None: it has none.

    Raises:
        ServiceError: it is malformed, or there are two.
    """
    try:
        return parse(request.headers.raw, query)
    except SignatureError as refusal:
        raise REFUSALS[service][refusal.reason](refusal.message) from None


async def sign_in(
    authorization: Authorization | None,
    request: Request,
    address: Address,
    query: Query,
    *,
    visit: Visit,
    database: Database,
    now: datetime,
    skew: int,
) -> SignedIn:
    """The key that signed the request, None if none did; the bucket is looked up beside it.

    Raises:
        ServiceError: the key is unknown or has ended, its token or the signature is wrong, or out of its time, whatever
            is open to all; or it is that of a URL, and the request does more than was signed; SlowDown.
    """
    if authorization is None:
        return await _unsigned(address, database)
    if wait := visit.knock(authorization.secret_id):
        raise slow_down(address.service, wait, TOO_MANY_FAILURES)
    signer, bucket = await _look_up(authorization, address, visit, database)
    try:
        verify(authorization, signer.secret_key, _signed(request, address, query), now=now, skew=skew)
    except SignatureError as refusal:
        if refusal.reason is Reason.MISMATCH:
            visit.guessed()
        kind = REFUSALS[address.service][refusal.reason]
        exact = kind is errors.REQUEST_HAS_EXPIRED
        raise kind(None if exact else refusal.message) from None
    _refuse_plain(authorization, address.service, query)
    if fault := token_fault(signer, authorization.token, now):
        kinds = ENDED_KEY if fault is TokenFault.EXPIRED else UNKNOWN_KEY
        raise kinds[address.service](f"The key {signer.secret_id} {fault}.")
    if wait := visit.enter(signer):
        raise slow_down(address.service, wait, TOO_MANY_REQUESTS)
    if authorization.in_query:
        _refuse_more(authorization, request, query)
    return SignedIn(signer, bucket)


def _refuse_plain(authorization: Authorization, service: Service, query: Query) -> None:
    """Refuse to make the plain call of an address with the signature of one that a parameter makes of it.

    A listed parameter that is missing counts as empty, and these are empty: whoever left ``policy`` out of a signed
    ``DELETE /?policy`` would delete the bucket.

    Raises:
        ServiceError: as if the signature did not match.
    """
    for name in _CALLS.keys() & _listed(authorization.param_list):
        if _CALLS[name] not in query:
            raise REFUSALS[service][Reason.MISMATCH](f"The request is signed for ?{_CALLS[name]}, which it leaves out.")


def _listed(names: Iterable[str]) -> set[str]:
    return {unquote(name).lower() for name in names}


def _refuse_more(authorization: Authorization, request: Request, query: Query) -> None:
    """Refuse what would make another call of a signed URL than the one it was made for.

    Such URLs are handed to strangers, and SDKs sign no header that they are not told of: with one to upload under a
    single key its holder could copy whatever the signer may read, or open the object that is there; with one to create
    a bucket, open all of it.

    Raises:
        ServiceError: AccessDenied.
    """
    headers, params = _listed(authorization.header_list), _listed(authorization.param_list)
    # Who was let set a list of access says there which.
    more = (COPY_SOURCE,) if ACL in params else (COPY_SOURCE, *_OF_ACLS)
    for name in request.headers:
        if name.startswith(more) and name not in headers and request.headers[name]:
            raise errors.ACCESS_DENIED(f"The URL is not signed for the header {name}: sign it, or leave it out.")
    for name, _ in query:
        if _CALLS.get(name.lower()) == name and name.lower() not in params:
            raise errors.ACCESS_DENIED(f"The URL is not signed for the parameter {name}: sign it, or leave it out.")


def unsigned(service: Service) -> ServiceError:
    """The refusal of an unsigned request, the same whether there is what it asks for or not."""
    return ANONYMOUS[service]("The request is not signed, and what it asks for is not open to everybody; sign it.")


async def _unsigned(address: Address, database: Database) -> SignedIn:
    if address.service is Service.CI or not address.bucket:
        raise unsigned(address.service)
    async with database.reading() as tx:
        return SignedIn(None, await tx.buckets.get(address.bucket))


async def _look_up(
    authorization: Authorization, address: Address, visit: Visit, database: Database
) -> tuple[Signer, Bucket | None]:
    """Whose key it is, and the bucket of the address.

    Raises:
        ServiceError: there is no such key.
    """
    secret_id = authorization.secret_id
    async with database.reading() as tx:
        found = await find_signer(tx, secret_id, authorization.token, address.bucket or "")
    if found is None:
        visit.guessed()
        raise UNKNOWN_KEY[address.service](f"There is no SecretId {secret_id}, or it is disabled.")
    return found


def _signed(request: Request, address: Address, query: Query) -> SignedRequest:
    return SignedRequest(
        method=request.method,
        paths=address.signed_paths,
        hosts=address.signed_hosts,
        headers=request.headers.raw,
        query=query.pairs,
    )
