"""Reading media of every kind that PyAV can write here."""

import io
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from audio.sounds import error_db, lag, read_media, voice, write_media
from sordino.audio.decode import open_input
from sordino.audio.errors import MediaError, MediaReason

SECONDS = 3.0

# suffix, codec, rate, container, how far from the input it may be (dB)
KINDS = [
    ("wav", "pcm_s16le", 16000, None, -60),
    ("wav", "pcm_s24le", 44100, None, -60),
    ("wav", "pcm_s32le", 48000, None, -60),
    ("wav", "pcm_f32le", 48000, None, -60),
    ("wav", "pcm_f64le", 11025, None, -60),
    ("wav", "pcm_u8", 16000, None, -30),
    ("wav", "pcm_alaw", 8000, None, -25),
    ("wav", "pcm_mulaw", 8000, None, -25),
    ("wav", "pcm_s16le", 96000, "w64", -60),
    ("aiff", "pcm_s16be", 22050, None, -60),
    ("au", "pcm_s16be", 16000, None, -60),
    ("caf", "pcm_s16be", 16000, None, -60),
    ("flac", "flac", 48000, None, -60),
    ("oga", "flac", 44100, "ogg", -60),
    ("m4a", "alac", 48000, "ipod", -60),
    ("mp3", "libmp3lame", 8000, None, -10),
    ("mp3", "libmp3lame", 44100, None, -10),
    ("m4a", "aac", 16000, "ipod", -10),
    ("m4a", "aac", 48000, "ipod", -10),
    ("mp4", "aac", 44100, "mp4", -10),
    ("ogg", "libopus", 48000, None, -10),
    ("webm", "libopus", 48000, None, -10),
]


@pytest.mark.parametrize(("suffix", "codec", "rate", "container", "limit"), KINDS)
def test_every_format_comes_in_place_and_whole(suffix, codec, rate, container, limit, tmp_path):
    """What was written comes back with its length, at lag 0, close to the original."""
    speech = voice(SECONDS, rate)
    decoded, decoded_rate = read_media(write_media(tmp_path / f"a.{suffix}", speech, rate, codec, container=container))
    assert decoded_rate == rate
    assert decoded.shape == (len(speech), 1)
    assert lag(decoded[:, 0], speech) == 0
    assert error_db(speech, decoded[:, 0]) < limit


def test_the_rate_is_that_of_the_samples(tmp_path):
    """Opus of a 16 kHz recording is read at the 48 kHz its decoder gives, in full length."""
    decoded, rate = read_media(write_media(tmp_path / "a.mka", voice(SECONDS, 16000), 16000, "libopus"))
    assert rate == 48000
    assert len(decoded) == SECONDS * 48000


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_the_audio_of_a_video(suffix, tmp_path):
    """Of a video the sound is taken."""
    speech = voice(SECONDS, 48000)
    path = write_media(
        tmp_path / f"film.{suffix}", speech, 48000, "pcm_s16le" if suffix == "avi" else "aac", video=True
    )
    decoded, rate = read_media(path)
    assert rate == 48000
    assert 0 <= len(decoded) - len(speech) < 1024
    assert lag(decoded[: len(speech), 0], speech) == 0


def test_the_file_may_be_read_by_two_at_a_time(tmp_path):
    """Two readers of one open file do not disturb each other, as when the video is carried over beside the sound."""
    path = write_media(tmp_path / "a.mka", voice(SECONDS, 48000), 48000, "flac")
    with path.open("rb") as file, open_input(file) as first, open_input(file) as second:
        blocks = list(zip(first, second, strict=True))
    assert all(np.array_equal(one, other) for one, other in blocks)
    assert sum(len(one) for one, _ in blocks) == SECONDS * 48000


def test_channels_stay_in_order(tmp_path):
    """Channels come out as they were, in order, in every sample format."""
    speech = voice(0.5, 16000)
    table = np.stack([speech * gain for gain in (1, 0.5, 0.25, 0.1, 0.05, 0)], axis=1)
    for codec in ("pcm_s16le", "pcm_f32le", "flac"):
        suffix = "flac" if codec == "flac" else "wav"
        decoded, _ = read_media(write_media(tmp_path / f"{codec}.{suffix}", table, 16000, codec))
        assert error_db(table, decoded) < -60


