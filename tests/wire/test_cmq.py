"""Requests and replies of the CMQ API, beside the official client's own signature."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from official_cmq import Sign
from sordino.domain import cmq_errors
from sordino.domain.cmq_errors import CmqError
from sordino.domain.message import QueueAttributes, Receipt, Search
from sordino.wire import cmq
from sordino.wire.cmq import Form, parse_receipt, render, render_refusal, sign, verify

NOW = datetime(2026, 1, 5, 10, 0, 0, tzinfo=UTC)
HOST, KEY = "127.0.0.1:8000", "s3cret"
VALUES = {
    "Action": "SendMessage",
    "Nonce": "4781735211835174852",
    "RequestClient": "SDK_Python_1.3",
    "SecretId": "AKID",
    "Timestamp": str(int(NOW.timestamp())),
    "msgBody": "a b&c=d 你好",
    "queueName": "q_1",
    "weird_name": "x",
}


def refusal(call, *arguments, **named) -> CmqError:
    """What a call is refused with."""
    with pytest.raises(CmqError) as refused:
        call(*arguments, **named)
    return refused.value


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("name", "digest"), [("HmacSHA1", "sha1"), ("HmacSHA256", "sha256")])
@pytest.mark.parametrize("body", ["plain", "@home", "=+&%"])
def test_signature_of_the_official_client(method: str, name: str, digest: str, body: str) -> None:
    """Our signature is that of the official client, and is accepted with any name of the host."""
    values = VALUES | {"SignatureMethod": name, "msgBody": body}
    expected = Sign("AKID", KEY).make(HOST, cmq.PATH, values, method, digest).decode()
    assert sign(method, HOST, values, KEY) == expected
    verify(Form(values | {"Signature": expected}), method, ("other", HOST), KEY, NOW)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"msgBody": "other"}, 4100),
        ({"Signature": "x"}, 4100),
        ({"Signature": "é"}, 4100),
        ({"Signature": ""}, 4000),
        ({"Nonce": ""}, 4000),
        ({"Nonce": "-1"}, 4000),
        ({"SignatureMethod": "HmacMD5"}, 4000),
    ],
)
def test_bad_signatures(changes: dict[str, str], code: int) -> None:
    """What is changed, missing or unknown is refused."""
    signed = VALUES | {"Signature": sign("POST", HOST, VALUES, KEY)}
    assert refusal(verify, Form(signed | changes), "POST", (HOST,), KEY, NOW).code == code


@pytest.mark.parametrize("minutes", [-11, 11])
def test_old_requests(minutes: int) -> None:
    """A request is good for ten minutes, on either side of our clock."""
    signed = Form(VALUES | {"Signature": sign("POST", HOST, VALUES, KEY)})
    verify(signed, "POST", (HOST,), KEY, NOW + timedelta(minutes=minutes * 10 / 11))
    assert refusal(verify, signed, "POST", (HOST,), KEY, NOW + timedelta(minutes=minutes)).code == 4200


@pytest.mark.parametrize("raw", [b"a=1&a=2", b"a=%zz", b"a=%FF", b"a=%00", b"&".join([b"a"] * 300)])
def test_broken_forms(raw: bytes) -> None:
    """A form that says two things or nothing legible is refused."""
    assert refusal(Form.parse, raw).code == 4000


def test_form() -> None:
    """A form is read as browsers write it."""
    assert Form.parse(b"a=1+2&b=%E4%BD%A0&c=").values == {"a": "1 2", "b": "你", "c": ""}


@pytest.mark.parametrize(
    ("read", "values", "word"),
    [
        (lambda form: form.text("queueName"), {}, "queueName is missing"),
        (lambda form: form.name("queueName"), {"queueName": "a b"}, "1 to 128 letters"),
        (lambda form: form.name("queueName"), {"queueName": "a" * 129}, "1 to 128 letters"),
        (Form.wait, {"pollingWaitSeconds": "31"}, "from 0 to 30"),
        (Form.delay, {"delaySeconds": "1.5"}, "delaySeconds is '1.5'"),
        (Form.number_of_messages, {}, "numOfMsg is missing"),
        (Form.number_of_messages, {"numOfMsg": "17"}, "from 1 to 16"),
        (Form.search, {"limit": "0"}, "limit"),
        (Form.topic_size, {"maxMsgSize": "65537"}, "from 1024 to 65536"),
        (lambda form: form.batch("msgBody"), {}, "msgBody.1"),
        (lambda form: form.batch("msgBody"), {"msgBody.2": "a"}, "msgBody.1"),
        (lambda form: form.batch("msgBody"), {"msgBody.1": ""}, "empty"),
        (lambda form: form.batch("msgBody"), {f"msgBody.{n}": "a" for n in range(1, 18)}, "1 to 16"),
        (lambda form: form.attributes(QueueAttributes()), {"rewindSeconds": "60"}, "rewindSeconds is not offered"),
        (lambda form: form.attributes(QueueAttributes()), {"visibilityTimeout": "0"}, "from 1 to 43200"),
        (lambda form: form.refuse("filterTag"), {"filterTag.1": "a"}, "filterTag.1 is not offered"),
        (lambda form: form.choice("protocol", ("queue",)), {"protocol": "http"}, "use queue"),
    ],
)
def test_refused_parameters(read, values: dict[str, str], word: str) -> None:
    """Each refusal names the parameter and what is legal."""
    refused = refusal(read, Form(values))
    assert refused.code == 4000
    assert word in refused.message


def test_parameters() -> None:
    """What is given is read; what is not, or is empty, is the default."""
    given = {"pollingWaitSeconds": "3", "visibilityTimeout": "60", "maxMsgHeapNum": "1000000", "rewindSeconds": "0"}
    assert Form(given).attributes(QueueAttributes(retention=99)) == QueueAttributes(
        polling_wait=3, visibility=60, retention=99
    )
    assert (Form({}).wait(), Form({"pollingWaitSeconds": "0"}).wait(), Form({}).delay()) == (None, 0, 0)
    assert Form({"searchWord": "a", "offset": "5", "limit": "50"}).search() == Search(word="a", offset=5, limit=50)
    assert Form({"m.1": "a", "m.2": "b", "n.1": "c"}).batch("m") == ["a", "b"]


@pytest.mark.parametrize("handle", ["", "1", "1.", "a.1", "1.1.1", "1" * 19 + ".1", "1.9999999999", "1.2147483648"])
def test_receipts_that_are_none(handle: str) -> None:
    """They are refused before the database sees them."""
    assert refusal(parse_receipt, handle).code == 4000


def test_receipt() -> None:
    """A receipt's text is read back."""
    receipt = Receipt(number=12, dequeues=3)
    assert parse_receipt(str(receipt)) == receipt


def test_replies() -> None:
    """Every reply has code, message and requestId; a call on many messages tells which failed."""
    assert json.loads(render({"queueId": "q"}, "r")) == {"code": 0, "message": "", "requestId": "r", "queueId": "q"}
    refused = cmq_errors.NOT_ALL_DELETED(parts=[(cmq_errors.BAD_RECEIPT("gone"), "1.1")])
    assert json.loads(render_refusal(refused, "r")) == {
        "code": 6010,
        "message": refused.message,
        "requestId": "r",
        "errorList": [{"code": 4430, "message": "gone", "receiptHandle": "1.1"}],
    }
