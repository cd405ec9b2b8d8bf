"""Break requests in every way a generator can think of, sign them, and see that each gets a proper answer.

Usage: python scripts/fuzz_requests.py [--count 20000] [--first 0] [--seed 0] [--keep DIR]

A server is started, and every request goes to it over a connection of its own. None may be answered with a 5xx (but
for NotImplemented, which names what this version does not offer), with half an error, or not at all; and the server
must be there in the end, with no line in its log that says that a request broke. The same seed makes the same requests.
The last line is one JSON object with the counts; what is wrong is an exit status of 1, and the bytes of such requests
are left in DIR.
"""

import argparse
import http.client
import json
import re
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree as ET

from broken_requests import CALLS, JOB, QUEUE, REGION, TEMPLATE, Draft, Room, Signing, draft
from server import START_SECONDS, Server, exit_on_sigterm, start_server
from sordino.wire.signature import SignedRequest, sign

TIMEOUT_SECONDS: Final = 60.0
PATIENCE_SECONDS: Final = 1.0
"""How long a reply to a spoiled head is waited for: such a head may announce a body that never comes."""

BROKE: Final = re.compile(r"request broke|reply broke|Exception in ASGI|Traceback")
ELEMENTS: Final = ("Code", "Message", "Resource", "RequestId", "TraceId")


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; ``stored`` says that the body is an object's, and as it was uploaded."""

    status: int
    body: bytes
    code: str = ""
    stored: bool = False


