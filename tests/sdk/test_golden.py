"""Requests of the Go, Java and PHP SDKs, byte for byte, to a running server over HTTP and HTTPS."""

import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from sdk.calls import Call, Mode, Sdk, of
from sdk.golden import READERS, WRITERS, Request, declared, go_query, go_reads, php_url
from sdk.signer import authorization
from server import REGION, Server, new_room
from support import clean_environment, job_body, start_service

CALLS = (*of(Sdk.GO), *of(Sdk.JAVA), *of(Sdk.PHP))


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes:
        status: of HTTP.
        headers: by name, in the case they were sent in.
        content: the body.
        sdk: whose parser reads it.
    """

    status: int
    headers: dict[str, str]
    content: bytes
    sdk: Sdk

    @property
    def read(self) -> Any:
        """What the SDK makes of the body."""
        return READERS[self.sdk](self.content)


@dataclass(frozen=True)
class Scene:
    """A server with a bucket whose queue is paused, so that jobs wait in it."""

    service: Server
    bucket: str
    queue: str
    mode: Mode

    def submit(self) -> str:
        """Submit a job; its id."""
        body = job_body(self.bucket, "o.wav")
        return self.service.client().ci_create_media_jobs(Bucket=self.bucket, Jobs=body)["JobsDetail"][0]["JobId"]

    def template(self) -> str:
        """Create a template; its id."""
        body = {"Tag": "NoiseReduction", "Name": "golden", "NoiseReduction": {"Format": "mp3"}}
        made = self.service.client().ci_create_template(Bucket=self.bucket, Template=body)
        return made["Template"]["TemplateId"]

    def output(self, target: str) -> str:
        """An Output element."""
        place = f"<Region>{REGION}</Region><Bucket>{self.bucket}</Bucket><Object>{target}</Object>"
        return f"<Output>{place}</Output>"

    def send(self, sdk: Sdk, request: Request) -> Reply:
        """Write the request as the SDK does."""
        host = self.host("cos" if request.is_object or request.is_cos else "ci")
        # Go signs and sends the port of the URL; the others are given the cloud's own hosts.
        named = f"{host}:{self.port}" if sdk is Sdk.GO else host
        return self.exchange(sdk, host, WRITERS[sdk](request, named, self.service.root_key))

    def exchange(self, sdk: Sdk, host: str, sent: bytes) -> Reply:
        """Send bytes to a host."""
        with self.connect(host) as connection:
            connection.sendall(sent)
            reply = HTTPResponse(connection)
            reply.begin()
            content = reply.read()
        return Reply(reply.status, dict(reply.getheaders()), content, sdk)

    def host(self, kind: str) -> str:
        """The bucket's host of a service."""
        return f"{self.bucket}.{kind}.{REGION}.myqcloud.com"

    @property
    def port(self) -> int:
        """Of the mode."""
        return tls_port(self.service) if self.mode is Mode.TLS else self.service.port

    def connect(self, host: str) -> socket.socket:
        """A connection, encrypted for that host where the mode says so."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        if self.mode is not Mode.TLS:
            return connection
        context = ssl.create_default_context(cafile=str(self.service.data / "tls" / "ca.pem"))
        return context.wrap_socket(connection, server_hostname=host)


def tls_port(service: Server) -> int:
    """Where it speaks TLS."""
    (said,) = [line for line in service.log.read_text().splitlines() if " and https://" in line]
    return int(said.partition(" and https://127.0.0.1:")[2].split()[0])


Golden = Callable[[Scene], None]
GOLDEN: dict[tuple[Sdk, str], Golden] = {}


def golden(sdk: Sdk, name: str) -> Callable[[Golden], Golden]:
    """Note who sends the request of a call."""

    def note(drive: Golden) -> Golden:
        GOLDEN[sdk, name] = drive
        return drive

    return note


@golden(Sdk.GO, "Object.Put")
def _go_put(scene: Scene) -> None:
    """``ObjectService.Put``: the slash of the key is encoded, and the checksum of the reply is required."""
    request = Request(method="PUT", path="/in/a b", raw_path="/in%2Fa%20b", content=b"hello", is_object=True)
    reply = scene.send(Sdk.GO, request)
    assert reply.status == 200
    assert reply.headers["x-cos-hash-crc64ecma"] == "11177612005948864433"
    assert scene.service.client().object_exists(Bucket=scene.bucket, Key="in/a b")


@golden(Sdk.GO, "Object.Copy")
def _go_copy(scene: Scene) -> None:
    """``ObjectService.Copy``: every slash of the source's key is encoded, too; without an ETag it is a failure."""
    scene.service.client().put_object(Bucket=scene.bucket, Key="in/a b", Body=b"hello")
    source = f"{scene.bucket}.cos.{REGION}.myqcloud.com/in%2Fa%20b"
    headers = {"X-Cos-Copy-Source": source, "X-Cos-Metadata-Directive": "Copy"}
    request = Request(method="PUT", path="/out/copy", raw_path="/out%2Fcopy", is_cos=True, headers=headers)
    reply = scene.send(Sdk.GO, request)
    assert reply.status == 200
    root = ET.fromstring(reply.content)
    assert (root.tag, root.findtext("ETag")) == ("CopyObjectResult", f'"{HELLO_MD5}"')
    assert scene.service.client().object_exists(Bucket=scene.bucket, Key="out/copy")


