"""``sordino admin`` says who may do what, beside a service that runs."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from qcloud_cos import CosServiceError
from typer.testing import CliRunner

from people import Key, People
from policies import allow, deny, document
from server import Server
from sordino.cli import app

Admin = Callable[..., Result]


@pytest.fixture
def admin(service: Server, monkeypatch: pytest.MonkeyPatch) -> Admin:
    """Runs the command; what it printed and how it ended."""
    monkeypatch.setenv("SORDINO_DATA", str(service.data))

    def run(*arguments: str, text: str | None = None) -> Result:
        return CliRunner().invoke(app, ["admin", *arguments], input=text)

    return run


@pytest.fixture
def told(admin: Admin) -> Callable[..., Any]:
    """Runs the command, which succeeds; what it says in JSON."""

    def run(*arguments: str, text: str | None = None) -> Any:
        result = admin(*arguments, "--json", text=text)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return run


@pytest.fixture
def done(admin: Admin) -> Callable[..., str]:
    """Runs the command, which succeeds; what it prints."""

    def run(*arguments: str, text: str | None = None) -> str:
        result = admin(*arguments, text=text)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


@pytest.fixture
def appid(told: Callable[..., Any]) -> str:
    """An account of the test's own."""
    return str(told("account", "create", "studio")["appid"])


def client_of(service: Server, made: dict[str, str]) -> Any:
    """The SDK with a key that a command printed."""
    return People(service).client(Key(appid=made["appid"], secret_id=made["secret_id"], secret_key=made["secret_key"]))


def code(call: Callable[[], object]) -> str:
    """With what a call of the SDK is refused."""
    with pytest.raises(CosServiceError) as caught:
        call()
    return str(caught.value.get_error_code())


def test_accounts(service: Server, told: Callable[..., Any]) -> None:
    """An account is made with a key that works, renamed, weighed, limited, disabled and enabled."""
    made = told("account", "create", "choir")
    client, appid = client_of(service, made), made["appid"]
    assert client.list_buckets()["Buckets"] is None
    assert told("account", "rename", appid, "big choir")[0]["name"] == "big choir"
    assert told("account", "weight", appid, "7")[0]["weight"] == 7
    limits = told("account", "limit", appid, "--requests", "50", "--queued-jobs", "3", "--audio-hours", "2")[0]
    assert (limits["requests_per_second"], limits["queued_jobs"], limits["audio_hours_a_day"]) == (50, 3, 2)
    (left,) = told("account", "limit", appid, "--requests", "default")
    assert (left["requests_per_second"], left["queued_jobs"]) == (None, 3)
    assert told("account", "disable", appid)[0]["enabled"] is False
    assert code(client.list_buckets) == "InvalidAccessKeyId"
    assert told("account", "enable", appid)[0]["enabled"] is True
    assert client.list_buckets()["Buckets"] is None
    assert appid in [row["appid"] for row in told("account", "list")]


def test_users_and_groups(told: Callable[..., Any], done: Callable[..., str], appid: str) -> None:
    """Users are added, put into groups and taken out, disabled, enabled and removed."""
    here = ("--account", appid)
    assert told("user", "add", "anna", *here)[0]["user"] == "anna"
    told("user", "add", "bert", *here)
    told("group", "add", "tenors", "--description", "who sing high", *here)
    done("group", "join", "tenors", "bert", *here)
    assert told("group", "list", *here) == [{"group": "tenors", "users": ["bert"], "description": "who sing high"}]
    done("group", "leave", "tenors", "bert", *here)
    assert told("group", "list", *here)[0]["users"] == []
    assert told("user", "disable", "anna", *here)[0]["enabled"] is False
    assert told("user", "enable", "anna", *here)[0]["enabled"] is True
    done("user", "remove", "anna", "--yes", *here)
    done("group", "remove", "tenors", "--yes", *here)
    assert [row["user"] for row in told("user", "list", *here)] == ["bert"]
    assert told("group", "list", *here) == []


