"""A recording before and after, in figures."""

import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from sordino.audio import dnsmos
from sordino.audio.order import SoundQuality
from sordino.audio.quality import QualityMeter
from sordino.bench.scores import opinions

Samples = NDArray[np.float32]

RATE: Final = 16000
"""Sample rate of both sides, Hz."""
SHORTEST_SECONDS: Final = 1.0
"""What is shorter is not scored by DNSMOS, which would hear it over and over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What one side measured.

    Attributes:
        samples: float32, shape (n,), at `RATE`.
        quality: as the report of a job tells it; without DNSMOS where its model is not installed, and for less than
            `SHORTEST_SECONDS`. Clipping is not looked at.
    """

    samples: Samples
    quality: SoundQuality

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self.samples) / RATE

    @property
    def caption(self) -> str:
        """The figures in one line."""
        floor, scores = self.quality.noise_floor, self.quality.dnsmos
        noise = "digital silence" if floor is None else f"noise floor {floor:.1f} dBFS"
        return f"{noise}, DNSMOS overall {scores.overall:.2f}" if scores else noise


def measure(path: Path) -> Findings:
    """Measure a WAV file of one channel and 16 bits at `RATE`.

    Raises:
        wave.Error: it is not a WAV file of integers.
        ValueError: it has another rate, width or number of channels.
    """
    samples = _read(path)
    scored = len(samples) >= SHORTEST_SECONDS * RATE and dnsmos.find_model() is not None
    meter = QualityMeter(RATE, channels=1)
    meter.push(samples[:, None])
    return Findings(samples=samples, quality=meter.quality(0.0, opinions(samples) if scored else None))


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
    one, other = before.quality, after.quality
    _row(table, "Noise floor, dBFS", one.noise_floor, other.noise_floor, ".1f")
    _row(table, "SNR (estimate), dB", one.snr, other.snr, ".1f")
    _row(table, "Loudness, LUFS", one.loudness, other.loudness, ".1f")
    if one.dnsmos and other.dnsmos:
        _row(table, "DNSMOS P.835 speech (SIG, 1 to 5)", one.dnsmos.signal, other.dnsmos.signal, ".2f")
        _row(table, "DNSMOS P.835 background (BAK)", one.dnsmos.background, other.dnsmos.background, ".2f")
        _row(table, "DNSMOS P.835 overall (OVRL)", one.dnsmos.overall, other.dnsmos.overall, ".2f")
    _row(table, "Duration, s", before.seconds, after.seconds, ".3f")
    return table


def _row(table: Table, title: str, before: float | None, after: float | None, form: str) -> None:
    change = None if before is None or after is None else after - before
    values = ((before, form), (after, form), (change, "+" + form))
    table.add_row(title, *("-" if value is None else format(value, kind) for value, kind in values))
