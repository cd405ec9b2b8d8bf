"""Every method of the official Python SDK that this product answers, in every way the SDK can be pointed at it."""

import io
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from qcloud_cos import CosClientError, CosS3Client, CosServiceError

from sdk.calls import Call, Mode, Sdk, of
from sdk.clients import SUFFIX, client_in, wildcard_dns
from server import REGION, Server
from support import job_body, wait_for_jobs

HELLO_CRC = "11177612005948864433"
CALLS = of(Sdk.PYTHON)


@dataclass(frozen=True)
class Bench:
    """A client in one mode, a bucket of its own, and a directory."""

    service: Server
    client: CosS3Client
    bucket: str
    room: Path

    @property
    def appid(self) -> str:
        """Of the account."""
        return self.service.root_key.appid

    def queue(self) -> dict[str, Any]:
        """The bucket's queue."""
        return self.client.ci_get_asr_queue(Bucket=self.bucket)["QueueList"][0]

    def set_queue(self, state: str, method: str = "ci_update_asr_queue") -> dict[str, Any]:
        """Change the state of the bucket's queue; the queue that the reply shows."""
        queue = self.queue()
        request = {"Name": "of-the-tests", "State": state, "NotifyConfig": {"State": "Off"}}
        update = getattr(self.client, method)
        (changed,) = update(Bucket=self.bucket, QueueId=queue["QueueId"], Request=request)["Queue"]
        return changed

    def submit(self, **change: object) -> dict[str, Any]:
        """Submit a job over an input that is not there; its JobsDetail."""
        body = job_body(self.bucket, "out.wav") | change
        return self.client.ci_create_media_jobs(Bucket=self.bucket, Jobs=body)["JobsDetail"][0]

    def template(self, name: str = "of-the-tests") -> dict[str, Any]:
        """Create a template; what the reply shows."""
        body = {"Tag": "NoiseReduction", "Name": name, "NoiseReduction": {"Format": "mp3", "Samplerate": "44100"}}
        return self.client.ci_create_template(Bucket=self.bucket, Template=body)["Template"]

    def put(self, key: str = "k") -> dict[str, str]:
        """Upload ``hello``."""
        return self.client.put_object(Bucket=self.bucket, Key=key, Body=b"hello", Metadata={"x-cos-meta-k": "v"})

    def source(self, key: str) -> dict[str, str]:
        """An object of the bucket as the source of a copy, at an address that is found in every mode."""
        return {"Bucket": self.bucket, "Key": key, "Endpoint": f"cos.{REGION}.{SUFFIX}:{self.service.port}"}

    def begin(self) -> str:
        """Begin an upload of ``a b`` in parts; its id."""
        return str(self.client.create_multipart_upload(Bucket=self.bucket, Key="a b")["UploadId"])

    def part(self, upload_id: str, number: int) -> dict[str, object]:
        """Upload ``hello`` as a part of it; what names it."""
        reply = self.client.upload_part(
            Bucket=self.bucket, Key="a b", Body=b"hello", PartNumber=number, UploadId=upload_id
        )
        assert reply["x-cos-hash-crc64ecma"] == HELLO_CRC
        return {"PartNumber": number, "ETag": reply["ETag"]}

    def file(self) -> Path:
        """A file that holds ``hello``."""
        path = self.room / "hello"
        path.write_bytes(b"hello")
        return path

    def fetch(self, url: str) -> bytes:
        """What a plain HTTP client gets for a URL of the cloud, its host being this server.

        Raises:
            CosServiceError: the server refuses.
        """
        parts = urllib.parse.urlsplit(url)
        request = urllib.request.Request(f"{self.service.url}{parts.path}?{parts.query}")
        request.add_header("Host", parts.netloc)
        try:
            with urllib.request.urlopen(request) as reply:
                return reply.read()
        except urllib.error.HTTPError as refusal:
            raise CosServiceError("GET", refusal.read().decode(), refusal.code) from None


Driver = Callable[[Bench], None]
DRIVERS: dict[str, Driver] = {}


def driver(drive: Driver) -> Driver:
    """Note who drives the method of that name."""
    DRIVERS[drive.__name__] = drive
    return drive


def ended(bench: Bench, job: dict[str, Any]) -> dict[str, Any]:
    """The job's JobsDetail at its end."""
    return wait_for_jobs(bench.client, bench.bucket, [job["JobId"]])[job["JobId"]]


