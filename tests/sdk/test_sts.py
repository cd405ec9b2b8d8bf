"""Temporary keys through the official clients of STS, and what is done with them through those of COS and CI."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from configparser import ConfigParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlencode, urlsplit

import pytest
import requests
from qcloud_cos import CosServiceError

from official_sts import (
    CISts,
    ClientProfile,
    Credential,
    HttpProfile,
    Scope,
    Sts,
    StsClient,
    TencentCloudSDKException,
    models,
)
from people import Key, People
from policies import Statement, allow, deny, document
from raw_http import host_of, send
from sdk.signer import authorization
from sdk.test_node import modules  # noqa: F401 - a fixture
from server import REGION, Server, new_room
from sordino.adapters.postgres.database import PostgresTransaction
from sordino.domain.audit import AuditEntry, AuditSearch
from sordino.domain.identity import CI_ROLE, CI_ROLE_TRUST
from sordino.wire.sts import sign
from support import job_body, start_service, wait_for_jobs

STS_HOST = "sts.tencentcloudapi.com"
ALL = document(allow("*"))
HERE = Path(__file__).with_name("node")


@pytest.fixture(scope="module")
def bucket(people: People, owner: Key) -> str:
    """Its bucket, with three objects."""
    name = people.bucket(owner)
    for key in ("in/a", "in/b", "out/a"):
        people.client(owner).put_object(Bucket=name, Key=key, Body=key.encode())
    return name


def cos_client_of_sts(service: Server, key: Key, kind: type = Sts, **config: object) -> Any:
    """The official STS client of COS, told of the server's URL alone."""
    return kind(
        {"url": f"{service.url}/", "secret_id": key.secret_id, "secret_key": key.secret_key, "region": REGION} | config
    )


def temporary(reply: Mapping[str, Any], key: Key) -> Key:
    """The key that the official STS client of COS got."""
    got = reply["credentials"]
    return Key(
        appid=key.appid,
        uin=key.uin,
        user=key.user,
        secret_id=got["tmpSecretId"],
        secret_key=got["tmpSecretKey"],
        token=got["sessionToken"],
    )


def federated(service: Server, key: Key, *statements: Statement, seconds: int = 1800) -> Key:
    """A temporary key that acts as a key's owner, within these statements."""
    policy = json.loads(document(*statements))
    client = cos_client_of_sts(service, key, policy=policy, duration_seconds=seconds)
    return temporary(client.get_credential(), key)


def taken(service: Server, key: Key, owner: Key, role: str, *statements: Statement) -> Key:
    """A temporary key that acts as a role of an account, asked for by the client of the general API."""
    wanted = models.AssumeRoleRequest()
    wanted.RoleArn, wanted.RoleSessionName = f"qcs::cam::uin/{owner.uin}:roleName/{role}", "session"
    if statements:
        wanted.Policy = quote(document(*statements))
    got = general_client(service, key).AssumeRole(wanted).Credentials
    return Key(
        appid=owner.appid, uin=owner.uin, secret_id=got.TmpSecretId, secret_key=got.TmpSecretKey, token=got.Token
    )


def general_client(
    service: Server, key: Key, signature: str = "TC3-HMAC-SHA256", method: str = "POST", **profile: Any
) -> Any:
    """The official client of the cloud's general API, with the server as its endpoint."""
    where = {"endpoint": f"127.0.0.1:{service.port}", "protocol": "http", "reqMethod": method} | profile
    client_profile = ClientProfile(signMethod=signature, httpProfile=HttpProfile(**where))
    return StsClient(Credential(key.secret_id, key.secret_key, key.token), REGION, client_profile)


def refused(call: Callable[..., object], *arguments: object, **named: object) -> str:
    """The code that a call by an official client of COS or of the general API is refused with."""
    with pytest.raises((CosServiceError, TencentCloudSDKException)) as refusal:
        call(*arguments, **named)
    error = refusal.value
    return str(error.get_error_code() if isinstance(error, CosServiceError) else error.code)


def code_of(call: Callable[[], object]) -> str:
    """The code that a call by the official STS client of COS is refused with."""
    with pytest.raises(Exception, match="Error") as refusal:
        call()
    found = str(refusal.value.args[0])
    return found.partition("'Code': '")[2].partition("'")[0]


def trust(*principals: str) -> str:
    """The trust of a role."""
    statement = {"effect": "allow", "action": "name/sts:AssumeRole", "principal": {"qcs": list(principals)}}
    return document(statement)


# The official clients of STS


