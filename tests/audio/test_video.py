"""The video of a recording comes along untouched and in step with the sound."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from audio.sounds import error_db, lag, voice, write_film, write_media
from sordino.audio.decode import open_input
from sordino.audio.encode import open_output
from sordino.audio.errors import MediaError, MediaReason
from sordino.audio.order import MediaFormat

RATE = 48000
FILMS = [
    ("mp4", ("libx264", "aac")),
    ("mov", ("libx264", "pcm_s16le")),
    ("mkv", ("libx264", "flac")),
    ("ts", ("libx264", "mp2")),
    ("flv", ("libx264", "aac")),
    ("avi", ("mpeg4", "libmp3lame")),
    ("mpg", ("mpeg2video", "mp2")),
    ("webm", ("libvpx-vp9", "libopus")),
]


def carried(source: Path, target: Path, rate: int = RATE) -> str:
    """The sound and the video of ``source`` in a new M4A; gives the notes."""
    with source.open("rb") as read, target.open("w+b") as written, open_input(read) as decoded:
        with open_output(written, MediaFormat.M4A, rate, decoded.channels, video=decoded.video) as sink:
            for block in decoded:
                sink.write(block)
        return decoded.note + sink.note


def packets(path: Path) -> list[tuple[int, int, bytes]]:
    """When the video's packets are shown and decoded, ms from the first picture, and their contents."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        found = [packet for packet in container.demux(stream) if packet.size]
        first = min(packet.pts for packet in found if packet.pts is not None)

        def milliseconds(stamp: int | None) -> int:
            return -1 if stamp is None else round(1000 * (stamp - first) * stream.time_base)

        return [(milliseconds(packet.pts), milliseconds(packet.dts), bytes(packet)) for packet in found]


def offset(path: Path) -> float:
    """By how many seconds the first sample is heard after the first picture is shown, by FFmpeg."""
    with av.open(path) as container:
        sound = next(container.decode(audio=0))
    with av.open(path) as container:
        picture = next(container.decode(video=0))
    return float(sound.pts * sound.time_base - picture.pts * picture.time_base)


def pictures(path: Path) -> list[tuple[float, float]]:
    """When each picture is shown, seconds after the first, and how light it is."""
    with av.open(path) as container:
        shown = [(frame.pts * frame.time_base, frame.to_ndarray()[:48].mean()) for frame in container.decode(video=0)]
    return [(round(float(time - shown[0][0]), 2), float(light)) for time, light in shown]


def sound(path: Path) -> np.ndarray:
    """The samples of the first channel, by our decoder."""
    with path.open("rb") as file, open_input(file) as decoded:
        return np.concatenate(list(decoded))[:, 0]


@pytest.mark.parametrize(("suffix", "codecs"), FILMS)
def test_the_video_is_not_touched(suffix, codecs, tmp_path):
    """Each packet is carried over as it is, each picture is shown when it was, and the sound is in its place."""
    if codecs[0] not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg does not encode {codecs[0]}")
    speech = voice(4.0, RATE)
    source = write_film(tmp_path / f"film.{suffix}", speech, RATE, codecs=codecs)
    assert carried(source, tmp_path / "a.m4a") == ""
    before, after = packets(source), packets(tmp_path / "a.m4a")
    if suffix in ("ts", "mpg"):  # there the packets are framed in another way
        assert len(after) == len(before)
    else:
        assert [content for _, _, content in after] == [content for _, _, content in before]
    assert pictures(tmp_path / "a.m4a") == pytest.approx(np.array(pictures(source)), abs=0.011)
    assert len(pictures(source)) == 40
    samples = sound(tmp_path / "a.m4a")[: len(speech)]
    assert lag(samples, speech[: len(samples)]) == 0
    assert error_db(speech[: len(samples)], samples) < -8


@pytest.mark.parametrize("audio_at", [0.0, 0.005, 0.0213, 0.03, 0.3, 1.0, -0.3, -1.0])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_sound_and_video_stay_in_step(suffix, audio_at, tmp_path):
    """A sound that starts later or earlier than the video still does, to within 2 ms, and keeps its samples."""
    speech = voice(3.0, RATE)
    source = write_film(tmp_path / f"film.{suffix}", speech, RATE, codecs=("libx264", "flac"), audio_at=audio_at)
    with source.open("rb") as file, open_input(file) as decoded:
        written = sum(map(len, decoded))
    carried(source, tmp_path / "a.m4a")
    assert abs(offset(tmp_path / "a.m4a") - audio_at) < 0.002
    assert len(sound(tmp_path / "a.m4a")) == written
    assert len(speech) - 1024 < written <= len(speech)  # FFmpeg 9 takes a small delay in MP4 from the end
    assert lag(sound(tmp_path / "a.m4a"), speech[:written]) == 0


def test_sound_with_a_delay_of_its_own_stays_in_step(tmp_path):
    """Where a codec's delay was taken out, the sound is not early by it."""
    speech = voice(3.0, RATE)
    source = write_film(tmp_path / "film.flv", speech, RATE, codecs=("libx264", "aac"))
    carried(source, tmp_path / "a.m4a")
    assert abs(offset(tmp_path / "a.m4a")) < 0.002


@pytest.mark.parametrize(("seconds", "count"), [(1.0, 60), (5.0, 10)])
def test_a_video_of_another_length(seconds, count, tmp_path):
    """A video that ends before or after the sound is carried over whole."""
    speech = voice(seconds, RATE)
    source = write_film(tmp_path / "film.mp4", speech, RATE, pictures=count)
    assert carried(source, tmp_path / "a.m4a") == ""
    assert len(packets(tmp_path / "a.m4a")) == count
    assert len(sound(tmp_path / "a.m4a")) == len(speech)