@driver
def ci_create_media_jobs(bench: Bench) -> None:
    """A job is accepted and shown whole."""
    job = bench.submit()
    assert re.fullmatch("j[0-9a-f]{32}", job["JobId"])
    assert (job["State"], job["Code"], job["Tag"]) == ("Submitted", "Success", "NoiseReduction")
    assert job["Input"] == {"BucketId": bench.bucket, "Object": "in.wav", "Region": REGION}
    assert (job["QueueType"], job["StartTime"], job["EndTime"]) == ("Speeching", "-", "-")
    assert job["Operation"] == job_body(bench.bucket, "out.wav")["Operation"]


@driver
def ci_get_media_jobs(bench: Bench) -> None:
    """Jobs are found in the order asked, and ids of none are told."""
    jobs = [bench.submit()["JobId"] for _ in range(2)]
    reply = bench.client.ci_get_media_jobs(Bucket=bench.bucket, JobIDs=",".join([*jobs, "jnone"]))
    assert [job["JobId"] for job in reply["JobsDetail"]] == jobs
    assert reply["NonExistJobIds"] == "jnone"


@driver
def ci_list_media_jobs(bench: Bench) -> None:
    """Pages of jobs follow one another, the newest first."""
    jobs = [bench.submit()["JobId"] for _ in range(3)]
    page = bench.client.ci_list_media_jobs(Bucket=bench.bucket, Tag="NoiseReduction", Size=2)
    assert [job["JobId"] for job in page["JobsDetail"]] == jobs[:0:-1]
    last = bench.client.ci_list_media_jobs(Bucket=bench.bucket, Tag="NoiseReduction", NextToken=page["NextToken"])
    assert [job["JobId"] for job in last["JobsDetail"]] == jobs[:1]
    assert not last.get("NextToken")


@driver
def ci_cancel_jobs(bench: Bench) -> None:
    """A waiting job ends as cancelled."""
    bench.set_queue("Paused")
    job = bench.submit()
    assert bench.client.ci_cancel_jobs(Bucket=bench.bucket, JobID=job["JobId"]) == ""
    assert ended(bench, job)["State"] == "Cancel"


@driver
def ci_create_template(bench: Bench) -> None:
    """A template is made and shown whole."""
    template = bench.template("降噪_A-1*")
    assert re.fullmatch("t1[0-9a-f]{32}", template["TemplateId"])
    assert (template["Name"], template["State"], template["Tag"]) == ("降噪_A-1*", "Normal", "NoiseReduction")
    assert (template["BucketId"], template["Category"]) == (bench.bucket, "Custom")
    assert template["NoiseReduction"] == {"Format": "mp3", "Samplerate": "44100"}
    assert template["CreateTime"] == template["UpdateTime"]


@driver
def ci_update_template(bench: Bench) -> None:
    """A template is replaced; what was left out gets its default."""
    made = bench.template()
    body = {"Tag": "NoiseReduction", "Name": "changed", "NoiseReduction": {"Format": "wav"}}
    update = bench.client.ci_update_template(Bucket=bench.bucket, TemplateId=made["TemplateId"], Template=body)
    assert update["Template"]["TemplateId"] == made["TemplateId"]
    assert update["Template"]["Name"] == "changed"
    assert update["Template"]["NoiseReduction"] == {"Format": "wav", "Samplerate": "16000"}


@driver
def ci_get_template(bench: Bench) -> None:
    """Templates are found by the beginning of their name and by id."""
    made = bench.template()
    page = bench.client.ci_get_template(Bucket=bench.bucket, Name="of-")
    assert (page["TotalCount"], page["PageNumber"], page["PageSize"]) == ("1", "1", "10")
    assert page["TemplateList"] == [made]
    named = bench.client.ci_get_template(Bucket=bench.bucket, Ids=f"{made['TemplateId']},t1none")
    assert named["TemplateList"] == [made]
    assert named["NonExistTIDs"] == {"TemplateId": "t1none"}
    assert "TotalCount" not in named


@driver
def ci_delete_template(bench: Bench) -> None:
    """A template is gone afterwards."""
    made = bench.template()["TemplateId"]
    assert bench.client.ci_delete_template(Bucket=bench.bucket, TemplateId=made)["TemplateId"] == made
    assert bench.client.ci_get_template(Bucket=bench.bucket)["TotalCount"] == "0"