@pytest.mark.parametrize("config", [{}, {"domain": "host"}, {"proxy": "server"}], ids=["url", "domain", "proxy"])
def test_the_client_of_cos(service: Server, people: People, owner: Key, bucket: str, config: dict[str, Any]) -> None:
    """The policy that the client makes of actions and prefixes is what its key may do, and no more."""
    here = f"127.0.0.1:{service.port}"
    told = {"domain": here} if "domain" in config else {}
    if "proxy" in config:
        told = {"url": f"http://{STS_HOST}/", "proxy": {"http": service.url}}
    client = cos_client_of_sts(
        service, owner, bucket=bucket, allow_prefix=["in/*"], allow_actions=["name/cos:GetObject"], **told
    )
    before = time.time()
    reply = client.get_credential()
    assert 1798 <= reply["expiredTime"] - before <= 1802
    assert reply["startTime"] == reply["expiredTime"] - 1800
    assert datetime.fromisoformat(reply["expiration"]).timestamp() == reply["expiredTime"]
    assert reply["requestId"]
    key = temporary(reply, owner)
    assert len(key.token or "") >= 100
    mine = people.client(key)
    assert mine.get_object(bucket, "in/a")["Body"].get_raw_stream().read() == b"in/a"
    assert refused(mine.get_object, bucket, "out/a") == "AccessDenied"
    assert refused(mine.put_object, bucket, b"x", "in/a") == "AccessDenied"
    assert refused(mine.list_objects, bucket) == "AccessDenied"


def test_scopes_of_the_client_of_cos(service: Server, people: People, owner: Key, bucket: str) -> None:
    """A policy of several scopes, as the client builds it, with conditions."""
    read, write = (
        Scope("name/cos:GetObject", bucket, REGION, "in/*"),
        Scope("name/cos:PutObject", bucket, REGION, "up/*"),
    )
    write.set_condition({"ip_equal": {"qcs:ip": ["10.0.0.0/8"]}})
    client = cos_client_of_sts(service, owner, policy=Sts.get_policy([read, write]))
    mine = people.client(temporary(client.get_credential(), owner))
    assert mine.get_object(bucket, "in/a")["Content-Length"] == "4"
    assert refused(mine.put_object, bucket, b"x", "up/a") == "AccessDenied"


def test_the_client_of_ci(service: Server, people: People, owner: Key, bucket: str) -> None:
    """The client of CI names the bucket as CI does; its key does that and nothing of COS."""
    client = cos_client_of_sts(
        service, owner, CISts, bucket=bucket, allow_prefix="*", allow_actions=["ci:DescribeAsrQueues"]
    )
    mine = people.client(temporary(client.get_credential(), owner))
    (queue,) = mine.ci_get_asr_queue(Bucket=bucket)["QueueList"]
    request = {"Name": "q", "State": "Paused", "NotifyConfig": ""}
    update = {"Bucket": bucket, "QueueId": queue["QueueId"], "Request": request}
    assert refused(mine.ci_update_asr_queue, **update) == "AccessDenied"
    assert refused(mine.get_object, bucket, "in/a") == "AccessDenied"


def test_role_by_the_client_of_cos(service: Server, people: People, owner: Key, bucket: str) -> None:
    """AssumeRole by the client of COS: what the role may, within the policy."""
    people.role(owner, "reader", trust(f"qcs::cam::uin/{owner.uin}:root"), allow("cos:GetObject"))
    arn = f"qcs::cam::uin/{owner.uin}:roleName/reader"
    client = cos_client_of_sts(
        service, owner, bucket=bucket, allow_prefix=["in/*"], allow_actions=["cos:GetObject", "cos:PutObject"]
    )
    mine = people.client(temporary(client.get_role_credential(arn), owner))
    assert mine.get_object(bucket, "in/a")["Content-Length"] == "4"
    assert refused(mine.get_object, bucket, "out/a") == "AccessDenied"
    assert refused(mine.put_object, bucket, b"x", "in/a") == "AccessDenied"


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("signature", ["TC3-HMAC-SHA256", "HmacSHA1", "HmacSHA256"])
def test_the_client_of_the_general_api(
    service: Server, people: People, owner: Key, bucket: str, signature: str, method: str
) -> None:
    """All three calls, by each signature and method that the client offers."""
    user = people.user(owner, allow(["sts:*", "cos:*"]))
    people.role(owner, "lister", trust(user.principal), allow("cos:GetBucket"))
    client = general_client(service, user, signature, method)
    me = client.GetCallerIdentity(models.GetCallerIdentityRequest())
    assert (me.Arn, me.AccountId) == (f"qcs::cam:{owner.uin}:uin/{user.user}", owner.uin)
    assert (me.UserId, me.PrincipalId, me.Type) == (user.user, user.user, "CAMUser")
    assert me.RequestId

    wanted = models.GetFederationTokenRequest()
    wanted.Name, wanted.Policy, wanted.DurationSeconds = "app", quote(document(allow("cos:HeadObject"))), 600
    reply = client.GetFederationToken(wanted)
    assert 598 <= reply.ExpiredTime - time.time() <= 602
    got = reply.Credentials
    key = Key(appid=owner.appid, secret_id=got.TmpSecretId, secret_key=got.TmpSecretKey, token=got.Token)
    assert people.client(key).head_object(bucket, "in/a")["Content-Length"] == "4"
    assert refused(people.client(key).list_objects, bucket) == "AccessDenied"
    it = general_client(service, key, signature, method).GetCallerIdentity(models.GetCallerIdentityRequest())
    assert (it.Arn, it.UserId) == (f"qcs::sts:{owner.uin}:federated-user/{user.user}", f"{user.user}:app")

    role = models.AssumeRoleRequest()
    role.RoleArn, role.RoleSessionName = f"qcs::cam::uin/{owner.uin}:roleName/lister", "session"
    reply = client.AssumeRole(role)
    assert 7198 <= reply.ExpiredTime - time.time() <= 7202
    got = reply.Credentials
    key = Key(appid=owner.appid, secret_id=got.TmpSecretId, secret_key=got.TmpSecretKey, token=got.Token)
    assert len(people.client(key).list_objects(bucket)["Contents"]) == 3
    it = general_client(service, key, signature, method).GetCallerIdentity(models.GetCallerIdentityRequest())
    assert (it.Arn, it.UserId) == (f"qcs::sts:{owner.uin}:assumed-role/lister", "lister:session")
    assert (it.PrincipalId, it.Type) == (user.user, "CAMRole")


