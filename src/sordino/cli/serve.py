"""``sordino serve``: everything in one command; ``sordino api`` and ``sordino worker``: its halves alone."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    import socket
    from contextlib import ExitStack

    from sordino.adapters.postgres.embedded import EmbeddedPostgres
    from sordino.domain.identity import AccessKey
    from sordino.settings import Settings

Data = Annotated[
    Path | None, typer.Option("--data", help="Directory of database, objects and root key. [SORDINO_DATA]")
]
Host = Annotated[str | None, typer.Option("--host", help="Address to listen on. [SORDINO_HOST]")]
Port = Annotated[int | None, typer.Option("--port", help="Port to listen on; 0 takes a free one. [SORDINO_PORT]")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Worker processes. [SORDINO_WORKERS]")]
Lifeline = Annotated[int | None, typer.Option("--lifeline", hidden=True)]


def serve(host: Host = None, port: Port = None, data: Data = None, workers: Workers = None) -> None:
    """Run the whole service: database, API and workers, until SIGTERM or Ctrl-C."""
    from contextlib import ExitStack

    from sordino.adapters.data_directory import DataDirectoryError, locked

    settings = _settings(host=host, port=port, data=data, workers=workers)
    # Until the processes run, a stop unwinds the start: what was begun is ended in order.
    _on_stop_signals(_leave)
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(settings.data))
        except DataDirectoryError as error:
            _stop(str(error))
        _serve(settings, stack)


def _serve(settings: "Settings", stack: "ExitStack") -> None:
    from sordino.adapters.supervisor import Program, Supervisor

    listener = stack.enter_context(_listen(settings))
    environment = _environment(settings)
    revive: Callable[[], None] | None = None
    if settings.database_url is None:
        postgres = _start_postgres(settings, stack)
        environment["SORDINO_DATABASE_URL"] = postgres.dsn
        revive = postgres.revive
    os.environ.update(environment)
    _prepare(_settings())
    port = listener.getsockname()[1]
    me = [sys.executable, "-m", "sordino"]
    supervisor = Supervisor(
        programs=[
            Program(name="api", command=[*me, "api", "--fd", str(listener.fileno())], pass_fds=(listener.fileno(),)),
            *(Program(name=f"worker-{number + 1}", command=[*me, "worker"]) for number in range(settings.workers)),
        ],
        tend=revive,
    )
    _on_stop_signals(supervisor.stop)
    typer.echo(f"Sordino listens on http://{_printable(settings.host)}:{port} with {settings.workers} workers.")
    supervisor.run()
    typer.echo("Sordino has stopped.")


def api(
    host: Host = None,
    port: Port = None,
    data: Data = None,
    descriptor: Annotated[int | None, typer.Option("--fd", hidden=True)] = None,
    lifeline: Lifeline = None,
) -> None:
    """Run the HTTP half alone; needs SORDINO_DATABASE_URL."""
    import asyncio
    import socket

    from sordino.adapters.supervisor import hold_lifeline

    settings = _settings(host=host, port=port, data=data)
    hold_lifeline(lifeline)
    if descriptor is not None:
        listener = socket.socket(fileno=descriptor)
    else:
        listener = _listen(settings)
        _prepare(settings)
    with listener:
        asyncio.run(_run_api(settings, listener))


async def _run_api(settings: "Settings", listener: "socket.socket") -> None:
    import uvicorn

    from sordino.bootstrap import open_application

    async with open_application(settings) as application:
        config = uvicorn.Config(
            application,
            # h11 alone keeps the case of header names, which the official Python SDK needs.
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=10,
        )
        await uvicorn.Server(config).serve(sockets=[listener])


def worker(data: Data = None, lifeline: Lifeline = None) -> None:
    """Run one worker process alone: one job at a time; needs SORDINO_DATABASE_URL."""
    import asyncio

    from sordino.adapters.supervisor import hold_lifeline

    settings = _settings(data=data)
    hold_lifeline(lifeline)
    if lifeline is None:
        _prepare(settings)
    asyncio.run(_run_worker(settings))


async def _run_worker(settings: "Settings") -> None:
    import asyncio
    from contextlib import suppress

    from sordino.bootstrap import open_worker

    async with open_worker(settings) as worker_half:
        task = asyncio.create_task(worker_half.run())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        with suppress(asyncio.CancelledError):
            await task


def _settings(**options: object) -> "Settings":
    """Settings from the environment and the options that were given; also starts logging."""
    from pydantic import ValidationError

    from sordino import logs
    from sordino.settings import Settings

    try:
        settings = Settings(**{name: value for name, value in options.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        for fault in error.errors():
            name = "_".join(str(part) for part in fault["loc"]).upper()
            typer.echo(f"sordino: SORDINO_{name}: {fault['msg']} (it is {fault['input']!r})", err=True)
        raise typer.Exit(2) from None
    logs.configure(settings.log_format, settings.log_level)
    return settings


def _listen(settings: "Settings") -> "socket.socket":
    import socket

    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        _stop(
            f"cannot listen on {_printable(settings.host)}:{settings.port}: {error.strerror}. "
            "Choose another: --host ADDRESS --port NUMBER"
        )


def _start_postgres(settings: "Settings", stack: "ExitStack") -> "EmbeddedPostgres":
    from sordino.adapters.postgres.embedded import EmbeddedPostgres, EmbeddedPostgresError

    try:
        return stack.enter_context(EmbeddedPostgres(settings.data))
    except EmbeddedPostgresError as error:
        _stop(str(error))


def _prepare(settings: "Settings") -> None:
    """Migrate, create the root account on an empty database, and say so."""
    import asyncio

    from sordino.adapters.data_directory import write_root_key
    from sordino.adapters.postgres.migrate import MigrationError
    from sordino.bootstrap import NoDatabaseError, prepare
    from sordino.domain.ports import DatabaseUnavailableError

    def keep(key: "AccessKey") -> None:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o711)
        write_root_key(settings.data, key)

    try:
        key = asyncio.run(prepare(settings, keep))
    except (NoDatabaseError, MigrationError) as error:
        _stop(str(error))
    except DatabaseUnavailableError as error:
        _stop(f"the database does not answer: {error}")
    if key is not None:
        _tell_root_key(settings, key)


def _tell_root_key(settings: "Settings", key: "AccessKey") -> None:
    from sordino.adapters.data_directory import ROOT_KEY

    typer.echo(
        "The root account was created. Its key is shown this once and kept in "
        f"{settings.data / ROOT_KEY}, readable by its owner only.\n"
        f"  APPID      {key.account.appid}   (bucket names end in -{key.account.appid})\n"
        f"  SecretId   {key.secret_id}\n"
        f"  SecretKey  {key.secret_key}"
    )


def _environment(settings: "Settings") -> dict[str, str]:
    """What the child processes must see the same way: the options of the command line."""
    return {"SORDINO_DATA": str(settings.data.absolute()), "SORDINO_HOST": settings.host}


def _on_stop_signals(stop: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())


def _leave() -> NoReturn:
    raise SystemExit(0)


def _printable(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _stop(message: str) -> NoReturn:
    typer.echo(f"sordino: {message}", err=True)
    raise typer.Exit(1)