def test_keys(service: Server, told: Callable[..., Any], done: Callable[..., str], appid: str) -> None:
    """A key is added, rotated, limited, disabled, enabled and removed; no list has a secret."""
    here = ("--account", appid)
    told("user", "add", "anna", *here)
    done("policy", "attach", "QcloudCOSReadOnlyAccess", "--user", "anna", *here)
    first = told("key", "add", "--user", "anna", *here)
    second = told("key", "rotate", first["secret_id"], *here)
    assert second["user"] == first["user"]
    for made in (first, second):
        assert client_of(service, made).list_buckets()["Buckets"] is None
    done("key", "limit", second["secret_id"], "--requests", "9", *here)
    done("key", "disable", first["secret_id"], *here)
    assert code(client_of(service, first).list_buckets) == "InvalidAccessKeyId"
    rows = told("key", "list", "--user", "anna", *here)
    assert [(row["enabled"], row["requests_per_second"]) for row in rows] == [(False, None), (True, 9)]
    printed = done("key", "list", "--user", "anna", *here)
    assert first["secret_key"] not in printed
    assert second["secret_key"] not in printed
    done("key", "enable", first["secret_id"], *here)
    assert client_of(service, first).list_buckets()["Buckets"] is None
    done("key", "remove", first["secret_id"], "--yes", *here)
    assert [row["secret_id"] for row in told("key", "list", "--user", "anna", *here)] == [second["secret_id"]]


def test_policies(told: Callable[..., Any], admin: Admin, done: Callable[..., str], appid: str, tmp_path: Path) -> None:
    """A policy is written, shown, attached, listed, simulated, detached and removed."""
    here = ("--account", appid)
    text = document(allow("cos:GetObject", f"qcs::cos::uid/{appid}:music-{appid}/*"))
    file = tmp_path / "read.json"
    file.write_text(text)
    done("policy", "put", "read", "--file", str(file), "--description", "to hear", *here)
    done("policy", "put", "none", "--file", "-", *here, text=document(deny("*")))
    assert [(row["policy"], row["description"]) for row in told("policy", "list", *here)] == [
        ("none", ""),
        ("read", "to hear"),
    ]
    assert json.loads(done("policy", "show", "read", *here)) == json.loads(text)
    assert "cos:" in done("policy", "show", "QcloudCOSFullAccess", *here)
    told("user", "add", "anna", *here)
    done("policy", "attach", "read", "--user", "anna", *here)
    assert told("policy", "attached", "--user", "anna", *here) == [{"policy": "read"}]
    assert told("policy", "targets", "read", *here) == [{"kind": "user", "name": "anna"}]

    asked = ("--resource", f"qcs::cos::uid/{appid}:music-{appid}/a.wav", *here)
    allowed = admin("policy", "simulate", "--user", "anna", "--action", "cos:GetObject", *asked, "--json")
    found = json.loads(allowed.stdout)
    assert allowed.exit_code == 0
    assert (found["allowed"], found["policy"], found["statement_number"]) == (True, "read", 1)
    assert found["statement"] == json.loads(text)["statement"][0]
    denied = admin("policy", "simulate", "--user", "anna", "--action", "cos:PutObject", *asked)
    assert (denied.exit_code, denied.stdout[:8]) == (1, "denied: ")
    assert admin("policy", "simulate", "--action", "cos:PutObject", *asked).exit_code == 0
    assert admin("policy", "simulate", "--anonymous", "--action", "cos:GetObject", *asked).exit_code == 1
    assert admin("policy", "simulate", "--role", "CI_QCSRole", "--action", "cos:PutObject", *asked).exit_code == 0

    assert admin("policy", "remove", "read", "--yes", *here).exit_code == 1
    done("policy", "detach", "read", "--user", "anna", *here)
    done("policy", "remove", "read", "--yes", *here)
    assert [row["policy"] for row in told("policy", "list", *here)] == ["none"]
    assert {"QcloudCIFullAccess", "QcloudCOSFullAccess"} <= {row["policy"] for row in told("policy", "presets")}


def test_roles(told: Callable[..., Any], done: Callable[..., str], appid: str) -> None:
    """A role is written with who may take it, shown, listed and removed."""
    here = ("--account", appid)
    statement = {
        "effect": "allow",
        "principal": {"service": ["ci.qcloud.com"]},
        "action": "name/sts:AssumeRole",
    }
    trust = json.dumps({"version": "2.0", "statement": [statement]})
    done("role", "put", "helper", "--trust", "-", "--description", "helps", *here, text=trust)
    done("policy", "attach", "QcloudCOSReadOnlyAccess", "--role", "helper", *here)
    shown = told("role", "show", "helper", *here)
    assert (shown["policies"], shown["trust"]) == (["QcloudCOSReadOnlyAccess"], json.loads(trust))
    assert [row["role"] for row in told("role", "list", *here)] == ["CI_QCSRole", "helper"]
    done("role", "remove", "helper", "--yes", *here)
    assert [row["role"] for row in told("role", "list", *here)] == ["CI_QCSRole"]


