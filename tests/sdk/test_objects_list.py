"""Lists of objects and of buckets: pages, folders, the order of keys, and what clients ask of them."""

import time
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from qcloud_cos import CosS3Client, CosServiceError

from raw_http import refusal, send
from server import REGION, Server

KEYS = ["a", "a b", "a/1", "a/2/x", "a0", "b--c--1", "b--c--2", "b--d", "z%", "ä", "中/1", "中/2", "🎧", "\U0010ffff"]


@pytest.fixture(scope="module")
def client(service: Server) -> CosS3Client:
    """The SDK with the root key."""
    return service.client()


@pytest.fixture(scope="module")
def bucket(client: CosS3Client, new_bucket: Callable[[], str]) -> str:
    """A bucket with the objects ``KEYS``."""
    name = new_bucket()
    for key in KEYS:
        client.put_object(Bucket=name, Key=key, Body=b"x")
    return name


def pages(client: CosS3Client, bucket: str, **asked: Any) -> Iterator[dict[str, Any]]:
    """The pages of a list, as the SDK's documents walk through them."""
    marker = ""
    while True:
        reply = client.list_objects(Bucket=bucket, Marker=marker, **asked)
        yield reply
        if reply["IsTruncated"] == "false":
            assert "NextMarker" not in reply
            return
        marker = reply["NextMarker"]


def names(reply: dict[str, Any]) -> list[str]:
    """The keys and common prefixes of a page."""
    keys = [entry["Key"] for entry in reply.get("Contents", [])]
    return keys + [entry["Prefix"] for entry in reply.get("CommonPrefixes", [])]


@pytest.mark.parametrize("size", [1, 2, 5, 13, 14, 1000])
def test_pages(client: CosS3Client, bucket: str, size: int) -> None:
    """Pages of any size join to the whole, in the order of UTF-8, each as long as asked."""
    found = [names(page) for page in pages(client, bucket, MaxKeys=size)]
    assert [key for page in found for key in page] == sorted(KEYS, key=str.encode)
    assert all(len(page) == size for page in found[:-1])


@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize(
    ("delimiter", "folded"),
    [
        ("/", ["a", "a b", "a/", "a0", "b--c--1", "b--c--2", "b--d", "z%", "ä", "中/", "🎧", "\U0010ffff"]),
        ("--", ["a", "a b", "a/1", "a/2/x", "a0", "b--", "z%", "ä", "中/1", "中/2", "🎧", "\U0010ffff"]),
        ("中/", ["a", "a b", "a/1", "a/2/x", "a0", "b--c--1", "b--c--2", "b--d", "z%", "ä", "中/", "🎧", "\U0010ffff"]),
    ],
)
def test_folders(client: CosS3Client, bucket: str, size: int, delimiter: str, folded: list[str]) -> None:
    """A delimiter of any length folds keys, and a common prefix is on one page alone."""
    found = [name for page in pages(client, bucket, MaxKeys=size, Delimiter=delimiter) for name in names(page)]
    assert sorted(found, key=str.encode) == folded
    assert len(found) == len(set(found))


def test_below_a_prefix(client: CosS3Client, bucket: str) -> None:
    """A prefix need not end at a delimiter, and what is asked is told again."""
    assert names(client.list_objects(Bucket=bucket, Prefix="a")) == ["a", "a b", "a/1", "a/2/x", "a0"]
    reply = client.list_objects(Bucket=bucket, Prefix="b--c", Delimiter="--")
    assert names(reply) == ["b--c--"]
    assert (reply["Prefix"], reply["Delimiter"], reply["Name"]) == ("b--c", "--", bucket)
    assert names(client.list_objects(Bucket=bucket, Prefix="nothing")) == []


def test_after_a_marker(client: CosS3Client, bucket: str) -> None:
    """A list begins behind its marker, which need not be a key."""
    assert names(client.list_objects(Bucket=bucket, Marker="z%"))[0] == "ä"
    assert names(client.list_objects(Bucket=bucket, Marker="a/1x"))[0] == "a/2/x"
    assert names(client.list_objects(Bucket=bucket, Marker="a/", Delimiter="/"))[0] == "a0"


