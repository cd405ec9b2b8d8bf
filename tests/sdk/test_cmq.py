"""Message queues of our own through the official Python SDK of CMQ, as it is, and callbacks of real jobs in them."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
import requests

from official_cmq import (
    Account,
    CMQServerException,
    Message,
    Queue,
    QueueMeta,
    SubscriptionMeta,
    TopicMessage,
    TopicMeta,
)
from sdk.clients import send
from server import Server, new_room
from sordino.wire.cmq import PATH, sign
from support import job_body, start_service

TEXT = "héllo @ &=+% 你好"
NAMES = itertools.count()


@pytest.fixture(autouse=True)
def log_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK writes a log where the program runs."""
    monkeypatch.setattr("cmq.account.CMQLogger.get_logger", lambda: None)
    monkeypatch.chdir(tmp_path)


@contextmanager
def open_account(service: Server, sign: str = "sha1", **key: str) -> Iterator[Account]:
    """The SDK with the root key, or another, on a connection of its own."""
    root = service.root_key
    account = Account(service.url, **{"secretId": root.secret_id, "secretKey": root.secret_key, **key})
    account.set_sign(sign)
    account.get_client().set_connection_timeout(60)
    try:
        yield account
    finally:
        account.get_client().close_connection()


@pytest.fixture
def account(service: Server) -> Iterator[Account]:
    """The SDK with the root key."""
    with open_account(service) as opened:
        yield opened


@pytest.fixture
def queue(account: Account) -> Queue:
    """A queue of the test's own."""
    made = account.get_queue(f"queue-{next(NAMES)}")
    made.create(QueueMeta())
    return made


def code(call: Callable[..., object], *arguments: object) -> int:
    """The code that a call is refused with."""
    with pytest.raises(CMQServerException) as refusal:
        call(*arguments)
    assert refusal.value.request_id
    return refusal.value.code


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_message(service: Server, queue: Queue, method: str, digest: str) -> None:
    """A message is sent, received with what is known of it, and deleted."""
    with open_account(service, digest) as account:
        account.get_client().set_method(method)
        mine = account.get_queue(queue.queue_name)
        sent = mine.send_message(Message(TEXT))
        got = mine.receive_message(0)
        assert (got.msgBody, got.msgId, got.dequeueCount) == (TEXT, sent.msgId, 1)
        assert got.enqueueTime <= got.firstDequeueTime < got.nextVisibleTime
        assert code(mine.receive_message, 0) == 7000
        mine.delete_message(got.receiptHandle)
        assert code(mine.delete_message, got.receiptHandle) == 4430


def test_batches(queue: Queue) -> None:
    """Up to 16 messages go and come at a time; what was not deleted is told one by one."""
    sent = queue.batch_send_message([Message(f"{number} {TEXT}") for number in range(16)])
    assert len({message.msgId for message in sent}) == 16
    got = queue.batch_receive_message(16, 0)
    assert [message.msgBody for message in got] == [f"{number} {TEXT}" for number in range(16)]
    queue.batch_delete_message([message.receiptHandle for message in got[1:]])
    with pytest.raises(CMQServerException) as refusal:
        queue.batch_delete_message([got[0].receiptHandle, got[1].receiptHandle])
    assert refusal.value.code == 6010
    assert [part["receiptHandle"] for part in refusal.value.data["errorList"]] == [got[1].receiptHandle]


def test_attributes(account: Account, queue: Queue) -> None:
    """What a queue is told to be, it is, and it counts its messages."""
    meta = QueueMeta()
    meta.visibilityTimeout, meta.pollingWaitSeconds, meta.msgRetentionSeconds, meta.maxMsgSize = 60, 1, 3600, 1024
    meta.maxMsgHeapNum = 2_000_000
    queue.set_attributes(meta)
    queue.send_message(Message("a"))
    queue.send_message(Message("b"), 60)
    queue.receive_message()
    found = queue.get_attributes()
    assert (found.visibilityTimeout, found.pollingWaitSeconds, found.msgRetentionSeconds) == (60, 1, 3600)
    assert (found.maxMsgSize, found.maxMsgHeapNum) == (1024, 2_000_000)
    assert (found.activeMsgNum, found.inactiveMsgNum, found.delayMsgNum) == (0, 1, 1)
    assert found.createTime <= found.lastModifyTime
    assert code(queue.send_message, Message("a" * 1025)) == 4400
    assert code(queue.receive_message) == 7000


