"""Files that are no media, or mean harm."""

import http.server
import io
import struct
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio.sounds import voice, write_media
from sordino.audio.containers import CONTAINERS
from sordino.audio.decode import open_input
from sordino.audio.errors import MediaError, MediaReason


def read(data: bytes) -> int:
    """Decode ``data`` as a file; the number of samples."""
    with open_input(io.BytesIO(data), max_seconds=600) as source:
        return sum(map(len, source))


def reason(data: bytes) -> MediaReason:
    """Why ``data`` is refused."""
    with pytest.raises(MediaError) as raised:
        read(data)
    assert len(str(raised.value)) > 20
    return raised.value.reason


def wav(**fields: int) -> bytes:
    """A WAV file of a second with some fields of its header replaced."""
    header = {"codec": 1, "channels": 1, "rate": 8000, "speed": 16000, "align": 2, "bits": 16} | fields
    body = b"\x01\x00" * 8000
    start = struct.pack("<4sI8sI", b"RIFF", 36 + len(body), b"WAVEfmt ", 16)
    return start + struct.pack("<HHIIHH", *header.values()) + struct.pack("<4sI", b"data", len(body)) + body


def zipped(data: bytes) -> bytes:
    """``data`` in a ZIP archive."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.wav", data)
    return archive.getvalue()


NO_MEDIA = {
    "one byte": b"\xff",
    "text": b"The quick brown fox jumps over the lazy dog.\n" * 200,
    "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "xml": b"<?xml version='1.0' encoding='utf-8'?><Error><Code>NoSuchKey</Code></Error>",
    "json": b'{"a": 1}',
    "script": b"#!/bin/sh\necho hello\n",
    "zeros": bytes(100_000),
    "random": np.random.default_rng(1).bytes(100_000),
    "zip": zipped(wav()),
    "subtitles": b"1\n00:00:00,000 --> 00:00:01,000\nHello\n",
    "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "gif": b"GIF89a" + bytes(100),
    "wav cut in its header": wav()[:20],
    "wav of an unknown codec": wav(codec=0x7777),
    "wav of no bits": wav(bits=0),
    "wav of no rate": wav(rate=0),
    "wav of 1 Hz": wav(rate=1),
    "mp3 tag alone": b"ID3\x04\x00\x00\x00\x00\x07\x76" + bytes(1014),
    "adts header alone": b"\xff\xf1\x50\x80\x01\x7f\xfc",
}


@pytest.mark.parametrize("data", NO_MEDIA.values(), ids=NO_MEDIA.keys())
def test_what_is_no_media_is_unsupported(data):
    """Files of other kinds, and headers that make no sense, are refused as unsupported."""
    assert reason(data) is MediaReason.UNSUPPORTED


@pytest.mark.parametrize(
    ("data", "wanted"),
    [(b"", MediaReason.EMPTY), (wav()[:44], MediaReason.EMPTY), (b"#!AMR\n", MediaReason.EMPTY)],
    ids=["zero bytes", "wav header", "amr header"],
)
def test_what_holds_no_sample_is_empty(data, wanted):
    """Files without a single sample are refused as empty."""
    assert reason(data) is wanted


@pytest.mark.parametrize("channels", [0, 65535])
def test_impossible_channel_counts_are_refused(channels):
    """A header with no channels, or tens of thousands, is refused."""
    assert reason(wav(channels=channels, align=2 * channels % 65536)) in (MediaReason.NO_AUDIO, MediaReason.UNSUPPORTED)


def test_a_film_without_sound(tmp_path):
    """A video without an audio stream is told apart from a broken file."""
    path = tmp_path / "silent.mp4"
    with av.open(path, "w") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 32, 32
        output.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        output.mux(stream.encode(None))
    assert reason(path.read_bytes()) is MediaReason.NO_AUDIO


@pytest.fixture
def victim(tmp_path) -> Iterator[str]:
    """A web server with a WAV file, whose being asked at all fails the test."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *args):
            asked.append(str(args))

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/secret.wav"
    server.shutdown()
    thread.join()
    server.server_close()
    assert asked == []


DESCRIPTIONS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{url}\n#EXT-X-ENDLIST\n",
    "hls with a byte order mark": "\ufeff#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{url}\n",
    "hls with concat": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nconcat:{url}|file:///etc/hostname\n",
    "ffconcat": "ffconcat version 1.0\nfile '{url}'\n",
    "sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 5004 RTP/AVP 0\r\n",
    "dash": '<?xml version="1.0"?>\n<MPD type="static"><Period><BaseURL>{url}</BaseURL></Period></MPD>',
    "smooth": '<?xml version="1.0"?><SmoothStreamingMedia MajorVersion="2"></SmoothStreamingMedia>',
    "asx": '<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
    "pls": "[playlist]\nFile1={url}\nNumberOfEntries=1\n",
    "xspf": '<?xml version="1.0"?><playlist><track><location>{url}</location></track></playlist>',
}


