"""Uploads whose parts are copied from other objects, by the official Python SDK and as raw requests."""

from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest
from fastcrc import crc64
from qcloud_cos import CosS3Client

from raw_http import refusal, send
from server import REGION, Server

MEGABYTE = 1 << 20
CONTENT = bytes(range(251)) * (3 * MEGABYTE // 251 + 1)


@pytest.fixture
def client(service: Server) -> CosS3Client:
    """The SDK with the root key."""
    return service.client()


@pytest.fixture
def bucket(client: CosS3Client, new_bucket: Callable[[], str]) -> str:
    """A bucket with an object of three megabytes."""
    name = new_bucket()
    client.put_object(Bucket=name, Key="a b", Body=CONTENT)
    return name


def source(bucket: str, key: str = "a b") -> dict[str, str]:
    """A source as the SDK's users write it."""
    return {"Bucket": bucket, "Key": key, "Region": REGION}


def content(client: CosS3Client, bucket: str, key: str) -> bytes:
    """The bytes of an object."""
    return client.get_object(Bucket=bucket, Key=key)["Body"].get_raw_stream().read()


def test_parts_of_an_object(client: CosS3Client, bucket: str) -> None:
    """Parts that are copied, in any order and of any ranges, and parts that are sent make one object."""
    place = {"Bucket": bucket, "Key": "copy"}
    upload = client.create_multipart_upload(**place)["UploadId"]
    ranges = {2: f"bytes=0-{MEGABYTE - 1}", 1: f"bytes={MEGABYTE}-{2 * MEGABYTE}", 4: "bytes=7-7"}
    parts = {3: client.upload_part(**place, UploadId=upload, PartNumber=3, Body=b"x" * MEGABYTE)["ETag"]}
    for number, asked in ranges.items():
        copied = client.upload_part_copy(
            **place, UploadId=upload, PartNumber=number, CopySource=source(bucket), CopySourceRange=asked
        )
        assert copied["LastModified"].endswith("Z")
        parts[number] = copied["ETag"]
    named = [{"PartNumber": number, "ETag": parts[number]} for number in sorted(parts)]
    client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Part": named})
    expected = CONTENT[MEGABYTE : 2 * MEGABYTE + 1] + CONTENT[:MEGABYTE] + b"x" * MEGABYTE + CONTENT[7:8]
    assert content(client, bucket, "copy") == expected
    head = client.head_object(Bucket=bucket, Key="copy")
    assert head["x-cos-hash-crc64ecma"] == str(crc64.xz(expected))
    assert head["ETag"].endswith('-4"')


def test_a_large_copy_in_other_words(client: CosS3Client, bucket: str, new_bucket: Callable[[], str]) -> None:
    """Where the class changes the SDK copies what is large in parts, at once."""
    client._conf.set_copy_part_threshold_size(MEGABYTE)
    other = new_bucket()
    client.copy(Bucket=other, Key="copy", CopySource=source(bucket), PartSize=1, StorageClass="STANDARD_IA")
    assert content(client, other, "copy") == CONTENT
    assert client.head_object(Bucket=other, Key="copy")["x-cos-storage-class"] == "STANDARD_IA"


def test_a_copy_of_what_came_in_parts(client: CosS3Client, bucket: str) -> None:
    """It is told to be the same, by ETag and CRC, and so is a range of it."""
    client._conf.set_copy_part_threshold_size(MEGABYTE)
    client.copy(Bucket=bucket, Key="parts", CopySource=source(bucket), PartSize=1, StorageClass="ARCHIVE")
    copied = client.copy_object(Bucket=bucket, Key="copy", CopySource=source(bucket, "parts"))
    heads = [client.head_object(Bucket=bucket, Key=key) for key in ("parts", "copy")]
    assert heads[0]["ETag"] == heads[1]["ETag"] == copied["ETag"]
    assert heads[0]["x-cos-hash-crc64ecma"] == heads[1]["x-cos-hash-crc64ecma"] == copied["CRC64"]
    client.delete_object(Bucket=bucket, Key="parts")
    assert content(client, bucket, "copy") == CONTENT
    around = f"bytes={MEGABYTE - 2}-{MEGABYTE + 1}"
    part = client.get_object(Bucket=bucket, Key="copy", Range=around)["Body"].get_raw_stream().read()
    assert part == CONTENT[MEGABYTE - 2 : MEGABYTE + 2]


@pytest.mark.parametrize(
    ("target", "headers", "status", "code"),
    [
        ("/copy?partNumber=1&uploadId=ghost", {}, 404, "NoSuchUpload"),
        ("/copy?partNumber=0&uploadId={upload}", {}, 400, "InvalidArgument"),
        ("/copy?uploadId={upload}", {}, 400, "InvalidArgument"),
        ("/copy?partNumber=1&uploadId={upload}", {"x-cos-copy-source": "/{bucket}/ghost"}, 404, "NoSuchCopySource"),
        (
            "/copy?partNumber=1&uploadId={upload}",
            {"x-cos-copy-source-range": "bytes=0-9999999"},
            400,
            "InvalidArgument",
        ),
        ("/copy?partNumber=1&uploadId={upload}", {"x-cos-copy-source-range": "bytes=5-"}, 400, "InvalidArgument"),
        ("/copy?partNumber=1&uploadId={upload}", {"x-cos-copy-source-If-Match": '"x"'}, 412, "PreconditionFailed"),
    ],
)
def test_refused_parts(
    service: Server, client: CosS3Client, bucket: str, target: str, headers: dict[str, str], status: int, code: str
) -> None:
    """A part that cannot be copied is refused, and the upload has none."""
    upload = client.create_multipart_upload(Bucket=bucket, Key="copy")["UploadId"]
    asked = {"x-cos-copy-source": "/{bucket}/a%20b"} | headers
    asked = {name: value.format(bucket=bucket) for name, value in asked.items()}
    answer = send(service, "PUT", target.format(upload=upload), bucket=bucket, headers=asked)
    assert (answer[0], refusal(answer[2])["Code"]) == (status, code)
    parts = ET.fromstring(send(service, "GET", f"/copy?uploadId={upload}", bucket=bucket)[2])
    assert parts.findall("Part") == []


def test_nothing_is_replaced_by_an_upload_in_parts(service: Server, client: CosS3Client, bucket: str) -> None:
    """Who says so is told when the upload begins, and again when it is completed, if there is an object by then."""
    client.put_object(Bucket=bucket, Key="taken", Body=b"hello")
    forbid = {"x-cos-forbid-overwrite": "true"}
    answer = send(service, "POST", "/taken?uploads", bucket=bucket, headers=forbid)
    assert (answer[0], refusal(answer[2])["Code"]) == (409, "FileAlreadyExists")
    for key, status in (("taken", 409), ("new", 200)):
        place = {"Bucket": bucket, "Key": key}
        upload = client.create_multipart_upload(**place)["UploadId"]
        etag = client.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
        part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
        body = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
        answer = send(service, "POST", f"/{key}?uploadId={upload}", bucket=bucket, body=body, headers=forbid)
        assert answer[0] == status, answer
    assert content(client, bucket, "taken") == b"hello"
    assert content(client, bucket, "new") == b"x"