def test_a_proxy_for_the_general_client(service: Server, owner: Key) -> None:
    """The client with its own host, and the server as its proxy; also with an unsigned body."""
    client = general_client(service, owner, endpoint=None, proxy=service.url)
    client.profile.unsignedPayload = True
    assert client.GetCallerIdentity(models.GetCallerIdentityRequest()).UserId == owner.uin


# What the clients in other languages send, word for word


@pytest.mark.parametrize(
    ("client", "policy"),
    [
        ("node", lambda it: quote(json.dumps(it, separators=(",", ":")), safe="!~*'()")),
        ("go", lambda it: quote_plus(json.dumps(it))),
        ("java", lambda it: json.dumps(it, indent=2)),
        ("php", lambda it: quote_plus(json.dumps(it))),
    ],
    ids=["node", "go", "java", "php"],
)
def test_clients_in_other_languages(
    service: Server, people: People, owner: Key, bucket: str, client: str, policy: Callable[[object], str]
) -> None:
    """Each escapes its policy in its own way; some name a principal, and buckets in their old form."""
    name, _, appid = bucket.rpartition("-")
    statement = {
        "action": ["name/cos:GetObject"],
        "effect": "allow",
        "principal": {"qcs": "*" if client == "node" else ["*"]},
        "resource": [f"qcs::cos:{REGION}:uid/{appid}:prefix//{appid}/{name}/in/*"],
    }
    values = {
        "SecretId": owner.secret_id,
        "Timestamp": str(int(time.time())),
        "Nonce": "9223372036854775807",
        "Action": "GetFederationToken",
        "DurationSeconds": "1800",
        "Version": "2018-08-13",
        "Region": REGION,
        "Policy": policy({"version": "2.0", "statement": [statement]}),
        "Name": f"cos-sts-{client}",
    }
    values["Signature"] = sign("POST", STS_HOST, values, owner.secret_key)
    got = requests.post(f"{service.url}/", data=values, timeout=20).json()["Response"]["Credentials"]
    key = Key(appid=appid, secret_id=got["TmpSecretId"], secret_key=got["TmpSecretKey"], token=got["Token"])
    assert people.client(key).get_object(bucket, "in/a")["Content-Length"] == "4"
    assert refused(people.client(key).get_object, bucket, "out/a") == "AccessDenied"


def test_role_without_a_policy_in_go(service: Server, people: People, owner: Key, bucket: str) -> None:
    """Go sends a policy and an external id that are empty, and signs them."""
    people.role(owner, "gopher", trust(owner.principal), allow("cos:GetObject"))
    values = {
        "SecretId": owner.secret_id,
        "Policy": "",
        "RoleArn": f"qcs::cam::uin/{owner.uin}:roleName/gopher",
        "RoleSessionName": "go",
        "ExternalId": "",
        "DurationSeconds": "1800",
        "Region": REGION,
        "Timestamp": str(int(time.time())),
        "Nonce": "1",
        "Action": "AssumeRole",
        "Version": "2018-08-13",
    }
    values["Signature"] = sign("POST", STS_HOST, values, owner.secret_key)
    got = requests.post(service.url, data=values, timeout=20).json()["Response"]["Credentials"]
    key = Key(appid=owner.appid, secret_id=got["TmpSecretId"], secret_key=got["TmpSecretKey"], token=got["Token"])
    assert people.client(key).get_object(bucket, "in/a")["Content-Length"] == "4"


