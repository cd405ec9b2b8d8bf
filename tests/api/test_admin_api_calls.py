"""What the calls of the admin API do, as the official SDK meets it, and that no call is the server's fault."""

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from qcloud_cos import CosServiceError

from admin_http import Admin, Reply, new_token
from people import Key, People
from policies import allow as may
from policies import document
from receiver import receiving
from server import Server, new_room
from sordino.api.admin.app import routes
from support import clean_environment, job_body, start_service, wait_for_jobs

DOCUMENT = routes().openapi()
READING = json.loads(document(may(["cos:GetObject", "cos:HeadObject"])))
FAILURES = 5
"""A minute, so that after them another is let try every twelve seconds."""


@pytest.fixture(scope="module")
def service() -> Iterator[Server]:
    """A service with an admin API, in which few calls without a good token are let try again."""
    with new_room() as directory:
        running = start_service(
            directory / "data",
            SORDINO_ADMIN_PORT="0",
            SORDINO_WORKERS="1",
            SORDINO_CALLBACK_ALLOW="127.0.0.0/8",
            SORDINO_FAILED_SIGN_INS=str(FAILURES),
        )
        try:
            yield running
        finally:
            assert running.stop() == 0, running.log_tail(60)


@pytest.fixture(scope="module")
def admin(service: Server) -> Admin:
    """The API, to a token of all accounts."""
    return Admin(service, new_token(service, "ops"))


@pytest.fixture
def owner(service: Server, admin: Admin) -> Key:
    """A new account, made by the API."""
    made = admin.done("POST", "/v1/accounts", {"name": "studio"})
    account, key = made["account"], made["key"]
    return Key(appid=account["appid"], uin=account["uin"], secret_id=key["secret_id"], secret_key=key["secret_key"])


@pytest.fixture
def of(owner: Key) -> str:
    """Where what is of the account is."""
    return f"/v1/accounts/{owner.appid}"


def refused(call: Callable[[], object]) -> str:
    """With what a call of the SDK is refused."""
    with pytest.raises(CosServiceError) as caught:
        call()
    return str(caught.value.get_error_code())


def test_accounts(service: Server, admin: Admin, owner: Key, of: str) -> None:
    """An account is made with a key that works, found, changed in one call, disabled and enabled."""
    client = People(service).client(owner)
    client.list_buckets()
    changes = {"name": "big studio", "weight": 7, "allowance": {"requests_per_second": 500, "audio_seconds": 60}}
    changed = admin.done("PATCH", of, changes)
    assert changed == admin.done("GET", of)
    assert changed in admin.done("GET", "/v1/accounts")
    assert (changed["name"], changed["weight"], changed["enabled"]) == ("big studio", 7, True)
    assert changed["allowance"] == {"requests_per_second": 500, "queued_jobs": None, "audio_seconds": 60}
    assert admin.done("PATCH", of, {"allowance": {"audio_seconds": None}})["allowance"]["requests_per_second"] == 500
    admin.done("PATCH", of, {"enabled": False})
    assert refused(client.list_buckets) == "InvalidAccessKeyId"
    admin.done("PATCH", of, {"enabled": True})
    client.list_buckets()
    assert admin.send("POST", "/v1/accounts", {"appid": owner.appid}).code == "EntityAlreadyExists"