@golden(Sdk.GO, "Object.DeleteMulti")
def _go_delete_many(scene: Scene) -> None:
    """``ObjectService.DeleteMulti``: a struct with its MD5, in which Quiet is left out when it is false."""
    scene.service.client().put_object(Bucket=scene.bucket, Key="a b", Body=b"hello")
    body = b"<Delete><Object><Key>a b</Key></Object><Object><Key>ghost</Key></Object></Delete>"
    reply = scene.send(Sdk.GO, Request(method="POST", path="/", query="delete", content=body, is_cos=True))
    assert reply.status == 200
    assert [key.text for key in ET.fromstring(reply.content).findall("Deleted/Key")] == ["a b", "ghost"]
    assert not scene.service.client().object_exists(Bucket=scene.bucket, Key="a b")


PARTS_KEY = {"path": "/in/a b", "raw_path": "/in%2Fa%20b", "is_cos": True}
HELLO_MD5 = "5d41402abc4b2a76b9719d911017c592"


def _go_part(scene: Scene, upload_id: str) -> Reply:
    """Part 1 of an upload holds ``hello``."""
    query = f"partNumber=1&uploadId={upload_id}"
    return scene.send(Sdk.GO, Request(method="PUT", query=query, content=b"hello", is_object=True, **PARTS_KEY))


def _begun(scene: Scene) -> str:
    """The id of an upload of ``in/a b``."""
    return scene.service.client().create_multipart_upload(Bucket=scene.bucket, Key="in/a b")["UploadId"]


def _texts(reply: Reply, path: str) -> list[str | None]:
    """The texts of elements of a reply of COS."""
    assert reply.status == 200, reply.content
    return [element.text for element in ET.fromstring(reply.content).findall(path)]


@golden(Sdk.GO, "Object.InitiateMultipartUpload")
def _go_begin(scene: Scene) -> None:
    """Its ``?uploads`` has no value."""
    reply = scene.send(Sdk.GO, Request(method="POST", query="uploads", **PARTS_KEY))
    (upload_id,) = _texts(reply, "UploadId")
    assert _texts(reply, "Key") == ["in/a b"]
    assert _go_part(scene, str(upload_id)).status == 200


@golden(Sdk.GO, "Object.UploadPart")
def _go_upload_part(scene: Scene) -> None:
    """The checksum of the reply is required."""
    reply = _go_part(scene, _begun(scene))
    assert (reply.status, reply.headers["ETag"]) == (200, f'"{HELLO_MD5}"')
    assert reply.headers["x-cos-hash-crc64ecma"] == "11177612005948864433"


@golden(Sdk.GO, "Object.ListParts")
def _go_list_parts(scene: Scene) -> None:
    """It spells ``Encoding-type`` so."""
    upload_id = _begun(scene)
    _go_part(scene, upload_id)
    query = f"uploadId={upload_id}&Encoding-type=url&max-parts=5&part-number-marker=0"
    reply = scene.send(Sdk.GO, Request(method="GET", query=query, **PARTS_KEY))
    assert _texts(reply, "Part/PartNumber") == ["1"]
    assert (_texts(reply, "Key"), _texts(reply, "IsTruncated")) == (["in/a%20b"], ["false"])


