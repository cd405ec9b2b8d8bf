"""Users of accounts, and their groups."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from sordino.api.admin.call import Changing, Looking
from sordino.api.admin.fields import NAME, Appid, Body, Name, Text, View
from sordino.cam.names import MAX_DESCRIPTION

routes = APIRouter(prefix="/v1/accounts/{appid}", tags=["users and groups"])

_NewName = Annotated[str, Field(pattern=NAME)]


class UserView(View):
    """A user."""

    uin: str
    name: str
    enabled: bool
    """Whether its keys are good for anything."""
    created_at: datetime


class NewUser(Body):
    """A user to make."""

    name: _NewName


class UserChanges(Body):
    """What of a user to set."""

    enabled: bool


class GroupView(View):
    """A group."""

    name: str
    description: str
    created_at: datetime
    users: list[str]
    """Their names, in order."""


class NewGroup(Body):
    """A group to make."""

    name: _NewName
    description: Annotated[Text, Field(max_length=MAX_DESCRIPTION)] = ""


@routes.get("/users")
async def list_users(call: Looking, appid: Appid) -> list[UserView]:
    """List the users of an account, by name."""
    return [UserView.model_validate(user) for user in await call.administration.users.every(appid)]


@routes.post("/users", status_code=201)
async def add_user(call: Changing, appid: Appid, body: NewUser) -> UserView:
    """Create a user, who may do nothing yet."""
    return UserView.model_validate(await call.administration.users.add(call.operator, appid, body.name))


@routes.get("/users/{name}")
async def show_user(call: Looking, appid: Appid, name: Name) -> UserView:
    """Show a user."""
    return UserView.model_validate(await call.administration.users.get(appid, name))


@routes.patch("/users/{name}")
async def change_user(call: Changing, appid: Appid, name: Name, body: UserChanges) -> UserView:
    """Enable or disable a user."""
    return UserView.model_validate(
        await call.administration.users.enable(call.operator, appid, name, enabled=body.enabled)
    )


@routes.delete("/users/{name}", status_code=204)
async def remove_user(call: Changing, appid: Appid, name: Name) -> None:
    """Remove a user, with its keys, memberships and attachments."""
    await call.administration.users.remove(call.operator, appid, name)


@routes.get("/groups")
async def list_groups(call: Looking, appid: Appid) -> list[GroupView]:
    """List the groups of an account, by name."""
    return [GroupView.model_validate(group) for group in await call.administration.groups.every(appid)]


@routes.post("/groups", status_code=201)
async def add_group(call: Changing, appid: Appid, body: NewGroup) -> GroupView:
    """Create a group, of nobody."""
    return GroupView.model_validate(
        await call.administration.groups.add(call.operator, appid, body.name, body.description)
    )


@routes.delete("/groups/{name}", status_code=204)
async def remove_group(call: Changing, appid: Appid, name: Name) -> None:
    """Remove a group, with its attachments; its users stay."""
    await call.administration.groups.remove(call.operator, appid, name)


@routes.put("/groups/{name}/users/{user}", status_code=204)
async def join_group(call: Changing, appid: Appid, name: Name, user: Name) -> None:
    """Put a user into a group; one that is in it stays so."""
    await call.administration.groups.join(call.operator, appid, name, user)


@routes.delete("/groups/{name}/users/{user}", status_code=204)
async def leave_group(call: Changing, appid: Appid, name: Name, user: Name) -> None:
    """Take a user out of a group."""
    await call.administration.groups.leave(call.operator, appid, name, user)
