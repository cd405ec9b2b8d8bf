"""What every `sordino.domain.ports.Media` must do."""

import wave
from pathlib import Path

import numpy as np
import pytest

from sordino.adapters.media import ProcessMedia
from sordino.domain.job import AudioFormat, MediaInfo, NoiseReduction
from sordino.domain.ports import Media, MediaFailedError


@pytest.fixture
def media() -> Media:
    """The adapter, with the engine that removes nothing."""
    return ProcessMedia(denoiser="off", max_seconds=60, memory_bytes=2**30, cpu_seconds=60)


def recording(path: Path, seconds: float = 2.0, rate: int = 8000) -> Path:
    """A WAV file of noise."""
    samples = np.random.default_rng(1).integers(-3000, 3000, round(seconds * rate), dtype=np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


@pytest.mark.parametrize("form", list(AudioFormat))
async def test_makes_what_was_ordered(media, form, tmp_path):
    """The target holds the ordered format and rate, and the result tells its true values."""
    target = tmp_path / "out"
    progress = []
    order = NoiseReduction(format=form, sample_rate=24000)
    result = await media.denoise(recording(tmp_path / "in"), target, order, progress.append)
    names = {"wav": ("wav", "pcm_s16le"), "mp3": ("mp3", "mp3"), "m4a": ("mov,mp4,m4a,3gp,3g2,mj2", "aac")}
    assert result.info == MediaInfo(
        duration=2.0,
        sample_rate=24000,
        channels=1,
        size=target.stat().st_size,
        format_name=names[form][0],
        codec_name=names[form][1],
    )
    assert result.note == ""
    assert progress == sorted(set(progress))
    assert progress[-1] == 100


@pytest.mark.parametrize("data", [b"", b"no media", b"#EXTM3U\nhttp://127.0.0.1/a.wav\n"])
async def test_inputs_at_fault_fail_the_job(media, data, tmp_path):
    """An input that cannot be processed fails with the protocol's code and a message that helps."""
    (tmp_path / "in").write_bytes(data)
    with pytest.raises(MediaFailedError) as raised:
        await media.denoise(tmp_path / "in", tmp_path / "out", NoiseReduction(), [].append)
    assert raised.value.code == "ResourceNotSupported"
    assert "upload" in raised.value.message


async def test_a_limit_says_whom_to_ask(tmp_path):
    """An input over a limit of the server fails, and the message says so."""
    media = ProcessMedia(denoiser="off", max_seconds=1, memory_bytes=2**30, cpu_seconds=60)
    with pytest.raises(MediaFailedError, match=r"longer than the 1 s allowed.*operator"):
        await media.denoise(recording(tmp_path / "in"), tmp_path / "out", NoiseReduction(), [].append)


async def test_a_note_comes_along(media, tmp_path):
    """What could be read of a truncated input is processed, with a note."""
    source = recording(tmp_path / "in", seconds=4.0)
    source.write_bytes(source.read_bytes()[:40001])
    result = await media.denoise(source, tmp_path / "out", NoiseReduction(), [].append)
    assert 2 < result.info.duration < 3
    assert "truncated" in result.note
