"""``sordino admin user`` and ``group``: who there is in an account beside its root."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sordino.cli.administer import Appid, Yes, confirm, in_account, show
from sordino.cli.operate import Data, JsonArray

if TYPE_CHECKING:
    from sordino.domain.identity import Group, User

NONE: Final = "The account has no users but its root."
NO_GROUPS: Final = "The account has no groups."

Name = Annotated[str, typer.Argument(help="Name of the user.", metavar="USER")]
GroupName = Annotated[str, typer.Argument(help="Name of the group.", metavar="GROUP")]

user_app = typer.Typer(help="Users of accounts. The service must be running.", no_args_is_help=True)
group_app = typer.Typer(
    help="Groups of users, which share policies. The service must be running.", no_args_is_help=True
)


@user_app.command("add")
def add_user(user: Name, account: Appid = None, as_json: JsonArray = False, data: Data = None) -> None:
    """Add a user. It may do nothing before it has a policy, and signs nothing before it has a key."""
    added = in_account(data, account, lambda it, operator, appid: it.users.add(operator, appid, user))
    show([_row(added)], as_json=as_json, none=NONE)


@user_app.command("list")
def list_users(account: Appid = None, as_json: JsonArray = False, data: Data = None) -> None:
    """List the users of an account."""
    users = in_account(data, account, lambda it, _, appid: it.users.every(appid))
    show([_row(user) for user in users], as_json=as_json, none=NONE)


@user_app.command("disable")
def disable_user(user: Name, account: Appid = None, as_json: JsonArray = False, data: Data = None) -> None:
    """Have the keys of a user be good for nothing, temporary ones, too."""
    _enable(user, account, as_json=as_json, data=data, enabled=False)


@user_app.command("enable")
def enable_user(user: Name, account: Appid = None, as_json: JsonArray = False, data: Data = None) -> None:
    """Have the keys of a user be good again."""
    _enable(user, account, as_json=as_json, data=data, enabled=True)


def _enable(user: str, account: str | None, *, as_json: bool, data: Data, enabled: bool) -> None:
    changed = in_account(
        data, account, lambda it, operator, appid: it.users.enable(operator, appid, user, enabled=enabled)
    )
    show([_row(changed)], as_json=as_json, none=NONE)


@user_app.command("remove")
def remove_user(user: Name, account: Appid = None, yes: Yes = False, data: Data = None) -> None:
    """Remove a user with its keys, temporary ones, too. What it stored and ordered stays."""
    confirm(f"Remove the user {user} with its keys?", yes=yes)
    in_account(data, account, lambda it, operator, appid: it.users.remove(operator, appid, user))


@group_app.command("add")
def add_group(
    group: GroupName,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    account: Appid = None,
    as_json: JsonArray = False,
    data: Data = None,
) -> None:
    """Add a group."""
    added = in_account(data, account, lambda it, operator, appid: it.groups.add(operator, appid, group, description))
    show([_group_row(added)], as_json=as_json, none=NO_GROUPS)


@group_app.command("list")
def list_groups(account: Appid = None, as_json: JsonArray = False, data: Data = None) -> None:
    """List the groups of an account with their users."""
    groups = in_account(data, account, lambda it, _, appid: it.groups.every(appid))
    show([_group_row(group) for group in groups], as_json=as_json, none=NO_GROUPS)


@group_app.command("remove")
def remove_group(group: GroupName, account: Appid = None, yes: Yes = False, data: Data = None) -> None:
    """Remove a group; its users stay, without what they might do as its members."""
    confirm(f"Remove the group {group}?", yes=yes)
    in_account(data, account, lambda it, operator, appid: it.groups.remove(operator, appid, group))


@group_app.command("join")
def join_group(group: GroupName, user: Name, account: Appid = None, data: Data = None) -> None:
    """Put a user into a group."""
    in_account(data, account, lambda it, operator, appid: it.groups.join(operator, appid, group, user))


@group_app.command("leave")
def leave_group(group: GroupName, user: Name, account: Appid = None, data: Data = None) -> None:
    """Take a user out of a group."""
    in_account(data, account, lambda it, operator, appid: it.groups.leave(operator, appid, group, user))


def _row(user: "User") -> Mapping[str, Any]:
    return {
        "user": user.name,
        "uin": user.uin,
        "enabled": user.enabled,
        "created_at": user.created_at.isoformat(timespec="seconds"),
    }


def _group_row(group: "Group") -> Mapping[str, Any]:
    return {"group": group.name, "users": list(group.users), "description": group.description}
