"""``sordino admin session``: temporary keys."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sordino.cli.administer import Appid, in_account, show
from sordino.cli.operate import Data, JsonArray

if TYPE_CHECKING:
    from sordino.domain.identity import TemporaryKey

NONE: Final = "The account has no temporary keys whose time is not over."

session_app = typer.Typer(
    help="Temporary keys, as STS gives them out. The service must be running.", no_args_is_help=True
)


@session_app.command("list")
def list_sessions(account: Appid = None, as_json: JsonArray = False, data: Data = None) -> None:
    """List the temporary keys of an account whose time is not over, the newest first; at most 1,000."""
    keys = in_account(data, account, lambda it, _, appid: it.sessions.every(appid))
    show([_row(key) for key in keys], as_json=as_json, none=NONE)


@session_app.command("end")
def end_session(
    key: Annotated[str, typer.Argument(help="SecretId of the temporary key.", metavar="SECRETID")],
    account: Appid = None,
    data: Data = None,
) -> None:
    """Have a temporary key be good for nothing from now on."""
    in_account(data, account, lambda it, operator, appid: it.sessions.remove(operator, appid, key))


def _row(key: "TemporaryKey") -> Mapping[str, Any]:
    return {
        "secret_id": key.secret_id,
        "session": key.session_name,
        "role": key.role,
        "asked_for_by": key.parent,
        "bounded": key.policy is not None,
        "expires_at": key.expires_at.isoformat(timespec="seconds"),
    }
