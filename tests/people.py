"""Accounts, users, roles, keys and policies in a running service's database, as its operator makes them."""

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from qcloud_cos import CosConfig, CosS3Client

from policies import Statement, document
from server import REGION, RootKey, Server
from sordino.adapters.postgres.database import PostgresDatabase, PostgresTransaction
from sordino.adapters.postgres.embedded import find_running
from sordino.adapters.tasks import EngineTasks, engine
from sordino.adapters.vault import FernetVault
from sordino.domain.identity import (
    CI_ROLE,
    CI_ROLE_POLICY,
    CI_ROLE_TRUST,
    AccessKey,
    Account,
    Policy,
    Role,
    Target,
    TargetKind,
    TemporaryKey,
    User,
)

T = TypeVar("T")
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key(RootKey):
    """A key pair of anybody, as ``raw_http.send`` takes it.

    Attributes:
        uin: of its account's root.
        user: number of the user; empty: it is the root's.
        token: of a temporary key.
    """

    uin: str = ""
    user: str = ""
    token: str | None = None

    @property
    def principal(self) -> str:
        """As policies name its owner."""
        return f"qcs::cam::uin/{self.uin}:{f'uin/{self.user}' if self.user else 'root'}"


@dataclass(frozen=True, slots=True)
class People:
    """Who may do what in a service; everything counts from its next request on."""

    service: Server

    def account(self) -> Key:
        """A new account, with a key of its root."""
        number = next(_numbers)
        account = Account(appid=f"13{secrets.randbelow(10**8):08}", uin=f"2000{number:04}{secrets.randbelow(10**6):06}")
        key = _key(_access_key(account))
        self.add(key)
        return key

    def add(self, root: Key) -> None:
        """Add an account with that key of its root; quiet when the service has it."""
        account = Account(appid=root.appid, uin=root.uin)

        async def make(tx: PostgresTransaction) -> None:
            if await tx.identities.add_account(account):
                await tx.users.add_key(AccessKey(secret_id=root.secret_id, secret_key=root.secret_key, account=account))

        self._run(make)

    def root(self) -> Key:
        """The key of the account that the service begins with."""
        key = self.service.root_key

        async def find(tx: PostgresTransaction) -> Key:
            account = await tx.identities.account(key.appid)
            assert account is not None
            return Key(appid=key.appid, secret_id=key.secret_id, secret_key=key.secret_key, uin=account.uin)

        return self._run(find)

    def user(self, owner: Key, *statements: Statement, name: str | None = None) -> Key:
        """A new user of an account, whose policy has these statements, with a key."""
        (key,) = self.users(owner, {name or f"user-{secrets.token_hex(8)}": statements}).values()
        return key

    def users(self, owner: Key, policies: Mapping[str, Sequence[Statement]]) -> dict[str, Key]:
        """The same of many at once, by their names."""

        async def make(tx: PostgresTransaction) -> dict[str, Key]:
            account = await tx.identities.account(owner.appid)
            assert account is not None
            return {name: await _add_user(tx, account, name, statements) for name, statements in policies.items()}

        return self._run(make)

    def may(self, key: Key, *statements: Statement) -> None:
        """Give a user these statements, and nothing else."""
        self._run(lambda tx: _give(tx, key.appid, Target(TargetKind.USER, key.user), statements))

    def role(self, owner: Key, name: str, trust: str, *statements: Statement) -> None:
        """Make, or change, a role of an account: who may take it and what it may do, nothing else."""

        async def make(tx: PostgresTransaction) -> None:
            await tx.policies.put_role(Role(appid=owner.appid, name=name, trust=trust), datetime.now(UTC))
            await _give(tx, owner.appid, Target(TargetKind.ROLE, name), statements)

        self._run(make)

    def jobs_may(self, owner: Key, *statements: Statement) -> None:
        """Let the role of an account's jobs do this, and nothing else."""
        self._run(lambda tx: _give(tx, owner.appid, Target(TargetKind.ROLE, CI_ROLE), statements))

    def jobs_may_all(self, owner: Key) -> None:
        """Give the role of an account's jobs what it has from the beginning."""

        async def make(tx: PostgresTransaction) -> None:
            target = Target(TargetKind.ROLE, CI_ROLE)
            await _give(tx, owner.appid, target, ())
            assert await tx.policies.attach(owner.appid, CI_ROLE_POLICY, target)

        self._run(make)

    def temporary(
        self,
        parent: Key,
        *statements: Statement,
        role: str | None = None,
        minutes: float = 30,
        owner: Key | None = None,
    ) -> Key:
        """A temporary key, bounded to these statements if there are any.

        Args:
            parent: who asked for it.
            statements: of the session's policy.
            role: in whose name it acts; None: its parent's.
            minutes: how long it lasts; less than 0: it is over.
            owner: the account of the role; None: the parent's.
        """
        policy = document(*statements) if statements else None
        made = _temporary(parent, owner or parent, role=role, policy=policy, minutes=minutes)

        async def add(tx: PostgresTransaction) -> None:
            assert await tx.temporary_keys.add(made)

        self._run(add)
        return _key_of_session(made, parent, owner or parent)

    def sessions(self, parent: Key, roles: Mapping[str, Sequence[Statement]]) -> dict[str, Key]:
        """New roles of an account that may do this, each with a temporary key, by their names."""

        async def make(tx: PostgresTransaction) -> dict[str, Key]:
            keys = {}
            for name, statements in roles.items():
                await tx.policies.put_role(Role(appid=parent.appid, name=name, trust=CI_ROLE_TRUST), datetime.now(UTC))
                await _give(tx, parent.appid, Target(TargetKind.ROLE, name), statements)
                made = _temporary(parent, parent, role=name, policy=None, minutes=30)
                assert await tx.temporary_keys.add(made)
                keys[name] = _key_of_session(made, parent, parent)
            return keys

        return self._run(make)

    def disable(self, key: Key, *, what: str) -> None:
        """End what a key rests on: the ``key`` itself, its ``user``, its ``account``; or ``remove`` the key."""

        async def end(tx: PostgresTransaction) -> None:
            match what:
                case "key":
                    assert await tx.users.change_key(key.appid, key.secret_id, enabled=False, requests_per_second=None)
                case "user":
                    (name,) = [it.name for it in await tx.users.list(key.appid) if it.uin == key.user]
                    assert await tx.users.enable(key.appid, name, enabled=False)
                case "account":
                    assert await tx.identities.change_account(key.appid, name=None, enabled=False)
                case "remove":
                    assert await tx.users.remove_key(key.appid, key.secret_id)

        self._run(end)

    def remove_role(self, owner: Key, name: str) -> None:
        """Remove a role of an account."""

        async def remove(tx: PostgresTransaction) -> None:
            assert await tx.policies.remove_role(owner.appid, name)

        self._run(remove)

    def bucket_policy(self, bucket: str, *statements: Statement) -> None:
        """Give a bucket a policy of these statements; none: no policy."""
        text = document(*statements) if statements else None

        async def put(tx: PostgresTransaction) -> None:
            assert await tx.policies.put_bucket_policy(bucket, text)

        self._run(put)

    def client(self, key: Key, **options: object) -> CosS3Client:
        """The official SDK with a key."""
        return CosS3Client(
            CosConfig(
                Region=REGION,
                SecretId=key.secret_id,
                SecretKey=key.secret_key,
                Token=key.token,
                **{"Scheme": "http", **(options or {"Proxies": {"http": self.service.url}})},
            ),
            retry=0,
        )

    def bucket(self, owner: Key, name: str | None = None) -> str:
        """A new bucket of an account; its full name."""
        bucket = f"{name or f'bucket{next(_numbers)}'}-{owner.appid}"
        self.client(owner).create_bucket(Bucket=bucket)
        return bucket

    def _run(self, act: Callable[[PostgresTransaction], Awaitable[T]]) -> T:
        """Do something in a transaction of the service's database."""

        async def run() -> T:
            dsn = find_running(self.service.data)
            assert dsn is not None
            async with (
                PostgresDatabase(
                    dsn,
                    schema="sordino",
                    max_connections=1,
                    vault=FernetVault(data=self.service.data),
                    tasks=lambda it: EngineTasks(engine(), it),
                ) as database,
                database.transaction() as tx,
            ):
                return await act(tx)

        return asyncio.run(run())


