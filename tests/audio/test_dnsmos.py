"""Predicted opinions of listeners."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.sounds import voice
from sordino.audio import dnsmos
from sordino.audio.dnsmos import FIRST_STRIDE, KEPT, RATE, WINDOW, Excerpts

needs_model = pytest.mark.skipif(
    dnsmos.find_model() is None, reason="the extra `quality`, which brings the DNSMOS model, is not installed"
)


def excerpts(table: np.ndarray, rate: int, size: int) -> Excerpts:
    """What is kept of ``table`` (samples, channels), pushed in blocks of ``size``."""
    kept = Excerpts(rate)
    for start in range(0, len(table), size):
        kept.push(table[start : start + size])
    return kept


@settings(max_examples=25, deadline=None)
@given(seconds=st.integers(10, 300), size=st.integers(1000, 200_000))
def test_windows_are_where_they_say(seconds, size):
    """At most four windows are kept, at multiples of a stride, spread to the end, and hold what was there."""
    table = np.arange(seconds * RATE, dtype=np.float32)[:, None]
    kept = excerpts(table, RATE, size)
    places = list(kept.places())
    assert 1 <= len(places) <= KEPT
    assert places == sorted(places)
    assert all(place % FIRST_STRIDE == 0 for place in places)
    assert len(set(np.diff(places))) <= 1
    assert seconds - places[-1] < 2.5 * max([FIRST_STRIDE, *np.diff(places)])
    for place in places:
        np.testing.assert_array_equal(kept.window(place), table[place * RATE : place * RATE + WINDOW, 0])


def test_a_short_recording_is_repeated():
    """Less than a window is listened to again and again; nothing at all is not listened to."""
    samples = voice(2.0, RATE)
    kept = excerpts(samples[:, None], RATE, RATE)
    assert kept.places() == (0,)
    window = kept.window(0)
    assert len(window) == WINDOW
    np.testing.assert_array_equal(window[: len(samples)], samples)
    np.testing.assert_array_equal(window[len(samples) : 2 * len(samples)], samples)
    assert excerpts(samples[:0, None], RATE, RATE).places() == ()


def test_the_loudest_channel_is_listened_to():
    """Of several channels a window holds the one with the most sound, at 16 kHz."""
    left = voice(12.0, 48000)
    window = excerpts(np.stack((0.1 * left, left), axis=1), 48000, 48000).window(0)
    assert len(window) == WINDOW
    assert np.std(window) == pytest.approx(np.std(left[: 9 * 48000]), rel=0.05)


@pytest.mark.parametrize(("count", "wanted"), [(1, [30]), (2, [10, 30]), (4, [0, 10, 20, 30]), (9, [0, 10, 20, 30])])
def test_the_windows_to_score_are_spread(count, wanted):
    """Fewer windows than kept are taken from all over the recording."""
    places = dnsmos.spread([0, 10, 20, 30], count)
    assert len(places) == min(count, 4)
    if count > 2:
        assert places == wanted


@needs_model
def test_noise_scores_worse():
    """White noise over a voice lowers the score of the background, and both sides are scored by the same windows."""
    clean = voice(10.0, RATE)
    noisy = clean + (0.1 * np.random.default_rng(1).standard_normal(len(clean))).astype(np.float32)
    before, after = dnsmos.compare(excerpts(noisy[:, None], RATE, RATE), excerpts(clean[:, None], RATE, RATE), count=1)
    assert before is not None
    assert after is not None
    assert before.background < after.background
    assert 1 <= before.overall <= 5


@needs_model
def test_nothing_to_score():
    """Without windows, or with none asked for, nobody is asked."""
    nothing, silence = Excerpts(RATE), excerpts(np.zeros((WINDOW, 1), np.float32), RATE, RATE)
    assert dnsmos.compare(nothing, silence, 1) == (None, None)
    assert dnsmos.compare(silence, silence, 0) == (None, None)
