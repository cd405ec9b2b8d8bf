"""Callbacks of real jobs through a running server: from a program of the official Python SDK to a receiver."""

import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from qcloud_cos import CosS3Client, CosServiceError
from qcloud_cos.cos_comm import xml_to_dict

from receiver import Answer, Received, Receiver, receiving
from sdk.clients import send
from server import Server, new_room
from support import clean_environment, free_port, job_body, start_service, wait_for_jobs, wait_ready

SECRET = "correct horse battery staple"

Detail = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A bucket on a server."""

    server: Server
    bucket: str

    @property
    def client(self) -> CosS3Client:
        """The SDK with the root key."""
        return self.server.client()

    def submit(self, **elements: object) -> str:
        """Submit a job on an object that is not there, which ends at once; its id."""
        body = job_body(self.bucket, "out.wav", "missing.wav") | elements
        return self.client.ci_create_media_jobs(Bucket=self.bucket, Jobs=body, Lst={})["JobsDetail"][0]["JobId"]

    def end(self, job_id: str) -> Detail:
        """The job at its end."""
        return wait_for_jobs(self.client, self.bucket, [job_id])[job_id]

    def notify(self, **config: str) -> None:
        """Give the bucket's queue a callback."""
        queue = self.client.ci_get_asr_queue(Bucket=self.bucket)["QueueList"][0]
        plain = {"State": "On", "Event": "TaskFinish", "Type": "Url", "ResultFormat": "XML"}
        request = {"Name": queue["Name"], "State": "Active", "NotifyConfig": plain | config}
        self.client.ci_update_asr_queue(Bucket=self.bucket, QueueId=queue["QueueId"], Request=request)

    def callbacks(self, job_id: str, method: str = "GET") -> list[Detail]:
        """The job's deliveries, the last one first; their attempts are always a list."""
        reply = send(self.client, method, self.bucket, f"/jobs/{job_id}", query={"callbacks": ""})
        assert reply.status_code == 200
        found = xml_to_dict(reply.content)
        assert found["JobId"] == job_id
        deliveries = listed(found.get("Delivery"))
        return [delivery | {"Attempt": listed(delivery.get("Attempt"))} for delivery in deliveries]

    def settled(self, job_id: str) -> Detail:
        """The job's last delivery once it does not wait any more."""
        deadline = time.monotonic() + 60
        while not (found := self.callbacks(job_id)) or found[0]["State"] == "Waiting":
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
        return found[0]


def listed(value: Any) -> list[Any]:
    """What the SDK's reader makes of repeated elements."""
    return [] if value is None else value if isinstance(value, list) else [value]


def detail_of(request: Received) -> Detail:
    """The JobsDetail of a callback in JSON."""
    body = json.loads(request.body)
    assert body["EventName"] == "TaskFinish"
    return body["JobsDetail"]


