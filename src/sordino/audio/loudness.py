"""Integrated loudness after ITU-R BS.1770-5 and EBU R 128, as a stream.

The gated blocks are counted in a histogram, so that memory does not grow with the recording.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sordino.audio.blocks import Block, product

ABSOLUTE_GATE: Final = -70.0
"""Blocks below it do not count, LUFS (BS.1770-5, annex 1)."""
RELATIVE_GATE: Final = -10.0
"""Nor do blocks so far below the mean of the others, LU."""

_STEPS_A_BLOCK: Final = 4
"""A gating block is 400 ms long; every 100 ms one begins."""
_OFFSET: Final = -0.691
_SURROUND: Final = 1.41
_BINS_A_LU: Final = 100
_LOUDEST: Final = 130.0
_CHUNK: Final = 64
_CHUNKS: Final = 32
_PIECE: Final = 16 * _CHUNK * _CHUNKS
"""Samples filtered at once; the matrix products stay small enough for one thread (`sordino.audio.blocks.product`)."""

_Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _System:
    """A linear system over row vectors: x' = x a + u b, y = x c + u d."""

    a: _Matrix
    b: _Matrix
    c: _Matrix
    d: _Matrix

    def then(self, other: "_System") -> "_System":
        """This system's outputs into the other's inputs."""
        corner = np.zeros((len(other.a), len(self.a)))
        return _System(
            np.block([[self.a, self.c @ other.b], [corner, other.a]]),
            np.hstack([self.b, self.d @ other.b]),
            np.vstack([self.c @ other.d, other.c]),
            self.d @ other.d,
        )

    def lifted(self, count: int) -> "_System":
        """The system that takes and gives ``count`` inputs and outputs, side by side, in one step."""
        powers = [np.eye(len(self.a))]
        for _ in range(count):
            powers.append(powers[-1] @ self.a)
        zero = np.zeros_like(self.d)
        # What an output has of the input so many steps before; of later inputs, told by negative steps, nothing.
        late = np.stack([self.d, *(self.b @ power @ self.c for power in powers[: count - 1]), *[zero] * (count - 1)])
        steps = np.arange(count) - np.arange(count)[:, None]
        inputs, outputs = self.d.shape
        return _System(
            powers[count],
            np.vstack([self.b @ powers[count - 1 - place] for place in range(count)]),
            np.hstack([powers[place] @ self.c for place in range(count)]),
            late[steps].transpose(0, 2, 1, 3).reshape(count * inputs, count * outputs),
        )


@cache
def _k_weighting(rate: int) -> tuple[_System, _System]:
    """The filter over chunks of samples, and over groups of chunks what gives the state before each chunk."""
    filtering = _section(*shelf(rate)).then(_section(*high_pass(rate))).lifted(_CHUNK)
    same = np.eye(len(filtering.a))
    return filtering, _System(filtering.a, same, same, np.zeros_like(same)).lifted(_CHUNKS)


def _section(forward: tuple[float, float, float], back: tuple[float, float]) -> _System:
    """A filter of second order in direct form II transposed."""
    b0, b1, b2 = forward
    a1, a2 = back
    return _System(
        np.array([[-a1, -a2], [1.0, 0.0]]),
        np.array([[b1 - a1 * b0, b2 - a2 * b0]]),
        np.array([[1.0], [0.0]]),
        np.array([[b0]]),
    )


def shelf(rate: int) -> tuple[tuple[float, float, float], tuple[float, float]]:
    """The first stage of the K-weighting, which lifts what is above 1.7 kHz by 4 dB.

    Returns:
        (b0, b1, b2) and (a1, a2), a0 being 1. Under 4 kHz, where nothing is left to be lifted, it changes nothing.
    """
    if rate < 4000:
        return (1.0, 0.0, 0.0), (0.0, 0.0)
    k = float(np.tan(np.pi * 1681.9744509555319 / rate))
    q = 0.7071752369554193
    high = 10 ** (3.99984385397 / 20)
    band = high**0.499666774155
    norm = 1 + k / q + k * k
    forward = ((high + band * k / q + k * k) / norm, 2 * (k * k - high) / norm, (high - band * k / q + k * k) / norm)
    return forward, (2 * (k * k - 1) / norm, (1 - k / q + k * k) / norm)


def high_pass(rate: int) -> tuple[tuple[float, float, float], tuple[float, float]]:
    """The second stage, which takes what is below 38 Hz; as `shelf`.

    Its numerator is the standard's at every rate, as in libebur128 and FFmpeg: at 8 kHz the 0.3 dB it gives away make
    up for the shelf, which the bilinear transform squeezes there.
    """
    k = float(np.tan(np.pi * 38.13547087613982 / rate))
    q = 0.5003270373238773
    norm = 1 + k / q + k * k
    return (1.0, -2.0, 1.0), (2 * (k * k - 1) / norm, (1 - k / q + k * k) / norm)