def test_queues(account: Account) -> None:
    """Queues are made once, listed and deleted."""
    names = [f"listed-{next(NAMES)}" for _ in range(3)]
    for name in names:
        account.get_queue(name).create(QueueMeta())
    assert code(account.get_queue(names[0]).create, QueueMeta()) == 4460
    total, found, offset = account.list_queue("listed-", 2)
    assert (total, [queue["queueName"] for queue in found], offset) == (3, sorted(names)[:2], 2)
    account.get_queue(names[0]).delete()
    assert code(account.get_queue(names[0]).send_message, Message("a")) == 4440
    assert account.list_queue("listed-")[0] == 2


def test_topics(account: Account, queue: Queue) -> None:
    """What is published to a topic comes to the queue that is subscribed."""
    topic = account.get_topic(f"topic-{next(NAMES)}")
    topic.create(TopicMeta())
    subscription = account.get_subscription(topic.topicName, "to-queue")
    meta = SubscriptionMeta()
    meta.Protocal, meta.Endpoint, meta.NotifyContentFormat = "queue", queue.queue_name, "SIMPLIFIED"
    subscription.create(meta)
    assert code(subscription.create, meta) == 4490
    assert topic.publish_message(TopicMessage(TEXT)).msgId
    assert len(topic.batch_publish_message([TopicMessage("a"), TopicMessage("b")])) == 2
    assert [message.msgBody for message in queue.batch_receive_message(16, 5)] == [TEXT, "a", "b"]
    total, found, _ = topic.list_subscription()
    assert (total, found[0]["subscriptionName"], found[0]["endpoint"]) == (1, "to-queue", queue.queue_name)
    size = TopicMeta()
    size.maxMsgSize = 1024
    topic.set_attributes(size)
    assert topic.get_attributes().maxMsgSize == 1024
    assert topic.topicName in [found["topicName"] for found in account.list_topic(topic.topicName)[1]]
    subscription.delete()
    topic.delete()
    assert code(topic.publish_message, TopicMessage("a")) == 4440


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"Protocal": "http", "Endpoint": "http://hooks.example/"}, "protocol"),
        ({"NotifyContentFormat": "JSON"}, "SIMPLIFIED"),
        ({"FilterTag": ["a"]}, "filterTag.1"),
        ({"bindingKey": ["a"]}, "bindingKey.1"),
    ],
)
def test_refused_subscriptions(account: Account, queue: Queue, changes: dict[str, object], word: str) -> None:
    """A subscription that we do not offer is refused with what is."""
    topic = account.get_topic(f"topic-{next(NAMES)}")
    topic.create(TopicMeta())
    meta = SubscriptionMeta()
    wanted = {"Protocal": "queue", "Endpoint": queue.queue_name, "NotifyContentFormat": "SIMPLIFIED", **changes}
    for name, value in wanted.items():
        setattr(meta, name, value)
    with pytest.raises(CMQServerException) as refusal:
        account.get_subscription(topic.topicName, "s").create(meta)
    assert refusal.value.code == 4000
    assert word in refusal.value.message


def test_refused_calls(service: Server, account: Account, queue: Queue) -> None:
    """Calls, tags and kinds of topics that we do not offer are refused, and so are wrong keys."""
    assert code(queue.rewindQueue, 1) == 4000
    assert code(account.get_subscription("t", "s").get_attributes) == 4000
    assert code(account.get_topic("t").publish_message, TopicMessage("a", ["tag"])) == 4000
    routed = TopicMeta()
    routed.filterType = 2
    assert code(account.get_topic("t").create, routed) == 4000
    for key in ({"secretKey": "wrong"}, {"secretId": "AKIDnobody"}):
        with open_account(service, **key) as other:
            assert code(other.get_queue("q").delete) == 4100


def test_long_poll(service: Server, queue: Queue) -> None:
    """Who waits gets a message as soon as it is sent."""
    got: list[str] = []

    def wait() -> None:
        with open_account(service) as account:
            got.append(account.get_queue(queue.queue_name).receive_message(30).msgBody)

    waiters = [threading.Thread(target=wait) for _ in range(12)]
    for waiter in waiters:
        waiter.start()
    for number in range(12):
        queue.send_message(Message(str(number)))
    for waiter in waiters:
        waiter.join(60)
    assert sorted(map(int, got)) == list(range(12))


