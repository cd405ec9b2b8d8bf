"""Analysis and synthesis: perfect reconstruction one hop late, in any blocks of hops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sordino.audio.stft import Stft, vorbis_window

STFT = Stft(960)


def noise(channels: int, samples: int) -> np.ndarray:
    """White noise; float32, shape (channels, samples)."""
    return np.random.default_rng(7).standard_normal((channels, samples)).astype(np.float32)


def round_trip(samples: np.ndarray, hops: list[int]) -> np.ndarray:
    """Through both transforms, in blocks of so many hops."""
    analysis = synthesis = STFT.silence(len(samples))
    outputs, start = [], 0
    for count in hops:
        block = samples[:, start : start + count * STFT.hop]
        spectrum, analysis = STFT.analyse(block, analysis)
        output, synthesis = STFT.synthesise(spectrum, synthesis)
        outputs.append(output)
        start += count * STFT.hop
    return np.concatenate(outputs, axis=1)


@pytest.mark.parametrize("size", [2, 320, 960])
def test_window_is_power_complementary(size: int) -> None:
    """The squares of the window's halves add up to one, so that overlap-add reconstructs."""
    window = vorbis_window(size)
    assert window.dtype == np.float32
    np.testing.assert_allclose(window[: size // 2] ** 2 + window[size // 2 :] ** 2, 1, atol=1e-6)


@given(hops=st.lists(st.integers(1, 5), min_size=1, max_size=6), channels=st.integers(1, 3))
def test_round_trip_is_a_delay_of_one_hop(hops: list[int], channels: int) -> None:
    """Whatever the blocks, the samples come back unchanged but one hop late."""
    samples = noise(channels, sum(hops) * STFT.hop)
    output = round_trip(samples, hops)
    assert output.shape == samples.shape
    assert output.dtype == np.float32
    np.testing.assert_allclose(output[:, STFT.hop :], samples[:, : -STFT.hop], atol=2e-6)
    np.testing.assert_allclose(output[:, : STFT.hop], 0, atol=2e-6)


def test_blocks_do_not_change_the_spectrum() -> None:
    """The frames of two blocks are those of one."""
    samples = noise(1, 6 * STFT.hop)
    whole, _ = STFT.analyse(samples, STFT.silence(1))
    first, overlap = STFT.analyse(samples[:, : 2 * STFT.hop], STFT.silence(1))
    second, _ = STFT.analyse(samples[:, 2 * STFT.hop :], overlap)
    np.testing.assert_array_equal(np.concatenate((first, second), axis=1), whole)


def test_sine_lies_in_its_bin() -> None:
    """A full-scale sine at a bin's centre has half the window's mean as magnitude there, and the most of all bins."""
    sine = np.sin(2 * np.pi * 20 * np.arange(4 * STFT.hop) / STFT.size).astype(np.float32)[None]
    spectrum, _ = STFT.analyse(sine, STFT.silence(1))
    assert spectrum.dtype == np.complex64
    assert spectrum.shape == (1, 4, 481)
    magnitude = np.abs(spectrum[0, 2])
    assert magnitude.argmax() == 20
    assert magnitude[20] == pytest.approx(STFT.window.mean() / 2, rel=1e-4)


def test_arguments_are_left_alone() -> None:
    """Neither transform writes into what it is given, so a stream's state can be kept and copied."""
    samples, overlap = noise(1, 2 * STFT.hop), noise(1, STFT.hop)
    kept = samples.copy(), overlap.copy()
    spectrum, _ = STFT.analyse(samples, overlap)
    before = spectrum.copy()
    STFT.synthesise(spectrum, overlap)
    np.testing.assert_array_equal(samples, kept[0])
    np.testing.assert_array_equal(overlap, kept[1])
    np.testing.assert_array_equal(spectrum, before)
