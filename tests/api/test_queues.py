"""The queue calls over HTTP, at each of their addresses."""

from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest

from raw_http import refusal, send
from server import Server

PATHS = ["/asrqueue", "/queue", "/ai_queue", "/picqueue"]
OFF = "<State>Off</State>"


def body(name: str, state: str = "Active", notify: str = OFF) -> bytes:
    """A queue, with an id that does not count."""
    return (
        f"<Request><Name>{name}</Name><QueueID>pother</QueueID><State>{state}</State>"
        f"<NotifyConfig>{notify}</NotifyConfig></Request>"
    ).encode()


def call(service: Server, method: str, path: str, bucket: str, sent: bytes = b"") -> ET.Element:
    """The reply of a call that succeeds."""
    status, _, content = send(service, method, path, bucket=bucket, kind="ci", body=sent)
    assert status == 200, content
    return ET.fromstring(content)


def names(reply: ET.Element) -> list[str]:
    """The names of the queues in a reply."""
    return [found.findtext("Name") or "" for found in reply.findall("QueueList")]


@pytest.mark.parametrize("path", PATHS)
def test_the_life_of_a_queue(service: Server, new_bucket: Callable[[], str], path: str) -> None:
    """A queue is made beside the default one, found, changed and deleted, at any of the addresses."""
    bucket = new_bucket()
    made = call(service, "POST", path, bucket, body("second")).find("Queue")
    queue_id = made.findtext("QueueId")
    assert queue_id != "pother"
    assert (made.findtext("Category"), made.findtext("BucketId")) == ("Speeching", bucket)
    assert (int(made.findtext("MaxSize")) > 0, int(made.findtext("MaxConcurrent")) > 0) == (True, True)
    page = call(service, "GET", f"{path}?category=CateAll", bucket)
    assert [page.findtext(name) for name in ("TotalCount", "PageNumber", "PageSize")] == ["2", "1", "10"]
    assert names(page)[1] == "second"
    notify = (
        "<State>On</State><Event>TaskFinish</Event><Type>Url</Type><Url>http://hooks.example/ci</Url>"
        "<ResultFormat>JSON</ResultFormat>"
    )
    changed = call(service, "PUT", f"{path}/{queue_id}", bucket, body("third", "Paused", notify)).find("Queue")
    shown = {child.tag: child.text for child in changed.find("NotifyConfig")}
    assert (changed.findtext("Name"), changed.findtext("State")) == ("third", "Paused")
    assert shown == {
        "Url": "http://hooks.example/ci",
        "Event": "TaskFinish",
        "Type": "Url",
        "State": "On",
        "ResultFormat": "JSON",
        "MqMode": None,
        "MqName": None,
        "MqRegion": None,
    }
    assert call(service, "DELETE", f"{path}/{queue_id}", bucket).findtext("QueueId") == queue_id
    for method, sent in (("DELETE", b""), ("PUT", body("x"))):
        answer = send(service, method, f"{path}/{queue_id}", bucket=bucket, kind="ci", body=sent)
        assert (answer[0], refusal(answer[2])["Code"]) == (404, "QueueNotFound")


def test_lists(service: Server, new_bucket: Callable[[], str]) -> None:
    """State, ids and pages choose queues; those by id come without counts."""
    bucket = new_bucket()
    paused = call(service, "POST", "/queue", bucket, body("paused", "Paused")).findtext("Queue/QueueId")
    default = call(service, "GET", "/asrqueue?state=Active", bucket)
    for query, count in (("state=All", 2), ("state=Paused", 1), ("state=Active", 1), ("queueIds=&state=", 2)):
        assert call(service, "GET", f"/asrqueue?{query}", bucket).findtext("TotalCount") == str(count)
    assert names(call(service, "GET", "/asrqueue?pageSize=1&pageNumber=2", bucket)) == ["paused"]
    asked = call(service, "GET", f"/asrqueue?queueIds=A,{paused},B", bucket)
    assert [child.tag for child in asked] == ["RequestId", "QueueList", "NonExistPIDs", "NonExistPIDs"]
    assert [child.text for child in asked.findall("NonExistPIDs")] == ["A", "B"]
    other = call(service, "GET", f"/asrqueue?queueIds={default.findtext('QueueList/QueueId')}", new_bucket())
    assert other.find("QueueList") is None


@pytest.mark.parametrize(
    ("sent", "hint"),
    [
        (body("a b"), "Request.Name"),
        (body("a", "paused"), "Request.State"),
        (body("a", notify="<State>On</State>"), "Request.NotifyConfig.Event"),
        (body("a", notify="<Url>mailto:x</Url>"), "Request.NotifyConfig.Url"),
        (
            body(
                "a",
                notify="<State>On</State><Event>TaskFinish</Event><Type>TDMQ</Type><MqRegion>sh</MqRegion>"
                "<MqName>amq.topic</MqName>",
            ),
            "Request.NotifyConfig.MqName",
        ),
    ],
)
def test_refused_queues(service: Server, new_bucket: Callable[[], str], sent: bytes, hint: str) -> None:
    """A queue that cannot be as it is asked for is refused, and stays as it was."""
    bucket = new_bucket()
    queue_id = call(service, "GET", "/asrqueue", bucket).findtext("QueueList/QueueId")
    for method, path in (("POST", "/asrqueue"), ("PUT", f"/asrqueue/{queue_id}")):
        answer = send(service, method, path, bucket=bucket, kind="ci", body=sent)
        told = refusal(answer[2])
        assert (answer[0], told["Code"]) == (400, "InvalidArgument")
        assert hint in told["Message"]
    assert call(service, "GET", "/asrqueue", bucket).findtext("TotalCount") == "1"


@pytest.mark.parametrize("query", ["state=active", "category=%3C", "pageNumber=0", "pageSize=101"])
def test_refused_lists(service: Server, new_bucket: Callable[[], str], query: str) -> None:
    """A parameter that cannot be met is refused by its name."""
    answer = send(service, "GET", f"/asrqueue?{query}", bucket=new_bucket(), kind="ci")
    told = refusal(answer[2])
    assert (answer[0], told["Code"]) == (400, "InvalidArgument")
    assert query.partition("=")[0] in told["Message"]


def test_the_default_queue_stays(service: Server, new_bucket: Callable[[], str]) -> None:
    """The default queue goes with the service alone."""
    bucket = new_bucket()
    queue_id = call(service, "GET", "/asrqueue", bucket).findtext("QueueList/QueueId")
    answer = send(service, "DELETE", f"/asrqueue/{queue_id}", bucket=bucket, kind="ci")
    assert (answer[0], refusal(answer[2])["Code"]) == (400, "InvalidArgument")


def test_too_many_queues(service: Server, new_bucket: Callable[[], str]) -> None:
    """A bucket has so many queues and no more."""
    bucket, codes = new_bucket(), []
    for number in range(20):
        status, _, content = send(service, "POST", "/queue", bucket=bucket, kind="ci", body=body(f"q{number}"))
        codes.append("" if status == 200 else refusal(content)["Code"])
    assert set(codes) == {"", "QueueNumLimit"}
    assert codes == sorted(codes)
