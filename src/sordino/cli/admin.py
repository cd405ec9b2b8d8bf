"""``sordino admin``: what whoever runs a service does to it, on its machine and without a key of it."""

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from sordino.cli import admin_mount
from sordino.cli.admin_bucket import bucket_app
from sordino.cli.admin_job import job_app
from sordino.cli.operate import BucketName, Data, JsonArray, print_table, run_with, with_database
from sordino.cli.start import fail, read_settings
from sordino.domain.release import MAX_WEIGHT

if TYPE_CHECKING:
    from sordino.adapters.certificates import Names
    from sordino.adapters.tls_directory import Made
    from sordino.domain.identity import Account
    from sordino.domain.queue import NewLimits, Queue
    from sordino.jobs.queues import Queues
    from sordino.settings import Settings
    from sordino.storage.accounts import Accounts

T = TypeVar("T")

DEFAULT = "default"
DEFAULT_DAYS = 730
MAX_DAYS = 825
"""Apple's systems take no certificate that lasts longer."""

app = typer.Typer(
    help="Administer a service: its certificate, accounts, buckets, queues and jobs.", no_args_is_help=True
)
account_app = typer.Typer(help="Weights of accounts. The service must be running.", no_args_is_help=True)
app.add_typer(account_app, name="account")
queue_app = typer.Typer(help="Limits and weights of queues. The service must be running.", no_args_is_help=True)
app.add_typer(queue_app, name="queue")
app.add_typer(job_app, name="job")
admin_mount.add_to(bucket_app)
app.add_typer(bucket_app, name="bucket")

Limit = Annotated[str | None, typer.Option(help=f"A number from 1, or `{DEFAULT}`: the server's setting.")]


@app.callback()
def _group() -> None:
    """Administer a service: its certificate, accounts, buckets, queues and jobs."""


@app.command()
def tls(
    region: Annotated[
        list[str] | None,
        typer.Option(help="Region of the cloud's host names to vouch for; repeatable. By default SORDINO_REGION."),
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(
            help="Further host name, IP address or wildcard such as `*.cos.sound.example`; repeatable.",
            show_default=False,
        ),
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, max=MAX_DAYS, help="How long the server's certificate lasts, days.")
    ] = DEFAULT_DAYS,
    renew: Annotated[
        bool,
        typer.Option(
            "--renew",
            help="Make a new server certificate by the authority that is there, so that clients need nothing new; "
            "for the same names, if none are given.",
        ),
    ] = False,
    data: Data = None,
) -> None:
    """Make a certificate for HTTPS, and an authority of one's own that clients can trust.

    It is for the host names that SDKs use in the region and for this machine. They lie in `tls` in the data directory;
    `sordino serve --tls-port 8443` serves with them. The authority can vouch for these names, and names below
    them, alone.
    """
    from datetime import UTC, datetime

    from sordino.adapters.certificates import CertificateError, Names, cloud_hosts
    from sordino.adapters.tls_directory import create
    from sordino.adapters.tls_directory import renew as renew_certificate

    settings = read_settings(data=data)
    now = datetime.now(UTC)
    try:
        names = Names.parse([*cloud_hosts(region or [settings.region]), *(host or [])])
        if not renew:
            made = create(settings.data, names, now, days)
        else:
            made = renew_certificate(settings.data, names if region or host else None, now, days)
    except CertificateError as error:
        fail(str(error))
    typer.echo(_told(made))
    typer.echo(_TAKEN if renew else _trust(made.directory))


_TAKEN = "A service that runs takes it within seconds. Clients need nothing new."


def _told(made: "Made") -> str:
    names = "\n".join(f"  {name}" for name in _listed(made.names))
    return f"The certificate is in {made.directory}. It ends on {made.end:%Y-%m-%d} and is for\n{names}"


def _listed(names: "Names") -> Sequence[str]:
    return [*names.dns, *names.addresses]


def _trust(directory: Path) -> str:
    from sordino.adapters.tls_directory import CA

    ca = directory / CA
    return f"""\
Serve with it:
  sordino serve --tls-port 8443 --data {directory.parent}
Copy {ca} to the clients, which must trust it. It is no secret, and can
vouch for the names above, and names below them, alone.
  Python SDK  CosConfig(..., Scheme="https", VerifySSL="{CA}"), or REQUESTS_CA_BUNDLE={CA}
  Node        NODE_EXTRA_CA_CERTS={CA}
  Go          SSL_CERT_FILE={CA}, which stands in place of the system's list
  Java        keytool -importcert -noprompt -alias sordino -file {CA} -cacerts -storepass changeit
  PHP         curl.cainfo={CA} in php.ini, which stands in place of the system's list
  curl        --cacert {CA}"""


@account_app.command("list")
def list_accounts(as_json: JsonArray = False, data: Data = None) -> None:
    """List the accounts with their weights."""
    _show_accounts(_run_accounts(read_settings(data=data), lambda accounts: accounts.every()), as_json=as_json)