def test_a_user_may_what_its_policies_say(service: Server, admin: Admin, owner: Key, of: str) -> None:
    """A user gets a key and, by itself or its group, policies; each change holds for the next call."""
    people = People(service)
    bucket = people.bucket(owner)
    people.client(owner).put_object(Bucket=bucket, Key="a", Body=b"abc")
    user = admin.done("POST", f"{of}/users", {"name": "alice"})
    made = admin.done("POST", f"{of}/users/alice/keys")
    key = Key(appid=owner.appid, user=user["uin"], **made)
    client = people.client(key)

    def read() -> object:
        return client.get_object(Bucket=bucket, Key="a")

    assert refused(read) == "AccessDenied"
    question = {"user": "alice", "action": "cos:GetObject", "resource": f"{bucket}/a"}
    assert admin.done("POST", f"{of}/simulate", question)["allowed"] is False
    put = admin.done("PUT", f"{of}/policies/reading?description=to%20read", READING)
    assert (put["document"], put["description"], put["preset"]) == (READING, "to read", False)
    admin.done("PUT", f"{of}/users/alice/policies/reading")
    read()
    answer = admin.done("POST", f"{of}/simulate", question)
    assert (answer["allowed"], answer["policy"], answer["statement_number"]) == (True, "reading", 1)
    assert answer["statement"] == READING["statement"][0]
    assert admin.done("GET", f"{of}/policies/reading/targets") == [{"kind": "user", "name": "alice"}]
    assert admin.send("DELETE", f"{of}/policies/reading").code == "EntityInUse"
    admin.done("DELETE", f"{of}/users/alice/policies/reading")
    assert refused(read) == "AccessDenied"

    admin.done("POST", f"{of}/groups", {"name": "singers"})
    admin.done("PUT", f"{of}/groups/singers/policies/QcloudCOSDataReadOnly")
    admin.done("PUT", f"{of}/groups/singers/users/alice")
    read()
    assert admin.done("GET", f"{of}/groups")[0]["users"] == ["alice"]
    assert admin.done("GET", f"{of}/groups/singers/policies") == ["QcloudCOSDataReadOnly"]
    admin.done("DELETE", f"{of}/groups/singers/users/alice")
    assert refused(read) == "AccessDenied"
    admin.done("DELETE", f"{of}/groups/singers")

    admin.done("PATCH", f"{of}/users/alice", {"enabled": False})
    assert refused(read) == "InvalidAccessKeyId"
    admin.done("DELETE", f"{of}/policies/reading")
    admin.done("DELETE", f"{of}/users/alice")
    assert admin.send("GET", f"{of}/users/alice").code == "NoSuchEntity"
    assert admin.done("GET", f"{of}/users") == []


def test_keys_are_rotated_and_the_last_one_stays(service: Server, admin: Admin, owner: Key, of: str) -> None:
    """A new key stands beside the old one, which is then disabled; the last good key of a root stays."""
    people = People(service)
    last = f"{of}/keys/{owner.secret_id}"
    assert admin.send("DELETE", last).code == "EntityInUse"
    new = Key(appid=owner.appid, uin=owner.uin, **admin.done("POST", f"{last}/rotate"))
    people.client(new).list_buckets()
    people.client(owner).list_buckets()
    limited = admin.done("PATCH", last, {"requests_per_second": 9})
    assert (limited["requests_per_second"], limited["enabled"]) == (9, True)
    disabled = admin.done("PATCH", last, {"enabled": False})
    assert (disabled["requests_per_second"], disabled["enabled"]) == (9, False)
    assert admin.done("PATCH", last, {"requests_per_second": None})["requests_per_second"] is None
    assert refused(people.client(owner).list_buckets) == "InvalidAccessKeyId"
    admin.done("DELETE", last)
    assert [key["secret_id"] for key in admin.done("GET", f"{of}/keys")] == [new.secret_id]
    another = admin.done("POST", f"{of}/keys")
    assert len(admin.done("GET", f"{of}/keys")) == 2
    people.client(Key(appid=owner.appid, **another)).list_buckets()


