"""How long POST /jobs takes, for clients whose connections stay open and whose requests are signed before."""

import asyncio
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from job_store import SHORT
from real_sound import RATE
from server import REGION, Server, ServerError
from sordino.wire.signature import SignedRequest, sign

PATH: Final = "/jobs"
BODY: Final = (
    f"<Request><Tag>NoiseReduction</Tag><Input><Object>{SHORT}</Object></Input><Operation>"
    f"<NoiseReduction><Format>wav</Format><SampleRate>{RATE}</SampleRate></NoiseReduction>"
    f"<Output><Region>{REGION}</Region><Bucket>%s</Bucket><Object>out/posted.wav</Object></Output>"
    "</Operation></Request>"
)
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


async def post(server: Server, bucket: str, clients: int, requests: int) -> Sequence[float]:
    """Submit so many jobs by each of so many clients; the seconds that each request took.

    Raises:
        ServerError: one is refused.
    """
    request = _request(server, bucket)
    found = await asyncio.gather(*(_client(server.port, request, requests) for _ in range(clients)))
    return [seconds for times in found for seconds in times]


async def _client(port: int, request: bytes, requests: int) -> Sequence[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return [await _timed(reader, writer, request) for _ in range(requests)]
    finally:
        writer.close()


async def _timed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> float:
    began = time.perf_counter()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    body = await reader.readexactly(int(length[1])) if length else b""
    if b" 200 " not in head[:16]:
        raise ServerError(f"A request was refused: {head[:40].decode()!r} {body[:300].decode()}")
    return time.perf_counter() - began


def _request(server: Server, bucket: str) -> bytes:
    host, now, key = f"{bucket}.ci.{REGION}.myqcloud.com", datetime.now(UTC), server.root_key
    authorization = sign(
        SignedRequest(method="POST", paths=[PATH], hosts=[host]),
        secret_id=key.secret_id,
        secret_key=key.secret_key,
        start=now - timedelta(minutes=1),
        end=now + timedelta(days=1),
    ).header
    content = (BODY % bucket).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n"
    return f"{head}Content-Type: application/xml\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content
