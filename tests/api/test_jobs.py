"""The job calls over HTTP: several operations, templates, lists, cancelling."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from urllib.parse import quote
from xml.etree import ElementTree as ET

import pytest
from qcloud_cos import CosS3Client, CosServiceError

from raw_http import refusal, send
from server import REGION, Server
from support import job_body

TIME = "%Y-%m-%dT%H:%M:%S%z"


@pytest.fixture(scope="module")
def client(service: Server) -> CosS3Client:
    """The official SDK."""
    return service.client()


@pytest.fixture
def waiting(client: CosS3Client, new_bucket: Callable[[], str]) -> str:
    """A bucket whose jobs wait: its queue is paused."""
    bucket = new_bucket()
    pause(client, bucket)
    return bucket


def pause(client: CosS3Client, bucket: str) -> str:
    """Pause the bucket's only queue; its id."""
    (queue,) = client.ci_get_asr_queue(Bucket=bucket)["QueueList"]
    body = {"Name": queue["Name"], "State": "Paused", "NotifyConfig": {"State": "Off"}}
    client.ci_update_asr_queue(Bucket=bucket, QueueId=queue["QueueId"], Request=body, ContentType="application/xml")
    return queue["QueueId"]


def submit(client: CosS3Client, bucket: str, count: int = 1, source: str = "in.wav", **elements: object) -> list[str]:
    """Submit so many jobs, one after the other; their ids."""
    ids = []
    for number in range(count):
        body = job_body(bucket, f"out{number}.wav", source) | elements
        reply = client.ci_create_media_jobs(Bucket=bucket, Jobs=body, Lst={}, ContentType="application/xml")
        ids.append(reply["JobsDetail"][0]["JobId"])
    return ids


def listed(service: Server, bucket: str, query: str = "") -> tuple[list[str], str | None]:
    """The ids of a page of the list, and the token of the next."""
    status, _, content = send(service, "GET", f"/jobs?tag=NoiseReduction{query}", bucket=bucket, kind="ci")
    assert status == 200, content
    root = ET.fromstring(content)
    assert {child.tag for child in root} <= {"RequestId", "JobsDetail", "NextToken"}
    return [job.findtext("JobId") or "" for job in root.findall("JobsDetail")], root.findtext("NextToken")


def pages(service: Server, bucket: str, query: str) -> Iterator[list[str]]:
    """All pages of a list."""
    token: str | None = ""
    while token is not None:
        ids, token = listed(service, bucket, f"{query}&nextToken={token}")
        yield ids


def raw(bucket: str, *outputs: str, tag: str = "<Tag>NoiseReduction</Tag>", top: str = "", inner: str = "") -> bytes:
    """A body with an Operation for each output."""
    operations = "".join(
        f"<Operation>{tag}<Output><Region>{REGION}</Region><Bucket>{bucket}</Bucket><Object>{output}</Object></Output>"
        f"{inner}</Operation>"
        for output in outputs
    )
    return f"<Request><Input><Object>in.wav</Object></Input>{operations}{top}</Request>".encode()


def test_several_operations(service: Server, waiting: str) -> None:
    """Six Operations of one request become six jobs, in their order, and the reply has a JobsDetail for each."""
    outputs = [f"out{number}.wav" for number in range(6)]
    status, _, content = send(service, "POST", "/jobs", bucket=waiting, kind="ci", body=raw(waiting, *outputs))
    assert status == 200, content
    details = ET.fromstring(content).findall("JobsDetail")
    assert [job.findtext("Operation/Output/Object") for job in details] == outputs
    ids = [job.findtext("JobId") for job in details]
    assert len(set(ids)) == 6
    assert listed(service, waiting, "&orderByTime=Asc")[0] == ids


@pytest.mark.parametrize(
    ("outputs", "hint"), [(["a.wav", "b.wav", "a.wav"], "a.wav"), ([f"{n}.wav" for n in range(7)], "1 to 6")]
)
def test_operations_that_are_refused_leave_nothing(service: Server, waiting: str, outputs, hint) -> None:
    """Of a request with a fault in it, no job is made."""
    answer = send(service, "POST", "/jobs", bucket=waiting, kind="ci", body=raw(waiting, *outputs))
    told = refusal(answer[2])
    assert (answer[0], told["Code"]) == (400, "InvalidArgument")
    assert hint in told["Message"]
    assert listed(service, waiting) == ([], None)


def test_a_template(service: Server, client: CosS3Client, waiting: str) -> None:
    """A job of a template names it in place of its values, also after the template was renamed."""
    template = {"Tag": "NoiseReduction", "Name": "eight", "NoiseReduction": {"Format": "mp3", "Samplerate": "8000"}}
    made = client.ci_create_template(Bucket=waiting, Template=template, ContentType="application/xml")
    template_id = made["Template"]["TemplateId"]
    body = raw(
        waiting,
        "o",
        inner=f"<TemplateId>{template_id}</TemplateId><NoiseReduction><Format>m4a</Format></NoiseReduction>",
    )
    content = send(service, "POST", "/jobs", bucket=waiting, kind="ci", body=body)[2]
    client.ci_update_template(
        Bucket=waiting, TemplateId=template_id, Template=template | {"Name": "other"}, ContentType="application/xml"
    )
    (job_id,) = (job.findtext("JobId") for job in ET.fromstring(content).findall("JobsDetail"))
    (job,) = client.ci_get_media_jobs(Bucket=waiting, JobIDs=job_id)["JobsDetail"]
    assert (job["Operation"]["TemplateId"], job["Operation"]["TemplateName"]) == (template_id, "eight")
    assert "NoiseReduction" not in job["Operation"]


