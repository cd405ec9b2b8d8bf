"""The elements that the cloud does not have, through a running server and the official Python SDK."""

import io
from collections.abc import Callable, Mapping
from hashlib import md5
from typing import Any

import av
import numpy as np
import pytest
from qcloud_cos import CosServiceError

from server import REGION, Server
from sordino.denoisers import names
from support import job_body, noisy_speech, speech_like, wait_for_jobs, wav_bytes

RATE = 44100
SECONDS = 4.0


def stereo() -> bytes:
    """Noisy speech that is twice as loud on the left as on the right, as a WAV file."""
    voice = speech_like(SECONDS, RATE)
    noise = np.random.default_rng(3).standard_normal((voice.size, 2))
    samples = np.stack([voice, voice / 2], axis=1) + 0.01 * noise
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="wav") as file:
        stream = file.add_stream("pcm_s16le", rate=RATE, layout="stereo")
        whole = np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(whole, format="s16", layout="stereo")
        frame.sample_rate = RATE
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def narrow() -> bytes:
    """Noisy speech at 16 kHz with nothing above 6 kHz, so that resampling alone changes next to nothing."""
    spectrum = np.fft.rfft(noisy_speech(3.0))
    spectrum[round(spectrum.size * 6 / 8) :] = 0
    return wav_bytes(np.fft.irfft(spectrum), 16000)