@golden(Sdk.GO, "Object.CompleteMultipartUpload")
def _go_complete(scene: Scene) -> None:
    """encoding/xml writes the quotes of an ETag as numbers; the reply needs an ETag and the checksum."""
    upload_id = _begun(scene)
    _go_part(scene, upload_id)
    part = f"<Part><ETag>&#34;{HELLO_MD5}&#34;</ETag><PartNumber>1</PartNumber></Part>"
    body = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
    reply = scene.send(Sdk.GO, Request(method="POST", query=f"uploadId={upload_id}", content=body, **PARTS_KEY))
    (etag,) = _texts(reply, "ETag")
    assert str(etag).endswith('-1"')
    assert reply.headers["x-cos-hash-crc64ecma"] == "11177612005948864433"


@golden(Sdk.GO, "Object.AbortMultipartUpload")
def _go_abort(scene: Scene) -> None:
    """An upload is over, once."""
    request = Request(method="DELETE", query=f"uploadId={_begun(scene)}", **PARTS_KEY)
    assert [scene.send(Sdk.GO, request).status for _ in range(2)] == [204, 404]


@golden(Sdk.GO, "Object.ListUploads")
def _go_list_uploads(scene: Scene) -> None:
    """``?uploads`` comes first, and then the options."""
    upload_id = _begun(scene)
    query = "uploads&delimiter=%2F&encoding-type=url&max-uploads=1000&prefix=in%2F"
    reply = scene.send(Sdk.GO, Request(method="GET", path="/", query=query, is_cos=True))
    assert upload_id in _texts(reply, "Upload/UploadId")
    assert set(_texts(reply, "Upload/Key")) == {"in/a%20b"}


def _go_operation(scene: Scene, target: str) -> str:
    """``MediaProcessJobOperation``: NoiseReduction comes last, with ``Samplerate``."""
    order = "<NoiseReduction><Format>mp3</Format><Samplerate>44100</Samplerate></NoiseReduction>"
    return (
        f"<Operation><Tag>NoiseReduction</Tag>{scene.output(target)}<UserData>u</UserData>"
        f"<JobLevel>1</JobLevel>{order}</Operation>"
    )


@golden(Sdk.GO, "CI.CreateMediaJobs")
def _go_create(scene: Scene) -> None:
    """``CreateMediaJobsOptions``."""
    body = (
        "<Request><Tag>NoiseReduction</Tag><Input><Object>in.wav</Object></Input>"
        f"{_go_operation(scene, 'o.mp3')}<QueueId>{scene.queue}</QueueId><QueueType>Speeching</QueueType></Request>"
    )
    job = scene.send(Sdk.GO, Request(method="POST", path="/jobs", content=body.encode())).read["JobsDetail"]
    assert (job["State"], job["QueueId"], job["Operation"]["JobLevel"]) == ("Pause", scene.queue, "1")
    assert job["Operation"]["NoiseReduction"] == {"Format": "mp3", "Samplerate": "44100"}


@golden(Sdk.GO, "CI.CreateMultiMediaJobs")
def _go_create_several(scene: Scene) -> None:
    """``CreateMultiMediaJobsOptions``: no Tag at the top."""
    operations = "".join(_go_operation(scene, target) for target in ("a.mp3", "b.mp3"))
    body = f"<Request><Input><Object>in.wav</Object></Input>{operations}</Request>"
    jobs = scene.send(Sdk.GO, Request(method="POST", path="/jobs", content=body.encode())).read["JobsDetail"]
    assert [job["Operation"]["Output"]["Object"] for job in jobs] == ["a.mp3", "b.mp3"]


@golden(Sdk.GO, "CI.DescribeMediaJob")
def _go_describe(scene: Scene) -> None:
    """``DescribeMediaProcessJobResult``: one JobsDetail, NonExistJobIds one text."""
    job = scene.submit()
    read = scene.send(Sdk.GO, Request(method="GET", path=f"/jobs/{job}")).read
    assert (read["JobsDetail"]["JobId"], read.get("NonExistJobIds")) == (job, None)
    assert scene.send(Sdk.GO, Request(method="GET", path="/jobs/jnone")).read == {"NonExistJobIds": "jnone"}