@pytest.fixture
def place(service: Server, new_bucket: Callable[[], str]) -> Place:
    """A bucket of the test's own."""
    return Place(service, new_bucket())


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that accepts everything."""
    with receiving() as one:
        yield one


def test_xml(place: Place, receiver: Receiver, recording: bytes) -> None:
    """A job that succeeds tells its end in XML, with the values that a query shows."""
    place.client.put_object(Bucket=place.bucket, Key="in.wav", Body=recording)
    body = job_body(place.bucket, "out.wav") | {"CallBack": receiver.url("/a?b=c")}
    job = place.client.ci_create_media_jobs(Bucket=place.bucket, Jobs=body, Lst={})["JobsDetail"][0]["JobId"]
    request = receiver.next()
    ended = place.end(job)
    assert (request.target, request.headers["content-type"]) == ("/a?b=c", "application/xml")
    assert request.body.startswith(b"<?xml")
    told = xml_to_dict(request.body)
    assert told["EventName"] == "TaskFinish"
    assert told["JobsDetail"] == ended | {"Message": "SUCCESS"}
    delivery = place.settled(job)
    assert (delivery["State"], delivery["Format"], delivery["Attempts"]) == ("Delivered", "XML", "1")
    assert (delivery["Url"], delivery["DeliveryId"]) == (receiver.url("/a?b=c"), request.headers["x-sordino-delivery"])
    assert [attempt["Status"] for attempt in delivery["Attempt"]] == ["200"]


def test_json(place: Place, receiver: Receiver) -> None:
    """A job that fails tells its end in JSON, with code and message."""
    job = place.submit(CallBack=receiver.url(), CallBackFormat="JSON", CallBackType="Url")
    request = receiver.next()
    ended = place.end(job)
    assert request.headers["content-type"] == "application/json"
    told = detail_of(request)
    assert (told["State"], told["Code"]) == ("Failed", "ResourceNotFound")
    assert {name: told[name] for name in ("JobId", "Message", "CreationTime", "EndTime", "Input", "QueueId")} == {
        name: ended[name] for name in ("JobId", "Message", "CreationTime", "EndTime", "Input", "QueueId")
    }
    assert "x-sordino-signature" not in request.headers


def test_queue(place: Place, receiver: Receiver) -> None:
    """The queue's callback is told of jobs that say nothing; what a job says goes over it; `no` silences it."""
    place.notify(Url=receiver.url("/queue"), ResultFormat="JSON")
    job = place.submit()
    request = receiver.next()
    assert (request.target, detail_of(request)["JobId"]) == ("/queue", job)
    place.submit(CallBackFormat="XML")
    request = receiver.next()
    assert (request.target, request.headers["content-type"]) == ("/queue", "application/xml")
    place.submit(CallBack=receiver.url("/job"))
    request = receiver.next()
    assert (request.target, request.headers["content-type"]) == ("/job", "application/json")
    muted = place.submit(CallBack="no")
    place.end(muted)
    assert place.callbacks(muted) == []
    assert receiver.silent(0.5)


@pytest.mark.parametrize("config", [{"State": "Off"}, {"Event": "WorkflowFinish"}])
def test_queue_that_tells_nothing(place: Place, receiver: Receiver, config: dict[str, str]) -> None:
    """A callback that is off, or is for workflows, is not told."""
    place.notify(Url=receiver.url(), **config)
    job = place.submit()
    place.end(job)
    assert place.callbacks(job) == []
    with pytest.raises(CosServiceError) as refusal:
        place.callbacks(job, "POST")
    assert (refusal.value.get_status_code(), refusal.value.get_error_code()) == (400, "InvalidArgument")
    assert "has no callback" in refusal.value.get_error_msg()


def test_cancelled_job(place: Place, receiver: Receiver) -> None:
    """The end of a job that is cancelled is not told."""
    queue = place.client.ci_get_asr_queue(Bucket=place.bucket)["QueueList"][0]
    request = {"Name": "q", "State": "Paused", "NotifyConfig": {"State": "Off"}}
    place.client.ci_update_asr_queue(Bucket=place.bucket, QueueId=queue["QueueId"], Request=request)
    job = place.submit(CallBack=receiver.url())
    place.client.ci_cancel_jobs(Bucket=place.bucket, JobID=job)
    assert place.end(job)["State"] == "Cancel"
    assert place.callbacks(job) == []
    assert receiver.silent(0.5)


def test_receiver_that_fails_at_first(place: Place) -> None:
    """It is told again, with the same body and delivery and the next number, until it accepts."""
    with receiving(Answer(status=500), Answer(status=404), Answer(status=200)) as receiver:
        job = place.submit(CallBack=receiver.url(), CallBackFormat="JSON")
        requests = [receiver.next() for _ in range(3)]
        delivery = place.settled(job)
    assert len({request.body for request in requests}) == 1
    assert {request.headers["x-sordino-delivery"] for request in requests} == {delivery["DeliveryId"]}
    assert [request.headers["x-sordino-attempt"] for request in requests] == ["1", "2", "3"]
    assert [attempt["Status"] for attempt in delivery["Attempt"]] == ["500", "404", "200"]


def test_retry_after(place: Place) -> None:
    """A receiver that asks for time gets it."""
    with receiving(Answer(status=503, headers={"Retry-After": "6"}), Answer()) as receiver:
        place.submit(CallBack=receiver.url())
        first, second = receiver.next(), receiver.next()
    assert second.at - first.at >= 6