@account_app.command("weight")
def weigh_account(
    appid: Annotated[str, typer.Argument(help="APPID of the account: what its buckets' names end with.")],
    weight: Annotated[int, typer.Argument(min=1, max=MAX_WEIGHT, help="What it shall weigh.", metavar="WEIGHT")],
    as_json: JsonArray = False,
    data: Data = None,
) -> None:
    """Set what share of the workers an account has beside others that have jobs waiting: of 3 and 1, three in four.

    It holds within seconds. Accounts weigh 1 unless they are given another weight.
    """
    changed = _run_accounts(read_settings(data=data), lambda accounts: accounts.weigh(appid, weight))
    _show_accounts([changed], as_json=as_json)


def _show_accounts(accounts: "Sequence[Account]", *, as_json: bool) -> None:
    rows = [{"appid": account.appid, "uin": account.uin, "weight": account.weight} for account in accounts]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        print_table(("account", "root user", "weight"), [tuple(map(str, row.values())) for row in rows])


@queue_app.command("show")
def show_queues(bucket: BucketName, as_json: JsonArray = False, data: Data = None) -> None:
    """List the queues of a bucket with their limits and weights."""
    settings = read_settings(data=data)
    queues = _run(settings, lambda found: _all(found, bucket))
    if not queues:
        fail(f"{bucket} has no queues: there is no such bucket, or its speech service is not open (POST /asrbucket)")
    rows = [_row(settings, queue) for queue in queues]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
    else:
        _print_queues(rows)


@queue_app.command("limit")
def limit_queue(
    bucket: BucketName,
    queue: Annotated[str | None, typer.Option(help="Id of the queue; by default the bucket's default queue.")] = None,
    max_size: Limit = None,
    max_concurrent: Limit = None,
    weight: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_WEIGHT, help="Its share of the workers beside other queues of its account."),
    ] = None,
    data: Data = None,
) -> None:
    """Set how many jobs of a queue may wait and run at a time, and what it weighs; what is not given stays.

    It holds within seconds. Jobs that wait or run already stay.
    """
    limits = _limits(max_size, max_concurrent, weight)
    settings = read_settings(data=data)
    changed = _run(settings, lambda queues: queues.limit(bucket, queue, limits))
    _print_queues([_row(settings, changed)])


def _limits(max_size: str | None, max_concurrent: str | None, weight: int | None) -> "NewLimits":
    texts = {"max_size": max_size, "max_concurrent": max_concurrent}
    limits = {name: _number(name, text) for name, text in texts.items() if text is not None}
    if weight is not None:
        limits["weight"] = weight
    if not limits:
        raise typer.BadParameter("give --max-size, --max-concurrent or --weight, or several of them")
    return cast("NewLimits", limits)


def _number(name: str, text: str) -> int | None:
    from sordino.domain.queue import MAX_LIMIT

    if text == DEFAULT:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_LIMIT):
        raise typer.BadParameter(f"--{name.replace('_', '-')} is {text!r}; use 1 to {MAX_LIMIT}, or `{DEFAULT}`")
    return int(text)


def _run(settings: "Settings", use: "Callable[[Queues], Awaitable[T]]") -> T:
    """Do something with the queues of the service that runs."""
    from sordino.bootstrap import open_queues

    return run_with(lambda: open_queues(with_database(settings)), use)


def _run_accounts(settings: "Settings", use: "Callable[[Accounts], Awaitable[T]]") -> T:
    """Do something with its accounts."""
    from sordino.bootstrap import open_accounts

    return run_with(lambda: open_accounts(with_database(settings)), use)


async def _all(queues: "Queues", bucket: str) -> "Sequence[Queue]":
    from sordino.domain.page import MAX_PAGE_SIZE, Page

    found: list[Queue] = []
    while True:
        page = Page(number=len(found) // MAX_PAGE_SIZE + 1, size=MAX_PAGE_SIZE)
        items = (await queues.page(bucket, None, page)).items
        found += items
        if len(items) < MAX_PAGE_SIZE:
            return found


def _row(settings: "Settings", queue: "Queue") -> dict[str, Any]:
    """What is shown of a queue; limits that are the server's setting are marked as not its own."""
    return {
        "queue_id": queue.queue_id,
        "name": queue.settings.name,
        "state": str(queue.settings.state),
        "is_default": queue.is_default,
        "max_size": queue.max_size or settings.queue_max_size,
        "max_size_is_own": queue.max_size is not None,
        "max_concurrent": queue.max_concurrent or settings.queue_max_concurrent,
        "max_concurrent_is_own": queue.max_concurrent is not None,
        "weight": queue.weight,
    }


def _print_queues(rows: "Sequence[dict[str, Any]]") -> None:
    print_table(("queue", "name", "state", "most waiting", "most running", "weight"), [_cells(row) for row in rows])


def _cells(row: dict[str, Any]) -> Sequence[str]:
    name = f"{row['name']} (default)" if row["is_default"] else row["name"]
    limits = (_shown(row, "max_size"), _shown(row, "max_concurrent"))
    return (row["queue_id"], name, row["state"], *limits, str(row["weight"]))


def _shown(row: dict[str, Any], limit: str) -> str:
    return str(row[limit]) if row[f"{limit}_is_own"] else f"{row[limit]} ({DEFAULT})"
