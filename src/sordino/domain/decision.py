"""Decisions: whether a caller may do what he asks, by his policies, the bucket's and his session's.

Pure: nothing is read but the arguments. Whoever asks has fetched the policies, and knows what is not of policies at
all, such as access control lists.

https://cloud.tencent.com/document/product/598/10605 ("Evaluation logic"), COS: 436/45236
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final

from sordino.domain.conditions import Context
from sordino.domain.identity import Caller, CallerKind, NamedPolicy, Role
from sordino.domain.patterns import forms
from sordino.domain.policy import Policy, PolicyError, PolicyKind, Statement, Variables, parse_policy
from sordino.domain.principal import Principal, PrincipalKind
from sordino.domain.resource import Owner, Resource, role_resource

ASSUME_ROLE: Final = "sts:AssumeRole"

POLICY_CALLS: Final = frozenset({"cos:putbucketpolicy", "cos:getbucketpolicy", "cos:deletebucketpolicy"})
"""What a bucket's policy cannot deny to its owner's root, who could not mend it else."""


class Effect(StrEnum):
    """What policies say."""

    ALLOW = "allow"
    DENY = "deny"
    NONE = "none"
    """No statement applies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a call wants.

    Attributes:
        action: e.g. ``cos:GetObject``; case does not count.
        resource: with what.
        context: condition keys, in lower case, e.g. ``qcs:ip``: ``("10.0.0.1",)``; absent keys are absent.
    """

    action: str
    resource: Resource
    context: Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether it may be, and why.

    Attributes:
        effect: ``NONE`` is a refusal, too: what nothing allows is not allowed.
        because: one sentence that names action, resource, and what decided.
        policy: name of the policy that decided; None: none did.
        statement: of it, from 1; None: none of them did.
    """

    effect: Effect
    because: str
    policy: str | None = None
    statement: int | None = None

    @property
    def allowed(self) -> bool:
        """Whether the call may go on."""
        return self.effect is Effect.ALLOW


def decide(caller: Caller | None, asked: Asked, bucket_policy: NamedPolicy | None = None) -> Decision:
    """Decide over a call.

    Args:
        caller: None: the call is not signed.
        asked: what he wants.
        bucket_policy: of the bucket that the call is about; None: it has none, or the call is about no bucket.
    """
    question = _Question.of(asked)
    owner = asked.resource.owner
    root = caller is not None and caller.kind is CallerKind.ROOT
    home = caller is not None and caller.account.appid == owner.appid
    policies = () if bucket_policy is None else (bucket_policy,)
    bucket = question.judge(policies, PolicyKind.BUCKET, owner, _bucket_hears(caller, home=home))
    if root and home and question.action in POLICY_CALLS:
        bucket = _NONE
    if caller is None or bucket.effect is Effect.DENY:
        return bucket.decision(asked)
    identity = _ROOT if root else question.judge_own(caller, caller.policies)
    return _together(identity, question.judge_session(caller), bucket, home=home).decision(asked)


def decide_call(caller: Caller | None, asked: Asked, bucket_policy: NamedPolicy | None = None) -> Decision:
    """Decide over a call that somebody makes: what a bucket opens to everybody is open to him unless it is denied.

    Jobs are not decided so: whoever may order one, and not read its input, could have it written where all may write.
    """
    decision = decide(caller, asked, bucket_policy)
    if caller is None or bucket_policy is None or decision.effect is not Effect.NONE:
        return decision
    unsigned = decide(None, asked, bucket_policy)
    return unsigned if unsigned.allowed else decision


def may_take(role: Role, owner: Owner, caller: Caller | None, service: str | None, context: Context) -> Decision:
    """Decide whether a caller, or a service, may act as a role.

    The role's trust must allow it and, but of an account's root and of services, the caller's policies, too.

    Args:
        role: with its trust.
        owner: the account of the role.
        caller: None: a service asks.
        service: its host, such as ``ci.qcloud.com``; None: a caller asks.
        context: what is known of the request.
    """
    asked = Asked(action=ASSUME_ROLE, resource=role_resource(role.name, owner), context=context)
    question = _Question.of(asked)
    trust = NamedPolicy(name=f"trust of role {role.name}", document=role.trust)
    findings = [question.judge((trust,), PolicyKind.TRUST, owner, _trust_hears(caller, service))]
    if caller is not None:
        findings.append(question.judge_session(caller))
        if caller.kind is not CallerKind.ROOT:
            findings.append(question.judge_own(caller, caller.policies))
    for effect in (Effect.DENY, Effect.NONE):
        refusal = next((finding for finding in findings if finding.effect is effect), None)
        if refusal is not None:
            return refusal.decision(asked)
    return findings[0].decision(asked)


_Hears = Callable[[Statement], bool]


