"""Copies of objects, by the official Python SDK and as other clients write them."""

from base64 import b64encode
from collections.abc import Callable
from hashlib import md5
from typing import Any

import pytest
from qcloud_cos import CosS3Client, CosServiceError

from people import People
from raw_http import refusal, send
from server import REGION, RootKey, Server

HELLO_CRC = "11177612005948864433"
HELLO_ETAG = '"5d41402abc4b2a76b9719d911017c592"'
DESCRIBED = {"ContentType": "audio/wav", "CacheControl": "no-cache", "Metadata": {"x-cos-meta-k": "v"}}
LONG_AGO, LONG_FROM_NOW = "Sat, 01 Jan 2000 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"


@pytest.fixture(scope="module")
def other(service: Server) -> RootKey:
    """The key of another account."""
    return People(service).account()


def source(bucket: str, key: str = "a b+/中.wav") -> dict[str, str]:
    """A source as the SDK's users write it."""
    return {"Bucket": bucket, "Key": key, "Region": REGION}


@pytest.fixture
def client(service: Server) -> CosS3Client:
    """The SDK with the root key."""
    return service.client()


@pytest.fixture
def bucket(client: CosS3Client, new_bucket: Callable[[], str]) -> str:
    """A bucket with an object to copy."""
    name = new_bucket()
    client.put_object(Bucket=name, Key="a b+/中.wav", Body=b"hello", StorageClass="STANDARD_IA", **DESCRIBED)
    return name


def content(client: CosS3Client, bucket: str, key: str) -> bytes:
    """The bytes of an object."""
    return client.get_object(Bucket=bucket, Key=key)["Body"].get_raw_stream().read()


def refused(send: Callable[[], Any]) -> tuple[int, str]:
    """Status and code that the server refuses with."""
    with pytest.raises(CosServiceError) as refusal:
        send()
    return refusal.value.get_status_code(), refusal.value.get_error_code()


def test_a_copy_is_the_same(client: CosS3Client, bucket: str) -> None:
    """Bytes, ETag, CRC, type, headers and metadata are the source's; the storage class is the request's own."""
    reply = client.copy_object(Bucket=bucket, Key="copy", CopySource=source(bucket))
    assert (reply["ETag"], reply["CRC64"]) == (HELLO_ETAG, HELLO_CRC)
    assert reply["LastModified"].endswith("Z")
    assert content(client, bucket, "copy") == b"hello"
    head = client.head_object(Bucket=bucket, Key="copy")
    assert (head["Content-Type"], head["Cache-Control"], head["x-cos-meta-k"]) == ("audio/wav", "no-cache", "v")
    assert (head["ETag"], head["x-cos-hash-crc64ecma"]) == (HELLO_ETAG, HELLO_CRC)
    assert "x-cos-storage-class" not in head


def test_a_copy_outlives_its_source(client: CosS3Client, bucket: str) -> None:
    """Deleting or replacing the source leaves the copy alone."""
    client.copy_object(Bucket=bucket, Key="copy", CopySource=source(bucket))
    client.put_object(Bucket=bucket, Key="a b+/中.wav", Body=b"other")
    assert content(client, bucket, "copy") == b"hello"
    client.delete_object(Bucket=bucket, Key="a b+/中.wav")
    assert content(client, bucket, "copy") == b"hello"


def test_a_copy_with_headers_of_its_own(client: CosS3Client, bucket: str) -> None:
    """With the directive Replaced everything but the bytes is the request's."""
    own = {"ContentType": "text/plain", "Metadata": {"x-cos-meta-other": "1"}, "StorageClass": "ARCHIVE"}
    client.copy_object(Bucket=bucket, Key="copy", CopySource=source(bucket), CopyStatus="Replaced", **own)
    head = client.head_object(Bucket=bucket, Key="copy")
    assert (head["Content-Type"], head["x-cos-meta-other"], head["x-cos-storage-class"]) == (
        "text/plain",
        "1",
        "ARCHIVE",
    )
    assert not {"Cache-Control", "x-cos-meta-k"} & set(head)


def test_to_another_bucket(client: CosS3Client, bucket: str, new_bucket: Callable[[], str]) -> None:
    """Buckets of one account are copied between."""
    other = new_bucket()
    client.copy(Bucket=other, Key="copy", CopySource=source(bucket))
    assert content(client, other, "copy") == b"hello"


def test_in_other_words(client: CosS3Client, bucket: str) -> None:
    """The SDK changes class and headers of an object by copies onto itself."""
    client.change_object_storage_class(Bucket=bucket, Key="a b+/中.wav", StorageClass="STANDARD")
    assert "x-cos-storage-class" not in client.head_object(Bucket=bucket, Key="a b+/中.wav")
    client.update_object_meta(Bucket=bucket, Key="a b+/中.wav", ContentType="text/html")
    assert client.head_object(Bucket=bucket, Key="a b+/中.wav")["Content-Type"] == "text/html"
    assert content(client, bucket, "a b+/中.wav") == b"hello"


