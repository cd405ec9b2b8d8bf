"""Requests per second of the job calls, with few and with many stored jobs, beside the least that an API can be.

Usage: python scripts/bench_api.py [--jobs 100000] [--rounds 5] [--seconds 2] [--clients 1,16]

A server for each store is started: one with ten jobs, one with very many that have ended, one with very many that wait.
In turns each is asked for a while over connections that stay open, and so is a bare application that only answers. The
queue of the bench is paused: jobs are accepted and wait, and no worker takes the time of a core. What POST adds is
removed after each turn. The last line is one JSON object with the figures.
"""

import argparse
import asyncio
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql
from rich.console import Console
from rich.table import Table

from server import REGION, START_SECONDS, Server, ServerError, exit_on_sigterm, launch, new_room
from sordino.bench import machine, turns
from sordino.wire.signature import SignedRequest, sign

FEW: Final = 10
"""Jobs of the small store: what a page of a list holds."""

ECHO: Final = "echo"
TIMEOUT_SECONDS: Final = 30.0
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

QUEUE: Final = (
    "<Request><Name>queue-speech</Name><State>Paused</State><NotifyConfig><State>Off</State></NotifyConfig></Request>"
)
JOB: Final = (
    "<Request><Tag>NoiseReduction</Tag><Input><Object>input/demo.mp3</Object></Input><Operation>"
    "<NoiseReduction><Format>wav</Format><SampleRate>16000</SampleRate></NoiseReduction>"
    "<Output><Region>" + REGION + "</Region><Bucket>{bucket}</Bucket><Object>output/out.wav</Object></Output>"
    "<UserData>ticket-42</UserData><JobLevel>0</JobLevel></Operation></Request>"
)
COLUMNS: Final = """
SELECT column_name FROM information_schema.columns
 WHERE table_schema = 'sordino' AND table_name = 'jobs' AND is_generated = 'NEVER'
"""
# Copies of one job, a second apart.
COPY: Final = """
INSERT INTO sordino.jobs ({columns})
SELECT {values}
  FROM sordino.jobs AS job, generate_series(1, %(count)s) AS number, jsonb_populate_record(job, %(changes)s::jsonb ||
       jsonb_build_object('job_id', 'j' || md5(number::text), 'input_object', 'input/' || number || '.mp3',
                          'created_at', job.created_at - make_interval(secs => number))) AS copy
 WHERE job.job_id = %(job_id)s
"""
REMOVE_NEW: Final = "DELETE FROM sordino.jobs WHERE created_at > %(since)s"


class Store(StrEnum):
    """What a server has stored before it is asked."""

    SMALL = "small"
    ENDED = "ended"
    WAITING = "waiting"

    @property
    def changes(self) -> Mapping[str, object]:
        """What its jobs have that a job just accepted has not."""
        if self is Store.WAITING:
            return {}
        times = {"started_at": "2026-01-05T10:00:00Z", "ended_at": "2026-01-05T10:00:09Z"}
        return {"state": "Success", "progress": 100, "attempt": 1, **times}