def test_redirect(place: Place, receiver: Receiver) -> None:
    """It counts as a failure and is not followed: it could lead anywhere."""
    with receiving(Answer(status=302, headers={"Location": receiver.url("/elsewhere")}), Answer()) as redirecting:
        job = place.submit(CallBack=redirecting.url())
        delivery = place.settled(job)
    assert [attempt["Status"] for attempt in delivery["Attempt"]] == ["302", "200"]
    assert receiver.silent(0.1)


def test_receiver_that_is_down_at_first(place: Place) -> None:
    """A receiver that comes back gets what it missed."""
    port = free_port()
    job = place.submit(CallBack=f"http://127.0.0.1:{port}/hook")
    place.end(job)
    while not any(attempt.get("Error") for attempt in place.callbacks(job)[0]["Attempt"]):
        time.sleep(0.1)
    with receiving(port=port) as receiver:
        receiver.next()
        delivery = place.settled(job)
    assert delivery["State"] == "Delivered"
    assert "onnect" in delivery["Attempt"][0]["Error"]


def test_again(place: Place, receiver: Receiver) -> None:
    """A callback that was delivered can be sent once more, as a delivery of its own with the same body."""
    job = place.submit(CallBack=receiver.url())
    first = receiver.next()
    place.settled(job)
    assert len(place.callbacks(job, "POST")) == 2
    second = receiver.next()
    newest, oldest = place.callbacks(job)
    assert second.body == first.body
    assert [newest["DeliveryId"], oldest["DeliveryId"]] == [
        second.headers["x-sordino-delivery"],
        first.headers["x-sordino-delivery"],
    ]


def operated(place: Place, job_id: str, *options: str) -> subprocess.CompletedProcess[str]:
    """What ``sordino admin job callbacks`` says beside the service."""
    command = [sys.executable, "-m", "sordino", "admin", "job", "callbacks", job_id, *options]
    command += ["--data", str(place.server.data)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=clean_environment())


def test_the_operator_sees_them_and_sends_one_again(place: Place, receiver: Receiver) -> None:
    """On the server's machine, without a key of it; what cannot be sent is told in a line."""
    job = place.submit(CallBack=receiver.url())
    first = receiver.next()
    place.settled(job)
    (delivery,) = json.loads(operated(place, job, "--json").stdout)
    assert (delivery["to"], delivery["state"]) == (receiver.url(), "Delivered")
    assert [(it["number"], it["status"], it["error"]) for it in delivery["attempts"]] == [(1, 200, None)]
    shown = operated(place, job, "--again")
    assert shown.returncode == 0, shown.stderr
    assert delivery["delivery_id"] in shown.stdout
    assert receiver.next().body == first.body
    refused = operated(place, "jnone", "--again")
    assert (refused.returncode, refused.stderr) == (1, "sordino: There is no job jnone.\n")
    silent = place.submit(CallBack="no")
    place.end(silent)
    assert "has no callback" in operated(place, silent, "--again").stderr


def test_calls_of_our_own(place: Place) -> None:
    """They answer for jobs of the bucket only, and to their two methods."""
    for method in ("GET", "POST"):
        with pytest.raises(CosServiceError) as refusal:
            place.callbacks("jnone", method)
        assert (refusal.value.get_status_code(), refusal.value.get_error_code()) == (400, "InvalidArgument")
    with pytest.raises(CosServiceError) as refusal:
        place.callbacks("jnone", "PUT")
    assert (refusal.value.get_status_code(), refusal.value.get_error_code()) == (405, "MethodNotAllowed")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://10.0.0.1/", "private"),
        ("http://169.254.169.254/latest/meta-data/", "link-local"),
        ("http://[::1]:8000/", "loopback"),
        ("http://[::ffff:10.0.0.1]/", "private"),
        ("http://hooks.example:22/", "port 22"),
        ("http://2130706433/", "usual form"),
    ],
)
def test_urls_that_are_refused(place: Place, url: str, reason: str) -> None:
    """A URL that leads inside for sure is refused where it is given, in a job and in a queue."""
    for element, give in (
        ("Request.CallBack", lambda: place.submit(CallBack=url)),
        ("Request.NotifyConfig.Url", lambda: place.notify(Url=url)),
    ):
        with pytest.raises(CosServiceError) as refusal:
            give()
        assert (refusal.value.get_status_code(), refusal.value.get_error_code()) == (400, "InvalidArgument")
        assert element in refusal.value.get_error_msg()
        assert reason in refusal.value.get_error_msg()


