from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from qcloud_cos.cos_comm import format_dict, format_xml, xml_to_dict

from sordino.domain.callback import CallbackEvent, CallbackType, NotifyConfig
from sordino.domain.page import Page, Paged
from sordino.domain.queue import Queue, QueueSettings, QueueState
from sordino.errors import ServiceError
from sordino.wire.query import Query
from sordino.wire.queues import (
    QueueLimits,
    QueueQuery,
    parse_queue,
    parse_queue_query,
    render_found_queues,
    render_queue,
    render_queue_page,
    render_removed_queue,
)

LIMITS = QueueLimits(max_size=10_000, max_concurrent=10)
CREATED = datetime(2026, 1, 5, 2, tzinfo=UTC)
QUEUE = Queue(
    queue_id="pabc",
    bucket="test-1250000000",
    settings=QueueSettings(name="speech-queue"),
    created_at=CREATED,
    updated_at=CREATED + timedelta(seconds=1),
)
PLAIN = QueueQuery(ids=(), state=None, page=Page())


def body(**elements):
    """A queue's body, with other elements."""
    standard = {"Name": "speech-queue", "QueueID": "pabc", "State": "Active", "NotifyConfig": {"State": "Off"}}
    return format_xml(standard | elements, "Request")


def refusal(read, written):
    """Code and message that ``written`` is refused with."""
    with pytest.raises(ServiceError) as refused:
        read(written)
    return refused.value.code, refused.value.message


def asked(parameters):
    """What the parameters ask for."""
    return parse_queue_query(Query.parse(urlencode(parameters).encode()))


@pytest.mark.parametrize("state", list(QueueState))
@pytest.mark.parametrize("notify", [{}, "", {"State": "Off", "Url": ""}])
def test_a_queue_is_read(state, notify):
    """Name, state and callback are read; an empty callback is none, and an id in the body does not count."""
    assert parse_queue(body(State=state, NotifyConfig=notify)) == QueueSettings(name="speech-queue", state=state)


def test_a_queue_with_a_callback():
    """The callback of a queue is read with it."""
    notify = {"State": "On", "Event": "TaskFinish", "Type": "Url", "Url": "http://hooks.example/"}
    assert parse_queue(body(NotifyConfig=notify)).notify == NotifyConfig(
        on=True, events=(CallbackEvent.TASK_FINISH,), type=CallbackType.URL, url="http://hooks.example/"
    )


@pytest.mark.parametrize(
    ("written", "names"),
    [
        (body(Name=""), ["Request.Name", "missing", "128"]),
        (body(Name="x" * 129), ["Request.Name", "128"]),
        (body(Name="my queue"), ["Request.Name", "'my queue'"]),
        (body(State=""), ["Request.State", "missing", "Active, Paused"]),
        (body(State="active"), ["Request.State", "'active'", "Active, Paused"]),
        (body(NotifyConfig={"State": "On"}), ["Request.NotifyConfig.Event", "missing"]),
        (
            b"<Request><Name>n</Name><State>Active</State></Request>",
            ["Request.NotifyConfig is missing; it may be empty"],
        ),
    ],
)
def test_refused_queues(written, names):
    """Each refusal names the element and what is legal there."""
    code, message = refusal(parse_queue, written)
    assert code == "InvalidArgument"
    assert all(name in message for name in names)


def test_long_names():
    """A name has up to 128 characters."""
    assert parse_queue(body(Name="队" * 128)).name == "队" * 128


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({}, PLAIN),
        ({"queueIds": "", "state": "", "pageNumber": "", "pageSize": "", "category": ""}, PLAIN),
        ({"state": "All"}, PLAIN),
        ({"state": "Paused"}, QueueQuery(ids=(), state=QueueState.PAUSED, page=Page())),
        ({"queueIds": "pa,pb,pa"}, QueueQuery(ids=("pa", "pb"), state=None, page=Page())),
        ({"pageNumber": "2", "pageSize": "1"}, QueueQuery(ids=(), state=None, page=Page(number=2, size=1))),
        *(
            ({"category": category}, PLAIN)
            for category in ("CateAll", "Transcoding", "SpeedTranscoding", "Speeching", "AIProcess")
        ),
    ],
)
def test_lists(parameters, found):
    """Parameters are read; every kind of queue is served by the same ones."""
    assert asked(parameters) == found


@pytest.mark.parametrize(
    "parameters",
    [{"state": "active"}, {"category": "a b"}, {"pageNumber": "0"}, {"pageSize": "101"}, {"queueIds": "p" * 129}],
)
def test_refused_lists(parameters):
    """Each refusal names its parameter."""
    ((name, _),) = parameters.items()
    code, message = refusal(asked, parameters)
    assert code == "InvalidArgument"
    assert name in message


SHOWN = (
    "<QueueId>pabc</QueueId><Name>speech-queue</Name><State>Active</State><NotifyConfig><Url/><Event/><Type/>"
    "<State>Off</State><ResultFormat/><MqMode/><MqName/><MqRegion/></NotifyConfig><MaxSize>10000</MaxSize>"
    "<MaxConcurrent>10</MaxConcurrent><UpdateTime>2026-01-05T10:00:01+0800</UpdateTime>"
    "<CreateTime>2026-01-05T10:00:00+0800</CreateTime><Category>Speeching</Category><BucketId>test-1250000000</BucketId>"
)


def test_a_queue_to_the_letter():
    """A reply shows the queue as the protocol's sample does."""
    assert render_queue(QUEUE, LIMITS, "cmlk").decode().partition("\n")[2] == (
        f"<Response><RequestId>cmlk</RequestId><Queue>{SHOWN}</Queue></Response>"
    )


def test_limits_of_its_own():
    """A queue with limits of its own shows them."""
    limited = Queue(
        queue_id="p",
        bucket="b-1",
        settings=QueueSettings(name="q"),
        created_at=CREATED,
        updated_at=CREATED,
        max_size=5,
        max_concurrent=1,
    )
    shown = xml_to_dict(render_queue(limited, LIMITS, "cmlk"))["Queue"]
    assert (shown["MaxSize"], shown["MaxConcurrent"]) == ("5", "1")


def test_a_page_to_the_letter():
    """A page has the counts and its queues."""
    written = render_queue_page(Paged(items=(QUEUE,), total=1, page=Page()), LIMITS, "cmlk").decode()
    assert written.partition("\n")[2] == (
        "<Response><RequestId>cmlk</RequestId><TotalCount>1</TotalCount><PageNumber>1</PageNumber>"
        f"<PageSize>10</PageSize><QueueList>{SHOWN}</QueueList></Response>"
    )


@pytest.mark.parametrize(("missing", "shape"), [(["A"], "A"), (["A", "B"], ["A", "B"])])
def test_queues_by_their_ids(missing, shape):
    """Queues that were asked for by ids come without counts, and each that does not exist has its own element."""
    data = xml_to_dict(render_found_queues([QUEUE, QUEUE], missing, LIMITS, "cmlk"))
    format_dict(data, ["QueueList"])
    assert data.keys() == {"RequestId", "QueueList", "NonExistPIDs"}
    assert [queue["QueueId"] for queue in data["QueueList"]] == ["pabc", "pabc"]
    assert data["NonExistPIDs"] == shape


def test_a_removed_queue():
    """The reply of deleting one names it."""
    assert xml_to_dict(render_removed_queue("pabc", "cmlk")) == {"RequestId": "cmlk", "QueueId": "pabc"}
