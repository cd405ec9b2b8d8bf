"""``sordino bench speed``: the figures it prints, and what it refuses."""

import json
import wave
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sordino.cli import bench
from sordino.denoisers.comparison import si_sdr

RUNNER = CliRunner()


def write_wav(path: Path, samples: np.ndarray, rate: int = 16_000) -> Path:
    """16-bit PCM of float samples, shape (samples, channels)."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(samples * 2**15).astype("<i2").tobytes())
    return path


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A second of two channels: noise with a slow beat, and silence."""
    random = np.random.default_rng(1)
    noise = 0.05 * random.standard_normal(16_000) * np.sin(np.arange(16_000) / 500)
    return write_wav(tmp_path / "noise.wav", np.stack((noise, 0 * noise), axis=1))


def test_speed_prints_a_table_and_the_figures(recording: Path) -> None:
    """The last line is JSON; both engines took time, and agree far better than two different engines could."""
    result = RUNNER.invoke(bench.app, ["speed", "--input", str(recording), "--seconds", "1.5", "--rounds", "1"])
    assert result.exit_code == 0, result.output
    assert "real-time factor" in result.output
    figures = json.loads(result.output.splitlines()[-1])
    assert figures["input"] == "noise.wav"
    assert figures["seconds"] == 1.5
    assert figures["rounds"] == 1
    assert figures["dfn3_cpu_seconds"] > 0
    assert 0 <= figures["runtime_loop_cpu_seconds"] < figures["runtime_cpu_seconds"]
    assert figures["ratio"] == pytest.approx(figures["runtime_cpu_seconds"] / figures["dfn3_cpu_seconds"])
    assert figures["dfn3_audio_seconds_per_cpu_second"] == pytest.approx(1.5 / figures["dfn3_cpu_seconds"])
    assert figures["si_sdr_db"] > 60
    assert "libdeepfilter" in figures["compared_with"]


def test_read_wav_takes_the_first_channel_resampled_and_repeated(recording: Path) -> None:
    """A second of 16 kHz becomes two and a half of 48 kHz, the last half a repetition."""
    samples = bench.read_wav(recording, rate=48_000, seconds=2.5)
    assert samples.dtype == np.float32
    assert samples.shape == (120_000,)
    np.testing.assert_array_equal(samples[48_000:96_000], samples[:48_000])
    assert 0.02 < samples.std() < 0.05


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "sordino bench speed"), (b"RIFF", "sordino bench speed"), (None, "No such file")]
)
def test_unreadable_input_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    """A file that is no WAV, or is not there, ends in a message and status 2."""
    path = tmp_path / "input.wav"
    if content is not None:
        path.write_bytes(content)
    result = RUNNER.invoke(bench.app, ["speed", "--input", str(path)])
    assert result.exit_code == 2
    assert message in result.output


def test_silent_input_is_refused(tmp_path: Path) -> None:
    """Silence cannot be compared, and is refused with a message."""
    path = write_wav(tmp_path / "silence.wav", np.zeros((16_000, 1)))
    result = RUNNER.invoke(bench.app, ["speed", "--input", str(path)])
    assert result.exit_code == 2
    assert "silence" in result.output


def test_without_the_sample_the_message_says_what_to_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the wheel with the sample is not installed, the message names --input."""

    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(bench, "distribution", missing)
    result = RUNNER.invoke(bench.app, ["speed"])
    assert result.exit_code == 2
    assert "--input" in result.output


def test_si_sdr_ignores_scale_and_counts_distortion() -> None:
    """A tenth of orthogonal error is 20 dB whatever the gain; none is infinite."""
    reference = np.array([1, 0, 0, 0], np.float32)
    error = np.array([0, 0.1, 0, 0], np.float32)
    assert si_sdr(reference, reference + error) == pytest.approx(20, abs=1e-4)
    assert si_sdr(reference, -3 * (reference + error)) == pytest.approx(20, abs=1e-4)
    assert si_sdr(reference, reference) == float("inf")
