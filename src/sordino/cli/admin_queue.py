"""``sordino admin queue``: limits and weights of queues."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from sordino.cli.administer import who_types
from sordino.cli.numbers import number_or
from sordino.cli.operate import BucketName, Data, JsonArray, print_table, run_with, with_database
from sordino.cli.start import fail, read_settings
from sordino.domain.release import MAX_WEIGHT

if TYPE_CHECKING:
    from sordino.domain.queue import NewLimits, Queue
    from sordino.jobs.queues import Queues
    from sordino.settings import Settings

T = TypeVar("T")

DEFAULT = "default"

queue_app = typer.Typer(help="Limits and weights of queues. The service must be running.", no_args_is_help=True)

Limit = Annotated[str | None, typer.Option(help=f"A number from 1, or `{DEFAULT}`: the server's setting.")]


@queue_app.command("show")
def show_queues(bucket: BucketName, as_json: JsonArray = False, data: Data = None) -> None:
    """List the queues of a bucket with their limits and weights."""
    settings = read_settings(data=data)
    queues = _run(settings, lambda found: found.every(bucket))
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
    changed = _run(settings, lambda queues: queues.limit(who_types(), bucket, queue, limits))
    _print_queues([_row(settings, changed)])


def _limits(max_size: str | None, max_concurrent: str | None, weight: int | None) -> "NewLimits":
    from sordino.domain.queue import MAX_LIMIT

    texts = (("max_size", "--max-size", max_size), ("max_concurrent", "--max-concurrent", max_concurrent))
    limits = {
        name: number_or({DEFAULT: None}, option, text, 1, MAX_LIMIT) for name, option, text in texts if text is not None
    }
    if weight is not None:
        limits["weight"] = weight
    if not limits:
        raise typer.BadParameter("give --max-size, --max-concurrent or --weight, or several of them")
    return cast("NewLimits", limits)


def _run(settings: "Settings", use: "Callable[[Queues], Awaitable[T]]") -> T:
    """Do something with the queues of the service that runs."""
    from sordino.bootstrap import open_queues

    return run_with(lambda: open_queues(with_database(settings)), use)


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
