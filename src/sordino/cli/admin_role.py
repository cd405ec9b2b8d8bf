"""``sordino admin role``: what services, users and other accounts may do in the name of an account."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sordino.cli.admin_policy import read_document
from sordino.cli.administer import Appid, Yes, confirm, in_account, show, show_one
from sordino.cli.operate import Data, Json, JsonArray

if TYPE_CHECKING:
    from sordino.domain.identity import Role

NONE: Final = "The account has no roles. Jobs need CI_QCSRole."

Name = Annotated[str, typer.Argument(help="Name of the role.", metavar="ROLE")]

role_app = typer.Typer(
    help="What services, users and other accounts may do in the name of an account. The service must be running.",
    no_args_is_help=True,
)


@role_app.command("put")
def put_role(
    role: Name,
    trust: Annotated[
        str, typer.Option(help="File with the policy that says who may take it, JSON; `-`: standard input.")
    ],
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    account: Appid = None,
    data: Data = None,
) -> None:
    """Write a role, new or in place of the one of that name, whose policies stay."""
    document = read_document(trust)
    in_account(
        data,
        account,
        lambda it, operator, appid: it.roles.put(operator, appid, role, document, description=description),
    )


@role_app.command("list")
def list_roles(account: Appid = None, as_json: JsonArray = False, data: Data = None) -> None:
    """List the roles of an account with their policies."""
    roles = in_account(data, account, lambda it, _, appid: it.roles.every(appid))
    show([_row(role) for role in roles], as_json=as_json, none=NONE)


@role_app.command("show")
def show_role(role: Name, account: Appid = None, as_json: Json = False, data: Data = None) -> None:
    """Show a role, and who may take it."""
    found = in_account(data, account, lambda it, _, appid: it.roles.get(appid, role))
    trust = json.loads(found.trust)
    show_one({**_row(found), "trust": trust if as_json else json.dumps(trust, ensure_ascii=False)}, as_json=as_json)


@role_app.command("remove")
def remove_role(role: Name, account: Appid = None, yes: Yes = False, data: Data = None) -> None:
    """Remove a role; temporary keys in its name are good for nothing any more."""
    confirm(f"Remove the role {role}?", yes=yes)
    in_account(data, account, lambda it, operator, appid: it.roles.remove(operator, appid, role))


def _row(role: "Role") -> Mapping[str, Any]:
    return {
        "role": role.name,
        "policies": [policy.name for policy in role.policies],
        "description": role.description,
    }
