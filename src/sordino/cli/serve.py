"""``sordino serve``: everything in one command; ``sordino api`` and ``sordino worker``: its halves alone."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from sordino.cli.start import fail, read_settings

if TYPE_CHECKING:
    import asyncio
    import socket
    from contextlib import ExitStack

    from sordino.adapters.postgres.embedded import EmbeddedPostgres
    from sordino.adapters.supervisor import Program
    from sordino.adapters.tls import ServerTls
    from sordino.domain.identity import AccessKey
    from sordino.settings import Settings

LAST_SECONDS = 8
"""What an API may take to end when it answers no more; with the 10 s of its replies less than its supervisor waits."""

Data = Annotated[
    Path | None, typer.Option("--data", help="Directory of database, objects and root key. [SORDINO_DATA]")
]
Host = Annotated[str | None, typer.Option("--host", help="Address to listen on. [SORDINO_HOST]")]
Port = Annotated[int | None, typer.Option("--port", help="Port to listen on; 0 takes a free one. [SORDINO_PORT]")]
TlsHost = Annotated[
    str | None,
    typer.Option("--tls-host", help="Address of the HTTPS port; by default that of --host. [SORDINO_TLS_HOST]"),
]
TlsPort = Annotated[
    int | None,
    typer.Option(
        "--tls-port", help="Port to listen on for HTTPS, beside the other; 0 takes a free one. [SORDINO_TLS_PORT]"
    ),
]
AdminPort = Annotated[
    int | None,
    typer.Option("--admin-port", help="Port to listen on for the admin API; 0 takes a free one. [SORDINO_ADMIN_PORT]"),
]
AdminHost = Annotated[
    str | None, typer.Option("--admin-host", help="Address of the admin API's port. [SORDINO_ADMIN_HOST]")
]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Worker processes. [SORDINO_WORKERS]")]
Lifeline = Annotated[int | None, typer.Option("--lifeline", hidden=True)]


def serve(
    host: Host = None,
    port: Port = None,
    tls_host: TlsHost = None,
    tls_port: TlsPort = None,
    admin_host: AdminHost = None,
    admin_port: AdminPort = None,
    data: Data = None,
    workers: Workers = None,
) -> None:
    """Run the whole service: database, API and workers, until SIGTERM or Ctrl-C.

    Jobs that run have SORDINO_DRAIN_SECONDS to end then; a second signal gives them back at once.
    """
    from contextlib import ExitStack

    from sordino.adapters.data_directory import DataDirectoryError, locked

    settings = read_settings(
        host=host,
        port=port,
        tls_host=tls_host,
        tls_port=tls_port,
        admin_host=admin_host,
        admin_port=admin_port,
        data=data,
        workers=workers,
    )
    _warn_of_unknown_variables()
    # Until the processes run, a stop unwinds the start: what was begun is ended in order.
    _on_stop_signals(_leave)
    with ExitStack() as stack:
        # First of all, so that a port that is taken leaves no new directory behind.
        listeners = [stack.enter_context(listener) for listener in _listen(settings)]
        _tls(settings)
        _warn_of_clear_tokens(settings)
        try:
            stack.enter_context(locked(settings.data))
        except DataDirectoryError as error:
            fail(str(error))
        _serve(settings, listeners, stack)


def _serve(settings: "Settings", listeners: "Sequence[socket.socket]", stack: "ExitStack") -> None:
    from sordino.adapters.supervisor import Care, Program, Supervisor

    environment = _environment(settings)
    cares = []
    check_engine = _try_engine(settings, stack)
    if settings.database_url is None:
        postgres = _start_postgres(settings, stack)
        environment["SORDINO_DATABASE_URL"] = postgres.dsn
        cares.append(Care(name="PostgreSQL", tend=postgres.revive))
    os.environ.update(environment)
    check_engine()
    _prepare(read_settings())
    me = [sys.executable, "-m", "sordino"]
    supervisor = Supervisor(
        programs=[
            _api_program([*me, "api"], [listener.fileno() for listener in listeners]),
            *(
                Program(name=f"worker-{number + 1}", command=[*me, "worker"], hurry=signal.SIGQUIT)
                for number in range(settings.workers)
            ),
        ],
        cares=cares,
        patience=settings.drain_seconds,
    )
    _on_stop_signals(supervisor.stop)
    typer.echo(
        f"Sordino listens on {_urls(settings, listeners)} with {settings.workers} workers "
        f"and the engine {settings.denoiser}.{_admin_url(settings, listeners)}"
    )
    supervisor.run()
    typer.echo("Sordino has stopped.")


def _api_program(command: "Sequence[str]", descriptors: "Sequence[int]") -> "Program":
    from sordino.adapters.supervisor import Program

    options = [word for descriptor in descriptors for word in ("--fd", str(descriptor))]
    return Program(name="api", command=[*command, *options], pass_fds=tuple(descriptors))


def api(
    host: Host = None,
    port: Port = None,
    tls_host: TlsHost = None,
    tls_port: TlsPort = None,
    admin_host: AdminHost = None,
    admin_port: AdminPort = None,
    data: Data = None,
    *,
    descriptors: Annotated[list[int] | None, typer.Option("--fd", hidden=True)] = None,
    lifeline: Lifeline = None,
) -> None:
    """Run the HTTP half alone; needs SORDINO_DATABASE_URL."""
    import asyncio
    import socket

    from sordino.adapters.open_files import allow_many
    from sordino.adapters.supervisor import hold_lifeline

    settings = read_settings(
        host=host,
        port=port,
        tls_host=tls_host,
        tls_port=tls_port,
        admin_host=admin_host,
        admin_port=admin_port,
        data=data,
    )
    hold_lifeline(lifeline)
    allow_many()
    if descriptors:
        listeners = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    else:
        _warn_of_unknown_variables()
        _warn_of_clear_tokens(settings)
        listeners = _listen(settings)
    tls = _tls(settings)
    if not descriptors:
        _prepare(settings)
        typer.echo(f"Sordino listens on {_urls(settings, listeners)}.{_admin_url(settings, listeners)}")
    asyncio.run(_run_api(settings, listeners, tls))


async def _run_api(settings: "Settings", listeners: "Sequence[socket.socket]", tls: "ServerTls | None") -> None:
    from sordino.api.server import Port, Server
    from sordino.bootstrap import open_application

    plain, *others = listeners
    ports = []
    async with open_application(settings) as applications:
        if settings.tls_port is not None:
            ports.append(Port(others.pop(0), tls=tls))
        if applications.admin is not None:
            from sordino.api.admin.protocol import AdminProtocol

            ports.append(Port(others.pop(), applications.admin, AdminProtocol, tls=tls if settings.admin_tls else None))
        main = applications.main
        # It closes the sockets.
        await Server(main, tls, ports, on_stop=main.stop).serve(sockets=[plain])
        # What is left to be done may wait for a database that hangs.
        signal.alarm(LAST_SECONDS)


def worker(data: Data = None, lifeline: Lifeline = None) -> None:
    """Run one worker process alone: one job at a time; needs SORDINO_DATABASE_URL.

    SIGTERM or Ctrl-C lets the job that runs have SORDINO_DRAIN_SECONDS to end; a second one gives it back at once.
    """
    import asyncio
    from contextlib import ExitStack

    from sordino.adapters.supervisor import hold_lifeline

    settings = read_settings(data=data)
    # Whatever killed the supervisor: nobody looks after what is left to be done, and the database goes with it.
    hold_lifeline(lifeline, signal.SIGQUIT)
    if lifeline is None:
        _warn_of_unknown_variables()
        with ExitStack() as stack:
            check_engine = _try_engine(settings, stack)
            _prepare(settings)
            check_engine()
    asyncio.run(_run_worker(settings))


async def _run_worker(settings: "Settings") -> None:
    import asyncio
    from contextlib import suppress

    from sordino.bootstrap import open_worker

    async with open_worker(settings) as worker_half:
        task = asyncio.create_task(worker_half.run())
        _drain_on_signals(worker_half.drain, task, settings.drain_seconds)
        with suppress(asyncio.CancelledError):
            await task


def _drain_on_signals(drain: Callable[[], None], task: "asyncio.Task[None]", seconds: float) -> None:
    """Let a signal drain the worker for so long, and a second one, or SIGQUIT, end it at once."""
    import asyncio

    loop, asked = asyncio.get_running_loop(), False

    def at_once() -> None:
        drain()  # so that it ends, too, when its job cannot be given back
        task.cancel()

    def stop() -> None:
        nonlocal asked
        if asked:
            at_once()
            return
        asked = True
        drain()
        loop.call_later(seconds, at_once)

    for number in _stop_signals():
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGQUIT, at_once)


def _warn_of_unknown_variables() -> None:
    import structlog

    from sordino.settings import unknown_variables

    for name in unknown_variables(os.environ):
        structlog.get_logger(__name__).warning("no such setting; the variable has no effect", variable=name)


def _warn_of_clear_tokens(settings: "Settings") -> None:
    from ipaddress import ip_address

    import structlog

    if settings.admin_port is None or settings.admin_tls or settings.admin_host == "localhost":
        return
    try:
        local = ip_address(settings.admin_host).is_loopback
    except ValueError:  # a name, of a network
        local = False
    if not local:
        structlog.get_logger(__name__).warning(
            "tokens of the admin API cross the network in the clear; set SORDINO_ADMIN_TLS", host=settings.admin_host
        )


def _listen(settings: "Settings") -> "list[socket.socket]":
    """The sockets of the plain port, of the encrypted one and of the admin API's, of those two if they are set."""
    listeners = [_listen_on(settings.host, settings.port, "--host ADDRESS --port NUMBER")]
    if settings.tls_port is not None:
        host = settings.tls_host or settings.host
        listeners.append(_listen_on(host, settings.tls_port, "--tls-host ADDRESS --tls-port NUMBER"))
    if settings.admin_port is not None:
        options = "--admin-host ADDRESS --admin-port NUMBER"
        listeners.append(_listen_on(settings.admin_host, settings.admin_port, options))
    return listeners


