"""Writing WAV, MP3, M4A, FLAC and Opus."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from audio.sounds import error_db, lag, read_media, voice
from sordino.audio.decode import open_input
from sordino.audio.encode import open_output, to_int16
from sordino.audio.errors import MediaError, MediaReason
from sordino.audio.formats import DETAILS
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


def chords(channels: int) -> np.ndarray:
    """A second at 48 kHz with a tone of its own in each channel, 250 Hz and steps of 150 Hz."""
    time = np.arange(48000) / 48000
    return np.stack([0.3 * np.sin(2 * np.pi * (250 + 150 * k) * time) for k in range(channels)], axis=1).astype("f4")


def order_of(decoded: np.ndarray) -> list[int]:
    """Which of the tones each channel holds."""
    peaks = np.abs(np.fft.rfft(decoded[:48000], axis=0)).argmax(axis=0)
    return [round((int(peak) - 250) / 150) for peak in peaks]


@pytest.mark.parametrize(
    ("form", "channels", "layout"),
    [
        *(("wav", channels, None) for channels in (1, 2, 3, 6, 8, 9, 16, 64)),
        *(("flac", channels, None) for channels in range(1, 9)),
        *(("m4a", channels, None) for channels in range(1, 9)),
        *(("opus", channels, None) for channels in (1, 2, 3, 4, 6, 8)),
        ("wav", 6, "5.1(side)"),
        ("wav", 4, "4.0"),
        ("flac", 6, "5.1(side)"),
        ("flac", 4, "4.0"),
        ("m4a", 4, "4.0"),
        ("opus", 4, "4.0"),
        ("wav", 4, "ambisonic 1"),
        ("flac", 4, "nonsense"),
        ("wav", 2, "5.1"),
    ],
)
def test_many_channels_stay_in_order(form, channels, layout, tmp_path):
    """As many channels as a format holds come back, each as itself."""
    path = tmp_path / f"a.{form}"
    with path.open("w+b") as file, open_output(file, MediaFormat(form), 48000, channels, layout=layout) as sink:
        sink.write(chords(channels))
    decoded, _ = read_media(path)
    assert decoded.shape == (48000, channels)
    assert order_of(decoded) == list(range(channels))


@pytest.mark.parametrize(("form", "layout"), [("wav", "5.1(side)"), ("flac", "4.0"), ("m4a", "5.1"), ("opus", "5.1")])
def test_the_places_of_channels_are_written(form, layout, tmp_path):
    """A layout that is given is read again."""
    channels = 4 if layout == "4.0" else 6
    path = tmp_path / f"a.{form}"
    with path.open("w+b") as file, open_output(file, MediaFormat(form), 48000, channels, layout=layout) as sink:
        sink.write(chords(channels))
    with path.open("rb") as file, open_input(file) as source:
        assert source.layout == layout


@pytest.mark.parametrize(
    ("form", "channels", "wider"),
    [
        ("mp3", 3, "wav, m4a, flac, opus"),
        ("mp3", 5, "wav, m4a, flac"),
        ("opus", 5, "wav, m4a, flac"),
        ("opus", 7, "wav, m4a, flac"),
        ("m4a", 9, "wav"),
        ("flac", 16, "wav"),
    ],
)
def test_more_channels_than_a_format_holds(form, channels, wider, tmp_path):
    """Too many channels are refused before anything is written, with the formats that take them."""
    path = tmp_path / "a"
    with (
        path.open("w+b") as file,
        pytest.raises(MediaError, match=f"{channels} channels.*mix them to one, or choose {wider}[.]"),
        open_output(file, MediaFormat(form), 48000, channels),
    ):
        pytest.fail("it was opened")
    assert path.stat().st_size == 0


@pytest.mark.parametrize(("form", "rate"), FORMATS_AND_RATES)
@pytest.mark.parametrize("channels", [1, 2])
def test_bit_rates_are_those_that_were_chosen(form, rate, channels, tmp_path):
    """A file of noise is as large as its bit rate says, also where the format has a ceiling."""
    chosen = DETAILS[form].bit_rate(rate, channels)
    if chosen is None:
        assert form in (MediaFormat.WAV, MediaFormat.FLAC)
        return
    noise = 0.2 * np.random.default_rng(2).standard_normal((4 * rate, channels)).astype(np.float32)
    path = encoded(tmp_path / f"a.{form}", noise, rate)
    assert path.stat().st_size * 8 / 4 == pytest.approx(chosen, rel=0.35)
    assert 20_000 <= chosen / channels <= 128_000


def test_a_wav_file_ends_where_its_header_can_count_no_further(tmp_path, monkeypatch):
    """With one or two channels, a WAV file that would pass 4 GiB is refused in words; nothing wraps around."""
    monkeypatch.setattr("sordino.audio.encode._RIFF_BYTES", 1000)
    with (tmp_path / "a.wav").open("w+b") as file, open_output(file, MediaFormat.WAV, 8000) as sink:
        sink.write(np.zeros((500, 1), np.float32))
        with pytest.raises(MediaError, match="longer than a WAV file may be, 4 GiB; choose flac") as raised:
            sink.write(np.zeros((1, 1), np.float32))
    assert raised.value.reason is MediaReason.RESOURCE


def test_a_wav_file_of_many_channels_has_room_to_become_rf64(tmp_path):
    """With more than two channels the header holds the place for sizes of 64 bits."""
    data = encoded(tmp_path / "a.wav", chords(3), 48000).read_bytes()
    assert b"JUNK" in data[:80]


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