def test_roles_and_sessions(service: Server, admin: Admin, owner: Key, of: str) -> None:
    """A role is made by its trust; a temporary key is seen without its secrets, and ended."""
    people = People(service)
    trust = {
        "version": "2.0",
        "statement": [{"effect": "allow", "principal": {"qcs": [owner.principal]}, "action": ["name/sts:AssumeRole"]}],
    }
    made = admin.done("PUT", f"{of}/roles/reader?description=reads", trust)
    assert (made["trust"], made["description"], made["policies"]) == (trust, "reads", [])
    admin.done("PUT", f"{of}/roles/reader/policies/QcloudCOSFullAccess")
    shown = admin.done("GET", f"{of}/roles/reader")
    assert shown["policies"] == ["QcloudCOSFullAccess"]
    assert [role["name"] for role in admin.done("GET", f"{of}/roles")] == ["CI_QCSRole", "reader"]
    session = people.temporary(owner, role="reader")
    client = people.client(session)
    client.list_buckets()
    (told,) = admin.done("GET", f"{of}/sessions")
    assert (told["secret_id"], told["role"], told["asked_by"]) == (session.secret_id, "reader", owner.secret_id)
    admin.done("DELETE", f"{of}/sessions/{session.secret_id}")
    assert refused(client.list_buckets) == "InvalidAccessKeyId"
    assert admin.send("DELETE", f"{of}/sessions/{session.secret_id}").code == "NoSuchEntity"
    admin.done("DELETE", f"{of}/roles/reader")
    assert admin.send("GET", f"{of}/roles/reader").code == "NoSuchEntity"


def test_buckets(service: Server, admin: Admin, owner: Key) -> None:
    """A bucket's quota holds, its policy opens it, and how long results stay is told."""
    people = People(service)
    bucket, client = people.bucket(owner), people.client(owner)
    client.put_object(Bucket=bucket, Key="a", Body=b"abc")
    place = f"/v1/buckets/{bucket}"
    shown = admin.done("GET", place)
    assert (shown["objects"], shown["bytes"], shown["max_bytes"], shown["has_policy"]) == (1, 3, None, False)
    assert [one["name"] for one in admin.done("GET", f"/v1/buckets?appid={owner.appid}")] == [bucket]
    limited = admin.done("PATCH", f"{place}/quota", {"max_bytes": 4})
    assert (limited["max_bytes"], limited["max_objects"]) == (4, None)
    assert refused(lambda: client.put_object(Bucket=bucket, Key="b", Body=b"abc")) == "QuotaExceeded"
    assert admin.done("PATCH", f"{place}/quota", {"max_objects": 9, "max_bytes": None})["max_objects"] == 9
    client.put_object(Bucket=bucket, Key="b", Body=b"abc")
    kept = admin.done("PATCH", f"{place}/lifecycle", {"results_days": 3})
    assert (kept["results_days"], kept["results_days_is_own"]) == (3, True)
    assert admin.done("PATCH", f"{place}/lifecycle", {"results_days": None})["results_days_is_own"] is False

    stranger = people.client(people.account())
    assert refused(lambda: stranger.get_object(Bucket=bucket, Key="a")) == "AccessDenied"
    policy = {
        "version": "2.0",
        "statement": [
            {
                "effect": "allow",
                "principal": {"qcs": ["qcs::cam::anyone:anyone"]},
                "action": ["name/cos:GetObject"],
                "resource": [f"qcs::cos:*:uid/{owner.appid}:{bucket}/*"],
            }
        ],
    }
    assert admin.send("GET", f"{place}/policy").code == "NoSuchBucketPolicy"
    admin.done("PUT", f"{place}/policy", policy)
    assert admin.done("GET", f"{place}/policy") == policy
    stranger.get_object(Bucket=bucket, Key="a")
    admin.done("DELETE", f"{place}/policy")
    assert refused(lambda: stranger.get_object(Bucket=bucket, Key="a")) == "AccessDenied"