@pytest.mark.parametrize(
    ("suffix", "codec"), [("m4a", "aac"), ("wv", "wavpack"), ("flac", "flac"), ("wav", "pcm_s16le")]
)
def test_eight_channels(suffix, codec, tmp_path):
    """Eight channels are read in order, whether the codec keeps them apart or together."""
    table = np.stack([voice(0.5, 48000) * gain for gain in (1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)], axis=1)
    decoded, _ = read_media(write_media(tmp_path / f"a.{suffix}", table, 48000, codec))
    assert decoded.shape == table.shape
    levels = np.std(decoded, axis=0) / np.std(table, axis=0)
    assert np.all(levels[[0, 1, 2, 4, 5, 6, 7]] > 0.8)  # AAC takes the fourth for low frequencies alone


def test_sixty_four_bit_samples(tmp_path):
    """WAV files of 64-bit integers are read."""
    samples = voice(0.5, 16000)
    integers = (samples.astype(np.float64) * 2**62).astype("<i8").tobytes()
    header = struct.pack(
        "<4sI8sIHHIIHH4sI",
        b"RIFF",
        36 + len(integers),
        b"WAVEfmt ",
        16,
        1,
        1,
        16000,
        128000,
        8,
        64,
        b"data",
        len(integers),
    )
    with open_input(io.BytesIO(header + integers)) as source:
        decoded = np.concatenate(list(source))
    assert error_db(samples / 2, decoded[:, 0]) < -100


def test_the_default_stream_is_taken(tmp_path):
    """Of two audio streams the one marked as default is read."""
    path = tmp_path / "two.mka"
    tones = [np.full((1, 16000), level, np.float32) for level in (0.1, 0.6)]
    with av.open(path, "w", format="matroska") as output:
        streams = [output.add_stream("pcm_s16le", rate=16000, layout="mono") for _ in tones]
        streams[0].disposition = av.stream.Disposition(0)
        streams[1].disposition = av.stream.Disposition.default
        for stream, tone in zip(streams, tones, strict=True):
            frame = av.AudioFrame.from_ndarray((tone * 32767).astype(np.int16), format="s16", layout="mono")
            frame.rate = 16000
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    assert read_media(path)[0].mean() == pytest.approx(0.6, abs=0.01)


def test_invalid_numbers_become_silence(tmp_path):
    """NaN and infinities in float files are read as 0, the other samples as they are."""
    samples = voice(0.5, 16000)
    samples[[5, 500, 5000]] = np.nan, np.inf, -np.inf
    decoded, _ = read_media(write_media(tmp_path / "a.wav", samples, 16000, "pcm_f32le"))
    np.testing.assert_array_equal(decoded[:, 0], np.where(np.isfinite(samples), samples, 0))


def test_a_change_of_rate_inside_a_stream(tmp_path):
    """MP3s of different rates put together are read at the rate of the first, each at its own speed."""
    first = write_media(tmp_path / "a.mp3", voice(2.0, 16000), 16000, "libmp3lame")
    other = write_media(tmp_path / "b.mp3", voice(2.0, 44100), 44100, "libmp3lame")
    both = tmp_path / "both.mp3"
    both.write_bytes(first.read_bytes() + other.read_bytes())
    decoded, rate = read_media(both)
    assert rate == 16000
    assert len(decoded) / rate == pytest.approx(4.0, abs=0.2)
    second = voice(2.0, 16000)
    start = lag(decoded[32000:, 0], second) + 32000
    assert error_db(second[3000:28000], decoded[start + 3000 : start + 28000, 0]) < -10


def test_progress_rises_to_the_end(tmp_path):
    """The share of the file consumed never falls and ends near 1."""
    path = write_media(tmp_path / "a.mp3", voice(10.0, 16000), 16000, "libmp3lame")
    with path.open("rb") as file, open_input(file) as source:
        shares = [source.fraction for _ in source]
    assert shares == sorted(shares)
    assert 0.9 < shares[-1] <= 1
    assert shares[len(shares) // 2] < 0.7


def test_audio_beyond_the_limit_is_refused_while_reading(tmp_path):
    """The limit holds for decoded audio, and is met within a block of it."""
    path = write_media(tmp_path / "a.flac", np.zeros(60 * 8000, np.float32), 8000, "flac")
    with (
        pytest.raises(MediaError, match="longer than the 10 s") as raised,
        path.open("rb") as file,
        open_input(file, max_seconds=10) as source,
    ):
        assert sum(map(len, source)) == 0, "it was read to its end"
    assert raised.value.reason is MediaReason.TOO_LONG


def test_audio_of_exactly_the_limit_is_read(tmp_path):
    """As much as allowed is allowed."""
    path = write_media(tmp_path / "a.wav", voice(2.0, 16000), 16000, "pcm_s16le")
    with path.open("rb") as file, open_input(file, max_seconds=2.0) as source:
        assert sum(map(len, source)) == 32000


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0xFFFFFFC8])
def test_a_wav_file_from_a_pipe(size, tmp_path):
    """A WAV file whose sizes were never filled in is read to its end, without a complaint."""
    data = bytearray(write_media(tmp_path / "a.wav", voice(2.0, 16000), 16000, "pcm_s16le").read_bytes())
    place = data.index(b"data")
    data[4:8] = data[place + 4 : place + 8] = struct.pack("<I", size)
    with open_input(io.BytesIO(data)) as source:
        assert sum(map(len, source)) == 32000
        assert source.note == ""


