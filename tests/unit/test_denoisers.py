"""The registry, and the contract that every registered denoiser keeps."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sordino import denoisers
from sordino.denoisers import Denoiser, DenoiserInfo, UnknownDenoiserError

RATE = 48_000


def voice(seconds: float, seed: int) -> np.ndarray:
    """A gliding harmonic tone in syllables, which passes for speech; float32, shape (samples,), peak 0.3."""
    time = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(140 + 40 * np.sin(2 * np.pi * 0.7 * time + seed)) / RATE
    tone = sum(np.sin(k * phase) / k for k in range(1, 25))
    loudness = np.clip(np.sin(2 * np.pi * 2.1 * time + seed), 0, None)
    signal = tone * loudness
    return (0.3 * signal / np.abs(signal).max()).astype(np.float32)


def noisy(seconds: float, channels: int = 1) -> np.ndarray:
    """Another voice and noise in each channel; float32, shape (samples, channels)."""
    random = np.random.default_rng(5)
    clean = np.stack([voice(seconds, seed) for seed in range(channels)], axis=1)
    return clean + 0.02 * random.standard_normal(clean.shape).astype(np.float32)


def denoise(denoiser: Denoiser, samples: np.ndarray, sizes: tuple[int, ...] = ()) -> np.ndarray:
    """All of the samples through one stream: blocks of these sizes first, then the rest."""
    stream = denoiser.stream(samples.shape[1])
    blocks = np.split(samples, np.cumsum(sizes)) if sizes else [samples]
    return np.concatenate([*(stream.push(block) for block in blocks), stream.flush()])


@pytest.fixture(scope="module", params=denoisers.names())
def denoiser(request: pytest.FixtureRequest) -> Denoiser:
    """Each engine that is installed."""
    return denoisers.load(request.param)


def test_names_are_the_installed_engines() -> None:
    """All built-in engines are registered, in order."""
    assert {"best", "dfn3", "fast", "off"} <= set(denoisers.names())
    assert list(denoisers.names()) == sorted(denoisers.names())


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    """A typing error is answered with the names there are."""
    with pytest.raises(UnknownDenoiserError, match=r"'dfn4'.*best, dfn3, fast, off"):
        denoisers.load("dfn4")


def test_load_is_once_a_process(denoiser: Denoiser) -> None:
    """A second load gives the same engine, without reading the model again."""
    assert denoisers.load(denoiser.info.name) is denoiser


def test_info_is_complete(denoiser: Denoiser) -> None:
    """Name, licence, rate and delay are given, and make sense."""
    info = denoiser.info
    assert isinstance(info, DenoiserInfo)
    assert info.name in denoisers.names()
    assert info.licence
    assert info.rate > 0
    assert info.delay >= 0


@cache
def in_one_block(denoiser: Denoiser) -> np.ndarray:
    """The noisy voice through an engine at once; it is longer than any block inside an engine."""
    return denoise(denoiser, noisy(2.7))


@given(sizes=st.lists(st.one_of(st.integers(0, 700), st.integers(0, 60_000)), max_size=6))
@settings(max_examples=15, deadline=None)
def test_any_blocks_give_what_one_block_gives(denoiser: Denoiser, sizes: list[int]) -> None:
    """Block sizes, 0 included, change nothing."""
    np.testing.assert_array_equal(denoise(denoiser, noisy(2.7), tuple(sizes)), in_one_block(denoiser))


@given(length=st.one_of(st.integers(0, 2_000), st.integers(94_000, 98_000)), channels=st.integers(1, 2))
@settings(max_examples=15, deadline=None)
def test_length_is_kept(denoiser: Denoiser, length: int, channels: int) -> None:
    """As many samples come out as went in, none included."""
    output = denoise(denoiser, noisy(2.1, channels)[:length])
    assert output.shape == (length, channels)
    assert output.dtype == np.float32


def test_output_is_aligned(denoiser: Denoiser) -> None:
    """The output correlates best with the clean voice at a shift of 0 samples."""
    clean = voice(3, seed=0)
    output = denoise(denoiser, noisy(3))[:, 0]
    inner = slice(4_000, -4_000)
    shifts = np.arange(-2_000, 2_001)
    correlation = np.correlate(output, clean[inner], mode="valid")[2_000:6_001]
    assert shifts[np.argmax(correlation)] == 0
    assert correlation.max() > 0.2 * np.sum(clean[inner] ** 2)  # a synthetic voice is no voice to every engine


def test_channels_are_independent(denoiser: Denoiser) -> None:
    """Two channels together give what each gives alone."""
    samples = noisy(2.5, 2)
    together = denoise(denoiser, samples)
    for channel in range(2):
        alone = denoise(denoiser, samples[:, [channel]])
        np.testing.assert_allclose(together[:, [channel]], alone, atol=1e-5)


@pytest.mark.parametrize(
    "value", [np.nan, np.inf, -np.inf, 3e38, 1e-40, 1.0], ids=["nan", "inf", "-inf", "huge", "denormal", "full"]
)
def test_output_is_finite_and_recovers(denoiser: Denoiser, value: float) -> None:
    """Broken and extreme samples give finite output, and seconds later the voice comes through."""
    samples = noisy(6)
    samples[10_000:20_000:3] = value
    output = denoise(denoiser, samples)
    assert np.isfinite(output).all()
    assert np.abs(output[-RATE:]).max() > 0.01


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_broken_samples_count_as_silence(denoiser: Denoiser, value: float) -> None:
    """NaN, infinities and absurd values do what zeros in their place would do."""
    zeros, broken = noisy(1), noisy(1)
    zeros[5_000:5_100] = 0
    broken[5_000:5_100] = value
    np.testing.assert_array_equal(denoise(denoiser, broken), denoise(denoiser, zeros))


def test_silence_stays_silent(denoiser: Denoiser) -> None:
    """Digital silence comes out as digital silence."""
    assert not denoise(denoiser, np.zeros((RATE * 3, 1), np.float32)).any()


def test_same_input_gives_the_same_bytes(denoiser: Denoiser) -> None:
    """Two runs do not differ in a bit."""
    samples = noisy(2.5, 2)
    assert denoise(denoiser, samples).tobytes() == denoise(denoiser, samples).tobytes()


def test_streams_do_not_meet(denoiser: Denoiser) -> None:
    """Two recordings in turns through one engine come out as if each were alone."""
    first, second = noisy(2.5), noisy(2.5)[::-1].copy()
    streams = denoiser.stream(), denoiser.stream()
    outputs: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for start in range(0, len(first), 30_000):
        for stream, samples, output in zip(streams, (first, second), outputs, strict=True):
            output.append(stream.push(samples[start : start + 30_000]))
    for stream, samples, output in zip(streams, (first, second), outputs, strict=True):
        np.testing.assert_array_equal(np.concatenate([*output, stream.flush()]), denoise(denoiser, samples))


def test_stream_is_as_new_after_flush(denoiser: Denoiser) -> None:
    """A second recording through the same stream knows nothing of the first."""
    samples = noisy(1)
    stream = denoiser.stream()
    first = np.concatenate([stream.push(samples), stream.flush()])
    second = np.concatenate([stream.push(samples), stream.flush()])
    np.testing.assert_array_equal(first, second)


def test_input_is_left_alone(denoiser: Denoiser) -> None:
    """The caller's block is neither changed nor handed back."""
    samples = noisy(0.5)
    samples[7] = np.nan
    kept = samples.copy()
    output = denoiser.stream().push(samples)
    np.testing.assert_array_equal(samples, kept)
    assert not np.shares_memory(output, samples)


@pytest.mark.parametrize(
    "block",
    [np.zeros((4, 1)), np.zeros(4, np.float32), np.zeros((4, 2), np.float32)],
    ids=["dtype", "rank", "channels"],
)
def test_block_of_another_form_is_refused(denoiser: Denoiser, block: np.ndarray) -> None:
    """A wrong dtype, rank or number of channels is an error and not a surprise."""
    with pytest.raises(ValueError, match=r"shape \(samples, 1\)"):
        denoiser.stream().push(block)


def test_off_changes_nothing() -> None:
    """The engine called off gives back the very samples."""
    samples = noisy(1, 2)
    np.testing.assert_array_equal(denoise(denoisers.load("off"), samples), samples)


@pytest.mark.parametrize("channels", [0, -1])
def test_a_stream_has_a_channel(denoiser: Denoiser, channels: int) -> None:
    """A stream without channels is refused where it is asked for."""
    with pytest.raises(ValueError, match="1 channel or more"):
        denoiser.stream(channels)