def test_queues_and_jobs(service: Server, admin: Admin, owner: Key, recording: bytes) -> None:
    """A queue is limited; a job is seen, its end told once more, and one that waits is cancelled."""
    people = People(service)
    bucket, client = people.bucket(owner), people.client(owner)
    client.put_object(Bucket=bucket, Key="in.wav", Body=recording)
    (queue,) = admin.done("GET", f"/v1/buckets/{bucket}/queues")
    assert (queue["is_default"], queue["max_size_is_own"]) == (True, False)
    limits = {"max_size": 5, "weight": 3}
    limited = admin.done("PATCH", f"/v1/buckets/{bucket}/queues/default", limits)
    assert (limited["max_size"], limited["max_size_is_own"], limited["weight"]) == (5, True, 3)
    same = admin.done("PATCH", f"/v1/buckets/{bucket}/queues/{queue['queue_id']}", {"max_size": None})
    assert same == {**queue, "weight": 3}
    assert admin.send("PATCH", f"/v1/buckets/{bucket}/queues/p0", limits).code == "QueueNotFound"

    with receiving() as receiver:
        job_id = _submit(client, bucket, job_body(bucket, "out.wav") | {"CallBack": receiver.url()})
        wait_for_jobs(client, bucket, [job_id])
        receiver.next()
        assert admin.done("GET", f"/v1/jobs/{job_id}")["state"] == "Success"
        (told,) = _delivered(admin, job_id, 1)
        assert (told["to"], told["attempts"][0]["status"]) == (receiver.url(), 200)
        assert len(admin.done("POST", f"/v1/jobs/{job_id}/callbacks")) == 2
        receiver.next()
    assert admin.send("POST", f"/v1/jobs/{job_id}/cancel").code == "InvalidArgument"

    client.ci_update_media_queue(
        Bucket=bucket,
        QueueId=queue["queue_id"],
        Request={"Name": "q", "QueueID": queue["queue_id"], "State": "Paused", "NotifyConfig": {"State": "Off"}},
        UrlPath="/asrqueue/",
    )
    waiting = _submit(client, bucket, job_body(bucket, "out2.wav"))
    assert admin.done("POST", f"/v1/jobs/{waiting}/cancel")["state"] == "Cancel"
    (entry,) = admin.done("GET", f"/v1/audit?account={owner.appid}&action={quote('ci:CancelJob')}&allowed=true&size=1")[
        "entries"
    ]
    assert (entry["caller"], entry["resource"]) == ("operator/token/ops", f"job/{waiting}")


def _submit(client: Any, bucket: str, body: dict[str, Any]) -> str:
    detail = client.ci_create_media_jobs(Bucket=bucket, Jobs=body)["JobsDetail"]
    return str(detail["JobId"] if isinstance(detail, dict) else detail[0]["JobId"])


def _delivered(admin: Admin, job_id: str, count: int) -> list[Any]:
    for _ in range(100):
        found: list[Any] = admin.done("GET", f"/v1/jobs/{job_id}/callbacks")
        if sum(one["state"] == "Delivered" for one in found) == count:
            return found
        time.sleep(0.1)
    pytest.fail(f"not delivered: {found}")


def test_log_comes_in_pages(admin: Admin, owner: Key, of: str) -> None:
    """The log is searched, and read page by page with no entry twice."""
    for number in range(5):
        admin.done("POST", f"{of}/users", {"name": f"user{number}"})
    pages, before = [], ""
    while True:
        page = admin.done("GET", f"/v1/audit?account={owner.appid}&action=cam%3AAddUser&size=2{before}")
        pages += [entry["resource"] for entry in page["entries"]]
        if page["before"] is None:
            break
        before = f"&before={page['before']}"
    assert pages == [f"user/user{number}" for number in reversed(range(5))]
    late = admin.done("GET", f"/v1/audit?account={owner.appid}&since=2100-01-01T00:00:00Z")
    assert late == {"entries": [], "before": None}


def test_call_and_its_entry_have_one_id(admin: Admin, of: str) -> None:
    """A change is found in the log by the id that its reply bears."""
    reply = admin.send("POST", f"{of}/users", {"name": "bob"})
    (entry,) = admin.done("GET", f"/v1/audit?request_id={reply.headers['x-request-id']}")["entries"]
    assert (entry["action"], entry["resource"], entry["source"]) == ("cam:AddUser", "user/bob", "127.0.0.1")


