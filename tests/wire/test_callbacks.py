"""Callbacks on the wire: bodies and headers to the letter, and the log of deliveries."""

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sordino.domain.callback import CallbackFormat, CallbackTarget, MqMode, MqTarget
from sordino.domain.delivery import Attempt, Delivery, DeliveryState, LoggedDelivery
from sordino.domain.job import Job, JobState, MediaInfo, NoiseReduction, Operation, Output, TemplateRef
from sordino.version import __version__
from sordino.wire.callbacks import render_body, render_callback, render_deliveries, sign
from sordino.wire.job_replies import render_jobs

NOW = datetime(2026, 1, 5, 2, 0, 0, tzinfo=UTC)
JOB = Job(
    job_id="j3c9a1f5e8b7211ee9d2a0242ac120002",
    bucket="test-1250000000",
    region="ap-chongqing",
    queue_id="p7d1f0c52b9e44a4c8f0d6a1e5b3c2d10",
    input_object="input/demo.mp3",
    operation=Operation(
        noise_reduction=NoiseReduction(),
        output=Output(region="ap-chongqing", bucket="test-1250000000", object="output/nr.wav"),
        user_data="ticket-42",
        job_level=0,
    ),
    created_at=NOW,
    started_at=NOW + timedelta(seconds=2),
    ended_at=NOW + timedelta(seconds=9),
    state=JobState.SUCCESS,
    attempt=1,
)
DELIVERY = Delivery(
    delivery_id="d1",
    job_id=JOB.job_id,
    target=CallbackTarget(url="http://hooks.example/", format=CallbackFormat.JSON),
    created_at=NOW,
)
DOCUMENTED = {
    "EventName": "TaskFinish",
    "JobsDetail": {
        "Code": "Success",
        "CreationTime": "2026-01-05T10:00:00+0800",
        "EndTime": "2026-01-05T10:00:09+0800",
        "Input": {"BucketId": "test-1250000000", "Object": "input/demo.mp3", "Region": "ap-chongqing"},
        "JobId": "j3c9a1f5e8b7211ee9d2a0242ac120002",
        "Message": "SUCCESS",
        "Operation": {
            "JobLevel": "0",
            "Output": {"Bucket": "test-1250000000", "Object": "output/nr.wav", "Region": "ap-chongqing"},
            "UserData": "ticket-42",
        },
        "QueueId": "p7d1f0c52b9e44a4c8f0d6a1e5b3c2d10",
        "StartTime": "2026-01-05T10:00:02+0800",
        "State": "Success",
        "Tag": "NoiseReduction",
    },
}
"""The published sample."""
OURS = {"Progress": "100", "QueueType": "Speeching"}
ORDER = {"Format": "wav", "SampleRate": "16000"}


def members(job: Job) -> dict[str, dict[str, object]]:
    """The JSON body."""
    return json.loads(render_body(job, CallbackFormat.JSON))


def test_json() -> None:
    """The body is the published sample's, with what replies show beside it."""
    expected = DOCUMENTED["JobsDetail"] | OURS
    expected["Operation"] = expected["Operation"] | {"NoiseReduction": ORDER}
    assert members(JOB) == {"EventName": "TaskFinish", "JobsDetail": expected}


def test_json_is_in_order() -> None:
    """Members are in the order of the sample, which is the alphabet's, on every level."""

    def ordered(value: object) -> bool:
        if not isinstance(value, dict):
            return True
        return list(value) == sorted(value) and all(map(ordered, value.values()))

    assert ordered(members(JOB))
    assert b'"Object": "\xe8\xaf\xad.mp3"' in render_body(replace(JOB, input_object="语.mp3"), CallbackFormat.JSON)


def test_xml() -> None:
    """The same in XML, below the root Response."""
    assert render_body(JOB, CallbackFormat.XML).decode() == (
        "<?xml version='1.0' encoding='UTF-8'?>\n"
        "<Response><EventName>TaskFinish</EventName><JobsDetail><Code>Success</Code>"
        "<CreationTime>2026-01-05T10:00:00+0800</CreationTime><EndTime>2026-01-05T10:00:09+0800</EndTime>"
        "<Input><BucketId>test-1250000000</BucketId><Object>input/demo.mp3</Object><Region>ap-chongqing</Region></Input>"
        "<JobId>j3c9a1f5e8b7211ee9d2a0242ac120002</JobId><Message>SUCCESS</Message>"
        "<Operation><JobLevel>0</JobLevel>"
        "<NoiseReduction><Format>wav</Format><SampleRate>16000</SampleRate></NoiseReduction>"
        "<Output><Bucket>test-1250000000</Bucket><Object>output/nr.wav</Object><Region>ap-chongqing</Region></Output>"
        "<UserData>ticket-42</UserData></Operation><Progress>100</Progress>"
        "<QueueId>p7d1f0c52b9e44a4c8f0d6a1e5b3c2d10</QueueId><QueueType>Speeching</QueueType>"
        "<StartTime>2026-01-05T10:00:02+0800</StartTime><State>Success</State><Tag>NoiseReduction</Tag>"
        "</JobsDetail></Response>"
    )


def test_message() -> None:
    """A success says SUCCESS in callbacks, as the sample does, unless it has a note; other replies stay as they are."""
    assert members(JOB)["JobsDetail"]["Message"] == "SUCCESS"
    assert members(replace(JOB, message="cut short"))["JobsDetail"]["Message"] == "cut short"
    assert b"<Message/>" in render_jobs([JOB])


