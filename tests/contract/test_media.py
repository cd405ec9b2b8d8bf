"""What every `sordino.domain.ports.Media` must do."""

import itertools
import os
import tempfile
import wave
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import BinaryIO

import numpy as np
import pytest

from sordino.adapters.media import ProcessMedia
from sordino.audio import order as audio
from sordino.audio.errors import EngineError, OrderError
from sordino.domain import job as domain
from sordino.domain.job import AudioFormat, Channels, MediaInfo, NoiseReduction
from sordino.domain.ports import Media, MediaFailedError

REPORT = audio.Report(
    seconds=2.0,
    rate=48000,
    channels=2,
    size=1234,
    format_name="flac",
    codec_name="flac",
    source_rate=44100,
    source_channels=2,
)
MEASURED = audio.SoundQuality(
    noise_floor=-60.0,
    snr=30.0,
    loudness=-23.0,
    clipped=0.25,
    dnsmos=audio.Dnsmos(signal=3.0, background=4.0, overall=2.0),
)


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch) -> list[audio.MediaOrder]:
    """A sound path that keeps the orders it gets, in place of the real one; it answers ``REPORT``."""
    orders: list[audio.MediaOrder] = []

    async def run(source, target, order, limits, on_progress=None):
        orders.append(order)
        return replace(REPORT, video=order.video, before=MEASURED, note="a note")

    monkeypatch.setattr("sordino.audio.sandbox.run", run)
    return orders


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
    names = {
        "wav": ("wav", "pcm_s16le"),
        "mp3": ("mp3", "mp3"),
        "m4a": ("mov,mp4,m4a,3gp,3g2,mj2", "aac"),
        "flac": ("flac", "flac"),
        "opus": ("ogg", "opus"),
    }
    assert replace(result.info, before=None, after=None) == MediaInfo(
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


async def test_a_plain_order(media, path, source, target):
    """What a request leaves out is what the protocol promises: the server's engine, all noise, one channel."""
    await media.denoise(source, target, NoiseReduction(), [].append)
    assert path == [
        audio.MediaOrder(
            format=audio.MediaFormat.WAV,
            rate=16000,
            denoiser="off",
            strength=100,
            channels=audio.Channels.MIX,
            loudness=None,
            video=False,
        )
    ]


async def test_an_order_with_every_extension(media, path, source, target):
    """Each of our elements reaches the sound path, and the job's engine goes before the server's."""
    order = NoiseReduction(
        format=AudioFormat.M4A,
        sample_rate=48000,
        model="dfn3",
        strength=24,
        channels=Channels.KEEP,
        loudness=Decimal("-20.50"),
        video=True,
    )
    result = await media.denoise(source, target, order, [].append)
    assert path == [
        audio.MediaOrder(
            format=audio.MediaFormat.M4A,
            rate=48000,
            denoiser="dfn3",
            strength=24,
            channels=audio.Channels.KEEP,
            loudness=-20.5,
            video=True,
        )
    ]
    assert result.info.video
    await media.denoise(source, target, replace(order, loudness=domain.KEEP), [].append)
    assert path[-1].loudness == "keep"


async def test_quality_comes_along(media, path, source, target):
    """What was measured arrives, and what was not is None."""
    result = await media.denoise(source, target, NoiseReduction(), [].append)
    assert result.info.before == domain.SoundQuality(
        noise_floor=-60.0,
        snr=30.0,
        loudness=-23.0,
        clipped=0.25,
        dnsmos=domain.Dnsmos(signal=3.0, background=4.0, overall=2.0),
    )
    assert result.info.after is None
    assert result.note == "a note"


async def test_a_level_that_is_no_number(media, source, target, monkeypatch):
    """An infinite or undefined level counts as not measured: no table could hold it."""

    async def run(*_):
        return replace(REPORT, after=replace(MEASURED, noise_floor=-np.inf, snr=np.nan))

    monkeypatch.setattr("sordino.audio.sandbox.run", run)
    after = (await media.denoise(source, target, NoiseReduction(), [].append)).info.after
    assert after is not None
    assert (after.noise_floor, after.snr, after.loudness) == (None, None, -23.0)


async def test_an_engine_that_is_gone(media, path, source, target):
    """A job whose engine was uninstalled while it waited fails with the names of those there are."""
    with pytest.raises(MediaFailedError, match=r"'ghost' is not installed.*dfn3") as raised:
        await media.denoise(source, target, NoiseReduction(model="ghost"), [].append)
    assert raised.value.code == "InvalidArgument"
    assert path == []


async def test_an_order_that_the_sound_path_refuses(media, source, target, monkeypatch):
    """It is the request's fault: the job fails at once with the reason, and is not tried again."""

    async def run(*_):
        raise OrderError("cannot do that")

    monkeypatch.setattr("sordino.audio.sandbox.run", run)
    with pytest.raises(MediaFailedError, match="cannot do that") as raised:
        await media.denoise(source, target, NoiseReduction(), [].append)
    assert raised.value.code == "InvalidArgument"


@pytest.mark.parametrize(
    ("model", "advice"), [(None, "; ask the operator"), ("dfn3", "; name another Model or none, or ask the operator")]
)
async def test_an_engine_that_cannot_be_loaded(media, source, target, monkeypatch, caplog, model, advice):
    """The job fails at once and says whom to ask; what is missing, and where on this machine, is for the log."""

    async def run(*_):
        raise EngineError("There is no model archive /srv/models/a.tar.gz")

    monkeypatch.setattr("sordino.audio.sandbox.run", run)
    with pytest.raises(MediaFailedError, match=advice) as raised:
        await media.denoise(source, target, NoiseReduction(model=model), [].append)
    assert raised.value.code == "InternalError"
    assert repr(model or "off") in raised.value.message
    assert "/srv" not in raised.value.message
    assert f"the engine {model or 'off'} cannot be loaded: There is no model archive /srv" in caplog.text


def test_the_service_promises_what_the_sound_path_does():
    """Formats with their rates, channels, strengths and loudness are the same in the service and the sound path."""
    rates = {form.value: form.sample_rates for form in AudioFormat}
    assert rates == {form.value: form.rates for form in audio.MediaFormat}
    assert [*Channels] == [*audio.Channels]
    assert (domain.STRENGTHS[0], domain.STRENGTHS[-1]) == (0, audio.FULL_STRENGTH)
    assert tuple(map(float, domain.LOUDNESS_RANGE)) == audio.LOUDNESS_RANGE
    assert domain.SAMPLE_RATES == audio.SAMPLE_RATES


@pytest.mark.parametrize("form", list(AudioFormat))
async def test_no_legal_request_is_refused_later(media, path, source, target, form):
    """Every order that the service accepts is one that the sound path takes."""
    low, high = domain.LOUDNESS_RANGE
    choices = itertools.product(
        form.sample_rates, (None, 0, 100), (None, *Channels), (None, low, high, "keep"), {False, form.takes_video}
    )
    for rate, strength, channels, loudness, video in choices:
        order = NoiseReduction(
            format=form, sample_rate=rate, strength=strength, channels=channels, loudness=loudness, video=video
        )
        await media.denoise(source, target, order, [].append)
    assert len(path) == len(form.sample_rates) * 3 * 3 * 4 * (2 if form.takes_video else 1)