def test_tokens_make_tokens(admin: Admin, owner: Key) -> None:
    """A token of all accounts makes others, which are listed without themselves, and removes them."""
    made = admin.done("POST", "/v1/tokens", {"name": "short", "appid": owner.appid, "read_only": True, "days": 1})
    assert made["token"]["read_only"] is True
    theirs = admin.having(made["bearer"])
    own = theirs.done("GET", "/v1/token")
    assert (own["name"], own["appid"]) == ("short", owner.appid)
    assert [account["appid"] for account in theirs.done("GET", "/v1/accounts")] == [owner.appid]
    assert "short" in [token["name"] for token in admin.done("GET", "/v1/tokens")]
    admin.done("DELETE", "/v1/tokens/short")
    assert theirs.send("GET", "/v1/token").status == 401


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
WORDS = [
    "alice",
    "singers",
    "reading",
    "AdministratorAccess",
    "default",
    "user",
    "role",
    "j0",
    "*",
    "0",
    "cos:GetObject",
]

TEXTS = st.sampled_from(WORDS) | st.text(max_size=80) | st.just("2026-11-24T00:00:00Z")
SIMPLE = {
    "object": st.just(READING) | st.dictionaries(st.text(max_size=10), ANY, max_size=4),
    "integer": st.integers(-2, 10) | st.integers(),
    "boolean": st.booleans(),
    "null": st.none(),
}