def _listen_on(host: str, port: int, options: str) -> "socket.socket":
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        fail(f"cannot listen on {_printable(host)}:{port}: {error.strerror}. Choose another: {options}")
    # By its number alone it learns its protocol: only of sockets that know theirs asyncio turns Nagle's delay off,
    # without which the end of each reply waits for the client's word, 40 ms.
    return socket.socket(fileno=listener.detach())


def _tls(settings: "Settings") -> "ServerTls | None":
    """What encrypted ports are encrypted with, if there is one."""
    if settings.tls_port is None and not settings.admin_tls:
        return None
    from sordino.adapters.certificates import CertificateError
    from sordino.adapters.tls import Files, ServerTls

    certificate, key = settings.tls_files
    try:
        return ServerTls(Files(certificate=certificate, key=key))
    except CertificateError as error:
        fail(str(error))


def _try_engine(settings: "Settings", stack: "ExitStack") -> Callable[[], None]:
    """Begin to load the engine of jobs that name none; what is returned waits for it, and stops if that fails."""
    from sordino.audio.errors import EngineError
    from sordino.audio.sandbox import trial

    passed = stack.enter_context(trial(settings.denoiser))

    def check() -> None:
        try:
            passed()
        except EngineError as error:
            fail(f"the engine {settings.denoiser!r} cannot be loaded: {error}")

    return check


