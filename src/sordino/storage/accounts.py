"""Accounts: the root account that a new installation begins with, and what accounts weigh beside each other."""

import secrets
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sordino import errors
from sordino.domain.identity import AccessKey, Account
from sordino.domain.ports import Database
from sordino.domain.release import MAX_WEIGHT

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """What the operator of a service does with accounts."""

    database: Database

    async def every(self) -> Sequence[Account]:
        """All of them, the first one first."""
        async with self.database.reading() as tx:
            return await tx.identities.accounts()

    async def weigh(self, appid: str, weight: int) -> Account:
        """Set what share of the workers an account has beside others; the account as it then is.

        Raises:
            ServiceError: InvalidArgument: there is no such account, or the weight is not 1 to ``MAX_WEIGHT``.
        """
        check_weight(weight)
        async with self.database.transaction() as tx:
            account = await tx.identities.weigh(appid, weight)
        if account is None:
            raise errors.INVALID_ARGUMENT(f"There is no account {appid}.")
        return account


def check_weight(weight: int) -> None:
    """Refuse a weight that an account or a queue cannot have.

    Raises:
        ServiceError: InvalidArgument.
    """
    if not 1 <= weight <= MAX_WEIGHT:
        raise errors.INVALID_ARGUMENT(f"A weight is {weight}; use 1 to {MAX_WEIGHT}.")


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