def film() -> bytes:
    """Noisy speech and a picture that changes, as an MP4 file."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        picture = file.add_stream("libx264", rate=10, width=64, height=48, pix_fmt="yuv420p")
        sound = file.add_stream("aac", rate=48000, layout="mono")
        for number in range(20):
            shade = np.full((48, 64, 3), 10 * number, np.uint8)
            file.mux(picture.encode(av.VideoFrame.from_ndarray(shade, format="rgb24")))
        samples = noisy_speech(2.0, 48000).astype(np.float32).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 48000
        file.mux(sound.encode(frame))
        for stream in (picture, sound):
            file.mux(stream.encode(None))
    return buffer.getvalue()


def decoded(content: bytes) -> np.ndarray:
    """All samples of the audio stream, float of shape (samples, channels)."""
    with av.open(io.BytesIO(content)) as file:
        resampler = av.AudioResampler(format="flt")
        frames = [part for frame in file.decode(audio=0) for part in resampler.resample(frame)]
        channels = file.streams.audio[0].channels
    return np.concatenate([frame.to_ndarray().reshape(-1, channels) for frame in frames])


def run(service: Server, bucket: str, source: bytes, target: str, **order: str) -> tuple[Mapping[str, Any], bytes]:
    """Run a job over a recording; its JobsDetail at the end, a Success, and the result."""
    client = service.client()
    client.put_object(Bucket=bucket, Key="in.wav", Body=source)
    reply = client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, target, **order), Lst={})
    submitted = reply["JobsDetail"][0]
    ended = wait_for_jobs(client, bucket, [submitted["JobId"]])[submitted["JobId"]]
    assert ended["State"] == "Success", ended
    assert ended["Operation"]["NoiseReduction"] == submitted["Operation"]["NoiseReduction"]
    return ended, client.get_object(Bucket=bucket, Key=target)["Body"].get_raw_stream().read()


def test_every_extension_of_sound(service: Server, new_bucket: Callable[[], str]) -> None:
    """A stereo recording becomes a stereo FLAC of the rate and loudness asked for, and the reply tells all of it."""
    bucket = new_bucket()
    order = {
        "Format": "flac",
        "SampleRate": "48000",
        "Model": "dfn3",
        "Strength": "24",
        "Channels": "keep",
        "Loudness": "-20",
    }
    ended, result = run(service, bucket, stereo(), "out/clean.flac", **order)
    assert ended["Operation"]["NoiseReduction"] == order

    with av.open(io.BytesIO(result)) as file:
        (stream,) = file.streams
        assert (file.format.name, stream.codec_context.name) == ("flac", "flac")
        assert (stream.sample_rate, stream.channels) == (48000, 2)
    samples = decoded(result)
    assert samples.shape == (round(SECONDS * 48000), 2)
    left, right = np.sqrt((samples**2).mean(axis=0))
    assert 20 * np.log10(left / right) == pytest.approx(20 * np.log10(2), abs=0.5)

    assert ended["Operation"]["MediaInfo"]["Format"]["Bitrate"] == f"{len(result) * 8 / SECONDS / 1000:.6f}"
    assert ended["Operation"]["MediaInfo"]["Stream"]["Audio"]["Channel"] == "2"
    place = {"Bucket": bucket, "Region": REGION, "ObjectName": "out/clean.flac"}
    digest = {"ObjectName": "out/clean.flac", "Md5": md5(result).hexdigest()}
    assert ended["Operation"]["MediaResult"]["OutputFile"] == place | {"Md5Info": digest}
    head = service.client().head_object(Bucket=bucket, Key="out/clean.flac")
    assert (head["Content-Type"], head["ETag"]) == ("audio/flac", f'"{md5(result).hexdigest()}"')

    before, after = (
        {name: float(value) for name, value in ended["Operation"]["MediaResult"]["Quality"][side].items()}
        for side in ("Before", "After")
    )
    assert after["Loudness"] == pytest.approx(-20, abs=0.5)
    assert after["Snr"] > before["Snr"] + 6
    assert after["NoiseFloor"] < before["NoiseFloor"]
    assert before["Clipped"] == after["Clipped"] == 0


def test_video_and_the_other_extensions(service: Server, new_bucket: Callable[[], str]) -> None:
    """The picture of a film is carried over untouched, and the object is a video then."""
    bucket, source = new_bucket(), film()
    order = {"Format": "m4a", "SampleRate": "48000", "Video": "keep", "Loudness": "keep"}
    ended, result = run(service, bucket, source, "out.mp4", **order)
    assert ended["Operation"]["MediaInfo"]["Format"]["NumStream"] == "2"
    assert service.client().head_object(Bucket=bucket, Key="out.mp4")["Content-Type"] == "video/mp4"
    pictures = []
    for content in (source, result):
        with av.open(io.BytesIO(content)) as file:
            pictures.append([bytes(packet) for packet in file.demux(video=0) if packet.size])
    assert pictures[0] == pictures[1]
    assert len(pictures[0]) == 20


def test_opus(service: Server, new_bucket: Callable[[], str], recording: bytes) -> None:
    """A job may write Opus in Ogg."""
    bucket = new_bucket()
    _, result = run(service, bucket, recording, "out.opus", Format="opus", SampleRate="24000")
    assert service.client().head_object(Bucket=bucket, Key="out.opus")["Content-Type"] == "audio/ogg"
    with av.open(io.BytesIO(result)) as file:
        assert (file.format.name, file.streams.audio[0].codec_context.name) == ("ogg", "opus")


def change(service: Server, bucket: str, source: bytes, **order: str) -> float:
    """How far the result of an order is from the recording; root of the mean square."""
    _, result = run(service, bucket, source, "out.wav", **order)
    return float(np.sqrt(((decoded(result) - decoded(source)) ** 2).mean()))


def test_each_job_has_its_own_engine(service: Server, new_bucket: Callable[[], str]) -> None:
    """Two jobs of one server use different engines: one removes nothing, the other the noise."""
    bucket, source = new_bucket(), narrow()
    assert change(service, bucket, source, Model="off") < 1e-3
    assert change(service, bucket, source, Model="dfn3") > 1e-2


def test_every_engine(service: Server, new_bucket: Callable[[], str]) -> None:
    """A job may name any engine that is installed, also when more are than stay loaded at once."""
    bucket, source = new_bucket(), narrow()
    for model in (*names(), *names()):
        ended, _ = run(service, bucket, source, f"{model}.wav", Model=model)
        assert ended["Operation"]["NoiseReduction"]["Model"] == model


def test_strength(service: Server, new_bucket: Callable[[], str]) -> None:
    """At strength 0 all passes through; the higher it is, the more is taken."""
    bucket, source = new_bucket(), narrow()
    none, some, most = (change(service, bucket, source, Model="dfn3", Strength=word) for word in ("0", "6", "100"))
    assert none < 1e-3 < some < most


@pytest.mark.parametrize(
    ("order", "status", "code", "legal"),
    [
        ({"Model": "dnf3"}, 400, "InvalidArgument", "dfn3"),
        ({"Strength": "101"}, 400, "InvalidArgument", "0 to 100"),
        ({"Channels": "stereo"}, 400, "InvalidArgument", "mix, keep"),
        ({"Loudness": "-4"}, 400, "InvalidArgument", "-70 to -5"),
        ({"Video": "copy", "Format": "m4a"}, 400, "InvalidArgument", "keep"),
        ({"Video": "keep", "Format": "mp3"}, 400, "InvalidArgument", "m4a"),
        ({"Format": "opus", "SampleRate": "44100"}, 400, "InvalidArgument", "8000, 12000, 16000, 24000, 48000"),
        ({"Format": "ogg"}, 400, "InvalidArgument", "wav, mp3, m4a, flac, opus"),
        ({"Dereverb": "on"}, 501, "NotImplemented", "not offered"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_refusals(service: Server, new_bucket: Callable[[], str], order, status, code, legal) -> None:
    """A value that is none is refused when the job is submitted, with what is legal."""
    bucket = new_bucket()
    with pytest.raises(CosServiceError) as refusal:
        service.client().ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, "o", **order), Lst={})
    assert (refusal.value.get_status_code(), refusal.value.get_error_code()) == (status, code)
    assert legal in refusal.value.get_error_msg()


def test_channels_that_the_format_cannot_hold(service: Server, new_bucket: Callable[[], str]) -> None:
    """A recording of more channels than MP3 has ends its job at once with a message that says so."""
    client, bucket = service.client(), new_bucket()
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="wav") as file:
        stream = file.add_stream("pcm_s16le", rate=16000, layout="5.1")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 6 * 16000), np.int16), format="s16", layout="5.1")
        frame.sample_rate = 16000
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    client.put_object(Bucket=bucket, Key="in.wav", Body=buffer.getvalue())
    body = job_body(bucket, "o.mp3", Format="mp3", Channels="keep")
    job = client.ci_create_media_jobs(Bucket=bucket, Jobs=body, Lst={})["JobsDetail"][0]["JobId"]
    ended = wait_for_jobs(client, bucket, [job])[job]
    assert (ended["State"], ended["Code"]) == ("Failed", "ResourceNotSupported")
    assert "channels" in ended["Message"]


def test_a_plain_job_shows_no_extension(service: Server, new_bucket: Callable[[], str]) -> None:
    """A job without our elements has none of them in its reply, and writes one channel, as the cloud does."""
    ended, result = run(service, new_bucket(), stereo(), "out.wav")
    assert ended["Operation"]["NoiseReduction"] == {"Format": "wav", "SampleRate": "16000"}
    assert decoded(result).shape == (round(SECONDS * 16000), 1)