class KWeighting:
    """The filter of BS.1770-5: a shelf for the acoustics of the head and a high-pass.

    The standard tabulates the coefficients at 48 kHz; at other rates they are those of the analogue prototypes that
    give the table, with the constants libebur128 found. The recursion runs over chunks: the outputs of a chunk are a
    product with a triangular matrix, and so are the states between the chunks of a group.

    Args:
        rate: Hz.
        channels: number of channels.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self._filtering, self._states = _k_weighting(rate)
        self._response = self._filtering.d.astype(np.float32)
        self._collect = self._filtering.b.astype(np.float32)
        self._observe = self._filtering.c.astype(np.float32)
        self._state = np.zeros((channels, len(self._filtering.a)))
        self._waiting = np.zeros((0, channels), np.float32)

    def push(self, block: Block) -> Block:
        """Take (samples, channels) and give what is ready of the filtered ones, (samples, channels)."""
        joined = np.concatenate((self._waiting, block))
        whole = len(joined) - len(joined) % (_CHUNK * _CHUNKS)
        self._waiting = joined[whole:].copy()
        pieces = [self._filtered(joined[start : min(start + _PIECE, whole)]) for start in range(0, whole, _PIECE)]
        return np.concatenate((joined[:0], *pieces))

    def flush(self) -> Block:
        """Give the rest; nothing may be pushed after."""
        rest = len(self._waiting)
        return self._filtered(np.pad(self._waiting, ((0, -rest % (_CHUNK * _CHUNKS)), (0, 0))))[:rest]

    def _filtered(self, samples: Block) -> Block:
        channels = samples.shape[1]
        chunks = np.ascontiguousarray(samples.T).reshape(channels, len(samples) // _CHUNK, _CHUNK)
        rows = chunks.reshape(-1, _CHUNK)
        states = self._between((chunks @ self._collect).astype(np.float64)).astype(np.float32)
        filtered = product(rows, self._response) + states.reshape(len(rows), states.shape[-1]) @ self._observe
        return filtered.reshape(channels, len(samples)).T

    def _between(self, inputs: _Matrix) -> _Matrix:
        """From what each chunk adds to the state the state before each, (channels, chunks, states)."""
        groups = inputs.reshape(len(inputs), -1, self._states.b.shape[0])
        states = groups @ self._states.d
        added = groups @ self._states.b
        for group in range(groups.shape[1]):
            states[:, group] += self._state @ self._states.c
            self._state = self._state @ self._states.a + added[:, group]
        return states.reshape(inputs.shape)


def channel_weights(channels: int) -> NDArray[np.float32]:
    """What each channel's power counts for.

    The order is FFmpeg's: left, right, centre, low frequencies, then surround; five channels are without low
    frequencies. Low frequencies do not count, surround counts 1.41 times. Up to four channels all count alike.
    """
    weights = np.ones(channels, np.float32)
    if channels == 5:
        weights[3:] = _SURROUND
    if channels > 5:
        weights[3] = 0.0
        weights[4:] = _SURROUND
    return weights


class LoudnessMeter:
    """Measures the integrated loudness of a stream.

    Args:
        rate: Hz.
        channels: number of channels; see `channel_weights`.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self._filter = KWeighting(rate, channels)
        self._weights = channel_weights(channels)
        self._step = max(1, round(rate / 10))
        self._rest = np.zeros(0, np.float32)  # power of the samples of the step that is not complete yet
        self._steps = np.zeros(0)  # mean power of the last steps, as many as the next block shares
        bins = round((_LOUDEST - ABSOLUTE_GATE) * _BINS_A_LU)
        self._counts = np.zeros(bins, np.int64)
        self._powers = np.zeros(bins)

    def push(self, block: Block) -> None:
        """Take (samples, channels)."""
        self._measure(self._filter.push(block))

    def integrated(self) -> float | None:
        """The loudness of all that was pushed, LUFS; None if no block is loud enough. Nothing may be pushed after."""
        self._measure(self._filter.flush())
        if not self._counts.any():
            return None
        gate = _loudness(self._powers.sum() / self._counts.sum()) + RELATIVE_GATE
        first = max(0, int((gate - ABSOLUTE_GATE) * _BINS_A_LU))
        return float(_loudness(self._powers[first:].sum() / self._counts[first:].sum()))

    def _measure(self, filtered: Block) -> None:
        power = np.concatenate((self._rest, _power(filtered, self._weights)))
        whole = len(power) - len(power) % self._step
        self._rest = power[whole:]
        means = power[:whole].reshape(-1, self._step).mean(axis=1, dtype=np.float64)
        steps = np.concatenate((self._steps, means))
        self._steps = steps[max(0, len(steps) - _STEPS_A_BLOCK + 1) :]
        if len(steps) >= _STEPS_A_BLOCK:
            self._count(np.convolve(steps, np.full(_STEPS_A_BLOCK, 1 / _STEPS_A_BLOCK), "valid"))

    def _count(self, blocks: _Matrix) -> None:
        """Note the blocks, by their mean power, that pass the absolute gate."""
        loud = blocks[blocks > 10 ** ((ABSOLUTE_GATE - _OFFSET) / 10)]
        places = ((_loudness(loud) - ABSOLUTE_GATE) * _BINS_A_LU).astype(np.int64).clip(0, len(self._counts) - 1)
        np.add.at(self._counts, places, 1)
        np.add.at(self._powers, places, loud)


def _power(samples: Block, weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The weighted sum of the channels' powers, shape (samples,)."""
    weighted = samples if (weights == 1).all() else samples * weights
    power: NDArray[np.float32] = np.einsum("sc,sc->s", samples, weighted)
    return power


def _loudness(power: _Matrix) -> _Matrix:
    loudness: _Matrix = _OFFSET + 10 * np.log10(power)
    return loudness
