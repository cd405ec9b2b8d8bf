"""``sordino admin bucket mount`` as its operator sees it, without a service."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sordino.cli import app

MOUNT = ("mount", "music-1250000000", "s3://music", "--access-key-id", "AKID")
SECRET = "not to be seen"


def admin(*arguments: object, given: str = "", **environment: str) -> Result:
    """The result of the command."""
    return CliRunner().invoke(app, ["admin", "bucket", *map(str, arguments)], input=given, env=environment)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of whoever runs the tests do not count."""
    for name in ("SORDINO_DATABASE_URL", "SORDINO_DATA", "SORDINO_MOUNT_SECRET"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_secret(tmp_path: Path) -> None:
    """Where nobody can be asked, the ways to give it are told."""
    result = admin(*MOUNT, "--data", tmp_path)
    assert result.exit_code == 1
    assert "--secret-file" in result.stderr
    assert "SORDINO_MOUNT_SECRET" in result.stderr


@pytest.mark.parametrize("name", ["nothing", "directory", "bytes", "empty"])
def test_a_secret_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    """The file is named."""
    (tmp_path / "directory").mkdir()
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").write_text("\n")
    result = admin(*MOUNT, "--secret-file", tmp_path / name, "--data", tmp_path)
    assert result.exit_code == 1
    assert ("there is no secret" if name == "empty" else name) in result.stderr


@pytest.mark.parametrize("way", ["file", "input", "variable"])
def test_a_secret_is_not_told(tmp_path: Path, way: str) -> None:
    """However it is given; without a service it comes to nothing, which is told."""
    (tmp_path / "secret").write_text(SECRET)
    match way:
        case "file":
            result = admin(*MOUNT, "--secret-file", tmp_path / "secret", "--data", tmp_path)
        case "input":
            result = admin(*MOUNT, "--secret-file", "-", "--data", tmp_path, given=SECRET)
        case _:
            result = admin(*MOUNT, "--data", tmp_path, SORDINO_MOUNT_SECRET=SECRET)
    assert result.exit_code == 1
    assert "no service runs on" in result.stderr
    assert SECRET not in result.output


@pytest.mark.parametrize("option", ["--secret", "--secret-key", "--access-key-secret"])
def test_a_secret_is_no_option(tmp_path: Path, option: str) -> None:
    """On the command line others would see it."""
    assert admin(*MOUNT, option, SECRET, "--data", tmp_path).exit_code == 2
