"""The service switches over HTTP."""

from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest

from raw_http import refusal, send
from server import REGION, Server

SWITCHES = [
    ("/asrbucket", "AsrBucket", "BucketAlreadyBinded"),
    ("/ai_bucket", "AiBucket", "BucketAlreadyBinded"),
    ("/mediabucket", "MediaBucket", "MediaBucketAlreadyBinded"),
]


def call(service: Server, method: str, path: str, bucket: str | None) -> ET.Element:
    """The reply of a call that succeeds."""
    status, _, content = send(service, method, path, bucket=bucket, kind="ci")
    assert status == 200, content
    return ET.fromstring(content)


@pytest.mark.parametrize(("path", "name", "code"), SWITCHES)
def test_a_service_is_opened_and_closed(service: Server, new_bucket: Callable[[], str], path, name, code) -> None:
    """The first opening of a new bucket succeeds, a second is refused; what was closed can be opened again."""
    bucket = new_bucket()
    for _ in range(2):
        opened = call(service, "POST", path, bucket).find(name)
        assert [opened.findtext(tag) for tag in ("Name", "BucketId", "Region")] == [bucket, bucket, REGION]
        answer = send(service, "POST", path, bucket=bucket, kind="ci")
        assert (answer[0], refusal(answer[2])["Code"]) == (403, code)
        assert call(service, "DELETE", path, bucket).findtext("BucketName") == bucket
        answer = send(service, "DELETE", path, bucket=bucket, kind="ci")
        assert (answer[0], refusal(answer[2])["Code"]) == (403, "MediaBucketUnBinded")


@pytest.mark.parametrize("host", ["bucket", "region", "none"])
@pytest.mark.parametrize(("path", "name", "code"), SWITCHES)
def test_lists(service: Server, new_bucket: Callable[[], str], path, name, code, host) -> None:
    """An account's buckets with the service are listed on any host; names, prefixes and regions choose among them."""
    bucket, other = new_bucket(), new_bucket()
    call(service, "DELETE", path, other)

    def listed(query: str) -> ET.Element:
        fields = {"Host": f"ci.{REGION}.myqcloud.com"} if host == "region" else {}
        named = bucket if host == "bucket" else None
        answer = send(service, "GET", f"{path}?{query}", bucket=named, kind="ci", headers=fields)
        assert answer[0] == 200, answer
        return ET.fromstring(answer[2])

    def found(query: str) -> list[str]:
        return [it.findtext("Name") or "" for it in listed(query).findall(f"{name}List")]

    assert found(f"bucketNames={bucket},{other}&regions=All") == [bucket]
    assert found(f"bucketNames={bucket}&regions={REGION},ap-x") == [bucket]
    assert found(f"bucketNames={bucket}&regions=ap-x") == []
    assert found(f"bucketName={bucket[:-3]}") == [bucket]
    page = listed("pageSize=1&pageNumber=2&regions=&bucketNames=&bucketName=")
    assert [page.findtext(tag) for tag in ("PageNumber", "PageSize")] == ["2", "1"]
    assert int(page.findtext("TotalCount")) >= 1


@pytest.mark.parametrize("query", ["pageNumber=0", "pageSize=101"])
def test_refused_lists(service: Server, query: str) -> None:
    """Pages begin at 1 and have at most 100 buckets."""
    answer = send(service, "GET", f"/asrbucket?{query}")
    assert (answer[0], refusal(answer[2])["Code"]) == (400, "InvalidArgument")


def test_jobs_and_queues_of_a_closed_service(service: Server, new_bucket: Callable[[], str]) -> None:
    """Without the speech service there are no queues, and jobs and new queues are refused, until it is open again."""
    bucket = new_bucket()
    job = (
        f"<Request><Tag>NoiseReduction</Tag><Input><Object>a</Object></Input><Operation><Output><Region>{REGION}"
        f"</Region><Bucket>{bucket}</Bucket><Object>b</Object></Output></Operation></Request>"
    )
    queue = "<Request><Name>q</Name><State>Active</State><NotifyConfig/></Request>"
    call(service, "DELETE", "/asrbucket", bucket)
    for path, body in (("/jobs", job), ("/asrqueue", queue)):
        answer = send(service, "POST", path, bucket=bucket, kind="ci", body=body.encode())
        assert (answer[0], refusal(answer[2])["Code"]) == (403, "MediaBucketUnBinded")
    assert call(service, "GET", "/asrqueue", bucket).findtext("TotalCount") == "0"
    call(service, "POST", "/asrbucket", bucket)
    assert send(service, "POST", "/jobs", bucket=bucket, kind="ci", body=job.encode())[0] == 200


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_switches_need_a_bucket(service: Server, method: str) -> None:
    """A switch on a host that names no bucket is told what to do; the list alone needs none."""
    answer = send(service, method, "/asrbucket")
    assert (answer[0], refusal(answer[2])["Code"]) == (400, "InvalidHost")
