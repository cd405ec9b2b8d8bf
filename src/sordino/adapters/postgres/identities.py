"""Accounts and who signs for them in PostgreSQL.

Here as in the other repositories the SQL stands above the functions that read its columns: both change together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from psycopg.rows import DictRow

from sordino.adapters.postgres.buckets import GET, bucket_of
from sordino.adapters.postgres.statements import Statements
from sordino.domain.allowance import Allowance
from sordino.domain.bucket import Bucket
from sordino.domain.identity import (
    CI_ROLE,
    CI_ROLE_DESCRIPTION,
    CI_ROLE_POLICY,
    CI_ROLE_TRUST,
    AccessKey,
    Account,
    Caller,
    CallerKind,
    NamedPolicy,
    Role,
    Signer,
)
from sordino.domain.ports import Vault
from sordino.domain.presets import named

ACCOUNT: Final = (
    "accounts.appid, accounts.uin AS root, accounts.weight, accounts.name, accounts.enabled, "
    "accounts.requests_per_second, accounts.queued_jobs, accounts.audio_seconds"
)
# Names and documents of what is attached to a user and to its groups; a preset has no document here. Two searches by
# index: in one with OR every attachment of the account is looked at.
_USER_POLICIES: Final = """
SELECT jsonb_object_agg(policy, document)
  FROM (SELECT policy FROM attachments WHERE appid = users.appid AND uin = users.uin
         UNION
        SELECT policy
          FROM group_members AS members JOIN attachments USING (appid, group_name)
         WHERE members.appid = users.appid AND members.uin = users.uin) AS attached
       LEFT JOIN policies ON policies.appid = users.appid AND policies.name = policy
"""
_ROLE_POLICIES: Final = """
SELECT jsonb_object_agg(policy, document)
  FROM attachments LEFT JOIN policies ON policies.appid = attachments.appid AND policies.name = policy
 WHERE attachments.appid = roles.appid AND role = roles.name
"""
_CALLER_COLUMNS: Final = f"""
{ACCOUNT}, users.uin AS user_uin, CASE WHEN users.uin IS NOT NULL THEN ({_USER_POLICIES}) END AS policies
"""
# What every signed request asks: one round trip in place of two.
_SIGNER: Final = f"""
SELECT secret_id, secret, access_keys.requests_per_second AS key_requests, {_CALLER_COLUMNS},
       to_jsonb(bucket) AS bucket
  FROM access_keys JOIN accounts USING (appid)
       LEFT JOIN users ON (users.appid, users.uin) = (access_keys.appid, access_keys.uin)
       LEFT JOIN ({GET}) AS bucket ON true
 WHERE secret_id = %(secret_id)s AND access_keys.enabled AND accounts.enabled AND users.enabled IS NOT FALSE
"""  # noqa: S608 - as above
# Of the account in whose name it acts, which must be enabled as well as that of the key that asked for it.
_TEMPORARY: Final = f"""
SELECT keys.secret_id, keys.sealed AS secret, token_sha256, expires_at, keys.policy AS session,
       keys.parent AS parent_id,
       parent.requests_per_second AS key_requests, {_CALLER_COLUMNS}, roles.name AS role,
       CASE WHEN roles.name IS NOT NULL THEN ({_ROLE_POLICIES}) END AS role_policies, to_jsonb(bucket) AS bucket
  FROM temporary_keys AS keys JOIN accounts USING (appid)
       JOIN access_keys AS parent ON parent.secret_id = keys.parent
       JOIN accounts AS parents ON parents.appid = parent.appid
       LEFT JOIN users ON (users.appid, users.uin) = (parent.appid, parent.uin)
       LEFT JOIN roles ON (roles.appid, roles.name) = (keys.appid, keys.role)
       LEFT JOIN ({GET}) AS bucket ON true
 WHERE keys.secret_id = %(secret_id)s
   AND accounts.enabled AND parents.enabled AND parent.enabled AND users.enabled IS NOT FALSE
"""  # noqa: S608 - as above
_ROOT_CALLER: Final = f"""
SELECT {ACCOUNT} FROM accounts WHERE appid = %(appid)s AND (%(uin)s::text IS NULL OR uin = %(uin)s)
"""  # noqa: S608 - as above
_USER_CALLER: Final = f"""
SELECT {_CALLER_COLUMNS} FROM users JOIN accounts USING (appid) WHERE appid = %(appid)s AND users.uin = %(uin)s
"""  # noqa: S608 - as above
ROLE_COLUMNS: Final = f"roles.appid, roles.name AS role, trust, description, ({_ROLE_POLICIES}) AS role_policies"
_ROLE: Final = f"""
SELECT {ROLE_COLUMNS}, {ACCOUNT}
  FROM roles JOIN accounts USING (appid)
 WHERE roles.name = %(name)s
