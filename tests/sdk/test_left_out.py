"""What of COS is left out is refused as its page says, and never taken for something else."""

from collections.abc import Callable

import pytest

from left_out import PARTS, Row
from raw_http import refusal, send
from server import Server

CALLS = [row for part in PARTS for row in part.rows if not row.is_header]
HEADERS = [row for part in PARTS for row in part.rows if row.is_header]


@pytest.fixture
def bucket(service: Server, new_bucket: Callable[[], str]) -> str:
    """A bucket with an object."""
    name = new_bucket()
    send(service, "PUT", "/k", bucket=name, body=b"precious", headers={"x-cos-meta-a": "1"})
    return name


def check(answer: tuple[int, dict[str, str], bytes], row: Row) -> None:
    """It is the refusal that the page tells of."""
    told = refusal(answer[2])
    assert (answer[0], told["Code"]) == (row.status, row.code)
    assert len(told["Message"]) > 20


@pytest.mark.parametrize("row", CALLS, ids=lambda row: row.name)
def test_calls(service: Server, bucket: str, row: Row) -> None:
    """The refusal is the one that the page tells of, and leaves the object as it was."""
    method, _, target = row.name.partition(" ")
    check(send(service, method, target, bucket=bucket, body=b"" if method == "GET" else b"<x/>"), row)
    status, headers, body = send(service, "GET", "/k", bucket=bucket)
    assert (status, headers["x-cos-meta-a"], body) == (200, "1", b"precious")


@pytest.mark.parametrize("target", ["/k", "/k?uploads", "/copy"])
@pytest.mark.parametrize("row", HEADERS, ids=lambda row: row.name)
def test_headers(service: Server, bucket: str, row: Row, target: str) -> None:
    """An upload, one in parts or a copy that has the header is refused, and changes nothing."""
    name, _, value = row.name.partition(": ")
    headers = {name: value} | ({"x-cos-copy-source": f"/{bucket}/k"} if target == "/copy" else {})
    method = "POST" if target.endswith("uploads") else "PUT"
    check(send(service, method, target, bucket=bucket, headers=headers), row)
    assert send(service, "GET", "/k", bucket=bucket)[2] == b"precious"
    assert send(service, "HEAD", "/copy", bucket=bucket)[0] == 404


def test_unknown_headers(service: Server, bucket: str) -> None:
    """Empty ones count as absent, and calls that store nothing take any."""
    assert send(service, "PUT", "/k", bucket=bucket, headers={"x-cos-what-comes-next": ""})[0] == 200
    assert send(service, "GET", "/k", bucket=bucket, headers={"x-cos-what-comes-next": "1"})[0] == 200
