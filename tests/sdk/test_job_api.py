"""The whole job API in flows, as programs of the official Python SDK go through it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from qcloud_cos import CosS3Client, CosServiceError
from qcloud_cos.cos_comm import xml_to_dict

from sdk.clients import send
from server import REGION, Server
from support import job_body, wait_for_jobs

Job = dict[str, Any]


@pytest.fixture
def client(service: Server) -> CosS3Client:
    """The SDK with the root key."""
    return service.client()


@pytest.fixture
def bucket(new_bucket: Callable[[], str]) -> str:
    """A bucket of the test's own."""
    return new_bucket()


@pytest.fixture
def loaded(client: CosS3Client, bucket: str, recording: bytes) -> str:
    """A bucket that holds a recording."""
    client.put_object(Bucket=bucket, Key="in.wav", Body=recording)
    return bucket


def submit(client: CosS3Client, bucket: str, target: str = "out.wav", **change: object) -> Job:
    """Submit a job; its JobsDetail."""
    (job,) = client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, target) | change)["JobsDetail"]
    return job


def look(client: CosS3Client, bucket: str, job: Job) -> Job:
    """The job as it is now."""
    (found,) = client.ci_get_media_jobs(Bucket=bucket, JobIDs=job["JobId"])["JobsDetail"]
    return found


def end(client: CosS3Client, bucket: str, *jobs: Job) -> list[Job]:
    """The jobs at their end."""
    details = wait_for_jobs(client, bucket, [job["JobId"] for job in jobs])
    return [details[job["JobId"]] for job in jobs]


def queue_of(client: CosS3Client, bucket: str) -> Job:
    """The bucket's queue that jobs without a QueueId wait in."""
    return client.ci_get_asr_queue(Bucket=bucket)["QueueList"][0]


def turn(client: CosS3Client, bucket: str, state: str, queue_id: str | None = None) -> None:
    """Pause a queue, or make it active."""
    request = {"Name": "turned", "State": state, "NotifyConfig": ""}
    queue = queue_id or queue_of(client, bucket)["QueueId"]
    client.ci_update_asr_queue(Bucket=bucket, QueueId=queue, Request=request)


def make_template(client: CosS3Client, bucket: str, name: str, **order: str) -> Job:
    """Create a template; what the reply shows."""
    body = {"Tag": "NoiseReduction", "Name": name, "NoiseReduction": order}
    return client.ci_create_template(Bucket=bucket, Template=body)["Template"]


def with_template(client: CosS3Client, bucket: str, template_id: str, target: str, **more: object) -> Job:
    """Submit a job that refers to a template."""
    output = {"Region": REGION, "Bucket": bucket, "Object": target}
    return submit(client, bucket, Operation={"TemplateId": template_id, "Output": output} | more)


def ids(jobs: list[Job]) -> list[str]:
    """Of the jobs, in their order."""
    return [job["JobId"] for job in jobs]


def listed(client: CosS3Client, bucket: str, **query: object) -> list[str]:
    """Ids of the jobs of one page."""
    page = client.ci_list_media_jobs(Bucket=bucket, Tag="NoiseReduction", **query)
    return ids(page.get("JobsDetail", []))


def pages(client: CosS3Client, bucket: str, between: Callable[[], object], **query: object) -> Iterator[str]:
    """Ids of all jobs, page by page, with ``between`` called between two pages."""
    token = ""
    while True:
        page = client.ci_list_media_jobs(Bucket=bucket, Tag="NoiseReduction", NextToken=token, **query)
        yield from ids(page.get("JobsDetail", []))
        token = page.get("NextToken") or ""
        if not token:
            return
        between()


def test_life_of_a_template(client: CosS3Client, bucket: str) -> None:
    """A template is made, found in every way, replaced, and gone in the end."""
    made = make_template(client, bucket, "voice-1", Format="mp3")
    assert made["NoiseReduction"] == {"Format": "mp3", "Samplerate": "16000"}
    others = [make_template(client, bucket, f"other-{number}") for number in range(3)]
    first = client.ci_get_template(Bucket=bucket, PageNumber=1, PageSize=3)
    second = client.ci_get_template(Bucket=bucket, PageNumber=2, PageSize=3)
    assert first["TotalCount"] == second["TotalCount"] == "4"
    found = {entry["TemplateId"] for entry in (*first["TemplateList"], *second["TemplateList"])}
    assert found == {entry["TemplateId"] for entry in (made, *others)}
    assert client.ci_get_template(Bucket=bucket, Name="voice")["TemplateList"] == [made]
    assert client.ci_get_template(Bucket=bucket, Category="Official")["TotalCount"] == "0"
    body = {"Tag": "NoiseReduction", "Name": "voice-2", "NoiseReduction": {"Samplerate": "8000"}}
    changed = client.ci_update_template(Bucket=bucket, TemplateId=made["TemplateId"], Template=body)["Template"]
    assert changed["NoiseReduction"] == {"Format": "wav", "Samplerate": "8000"}
    assert changed["CreateTime"] == made["CreateTime"]
    assert client.ci_get_template(Bucket=bucket, Ids=made["TemplateId"])["TemplateList"] == [changed]
    client.ci_delete_template(Bucket=bucket, TemplateId=made["TemplateId"])
    assert client.ci_get_template(Bucket=bucket)["TotalCount"] == "3"
    with pytest.raises(CosServiceError, match="TemplateNotFound"):
        client.ci_delete_template(Bucket=bucket, TemplateId=made["TemplateId"])


