"""A set of noisy recordings with the clean one beside each, as a manifest lists them."""

import csv
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sordino.bench.errors import BenchError

MANIFEST: Final = "manifest.csv"
"""Its columns that count: ``file`` and ``clean`` (paths below its directory), ``id``, ``rate``, ``snr_db``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A recording twice.

    Attributes:
        name: the manifest's id; the same at another rate is another pair.
        rate: sample rate of both, Hz.
        snr: level of the speech over the noise, dB.
        noise: what the noise is; empty if the manifest does not tell.
        noisy: file.
        clean: file, aligned with it.
    """

    name: str
    rate: int
    snr: float
    noise: str
    noisy: Path
    clean: Path


def find(directory: Path, *, rates: Collection[int], limit: int | None = None) -> list[Pair]:
    """The pairs of a directory, in the manifest's order.

    Args:
        directory: where the manifest is.
        rates: sample rates wanted, Hz.
        limit: how many of each rate at most, spread evenly over the manifest; None: all.

    Raises:
        BenchError: there is no manifest, it lacks a column or a value, or it has no pair of these rates.
    """
    pairs = list(_read(directory))
    found = [pair for rate in sorted(rates) for pair in _spread([p for p in pairs if p.rate == rate], limit)]
    if not found:
        there = ", ".join(map(str, sorted({pair.rate for pair in pairs}))) or "no"
        raise BenchError(f"{directory} has no recordings at {', '.join(map(str, sorted(rates)))} Hz, but at {there} Hz")
    return found


def _read(directory: Path) -> Iterator[Pair]:
    path = directory / MANIFEST
    if not path.is_file():
        raise BenchError(f"there is no {path}")
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            try:
                yield _pair(directory, row)
            except (KeyError, ValueError, TypeError) as error:
                raise BenchError(f"{path}: a row lacks what is needed: {error!r}") from error


def _pair(directory: Path, row: dict[str, str]) -> Pair:
    return Pair(
        name=row["id"],
        rate=int(row["rate"]),
        snr=float(row["snr_db"]),
        noise=row.get("noise") or "",
        noisy=directory / row["file"],
        clean=directory / row["clean"],
    )


def _spread(pairs: list[Pair], limit: int | None) -> list[Pair]:
    if limit is None or limit >= len(pairs):
        return pairs
    return [pairs[index * len(pairs) // limit] for index in range(limit)]
