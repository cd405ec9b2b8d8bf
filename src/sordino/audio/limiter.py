"""A true-peak limiter that looks ahead."""

from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sordino.audio.blocks import Block, product

OVERSAMPLING: Final = 4
"""Points at which the waveform is looked at, for each sample (BS.1770-5, annex 2)."""
TAPS: Final = 48
CELL_SECONDS: Final = 0.0005
REACH_CELLS: Final = 20

_CHUNK: Final = 32
_MARGIN: Final = 10 ** (-0.3 / 20)
"""For what meters of true peaks differ by, and for what the moving gain adds between the samples."""


def interpolator() -> NDArray[np.float32]:
    """Filters that give the waveform at k / OVERSAMPLING after a sample, k from 0; shape (TAPS, OVERSAMPLING).

    A sinc under a Kaiser window (beta 6), over TAPS / 2 samples on either side, each with a sum of 1.
    """
    places = np.arange(TAPS)[:, None] - (TAPS // 2 - 1) - np.arange(OVERSAMPLING) / OVERSAMPLING
    window = np.i0(6.0 * np.sqrt(np.clip(1 - (places / (TAPS // 2)) ** 2, 0, None))) / np.i0(6.0)
    filters = np.sinc(places) * window
    normalised: NDArray[np.float32] = (filters / filters.sum(axis=0)).astype(np.float32)
    return normalised


def _over_chunks(filters: NDArray[np.float32]) -> NDArray[np.float32]:
    """The filters for _CHUNK samples at once: (TAPS - 1 + _CHUNK, OVERSAMPLING * _CHUNK)."""
    wide = np.zeros((TAPS - 1 + _CHUNK, OVERSAMPLING, _CHUNK), np.float32)
    for place in range(_CHUNK):
        wide[place : place + TAPS, :, place] = filters
    return wide.reshape(len(wide), -1)


_FILTERS: Final = _over_chunks(interpolator())
_OVERSHOOT: Final = float(np.abs(interpolator()).sum(axis=0).max())
"""What the waveform can at most have more than the samples."""


def true_peaks(samples: Block, least: float) -> NDArray[np.float32]:
    """The greatest magnitude of the waveform from each sample to the next, in any channel.

    Args:
        samples: shape (TAPS - 1 + n, channels): the n asked for, with TAPS / 2 - 1 before and TAPS / 2 after them.
        least: peaks below it are of no interest, and may be told as 0.

    Returns:
        Shape (n,).
    """
    count = len(samples) - TAPS + 1
    filled = np.pad(samples, ((0, -count % _CHUNK), (0, 0)))
    windows = sliding_window_view(filled, len(_FILTERS), axis=0)[::_CHUNK]
    loud = _greatest(filled, len(windows)) * _OVERSHOOT >= least
    peaks = np.zeros((len(windows), _CHUNK), np.float32)
    rows = windows[loud].reshape(-1, len(_FILTERS))
    waveform = np.abs(product(rows, _FILTERS)).reshape(len(rows), OVERSAMPLING, _CHUNK).max(axis=1)
    peaks[loud] = waveform.reshape(-1, samples.shape[1], _CHUNK).max(axis=1)
    return peaks.reshape(-1)[:count]


def _greatest(samples: Block, windows: int) -> NDArray[np.float32]:
    """At least the greatest magnitude in each of the windows that begin every _CHUNK samples, shape (windows,)."""
    reach = -(-len(_FILTERS) // _CHUNK)
    padded = np.pad(np.abs(samples).max(axis=1), (0, (windows + reach) * _CHUNK - len(samples)))
    greatest: NDArray[np.float32] = sliding_window_view(padded.reshape(-1, _CHUNK).max(axis=1), reach).max(axis=1)
    return greatest[:windows]


class Limiter:
    """Amplifies a stream, and turns it down in time where its true peak would pass a ceiling.

    The gain is one for all channels. It goes down and comes up again, smoothly, within 20 ms on either side of a peak;
    everywhere else it is the constant one. Output is as long as input and aligned with it.

    The waveform is looked at in cells of half a millisecond. A cell's gain is what every cell within REACH_CELLS can
    bear, averaged over as many on either side: nowhere more than the cell itself can bear.

    Args:
        rate: Hz.
        channels: number of channels.
        gain: factor.
        ceiling: greatest true peak of the output, full scale 1.0.
    """

    def __init__(self, rate: int, channels: int, gain: float, ceiling: float) -> None:
        self._gain = np.float32(gain)
        self._ceiling = ceiling * _MARGIN
        self._cell = max(1, round(rate * CELL_SECONDS))
        self._kernel = np.hanning(2 * REACH_CELLS + 2)[1:-1] / np.hanning(2 * REACH_CELLS + 2)[1:-1].sum()
        # Silence lies before the first sample; after the last, `flush` pushes some.
        self._samples = np.zeros((TAPS // 2 - 1, channels), np.float32)  # context, then those without peaks yet
        self._ready = np.zeros((0, channels), np.float32)  # those with peaks, without a gain yet
        self._bearable = np.ones(2 * REACH_CELLS)  # gains by cell, from as many before the first of `_ready`
        self._owed = 0

    def push(self, block: Block) -> Block:
        """Take (samples, channels) and give what is ready; may be empty."""
        self._owed += len(block)
        self._take(block * self._gain)
        return self._give()

    def flush(self) -> Block:
        """Give the rest; nothing may be pushed after."""
        padding = TAPS + (4 * REACH_CELLS + 1) * self._cell
        self._take(np.zeros((padding, self._samples.shape[1]), np.float32))
        return self._give()

    def _take(self, block: Block) -> None:
        self._samples = np.concatenate((self._samples, block))
        whole = max(0, len(self._samples) - TAPS + 1) // self._cell * self._cell
        if not whole:
            return
        seen, ready = self._samples[: whole + TAPS - 1], self._samples[TAPS // 2 - 1 :][:whole]
        self._bearable = np.concatenate((self._bearable, self._borne(seen)))
        self._ready = np.concatenate((self._ready, ready))
        self._samples = self._samples[whole:]

    def _borne(self, samples: Block) -> NDArray[np.float64]:
        """The gain, at most 1, that each cell bears."""
        peaks = true_peaks(samples, self._ceiling).reshape(-1, self._cell).max(axis=1).astype(np.float64)
        borne: NDArray[np.float64] = self._ceiling / np.maximum(peaks, self._ceiling)
        return borne

    def _give(self) -> Block:
        cells = max(0, len(self._bearable) - 4 * REACH_CELLS)
        given = self._ready[: cells * self._cell]
        if cells and self._bearable.min() < 1:
            given = given * self._gains()[:, None]
        self._bearable = self._bearable[cells:]
        self._ready = self._ready[cells * self._cell :]
        block = given[: self._owed]
        self._owed -= len(block)
        return block

    def _gains(self) -> NDArray[np.float32]:
        """The gain of each sample that can be given, linear between the borders of cells."""
        least = sliding_window_view(self._bearable, 2 * REACH_CELLS + 1).min(axis=1)
        borders = np.convolve(least, self._kernel, "valid")
        ramp = np.arange(self._cell) / self._cell
        gains = borders[:-1, None] + np.diff(borders)[:, None] * ramp
        return gains.astype(np.float32).reshape(-1)
