"""``sordino admin key``: the keys that the root of an account and its users sign with."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sordino.cli.administer import Appid, Yes, confirm, in_account, show, show_key
from sordino.cli.numbers import number_or
from sordino.cli.operate import Data, Json, JsonArray
from sordino.domain.allowance import MAX_NUMBER

if TYPE_CHECKING:
    from sordino.domain.identity import KeyUse

NONE: Final = "It has no keys."

User = Annotated[str | None, typer.Option(help="Name of the user. By default the account's root.")]
SecretId = Annotated[str, typer.Argument(help="SecretId of the key.", metavar="SECRETID")]

key_app = typer.Typer(
    help="Keys of the root of an account and of its users. The service must be running.", no_args_is_help=True
)


@key_app.command("add")
def add_key(user: User = None, account: Appid = None, as_json: Json = False, data: Data = None) -> None:
    """Add a key; its SecretKey is shown this once."""
    show_key(in_account(data, account, lambda it, operator, appid: it.keys.add(operator, appid, user)), as_json=as_json)


@key_app.command("list")
def list_keys(user: User = None, account: Appid = None, as_json: JsonArray = False, data: Data = None) -> None:
    """List the keys of the root or of a user, and when each was last used."""
    uses = in_account(data, account, lambda it, _, appid: it.keys.every(appid, user))
    show([_row(use) for use in uses], as_json=as_json, none=NONE)


@key_app.command("disable")
def disable_key(key: SecretId, account: Appid = None, data: Data = None) -> None:
    """Have a key be good for nothing, and the temporary ones that it asked for."""
    in_account(data, account, lambda it, operator, appid: it.keys.change(operator, appid, key, enabled=False))


@key_app.command("enable")
def enable_key(key: SecretId, account: Appid = None, data: Data = None) -> None:
    """Have a key be good again."""
    in_account(data, account, lambda it, operator, appid: it.keys.change(operator, appid, key, enabled=True))


@key_app.command("rotate")
def rotate_key(key: SecretId, account: Appid = None, as_json: Json = False, data: Data = None) -> None:
    """Add a key for the owner of another one, which stays good: disable it when nobody uses it any more."""
    show_key(
        in_account(data, account, lambda it, operator, appid: it.keys.rotate(operator, appid, key)), as_json=as_json
    )


@key_app.command("limit")
def limit_key(
    key: SecretId,
    requests: Annotated[str, typer.Option(help="Requests a second, from 1, or `none`.")],
    account: Appid = None,
    data: Data = None,
) -> None:
    """Set how many requests a second a key may sign."""
    number = number_or({"none": None}, "--requests", requests, 1, MAX_NUMBER)
    in_account(
        data, account, lambda it, operator, appid: it.keys.change(operator, appid, key, requests_per_second=number)
    )


@key_app.command("remove")
def remove_key(key: SecretId, account: Appid = None, yes: Yes = False, data: Data = None) -> None:
    """Remove a key with the temporary ones that it asked for."""
    confirm(f"Remove the key {key}? Nobody can bring it back; disabling can be taken back.", yes=yes)
    in_account(data, account, lambda it, operator, appid: it.keys.remove(operator, appid, key))


def _row(use: "KeyUse") -> Mapping[str, Any]:
    return {
        "secret_id": use.key.secret_id,
        "enabled": use.key.enabled,
        "created_at": use.created_at.isoformat(timespec="seconds"),
        "used_at": use.used_at and use.used_at.isoformat(timespec="seconds"),
        "requests_per_second": use.key.requests_per_second,
    }