@pytest.fixture(scope="module")
def strict() -> Iterator[Place]:
    """A bucket on a service that calls nothing but the internet."""
    with new_room() as directory:
        running = start_service(directory / "data", SORDINO_WORKERS="1")
        place = Place(running, f"strict-{running.root_key.appid}")
        place.client.create_bucket(Bucket=place.bucket)
        yield place
        assert running.stop() == 0, running.log_tail(60)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_by_default(strict: Place, receiver: Receiver, host: str) -> None:
    """Nobody is called on the server's own machine unless its owner allows it."""
    with pytest.raises(CosServiceError) as refusal:
        strict.submit(CallBack=receiver.url(host=host))
    assert "SORDINO_CALLBACK_ALLOW" in refusal.value.get_error_msg()
    assert receiver.silent(0.1)


@pytest.fixture(scope="module")
def signing() -> Iterator[Place]:
    """A bucket on a service that signs, and does not wait long."""
    with new_room() as directory:
        running = start_service(
            directory / "data",
            SORDINO_WORKERS="1",
            SORDINO_CALLBACK_ALLOW="127.0.0.1",
            SORDINO_CALLBACK_SECRET=SECRET,
            SORDINO_CALLBACK_TIMEOUT_SECONDS="3",
        )
        place = Place(running, f"signing-{running.root_key.appid}")
        place.client.create_bucket(Bucket=place.bucket)
        yield place
        assert running.stop() == 0, running.log_tail(60)


def test_signature(signing: Place, receiver: Receiver) -> None:
    """Who knows the key can tell that the body is the server's, of which delivery, and from when."""
    signing.submit(CallBack=receiver.url(), CallBackFormat="JSON")
    request = receiver.next()
    head = f"{request.headers['x-sordino-delivery']}.{request.headers['x-sordino-timestamp']}."
    expected = hmac.new(SECRET.encode(), head.encode() + request.body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(request.headers["x-sordino-signature"], f"sha256={expected}")
    assert abs(time.time() - int(request.headers["x-sordino-timestamp"])) < 300
    assert SECRET not in signing.server.log.read_text()


def test_slow_receiver(signing: Place, receiver: Receiver) -> None:
    """A receiver that takes too long has failed; others are told meanwhile."""
    with receiving(Answer(seconds=6.0), Answer()) as slow:
        job = signing.submit(CallBack=slow.url())
        slow.next()
        signing.submit(CallBack=receiver.url())
        receiver.next()
        delivery = signing.settled(job)
    assert delivery["Attempt"][0]["Error"] == "no reply within 3 s"
    assert delivery["Attempt"][-1]["Status"] == "200"


def test_api_killed_during_a_try(signing: Place) -> None:
    """A delivery whose sender is killed, with the receiver's answer still to come, is made again by the next one."""
    with receiving(Answer(seconds=2.7), Answer()) as receiver:
        job = signing.submit(CallBack=receiver.url())
        first = receiver.next()
        kill_api(signing.server)
        second = receiver.next()
        delivery = signing.settled(job)
    assert first.body == second.body
    assert (first.headers["x-sordino-attempt"], second.headers["x-sordino-attempt"]) == ("1", "2")
    assert "Status" not in delivery["Attempt"][0]
    assert delivery["Attempt"][1]["Status"] == "200"


def test_api_killed_between_tries(signing: Place) -> None:
    """A delivery that waits for its next try outlives the process, and keeps its count."""
    with receiving(Answer(status=500, headers={"Retry-After": "2"}), Answer()) as receiver:
        job = signing.submit(CallBack=receiver.url())
        receiver.next()
        while not signing.callbacks(job)[0]["Attempt"][0].get("Status"):
            time.sleep(0.05)
        kill_api(signing.server)
        assert receiver.next().headers["x-sordino-attempt"] == "2"
        delivery = signing.settled(job)
    assert [attempt["Status"] for attempt in delivery["Attempt"]] == ["500", "200"]


def kill_api(server: Server) -> None:
    """Kill the API process and wait for the next one."""
    (api,) = [child for child in server.children if "api" in child.cmdline()]
    os.kill(api.pid, signal.SIGKILL)
    api.wait()
    wait_ready(server)
