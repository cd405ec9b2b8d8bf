"""Files that are small and claim, or unpack to, far more than there is; through the real media process."""

import struct
import tempfile
from pathlib import Path

import av
import numpy as np
import pytest

from audio.sounds import voice, write_media
from sordino.audio import sandbox
from sordino.audio.errors import MediaError, MediaReason
from sordino.audio.order import MediaLimits, MediaOrder, Report

LIMITS = MediaLimits(seconds=300, memory_bytes=2**28, cpu_seconds=60, wall_seconds=120)


async def run(data: bytes, limits: MediaLimits = LIMITS) -> Report:
    """Process the bytes of a file."""
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        source.write(data)
        return await sandbox.run(source, target, MediaOrder(denoiser="off"), limits)


async def outcome(data: bytes) -> Report | MediaReason:
    """The report, or why there is none; a crash is neither."""
    try:
        return await run(data)
    except MediaError as error:
        return error.reason


@pytest.fixture(scope="module")
def bomb(tmp_path_factory) -> bytes:
    """Three hours of silence in a FLAC file."""
    path = tmp_path_factory.mktemp("bombs") / "a.flac"
    return write_media(path, np.zeros(3 * 3600 * 8000, np.float32), 8000, "flac").read_bytes()


async def test_hours_in_a_few_bytes_end_at_the_limit(bomb):
    """Silence that unpacks to eighty times its size is refused once the audio allowed has been decoded."""
    assert len(bomb) < 2**21
    with pytest.raises(MediaError, match="longer than the 300 s allowed") as raised:
        await run(bomb)
    assert raised.value.reason is MediaReason.TOO_LONG


@pytest.mark.parametrize("text", ["#EXTM3U\n#EXTINF:1,\n{}\n", "ffconcat version 1.0\nfile '{}'\n"])
async def test_a_playlist_named_like_sound_reads_no_other_file(text, tmp_path):
    """A playlist of a file that is there, uploaded as sound, is refused."""
    secret = write_media(tmp_path / "secret.wav", voice(2.0, 16000), 16000, "pcm_s16le")
    assert await outcome(text.format(secret).encode()) is MediaReason.REFUSED


def boxes(data: bytes, *names: bytes) -> list[int]:
    """Where the boxes of an MP4 file begin that lead to the last of ``names``."""
    places, at = [], 0
    for name in names:
        at = data.index(name, at) - 4
        places.append(at)
    return places


