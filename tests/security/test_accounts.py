"""What one account may learn and change of another's jobs, queues, templates and services: nothing, however it asks."""

from dataclasses import dataclass
from xml.etree import ElementTree as ET

import pytest

from people import Key, People
from raw_http import authorization, host_of, refusal, send
from server import REGION, Server

STRANGER = Key(appid="1299999999", secret_id=f"AKID{'s' * 32}", secret_key="k" * 32, uin="100099999999")
OWN = f"own-{STRANGER.appid}"

SETTINGS = b"<Request><Name>n</Name><State>Active</State><NotifyConfig/></Request>"
TEMPLATE = b"<Request><Tag>NoiseReduction</Tag><Name>n</Name><NoiseReduction/></Request>"


@dataclass(frozen=True)
class Victim:
    """A bucket of the root account, with the ids of what is in it, and the token of a page of its jobs."""

    bucket: str
    job: str
    queue: str
    template: str
    token: str


def submission(bucket: str, extra: str = "") -> bytes:
    """The body of a job that writes into a bucket."""
    output = f"<Output><Region>{REGION}</Region><Bucket>{bucket}</Bucket><Object>out.wav</Object></Output>"
    body = f"<Tag>NoiseReduction</Tag><Input><Object>in.wav</Object></Input><Operation>{output}</Operation>{extra}"
    return f"<Request>{body}</Request>".encode()


def found(service: Server, method: str, path: str, bucket: str, body: bytes, name: str) -> str:
    """The text of an element of the reply to a call of the root account."""
    status, _, content = send(service, method, path, bucket=bucket, kind="ci", body=body)
    assert status == 200, content
    return ET.fromstring(content).findtext(f".//{name}") or ""


@pytest.fixture(scope="module")
def victim(service: Server) -> Victim:
    """A bucket in use; and there is a stranger, with a bucket of its own."""
    People(service).add(STRANGER)
    assert send(service, "PUT", "/", bucket=OWN, key=STRANGER)[0] == 200
    bucket = f"victim-{service.root_key.appid}"
    service.client().create_bucket(Bucket=bucket)
    queue = found(service, "POST", "/asrqueue", bucket, SETTINGS.replace(b"Active", b"Paused"), "QueueId")
    template = found(service, "POST", "/template", bucket, TEMPLATE, "TemplateId")
    body = submission(bucket, f"<QueueId>{queue}</QueueId>")
    job, _ = (found(service, "POST", "/jobs", bucket, body, "JobId") for _ in range(2))
    token = found(service, "GET", "/jobs?tag=NoiseReduction&size=1", bucket, b"", "NextToken")
    return Victim(bucket=bucket, job=job, queue=queue, template=template, token=token)


CALLS = [
    ("GET", "/jobs?tag=NoiseReduction", b""),
    ("POST", "/jobs", submission(OWN)),
    ("GET", "/jobs/{job}", b""),
    ("PUT", "/jobs/{job}?cancel", b""),
    ("GET", "/jobs/{job}?callbacks", b""),
    ("POST", "/jobs/{job}?callbacks", b""),
    ("GET", "/template", b""),
    ("POST", "/template", TEMPLATE),
    ("PUT", "/template/{template}", TEMPLATE),
    ("DELETE", "/template/{template}", b""),
    ("GET", "/asrqueue", b""),
    ("POST", "/asrqueue", SETTINGS),
    ("PUT", "/asrqueue/{queue}", SETTINGS),
    ("DELETE", "/asrqueue/{queue}", b""),
    ("POST", "/asrbucket", b""),
    ("DELETE", "/asrbucket", b""),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
@pytest.mark.parametrize("form", ["host", "path", "target", "cos host"])
def test_calls_on_a_bucket_of_others(service: Server, victim: Victim, method, path, body, form) -> None:
    """Each is refused in every form of address, with a signature of the stranger that is right."""
    path = path.format(**vars(victim))
    host = host_of(victim.bucket, "ci")
    target, named, kind = {
        "host": (path, victim.bucket, "ci"),
        "cos host": (path, victim.bucket, "cos"),
        "path": (f"/{victim.bucket}{path}", None, "ci"),
        # The target, and not the Host of the stranger's own bucket, says what is meant.
        "target": (f"http://{host}{path}", OWN, "ci"),
    }[form]
    signature = authorization(service, method, path.partition("?")[0], None, key=STRANGER)
    headers = {"Authorization": signature}
    status, _, content = send(
        service, method, target, bucket=named, kind=kind, body=body, signed=False, headers=headers
    )
    assert (status, refusal(content)["Code"]) == (403, "AccessDenied")
    assert "belongs to another account" in refusal(content)["Message"]


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("PUT", "/jobs/{job}?cancel", b"", "InvalidArgument"),
        ("GET", "/jobs/{job}?callbacks", b"", "InvalidArgument"),
        ("POST", "/jobs/{job}?callbacks", b"", "InvalidArgument"),
        ("PUT", "/template/{template}", TEMPLATE, "TemplateNotFound"),
        ("DELETE", "/template/{template}", b"", "TemplateNotFound"),
        ("PUT", "/asrqueue/{queue}", SETTINGS, "QueueNotFound"),
        ("DELETE", "/asrqueue/{queue}", b"", "QueueNotFound"),
    ],
)
def test_ids_of_others(service: Server, victim: Victim, method, path, body, code) -> None:
    """In a bucket of one's own, an id of another account's is one that does not exist."""
    path = path.format(**vars(victim))
    _, _, content = send(service, method, path, bucket=OWN, kind="ci", body=body, key=STRANGER)
    assert refusal(content)["Code"] == code