def cut_file(path: Path, share: float) -> io.BytesIO:
    """The first ``share`` of the file."""
    data = path.read_bytes()
    return io.BytesIO(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    ("suffix", "codec", "rate"),
    [
        ("wav", "pcm_s16le", 16000),
        ("mp3", "libmp3lame", 44100),
        ("flac", "flac", 48000),
        ("ogg", "libopus", 48000),
        ("webm", "libopus", 48000),
    ],
)
def test_half_a_file_is_read_with_a_note(suffix, codec, rate, tmp_path):
    """What is left of a cut file is read, and the note says that something is missing."""
    path = write_media(tmp_path / f"a.{suffix}", voice(8.0, rate), rate, codec)
    with open_input(cut_file(path, 0.501)) as source:
        seconds = sum(map(len, source)) / source.rate
        note = source.note
    assert 2 < seconds < 6
    assert "truncated" in note


def test_a_hole_in_a_flac_file_is_told(tmp_path):
    """Frames that the decoder drops for their wrong sums are missed."""
    data = bytearray(write_media(tmp_path / "a.flac", voice(8.0, 48000), 48000, "flac").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    with open_input(io.BytesIO(data)) as source:
        seconds = sum(map(len, source)) / 48000
        note = source.note
    assert 7.5 < seconds < 7.95
    assert f"announces 8.0 s but holds {seconds:.1f} s" in note


def test_less_than_a_second_of_a_damaged_file_is_not_enough(tmp_path):
    """A damaged file with less than a second of sound is refused."""
    path = write_media(tmp_path / "a.flac", voice(8.0, 48000), 48000, "flac")
    with pytest.raises(MediaError) as raised, open_input(cut_file(path, 0.08)) as source:
        list(source)
    assert raised.value.reason is MediaReason.UNSUPPORTED


@pytest.mark.parametrize("codec", ["pcm_s16le", "libmp3lame", "flac", "aac"])
def test_whole_files_have_no_note(codec, tmp_path):
    """Nothing is said of a file in order."""
    suffix = {"pcm_s16le": "wav", "libmp3lame": "mp3", "flac": "flac", "aac": "m4a"}[codec]
    path = write_media(tmp_path / f"a.{suffix}", voice(4.0, 44100), 44100, codec)
    with path.open("rb") as file, open_input(file) as source:
        assert sum(map(len, source)) == 4 * 44100
        assert source.note == ""


def test_a_claim_of_hours_is_not_believed(tmp_path):
    """A FLAC header that claims 2^36 samples yields the two seconds that are there, and a note."""
    data = bytearray(write_media(tmp_path / "a.flac", voice(2.0, 48000), 48000, "flac").read_bytes())
    data[21] |= 0x0F
    data[22:26] = b"\xff\xff\xff\xff"
    with open_input(io.BytesIO(data), max_seconds=60) as source:
        assert sum(map(len, source)) == 2 * 48000
        assert "announces" in source.note


def test_tags_that_are_not_text_do_no_harm(tmp_path):
    """Tags in a broken encoding do not keep a file from being read."""
    data = bytearray(write_media(tmp_path / "a.wav", voice(1.0, 8000), 8000, "pcm_s16le").read_bytes())
    data += b"LIST" + struct.pack("<I", 16) + b"INFOINAM" + struct.pack("<I", 4) + b"\xff\xfe\xfd\x00"
    data[4:8] = struct.pack("<I", len(data) - 8)
    with open_input(io.BytesIO(data)) as source:
        assert sum(map(len, source)) == 8000
