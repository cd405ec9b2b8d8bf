"""The limit to what an engine takes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sordino.denoisers.strength import Limited


class Muting:
    """An engine's stream that takes everything, and is late."""

    def __init__(self, delay: int) -> None:
        self._delay = delay
        self._owed = 0

    def push(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give silence, keeping back what the delay asks for."""
        self._owed += len(block)
        ready = max(0, self._owed - self._delay)
        self._owed -= ready
        return np.zeros((ready, block.shape[1]), np.float32)

    def flush(self) -> NDArray[np.float32]:
        """Give the rest."""
        rest, self._owed = self._owed, 0
        return np.zeros((rest, 1), np.float32)


def limited(samples: np.ndarray, limit: float, *, delay: int = 300, size: int = 1000) -> np.ndarray:
    """``samples`` through an engine that takes everything, limited."""
    stream = Limited(Muting(delay), limit)
    table = samples[:, None]
    blocks = [stream.push(table[start : start + size]) for start in range(0, len(table), size)]
    return np.concatenate([*blocks, stream.flush()])[:, 0]


NOISE = np.random.default_rng(1).standard_normal(4321).astype(np.float32)


@pytest.mark.parametrize("limit", [6, 20, 60, 99])
def test_what_is_taken_stays_at_the_limit(limit):
    """Of what an engine takes wholly the limit is left, in place."""
    np.testing.assert_allclose(limited(NOISE, limit), NOISE * 10 ** (-limit / 20), rtol=1e-5)


def test_no_decibel_is_the_input():
    """With a limit of 0 the input passes bit by bit."""
    np.testing.assert_array_equal(limited(NOISE, 0), NOISE)


def test_what_an_engine_leaves_is_left():
    """What the engine does not change is not changed, at any limit."""
    stream = Limited(Muting(0), 10)
    stream._stream = type("Same", (), {"push": lambda self, block: block, "flush": lambda self: NOISE[:0, None]})()
    np.testing.assert_allclose(stream.push(NOISE[:, None])[:, 0], NOISE, rtol=1e-6)


def test_damage_does_not_come_back():
    """NaN, infinities and absurd values count as 0 in what is mixed back, as they do in the engine."""
    broken = NOISE.copy()
    broken[[10, 20, 30]] = np.nan, np.inf, 1e9
    result = limited(broken, 6)
    assert np.isfinite(result).all()
    assert not result[[10, 20, 30]].any()


def test_it_is_as_new_after_the_end():
    """After the end of a recording the next one is not mixed with it."""
    stream = Limited(Muting(50), 20)
    for _ in range(2):
        result = np.concatenate((stream.push(NOISE[:, None]), stream.flush()))[:, 0]
        np.testing.assert_allclose(result, NOISE * 0.1, rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(size=st.integers(1, 5000), delay=st.integers(0, 5000))
def test_seams_and_delays_do_not_matter(size, delay):
    """However the recording is cut and however late the engine is, the result is as long as the input, and the same."""
    np.testing.assert_allclose(limited(NOISE, 20, delay=delay, size=size), NOISE * 0.1, rtol=1e-5)
