"""Sample rate conversion and the plumbing of blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.sounds import error_db, voice
from sordino.audio.blocks import gather, scaled_length
from sordino.audio.order import SAMPLE_RATES
from sordino.audio.resample import Resampler, fit

RATES = (1000, 8000, 11025, 16000, 44056, 44100, 48000, 96000, 384000)


def resampled(samples: np.ndarray, rate: int, to_rate: int, cuts: list[int]) -> np.ndarray:
    """``samples`` (samples, channels) converted in blocks that end at ``cuts``."""
    resampler = Resampler(rate, to_rate, samples.shape[1])
    return np.concatenate([*(resampler.push(block) for block in np.split(samples, sorted(cuts))), resampler.flush()])


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(0, 3000),
    rate=st.sampled_from(RATES),
    to_rate=st.sampled_from(RATES),
    channels=st.integers(1, 3),
    data=st.data(),
)
def test_length_is_exact_whatever_the_blocks(length, rate, to_rate, channels, data):
    """The output holds round(n * out / in) samples and does not depend on how the input was cut."""
    cuts = data.draw(st.lists(st.integers(0, length), max_size=4))
    samples = np.random.default_rng(length).standard_normal((length, channels)).astype(np.float32)
    whole = resampled(samples, rate, to_rate, [])
    assert whole.shape == (scaled_length(length, rate, to_rate), channels)
    np.testing.assert_allclose(resampled(samples, rate, to_rate, cuts), whole, atol=1e-5)


@pytest.mark.parametrize(("rate", "to_rate"), [(16000, 48000), (48000, 16000), (44100, 48000), (48000, 44100)])
def test_a_tone_stays_in_place(rate, to_rate):
    """A tone comes out at the new rate with the phase it had: no delay, no gain."""
    tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)[:, None]
    wanted = np.sin(2 * np.pi * 440 * np.arange(to_rate) / to_rate)[:, None]
    inner = slice(to_rate // 10, -to_rate // 10)
    assert np.abs(resampled(tone, rate, to_rate, [rate // 3])[inner] - wanted[inner]).max() < 1e-4


def test_there_and_back_is_the_same():
    """Speech taken to 48 kHz and back loses no more than the hiss next to the Nyquist frequency."""
    speech = voice(1.0, 16000)[:, None]
    back = resampled(resampled(speech, 16000, 48000, [777]), 48000, 16000, [5000])
    assert error_db(speech, back) < -38


def test_equal_rates_change_nothing():
    """Without a change of rate the samples pass through bit by bit."""
    speech = voice(0.1, 8000)[:, None]
    np.testing.assert_array_equal(resampled(speech, 8000, 8000, [100]), speech)


@given(length=st.integers(0, 10), wanted=st.integers(0, 20))
def test_fit(length, wanted):
    """A block is cut or filled with zeros at its end."""
    fitted = fit(np.ones((length, 2), np.float32), wanted)
    assert fitted.shape == (wanted, 2)
    assert fitted.sum() == 2 * min(length, wanted)


@given(lengths=st.lists(st.integers(0, 9)), size=st.integers(1, 12))
def test_gather(lengths, size):
    """Small blocks are joined in order; only the last may be short."""
    samples = np.arange(sum(lengths), dtype=np.float32)[:, None]
    blocks = list(gather(iter(np.split(samples, np.cumsum(lengths)[:-1]) if lengths else []), size))
    assert all(len(block) >= size for block in blocks[:-1])
    np.testing.assert_array_equal(np.concatenate([samples[:0], *blocks]), samples)


@given(samples=st.integers(0, 10**9), rate=st.integers(1, 10**6), to_rate=st.integers(1, 10**6))
def test_scaled_length_is_the_nearest(samples, rate, to_rate):
    """No other whole number lies nearer to samples * to_rate / rate."""
    assert abs(2 * scaled_length(samples, rate, to_rate) * rate - 2 * samples * to_rate) <= rate


def tone(frequency: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    """A sine at full scale, float32, shape (samples, 1)."""
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate).astype(np.float32)[:, None]


@pytest.mark.parametrize("rate", [48000, 44100, 96000])
@pytest.mark.parametrize("to_rate", [rate for rate in SAMPLE_RATES if rate < 44100])
def test_nothing_is_folded_back(rate, to_rate):
    """Tones above half the output rate, where they cannot be heard, do not come back below it above -100 dB."""
    for share in (1.01, 1.2, 1.6, 1.9):
        frequency = share * to_rate / 2
        if frequency < rate / 2:
            left = resampled(tone(frequency, rate), rate, to_rate, [rate // 2])[to_rate // 4 : -to_rate // 4, 0]
            assert 10 * np.log10(2 * np.mean(np.square(left, dtype=np.float64)) + 1e-30) < -100, share


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100])
@pytest.mark.parametrize("to_rate", SAMPLE_RATES)
def test_no_image_is_added(rate, to_rate):
    """A tone comes out as itself alone: all else together is 100 dB below it, and it is in its place."""
    limit = min(rate, to_rate) / 2
    for share in (0.1, 0.5, 0.85):
        frequency = round(share * limit)
        got = resampled(tone(frequency, rate), rate, to_rate, [rate // 3])[:, 0]
        wanted = tone(frequency, to_rate)[: len(got), 0]
        inner = slice(to_rate // 4, -to_rate // 4)
        gain = np.dot(wanted[inner], got[inner]) / np.dot(wanted[inner], wanted[inner])
        assert abs(20 * np.log10(gain)) < 0.01
        assert error_db(gain * wanted[inner], got[inner]) < -100


@pytest.mark.parametrize("to_rate", SAMPLE_RATES)
def test_a_click_stays_in_place(to_rate):
    """A pulse at one half second is found there at every rate that can be written."""
    pulse = np.zeros((48000, 1), np.float32)
    pulse[24000] = 1.0
    assert int(np.argmax(np.abs(resampled(pulse, 48000, to_rate, [24010])))) == to_rate // 2
