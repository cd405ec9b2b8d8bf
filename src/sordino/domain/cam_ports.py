"""What deciding who may do what needs of the database; see ``ports``."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Protocol

from sordino.domain.admin_token import AdminToken
from sordino.domain.allowance import Allowance
from sordino.domain.audit import AuditEntry, AuditSearch, NumberedEntry
from sordino.domain.bucket import Bucket
from sordino.domain.identity import (
    AccessKey,
    Account,
    Caller,
    Group,
    KeyUse,
    Policy,
    Role,
    Signer,
    Target,
    TemporaryKey,
    User,
)


class Identities(Protocol):
    """Accounts and who signs for them. Secrets come and go in the clear and are kept encrypted."""

    async def signer(self, secret_id: str, bucket: str) -> tuple[Signer, Bucket | None] | None:
        """Who signs with the permanent key of that id, and the bucket of that full name, if there is one.

        None without the key, and when it, its user or its account is disabled.
        """
        ...

    async def temporary(self, secret_id: str, bucket: str) -> tuple[Signer, Bucket | None] | None:
        """The same with a temporary key, also one whose time is over; None also when its parent key is disabled."""
        ...

    async def caller(self, appid: str, uin: str | None) -> Caller | None:
        """A user of an account as who calls; without a number its root. None when there is none, enabled or not."""
        ...

    async def role(self, appid: str, name: str) -> tuple[Role, Account] | None:
        """A role of an account with its policies, and the account; None when there is none."""
        ...

    async def role_of_root(self, uin: str, name: str) -> tuple[Role, Account] | None:
        """The same of the account whose root has that number."""
        ...

    async def add_root(self, key: AccessKey) -> bool:
        """Create the first account with ``key``; False (and nothing written) when an account exists already."""
        ...

    async def add_account(self, account: Account) -> bool:
        """Create an account with its CI role; False (and nothing written) when its APPID or uin is taken."""
        ...

    async def accounts(self) -> Sequence[Account]:
        """Every account, the first one first."""
        ...

    async def account(self, appid: str) -> Account | None:
        """The account, or None."""
        ...

    async def hold(self, appid: str) -> Account | None:
        """The account, or None; no other transaction holds it until this one ends.

        Whoever changes what is the account's holds it first, so that what he has seen of it is so when he writes.
        """
        ...

    async def weigh(self, appid: str, weight: int) -> Account | None:
        """Set what an account weighs; the account, or None when there is none."""
        ...

    async def allow(self, appid: str, allowance: Allowance) -> Account | None:
        """Set how much an account may ask of the server; the account, or None."""
        ...

    async def change_account(self, appid: str, *, name: str | None, enabled: bool | None) -> Account | None:
        """Set what is not None; the account, or None."""
        ...


class Secrets(Protocol):
    """The secrets of keys and mounts, all together."""

    async def check(self) -> None:
        """See that what was encrypted can be read here, by one secret of each kind.

        Raises:
            VaultError: it cannot.
        """
        ...

    async def seal(self) -> int:
        """Encrypt the secrets that an older version left in the clear; how many.

        Raises:
            VaultError: there is nothing to encrypt them with.
        """
        ...

    async def forget(self) -> None:
        """Once ``seal`` is committed: leave nothing in the tables' files of what was in the clear.

        It waits until nobody reads the keys, and is no part of a transaction.
        """
        ...

    async def renew(self) -> int:
        """Encrypt those anew that an older key did; how many.

        Raises:
            VaultError: the keys cannot be read.
        """
        ...


class Users(Protocol):
    """Users, their groups and the keys of users and roots."""

    async def add(self, user: User) -> bool:
        """Create a user; False when its name is taken in the account, or its uin anywhere."""
        ...

    async def get(self, appid: str, name: str) -> User | None:
        """The user of that name, or None."""
        ...

    async def list(self, appid: str) -> Sequence[User]:
        """Users of an account, by name."""
        ...

    async def enable(self, appid: str, name: str, *, enabled: bool) -> User | None:
        """Enable or disable a user; the user, or None."""
        ...

    async def remove(self, appid: str, name: str) -> bool:
        """Remove a user with its keys, memberships and attachments; False when there is none."""
        ...

    async def add_key(self, key: AccessKey) -> None:
        """Add a key; its secret is encrypted."""
        ...

    async def keys(self, appid: str, uin: str | None) -> Sequence[KeyUse]:
        """Keys of a user, or of the root, the first one first, without their secrets; and when each was used."""
        ...

    async def key(self, appid: str, secret_id: str) -> KeyUse | None:
        """The account's key of that id, without its secret, or None."""
        ...

    async def change_key(self, appid: str, secret_id: str, *, enabled: bool, requests_per_second: int | None) -> bool:
        """Set whether a key is good, and its limit of requests (None: none); False when there is none."""
        ...

    async def remove_key(self, appid: str, secret_id: str) -> bool:
        """Remove a key with the temporary keys that it asked for; False when there is none."""
        ...

    async def note_use(self, secret_ids: Sequence[str], at: datetime) -> None:
        """Note when keys were used; a later note stays."""
        ...

    async def add_group(self, group: Group) -> bool:
        """Create a group; False when the name is taken."""
        ...

    async def groups(self, appid: str) -> Sequence[Group]:
        """Groups of an account with the names of their users, by name."""
        ...

    async def remove_group(self, appid: str, name: str) -> bool:
        """Remove a group with its memberships and attachments; False when there is none."""
        ...

    async def join(self, appid: str, group: str, uin: str) -> bool:
        """Put a user into a group; False when it is in it.

        Raises:
            ServiceError: NoSuchEntity: the account has no such group or user.
        """
        ...

    async def leave(self, appid: str, group: str, uin: str) -> bool:
        """Take a user out of a group; False when it is not in it."""
        ...