def test_templates_of_another_bucket_do_not_exist(
    client: CosS3Client, bucket: str, new_bucket: Callable[[], str]
) -> None:
    """A template is of one bucket: another does not find it, and may have one of the same name."""
    other = new_bucket()
    made = make_template(client, bucket, "same")
    assert make_template(client, other, "same")["TemplateId"] != made["TemplateId"]
    found = client.ci_get_template(Bucket=other, Ids=made["TemplateId"])
    assert found["NonExistTIDs"] == {"TemplateId": made["TemplateId"]}
    with pytest.raises(CosServiceError, match="TemplateNotFound"):
        with_template(client, other, made["TemplateId"], "o")


@pytest.mark.parametrize("fate", ["changed", "deleted"])
def test_a_job_keeps_the_order_of_its_template(client: CosS3Client, loaded: str, fate: str) -> None:
    """What becomes of a template later does not touch the jobs that referred to it."""
    turn(client, loaded, "Paused")
    made = make_template(client, loaded, "mp3-of-24k", Format="mp3", Samplerate="24000")
    job = with_template(client, loaded, made["TemplateId"], "out.mp3", UserData="u")
    operation = job["Operation"]
    assert (operation["TemplateId"], operation["TemplateName"]) == (made["TemplateId"], "mp3-of-24k")
    assert "NoiseReduction" not in operation
    if fate == "changed":
        body = {"Tag": "NoiseReduction", "Name": "m4a", "NoiseReduction": {"Format": "m4a"}}
        client.ci_update_template(Bucket=loaded, TemplateId=made["TemplateId"], Template=body)
    else:
        client.ci_delete_template(Bucket=loaded, TemplateId=made["TemplateId"])
    turn(client, loaded, "Active")
    (ended,) = end(client, loaded, job)
    assert ended["State"] == "Success", ended
    assert ended["Operation"]["TemplateName"] == "mp3-of-24k"
    assert ended["Operation"]["MediaInfo"]["Stream"]["Audio"]["SampleRate"] == "24000"
    assert client.head_object(Bucket=loaded, Key="out.mp3")["Content-Type"] == "audio/mpeg"


def test_a_template_wins_over_an_order(client: CosS3Client, loaded: str) -> None:
    """A job with both gets what the template says."""
    made = make_template(client, loaded, "m4a", Format="m4a")
    job = with_template(client, loaded, made["TemplateId"], "o", NoiseReduction={"Format": "wav"})
    (ended,) = end(client, loaded, job)
    assert ended["State"] == "Success", ended
    assert client.head_object(Bucket=loaded, Key="o")["Content-Type"] == "audio/mp4"


def test_new_jobs_do_not_move_the_pages(client: CosS3Client, bucket: str) -> None:
    """Newest first: what is submitted between two pages appears on none, and no job is seen twice or missed."""
    jobs = [submit(client, bucket)["JobId"] for _ in range(7)]
    seen = list(pages(client, bucket, lambda: submit(client, bucket), Size=2))
    assert seen == jobs[::-1]


def test_pages_from_the_oldest(client: CosS3Client, bucket: str) -> None:
    """Oldest first: jobs that come between two pages come at the end."""
    jobs = [submit(client, bucket)["JobId"] for _ in range(5)]
    more = iter(range(2))

    def between() -> None:
        if next(more, None) is not None:
            jobs.append(submit(client, bucket)["JobId"])

    assert list(pages(client, bucket, between, Size=2, OrderByTime="Asc")) == jobs