def test_bucket_policies(service: Server, told: Callable[..., Any], admin: Admin, done: Callable[..., str]) -> None:
    """The policy of a bucket is put, shown and removed, and holds at once."""
    made = told("account", "create", "studio")
    client, bucket = client_of(service, made), f"music-{made['appid']}"
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="k", Body=b"hello")
    text = document(
        deny(
            "cos:GetObject", f"qcs::cos::uid/{made['appid']}:{bucket}/*", principal={"qcs": ["qcs::cam::anyone:anyone"]}
        )
    )
    done("bucket", "policy", "put", bucket, "--file", "-", text=text)
    assert json.loads(done("bucket", "policy", "show", bucket)) == json.loads(text)
    assert code(lambda: client.get_object(Bucket=bucket, Key="k")) == "AccessDenied"
    done("bucket", "policy", "remove", bucket, "--yes")
    assert client.get_object(Bucket=bucket, Key="k")["Content-Length"] == "5"
    assert admin("bucket", "policy", "show", bucket).exit_code == 1


def test_sessions(service: Server, told: Callable[..., Any], done: Callable[..., str]) -> None:
    """A temporary key is listed, without its secret, and ended."""
    people = People(service)
    root = people.account()
    key = people.temporary(root)
    here = ("--account", root.appid)
    assert people.client(key).list_buckets()["Buckets"] is None
    (row,) = told("session", "list", *here)
    assert (row["secret_id"], row["asked_for_by"]) == (key.secret_id, root.secret_id)
    assert key.secret_key not in done("session", "list", *here)
    done("session", "end", key.secret_id, *here)
    assert told("session", "list", *here) == []
    assert code(people.client(key).list_buckets) == "InvalidAccessKeyId"


def test_tokens(told: Callable[..., Any], done: Callable[..., str], appid: str) -> None:
    """A token is shown once, listed without itself, and removed."""
    made = told("token", "create", f"watch-{appid}", "--account", appid, "--read-only", "--days", "3")
    assert made["token"].startswith("sordino_")
    assert (made["account"], made["read_only"]) == (appid, True)
    (row,) = [row for row in told("token", "list") if row["name"] == made["name"]]
    assert row == {name: value for name, value in made.items() if name != "token"}
    done("token", "remove", made["name"], "--yes")
    assert made["name"] not in [row["name"] for row in told("token", "list")]


def test_the_log_has_what_was_done(told: Callable[..., Any], admin: Admin, done: Callable[..., str]) -> None:
    """What the operator changes, and what is refused to him, is in the log, found by each member; looking is not."""
    appid = told("account", "create", "logged")["appid"]
    here = ("--account", appid)
    told("user", "add", "anna", *here)
    assert admin("user", "add", "anna", *here).exit_code == 1
    told("user", "list", *here)
    rows = told("audit", *here)
    assert [(row["action"], row["resource"], row["allowed"], row["code"]) for row in rows][:2] == [
        ("cam:AddUser", "user/anna", True, "EntityAlreadyExists"),
        ("cam:AddUser", "user/anna", True, ""),
    ]
    assert {row["owner"] for row in rows} == {appid}
    assert all(row["caller"].startswith("operator/") for row in rows)
    assert told("audit", *here, "--denied") == []
    refused = rows[0]
    assert told("audit", *here, "--request-id", refused["request_id"]) == [refused]
    assert told("audit", *here, "--action", "cam:AddUser", "--limit", "1") == [refused]
    assert told("audit", *here, "--before", str(refused["number"]), "--limit", "1")[0]["allowed"] is True
    assert told("audit", *here, "--until", "2020-01-01") == []
    assert "user/anna" in done("audit", *here)


def test_a_key_that_a_terminal_would_obey(service: Server, done: Callable[..., str]) -> None:
    """What a client called an object, refused or not, neither colours the log nor adds a line to it."""
    people = People(service)
    owner = people.account()
    bucket, user = people.bucket(owner), people.user(owner)
    name = "a\x1b[31m\nb\u202e"
    assert code(lambda: people.client(user).put_object(Bucket=bucket, Key=name, Body=b"")) == "AccessDenied"
    people.client(owner).put_object(Bucket=bucket, Key=name, Body=b"")
    patience = time.monotonic() + 10
    while (shown := done("audit", "--account", owner.appid, "--action", "cos:PutObject")).count("/a\\x1b[31m\\nb") < 2:
        assert time.monotonic() < patience, shown
        time.sleep(0.2)
    assert shown.isascii()
    assert "\x1b" not in shown
    assert "no policy allows it" in shown
    assert len(shown.splitlines()) == 3


