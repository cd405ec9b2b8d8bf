"""Roles of accounts, and temporary keys that act as them or as users."""

from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter

from sordino.api.admin.call import Changing, Looking
from sordino.api.admin.fields import OF_DOCUMENT, Appid, Document, Name, SecretId, View, parsed
from sordino.api.admin.policies import Description
from sordino.domain.identity import Role, TemporaryKey

routes = APIRouter(prefix="/v1/accounts/{appid}")

_ROLES: Final = "roles"
_SESSIONS: Final = "sessions"


class RoleView(View):
    """A role."""

    name: str
    description: str
    trust: dict[str, Any]
    """The policy that says who may take it."""
    policies: list[str]
    """Names of those that are attached to it."""


class SessionView(View):
    """A temporary key that is good yet."""

    secret_id: str
    asked_by: str
    """Id of the permanent key that asked for it."""
    role: str | None
    """That it acts as; null: as whoever asked for it."""
    session_name: str
    policy: dict[str, Any] | None
    """Beyond which it may do nothing; null: none."""
    created_at: datetime
    expires_at: datetime


def _role(role: Role) -> RoleView:
    return RoleView(
        name=role.name,
        description=role.description,
        trust=parsed(role.trust),
        policies=[policy.name for policy in role.policies],
    )


def _session(key: TemporaryKey) -> SessionView:
    return SessionView(
        secret_id=key.secret_id,
        asked_by=key.parent,
        role=key.role,
        session_name=key.session_name,
        policy=None if key.policy is None else parsed(key.policy),
        created_at=key.created_at,
        expires_at=key.expires_at,
    )


@routes.get("/roles", tags=[_ROLES])
async def list_roles(call: Looking, appid: Appid) -> list[RoleView]:
    """List the roles of an account, by name."""
    return [_role(role) for role in await call.administration.roles.every(appid)]


@routes.get("/roles/{name}", tags=[_ROLES])
async def show_role(call: Looking, appid: Appid, name: Name) -> RoleView:
    """Show a role."""
    return _role(await call.administration.roles.get(appid, name))


@routes.put("/roles/{name}", tags=[_ROLES], openapi_extra=OF_DOCUMENT)
async def put_role(
    call: Changing, appid: Appid, name: Name, document: Document, description: Description = ""
) -> RoleView:
    """Create a role, which may do nothing yet, or change who may take one: what is sent is its trust policy."""
    return _role(await call.administration.roles.put(call.operator, appid, name, document, description))


@routes.delete("/roles/{name}", tags=[_ROLES], status_code=204)
async def remove_role(call: Changing, appid: Appid, name: Name) -> None:
    """Remove a role, with its attachments; temporary keys in its name are good for nothing any more."""
    await call.administration.roles.remove(call.operator, appid, name)


@routes.get("/sessions", tags=[_SESSIONS])
async def list_sessions(call: Looking, appid: Appid) -> list[SessionView]:
    """List the temporary keys that act in the name of the account or its roles, the newest first, 1,000 at most."""
    return [_session(key) for key in await call.administration.sessions.every(appid)]


@routes.delete("/sessions/{secret_id}", tags=[_SESSIONS], status_code=204)
async def end_session(call: Changing, appid: Appid, secret_id: SecretId) -> None:
    """Have a temporary key be good for nothing from now on."""
    await call.administration.sessions.remove(call.operator, appid, secret_id)
