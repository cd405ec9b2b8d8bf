"""Levels in short frames, and the gain that restores speech."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.sounds import voice
from sordino.audio.level import LOWEST, Levels, Restorer

RATE = 16000


def levels(samples: np.ndarray, size: int = RATE) -> Levels:
    """The levels of ``samples``, pushed in blocks of ``size``."""
    table = (samples if samples.ndim == 2 else samples[:, None]).astype(np.float32)
    meter = Levels(RATE)
    for start in range(0, len(table), size):
        meter.push(table[start : start + size])
    return meter


def sine(level: float, seconds: float) -> np.ndarray:
    """A sine at 1 kHz whose peak is at ``level`` dBFS."""
    return 10 ** (level / 20) * np.sin(2 * np.pi * 1000 * np.arange(round(seconds * RATE)) / RATE)


def test_the_levels_of_a_sine():
    """A sine at full scale has -3 dBFS, throughout."""
    meter = levels(sine(0, 1))
    assert meter.noise_floor(10) == pytest.approx(-3.0, abs=0.11)
    assert meter.speech_level() == pytest.approx(-3.01, abs=0.02)


def test_pauses_and_speech_are_told_apart():
    """With a third of quiet frames the floor is theirs, and the speech's level that of the loud ones alone."""
    meter = levels(np.concatenate((sine(-57, 1), sine(-17, 2))))
    assert meter.noise_floor(30) == pytest.approx(-60.0, abs=0.11)
    assert meter.speech_level() == pytest.approx(-20.0, abs=0.02)


def test_silence_has_no_level():
    """Digital silence has none; what is nearly silent has the lowest one that is told."""
    assert levels(np.zeros(RATE)).noise_floor(10) is None
    assert levels(np.zeros(RATE)).speech_level() is None
    assert levels(np.zeros(0)).speech_level() is None
    assert levels(np.full(RATE, 1e-12)).noise_floor(10) == pytest.approx(LOWEST, abs=0.11)


def test_less_than_a_frame():
    """A single sample has a level."""
    assert levels(np.full(1, 0.1)).noise_floor(10) == pytest.approx(-20.0, abs=0.11)


@settings(max_examples=25, deadline=None)
@given(size=st.integers(1, 3000), length=st.integers(400, 5000))
def test_blocks_do_not_matter_for_levels(size, length):
    """However the recording is cut, its levels are the same."""
    samples = np.random.default_rng(length).standard_normal((length, 2))
    whole, cut = levels(samples), levels(samples, size)
    assert cut.noise_floor(10) == whole.noise_floor(10)
    assert cut.speech_level() == pytest.approx(whole.speech_level(), abs=1e-3)


def restored(noisy: np.ndarray, clean: np.ndarray, delay: int = 700) -> float:
    """The gain found between two recordings, the second of which comes in blocks that are late; dB."""
    restorer = Restorer()
    late = 0
    for start in range(0, len(noisy), 1000):
        restorer.before(noisy[start : start + 1000, None].astype(np.float32))
        end = max(0, start + 1000 - delay)
        restorer.after(clean[late:end, None].astype(np.float32))
        late = end
    restorer.after(clean[late:, None].astype(np.float32))
    return 20 * np.log10(restorer.gain())


@pytest.mark.parametrize("taken", [-3.0, -0.6, 0.0, 1.0])
def test_the_gain_of_the_speech_is_found_in_noise(taken):
    """What an engine took from the speech is found within 0.1 dB, though the input holds noise as loud."""
    speech = voice(4.0, RATE)
    noise = np.random.default_rng(2).standard_normal(len(speech)) * np.std(speech)
    assert restored(speech + noise, speech * 10 ** (taken / 20)) == pytest.approx(-taken, abs=0.1)


def test_the_gain_is_bounded():
    """Where an engine left next to nothing the gain stays within 6 dB, and is 1 where there is nothing at all."""
    noise = np.random.default_rng(2).standard_normal(RATE)
    assert restored(noise, 0.01 * noise) == pytest.approx(6.0, abs=1e-3)
    assert restored(noise, 0 * noise) == 0.0
    assert restored(noise, -noise) == 0.0
    assert restored(noise[:0], noise[:0]) == 0.0
