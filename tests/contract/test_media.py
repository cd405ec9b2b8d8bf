"""What every `sordino.domain.ports.Media` must do."""

import os
import tempfile
import wave
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pytest

from sordino.adapters.media import ProcessMedia
from sordino.domain.job import AudioFormat, MediaInfo, NoiseReduction
from sordino.domain.ports import Media, MediaFailedError


@pytest.fixture
def media() -> Media:
    """The adapter, with the engine that removes nothing."""
    return ProcessMedia(denoiser="off", max_seconds=60, memory_bytes=2**30, cpu_seconds=60)


@pytest.fixture
def target() -> Iterator[BinaryIO]:
    """An empty file without a name."""
    with tempfile.TemporaryFile() as file:
        yield file


@pytest.fixture
def source() -> Iterator[BinaryIO]:
    """An empty file without a name."""
    with tempfile.TemporaryFile() as file:
        yield file


def record(file: BinaryIO, seconds: float = 2.0, rate: int = 8000) -> None:
    """Write a WAV file of noise; the offset is its end then."""
    samples = np.random.default_rng(1).integers(-3000, 3000, round(seconds * rate), dtype=np.int16)
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(rate)
        written.writeframes(samples.tobytes())


@pytest.mark.parametrize("form", list(AudioFormat))
async def test_makes_what_was_ordered(media, form, source, target):
    """The target holds the ordered format and rate, and the result tells its true values."""
    record(source)
    progress = []
    order = NoiseReduction(format=form, sample_rate=24000)
    result = await media.denoise(source, target, order, progress.append)
    names = {"wav": ("wav", "pcm_s16le"), "mp3": ("mp3", "mp3"), "m4a": ("mov,mp4,m4a,3gp,3g2,mj2", "aac")}
    assert result.info == MediaInfo(
        duration=2.0,
        sample_rate=24000,
        channels=1,
        size=os.fstat(target.fileno()).st_size,
        format_name=names[form][0],
        codec_name=names[form][1],
    )
    assert result.note == ""
    assert progress == sorted(set(progress))
    assert progress[-1] == 100


@pytest.mark.parametrize("data", [b"", b"no media", b"#EXTM3U\nhttp://127.0.0.1/a.wav\n"])
async def test_inputs_at_fault_fail_the_job(media, data, source, target):
    """An input that cannot be processed fails with the protocol's code and a message that helps."""
    source.write(data)
    with pytest.raises(MediaFailedError) as raised:
        await media.denoise(source, target, NoiseReduction(), [].append)
    assert raised.value.code == "ResourceNotSupported"
    assert raised.value.message.startswith("The file is ")


async def test_a_limit_says_whom_to_ask(source, target):
    """An input over a limit of the server fails, and the message says so."""
    media = ProcessMedia(denoiser="off", max_seconds=1, memory_bytes=2**30, cpu_seconds=60)
    record(source)
    with pytest.raises(MediaFailedError, match=r"longer than the 1 s allowed.*operator"):
        await media.denoise(source, target, NoiseReduction(), [].append)


async def test_a_note_comes_along(media, source, target):
    """What could be read of a truncated input is processed, with a note."""
    record(source, seconds=4.0)
    source.truncate(40001)
    result = await media.denoise(source, target, NoiseReduction(), [].append)
    assert 2 < result.info.duration < 3
    assert "truncated" in result.note
