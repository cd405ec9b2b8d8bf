"""The examples of the page on queues, templates and lists do what it says."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from qcloud_cos import CosS3Client

from server import Server

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "use-queues-and-templates.md"


@pytest.fixture(scope="module")
def page() -> Mapping[str, Callable[..., object]]:
    """The functions that the page defines."""
    names: dict[str, Callable[..., object]] = {}
    for text in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        exec(compile(text, PAGE.name, "exec"), names)
    return names


@pytest.fixture(scope="module")
def client(service: Server) -> CosS3Client:
    """The official SDK."""
    return service.client()


def test_templates(page, client: CosS3Client, new_bucket: Callable[[], str]) -> None:
    """A job is submitted with a template that was just made."""
    bucket = new_bucket()
    template_id = page["create_template"](client, bucket)
    job_id = page["submit"](client, bucket, template_id)
    (job,) = client.ci_get_media_jobs(Bucket=bucket, JobIDs=job_id)["JobsDetail"]
    assert job["Operation"]["TemplateName"] == "podcast"


def test_several_jobs(page, client: CosS3Client, new_bucket: Callable[[], str]) -> None:
    """Two operations become two jobs."""
    assert len(set(page["submit_two"](client, new_bucket()))) == 2


def test_queues(page, client: CosS3Client, new_bucket: Callable[[], str]) -> None:
    """A queue is made and paused."""
    bucket = new_bucket()
    queue_id = page["create_queue"](client, bucket)
    page["pause"](client, bucket, queue_id)
    (queue,) = client.ci_get_asr_queue(Bucket=bucket, QueueIds=queue_id)["QueueList"]
    assert (queue["Name"], queue["State"]) == ("nightly", "Paused")


def test_lists_and_cancelling(page, client: CosS3Client, new_bucket: Callable[[], str]) -> None:
    """A job that waits is cancelled, and then found among those that were; a bucket without such jobs has none."""
    bucket = new_bucket()
    assert page["failed_jobs"](client, bucket) == []
    queue_id = page["create_queue"](client, bucket)
    page["pause"](client, bucket, queue_id)
    job = {
        "Tag": "NoiseReduction",
        "QueueId": queue_id,
        "Input": {"Object": "a.wav"},
        "Operation": {"Output": {"Region": "ap-guangzhou", "Bucket": bucket, "Object": "b.wav"}},
    }
    reply = client.ci_create_media_jobs(Bucket=bucket, Jobs=job, Lst={}, ContentType="application/xml")
    job_id = reply["JobsDetail"][0]["JobId"]
    page["cancel"](client, bucket, job_id)
    assert page["failed_jobs"](client, bucket) == [job_id]
