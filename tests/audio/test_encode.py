"""Writing WAV, MP3, M4A, FLAC and Opus."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from audio.sounds import error_db, lag, read_media, voice
from sordino.audio.encode import open_output, to_int16
from sordino.audio.order import MediaFormat
from sordino.audio.resample import Resampler

# How far from the input the coded speech may be, dB; the voice's hiss is what lossy codecs drop first.
ERRORS = {
    MediaFormat.WAV: -60,
    MediaFormat.FLAC: -60,
    MediaFormat.MP3: -12,
    MediaFormat.M4A: -12,
    MediaFormat.OPUS: -8,
}
FORMATS_AND_RATES = [(form, rate) for form in MediaFormat for rate in form.rates]


def encoded(path: Path, samples: np.ndarray, rate: int, size: int = 5000) -> Path:
    """``samples`` (samples, channels) written in blocks of ``size`` in the format of the suffix."""
    with path.open("w+b") as file, open_output(file, MediaFormat(path.suffix[1:]), rate, samples.shape[1]) as sink:
        for start in range(0, len(samples), size):
            sink.write(samples[start : start + size])
    return path


def read_at(path: Path, rate: int) -> np.ndarray:
    """All samples, (samples, channels), at ``rate``; Opus always decodes to 48 kHz."""
    decoded, decoded_rate = read_media(path)
    assert decoded_rate == (48000 if path.suffix == ".opus" else rate)
    resampler = Resampler(decoded_rate, rate, decoded.shape[1])
    return np.concatenate((resampler.push(decoded), resampler.flush()))


@pytest.mark.parametrize(("form", "rate"), FORMATS_AND_RATES)
def test_every_format_and_rate_keeps_length_and_place(form, rate, tmp_path):
    """Decoded again, the file holds as many samples as were written, each in its place."""
    speech = voice(2.0, rate)[: 2 * rate - 131]
    decoded = read_at(encoded(tmp_path / f"speech.{form}", speech[:, None], rate), rate)
    assert decoded.shape == (len(speech), 1)
    assert lag(decoded[:, 0], speech) == 0
    assert error_db(speech, decoded[:, 0]) < ERRORS[form]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(1, 5000), form_and_rate=st.sampled_from(FORMATS_AND_RATES))
@example(length=2886, form_and_rate=(MediaFormat.MP3, 16000))  # LAME ends with a frame of nothing but padding
@example(length=1, form_and_rate=(MediaFormat.M4A, 16000))
@example(length=1, form_and_rate=(MediaFormat.WAV, 16000))
@example(length=1, form_and_rate=(MediaFormat.OPUS, 8000))
@example(length=1, form_and_rate=(MediaFormat.FLAC, 8000))
def test_any_length_is_kept(length, form_and_rate, tmp_path):
    """Files are as long as asked, to the sample, also where that is less than a codec's frame."""
    form, rate = form_and_rate
    assume(form is not MediaFormat.MP3 or length >= 80)
    path = encoded(tmp_path / f"short.{form}", voice(5000 / rate, rate)[:length, None], rate)
    assert len(read_at(path, rate)) == length


@pytest.mark.parametrize("form", list(MediaFormat))
def test_stereo_keeps_its_sides(form, tmp_path):
    """Two channels come back as two, not swapped."""
    speech = voice(1.0, 48000)
    decoded, _ = read_media(encoded(tmp_path / f"s.{form}", np.stack((speech, 0.1 * speech), axis=1), 48000))
    assert decoded.shape == (48000, 2)
    assert np.std(decoded[:, 0]) > 5 * np.std(decoded[:, 1])


def test_wav_header(tmp_path):
    """A WAV file is a header of 44 bytes with true sizes, and the samples."""
    data = encoded(tmp_path / "a.wav", np.zeros((1001, 1), np.float32), 8000).read_bytes()
    assert struct.unpack("<4sI4s4sIHHIIHH4sI", data[:44]) == (
        *(b"RIFF", len(data) - 8, b"WAVE", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16),
        *(b"data", 2002),
    )
    assert len(data) == 44 + 2002


def test_wav_rounds_to_the_nearest_and_clips(tmp_path):
    """Samples are rounded, not cut, and clipped, not wrapped."""
    values = np.array([0.4, 0.6, -0.4, -0.6, 32766.6, 40000, -32768, -40000], np.float32) / 32768
    decoded, _ = read_media(encoded(tmp_path / "a.wav", values[:, None], 8000))
    assert (decoded[:, 0] * 32768).tolist() == [0, 1, 0, -1, 32767, 32767, -32768, -32768]


def test_all_int16_values_survive(tmp_path):
    """Every 16-bit value is written and read as itself."""
    values = np.arange(-32768, 32768)
    decoded, _ = read_media(encoded(tmp_path / "a.wav", (values / 32768).astype(np.float32)[:, None], 48000))
    np.testing.assert_array_equal(to_int16(decoded[:, 0]), values)


def test_overload_does_not_wrap_in_lossy_formats(tmp_path):
    """A tone beyond full scale is clipped before it is coded."""
    tone = (3 * np.sin(2 * np.pi * 300 * np.arange(16000) / 16000)).astype(np.float32)
    for form in (MediaFormat.MP3, MediaFormat.M4A):
        decoded, _ = read_media(encoded(tmp_path / f"loud.{form}", tone[:, None], 16000))
        assert error_db(np.clip(tone, -1, 1), decoded[:, 0]) < -15


def test_m4a_can_start_before_it_has_arrived(tmp_path):
    """The index of an M4A file lies before its data."""
    data = encoded(tmp_path / "a.m4a", voice(1.0, 16000)[:, None], 16000).read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


@pytest.mark.parametrize(
    ("form", "codec"),
    [("wav", "pcm_s16le"), ("mp3", "mp3float"), ("m4a", "aac"), ("flac", "flac"), ("opus", "opus")],
)
def test_any_reader_finds_the_codec(form, codec, tmp_path):
    """FFmpeg by itself finds the codec, one channel and the duration."""
    path = encoded(tmp_path / f"a.{form}", voice(3.0, 24000)[:, None], 24000)
    with av.open(path) as container:
        (stream,) = container.streams
        assert (stream.codec.name, stream.rate, stream.channels) == (codec, 48000 if form == "opus" else 24000, 1)
        assert float(stream.duration * stream.time_base) == pytest.approx(3.0, abs=0.01)


@pytest.mark.parametrize(
    ("form", "rate", "channels"), [("wav", 22050, 1), ("wav", 0, 1), ("flac", 16000, 0), ("opus", 44100, 1)]
)
def test_what_makes_no_sense_is_refused(form, rate, channels, tmp_path):
    """Other rates and numbers of channels raise before anything is written."""
    path = tmp_path / "a.wav"
    with (
        path.open("w+b") as file,
        pytest.raises(ValueError, match="cannot write"),
        open_output(file, MediaFormat(form), rate, channels),
    ):
        pytest.fail("it was opened")
    assert path.stat().st_size == 0


def test_blocks_of_another_width_are_refused(tmp_path):
    """A block with another number of channels raises."""
    with (
        (tmp_path / "a.wav").open("w+b") as file,
        open_output(file, MediaFormat.WAV, 8000) as sink,
        pytest.raises(ValueError, match="shape"),
    ):
        sink.write(np.zeros((4, 2), np.float32))