UPLOAD_CALLS = [
    ("PUT", "/k?partNumber=1&uploadId={upload}"),
    ("POST", "/k?uploadId={upload}"),
    ("GET", "/k?uploadId={upload}"),
    ("DELETE", "/k?uploadId={upload}"),
]
PARTS = (
    b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>9dd4e461268c8034f5c8564e155c67a6</ETag></Part>"
    b"</CompleteMultipartUpload>"
)


@pytest.mark.parametrize(("method", "path"), [*UPLOAD_CALLS, ("POST", "/k?uploads"), ("GET", "/?uploads")])
def test_uploads_of_others(service: Server, victim: Victim, method: str, path: str) -> None:
    """Nobody else begins, sees, adds to or ends an upload of a bucket; in one of his own its id is none."""
    client, place = service.client(), {"Bucket": victim.bucket, "Key": "k"}
    upload = client.create_multipart_upload(**place)["UploadId"]
    client.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"x")
    path = path.format(upload=upload)
    _, _, content = send(service, method, path, bucket=victim.bucket, body=PARTS, key=STRANGER)
    assert refusal(content)["Code"] == "AccessDenied"
    if upload in path:
        _, _, content = send(service, method, path, bucket=OWN, body=PARTS, key=STRANGER)
        assert refusal(content)["Code"] == "NoSuchUpload"
    (part,) = client.list_parts(**place, UploadId=upload)["Part"]
    assert part["Size"] == "1"
    client.abort_multipart_upload(**place, UploadId=upload)


def test_jobs_with_ids_of_others(service: Server, victim: Victim) -> None:
    """A job cannot wait in another account's queue, nor take its template."""
    for extra, code in (
        (f"<QueueId>{victim.queue}</QueueId>", "QueueNotFound"),
        (f"<TemplateId>{victim.template}</TemplateId>", "TemplateNotFound"),
    ):
        body = submission(OWN, extra)
        if "Template" in extra:
            body = submission(OWN).replace(b"<Output>", f"{extra}<Output>".encode())
        _, _, content = send(service, "POST", "/jobs", bucket=OWN, kind="ci", body=body, key=STRANGER)
        assert refusal(content)["Code"] == code


@pytest.mark.parametrize(
    "path",
    [
        "/jobs/{job}",
        "/jobs?tag=NoiseReduction&nextToken={token}",
        "/jobs?tag=NoiseReduction&queueId={queue}",
        "/template?ids={template}",
        "/asrqueue?queueIds={queue}",
        "/asrbucket?bucketNames={bucket}",
    ],
)
def test_lists_tell_nothing_of_others(service: Server, victim: Victim, path: str) -> None:
    """Ids, names and tokens of another account find nothing."""
    path = path.format(**vars(victim))
    status, _, content = send(service, "GET", path, bucket=OWN, kind="ci", key=STRANGER)
    assert status == 200
    lists = {"JobsDetail", "TemplateList", "QueueList", "AsrBucketList"}
    assert not lists & {element.tag for element in ET.fromstring(content).iter()}
