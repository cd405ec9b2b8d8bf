"""``sordino admin token``: who may use the admin API."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sordino.cli.administer import Yes, administer, confirm, show, show_one
from sordino.cli.operate import Data, Json, JsonArray
from sordino.domain.admin_token import MAX_DAYS

if TYPE_CHECKING:
    from sordino.domain.admin_token import AdminToken

NONE: Final = "There are no tokens: nobody may use the admin API."

Name = Annotated[str, typer.Argument(help="Name of the token.", metavar="TOKEN")]

token_app = typer.Typer(help="Tokens of the admin API. The service must be running.", no_args_is_help=True)


@token_app.command("create")
def create_token(
    token: Name,
    account: Annotated[
        str | None,
        typer.Option(help="APPID of the one account that it may see and change. By default all.", metavar="APPID"),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="It may look, and change nothing.")] = False,
    days: Annotated[
        int | None, typer.Option(min=1, max=MAX_DAYS, help="How long it is good, days. By default for ever.")
    ] = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Make a token, which is shown this once: send it as `Authorization: Bearer TOKEN`."""
    made, secret = administer(
        data, lambda it, operator: it.tokens.create(operator, token, appid=account, read_only=read_only, days=days)
    )
    show_one({**_row(made), "token": secret}, as_json=as_json)
    typer.echo("The token is shown this once: keep it now.", err=True)


@token_app.command("list")
def list_tokens(as_json: JsonArray = False, data: Data = None) -> None:
    """List the tokens, and when each was last used."""
    tokens = administer(data, lambda it, _: it.tokens.every())
    show([_row(token) for token in tokens], as_json=as_json, none=NONE)


@token_app.command("remove")
def remove_token(token: Name, yes: Yes = False, data: Data = None) -> None:
    """Remove a token, which is then good for nothing."""
    confirm(f"Remove the token {token}?", yes=yes)
    administer(data, lambda it, operator: it.tokens.remove(operator, token))


def _row(token: "AdminToken") -> Mapping[str, Any]:
    return {
        "name": token.name,
        "account": token.appid,
        "read_only": token.read_only,
        "created_at": token.created_at.isoformat(timespec="seconds"),
        "expires_at": token.expires_at and token.expires_at.isoformat(timespec="seconds"),
        "used_at": token.used_at and token.used_at.isoformat(timespec="seconds"),
    }
