"""``sordino admin job``: jobs and their callbacks, whosever they are."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from sordino.cli.administer import who_types
from sordino.cli.operate import Data, Json, JsonArray, harmless, print_table, run_with, with_database
from sordino.cli.start import read_settings

if TYPE_CHECKING:
    from sordino.domain.delivery import Attempt, LoggedDelivery
    from sordino.domain.job import Job
    from sordino.jobs.operate import OperateJobs
    from sordino.settings import Settings

T = TypeVar("T")

job_app = typer.Typer(help="Jobs, whosever they are. The service must be running.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="Id of the job.", metavar="JOB_ID")]


@job_app.command("show")
def show_job(job_id: JobId, as_json: Json = False, data: Data = None) -> None:
    """Show a job."""
    _show(_run_jobs(read_settings(data=data), lambda jobs: jobs.show(job_id)), as_json=as_json)


@job_app.command("cancel")
def cancel_job(job_id: JobId, as_json: Json = False, data: Data = None) -> None:
    """Cancel a job that waits or runs, and show it.

    A worker that runs it stops within a second; the job leaves no output. What has ended stays as it is.
    """
    _show(_run_jobs(read_settings(data=data), lambda jobs: jobs.stop(who_types(), job_id)), as_json=as_json)


def _show(job: "Job", *, as_json: bool) -> None:
    row = _job_row(job)
    if as_json:
        typer.echo(json.dumps(row, ensure_ascii=False, indent=2))
        return
    for name, value in row.items():
        if value not in (None, ""):
            typer.echo(f"{name.replace('_', ' '):>12}  {harmless(str(value))}")


def _job_row(job: "Job") -> dict[str, Any]:
    """What is shown of a job; times are in UTC."""
    times = {name: getattr(job, name) for name in ("created_at", "started_at", "ended_at")}
    return {
        "job_id": job.job_id,
        "bucket": job.bucket,
        "queue_id": job.queue_id,
        "state": str(job.state),
        "progress": job.progress,
        "attempt": job.attempt,
        "input": job.input_object,
        "output": f"{job.operation.output.bucket}/{job.operation.output.object}",
        **{name: time.isoformat() if time else None for name, time in times.items()},
        "code": job.code if job.state.terminal else None,
        "message": job.message,
    }


@job_app.command("callbacks")
def show_callbacks(
    job_id: JobId,
    again: Annotated[bool, typer.Option("--again", help="Have the end of the job told once more first.")] = False,
    as_json: JsonArray = False,
    data: Data = None,
) -> None:
    """Show to whom the end of a job was told or is being told, the last delivery first, with every try."""
    settings = read_settings(data=data)
    deliveries = _run_jobs(
        settings, lambda jobs: jobs.tell_again(who_types(), job_id) if again else jobs.callbacks(job_id)
    )
    rows = [_delivery_row(it) for it in deliveries]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    print_table(("delivery", "to", "state", "next try", "try", "at", "status", "ms", "error"), _lines(rows))


def _delivery_row(logged: "LoggedDelivery") -> dict[str, Any]:
    """What is shown of a delivery; times are in UTC."""
    delivery, mq = logged.delivery, logged.delivery.target.mq
    return {
        "delivery_id": delivery.delivery_id,
        "to": f"{mq.mode} {mq.name} of {mq.region}" if mq else delivery.target.url,
        "state": str(delivery.state),
        "created_at": delivery.created_at.isoformat(),
        "next_at": delivery.next_at.isoformat() if delivery.next_at else None,
        "attempts": [_attempt_row(attempt) for attempt in logged.attempts],
    }


def _attempt_row(attempt: "Attempt") -> dict[str, Any]:
    return {
        "number": attempt.number,
        "at": attempt.at.isoformat(),
        "status": attempt.status,
        "milliseconds": attempt.milliseconds,
        "error": attempt.error,
    }


def _lines(rows: "Sequence[dict[str, Any]]") -> "Sequence[Sequence[str]]":
    """A line for each try, and one for a delivery that none was made of yet."""
    return [
        tuple("" if cell is None else str(cell) for cell in (*_cells(row), *attempt.values()))
        for row in rows
        for attempt in row["attempts"] or [dict.fromkeys(("number", "at", "status", "milliseconds", "error"))]
    ]


def _cells(row: dict[str, Any]) -> "Sequence[Any]":
    return row["delivery_id"], row["to"], row["state"], row["next_at"]


def _run_jobs(settings: "Settings", use: "Callable[[OperateJobs], Awaitable[T]]") -> T:
    """Do something with its jobs."""
    from sordino.bootstrap import open_jobs

    return run_with(lambda: open_jobs(with_database(settings)), use)
