"""Child processes of ``sordino serve``: started, restarted when they die, stopped together.

Children run in sessions of their own, so that Ctrl-C reaches the supervisor alone, and hold the reading end of a pipe,
the lifeline: when the supervisor is killed the pipe closes and they stop by themselves.
"""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A process to keep: its name in the log, its command line, and file descriptors to hand down."""

    name: str
    command: Sequence[str]
    pass_fds: tuple[int, ...] = ()


class _Child:
    """One program's process, with the pause before its next start."""

    def __init__(self, program: Program, lifeline: int) -> None:
        self.program = program
        self._lifeline = lifeline
        self._pause = 0.0
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
            steady = now - self._began > STEADY_SECONDS
            self._pause = 0.0 if steady else min(max(1.0, self._pause * 2), LONGEST_PAUSE)
            self._next_start = now + self._pause
            self.process = None
            log.error("process died", process=self.program.name, status=status, restart_in_seconds=self._pause)

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
        tend: called ten times a second for what else must be kept alive; when it raises, again after a pause.
    """

    programs: Sequence[Program]
    tend: Callable[[], None] | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Have ``run`` end; may be called from a signal handler."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stop.is_set()

    def run(self) -> None:
        """Keep every program running until ``stop``; then end them all, by force after 20 s."""
        lifeline, held = os.pipe()
        try:
            children = [_Child(program, lifeline) for program in self.programs]
            while not self._stop.is_set():
                self._tend()
                for child in children:
                    child.tend()
                self._stop.wait(0.1)
            _end([child.process for child in children if child.process])
        finally:
            os.close(lifeline)
            os.close(held)

    def _tend(self) -> None:
        try:
            if self.tend is not None:
                self.tend()
        except Exception:
            # Whatever it is, the API and the workers go on, and it may pass.
            log.exception("cannot be kept alive", pause_seconds=LONGEST_PAUSE)
            self._stop.wait(LONGEST_PAUSE)


def _end(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("process does not stop; killing it", pid=process.pid)
            process.kill()
            process.wait()


def hold_lifeline(descriptor: int | None) -> None:
    """In a child: end this process as SIGTERM would once the supervisor is gone."""
    if descriptor is None:
        return

    def watch() -> None:
        os.read(descriptor, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
