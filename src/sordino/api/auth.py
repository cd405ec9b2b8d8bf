"""Sign-in: who signed the request, and is the signature right?

CI and COS refuse with different codes (error tables of both), so each reason maps to a pair.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from starlette.requests import Request

from sordino import errors
from sordino.domain.identity import AccessKey
from sordino.domain.ports import Database
from sordino.errors import ErrorKind
from sordino.wire import signature
from sordino.wire.address import Address, Service
from sordino.wire.signature import Reason

TOKEN_NAMES = ("x-cos-security-token", "x-ci-security-token")
REFUSALS: Mapping[Reason, Mapping[Service, ErrorKind]] = MappingProxyType(
    {
        Reason.MALFORMED: {Service.CI: errors.INVALID_AUTHORIZATION, Service.COS: errors.INVALID_ARGUMENT},
        Reason.EXPIRED: {Service.CI: errors.SIGNATURE_EXPIRED, Service.COS: errors.REQUEST_HAS_EXPIRED},
        Reason.NOT_YET_VALID: {Service.CI: errors.SIGNATURE_EXPIRED, Service.COS: errors.REQUEST_TIME_TOO_SKEWED},
        Reason.MISMATCH: {Service.CI: errors.CI_ACCESS_DENIED, Service.COS: errors.SIGNATURE_DOES_NOT_MATCH},
    }
)


async def sign_in(
    request: Request,
    address: Address,
    query: Sequence[tuple[str, str]],
    *,
    database: Database,
    now: datetime,
    skew: int,
) -> AccessKey:
    """The key that signed the request.

    Raises:
        ServiceError: the request is anonymous, the key unknown, or the signature malformed, expired or wrong.
    """