def _values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a schema means, or nearly."""
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return st.one_of([_values(one) for one in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "object" if "properties" in schema:
            fields = {name: _values(one) | ANY for name, one in schema["properties"].items()}
            return st.fixed_dictionaries({}, optional=fields)
        case "array":
            return st.lists(_values(schema["items"]), max_size=3)
    return SIMPLE.get(schema.get("type", ""), TEXTS)


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, str, object, bytes]:
    """A call that the document tells of, with things that may be or not."""
    template = draw(st.sampled_from(sorted(DOCUMENT["paths"])))
    method = draw(st.sampled_from(sorted(DOCUMENT["paths"][template])))
    operation = DOCUMENT["paths"][template][method]
    names, query = {}, []
    for parameter in operation.get("parameters", []):
        value = draw(_values(parameter["schema"]))
        if parameter["in"] == "path":
            known = (
                st.sampled_from(["{appid}", "{bucket}"]) if parameter["name"] in {"appid", "bucket"} else st.nothing()
            )
            text = draw(known | known | st.just(value if isinstance(value, str) else "x"))
            names[parameter["name"]] = text if text in {"{appid}", "{bucket}"} else _escaped(text)
        elif draw(st.booleans()):
            query.append(f"{parameter['name']}={_escaped(str(value))}")
    path = template.format(**names) + (f"?{'&'.join(query)}" if query else "")
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    raw = draw(st.just(b"") | st.just(b"") | st.just(b"") | st.binary(min_size=1, max_size=50))
    return method.upper(), path, ... if body is None or raw else draw(_values(body)), raw


def _escaped(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="").replace("{", "%7B")


def test_no_call_is_the_servers_fault(service: Server, admin: Admin) -> None:
    """Whatever is sent, what comes back is JSON that says what was wrong, or what was asked for: never a 5xx."""
    people = People(service)
    owner = people.account()
    bucket = people.bucket(owner)
    # Of one account, so that no other goes, nor the token itself.
    free = admin.having(new_token(service, "fuzz", "--account", owner.appid))
    of = f"/v1/accounts/{owner.appid}"
    free.done("POST", f"{of}/users", {"name": "alice"})
    free.done("POST", f"{of}/groups", {"name": "singers"})
    free.done("PUT", f"{of}/policies/reading", READING)
    statuses: dict[int, int] = {}

    @settings(max_examples=1000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @example(call=("PUT", "/v1/accounts/{appid}/policies/p?description=%F0%9F%8E%B5", READING, b""), widely=True)
    @given(call=calls(), widely=st.booleans())
    def never(call: tuple[str, str, object, bytes], widely: bool) -> None:
        method, path, body, raw = call
        path = path.replace("{appid}", owner.appid).replace("{bucket}", bucket)
        changes_tokens = path.startswith("/v1/tokens") and method != "GET"
        using = admin if widely and not changes_tokens and "enabled" not in str(body) else free
        reply = using.send(method, path, body, raw=raw)
        statuses[reply.status] = statuses.get(reply.status, 0) + 1
        assert reply.status < 500, reply
        if reply.status >= 400:
            assert set(reply.body) == {"code", "message", "request_id"}

    never()
    assert statuses.keys() >= {200, 400, 403, 404}
    assert "reply broke" not in service.log.read_text()


def test_guessers_are_shut_out_and_others_are_not(service: Server, admin: Admin) -> None:
    """Whoever tries many tokens is told to wait, without the database being asked; who came with a good one goes on."""
    admin.done("GET", "/v1/token")
    guesser, late = admin.having("sordino_" + "x" * 43), new_token(service, "late")
    statuses = [guesser.send("GET", "/v1/token").status for _ in range(FAILURES + 5)]
    assert statuses[0] == 401
    slow = guesser.send("GET", "/v1/token")
    assert (statuses[-1], slow.code) == (429, "SlowDown")
    assert int(slow.headers["retry-after"]) >= 1
    admin.done("GET", "/v1/token")
    assert admin.having(late).send("GET", "/v1/token").status == 429


def test_tokens_are_encrypted_where_it_is_said() -> None:
    """With SORDINO_ADMIN_TLS the port speaks HTTPS, with the certificate that SDKs trust, and nothing else."""
    with new_room() as directory:
        data = directory / "data"
        command = [sys.executable, "-m", "sordino", "admin", "tls", "--host", "127.0.0.1", "--data", str(data)]
        subprocess.run(command, check=True, capture_output=True, env=clean_environment())
        running = start_service(data, SORDINO_ADMIN_PORT="0", SORDINO_ADMIN_TLS="on", SORDINO_WORKERS="1")
        try:
            context = ssl.create_default_context(cafile=str(data / "tls" / "ca.pem"))
            admin = Admin(running, new_token(running, "ops"), context)
            assert admin.url.startswith("https://")
            assert admin.done("GET", "/v1/token")["name"] == "ops"
            assert running.url.startswith("http://")
            plain = http.client.HTTPConnection(urlsplit(admin.url).netloc, timeout=30)
            with closing(plain):
                plain.request("GET", "/v1/token")
                with pytest.raises((http.client.HTTPException, ConnectionError)):
                    plain.getresponse()
        finally:
            assert running.stop() == 0, running.log_tail(60)


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_tokens_in_the_clear_are_warned_of(host: str, warned: bool) -> None:
    """Whoever opens the port to a network without TLS is told what that means; the API answers there."""
    with new_room() as directory:
        running = start_service(
            directory / "data", SORDINO_ADMIN_PORT="0", SORDINO_ADMIN_HOST=host, SORDINO_WORKERS="1"
        )
        try:
            assert ("in the clear" in running.log.read_text()) == warned
            assert Admin(running, None).send("GET", "/v1/token").status == 401
        finally:
            assert running.stop() == 0, running.log_tail(60)


def test_who_does_not_want_it_does_not_wait_for_it() -> None:
    """What the API is made with takes half a second to import and ten megabytes, and is left alone without the port."""
    code = (
        "import sys, sordino.bootstrap, sordino.api.server; print(*sorted({'fastapi', 'starlette'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.split() == ["starlette"]


def test_a_database_that_is_away_is_told(admin: Admin, service: Server) -> None:
    """While the database is down calls are refused as such, and not as wrong; then they go on."""
    postmaster = int((service.data / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    # Who would start it again sleeps for a while.
    service.process.send_signal(signal.SIGSTOP)
    try:
        os.kill(postmaster, signal.SIGKILL)
        away = _first(admin, lambda reply: reply.status != 200)
        assert (away.status, away.code) == (503, "ServiceUnavailable")
    finally:
        service.process.send_signal(signal.SIGCONT)
    _first(admin, lambda reply: reply.status == 200)


def _first(admin: Admin, wanted: Callable[[Reply], bool]) -> Reply:
    """The first reply of a kind, which must come within a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        reply = admin.send("GET", "/v1/accounts")
        if wanted(reply):
            return reply
        time.sleep(0.1)
    pytest.fail(f"the last reply was {reply}")
