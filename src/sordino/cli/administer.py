"""What the commands share that say who may do what: the service's use cases, the account, who types."""

import getpass
import json
import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from sordino.cli.operate import harmless, print_table, run_with, with_database
from sordino.cli.start import fail, read_settings

if TYPE_CHECKING:
    from sordino.cam.administration import Administration
    from sordino.cam.operator import Operator
    from sordino.domain.identity import AccessKey

T = TypeVar("T")

Appid = Annotated[
    str | None,
    typer.Option("--account", help="APPID of the account. By default the only one there is.", metavar="APPID"),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def administer(data: Path | None, use: "Callable[[Administration, Operator], Awaitable[T]]") -> T:
    """Do something with the service that runs, as whoever types."""
    from sordino.bootstrap import open_administration

    settings = read_settings(data=data)
    return run_with(lambda: open_administration(with_database(settings)), lambda it: use(it, who_types()))


def in_account(
    data: Path | None, appid: str | None, use: "Callable[[Administration, Operator, str], Awaitable[T]]"
) -> T:
    """The same for an account, which need not be named when there is no other."""

    async def work(administration: "Administration", operator: "Operator") -> T:
        return await use(administration, operator, appid or await _only_account(administration))

    return administer(data, work)


async def _only_account(administration: "Administration") -> str:
    accounts = await administration.accounts.every()
    if len(accounts) != 1:
        fail(f"there are {len(accounts)} accounts: say which with --account APPID (`sordino admin account list`)")
    return accounts[0].appid


def who_types() -> "Operator":
    """Who types: behind sudo the one who called it."""
    from sordino.cam.operator import Operator

    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        name = str(os.getuid())
    return Operator(name=name, source=f"local/{socket.gethostname()}", request_id=uuid.uuid4().hex)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is gone; whoever says no ends the program."""
    if not yes:
        typer.confirm(question, abort=True, err=True)


def show(rows: Sequence[Mapping[str, Any]], *, as_json: bool, none: str) -> None:
    """Print rows of the same members as a table, or as a JSON array; ``none`` is said to people when there are none."""
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
    elif not rows:
        typer.echo(none, err=True)
    else:
        headings = [name.replace("_", " ") for name in rows[0]]
        print_table(headings, [[_cell(value) for value in row.values()] for row in rows])


def show_one(row: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one as ``name value`` lines, or as a JSON object."""
    if as_json:
        typer.echo(json.dumps(row, ensure_ascii=False, indent=2))
        return
    width = max(map(len, row))
    for name, value in row.items():
        typer.echo(f"{name.replace('_', ' '):<{width}}  {_cell(value)}")


def show_key(key: "AccessKey", *, as_json: bool) -> None:
    """Print a new key, whose secret nobody can see again."""
    row = {
        "appid": key.account.appid,
        "user": key.uin or key.account.uin,
        "secret_id": key.secret_id,
        "secret_key": key.secret_key,
    }
    show_one(row, as_json=as_json)
    typer.echo("The SecretKey is shown this once: keep it now.", err=True)


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(_cell, value)) or "-"
    return harmless(str(value))
