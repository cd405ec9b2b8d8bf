"""How a recording sounds, by numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.sounds import voice
from sordino.audio.level import Levels
from sordino.audio.order import Dnsmos, SoundQuality
from sordino.audio.quality import LEAST_SNR, Clipping, QualityMeter

RATE = 16000


def clipped(table: np.ndarray, size: int = 10_000) -> float:
    """The share of clipped samples, pushed in blocks of ``size``."""
    meter = Clipping(table.shape[1])
    for start in range(0, len(table), size):
        meter.push(table[start : start + size].astype(np.float32))
    return meter.share()


def quality(samples: np.ndarray) -> SoundQuality:
    """What is measured of one channel."""
    meter = QualityMeter(RATE, 1)
    for start in range(0, len(samples), RATE):
        meter.push(samples[start : start + RATE, None].astype(np.float32))
    return meter.quality(0.0)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_runs_at_full_scale_are_clipped(size):
    """Three samples at full scale in a row, of one sign and channel, are clipped; fewer are a peak; at any seam."""
    table = np.zeros((1000, 2))
    table[:3] = 1.0  # 6
    table[10:15, 0] = -1.0  # 5
    table[20:22] = 1.0  # too short
    table[30:34:2] = 1.0
    table[31:34:2] = -1.0  # of both signs
    table[40:44, 1] = 2.5  # 4, beyond full scale
    table[997:, 1] = 32767 / 32768  # 3
    assert clipped(table, size) * table.size == pytest.approx(18)


def test_what_is_not_clipped():
    """Speech below full scale, and no samples at all, have none."""
    assert clipped(voice(1.0, RATE)[:, None]) == 0.0
    assert clipped(np.zeros((0, 1))) == 0.0


def test_a_clipped_recording_is_told():
    """Of a sine amplified by 6 dB and cut off two thirds are at full scale."""
    sine = 2 * np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE)
    assert clipped(np.clip(sine, -1, 1)[:, None]) == pytest.approx(2 / 3, abs=0.02)


def test_noise_is_told_from_speech():
    """Speech with a third of pauses over noise: the floor is the noise's, and the ratio that of the spoken frames."""
    speech = np.concatenate((np.zeros(4 * RATE), voice(8.0, RATE)))
    noise = np.random.default_rng(1).standard_normal(len(speech))
    meter = Levels(RATE)
    meter.push(speech[:, None].astype(np.float32))
    spoken = meter.speech_level()
    assert spoken is not None
    for ratio in (10.0, 20.0, 30.0):
        level = 10 ** ((spoken - ratio) / 20)
        found = quality(speech + level * noise)
        assert found.noise_floor == pytest.approx(20 * np.log10(level), abs=1.0)
        assert found.snr == pytest.approx(ratio, abs=2.0)


def test_noise_alone_has_the_least_ratio():
    """Without speech the ratio is that below which nothing is told."""
    found = quality(0.1 * np.random.default_rng(1).standard_normal(4 * RATE))
    assert found.snr is not None
    assert LEAST_SNR <= found.snr < LEAST_SNR + 5


@pytest.mark.parametrize("length", [0, 1, RATE])
def test_silence_has_no_numbers(length):
    """Of digital silence nothing is known but that it is not clipped."""
    assert quality(np.zeros(length)) == SoundQuality(noise_floor=None, snr=None, loudness=None, clipped=0.0)


def test_what_is_measured_elsewhere_is_passed_on():
    """Clipping and scores are in the quality as they were given."""
    scores = Dnsmos(signal=1.0, background=2.0, overall=3.0)
    found = QualityMeter(RATE, 1).quality(0.25, scores)
    assert (found.clipped, found.dnsmos) == (0.25, scores)


@settings(max_examples=15, deadline=None)
@given(scale=st.sampled_from([1e-30, 1e-6, 1.0, 1e3, 1e6]), length=st.integers(0, 9000))
def test_numbers_are_finite(scale, length):
    """Whatever the level, what is told is finite or nothing."""
    found = quality(scale * np.random.default_rng(length).uniform(-1, 1, length))
    assert all(value is None or np.isfinite(value) for value in (found.noise_floor, found.snr, found.loudness))
