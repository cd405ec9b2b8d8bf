"""``sordino admin bucket`` as its operator sees it, without a service."""

import pytest
import typer
from typer.testing import CliRunner

from sordino.cli import app
from sordino.cli.admin_bucket import parse_bytes

NAME = "music-1250000000"


def admin(*arguments: object) -> object:
    """The result of the command."""
    return CliRunner().invoke(app, ["admin", "bucket", *map(str, arguments)])


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of whoever runs the tests do not count."""
    for name in ("SORDINO_DATABASE_URL", "SORDINO_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("512B", 512),
        ("1kB", 1000),
        ("1K", 1000),
        ("100GiB", 100 * 2**30),
        ("1.5 TiB", 3 * 2**39),
        ("0.1GB", 10**8),
        (" 2mib ", 2**21),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_sizes(text: str, size: int) -> None:
    """A size is a number of bytes, or one with a unit: with an i of 1024, without of 1000."""
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", "GiB", "-1", "1e9", "1iB", "1,5GB", "100 gigabytes", "9PiB9", "9" * 30, "8192PiB"]
)
def test_sizes_that_are_none(text: str) -> None:
    """What is none is named, with an example."""
    with pytest.raises(typer.BadParameter, match="--bytes is"):
        parse_bytes(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ("quota", NAME),
        ("quota", NAME, "--bytes", "much"),
        ("quota", NAME, "--objects", "-1"),
        ("quota", NAME, "--objects", "1.5"),
        ("quota", NAME, "--objects", "9" * 5000),
        ("lifecycle", NAME),
        ("lifecycle", NAME, "--results-days", "0"),
        ("lifecycle", NAME, "--results-days", "36501"),
        ("lifecycle", NAME, "--results-days", "9" * 5000),
        ("lifecycle", NAME, "--results-days", "week"),
    ],
)
def test_limits_that_are_none(tmp_path: object, arguments: tuple[str, ...]) -> None:
    """A limit is a number in its range, or a word that is told."""
    assert admin(*arguments, "--data", tmp_path).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [("list",), ("show", NAME), ("quota", NAME, "--bytes", "1GiB"), ("lifecycle", NAME, "--results-days", "none")],
)
def test_without_a_service(tmp_path: object, arguments: tuple[str, ...]) -> None:
    """When no service runs, the message says how to start or name one."""
    result = admin(*arguments, "--data", tmp_path)
    assert result.exit_code == 1
    assert "sordino serve" in result.stderr
