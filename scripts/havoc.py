"""Strikes a running server: its processes with SIGKILL, what it talks to by taking that away for a while."""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import psutil

from callback_sink import Sink
from server import Server
from strikes import Kind, Strike


class Breakable(Protocol):
    """What may be taken away and given back: a broker, or the cable to one that others use, too."""

    @property
    def whole(self) -> bool:
        """Whether it is there."""
        ...

    def cut(self) -> None:
        """Take it away."""
        ...

    def mend(self) -> None:
        """Give it back."""
        ...


class Havoc:
    """Carries out strikes.

    Args:
        server: the victim.
        sink: the receiver of its callbacks.
        broker: its message broker, if it has one, or the cable to it.
    """

    def __init__(self, server: Server, sink: Sink, broker: Breakable | None = None) -> None:
        self._server, self._sink, self._broker = server, sink, broker
        self._timers: list[threading.Timer] = []
        self._blows: dict[Kind, Callable[[Strike], bool]] = {
            Kind.WORKER: lambda strike: _kill(strike, self._server.workers),
            Kind.MEDIA: lambda strike: _kill(strike, media_processes(self._server)),
            Kind.API: lambda strike: _kill(strike, self._server.api),
            Kind.DATABASE: lambda strike: _kill(strike, postmaster(self._server.data)),
            Kind.RECEIVER: self._take_receiver,
            Kind.BROKER: self._take_broker,
        }

    @property
    def kinds(self) -> Sequence[Kind]:
        """What there is to strike."""
        return [kind for kind in Kind if kind is not Kind.BROKER or self._broker is not None]

    def strike(self, strike: Strike) -> bool:
        """Do it; False when there is nothing to strike at the moment."""
        return self._blows[strike.kind](strike)

    def calm(self) -> None:
        """Give everything back that was taken away."""
        for timer in self._timers:
            timer.cancel()
            timer.join()
        self._sink.start()
        if self._broker is not None:
            self._broker.mend()

    def _take_receiver(self, strike: Strike) -> bool:
        if not self._sink.up:
            return False
        self._sink.kill()
        self._later(strike.outage, self._sink.start)
        return True

    def _take_broker(self, strike: Strike) -> bool:
        if self._broker is None or not self._broker.whole:
            return False
        self._broker.cut()
        self._later(strike.outage, self._broker.mend)
        return True

    def _later(self, seconds: float, give_back: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, give_back)
        self._timers.append(timer)
        timer.start()


def media_processes(server: Server) -> Sequence[int]:
    """The processes that clean recordings now: children of those that the workers fork them from."""
    forks = [fork for pid in server.workers for fork in _children(pid)]
    return [child.pid for fork in forks for child in _children(fork.pid)]


def postmaster(data: Path) -> Sequence[int]:
    """The first process of the embedded PostgreSQL; none while it is away."""
    try:
        pid = int((data / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return []
    return [pid] if psutil.pid_exists(pid) and psutil.Process(pid).name() == "postgres" else []


def _children(pid: int) -> Sequence[psutil.Process]:
    try:
        return list(psutil.Process(pid).children())
    except psutil.NoSuchProcess:
        return []


def _kill(strike: Strike, pids: Sequence[int]) -> bool:
    if not pids:
        return False
    try:
        os.kill(strike.among(pids), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