def test_nothing_is_removed_unasked(admin: Admin, told: Callable[..., Any], appid: str) -> None:
    """Whoever does not say yes keeps what he has."""
    told("user", "add", "anna", "--account", appid)
    assert admin("user", "remove", "anna", "--account", appid, text="n\n").exit_code == 1
    assert [row["user"] for row in told("user", "list", "--account", appid)] == ["anna"]


@pytest.mark.parametrize(
    ("arguments", "text", "said"),
    [
        (("user", "add", "a/b"), None, "name"),
        (("user", "add", "x" * 65), None, "name"),
        (("user", "disable", "nobody"), None, "There is no user nobody"),
        (("key", "add", "--user", "nobody"), None, "There is no user nobody"),
        (("key", "disable", "AKIDnone"), None, "AKIDnone"),
        (("key", "limit", "AKIDnone", "--requests", "0"), None, "--requests"),
        (("group", "join", "none", "nobody"), None, "There is no"),
        (("policy", "put", "p", "--file", "-"), "{", "JSON"),
        (("policy", "put", "p", "--file", "-"), '{"version":"1.0","statement":[]}', "Version"),
        (("policy", "put", "p", "--file", "-"), "x" * 70_000, "no policy"),
        (("policy", "put", "p", "--file", "/none/there"), None, "cannot be read"),
        (("policy", "put", "QcloudCOSFullAccess", "--file", "-"), document(allow("*")), "QcloudCOSFullAccess"),
        (("policy", "attach", "none", "--role", "CI_QCSRole"), None, "no policy none"),
        (("policy", "attach", "QcloudCOSFullAccess", "--role", "none"), None, "There is no role none"),
        (("policy", "attach", "QcloudCOSFullAccess"), None, "one of --user, --group and --role"),
        (("policy", "simulate", "--user", "nobody", "--action", "cos:GetObject", "--resource", "*"), None, "nobody"),
        (("policy", "simulate", "--action", "GetObject", "--resource", "*"), None, "cos:GetObject"),
        (("policy", "simulate", "--action", "cos:GetObject", "--resource", "*", "--context", "ip"), None, "KEY=VALUE"),
        (("role", "put", "r", "--trust", "-"), document(allow("*")), "principal"),
        (("role", "show", "none"), None, "There is no role none"),
        (("session", "end", "AKIDnone"), None, "AKIDnone"),
        (("account", "limit", "1", "--requests", "0"), None, "--requests"),
        (("account", "limit", "1", "--queued-jobs", "9" * 5000), None, "--queued-jobs"),
        (("account", "limit", "1", "--audio-hours", "277778"), None, "use 0 to 277777"),
        (("account", "limit", "1"), None, "--audio-hours"),
        (("queue", "limit", "b-1", "--max-size", "9" * 5000), None, "--max-size"),
        (("bucket", "quota", "b-1", "--objects", "9" * 5000), None, "--objects"),
        (("account", "disable", "1"), None, "There is no account '1'"),
        (("account", "create", "n", "--appid", "one"), None, "APPID"),
        (("token", "create", "t", "--account", "1"), None, "There is no account '1'"),
        (("token", "create", "t", "--days", "3651"), None, "--days"),
        (("token", "remove", "none", "--yes"), None, "none"),
        (("bucket", "policy", "put", "none-1", "--file", "-"), document(allow("*")), "none-1"),
        (("user", "list", "--account", "1"), None, "There is no account '1'"),
        (("audit", "--since", "yesterday"), None, "yesterday"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else "",
)
def test_refusals(admin: Admin, appid: str, arguments: tuple[str, ...], text: str | None, said: str) -> None:
    """What cannot be done is said in a line or two, and that is all."""
    in_accounts = arguments[0] in {"user", "group", "key", "policy", "role", "session"} and "--account" not in arguments
    result = admin(*arguments, *(("--account", appid) if in_accounts else ()), text=text)
    assert result.exit_code in {1, 2}
    assert said in result.output.replace("│", " ")
    assert isinstance(result.exception, SystemExit)


def test_which_account(admin: Admin, appid: str) -> None:
    """With several accounts one must be named, and it says how to find it."""
    result = admin("user", "list")
    assert result.exit_code == 1
    assert "--account APPID" in result.output
