"""Users, groups and keys in PostgreSQL.

What goes with a user, a group or a key, such as memberships and temporary keys, the references of the tables remove.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.errors import ForeignKeyViolation
from psycopg.rows import DictRow

from sordino import errors
from sordino.adapters.postgres.identities import ACCOUNT, ADD_KEY, LOCK, account_of, key_row
from sordino.adapters.postgres.statements import Statements
from sordino.domain.identity import AccessKey, Group, KeyUse, User
from sordino.domain.ports import Vault

_USER: Final = "uin, appid, name, enabled, created_at"
_ADD: Final = f"""
INSERT INTO users ({_USER})
SELECT %(uin)s, %(appid)s, %(name)s, %(enabled)s, %(created_at)s
 WHERE NOT EXISTS (SELECT FROM accounts WHERE uin = %(uin)s)
    ON CONFLICT DO NOTHING
"""  # noqa: S608 - the only text put in is ours
_GET: Final = f"SELECT {_USER} FROM users WHERE appid = %(appid)s AND name = %(name)s"  # noqa: S608 - as above
_LIST: Final = f"SELECT {_USER} FROM users WHERE appid = %(appid)s ORDER BY name"  # noqa: S608 - as above
_ENABLE: Final = f"""
UPDATE users SET enabled = %(enabled)s WHERE appid = %(appid)s AND name = %(name)s RETURNING {_USER}
"""  # noqa: S608 - as above
_REMOVE: Final = "DELETE FROM users WHERE appid = %(appid)s AND name = %(name)s"
_KEY: Final = f"""
SELECT secret_id, access_keys.uin, access_keys.enabled AS key_enabled, access_keys.created_at, used_at,
       access_keys.requests_per_second AS key_requests, {ACCOUNT}
  FROM access_keys JOIN accounts USING (appid)
"""  # noqa: S608 - as above
_KEYS: Final = f"""
{_KEY} WHERE appid = %(appid)s AND access_keys.uin IS NOT DISTINCT FROM %(uin)s ORDER BY access_keys.number
"""
_ONE_KEY: Final = f"{_KEY} WHERE appid = %(appid)s AND secret_id = %(secret_id)s"
_CHANGE_KEY: Final = """
UPDATE access_keys SET enabled = %(enabled)s, requests_per_second = %(requests_per_second)s
 WHERE appid = %(appid)s AND secret_id = %(secret_id)s
"""
_REMOVE_KEY: Final = "DELETE FROM access_keys WHERE appid = %(appid)s AND secret_id = %(secret_id)s"
# Keys that another process notes at the moment it leaves to that one, and waits for none.
_NOTE_USE: Final = """
UPDATE access_keys SET used_at = %(at)s
 WHERE secret_id IN (SELECT secret_id FROM access_keys
                      WHERE secret_id = ANY(%(secret_ids)s) AND (used_at IS NULL OR used_at < %(at)s)
                      FOR NO KEY UPDATE SKIP LOCKED)
"""
_ADD_GROUP: Final = """
INSERT INTO groups (appid, name, description, created_at)
VALUES (%(appid)s, %(name)s, %(description)s, %(created_at)s)
    ON CONFLICT DO NOTHING
"""
_GROUPS: Final = """
SELECT appid, name, description, created_at,
       ARRAY(SELECT users.name FROM group_members AS members JOIN users USING (appid, uin)
              WHERE members.appid = groups.appid AND group_name = groups.name ORDER BY users.name) AS users
  FROM groups
 WHERE appid = %(appid)s
 ORDER BY name
