from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qcloud_cos.cos_comm import format_xml

from sordino.domain.callback import (
    QUEUE_DECIDES,
    CallbackEvent,
    CallbackFormat,
    CallbackType,
    JobCallback,
    MqMode,
    MqTarget,
    NotifyConfig,
)
from sordino.errors import ServiceError
from sordino.wire.notify import is_url, notify_nodes, parse_job_callback, parse_notify
from sordino.wire.part import read_request

URL = "http://hooks.example:8080/ci?x=1"
MQ = {"MqRegion": "sh", "MqMode": "Topic", "MqName": "ended"}
ON = {"State": "On", "Event": "TaskFinish", "Type": "Url", "Url": URL}


def job(**elements):
    """What a job with these elements says of its callback."""
    return parse_job_callback(read_request(format_xml(elements | {"Tag": "NoiseReduction"}, "Request")))


def queue(**elements):
    """What a queue with these elements of NotifyConfig says."""
    request = read_request(format_xml({"NotifyConfig": elements}, "Request"))
    return parse_notify(request.container("NotifyConfig"))


def refusal(read, elements):
    """Code and message that the elements are refused with."""
    with pytest.raises(ServiceError) as refused:
        read(**elements)
    return refused.value.code, refused.value.message


@pytest.mark.parametrize(
    ("elements", "found"),
    [
        ({}, QUEUE_DECIDES),
        ({"CallBack": "", "CallBackType": None, "CallBackMqConfig": ""}, QUEUE_DECIDES),
        ({"CallBack": URL}, JobCallback(url=URL)),
        ({"CallBack": f" {URL}\n"}, JobCallback(url=URL)),
        ({"CallBack": "https://[::1]/"}, JobCallback(url="https://[::1]/")),
        ({"CallBack": "no"}, JobCallback(muted=True)),
        ({"CallBackFormat": "JSON"}, JobCallback(format=CallbackFormat.JSON)),
        ({"CallBackType": "Url"}, JobCallback(type=CallbackType.URL)),
        (
            {"CallBack": "no", "CallBackType": "TDMQ", "CallBackMqConfig": MQ},
            JobCallback(muted=True, type=CallbackType.TDMQ, mq=MqTarget(region="sh", mode=MqMode.TOPIC, name="ended")),
        ),
        (
            {"CallBackMqConfig": {"MqRegion": "hk", "MqName": "q-1_.x"}},
            JobCallback(mq=MqTarget(region="hk", mode=MqMode.QUEUE, name="q-1_.x")),
        ),
    ],
)
def test_callbacks_of_jobs(elements, found):
    """What a job says of its callback is read; the rest is left to its queue."""
    assert job(**elements) == found


@pytest.mark.parametrize(
    ("elements", "names"),
    [
        ({"CallBack": "hooks.example/ci"}, ["Request.CallBack", "'hooks.example/ci'", "http", "or no"]),
        ({"CallBack": "No"}, ["Request.CallBack", "'No'"]),
        ({"CallBackFormat": "YAML"}, ["Request.CallBackFormat", "'YAML'", "XML, JSON"]),
        ({"CallBackType": "Mail"}, ["Request.CallBackType", "'Mail'", "Url, TDMQ"]),
        ({"CallBackType": "TDMQ"}, ["Request.CallBackMqConfig", "missing"]),
        ({"CallBackMqConfig": MQ | {"MqRegion": "us"}}, ["Request.CallBackMqConfig.MqRegion", "sh, bj, gz, cd, hk"]),
        ({"CallBackMqConfig": MQ | {"MqRegion": ""}}, ["Request.CallBackMqConfig.MqRegion", "missing"]),
        ({"CallBackMqConfig": MQ | {"MqMode": "Stack"}}, ["Request.CallBackMqConfig.MqMode", "Queue, Topic"]),
        ({"CallBackMqConfig": MQ | {"MqName": ""}}, ["Request.CallBackMqConfig.MqName", "missing"]),
        ({"CallBackMqConfig": MQ | {"MqName": "a b"}}, ["Request.CallBackMqConfig.MqName", "'a b'"]),
        ({"CallBackMqConfig": {"MqMode": "Queue"}}, ["Request.CallBackMqConfig.MqRegion", "missing"]),
        (
            {"CallBackType": "TDMQ", "CallBackMqConfig": MQ, "CallBackFormat": "YAML"},
            ["Request.CallBackFormat"],
        ),
    ],
)
def test_refused_callbacks_of_jobs(elements, names):
    """Each refusal names the element and what is legal there."""
    code, message = refusal(job, elements)
    assert code == "InvalidArgument"
    assert all(name in message for name in names)


@pytest.mark.parametrize(
    ("read", "elements", "name"),
    [
        (job, {"CallBackKafkaConfig": {"Topic": "t"}}, "Request.CallBackKafkaConfig"),
        (queue, {"KafkaConfig": {"Topic": "t"}}, "Request.NotifyConfig.KafkaConfig"),
    ],
)
def test_kafka(read, elements, name):
    """Kafka, which only one SDK knows, is not offered, and said so."""
    code, message = refusal(read, elements)
    assert (code, message.partition(":")[0]) == ("NotImplemented", name)