def with_reference(data: bytes, path: str) -> bytes:
    """An MP4 file, its index at the end, whose samples are said to lie in another file."""
    place = path.encode() + b"\0" * (len(path) % 2)
    record = struct.pack(">10xB27s12xB63s16xHH16x", 1, b"x", 1, b"x", 0, 0)
    alias = struct.pack(">4sI", b"alis", 0) + record
    alias += struct.pack(">HH", 2, len(path)) + place + struct.pack(">HH", 0xFFFF, 0)
    entry = struct.pack(">I", len(alias) + 4) + alias
    *parents, dref = boxes(data, b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")
    changed = bytearray(data)
    (old,) = struct.unpack_from(">I", data, dref + 16)
    changed[dref + 16 : dref + 16 + old] = entry
    for at in (*parents, dref):
        (size,) = struct.unpack_from(">I", changed, at)
        struct.pack_into(">I", changed, at, size + len(entry) - old)
    return bytes(changed)


def read_obeying(path: Path) -> int:
    """How many samples FFmpeg finds when it is told to follow references."""
    options = {"enable_drefs": "1", "use_absolute_path": "1"}
    with av.open(path, options=options) as container:
        return sum(frame.samples for frame in container.decode(audio=0))


async def test_an_mp4_that_points_to_another_file_is_empty(tmp_path):
    """A track whose samples are said to lie in another file, which is there, is not followed."""
    secret = write_media(tmp_path / "secret.m4a", voice(1.0, 16000), 16000, "aac")
    hostile = with_reference(secret.read_bytes(), str(secret))
    (tmp_path / "b.m4a").write_bytes(hostile)
    assert read_obeying(tmp_path / "b.m4a") > 15000
    assert await outcome(hostile) is MediaReason.EMPTY


def wav(seconds: float, *, said: int | None = None, before: bytes = b"") -> bytes:
    """A WAV file whose data chunk claims ``said`` bytes, with other chunks before it."""
    body = (voice(seconds, 8000) * 32767).astype("<i2").tobytes()
    start = struct.pack("<4sI8sIHHIIHH", b"RIFF", 36 + len(body), b"WAVEfmt ", 16, 1, 1, 8000, 16000, 2, 16)
    return start + before + struct.pack("<4sI", b"data", len(body) if said is None else said) + body


async def test_a_claim_of_days_gets_what_is_there():
    """A header that announces 37 hours over three seconds is processed as three seconds, with a note."""
    report = await run(wav(3.0, said=0x7FFFFF00))
    assert report.seconds == 3.0
    assert "holds 3.0 s" in report.note or "truncated" in report.note


async def test_a_claim_of_years_in_flac(bomb, tmp_path):
    """A FLAC header that announces 2^36 samples does not count either."""
    data = bytearray(write_media(tmp_path / "a.flac", voice(3.0, 8000), 8000, "flac").read_bytes())
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4
    assert (await run(bytes(data))).seconds == 3.0


def flac_channels(count: int) -> bytes:
    """Silence of a rate and a number of channels that make blocks of a second large."""
    with tempfile.TemporaryDirectory() as place:
        samples = np.zeros((192_000 * 4, count), np.float32)
        return write_media(Path(place, "a.flac"), samples, 192_000, "flac").read_bytes()


async def test_memory_bombs_end_at_the_limit():
    """What unpacks to more than the memory allowed, second by second, is refused with that reason."""
    limits = MediaLimits(memory_bytes=2**23)
    with pytest.raises(MediaError, match="memory") as raised:
        await run(flac_channels(8), limits)
    assert raised.value.reason is MediaReason.RESOURCE


CLAIMS = {
    "a tag of 256 MB before MP3": b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + bytes(2000),
    "a list of 4 GB in WAV": wav(3.0, before=struct.pack("<4sI4s", b"LIST", 0xFFFFFFF0, b"INFO")),
    "a format of 2 GB in WAV": struct.pack("<4sI8sI", b"RIFF", 0xFFFFFFF0, b"WAVEfmt ", 0x7FFFFFF0) + bytes(5000),
    "a picture of 16 MB in FLAC": b"fLaC\x06\xff\xff\xff" + bytes(5000),
    "a comment of 4 GB in Ogg": b"OggS\x00\x02" + bytes(20) + b"\x01\x1e\x01vorbis" + bytes(12) + b"\xff" * 5000,
    "a table of 4 G entries in MP4": (
        struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0)
        + struct.pack(">I4sI4sI4sI4sI4s", 64, b"moov", 56, b"trak", 48, b"mdia", 40, b"minf", 32, b"stbl")
        + struct.pack(">I4sIII", 20, b"stsz", 0, 0, 0xFFFFFFFF)
        + bytes(5000)
    ),
    "an element of 2^56 bytes in Matroska": b"\x1a\x45\xdf\xa3\x84\x42\x82\x80\x80\x18\x53\x80\x67\x01" + b"\xff" * 200,
    "a chunk of 2^63 bytes in CAF": b"caff\x00\x01\x00\x00desc" + struct.pack(">q", 2**63 - 1) + bytes(5000),
    "an AIFF of 65535 channels": b"FORM\x7f\xff\xff\xffAIFFCOMM\x00\x00\x00\x12\xff\xff"
    + b"\xff" * 4
    + b"\x00\x10"
    + bytes(99),
}


@pytest.mark.parametrize("data", CLAIMS.values(), ids=CLAIMS.keys())
async def test_claims_of_huge_parts_cost_nothing(data):
    """A part that claims more bytes than any memory holds is passed over or refused; nothing crashes."""
    assert await outcome(data) in (MediaReason.UNSUPPORTED, MediaReason.EMPTY, MediaReason.NO_AUDIO)


@pytest.mark.parametrize("channels", [255, 1000, 32767])
async def test_huge_numbers_of_channels_are_refused(channels):
    """More channels than any recording has are refused before memory is taken for them."""
    header = struct.pack(
        "<4sI8sIHHIIHH", b"RIFF", 2**20, b"WAVEfmt ", 16, 1, channels, 8000, 16000, 2 * channels % 2**16, 16
    )
    assert await outcome(header + struct.pack("<4sI", b"data", 2**20) + bytes(2**20)) in (
        MediaReason.UNSUPPORTED,
        MediaReason.NO_AUDIO,
    )


@pytest.mark.parametrize(
    "head",
    [wav(3.0)[:44], b"#!AMR\n", b"fLaC\x80\x00\x00\x22" + bytes(34), b"ID3\x04\x00\x00\x00\x00\x07\x76" + bytes(1014)],
    ids=["wav", "amr", "flac", "id3"],
)
async def test_headers_alone_are_refused(head):
    """A file of nothing but a header ends as an error, not as an empty success."""
    assert await outcome(head) in (MediaReason.EMPTY, MediaReason.NO_AUDIO, MediaReason.UNSUPPORTED)
