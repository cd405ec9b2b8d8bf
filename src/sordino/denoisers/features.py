"""Input features of DeepFilterNet: log-power in ERB bands and complex bins, both normalised by running means.

Schröter et al., "DeepFilterNet: Perceptually Motivated Real-Time Speech Enhancement", 2023. The constants are those of
the archive's ``config.ini``, section ``df``, and of the authors' runtime.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RATE = 48_000  # Hz
FRAME = 960  # samples
BANDS = 32
MIN_BAND_BINS = 2
BINS = FRAME // 2 + 1
DF_BINS = 96

_POWER_FLOOR = np.float32(1e-10)
_DB_RANGE = np.float32(40)
_FIRST_DB = np.linspace(-60, -90, BANDS, dtype=np.float32)
_FIRST_MAGNITUDE = np.linspace(1e-3, 1e-4, DF_BINS, dtype=np.float32)
_DECAY = 0.99  # a frame: a time constant of 1 s, rounded as in training


def _band_bins() -> NDArray[np.int64]:
    """How many bins each ERB band holds: shape (BANDS,), sum BINS (ERB-rate scale of Glasberg and Moore, 1990)."""
    q, width = 9.265, 24.7
    rates = np.log1p(RATE / 2 / (q * width)) * np.arange(1, BANDS + 1) / BANDS
    edges = np.rint(q * width * np.expm1(rates) / (RATE / FRAME)).astype(np.int64)
    edges[-1] = BINS
    ends = [0]
    for edge in edges:
        # A band that would be too narrow borrows bins from the next.
        ends.append(max(int(edge), ends[-1] + MIN_BAND_BINS))
    return np.diff(ends)


BAND_BINS = _band_bins()
_BAND_STARTS = np.cumsum(BAND_BINS) - BAND_BINS
_BAND_WEIGHTS = (1 / BAND_BINS).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """The running means after some frame.

    Attributes:
        power: dB in each ERB band; float32, shape (channels, BANDS).
        magnitude: of the lowest bins; float32, shape (channels, DF_BINS).
    """

    power: NDArray[np.float32]
    magnitude: NDArray[np.float32]

    @classmethod
    def initial(cls, channels: int) -> "Means":
        """The means before the first frame, as in training."""
        return cls(power=np.tile(_FIRST_DB, (channels, 1)), magnitude=np.tile(_FIRST_MAGNITUDE, (channels, 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What the network reads.

    Attributes:
        erb: float32, shape (channels, frames, BANDS).
        complex: real part, imaginary part, and 1 for every frame; float32, shape (channels, 3, frames, DF_BINS).
        means: the running means after the last frame.
    """

    erb: NDArray[np.float32]
    complex: NDArray[np.float32]
    means: Means


def extract(spectrum: NDArray[np.complex64], means: Means) -> Features:
    """The features of a block of frames.

    Args:
        spectrum: complex64, shape (channels, frames, BINS), scaled as by `Stft.analyse`.
        means: the running means before the block.
    """
    power = spectrum.real**2 + spectrum.imag**2
    # No matrix product anywhere: what BLAS gives depends on its number of threads.
    bands = np.add.reduceat(power, _BAND_STARTS, axis=2) * _BAND_WEIGHTS
    decibels = 10 * np.log10(bands + _POWER_FLOOR)
    magnitude = np.sqrt(power[:, :, :DF_BINS])
    mean_power = _running_mean(decibels, means.power)
    mean_magnitude = _running_mean(magnitude, means.magnitude)
    low = np.ones((len(spectrum), 3, *magnitude.shape[1:]), np.float32)
    scale = 1 / np.sqrt(mean_magnitude)
    np.multiply(spectrum.real[:, :, :DF_BINS], scale, out=low[:, 0])
    np.multiply(spectrum.imag[:, :, :DF_BINS], scale, out=low[:, 1])
    return Features(
        erb=(decibels - mean_power) / _DB_RANGE,
        complex=low,
        means=Means(power=mean_power[:, -1].copy(), magnitude=mean_magnitude[:, -1].copy()),
    )


def _running_mean(values: NDArray[np.float32], before: NDArray[np.float32]) -> NDArray[np.float32]:
    """First-order recursion ``m = decay * m + (1 - decay) * v`` over the frames.

    After each step the sums reach twice as far back, so that a block takes the logarithm of its frames (the prefix sum
    of Hillis and Steele, 1986).
    """
    sums = np.concatenate((before[:, None], np.float32(1 - _DECAY) * values), axis=1)
    reach = 1
    while reach < sums.shape[1]:
        sums[:, reach:] += np.float32(_DECAY**reach) * sums[:, :-reach]
        reach *= 2
    return sums[:, 1:]
