"""Many objects deleted at once, by the official Python SDK and as raw requests."""

from base64 import b64encode
from collections.abc import Callable
from hashlib import md5

import pytest

from raw_http import refusal, send
from server import Server

KEYS = [" a ", "d//e", "f/../g", "<&>'\"", "100%", "中文/🎧", "trail/", "tab\tin", "line\nin"]


def test_with_the_sdk(service: Server, new_bucket: Callable[[], str]) -> None:
    """Each key is deleted and told, whether it was there or not; other objects stay."""
    client, bucket = service.client(), new_bucket()
    for key in (*KEYS, "stays"):
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
    named = [*KEYS, "never was"]
    reply = client.delete_objects(Bucket=bucket, Delete={"Quiet": "false", "Object": [{"Key": key} for key in named]})
    assert [entry["Key"] for entry in reply["Deleted"]] == named
    assert "Error" not in reply
    assert [entry["Key"] for entry in client.list_objects(Bucket=bucket)["Contents"]] == ["stays"]


def test_quietly(service: Server, new_bucket: Callable[[], str]) -> None:
    """Only what failed is told: nothing, or the key that is too long."""
    client, bucket = service.client(), new_bucket()
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    told = client.delete_objects(Bucket=bucket, Delete={"Quiet": "true", "Object": [{"Key": "k"}]})
    assert not {"Deleted", "Error"} & set(told)
    long = {"Quiet": "true", "Object": [{"Key": "k"}, {"Key": "k" * 851}]}
    reply = client.delete_objects(Bucket=bucket, Delete=long)
    assert [(entry["Key"], entry["Code"]) for entry in reply["Error"]] == [("k" * 851, "KeyTooLong")]
    assert not client.object_exists(Bucket=bucket, Key="k")


def test_a_thousand(service: Server, new_bucket: Callable[[], str]) -> None:
    """As many keys as a page of a listing has go in one call."""
    client, bucket = service.client(), new_bucket()
    client.put_object(Bucket=bucket, Key="k999", Body=b"x")
    objects = [{"Key": f"k{number}"} for number in range(1000)]
    assert len(client.delete_objects(Bucket=bucket, Delete={"Object": objects})["Deleted"]) == 1000
    assert not client.object_exists(Bucket=bucket, Key="k999")


def digest(body: bytes) -> str:
    """As Content-MD5 has it."""
    return b64encode(md5(body).digest()).decode()


ONE = b"<Delete><Object><Key>k</Key></Object></Delete>"


@pytest.mark.parametrize(
    ("body", "claimed", "code"),
    [
        (ONE, None, "MissingContentMD5"),
        (ONE, "nonsense", "InvalidDigest"),
        (ONE, digest(b"other"), "BadDigest"),
        (b"", digest(b""), "MissingRequestBodyError"),
        (b"<Delete/>", digest(b"<Delete/>"), "MalformedXML"),
        (b"<Delete>", digest(b"<Delete>"), "MalformedXML"),
        (b" " * (8 << 20) + ONE, digest(b" " * (8 << 20) + ONE), "EntityTooLarge"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_refused_requests(
    service: Server, new_bucket: Callable[[], str], body: bytes, claimed: str | None, code: str
) -> None:
    """A body that is damaged, or not what it should be, deletes nothing."""
    bucket = new_bucket()
    send(service, "PUT", "/k", bucket=bucket, body=b"x")
    answer = send(service, "POST", "/?delete", bucket=bucket, body=body, headers={"Content-MD5": claimed})
    assert (answer[0], refusal(answer[2])["Code"]) == (400, code)
    assert send(service, "HEAD", "/k", bucket=bucket)[0] == 200


def test_versions(service: Server, new_bucket: Callable[[], str]) -> None:
    """A key with a version fails, those beside it do not."""
    bucket = new_bucket()
    send(service, "PUT", "/k", bucket=bucket, body=b"x")
    body = ONE.replace(b"<Object>", b"<Object><Key>k</Key><VersionId>MTg0</VersionId></Object><Object>", 1)
    body = body.replace(b"<Object><Key>k</Key></Object>", b"<Object><Key>other</Key></Object>")
    answer = send(service, "POST", "/?delete", bucket=bucket, body=body, headers={"Content-MD5": digest(body)})
    assert answer[0] == 200
    assert b"<Deleted><Key>other</Key></Deleted>" in answer[2]
    assert b"<Error><Key>k</Key><Code>NotImplemented</Code>" in answer[2]
    assert send(service, "HEAD", "/k", bucket=bucket)[0] == 200
