"""Users of accounts, and their groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sordino import errors
from sordino.cam.names import check_description, check_name
from sordino.cam.numbers import new_uin
from sordino.cam.operator import Change, Changes, Operator
from sordino.domain.identity import Group, User
from sordino.domain.ports import Transaction
from sordino.errors import ServiceError

MAX_USERS: Final = 1_000
"""Of an account."""

MAX_GROUPS: Final = 300
"""Of an account."""

MAX_GROUPS_OF_USER: Final = 10
"""That a user is in: its policies are read with each of its calls."""

_DRAWS: Final = 10


@dataclass(frozen=True, slots=True)
class Users:
    """What the operator of a service does with users."""

    changes: Changes

    async def add(self, operator: Operator, appid: str, name: str) -> User:
        """Create a user, who may do nothing yet.

        Raises:
            ServiceError: NoSuchEntity, InvalidArgument, EntityAlreadyExists, LimitExceeded.
        """
        async with self.changes.of(operator, "cam:AddUser", appid, _path(name)) as it:
            check_name("user", name)
            if await it.tx.users.get(appid, name) is not None:
                raise errors.ENTITY_ALREADY_EXISTS(f"There is a user {name} already.")
            if len(await it.tx.users.list(appid)) >= MAX_USERS:
                raise errors.LIMIT_EXCEEDED(f"The account has {MAX_USERS} users, as many as it may; remove one first.")
            for _ in range(_DRAWS):
                user = User(uin=new_uin(), appid=appid, name=name, created_at=self.changes.clock.now())
                if await it.tx.users.add(user):
                    return user
            raise errors.LIMIT_EXCEEDED("No number was found that nobody has; try again.")

    async def every(self, appid: str) -> Sequence[User]:
        """Users of an account, by name.

        Raises:
            ServiceError: NoSuchEntity.
        """
        async with self.changes.looking(appid) as it:
            return await it.tx.users.list(appid)

    async def get(self, appid: str, name: str) -> User:
        """A user.

        Raises:
            ServiceError: NoSuchEntity, InvalidArgument.
        """
        async with self.changes.looking(appid) as it:
            return await user_of(it.tx, appid, name)

    async def enable(self, operator: Operator, appid: str, name: str, *, enabled: bool) -> User:
        """Enable or disable a user: of one that is disabled no key is good for anything.

        Raises:
            ServiceError: NoSuchEntity.
        """
        async with self.changes.of(operator, "cam:UpdateUser", appid, _path(name), f"enabled={enabled}") as it:
            check_name("user", name)
            user = await it.tx.users.enable(appid, name, enabled=enabled)
            if user is None:
                raise no_user(name)
            return user

    async def remove(self, operator: Operator, appid: str, name: str) -> None:
        """Remove a user with its keys, memberships and attachments.

        Raises:
            ServiceError: NoSuchEntity.
        """
        async with self.changes.of(operator, "cam:DeleteUser", appid, _path(name)) as it:
            check_name("user", name)
            if not await it.tx.users.remove(appid, name):
                raise no_user(name)


@dataclass(frozen=True, slots=True)
class Groups:
    """What the operator of a service does with groups."""

    changes: Changes

    async def add(self, operator: Operator, appid: str, name: str, description: str = "") -> Group:
        """Create a group, of nobody.

        Raises:
            ServiceError: NoSuchEntity, InvalidArgument, EntityAlreadyExists, LimitExceeded.
        """
        async with self.changes.of(operator, "cam:CreateGroup", appid, _group_path(name)) as it:
            check_name("group", name)
            check_description(description)
            if len(await it.tx.users.groups(appid)) >= MAX_GROUPS:
                raise errors.LIMIT_EXCEEDED(
                    f"The account has {MAX_GROUPS} groups, as many as it may; remove one first."
                )
            group = Group(appid=appid, name=name, description=description, created_at=self.changes.clock.now())
            if not await it.tx.users.add_group(group):
                raise errors.ENTITY_ALREADY_EXISTS(f"There is a group {name} already.")
            return group

    async def every(self, appid: str) -> Sequence[Group]:
        """Groups of an account with the names of their users, by name.

        Raises:
            ServiceError: NoSuchEntity.
        """
        async with self.changes.looking(appid) as it:
            return await it.tx.users.groups(appid)

    async def remove(self, operator: Operator, appid: str, name: str) -> None:
        """Remove a group with its attachments; its users stay.

        Raises:
            ServiceError: NoSuchEntity.
        """
        async with self.changes.of(operator, "cam:DeleteGroup", appid, _group_path(name)) as it:
            check_name("group", name)
            if not await it.tx.users.remove_group(appid, name):
                raise no_group(name)

    async def join(self, operator: Operator, appid: str, name: str, user: str) -> None:
        """Put a user into a group; one that is in it stays so.

        Raises:
            ServiceError: NoSuchEntity, LimitExceeded.
        """
        async with self.changes.of(operator, "cam:AddUserToGroup", appid, _group_path(name), note=_path(user)) as it:
            uin = await _member(it, name, user)
            joined = [group for group in await it.tx.users.groups(appid) if user in group.users and group.name != name]
            if len(joined) >= MAX_GROUPS_OF_USER:
                raise errors.LIMIT_EXCEEDED(
                    f"The user {user} is in {MAX_GROUPS_OF_USER} groups, as many as it may be; take it out of one."
                )
            await it.tx.users.join(appid, name, uin)

    async def leave(self, operator: Operator, appid: str, name: str, user: str) -> None:
        """Take a user out of a group.

        Raises:
            ServiceError: NoSuchEntity, also when it is not in it.
        """
        async with self.changes.of(
            operator, "cam:RemoveUserFromGroup", appid, _group_path(name), note=_path(user)
        ) as it:
            if not await it.tx.users.leave(appid, name, await _member(it, name, user)):
                raise errors.NO_SUCH_ENTITY(f"The user {user} is not in the group {name}.")


async def user_of(tx: Transaction, appid: str, name: str) -> User:
    """The user of that name.

    Raises:
        ServiceError: NoSuchEntity; InvalidArgument: it cannot be a name.
    """
    check_name("user", name)
    user = await tx.users.get(appid, name)
    if user is None:
        raise no_user(name)
    return user


async def check_group(tx: Transaction, appid: str, name: str) -> None:
    """See that there is a group of that name.

    Raises:
        ServiceError: NoSuchEntity.
    """
    if name not in {group.name for group in await tx.users.groups(appid)}:
        raise no_group(name)


def no_user(name: str) -> ServiceError:
    """There is no such user."""
    return errors.NO_SUCH_ENTITY(f"There is no user {name}.")


def no_group(name: str) -> ServiceError:
    """There is no such group."""
    return errors.NO_SUCH_ENTITY(f"There is no group {name}.")


async def _member(it: Change, group: str, user: str) -> str:
    await check_group(it.tx, it.account.appid, group)
    return (await user_of(it.tx, it.account.appid, user)).uin


def _path(name: str) -> str:
    return f"user/{name}"


def _group_path(name: str) -> str:
    return f"group/{name}"
