"""The true-peak limiter."""

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.sounds import true_peak, voice
from sordino.audio.limiter import Limiter

CEILING = 10 ** (-1 / 20)
RATES = (8000, 16000, 44100, 48000)


def limited(table: np.ndarray, rate: int, gain: float, size: int | None = None) -> np.ndarray:
    """``table`` (samples, channels) amplified and limited in blocks of ``size``."""
    limiter = Limiter(rate, table.shape[1], gain, CEILING)
    step = size or rate
    blocks = [limiter.push(table[start : start + step]) for start in range(0, len(table), step)]
    return np.concatenate([*blocks, limiter.flush()])


def column(samples: np.ndarray) -> np.ndarray:
    """Samples as one channel of float32."""
    return np.ascontiguousarray(samples, np.float32)[:, None]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("kind", ["voice", "square", "between the samples", "noise", "click"])
def test_no_true_peak_passes_the_ceiling(rate, kind):
    """Amplified by 12 dB, speech, a square wave, peaks between the samples, noise and clicks stay at -1 dBTP."""
    time = np.arange(2 * rate) / rate
    noise = np.random.default_rng(4).standard_normal(4 * rate)
    table = {
        "voice": column(voice(2.0, rate)),
        "square": column(np.sign(np.sin(2 * np.pi * 97 * time))),
        "between the samples": column(np.sin(2 * np.pi * rate / 4 * time + np.pi / 4)),
        "noise": soxr.resample(column(0.1 * noise), 2 * rate, rate, quality="VHQ"),
        "click": column(np.where(np.arange(2 * rate) % (rate // 3) == 50, 1.0, 0.0)),
    }[kind]
    assert true_peak(limited(table, rate, 4.0)[:, 0]) <= -1.0


@pytest.mark.parametrize("rate", RATES)
def test_what_fits_is_only_amplified(rate):
    """Where nothing reaches the ceiling every sample is the input's times the gain."""
    speech = column(voice(1.0, rate))
    np.testing.assert_array_equal(limited(speech, rate, 1.5), speech * np.float32(1.5))


def test_only_the_neighbourhood_of_a_peak_changes():
    """Further than 20 ms (and a cell) from a peak the sound is only amplified, and the gain moves without a step."""
    quiet = column(0.1 * voice(1.0, 48000))
    loud = quiet.copy()
    loud[24000] = 1.0
    result = limited(loud, 48000, 2.0)
    far = np.abs(np.arange(48000) - 24000) > 48 * 21
    np.testing.assert_allclose(result[far], 2 * quiet[far], rtol=1e-6)
    steady = limited(np.where(np.arange(48000) == 24000, 1.0, 0.1)[:, None].astype(np.float32), 48000, 2.0)
    assert np.abs(np.diff(np.delete(steady[:, 0], 24000))).max() < 0.0005


def test_channels_share_the_gain():
    """A peak in one channel turns all down alike, so that the image stays."""
    left = voice(1.0, 16000)
    table = np.stack((4 * left, left), axis=1)
    result = limited(table, 16000, 2.0)
    np.testing.assert_allclose(result[:, 0], 4 * result[:, 1], rtol=1e-5, atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(length=st.integers(0, 6000), size=st.integers(1, 7000), channels=st.integers(1, 3))
def test_blocks_and_lengths(length, size, channels):
    """As many samples come out as went in, and the same however they were cut."""
    table = np.random.default_rng(length).standard_normal((length, channels)).astype(np.float32)
    result = limited(table, 8000, 2.0, size)
    assert result.shape == table.shape
    np.testing.assert_allclose(result, limited(table, 8000, 2.0), rtol=1e-6, atol=1e-7)