# Refusals


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"secret_id": "AKIDnobody"}, "AuthFailure.SecretIdNotFound"),
        ({"secret_key": "wrong"}, "AuthFailure.SignatureFailure"),
        ({"domain": "sts.elsewhere.com"}, "AuthFailure.SignatureFailure"),
        ({"duration_seconds": 7201}, "InvalidParameter.OverTimeError"),
        ({"duration_seconds": 0}, "InvalidParameter.OverTimeError"),
        ({"duration_seconds": -1}, "InvalidParameter.ParamError"),
        ({"policy": {"version": "2.0", "statement": [{"effect": "may"}]}}, "InvalidParameter.StrategyFormatError"),
        ({"policy": {"statement": "x" * 7000}}, "InvalidParameter.StrategyFormatError"),
    ],
    ids=["key", "secret", "host", "long", "zero", "negative", "policy", "long policy"],
)
def test_refusals_of_federation(service: Server, owner: Key, changes: dict[str, Any], code: str) -> None:
    """What is wrong is told by the code that the cloud's clients know."""
    client = cos_client_of_sts(service, owner, **{"policy": json.loads(ALL), **changes})
    assert code_of(client.get_credential) == code


def test_refusals_of_roles(service: Server, people: People, owner: Key) -> None:
    """Both the role's trust and the user's policies must allow it; of other roles nobody learns."""
    other = people.account()
    user = people.user(owner, allow("sts:AssumeRole", f"qcs::cam::uin/{owner.uin}:roleName/mine"))
    without = people.user(owner)
    people.role(owner, "mine", trust(user.principal, without.principal))
    people.role(owner, "jobs", CI_ROLE_TRUST)
    people.role(other, "theirs", trust(f"qcs::cam::uin/{other.uin}:root"))

    def take(key: Key, whose: Key, role: str) -> str:
        return refused(taken, service, key, whose, role)

    assert taken(service, user, owner, "mine").token
    assert take(without, owner, "mine") == "UnauthorizedOperation"
    assert take(user, owner, "jobs") == "UnauthorizedOperation"
    assert take(user, owner, "no such") == "InvalidParameter.ParamError"
    assert take(user, owner, "none") == "UnauthorizedOperation"
    assert take(owner, owner, "none") == "ResourceNotFound.RoleNotFound"
    assert take(owner, owner, "mine") == "UnauthorizedOperation"
    assert take(owner, owner, CI_ROLE) == "UnauthorizedOperation"
    messages = set()
    for role in ("theirs", "none"):
        with pytest.raises(TencentCloudSDKException) as refusal:
            taken(service, owner, other, role)
        assert refusal.value.code == "UnauthorizedOperation"
        messages.add(refusal.value.message.replace(role, ""))
    assert len(messages) == 1


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("RoleArn", "mine", "InvalidParameter.ParamError"),
        ("RoleArn", None, "MissingParameter"),
        ("RoleSessionName", "a b", "InvalidParameter.ParamError"),
        ("RoleSessionName", "a", "InvalidParameter.ParamError"),
        ("RoleSessionName", None, "MissingParameter"),
        ("DurationSeconds", 43201, "InvalidParameter.OverTimeError"),
        ("SourceIdentity", "1", "UnsupportedOperation"),
        ("Policy", "%zz", "InvalidParameter.ParamError"),
    ],
)
def test_parameters_of_roles(service: Server, owner: Key, name: str, value: object, code: str) -> None:
    """A parameter that cannot be is told; one that would bound the key more is not left out in silence."""
    wanted = models.AssumeRoleRequest()
    wanted.RoleArn, wanted.RoleSessionName = f"qcs::cam::uin/{owner.uin}:roleName/mine", "session"
    setattr(wanted, name, value)
    assert refused(general_client(service, owner).AssumeRole, wanted) == code


def test_external_id(service: Server, people: People, owner: Key) -> None:
    """A role whose trust wants to hear a word is given to who says it, and to nobody else."""
    other = people.account()
    statement = {
        "effect": "allow",
        "action": "name/sts:AssumeRole",
        "principal": {"qcs": [f"qcs::cam::uin/{other.uin}:root"]},
        "condition": {"string_equal": {"sts:external_id": "contract-42"}},
    }
    people.role(owner, "outside", document(statement), allow("cos:GetObject"))
    client, wanted = general_client(service, other), models.AssumeRoleRequest()
    wanted.RoleArn, wanted.RoleSessionName = f"qcs::cam::uin/{owner.uin}:roleName/outside", "session"
    for word in (None, "", "contract-43", "CONTRACT-42", "contract-*"):
        wanted.ExternalId = word
        assert refused(client.AssumeRole, wanted) == "UnauthorizedOperation"
    wanted.ExternalId = "contract-42"
    assert client.AssumeRole(wanted).Credentials.Token


def test_other_calls(service: Server, owner: Key) -> None:
    """Calls that are not offered are told from those that there are not, and other versions."""
    client = general_client(service, owner)
    assert refused(client.call_json, "GetSessionToken", {}) == "UnsupportedOperation"
    assert refused(client.call_json, "DescribeInstances", {}) == "InvalidAction"
    assert refused(client.call_json, "GetFederationToken", {"Name": "app"}) == "MissingParameter"
    assert refused(client.call_json, "GetFederationToken", {"Policy": quote(ALL)}) == "MissingParameter"
    skipped = {"SkipSign": True}
    assert refused(client.call_json, "GetCallerIdentity", {}, options=skipped) == "AuthFailure.InvalidAuthorization"
    client._apiVersion = "2017-03-12"
    assert refused(client.call_json, "GetCallerIdentity", {}) == "NoSuchVersion"


