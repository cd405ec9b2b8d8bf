"""The signature of the cloud's general API, beside the official SDK's own."""

import dataclasses
import json
from collections.abc import Mapping

import pytest

from official_sts import ClientProfile, Credential, HttpProfile, StsClient, TencentCloudSDKException, models
from sordino.errors import ServiceError
from sordino.wire.sts import StsRequest
from sordino.wire.tc3 import ApiRequest, Tc3Signature, sign

HOST, ID, KEY = "sts.example:8080", "AKIDexample", "s3cret"
AT = 1_767_607_200


def official(method: str = "POST", *, unsigned: bool = False, token: str | None = None) -> ApiRequest:
    """A request as the official SDK makes it."""
    profile = ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=HOST, reqMethod=method))
    profile.unsignedPayload = unsigned
    client = StsClient(Credential(ID, KEY, token), "ap-guangzhou", profile)
    made = []

    def catch(request: object) -> None:
        made.append(request)
        raise ConnectionError

    client.request.send_request = catch
    wanted = models.GetFederationTokenRequest()
    wanted.Name, wanted.Policy, wanted.DurationSeconds = "é b", "%7B%7D", 900
    with pytest.raises(TencentCloudSDKException):
        client.GetFederationToken(wanted)
    (sent,) = made
    get = method == "GET"
    return ApiRequest(
        method=method,
        query=sent.data.encode() if get else b"",
        headers={name.lower(): [value] for name, value in sent.header.items()},
        hosts=("other", HOST),
        body=b"" if get else sent.data.encode(),
    )


def changed(request: ApiRequest, **headers: str | None) -> ApiRequest:
    """The request with other headers; None: without one."""
    new = {name.replace("_", "-"): value for name, value in headers.items()}
    kept = {name: values for name, values in request.headers.items() if name not in new}
    added = {name: [value] for name, value in new.items() if value is not None}
    return dataclasses.replace(request, headers={**kept, **added})


def code(request: ApiRequest) -> str:
    """The code that reading a request is refused with."""
    with pytest.raises(ServiceError) as refusal:
        Tc3Signature.read(request)
    return refusal.value.code


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_the_official_client_is_understood(method: str) -> None:
    """What the official SDK signs is read and fits, with its key alone."""
    request = official(method, token="t0ken")
    called = StsRequest.read(request)
    assert (called.action, called.signature.secret_id, called.token) == ("GetFederationToken", ID, "t0ken")
    assert called.parameters.values == {"Name": "é b", "Policy": "%7B%7D", "DurationSeconds": "900"}
    assert called.signature.fits(KEY)
    assert not called.signature.fits(KEY + "x")


def test_unsigned_body() -> None:
    """A client may leave its body unsigned, if it says so where it signs; nobody can say so for it."""
    assert Tc3Signature.read(dataclasses.replace(official(unsigned=True), body=b"{}")).fits(KEY)
    assert not Tc3Signature.read(changed(official(), x_tc_content_sha256="UNSIGNED-PAYLOAD")).fits(KEY)


@pytest.mark.parametrize(
    "change",
    [
        {"body": b"{}"},
        {"method": "GET"},
        {"query": b"a=b"},
        {"hosts": ("other",)},
    ],
    ids=["body", "method", "query", "host"],
)
def test_what_is_changed_does_not_fit(change: Mapping[str, object]) -> None:
    """Method, query, host and body are signed."""
    assert not Tc3Signature.read(dataclasses.replace(official(), **change)).fits(KEY)


@pytest.mark.parametrize("name", ["content-type", "host", "x-tc-timestamp"])
def test_headers_are_signed(name: str) -> None:
    """Those that are listed, and the time; the host is known from the address."""
    request = official()
    other = str(int(request.header(name)) + 1) if name == "x-tc-timestamp" else f"{request.header(name)}x"
    read = Tc3Signature.read(changed(request, **{name.replace("-", "_"): other}))
    assert read.fits(KEY) is (name == "host")


def test_values_in_lower_case() -> None:
    """SDKs that sign values of headers in lower case fit, too, and so do more headers than must be."""
    headers = {"content-type": "application/json; charset=UTF-8", "host": HOST, "x-tc-action": "AssumeRole"}
    request = ApiRequest(
        method="POST",
        headers={**{name: [value] for name, value in headers.items()}, "x-tc-timestamp": [str(AT)]},
        hosts=(HOST,),
        body=b"{}",
    )
    signature = sign(request, AT, {name: value.lower() for name, value in headers.items()}, KEY)
    scope = f"Credential={ID}/2026-01-05/sts/tc3_request, SignedHeaders={';'.join(headers)}"
    signed = changed(request, authorization=f"TC3-HMAC-SHA256 {scope}, Signature={signature}")
    assert Tc3Signature.read(signed).fits(KEY)
    assert not Tc3Signature.read(changed(signed, x_tc_action="GetCallerIdentity")).fits(KEY)


def authorization(scope: str = "2026-01-05/sts", headers: str = "content-type;host", signature: str = "0" * 64) -> str:
    """The value of an Authorization header."""
    return f"TC3-HMAC-SHA256 Credential={ID}/{scope}/tc3_request, SignedHeaders={headers}, Signature={signature}"


@pytest.mark.parametrize(
    ("value", "timestamp"),
    [
        ("", str(AT)),
        ("SKIP", str(AT)),
        ("TC3-HMAC-SHA256", str(AT)),
        (authorization(signature="0" * 63), str(AT)),
        (authorization(scope="2026-01-05/cvm"), str(AT)),
        (authorization(scope="2026-01-06/sts"), str(AT)),
        (authorization(headers="host"), str(AT)),
        (authorization(headers="content-type"), str(AT)),
        (authorization(headers=";".join(["content-type;host", *map(str, range(40))])), str(AT)),
        (authorization(), ""),
        (authorization(), "-1"),
        (authorization(), "1e9"),
        (authorization(), "9" * 30),
    ],
    ids=[
        "none",
        "skipped",
        "cut",
        "short signature",
        "other service",
        "other day",
        "no content-type",
        "no host",
        "many headers",
        "no time",
        "negative time",
        "no whole time",
        "long time",
    ],
)
def test_no_authorization(value: str, timestamp: str) -> None:
    """What is no signature of this kind is refused with its code."""
    headers = {"authorization": [value], "x-tc-timestamp": [timestamp], "content-type": ["application/json"]}
    assert code(ApiRequest(method="POST", headers=headers, hosts=(HOST,))) == "AuthFailure.InvalidAuthorization"


@pytest.mark.parametrize("name", ["authorization", "x-tc-action", "x-tc-timestamp", "x-tc-token", "content-type"])
def test_two_headers(name: str) -> None:
    """A header that counts and comes twice with two values is refused."""
    request = official(token="t0ken")
    twice = dataclasses.replace(request, headers={**request.headers, name: [*request.headers[name], "other"]})
    with pytest.raises(ServiceError) as refusal:
        StsRequest.read(twice).signature.fits(KEY)
    assert refusal.value.code == "InvalidParameter.ParamError"


def test_json_of_the_official_client() -> None:
    """The body of a POST is JSON, as the SDK makes it."""
    assert json.loads(official().body)["DurationSeconds"] == 900
