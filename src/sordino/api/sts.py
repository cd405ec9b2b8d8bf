"""STS: how clients get temporary keys, with the official SDKs of the cloud.

Every reply is JSON of status 200, refusals too.

https://cloud.tencent.com/document/product/1312
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from sordino.api.body import chunks
from sordino.api.call import Services
from sordino.api.limits import TOO_MANY_FAILURES, TOO_MANY_REQUESTS
from sordino.api.visit import Visit
from sordino.cam.limits import told_when
from sordino.cam.signers import find_signer
from sordino.cam.sts import Arn, Asker, Sts, Wanted
from sordino.domain import sts_errors
from sordino.domain.conditions import EXTERNAL_ID
from sordino.domain.identity import Signer
from sordino.domain.known import of_everyone
from sordino.domain.ports import Database, DatabaseUnavailableError
from sordino.domain.resource import account_resource
from sordino.domain.token import token_fault
from sordino.errors import CONTENT_TOO_LARGE, ServiceError
from sordino.wire.address import Address, Style
from sordino.wire.sts import (
    HOST,
    JSON,
    MAX_BODY_BYTES,
    Parameters,
    StsRequest,
    caller_members,
    is_signed_so,
    key_members,
    render,
    render_refusal,
)
from sordino.wire.tc3 import ApiRequest, headers_of
from sordino.wire.words import quote

log = structlog.get_logger(__name__)

Members = Mapping[str, Any]

NOT_OFFERED: Final = frozenset({"AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "GetSessionToken", "QueryApiKey"})


@dataclass(frozen=True, slots=True)
class StsCall:
    """A request whose signer was verified."""

    asker: Asker
    parameters: Parameters
    sts: Sts


def is_call(address: Address, request: Request) -> bool:
    """Whether a request is one of STS: signed as the cloud's general API has it, on a host that names no bucket."""
    bare = address.style in (Style.BUCKETLESS, Style.DEFAULT) and address.path == "/"
    return bare and is_signed_so(_head(request, address))


async def answer(request: Request, address: Address, services: Services, visit: Visit) -> Response:
    """The reply of a call."""
    now, request_id = services.clock.now(), visit.request_id
    try:
        called = StsRequest.read(await _whole(request, address))
        signer = await _sign_in(called, services.database, now, visit)
        members = await _action(called.action)(StsCall(_asker(signer, now, visit), called.parameters, services.sts))
    except ServiceError as error:
        log.info("refused", code=error.code, message=error.message)
        refusal = error
    except DatabaseUnavailableError as error:
        log.warning("a store does not answer", error=str(error))
        refusal = sts_errors.FAILED()
    except Exception:
        log.exception("request broke")
        refusal = sts_errors.FAILED()
    else:
        visit.end(now, writes=True, status=200)
        return _json(render(members, request_id))
    visit.end(now, writes=True, status=refusal.status, code=refusal.code, reason=refusal.message)
    return _json(render_refusal(refusal, request_id))


def _asker(signer: Signer, now: datetime, visit: Visit) -> Asker:
    resource = account_resource("sts", signer.account.owner)
    context = of_everyone(signer.caller, visit.source.address, now, resource)
    return Asker(signer, context, visit.decided)


def _head(request: Request, address: Address, body: bytes = b"") -> ApiRequest:
    return ApiRequest(
        method=request.method,
        query=request.scope["query_string"],
        headers=headers_of(request.headers.raw),
        hosts=(*address.signed_hosts, HOST),
        body=body,
    )


async def _whole(request: Request, address: Address) -> ApiRequest:
    try:
        body = b"".join([chunk async for chunk in chunks(request, MAX_BODY_BYTES, CONTENT_TOO_LARGE)])
    except ServiceError as refusal:
        raise sts_errors.BAD_PARAMETER(refusal.message) from None
    return _head(request, address, body)


async def _sign_in(called: StsRequest, database: Database, now: datetime, visit: Visit) -> Signer:
    secret_id = called.signature.secret_id
    if wait := visit.knock(secret_id):
        raise _slow_down(wait, TOO_MANY_FAILURES)
    async with database.reading() as tx:
        found = await find_signer(tx, secret_id, called.token)
    if found is None:
        visit.guessed()
        raise sts_errors.NO_SUCH_KEY(f"There is no SecretId {secret_id}, or it is disabled.")
    signer, _ = found
    if not called.signature.fits(signer.secret_key):
        visit.guessed()
        raise sts_errors.BAD_SIGNATURE()
    called.check_time(now)
    if fault := token_fault(signer, called.token, now):
        raise sts_errors.BAD_TOKEN(f"The key {secret_id} {fault}.")
    if wait := visit.enter(signer):
        raise _slow_down(wait, TOO_MANY_REQUESTS)
    return signer


def _slow_down(wait: float, message: str) -> ServiceError:
    return sts_errors.TOO_MANY_REQUESTS(told_when(wait, message))


def _action(name: str) -> Callable[[StsCall], Awaitable[Members]]:
    if name in NOT_OFFERED:
        raise sts_errors.NOT_OFFERED(f"The Action {name} is not offered.")
    if name not in ACTIONS:
        raise sts_errors.INVALID_ACTION(f"There is no Action {quote(name)}; the actions are {', '.join(ACTIONS)}.")
    return ACTIONS[name]


def _json(body: bytes) -> Response:
    return Response(body, 200, {"Content-Type": JSON})


async def get_federation_token(call: StsCall) -> Members:
    """``GetFederationToken``."""
    it = call.parameters
    wanted = Wanted(name=it.text("Name"), policy=it.policy(), seconds=it.whole("DurationSeconds"))
    return key_members(await call.sts.federation_token(call.asker, wanted))


async def assume_role(call: StsCall) -> Members:
    """``AssumeRole``."""
    it = call.parameters
    it.refuse("Tags", "SourceIdentity", "SerialNumber", "TokenCode")
    wanted = Wanted(name=it.text("RoleSessionName"), policy=it.policy(), seconds=it.whole("DurationSeconds"))
    asker = _with_external_id(call.asker, it.get("ExternalId"))
    return key_members(await call.sts.assume_role(asker, Arn.parse(it.text("RoleArn")), wanted))


def _with_external_id(asker: Asker, given: str | None) -> Asker:
    """Whoever asks, with what a role's trust may want to hear from him."""
    return asker if given is None else replace(asker, context={**asker.context, EXTERNAL_ID: (given,)})


async def get_caller_identity(call: StsCall) -> Members:
    """``GetCallerIdentity``."""
    signer = call.asker.signer
    identity = await call.sts.identity(signer)
    return caller_members(signer.caller, identity.session, identity.asked_for_by)


ACTIONS: Final[Mapping[str, Callable[[StsCall], Awaitable[Members]]]] = MappingProxyType(
    {
        "GetFederationToken": get_federation_token,
        "AssumeRole": assume_role,
        "GetCallerIdentity": get_caller_identity,
    }
)
