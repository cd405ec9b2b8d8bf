"""Recordings as they come: long pauses, single words, sudden noises, beginnings and ends anywhere."""

from pathlib import Path

import numpy as np
import pytest

import sordino
from audio.sounds import read_media, voice
from sordino.denoisers import load
from sordino.denoisers.weights import DFN2, DFN3, DFN3_LL

RATE = 48_000

ENGINES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(not all(archive.is_there() for archive in archives), reason="no weights installed"),
    )
    for name, archives in (("fast", [DFN3]), ("dfn3", [DFN3]), ("best", [DFN3, DFN3_LL, DFN2]))
]

PRIMED = ENGINES[1:]
SPEECH = Path(__file__).parents[3] / "shared" / "audio" / "48k" / "clean"


def level(samples: np.ndarray) -> float:
    """Root mean square, dBFS."""
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20))


def noise(count: int, decibels: float) -> np.ndarray:
    """White noise of a level, dBFS; float32, shape (count,)."""
    return (10 ** (decibels / 20) * np.random.default_rng(7).standard_normal(count)).astype(np.float32)


def gain(clean: np.ndarray, output: np.ndarray) -> float:
    """How much of the clean sound is in the output, dB."""
    wide = clean.astype(np.float64)
    return float(20 * np.log10(abs(np.dot(wide, output)) / np.dot(wide, wide)))


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Twelve seconds of clean speech of one talker, peak 0.5; float32, shape (samples,)."""
    if not SPEECH.is_dir():
        pytest.skip("the corpus ../shared/audio is not there")
    spoken = np.concatenate([read_media(SPEECH / f"A{number}.flac")[0][:, 0] for number in (23, 24, 25)])
    return np.asarray(0.5 * spoken / np.abs(spoken).max(), np.float32)


@pytest.mark.parametrize("engine", ENGINES)
def test_talkers_far_apart_in_level_keep_theirs(engine: str, speech: np.ndarray) -> None:
    """Of two that take turns, 25 dB apart, each comes out as loud as it was, also after a pause of 20 s."""
    turn = speech[: 4 * RATE]
    quiet = turn * 10 ** (-25 / 20)
    clean = np.concatenate((turn, quiet, turn, np.zeros(20 * RATE), quiet)).astype(np.float32)
    output = sordino.denoise(clean + noise(len(clean), -70), RATE, denoiser=engine)
    for start in (0, 4, 8, 32):
        part = slice(start * RATE, (start + 4) * RATE)
        assert gain(clean[part], output[part]) == pytest.approx(0, abs=1.5)


@pytest.mark.parametrize("engine", PRIMED)
def test_a_silent_beginning_stays_silent(engine: str, speech: np.ndarray) -> None:
    """Where nothing was recorded yet, the passage heard before the beginning is not heard either (-50 dBFS)."""
    loud = int(np.argmax(np.convolve(np.abs(speech), np.ones(RATE // 10), "same")))
    for heard in (2.0, 5.0):
        samples = np.concatenate((np.zeros(round((heard - 0.3) * RATE)), speech[loud - round(0.3 * RATE) :][:RATE]))
        output = sordino.denoise(samples.astype(np.float32), RATE, denoiser=engine)
        assert np.abs(output[: RATE // 10]).max() < 3e-3


@pytest.mark.parametrize("engine", ENGINES)
def test_a_word_between_long_pauses_is_kept(engine: str, speech: np.ndarray) -> None:
    """A word of 0.4 s between pauses of 18 s keeps its waveform: up to a gain, 22 dB over its error."""
    loud = int(np.argmax(np.convolve(np.abs(speech), np.ones(RATE // 5), "same")))
    word = speech[loud - RATE // 5 : loud + RATE // 5] * np.sin(np.linspace(0, np.pi, 2 * (RATE // 5))) ** 0.2
    clean = np.zeros(37 * RATE, np.float32)
    place = slice(18 * RATE, 18 * RATE + len(word))
    clean[place] = word
    output = sordino.denoise(clean + noise(len(clean), -65), RATE, denoiser=engine)[place]
    factor = 10 ** (gain(clean[place], output) / 20)
    assert level(clean[place] * factor) - level(output - clean[place] * factor) > 22


@pytest.mark.parametrize("engine", ENGINES)
def test_clean_speech_keeps_its_spectrum(engine: str, speech: np.ndarray) -> None:
    """What is below 4.8 kHz, where the filters work, comes out with the same gain as what is above, where gains do."""
    output = sordino.denoise(speech, RATE, denoiser=engine)
    before, after = np.fft.rfft(speech), np.fft.rfft(output)
    below, above = slice(300 * 12, 4_500 * 12), slice(5_000 * 12, 10_000 * 12)
    gains = [abs(np.vdot(before[part], after[part]) / np.vdot(before[part], before[part])) for part in (below, above)]
    assert 20 * np.log10(gains[0] / gains[1]) == pytest.approx(0, abs=0.6)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_offset_does_not_harm_speech(engine: str, speech: np.ndarray) -> None:
    """Speech under an offset of 0.3 comes out as it does without."""
    noisy = 0.1 * speech + noise(len(speech), -65)
    without = sordino.denoise(noisy, RATE, denoiser=engine)
    output = sordino.denoise(noisy + np.float32(0.3), RATE, denoiser=engine)
    error = output - output.mean() - without
    assert level(error[RATE:]) < level(without[RATE:]) - 15


@pytest.mark.parametrize("engine", ENGINES)
def test_noise_of_a_long_pause_does_not_come_out_louder(engine: str) -> None:
    """In half a minute's pause the gain follows the noise, and yet less of it comes out than went in."""
    spoken = voice(4, RATE)
    faint = noise(38 * RATE, -60)
    samples = faint.copy()
    samples[: len(spoken)] += spoken
    samples[-len(spoken) :] += spoken
    pause = sordino.denoise(samples, RATE, denoiser=engine)[6 * RATE : 32 * RATE]
    loudest = max(level(frame) for frame in pause.reshape(-1, RATE // 50))
    assert level(pause) < -70
    assert loudest < -56


@pytest.mark.parametrize("engine", ENGINES)
def test_borders_of_blocks_and_of_gains_cannot_be_found(engine: str) -> None:
    """The third difference of the output is no greater at blocks of 2 s and steps of 0.5 s than elsewhere."""
    changing = np.concatenate([voice(3.13, RATE) * factor for factor in (1, 0.01, 1, 0.01)])
    output = sordino.denoise((changing + noise(len(changing), -75)).astype(np.float32), RATE, denoiser=engine)
    rough = np.abs(np.diff(output.astype(np.float64), 3))

    def ratio(place: int) -> float:
        around = rough[place - 500 : place + 500]
        return float(rough[place - 4 : place + 2].max() / (np.percentile(around, 99) + 1e-12))

    borders = range(RATE // 2, len(rough) - 600, RATE // 2)
    elsewhere = np.random.default_rng(1).integers(600, len(rough) - 600, 400)
    assert max(map(ratio, borders)) <= 1.5 * max(map(ratio, elsewhere))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("linked", [False, True])
def test_single_samples_give_what_one_block_gives(engine: str, linked: bool) -> None:
    """Pushed sample by sample, at once or at random lengths, a recording comes out the same, bit by bit."""
    samples = np.stack((voice(0.4, RATE), 0.3 * voice(0.4, RATE)[::-1]), axis=1).astype(np.float32)
    streams = [load(engine).stream(2, linked=linked) for _ in range(3)]
    cuts = [[], list(range(1, len(samples))), sorted(np.random.default_rng(2).integers(0, len(samples), 30))]
    outputs = [
        np.concatenate([*map(stream.push, np.split(samples, places)), stream.flush()])
        for stream, places in zip(streams, cuts, strict=True)
    ]
    np.testing.assert_array_equal(outputs[1], outputs[0])
    np.testing.assert_array_equal(outputs[2], outputs[0])


@pytest.mark.parametrize("engine", ENGINES)
def test_diffuse_noise_goes_and_the_place_of_a_voice_stays(engine: str) -> None:
    """A voice 12 dB to the left in noise that the ears do not share keeps its place, and the noise goes in both."""
    spoken = np.concatenate((np.zeros(3 * RATE, np.float32), voice(5, RATE)))
    table = np.random.default_rng(3).standard_normal((len(spoken), 2)).astype(np.float32) * np.float32(0.003)
    quiet = level(table[RATE : 2 * RATE])
    table += spoken[:, None] * np.array([1, 0.25], np.float32)
    output = sordino.denoise(table, RATE, denoiser=engine)
    assert gain(spoken, output[:, 0]) - gain(spoken, output[:, 1]) == pytest.approx(12.04, abs=0.2)
    assert level(output[RATE : 2 * RATE]) < quiet - 15


@pytest.mark.parametrize("rate", [44_100, 22_050, 11_025])
def test_nothing_drifts_over_ten_minutes(rate: int) -> None:
    """At rates that share little with the engine's, the last second of 10 minutes is where it was, to the sample."""
    count = 600 * rate + 37
    samples = np.zeros(count, np.float32)
    samples[-rate:] = voice(1, rate)
    output = sordino.denoise(samples, rate, denoiser="off", strength=100)
    assert len(output) == count
    np.testing.assert_allclose(output[-rate // 2 : -rate // 4], samples[-rate // 2 : -rate // 4], atol=0.02)
