"""Who calls the admin API: the token that must come with each call."""

from dataclasses import replace
from typing import Final

from starlette.requests import Request

from sordino import errors
from sordino.api.admin.call import Call, Cases
from sordino.api.limits import slow_down
from sordino.cam.operator import Operator
from sordino.domain.admin_token import AdminToken
from sordino.domain.audit import AuditEntry
from sordino.domain.token import digest
from sordino.errors import ServiceError
from sordino.wire.address import Service

SCHEME: Final = "bearer"
CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}
TOO_MANY_FAILURES: Final = "Too many calls from your address came with no good token; try again later, with one."


async def sign_in(cases: Cases, request: Request, request_id: str) -> Call:
    """The call that a request makes.

    Raises:
        ServiceError: MissingAuthorization, InvalidAuthorization, AccessDenied: there is no such token, or no longer;
            SlowDown: too many of these came from there.
        DatabaseUnavailableError: it cannot be known.
    """
    entry = AuditEntry(
        at=cases.clock.now(),
        appid=None,
        caller="unknown",
        secret_id=None,
        source=cases.watch.proxies.source(request).address,
        request_id=request_id,
        action=f"sordino:{request.method}",
        resource=request.scope["raw_path"].decode("latin-1"),
        owner=None,
        allowed=False,
    )
    try:
        token = await _token(cases, _bearer(request), entry.source)
    except ServiceError as refusal:
        cases.watch.audit.note_by_example(replace(entry, code=refusal.code, reason=refusal.message))
        raise
    operator = Operator(name=f"token/{token.name}", source=entry.source, request_id=request_id)
    known = replace(entry, caller=operator.caller, owner=token.appid)
    return Call(cases=cases, token=token, operator=operator, entry=known)


async def _token(cases: Cases, bearer: str, source: str) -> AdminToken:
    known, sign_ins = digest(bearer), cases.watch.sign_ins
    wait = sign_ins.wait(source, known)
    if wait is not None:
        raise slow_down(Service.CI, wait, TOO_MANY_FAILURES)
    token = await cases.administration.tokens.who(bearer)
    if token is None:
        sign_ins.failed(source)
        raise errors.CI_ACCESS_DENIED(
            "There is no such token, or its time is over, or its account is disabled.", CHALLENGE
        )
    sign_ins.passed(source, known)
    return token


def _bearer(request: Request) -> str:
    values = request.headers.getlist("authorization")
    if not values:
        raise errors.MISSING_AUTHORIZATION("Send a token: Authorization: Bearer sordino_...", CHALLENGE)
    scheme, _, bearer = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() != SCHEME:
        raise errors.INVALID_AUTHORIZATION("Send one header Authorization: Bearer sordino_...", CHALLENGE)
    return bearer.strip()
