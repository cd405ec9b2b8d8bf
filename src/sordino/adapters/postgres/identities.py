"""Accounts and keys in PostgreSQL.

Here as in the other repositories the SQL stands above the functions that read its columns: both change together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg.rows import DictRow

from sordino.adapters.postgres.buckets import GET, bucket_of
from sordino.adapters.postgres.session import Connection
from sordino.domain.bucket import Bucket
from sordino.domain.identity import AccessKey, Account

_KEY: Final = """
SELECT secret_id, secret_key, appid, uin, weight
  FROM access_keys JOIN accounts USING (appid)
 WHERE secret_id = %(secret_id)s AND enabled
"""
# What every signed request asks: one round trip in place of two.
_SIGNER: Final = f"""
SELECT secret_id, secret_key, accounts.appid AS account, uin, weight, bucket.*
  FROM access_keys JOIN accounts USING (appid) LEFT JOIN ({GET}) AS bucket ON true
 WHERE secret_id = %(secret_id)s AND enabled
"""  # noqa: S608 - the only text put in is ours
_ROOT: Final = """
SELECT secret_id, secret_key, appid, uin, weight
  FROM access_keys JOIN accounts USING (appid)
 WHERE enabled
 ORDER BY accounts.number, access_keys.number
 LIMIT 1
"""
# Stands against other writers, so that of two processes on an empty database one makes the account.
_LOCK: Final = "LOCK TABLE accounts IN SHARE ROW EXCLUSIVE MODE"
_ADD_FIRST_ACCOUNT: Final = """
INSERT INTO accounts (appid, uin) SELECT %(appid)s, %(uin)s WHERE NOT EXISTS (SELECT FROM accounts)
"""
_ADD_KEY: Final = """
INSERT INTO access_keys (secret_id, secret_key, appid) VALUES (%(secret_id)s, %(secret_key)s, %(appid)s)
"""
_ACCOUNTS: Final = "SELECT appid, uin, weight FROM accounts ORDER BY number"
_WEIGH: Final = "UPDATE accounts SET weight = %(weight)s WHERE appid = %(appid)s RETURNING appid, uin, weight"


@dataclass(frozen=True, slots=True)
class PostgresIdentities:
    """``ports.Identities`` over one connection."""

    connection: Connection

    async def key(self, secret_id: str) -> AccessKey | None:
        """The enabled key of that id, or None."""
        row = await (await self.connection.execute(_KEY, {"secret_id": secret_id})).fetchone()
        return _access_key(row) if row else None

    async def signer(self, secret_id: str, bucket: str) -> tuple[AccessKey, Bucket | None] | None:
        """The enabled key of that id, and the bucket of that full name, if there is one; None without the key."""
        found = await self.connection.execute(_SIGNER, {"secret_id": secret_id, "name": bucket})
        if (row := await found.fetchone()) is None:
            return None
        account = Account(appid=row.pop("account"), uin=row.pop("uin"), weight=row.pop("weight"))
        key = AccessKey(secret_id=row.pop("secret_id"), secret_key=row.pop("secret_key"), account=account)
        return key, bucket_of(row) if row["name"] is not None else None

    async def root(self) -> AccessKey | None:
        """The first enabled key of the first account that has one, or None on an empty database."""
        row = await (await self.connection.execute(_ROOT)).fetchone()
        return _access_key(row) if row else None

    async def add_root(self, key: AccessKey) -> bool:
        """Create the first account with ``key``; False (and nothing written) when an account exists already."""
        account = {"appid": key.account.appid, "uin": key.account.uin}
        await self.connection.execute(_LOCK)
        if (await self.connection.execute(_ADD_FIRST_ACCOUNT, account)).rowcount == 0:
            return False
        await self.connection.execute(
            _ADD_KEY, {"secret_id": key.secret_id, "secret_key": key.secret_key, "appid": key.account.appid}
        )
        return True

    async def accounts(self) -> Sequence[Account]:
        """Every account, the first one first."""
        return [_account(row) for row in await (await self.connection.execute(_ACCOUNTS)).fetchall()]

    async def weigh(self, appid: str, weight: int) -> Account | None:
        """Set what an account weighs; the account, or None when there is none."""
        changed = await self.connection.execute(_WEIGH, {"appid": appid, "weight": weight})
        row = await changed.fetchone()
        return _account(row) if row else None


def _access_key(row: DictRow) -> AccessKey:
    return AccessKey(secret_id=row["secret_id"], secret_key=row["secret_key"], account=_account(row))


def _account(row: DictRow) -> Account:
    return Account(appid=row["appid"], uin=row["uin"], weight=row["weight"])
