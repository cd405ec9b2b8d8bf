"""Where a recording's band ends, and what the features get above it."""

import numpy as np
import pytest

from sordino.denoisers import band

BINS = 481
HIGHEST = 180


def powers(end: int, floor: float = 0.0) -> np.ndarray:
    """Mean powers that fall 60 dB over the band as speech does, up to bin ``end``, and a floor above."""
    slope = 10 ** (-6 * np.arange(BINS) / BINS)
    return np.where(np.arange(BINS) <= end, slope, floor)


@pytest.mark.parametrize("end", [62, 68, 80, 110, 160, 170])
@pytest.mark.parametrize("floor", [0.0, 1e-8])
def test_edge_is_found(end: int, floor: float) -> None:
    """A band that ends between 3 and 9 kHz is seen to end there, over digital silence and over a faint floor."""
    assert band.edge(powers(end, floor), HIGHEST) == end


@pytest.mark.parametrize("end", [250, 320, 480])
def test_wider_band_has_no_edge(end: int) -> None:
    """Speech that reaches beyond 12 kHz, and so the low-pass of lossy codecs, misses nothing."""
    assert band.edge(powers(end), HIGHEST) is None


def test_silence_has_no_edge() -> None:
    """Where there is no power nothing ends."""
    assert band.edge(np.zeros(BINS), HIGHEST) is None


def test_a_hole_is_no_edge() -> None:
    """A band-stop filter, over which there is sound again, is left alone."""
    power = powers(480)
    power[100:130] = 0
    assert band.edge(power, HIGHEST) is None


def test_image_is_faint_and_in_its_channel_only() -> None:
    """The bins above the edge get the mirror image 13 dB down; bins below and full-band channels stay untouched."""
    random = np.random.default_rng(1)
    spectrum = (random.standard_normal((2, 5, BINS)) + 1j * random.standard_normal((2, 5, BINS))).astype(np.complex64)
    spectrum[0, :, 81:] = 0
    power = band.learnt(np.zeros((2, BINS)), spectrum)
    result = band.filled(spectrum, power, HIGHEST)
    np.testing.assert_array_equal(result[1], spectrum[1])
    np.testing.assert_array_equal(result[0, :, :81], spectrum[0, :, :81])
    np.testing.assert_allclose(result[0, :, 81], 10 ** (-13 / 20) * spectrum[0, :, 79].conj(), rtol=1e-5)
    assert not result[0, :, 162:].any()


def test_full_band_is_not_copied() -> None:
    """Where nothing is missing, nothing is done."""
    spectrum = np.ones((1, 3, BINS), np.complex64)
    assert band.filled(spectrum, np.ones((1, BINS)), HIGHEST) is spectrum


def test_edges_above_the_highest_are_left_alone() -> None:
    """What is to be treated as full-band is: an edge at 8 kHz is none where only the telephone's is looked for."""
    assert band.edge(powers(160), 100) is None