def test_who_may_federate(service: Server, people: People, owner: Key) -> None:
    """A user needs the action; a temporary key gets no other one, but learns who it is."""
    user = people.user(owner, allow("cos:*"))
    client = cos_client_of_sts(service, user, policy=json.loads(ALL))
    assert code_of(client.get_credential) == "UnauthorizedOperation"
    people.may(user, allow("sts:GetFederationToken"))
    key = temporary(client.get_credential(), user)
    asked = models.GetFederationTokenRequest()
    asked.Name, asked.Policy = "app", quote(ALL)
    assert refused(general_client(service, key).GetFederationToken, asked) == "FailedOperation.TempKeyNotAllowed"
    assert refused(taken, service, key, owner, "mine") == "FailedOperation.TempKeyNotAllowed"


@pytest.mark.parametrize("signature", ["TC3-HMAC-SHA256", "HmacSHA256"])
def test_tokens_of_sts_itself(service: Server, owner: Key, signature: str) -> None:
    """A temporary key calls STS with its own token, and a permanent one with none."""
    key, other = (federated(service, owner, allow("*")) for _ in range(2))

    def who(key: Key, token: str | None) -> Callable[[], object]:
        changed = Key(appid=key.appid, secret_id=key.secret_id, secret_key=key.secret_key, token=token)
        client = general_client(service, changed, signature)
        return lambda: client.GetCallerIdentity(models.GetCallerIdentityRequest())

    assert who(key, key.token)()
    for wrong in (who(key, None), who(key, other.token), who(key, f"{key.token}x"), who(owner, key.token)):
        assert refused(wrong) == "AuthFailure.TokenFailure"