"""  # noqa: S608 - as above
_ROLE_OF_ACCOUNT: Final = f"{_ROLE} AND accounts.appid = %(appid)s"
_ROLE_OF_ROOT: Final = f"{_ROLE} AND accounts.uin = %(root)s"
# Stands against other writers: of two processes on an empty database one makes the account, and of an account and a
# user that would have the same number one is made.
LOCK: Final = "LOCK TABLE accounts IN SHARE ROW EXCLUSIVE MODE"
_EMPTY: Final = "SELECT NOT EXISTS (SELECT FROM accounts) AS empty"
_ADD_ACCOUNT: Final = """
INSERT INTO accounts (appid, uin, name)
SELECT %(appid)s, %(uin)s, %(name)s WHERE NOT EXISTS (SELECT FROM users WHERE uin = %(uin)s)
    ON CONFLICT DO NOTHING
"""
_ADD_ROLE: Final = """
INSERT INTO roles (appid, name, trust, description, created_at)
VALUES (%(appid)s, %(role)s, %(trust)s, %(description)s, now())
"""
_ATTACH_ROLE: Final = "INSERT INTO attachments (appid, policy, role) VALUES (%(appid)s, %(policy)s, %(role)s)"
ADD_KEY: Final = """
INSERT INTO access_keys (secret_id, secret, sealed, appid, uin, enabled, requests_per_second)
VALUES (%(secret_id)s, %(secret)s, true, %(appid)s, %(uin)s, %(enabled)s, %(requests_per_second)s)
"""
_ACCOUNTS: Final = f"SELECT {ACCOUNT} FROM accounts ORDER BY number"  # noqa: S608 - as above
# Does not keep those waiting who add what refers to the account.
_HOLD: Final = f"SELECT {ACCOUNT} FROM accounts WHERE appid = %(appid)s FOR NO KEY UPDATE"  # noqa: S608 - as above
_CHANGE: Final = f"""
UPDATE accounts
   SET weight = coalesce(%(weight)s, weight), name = coalesce(%(name)s, name), enabled = coalesce(%(enabled)s, enabled)
 WHERE appid = %(appid)s
RETURNING {ACCOUNT}
"""  # noqa: S608 - as above
_ALLOW: Final = f"""
UPDATE accounts
   SET requests_per_second = %(requests)s, queued_jobs = %(jobs)s, audio_seconds = %(seconds)s
 WHERE appid = %(appid)s
