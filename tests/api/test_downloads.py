"""Downloads whose bytes the kernel sends from the files of objects, and clients that do not wait for their end."""

import hashlib
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from qcloud_cos import CosS3Client

from raw_http import authorization, host_of, send
from server import Server

LARGE = 24 * 2**20
"""More than connections hold on their way."""


@pytest.fixture(scope="module")
def large() -> bytes:
    """Bytes that are not the same anywhere."""
    return os.urandom(LARGE)


def request(service: Server, bucket: str, key: str, headers: str = "") -> bytes:
    """A signed GET."""
    host = host_of(bucket)
    signature = authorization(service, "GET", f"/{key}", host)
    return f"GET /{key} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {signature}\r\n{headers}\r\n".encode()


@contextmanager
def connected(service: Server) -> Iterator[socket.socket]:
    """A connection that takes in little before it is read."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", service.port))
        yield connection


def reply(stream) -> tuple[bytes, bytes]:
    """Status line and body of a reply that says its length."""
    status, length = stream.readline(), 0
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    return status, stream.read(length)


def test_replies_follow_each_other(service: Server, new_bucket: Callable[[], str], large: bytes) -> None:
    """Whole objects, parts of them, empty ones and refusals come over one connection, in the order they were asked."""
    bucket = new_bucket()
    client = service.client()
    client.put_object(Bucket=bucket, Key="large", Body=large)
    client.put_object(Bucket=bucket, Key="empty", Body=b"")
    asked = [
        request(service, bucket, "large"),
        request(service, bucket, "empty"),
        request(service, bucket, "large", "Range: bytes=1000000-20000000\r\n"),
        request(service, bucket, "none"),
        request(service, bucket, "large", "Range: bytes=-1\r\n"),
    ]
    with connected(service) as connection, connection.makefile("rb") as stream:
        connection.sendall(b"".join(asked))
        assert reply(stream) == (b"HTTP/1.1 200 OK\r\n", large)
        assert reply(stream) == (b"HTTP/1.1 200 OK\r\n", b"")
        assert reply(stream) == (b"HTTP/1.1 206 Partial Content\r\n", large[1000000:20000001])
        assert reply(stream)[0] == b"HTTP/1.1 404 Not Found\r\n"
        assert reply(stream) == (b"HTTP/1.1 206 Partial Content\r\n", large[-1:])


def test_object_of_parts(service: Server, new_bucket: Callable[[], str], large: bytes, tmp_path: Path) -> None:
    """An object that was uploaded in parts comes whole, and so does a range that begins and ends inside of parts."""
    bucket, file = new_bucket(), tmp_path / "large"
    file.write_bytes(large)
    client = service.client()
    client.upload_file(bucket, "large", str(file), PartSize=5, MAXThread=3)
    assert body(client, bucket, "large") == large
    assert body(client, bucket, "large", Range="bytes=3000000-17000000") == large[3000000:17000001]


def body(client: CosS3Client, bucket: str, key: str, **options: str) -> bytes:
    """An object, or a part of it."""
    return client.get_object(bucket, key, **options)["Body"].get_raw_stream().read()


def test_deleted_while_it_is_sent(service: Server, new_bucket: Callable[[], str], large: bytes) -> None:
    """Who began to download an object gets all of it, though it is replaced and deleted meanwhile."""
    bucket = new_bucket()
    client = service.client()
    client.put_object(Bucket=bucket, Key="k", Body=large)
    with connected(service) as connection, connection.makefile("rb") as stream:
        connection.sendall(request(service, bucket, "k"))
        first = stream.read(1)
        client.put_object(Bucket=bucket, Key="k", Body=b"another")
        client.delete_object(Bucket=bucket, Key="k")
        for file in (service.data / "blobs").rglob("*"):
            if file.is_file() and file.stat().st_size == LARGE:
                file.unlink()
        _, content = reply(stream)
    assert first == b"H"
    assert hashlib.md5(content).digest() == hashlib.md5(large).digest()


def test_client_that_hangs_up(service: Server, new_bucket: Callable[[], str], large: bytes) -> None:
    """A connection that breaks in the middle of a download is no error of the server's, and leaves no file open."""
    bucket = new_bucket()
    service.client().put_object(Bucket=bucket, Key="k", Body=large)
    said = service.log.stat().st_size
    for _ in range(3):
        with connected(service) as connection:
            connection.sendall(request(service, bucket, "k"))
            connection.recv(100000)
            # Closed with a reset, as by a machine that is gone.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    service.wait_until(lambda: open_blobs(service) == 0, 30, "closing the files")
    assert send(service, "GET", "/k", bucket=bucket)[2] == large
    with service.log.open("rb") as log:
        log.seek(said)
        lines = log.read().decode(errors="replace")
    assert "broke" not in lines
    assert "Traceback" not in lines


def open_blobs(service: Server) -> int:
    """How many files of objects the API has open."""
    links = Path(f"/proc/{service.api[0]}/fd").iterdir()
    return sum(str(service.data / "blobs") in os.path.realpath(link) for link in links)


def test_file_that_lost_its_end(service: Server, new_bucket: Callable[[], str]) -> None:
    """A file that is shorter than its object, which a broken disk could do, ends the connection: nothing is made up."""
    bucket, size = new_bucket(), 1234567
    service.client().put_object(Bucket=bucket, Key="k", Body=os.urandom(size))
    (file,) = [path for path in (service.data / "blobs").rglob("*") if path.is_file() and path.stat().st_size == size]
    os.truncate(file, 1000)
    with connected(service) as connection, connection.makefile("rb") as stream:
        connection.sendall(request(service, bucket, "k"))
        _, content = reply(stream)
    assert len(content) == 1000