async def _add_user(tx: PostgresTransaction, account: Account, name: str, statements: Sequence[Statement]) -> Key:
    uin = f"3000{next(_numbers):04}{secrets.randbelow(10**6):06}"
    assert await tx.users.add(User(uin=uin, appid=account.appid, name=name, created_at=datetime.now(UTC)))
    key = _access_key(account, uin)
    await tx.users.add_key(key)
    await _give(tx, account.appid, Target(TargetKind.USER, uin), statements)
    return _key(key)


async def _give(tx: PostgresTransaction, appid: str, target: Target, statements: Sequence[Statement]) -> None:
    for name in await tx.policies.attached(appid, target):
        await tx.policies.detach(appid, name, target)
    if statements:
        name = f"{target.kind}-{target.name}"
        policy = Policy(appid=appid, name=name, document=document(*statements), changed_at=datetime.now(UTC))
        await tx.policies.put(policy)
        assert await tx.policies.attach(appid, name, target)


def _temporary(parent: Key, owner: Key, *, role: str | None, policy: str | None, minutes: float) -> TemporaryKey:
    now = datetime.now(UTC)
    return TemporaryKey(
        secret_id=_new_id(),
        secret_key=secrets.token_hex(16),
        token=secrets.token_hex(32),
        appid=owner.appid,
        parent=parent.secret_id,
        role=role,
        session_name="session",
        policy=policy,
        created_at=now - timedelta(hours=1),
        expires_at=now + timedelta(minutes=minutes),
    )


def _key_of_session(made: TemporaryKey, parent: Key, owner: Key) -> Key:
    return Key(
        appid=made.appid,
        secret_id=made.secret_id,
        secret_key=made.secret_key,
        uin=owner.uin,
        user=parent.user,
        token=made.token,
    )


def _access_key(account: Account, uin: str | None = None) -> AccessKey:
    return AccessKey(secret_id=_new_id(), secret_key=secrets.token_hex(16), account=account, uin=uin)


def _new_id() -> str:
    return f"AKID{secrets.token_hex(16)}"


def _key(key: AccessKey) -> Key:
    return Key(
        appid=key.account.appid,
        secret_id=key.secret_id,
        secret_key=key.secret_key,
        uin=key.account.uin,
        user=key.uin or "",
    )
