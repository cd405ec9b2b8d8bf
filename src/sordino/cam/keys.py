"""Access keys of roots and users."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypedDict, Unpack

from sordino import errors
from sordino.cam.numbers import new_access_key, new_secret_id
from sordino.cam.operator import Change, Changes, Operator
from sordino.cam.users import user_of
from sordino.domain.allowance import MAX_NUMBER
from sordino.domain.identity import AccessKey, KeyUse
from sordino.domain.ports import Transaction

MAX_KEYS: Final = 5
"""Of a user, and of a root."""


class KeySettings(TypedDict, total=False):
    """What of a key to set.

    Attributes:
        enabled: whether it is good for anything.
        requests_per_second: with this key; None: no more than the account's.
    """

    enabled: bool
    requests_per_second: int | None


@dataclass(frozen=True, slots=True)
class Keys:
    """What the operator of a service does with keys."""

    changes: Changes

    async def add(self, operator: Operator, appid: str, user: str | None) -> AccessKey:
        """Make a key for a user, or for the root; its secret shows this once.

        Raises:
            ServiceError: NoSuchEntity, LimitExceeded.
            VaultError: this machine has not the key that the secrets in the database are encrypted with.
        """
        owner, secret_id = "root" if user is None else f"user/{user}", new_secret_id()
        async with self.changes.of(operator, "cam:CreateAccessKey", appid, owner, _path(secret_id)) as it:
            return await _add(it, await _uin(it.tx, appid, user), secret_id)

    async def every(self, appid: str, user: str | None) -> Sequence[KeyUse]:
        """Keys of a user, or of the root, the first one first, without their secrets.

        Raises:
            ServiceError: NoSuchEntity, InvalidArgument: there is no such account or user.
        """
        async with self.changes.looking(appid) as it:
            return await it.tx.users.keys(appid, await _uin(it.tx, appid, user))

    async def change(self, operator: Operator, appid: str, secret_id: str, **changes: Unpack[KeySettings]) -> KeyUse:
        """Enable, disable or limit a key; what is not named stays.

        Raises:
            ServiceError: NoSuchEntity, InvalidArgument, EntityInUse: it is the last good key of the root.
        """
        note = ", ".join(f"{name}={value}" for name, value in changes.items())
        async with self.changes.of(operator, "cam:UpdateAccessKey", appid, _path(secret_id), note) as it:
            key = (await _key(it, secret_id)).key
            changed = replace(key, **changes)
            _check_limit(changed.requests_per_second)
            if not changed.enabled:
                await _check_not_last(it, key)
            await it.tx.users.change_key(
                appid, secret_id, enabled=changed.enabled, requests_per_second=changed.requests_per_second
            )
            return await _key(it, secret_id)

    async def rotate(self, operator: Operator, appid: str, secret_id: str) -> AccessKey:
        """Make another key for whoever has this one, which stays good until it is disabled; its secret shows this once.

        Raises:
            ServiceError: NoSuchEntity, LimitExceeded.
            VaultError: as ``add``.
        """
        new = new_secret_id()
        async with self.changes.of(operator, "cam:CreateAccessKey", appid, _path(secret_id), _path(new)) as it:
            return await _add(it, (await _key(it, secret_id)).key.uin, new)

    async def remove(self, operator: Operator, appid: str, secret_id: str) -> None:
        """Remove a key with the temporary keys that it asked for.

        Raises:
            ServiceError: NoSuchEntity, EntityInUse: it is the last good key of the root.
        """
        async with self.changes.of(operator, "cam:DeleteAccessKey", appid, _path(secret_id)) as it:
            await _check_not_last(it, (await _key(it, secret_id)).key)
            await it.tx.users.remove_key(appid, secret_id)


def _path(secret_id: str) -> str:
    return f"key/{secret_id}"


async def _uin(tx: Transaction, appid: str, user: str | None) -> str | None:
    return None if user is None else (await user_of(tx, appid, user)).uin


async def _add(it: Change, uin: str | None, secret_id: str) -> AccessKey:
    if len(await it.tx.users.keys(it.account.appid, uin)) >= MAX_KEYS:
        raise errors.LIMIT_EXCEEDED(f"There are {MAX_KEYS} keys, as many as there may be; remove one first.")
    key = new_access_key(it.account, uin, secret_id=secret_id)
    # What this machine encrypts the service must be able to read.
    await it.tx.secrets.check()
    await it.tx.users.add_key(key)
    return key


async def _key(it: Change, secret_id: str) -> KeyUse:
    found = await it.tx.users.key(it.account.appid, secret_id) if secret_id.isprintable() else None
    if found is None:
        raise errors.NO_SUCH_ENTITY(f"The account has no key {secret_id[:80]!r}.")
    return found


async def _check_not_last(it: Change, key: AccessKey) -> None:
    """Refuse to take from a root the last key that is good: nobody could sign for all that is the account's."""
    if key.uin is not None or not key.enabled:
        return
    keys = await it.tx.users.keys(it.account.appid, None)
    if not any(other.key.enabled for other in keys if other.key.secret_id != key.secret_id):
        raise errors.ENTITY_IN_USE(
            f"{key.secret_id} is the last enabled key of the account's root: add another first, or disable the account."
        )


def _check_limit(requests_per_second: int | None) -> None:
    if requests_per_second is not None and not 1 <= requests_per_second <= MAX_NUMBER:
        raise errors.INVALID_ARGUMENT(f"requests_per_second is {requests_per_second}; use 1 to {MAX_NUMBER}, or none.")