@golden(Sdk.GO, "CI.DescribeMultiMediaJob")
def _go_describe_several(scene: Scene) -> None:
    """``DescribeMutilMediaProcessJobResult``: the commas are not encoded, NonExistJobIds is an element an id."""
    job = scene.submit()
    read = scene.send(Sdk.GO, Request(method="GET", path=f"/jobs/{job},jnone1,jnone2")).read
    assert read["JobsDetail"]["JobId"] == job
    assert read["NonExistJobIds"] == ["jnone1", "jnone2"]


@golden(Sdk.GO, "CI.DescribeMediaJobs")
def _go_list(scene: Scene) -> None:
    """``DescribeMediaJobsOptions``: sorted, empty ones left out, all of it signed."""
    jobs = [scene.submit() for _ in range(2)]
    query = go_query(
        tag="NoiseReduction",
        queueId=scene.queue,
        orderByTime="Asc",
        size=1,
        states="All",
        startCreationTime="2001-01-01T00:00:00+0800",
        inputObject="in.wav",
    )
    read = scene.send(Sdk.GO, Request(method="GET", path="/jobs", query=query)).read
    assert read["JobsDetail"]["JobId"] == jobs[0]
    assert read["NextToken"]


@golden(Sdk.GO, "CI.CancelJob")
def _go_cancel(scene: Scene) -> None:
    """A flag without a value, which is signed as an empty one."""
    request = Request(method="PUT", path=f"/jobs/{scene.submit()}", query="cancel")
    reply = scene.send(Sdk.GO, request)
    assert (reply.status, reply.content, reply.headers["Content-Length"]) == (200, b"", "0")


def _go_template(name: str, format_: str) -> bytes:
    """``CreateNoiseReductionTemplateOptions``."""
    order = f"<NoiseReduction><Format>{format_}</Format><Samplerate>16000</Samplerate></NoiseReduction>"
    return f"<Request><Tag>NoiseReduction</Tag><Name>{name}</Name>{order}</Request>".encode()


@golden(Sdk.GO, "CI.CreateNoiseReductionTemplate")
def _go_create_template(scene: Scene) -> None:
    """``CreateMediaTemplateResult``."""
    request = Request(method="POST", path="/template", content=_go_template("NoiseReduction-1", "wav"))
    template = scene.send(Sdk.GO, request).read["Template"]
    assert (template["Name"], template["BucketId"]) == ("NoiseReduction-1", scene.bucket)
    assert template["NoiseReduction"] == {"Format": "wav", "Samplerate": "16000"}


@golden(Sdk.GO, "CI.UpdateNoiseReductionTemplate")
def _go_update_template(scene: Scene) -> None:
    """The same body with PUT."""
    path = f"/template/{scene.template()}"
    request = Request(method="PUT", path=path, content=_go_template("NoiseReduction-2", "mp3"))
    assert scene.send(Sdk.GO, request).read["Template"]["NoiseReduction"]["Format"] == "mp3"


@golden(Sdk.GO, "CI.DescribeMediaTemplate")
def _go_templates(scene: Scene) -> None:
    """``DescribeMediaTemplateResult``: counts are ints."""
    made = scene.template()
    query = go_query(tag="NoiseReduction", pageNumber=1, pageSize=10)
    read = scene.send(Sdk.GO, Request(method="GET", path="/template", query=query)).read
    assert (read["TotalCount"], read["TemplateList"]["TemplateId"]) == ("1", made)


@golden(Sdk.GO, "CI.DeleteMediaTemplate")
def _go_delete_template(scene: Scene) -> None:
    """``DeleteMediaTemplateResult``."""
    made = scene.template()
    assert scene.send(Sdk.GO, Request(method="DELETE", path=f"/template/{made}")).read["TemplateId"] == made


