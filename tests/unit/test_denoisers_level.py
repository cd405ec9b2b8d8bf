"""The gain before and after an engine."""

import numpy as np
import pytest

from sordino.denoisers import load
from sordino.denoisers.level import TARGET_DB, Levelled

RATE = 48_000


class Heard:
    """A stream that gives back what it gets, and keeps it."""

    def __init__(self, channels: int) -> None:
        self._stream = load("off").stream(channels)
        self.blocks: list[np.ndarray] = []

    def push(self, block: np.ndarray) -> np.ndarray:
        """Keep the block."""
        self.blocks.append(block)
        return self._stream.push(block)

    def flush(self) -> np.ndarray:
        """Nothing is left."""
        return self._stream.flush()


def through(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What an engine that does nothing hears, and what comes out; shapes (samples, channels)."""
    heard = Heard(samples.shape[1])
    stream = Levelled(heard, rate=RATE, channels=samples.shape[1])
    outputs = [stream.push(samples[start : start + 7_001]) for start in range(0, len(samples), 7_001)]
    outputs.append(stream.flush())
    return np.concatenate(heard.blocks), np.concatenate(outputs)


def noise(seconds: float, decibels: float, channels: int = 1) -> np.ndarray:
    """White noise of a level, dBFS; float32, shape (samples, channels)."""
    random = np.random.default_rng(3)
    return (10 ** (decibels / 20) * random.standard_normal((round(seconds * RATE), channels))).astype(np.float32)


def level(samples: np.ndarray) -> float:
    """Root mean square, dBFS."""
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


@pytest.mark.parametrize("decibels", [-90, -40, 6])
@pytest.mark.parametrize("seconds", [0.02, 0.7, 9.3])
def test_engine_hears_the_target_level_and_the_output_is_the_input(seconds: float, decibels: float) -> None:
    """Whatever the level, the engine hears the same one, and what it leaves alone comes out as it went in."""
    samples = noise(seconds, decibels)
    heard, output = through(samples)
    assert level(heard) == pytest.approx(TARGET_DB, abs=1)
    np.testing.assert_allclose(output, samples, rtol=1e-5)


def test_gain_holds_through_a_pause_and_follows_a_change() -> None:
    """In 8 s of near silence the gain stays that of the speech around; a minute at another level changes it."""
    loud, quiet = noise(12, -20), noise(60, -50)
    heard, _ = through(np.concatenate((loud, noise(8, -80), loud, quiet)))
    assert level(heard[14 * RATE : 18 * RATE]) == pytest.approx(TARGET_DB - 60, abs=2)
    assert level(heard[-20 * RATE :]) == pytest.approx(TARGET_DB, abs=1)


def test_gain_is_there_before_the_speech() -> None:
    """Speech that sets in after a quiet minute is at the target from its first moment on."""
    heard, _ = through(np.concatenate((noise(60, -70), noise(10, -20))))
    assert level(heard[60 * RATE : 61 * RATE]) == pytest.approx(TARGET_DB, abs=1.5)


def test_digital_silence_has_no_level() -> None:
    """Silence before, between and after neither raises the gain nor is anything but silence."""
    silence = np.zeros((30 * RATE, 1), np.float32)
    heard, output = through(np.concatenate((silence, noise(10, -40), silence)))
    assert level(heard[31 * RATE : 39 * RATE]) == pytest.approx(TARGET_DB, abs=1)
    assert not output[: 30 * RATE].any()
    assert not output[40 * RATE :].any()


def test_channels_have_the_gain_of_the_loudest() -> None:
    """A channel 20 dB below stays 20 dB below."""
    samples = noise(8, -30, channels=2) * np.array([1, 0.1], np.float32)
    heard, _ = through(samples)
    assert [level(channel) for channel in heard.T] == pytest.approx([TARGET_DB, TARGET_DB - 20], abs=1)


def test_a_single_word_in_a_long_pause_counts() -> None:
    """A third of a second of sound in half a minute of room noise is not raised far over the target."""
    samples = noise(40, -65)
    word = slice(20 * RATE, round(20.33 * RATE))
    samples[word] += noise(0.33, -25)
    heard, _ = through(samples)
    assert TARGET_DB - 1 < level(heard[word]) < TARGET_DB + 11


@pytest.mark.parametrize("decibels", [-26, -46])
def test_offset_is_taken_away_and_is_no_level(decibels: float) -> None:
    """Each channel loses its own offset, and the engine hears the level of the sound alone."""
    sound = noise(12, decibels, channels=2)
    heard, output = through(sound + np.array([0.3, -0.1], np.float32))
    assert level(heard[:, :1]) == pytest.approx(TARGET_DB, abs=1)
    np.testing.assert_allclose(output, sound, atol=2e-3 * 10 ** (decibels / 20) + 1e-6)
