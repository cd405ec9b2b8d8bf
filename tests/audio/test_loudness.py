"""Integrated loudness."""

from fractions import Fraction

import av
import av.filter
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sordino.audio.loudness import LoudnessMeter, high_pass, shelf

RATES = (8000, 11025, 16000, 44100, 48000)


def tones(*parts: tuple[float, float], rate: int = 48000, channels: tuple[float, ...] = (0.0, 0.0)) -> np.ndarray:
    """A sine at 1 kHz in parts of (dBFS, seconds), each channel with its own level on top; (samples, channels)."""
    levels = np.concatenate([np.full(round(seconds * rate), 10 ** (level / 20)) for level, seconds in parts])
    tone = levels * np.sin(2 * np.pi * 1000 * np.arange(len(levels)) / rate)
    return (tone[:, None] * 10 ** (np.array(channels) / 20)).astype(np.float32)


def measured(table: np.ndarray, rate: int, size: int | None = None) -> float | None:
    """The loudness of ``table``, pushed in blocks of ``size`` samples."""
    meter = LoudnessMeter(rate, table.shape[1])
    for start in range(0, len(table), size or rate):
        meter.push(table[start : start + (size or rate)])
    return meter.integrated()


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        ([(-23, 20)], -23.0),
        ([(-33, 20)], -33.0),
        ([(-36, 10), (-23, 60), (-36, 10)], -23.0),
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23.0),
        ([(-26, 20), (-20, 20.1), (-26, 20)], -23.0),
    ],
)
def test_the_signals_of_ebu_tech_3341(parts, wanted, rate):
    """The minimum requirements of EBU Tech 3341, cases 1 to 5, are met within 0.1 LU, at other rates too."""
    loudness = measured(tones(*parts, rate=rate), rate)
    assert loudness is not None
    assert abs(loudness - wanted) <= 0.1


def test_five_channels():
    """Case 6 of EBU Tech 3341: surround channels count 1.41 times."""
    loudness = measured(tones((0, 20), channels=(-28, -28, -24, -30, -30)), 48000)
    assert loudness is not None
    assert abs(loudness + 23.0) <= 0.1


def test_low_frequencies_of_a_film_do_not_count():
    """In 5.1 the fourth channel has no weight."""
    with_it = measured(tones((0, 5), channels=(-28, -28, -24, 0, -30, -30)), 48000)
    without = measured(tones((0, 5), channels=(-28, -28, -24, -200, -30, -30)), 48000)
    assert with_it == without


def test_the_table_of_the_standard():
    """At 48 kHz the filters are those that BS.1770 tabulates."""
    forward, back = shelf(48000)
    np.testing.assert_allclose(forward, (1.53512485958697, -2.69169618940638, 1.19839281085285), atol=1e-8)
    np.testing.assert_allclose(back, (-1.69065929318241, 0.73248077421585), atol=1e-8)
    forward, back = high_pass(48000)
    np.testing.assert_allclose(forward, (1.0, -2.0, 1.0), atol=1e-12)
    np.testing.assert_allclose(back, (-1.99004745483398, 0.99007225036621), atol=1e-8)


def by_ffmpeg(table: np.ndarray, rate: int) -> float:
    """The loudness by FFmpeg's filter ebur128."""
    layout = {1: "mono", 2: "stereo"}[table.shape[1]]
    base = Fraction(1, rate)
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=rate, format="flt", layout=layout, time_base=base)
    graph.link_nodes(source, graph.add("ebur128", "metadata=1:framelog=quiet"), graph.add("abuffersink")).configure()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(table).reshape(1, -1), format="flt", layout=layout)
    frame.rate, frame.pts, frame.time_base = rate, 0, base
    graph.push(frame)
    graph.push(None)
    loudness = 0.0
    while True:
        try:
            loudness = float(graph.pull().metadata["lavfi.r128.I"])
        except (av.error.BlockingIOError, av.error.EOFError):
            return loudness


@pytest.mark.skipif(not hasattr(av.AudioFrame, "metadata"), reason="this PyAV does not tell what FFmpeg's filter found")
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_agrees_with_ffmpeg(rate, channels):
    """Noise whose level jumps every tenth of a second over 60 dB, with an offset, reads as by FFmpeg within 0.05 LU."""
    generator = np.random.default_rng(rate)
    steps = 10 ** (generator.uniform(-60, -6, 200) / 20)
    table = generator.standard_normal((20 * rate, channels)) * np.repeat(steps, rate // 10)[:, None] + 0.1
    table = np.ascontiguousarray(table, np.float32)
    loudness = measured(table, rate)
    assert loudness is not None
    assert abs(loudness - by_ffmpeg(table, rate)) < 0.05


@settings(max_examples=30, deadline=None)
@given(size=st.integers(100, 30_000), rate=st.sampled_from(RATES), channels=st.integers(1, 3))
def test_blocks_do_not_matter(size, rate, channels):
    """However the recording is cut, its loudness is the same."""
    table = np.random.default_rng(size).standard_normal((2 * rate + 17, channels)).astype(np.float32)
    assert measured(table, rate, size) == pytest.approx(measured(table, rate), abs=1e-3)


@pytest.mark.parametrize("rate", [100, 1000, 8000, 48000, 1_000_000])
def test_silence_and_moments_have_no_loudness(rate):
    """Digital silence, what is quieter than -70 LUFS, and less than a block of 400 ms have no loudness."""
    assert measured(np.zeros((rate, 1), np.float32), rate) is None
    assert measured(np.full((rate // 4, 1), 0.5, np.float32), rate) is None
    assert measured(np.zeros((0, 1), np.float32), rate) is None


@pytest.mark.parametrize("rate", [100, 1000, 3000, 5000, 192_000, 1_000_000])
def test_odd_rates_give_a_number(rate):
    """At any rate that can be read a noise has a loudness somewhere near its power."""
    noise = (0.1 * np.random.default_rng(1).standard_normal((2 * rate, 1))).astype(np.float32)
    loudness = measured(noise, rate)
    assert loudness is not None
    assert -40 < loudness < 0
