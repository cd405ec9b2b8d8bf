"""``sordino engines``."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sordino.cli import app
from sordino.denoisers import load, names
from sordino.denoisers.weights import MODEL_DIR


def test_all_engines_are_listed_with_licence_and_rate() -> None:
    """Each installed engine has a line, and the default is marked."""
    done = CliRunner().invoke(app, ["engines"], terminal_width=120)
    assert done.exit_code == 0
    assert "best (default)" in done.stdout
    for name in names():
        assert f" {name}" in done.stdout
        assert load(name).info.licence in done.stdout


def test_engine_without_weights_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An engine whose model is missing is no line of the table but one on standard error, and the status is 1."""
    monkeypatch.setenv(MODEL_DIR, str(tmp_path))
    monkeypatch.setenv("SORDINO_CACHE_DIR", str(tmp_path / "cache"))
    load.cache_clear()
    done = CliRunner().invoke(app, ["engines"])
    load.cache_clear()
    assert done.exit_code == 1
    assert "off" in done.stdout
    assert "sordino: dfn3: There is no model archive" in done.stderr
