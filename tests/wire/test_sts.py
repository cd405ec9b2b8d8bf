"""Requests and replies of STS, beside the official client's own signature."""

import base64
import dataclasses
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from official_sts import ClientProfile, Credential, HttpProfile, Sts, StsClient, TencentCloudSDKException, models
from sordino.domain.identity import Account, Caller, CallerKind, TemporaryKey
from sordino.errors import ServiceError
from sordino.wire.sts import (
    HOST,
    MAX_SKEW,
    Parameters,
    StsRequest,
    caller_members,
    is_signed_so,
    key_members,
    render,
    render_refusal,
    sign,
)
from sordino.wire.tc3 import ApiRequest, headers_of

NOW = datetime(2026, 1, 5, 10, 0, 0, tzinfo=UTC)
KEY, FORM = "s3cret", "application/x-www-form-urlencoded"
POLICY = {"version": "2.0", "statement": [{"effect": "allow", "action": "cos:*", "resource": "*"}]}
VALUES = {
    "Action": "GetFederationToken",
    "SecretId": "AKID",
    "Timestamp": str(int(NOW.timestamp())),
    "Nonce": "7",
    "Name": "a b",
    "Policy": quote(json.dumps(POLICY)),
}


def post(values: dict[str, str], **more: object) -> ApiRequest:
    """A POST of a form."""
    request = ApiRequest(
        method="POST", headers={"content-type": [FORM]}, hosts=("127.0.0.1", HOST), body=urlencode(values).encode()
    )
    return dataclasses.replace(request, **more)


def signed(**changes: str) -> ApiRequest:
    """A POST of a form, signed after some changes."""
    values = VALUES | changes
    return post(values | {"Signature": sign("POST", HOST, values, KEY)})


def code(request: ApiRequest) -> str:
    """The code that reading a request is refused with."""
    with pytest.raises(ServiceError) as refusal:
        StsRequest.read(request)
    return refusal.value.code


@pytest.mark.parametrize("call", ["get_credential", "get_role_credential"])
def test_the_official_client_of_cos(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """What the official STS client of COS signs is read and fits, with its key alone."""
    sent = []

    def catch(url: str, *, data: dict[str, object], proxies: object) -> None:
        sent.append(requests.Request("POST", url, data=data).prepare())
        raise ConnectionError

    monkeypatch.setattr(requests, "post", catch)
    client = Sts({"secret_id": "AKID", "secret_key": KEY, "region": "ap-beijing", "policy": POLICY})
    arguments = ("qcs::cam::uin/1:roleName/r",) if call == "get_role_credential" else ()
    with pytest.raises(Exception, match="error"):
        getattr(client, call)(*arguments)
    (request,) = sent
    headers = headers_of([(name.encode(), value.encode()) for name, value in request.headers.items()])
    read = ApiRequest(method="POST", headers=headers, hosts=("127.0.0.1", HOST), body=request.body.encode())
    assert is_signed_so(read)
    called = StsRequest.read(read)
    assert called.action == ("AssumeRole" if arguments else "GetFederationToken")
    assert json.loads(called.parameters.policy() or "") == POLICY
    assert called.signature.fits(KEY)
    assert not called.signature.fits(KEY + "x")


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("digest", ["HmacSHA1", "HmacSHA256"])
def test_the_official_client_of_the_general_api(method: str, digest: str) -> None:
    """The older signature of the official SDK fits as well, of either digest and method."""
    profile = ClientProfile(signMethod=digest, httpProfile=HttpProfile(endpoint=HOST, reqMethod=method))
    client = StsClient(Credential("AKID", KEY, "t0ken"), "ap-guangzhou", profile)
    sent = []

    def catch(request: object) -> None:
        sent.append(request)
        raise ConnectionError

    client.request.send_request = catch
    wanted = models.AssumeRoleRequest()
    wanted.RoleArn, wanted.RoleSessionName = "qcs::cam::uin/1:roleName/a_b", "s s"
    with pytest.raises(TencentCloudSDKException):
        client.AssumeRole(wanted)
    (request,) = sent
    data = request.data.encode()
    read = (
        ApiRequest(method="GET", query=data, headers={}, hosts=(HOST,))
        if method == "GET"
        else post({}, body=data, hosts=(HOST,))
    )
    assert is_signed_so(read)
    called = StsRequest.read(read)
    assert (called.action, called.token, called.parameters.get("RoleSessionName")) == ("AssumeRole", "t0ken", "s s")
    assert called.signature.fits(KEY)


@pytest.mark.parametrize("name", ["Action", "Name", "Policy", "Timestamp", "Nonce"])
def test_what_is_changed_does_not_fit(name: str) -> None:
    """Every parameter is signed."""
    request = signed()
    values = dict(Parameters.of_form(request.body).values) | {name: "8"}
    assert StsRequest.read(request).signature.fits(KEY)
    assert not StsRequest.read(dataclasses.replace(request, body=urlencode(values).encode())).signature.fits(KEY)


def test_what_is_not_signed_does_not_fit() -> None:
    """Nor do a parameter more, another method and another host."""
    request = signed()
    assert not StsRequest.read(dataclasses.replace(request, body=request.body + b"&Region=x")).signature.fits(KEY)
    assert not StsRequest.read(dataclasses.replace(request, hosts=("other",))).signature.fits(KEY)
    got = dataclasses.replace(request, method="GET", query=request.body, body=b"")
    assert not StsRequest.read(got).signature.fits(KEY)


@pytest.mark.parametrize(
    ("seconds", "refused"),
    [(0, False), (300, False), (-300, False), (301, True), (-301, True), (-86400, True)],
)
def test_time(seconds: int, refused: bool) -> None:
    """Five minutes before and after the server's time are well."""
    called = StsRequest.read(signed())
    now = NOW + timedelta(seconds=seconds)
    if not refused:
        called.check_time(now)
        return
    with pytest.raises(ServiceError) as refusal:
        called.check_time(now)
    assert refusal.value.code == "AuthFailure.SignatureExpire"
    assert timedelta(minutes=5) == MAX_SKEW


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Action": ""}, "MissingParameter"),
        ({"SecretId": ""}, "MissingParameter"),
        ({"Nonce": ""}, "MissingParameter"),
        ({"Timestamp": ""}, "MissingParameter"),
        ({"Timestamp": "now"}, "InvalidParameter.ParamError"),
        ({"Timestamp": "9" * 40}, "InvalidParameter.ParamError"),
        ({"Version": "2017-03-12"}, "NoSuchVersion"),
    ],
    ids=["action", "key", "nonce", "time", "odd time", "long time", "version"],
)
def test_bad_forms(changes: dict[str, str], expected: str) -> None:
    """What is missing or cannot be is refused with its code."""
    assert code(signed(**changes)) == expected