def check_queue(queue: dict[str, Any], bench: Bench) -> None:
    """Make sure that a queue is shown whole."""
    assert re.fullmatch("p[0-9a-f]{32}", queue["QueueId"])
    assert (queue["State"], queue["Category"], queue["BucketId"]) == ("Active", "Speeching", bench.bucket)
    assert int(queue["MaxSize"]) > 0
    assert int(queue["MaxConcurrent"]) > 0
    assert queue["NotifyConfig"]["State"] == "Off"


@driver
def ci_get_asr_queue(bench: Bench) -> None:
    """Queues are listed and found by id and state."""
    page = bench.client.ci_get_asr_queue(Bucket=bench.bucket)
    assert (page["TotalCount"], page["PageNumber"], page["PageSize"]) == ("1", "1", "10")
    (queue,) = page["QueueList"]
    check_queue(queue, bench)
    named = bench.client.ci_get_asr_queue(Bucket=bench.bucket, QueueIds=f"{queue['QueueId']},pnone")
    assert named["QueueList"] == [queue]
    assert named["NonExistPIDs"] == "pnone"
    assert "QueueList" not in bench.client.ci_get_asr_queue(Bucket=bench.bucket, State="Paused")


@driver
def ci_update_asr_queue(bench: Bench) -> None:
    """A queue gets another name and state."""
    queue = bench.set_queue("Paused")
    assert (queue["State"], queue["Name"]) == ("Paused", "of-the-tests")
    assert bench.queue()["State"] == "Paused"


@driver
def ci_get_media_queue(bench: Bench) -> None:
    """The same queue is seen at the media service's address."""
    (queue,) = bench.client.ci_get_media_queue(Bucket=bench.bucket)["QueueList"]
    assert queue == bench.queue()


@driver
def ci_update_media_queue(bench: Bench) -> None:
    """It can be changed there."""
    assert bench.set_queue("Paused", "ci_update_media_queue")["State"] == "Paused"
    assert bench.queue()["State"] == "Paused"


@driver
def ci_get_ai_queue(bench: Bench) -> None:
    """The same queue is seen at the AI service's address."""
    (queue,) = bench.client.ci_get_ai_queue(Bucket=bench.bucket)["QueueList"]
    assert queue["QueueId"] == bench.queue()["QueueId"]


@driver
def ci_update_ai_queue(bench: Bench) -> None:
    """It can be changed there."""
    assert bench.set_queue("Paused", "ci_update_ai_queue")["State"] == "Paused"
    assert bench.queue()["State"] == "Paused"


def listed(found: object) -> list[dict[str, Any]]:
    """The services of a reply, of which some methods of the SDK leave a single one without its list."""
    return found if isinstance(found, list) else [found]


def check_services(page: dict[str, Any], kind: str, bench: Bench) -> None:
    """Make sure that a list shows the bucket, and how many there are."""
    (found,) = listed(page[f"{kind}BucketList"])
    assert (found["Name"], found["BucketId"], found["Region"]) == (bench.bucket, bench.bucket, REGION)
    assert re.fullmatch(r"[0-9-]{10}T[0-9:]{8}[+-][0-9]{4}", found["CreateTime"])
    assert (page["TotalCount"], page["PageNumber"]) == ("1", "1")


@driver
def ci_get_asr_bucket(bench: Bench) -> None:
    """Buckets with the speech service are listed."""
    check_services(bench.client.ci_get_asr_bucket(BucketNames=bench.bucket), "Asr", bench)
    assert bench.client.ci_get_asr_bucket(Regions="ap-nowhere")["TotalCount"] == "0"


@driver
def ci_get_ai_bucket(bench: Bench) -> None:
    """Buckets with the AI service are listed."""
    check_services(bench.client.ci_get_ai_bucket(BucketNames=bench.bucket), "Ai", bench)


@driver
def ci_get_media_bucket(bench: Bench) -> None:
    """Buckets with the media service are listed."""
    check_services(bench.client.ci_get_media_bucket(BucketNames=bench.bucket), "Media", bench)


@driver
def ci_get_bucket(bench: Bench) -> None:
    """The general method lists them too."""
    check_services(bench.client.ci_get_bucket(BucketNames=bench.bucket, PageSize="1"), "Media", bench)