@pytest.mark.parametrize(("asked", "told"), [("0", "0"), ("1", "1"), ("1000", "1000"), ("1001", "1000"), ("", "1000")])
def test_sizes_of_pages(service: Server, bucket: str, asked: str, told: str) -> None:
    """A page of none is empty and whole, and none is longer than 1000."""
    root = ET.fromstring(send(service, "GET", f"/?max-keys={asked}", bucket=bucket)[2])
    assert root.findtext("MaxKeys") == told
    assert len(root.findall("Contents")) == min(int(told), len(KEYS))
    assert root.findtext("IsTruncated") == ("true" if told == "1" else "false")


@pytest.mark.parametrize(
    "query", ["max-keys=-1", "max-keys=x", "max-keys=1.5", f"max-keys={'9' * 99}", "encoding-type=b"]
)
def test_refused_lists(service: Server, bucket: str, query: str) -> None:
    """What cannot be meant is refused."""
    answer = send(service, "GET", f"/?{query}", bucket=bucket)
    assert (answer[0], refusal(answer[2])["Code"]) == (400, "InvalidArgument")


def test_what_an_entry_tells(client: CosS3Client, bucket: str) -> None:
    """Size, ETag, time, class and owner, in the forms of COS."""
    entry = client.list_objects(Bucket=bucket, MaxKeys=1)["Contents"][0]
    assert (entry["Key"], entry["Size"], entry["StorageClass"]) == ("a", "1", "STANDARD")
    assert entry["ETag"] == '"9dd4e461268c8034f5c8564e155c67a6"'
    assert entry["LastModified"].endswith("Z")
    assert entry["Owner"]["ID"] == bucket.rpartition("-")[2]


def test_characters_that_xml_does_not_have(service: Server, client: CosS3Client, new_bucket: Callable[[], str]) -> None:
    """Percent-encoded they are told; without that the list is well-formed, and they are replaced."""
    bucket, key = new_bucket(), "a\x01\x1f\ufffeb\r\n"
    client.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert names(client.list_objects(Bucket=bucket)) == [key]
    root = ET.fromstring(send(service, "GET", "/", bucket=bucket)[2])
    assert root.findtext("Contents/Key") == "a\ufffd\ufffd\ufffdb\r\n"
    root = ET.fromstring(send(service, "GET", "/?encoding-type=url", bucket=bucket)[2])
    assert root.findtext("Contents/Key") == "a%01%1F%EF%BF%BEb%0D%0A"


def test_location(client: CosS3Client, bucket: str) -> None:
    """A bucket tells its region."""
    assert client.get_bucket_location(Bucket=bucket)["LocationConstraint"] == REGION
    with pytest.raises(CosServiceError) as refused:
        client.get_bucket_location(Bucket=f"ghost{bucket}")
    assert refused.value.get_error_code() == "NoSuchBucket"


def found(reply: dict[str, Any]) -> list[str]:
    """The names of the buckets of a reply."""
    return [entry["Name"] for entry in (reply["Buckets"] or {"Bucket": []})["Bucket"]]


def test_pages_of_buckets(client: CosS3Client, bucket: str, new_bucket: Callable[[], str]) -> None:
    """Pages join to the whole, by name."""
    new_bucket()
    whole, paged, marker = found(client.list_buckets()), [], ""
    while True:
        reply = client.list_buckets(MaxKeys=1, Marker=marker)
        paged += found(reply)
        if reply["IsTruncated"] == "false":
            break
        marker = reply["NextMarker"]
    assert paged == whole == sorted(whole)
    assert bucket in whole


def test_buckets_of_a_region(client: CosS3Client, bucket: str) -> None:
    """Only those that lie there."""
    assert bucket in found(client.list_buckets(Region=REGION))
    assert bucket not in found(client.list_buckets(Region="ap-beijing"))


def test_buckets_by_tag_and_age(service: Server, client: CosS3Client, bucket: str) -> None:
    """No bucket has a tag, and each was made before tomorrow."""
    assert found(client.list_buckets(TagKey="a", TagValue="b")) == []
    tomorrow = int(time.time()) + 86400
    for compare, there in (("lt", True), ("lte", True), ("gt", False), ("gte", False)):
        assert (bucket in found(client.list_buckets(CreateTime=tomorrow, Range=compare))) is there
    for query in ("range=lt", "create-time=1", "range=eq&create-time=1", "range=lt&create-time=x"):
        assert send(service, "GET", f"/?{query}")[0] == 400