def test_filters(client: CosS3Client, bucket: str) -> None:
    """Jobs are found by state, queue, time and input, and by several of these together."""
    turn(client, bucket, "Paused")
    queue = queue_of(client, bucket)["QueueId"]
    one, two = submit(client, bucket), submit(client, bucket, Input={"Object": "other.wav"})
    client.ci_cancel_jobs(Bucket=bucket, JobID=one["JobId"])
    assert listed(client, bucket, States="Cancel") == ids([one])
    assert listed(client, bucket, States="Pause") == ids([two])
    assert listed(client, bucket, States="Pause,Cancel") == ids([two, one])
    assert listed(client, bucket, States="Success,Failed,Running") == []
    assert listed(client, bucket, QueueId=queue) == ids([two, one])
    assert listed(client, bucket, QueueId="p" + "0" * 32) == []
    since = one["CreationTime"]
    assert listed(client, bucket, StartCreationTime=since) == ids([two, one])
    assert listed(client, bucket, EndCreationTime=two["CreationTime"]) == ids([two, one])
    assert listed(client, bucket, StartCreationTime="2099-01-01T00:00:00+0800") == []
    assert listed(client, bucket, EndCreationTime="2001-01-01T00:00:00+0800") == []
    assert listed(client, bucket, States="Pause", QueueId=queue, StartCreationTime=since) == ids([two])
    query = {"tag": "NoiseReduction", "inputObject": "other.wav"}
    page = xml_to_dict(send(client, "GET", bucket, "/jobs", query=query).content)
    assert page["JobsDetail"]["JobId"] == two["JobId"]


def test_jobs_are_cancelled_once(client: CosS3Client, bucket: str) -> None:
    """A waiting job is cancelled, cancelling it again is no mistake, and nothing is left to run."""
    turn(client, bucket, "Paused")
    job = submit(client, bucket)
    assert job["State"] == "Pause"
    for _ in range(2):
        client.ci_cancel_jobs(Bucket=bucket, JobID=job["JobId"])
    turn(client, bucket, "Active")
    other = submit(client, bucket)
    end(client, bucket, other)
    cancelled = look(client, bucket, job)
    assert (cancelled["State"], cancelled["StartTime"]) == ("Cancel", "-")
    assert cancelled["EndTime"] != "-"


def test_jobs_that_have_ended_are_not_cancelled(client: CosS3Client, bucket: str) -> None:
    """Cancelling a job that is over is refused, and the message names its state."""
    job = submit(client, bucket)
    (ended,) = end(client, bucket, job)
    assert ended["State"] == "Failed"
    with pytest.raises(CosServiceError) as refusal:
        client.ci_cancel_jobs(Bucket=bucket, JobID=job["JobId"])
    assert (refusal.value.get_status_code(), refusal.value.get_error_code()) == (400, "InvalidArgument")
    assert "Failed" in refusal.value.get_error_msg()


def test_a_paused_queue_holds_its_jobs(client: CosS3Client, loaded: str, new_bucket: Callable[[], str]) -> None:
    """Jobs of a paused queue wait in state Pause, and run to Success when it is active again."""
    turn(client, loaded, "Paused")
    jobs = [submit(client, loaded, f"{number}.wav") for number in range(3)]
    assert {job["State"] for job in jobs} == {"Pause"}
    # A later job of another queue has run by then.
    other = new_bucket()
    end(client, other, submit(client, other))
    assert {look(client, loaded, job)["State"] for job in jobs} == {"Pause"}
    turn(client, loaded, "Active")
    assert {job["State"] for job in end(client, loaded, *jobs)} == {"Success"}


def test_a_second_queue(client: CosS3Client, loaded: str) -> None:
    """A queue of our extension is made, paused for itself, used by its id, and deleted when it is empty."""
    body = b"<Request><Name>second</Name><State>Active</State><NotifyConfig/></Request>"
    reply = xml_to_dict(send(client, "POST", loaded, "/asrqueue", body=body).content)
    second = reply["Queue"]["QueueId"]
    assert second != queue_of(client, loaded)["QueueId"]
    assert client.ci_get_asr_queue(Bucket=loaded)["TotalCount"] == "2"
    turn(client, loaded, "Paused", second)
    held, free = submit(client, loaded, "held.wav", QueueId=second), submit(client, loaded, "free.wav")
    assert (held["QueueId"], held["State"], free["State"]) == (second, "Pause", "Submitted")
    end(client, loaded, free)
    assert look(client, loaded, held)["State"] == "Pause"
    assert listed(client, loaded, QueueId=second) == ids([held])
    with pytest.raises(CosServiceError, match="InvalidArgument"):
        send(client, "DELETE", loaded, f"/asrqueue/{second}")
    turn(client, loaded, "Active", second)
    (ended,) = end(client, loaded, held)
    assert (ended["State"], ended["QueueId"]) == ("Success", second)
    send(client, "DELETE", loaded, f"/asrqueue/{second}")
    with pytest.raises(CosServiceError, match="QueueNotFound"):
        submit(client, loaded, QueueId=second)
    assert client.ci_get_asr_queue(Bucket=loaded, QueueIds=second)["NonExistPIDs"] == second


