"""One call as limits and the audit log see it: from where, by whom, what was decided, how it ended.

COS, CI, CMQ and STS refuse in ways of their own and share this: a call ``knock``s with the id of its key before the
database is asked, says ``guessed`` when that was no key or its signature wrong, ``enter``s once it is verified, tells
each decision, and ``end``s once. Told are calls that were refused, and those that change something; of reading that was
allowed there is nothing in the log.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from starlette.requests import Request

from sordino.api.source import Proxies, Source
from sordino.cam.audit import Audit
from sordino.cam.limits import Rates, SignIns
from sordino.domain import cmq_errors, sts_errors
from sordino.domain.audit import AuditEntry
from sordino.domain.decision import Decision
from sordino.domain.identity import Caller, CallerKind, Signer
from sordino.domain.resource import Resource
from sordino.errors import ACCESS_DENIED, SLOW_DOWN

TOO_MUCH: Final = frozenset({SLOW_DOWN.code, sts_errors.TOO_MANY_REQUESTS.code, str(cmq_errors.TOO_MANY_REQUESTS.code)})
"""Codes of those who ask too often."""

REFUSED: Final = (401, 403)
"""How calls end that were not let in."""

MOST_REFUSED: Final = 50
"""Refusals of one call that are told one by one: who may do nothing may name a thousand keys a call, and each takes
kilobytes of the log."""

BROKEN: Final = 500
"""From here on it was the server's fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What all calls share."""

    audit: Audit
    sign_ins: SignIns
    rates: Rates
    proxies: Proxies

    def visit(self, request: Request, request_id: str) -> "Visit":
        """The call that a request makes."""
        return Visit(watch=self, request=request, request_id=request_id, source=self.proxies.source(request))


@dataclass(frozen=True, slots=True)
class _Step:
    action: str
    resource: Resource
    allowed: bool
    reason: str


@dataclass(slots=True, kw_only=True)
class Visit:
    """A call.

    Attributes:
        source: the client.
        secret_id: of the key that it named; None: none yet.
        signer: whose key it was, once that is certain.
    """

    watch: Watch
    request: Request
    request_id: str
    source: Source
    secret_id: str | None = None
    signer: Signer | None = None
    _steps: list[_Step] = field(default_factory=list)

    def knock(self, secret_id: str) -> float | None:
        """Seconds until the client may sign in with that key; None: now."""
        self.secret_id = secret_id
        return self.watch.sign_ins.wait(self.source.address, secret_id)

    def guessed(self) -> None:
        """There is no such key, or it did not sign the call."""
        self.watch.sign_ins.failed(self.source.address)

    def enter(self, signer: Signer) -> float | None:
        """Seconds until the signer, who is certain, may call again; None: now."""
        self.signer = signer
        self.watch.sign_ins.passed(self.source.address, signer.secret_id)
        self.watch.audit.used(signer.permanent)
        return self.watch.rates.wait(signer)

    def allow(self, action: str, resource: Resource, reason: str) -> None:
        """A decision let it pass; the first one tells what the call is."""
        self._steps.append(_Step(action, resource, allowed=True, reason=reason))

    def deny(self, action: str, resource: Resource, reason: str) -> None:
        """A decision did not."""
        self._steps.append(_Step(action, resource, allowed=False, reason=reason))

    def decided(self, action: str, resource: Resource, decision: Decision) -> None:
        """A decision was made, from which it follows whether it passes."""
        self._steps.append(_Step(action, resource, allowed=decision.allowed, reason=decision.because))

    def end(self, at: datetime, *, writes: bool, status: int, code: str = "", reason: str = "") -> None:
        """Tell of it, if it changes something or was refused.

        Args:
            at: the time.
            writes: whether calls like this one change something.
            status: of the reply.
            code: of the refusal; empty: it was done.
            reason: the refusal's message.
        """
        denied = [step for step in self._steps if not step.allowed]
        for step in _told(denied):
            self._note(self._entry(at, step, code or ACCESS_DENIED.code), code)
        if denied and code:
            return
        if self._steps:
            # Of many keys in one call each is told; what else it takes to do a thing, such as reading a copy's source,
            # is not.
            done = [step for step in self._steps if writes and step.allowed and step.action == self._steps[0].action]
            # What is decided again, once more is known of it, is told once.
            for step in dict.fromkeys(done):
                self._note(self._entry(at, step, code), code)
        if code and not self._steps and self._is_refused(status, code):
            self._note(self._unknown(at, code, reason), code)

    def _is_refused(self, status: int, code: str) -> bool:
        stranger = self.signer is None and self.secret_id is not None and status < BROKEN
        return stranger or status in REFUSED or code in TOO_MUCH

    def _note(self, entry: AuditEntry, code: str) -> None:
        audit = self.watch.audit
        # What costs its caller nothing would fill the log.
        cheap = not entry.allowed and (self.signer is None or code in TOO_MUCH)
        (audit.note_by_example if cheap else audit.note)(entry)

    def _entry(self, at: datetime, step: _Step, code: str) -> AuditEntry:
        return self._of_caller(
            at,
            action=step.action,
            resource=str(step.resource),
            owner=step.resource.owner.appid or None,
            allowed=step.allowed,
            code=code,
            reason=step.reason,
        )

    def _unknown(self, at: datetime, code: str, reason: str) -> AuditEntry:
        """A call that was refused before it was known what it does; its query may hold signatures and tokens."""
        request = self.request
        target = request.scope["raw_path"].decode("latin-1")
        # To a proxy clients name the host there.
        where = f"{request.headers.get('host', '')}{target}" if target.startswith("/") else target
        return self._of_caller(
            at, action=request.method, resource=where, owner=None, allowed=False, code=code, reason=reason
        )

    def _of_caller(
        self, at: datetime, *, action: str, resource: str, owner: str | None, allowed: bool, code: str, reason: str
    ) -> AuditEntry:
        return AuditEntry(
            at=at,
            appid=None if self.signer is None else self.signer.account.appid,
            caller=self._caller(),
            secret_id=self.secret_id,
            source=self.source.address,
            request_id=self.request_id,
            action=action,
            resource=resource,
            owner=owner,
            allowed=allowed,
            code=code,
            reason=reason,
        )

    def _caller(self) -> str:
        if self.signer is not None:
            return _named(self.signer.caller)
        return "anonymous" if self.secret_id is None else "unknown"


def _told(denied: Sequence[_Step]) -> Sequence[_Step]:
    """What is told one by one; the last says how many more there were."""
    if len(denied) <= MOST_REFUSED:
        return denied
    last, more = denied[MOST_REFUSED - 1], len(denied) - MOST_REFUSED
    alike = f"{more} more refusals of the same call are told by this entry alone"
    return [*denied[: MOST_REFUSED - 1], replace(last, reason=f"{last.reason} ({alike})")]


def _named(caller: Caller) -> str:
    """A caller as the audit log names him."""
    return f"{'roleName' if caller.kind is CallerKind.ROLE else 'uin'}/{caller.name}"