@pytest.mark.parametrize(
    ("elements", "status", "code"),
    [
        ({"inner": "<TemplateId>t1none</TemplateId>"}, 404, "TemplateNotFound"),
        ({"top": "<QueueId>pnone</QueueId>"}, 404, "QueueNotFound"),
        ({"top": "<CallBackType>TDMQ</CallBackType>"}, 400, "InvalidArgument"),
        ({"top": "<CallBackKafkaConfig><Topic>t</Topic></CallBackKafkaConfig>"}, 501, "NotImplemented"),
        ({"tag": ""}, 400, "InvalidArgument"),
    ],
)
def test_refused_jobs(service: Server, waiting: str, elements, status, code) -> None:
    """What a job refers to must be there, and what it asks for be offered."""
    answer = send(service, "POST", "/jobs", bucket=waiting, kind="ci", body=raw(waiting, "o", **elements))
    assert (answer[0], refusal(answer[2])["Code"]) == (status, code)


@pytest.mark.parametrize("alias", ["/asr_jobs", "/ai_jobs"])
def test_other_addresses(service: Server, waiting: str, alias: str) -> None:
    """The addresses of the speech and AI jobs lead to the same jobs, in every call."""
    status, _, content = send(service, "POST", alias, bucket=waiting, kind="ci", body=raw(waiting, "o"))
    assert status == 200, content
    job_id = ET.fromstring(content).findtext("JobsDetail/JobId")
    for path in (f"{alias}/{job_id}", f"{alias}?tag=NoiseReduction"):
        found = ET.fromstring(send(service, "GET", path, bucket=waiting, kind="ci")[2])
        assert found.findtext("JobsDetail/JobId") == job_id
    assert send(service, "PUT", f"{alias}/{job_id}?cancel", bucket=waiting, kind="ci")[0] == 200


@pytest.fixture(scope="module")
def five(client: CosS3Client, new_bucket: Callable[[], str]) -> tuple[str, list[str]]:
    """A bucket with five jobs that wait, and their ids in order."""
    bucket = new_bucket()
    pause(client, bucket)
    return bucket, submit(client, bucket, 5)


@pytest.mark.parametrize("order", ["Asc", "Desc"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_pages(service: Server, five: tuple[str, list[str]], order: str, size: int) -> None:
    """Pages of any size hold each job once, in order, and the last one has no token."""
    bucket, ids = five
    found = list(pages(service, bucket, f"&size={size}&orderByTime={order}"))
    assert [job for page in found for job in page] == (ids if order == "Asc" else ids[::-1])
    assert all(len(page) <= size for page in found)


def test_filters(service: Server, client: CosS3Client, waiting: str) -> None:
    """State, queue and input choose jobs, alone and together."""
    first, second = submit(client, waiting, 2)
    (third,) = submit(client, waiting, source="an other+中.wav")
    client.ci_cancel_jobs(Bucket=waiting, JobID=second)
    (queue,) = client.ci_get_asr_queue(Bucket=waiting)["QueueList"]
    cases = {
        "&states=All": {first, second, third},
        "&states=Pause": {first, third},
        "&states=Cancel,Failed": {second},
        "&states=Success": set(),
        f"&queueId={queue['QueueId']}": {first, second, third},
        "&queueId=pnone": set(),
        f"&inputObject={quote('an other+中.wav')}": {third},
        "&inputObject=an": set(),
        f"&states=Cancel&inputObject=in.wav&queueId={queue['QueueId']}": {second},
        "&workflowId=w1": set(),
        "&queueId=&states=&nextToken=&size=&startCreationTime=&workflowId=": {first, second, third},
    }
    assert {query: set(listed(service, waiting, query)[0]) for query in cases} == cases


def test_times(service: Server, client: CosS3Client, five: tuple[str, list[str]]) -> None:
    """A span of the times that jobs tell holds those jobs, its first and last second included."""
    bucket, ids = five
    jobs = client.ci_get_media_jobs(Bucket=bucket, JobIDs=",".join(ids))["JobsDetail"]
    first, last = (datetime.strptime(jobs[place]["CreationTime"], TIME).astimezone() for place in (0, -1))
    second = timedelta(seconds=1)
    for begin, end, found in (
        (first, last, ids[::-1]),
        (first - second, None, ids[::-1]),
        (None, last, ids[::-1]),
        (last + second, None, []),
        (None, first - second, []),
    ):
        given = {"startCreationTime": begin, "endCreationTime": end}
        times = {name: quote(at.strftime(TIME)) for name, at in given.items() if at}
        query = "".join(f"&{name}={at}" for name, at in times.items())
        assert listed(service, bucket, query)[0] == found
        assert listed(service, bucket, query.replace("%2B", "+"))[0] == found


def test_lists_of_other_kinds(service: Server, client: CosS3Client, waiting: str) -> None:
    """Programs of the cloud list other kinds of jobs, too: there are none here."""
    submit(client, waiting)
    status, _, content = send(service, "GET", "/jobs?tag=Transcode", bucket=waiting, kind="ci")
    assert (status, [child.tag for child in ET.fromstring(content)]) == (200, ["RequestId"])


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("", "tag"),
        ("tag=", "tag"),
        ("tag=%3Cx%3E", "tag"),
        ("tag=NoiseReduction&size=0", "size"),
        ("tag=NoiseReduction&size=101", "size"),
        ("tag=NoiseReduction&states=Done", "states"),
        ("tag=NoiseReduction&orderByTime=asc", "orderByTime"),
        ("tag=NoiseReduction&nextToken=225508", "nextToken"),
        ("tag=NoiseReduction&nextToken=%F0%9F%98%80", "nextToken"),
        ("tag=NoiseReduction&startCreationTime=now", "startCreationTime"),
        ("tag=NoiseReduction&tag=NoiseReduction", "tag"),
    ],
)
def test_refused_lists(service: Server, waiting: str, query: str, name: str) -> None:
    """A parameter that cannot be met is refused by its name."""
    answer = send(service, "GET", f"/jobs?{query}", bucket=waiting, kind="ci")
    told = refusal(answer[2])
    assert (answer[0], told["Code"]) == (400, "InvalidArgument")
    assert name in told["Message"]