@golden(Sdk.GO, "CI.DescribeASRProcessQueues")
def _go_queues(scene: Scene) -> None:
    """``DescribeMediaProcessQueuesResult``: MaxSize and MaxConcurrent are ints."""
    query = go_query(pageNumber=1, pageSize=2, state="Paused")
    queue = scene.send(Sdk.GO, Request(method="GET", path="/asrqueue", query=query)).read["QueueList"]
    assert (queue["QueueId"], queue["State"]) == (scene.queue, "Paused")
    assert int(queue["MaxSize"]) > int(queue["MaxConcurrent"]) > 0


@golden(Sdk.GO, "CI.UpdateMediaProcessQueue")
def _go_update_queue(scene: Scene) -> None:
    """``UpdateMediaProcessQueueOptions``: the id stands in the body, too, and the address is that of media queues."""
    body = (
        f"<Request><Name>go</Name><QueueID>{scene.queue}</QueueID><State>Active</State>"
        "<NotifyConfig><State>Off</State></NotifyConfig></Request>"
    )
    request = Request(method="PUT", path=f"/queue/{scene.queue}", content=body.encode())
    queue = scene.send(Sdk.GO, request).read["Queue"]
    assert (queue["QueueId"], queue["Name"], queue["State"]) == (scene.queue, "go", "Active")


@golden(Sdk.GO, "CI.CreateASRProcessBucket")
def _go_open(scene: Scene) -> None:
    """A POST without a body tells its length of 0."""
    read = scene.send(Sdk.GO, Request(method="POST", path="/asrbucket")).read
    assert read["AsrBucket"]["BucketId"] == scene.bucket


@golden(Sdk.GO, "CI.DescribeASRProcessBuckets")
def _go_services(scene: Scene) -> None:
    """``DescribeASRProcessBucketsResult``."""
    query = go_query(bucketNames=scene.bucket, pageNumber=1, pageSize=10, regions="All")
    read = scene.send(Sdk.GO, Request(method="GET", path="/asrbucket", query=query)).read
    assert (read["TotalCount"], read["AsrBucketList"]["Region"]) == ("1", REGION)


@golden(Sdk.JAVA, "createMediaJobs")
def _java_create(scene: Scene) -> None:
    """``CIMediaXmlFactory``: it knows no NoiseReduction, so its users name a template."""
    template = scene.template()
    body = (
        "<Request><Tag>NoiseReduction</Tag><Input><Object>in.wav</Object></Input><Operation>"
        f"<TemplateId>{template}</TemplateId><JobLevel>2</JobLevel><UserData>u</UserData>{scene.output('o.mp3')}"
        "</Operation></Request>"
    )
    read = scene.send(Sdk.JAVA, Request(method="POST", path="/jobs", content=body.encode())).read
    assert read["Response/JobsDetail/State"] == "Pause"
    assert read["Response/JobsDetail/Operation/TemplateId"] == template
    assert read["Response/JobsDetail/Operation/JobLevel"] == "2"


@golden(Sdk.JAVA, "describeMediaJob")
def _java_describe(scene: Scene) -> None:
    """``MediaJobResponseHandler`` reads one JobsDetail."""
    job = scene.submit()
    read = scene.send(Sdk.JAVA, Request(method="GET", path=f"/jobs/{job}")).read
    assert read["Response/JobsDetail/JobId"] == job
    assert read["Response/JobsDetail/Operation/Output/Bucket"] == scene.bucket


@golden(Sdk.JAVA, "describeMediaJobs")
def _java_list(scene: Scene) -> None:
    """Everything that is set comes in the query; the size is a number of the SDK's own default."""
    scene.submit()
    query = f"size=10&orderByTime=Desc&tag=NoiseReduction&queueId={scene.queue}&states=All"
    read = scene.send(Sdk.JAVA, Request(method="GET", path="/jobs", query=query)).read
    assert read["Response/JobsDetail/QueueId"] == scene.queue


@golden(Sdk.JAVA, "cancelMediaJob")
def _java_cancel(scene: Scene) -> None:
    """``COSClient.cancelMediaJob``: a PUT without a body and without ``?cancel``."""
    job = scene.submit()
    reply = scene.send(Sdk.JAVA, Request(method="PUT", path=f"/jobs/{job}"))
    assert (reply.status, reply.content) == (200, b"")
    found = scene.service.client().ci_get_media_jobs(Bucket=scene.bucket, JobIDs=job)["JobsDetail"][0]
    assert found["State"] == "Cancel"


