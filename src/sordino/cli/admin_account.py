"""``sordino admin account``: the tenants of a service, and how much each may ask of it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer

from sordino.cli.administer import administer, show, show_key
from sordino.cli.numbers import number_or
from sordino.cli.operate import Data, Json, JsonArray
from sordino.domain.allowance import MAX_NUMBER, MAX_SECONDS
from sordino.domain.release import MAX_WEIGHT

if TYPE_CHECKING:
    from sordino.domain.allowance import NewAllowance
    from sordino.domain.identity import Account

DEFAULT: Final = "default"
HOUR: Final = 3600
NONE: Final = "There are no accounts."

Named = Annotated[str, typer.Argument(help="APPID of the account: what its buckets' names end with.", metavar="APPID")]
Limit = Annotated[str | None, typer.Option(help=f"A number, or `{DEFAULT}`: the server's setting.")]

account_app = typer.Typer(
    help="Accounts: their roots, weights and limits. The service must be running.", no_args_is_help=True
)


@account_app.command("create")
def create_account(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    appid: Annotated[
        str | None, typer.Option(help="Its APPID, 5 to 20 digits; by default a random one.", show_default=False)
    ] = None,
    uin: Annotated[
        str | None,
        typer.Option(help="Number of its root user, 5 to 20 digits; by default a random one.", show_default=False),
    ] = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Create an account, with a key of its root and the role that its jobs read and write as."""
    _, key = administer(data, lambda it, operator: it.accounts.create(operator, name, appid=appid, uin=uin))
    show_key(key, as_json=as_json)


@account_app.command("list")
def list_accounts(as_json: JsonArray = False, data: Data = None) -> None:
    """List the accounts with their weights and limits."""
    accounts = administer(data, lambda it, _: it.accounts.every())
    show([_row(account) for account in accounts], as_json=as_json, none=NONE)


@account_app.command("rename")
def rename_account(
    appid: Named,
    name: Annotated[str, typer.Argument(help="What people shall call it.")],
    as_json: JsonArray = False,
    data: Data = None,
) -> None:
    """Call an account by another name."""
    _show(administer(data, lambda it, operator: it.accounts.change(operator, appid, name=name)), as_json=as_json)


@account_app.command("disable")
def disable_account(appid: Named, as_json: JsonArray = False, data: Data = None) -> None:
    """Have the keys of an account be good for nothing, those of its users and temporary ones, too; its jobs go on."""
    _show(administer(data, lambda it, operator: it.accounts.change(operator, appid, enabled=False)), as_json=as_json)


@account_app.command("enable")
def enable_account(appid: Named, as_json: JsonArray = False, data: Data = None) -> None:
    """Have the keys of an account be good again."""
    _show(administer(data, lambda it, operator: it.accounts.change(operator, appid, enabled=True)), as_json=as_json)


@account_app.command("weight")
def weigh_account(
    appid: Named,
    weight: Annotated[int, typer.Argument(min=1, max=MAX_WEIGHT, help="What it shall weigh.", metavar="WEIGHT")],
    as_json: JsonArray = False,
    data: Data = None,
) -> None:
    """Set what share of the workers an account has beside others that have jobs waiting: of 3 and 1, three in four.

    It holds within seconds. Accounts weigh 1 unless they are given another weight.
    """
    _show(administer(data, lambda it, operator: it.accounts.weigh(operator, appid, weight)), as_json=as_json)


@account_app.command("limit")
def limit_account(
    appid: Named,
    requests: Limit = None,
    queued_jobs: Limit = None,
    audio_hours: Limit = None,
    as_json: JsonArray = False,
    data: Data = None,
) -> None:
    """Set how much an account may ask of the server; what is not given stays.

    Requests are those a second, over all its keys; queued jobs those that wait at a time; audio hours what its jobs may
    read a day, UTC. It holds for the next request.
    """
    allowance = _allowance(requests, queued_jobs, audio_hours)
    _show(administer(data, lambda it, operator: it.accounts.allow(operator, appid, allowance)), as_json=as_json)


def _allowance(requests: str | None, queued_jobs: str | None, audio_hours: str | None) -> "NewAllowance":
    texts = (
        ("requests_per_second", "--requests", requests, 1, MAX_NUMBER),
        ("queued_jobs", "--queued-jobs", queued_jobs, 0, MAX_NUMBER),
        ("audio_seconds", "--audio-hours", audio_hours, 0, MAX_SECONDS // HOUR),
    )
    given = {
        name: number_or({DEFAULT: None}, option, text, least, most)
        for name, option, text, least, most in texts
        if text is not None
    }
    if not given:
        raise typer.BadParameter("give --requests, --queued-jobs or --audio-hours, or several of them")
    if hours := given.get("audio_seconds"):
        given["audio_seconds"] = hours * HOUR
    return cast("NewAllowance", given)


def _show(account: "Account", *, as_json: bool) -> None:
    show([_row(account)], as_json=as_json, none=NONE)


def _row(account: "Account") -> Mapping[str, Any]:
    allowance = account.allowance
    hours = None if allowance.audio_seconds is None else round(allowance.audio_seconds / HOUR, 2)
    return {
        "appid": account.appid,
        "uin": account.uin,
        "name": account.name,
        "enabled": account.enabled,
        "weight": account.weight,
        "requests_per_second": allowance.requests_per_second,
        "queued_jobs": allowance.queued_jobs,
        "audio_hours_a_day": hours,
    }