def test_a_token_of_another_bucket(
    service: Server, client: CosS3Client, waiting: str, new_bucket: Callable[[], str]
) -> None:
    """A token is a place in time: used on another bucket, it shows that bucket's jobs and no other's."""
    submit(client, waiting, 3)
    token = listed(service, waiting, "&size=1")[1]
    other = new_bucket()
    assert listed(service, other, f"&nextToken={token}") == ([], None)
    pause(client, other)
    (job_id,) = submit(client, other)
    assert listed(service, other, f"&orderByTime=Asc&nextToken={token}") == ([job_id], None)


@pytest.mark.parametrize("query", ["?cancel", "?cancel=", ""])
def test_cancel(service: Server, client: CosS3Client, waiting: str, query: str) -> None:
    """A job that waits is cancelled, with the flag and, as the Java SDK asks, without; asking again changes nothing."""
    (job_id,) = submit(client, waiting)
    for _ in range(2):
        status, headers, content = send(service, "PUT", f"/jobs/{job_id}{query}", bucket=waiting, kind="ci")
        assert (status, headers["Content-Length"], content) == (200, "0", b"")
        (job,) = client.ci_get_media_jobs(Bucket=waiting, JobIDs=job_id)["JobsDetail"]
        assert job["State"] == "Cancel"
        assert job["EndTime"] != "-"


def test_a_body_of_a_cancellation(service: Server, client: CosS3Client, waiting: str) -> None:
    """With a body the flag must say what is meant; otherwise the job stays as it is."""
    (job_id,) = submit(client, waiting)
    body = b"<Request><State>Cancel</State></Request>"
    told = refusal(send(service, "PUT", f"/jobs/{job_id}", bucket=waiting, kind="ci", body=body)[2])
    assert told["Code"] == "InvalidArgument"
    assert "?cancel" in told["Message"]
    assert client.ci_get_media_jobs(Bucket=waiting, JobIDs=job_id)["JobsDetail"][0]["State"] == "Pause"
    assert send(service, "PUT", f"/jobs/{job_id}?cancel", bucket=waiting, kind="ci", body=body)[0] == 200


@pytest.mark.parametrize(("path", "hint"), [("/jobs/jnone?cancel", "jnone"), ("/jobs/j1,j2?cancel", "one at a time")])
def test_refused_cancellations(service: Server, waiting: str, path: str, hint: str) -> None:
    """A job that is not there, and several at a time, cannot be cancelled."""
    answer = send(service, "PUT", path, bucket=waiting, kind="ci")
    told = refusal(answer[2])
    assert (answer[0], told["Code"]) == (400, "InvalidArgument")
    assert hint in told["Message"]


def test_jobs_of_another_bucket(
    service: Server, client: CosS3Client, waiting: str, new_bucket: Callable[[], str]
) -> None:
    """A job is found and cancelled in its own bucket alone."""
    (job_id,), other = submit(client, waiting), new_bucket()
    reply = client.ci_get_media_jobs(Bucket=other, JobIDs=job_id)
    assert reply["NonExistJobIds"] == job_id
    with pytest.raises(CosServiceError, match="InvalidArgument"):
        client.ci_cancel_jobs(Bucket=other, JobID=job_id)
    assert client.ci_get_media_jobs(Bucket=waiting, JobIDs=job_id)["JobsDetail"][0]["State"] == "Pause"
