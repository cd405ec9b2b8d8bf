"""Child processes of ``sordino serve``: started, restarted when they die, stopped together.

Children run in sessions of their own, so that Ctrl-C reaches the supervisor alone, and hold the reading end of a pipe,
the lifeline: when the supervisor is killed the pipe closes and they stop by themselves.
"""

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

log = structlog.get_logger(__name__)

STOP_SECONDS = 20.0
STEADY_SECONDS = 30.0
LONGEST_PAUSE = 15.0

_ASKED = (0, -signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A process to keep.

    Attributes:
        name: in the log.
        command: its command line.
        pass_fds: file descriptors to hand down.
        hurry: what it gets when it was asked to end, by SIGTERM, and shall hurry. Of two equal signals that come before
            it runs again the system delivers one.
    """

    name: str
    command: Sequence[str]
    pass_fds: tuple[int, ...] = ()
    hurry: signal.Signals = signal.SIGTERM


@dataclass(slots=True, kw_only=True)
class Care:
    """What else must be kept alive: its name in the log, and what to call ten times a second for it.

    When the call raises, the next one waits; the programs are looked after meanwhile.
    """

    name: str
    tend: Callable[[], None]
    _next_try: float = 0.0

    def take(self) -> None:
        """Tend, if it is due."""
        if time.monotonic() < self._next_try:
            return
        try:
            self.tend()
        except Exception:
            # Whatever it is, the programs go on, and it may pass.
            log.exception("cannot be kept alive", what=self.name, next_try_in_seconds=LONGEST_PAUSE)
            self._next_try = time.monotonic() + LONGEST_PAUSE


class _Child:
    """One program's process, with the pauses between its starts."""

    def __init__(self, program: Program, lifeline: int) -> None:
        self.program = program
        self._lifeline = lifeline
        self._next_pause = 0.0
        self._next_start = 0.0
        self.process: subprocess.Popen[bytes] | None = None
        self._began = 0.0

    def tend(self) -> None:
        """Start the process if it is due, and note when it has died."""
        now = time.monotonic()
        if self.process is None:
            if now >= self._next_start:
                self._start(now)
        elif (status := self.process.poll()) is not None:
            self._note_end(now, status)

    @property
    def runs(self) -> bool:
        """Whether its process does."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send its process a signal, if it runs."""
        if self.process is not None:
            self.process.send_signal(number)

    def _note_end(self, now: float, status: int) -> None:
        """Start again at once; after a pause that doubles when it has ended soon after its last start, too."""
        pause = 0.0 if now - self._began > STEADY_SECONDS else self._next_pause
        self._next_pause = min(max(1.0, pause * 2), LONGEST_PAUSE)
        self._next_start = now + pause
        self.process = None
        # A process that someone asked to end has not failed.
        level = logging.INFO if status in _ASKED else logging.ERROR
        log.log(level, "process ended", process=self.program.name, status=status, restart_in_seconds=pause)

    def _start(self, now: float) -> None:
        self._began = now
        self.process = subprocess.Popen(
            [*self.program.command, "--lifeline", str(self._lifeline)],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(self._lifeline, *self.program.pass_fds),
        )
        log.debug("process started", process=self.program.name, pid=self.process.pid)


@dataclass(slots=True)
class Supervisor:
    """Runs programs until told to stop.

    Attributes:
        programs: the processes to keep.
        cares: what else to keep alive.
        patience: seconds that programs have to finish what they are at, beside those that ending takes.
    """

    programs: Sequence[Program]
    cares: Sequence[Care] = ()
    patience: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _hurry: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Have ``run`` end; a second time, have the programs asked again. May be called from a signal handler."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def run(self) -> None:
        """Keep every program running until ``stop``; then end them all, by force after ``patience`` and 20 s."""
        lifeline, held = os.pipe()
        try:
            children = [_Child(program, lifeline) for program in self.programs]
            while not self._stop.is_set():
                for care in self.cares:
                    care.take()
                for child in children:
                    child.tend()
                self._stop.wait(0.1)
            self._end(children)
        finally:
            os.close(lifeline)
            os.close(held)

    def _end(self, children: Sequence[_Child]) -> None:
        log.info("stopping; a second signal hurries", seconds_for_running_jobs=self.patience)
        deadline = time.monotonic() + self.patience + STOP_SECONDS
        for child in children:
            child.signal(signal.SIGTERM)
        while (alive := [child for child in children if child.runs]) and time.monotonic() < deadline:
            if self._hurry.wait(0.05):
                self._hurry.clear()
                for child in alive:
                    child.signal(child.program.hurry)
        _kill([child.process for child in alive if child.process])


def _kill(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    for process in processes:
        log.warning("process does not stop; killing it", pid=process.pid)
        process.kill()
        process.wait()


def hold_lifeline(descriptor: int | None, number: signal.Signals = signal.SIGTERM) -> None:
    """In a child: end this process with a signal once the supervisor is gone."""
    if descriptor is None:
        return

    def watch() -> None:
        os.read(descriptor, 1)
        os.kill(os.getpid(), number)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
