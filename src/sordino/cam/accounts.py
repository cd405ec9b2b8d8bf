"""Accounts: the root account that a new installation begins with, others, and what they may ask of the server."""

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sordino import errors
from sordino.cam.names import MAX_NAME, check_description
from sordino.cam.numbers import new_access_key, new_uin
from sordino.cam.operator import Changes, Operator, change
from sordino.domain.allowance import MAX_NUMBER, MAX_SECONDS, NewAllowance
from sordino.domain.identity import AccessKey, Account
from sordino.domain.ports import Database
from sordino.domain.release import MAX_WEIGHT

_NUMBER: Final = re.compile(r"[1-9][0-9]{4,19}")
_LONGEST: Final = 20
_BOUNDS: Final = (
    ("requests_per_second", 1, MAX_NUMBER),
    ("queued_jobs", 0, MAX_NUMBER),
    ("audio_seconds", 0, MAX_SECONDS),
)


def new_root_key() -> AccessKey:
    """A random account with the key of its root; an APPID has 10 digits in the cloud."""
    return new_access_key(Account(appid=f"125{secrets.randbelow(10**7):07d}", uin=new_uin()))


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


@dataclass(frozen=True, slots=True)
class Accounts:
    """What the operator of a service does with accounts."""

    changes: Changes

    async def every(self) -> Sequence[Account]:
        """All of them, the first one first."""
        async with self.changes.database.reading() as tx:
            return await tx.identities.accounts()

    async def get(self, appid: str) -> Account:
        """One of them.

        Raises:
            ServiceError: NoSuchEntity.
        """
        async with self.changes.looking(appid) as it:
            return it.account

    async def create(
        self, operator: Operator, name: str, *, appid: str | None = None, uin: str | None = None
    ) -> tuple[Account, AccessKey]:
        """Create an account with its CI role; and the first key of its root, whose secret shows this once.

        Args:
            operator: who does it.
            name: what people call it; may be empty.
            appid: 5 to 20 digits; None: a random one.
            uin: of its root, the same.

        Raises:
            ServiceError: InvalidArgument, EntityAlreadyExists: an account, or of the uin a user, has that number.
            VaultError: this machine has not the key that the secrets in the database are encrypted with.
        """
        drawn = new_root_key().account
        account = replace(drawn, name=name, appid=appid or drawn.appid, uin=uin or drawn.uin)
        key = new_access_key(account)
        async with change(
            self.changes.database,
            self.changes.clock,
            operator,
            "sordino:CreateAccount",
            f"account/{account.appid}",
            account.appid,
            key.secret_id,
        ) as tx:
            check_description(name, MAX_NAME)
            _check_number("APPID", account.appid)
            _check_number("uin", account.uin)
            if not await tx.identities.add_account(account):
                raise errors.ENTITY_ALREADY_EXISTS(
                    f"There is an account {account.appid}, or somebody has the uin {account.uin}; name others, or none."
                )
            # What this machine encrypts the service must be able to read.
            await tx.secrets.check()
            await tx.users.add_key(key)
        return account, key

    async def change(
        self, operator: Operator, appid: str, *, name: str | None = None, enabled: bool | None = None
    ) -> Account:
        """Set what is not None; of an account that is disabled no key is good for anything.

        Raises:
            ServiceError: NoSuchEntity, InvalidArgument.
        """
        note = ", ".join(
            [f"{word}={value}" for word, value in (("name", name), ("enabled", enabled)) if value is not None]
        )
        async with self.changes.of(operator, "sordino:UpdateAccount", appid, f"account/{appid}", note) as it:
            check_description(name or "", MAX_NAME)
            return await it.tx.identities.change_account(appid, name=name, enabled=enabled) or it.account

    async def weigh(self, operator: Operator, appid: str, weight: int) -> Account:
        """Set what share of the workers an account has beside others; the account as it then is.

        Raises:
            ServiceError: NoSuchEntity; InvalidArgument: the weight is not 1 to ``MAX_WEIGHT``.
        """
        async with self.changes.of(
            operator, "sordino:UpdateAccount", appid, f"account/{appid}", f"weight={weight}"
        ) as it:
            check_weight(weight)
            return await it.tx.identities.weigh(appid, weight) or it.account

    async def allow(self, operator: Operator, appid: str, allowance: NewAllowance) -> Account:
        """Set how much an account may ask of the server; what is not named stays.

        Raises:
            ServiceError: NoSuchEntity, InvalidArgument.
        """
        note = ", ".join(f"{name}={value}" for name, value in allowance.items())
        async with self.changes.of(operator, "sordino:UpdateAccount", appid, f"account/{appid}", note) as it:
            wanted = replace(it.account.allowance, **allowance)
            for name, least, most in _BOUNDS:
                value = getattr(wanted, name)
                if value is not None and not least <= value <= most:
                    raise errors.INVALID_ARGUMENT(f"{name} is {value}; use {least} to {most}, or none.")
            return await it.tx.identities.allow(appid, wanted) or it.account


def _check_number(what: str, number: str) -> None:
    if _NUMBER.fullmatch(number) is None:
        raise errors.INVALID_ARGUMENT(
            f"The {what} is {number[:80]!r}; use 5 to {_LONGEST} digits, the first one not a zero."
        )


def check_weight(weight: int) -> None:
    """Refuse a weight that an account or a queue cannot have.

    Raises:
        ServiceError: InvalidArgument.
    """
    if not 1 <= weight <= MAX_WEIGHT:
        raise errors.INVALID_ARGUMENT(f"A weight is {weight}; use 1 to {MAX_WEIGHT}.")