def _start_postgres(settings: "Settings", stack: "ExitStack") -> "EmbeddedPostgres":
    from sordino.adapters.postgres.embedded import EmbeddedPostgres, EmbeddedPostgresError

    try:
        return stack.enter_context(EmbeddedPostgres(settings.data, max_connections=_sessions(settings)))
    except EmbeddedPostgresError as error:
        fail(str(error))


def _sessions(settings: "Settings") -> int:
    """Sessions the database must allow: a pool, a worker's three for its engine, one to spare, and some for people."""
    from sordino.adapters.postgres.embedded import LEAST_CONNECTIONS

    return max(LEAST_CONNECTIONS, (settings.workers + 1) * (settings.database_connections + 4) + 20)


def _prepare(settings: "Settings") -> None:
    """Migrate, create the root account on an empty database, and say so."""
    import asyncio

    from sordino.adapters.data_directory import DataDirectoryError, write_root_key
    from sordino.adapters.postgres.migrate import MigrationError
    from sordino.bootstrap import NoDatabaseError, database_url, prepare
    from sordino.domain.ports import DatabaseUnavailableError, VaultError

    kept: list[Path] = []

    def keep(key: "AccessKey") -> None:
        kept.append(write_root_key(settings.data, key))

    try:
        database_url(settings)
        _try_blobs(settings)
        key = asyncio.run(prepare(settings, keep))
    except (NoDatabaseError, MigrationError, DataDirectoryError, VaultError) as error:
        fail(str(error))
    except DatabaseUnavailableError as error:
        fail(f"the database does not answer: {error}")
    if key is not None:
        _tell_root_key(key, kept[-1])


