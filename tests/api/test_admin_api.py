"""The admin API: who may make which call is tried for every route that its own document tells of."""

import json
import re
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from openapi_spec_validator import validate

from admin_http import Admin, Reply, new_token
from people import Key, People
from policies import allow as may
from policies import document
from server import Server, new_room
from sordino.adapters.postgres.embedded import find_running
from sordino.api.admin.app import routes
from sordino.api.admin.fields import MAX_BYTES
from sordino.cam.tokens import PREFIX
from support import job_body, start_service

DOCUMENT = routes().openapi()
OPERATIONS = [
    pytest.param(method.upper(), path, id=operation["operationId"])
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
POLICY = json.loads(document(may("cos:GetObject")))
TRUST = {
    "version": "2.0",
    "statement": [{"effect": "allow", "principal": {"service": ["ci.qcloud.com"]}, "action": ["name/sts:AssumeRole"]}],
}


@dataclass(frozen=True, slots=True)
class World:
    """A service, and one of everything in an account that is not its first.

    Attributes:
        admin: with the token of all accounts.
        tokens: by what they are.
        places: what stands for the parameters of paths.
        secrets: what no reply may show.
    """

    service: Server
    admin: Admin
    owner: Key
    other: Key
    tokens: Mapping[str, str | None]
    places: Mapping[str, str]
    secrets: list[str] = field(default_factory=list)

    def path(self, template: str) -> str:
        """The path of a route, of what there is."""
        return template.format(**self.places)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Of the tests that refuse and look: none of them changes it."""
    with new_room() as directory:
        service = start_service(
            directory / "data", SORDINO_ADMIN_PORT="0", SORDINO_WORKERS="1", SORDINO_FAILED_SIGN_INS="0"
        )
        try:
            yield _world(service)
        finally:
            assert service.stop() == 0, service.log_tail(60)


def _world(service: Server) -> World:
    people, admin = People(service), Admin(service, new_token(service, "ops"))
    owner, other = people.account(), people.account()
    of = f"/v1/accounts/{owner.appid}"
    admin.done("POST", f"{of}/users", {"name": "alice"})
    key = admin.done("POST", f"{of}/users/alice/keys")
    admin.done("POST", f"{of}/groups", {"name": "singers", "description": "those who sing"})
    admin.done("PUT", f"{of}/groups/singers/users/alice")
    admin.done("PUT", f"{of}/policies/reading", POLICY)
    admin.done("PUT", f"{of}/users/alice/policies/reading")
    session = people.temporary(owner)
    bucket = people.bucket(owner)
    client = people.client(owner)
    client.ci_open_asr_bucket(Bucket=bucket)
    body = job_body(bucket, "out.wav")
    job = client.ci_create_media_jobs(Bucket=bucket, Jobs=body)["JobsDetail"]
    admin.done("PUT", f"/v1/buckets/{bucket}/policy", _bucket_policy(owner, bucket))
    tokens: dict[str, str | None] = {
        "none": None,
        "unknown": PREFIX + "x" * 43,
        "read-only": new_token(service, "looks", "--read-only"),
        "own": new_token(service, "own", "--account", owner.appid),
        "other": new_token(service, "other", "--account", other.appid),
        "expired": new_token(service, "expired", "--days", "1"),
        "removed": new_token(service, "removed"),
        "disabled": new_token(service, "disabled", "--account", (gone := people.account()).appid),
    }
    with psycopg.connect(str(find_running(service.data))) as connection:
        connection.execute("UPDATE sordino.admin_tokens SET expires_at = now() WHERE name = 'expired'")
    admin.done("DELETE", "/v1/tokens/removed")
    admin.done("PATCH", f"/v1/accounts/{gone.appid}", {"enabled": False})
    return World(
        service=service,
        admin=admin,
        owner=owner,
        other=other,
        tokens=tokens,
        places={
            "appid": owner.appid,
            "name": "alice",
            "user": "alice",
            "secret_id": key["secret_id"],
            "policy": "reading",
            "kind": "user",
            "bucket": bucket,
            "queue_id": "default",
            "job_id": job["JobId"] if isinstance(job, dict) else job[0]["JobId"],
        },
        secrets=[
            key["secret_key"],
            owner.secret_key,
            session.secret_key,
            str(session.token),
            *filter(None, tokens.values()),
        ],
    )


def _bucket_policy(owner: Key, bucket: str) -> dict[str, Any]:
    return {
        "version": "2.0",
        "statement": [
            {
                "effect": "allow",
                "principal": {"qcs": [f"qcs::cam::uin/{owner.uin}:uin/{owner.uin}"]},
                "action": ["name/cos:GetObject"],
                "resource": [f"qcs::cos:*:uid/{owner.appid}:{bucket}/*"],
            }
        ],
    }


TABLES = (
    "accounts", "users", "groups", "group_members", "roles", "policies", "attachments", "access_keys",
    "temporary_keys", "buckets", "queues", "admin_tokens",
)  # fmt: skip


def _everything(world: World) -> Mapping[str, object]:
    """All that calls can change, but for jobs, which change by themselves, and when keys and tokens were used."""
    with psycopg.connect(str(find_running(world.service.data))) as connection:
        rows = {
            table: connection.execute(f"SELECT to_jsonb(it) - 'used_at' FROM sordino.{table} AS it").fetchall()
            for table in TABLES
        }
    return {table: sorted(map(str, found)) for table, found in rows.items()}


def _shown(world: World) -> str:
    """What all calls that look tell."""
    calls = [path for method, path in (it.values for it in OPERATIONS) if method == "GET"]
    return json.dumps([world.admin.send("GET", world.path(path)).body for path in calls])


def _refused(reply: Reply, status: int, code: str) -> None:
    assert (reply.status, reply.code) == (status, code), reply
    assert set(reply.body) == {"code", "message", "request_id"}
    assert reply.headers["x-request-id"] == reply.body["request_id"]
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["content-type"] == "application/json"


def test_document_is_valid_and_names_the_token(world: World) -> None:
    """The API tells of itself, to everybody, in a document that is OpenAPI; every call needs the token."""
    reply = world.admin.having(None).send("GET", "/openapi.json")
    assert reply.status == 200
    validate(reply.body)
    assert reply.body["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    operations = [one for methods in reply.body["paths"].values() for one in methods.values()]
    assert len(operations) == len(OPERATIONS) > 50
    assert all(list(one["security"][0]) == ["token"] and one["description"] for one in operations)
    assert len({one["operationId"] for one in operations}) == len(operations)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@pytest.mark.parametrize("kind", ["none", "unknown", "expired", "removed", "disabled"])
def test_no_call_without_a_good_token(world: World, method: str, path: str, kind: str) -> None:
    """Whoever has no token, or one that is not good, is refused before anything else, and changes nothing."""
    before = _everything(world) if method == "DELETE" and kind == "unknown" else None
    reply = world.admin.having(world.tokens[kind]).send(method, world.path(path), {})
    _refused(reply, 401, "MissingAuthorization" if kind == "none" else "AccessDenied")
    assert reply.headers["www-authenticate"] == "Bearer"
    assert before is None or before == _everything(world)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_who_may_only_look_changes_nothing(world: World, method: str, path: str) -> None:
    """A token that may only look is refused every call that changes something, and no other."""
    before = _everything(world)
    reply = world.admin.having(world.tokens["read-only"]).send(method, world.path(path), {})
    if method == "GET":
        assert reply.status in {200, 404}, reply  # 404: of the names that stand for all kinds of things
    elif path.endswith("/simulate"):
        _refused(reply, 400, "InvalidArgument")
    else:
        _refused(reply, 403, "AccessDenied")
        assert "may only look" in reply.body["message"]
    assert before == _everything(world)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_what_is_of_another_account_is_not_there(world: World, method: str, path: str) -> None:
    """A token of another account is told the same of what there is as of what there is not, and changes neither."""
    before, theirs = _everything(world), world.admin.having(world.tokens["other"])
    reply = theirs.send(method, world.path(path), {})
    none = {**world.places, "appid": "1999999999", "bucket": "none-1999999999", "job_id": "j0"}
    if re.search(r"\{(appid|bucket|job_id)\}", path):
        missing = theirs.send(method, path.format(**none), {})
        assert (reply.status, missing.status) == (404, 404)
        assert reply.code == missing.code
        assert _without_names(reply, world.places) == _without_names(missing, none)
    elif method == "GET" and path != "/v1/tokens":
        assert reply.status == 200
        shown = json.dumps(reply.body)
        assert path == "/v1/audit" or not {world.owner.appid, "alice"} & set(re.findall(r"\w+", shown))
    else:
        _refused(reply, 403, "AccessDenied")
    assert before == _everything(world)


def _without_names(reply: Reply, names: Mapping[str, str]) -> str:
    message = str(reply.body["message"])
    for name in ("bucket", "job_id", "appid"):
        message = message.replace(names[name], name)
    return message


def test_document_tells_what_token_a_call_needs() -> None:
    """Calls that change something say so, and those that are about more than one account, or its limits."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            roles = operation["security"][0]["token"]
            assert ("change" in roles) == (method != "get" and operation["operationId"] != "simulate"), path
            assert ("all accounts" in roles) == (operation["operationId"] in {*GOVERNING, "list_tokens"}), path


GOVERNING = ("create_account", "change_account", "limit_bucket", "limit_queue", "create_token", "remove_token")


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_an_account_does_not_govern_itself(
    world: World, method: str, path: str, request: pytest.FixtureRequest
) -> None:
    """A token of the account may see and change what is the account's, but not what the server lets it have."""
    name = request.node.callspec.id
    own = world.admin.having(world.tokens["own"])
    if name in GOVERNING or name == "list_tokens":
        reply = own.send(method, world.path(path), {})
        _refused(reply, 403, "AccessDenied")
        assert world.owner.appid in reply.body["message"]
    elif method in {"PUT", "PATCH", "GET"}:
        reply = own.send(method, world.path(path), ... if method == "GET" else {})
        assert reply.status not in {401, 403}, reply


def test_refusals_are_audited(world: World) -> None:
    """Who was refused for his token stands in the log, with his address; of no token the token itself does."""
    world.admin.having(world.tokens["unknown"]).send("GET", "/v1/accounts?marked=1")
    refused = world.admin.having(world.tokens["other"]).send("DELETE", world.path("/v1/accounts/{appid}/users/{name}"))
    (entry,) = _audited(world, f"request_id={refused.headers['x-request-id']}", 1)
    assert entry["caller"] == "operator/token/other"
    assert (entry["allowed"], entry["code"], entry["owner"]) == (False, "NoSuchEntity", world.other.appid)
    assert (entry["action"], entry["source"]) == ("sordino:DELETE", "127.0.0.1")
    unknown = _audited(world, "caller=unknown&size=1000", 1)
    assert {one["code"] for one in unknown} <= {"AccessDenied", "MissingAuthorization", "InvalidAuthorization"}


def test_the_log_of_one_account_tells_of_no_other(world: World) -> None:
    """A token of an account sees what it did and what was done with its things, and cannot ask for more."""
    theirs, other = world.admin.having(world.tokens["other"]), world.other.appid
    entries = theirs.done("GET", "/v1/audit?size=1000")["entries"]
    assert all(other in {one["appid"], one["owner"]} for one in entries)
    _refused(theirs.send("GET", f"/v1/audit?account={world.owner.appid}"), 404, "NoSuchEntity")
    assert world.admin.done("GET", f"/v1/audit?account={world.owner.appid}")["entries"]


def _audited(world: World, query: str, least: int) -> list[dict[str, Any]]:
    """Entries of the log, which are there within a second or so."""
    for _ in range(50):
        found: list[dict[str, Any]] = world.admin.done("GET", f"/v1/audit?{query}")["entries"]
        if len(found) >= least:
            return found
        time.sleep(0.1)
    pytest.fail(f"the audit log has {len(found)} entries of {query}")


def test_no_reply_shows_a_secret(world: World) -> None:
    """Neither keys nor tokens are shown again, nor are they in the log of the server."""
    shown = _shown(world) + json.dumps(world.admin.done("GET", "/v1/audit?size=1000"))
    assert world.places["secret_id"] in shown
    # But for the first key, which `sordino serve` shows once.
    shown += world.service.log.read_text()
    assert not [secret for secret in world.secrets if secret in shown]


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Basic b3Bz", "bearer  ", "{bearer}", "Bearer {bearer}x", "Bearer {short}", "Bearer {bearer} x"],
)
def test_odd_tokens(world: World, value: str) -> None:
    """What is nearly a token is none."""
    bearer = world.admin.bearer or ""
    header = value.format(bearer=bearer, short=bearer[:-1])
    reply = world.admin.having(None).send("GET", "/v1/token", headers={"Authorization": header})
    assert reply.status == 401, reply


