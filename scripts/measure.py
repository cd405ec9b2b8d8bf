"""What a recording measures before and after: levels of the pauses and the loud parts.

All functions take one channel of samples, full scale at -1.0 and 1.0. Levels are RMS in dB relative to full scale, so a
sine that touches full scale has -3.0 dBFS.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

FRAME_SECONDS: Final = 0.02
NOISE_PERCENTILE: Final = 10
LOUD_PERCENTILE: Final = 95
SILENCE_DBFS: Final = -100.0
"""Lowest level told, about that of the rounding to 16 bits; digital silence would be minus infinity."""


def frame_levels(samples: Samples, rate: int) -> NDArray[np.float64]:
    """The levels of consecutive 20 ms frames.

    Args:
        samples: float32, shape (n,); not empty.
        rate: Hz.

    Returns:
        dBFS, float64, shape (frames,), not below `SILENCE_DBFS`. A rest shorter than a frame is left out, unless it is
        all there is.
    """
    size = min(round(FRAME_SECONDS * rate), len(samples))
    frames = samples[: len(samples) // size * size].astype(np.float64).reshape(-1, size)
    power = np.mean(np.square(frames), axis=1)
    levels: NDArray[np.float64] = 10 * np.log10(np.maximum(power, 10 ** (SILENCE_DBFS / 10)))
    return levels


def noise_floor(samples: Samples, rate: int) -> float:
    """The level of the noise between the words: the 10th percentile of the frame levels, dBFS.

    It holds for recordings in which at least every tenth frame is a pause, as in any conversation. See `frame_levels`
    for the arguments.
    """
    return float(np.percentile(frame_levels(samples, rate), NOISE_PERCENTILE))


def loud_level(samples: Samples, rate: int) -> float:
    """The level of the loud parts, in a conversation the vowels: the 95th percentile of the frame levels, dBFS."""
    return float(np.percentile(frame_levels(samples, rate), LOUD_PERCENTILE))
