"""The network's input features against their definition, one frame at a time."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sordino.denoisers.features import BAND_BINS, BANDS, BINS, DF_BINS, Means, extract

FRAMES = 200


def spectrum(frames: int, channels: int = 1) -> np.ndarray:
    """Random frames of very different loudness; complex64, shape (channels, frames, BINS)."""
    random = np.random.default_rng(11)
    parts = random.standard_normal((2, channels, frames, BINS)) * 10 ** random.uniform(-5, 0, (channels, frames, 1))
    return (parts[0] + 1j * parts[1]).astype(np.complex64)


def frame_by_frame(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The features by definition, in double precision: shapes (frames, BANDS) and (frames, DF_BINS)."""
    mean_db, mean_magnitude = np.linspace(-60, -90, BANDS), np.linspace(1e-3, 1e-4, DF_BINS)
    edges = np.concatenate(([0], np.cumsum(BAND_BINS)))
    erb, low = [], []
    for frame in frames.astype(np.complex128):
        power = np.abs(frame) ** 2
        bands = [power[start:end].mean() for start, end in pairwise(edges)]
        decibels = 10 * np.log10(np.array(bands) + 1e-10)
        mean_db = 0.99 * mean_db + 0.01 * decibels
        mean_magnitude = 0.99 * mean_magnitude + 0.01 * np.abs(frame[:DF_BINS])
        erb.append((decibels - mean_db) / 40)
        low.append(frame[:DF_BINS] / np.sqrt(mean_magnitude))
    return np.array(erb), np.array(low)


def test_bands_cover_all_bins() -> None:
    """The 32 bands hold two bins or more, never fewer than the band below from the fourteenth on, and all of them."""
    assert BAND_BINS.sum() == BINS
    assert len(BAND_BINS) == BANDS
    assert BAND_BINS.min() == 2
    assert (np.diff(BAND_BINS[13:]) >= 0).all()


def test_features_are_those_of_the_definition() -> None:
    """The block recursion agrees with one step a frame."""
    frames = spectrum(FRAMES)
    erb, low = frame_by_frame(frames[0])
    features = extract(frames, Means.initial(1))
    assert features.erb.dtype == features.complex.dtype == np.float32
    np.testing.assert_allclose(features.erb[0], erb, atol=2e-5)
    np.testing.assert_allclose(features.complex[0, 0], low.real, atol=2e-4, rtol=1e-4)
    np.testing.assert_allclose(features.complex[0, 1], low.imag, atol=2e-4, rtol=1e-4)


@given(split=st.integers(1, FRAMES - 1))
@settings(max_examples=20)
def test_blocks_give_what_one_block_gives(split: int) -> None:
    """The running means carry over: two blocks have the features of one."""
    frames = spectrum(FRAMES, channels=2)
    whole = extract(frames, Means.initial(2))
    first = extract(frames[:, :split], Means.initial(2))
    second = extract(frames[:, split:], first.means)
    np.testing.assert_allclose(np.concatenate((first.erb, second.erb), axis=1), whole.erb, atol=1e-5)
    np.testing.assert_allclose(np.concatenate((first.complex, second.complex), axis=2), whole.complex, atol=1e-4)
    np.testing.assert_allclose(second.means.power, whole.means.power, rtol=1e-5)