class CallName(StrEnum):
    """The calls that are measured."""

    CREATE = "POST /jobs"
    LIST = "GET /jobs"
    ONE = "GET /jobs/<id>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Who is asked, and the bytes of each request, signed once for all."""

    port: int
    requests: Mapping[CallName, bytes]
    db: psycopg.Connection | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured: requests per second, and medians of the ratios within each round.

    Attributes:
        rates: by call, clients and store (or `ECHO`).
        store_ratios: those of the large stores over that of the small one.
        echo_shares: that of the small store over the bare application's.
    """

    rates: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    store_ratios: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    echo_shares: dict[str, dict[str, float]] = field(default_factory=dict)


class Bench:
    """One server with one store, ready to be asked."""

    def __init__(self, server: Server, store: Store, jobs: int) -> None:
        self._server, self._store = server, store
        self._key = server.root_key
        self._bucket = f"bench-{self._key.appid}"
        self._db = psycopg.connect(
            host=str(server.data / "postgres"), user="sordino", dbname="sordino", autocommit=True
        )
        self._job_id = self._furnish(FEW if store is Store.SMALL else jobs)

    def target(self) -> Target:
        """The server, and what to send it."""
        return Target(
            port=self._server.port,
            db=self._db,
            requests={
                CallName.CREATE: self._request("POST", "/jobs", body=JOB.replace("{bucket}", self._bucket)),
                CallName.LIST: self._request("GET", "/jobs", query="?tag=NoiseReduction&size=10"),
                CallName.ONE: self._request("GET", f"/jobs/{self._job_id}"),
            },
        )

    def close(self) -> None:
        """Let go of the database."""
        self._db.close()

    def _furnish(self, jobs: int) -> str:
        """Make bucket, paused queue and jobs; the id of one of them."""
        self._ask("PUT", "/", kind="cos")
        queue_id = self._told("QueueId", self._ask("GET", "/asrqueue"))
        self._ask("PUT", f"/asrqueue/{queue_id}", body=QUEUE)
        job_id = self._told("JobId", self._ask("POST", "/jobs", body=JOB.replace("{bucket}", self._bucket)))
        changes = json.dumps(self._store.changes)
        self._db.execute(self._copy(), {"changes": changes, "count": jobs, "job_id": job_id})
        self._db.execute("DELETE FROM sordino.jobs WHERE job_id = %s", [job_id])
        self._db.execute("VACUUM ANALYZE")
        row = self._db.execute("SELECT job_id FROM sordino.jobs ORDER BY created_at LIMIT 1").fetchone()
        assert row is not None
        return str(row[0])

    def _copy(self) -> sql.Composed:
        columns = [sql.Identifier(str(name)) for (name,) in self._db.execute(COLUMNS)]
        values = [sql.SQL("copy.{}").format(column) for column in columns]
        return sql.SQL(COPY).format(columns=sql.SQL(", ").join(columns), values=sql.SQL(", ").join(values))

    def _told(self, name: str, reply: bytes) -> str:
        match = re.search(rf"<{name}>(\w+)</{name}>", reply.decode())
        if match is None:
            raise ServerError(f"The reply has no {name}: {reply.decode()[:300]}")
        return match[1]

    def _ask(self, method: str, path: str, *, body: str = "", kind: str = "ci") -> bytes:
        request = self._request(method, path, body=body, kind=kind)
        return asyncio.run(_once(self._server.port, request))

    def _request(self, method: str, path: str, *, query: str = "", body: str = "", kind: str = "ci") -> bytes:
        host = f"{self._bucket}.{kind}.{REGION}.myqcloud.com"
        now = datetime.now(UTC)
        authorization = sign(
            SignedRequest(method=method, paths=[path], hosts=[host]),
            secret_id=self._key.secret_id,
            secret_key=self._key.secret_key,
            start=now - timedelta(minutes=1),
            end=now + timedelta(days=1),
        ).header
        head = f"{method} {path}{query} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n"
        content = body.encode()
        kind_of = "Content-Type: application/xml\r\n" if content else ""
        return f"{head}{kind_of}Content-Length: {len(content)}\r\n\r\n".encode() + content


async def _once(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await _exchange(reader, writer, request)
    finally:
        writer.close()


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    """Send a request and read its reply; the body.

    Raises:
        ServerError: it is not a 200.
    """
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    body = await reader.readexactly(int(length[1])) if length else b""
    if b" 200 " not in head[:16]:
        raise ServerError(f"A request was refused: {head[:40].decode()!r} {body[:300].decode()}")
    return body


async def _ask_for_a_while(port: int, request: bytes, clients: int, seconds: float) -> float:
    """Requests per second of so many clients, each with a connection of its own and one request at a time."""
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(clients)]
    began = time.perf_counter()
    deadline = began + seconds

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        count = 0
        while time.perf_counter() < deadline:
            await _exchange(reader, writer, request)
            count += 1
        return count

    async with asyncio.timeout(seconds + TIMEOUT_SECONDS):
        counts = await asyncio.gather(*(client(*stream) for stream in streams))
    elapsed = time.perf_counter() - began
    for _, writer in streams:
        writer.close()
    return sum(counts) / elapsed


def rate(target: Target, call: CallName, clients: int, seconds: float) -> float:
    """Requests per second; what they added is gone afterwards."""
    since = datetime.now(UTC)
    found = asyncio.run(_ask_for_a_while(target.port, target.requests[call], clients, seconds))
    if call is CallName.CREATE and target.db is not None:
        target.db.execute(REMOVE_NEW, {"since": since})
        target.db.execute("VACUUM sordino.jobs")
    return found


def measure(targets: Mapping[str, Target], clients: Sequence[int], rounds: int, seconds: float) -> Figures:
    """Ask all of them in turns, call by call."""
    found = Figures()
    for call in CallName:
        for count in clients:
            asked = {name: partial(rate, target, call, count, seconds) for name, target in targets.items()}
            _tell(f"{call} with {count} client{'s' if count > 1 else ''}, {rounds} rounds")
            _note(found, call, count, turns.take(asked, rounds))
    return found


def _note(found: Figures, call: CallName, clients: int, taken: turns.Turns) -> None:
    large = [store for store in (Store.ENDED, Store.WAITING) if store in taken.values]
    rates = {str(name): round(taken.median(name), 1) for name in taken.values}
    ratios = {str(store): round(taken.ratio(store, Store.SMALL), 3) for store in large}
    found.rates.setdefault(call, {})[str(clients)] = rates
    found.store_ratios.setdefault(call, {})[str(clients)] = ratios
    found.echo_shares.setdefault(call, {})[str(clients)] = round(taken.ratio(Store.SMALL, ECHO), 3)


@contextmanager
def served(room: Path, store: Store, jobs: int) -> Iterator[Bench]:
    """A server of its own with that store."""
    settings = {"SORDINO_WORKERS": "1", "SORDINO_LOG_FORMAT": "text", "SORDINO_QUEUE_MAX_SIZE": str(10 * jobs + 10**6)}
    server = launch(room / store.value, settings)
    try:
        server.wait_until(server.ready, START_SECONDS, "being ready")
        bench = Bench(server, store, jobs)
        _tell(f"the store {store} is ready")
        yield bench
        bench.close()
    finally:
        server.stop()


@contextmanager
def echoed(room: Path, like: Target) -> Iterator[Target]:
    """The bare application, which gives the answers of a server that it is like."""
    bodies, port = room / "bodies.json", _free_port()
    asked = {request.split(b" HTTP/", 1)[0].decode().partition("?")[0]: request for request in like.requests.values()}
    replies = {call: asyncio.run(_once(like.port, request)).decode() for call, request in asked.items()}
    bodies.write_text(json.dumps(replies))
    script = Path(__file__).with_name("echo_api.py")
    process = subprocess.Popen([sys.executable, script, "--port", str(port), bodies], stdin=subprocess.DEVNULL)
    try:
        _await_port(port, process)
        yield Target(port=port, requests=like.requests)
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _await_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise ServerError("The bare application does not start.")


def table(found: Figures) -> Table:
    """The figures, a line for each call and number of clients."""
    shown = Table(title="Requests per second, median of the rounds; ratios are medians of those within a round")
    for heading in ("call", "clients", ECHO, *Store, "ended/small", "waiting/small", "small/echo"):
        shown.add_column(heading, justify="left" if heading == "call" else "right")
    for call, by_clients in found.rates.items():
        for clients, rates in by_clients.items():
            ratios = found.store_ratios[call][clients]
            shown.add_row(
                call,
                clients,
                *(f"{rates[name]:.0f}" if name in rates else "-" for name in (ECHO, *Store)),
                *(f"{ratios[store]:.2f}" if store in ratios else "-" for store in (Store.ENDED, Store.WAITING)),
                f"{found.echo_shares[call][clients]:.2f}",
            )
    return shown


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100_000, help="stored jobs of the large stores")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each is asked in a round")
    parser.add_argument("--clients", default="1,16", help="numbers of clients, with commas between")
    return parser.parse_args()


def main() -> int:
    """Measure, and print table, machine and figures."""
    exit_on_sigterm()
    chosen = arguments()
    clients = [int(number) for number in chosen.clients.split(",")]
    with ExitStack() as stack:
        room = stack.enter_context(new_room())
        benches = {store: stack.enter_context(served(room, store, chosen.jobs)) for store in Store}
        targets = {str(store): bench.target() for store, bench in benches.items()}
        targets[ECHO] = stack.enter_context(echoed(room, targets[Store.SMALL]))
        found = measure(targets, clients, chosen.rounds, chosen.seconds)
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=120)
    console.print(table(found))
    console.print(str(machine.describe()), soft_wrap=True)
    print(json.dumps({"bench": "api", "jobs": chosen.jobs, **asdict(found), "machine": asdict(machine.describe())}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