@pytest.mark.parametrize("text", DESCRIPTIONS.values(), ids=DESCRIPTIONS.keys())
def test_playlists_are_refused_and_not_followed(text, victim):
    """Playlists and stream descriptions, however they are named, are refused without a request."""
    assert reason(text.format(url=victim).encode()) is MediaReason.REFUSED


def test_a_playlist_of_local_files_reads_none(tmp_path, monkeypatch):
    """A playlist beside the file it names is refused, also with junk before it that hides what it is."""
    write_media(tmp_path / "secret.wav", voice(1.0, 8000), 8000, "pcm_s16le")
    monkeypatch.chdir(tmp_path)
    for name in ("secret.wav", str(tmp_path / "secret.wav"), f"file://{tmp_path}/secret.wav"):
        for text in (
            f"ffconcat version 1.0\nfile '{name}'\n",
            f"#EXTM3U\n#EXTINF:1,\n{name}\n",
            f"# x\nfile '{name}'\n",
        ):
            assert reason(text.encode()) in (MediaReason.REFUSED, MediaReason.UNSUPPORTED)


def test_no_container_that_follows_references_is_allowed():
    """The whitelist names only demuxers FFmpeg has, and none that opens other resources."""
    names = set(CONTAINERS.split(","))
    assert not names & {
        "hls",
        "concat",
        "dash",
        "sdp",
        "rtsp",
        "rtp",
        "imf",
        "image2",
        "lavfi",
        "tee",
        "webvtt",
        "data",
    }
    for name in names:
        assert av.ContainerFormat(name, "r").is_input


def test_a_rate_of_gigahertz_is_refused():
    """A sample rate beyond any recording is refused before memory is taken for it."""
    assert reason(wav(rate=2_000_000_000)) is MediaReason.UNSUPPORTED
    assert reason(wav(rate=4_000_000_000)) is MediaReason.UNSUPPORTED


@pytest.fixture(scope="session")
def specimens(tmp_path_factory) -> list[bytes]:
    """Small valid files of many kinds, to be broken."""
    place = tmp_path_factory.mktemp("specimens")
    kinds = [("wav", "pcm_s16le"), ("flac", "flac"), ("mp3", "libmp3lame"), ("m4a", "aac"), ("ogg", "flac")]
    files = [write_media(place / f"a.{suffix}", voice(0.5, 44100), 44100, codec) for suffix, codec in kinds]
    files.append(write_media(place / "a.webm", voice(0.5, 48000), 48000, "libopus"))
    return [file.read_bytes() for file in files]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_broken_files_end_as_sound_or_as_an_error(data, specimens):
    """Whatever is done to a file, it is either read within the limit or refused with a reason."""
    broken = bytearray(data.draw(st.sampled_from(specimens)))
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(broken) - 1))
        broken[place : place + data.draw(st.sampled_from([1, 1, 4]))] = data.draw(st.binary(min_size=1, max_size=4))
    broken = broken[: data.draw(st.integers(1, len(broken)))]
    try:
        samples = read(bytes(broken))
    except MediaError:
        return
    assert samples > 0


@settings(max_examples=100, deadline=None)
@given(
    data=st.binary(max_size=2000),
    head=st.sampled_from([b"", b"RIFF\xff\xff\xff\xffWAVE", b"OggS", b"fLaC", b"ID3", b"\xff\xfb"]),
)
def test_random_bytes_end_as_sound_or_as_an_error(data, head):
    """Random bytes behind the first ones of a format do no harm."""
    try:
        samples = read(head + data)
    except MediaError:
        return
    assert samples > 0


@pytest.mark.parametrize("size", [-100, 2**40, 2**62, 2**63 - 1])
def test_a_part_of_impossible_size(size, tmp_path):
    """A chunk that sends the reader before the beginning, or further than any disk, ends as any damage does."""
    path = write_media(tmp_path / "a.caf", voice(3.0, 16000), 16000, "pcm_s16be")
    data, after_description = path.read_bytes(), 8 + 12 + 32
    path.write_bytes(data[:after_description] + b"free" + struct.pack(">q", size) + data[after_description:])
    # Not in memory: a real file has a place it cannot reach, and says so with an error.
    with path.open("rb") as file, suppress(MediaError), open_input(file) as source:
        assert sum(map(len, source)) == 48000


def test_adx_is_refused_by_its_name(tmp_path):
    """An intact file of a format that is left out is not called damaged."""
    path = write_media(tmp_path / "a.adx", voice(3.0, 16000), 16000, "adpcm_adx")
    with pytest.raises(MediaError, match="CRI ADX is not supported") as raised:
        read(path.read_bytes())
    assert raised.value.reason is MediaReason.UNSUPPORTED
