"""``sordino admin`` as its operator sees it, without a service."""

import json

import pytest
from typer.testing import CliRunner

from rows import job
from sordino.adapters.postgres import embedded
from sordino.adapters.postgres.embedded import EmbeddedPostgresError, find_running
from sordino.cli import app
from sordino.cli.admin_job import _show

runner = CliRunner()


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    """Settings of whoever runs the tests do not count."""
    for name in ("SORDINO_DATABASE_URL", "SORDINO_DATA", "SORDINO_REGION"):
        monkeypatch.delenv(name, raising=False)


def admin(*arguments):
    """The result of the command."""
    return runner.invoke(app, ["admin", *map(str, arguments)])


def test_tls_tells_what_it_made_and_how_to_trust_it(tmp_path):
    """The command lists the names and has a line for each kind of client, with the file it must trust."""
    result = admin(
        "tls", "--data", tmp_path, "--region", "ap-beijing", "--host", "*.cos.sound.example", "--host", "::2"
    )
    assert result.exit_code == 0, result.output
    for part in ("*.ci.ap-beijing.myqcloud.com", "*.cos.sound.example", "::2", "sordino serve --tls-port", "ca.pem"):
        assert part in result.output
    for client in ("Python", "Node", "Go", "Java", "PHP", "curl"):
        assert f"\n  {client}" in result.output
    assert "ap-guangzhou" not in result.output


def test_tls_again_and_renewed(tmp_path):
    """A second time is refused and names the option; with it, only the certificate is new."""
    assert admin("tls", "--data", tmp_path).exit_code == 0
    again = admin("tls", "--data", tmp_path)
    assert again.exit_code == 1
    assert "--renew" in again.stderr
    renewed = admin("tls", "--data", tmp_path, "--renew", "--days", "10")
    assert renewed.exit_code == 0
    assert "Clients need nothing new" in renewed.output
    assert admin("tls", "--data", tmp_path, "--renew", "--region", "ap-tokyo").exit_code == 1


@pytest.mark.parametrize("arguments", [("--days", "0"), ("--days", "826")])
def test_tls_days_have_bounds(tmp_path, arguments):
    """A certificate lasts a day at least, and at most what every client takes."""
    assert admin("tls", "--data", tmp_path, *arguments).exit_code == 2


def test_tls_with_a_host_that_is_none(tmp_path):
    """A wrong host is named, and nothing is made."""
    result = admin("tls", "--data", tmp_path, "--host", "https://a.example")
    assert result.exit_code == 1
    assert "'https://a.example'" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [("show",), ("limit", "--max-size", "3")])
def test_queue_without_a_service(tmp_path, command):
    """When no service runs, the message says how to start or name one."""
    result = admin("queue", command[0], "music-1250000000", *command[1:], "--data", tmp_path)
    assert result.exit_code == 1
    for part in (str(tmp_path), "sordino serve", "--data", "SORDINO_DATABASE_URL"):
        assert part in result.stderr


@pytest.mark.parametrize("command", [("list",), ("weight", "1250000000", "3")])
def test_account_without_a_service(tmp_path, command):
    """The same holds for accounts."""
    result = admin("account", *command, "--data", tmp_path)
    assert result.exit_code == 1
    assert "sordino serve" in result.stderr


@pytest.mark.parametrize("weight", ["0", "101", "1.5", "heavy"])
def test_weights_that_are_none(tmp_path, weight):
    """A weight is a whole number from 1 to 100, of accounts and of queues."""
    for command in (("account", "weight", "1250000000"), ("queue", "limit", "music-1250000000", "--weight")):
        assert admin(*command, weight, "--data", tmp_path).exit_code == 2


@pytest.mark.parametrize("command", ["show", "cancel", "callbacks"])
def test_job_without_a_service(tmp_path, command):
    """The same holds for jobs."""
    result = admin("job", command, "j1", "--data", tmp_path)
    assert result.exit_code == 1
    assert "sordino serve" in result.stderr


@pytest.mark.parametrize(
    "limits", [(), ("--max-size", "0"), ("--max-size", "many"), ("--max-concurrent", "1000000001")]
)
def test_limits_that_are_none(tmp_path, limits):
    """A limit is a number in its range or `default`, and one at least is given."""
    assert admin("queue", "limit", "music-1250000000", *limits, "--data", tmp_path).exit_code == 2


def write_pid_file(data, *, pid, status="ready"):
    """What PostgreSQL leaves in its directory."""
    (data / "postgres").mkdir()
    lines = [str(pid), "/data", "1700000000", "5432", "/sockets", "", "1 2", status]
    (data / "postgres" / "postmaster.pid").write_text("\n".join(lines))


def test_running_server_is_found(tmp_path):
    """The connection string leads to the socket that the server wrote down, wherever it is."""
    write_pid_file(tmp_path, pid=1)
    assert "host=/sockets" in find_running(tmp_path)


@pytest.mark.parametrize(("pid", "status"), [(1, "starting"), (2**22 + 1, "ready")])
def test_server_that_does_not_run(tmp_path, pid, status):
    """One that starts or has died is none, and so is one that never was."""
    assert find_running(tmp_path) is None
    write_pid_file(tmp_path, pid=pid, status=status)
    assert find_running(tmp_path) is None


def test_server_of_others(tmp_path, monkeypatch):
    """Who may not enter its directory is told who may."""

    def refuse(cluster):
        raise PermissionError

    monkeypatch.setattr(embedded, "_pid_file", refuse)
    with pytest.raises(EmbeddedPostgresError, match="as root, or as the account that runs the service"):
        find_running(tmp_path)
    result = admin("queue", "show", "music-1250000000", "--data", tmp_path)
    assert result.exit_code == 1
    assert "as root" in result.stderr


def test_broken_database_setting(tmp_path, monkeypatch):
    """A database that does not answer is told in one line."""
    monkeypatch.setenv("SORDINO_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none?connect_timeout=1")
    result = admin("queue", "show", "music-1250000000", "--json", "--data", tmp_path)
    assert result.exit_code == 1
    assert "does not answer" in result.stderr
    with pytest.raises(json.JSONDecodeError):
        json.loads(result.stdout)


@pytest.mark.parametrize(("name", "shown"), [("Grüße.wav", "Grüße.wav"), ("a\x1b[2Jb.wav", "'a\\x1b[2Jb.wav'")])
def test_a_name_that_a_terminal_would_obey(capsys, name, shown):
    """Names of users' objects are shown as they are, or escaped when a terminal would take them for commands."""
    _show(job(input_object=name), as_json=False)
    assert f"input  {shown}\n" in capsys.readouterr().out
