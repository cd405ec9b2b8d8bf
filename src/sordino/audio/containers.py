"""Opening media files with FFmpeg's libraries through PyAV, as if each of them were hostile.

FFmpeg sees only a nameless stream of bytes, may choose among the whitelisted containers and audio decoders, and has no
way to open anything else.
"""

import errno
import os
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, BinaryIO, NoReturn

import av
import av.error
from av.codec.codec import UnknownCodecError
from av.container import InputContainer

from sordino.audio.errors import MediaError, MediaReason

CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dts,dtshd,eac3,flac,flv,ircam,loas,matroska,mov,mp3,mpc,mpc8,"
    "mpeg,mpegts,mxf,nistsphere,ogg,oma,rm,sox,tak,tta,voc,w64,wav,wv"
)
"""FFmpeg demuxers that read audio from the file alone; none of them follows references.

CRI ADX is missing because FFmpeg 8.1 divides by zero on damaged files of it.
"""

_DESCRIPTION = re.compile(
    rb"""\s*( \#EXTM3U | ffconcat\ version | v=0\r?\n | \[playlist\]
        | (<\?xml[^>]*>\s*)? <(MPD|SmoothStreamingMedia|playlist|asx)\b )""",
    re.IGNORECASE | re.VERBOSE,
)
# PyAV before 19 raises on tags that are no UTF-8 unless told otherwise; from 19 on it has no such argument, nor need.
_TOLERANT: Mapping[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


def open_container(file: BinaryIO) -> InputContainer:
    """Open a media file; close the container when done, the file is left open.

    Args:
        file: seekable, open for reading in binary mode; other containers may read it at the same time.

    Raises:
        MediaError: UNSUPPORTED or RESOURCE.
    """
    try:
        container: InputContainer = av.open(
            _Nameless(file),
            "r",
            options={
                "format_whitelist": CONTAINERS,
                "protocol_whitelist": "none",
                "codec_whitelist": _audio_decoders(),
            },
            io_open=_refuse_resource,
            **_TOLERANT,
        )
    except av.error.MemoryError as error:
        raise too_large() from error
    except av.error.FFmpegError as error:
        raise unreadable() from error
    return container


class _Nameless:
    """A position of its own in a file without a name: FFmpeg can neither guess by it nor look beside it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._position = 0

    def read(self, size: int) -> bytes:
        self._file.seek(self._position)
        data = self._file.read(size)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of files, but for a place where no file can be, which damaged ones name, with FFmpeg's word for an error.

        PyAV would hand an exception on to whoever reads next.
        """
        if whence == os.SEEK_CUR:
            offset, whence = offset + self._position, os.SEEK_SET
        try:
            self._position = self._file.seek(offset, whence)
        except (OSError, ValueError):
            return -errno.EINVAL
        return self._position

    def tell(self) -> int:
        return self._position


@cache
def _audio_decoders() -> str:
    return ",".join(name for name in sorted(av.codecs_available) if _decodes_audio(name))


def _decodes_audio(name: str) -> bool:
    try:
        return av.Codec(name, "r").type == "audio"
    except UnknownCodecError:  # known to FFmpeg as an encoder only
        return False


def _refuse_resource(url: str, flags: int, options: Mapping[str, str]) -> NoReturn:
    raise PermissionError(f"a media file asked for another resource (flags {flags}, {len(options)} options): {url!r}")


def ends(file: BinaryIO) -> tuple[bytes, bytes]:
    """The first KiB and the last 64 KiB, which hold the last page of an Ogg file."""
    file.seek(0)
    head = file.read(1024)
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 2**16))
    return head, file.read()


def check_head(head: bytes) -> None:
    """Name for what it is what FFmpeg could not open either, or what it may not.

    Raises:
        MediaError: EMPTY, REFUSED or UNSUPPORTED.
    """
    if not head:
        raise MediaError(MediaReason.EMPTY, "The file is empty; it holds not a single byte.")
    if _DESCRIPTION.match(head.lstrip(b"\xef\xbb\xbf")):
        raise MediaError(
            MediaReason.REFUSED, "The file is a playlist or stream description; use the media file it points to."
        )
    if _is_adx(head):
        raise MediaError(MediaReason.UNSUPPORTED, "The format CRI ADX is not supported; convert it to WAV, MP3 or M4A.")


def _is_adx(head: bytes) -> bool:
    """Whether this is CRI ADX, which other demuxers would take for damaged files of theirs."""
    end = int.from_bytes(head[2:4], "big") + 4
    return head.startswith(b"\x80\x00") and head[end - 6 : end] == b"(c)CRI"


def without_sizes(head: bytes) -> bool:
    """Whether a WAV file leaves its length open, as programs that write into a pipe do: it then ends where it ends."""
    size = int.from_bytes(head[4:8], "little")
    return head.startswith(b"RIFF") and not 0 < size < 0x7FFFFF00


def ogg_cut_off(head: bytes, tail: bytes) -> bool:
    """Whether the last page of an Ogg file (RFC 3533, section 6) lacks the mark that ends a stream."""
    last = tail.rfind(b"OggS")
    return head.startswith(b"OggS") and not (last >= 0 and tail[last + 5 : last + 6] >= b"\x04")


def too_large() -> MediaError:
    """The file's claims take more memory than there is."""
    return MediaError(
        MediaReason.RESOURCE, "The file asks for more memory than there is; convert it to WAV, MP3 or M4A."
    )


def undecodable() -> MediaError:
    """There is audio, but no decoder for it."""
    return MediaError(
        MediaReason.UNSUPPORTED, "The audio is in a codec that cannot be decoded; convert it to WAV, MP3 or M4A."
    )


def unreadable() -> MediaError:
    """Not media, or hardly."""
    return MediaError(
        MediaReason.UNSUPPORTED,
        "The file is not audio or video of a known format, or is too damaged to read; convert it to WAV, MP3 or M4A.",
    )
