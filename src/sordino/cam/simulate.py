"""Simulation: whether somebody may do something, by the policies as they are, and which statement says so."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sordino import errors
from sordino.cam.operator import Change, Changes
from sordino.cam.roles import role_of
from sordino.cam.users import user_of
from sordino.domain.acl import READING, Acl
from sordino.domain.bucket import Bucket
from sordino.domain.decision import Asked, Decision, Effect, decide_call
from sordino.domain.identity import Account, Caller, CallerKind, NamedPolicy, caller_of
from sordino.domain.known import of_everyone
from sordino.domain.mounted_keys import decide_mounted
from sordino.domain.ports import Transaction
from sordino.domain.resource import ANYTHING, Owner, Resource, account_resource, ci_resource, cos_resource

_ACTION: Final = re.compile(r"(?:name/)?(?P<action>(?P<service>[A-Za-z][A-Za-z0-9-]*):[A-Za-z][A-Za-z0-9]*)")
_RESOURCE: Final = re.compile(
    r"qcs::(?P<service>[a-z]+):(?P<region>[a-z0-9-]*):(?:(?P<by>uin|uid)/(?P<number>[0-9]{1,20}))?:(?P<path>.+)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Who:
    """Who would call.

    Attributes:
        kind: None: somebody who does not sign.
        name: of a user or a role; else empty.
    """

    kind: CallerKind | None
    name: str = ""


ROOT: Final = Who(CallerKind.ROOT)
ANONYMOUS: Final = Who(None)


@dataclass(frozen=True, slots=True)
class Simulated:
    """What would be decided.

    Attributes:
        decision: whether the call would be let through, and why.
        statement: JSON of the statement that decided; None: none did.
    """

    decision: Decision
    statement: str | None


@dataclass(frozen=True, slots=True)
class Simulate:
    """Decides as the API does, over a call that nobody makes."""

    changes: Changes

    async def __call__(
        self, appid: str, who: Who, *, action: str, resource: str, context: Mapping[str, tuple[str, ...]]
    ) -> Simulated:
        """Decide.

        Args:
            appid: of the account of whoever would call.
            who: would.
            action: such as ``cos:GetObject``.
            resource: in six segments, ``*``, or, of what is in a bucket, ``<bucket>`` or ``<bucket>/<key>``.
            context: condition keys; the time, the caller's and the bucket's own are known without, but not the address.

        Raises:
            ServiceError: NoSuchEntity, InvalidArgument; NoSuchBucket, where the bucket must be known.
        """
        async with self.changes.looking(appid) as it:
            caller = await _caller(it, who)
            match = _ACTION.fullmatch(action)
            if match is None:
                raise errors.INVALID_ARGUMENT(f"The action is {action[:80]!r}; write one, such as cos:GetObject.")
            found, bucket = await _resource(it.tx, it.account, match["service"].lower(), resource)
            known = of_everyone(caller, "", self.changes.clock.now(), found)
            asked = Asked(
                action=match["action"],
                resource=found,
                context={**known, **{name.lower(): values for name, values in context.items()}},
            )
            disabled = await _disabled(it, who)
            if disabled is not None:
                because = f"{asked.action} on {found}: the {disabled} is disabled, and no key of it signs"
                return Simulated(Decision(effect=Effect.NONE, because=because), None)
            policy = None if bucket is None else bucket.named_policy
            decision = decide_mounted(lambda one: decide_call(caller, one, policy), asked, bucket)
            if bucket is not None and decision.effect is Effect.NONE and await _open_to_all(it.tx, asked, bucket):
                decision = Decision(
                    effect=Effect.ALLOW,
                    because=f"{asked.action} on {found}: an access control list opens it to everybody",
                )
        policies = ([] if policy is None else [policy]) + list(() if caller is None else caller.policies)
        return Simulated(decision, _statement(policies, decision))


async def _caller(it: Change, who: Who) -> Caller | None:
    appid = it.account.appid
    match who.kind:
        case None:
            return None
        case CallerKind.ROOT:
            return await it.tx.identities.caller(appid, None)
        case CallerKind.USER:
            return await it.tx.identities.caller(appid, (await user_of(it.tx, appid, who.name)).uin)
        case CallerKind.ROLE:
            return caller_of(await role_of(it.tx, appid, who.name), it.account)


async def _disabled(it: Change, who: Who) -> str | None:
    """What keeps somebody from signing anything; None: nothing does."""
    if who.kind is not None and not it.account.enabled:
        return f"account {it.account.appid}"
    if who.kind is CallerKind.USER and not (await user_of(it.tx, it.account.appid, who.name)).enabled:
        return f"user {who.name}"
    return None


async def _resource(tx: Transaction, account: Account, service: str, text: str) -> tuple[Resource, Bucket | None]:
    """What a resource that somebody typed is, and the bucket that it is in, if it is in one that there is."""
    if not text.isprintable():
        raise errors.INVALID_ARGUMENT(f"The resource is {text[:80]!r}; write it without control characters.")
    if text == ANYTHING:
        return account_resource(service, account.owner), None
    match = _RESOURCE.fullmatch(text)
    if match is None:
        return await _short(tx, service, text)
    owner = account.owner if match["number"] is None else await _owner(tx, match["by"], match["number"])
    named = Resource(service=match["service"], region=match["region"], owner=owner, path=match["path"])
    bucket = await tx.buckets.get(_bucket_name(named.service, match["path"]))
    if bucket is None:
        return named, None
    if bucket.owner != owner or named.region not in {"", bucket.region}:
        raise errors.INVALID_ARGUMENT(
            f"The bucket {bucket.name} is in {bucket.region}, of the account uid/{bucket.appid}: name those."
        )
    path = f"{named.path}/" if named.service == "cos" and named.path == bucket.name else named.path
    return Resource(service=named.service, region=bucket.region, owner=owner, path=path), bucket


async def _short(tx: Transaction, service: str, text: str) -> tuple[Resource, Bucket]:
    name, _, key = text.partition("/")
    bucket = await tx.buckets.get(name)
    if bucket is None:
        raise errors.NO_SUCH_BUCKET(
            f"There is no bucket {name[:80]!r}; write <bucket>/<key>, * or six segments, qcs::..."
        )
    if service == "ci":
        return ci_resource(bucket.name, bucket.region, bucket.owner), bucket
    return cos_resource(bucket.name, bucket.region, bucket.owner, key), bucket


async def _owner(tx: Transaction, by: str, number: str) -> Owner:
    for account in await tx.identities.accounts():
        if number == (account.appid if by == "uid" else account.uin):
            return account.owner
    raise errors.NO_SUCH_ENTITY(f"There is no account {by}/{number}.")


def _bucket_name(service: str, path: str) -> str:
    """Of what lies in a bucket; else empty."""
    parts = path.split("/")
    if service == "ci" and parts[0] == "bucket" and len(parts) > 1:
        return parts[1]
    return parts[0] if service == "cos" else ""


async def _open_to_all(tx: Transaction, asked: Asked, bucket: Bucket) -> bool:
    if asked.action.lower() not in {action.lower() for action in READING}:
        return False
    if bucket.acl is Acl.PUBLIC_READ and not asked.action.lower().endswith("object"):
        return True
    key = (asked.resource.path or "").partition("/")[2]
    stored = None if bucket.mounted else await tx.objects.get(bucket.name, key)
    return (Acl.DEFAULT if stored is None else stored.acl).within(bucket.acl) is Acl.PUBLIC_READ


def _statement(policies: Iterable[NamedPolicy], decision: Decision) -> str | None:
    document = next((policy.document for policy in policies if policy.name == decision.policy), None)
    if document is None or decision.statement is None:
        return None
    elements: dict[str, Any] = {name.lower(): value for name, value in json.loads(document).items()}
    statements = elements["statement"]
    it = statements[decision.statement - 1] if isinstance(statements, list) else statements
    return json.dumps(it, ensure_ascii=False)