def test_more_bad_forms() -> None:
    """So are other digests, parameters that come twice, and what is no form."""
    request = signed()
    assert (
        code(dataclasses.replace(request, body=b"SignatureMethod=MD5&" + request.body)) == "InvalidParameter.ParamError"
    )
    assert (
        code(dataclasses.replace(request, body=b"Action=AssumeRole&" + request.body)) == "InvalidParameter.ParamError"
    )
    assert code(post({}, body=b"%zz=%ff")) == "InvalidParameter.ParamError"
    assert code(post({}, body=b"Action=%00")) == "InvalidParameter.ParamError"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"A":"b","C":5,"D":null,"E":[],"F":true}', {"A": "b", "C": "5", "E": "[]", "F": "true"}),
        (b"", None),
        (b"[]", None),
        (b'{"A":"\\u0000"}', None),
        (b'{"A":"\\ud800"}', None),
        (b"[" * 200_000, None),
        (b"\xff", None),
    ],
    ids=["object", "empty", "list", "nul", "half a character", "deep", "bytes"],
)
def test_json(body: bytes, expected: dict[str, str] | None) -> None:
    """An object is read as text by name; all else is refused."""
    if expected is not None:
        assert Parameters.of_json(body).values == expected
        return
    with pytest.raises(ServiceError) as refusal:
        Parameters.of_json(body)
    assert refusal.value.code == "InvalidParameter.ParamError"


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (None, None),
        ("", None),
        ('{"a":"100%"}', '{"a":"100%"}'),
        ("%7B%22a%22%3A+%22%2B%22%7D", '{"a": "+"}'),
        (quote('{"a":"中"}'), '{"a":"中"}'),
    ],
)
def test_policy(sent: str | None, read: str | None) -> None:
    """A policy is escaped as in URLs, by whatever rules of spaces, or plain JSON."""
    assert Parameters({} if sent is None else {"Policy": sent}).policy() == read


@pytest.mark.parametrize("sent", ["%zz", "%ff", "%00"])
def test_policy_that_cannot_be_decoded(sent: str) -> None:
    """What is not escaped rightly is refused."""
    with pytest.raises(ServiceError) as refusal:
        Parameters({"Policy": sent}).policy()
    assert refusal.value.code == "InvalidParameter.ParamError"


def test_what_is_not_offered() -> None:
    """A parameter that would bound the key more is refused, also as a list, unless it says nothing."""
    Parameters({"ExternalId": "", "Tags": "[]", "Other": "x"}).refuse("ExternalId", "Tags")
    for name in ("ExternalId", "Tags.0.Key"):
        with pytest.raises(ServiceError) as refusal:
            Parameters({name: "x"}).refuse("ExternalId", "Tags")
        assert refusal.value.code == "UnsupportedOperation"


