"""How engines sound: every recording of a set through every engine, scored against the clean one."""

import math
import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sordino.audio.arrays import denoise
from sordino.bench import recording
from sordino.bench.corpus import Pair
from sordino.bench.errors import BenchError
from sordino.bench.runtimes import RUNTIMES, open_engine
from sordino.bench.scores import METRICS, RATE, Scores, score

Samples = NDArray[np.float32]

NOISY: Final = "noisy"
CLEAN: Final = "clean"
ANCHORS: Final = (NOISY, CLEAN)
"""What is scored like engines: the recording as it is, and the clean one, which no engine can pass."""

ALL: Final = "all"
"""In place of an SNR: the mean over all recordings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One recording through one engine.

    Attributes:
        engine: its name, or one of `ANCHORS`.
        pair: the recording.
    """

    engine: str
    pair: Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A trial and what it scored."""

    trial: Trial
    scores: Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """By how much one engine scores more than another on the same recordings.

    Attributes:
        mean: of the differences.
        error: standard error of that mean; 0 for a single recording.
        better: share of the recordings with a difference above 0.
    """

    mean: float
    error: float
    better: float


def run(trials: Sequence[Trial], processes: int) -> Iterator[Result]:
    """Do all trials; the results come in the same order, each as soon as it is there.

    Args:
        trials: what to do.
        processes: how many work at once, each on one thread.

    Raises:
        BenchError: PESQ hears no speech; the message names engine and recording.
    """
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        yield from pool.map(conduct, trials)


def conduct(trial: Trial) -> Result:
    """Do one trial. See `run` for the errors."""
    clean = _at_score_rate(_read(trial.pair, clean=True), trial.pair.rate)
    other = _at_score_rate(_output(trial), trial.pair.rate)
    try:
        return Result(trial=trial, scores=score(clean, other[: len(clean)]))
    except BenchError as error:
        raise BenchError(f"{trial.engine}, {trial.pair.noisy.name}: {error}") from error


def _output(trial: Trial) -> Samples:
    """What comes out of an engine, at the pair's rate: ours as a program calls it, others at their own rate."""
    samples = _read(trial.pair, clean=trial.engine == CLEAN)
    if trial.engine in ANCHORS:
        return samples
    if trial.engine not in RUNTIMES:
        return denoise(samples, trial.pair.rate, denoiser=trial.engine)
    engine = _runtime(trial.engine)
    output = engine.prepare(recording.resampled(samples, trial.pair.rate, engine.rate))()
    return recording.resampled(output, engine.rate, trial.pair.rate)


_runtime = cache(open_engine)


def _read(pair: Pair, *, clean: bool) -> Samples:
    return recording.read(pair.clean if clean else pair.noisy)[0]


def _at_score_rate(samples: Samples, rate: int) -> Samples:
    return recording.resampled(samples, rate, RATE)


@dataclass(frozen=True, slots=True)
class Results:
    """The results of a run, and what can be read from them."""

    all: tuple[Result, ...]

    @property
    def rates(self) -> list[int]:
        """Sample rates of the recordings, Hz, rising."""
        return sorted({result.trial.pair.rate for result in self.all})

    @property
    def snrs(self) -> list[float]:
        """SNRs of the recordings, dB, rising."""
        return sorted({result.trial.pair.snr for result in self.all})

    @property
    def recordings(self) -> int:
        """How many there are."""
        return len({result.trial.pair for result in self.all})

    @property
    def engines(self) -> list[str]:
        """Their names in the order in which they come up."""
        return list(dict.fromkeys(result.trial.engine for result in self.all))

    def where(self, *, engine: str | None = None, rate: int | None = None, snr: float | None = None) -> "Results":
        """Those of one engine, sample rate or SNR."""
        return Results(
            tuple(
                result
                for result in self.all
                if engine in (None, result.trial.engine)
                and rate in (None, result.trial.pair.rate)
                and snr in (None, result.trial.pair.snr)
            )
        )

    def mean(self) -> Scores:
        """The mean of each score; there must be a result."""
        scores = [result.scores for result in self.all]
        return Scores(**{metric: statistics.fmean(getattr(one, metric) for one in scores) for metric in METRICS})

    def means(self) -> dict[str, dict[int, dict[str, Scores]]]:
        """The mean scores by engine, sample rate, and SNR; those over all SNRs are under ``all``."""
        return {
            engine: {rate: _by_snr(self.where(engine=engine, rate=rate)) for rate in self.rates}
            for engine in self.engines
        }

    def gains(self, over: str) -> dict[str, dict[int, dict[str, Gain]]]:
        """By how much each engine scores more than one of them, by engine, sample rate and metric.

        Args:
            over: name of the engine to compare with; if it is not there, neither are gains.
        """
        others = [engine for engine in self.engines if engine not in (over, *ANCHORS)]
        return {
            engine: {rate: _gains(self.where(rate=rate), engine, over) for rate in self.rates}
            for engine in (others if over in self.engines else [])
        }


def _by_snr(results: Results) -> dict[str, Scores]:
    return {f"{snr:g}": results.where(snr=snr).mean() for snr in results.snrs} | {ALL: results.mean()}


def _gains(results: Results, engine: str, over: str) -> dict[str, Gain]:
    ours, theirs = _by_pair(results, engine), _by_pair(results, over)
    pairs = [(ours[pair], theirs[pair]) for pair in ours]
    return {metric: _gain([getattr(a, metric) - getattr(b, metric) for a, b in pairs]) for metric in METRICS}


def _by_pair(results: Results, engine: str) -> dict[Pair, Scores]:
    return {result.trial.pair: result.scores for result in results.where(engine=engine).all}


def _gain(differences: list[float]) -> Gain:
    count = len(differences)
    spread = statistics.stdev(differences) if count > 1 else 0.0
    return Gain(
        mean=statistics.fmean(differences),
        error=spread / math.sqrt(count),
        better=sum(difference > 0 for difference in differences) / count,
    )
