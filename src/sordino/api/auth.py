"""Sign-in: who signed the request, and is the signature right?

CI and COS refuse with different codes (the error tables of both), so each reason maps to a pair.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from starlette.requests import Request

from sordino import errors
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

ACL = "acl"
"""The query name of the calls of access control lists."""


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
    database: Database,
    now: datetime,
    skew: int,
) -> SignedIn:
    """The key that signed the request, None if none did; the bucket is looked up beside it.

    Raises:
        ServiceError: the key is unknown or has ended, its token or the signature is wrong, or out of its time, whatever
            is open to all; or it is that of a URL, and the request does more than was signed.
    """
    if authorization is None:
        return await _unsigned(address, database)
    signer, bucket = await _look_up(authorization, address, database)
    try:
        verify(authorization, signer.secret_key, _signed(request, address, query), now=now, skew=skew)
    except SignatureError as refusal:
        kind = REFUSALS[address.service][refusal.reason]
        exact = kind is errors.REQUEST_HAS_EXPIRED
        raise kind(None if exact else refusal.message) from None
    if fault := token_fault(signer, authorization.token, now):
        kinds = ENDED_KEY if fault is TokenFault.EXPIRED else UNKNOWN_KEY
        raise kinds[address.service](f"The key {signer.secret_id} {fault}.")
    if authorization.in_query:
        _refuse_more(authorization, request, query)
    return SignedIn(signer, bucket)


def _refuse_more(authorization: Authorization, request: Request, query: Query) -> None:
    """Refuse what would make another call of a signed URL than the one it was made for.

    Such URLs are handed to strangers, and SDKs sign no header that they are not told of: with one to upload under a
    single key its holder could copy whatever the signer may read, or open the object that is there.

    Raises:
        ServiceError: AccessDenied.
    """
    headers, params = ({name.lower() for name in it} for it in (authorization.header_list, authorization.param_list))
    if request.headers.get(COPY_SOURCE) and COPY_SOURCE not in headers:
        raise errors.ACCESS_DENIED(f"The URL is not signed for a copy: sign it with the header {COPY_SOURCE}.")
    if ACL in query and ACL not in params:
        raise errors.ACCESS_DENIED(f"The URL is not signed for a list of access: sign it with the parameter {ACL}.")


def unsigned(service: Service) -> ServiceError:
    """The refusal of an unsigned request, the same whether there is what it asks for or not."""
    return ANONYMOUS[service]("The request is not signed, and what it asks for is not open to everybody; sign it.")


async def _unsigned(address: Address, database: Database) -> SignedIn:
    if address.service is Service.CI or not address.bucket:
        raise unsigned(address.service)
    async with database.reading() as tx:
        return SignedIn(None, await tx.buckets.get(address.bucket))


async def _look_up(authorization: Authorization, address: Address, database: Database) -> tuple[Signer, Bucket | None]:
    """Whose key it is, and the bucket of the address.

    Raises:
        ServiceError: there is no such key.
    """
    async with database.reading() as tx:
        kinds = [tx.identities.signer, tx.identities.temporary]
        # Of the other kind is a key that came without the token that it needs, or with one that it does not.
        for look_up in kinds if authorization.token is None else reversed(kinds):
            # No bucket has an empty name.
            if found := await look_up(authorization.secret_id, address.bucket or ""):
                return found
    raise UNKNOWN_KEY[address.service](f"There is no SecretId {authorization.secret_id}, or it is disabled.")


def _signed(request: Request, address: Address, query: Query) -> SignedRequest:
    return SignedRequest(
        method=request.method,
        paths=address.signed_paths,
        hosts=address.signed_hosts,
        headers=request.headers.raw,
        query=query.pairs,
    )
