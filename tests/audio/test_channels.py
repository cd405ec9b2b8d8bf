"""Mixing many channels to one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.sounds import error_db, voice
from sordino.audio.channels import Downmix

RATE = 16000


def mixed(table: np.ndarray, size: int = RATE) -> np.ndarray:
    """``table`` (samples, channels) mixed in blocks of ``size``; shape (samples,)."""
    downmix = Downmix(table.shape[1], RATE)
    blocks = [downmix.push(table[start : start + size]) for start in range(0, len(table), size)]
    return np.concatenate([*blocks, downmix.flush()])[:, 0]


def noise(seconds: float, level: float, seed: int = 1) -> np.ndarray:
    """White noise, float32, shape (samples,)."""
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def test_one_channel_is_left_alone():
    """A mono recording passes through bit by bit."""
    speech = voice(3.0, RATE)
    np.testing.assert_array_equal(mixed(speech[:, None]), speech)


@pytest.mark.parametrize("channels", [2, 6])
def test_equal_channels_keep_their_level(channels):
    """The same sound in all channels comes out as it was."""
    speech = voice(4.0, RATE)
    assert error_db(speech, mixed(np.repeat(speech[:, None], channels, axis=1))) < -100


def test_opposite_phase_does_not_cancel():
    """A pair wired in anti-phase comes out at full level."""
    speech = voice(4.0, RATE)
    result = mixed(np.stack((speech, -speech), axis=1))
    assert min(error_db(speech, result), error_db(speech, -result)) < -100


@pytest.mark.parametrize("place", [0, 1, 5])
def test_speech_in_one_channel_keeps_its_level(place):
    """Speech in one channel of six is neither lost nor lowered."""
    speech = voice(4.0, RATE)
    table = np.zeros((len(speech), 6), np.float32)
    table[:, place] = speech
    assert error_db(speech, mixed(table)) < -100


def test_hiss_in_the_other_channel_hardly_counts():
    """A channel 60 dB down does not lower the one that speaks."""
    speech = voice(4.0, RATE)
    assert error_db(speech, mixed(np.stack((noise(4.0, 1e-4), speech), axis=1))) < -35


def test_two_talkers_are_both_kept():
    """Different sounds in two channels both come out, at half their level."""
    left, right = voice(4.0, RATE), noise(4.0, 0.1)
    assert error_db((left + right) / 2, mixed(np.stack((left, right), axis=1))) < -40


def test_a_channel_that_starts_late_joins():
    """A talker who starts in a silent channel after ten seconds is heard from the first block on."""
    left, right = voice(20.0, RATE), noise(20.0, 0.1)
    right[: 10 * RATE] = 0
    result = mixed(np.stack((left, right), axis=1))
    late = slice(11 * RATE, None)
    assert error_db(((left + right) / 2)[late], result[late]) < -40
    assert error_db(left[: 10 * RATE], result[: 10 * RATE]) < -40


def test_weights_move_without_a_click():
    """When the weights change, a steady tone changes its level smoothly."""
    time = np.arange(8 * RATE) / RATE
    tone = (0.5 * np.sin(2 * np.pi * 100 * time)).astype(np.float32)
    other = np.where(time < 5, 0, tone).astype(np.float32)
    steps = np.abs(np.diff(mixed(np.stack((tone, other), axis=1))))
    assert steps.max() < 1.05 * np.abs(np.diff(tone)).max()


def test_silence_stays_silence():
    """All channels silent give silence and no invalid numbers."""
    assert not mixed(np.zeros((5 * RATE, 3), np.float32)).any()


@settings(max_examples=40, deadline=None)
@given(length=st.integers(0, 3 * RATE), size=st.integers(500, 3 * RATE), channels=st.integers(1, 4))
def test_length_is_kept(length, size, channels):
    """As many samples come out as went in, whatever the blocks, and none beyond the loudest input."""
    table = np.random.default_rng(length).uniform(-1, 1, (length, channels)).astype(np.float32)
    result = mixed(table, size)
    assert result.shape == (length,)
    assert np.abs(result).max(initial=0) <= 1.0001
