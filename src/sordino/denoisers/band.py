"""Recordings with nothing in the upper bins, as the telephone's.

DeepFilterNet was trained on full-band speech, in which consonants have an upper half. Where it is missing, the features
get a faint mirror image of what is below the edge in its place, as a bad resampler would leave; the recording itself is
not touched.
"""

import numpy as np
from numpy.typing import NDArray

LOWEST_EDGE = 60
"""Bin (3 kHz) above which an edge is looked for."""
GUARD = 4
WIDTH = 20
"""Bins left out and bins compared on either side of an edge."""
CLIFF = 1e-3
"""Power over the edge by the power below it: -30 dB or less is an edge."""
IMAGE = np.float32(10 ** (-13 / 20))
"""Level of the image by that of its origin, -13 dB."""
DECAY = 0.9
"""Share of the power known before that still counts after a block."""


def learnt(power: NDArray[np.float64], spectrum: NDArray[np.complex64]) -> NDArray[np.float64]:
    """The mean power of each bin so far, shape (channels, bins), after a block of shape (channels, frames, bins)."""
    seen: NDArray[np.float64] = np.mean(spectrum.real**2 + spectrum.imag**2, axis=1, dtype=np.float64)
    return DECAY * power + seen


def filled(spectrum: NDArray[np.complex64], power: NDArray[np.float64], highest_edge: int) -> NDArray[np.complex64]:
    """The spectrum with the image over the edge, in channels that have one; the very array where none has.

    Args:
        spectrum: complex64, shape (channels, frames, bins).
        power: mean power of each bin, shape (channels, bins).
        highest_edge: bin up to which an edge is looked for.
    """
    edges = [edge(bins, highest_edge) for bins in power]
    if not any(edges):
        return spectrum
    result = spectrum.copy()
    for channel, end in zip(result, edges, strict=True):
        if end is not None:
            count = min(end, channel.shape[1] - end - 1)
            channel[:, end + 1 : end + 1 + count] = IMAGE * np.conj(channel[:, end - count : end][:, ::-1])
    return result


def edge(power: NDArray[np.float64], highest_edge: int) -> int | None:
    """The last bin before the power falls off a cliff and stays down; None if it does not.

    Args:
        power: mean power of each bin, shape (bins,).
        highest_edge: bin up to which it is looked for.
    """
    sums = np.concatenate(([0.0], np.cumsum(power)))
    candidates = np.arange(LOWEST_EDGE, highest_edge + 1)
    below = (sums[candidates - GUARD] - sums[candidates - GUARD - WIDTH]) / WIDTH
    near = (sums[candidates + GUARD + WIDTH] - sums[candidates + GUARD]) / WIDTH
    above = (sums[-1] - sums[candidates + GUARD]) / (len(power) - candidates - GUARD)
    cliffs = (np.maximum(near, above) < CLIFF * below).nonzero()[0]
    if not len(cliffs):
        return None
    place = cliffs[np.argmin(near[cliffs] / below[cliffs])]
    start = candidates[place] - WIDTH
    loud = power[start : candidates[place] + WIDTH] > 0.01 * below[place]
    return int(start + loud.nonzero()[0][-1])