def test_plain_http(service: Server, queue: Queue) -> None:
    """Whoever signs by hand is answered with JSON of status 200; a form that is too long, or none, is refused so."""
    key = service.root_key
    values = {
        "Action": "SendMessage",
        "SecretId": key.secret_id,
        "Nonce": "1",
        "Timestamp": str(int(time.time())),
        "queueName": queue.queue_name,
        "msgBody": "a",
    }
    host = service.url.removeprefix("http://")
    form = urlencode({**values, "Signature": sign("POST", host, values, key.secret_key)})
    for body, expected in ((form, 0), ("", 4000), ("a=" + "b" * 5_000_000, 4000), ("Action=%zz", 4000)):
        reply = requests.post(service.url + PATH, data=body, timeout=60)
        assert (reply.status_code, reply.json()["code"]) == (200, expected)
        assert reply.headers["Content-Type"].startswith("application/json")
    # Other methods are calls of COS.
    assert requests.put(service.url + PATH, data="a", timeout=60).status_code != 200


@pytest.mark.parametrize("mode", ["Queue", "Topic"])
def test_callback(service: Server, new_bucket: Callable[[], str], account: Account, queue: Queue, mode: str) -> None:
    """The end of a job comes to the queue of its bucket's account, and its log says so."""
    client, bucket = service.client(), new_bucket()
    name = f"ends-{next(NAMES)}"
    if mode == "Topic":
        account.get_topic(name).create(TopicMeta())
        meta = SubscriptionMeta()
        meta.Protocal, meta.Endpoint, meta.NotifyContentFormat = "queue", queue.queue_name, "SIMPLIFIED"
        account.get_subscription(name, "s").create(meta)
    else:
        queue = account.get_queue(name)
    body = job_body(bucket, "out.wav", "missing.wav") | {
        "CallBackType": "TDMQ",
        "CallBackFormat": "JSON",
        "CallBackMqConfig": {"MqRegion": "sh", "MqMode": mode, "MqName": name},
    }
    job = client.ci_create_media_jobs(Bucket=bucket, Jobs=body, Lst={})["JobsDetail"][0]["JobId"]
    message = received(queue)
    told = json.loads(message.msgBody)
    assert (told["EventName"], told["JobsDetail"]["JobId"]) == ("TaskFinish", job)
    assert told["JobsDetail"]["State"] == "Failed"
    queue.delete_message(message.receiptHandle)
    log = send(client, "GET", bucket, f"/jobs/{job}", query={"callbacks": ""}).text
    assert f"<MqRegion>sh</MqRegion><MqMode>{mode}</MqMode><MqName>{name}</MqName><Format>JSON</Format>" in log
    assert send(client, "POST", bucket, f"/jobs/{job}", query={"callbacks": ""}).status_code == 200
    assert json.loads(received(queue).msgBody) == told


def received(queue: Queue) -> Message:
    """The next message of a queue that may have to be made first."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return queue.receive_message(10)
        except CMQServerException as refusal:
            if refusal.code not in (4440, 7000) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_server_that_stops() -> None:
    """Who waits for a message is sent away when the server stops, and the message that waits outlives it."""
    with new_room() as room:
        running = start_service(room / "data")
        codes: list[int] = []

        def wait() -> None:
            with open_account(running) as account:
                codes.append(code(account.get_queue("empty").receive_message, 30))

        with open_account(running) as account:
            for name in ("empty", "full"):
                account.get_queue(name).create(QueueMeta())
            account.get_queue("full").send_message(Message(TEXT))
        waiter = threading.Thread(target=wait)
        waiter.start()
        time.sleep(1)
        assert running.stop() == 0
        waiter.join(60)
        assert codes == [7000]
        again = start_service(room / "data")
        try:
            with open_account(again) as account:
                assert account.get_queue("full").receive_message(0).msgBody == TEXT
        finally:
            again.stop()


def test_no_queues_of_our_own() -> None:
    """Where every region's message queue is another's, there is no CMQ API, and a region that is off is refused."""
    with new_room() as room:
        running = start_service(room / "data", SORDINO_MQ="off", SORDINO_MQ_BJ="amqp://guest:hunter2@127.0.0.1:1/")
        try:
            assert requests.post(running.url + PATH, data="Action=ListQueue", timeout=60).status_code != 200
            client, bucket = running.client(), f"music-{running.root_key.appid}"
            client.create_bucket(Bucket=bucket)
            config = {"MqRegion": "sh", "MqName": "q"}
            body = job_body(bucket, "out.wav", "missing.wav") | {"CallBackType": "TDMQ", "CallBackMqConfig": config}
            with pytest.raises(Exception, match="no message queue is configured for sh; use one of bj"):
                client.ci_create_media_jobs(Bucket=bucket, Jobs=body, Lst={})
            config["MqRegion"] = "bj"
            client.ci_create_media_jobs(Bucket=bucket, Jobs=body, Lst={})
        finally:
            running.stop()
        assert "hunter2" not in running.log.read_text()
