"""Accounts: the root account that a new installation begins with."""

import secrets
import string
from collections.abc import Callable

from sordino.domain.identity import AccessKey, Account
from sordino.domain.ports import Database

_ALPHABET = string.ascii_letters + string.digits


def new_root_key() -> AccessKey:
    """A random account and key pair in the cloud's form: APPID 10 digits, SecretId ``AKID`` + 32, SecretKey 32."""
    return AccessKey(
        secret_id="AKID" + _random(32),
        secret_key=_random(32),
        account=Account(appid=f"125{secrets.randbelow(10**7):07d}", uin=f"1000{secrets.randbelow(10**8):08d}"),
    )


async def ensure_root(database: Database, keep: Callable[[AccessKey], None]) -> AccessKey | None:
    """Create the root account on an empty database; its key, or None when there is an account already.

    ``keep`` stores the key away before the account is committed, so that no account exists whose key nobody has.
    """
    key = new_root_key()
    async with database.transaction() as tx:
        if not await tx.identities.add_root(key):
            return None
        keep(key)
    return key


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