@pytest.mark.parametrize(
    ("elements", "found"),
    [
        ({}, NotifyConfig()),
        ({"State": "Off"}, NotifyConfig()),
        (
            {"State": "Off", "Url": URL, "Type": "TDMQ"} | MQ,
            NotifyConfig(
                url=URL,
                type=CallbackType.TDMQ,
                mq=MqTarget(region="sh", mode=MqMode.TOPIC, name="ended"),
            ),
        ),
        (
            ON,
            NotifyConfig(on=True, events=(CallbackEvent.TASK_FINISH,), type=CallbackType.URL, url=URL),
        ),
        (
            ON | {"Event": " WorkflowFinish, TaskFinish,,TaskFinish", "ResultFormat": "JSON", "MqMode": "Queue"},
            NotifyConfig(
                on=True,
                events=(CallbackEvent.WORKFLOW_FINISH, CallbackEvent.TASK_FINISH),
                type=CallbackType.URL,
                format=CallbackFormat.JSON,
                url=URL,
            ),
        ),
    ],
)
def test_callbacks_of_queues(elements, found):
    """What a queue says is read, and kept while it is off."""
    assert queue(**elements) == found


@pytest.mark.parametrize(
    ("elements", "names"),
    [
        ({"State": "on"}, ["State", "'on'", "Off, On"]),
        ({"Event": "TaskFinish,Done"}, ["Event", "'Done'", "TaskFinish, WorkflowFinish"]),
        ({"Type": "Mail"}, ["Type", "Url, TDMQ"]),
        ({"ResultFormat": "YAML"}, ["ResultFormat", "XML, JSON"]),
        ({"Url": "ftp://x/"}, ["Url", "'ftp://x/'", "http"]),
        ({"MqMode": "Stack"}, ["MqMode"]),
        ({"MqRegion": "us"}, ["MqRegion"]),
        ({"MqRegion": "sh"}, ["MqName", "missing"]),
        ({"MqName": "q"}, ["MqRegion", "missing"]),
        (ON | {"Event": ""}, ["Event", "missing", "State On"]),
        (ON | {"Event": ","}, ["Event", "missing"]),
        (ON | {"Type": ""}, ["Type", "missing", "State On"]),
        (ON | {"Url": ""}, ["Url", "missing", "State On with Type Url"]),
        (ON | {"Type": "TDMQ"}, ["MqRegion", "missing"]),
    ],
)
def test_refused_callbacks_of_queues(elements, names):
    """Each refusal names the element and what is legal there, and what a callback that is on still needs."""
    code, message = refusal(queue, elements)
    assert code == "InvalidArgument"
    assert message.startswith("Request.NotifyConfig.")
    assert all(name in message for name in names)


def test_message_queues():
    """A job and a queue may name a message queue of the same region, mode and name."""
    target = MqTarget(region="sh", mode=MqMode.TOPIC, name="ended")
    assert job(CallBackType="TDMQ", CallBackMqConfig=MQ).mq == target
    found = queue(**(ON | {"Type": "TDMQ"} | MQ))
    assert (found.on, found.type, found.mq) == (True, CallbackType.TDMQ, target)


@pytest.mark.parametrize(
    "word",
    ["http://h", "https://h/", "http://h:1/p?q#f", "HTTP://h/", "http://10.0.0.1:65535/%E4%B8%AD", "https://[::1]:8/"],
)
def test_urls(word):
    """URLs with a host, of http and https, in any case and with any port."""
    assert is_url(word)


@pytest.mark.parametrize(
    "word",
    [
        "",
        "h",
        "//h/",
        "ftp://h/",
        "javascript:alert(1)",
        "http:///path",
        "http://",
        "http://:80/",
        "http://u:p@h/",
        "http://u@h/",
        "http://h:port/",
        "http://h:65536/",
        "http://[::1/",
        "http://h/a b",
        "http://h/\n",
        "http://h/中",
        "http://h/" + "a" * 1016,
    ],
)
def test_what_is_no_url(word):
    """Other schemes, no host, a user's name, odd ports, white space, foreign letters and long ones are none."""
    assert not is_url(word)


@given(st.text())
def test_no_text_breaks_the_check(text):
    """Any text is a URL with a host or none."""
    for word in (text, f"http://{text}"):
        assert not is_url(word) or urlsplit(word).hostname


def test_an_unset_callback_to_the_letter():
    """A queue that nobody gave a callback shows the elements empty, and Off."""
    assert notify_nodes(NotifyConfig()) == [
        ("Url", ""),
        ("Event", ""),
        ("Type", ""),
        ("State", "Off"),
        ("ResultFormat", ""),
        ("MqMode", ""),
        ("MqName", ""),
        ("MqRegion", ""),
    ]


@pytest.mark.parametrize(
    "elements",
    [ON, ON | {"ResultFormat": "JSON", "Event": "TaskFinish,WorkflowFinish"}, {"Type": "TDMQ", **MQ}, {"Url": URL}],
)
def test_what_is_shown_is_read(elements):
    """A configuration that was read back can be sent again."""
    config = queue(**elements)
    assert queue(**dict(notify_nodes(config))) == config
