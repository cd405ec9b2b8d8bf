"""Requests as they are written on the wire, signed by the server's own signer, and what comes back."""

import http.client
import re
import socket
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

from server import REGION, RootKey, Server
from sordino.wire.signature import SignedRequest, sign


def send(
    service: Server,
    method: str,
    path: str,
    *,
    bucket: str | None = None,
    kind: str = "cos",
    body: bytes = b"",
    headers: Mapping[str, str | list[str] | None] | None = None,
    signed: bool = True,
    key: RootKey | None = None,
    secret_key: str | None = None,
    shift: timedelta = timedelta(),
    query: tuple[tuple[str, str], ...] = (),
) -> tuple[int, dict[str, str], bytes]:
    """One raw request over its own connection; the status, the headers as sent and the body.

    A header of None is left out. A query in ``path`` is not signed. It is the root account's, if no ``key`` is given.
    """
    host = host_of(bucket, kind) if bucket else f"127.0.0.1:{service.port}"
    fields: dict[str, str | list[str] | None] = {"Host": host, "Content-Length": str(len(body))}
    fields |= headers or {}
    if signed:
        fields["Authorization"] = authorization(
            service,
            method,
            path.partition("?")[0],
            host if bucket else None,
            query,
            key=key,
            secret_key=secret_key,
            shift=shift,
        )
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in fields.items():
            for one in [value] if isinstance(value, str) else value or []:
                connection.putheader(name, one)
        connection.endheaders(body)
        reply = connection.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read()
    finally:
        connection.close()


def authorization(
    service: Server,
    method: str,
    path: str,
    host: str | None,
    query: tuple[tuple[str, str], ...] = (),
    *,
    key: RootKey | None = None,
    secret_key: str | None = None,
    shift: timedelta = timedelta(),
) -> str:
    """The Authorization header of a request for a decoded path, made a minute ago by the server's own signer."""
    now = datetime.now(UTC) + shift
    key = key or service.root_key
    return sign(
        SignedRequest(method=method, paths=[path], hosts=[host] if host else [], query=query),
        secret_id=key.secret_id,
        secret_key=secret_key or key.secret_key,
        start=now - timedelta(seconds=60),
        end=now + timedelta(seconds=600),
    ).header


def host_of(bucket: str, kind: str = "cos") -> str:
    """The host name of a bucket."""
    return f"{bucket}.{kind}.{REGION}.myqcloud.com"


def refusal(content: bytes) -> dict[str, str]:
    """The elements of an error body, all of which must have text."""
    root = ET.fromstring(content)
    assert root.tag == "Error"
    found = {child.tag: child.text or "" for child in root}
    assert all(found[name] for name in ("Code", "Message", "Resource", "RequestId", "TraceId")), found
    return found


def exchange(service: Server, raw: bytes) -> bytes:
    """Send bytes as they are, and return all that comes back until the server hangs up."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(raw)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def statuses(replies: bytes) -> list[int]:
    """The statuses of all replies of an exchange."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", replies)]