@pytest.mark.parametrize("seconds", [-310, 310])
def test_time_of_a_request(service: Server, owner: Key, seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request of more than five minutes ago or ahead is refused, by either signature."""
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + seconds)
    client = cos_client_of_sts(service, owner, policy=json.loads(ALL))
    assert code_of(client.get_credential) == "AuthFailure.SignatureExpire"
    assert refused(taken, service, owner, owner, "mine") == "AuthFailure.SignatureExpire"


def test_plain_http(service: Server, owner: Key) -> None:
    """Replies are JSON of status 200, refusals too, of the exact type that the SDK compares; bodies are bounded."""
    type_ = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = requests.post(service.url, data="a=b", headers=type_, timeout=20)
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, "application/json")
    assert reply.json()["Response"]["Error"]["Code"] == "MissingParameter"
    assert reply.json()["Response"]["RequestId"] == reply.headers["x-cos-request-id"]
    reply = requests.post(service.url, data="a=" + "b" * 300_000, headers=type_, timeout=20)
    assert reply.json()["Response"]["Error"]["Code"] == "InvalidParameter.ParamError"
    reply = requests.get(service.url, timeout=20)
    assert (reply.status_code, reply.headers["Content-Type"]) == (403, "application/xml")


def log_of(people: People, *ids: str) -> dict[str, AuditEntry]:
    """What the audit log tells of calls with these keys, once it tells of each; the action and the code by key."""
    for _ in range(100):
        entries = people._run(lambda tx: _search(tx, ids))
        if {entry.secret_id for entry in entries} == set(ids):
            return {str(entry.secret_id): entry for entry in entries}
        time.sleep(0.1)
    raise AssertionError(f"The log does not tell of {ids}.")


async def _search(tx: PostgresTransaction, ids: tuple[str, ...]) -> list[AuditEntry]:
    return [it.entry for one in ids for it in await tx.audit.search(AuditSearch(secret_id=one))]


def test_the_log_tells_of_it(service: Server, people: People, owner: Key) -> None:
    """Keys that were given out and those that were refused stand in the log, with what decided; no secret does."""
    user, other = people.user(owner, allow("sts:GetFederationToken")), people.user(owner)
    people.role(owner, "told", trust(user.principal))
    key = federated(service, user, allow("*"))
    assert refused(taken, service, other, owner, "told") == "UnauthorizedOperation"
    log = log_of(people, user.secret_id, other.secret_id)
    given, denied = (log[it.secret_id] for it in (user, other))
    assert (given.action, given.allowed, given.code, given.caller) == (
        "sts:GetFederationToken",
        True,
        "",
        f"uin/{user.user}",
    )
    assert (denied.action, denied.allowed, denied.code) == ("sts:AssumeRole", False, "UnauthorizedOperation")
    assert (denied.resource, denied.owner) == (f"qcs::cam::uin/{owner.uin}:roleName/told", owner.appid)
    assert {entry.source for entry in log.values()} == {"127.0.0.1"}
    assert (key.token or "") not in repr(log)
    assert key.secret_key not in repr(log)


def test_too_many_requests(service: Server, people: People, owner: Key) -> None:
    """A key that may ask once a second is told to wait, by the code that the cloud's clients know; so are its own."""
    user = people.user(owner, allow("*"))
    key = federated(service, user, allow("*"))
    limit = "UPDATE access_keys SET requests_per_second = 1 WHERE secret_id = %s"
    people._run(lambda tx: tx.connection.execute(limit, [user.secret_id]))
    asked = models.GetCallerIdentityRequest()
    codes = set()
    for client in [general_client(service, it) for it in (user, key)] * 6:
        try:
            client.GetCallerIdentity(asked)
        except TencentCloudSDKException as refusal:
            codes.add(refusal.code)
    assert codes == {"RequestLimitExceeded"}
    assert refused(general_client(service, key).GetCallerIdentity, asked) == "RequestLimitExceeded"


# What a temporary key may do


def test_sessions_only_narrow(service: Server, people: People, owner: Key, bucket: str) -> None:
    """A wider policy does not widen; a deny in it denies; what the user loses, his key loses at once."""
    user = people.user(owner, allow(["sts:GetFederationToken", "cos:GetObject", "cos:GetBucket"]))
    wide = people.client(federated(service, user, allow("*")))
    narrow = people.client(federated(service, user, allow("*"), deny("cos:GetObject", f"qcs::cos:::{bucket}/in/b")))
    assert wide.get_object(bucket, "in/b")["Content-Length"] == "4"
    assert refused(wide.put_object, bucket, b"x", "in/c") == "AccessDenied"
    assert narrow.get_object(bucket, "in/a")["Content-Length"] == "4"
    assert refused(narrow.get_object, bucket, "in/b") == "AccessDenied"
    people.may(user, allow("cos:GetBucket"))
    assert refused(wide.get_object, bucket, "in/b") == "AccessDenied"
    assert len(wide.list_objects(bucket)["Contents"]) == 3


def test_the_end_of_a_key(service: Server, people: People, owner: Key, bucket: str) -> None:
    """When its time is over, a key is told so, by COS, by CI and by STS."""
    key = federated(service, owner, allow("*"), seconds=1)
    time.sleep(1.1)
    client = people.client(key)
    assert refused(client.get_object, bucket, "in/a") == "ExpiredToken"
    assert refused(client.ci_get_asr_queue, bucket) == "SignatureExpired"
    asked = models.GetCallerIdentityRequest()
    assert refused(general_client(service, key).GetCallerIdentity, asked) == "AuthFailure.TokenFailure"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE access_keys SET enabled = false WHERE secret_id = %(key)s",
        "DELETE FROM access_keys WHERE secret_id = %(key)s",
        "UPDATE users SET enabled = false WHERE uin = %(uin)s",
        "DELETE FROM users WHERE uin = %(uin)s",
        "UPDATE accounts SET enabled = false WHERE appid = %(appid)s",
        "DELETE FROM roles WHERE name = 'brief'",
    ],
    ids=["key disabled", "key removed", "user disabled", "user removed", "account disabled", "role removed"],
)
def test_what_ends_keys(service: Server, people: People, change: str) -> None:
    """Temporary keys end with the key that asked for them, its user, its account, and their role."""
    own = people.account()
    bucket = people.bucket(own)
    user = people.user(own, allow("*"))
    people.role(own, "brief", trust(user.principal), allow("*"))
    keys = {"user": federated(service, user, allow("*")), "role": taken(service, user, own, "brief")}
    clients = {name: people.client(key) for name, key in keys.items()}
    for client in clients.values():
        client.list_objects(bucket)
    values = {"key": user.secret_id, "uin": user.user, "appid": own.appid}
    people._run(lambda tx: tx.connection.execute(change, values))
    for name, client in clients.items():
        if name == "user" and "roles" in change:
            client.list_objects(bucket)
        else:
            assert refused(client.list_objects, bucket) == "InvalidAccessKeyId"


def test_role_of_another_account(service: Server, people: People, owner: Key, bucket: str) -> None:
    """A user takes another account's role when its trust and his policies allow it, and acts there as the role."""
    other = people.account()
    user = people.user(other, allow("sts:AssumeRole"))
    people.role(owner, "guest", trust(f"qcs::cam::uin/{other.uin}:root"), allow("cos:GetObject"))
    key = taken(service, user, owner, "guest")
    client = people.client(key)
    assert client.get_object(bucket, "in/a")["Content-Length"] == "4"
    assert refused(client.put_object, bucket, b"x", "in/c") == "AccessDenied"
    me = general_client(service, key).GetCallerIdentity(models.GetCallerIdentityRequest())
    assert (me.AccountId, me.PrincipalId) == (owner.uin, user.user)
    people.may(user)
    assert refused(taken, service, user, owner, "guest") == "UnauthorizedOperation"
    people.role(owner, "guest", trust(f"qcs::cam::uin/{owner.uin}:root"), allow("cos:GetObject"))
    assert refused(taken, service, other, owner, "guest") == "UnauthorizedOperation"