SIGNED_GET = b"Action=GetCallerIdentity&SecretId=AKID&Signature=x"


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (ApiRequest(method="POST", headers={"content-type": [FORM]}, hosts=()), True),
        (ApiRequest(method="POST", headers={"content-type": [f"{FORM}; charset=UTF-8"]}, hosts=()), True),
        (ApiRequest(method="POST", query=b"delete", headers={"content-type": [FORM]}, hosts=()), False),
        (ApiRequest(method="POST", headers={"content-type": ["multipart/form-data; boundary=b"]}, hosts=()), False),
        (ApiRequest(method="POST", headers={"content-type": ["application/xml"]}, hosts=()), False),
        (ApiRequest(method="POST", headers={}, hosts=()), False),
        (
            ApiRequest(method="POST", headers={"content-type": [FORM], "authorization": ["q-ak=1"]}, hosts=()),
            False,
        ),
        (ApiRequest(method="POST", headers={"authorization": ["TC3-HMAC-SHA256 Credential="]}, hosts=()), True),
        (ApiRequest(method="POST", headers={"x-tc-action": ["AssumeRole"]}, hosts=()), True),
        (ApiRequest(method="GET", query=SIGNED_GET, headers={}, hosts=()), True),
        (ApiRequest(method="GET", query=b"Action=x", headers={}, hosts=()), False),
        (ApiRequest(method="GET", headers={}, hosts=()), False),
        (ApiRequest(method="PUT", headers={"content-type": [FORM]}, hosts=()), False),
    ],
    ids=[
        "form",
        "form with a set of characters",
        "batch delete",
        "PostObject",
        "xml",
        "no type",
        "signed for COS",
        "version 3",
        "version 3 unsigned",
        "GET",
        "GET that says little",
        "list of buckets",
        "PUT",
    ],
)
def test_which_requests_are_its_own(request_: ApiRequest, expected: bool) -> None:
    """The calls of COS that come to the same address stay COS's."""
    assert is_signed_so(request_) is expected


TEXT = st.text(max_size=20)


@given(
    headers=st.dictionaries(
        st.sampled_from(["authorization", "x-tc-action", "x-tc-timestamp", "content-type", "host"]),
        st.lists(st.one_of(TEXT, st.sampled_from([FORM, "application/json"])), min_size=1, max_size=2),
    ),
    method=st.sampled_from(["GET", "POST"]),
    query=st.binary(max_size=60),
    body=st.one_of(st.binary(max_size=60), st.dictionaries(TEXT, TEXT).map(lambda it: urlencode(it).encode())),
)
def test_any_request_is_read_or_refused(headers: dict[str, list[str]], method: str, query: bytes, body: bytes) -> None:
    """Nothing that a client sends makes the server fail."""
    request = ApiRequest(method=method, query=query, headers=headers, hosts=("h",), body=body)
    is_signed_so(request)
    try:
        called = StsRequest.read(request)
    except ServiceError:
        return
    assert not called.signature.fits(KEY)


def test_replies() -> None:
    """Replies have the members that the SDKs read."""
    key = TemporaryKey(
        secret_id="AKIDtmp",
        secret_key="k",
        token="t",
        appid="125",
        parent="AKID",
        role=None,
        session_name="s",
        policy=None,
        created_at=NOW,
        expires_at=NOW + timedelta(seconds=1.5),
    )
    assert json.loads(render(key_members(key), "id")) == {
        "Response": {
            "Credentials": {"Token": "t", "TmpSecretId": "AKIDtmp", "TmpSecretKey": "k"},
            "ExpiredTime": int(NOW.timestamp()) + 1,
            "Expiration": "2026-01-05T10:00:01Z",
            "RequestId": "id",
        }
    }
    refused = json.loads(render_refusal(ServiceError(403, "Code", "Message"), "id"))
    assert refused == {"Response": {"Error": {"Code": "Code", "Message": "Message"}, "RequestId": "id"}}


@pytest.mark.parametrize(
    ("kind", "name", "session", "arn", "user", "type_"),
    [
        (CallerKind.ROOT, "10001", None, "qcs::cam:10001:uin/10001", "10001", "CAMUser"),
        (CallerKind.USER, "10002", None, "qcs::cam:10001:uin/10002", "10002", "CAMUser"),
        (CallerKind.USER, "10002", "s", "qcs::sts:10001:federated-user/10002", "10002:s", "CAMUser"),
        (CallerKind.ROLE, "r", "s", "qcs::sts:10001:assumed-role/r", "r:s", "CAMRole"),
    ],
    ids=["root", "user", "federated", "role"],
)
def test_identities(kind: CallerKind, name: str, session: str | None, arn: str, user: str, type_: str) -> None:
    """Who calls is told as the cloud tells it."""
    caller = Caller(account=Account(appid="125", uin="10001"), kind=kind, name=name)
    assert caller_members(caller, session, "10003") == {
        "Arn": arn,
        "AccountId": "10001",
        "UserId": user,
        "PrincipalId": "10003",
        "Type": type_,
    }


def test_signature_of_the_documentation() -> None:
    """The signature is base64 of 20 bytes, or of 32."""
    for digest, size in ((None, 20), ("HmacSHA256", 32)):
        values = VALUES | ({"SignatureMethod": digest} if digest else {})
        assert len(base64.b64decode(sign("POST", HOST, values, KEY))) == size