def test_onto_itself_without_a_change(client: CosS3Client, bucket: str) -> None:
    """A copy that would change nothing is a mistake."""
    same = {"Bucket": bucket, "Key": "a b+/中.wav", "CopySource": source(bucket)}
    assert refused(lambda: client.copy_object(**same)) == (400, "InvalidArgument")


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"CopySourceIfMatch": HELLO_ETAG}, True),
        ({"CopySourceIfMatch": '"other"'}, False),
        ({"CopySourceIfNoneMatch": '"other"'}, True),
        ({"CopySourceIfNoneMatch": HELLO_ETAG}, False),
        ({"CopySourceIfModifiedSince": LONG_AGO}, True),
        ({"CopySourceIfModifiedSince": LONG_FROM_NOW}, False),
        ({"CopySourceIfUnmodifiedSince": LONG_FROM_NOW}, True),
        ({"CopySourceIfUnmodifiedSince": LONG_AGO}, False),
        ({"CopySourceIfMatch": HELLO_ETAG, "CopySourceIfUnmodifiedSince": LONG_AGO}, True),
    ],
    ids=str,
)
def test_conditions(client: CosS3Client, bucket: str, condition: dict[str, str], holds: bool) -> None:
    """A source that is not as the request wants it is not copied."""
    copy = {"Bucket": bucket, "Key": "copy", "CopySource": source(bucket)}
    if holds:
        client.copy_object(**copy, **condition)
    else:
        assert refused(lambda: client.copy_object(**copy, **condition)) == (412, "PreconditionFailed")
    assert client.object_exists(Bucket=bucket, Key="copy") == holds


def test_sources_that_are_not_there(client: CosS3Client, bucket: str, service: Server) -> None:
    """What is missing is told: the object, the bucket, or the bucket in that region."""
    copy = {"Bucket": bucket, "Key": "copy"}
    ghost = f"ghost-{service.root_key.appid}"
    elsewhere = source(bucket) | {"Region": "ap-beijing"}
    for wrong, code in (
        (source(bucket, "k"), "NoSuchCopySource"),
        (source(ghost), "NoSuchBucket"),
        (elsewhere, "NoSuchBucket"),
    ):
        assert refused(lambda wrong=wrong: client.copy_object(**copy, CopySource=wrong)) == (404, code)
    assert not client.object_exists(Bucket=bucket, Key="copy")


def test_a_copy_that_may_replace_nothing(client: CosS3Client, bucket: str, service: Server) -> None:
    """The first one is made, the second finds it there."""
    headers = {"x-cos-copy-source": f"/{bucket}/a%20b%2B/%E4%B8%AD.wav", "x-cos-forbid-overwrite": "true"}
    status, _, body = send(service, "PUT", "/copy", bucket=bucket, headers=headers)
    assert (status, HELLO_ETAG.encode() in body) == (200, True)
    status, _, body = send(service, "PUT", "/copy", bucket=bucket, headers=headers)
    assert (status, refusal(body)["Code"]) == (409, "FileAlreadyExists")


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ({"x-cos-metadata-directive": "Move"}, b"", "InvalidArgument"),
        ({}, b"bytes", "InvalidArgument"),
        ({"x-cos-storage-class": "GLACIER"}, b"", "InvalidArgument"),
        ({"x-cos-copy-source": "a%20b"}, b"", "InvalidArgument"),
        ({"x-cos-copy-source": "/{bucket}/k?versionId=MTg0"}, b"", "NotImplemented"),
        ({"x-cos-copy-source-server-side-encryption-customer-algorithm": "AES256"}, b"", "NotImplemented"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refused_copies(service: Server, bucket: str, headers: dict[str, str], body: bytes, code: str) -> None:
    """What a copy cannot be is refused with a code, and nothing is stored."""
    asked = {"x-cos-copy-source": "/{bucket}/a%20b%2B/%E4%B8%AD.wav"} | headers
    asked = {name: value.format(bucket=bucket) for name, value in asked.items()}
    answer = send(service, "PUT", "/copy", bucket=bucket, headers=asked, body=body)
    assert refusal(answer[2])["Code"] == code
    assert send(service, "HEAD", "/copy", bucket=bucket)[0] == 404


def test_an_empty_object(client: CosS3Client, bucket: str) -> None:
    """An object without a byte is copied, too."""
    client.put_object(Bucket=bucket, Key="empty", Body=b"")
    assert client.copy_object(Bucket=bucket, Key="copy", CopySource=source(bucket, "empty"))["CRC64"] == "0"
    assert content(client, bucket, "copy") == b""


def test_targets_of_others(service: Server, bucket: str, other: RootKey) -> None:
    """Nobody copies into, or deletes from, another account's bucket."""
    headers = {"x-cos-copy-source": f"/{bucket}/a%20b%2B/%E4%B8%AD.wav"}
    assert send(service, "PUT", "/copy", bucket=bucket, key=other, headers=headers)[0] == 403
    body = "<Delete><Object><Key>a b+/中.wav</Key></Object></Delete>".encode()
    headers = {"Content-MD5": b64encode(md5(body).digest()).decode()}
    assert send(service, "POST", "/?delete", bucket=bucket, key=other, body=body, headers=headers)[0] == 403
    kept = [entry["Key"] for entry in service.client().list_objects(Bucket=bucket)["Contents"]]
    assert kept == ["a b+/中.wav"]


def test_sources_of_others(service: Server, bucket: str, other: RootKey) -> None:
    """Another account copies what is open to everybody, and does not learn what else is there."""
    own = f"of-{bucket.partition('-')[0]}-{other.appid}"
    assert send(service, "PUT", "/", bucket=own, key=other)[0] == 200
    send(service, "PUT", "/open", bucket=bucket, body=b"hello", headers={"x-cos-acl": "public-read"})
    for key, status in (("a%20b%2B/%E4%B8%AD.wav", 403), ("ghost", 403), ("open", 200)):
        headers = {"x-cos-copy-source": f"/{bucket}/{key}"}
        assert send(service, "PUT", "/copy", bucket=own, key=other, headers=headers)[0] == status
    assert send(service, "GET", "/copy", bucket=own, key=other)[2] == b"hello"
