"""How fast engines are: in turns on one thread, beside the public runtimes and what the machine can do."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sordino.audio.process import denoise_file
from sordino.bench import child, machine, recording, turns
from sordino.bench.runtimes import RUNTIMES, STOCK, Engine

Samples = NDArray[np.float32]
Recordings = Callable[[int, float], Samples]
"""Makes the recording to measure with, at a sample rate, Hz, and of a length, seconds."""

MATRIX: Final = "matrix products"
WARM_SECONDS: Final = 2.0
LONG_SECONDS: Final = 120.0
"""Recordings longer than this get a third of the rounds: the turns of a short one are over before the machine has
changed its mind, those of a long one even out by themselves."""
COUNTED_SECONDS: Final = (10.0, 40.0)
"""Lengths whose operations are counted; between and beyond them they grow in proportion."""
PATH_RATE: Final = 48_000
PATH_FILES: Final = (".flac", ".mp3")
SECOND: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What one engine took for recordings of one length.

    Attributes:
        cpu: CPU time of each round, seconds.
        per_cpu_second: seconds of audio in a second of CPU time, median of the rounds.
        ratio: how many times faster than the fastest public runtime of DeepFilterNet 3, median of the rounds' ratios;
            None if none was measured.
        share: share of the machine's rate of matrix products that its models reach; None if it has none that can be
            counted.
    """

    cpu: tuple[float, ...]
    per_cpu_second: float
    ratio: float | None
    share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What ``sordino denoise`` takes for a second of audio, the model being in its cache; medians of the rounds.

    Attributes:
        wall: from the start of the process to its end, seconds.
        cpu: CPU time, seconds.
    """

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """The whole path of a file, from decoding it to a WAV file at 16 kHz.

    Attributes:
        per_cpu_second: seconds of audio in a second of CPU time, median of the rounds.
        ratio: its CPU time by that of the bare engine for the same recording, median of the rounds' ratios.
    """

    per_cpu_second: float
    ratio: float


def rounds_for(seconds: float, rounds: int) -> int:
    """How many rounds recordings of a length get, of so many for short ones."""
    return rounds if seconds <= LONG_SECONDS else -(-rounds // 3)


def speeds(
    engines: Sequence[Engine], recordings: Recordings, seconds: float, rounds: int, work: Mapping[str, "Work"]
) -> dict[str, Speed]:
    """Let engines denoise the same recording in turns.

    Args:
        engines: what to measure.
        recordings: makes the recording.
        seconds: its length.
        rounds: how often, 1 or more.
        work: of the engines that have models to count, by name.
    """
    measurements = {engine.name: _cpu_of(engine, recordings(engine.rate, seconds)) for engine in engines}
    found = turns.take({**measurements, MATRIX: _seconds_per_operation}, rounds)
    stock = [engine.name for engine in engines if engine.name in STOCK]
    return {
        name: Speed(
            cpu=found.values[name],
            per_cpu_second=seconds / found.median(name),
            ratio=found.ratio_of_least(stock, name) if stock else None,
            share=work[name].operations(seconds) * found.ratio(MATRIX, name) if name in work else None,
        )
        for name in measurements
    }


def warm(engines: Sequence[Engine], recordings: Recordings) -> None:
    """Run every engine once, so that its first-time work is done."""
    for engine in engines:
        _cpu_of(engine, recordings(engine.rate, WARM_SECONDS))()


def _cpu_of(engine: Engine, samples: Samples) -> turns.Measurement:
    return lambda: machine.timed(engine.prepare(samples))[0]


def _seconds_per_operation() -> float:
    return 1 / machine.matrix_rate()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The floating point operations of an engine's models.

    Attributes:
        base: those of any recording, as for a first pass over its beginning.
        per_second: those of a second more.
    """

    base: float
    per_second: float

    def operations(self, seconds: float) -> float:
        """Those of a recording of a length."""
        return self.base + self.per_second * seconds


def count_work(engine: Engine, recordings: Recordings) -> Work | None:
    """Count the operations of an engine's models; None if it runs none in ONNX Runtime.

    Raises:
        BenchError: the engine failed.
    """
    if engine.name in RUNTIMES:
        return None
    short, long = COUNTED_SECONDS
    counts = [_ask("operations", engine, recordings(engine.rate, seconds)) for seconds in COUNTED_SECONDS]
    slope = (counts[1] - counts[0]) / (long - short)
    return Work(base=counts[0] - slope * short, per_second=slope) if counts[0] else None


def peak(engine: Engine, recordings: Recordings, seconds: float) -> int:
    """Peak memory of a process that loads an engine and denoises a recording held in memory, bytes.

    Raises:
        BenchError: the engine failed.
    """
    return _ask("peak", engine, recordings(engine.rate, seconds))


def _ask(task: str, engine: Engine, samples: Samples) -> int:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "samples.npy")
        np.save(file, samples)
        return int(child.ask(task, engine.name, str(file)))


def starts(denoisers: Sequence[str], recordings: Recordings, rounds: int) -> dict[str, Start]:
    """Let ``sordino denoise`` clean a file of one second with each engine, in turns.

    Raises:
        BenchError: the command failed.
    """
    ended: dict[str, list[child.Ended]] = {denoiser: [] for denoiser in denoisers}
    with _file(".flac", recordings(PATH_RATE, SECOND)) as file:

        def start(denoiser: str) -> float:
            target = str(file.with_suffix(".wav"))
            ended[denoiser].append(child.start(["-m", "sordino", "denoise", str(file), target, "--denoiser", denoiser]))
            return ended[denoiser][-1].wall

        for denoiser in denoisers:
            start(denoiser)  # fills caches: not counted
        walls = turns.take({denoiser: partial(start, denoiser) for denoiser in denoisers}, rounds)
    return {
        denoiser: Start(wall=walls.median(denoiser), cpu=sorted(end.cpu for end in runs[1:])[rounds // 2])
        for denoiser, runs in ended.items()
    }


def passages(engine: Engine, recordings: Recordings, seconds: float, rounds: int) -> dict[str, Passage]:
    """Let files of one recording go the whole path and the bare engine denoise it, in turns.

    Args:
        engine: one of the registry.
        recordings: makes the recording.
        seconds: its length.
        rounds: how often, 1 or more.

    Returns:
        By suffix of the file, `PATH_FILES`.
    """
    samples = recordings(PATH_RATE, seconds)
    found: dict[str, Passage] = {}
    for suffix in PATH_FILES:
        with _file(suffix, samples) as file:
            whole = _cpu_of_file(file, engine.name)
            measured = turns.take({"bare": _cpu_of(engine, recordings(engine.rate, seconds)), "whole": whole}, rounds)
        found[suffix] = Passage(
            per_cpu_second=seconds / measured.median("whole"), ratio=measured.ratio("whole", "bare")
        )
    return found


def _cpu_of_file(file: Path, denoiser: str) -> turns.Measurement:
    target = file.with_suffix(".wav")
    return lambda: machine.timed(lambda: denoise_file(file, target, rate=16000, denoiser=denoiser))[0]


@contextmanager
def _file(suffix: str, samples: Samples) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "recording" + suffix)
        recording.write(path, samples, PATH_RATE)
        yield path