def test_conditions_of_who_takes_a_role(service: Server, people: People, owner: Key) -> None:
    """Conditions in a role's trust see where the request comes from."""
    for name, network in (("near", "127.0.0.0/8"), ("far", "10.0.0.0/8")):
        statement = {
            "effect": "allow",
            "action": "sts:AssumeRole",
            "principal": {"qcs": [f"qcs::cam::uin/{owner.uin}:root"]},
            "condition": {"ip_equal": {"qcs:ip": [network]}},
        }
        people.role(owner, name, document(statement))
    assert taken(service, owner, owner, "near").token
    assert refused(taken, service, owner, owner, "far") == "UnauthorizedOperation"


# Where tokens are accepted


def test_job_with_a_temporary_key(service: Server, people: People, owner: Key, recording: bytes) -> None:
    """A whole job with a key that may do what a job needs, and not one right less."""
    bucket = people.bucket(owner)
    job = [
        allow("cos:PutObject", f"qcs::cos::uid/{owner.appid}:{bucket}/in/*"),
        allow(["ci:CreateAsrJobs", "ci:DescribeMediaJob"], f"qcs::ci::uid/{owner.appid}:bucket/{bucket}/*"),
    ]
    short = people.client(federated(service, owner, *job))
    short.put_object(Bucket=bucket, Key="in/a.wav", Body=recording)
    body = job_body(bucket, "out/a.wav", source="in/a.wav")
    assert refused(short.ci_create_media_jobs, Bucket=bucket, Jobs=body, Lst={}) == "AccessDenied"
    role = allow("cam:PassRole", f"qcs::cam::uin/{owner.uin}:roleName/{CI_ROLE}")
    client = people.client(federated(service, owner, *job, role))
    (submitted,) = client.ci_create_media_jobs(Bucket=bucket, Jobs=body, Lst={})["JobsDetail"]
    done = wait_for_jobs(client, bucket, [submitted["JobId"]])[submitted["JobId"]]
    assert done["State"] == "Success"
    assert refused(client.get_object, bucket, "out/a.wav") == "AccessDenied"


def test_parts_and_copies(service: Server, people: People, owner: Key, bucket: str) -> None:
    """Uploads in parts and copies by the official SDK carry the token with each request."""
    client = people.client(federated(service, owner, allow("cos:*")))
    upload = client.create_multipart_upload(Bucket=bucket, Key="parts/a")["UploadId"]
    etag = client.upload_part(Bucket=bucket, Key="parts/a", Body=b"x" * (1 << 20), PartNumber=1, UploadId=upload)[
        "ETag"
    ]
    parts = {"Part": [{"PartNumber": 1, "ETag": etag}]}
    client.complete_multipart_upload(Bucket=bucket, Key="parts/a", UploadId=upload, MultipartUpload=parts)
    source = {"Bucket": bucket, "Key": "parts/a", "Region": REGION}
    client.copy_object(Bucket=bucket, Key="parts/b", CopySource=source)
    gone = client.delete_objects(Bucket=bucket, Delete={"Object": [{"Key": "parts/a"}, {"Key": "parts/b"}]})
    assert len(gone["Deleted"]) == 2


@pytest.mark.parametrize("signed", [True, False], ids=["token signed", "token beside"])
@pytest.mark.parametrize("place", ["query", "header"])
def test_signed_urls(service: Server, people: People, owner: Key, bucket: str, place: str, signed: bool) -> None:
    """A signed URL works with the token in its query or beside it in a header, signed or not, and not without."""
    key = federated(service, owner, allow("cos:GetObject", f"qcs::cos:::{bucket}/in/*"))
    client, name = people.client(key), "x-cos-security-token"

    def get(path: str, *, token: str | None) -> int:
        given = {name: token} if token else {}
        url = client.get_presigned_url(
            Bucket=bucket,
            Key=path,
            Method="GET",
            Params=dict(given) if signed and place == "query" else {},
            Headers=dict(given) if signed and place == "header" else {},
        )
        target = f"{urlsplit(url).path}?{urlsplit(url).query}"
        if place == "query" and not signed and token:
            target += f"&{urlencode(given)}"
        headers = given if place == "header" else {}
        return send(service, "GET", target, bucket=bucket, headers=headers, signed=False)[0]

    assert get("in/a", token=key.token) == 200
    assert get("out/a", token=key.token) == 403
    assert get("in/a", token=None) == 403
    assert get("in/a", token=f"{key.token}x") == 403