def test_several_operations(client: CosS3Client, loaded: str) -> None:
    """One request with three operations over one input becomes three jobs with three results."""
    orders = {"a.wav": {"SampleRate": "8000"}, "b.mp3": {"Format": "mp3"}, "c.m4a": {"Format": "m4a"}}
    operations = [
        {
            "Tag": "NoiseReduction",
            "NoiseReduction": order,
            "Output": {"Region": REGION, "Bucket": loaded, "Object": target},
            "UserData": target,
        }
        for target, order in orders.items()
    ]
    body = {"Input": {"Object": "in.wav"}, "Operation": operations}
    jobs = client.ci_create_media_jobs(Bucket=loaded, Jobs=body)["JobsDetail"]
    assert [job["Operation"]["UserData"] for job in jobs] == list(orders)
    assert len({job["JobId"] for job in jobs}) == 3
    assert {job["State"] for job in end(client, loaded, *jobs)} == {"Success"}
    types = [client.head_object(Bucket=loaded, Key=target)["Content-Type"] for target in orders]
    assert types == ["audio/wav", "audio/mpeg", "audio/mp4"]


def test_several_operations_all_or_none(client: CosS3Client, loaded: str) -> None:
    """One mistake among several operations refuses them all."""
    output = {"Region": REGION, "Bucket": loaded, "Object": "o"}
    good, bad = {"Tag": "NoiseReduction", "Output": output}, {"Tag": "Transcode", "Output": output | {"Object": "p"}}
    body = {"Input": {"Object": "in.wav"}, "Operation": [good, bad]}
    with pytest.raises(CosServiceError) as refusal:
        client.ci_create_media_jobs(Bucket=loaded, Jobs=body)
    assert refusal.value.get_status_code() == 400
    assert listed(client, loaded) == []


def test_switches(client: CosS3Client, loaded: str) -> None:
    """Without the speech service there is no queue and no job; opened again, jobs run again."""
    client.ci_open_asr_bucket(Bucket=loaded)  # it came with the bucket: now it is the user's
    with pytest.raises(CosServiceError, match="BucketAlreadyBinded"):
        client.ci_open_asr_bucket(Bucket=loaded)
    old = queue_of(client, loaded)["QueueId"]
    client.ci_close_asr_bucket(Bucket=loaded)
    assert client.ci_get_asr_queue(Bucket=loaded)["TotalCount"] == "0"
    assert client.ci_get_asr_bucket(BucketNames=loaded)["TotalCount"] == "0"
    with pytest.raises(CosServiceError) as refusal:
        submit(client, loaded)
    assert (refusal.value.get_status_code(), refusal.value.get_error_code()) == (403, "MediaBucketUnBinded")
    client.ci_open_asr_bucket(Bucket=loaded)
    assert queue_of(client, loaded)["QueueId"] != old
    (ended,) = end(client, loaded, submit(client, loaded))
    assert ended["State"] == "Success"


def test_closing_waits_for_jobs(client: CosS3Client, bucket: str) -> None:
    """The speech service stays open while jobs have not ended."""
    turn(client, bucket, "Paused")
    job = submit(client, bucket)
    with pytest.raises(CosServiceError, match="InvalidArgument"):
        client.ci_close_asr_bucket(Bucket=bucket)
    client.ci_cancel_jobs(Bucket=bucket, JobID=job["JobId"])
    client.ci_close_asr_bucket(Bucket=bucket)


def test_the_other_services_are_switches_of_their_own(client: CosS3Client, loaded: str) -> None:
    """Closing the AI and media services keeps speech jobs running."""
    client.ci_close_ai_bucket(Bucket=loaded)
    send(client, "DELETE", loaded, "/mediabucket")
    assert client.ci_get_media_bucket(BucketNames=loaded)["TotalCount"] == "0"
    send(client, "POST", loaded, "/mediabucket")
    assert client.ci_get_media_bucket(BucketNames=loaded)["TotalCount"] == "1"
    (ended,) = end(client, loaded, submit(client, loaded))
    assert ended["State"] == "Success"


@pytest.mark.parametrize("level", ["0", "1", "2"])
def test_levels_are_echoed(client: CosS3Client, bucket: str, level: str) -> None:
    """The reply shows the level that the job was given."""
    body = job_body(bucket, "o")
    body["Operation"]["JobLevel"] = level
    (job,) = client.ci_create_media_jobs(Bucket=bucket, Jobs=body)["JobsDetail"]
    assert job["Operation"]["JobLevel"] == level
    end(client, bucket, job)
