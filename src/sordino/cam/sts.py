"""STS: temporary keys, for whoever shall do less, or as somebody else, and not for long.

A key that ``GetFederationToken`` gives acts as whoever asked for it, as he is at each call, and never beyond the policy
that he asked for. One of ``AssumeRole`` acts as a role. Both end by themselves, and with the permanent key that asked.

https://cloud.tencent.com/document/product/1312/48195, 1312/48197
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sordino.cam.documents import read_document
from sordino.cam.numbers import new_temporary_pair
from sordino.domain import sts_errors
from sordino.domain.conditions import Context
from sordino.domain.decision import Asked, Decision, Effect, decide, may_take
from sordino.domain.identity import Account, Role, Signer, TemporaryKey
from sordino.domain.policy import PolicyKind
from sordino.domain.ports import Clock, Database
from sordino.domain.resource import Owner, Resource, account_resource, role_resource
from sordino.errors import ServiceError

FEDERATION_SECONDS: Final = 1800
MAX_FEDERATION_SECONDS: Final = 7200
ROLE_SECONDS: Final = 7200
MAX_ROLE_SECONDS: Final = 43_200

TOKEN_BYTES: Final = 96
"""Random ones; a token has 128 characters."""

FEDERATE: Final = "sts:GetFederationToken"
ASSUME: Final = "sts:AssumeRole"

_NAME: Final = re.compile(r"[A-Za-z0-9+=,.@_-]{2,128}")
_ARN: Final = re.compile(
    r"qcs::cam::uin/(?P<uin>[0-9]{1,20}):(?:role|roleName|tencentcloudServiceRole|tencentcloudServiceRoleName)/"
    r"(?P<name>[A-Za-z0-9+=,.@_-]{1,128})"
)


@dataclass(frozen=True, slots=True)
class Arn:
    """A role, as it is asked for: the number of its account's root, and its name."""

    uin: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "Arn":
        """Read ``qcs::cam::uin/<root's uin>:roleName/<name>``, also with ``role/``.

        Raises:
            ServiceError: InvalidParameter.ParamError.
        """
        match = _ARN.fullmatch(text)
        if match is None:
            raise sts_errors.BAD_PARAMETER(
                f"RoleArn is {text[:200]!r}; write qcs::cam::uin/<uin of the account's root>:roleName/<role>."
            )
        return cls(match["uin"], match["name"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What kind of key somebody asks for.

    Attributes:
        name: of the session: 2 to 128 letters, digits and ``+=,.@_-``.
        policy: what it may do at most; None: whatever it acts as may.
        seconds: how long it is good; None: as is usual.
    """

    name: str
    policy: str | None
    seconds: int | None

    def check(self, most: int) -> None:
        """Refuse what cannot be.

        Raises:
            ServiceError: InvalidParameter.ParamError, InvalidParameter.OverTimeError,
                InvalidParameter.StrategyFormatError.
        """
        if _NAME.fullmatch(self.name) is None:
            raise sts_errors.BAD_PARAMETER(
                f"The name of the session is {self.name[:80]!r}; use 2 to 128 of A-Z, a-z, 0-9 and +=,.@_-"
            )
        if self.seconds is not None and not 1 <= self.seconds <= most:
            raise sts_errors.TOO_LONG(f"DurationSeconds is {self.seconds}; use 1 to {most}.")
        if self.policy is not None:
            _check_policy(self.policy)


def _check_policy(text: str) -> None:
    try:
        read_document(text, PolicyKind.IDENTITY)
    except ServiceError as refusal:
        raise sts_errors.BAD_POLICY(refusal.message) from None


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, and what is known of his request.

    Attributes:
        told: hears whether he may do what he asks, of whatever is decided last.
    """

    signer: Signer
    context: Context
    told: Callable[[str, Resource, Decision], None]

    @property
    def owner(self) -> Owner:
        """The caller's account."""
        return self.signer.account.owner

    def check_permanent(self) -> None:
        """Refuse temporary keys: they would live on in what they ask for.

        Raises:
            ServiceError: FailedOperation.TempKeyNotAllowed.
        """
        if self.signer.parent is not None:
            raise sts_errors.PERMANENT_ONLY()

    def check(self, action: str, resource: Resource, decision: Decision) -> None:
        """Go on if he may.

        Raises:
            ServiceError: UnauthorizedOperation.
        """
        self.told(action, resource, decision)
        if not decision.allowed:
            raise sts_errors.DENIED(f"{decision.because}.")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls, as ``GetCallerIdentity`` tells.

    Attributes:
        session: name of a temporary key's; None: the key is permanent.
        asked_for_by: uin of whoever owns the permanent key.
    """

    session: str | None
    asked_for_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sts:
    """Gives temporary keys out.

    Attributes:
        most: of an account that may be good at a time; a few more, if they are asked for at once.
    """

    database: Database
    clock: Clock
    most: int

    async def federation_token(self, asker: Asker, wanted: Wanted) -> TemporaryKey:
        """A key that acts as the asker within a policy.

        Raises:
            ServiceError: of ``sts_errors``.
        """
        asker.check_permanent()
        wanted.check(MAX_FEDERATION_SECONDS)
        if wanted.policy is None:
            raise sts_errors.MISSING_PARAMETER(
                "The parameter Policy is missing; it says what the temporary key may do at most."
            )
        asked = Asked(action=FEDERATE, resource=account_resource("sts", asker.owner), context=asker.context)
        asker.check(FEDERATE, asked.resource, decide(asker.signer.caller, asked))
        return await self._give(asker, wanted, FEDERATION_SECONDS, appid=asker.owner.appid, role=None)

    async def assume_role(self, asker: Asker, arn: Arn, wanted: Wanted) -> TemporaryKey:
        """A key that acts as a role, of any account.

        Raises:
            ServiceError: of ``sts_errors``.
        """
        asker.check_permanent()
        wanted.check(MAX_ROLE_SECONDS)
        async with self.database.reading() as tx:
            found = await tx.identities.role_of_root(arn.uin, arn.name)
        role = self._own(asker, arn, found) if arn.uin == asker.owner.uin else self._foreign(asker, arn, found)
        return await self._give(asker, wanted, ROLE_SECONDS, appid=role.appid, role=role.name)

    def _own(self, asker: Asker, arn: Arn, found: tuple[Role, Account] | None) -> Role:
        """The role of the asker's own account. Who may take none of it learns of none."""
        resource = role_resource(arn.name, asker.owner)
        decision = decide(asker.signer.caller, Asked(action=ASSUME, resource=resource, context=asker.context))
        if found is None or not decision.allowed:
            asker.check(ASSUME, resource, decision)
            raise sts_errors.NO_SUCH_ROLE(f"The account has no role {arn.name}.")
        asker.check(ASSUME, resource, may_take(found[0], asker.owner, asker.signer.caller, None, asker.context))
        return found[0]

    def _foreign(self, asker: Asker, arn: Arn, found: tuple[Role, Account] | None) -> Role:
        """The role of another account. Who may not take it does not learn whether there is one."""
        owner, decision = Owner(appid="", uin=arn.uin), Decision(effect=Effect.NONE, because="there is no such role")
        if found is not None and found[1].enabled:
            owner = found[1].owner
            decision = may_take(found[0], owner, asker.signer.caller, None, asker.context)
        resource = role_resource(arn.name, owner)
        asker.told(ASSUME, resource, decision)
        if found is None or not decision.allowed:
            raise sts_errors.DENIED(
                f"{ASSUME} on {resource}: no role of that name trusts the caller, or no policy of the caller allows it."
            )
        return found[0]

    async def identity(self, signer: Signer) -> Identity:
        """Who calls."""
        if signer.parent is None:
            return Identity(None, signer.caller.name)
        async with self.database.reading() as tx:
            found = await tx.temporary_keys.session(signer.secret_id)
        if found is None:
            raise sts_errors.NO_SUCH_KEY(f"There is no SecretId {signer.secret_id} any more.")
        return Identity(*found)

    async def _give(
        self, asker: Asker, wanted: Wanted, usual_seconds: int, *, appid: str, role: str | None
    ) -> TemporaryKey:
        now = self.clock.now()
        secret_id, secret_key = new_temporary_pair()
        seconds = usual_seconds if wanted.seconds is None else wanted.seconds
        key = TemporaryKey(
            secret_id=secret_id,
            secret_key=secret_key,
            token=secrets.token_urlsafe(TOKEN_BYTES),
            appid=appid,
            parent=asker.signer.secret_id,
            role=role,
            session_name=wanted.name,
            policy=wanted.policy,
            created_at=now,
            expires_at=now + timedelta(seconds=seconds),
        )
        async with self.database.statement() as tx:
            # Of as many that look at once as there are connections, all may find room.
            if await tx.temporary_keys.count(asker.owner.appid, now, self.most) >= self.most:
                raise sts_errors.TOO_MANY_KEYS(
                    f"The account has {self.most} temporary keys whose time is not over, as many as it may have; ask "
                    "for shorter ones, or use each for longer."
                )
            if not await tx.temporary_keys.add(key):
                raise sts_errors.NO_SUCH_KEY("The key that asks, or the role, was removed just now.")
        return key