@golden(Sdk.JAVA, "describeMediaQueues")
def _java_queues(scene: Scene) -> None:
    """The media service's address."""
    request = Request(method="GET", path="/queue", query=f"queueIds={scene.queue}&pageNumber=1&pageSize=10")
    assert scene.send(Sdk.JAVA, request).read["Response/QueueList/QueueId"] == scene.queue


@golden(Sdk.PHP, "createMediaNoiseReductionJobs")
def _php_create(scene: Scene) -> None:
    """``CreateMediaNoiseReductionJobs``: ``SampleRate``, in the order of the user's array."""
    order = "<NoiseReduction><Format>wav</Format><SampleRate>8000</SampleRate></NoiseReduction>"
    body = (
        "<Request><Tag>NoiseReduction</Tag><Input><Object>in.wav</Object></Input>"
        f"<Operation>{order}{scene.output('o.wav')}</Operation></Request>"
    )
    job = scene.send(Sdk.PHP, Request(method="POST", path="/jobs", content=declared(body))).read["JobsDetail"]
    assert job["Operation"]["NoiseReduction"] == {"Format": "wav", "SampleRate": "8000"}


@golden(Sdk.PHP, "describeMediaJob")
def _php_describe(scene: Scene) -> None:
    """One job is no list."""
    job = scene.submit()
    assert scene.send(Sdk.PHP, Request(method="GET", path=f"/jobs/{job}")).read["JobsDetail"]["JobId"] == job


def _php_template(name: str) -> bytes:
    order = "<NoiseReduction><Format>m4a</Format><Samplerate>48000</Samplerate></NoiseReduction>"
    return declared(f"<Request><Tag>NoiseReduction</Tag><Name>{name}</Name>{order}</Request>")


@golden(Sdk.PHP, "createMediaNoiseReductionTemplate")
def _php_create_template(scene: Scene) -> None:
    """``CreateMediaNoiseReductionTemplate``: ``Samplerate`` here."""
    request = Request(method="POST", path="/template", content=_php_template("php"))
    template = scene.send(Sdk.PHP, request).read["Template"]
    assert template["NoiseReduction"] == {"Format": "m4a", "Samplerate": "48000"}


@golden(Sdk.PHP, "updateMediaNoiseReductionTemplate")
def _php_update_template(scene: Scene) -> None:
    """The same body with PUT."""
    request = Request(method="PUT", path=f"/template/{scene.template()}", content=_php_template("php-2"))
    assert scene.send(Sdk.PHP, request).read["Template"]["Name"] == "php-2"


@golden(Sdk.PHP, "getAsrQueueList")
def _php_queues(scene: Scene) -> None:
    """Its query."""
    request = Request(method="GET", path="/asrqueue", query="state=Paused&pageNumber=1&pageSize=10")
    assert scene.send(Sdk.PHP, request).read["QueueList"]["QueueId"] == scene.queue


@golden(Sdk.PHP, "openAsrService")
def _php_open(scene: Scene) -> None:
    """A POST of nothing."""
    read = scene.send(Sdk.PHP, Request(method="POST", path="/asrbucket")).read
    assert read["AsrBucket"]["BucketId"] == scene.bucket


@golden(Sdk.PHP, "getObjectUrl")
def _php_url(scene: Scene) -> None:
    """``Signature::createPresignedUrl``."""
    scene.service.client().put_object(Bucket=scene.bucket, Key="k", Body=b"hello")
    host = scene.host("cos")
    reply = scene.exchange(Sdk.PHP, host, php_url("/k", host, scene.service.root_key))
    assert (reply.status, reply.content) == (200, b"hello")


@pytest.fixture(scope="module")
def both() -> Iterator[Server]:
    """A server with a port for HTTP and one for HTTPS."""
    with new_room() as directory:
        data = directory / "data"
        make_certificate(data)
        running = start_service(data, SORDINO_TLS_PORT="0", SORDINO_WORKERS="1")
        yield running
        assert running.stop() == 0


