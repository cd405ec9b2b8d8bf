"""Bodies of the job API as hostile and careless clients send them: each gets a complete refusal with a code."""

import socket
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest

from raw_http import authorization, host_of, refusal, send
from server import Server

CALLS = [
    ("POST", "/jobs"),
    ("POST", "/template"),
    ("PUT", "/template/t1"),
    ("POST", "/asrqueue"),
    ("PUT", "/queue/p1"),
]
TEMPLATE = b"<Request><Tag>NoiseReduction</Tag><Name>n</Name><NoiseReduction/></Request>"


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
@pytest.mark.parametrize(
    "kind",
    ["application/json", "text/plain", "application/x-www-form-urlencoded", "application/xml; charset=gbk", "xml"],
)
def test_types_that_are_no_xml(service: Server, new_bucket: Callable[[], str], call, kind) -> None:
    """A body of another type, or in another encoding, is refused by its type."""
    answer = send(service, *call, bucket=new_bucket(), kind="ci", body=TEMPLATE, headers={"Content-Type": kind})
    told = refusal(answer[2])
    assert (answer[0], told["Code"]) == (400, "InvalidContentType")
    assert kind in told["Message"]


@pytest.mark.parametrize(
    "kind",
    [None, "", "application/xml", "text/xml", "Application/XML; Charset=UTF-8", 'text/xml;charset="utf-8"; version=1'],
)
def test_types_of_xml(service: Server, new_bucket: Callable[[], str], kind) -> None:
    """XML in UTF-8, whatever way it is spelled, is taken; so is a body that says no type."""
    answer = send(
        service, "POST", "/template", bucket=new_bucket(), kind="ci", body=TEMPLATE, headers={"Content-Type": kind}
    )
    assert answer[0] == 200, answer


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_no_length(service: Server, new_bucket: Callable[[], str], call) -> None:
    """A call that needs a body and says nothing of one is asked for its length."""
    answer = send(service, *call, bucket=new_bucket(), kind="ci", headers={"Content-Length": None})
    assert (answer[0], refusal(answer[2])["Code"]) == (411, "MissingContentLength")


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_no_body(service: Server, new_bucket: Callable[[], str], call) -> None:
    """A body of no length is missing, which is another mistake."""
    answer = send(service, *call, bucket=new_bucket(), kind="ci")
    assert (answer[0], refusal(answer[2])["Code"]) == (400, "MissingContent")


def test_a_chunked_body(service: Server, new_bucket: Callable[[], str]) -> None:
    """A body in chunks has no length, and needs none."""
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (TEMPLATE[:20], TEMPLATE[20:])) + b"0\r\n\r\n"
    answer = send(
        service,
        "POST",
        "/template",
        bucket=new_bucket(),
        kind="ci",
        body=chunked,
        headers={"Content-Length": None, "Transfer-Encoding": "chunked"},
    )
    assert answer[0] == 200, answer