@pytest.mark.parametrize("name", ["x-cos-security-token", "x-ci-security-token"])
@pytest.mark.parametrize("kind", ["ci", "cos"])
def test_either_name_on_either_service(service: Server, owner: Key, bucket: str, kind: str, name: str) -> None:
    """Go and Java send COS's name to CI as well, and Java does not sign it."""
    key = federated(service, owner, allow("*"))
    host, path = host_of(bucket, kind), "/asrqueue" if kind == "ci" else "/in/a"
    now = int(datetime.now(UTC).timestamp())
    signature = authorization(
        key.secret_id,
        key.secret_key,
        method="GET",
        path=path,
        query=[],
        headers=[("host", host)],
        start=now - 60,
        end=now + 600,
    )

    def status(token: str | None) -> int:
        headers = {"Authorization": signature, **({name: token} if token else {})}
        return send(service, "GET", path, bucket=bucket, kind=kind, headers=headers, signed=False)[0]

    assert status(key.token) == 200
    denied = 401 if kind == "ci" else 403
    assert [status(None), status("x" * 128)] == [denied, denied]


def test_coscmd(service: Server, owner: Key, bucket: str, tmp_path: Path) -> None:
    """The official command line takes the token of its configuration."""
    key = federated(service, owner, allow(["cos:PutObject", "cos:GetObject", "cos:HeadObject", "cos:GetBucket"]))
    config = ConfigParser(interpolation=None)
    who = {"secret_id": key.secret_id, "secret_key": key.secret_key, "token": key.token or ""}
    where = {"bucket": bucket, "region": REGION, "schema": "http", "retry": "1", "timeout": "20"}
    config["common"] = who | where
    with (tmp_path / "cos.conf").open("w") as file:
        config.write(file)
    (tmp_path / "a").write_bytes(b"by coscmd")
    options = ["-c", str(tmp_path / "cos.conf"), "-l", str(tmp_path / "cos.log")]
    environment = os.environ | {"HOME": str(tmp_path), "http_proxy": service.url, "no_proxy": ""}
    for arguments in (["upload", "a", "cmd/a"], ["download", "cmd/a", "b"]):
        command = [Path(sys.executable).with_name("coscmd"), *options, *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "b").read_bytes() == b"by coscmd"
    command = [Path(sys.executable).with_name("coscmd"), *options, "delete", "-f", "cmd/a"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0


@pytest.mark.parametrize("mode", ["proxy", "path-style"])
def test_node(service: Server, owner: Key, bucket: str, modules: Path, mode: str) -> None:  # noqa: F811 - the fixture
    """The official Node SDK takes a token, of COS and of CI, in signed URLs, too."""
    key = federated(service, owner, allow("cos:GetObject"), allow("ci:DescribeAsrQueues"))
    environment = {
        "PATH": os.environ["PATH"],
        "NODE_PATH": str(modules),
        "SDK_HOST": f"127.0.0.1:{service.port}",
        "SDK_MODE": mode,
        "SDK_BUCKET": bucket,
        "SDK_REGION": REGION,
        "SDK_SECRET_ID": key.secret_id,
        "SDK_SECRET_KEY": key.secret_key,
        "SDK_TOKEN": key.token or "",
    }
    command = ["node", str(HERE / "temporary.js")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"get": "in/a", "put": "AccessDenied", "queue": 200, "url": 200, "bare": 403}


# The server's own limits


@pytest.fixture(scope="module")
def small() -> Iterator[Server]:
    """A server that gives two temporary keys out, and has a default bucket."""
    with new_room() as directory:
        running = start_service(
            directory / "data", SORDINO_MAX_TEMPORARY_KEYS="2", SORDINO_DEFAULT_BUCKET="default-1250000000"
        )
        yield running
        assert running.stop() == 0, running.log_tail(60)


def test_number_of_keys(small: Server) -> None:
    """An account has so many keys at a time, and is told what to do; those whose time is over do not count."""
    people = People(small)
    own = people.account()
    federated(small, own, allow("*"), seconds=1)
    federated(small, own, allow("*"))
    client = cos_client_of_sts(small, own, policy=json.loads(ALL))
    assert code_of(client.get_credential) == "LimitExceeded"
    assert federated(small, people.account(), allow("*")).token
    time.sleep(1.1)
    assert client.get_credential()["credentials"]["sessionToken"]


def test_beside_a_default_bucket(small: Server) -> None:
    """On a bare host that stands for a bucket STS answers its own requests, and COS all others."""
    root = People(small).root()
    values = {
        "Action": "GetCallerIdentity",
        "SecretId": root.secret_id,
        "Timestamp": str(int(time.time())),
        "Nonce": "1",
    }
    signature = sign("POST", STS_HOST, values, root.secret_key)
    reply = requests.post(f"{small.url}/", data=values | {"Signature": signature}, timeout=20)
    assert reply.json()["Response"]["AccountId"] == root.uin
    form = requests.post(f"{small.url}/", files={"key": (None, "a"), "file": b"x"}, timeout=20)
    assert (form.status_code, form.headers["Content-Type"]) == (403, "application/xml")
    batch = requests.post(f"{small.url}/?delete", data={"a": "b"}, timeout=20)
    assert batch.headers["Content-Type"] == "application/xml"