def test_scheme_in_any_case(world: World) -> None:
    """The scheme counts in any case, as HTTP says."""
    headers = {"Authorization": f"bEARER {world.admin.bearer}"}
    assert world.admin.having(None).send("GET", "/v1/token", headers=headers).status == 200


def test_two_tokens_are_none(world: World) -> None:
    """Of two headers none is taken, whichever is good."""
    url = urlsplit(world.admin.url)
    head = (
        f"GET /v1/token HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n"
        f"Authorization: Bearer {world.admin.bearer}\r\nAuthorization: Bearer {world.tokens['unknown']}\r\n\r\n"
    )
    assert "InvalidAuthorization" in _raw(world, head.encode())


def _raw(world: World, request: bytes) -> str:
    url = urlsplit(world.admin.url)
    with socket.create_connection((str(url.hostname), int(url.port or 0)), timeout=30) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode("latin-1")


def test_what_is_no_http_is_refused_in_json(world: World) -> None:
    """Also whoever does not come so far as to the application is told in JSON."""
    reply = _raw(world, b"GARBAGE\r\n\r\n")
    head, _, body = reply.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 400")
    assert json.loads(body)["code"] == "InvalidArgument"
    assert "x-cos" not in head.lower()


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("GET", "/v1/nothing", {}, 404, "InvalidUrl"),
        ("GET", "/docs", {}, 404, "InvalidUrl"),
        ("GET", "/redoc", {}, 404, "InvalidUrl"),
        ("GET", "/v1/accounts/", {}, 404, "InvalidUrl"),
        ("GET", "/v1/accounts/%2e%2e/tokens", {}, 404, "InvalidUrl"),
        ("GET", "/v1/accounts/1250000000%00/users", {}, 400, "InvalidArgument"),
        ("DELETE", "/v1/accounts", {}, 405, "MethodNotAllowed"),
        ("HEAD", "/v1/tokens", {}, 405, None),
        ("OPTIONS", "/v1/tokens", {}, 405, "MethodNotAllowed"),
        ("POST", "/v1/accounts", {"raw": b"{"}, 400, "InvalidArgument"),
        ("POST", "/v1/accounts", {"raw": b"\xff"}, 400, "InvalidArgument"),
        ("POST", "/v1/accounts", {"raw": b"[" * 100_000}, 400, "InvalidArgument"),
        ("POST", "/v1/accounts", {"raw": b'{"name":' + b"9" * 5000 + b"}"}, 400, "InvalidArgument"),
        ("POST", "/v1/accounts", {"raw": b'{"name": "\\ud800"}'}, 400, "InvalidArgument"),
        ("POST", "/v1/accounts", {"raw": b'{"\\ud800": 1}'}, 400, "InvalidArgument"),
        ("POST", "/v1/accounts", {"raw": b"{}", "headers": {"Content-Type": "text/plain"}}, 400, "InvalidArgument"),
        ("POST", "/v1/accounts", {"body": {"name": "a\nb"}}, 400, "InvalidArgument"),
        ("POST", "/v1/accounts", {"body": {"nmae": "x"}}, 400, "InvalidArgument"),
        ("POST", "/v1/tokens", {"body": {"name": "x", "days": "7"}}, 400, "InvalidArgument"),
        ("POST", "/v1/tokens", {"body": {"name": "x", "read_only": 1}}, 400, "InvalidArgument"),
        ("POST", "/v1/tokens", {"body": {"name": "x", "appid": "1999999999"}}, 404, "NoSuchEntity"),
        ("POST", "/v1/accounts", {"raw": b" " * (MAX_BYTES + 1)}, 413, "InvalidContent"),
        ("PATCH", "/v1/accounts/{appid}", {"body": {}}, 400, "InvalidArgument"),
        ("PATCH", "/v1/accounts/{appid}", {"body": {"weight": 101}}, 400, "InvalidArgument"),
        ("PATCH", "/v1/accounts/{appid}", {"body": {"enabled": None}}, 400, "InvalidArgument"),
        ("PUT", "/v1/accounts/{appid}/policies/p", {"raw": b"[]"}, 400, "MalformedPolicy"),
        ("PUT", "/v1/accounts/{appid}/policies/p", {"raw": b"\xff"}, 400, "MalformedPolicy"),
        ("PUT", "/v1/accounts/{appid}/policies/p", {"raw": b"{}", "headers": {"Content-Type": "x/y"}}, 400, None),
        ("PUT", "/v1/accounts/{appid}/policies/AdministratorAccess", {"body": POLICY}, 409, "EntityAlreadyExists"),
        ("PUT", "/v1/accounts/{appid}/policies/a%20b", {"body": POLICY}, 400, "InvalidArgument"),
        ("PUT", "/v1/accounts/{appid}/bands/alice/policies/reading", {}, 400, "InvalidArgument"),
        ("GET", "/v1/audit?size=0", {}, 400, "InvalidArgument"),
        ("GET", "/v1/audit?since=2026-01-01T00:00:00", {}, 400, "InvalidArgument"),
        ("GET", "/v1/audit?caller=%00", {}, 400, "InvalidArgument"),
        ("GET", "/v1/audit?who=me", {}, 400, "InvalidArgument"),
        ("GET", "/v1/audit?before=9223372036854775808", {}, 400, "InvalidArgument"),
    ],
)
def test_what_cannot_be_is_refused(
    world: World, method: str, path: str, options: dict[str, Any], status: int, code: str | None
) -> None:
    """A mistake is told as such, in JSON, with what to do; none of them is the server's fault."""
    before = _everything(world)
    reply = world.admin.send(method, world.path(path) if "{appid}" in path else path, **options)
    assert reply.status == status, reply
    assert method == "HEAD" or code is None or reply.code == code, reply
    assert before == _everything(world)


def test_others_pages_may_not_call(world: World) -> None:
    """No page of another origin is told that it may read what is answered, and there are no cookies."""
    reply = world.admin.send("GET", "/v1/accounts", headers={"Origin": "https://elsewhere.example"})
    assert reply.status == 200
    assert not [name for name in reply.headers if name.startswith("access-control") or name == "set-cookie"]
