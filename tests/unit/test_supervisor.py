"""How the supervisor restarts what ends."""

import logging
import signal
import sys
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from sordino.adapters import supervisor
from sordino.adapters.supervisor import LONGEST_PAUSE, STEADY_SECONDS, Care, Program, Supervisor


class Clock:
    """A clock that the test winds, in place of the module ``time``."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The supervisor's clock."""
    clock = Clock()
    monkeypatch.setattr(supervisor, "time", clock)
    return clock


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """The supervisor's log."""
    log = Mock()
    monkeypatch.setattr(supervisor, "log", log)
    return log


@pytest.fixture
def child(clock: Clock, log: Mock, monkeypatch: pytest.MonkeyPatch) -> "supervisor._Child":
    """A child whose process is not a real one."""
    monkeypatch.setattr(supervisor.subprocess, "Popen", lambda *_, **__: Mock(**{"poll.return_value": None}))
    child = supervisor._Child(Program(name="worker-1", command=["worker"]), lifeline=3)
    child.tend()
    return child


def pause_after(child: "supervisor._Child", clock: Clock, lived: float, status: int = -signal.SIGKILL) -> float:
    """End the child's process after a time; the seconds until there is a new one."""
    clock.now += lived
    child.process.poll.return_value = status
    ended = clock.now
    child.tend()
    child.tend()
    while child.process is None:
        clock.now += 0.5
        child.tend()
    return clock.now - ended


def test_pauses_between_restarts(child: "supervisor._Child", clock: Clock) -> None:
    """The first restart comes at once, the pause doubles while processes end soon, and a steady one ends the row."""
    assert [pause_after(child, clock, lived=1.0) for _ in range(7)] == [0, 1, 2, 4, 8, LONGEST_PAUSE, LONGEST_PAUSE]
    assert pause_after(child, clock, lived=STEADY_SECONDS + 1) == 0
    assert pause_after(child, clock, lived=1.0) == 1


@pytest.mark.parametrize(
    ("status", "level"),
    [(0, logging.INFO), (-signal.SIGTERM, logging.INFO), (1, logging.ERROR), (-signal.SIGKILL, logging.ERROR)],
)
def test_level_of_an_end(child: "supervisor._Child", clock: Clock, log: Mock, status: int, level: int) -> None:
    """A process that was asked to end is no error; one that failed or was killed is."""
    pause_after(child, clock, lived=1.0, status=status)
    assert log.log.call_args.args[0] == level
    assert log.log.call_args.kwargs["status"] == status


def test_care_that_fails_waits(clock: Clock, log: Mock) -> None:
    """What cannot be kept alive is named, and tried again after the pause, not before."""
    tend = Mock(side_effect=OSError("no space"))
    care = Care(name="PostgreSQL", tend=tend)
    care.take()
    assert log.exception.call_args.kwargs["what"] == "PostgreSQL"
    clock.now += LONGEST_PAUSE - 1
    care.take()
    assert tend.call_count == 1
    clock.now += 1
    care.take()
    assert tend.call_count == 2


def test_programs_restart_while_a_care_fails(tmp_path: Path) -> None:
    """A database that cannot be revived does not keep the API and the workers from being started again."""
    starts = tmp_path / "starts"
    script = f"open({str(starts)!r}, 'a').write('x')"
    kept = Supervisor(
        programs=[Program(name="worker-1", command=[sys.executable, "-c", script])],
        cares=[Care(name="PostgreSQL", tend=Mock(side_effect=OSError("no space")))],
    )
    thread = threading.Thread(target=kept.run)
    thread.start()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not (starts.exists() and len(starts.read_text()) >= 2):
        time.sleep(0.05)
    kept.stop()
    thread.join()
    assert len(starts.read_text()) >= 2


STUBBORN = """
import signal, sys, time
asked = []
for number in (signal.SIGTERM, signal.SIGQUIT):
    signal.signal(number, lambda *_: asked.append(1))
open(sys.argv[1], "w").close()
while len(asked) < {enough}:
    time.sleep(0.01)
"""


@pytest.mark.parametrize(("enough", "stops"), [(1, 1), (2, 2), (1000, 1)])
def test_a_second_stop_asks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Mock, enough: int, stops: int
) -> None:
    """A program has time to end; a second stop at once makes it hurry, and one that never ends is killed in the end."""
    monkeypatch.setattr(supervisor, "STOP_SECONDS", 0.5)
    began = tmp_path / "began"
    command = [sys.executable, "-c", STUBBORN.format(enough=enough), str(began)]
    program = Program(name="worker-1", command=command, hurry=signal.SIGQUIT)
    kept = Supervisor(programs=[program], patience=0.0 if enough == 1000 else 60.0)
    thread = threading.Thread(target=kept.run)
    thread.start()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not began.exists():
        time.sleep(0.02)
    for _ in range(stops):
        kept.stop()
    thread.join(20)
    assert not thread.is_alive()
    assert log.warning.called is (enough == 1000)