def test_failure() -> None:
    """A failed job tells its code and message; one that never started has no start."""
    failed = replace(JOB, state=JobState.FAILED, code="ResourceNotFound", message="no <object>", started_at=None)
    detail = members(failed)["JobsDetail"]
    assert (detail["State"], detail["Code"], detail["Message"]) == ("Failed", "ResourceNotFound", "no <object>")
    assert detail["StartTime"] == "-"
    assert b"<Message>no &lt;object&gt;</Message>" in render_body(failed, CallbackFormat.XML)


def test_all_values_are_strings() -> None:
    """Numbers are strings, too, in what the sample does not show."""
    info = MediaInfo(
        duration=1.5, sample_rate=16000, channels=1, size=48044, format_name="wav", codec_name="pcm_s16le", md5="0" * 32
    )

    def leaves(value: object) -> list[object]:
        return [leaf for inner in value.values() for leaf in leaves(inner)] if isinstance(value, dict) else [value]

    body = members(replace(JOB, media_info=info))
    assert body["JobsDetail"]["Operation"]["MediaInfo"]["Format"]["Size"] == "48044"
    assert all(isinstance(leaf, str) for leaf in leaves(body))


def test_template() -> None:
    """A job of a template names it in place of its values, as in replies."""
    operation = replace(JOB.operation, template=TemplateRef(template_id="t1", name="speech"))
    told = members(replace(JOB, operation=operation))["JobsDetail"]["Operation"]
    assert (told["TemplateId"], told["TemplateName"]) == ("t1", "speech")
    assert "NoiseReduction" not in told


@pytest.mark.parametrize(
    ("form", "kind"), [(CallbackFormat.XML, "application/xml"), (CallbackFormat.JSON, "application/json")]
)
def test_headers(form: CallbackFormat, kind: str) -> None:
    """They tell the format, the delivery and the try; nothing is signed without a key."""
    callback = render_callback(JOB, replace(DELIVERY, target=replace(DELIVERY.target, format=form), attempts=3), NOW)
    assert dict(callback.headers) == {
        "Content-Type": kind,
        "User-Agent": f"Sordino/{__version__}",
        "x-sordino-delivery": "d1",
        "x-sordino-attempt": "3",
    }
    assert (callback.target.url, callback.body) == (DELIVERY.target.url, render_body(JOB, form))
    assert (callback.delivery_id, callback.job_id, callback.state) == ("d1", JOB.job_id, "Success")
    assert callback.account == "1250000000"


def test_signature() -> None:
    """With a key, the delivery, the time of the try and the body are signed."""
    callback = render_callback(JOB, DELIVERY, NOW, "s3cret")
    headers = dict(callback.headers)
    assert headers["x-sordino-timestamp"] == "1767578400"
    text = b"d1.1767578400." + callback.body
    assert headers["x-sordino-signature"] == "sha256=" + hmac.new(b"s3cret", text, hashlib.sha256).hexdigest()


def test_signature_of_a_known_text() -> None:
    """The number that the how-to shows."""
    known = sign("secret", "d1", "1767578400", b"{}")
    assert known == hmac.new(b"secret", b"d1.1767578400.{}", "sha256").hexdigest()
    assert len(known) == 64


def test_log() -> None:
    """Each delivery shows how far it is, and each try how it ended."""
    waiting = LoggedDelivery(
        delivery=replace(DELIVERY, attempts=3, next_at=NOW + timedelta(seconds=8)),
        attempts=(
            Attempt(number=1, at=NOW, status=500, milliseconds=12),
            Attempt(number=2, at=NOW, error="no reply within 5 s", milliseconds=5001),
            Attempt(number=3, at=NOW),
        ),
    )
    done = LoggedDelivery(
        delivery=replace(DELIVERY, delivery_id="d0", state=DeliveryState.DELIVERED, attempts=1),
        attempts=(Attempt(number=1, at=NOW, status=204, milliseconds=3),),
    )
    head = "<Url>http://hooks.example/</Url><Format>JSON</Format>"
    time, later = "2026-01-05T10:00:00+0800", "2026-01-05T10:00:08+0800"
    assert render_deliveries("j1", [waiting, done]).decode() == (
        "<?xml version='1.0' encoding='UTF-8'?>\n<Response><JobId>j1</JobId>"
        f"<Delivery><DeliveryId>d1</DeliveryId>{head}<State>Waiting</State><CreationTime>{time}</CreationTime>"
        f"<Attempts>3</Attempts><NextTime>{later}</NextTime>"
        f"<Attempt><Number>1</Number><Time>{time}</Time><Status>500</Status><Milliseconds>12</Milliseconds></Attempt>"
        f"<Attempt><Number>2</Number><Time>{time}</Time><Error>no reply within 5 s</Error>"
        "<Milliseconds>5001</Milliseconds></Attempt>"
        f"<Attempt><Number>3</Number><Time>{time}</Time></Attempt></Delivery>"
        f"<Delivery><DeliveryId>d0</DeliveryId>{head}<State>Delivered</State><CreationTime>{time}</CreationTime>"
        f"<Attempts>1</Attempts><Attempt><Number>1</Number><Time>{time}</Time><Status>204</Status>"
        "<Milliseconds>3</Milliseconds></Attempt></Delivery></Response>"
    )


def test_log_of_a_message_queue() -> None:
    """The log names region, mode and name in place of a URL."""
    mq = MqTarget(region="sh", mode=MqMode.TOPIC, name="ends")
    logged = LoggedDelivery(delivery=replace(DELIVERY, target=CallbackTarget(mq=mq)), attempts=())
    told = render_deliveries("j1", [logged]).decode()
    assert "<MqRegion>sh</MqRegion><MqMode>Topic</MqMode><MqName>ends</MqName><Format>XML</Format>" in told
    assert "Url" not in told
