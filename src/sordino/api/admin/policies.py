"""Policies of accounts, what they are attached to, and presets."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import Field

from sordino.api.admin.call import Changing, Looking
from sordino.api.admin.fields import OF_DOCUMENT, Appid, Document, Name, PolicyName, Text, View, parsed
from sordino.cam.names import MAX_DESCRIPTION
from sordino.domain.identity import NamedPolicy, Policy, Target, TargetKind

routes = APIRouter(tags=["policies"])

Description = Annotated[Text, Query(max_length=MAX_DESCRIPTION)]

_OF_ACCOUNT: Final = "/v1/accounts/{appid}"
_ATTACHED: Final = _OF_ACCOUNT + "/{kind}s/{name}/policies"


class PolicyView(View):
    """A policy."""

    name: str
    preset: bool
    """Whether every account has it, the same."""
    description: str
    changed_at: datetime | None
    """Null: a preset."""
    document: dict[str, Any] = Field(description="In CAM's language.")


class TargetView(View):
    """What a policy is attached to."""

    kind: TargetKind
    name: str


def _view(policy: Policy | NamedPolicy) -> PolicyView:
    own = policy if isinstance(policy, Policy) else None
    return PolicyView(
        name=policy.name,
        preset=own is None,
        description=own.description if own else "",
        changed_at=own.changed_at if own else None,
        document=parsed(policy.document),
    )


@routes.get("/v1/presets")
async def list_presets(call: Looking) -> list[PolicyView]:
    """List the policies that every account has, by name."""
    return [_view(policy) for policy in call.administration.policies.presets()]


@routes.get(_OF_ACCOUNT + "/policies")
async def list_policies(call: Looking, appid: Appid) -> list[PolicyView]:
    """List the account's own policies, by name."""
    return [_view(policy) for policy in await call.administration.policies.every(appid)]


@routes.get(_OF_ACCOUNT + "/policies/{policy}")
async def show_policy(call: Looking, appid: Appid, policy: PolicyName) -> PolicyView:
    """Show a policy of the account's own, or a preset."""
    return _view(await call.administration.policies.get(appid, policy))


@routes.put(_OF_ACCOUNT + "/policies/{policy}", openapi_extra=OF_DOCUMENT)
async def put_policy(
    call: Changing, appid: Appid, policy: PolicyName, document: Document, description: Description = ""
) -> PolicyView:
    """Write a policy, new or in place of the one of that name. It holds for the next call."""
    return _view(await call.administration.policies.put(call.operator, appid, policy, document, description))


@routes.delete(_OF_ACCOUNT + "/policies/{policy}", status_code=204)
async def remove_policy(call: Changing, appid: Appid, policy: PolicyName) -> None:
    """Remove a policy that is attached to nothing."""
    await call.administration.policies.remove(call.operator, appid, policy)


@routes.get(_OF_ACCOUNT + "/policies/{policy}/targets")
async def list_targets(call: Looking, appid: Appid, policy: PolicyName) -> list[TargetView]:
    """List what a policy is attached to in the account."""
    targets = await call.administration.policies.targets(appid, policy)
    return [TargetView.model_validate(target) for target in targets]


@routes.get(_ATTACHED)
async def list_attached(call: Looking, appid: Appid, kind: TargetKind, name: Name) -> list[str]:
    """List the names of the policies that are attached to a user, group or role itself."""
    return list(await call.administration.policies.attached(appid, Target(kind, name)))


@routes.put(_ATTACHED + "/{policy}", status_code=204)
async def attach_policy(call: Changing, appid: Appid, kind: TargetKind, name: Name, policy: PolicyName) -> None:
    """Attach a policy to a user, group or role; one that is attached stays so."""
    await call.administration.policies.attach(call.operator, appid, policy, Target(kind, name))


@routes.delete(_ATTACHED + "/{policy}", status_code=204)
async def detach_policy(call: Changing, appid: Appid, kind: TargetKind, name: Name, policy: PolicyName) -> None:
    """Detach a policy."""
    await call.administration.policies.detach(call.operator, appid, policy, Target(kind, name))