@driver
def ci_open_asr_bucket(bench: Bench) -> None:
    """The speech service is opened."""
    headers, reply = bench.client.ci_open_asr_bucket(Bucket=bench.bucket)
    assert headers["Content-Type"] == "application/xml"
    assert reply["AsrBucket"]["BucketId"] == bench.bucket


@driver
def ci_close_asr_bucket(bench: Bench) -> None:
    """The speech service is closed."""
    _, reply = bench.client.ci_close_asr_bucket(Bucket=bench.bucket)
    assert reply["BucketName"] == bench.bucket
    assert bench.client.ci_get_asr_bucket(BucketNames=bench.bucket)["TotalCount"] == "0"


@driver
def ci_open_ai_bucket(bench: Bench) -> None:
    """The AI service is opened."""
    _, reply = bench.client.ci_open_ai_bucket(Bucket=bench.bucket)
    assert reply["AiBucket"]["BucketId"] == bench.bucket


@driver
def ci_close_ai_bucket(bench: Bench) -> None:
    """The AI service is closed."""
    _, reply = bench.client.ci_close_ai_bucket(Bucket=bench.bucket)
    assert reply["BucketName"] == bench.bucket
    assert bench.client.ci_get_ai_bucket(BucketNames=bench.bucket)["TotalCount"] == "0"


@driver
def list_buckets(bench: Bench) -> None:
    """The account's buckets are listed with their region."""
    buckets = bench.client.list_buckets()["Buckets"]["Bucket"]
    assert (bench.bucket, REGION) in [(bucket["Name"], bucket["Location"]) for bucket in buckets]


@driver
def create_bucket(bench: Bench) -> None:
    """A bucket is made."""
    bench.service.client().delete_bucket(Bucket=bench.bucket)
    bench.client.create_bucket(Bucket=bench.bucket)
    assert bench.client.bucket_exists(Bucket=bench.bucket)


@driver
def head_bucket(bench: Bench) -> None:
    """A bucket tells its region."""
    assert bench.client.head_bucket(Bucket=bench.bucket)["x-cos-bucket-region"] == REGION


@driver
def bucket_exists(bench: Bench) -> None:
    """A bucket is there, and then is not."""
    assert bench.client.bucket_exists(Bucket=bench.bucket)
    bench.service.client().delete_bucket(Bucket=bench.bucket)
    assert not bench.client.bucket_exists(Bucket=bench.bucket)


@driver
def delete_bucket(bench: Bench) -> None:
    """A bucket is gone afterwards."""
    bench.client.delete_bucket(Bucket=bench.bucket)
    assert not bench.service.client().bucket_exists(Bucket=bench.bucket)


@driver
def list_objects(bench: Bench) -> None:
    """Keys of every kind are listed."""
    keys = ["a b+c", "中文/声"]
    for key in keys:
        bench.put(key)
    page = bench.client.list_objects(Bucket=bench.bucket)
    assert [entry["Key"] for entry in page["Contents"]] == keys
    assert (page["Name"], page["IsTruncated"]) == (bench.bucket, "false")


