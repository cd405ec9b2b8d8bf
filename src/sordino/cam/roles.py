"""Roles of accounts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sordino import errors
from sordino.cam.documents import read_document
from sordino.cam.names import check_description, check_name
from sordino.cam.operator import Changes, Operator
from sordino.domain.identity import Role
from sordino.domain.policy import PolicyKind
from sordino.domain.ports import Transaction
from sordino.errors import ServiceError

MAX_ROLES: Final = 1_000
"""Of an account."""


@dataclass(frozen=True, slots=True)
class Roles:
    """What the operator of a service does with roles."""

    changes: Changes

    async def put(self, operator: Operator, appid: str, name: str, trust: str, description: str = "") -> Role:
        """Create a role, which may do nothing yet, or change who may take one.

        Args:
            operator: who does it.
            appid: the account.
            name: of the role.
            trust: the policy that says who may take it.
            description: what it is for.

        Raises:
            ServiceError: NoSuchEntity, InvalidArgument, MalformedPolicy, LimitExceeded.
        """
        async with self.changes.of(operator, "cam:PutRole", appid, _path(name)) as it:
            check_name("role", name)
            check_description(description)
            read_document(trust, PolicyKind.TRUST)
            role = Role(appid=appid, name=name, trust=trust, description=description)
            new = await it.tx.policies.put_role(role, self.changes.clock.now())
            if new and len(await it.tx.policies.roles(appid)) > MAX_ROLES:
                raise errors.LIMIT_EXCEEDED(f"The account has {MAX_ROLES} roles, as many as it may; remove one first.")
            return await role_of(it.tx, appid, name)

    async def every(self, appid: str) -> Sequence[Role]:
        """Roles of an account with their policies, by name.

        Raises:
            ServiceError: NoSuchEntity.
        """
        async with self.changes.looking(appid) as it:
            return await it.tx.policies.roles(appid)

    async def get(self, appid: str, name: str) -> Role:
        """A role with its policies.

        Raises:
            ServiceError: NoSuchEntity, InvalidArgument.
        """
        async with self.changes.looking(appid) as it:
            return await role_of(it.tx, appid, name)

    async def remove(self, operator: Operator, appid: str, name: str) -> None:
        """Remove a role with its attachments; temporary keys in its name are good for nothing any more.

        Raises:
            ServiceError: NoSuchEntity, InvalidArgument.
        """
        async with self.changes.of(operator, "cam:DeleteRole", appid, _path(name)) as it:
            check_name("role", name)
            if not await it.tx.policies.remove_role(appid, name):
                raise _no_role(name)


async def role_of(tx: Transaction, appid: str, name: str) -> Role:
    """The role of that name.

    Raises:
        ServiceError: NoSuchEntity; InvalidArgument: it cannot be a name.
    """
    check_name("role", name)
    found = await tx.identities.role(appid, name)
    if found is None:
        raise _no_role(name)
    return found[0]


def _no_role(name: str) -> ServiceError:
    return errors.NO_SUCH_ENTITY(f"There is no role {name}.")


def _path(name: str) -> str:
    return f"role/{name}"
