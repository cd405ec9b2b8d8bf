"""``sordino admin bucket``: what buckets hold and may hold, and how long they keep what jobs wrote."""

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, cast

import typer

from sordino.cli.administer import who_types
from sordino.cli.numbers import number_or
from sordino.cli.operate import BucketName, Data, Json, JsonArray, print_table, run_with, with_database
from sordino.cli.start import fail, read_settings
from sordino.domain.quota import MAX_RESULTS_DAYS, MOST

if TYPE_CHECKING:
    from sordino.domain.quota import NewQuota, Usage
    from sordino.settings import Settings
    from sordino.storage.operate_buckets import HeldBucket, OperateBuckets

T = TypeVar("T")

NONE: Final = "none"
DEFAULT: Final = "default"

_SIZE: Final = re.compile(r"(?P<number>[0-9]{1,19}(?:\.[0-9]{1,9})?) ?(?P<unit>[kmgtp]?i?b?)", re.ASCII | re.IGNORECASE)
_POWERS: Final = {letter: power for power, letter in enumerate("KMGTP", 1)}

bucket_app = typer.Typer(
    help="What buckets hold, may hold and keep. The service must be running.", no_args_is_help=True
)


@bucket_app.command("list")
def list_buckets(as_json: JsonArray = False, data: Data = None) -> None:
    """List the buckets of all accounts with what they hold and may hold."""
    settings = read_settings(data=data)
    rows = [_row(settings, held) for held in _run(settings, lambda buckets: buckets.every())]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        print_table(
            ("bucket", "region", "objects", "bytes", "most objects", "most bytes", "results kept", "acl", "mounted"),
            [_cells(row) for row in rows],
        )


@bucket_app.command("show")
def show_bucket(
    bucket: BucketName,
    count: Annotated[
        bool,
        typer.Option(
            "--count", help="Count all its objects and parts anew, and fail when that is not what it is known to hold."
        ),
    ] = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Show a bucket: what it holds and may hold, and how long it keeps what jobs wrote."""
    settings = read_settings(data=data)
    _show(settings, _run(settings, lambda buckets: buckets.show(bucket)), as_json=as_json)
    if count:
        known, counted = _run(settings, lambda buckets: buckets.count(bucket))
        if known != counted:
            fail(f"{bucket} is known to hold {_told(known)}, and holds {_told(counted)}: this is a fault; report it")


@bucket_app.command("quota")
def limit_bucket(
    bucket: BucketName,
    size: Annotated[
        str | None, typer.Option("--bytes", help=f"Most bytes, such as `100GiB`, or `{NONE}`: no limit.")
    ] = None,
    objects: Annotated[str | None, typer.Option(help=f"Most objects, or `{NONE}`: no limit.")] = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Set how much a bucket may hold; what is not given stays, and so does what it holds already.

    Parts of unfinished uploads count as bytes. Uploads, copies and outputs of jobs that would make it hold more are
    refused with `QuotaExceeded`.
    """
    changes = _changes(size, objects)
    settings = read_settings(data=data)
    _show(settings, _run(settings, lambda buckets: buckets.limit(who_types(), bucket, changes)), as_json=as_json)


@bucket_app.command("lifecycle")
def keep_results(
    bucket: BucketName,
    results_days: Annotated[
        str,
        typer.Option(
            help=f"Days from 1, `{NONE}`: they are kept for ever, or `{DEFAULT}`: as SORDINO_RESULTS_DAYS says."
        ),
    ],
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Set how long a bucket keeps the objects that jobs wrote. Others, also copies of these, stay."""
    days = number_or({NONE: 0, DEFAULT: None}, "--results-days", results_days, 1, MAX_RESULTS_DAYS)
    settings = read_settings(data=data)
    _show(settings, _run(settings, lambda buckets: buckets.keep_results(who_types(), bucket, days)), as_json=as_json)


def _changes(size: str | None, objects: str | None) -> "NewQuota":
    changes: dict[str, int | None] = {}
    if size is not None:
        changes["bytes"] = None if size == NONE else parse_bytes(size)
    if objects is not None:
        changes["objects"] = number_or({NONE: None}, "--objects", objects, 0, MOST)
    if not changes:
        raise typer.BadParameter("give --bytes or --objects, or both")
    return cast("NewQuota", changes)


def parse_bytes(text: str) -> int:
    """Bytes of ``512``, ``100GiB``, ``1.5 TB``: units with an i are powers of 1024, those without of 1000.

    Raises:
        typer.BadParameter: it is no such text, or more than there are.
    """
    found = _SIZE.fullmatch(text.strip())
    unit = found["unit"].upper().removesuffix("B") if found else ""
    if found is None or unit == "I":
        raise typer.BadParameter(f"--bytes is {text!r}; write a number of bytes, 100GiB, 1.5TB or such, or `{NONE}`")
    base = 1024 if unit.endswith("I") else 1000
    whole, _, fraction = found["number"].partition(".")
    scale: int = base ** _POWERS.get(unit[:1], 0)
    size: int = int(whole) * scale + int(fraction or 0) * scale // 10 ** len(fraction)
    if size > MOST:
        raise typer.BadParameter(f"--bytes is {text!r}; use at most {MOST}, or `{NONE}`")
    return size


def _run(settings: "Settings", use: "Callable[[OperateBuckets], Awaitable[T]]") -> T:
    from sordino.bootstrap import open_buckets

    return run_with(lambda: open_buckets(with_database(settings)), use)


def _show(settings: "Settings", held: "HeldBucket", *, as_json: bool) -> None:
    row = _row(settings, held)
    if as_json:
        typer.echo(json.dumps(row, indent=2))
        return
    shown = {**row, "results_days": _kept(row)}
    del shown["results_days_is_own"]
    for name, value in shown.items():
        typer.echo(f"{name.replace('_', ' '):>12}  {_text(value)}")


def _row(settings: "Settings", held: "HeldBucket") -> dict[str, Any]:
    """What is shown of a bucket; a limit that is null is none, and what a mounted bucket holds is not known."""
    bucket, usage = held.bucket, held.usage
    own = bucket.results_days is not None
    return {
        "bucket": bucket.name,
        "appid": bucket.appid,
        "region": bucket.region,
        "created_at": bucket.created_at.isoformat(),
        "acl": str(bucket.acl),
        "mounted": bucket.mounted,
        "objects": usage.objects if usage else None,
        "bytes": usage.bytes if usage else None,
        "max_objects": bucket.quota.objects,
        "max_bytes": bucket.quota.bytes,
        "results_days": bucket.results_days if own else settings.results_days,
        "results_days_is_own": own,
    }


def _cells(row: dict[str, Any]) -> Sequence[str]:
    amounts = [_text(row[name]) for name in ("objects", "bytes", "max_objects", "max_bytes")]
    return (row["bucket"], row["region"], *amounts, _kept(row), row["acl"], _text(row["mounted"]))


def _kept(row: dict[str, Any]) -> str:
    days = "for ever" if row["results_days"] == 0 else f"{row['results_days']} days"
    return days if row["results_days_is_own"] else f"{days} ({DEFAULT})"


def _text(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)


def _told(usage: "Usage") -> str:
    return f"{usage.objects} objects, {usage.bytes} bytes"