@dataclass(slots=True)
class Tally:
    """What came of the requests.

    Attributes:
        statuses: how often each was answered.
        codes: how often each was told.
        waited: requests whose spoiled head made the server wait for more.
        faults: what must not be, a line each.
        broke: lines of the server's log that tell of a broken request.
        slowest: name and milliseconds of the request that took longest.
    """

    requests: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    waited: int = 0
    faults: list[str] = field(default_factory=list)
    broke: int = 0
    alive: bool = True
    slowest: tuple[str, float] = ("", 0.0)
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether nothing happened that must not."""
        return self.alive and not self.faults and not self.broke


class FaultError(Exception):
    """The server did what it must not."""


class Fuzzer:
    """Sends the requests of one seed to one server."""

    def __init__(self, server: Server, keep: Path | None = None) -> None:
        self.tally = Tally()
        self._server = server
        self._port, self._key = server.port, server.root_key
        self._keep = keep
        self._now = datetime.now(UTC)
        self._room = Room(bucket=f"fuzz-{self._key.appid}", spare=f"fuzz-spare-{self._key.appid}")

    def run(self, numbers: range, seed: int) -> Tally:
        """Make and send the requests of those numbers."""
        read = len(self._log())
        self._furnish()
        began = time.monotonic()
        for number in numbers:
            self._try(draft(self._room, number, seed), f"{seed}-{number}")
            if self.tally.requests % 1000 == 0:
                print(f"{self.tally.requests} requests: {dict(sorted(self.tally.statuses.items()))}", flush=True)
        self.tally.seconds = round(time.monotonic() - began, 1)
        self.tally.broke = len(BROKE.findall(self._log()[read:]))
        self.tally.alive = self._server.ready()
        return self.tally

    def _log(self) -> str:
        return self._server.log.read_text(errors="replace")

    def _furnish(self) -> None:
        """Make what the requests speak of, as far as the server has it."""
        for bucket in (self._room.bucket, self._room.spare):
            self._ask("cos", "PUT", "/", bucket=bucket)
        for key in ("/in.wav", "/kept.wav"):
            self._ask("cos", "PUT", key, "no sound")
        paused = QUEUE.replace("{number}", "paused").replace("Active", "Paused").replace("On<", "Off<")
        found = {
            "queue": self._id("QueueId", "GET", "/asrqueue"),
            "paused": self._id("QueueId", "POST", "/queue", paused),
            "template": self._id("TemplateId", "POST", "/template", TEMPLATE.replace("{number}", "kept")),
        }
        self._room = Room(bucket=self._room.bucket, spare=self._room.spare, **{k: v for k, v in found.items() if v})
        order = JOB.replace("{operation}", "").replace("{bucket}", self._room.bucket)
        job = self._id("JobId", "POST", "/jobs", order.replace("{paused}", self._room.paused))
        self._room = Room(
            **{name: getattr(self._room, name) for name in Room.__slots__} | ({"job": job} if job else {})
        )

    def _id(self, name: str, method: str, path: str, body: str = "") -> str | None:
        match = re.search(rf"<{name}>(\w+)</{name}>", self._ask("ci", method, path, body).decode())
        return match[1] if match else None

    def _ask(self, kind: str, method: str, path: str, body: str = "", *, bucket: str | None = None) -> bytes:
        host = f"{bucket or self._room.bucket}.{kind}.{REGION}.myqcloud.com"
        made = Draft(name=path, method=method, host=host, path=path.encode(), body=body.encode())
        return self._send(made, self._bytes(made)).body

    def _try(self, made: Draft, number: str) -> None:
        """Send a request, judge the reply and count it."""
        content = self._bytes(made)
        began = time.monotonic()
        self.tally.requests += 1
        try:
            reply = self._send(made, content)
            _judge(made, reply)
        except TimeoutError:
            if made.spoil is None:
                self._fault(number, made, content, f"no reply within {TIMEOUT_SECONDS:.0f} s")
            self.tally.waited += 1
            return
        except (FaultError, OSError, http.client.HTTPException) as error:
            self._fault(number, made, content, f"{type(error).__name__}: {error}")
            return
        milliseconds = round((time.monotonic() - began) * 1000, 1)
        self.tally.slowest = max(self.tally.slowest, (made.name, milliseconds), key=lambda pair: pair[1])
        self.tally.statuses[str(reply.status)] += 1
        self.tally.codes[reply.code or "-"] += 1

    def _fault(self, number: str, made: Draft, content: bytes, what: str) -> None:
        self.tally.faults.append(f"{number} {made.name}: {what}"[:400])
        print(self.tally.faults[-1], flush=True)
        if self._keep is not None:
            self._keep.mkdir(parents=True, exist_ok=True)
            (self._keep / f"request-{number}").write_bytes(content)

    def _send(self, made: Draft, content: bytes) -> Reply:
        patience = TIMEOUT_SECONDS if made.spoil is None else PATIENCE_SECONDS
        with socket.create_connection(("127.0.0.1", self._port), timeout=patience) as connection:
            # The server may have answered, and hung up, before it had all.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(content)
            reply = http.client.HTTPResponse(connection, method="HEAD" if made.method == "HEAD" else "GET")
            reply.begin()
            body = reply.read()
        code = _code(body) if reply.status >= 400 and made.method != "HEAD" else ""
        return Reply(reply.status, body, code, stored="ETag" in reply.headers)

    def _bytes(self, made: Draft) -> bytes:
        """The request as it goes over the wire; signed, unless that is part of what is wrong with it."""
        fields = [("Content-Length", str(len(made.body)).encode()), *made.headers]
        if made.host is not None:
            fields.insert(0, ("Host", made.host.encode()))
        target, authorization = made.target, self._authorization(made)
        if made.signing is Signing.QUERY:
            target += (b"&" if made.query else b"?") + authorization
        elif made.signing is not Signing.NONE:
            fields.append(("Authorization", authorization))
        lines = [b"%s %s HTTP/1.1" % (made.method.encode(), target)]
        lines += [b"%s: %s" % (name.encode(), value) for name, value in fields]
        head = b"\r\n".join(lines) + b"\r\n\r\n"
        return (made.spoil(head) if made.spoil else head) + made.body

    def _authorization(self, made: Draft) -> bytes:
        path = re.sub(rb"^https?://[^/]*", b"", made.path, flags=re.IGNORECASE)
        request = SignedRequest(
            method=made.method,
            paths=[unquote_to_bytes(path).decode(errors="replace") or "/"],
            hosts=[made.host] if made.host else [],
        )
        header = sign(
            request,
            secret_id=self._key.secret_id,
            secret_key=self._key.secret_key,
            start=self._now - timedelta(minutes=1),
            end=self._now + timedelta(hours=10),
        ).header
        return header[:-5].encode() if made.signing is Signing.SPOILED else header.encode()


def _code(body: bytes) -> str:
    """The code of an error, all of whose elements must have text."""
    try:
        root = ET.fromstring(body)
    except ET.ParseError as error:
        raise FaultError(f"the error is no XML ({error}): {body[:80]!r}") from None
    found = {child.tag: child.text or "" for child in root}
    missing = [name for name in ELEMENTS if not found.get(name)]
    if root.tag != "Error" or missing:
        raise FaultError(f"the error lacks {missing}: {body[:200]!r}")
    return found["Code"]


def _judge(made: Draft, reply: Reply) -> None:
    if made.method == "HEAD" and reply.body:
        raise FaultError("a HEAD reply has a body")
    if reply.status >= 500 and (reply.status, reply.code or "NotImplemented") != (501, "NotImplemented"):
        raise FaultError(f"{reply.status} {reply.code}: {reply.body[:300]!r}")
    if reply.status < 400 and not reply.stored and reply.body.startswith(b"<?xml"):
        try:
            ET.fromstring(reply.body)
        except ET.ParseError as error:
            raise FaultError(f"the reply is no XML: {error}") from None


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first request")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz"), help="where requests are left that do harm")
    return parser.parse_args(words)


def main() -> int:
    """Fuzz, print what came of it, and tell by the exit status whether it was all in good order."""
    exit_on_sigterm()
    chosen = arguments()
    with start_server() as server:
        server.wait_until(server.ready, START_SECONDS, "being ready")
        tally = Fuzzer(server, chosen.keep).run(range(chosen.first, chosen.first + chosen.count), chosen.seed)
    print(f"{tally.requests} requests, each of {len(CALLS)} calls; slowest {tally.slowest[1]} ms: {tally.slowest[0]}")
    print(json.dumps({name: getattr(tally, name) for name in Tally.__slots__} | {"sound": tally.sound}))
    return 0 if tally.sound else 1


if __name__ == "__main__":
    sys.exit(main())