HOSTILE = [
    b"<?xml version='1.0'?><!DOCTYPE r [<!ENTITY a 'aaaaaaaaaa'>]><Request>&a;</Request>",
    b"<!DOCTYPE r [<!ENTITY a '1'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]><Request>&b;</Request>",
    b"<!DOCTYPE r [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><Request><Name>&x;</Name></Request>",
    b"<!DOCTYPE r SYSTEM 'http://127.0.0.1:9/x.dtd'><Request/>",
    b"<!DOCTYPE r [<!ENTITY % p SYSTEM 'file:///etc/passwd'> %p;]><Request/>",
    b"<Request>&undefined;</Request>",
    b"<Request " + b" ".join(b"a%d='1'" % n for n in range(5_000)) + b"/>",
    b"<Request>" + b"<Name>" * 10_000,
    b"<Request>" * 33 + b"</Request>" * 33,
    b"<Request>\x00</Request>",
    b"<Request>\xff</Request>",
    b"<?xml version='1.0' encoding='utf-16'?><Request/>",
    b"<html><body>504</body></html>",
    b"<Request><Name>a</Name>",
    b"{}",
]
LARGE = [b"<a>" * 100_000, b"<Request " + b" ".join(b"a%d='1'" % n for n in range(90_000)) + b"/>", b" " * 70_000]


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
@pytest.mark.parametrize("body", HOSTILE, ids=lambda body: f"{body[:24]!r}-{len(body)}")
def test_hostile_documents(service: Server, new_bucket: Callable[[], str], call, body) -> None:
    """Bombs, entities, deep nesting, floods of attributes and broken documents are refused in every call."""
    answer = send(service, *call, bucket=new_bucket(), kind="ci", body=body)
    told = refusal(answer[2])
    assert (answer[0], told["Code"]) in ((400, "InvalidContent"), (400, "InvalidArgument"))
    assert "root:" not in told["Message"]


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
@pytest.mark.parametrize("body", LARGE, ids=lambda body: f"{body[:12]!r}-{len(body)}")
def test_documents_that_are_too_large(service: Server, new_bucket: Callable[[], str], call, body) -> None:
    """A body of more than 64 KiB is refused before it is read as XML."""
    answer = send(service, *call, bucket=new_bucket(), kind="ci", body=body)
    assert (answer[0], refusal(answer[2])["Code"]) == (413, "InvalidContent")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/jobs/", 404, "InvalidUrl"),
        ("GET", "/jobs/a/b", 404, "InvalidUrl"),
        ("GET", "/template/t1/x", 404, "InvalidUrl"),
        ("GET", "/mediabucket/x", 404, "InvalidUrl"),
        ("GET", "/asrqueues", 404, "InvalidUrl"),
        ("PATCH", "/template", 405, "MethodNotAllowed"),
        ("GET", "/template/t1", 405, "MethodNotAllowed"),
        ("POST", "/ai_queue/p1", 405, "MethodNotAllowed"),
        ("PUT", "/asrbucket", 405, "MethodNotAllowed"),
        ("DELETE", "/jobs/j1", 405, "MethodNotAllowed"),
        ("HEAD", "/jobs", 405, None),
    ],
)
def test_wrong_addresses_and_methods(
    service: Server, new_bucket: Callable[[], str], method, path, status, code
) -> None:
    """Addresses that are none and methods that are not answered are told apart; the latter tell those that are."""
    answer = send(service, method, path, bucket=new_bucket(), kind="ci")
    assert answer[0] == status
    assert ("Allow" in answer[1]) == (status == 405)
    if code is not None:
        assert refusal(answer[2])["Code"] == code


@pytest.mark.parametrize("kind", ["cos", "ci"])
def test_every_refusal_is_complete(service: Server, new_bucket: Callable[[], str], kind) -> None:
    """Body and headers of a refusal carry the same ids, and COS's header is there, too: the PHP SDK looks for it."""
    _, headers, content = send(service, "POST", "/jobs", bucket=new_bucket(), kind=kind, body=b"<Other/>")
    told = refusal(content)
    assert headers["Content-Type"] == "application/xml"
    assert headers["Content-Length"] == str(len(content))
    assert (headers["x-ci-request-id"], headers["x-ci-trace-id"]) == (told["RequestId"], told["TraceId"])
    assert headers["x-cos-request-id"] == told["RequestId"]
    assert (headers["Server"], told["Resource"]) == ("tencent-ci", "/jobs")
    assert headers["Date"]


def test_the_id_of_a_request_is_in_its_reply(service: Server, new_bucket: Callable[[], str]) -> None:
    """The RequestId in a reply's body is that of its header."""
    _, headers, content = send(service, "GET", "/template", bucket=new_bucket(), kind="ci")
    assert ET.fromstring(content).findtext("RequestId") == headers["x-ci-request-id"]


def test_two_requests_in_one(service: Server, new_bucket: Callable[[], str]) -> None:
    """Length and chunks together, the stuff of smuggled requests, are refused."""
    host = host_of(new_bucket(), "ci")
    head = (
        f"POST /template HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
        f"Authorization: {authorization(service, 'POST', '/template', host)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(head.encode() + b"0\r\n\r\nGET /jobs HTTP/1.1\r\nHost: h\r\n\r\n")
        reply = b"".join(iter(lambda: connection.recv(65536), b""))
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert b"not both" in reply
    assert reply.count(b"HTTP/1.1 ") == 1
