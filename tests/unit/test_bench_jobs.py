"""The bench of jobs: its arithmetic, its aims, and its jobs on a running server."""

from pathlib import Path

import pytest

import bench_jobs
from bench_jobs import Sizes, aims, measure
from job_measures import begun_while_waiting, latency
from job_store import Times

FOUND = {
    "priority": {"waiting": 100, "urgent": 5, "overtaken_by": 3, "in_engine": 3, "seconds": 1.0, "holds": True},
    "fairness": {"waiting": 100, "wait": {"max": 70.0}, "allowed_ms": 900.0, "overtaken_by": 1, "holds": True},
    "throughput": {"default": {"small": 10.0, "large": 9.5, "kept": 0.95}},
    "overhead": {"audio_seconds": 10.0, "over_library": 0.1},
}


def job(job_id: str, created: float, started: float, level: int = 0) -> Times:
    """A job that ran for a second."""
    return Times(job_id=job_id, level=level, state="Success", created=created, started=started, ended=started + 1)


def test_latency_is_in_milliseconds() -> None:
    """Seconds become milliseconds, with their median, percentiles and largest."""
    found = latency([0.001 * number for number in range(1, 102)])
    assert (found.count, found.p50, found.p90, found.p99, found.max) == (101, 51, 91, 100, 101)


def test_those_that_overtook_are_counted() -> None:
    """Who began between a job's acceptance and its beginning overtook it, if of the level that was asked for."""
    mine = job("j", 10, 20, level=2)
    others = [job("a", 1, 9), job("b", 1, 11), job("c", 15, 19), job("d", 1, 12, level=2), job("e", 1, 21)]
    assert begun_while_waiting(mine, [mine, *others], level=0) == 2


def test_aims_are_held() -> None:
    """Each measurement that has an aim says whether it holds; what was not measured has none."""
    assert all(aim.held for aim in aims(FOUND))
    assert len(list(aims(FOUND))) == 4
    assert list(aims({"pickup": {}})) == []


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("priority", {"holds": False}),
        ("fairness", {"holds": False}),
        ("throughput", {"default": {"small": 10.0, "large": 8.0, "kept": 0.8}}),
        ("overhead", {"over_library": 0.2}),
    ],
)
def test_missed_aim_is_told(part: str, change: dict[str, object]) -> None:
    """A figure that misses its aim is marked, and no other."""
    found = FOUND | {part: {**FOUND[part], **change}}
    assert [aim.held for aim in aims(found)].count(False) == 1


def test_unknown_part_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A part that there is not is told before any server is started."""
    monkeypatch.setattr("sys.argv", ["bench_jobs.py", "--only", "priority,beauty"])
    with pytest.raises(SystemExit, match="2"):
        bench_jobs.main()
    assert "--only knows no beauty" in capsys.readouterr().err


def test_urgent_jobs_and_single_ones_do_not_wait(tmp_path: Path) -> None:
    """On a running server urgent jobs overtake those that wait, and a bucket's only job another bucket's crowd."""
    sizes = Sizes(waiting=20, behind=20, urgent=3, probes=2, workers=2)
    found = measure(sizes, ["priority", "fairness"])
    assert found["priority"]["urgent"] == 3
    assert found["priority"]["holds"]
    assert found["fairness"]["overtaken_by"] < 10


def test_passes_and_pauses_are_measured(tmp_path: Path) -> None:
    """A pass fills the engine with one busy queue and with several, and a queue is paused and resumed with its jobs."""
    sizes = Sizes(waiting=20, rounds=1, workers=1, queues=6, accounts=2, passes=2)
    found = measure(sizes, ["passes", "pause"])
    assert found["passes"]["one_ms"] > 0
    assert found["passes"]["many_ms"] > 0
    assert found["pause"]["waiting"] == 20
    assert found["pause"]["pause"] > 0
    assert found["pause"]["resume"] > 0