RETURNING {ACCOUNT}
"""  # noqa: S608 - as above


@dataclass(frozen=True, slots=True)
class PostgresIdentities(Statements):
    """``cam_ports.Identities`` over one connection."""

    vault: Vault

    async def signer(self, secret_id: str, bucket: str) -> tuple[Signer, Bucket | None] | None:
        """Who signs with the permanent key of that id, and the bucket of that full name, if there is one."""
        row = await self._row(_SIGNER, {"secret_id": secret_id, "name": bucket})
        return None if row is None else (self._signer(row, _caller(row)), _bucket(row))

    async def temporary(self, secret_id: str, bucket: str) -> tuple[Signer, Bucket | None] | None:
        """The same with a temporary key, also one whose time is over."""
        row = await self._row(_TEMPORARY, {"secret_id": secret_id, "name": bucket})
        if row is None:
            return None
        session = None if row["session"] is None else NamedPolicy("session", row["session"])
        return self._signer(row, _caller(row, session)), _bucket(row)

    def _signer(self, row: DictRow, caller: Caller) -> Signer:
        return Signer(
            secret_id=row["secret_id"],
            secret_key=self.vault.open(row["secret"]),
            caller=caller,
            parent=row.get("parent_id"),
            token=row.get("token_sha256"),
            expires_at=row.get("expires_at"),
            requests_per_second=row["key_requests"],
        )

    async def caller(self, appid: str, uin: str | None) -> Caller | None:
        """A user of an account as who calls; without a number its root. None when there is none, enabled or not."""
        asked = {"appid": appid, "uin": uin}
        row = await self._row(_ROOT_CALLER, asked) or await self._row(_USER_CALLER, asked)
        return _caller(row) if row else None

    async def role(self, appid: str, name: str) -> tuple[Role, Account] | None:
        """A role of an account with its policies, and the account; None when there is none."""
        row = await self._row(_ROLE_OF_ACCOUNT, {"appid": appid, "name": name})
        return (role_of(row), account_of(row)) if row else None

    async def role_of_root(self, uin: str, name: str) -> tuple[Role, Account] | None:
        """The same of the account whose root has that number."""
        row = await self._row(_ROLE_OF_ROOT, {"root": uin, "name": name})
        return (role_of(row), account_of(row)) if row else None

    async def add_root(self, key: AccessKey) -> bool:
        """Create the first account with ``key``; False (and nothing written) when an account exists already."""
        await self.connection.execute(LOCK)
        empty = await self._row(_EMPTY, {})
        if not (empty and empty["empty"]) or not await self.add_account(key.account):
            return False
        await self.connection.execute(ADD_KEY, key_row(key, self.vault))
        return True

    async def add_account(self, account: Account) -> bool:
        """Create an account with its CI role; False (and nothing written) when its APPID or uin is taken."""
        row = {"appid": account.appid, "uin": account.uin, "name": account.name}
        await self.connection.execute(LOCK)
        if not await self._done(_ADD_ACCOUNT, row):
            return False
        role = {"role": CI_ROLE, "trust": CI_ROLE_TRUST, "description": CI_ROLE_DESCRIPTION}
        await self.connection.execute(_ADD_ROLE, row | role)
        await self.connection.execute(_ATTACH_ROLE, {**row, "policy": CI_ROLE_POLICY, "role": CI_ROLE})
        return True

    async def accounts(self) -> Sequence[Account]:
        """Every account, the first one first."""
        return [account_of(row) for row in await self._rows(_ACCOUNTS, {})]

    async def account(self, appid: str) -> Account | None:
        """The account, or None."""
        row = await self._row(_ROOT_CALLER, {"appid": appid, "uin": None})
        return account_of(row) if row else None

    async def hold(self, appid: str) -> Account | None:
        """The account, or None; no other transaction holds it until this one ends."""
        row = await self._row(_HOLD, {"appid": appid})
        return account_of(row) if row else None

    async def weigh(self, appid: str, weight: int) -> Account | None:
        """Set what an account weighs; the account, or None when there is none."""
        return await self._change({"appid": appid, "weight": weight, "name": None, "enabled": None})

    async def change_account(self, appid: str, *, name: str | None, enabled: bool | None) -> Account | None:
        """Set what is not None; the account, or None."""
        return await self._change({"appid": appid, "weight": None, "name": name, "enabled": enabled})

    async def _change(self, change: Mapping[str, Any]) -> Account | None:
        row = await self._row(_CHANGE, change)
        return account_of(row) if row else None

    async def allow(self, appid: str, allowance: Allowance) -> Account | None:
        """Set how much an account may ask of the server; the account, or None."""
        change = {
            "appid": appid,
            "requests": allowance.requests_per_second,
            "jobs": allowance.queued_jobs,
            "seconds": allowance.audio_seconds,
        }
        row = await self._row(_ALLOW, change)
        return account_of(row) if row else None


def key_row(key: AccessKey, vault: Vault) -> Mapping[str, Any]:
    """The values of ``ADD_KEY``, with the secret encrypted.

    Raises:
        VaultError: it cannot be.
    """
    return {
        "secret_id": key.secret_id,
        "secret": vault.seal(key.secret_key),
        "appid": key.account.appid,
        "uin": key.uin,
        "enabled": key.enabled,
        "requests_per_second": key.requests_per_second,
    }


def _caller(row: DictRow, session: NamedPolicy | None = None) -> Caller:
    account = account_of(row)
    if row.get("role") is not None:
        policies = _policies(row["role_policies"])
        return Caller(account=account, kind=CallerKind.ROLE, name=row["role"], policies=policies, session=session)
    if row.get("user_uin") is None:
        return Caller(account=account, kind=CallerKind.ROOT, name=account.uin, session=session)
    policies = _policies(row["policies"])
    return Caller(account=account, kind=CallerKind.USER, name=row["user_uin"], policies=policies, session=session)


def _policies(found: Mapping[str, str | None] | None) -> tuple[NamedPolicy, ...]:
    """What is attached, by name; a preset that this version does not know allows nothing."""
    given = (NamedPolicy(name, text) if text is not None else named(name) for name, text in (found or {}).items())
    return tuple(policy for policy in given if policy is not None)


def _bucket(row: DictRow) -> Bucket | None:
    if (found := row["bucket"]) is None:
        return None
    return bucket_of({**found, "created_at": datetime.fromisoformat(found["created_at"]).astimezone(UTC)})


def role_of(row: DictRow) -> Role:
    """The role of a row of ``ROLE_COLUMNS``."""
    return Role(
        appid=row["appid"],
        name=row["role"],
        trust=row["trust"],
        description=row["description"],
        policies=_policies(row["role_policies"]),
    )


def account_of(row: DictRow) -> Account:
    """The account of a row of ``ACCOUNT``."""
    return Account(
        appid=row["appid"],
        uin=row["root"],
        weight=row["weight"],
        name=row["name"],
        enabled=row["enabled"],
        allowance=Allowance(
            requests_per_second=row["requests_per_second"],
            queued_jobs=row["queued_jobs"],
            audio_seconds=row["audio_seconds"],
        ),
    )