@dataclass(frozen=True, slots=True)
class _Finding:
    """What policies say, before it is put into words."""

    effect: Effect
    why: str = "no policy allows it"
    policy: str | None = None
    statement: int | None = None

    def decision(self, asked: Asked) -> Decision:
        why = self.why
        if self.statement is not None:
            does = "denies" if self.effect is Effect.DENY else "allows"
            why = f"statement {self.statement} of policy {self.policy} {does} it"
        return Decision(
            effect=self.effect,
            because=f"{asked.action} on {asked.resource}: {why}",
            policy=self.policy,
            statement=self.statement,
        )


_NONE: Final = _Finding(Effect.NONE)
_ROOT: Final = _Finding(Effect.ALLOW, "the root of an account may do all that is the account's")


_UNBOUND: Final = _Finding(Effect.ALLOW, "no session bounds the caller")
_BEYOND_SESSION: Final = _Finding(Effect.NONE, "the policy of the session does not allow it")
_FOREIGN: Final = _Finding(Effect.NONE, "it belongs to another account, and no policy of the bucket allows it")
_HALF: Final = _Finding(Effect.NONE, "the bucket's policy allows it, and no policy of the caller does")


def _together(identity: _Finding, session: _Finding, bucket: _Finding, *, home: bool) -> _Finding:
    """What becomes of a call that the bucket's policy does not deny.

    In its own account one allowance is enough; of another account's resources both sides must allow.
    """
    if identity.effect is Effect.DENY:
        return identity
    if session.effect is not Effect.ALLOW:
        return session
    if home:
        return bucket if identity is _NONE else identity
    if bucket is _NONE:
        return _FOREIGN
    return _HALF if identity is _NONE else bucket


@dataclass(frozen=True, slots=True)
class _Question:
    """A call, as statements are asked about it."""

    action: str
    resource: Resource
    paths: tuple[str, ...]
    context: Context

    @classmethod
    def of(cls, asked: Asked) -> "_Question":
        return cls(asked.action.lower(), asked.resource, forms(asked.resource), asked.context)

    def judge(self, policies: Iterable[NamedPolicy], kind: PolicyKind, own: Owner, hears: _Hears) -> _Finding:
        """What policies say that name their principals."""
        return self._judge(policies, partial(_read, kind=kind), own, hears)

    def judge_own(self, caller: Caller, policies: Iterable[NamedPolicy]) -> _Finding:
        """What policies say that belong to a caller."""
        return self._judge(policies, partial(_read, kind=PolicyKind.IDENTITY, caller=caller), caller.account.owner)

    def judge_session(self, caller: Caller) -> _Finding:
        """What the policy of a session says, which can only take away."""
        if caller.session is None:
            return _UNBOUND
        found = self.judge_own(caller, (caller.session,))
        return _BEYOND_SESSION if found is _NONE else found

    def _judge(
        self, policies: Iterable[NamedPolicy], read: Callable[[str], Policy], own: Owner, hears: _Hears | None = None
    ) -> _Finding:
        """The first statement that denies, or else the first that allows."""
        allowed = _NONE
        for named in policies:
            try:
                policy = read(named.document)
            except PolicyError as error:
                # It could be read when it was written; what it meant to deny is not known.
                return _Finding(Effect.DENY, f"policy {named.name} cannot be read: {error}", named.name)
            for statement in policy.statements:
                if (not statement.denies and allowed is not _NONE) or (hears is not None and not hears(statement)):
                    continue
                if statement.applies(self.action, self.resource, self.paths, own, self.context):
                    if statement.denies:
                        return _Finding(Effect.DENY, policy=named.name, statement=statement.number)
                    allowed = _Finding(Effect.ALLOW, policy=named.name, statement=statement.number)
        return allowed


def _read(document: str, kind: PolicyKind, caller: Caller | None = None) -> Policy:
    policy = parse_policy(document, kind)
    return parse_policy(document, kind, _variables(caller)) if policy.varies and caller is not None else policy


def _variables(caller: Caller) -> Variables:
    uin = f"role/{caller.name}" if caller.kind is CallerKind.ROLE else caller.name
    return Variables(uin=uin, owner_uin=caller.account.uin, app_id=caller.account.appid)


def _bucket_hears(caller: Caller | None, *, home: bool) -> _Hears:
    """Whether a statement of a bucket's policy is about a caller.

    What it allows to an account's root it leaves to that root to pass on; of its own account it allows nothing so, for
    there policies of users say it. What it denies to a root it denies to all of the account.
    """

    def hears(statement: Statement) -> bool:
        if statement.denies or not home:
            return any(principal.covers(caller) for principal in statement.principals)
        return any(principal.names(caller) for principal in statement.principals)

    return hears


def _trust_hears(caller: Caller | None, service: str | None) -> _Hears:
    def is_about(principal: Principal) -> bool:
        if caller is None:
            return principal.kind is PrincipalKind.SERVICE and principal.name == service
        return principal.covers(caller)

    return lambda statement: any(is_about(principal) for principal in statement.principals)
