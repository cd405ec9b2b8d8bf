"""Sounds come in their place: the delay of a codec is taken out also where nothing in the file tells of it."""

import csv
from pathlib import Path

import av
import numpy as np
import pytest
import soxr

from audio.sounds import error_db, lag, read_media, voice, write_media
from sordino.audio.alignment import DELAYS

# suffix, codec, rate, container, options of the muxer; how far from the input it may be (dB)
STREAMS = [
    ("ac3", "ac3", 48000, "ac3", {}, -15),
    ("eac3", "eac3", 48000, "eac3", {}, -15),
    ("mka", "ac3", 48000, "matroska", {}, -15),
    ("avi", "ac3", 48000, "avi", {}, -15),
    ("mp2", "mp2", 48000, "mp2", {}, -15),
    ("mp2", "mp2", 16000, "mp2", {}, -15),
    ("mpg", "mp2", 48000, "mpeg", {}, -15),
    ("ts", "mp2", 48000, "mpegts", {}, -15),
    ("mp3", "libmp3lame", 44100, "mp3", {"write_xing": "0"}, -10),
    ("mp3", "libmp3lame", 16000, "mp3", {"write_xing": "0"}, -10),
    ("wav", "libmp3lame", 44100, "wav", {}, -10),
    ("avi", "libmp3lame", 44100, "avi", {}, -10),
    ("flv", "libmp3lame", 44100, "flv", {}, -10),
    ("mka", "libmp3lame", 44100, "matroska", {}, -10),
    ("mp4", "libmp3lame", 44100, "mp4", {}, -10),
    ("aac", "aac", 44100, "adts", {}, -15),
    ("aac", "aac", 8000, "adts", {}, -15),
    ("loas", "aac", 44100, "latm", {}, -15),
    ("ts", "aac", 48000, "mpegts", {}, -15),
    ("flv", "aac", 44100, "flv", {}, -15),
    ("mka", "aac", 48000, "matroska", {}, -15),
    ("mp4", "aac", 48000, "mp4", {"movflags": "frag_keyframe+empty_moov"}, -15),
    ("wma", "wmav1", 44100, "asf", {}, -15),
    ("wma", "wmav2", 44100, "asf", {}, -15),
    ("wma", "wmav2", 16000, "asf", {}, -15),
    ("ts", "libopus", 48000, "mpegts", {}, -8),
    ("ra", "real_144", 8000, "rm", {}, -3),
    ("flv", "nellymoser", 8000, "flv", {}, -5),
]


def sweep(rate: int) -> np.ndarray:
    """Three seconds of a rising tone, which has no pitch to be mistaken by a period."""
    time = np.arange(3 * rate) / rate
    return (0.3 * np.sin(2 * np.pi * (200 * time + 150 * time**2))).astype(np.float32)


@pytest.mark.parametrize(("suffix", "codec", "rate", "container", "options", "limit"), STREAMS)
def test_delays_that_the_container_does_not_tell_are_taken_out(
    suffix, codec, rate, container, options, limit, tmp_path
):
    """What was written comes back at lag 0, short by less than the delay and long by less than a frame."""
    sound = sweep(rate) if rate == 8000 else voice(3.0, rate)
    path = tmp_path / f"a.{suffix}"
    encoder = {"b": "64k"} if codec.startswith("wma") else {}
    write_media(path, sound, rate, codec, container=container, options=encoder, muxer_options=options)
    decoded, decoded_rate = read_media(path)
    both = min(len(sound), len(decoded))
    assert decoded_rate == rate
    assert -600 < len(decoded) - len(sound) < 2048
    assert lag(decoded[:, 0], sound) == 0
    assert error_db(sound[:both], decoded[:both, 0]) < limit


@pytest.mark.skipif("libopencore_amrnb" not in av.codecs_available, reason="this build of FFmpeg has no AMR")
@pytest.mark.parametrize("container", ["amr", "3gp"])
def test_amr_comes_in_place(container, tmp_path):
    """The look-ahead of AMR's encoder is taken out, also where FFmpeg tells too much of it."""
    decoded, rate = read_media(write_media(tmp_path / f"a.{container}", sweep(8000), 8000, "libopencore_amrnb"))
    assert rate == 8000
    assert 0 <= len(decoded) - 24000 < 320
    assert lag(decoded[:24000, 0], sweep(8000)) == 0


def test_the_audio_of_a_stereo_stream_without_a_tag_is_one_with_the_sides(tmp_path):
    """The delay is taken out of all channels alike."""
    speech = voice(2.0, 48000)
    table = np.stack((speech, 0.5 * speech[::-1]), axis=1)
    decoded, _ = read_media(write_media(tmp_path / "a.aac", table, 48000, "aac", container="adts"))
    assert [lag(decoded[:, side], table[:, side]) for side in (0, 1)] == [0, 0]


def test_every_delay_names_its_source():
    """No number of the table stands there without where it is from."""
    assert all(len(delay.source) > 20 for delay in DELAYS.values())
    assert DELAYS["speex"].at(16000) == 223
    assert DELAYS["speex"].at(11025) == 0
    assert DELAYS["aac"].at(48000) is None


CORPUS = Path(__file__).parents[3] / "shared" / "formats"
REFERENCE = CORPUS / "reference_noisy_48k.flac"
HEADERLESS = ("g722.g722", "gsm.gsm", "adx.adx")
OTHER_RECORDING = ("two_audio.mkv",)
# Codecs that imitate speech instead of its waveform, samples: their filters turn the phase.
LOOSE = {"amr": 1, "3gp": 1, "awb": 1, "spx": 1, "opus_24k": 1, "opus_6k": 4}


def recordings() -> list[str]:
    """The files of the corpus that hold the reference recording; none when it is not there."""
    if not REFERENCE.is_file():
        return []
    with (CORPUS / "expected.csv").open(encoding="utf-8", newline="") as file:
        names = [row["file"].removeprefix("ok/") for row in csv.DictReader(file) if row["file"].startswith("ok/")]
    return [name for name in names if name not in HEADERLESS + OTHER_RECORDING]


@pytest.mark.skipif(not REFERENCE.is_file(), reason="the corpus ../shared/formats is not there")
@pytest.mark.parametrize("name", recordings())
def test_the_recording_is_in_its_place_in_every_format(name):
    """Cross-correlated with the original, each file of the corpus is at lag 0 in the channel that holds the speech."""
    original, rate = read_media(REFERENCE)
    decoded, decoded_rate = read_media(CORPUS / "ok" / name)
    wanted = soxr.resample(original[:, 0], rate, decoded_rate, quality="VHQ")
    lags = [lag(decoded[:, channel], wanted) for channel in range(decoded.shape[1])]
    allowed = max((samples for kind, samples in LOOSE.items() if kind in name), default=0)
    assert min(map(abs, lags)) <= allowed, lags
