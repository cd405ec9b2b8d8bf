"""How fast objects go in and out, beside moto's server and SeaweedFS, with one and the same client.

Usage: python scripts/bench_store.py [--megabytes 1000] [--objects 1000] [--rounds 3] [--only put,get,...]

The client is the official Python SDK. It signs requests to Sordino; the others take it as anonymous. All of them are
addressed by path, http://host/bucket/key. The stores take turns: whatever else the machine does meets them alike. The
last line is one JSON object with the figures.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

import stores
from server import exit_on_sigterm, new_room
from sordino.bench import machine, turns
from store_clients import Client, Clients, Deed, PathStyle, Task, clients
from stores import MOTO, SEAWEEDFS, SORDINO, Store

AIMS: Final[Mapping[str, float]] = {MOTO: 1.0, SEAWEEDFS: 0.5}
"""The least ratio of Sordino's rate to the other's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is measured: a deed, done to one large object or to many small ones."""

    name: str
    deed: Deed
    large: bool
    clients: int = 1

    @property
    def unit(self) -> str:
        """Of its rate."""
        return "MB/s" if self.large else "1/s"

    @property
    def writes(self) -> bool:
        """Whether the objects must be away before it."""
        return self.deed in (Deed.PUT, Deed.UPLOAD)

    @property
    def before(self) -> Deed:
        """How what it reads is written."""
        return Deed.UPLOAD if self.deed is Deed.DOWNLOAD else Deed.PUT


LOADS: Final = (
    Load(name="put", deed=Deed.PUT, large=True),
    Load(name="get", deed=Deed.GET, large=True),
    Load(name="upload_file", deed=Deed.UPLOAD, large=True),
    Load(name="download_file", deed=Deed.DOWNLOAD, large=True),
    Load(name="put-small-1", deed=Deed.PUT, large=False),
    Load(name="get-small-1", deed=Deed.GET, large=False),
    Load(name="put-small-8", deed=Deed.PUT, large=False, clients=8),
    Load(name="get-small-8", deed=Deed.GET, large=False, clients=8),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The figures of a load: rates by store, medians of the rounds; and ratios of Sordino to the others."""

    load: str
    unit: str
    rates: dict[str, float]
    ratios: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is sent: MB of the large object, number and KB of the small ones, and the parts of multipart uploads."""

    megabytes: int
    objects: int
    kilobytes: int
    part_megabytes: int
    threads: int


class Bench:
    """The loads on some stores, by some groups of clients."""

    def __init__(self, room: Path, sizes: Sizes, groups: Mapping[int, Clients]) -> None:
        self._sizes, self._groups = sizes, groups
        self._large = _random_file(room / "large", sizes.megabytes * 10**6)
        self._small = _random_file(room / "small", sizes.kilobytes * 1000)
        self._written: set[tuple[str, str]] = set()
        self._compared: set[tuple[str, str]] = set()

    def measure(self, load: Load, running: Sequence[Store], rounds: int) -> Line:
        """One load on all the stores in turns."""
        _tell(f"{load.name}, {rounds} rounds")
        taken = turns.take({store.name: partial(self._rate, load, store) for store in running}, rounds)
        names = [store.name for store in running]
        others = [name for name in names if name != SORDINO and SORDINO in names]
        return Line(
            load=load.name,
            unit=load.unit,
            rates={name: round(taken.median(name), 1) for name in names},
            ratios={name: round(taken.ratio(SORDINO, name), 3) for name in others},
        )

    def _rate(self, load: Load, store: Store) -> float:
        """MB or objects per second."""
        group = self._groups[load.clients]
        keys = self._keys(load)
        if load.writes:
            group.seconds(self._tasks(load, store, keys, Deed.REMOVE))
        elif (keys[0], store.name) not in self._written:
            group.seconds(self._tasks(load, store, keys, load.before))
        self._written.add((keys[0], store.name))
        seconds = group.seconds(self._tasks(load, store, keys, load.deed))
        return (self._sizes.megabytes if load.large else len(keys)) / seconds

    def _keys(self, load: Load) -> Sequence[str]:
        """Of what a load writes, or of what the load that writes the same has written."""
        if load.large:
            return [f"large/{'parts' if load.deed in (Deed.UPLOAD, Deed.DOWNLOAD) else 'whole'}"]
        return [f"small/{load.clients}/{number}" for number in range(self._sizes.objects)]

    def _tasks(self, load: Load, store: Store, keys: Sequence[str], deed: Deed) -> Sequence[Task]:
        return [
            Task(
                deed=deed,
                options=store.options,
                bucket=store.bucket,
                keys=keys[number :: load.clients],
                file=self._large if load.large else self._small,
                part_megabytes=self._sizes.part_megabytes,
                threads=self._sizes.threads,
                compare=self._is_first(load, store),
            )
            for number in range(load.clients)
        ]

    def _is_first(self, load: Load, store: Store) -> bool:
        """Whether the load was not done on this store before: once is enough to look at what comes back."""
        done = (load.name, store.name)
        first = done not in self._compared
        self._compared.add(done)
        return first


def _random_file(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        for start in range(0, size, 2**24):
            file.write(os.urandom(min(2**24, size - start)))
    return path


def start(stack: ExitStack, room: Path, names: Iterable[str]) -> list[Store]:
    """Start the stores that can be, each with an empty bucket; which cannot, and why, is told."""
    running = []
    for name in names:
        if lack := stores.missing(name):
            _tell(f"without {name}: {lack}")
            continue
        store = stack.enter_context(stores.STARTERS[name](room))
        Client(PathStyle(**store.options)).create_bucket(store.bucket)
        running.append(store)
    return running


def table(lines: Iterable[Line], running: Sequence[Store]) -> Table:
    """The figures, a line for each load."""
    shown = Table(title="Rates, medians of the rounds; ratios are medians of those within a round")
    names = [store.name for store in running]
    for heading in ("load", "", *names, *(f"{SORDINO}/{name}" for name in names if name != SORDINO)):
        shown.add_column(heading, justify="left" if heading in ("load", "") else "right")
    for line in lines:
        rates = (f"{line.rates[name]:.0f}" for name in names)
        shown.add_row(line.load, line.unit, *rates, *(_marked(name, ratio) for name, ratio in line.ratios.items()))
    return shown


def _marked(name: str, ratio: float) -> str:
    return f"{ratio:.2f}{'' if ratio >= AIMS.get(name, 0) else ' (!)'}"


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _names(known: Iterable[str], text: str) -> list[str]:
    """Names with commas between, of those that are known.

    Raises:
        argparse.ArgumentTypeError: another one is among them.
    """
    chosen, legal = text.split(","), list(known)
    if unknown := set(chosen) - set(legal):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(legal)}")
    return [name for name in legal if name in chosen]


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the large object")
    parser.add_argument("--objects", type=int, default=1000, help="number of small objects")
    parser.add_argument("--kilobytes", type=int, default=100, help="size of a small object")
    parser.add_argument("--part-megabytes", type=int, default=8, help="parts of upload_file and download_file")
    parser.add_argument("--threads", type=int, default=4, help="threads of the same")
    parser.add_argument("--rounds", type=int, default=3)
    loads = [load.name for load in LOADS]
    parser.add_argument("--only", type=partial(_names, loads), default=loads, help=f"some of {','.join(loads)}")
    every = list(stores.STARTERS)
    parser.add_argument("--stores", type=partial(_names, every), default=every, help=f"some of {','.join(every)}")
    return parser.parse_args(given)


def main() -> int:
    """Measure, and print table, memory, machine and figures."""
    exit_on_sigterm()
    chosen = arguments()
    sizes = Sizes(
        megabytes=chosen.megabytes,
        objects=chosen.objects,
        kilobytes=chosen.kilobytes,
        part_megabytes=chosen.part_megabytes,
        threads=chosen.threads,
    )
    loads = [load for load in LOADS if load.name in chosen.only]
    with ExitStack() as stack:
        room = stack.enter_context(new_room())
        groups = {count: stack.enter_context(clients(count)) for count in {load.clients for load in loads}}
        bench = Bench(room, sizes, groups)
        running = start(stack, room, chosen.stores)
        lines = [bench.measure(load, running, chosen.rounds) for load in loads]
        peaks = {store.name: round(store.peak_megabytes()) for store in running}
        totals = {store.name: round(store.all_megabytes()) for store in running}
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=120)
    console.print(table(lines, running))
    console.print(f"MB, peak of the process that answers: {_listed(peaks)}; all at the end: {_listed(totals)}")
    console.print(str(machine.describe()), soft_wrap=True)
    figures = {"lines": [asdict(line) for line in lines], "peak_mb": peaks, "all_mb": totals}
    print(json.dumps({"bench": "store", **asdict(sizes), **figures, "machine": asdict(machine.describe())}))
    return 0


def _listed(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {size}" for name, size in sizes.items())


if __name__ == "__main__":
    sys.exit(main())
