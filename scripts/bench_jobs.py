"""What the service does with many jobs: order, fairness, rates, latencies, overhead, passes, pauses, statements.

Usage: python scripts/bench_jobs.py [--waiting 100000] [--jobs 60] [--rounds 5] [--only priority,fairness,...]

Two servers of its own take turns: one with an empty queue, one with very many jobs waiting. Waiting jobs are written by
SQL, as if they had been submitted. The last line is one JSON object with the figures.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

import job_measures as measures
import passes
import statement_count
from job_measures import LARGE, SMALL
from job_store import LONG_SECONDS, JobStore
from posting import post
from real_sound import spoken
from server import START_SECONDS, Server, ServerError, exit_on_sigterm, launch, new_room
from sordino import logs
from sordino.bench import machine

KEPT: Final = 0.9
"""Share of the rate of short jobs that must be left with very many waiting."""

OVERHEAD: Final = 0.15
"""Share of the bare sound path that the rest of a job may take at most, at ten seconds of audio."""

ENGINES: Final = (None, "fast", "off")
"""Of short jobs; None: the server's."""

CLIENTS: Final = (1, 8)

QUEUED: Final = 50
"""Jobs that wait in each of the queues that a release pass chooses among."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured.

    Attributes:
        waiting: jobs of the long queue.
        behind: jobs that urgent ones are put before.
        urgent: how many those are.
        jobs: short jobs of a turn, and those whose latency is measured.
        rounds: turns of each.
        probes: single jobs beside the long queue.
        requests: of a client of POST /jobs.
        workers: of each server.
        queues: busy ones, among which a release pass chooses.
        accounts: whose they are.
        passes: of each.
    """

    waiting: int = 100_000
    behind: int = 10_000
    urgent: int = 20
    jobs: int = 50
    rounds: int = 5
    probes: int = 20
    requests: int = 300
    workers: int = field(default_factory=machine.cores)
    queues: int = 2000
    accounts: int = 50
    passes: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a figure should be, and whether it is."""

    name: str
    figure: str
    wanted: str
    held: bool


class Bench:
    """The servers, started when a measurement needs them; a context manager."""

    def __init__(self, sizes: Sizes, room: Path, stack: ExitStack) -> None:
        self._sizes, self._room, self._stack = sizes, room, stack
        self._since = 0.0

    @cached_property
    def small(self) -> JobStore:
        """A server with nothing to do."""
        server = self._stack.enter_context(served(self._room / SMALL, self._sizes))
        return self._stack.enter_context(_closed(JobStore(server, "small")))

    @cached_property
    def large(self) -> JobStore:
        """A server with a long queue."""
        server = self._stack.enter_context(served(self._room / LARGE, self._sizes))
        store = self._stack.enter_context(_closed(JobStore(server, "large")))
        self._since = store.pour(self._sizes.waiting)
        store.settle()
        return store

    def pickup(self) -> dict[str, Any]:
        """Latency from acceptance to beginning."""
        return asdict(measures.pickup(self.small, self._sizes.jobs))

    def overhead(self) -> dict[str, Any]:
        """The whole path beside the bare sound path."""
        audio = spoken(LONG_SECONDS)
        return asdict(measures.overhead(self.small, audio, LONG_SECONDS, 2 * self._sizes.rounds))

    def submission(self) -> dict[str, Any]:
        """Latency of POST /jobs."""
        stores = {SMALL: self.small, LARGE: self.large}
        return {
            name: {
                str(clients): asdict(measures.submission(store, clients, self._sizes.requests)) for clients in CLIENTS
            }
            for name, store in stores.items()
        }

    def priority(self) -> dict[str, Any]:
        """Urgent jobs before others."""
        sizes = self._sizes
        found = measures.priority(self.small, waiting=sizes.behind, urgent=sizes.urgent, workers=sizes.workers)
        return asdict(found) | {"holds": found.holds}

    def throughput(self) -> dict[str, Any]:
        """Rates of short jobs with few and with many waiting, by engine."""
        stores = {SMALL: self.small, LARGE: self.large}
        run = partial(measures.throughput, stores, jobs=self._sizes.jobs, rounds=self._sizes.rounds)
        return {engine or "default": asdict(run(engine)) for engine in ENGINES}

    def fairness(self) -> dict[str, Any]:
        """One job beside a long queue of another bucket."""
        crowd, sizes = self.large, self._sizes
        with _closed(JobStore(crowd.server, "single")) as single:
            found = measures.fairness(
                crowd,
                single,
                since=self._since,
                waiting=sizes.waiting,
                probes=sizes.probes,
                workers=sizes.workers,
            )
        return asdict(found) | {"holds": found.holds}

    def passes(self) -> dict[str, Any]:
        """A release pass with one busy queue and with very many."""
        sizes = self._sizes
        found = passes.passes(
            self._room / "passes",
            queues=sizes.queues,
            accounts=sizes.accounts,
            waiting=QUEUED,
            rounds=sizes.passes,
        )
        return asdict(found)

    def pause(self) -> dict[str, Any]:
        """Pausing and resuming the long queue."""
        return asdict(measures.pause(self.large, self._sizes.rounds))

    def statements(self) -> dict[str, Any]:
        """Statements of the database a job, one at a time and many at once."""
        data = self._room / "counted"
        with served(data, self._sizes) as server, JobStore(server, "first") as store:
            store.ask(statement_count.ENABLE)
        with served(data, self._sizes) as server, JobStore(server, "counted") as store:
            store.ask(statement_count.INSTALL)
            jobs = self._sizes.jobs
            alone = statement_count.count(store, jobs, lambda: _one_by_one(store, jobs))
            clients = max(CLIENTS)
            each = -(-jobs // clients)
            crowd = statement_count.count(store, each * clients, lambda: _at_once(store, each, clients))
        return {"one_by_one": asdict(alone), "at_once": asdict(crowd)}


def _one_by_one(store: JobStore, jobs: int) -> None:
    with store.open():
        for _ in range(jobs):
            store.await_ends([store.submit()])


def _at_once(store: JobStore, each: int, clients: int) -> None:
    since = store.now()
    with store.open():
        asyncio.run(post(store.server, store.bucket, clients, each))
        store.await_count(each * clients, since, level=0)


@contextmanager
def _closed(store: JobStore) -> Iterator[JobStore]:
    """The store, whose queue runs nothing outside of measurements."""
    with store:
        store.gate("Paused")
        store.await_idle()
        yield store


@contextmanager
def served(data: Path, sizes: Sizes) -> Iterator[Server]:
    """A server that is ready."""
    settings = {
        "SORDINO_WORKERS": str(sizes.workers),
        "SORDINO_LOG_FORMAT": "text",
        "SORDINO_QUEUE_MAX_SIZE": str(10 * sizes.waiting + 10**6),
    }
    server = launch(data, settings)
    try:
        server.wait_until(server.ready, START_SECONDS, "being ready")
        yield server
    finally:
        server.stop()


PARTS: Final[Mapping[str, Callable[[Bench], dict[str, Any]]]] = {
    "pickup": Bench.pickup,
    "overhead": Bench.overhead,
    "priority": Bench.priority,
    "submission": Bench.submission,
    "throughput": Bench.throughput,
    "fairness": Bench.fairness,
    "passes": Bench.passes,
    "pause": Bench.pause,
    "statements": Bench.statements,
}


def aims(found: Mapping[str, Any]) -> Iterator[Aim]:
    """What was aimed at, of what was measured."""
    if "priority" in found:
        it = found["priority"]
        yield Aim(
            name=f"{it['urgent']} urgent jobs before {it['waiting']} others",
            figure=f"overtaken by {it['overtaken_by']}",
            wanted=f"the {it['in_engine']} of the engine at most",
            held=it["holds"],
        )
    if "fairness" in found:
        it = found["fairness"]
        yield Aim(
            name=f"one job beside {it['waiting']} of another bucket",
            figure=f"{it['wait']['max']:.0f} ms at most",
            wanted=f"{it['allowed_ms']:.0f} ms",
            held=it["holds"],
        )
    for engine, it in found.get("throughput", {}).items():
        yield Aim(
            name=f"short jobs with many waiting, {engine}",
            figure=f"{it['kept']:.2f} of {it['small']:.1f} a second",
            wanted=f"{KEPT} at least",
            held=it["kept"] >= KEPT,
        )
    if "overhead" in found:
        it = found["overhead"]
        yield Aim(
            name=f"overhead at {it['audio_seconds']:g} s of audio",
            figure=f"{100 * it['over_library']:.1f} % over the library",
            wanted=f"{100 * OVERHEAD:g} %",
            held=it["over_library"] < OVERHEAD,
        )


def table(wanted: Iterator[Aim]) -> Table:
    """The aims, a line each."""
    shown = Table(title="Jobs")
    for heading in ("what", "figure", "aim", "held"):
        shown.add_column(heading)
    for aim in wanted:
        shown.add_row(aim.name, aim.figure, aim.wanted, "yes" if aim.held else "NO")
    return shown


def measure(sizes: Sizes, parts: list[str]) -> dict[str, Any]:
    """Measure the parts, in their order."""
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        bench = Bench(sizes, stack.enter_context(new_room()), stack)
        for part in parts:
            _tell(part)
            found[part] = PARTS[part](bench)
            _tell(json.dumps(found[part]))
    return found


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options() -> tuple[Sizes, list[str]]:
    sizes = Sizes()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in asdict(sizes).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--only", default=",".join(PARTS), help=f"with commas between: {', '.join(PARTS)}")
    chosen = vars(parser.parse_args())
    parts = chosen.pop("only").split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"--only knows no {', '.join(sorted(unknown))}")
    return Sizes(**chosen), [part for part in PARTS if part in parts]


def main() -> int:
    """Measure, and print table, machine and figures."""
    exit_on_sigterm()
    # Passes are made in this process, and tell of themselves on standard output unless they are told not to.
    logs.configure("text", "warning")
    sizes, parts = _options()
    try:
        found = measure(sizes, parts)
    except ServerError as error:
        print(f"bench-jobs: {error}", file=sys.stderr)
        return 1
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=120)
    console.print(table(aims(found)))
    console.print(str(machine.describe()), soft_wrap=True)
    print(json.dumps({"bench": "jobs", **asdict(sizes), **found, "machine": asdict(machine.describe())}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
