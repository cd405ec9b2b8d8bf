"""A recording before and after, in figures."""

import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from rich.table import Table

from measure import Samples, loud_level, noise_floor
from sordino.audio import dnsmos
from sordino.audio.order import Dnsmos
from sordino.bench.scores import opinions

RATE: Final = 16000
"""Sample rate of both sides, Hz."""
SHORTEST_SECONDS: Final = 1.0
"""What is shorter is not scored by DNSMOS, which would hear it over and over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What one side measured.

    Attributes:
        samples: float32, shape (n,), at `RATE`.
        noise: noise floor, dBFS.
        loud: level of the loud parts, dBFS.
        mos: None where the model of DNSMOS is not installed, and for less than `SHORTEST_SECONDS`.
    """

    samples: Samples
    noise: float
    loud: float
    mos: Dnsmos | None

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self.samples) / RATE

    @property
    def caption(self) -> str:
        """The figures in one line."""
        mos = f", DNSMOS overall {self.mos.overall:.2f}" if self.mos else ""
        return f"noise floor {self.noise:.1f} dBFS{mos}"


def measure(path: Path) -> Findings:
    """Measure a WAV file of one channel and 16 bits at `RATE`.

    Raises:
        wave.Error: it is not a WAV file of integers.
        ValueError: it has another rate, width or number of channels.
    """
    samples = _read(path)
    scored = len(samples) >= SHORTEST_SECONDS * RATE and dnsmos.find_model() is not None
    return Findings(
        samples=samples,
        noise=noise_floor(samples, RATE),
        loud=loud_level(samples, RATE),
        mos=opinions(samples) if scored else None,
    )


def _read(path: Path) -> Samples:
    with wave.open(str(path)) as file:
        if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, RATE):
            raise ValueError(f"{path} must have one channel of 16 bits at {RATE} Hz.")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / np.float32(32768)


def table(before: Findings, after: Findings) -> Table:
    """The figures of both sides and how they changed."""
    table = Table(box=None, padding=(0, 3, 0, 0))
    table.add_column("")
    for title in ("before", "after", "change"):
        table.add_column(title, justify="right")
    _row(table, "Noise floor, dBFS (10th percentile of frames)", before.noise, after.noise, ".1f")
    _row(table, "Loud parts, dBFS (95th percentile of frames)", before.loud, after.loud, ".1f")
    if before.mos and after.mos:
        _row(table, "DNSMOS P.835 speech (SIG, 1 to 5)", before.mos.signal, after.mos.signal, ".2f")
        _row(table, "DNSMOS P.835 background (BAK)", before.mos.background, after.mos.background, ".2f")
        _row(table, "DNSMOS P.835 overall (OVRL)", before.mos.overall, after.mos.overall, ".2f")
    _row(table, "Duration, s", before.seconds, after.seconds, ".3f")
    return table


def _row(table: Table, title: str, before: float, after: float, form: str) -> None:
    table.add_row(title, format(before, form), format(after, form), format(after - before, "+" + form))