def make_certificate(data: Path) -> None:
    """As the administrator makes it."""
    command = [sys.executable, "-m", "sordino", "admin", "tls", "--data", str(data)]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def scene(both: Server, mode: Mode) -> Scene:
    """A bucket of the test's own on that server, with its queue paused."""
    client = both.client()
    bucket = f"golden{time.monotonic_ns()}-{both.root_key.appid}"
    client.create_bucket(Bucket=bucket)
    queue = client.ci_get_asr_queue(Bucket=bucket)["QueueList"][0]["QueueId"]
    paused = {"Name": "q", "State": "Paused", "NotifyConfig": {"State": "Off"}}
    client.ci_update_asr_queue(Bucket=bucket, QueueId=queue, Request=paused)
    return Scene(both, bucket, queue, mode)


def test_every_call_has_a_golden_request() -> None:
    """The table and the tests name the same calls."""
    assert {(call.sdk, call.name) for call in CALLS} == set(GOLDEN)


@pytest.mark.parametrize(
    ("call", "mode"),
    [
        pytest.param(call, mode, id=f"{call.sdk} {call.name} {mode}")
        for call in CALLS
        for mode in call.modes
        if call.works(mode)
    ],
)
def test_golden(scene: Scene, call: Call, mode: Mode) -> None:
    """The server understands the SDK's bytes, and the SDK's parser the reply."""
    GOLDEN[call.sdk, call.name](scene)


@pytest.mark.parametrize("mode", [Mode.HTTP])
@pytest.mark.parametrize("sdk", list(WRITERS))
def test_refusals_are_for_all_sdks(scene: Scene, sdk: Sdk, mode: Mode) -> None:
    """A refusal of CI carries COS's request id, too: PHP would repeat the request six times without it."""
    body = b"<Request><Tag>Transcode</Tag></Request>"
    reply = scene.send(sdk, Request(method="POST", path="/jobs", content=body))
    assert reply.status == 400
    assert reply.headers["x-cos-request-id"] == reply.headers["x-ci-request-id"]


def test_what_go_would_not_read() -> None:
    """The reader of Go's kind is as strict as Go: an int must be one, and the root must fit."""
    assert go_reads(b"<Response><TotalCount>1</TotalCount></Response>") == {"TotalCount": "1"}
    with pytest.raises(ValueError, match="MaxSize"):
        go_reads(b"<Response><Queue><MaxSize>many</MaxSize></Queue></Response>")
    with pytest.raises(ValueError, match="Error"):
        go_reads(b"<Error/>")


H = "examplebucket-1250000000.ci.ap-guangzhou.myqcloud.com"
VECTORS = [
    (
        ("POST", "/jobs", ()),
        (("Content-Length", "166"), ("Content-Type", "application/xml"), ("Host", H)),
        "08c06974be4631481fea6ee4bc32f25312f1955a",
    ),
    (
        (
            "GET",
            "/jobs",
            (
                ("tag", "NoiseReduction"),
                ("orderByTime", "Desc"),
                ("states", "All"),
                ("size", "10"),
                ("nextToken", ""),
                ("startCreationTime", "2001-01-01T00:00:00+0800"),
            ),
        ),
        (("Host", H),),
        "5d404561d20c85be2691de1b11d5a685c5bcd7bd",
    ),
    (
        ("PUT", "/in/a b+中(1)!.wav", ()),
        (
            ("Content-Length", "5"),
            ("Content-Type", "audio/wav"),
            ("Host", H.replace(".ci.", ".cos.")),
            ("x-cos-meta-k", "v 1*'()~"),
        ),
        "1036dad7929238134f061f9fbfa8173591643b14",
    ),
]
"""Signatures of the official Python SDK, its clock held at 1700000000."""


@pytest.mark.parametrize(("request_line", "headers", "signature"), VECTORS)
def test_the_signer_of_the_tests(request_line, headers, signature: str) -> None:
    """It signs as the official SDK does."""
    method, path, query = request_line
    value = authorization(
        "AKIDEXAMPLE0000000000000000000000001",
        "SecretKeyExample000000000000001",
        method=method,
        path=path,
        query=query,
        headers=headers,
        start=1699999940,
        end=1700003600,
    )
    assert value.endswith(f"&q-signature={signature}")
