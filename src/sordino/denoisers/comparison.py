"""An engine beside the public streaming runtime of the same weights: CPU time and agreement."""

import math
import statistics
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sordino.denoisers import Denoiser
from sordino.denoisers.streaming_runtime import StreamingRuntime, timed


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a comparison found; CPU times are medians over the rounds, of one thread.

    Attributes:
        seconds: length of the audio of one round.
        rounds: how often each engine ran.
        dfn3_cpu_seconds: CPU time of dfn3 for one round.
        runtime_cpu_seconds: CPU time of the streaming runtime for one round.
        runtime_loop_cpu_seconds: the part of it that the loop in Python takes.
        ratio: median over the rounds of the runtime's CPU time by dfn3's.
        si_sdr_db: SI-SDR of dfn3's output against the runtime's (Le Roux et al., 2019).
        local_snr_db: least and greatest local SNR that the runtime saw.
        compared_with: the runtime and how it was driven.
    """

    seconds: float
    rounds: int
    dfn3_cpu_seconds: float
    runtime_cpu_seconds: float
    runtime_loop_cpu_seconds: float
    ratio: float
    si_sdr_db: float
    local_snr_db: tuple[float, float]
    compared_with: str


def compare(denoiser: Denoiser, runtime: StreamingRuntime, samples: NDArray[np.float32], *, rounds: int) -> Report:
    """Let both engines denoise a recording in turns, after one pass of each that is not counted.

    Args:
        denoiser: the engine to measure.
        runtime: what to compare it with.
        samples: float32, shape (samples,), at the engine's rate.
        rounds: how often, 1 or more.
    """
    _, output = _run(denoiser, samples)
    first = runtime.run(samples)
    pairs = [(_run(denoiser, samples)[0], runtime.run(samples)) for _ in range(rounds)]
    return Report(
        seconds=len(samples) / denoiser.info.rate,
        rounds=rounds,
        dfn3_cpu_seconds=statistics.median(ours for ours, _ in pairs),
        runtime_cpu_seconds=statistics.median(theirs.cpu for _, theirs in pairs),
        runtime_loop_cpu_seconds=statistics.median(theirs.loop for _, theirs in pairs),
        ratio=statistics.median(theirs.cpu / ours for ours, theirs in pairs),
        si_sdr_db=si_sdr(first.output, output),
        local_snr_db=first.local_snr,
        compared_with=runtime.name,
    )


def si_sdr(reference: NDArray[np.float32], estimate: NDArray[np.float32]) -> float:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al., "SDR - half-baked or well done?", 2019).

    Args:
        reference: shape (samples,), not silent.
        estimate: the same shape.

    Returns:
        dB; infinite if one is a multiple of the other.
    """
    truth, guess = reference.astype(np.float64), estimate.astype(np.float64)
    target = truth * (truth @ guess) / (truth @ truth)
    distortion = float(np.sum((guess - target) ** 2))
    return 10 * math.log10(float(target @ target) / distortion) if distortion else math.inf


def _run(denoiser: Denoiser, samples: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]]:
    stream = denoiser.stream()
    cpu, blocks = timed(lambda: (stream.push(samples[:, None]), stream.flush()))
    return cpu, np.concatenate(blocks)[:, 0]
