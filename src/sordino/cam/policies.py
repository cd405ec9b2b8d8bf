"""Policies of accounts, and what they are attached to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from sordino import errors
from sordino.cam.documents import read_document
from sordino.cam.names import check_description, check_name
from sordino.cam.operator import Changes, Operator
from sordino.cam.roles import role_of
from sordino.cam.users import check_group, user_of
from sordino.domain import presets
from sordino.domain.identity import NamedPolicy, Policy, Target, TargetKind
from sordino.domain.policy import PolicyKind
from sordino.domain.ports import Transaction
from sordino.errors import ServiceError

MAX_POLICIES: Final = 1_500
"""Of an account's own."""

MAX_ATTACHED: Final = 20
"""To a user, a group or a role."""

_ATTACH: Final[Mapping[TargetKind, str]] = MappingProxyType(
    {kind: f"cam:Attach{kind.capitalize()}Policy" for kind in TargetKind}
)
_DETACH: Final[Mapping[TargetKind, str]] = MappingProxyType(
    {kind: f"cam:Detach{kind.capitalize()}Policy" for kind in TargetKind}
)


@dataclass(frozen=True, slots=True)
class Policies:
    """What the operator of a service does with policies. Targets are named by people's names here, also users."""

    changes: Changes

    async def put(self, operator: Operator, appid: str, name: str, document: str, description: str = "") -> Policy:
        """Write a policy, new or in place of the one of that name. It holds for the next call.

        Raises:
            ServiceError: NoSuchEntity, InvalidArgument, MalformedPolicy, LimitExceeded; EntityAlreadyExists: there is
                a preset of that name.
        """
        async with self.changes.of(operator, "cam:PutPolicy", appid, _path(name)) as it:
            check_name("policy", name)
            check_description(description)
            read_document(document, PolicyKind.IDENTITY)
            if presets.named(name) is not None:
                raise errors.ENTITY_ALREADY_EXISTS(f"{name} is a preset, the same in every account; take another name.")
            policy = Policy(
                appid=appid,
                name=name,
                document=document,
                description=description,
                changed_at=self.changes.clock.now(),
            )
            if await it.tx.policies.put(policy) and await it.tx.policies.count(appid) > MAX_POLICIES:
                raise errors.LIMIT_EXCEEDED(
                    f"The account has {MAX_POLICIES} policies, as many as it may; remove one first."
                )
            return policy

    async def get(self, appid: str, name: str) -> Policy | NamedPolicy:
        """A policy of the account's own, or a preset.

        Raises:
            ServiceError: NoSuchEntity, InvalidArgument.
        """
        async with self.changes.looking(appid) as it:
            return await _policy(it.tx, appid, name)

    async def every(self, appid: str) -> Sequence[Policy]:
        """The account's own policies, by name.

        Raises:
            ServiceError: NoSuchEntity.
        """
        async with self.changes.looking(appid) as it:
            return await it.tx.policies.list(appid)

    def presets(self) -> Sequence[NamedPolicy]:
        """Those that every account has, by name."""
        return sorted(presets.PRESETS.values(), key=lambda policy: policy.name)

    async def remove(self, operator: Operator, appid: str, name: str) -> None:
        """Remove a policy.

        Raises:
            ServiceError: NoSuchEntity, InvalidArgument; EntityInUse: it is attached to something, or is a preset.
        """
        async with self.changes.of(operator, "cam:DeletePolicy", appid, _path(name)) as it:
            if isinstance(await _policy(it.tx, appid, name), NamedPolicy):
                raise errors.ENTITY_IN_USE(f"{name} is a preset; it cannot be removed, only detached.")
            if not await it.tx.policies.remove(appid, name):
                targets = await _named_targets(it.tx, appid, name)
                shown = ", ".join(f"{target.kind} {target.name}" for target in targets[:5])
                more = f" and {len(targets) - 5} more" if len(targets) > 5 else ""
                raise errors.ENTITY_IN_USE(f"{name} is attached to {shown}{more}; detach it first.")

    async def attach(self, operator: Operator, appid: str, policy: str, target: Target) -> None:
        """Attach a policy of the account's own, or a preset; one that is attached stays so.

        Raises:
            ServiceError: NoSuchEntity, InvalidArgument, LimitExceeded.
        """
        async with self.changes.of(operator, _ATTACH[target.kind], appid, _at(target), _path(policy)) as it:
            await _policy(it.tx, appid, policy)
            found = await _target(it.tx, appid, target)
            attached = await it.tx.policies.attached(appid, found)
            if policy not in attached and len(attached) >= MAX_ATTACHED:
                raise errors.LIMIT_EXCEEDED(
                    f"The {target.kind} {target.name} has {MAX_ATTACHED} policies, as many as it may; detach one first."
                )
            await it.tx.policies.attach(appid, policy, found)

    async def detach(self, operator: Operator, appid: str, policy: str, target: Target) -> None:
        """Detach a policy.

        Raises:
            ServiceError: NoSuchEntity, also when it is not attached; InvalidArgument.
        """
        async with self.changes.of(operator, _DETACH[target.kind], appid, _at(target), _path(policy)) as it:
            check_name("policy", policy)
            if not await it.tx.policies.detach(appid, policy, await _target(it.tx, appid, target)):
                raise errors.NO_SUCH_ENTITY(f"{policy} is not attached to the {target.kind} {target.name}.")

    async def attached(self, appid: str, target: Target) -> Sequence[str]:
        """Names of the policies that are attached to a target itself, by name.

        Raises:
            ServiceError: NoSuchEntity, InvalidArgument.
        """
        async with self.changes.looking(appid) as it:
            return await it.tx.policies.attached(appid, await _target(it.tx, appid, target))

    async def targets(self, appid: str, policy: str) -> Sequence[Target]:
        """What a policy, or preset, of an account is attached to.

        Raises:
            ServiceError: NoSuchEntity, InvalidArgument.
        """
        async with self.changes.looking(appid) as it:
            await _policy(it.tx, appid, policy)
            return await _named_targets(it.tx, appid, policy)


async def _policy(tx: Transaction, appid: str, name: str) -> Policy | NamedPolicy:
    check_name("policy", name)
    found = await tx.policies.get(appid, name) or presets.named(name)
    if found is None:
        raise _no_policy(name)
    return found


async def _target(tx: Transaction, appid: str, target: Target) -> Target:
    """The target as the repository names it."""
    match target.kind:
        case TargetKind.USER:
            return Target(TargetKind.USER, (await user_of(tx, appid, target.name)).uin)
        case TargetKind.GROUP:
            await check_group(tx, appid, target.name)
        case TargetKind.ROLE:
            await role_of(tx, appid, target.name)
    return target


async def _named_targets(tx: Transaction, appid: str, policy: str) -> list[Target]:
    names = {user.uin: user.name for user in await tx.users.list(appid)}
    return [
        Target(target.kind, names[target.name]) if target.kind is TargetKind.USER else target
        for target in await tx.policies.targets(appid, policy)
    ]


def _no_policy(name: str) -> ServiceError:
    return errors.NO_SUCH_ENTITY(f"The account has no policy {name}, and there is no preset of that name.")


def _path(name: str) -> str:
    return f"policy/{name}"


def _at(target: Target) -> str:
    return f"{target.kind}/{target.name}"
