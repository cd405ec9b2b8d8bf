"""Who there is: accounts, their users, groups and roles, and the keys that they sign with."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from sordino.domain.allowance import NO_ALLOWANCE, Allowance
from sordino.domain.resource import Owner

CI_ROLE: Final = "CI_QCSRole"
"""The role under which CI reads what a job reads and writes what it writes."""

CI_SERVICE: Final = "ci.qcloud.com"
"""CI, as policies name it among those who may take a role."""

CI_ROLE_TRUST: Final = (
    '{"version":"2.0","statement":[{"effect":"allow","principal":{"service":["ci.qcloud.com"]},'
    '"action":["name/sts:AssumeRole"]}]}'
)
CI_ROLE_POLICY: Final = "QcloudAccessForCIRole"
CI_ROLE_DESCRIPTION: Final = "What jobs read and write as."


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A tenant.

    Attributes:
        appid: ends its bucket names.
        uin: number of its root user.
        weight: its share of the workers beside other accounts, 1 to ``release.MAX_WEIGHT``.
        name: what people call it; empty: nothing.
        enabled: whether its keys are good for anything.
        allowance: how much it may ask of the server.
    """

    appid: str
    uin: str
    weight: int = 1
    name: str = ""
    enabled: bool = True
    allowance: Allowance = NO_ALLOWANCE

    @property
    def owner(self) -> Owner:
        """As resources name whose they are."""
        return Owner(appid=self.appid, uin=self.uin)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user of an account that is not its root.

    Attributes:
        uin: its number, which no other user or account has.
        appid: of its account.
        name: unique in the account.
        enabled: whether its keys are good for anything.
        created_at: aware.
    """

    uin: str
    appid: str
    name: str
    enabled: bool = True
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """A key pair of an account's root or of one of its users; the secret never shows in a repr.

    Attributes:
        account: whose key it is.
        uin: the user's number; None: the root's.
        enabled: whether it is good for anything.
        requests_per_second: with this key; None: only what holds for the account.
    """

    secret_id: str
    secret_key: str = field(repr=False)
    account: Account
    uin: str | None = None
    enabled: bool = True
    requests_per_second: int | None = None


@dataclass(frozen=True, slots=True)
class KeyUse:
    """A key, with an empty secret, and when it was made and last used.

    Attributes:
        used_at: to the minute or so; None: never.
    """

    key: AccessKey
    created_at: datetime
    used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Users of an account that share policies.

    Attributes:
        users: their names, in order.
    """

    appid: str
    name: str
    description: str = ""
    created_at: datetime
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy that an account wrote."""

    appid: str
    name: str
    document: str
    description: str = ""
    changed_at: datetime


class TargetKind(StrEnum):
    """What a policy can be attached to."""

    USER = "user"
    GROUP = "group"
    ROLE = "role"


@dataclass(frozen=True, slots=True)
class Target:
    """A user, by its uin, a group or a role, by its name, of an account."""

    kind: TargetKind
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TemporaryKey:
    """A key that ends by itself, and the token that must come with it; neither shows in a repr.

    Attributes:
        appid: of the account in whose name it acts.
        parent: id of the permanent key that asked for it.
        role: whose name it acts in; None: of whoever owns ``parent``.
        session_name: as it was asked for.
        policy: document of the session policy; None: none.
    """

    secret_id: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)
    appid: str
    parent: str
    role: str | None
    session_name: str
    policy: str | None
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class NamedPolicy:
    """A policy as it is written, under its name (of a session's: ``session``; of a bucket's: the bucket's)."""

    name: str
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role of an account: what services, users or other accounts may do in its name.

    Attributes:
        trust: the policy document that says who may take it.
        policies: what it may do, with presets resolved.
    """

    appid: str
    name: str
    trust: str
    description: str = ""
    policies: tuple[NamedPolicy, ...] = ()


class CallerKind(StrEnum):
    """What a caller is."""

    ROOT = "root"
    USER = "user"
    ROLE = "role"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls, and all that says what he may do.

    Attributes:
        account: the caller's.
        kind: the account's root, a user of it, or a role that was taken.
        name: of the root and of users the uin; of roles the name.
        policies: of a user those attached to it and to its groups, of a role its own; the root needs none.
        session: bounds what temporary keys may do to less; None: they may do all that their owner may.
    """

    account: Account
    kind: CallerKind
    name: str
    policies: tuple[NamedPolicy, ...] = ()
    session: NamedPolicy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A key that signed a request, permanent or temporary, and whose it is; the secret never shows in a repr.

    Attributes:
        token: SHA-256 in hex of the token that must come with a temporary key; None: the key is permanent.
        parent: id of the permanent key that asked for a temporary one; None: the key is permanent.
        expires_at: of a temporary key; None: never.
        requests_per_second: with this key; None: only what holds for the account.
    """

    secret_id: str
    secret_key: str = field(repr=False)
    caller: Caller
    parent: str | None = None
    token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    requests_per_second: int | None = None

    @property
    def account(self) -> Account:
        """The caller's account."""
        return self.caller.account

    @property
    def permanent(self) -> str:
        """Id of the permanent key behind it."""
        return self.parent or self.secret_id


def caller_of(role: Role, account: Account) -> Caller:
    """A service that acts as a role of an account."""
    return Caller(account=account, kind=CallerKind.ROLE, name=role.name, policies=role.policies)