def _try_blobs(settings: "Settings") -> None:
    """Open the blob store once, so that a fault of its configuration is told before the database is touched."""
    from obstore.exceptions import BaseError

    from sordino.adapters.blobs import ObstoreBlobs

    try:
        ObstoreBlobs(settings.blobs)
    except (OSError, BaseError) as error:
        # What follows the first line is for the debugging of obstore.
        fail(f"the blob store cannot be opened: {str(error).splitlines()[0]}. Check SORDINO_BLOBS_URL")


def _tell_root_key(key: "AccessKey", path: Path) -> None:
    typer.echo(
        "The root account was created. Its key is shown this once and kept in "
        f"{path}, readable by its owner only.\n"
        f"  APPID      {key.account.appid}   (bucket names end in -{key.account.appid})\n"
        f"  SecretId   {key.secret_id}\n"
        f"  SecretKey  {key.secret_key}"
    )


def _environment(settings: "Settings") -> dict[str, str]:
    """What the child processes must see the same way: the options of the command line."""
    ports = {"SORDINO_TLS_PORT": settings.tls_port, "SORDINO_ADMIN_PORT": settings.admin_port}
    set_ports = {name: str(port) for name, port in ports.items() if port is not None}
    return {"SORDINO_DATA": str(settings.data.absolute()), "SORDINO_HOST": settings.host, **set_ports}


def _on_stop_signals(stop: Callable[[], None]) -> None:
    for number in _stop_signals():
        signal.signal(number, lambda *_: stop())


def _stop_signals() -> list[signal.Signals]:
    """SIGTERM, Ctrl-C, and a terminal that is closed, unless ``nohup`` has had that ignored."""
    hangup = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGTERM, signal.SIGINT, *hangup]


def _leave() -> NoReturn:
    raise SystemExit(0)


def _urls(settings: "Settings", listeners: "Sequence[socket.socket]") -> str:
    ports = [("http", settings.host)]
    if settings.tls_port is not None:
        ports.append(("https", settings.tls_host or settings.host))
    return " and ".join(_url(scheme, host, it) for (scheme, host), it in zip(ports, listeners, strict=False))


def _admin_url(settings: "Settings", listeners: "Sequence[socket.socket]") -> str:
    if settings.admin_port is None:
        return ""
    scheme = "https" if settings.admin_tls else "http"
    return f" Its admin API is on {_url(scheme, settings.admin_host, listeners[-1])}."


def _url(scheme: str, host: str, listener: "socket.socket") -> str:
    return f"{scheme}://{_printable(host)}:{listener.getsockname()[1]}"


def _printable(host: str) -> str:
    return f"[{host}]" if ":" in host else host