class Policies(Protocol):
    """Policies of accounts, what they are attached to, roles, and policies of buckets."""

    async def put(self, policy: Policy) -> bool:
        """Create a policy or write it anew; whether it is new."""
        ...

    async def get(self, appid: str, name: str) -> Policy | None:
        """The account's own policy of that name, or None."""
        ...

    async def list(self, appid: str) -> Sequence[Policy]:
        """The account's own policies, by name."""
        ...

    async def count(self, appid: str) -> int:
        """How many of its own the account has."""
        ...

    async def remove(self, appid: str, name: str) -> bool:
        """Remove a policy that is attached to nothing; False when there is none or it is."""
        ...

    async def attach(self, appid: str, policy: str, target: Target) -> bool:
        """Attach a policy; False when it is attached.

        Raises:
            ServiceError: NoSuchEntity: the account has no such target.
        """
        ...

    async def detach(self, appid: str, policy: str, target: Target) -> bool:
        """Detach it; False when it is not attached."""
        ...

    async def attached(self, appid: str, target: Target) -> Sequence[str]:
        """Names of the policies that are attached to it itself, by name."""
        ...

    async def targets(self, appid: str, policy: str) -> Sequence[Target]:
        """What a policy is attached to."""
        ...

    async def put_role(self, role: Role, at: datetime) -> bool:
        """Create a role, or set trust and description of one; whether it is new. Attachments stay."""
        ...

    async def roles(self, appid: str) -> Sequence[Role]:
        """Roles of an account with their policies, by name."""
        ...

    async def remove_role(self, appid: str, name: str) -> bool:
        """Remove a role with its attachments and temporary keys; False when there is none."""
        ...

    async def put_bucket_policy(self, bucket: str, document: str | None) -> bool:
        """Give a bucket a policy, or None; False when there is no such bucket."""
        ...


class TemporaryKeys(Protocol):
    """Keys that end by themselves."""

    async def add(self, key: TemporaryKey) -> bool:
        """Keep one; its secret is encrypted, of its token only a digest is kept.

        False, and the transaction is lost, when the key that asked for it or its role is gone.

        Raises:
            VaultError: there is nothing to encrypt it with.
        """
        ...

    async def count(self, appid: str, now: datetime, most: int) -> int:
        """How many that keys of an account asked for are not over; ``most`` when there are as many or more."""
        ...

    async def session(self, secret_id: str) -> tuple[str, str] | None:
        """The name of its session, and the uin of the user or root who asked for it; None when there is none."""
        ...

    async def list(self, appid: str, now: datetime) -> Sequence[TemporaryKey]:
        """Those of an account whose time is not over, the newest first, at most 1,000, without secrets and tokens."""
        ...

    async def remove(self, appid: str, secret_id: str) -> bool:
        """End one; False when there is none."""
        ...

    async def sweep(self, before: datetime, limit: int) -> int:
        """Remove those whose time was over by then, ``limit`` at most; how many."""
        ...


class AuditLog(Protocol):
    """The audit log."""

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """Write entries."""
        ...

    async def search(self, search: AuditSearch) -> Sequence[NumberedEntry]:
        """What is asked for, the newest first."""
        ...

    async def sweep(self, before: datetime, limit: int) -> int:
        """Remove entries older than that, ``limit`` at most; how many."""
        ...


class Allowances(Protocol):
    """What accounts have used of what they may."""

    async def queued(self, appid: str, most: int) -> int:
        """How many jobs of an account wait, in all its queues; ``most`` when there are as many or more."""
        ...

    async def fill(self, appid: str) -> None:
        """Wait until no other transaction fills the account's queues, which holds until this one ends."""
        ...

    async def audio(self, appid: str, day: date) -> float:
        """Seconds of audio that the account's jobs have read of a day (UTC)."""
        ...

    async def add_audio(self, appid: str, day: date, seconds: float) -> None:
        """Count audio that a job has read."""
        ...


class AdminTokens(Protocol):
    """Tokens of the admin API."""

    async def add(self, token: AdminToken, sha256: str) -> bool:
        """Keep one; False when its name is taken."""
        ...

    async def find(self, sha256: str, now: datetime) -> AdminToken | None:
        """The token of that digest whose time is not over, or None; notes to the minute or so that it was used.

        None also when its account is disabled.
        """
        ...

    async def list(self) -> Sequence[AdminToken]:
        """All, by name."""
        ...

    async def remove(self, name: str) -> bool:
        """Remove one; False when there is none."""
        ...
