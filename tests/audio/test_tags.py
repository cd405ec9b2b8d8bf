"""What a recording is called goes along with it, and nothing else does."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.sounds import voice
from sordino.audio.decode import open_input
from sordino.audio.encode import open_output
from sordino.audio.order import MediaFormat
from sordino.audio.tags import MAX_LENGTH, NAMES, clean_tags

TAGS = {
    "title": "降噪 测试 🎧",
    "artist": "Ada, Béla & Çelik",
    "album": "Fieldwork",
    "comment": "first line\nsecond line",
    "date": "2024-05-06",
    "genre": "Speech",
    "language": "fra",
}


def tagged(path: Path, tags: dict[str, str]) -> Path:
    """A second of sound in the format of the suffix with our writer."""
    with path.open("w+b") as file, open_output(file, MediaFormat(path.suffix[1:]), 48000, tags=tags) as sink:
        sink.write(voice(1.0, 48000)[:, None])
    return path


def tags_of(data: bytes) -> dict[str, str]:
    """The tags that our reader finds."""
    with open_input(io.BytesIO(data)) as decoded:
        return dict(decoded.tags)


@pytest.mark.parametrize("form", ["mp3", "m4a", "flac", "opus"])
def test_tags_are_written_and_read(form, tmp_path):
    """Title, artist and the like come back as they were, in every format that has room for them."""
    assert tags_of(tagged(tmp_path / f"a.{form}", TAGS).read_bytes()) == TAGS


def test_wav_keeps_its_short_header(tmp_path):
    """WAV has no tags: its samples start at byte 44."""
    data = tagged(tmp_path / "a.wav", TAGS).read_bytes()
    assert data[36:40] == b"data"
    assert len(data) == 44 + 2 * 48000


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ogg", "mp3", "flac", "wav", "wma"])
def test_tags_of_other_programs_are_read(suffix, tmp_path):
    """A title is found wherever a format keeps it; names of encoders and brands are not taken for one."""
    path = tmp_path / f"a.{suffix}"
    codecs = {"mkv": "flac", "mp4": "aac", "ogg": "libopus", "mp3": "libmp3lame", "flac": "flac", "wav": "pcm_s16le"}
    with av.open(path, "w") as output:
        stream = output.add_stream(
            codecs.get(suffix, "wmav2"), rate=48000, layout="mono", options={"b": "64k"} if suffix == "wma" else {}
        )
        output.metadata["title"] = "Überfahrt"
        output.metadata["encoder"] = "somebody"
        frame = av.AudioFrame.from_ndarray(voice(1.0, 48000)[None], format="flt", layout="mono")
        frame.rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert tags_of(path.read_bytes()) == {"title": "Überfahrt"}


def test_bytes_that_are_no_text(tmp_path):
    """A tag in a broken encoding is told with replacement characters and can be written again."""
    data = bytearray(tagged(tmp_path / "a.wav", {}).read_bytes())
    data += b"LIST" + struct.pack("<I", 20) + b"INFOINAM" + struct.pack("<I", 8) + b"ab\xff\xfecd\x00\x00"
    data[4:8] = struct.pack("<I", len(data) - 8)
    tags = tags_of(bytes(data))
    assert tags == {"title": "ab\ufffd\ufffdcd"}
    assert tags_of(tagged(tmp_path / "a.mp3", tags).read_bytes()) == tags


def test_what_is_hostile_is_left_out():
    """Control characters, reversed writing and unknown names go, long tags are cut."""
    found = {
        "TITLE": " a\x00b\x1b[31m\u202ec\r\nd\x7f ",
        "artist": "x" * 10_000_000,
        "album": "\x00\x01",
        "nonsense": "y",
        "": "z",
        "Year": "1999",
        "language": "und",
    }
    tags = clean_tags([found, {"title": "other", "date": "2000", "genre": "G"}])
    assert tags == {"title": "ab[31mc\nd", "artist": "x" * MAX_LENGTH, "date": "1999", "genre": "G"}


def test_joiners_of_scripts_and_emoji_stay():
    """What Persian words and families of emoji are joined with is no harm."""
    text = "\u0645\u06cc\u200c\u062e\u0648 \U0001f469\u200d\U0001f467"
    assert clean_tags([{"title": text}]) == {"title": text}


@given(st.dictionaries(st.sampled_from([*NAMES, "Title", "x"]), st.text(st.characters(codec=None), max_size=30)))
def test_clean_tags_are_clean(found):
    """Whatever the tags, what comes of them is valid UTF-8, bounded, without control characters, and stays so."""
    tags = clean_tags([found])
    assert set(tags) <= set(NAMES)
    for value in tags.values():
        value.encode("utf-8")
        assert 0 < len(value) <= MAX_LENGTH
        assert not any(ord(char) < 32 and char not in "\n\t" for char in value)
    assert clean_tags([tags]) == tags


def test_thousands_of_tags(tmp_path):
    """A file with thousands of tags hands on no more than are known."""
    path = tmp_path / "a.flac"
    with av.open(path, "w") as output:
        stream = output.add_stream("flac", rate=48000, layout="mono")
        output.metadata.update({f"tag{number}": "x" * 50 for number in range(5000)} | {"title": "T"})
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), format="s16", layout="mono")
        frame.rate = 48000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert tags_of(path.read_bytes()) == {"title": "T"}