"""
_REMOVE_GROUP: Final = "DELETE FROM groups WHERE appid = %(appid)s AND name = %(name)s"
_JOIN: Final = """
INSERT INTO group_members (appid, group_name, uin) VALUES (%(appid)s, %(group)s, %(uin)s) ON CONFLICT DO NOTHING
"""
_LEAVE: Final = "DELETE FROM group_members WHERE (appid, group_name, uin) = (%(appid)s, %(group)s, %(uin)s)"


@dataclass(frozen=True, slots=True)
class PostgresUsers(Statements):
    """``cam_ports.Users`` over one connection."""

    vault: Vault

    async def add(self, user: User) -> bool:
        """Create a user; False when its name is taken in the account, or its uin anywhere.

        Raises:
            ServiceError: NoSuchEntity: there is no such account.
        """
        await self.connection.execute(LOCK)
        row = {
            "uin": user.uin,
            "appid": user.appid,
            "name": user.name,
            "enabled": user.enabled,
            "created_at": user.created_at,
        }
        try:
            return await self._done(_ADD, row)
        except ForeignKeyViolation as error:
            raise errors.NO_SUCH_ENTITY(f"There is no account {user.appid}.") from error

    async def get(self, appid: str, name: str) -> User | None:
        """The user of that name, or None."""
        return _user(await self._row(_GET, {"appid": appid, "name": name}))

    async def list(self, appid: str) -> Sequence[User]:
        """Users of an account, by name."""
        return [User(**row) for row in await self._rows(_LIST, {"appid": appid})]

    async def enable(self, appid: str, name: str, *, enabled: bool) -> User | None:
        """Enable or disable a user; the user, or None."""
        return _user(await self._row(_ENABLE, {"appid": appid, "name": name, "enabled": enabled}))

    async def remove(self, appid: str, name: str) -> bool:
        """Remove a user with its keys, memberships and attachments; False when there is none."""
        return await self._done(_REMOVE, {"appid": appid, "name": name})

    async def add_key(self, key: AccessKey) -> None:
        """Add a key; its secret is encrypted.

        Raises:
            ServiceError: NoSuchEntity: there is no such account, or no such user in it.
            VaultError: there is nothing to encrypt it with.
        """
        try:
            await self.connection.execute(ADD_KEY, key_row(key, self.vault))
        except ForeignKeyViolation as error:
            raise errors.NO_SUCH_ENTITY("There is no such user any more.") from error

    async def keys(self, appid: str, uin: str | None) -> Sequence[KeyUse]:
        """Keys of a user, or of the root, the first one first, without their secrets; and when each was used."""
        return [_key_use(row) for row in await self._rows(_KEYS, {"appid": appid, "uin": uin})]

    async def key(self, appid: str, secret_id: str) -> KeyUse | None:
        """The account's key of that id, without its secret, or None."""
        row = await self._row(_ONE_KEY, {"appid": appid, "secret_id": secret_id})
        return _key_use(row) if row else None

    async def change_key(self, appid: str, secret_id: str, *, enabled: bool, requests_per_second: int | None) -> bool:
        """Set whether a key is good, and its limit of requests (None: none); False when there is none."""
        change = {
            "appid": appid,
            "secret_id": secret_id,
            "enabled": enabled,
            "requests_per_second": requests_per_second,
        }
        return await self._done(_CHANGE_KEY, change)

    async def remove_key(self, appid: str, secret_id: str) -> bool:
        """Remove a key with the temporary keys that it asked for; False when there is none."""
        return await self._done(_REMOVE_KEY, {"appid": appid, "secret_id": secret_id})

    async def note_use(self, secret_ids: Sequence[str], at: datetime) -> None:
        """Note when keys were used; a later note stays."""
        await self.connection.execute(_NOTE_USE, {"secret_ids": [*secret_ids], "at": at})

    async def add_group(self, group: Group) -> bool:
        """Create a group; False when the name is taken.

        Raises:
            ServiceError: NoSuchEntity: there is no such account.
        """
        row = {
            "appid": group.appid,
            "name": group.name,
            "description": group.description,
            "created_at": group.created_at,
        }
        try:
            return await self._done(_ADD_GROUP, row)
        except ForeignKeyViolation as error:
            raise errors.NO_SUCH_ENTITY(f"There is no account {group.appid}.") from error

    async def groups(self, appid: str) -> Sequence[Group]:
        """Groups of an account with the names of their users, by name."""
        rows = await self._rows(_GROUPS, {"appid": appid})
        return [Group(**{**row, "users": tuple(row["users"])}) for row in rows]

    async def remove_group(self, appid: str, name: str) -> bool:
        """Remove a group with its memberships and attachments; False when there is none."""
        return await self._done(_REMOVE_GROUP, {"appid": appid, "name": name})

    async def join(self, appid: str, group: str, uin: str) -> bool:
        """Put a user into a group; False when it is in it.

        Raises:
            ServiceError: NoSuchEntity: the account has no such group or user.
        """
        try:
            return await self._done(_JOIN, {"appid": appid, "group": group, "uin": uin})
        except ForeignKeyViolation as error:
            raise errors.NO_SUCH_ENTITY(f"There is no group {group}, or no user {uin}, in the account.") from error

    async def leave(self, appid: str, group: str, uin: str) -> bool:
        """Take a user out of a group; False when it is not in it."""
        return await self._done(_LEAVE, {"appid": appid, "group": group, "uin": uin})


def _user(row: DictRow | None) -> User | None:
    return User(**row) if row else None


def _key_use(row: DictRow) -> KeyUse:
    key = AccessKey(
        secret_id=row["secret_id"],
        secret_key="",
        account=account_of(row),
        uin=row["uin"],
        enabled=row["key_enabled"],
        requests_per_second=row["key_requests"],
    )
    return KeyUse(key=key, created_at=row["created_at"], used_at=row["used_at"])