@driver
def put_object(bench: Bench) -> None:
    """An upload is answered with its digests."""
    reply = bench.put("a b+中(1)!")
    assert reply["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'
    assert reply["x-cos-hash-crc64ecma"] == HELLO_CRC


@driver
def put_object_from_local_file(bench: Bench) -> None:
    """A file is uploaded."""
    bench.client.put_object_from_local_file(Bucket=bench.bucket, LocalFilePath=str(bench.file()), Key="k")
    assert bench.client.head_object(Bucket=bench.bucket, Key="k")["Content-Length"] == "5"


@driver
def create_multipart_upload(bench: Bench) -> None:
    """An upload in parts begins."""
    reply = bench.client.create_multipart_upload(Bucket=bench.bucket, Key="a b+中")
    assert (reply["Bucket"], reply["Key"]) == (bench.bucket, "a b+中")
    assert re.fullmatch("[0-9]{13}[0-9a-f]{64}", reply["UploadId"])


@driver
def upload_part(bench: Bench) -> None:
    """A part is answered with its digests."""
    assert bench.part(bench.begin(), 1)["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'


@driver
def list_parts(bench: Bench) -> None:
    """The parts of an upload are listed."""
    upload_id = bench.begin()
    bench.part(upload_id, 7)
    page = bench.client.list_parts(Bucket=bench.bucket, Key="a b", UploadId=upload_id)
    assert [(part["PartNumber"], part["Size"]) for part in page["Part"]] == [("7", "5")]


@driver
def list_multipart_uploads(bench: Bench) -> None:
    """The uploads of a bucket are listed."""
    upload_id = bench.begin()
    page = bench.client.list_multipart_uploads(Bucket=bench.bucket, Prefix="a")
    assert [(it["Key"], it["UploadId"]) for it in page["Upload"]] == [("a b", upload_id)]


@driver
def complete_multipart_upload(bench: Bench) -> None:
    """The parts become the object."""
    upload_id = bench.begin()
    named = {"Part": [bench.part(upload_id, 2)]}
    made = bench.client.complete_multipart_upload(
        Bucket=bench.bucket, Key="a b", UploadId=upload_id, MultipartUpload=named
    )
    assert made["ETag"].endswith('-1"')
    assert made["x-cos-hash-crc64ecma"] == HELLO_CRC


@driver
def abort_multipart_upload(bench: Bench) -> None:
    """An upload is over."""
    upload_id = bench.begin()
    bench.client.abort_multipart_upload(Bucket=bench.bucket, Key="a b", UploadId=upload_id)
    assert "Upload" not in bench.client.list_multipart_uploads(Bucket=bench.bucket)


@driver
def upload_file_from_buffer(bench: Bench) -> None:
    """A stream is uploaded in parts."""
    content = b"hello" * 500_000
    bench.client.upload_file_from_buffer(Bucket=bench.bucket, Key="k", Body=io.BytesIO(content), PartSize=1)
    reply = bench.client.get_object(Bucket=bench.bucket, Key="k")
    assert reply["Body"].get_raw_stream().read() == content
    assert reply["ETag"].endswith('-3"')


@driver
def upload_file(bench: Bench) -> None:
    """A file of one part is uploaded with its MD5."""
    bench.client.upload_file(Bucket=bench.bucket, Key="k", LocalFilePath=str(bench.file()), EnableMD5=True)
    assert bench.client.head_object(Bucket=bench.bucket, Key="k")["Content-Length"] == "5"


@driver
def get_object(bench: Bench) -> None:
    """A part of an object is read."""
    bench.put()
    reply = bench.client.get_object(Bucket=bench.bucket, Key="k", Range="bytes=1-3")
    assert reply["Body"].get_raw_stream().read() == b"ell"
    assert reply["Content-Range"] == "bytes 1-3/5"


@driver
def download_file(bench: Bench) -> None:
    """An object is written to a file, and its checksum holds."""
    bench.put()
    target = bench.room / "copy"
    bench.client.download_file(Bucket=bench.bucket, Key="k", DestFilePath=str(target), EnableCRC=True)
    assert target.read_bytes() == b"hello"


@driver
def head_object(bench: Bench) -> None:
    """An object tells its size, checksum and metadata."""
    bench.put()
    head = bench.client.head_object(Bucket=bench.bucket, Key="k")
    assert (head["Content-Length"], head["x-cos-meta-k"]) == ("5", "v")
    assert head["x-cos-hash-crc64ecma"] == HELLO_CRC


@driver
def object_exists(bench: Bench) -> None:
    """An object is not there, and then is."""
    assert not bench.client.object_exists(Bucket=bench.bucket, Key="k")
    bench.put()
    assert bench.client.object_exists(Bucket=bench.bucket, Key="k")


@driver
def delete_object(bench: Bench) -> None:
    """An object is gone afterwards."""
    bench.put()
    bench.client.delete_object(Bucket=bench.bucket, Key="k")
    assert not bench.client.object_exists(Bucket=bench.bucket, Key="k")


@driver
def delete_objects(bench: Bench) -> None:
    """Several objects are gone afterwards, one of which was not there."""
    for key in ("a b", "中"):
        bench.put(key)
    named = {"Object": [{"Key": key} for key in ("a b", "中", "ghost")]}
    reply = bench.client.delete_objects(Bucket=bench.bucket, Delete=named)
    assert [entry["Key"] for entry in reply["Deleted"]] == ["a b", "中", "ghost"]
    assert "Contents" not in bench.client.list_objects(Bucket=bench.bucket)


@driver
def copy_object(bench: Bench) -> None:
    """A copy has the bytes and the metadata of its source."""
    bench.put("a b+中")
    made = bench.client.copy_object(Bucket=bench.bucket, Key="copy", CopySource=bench.source("a b+中"))
    assert (made["ETag"], made["CRC64"]) == ('"5d41402abc4b2a76b9719d911017c592"', HELLO_CRC)
    assert bench.client.head_object(Bucket=bench.bucket, Key="copy")["x-cos-meta-k"] == "v"


@driver
def copy(bench: Bench) -> None:
    """The SDK looks at the source before it is copied."""
    bench.put("a b+中")
    bench.client.copy(Bucket=bench.bucket, Key="copy", CopySource=bench.source("a b+中"))
    assert bench.client.head_object(Bucket=bench.bucket, Key="copy")["x-cos-hash-crc64ecma"] == HELLO_CRC


@driver
def upload_part_copy(bench: Bench) -> None:
    """A part is what the range of another object says."""
    bench.put("k")
    part = bench.client.upload_part_copy(
        Bucket=bench.bucket,
        Key="a b",
        UploadId=bench.begin(),
        PartNumber=1,
        CopySource=bench.source("k"),
        CopySourceRange="bytes=0-0",
    )
    assert part["ETag"] == f'"{md5(b"h").hexdigest()}"'


@driver
def change_object_storage_class(bench: Bench) -> None:
    """The class is another one afterwards."""
    bench.put()
    bench.client.change_object_storage_class(Bucket=bench.bucket, Key="k", StorageClass="STANDARD_IA")
    assert bench.client.head_object(Bucket=bench.bucket, Key="k")["x-cos-storage-class"] == "STANDARD_IA"


@driver
def update_object_meta(bench: Bench) -> None:
    """Type and metadata are others afterwards."""
    bench.put()
    bench.client.update_object_meta(Bucket=bench.bucket, Key="k", ContentType="text/x", Metadata={"x-cos-meta-n": "1"})
    head = bench.client.head_object(Bucket=bench.bucket, Key="k")
    assert (head["Content-Type"], head["x-cos-meta-n"], head.get("x-cos-meta-k")) == ("text/x", "1", None)


@driver
def get_bucket_location(bench: Bench) -> None:
    """A bucket tells its region."""
    assert bench.client.get_bucket_location(Bucket=bench.bucket) == {"LocationConstraint": REGION}


EVERYBODY = "http://cam.qcloud.com/groups/global/AllUsers"


@driver
def put_bucket_acl(bench: Bench) -> None:
    """A bucket is opened by its header, and closed again by a list."""
    bench.client.put_bucket_acl(Bucket=bench.bucket, ACL="public-read")
    opened = bench.client.get_bucket_acl(Bucket=bench.bucket)
    assert opened["CannedACL"] == "public-read"
    grants = [grant for grant in opened["AccessControlList"]["Grant"] if "ID" in grant["Grantee"]]
    closed = {"Owner": opened["Owner"], "AccessControlList": {"Grant": grants}}
    bench.client.put_bucket_acl(Bucket=bench.bucket, AccessControlPolicy=closed)
    assert bench.client.get_bucket_acl(Bucket=bench.bucket)["CannedACL"] == "private"


@driver
def get_bucket_acl(bench: Bench) -> None:
    """The owner has full control of a new bucket, and nobody else anything."""
    acl = bench.client.get_bucket_acl(Bucket=bench.bucket)
    assert acl["CannedACL"] == "private"
    (grant,) = acl["AccessControlList"]["Grant"]
    assert (grant["Grantee"]["ID"], grant["Permission"]) == (acl["Owner"]["ID"], "FULL_CONTROL")
    assert grant["Grantee"]["Type"] == "CanonicalUser"
    assert re.fullmatch(r"qcs::cam::uin/(\d+):uin/\1", acl["Owner"]["ID"])


@driver
def put_object_acl(bench: Bench) -> None:
    """An object is opened by a list, and left to its bucket again by its header."""
    bench.put()
    owner = bench.client.get_object_acl(Bucket=bench.bucket, Key="k")["Owner"]
    grant = {"Grantee": {"Type": "Group", "URI": EVERYBODY}, "Permission": "READ"}
    opened = {"Owner": {"ID": owner["ID"]}, "AccessControlList": {"Grant": [grant]}}
    bench.client.put_object_acl(Bucket=bench.bucket, Key="k", AccessControlPolicy=opened)
    assert bench.client.get_object_acl(Bucket=bench.bucket, Key="k")["CannedACL"] == "public-read"
    bench.client.put_object_acl(Bucket=bench.bucket, Key="k", ACL="default")
    assert bench.client.get_object_acl(Bucket=bench.bucket, Key="k")["CannedACL"] == "default"


@driver
def get_object_acl(bench: Bench) -> None:
    """An object tells the list it came with, or that it has none of its own."""
    for acl in ("private", "public-read", "default"):
        bench.client.put_object(Bucket=bench.bucket, Key=acl, Body=b"hello", ACL=acl)
        assert bench.client.get_object_acl(Bucket=bench.bucket, Key=acl)["CannedACL"] == acl


CORS_RULE = {
    "ID": "1234",
    "AllowedOrigin": ["http://www.example.com", "https://*.example.org"],
    "AllowedMethod": ["GET", "PUT"],
    "AllowedHeader": ["*"],
    "ExposeHeader": ["ETag", "x-cos-request-id"],
    "MaxAgeSeconds": "500",
}


@driver
def put_bucket_cors(bench: Bench) -> None:
    """Rules are put, and others in their place."""
    other = {"AllowedOrigin": ["*"], "AllowedMethod": ["HEAD"]}
    bench.client.put_bucket_cors(Bucket=bench.bucket, CORSConfiguration={"CORSRule": [CORS_RULE, other]})
    bench.client.put_bucket_cors(Bucket=bench.bucket, CORSConfiguration={"CORSRule": other})
    assert bench.client.get_bucket_cors(Bucket=bench.bucket)["CORSRule"] == [other]


@driver
def get_bucket_cors(bench: Bench) -> None:
    """Rules come back as they were put."""
    bench.client.put_bucket_cors(
        Bucket=bench.bucket, CORSConfiguration={"CORSRule": [CORS_RULE], "ResponseVary": "true"}
    )
    assert bench.client.get_bucket_cors(Bucket=bench.bucket) == {"CORSRule": [CORS_RULE], "ResponseVary": "true"}


@driver
def delete_bucket_cors(bench: Bench) -> None:
    """A bucket has no rules afterwards."""
    bench.client.put_bucket_cors(Bucket=bench.bucket, CORSConfiguration={"CORSRule": [CORS_RULE]})
    bench.client.delete_bucket_cors(Bucket=bench.bucket)
    with pytest.raises(CosServiceError) as refusal:
        bench.client.get_bucket_cors(Bucket=bench.bucket)
    assert refusal.value.get_error_code() == "NoSuchCORSConfiguration"


def policy_of(bench: Bench) -> dict[str, object]:
    """A policy of the bucket that opens reading to everybody, as COS's own examples write policies."""
    appid = bench.bucket.rpartition("-")[2]
    statement = {
        "Effect": "allow",
        "Principal": {"qcs": ["qcs::cam::anyone:anyone"]},
        "Action": ["name/cos:GetObject"],
        "Resource": [f"qcs::cos:{REGION}:uid/{appid}:{bench.bucket}/*"],
    }
    return {"Statement": [statement], "version": "2.0"}


@driver
def put_bucket_policy(bench: Bench) -> None:
    """A policy is put as an object and as text, and holds at once: what it denies it denies the owner, too."""
    bench.put()
    denial = json.dumps(policy_of(bench)).replace("allow", "deny")
    bench.client.put_bucket_policy(Bucket=bench.bucket, Policy=denial)
    with pytest.raises(CosServiceError) as refusal:
        bench.client.get_object(Bucket=bench.bucket, Key="k")
    assert refusal.value.get_error_code() == "AccessDenied"
    bench.client.put_bucket_policy(Bucket=bench.bucket, Policy=policy_of(bench))
    assert bench.client.get_object(Bucket=bench.bucket, Key="k")["Body"].get_raw_stream().read() == b"hello"


@driver
def get_bucket_policy(bench: Bench) -> None:
    """It comes back as it was put; a bucket without one says so."""
    with pytest.raises(CosServiceError) as refusal:
        bench.client.get_bucket_policy(Bucket=bench.bucket)
    assert (refusal.value.get_status_code(), refusal.value.get_error_code()) == (404, "NoSuchBucketPolicy")
    bench.client.put_bucket_policy(Bucket=bench.bucket, Policy=policy_of(bench))
    assert json.loads(bench.client.get_bucket_policy(Bucket=bench.bucket)["Policy"]) == policy_of(bench)


@driver
def delete_bucket_policy(bench: Bench) -> None:
    """A bucket has none afterwards; to remove it again is no mistake."""
    bench.client.put_bucket_policy(Bucket=bench.bucket, Policy=policy_of(bench))
    for _ in range(2):
        bench.client.delete_bucket_policy(Bucket=bench.bucket)
    with pytest.raises(CosServiceError) as refusal:
        bench.client.get_bucket_policy(Bucket=bench.bucket)
    assert refusal.value.get_error_code() == "NoSuchBucketPolicy"


@driver
def get_presigned_download_url(bench: Bench) -> None:
    """A signed URL downloads a part, too."""
    bench.put("a b")
    assert bench.fetch(bench.client.get_presigned_download_url(bench.bucket, "a b")) == b"hello"


@driver
def get_presigned_url(bench: Bench) -> None:
    """A signed URL downloads without the SDK."""
    bench.put("a b")
    assert bench.fetch(bench.client.get_presigned_url(bench.bucket, "a b", "GET")) == b"hello"


@driver
def ci_create_asr_job(bench: Bench) -> None:
    """Speech recognition is submitted."""
    bench.client.ci_create_asr_job(
        Bucket=bench.bucket,
        InputObject="in.wav",
        OutputBucket=bench.bucket,
        OutputRegion=REGION,
        OutputObject="out.txt",
        SpeechRecognition={"EngineModelType": "16k_zh"},
    )


@driver
def ci_get_asr_job(bench: Bench) -> None:
    """A job is found at the address of speech recognition, too."""
    job = bench.submit()["JobId"]
    assert bench.client.ci_get_asr_job(Bucket=bench.bucket, JobID=job)["JobsDetail"][0]["JobId"] == job


@driver
def ci_list_asr_jobs(bench: Bench) -> None:
    """Of speech recognition there are none: the SDK asks for no other tag."""
    bench.submit()
    assert "JobsDetail" not in bench.client.ci_list_asr_jobs(Bucket=bench.bucket)


def test_every_method_has_a_driver() -> None:
    """The table and the tests name the same methods, and all are of the SDK."""
    assert {call.name for call in CALLS} == set(DRIVERS)
    assert all(callable(getattr(CosS3Client, call.name)) for call in CALLS)


@pytest.fixture
def bench(service: Server, new_bucket: Callable[[], str], tmp_path: Path, mode: Mode) -> Iterator[Bench]:
    """A bucket of the test's own, reached in the mode of the test."""
    bucket = new_bucket()
    with wildcard_dns():
        yield Bench(service, client_in(mode, service, bucket), bucket, tmp_path)


def combinations(chosen: Callable[[Call, Mode], bool]) -> list[Any]:
    """The calls and modes for which ``chosen`` holds, named."""
    pairs = [(call, mode) for call in CALLS for mode in call.modes if chosen(call, mode)]
    return [pytest.param(call, mode, id=f"{call.name} {mode}") for call, mode in pairs]


@pytest.mark.parametrize(("call", "mode"), combinations(lambda call, mode: call.works(mode)))
def test_call(bench: Bench, call: Call, mode: Mode) -> None:
    """The method does what it is for."""
    DRIVERS[call.name](bench)


@pytest.mark.parametrize(("call", "mode"), combinations(lambda call, mode: bool(call.refused)))
def test_refused_call(bench: Bench, call: Call, mode: Mode) -> None:
    """A call of another product is refused with a code that says so, as the client's mistake."""
    with pytest.raises(CosServiceError) as refusal:
        DRIVERS[call.name](bench)
    assert refusal.value.get_error_code() == call.refused
    assert 400 <= refusal.value.get_status_code() < 500
    assert len(refusal.value.get_error_msg()) > 20


@pytest.mark.parametrize(
    ("call", "mode"), combinations(lambda call, mode: not call.refused and mode in call.impossible)
)
def test_impossible_call(bench: Bench, call: Call, mode: Mode) -> None:
    """A request that does not say which bucket it means is told so, at once, in words; others the SDK never sends."""
    if "sends nothing" in call.impossible[mode]:
        with pytest.raises(CosClientError):
            DRIVERS[call.name](bench)
        return
    with pytest.raises(CosServiceError) as refusal:
        DRIVERS[call.name](bench)
    assert (refusal.value.get_status_code(), refusal.value.get_error_code()) == (400, "InvalidHost")
    assert "bucket" in refusal.value.get_error_msg()