def test_sound_and_video_lie_side_by_side(tmp_path):
    """A reader that goes through the file gets both at about the same time: less than a second apart."""
    source = write_film(tmp_path / "film.mkv", voice(12.0, RATE), RATE, codecs=("libx264", "flac"), pictures=120)
    carried(source, tmp_path / "a.m4a")
    with av.open(tmp_path / "a.m4a") as container:
        order = sorted(
            (packet.pos, packet.stream.type, float(packet.dts * packet.time_base))
            for packet in container.demux()
            if packet.size
        )
    latest = {"audio": 0.0, "video": 0.0}
    for _, kind, time in order:
        latest[kind] = time
        assert abs(latest["audio"] - latest["video"]) < 1
    assert min(latest.values()) > 11


@pytest.mark.parametrize(
    ("suffix", "codecs"), [("mkv", ("libvpx", "flac")), ("flv", ("flv", "aac")), ("avi", ("wmv2", "libmp3lame"))]
)
def test_a_codec_that_mp4_cannot_carry(suffix, codecs, tmp_path):
    """Such a video is refused with its codec's name and a way out."""
    if codecs[0] not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg does not encode {codecs[0]}")
    source = write_film(tmp_path / f"film.{suffix}", voice(1.0, 44100), 44100, codecs=codecs, pictures=10)
    with pytest.raises(MediaError, match=r"The video is in \w+, which MP4 cannot carry; leave the video out") as raised:
        carried(source, tmp_path / "a.m4a", 44100)
    assert raised.value.reason is MediaReason.UNSUPPORTED


def test_what_is_no_video(tmp_path):
    """A file of sound has no video, and neither has one with a cover."""
    plain = write_media(tmp_path / "a.flac", voice(1.0, RATE), RATE, "flac")
    cover = tmp_path / "cover.mp3"
    with av.open(cover, "w") as output:
        audio = output.add_stream("libmp3lame", rate=RATE, layout="mono")
        picture = output.add_stream("png", rate=1)
        picture.width, picture.height, picture.pix_fmt = 16, 16, "rgb24"
        picture.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(voice(1.0, RATE)[None], format="fltp", layout="mono")
        frame.rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        for packet in (*audio.encode(frame), *audio.encode(None)):
            output.mux(packet)
        for packet in (*picture.encode(av.VideoFrame(16, 16, "rgb24")), *picture.encode(None)):
            output.mux(packet)
    for path in (plain, cover):
        with path.open("rb") as file, open_input(file) as decoded:
            assert decoded.video is None


def test_video_goes_into_m4a_only(tmp_path):
    """No other format is tried."""
    source = write_film(tmp_path / "film.mp4", voice(1.0, RATE), RATE)
    with (
        source.open("rb") as read,
        (tmp_path / "a.flac").open("w+b") as written,
        open_input(read) as decoded,
        pytest.raises(ValueError, match="use m4a"),
        open_output(written, MediaFormat.FLAC, RATE, video=decoded.video),
    ):
        pytest.fail("it was opened")


def test_a_film_that_was_cut_off(tmp_path):
    """What is left of a truncated film is carried over, with a note."""
    source = write_film(tmp_path / "film.mkv", voice(8.0, RATE), RATE, codecs=("libx264", "flac"), pictures=80)
    data = source.read_bytes()
    with (tmp_path / "a.m4a").open("w+b") as written, open_input(io.BytesIO(data[: len(data) // 2])) as decoded:
        with open_output(written, MediaFormat.M4A, RATE, video=decoded.video) as sink:
            for block in decoded:
                sink.write(block)
        assert "truncated" in decoded.note
    assert 20 < len(packets(tmp_path / "a.m4a")) < 60


@pytest.mark.parametrize("suffix", ["mp4", "ts", "flv", "mkv"])
def test_damaged_films_are_carried_over_or_refused(suffix, tmp_path):
    """Whatever was damaged, a readable file comes out or an error in words."""
    codecs = {"ts": ("libx264", "mp2"), "mkv": ("libx264", "flac")}.get(suffix, ("libx264", "aac"))
    data = write_film(tmp_path / f"film.{suffix}", voice(2.0, RATE), RATE, codecs=codecs, pictures=20).read_bytes()
    random = np.random.default_rng(11)
    for _ in range(25):
        damaged = bytearray(data)
        for place in random.integers(0, len(data), 10):
            damaged[place] = random.integers(256)
        (tmp_path / "damaged").write_bytes(damaged)
        try:
            carried(tmp_path / "damaged", tmp_path / "a.m4a")
        except MediaError:
            continue
        assert len(sound(tmp_path / "a.m4a")) > 0


def test_a_turned_picture_stays_turned(tmp_path):
    """The rotation that a telephone writes into the header is kept."""
    source = write_film(tmp_path / "film.mp4", voice(1.0, RATE), RATE, pictures=10)
    data = bytearray(source.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    turned = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 48 << 16, 0, 0x40000000)
    data[matrix : matrix + 36] = turned
    source.write_bytes(data)
    carried(source, tmp_path / "a.m4a")
    result = (tmp_path / "a.m4a").read_bytes()
    matrix = result.index(b"tkhd") + 4 + 40
    assert struct.unpack(">9i", result[matrix : matrix + 36])[:5] == (0, 0x10000, 0, -0x10000, 0)
