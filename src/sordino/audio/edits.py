"""The edit list of an MP4 file's audio (ISO/IEC 14496-12, 8.6.6), set right where FFmpeg's muxer leaves it wrong."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_EMPTY = -1
"""The media time of an entry that shows nothing."""


@dataclass(frozen=True, slots=True)
class _Box:
    start: int
    end: int


def trim_late_audio(descriptor: int, priming: int) -> None:
    """Let an audio track that starts late start with its first real sample.

    FFmpeg's muxer writes the delay as an empty edit, and then plays all of the media with the encoder's priming: the
    sound is in its place, but what is read again is longer than what was written. Here the empty edit becomes longer by
    the priming, and the media is played from behind it. Other files stay as they are.

    Args:
        descriptor: of the finished file, open for reading and writing.
        priming: samples of the encoder before the first real one; the edit list must count in the same unit.
    """
    end = os.fstat(descriptor).st_size
    for movie in _boxes(descriptor, _Box(0, end), b"moov"):
        for track in _boxes(descriptor, movie, b"trak"):
            if _is_audio(descriptor, track):
                for edits in _find(descriptor, track, b"edts", b"elst"):
                    _trim(descriptor, edits, priming)


def _trim(descriptor: int, edits: _Box, priming: int) -> None:
    version, count = struct.unpack(">B3xI", os.pread(descriptor, 8, edits.start))
    pair = struct.Struct(">qq" if version else ">ii")  # duration and media time; a rate of 4 bytes follows
    places = edits.start + 8, edits.start + 8 + pair.size + 4
    if count != 2:
        return
    (delay, nothing), (duration, time) = (pair.unpack(os.pread(descriptor, pair.size, place)) for place in places)
    if nothing == _EMPTY and time == 0:
        os.pwrite(descriptor, pair.pack(delay + priming, _EMPTY), places[0])
        os.pwrite(descriptor, pair.pack(duration - priming, priming), places[1])


def _is_audio(descriptor: int, track: _Box) -> bool:
    handlers = _find(descriptor, track, b"mdia", b"hdlr")
    return any(os.pread(descriptor, 4, handler.start + 8) == b"soun" for handler in handlers)


def _find(descriptor: int, box: _Box, *path: bytes) -> Iterator[_Box]:
    if not path:
        yield box
        return
    for child in _boxes(descriptor, box, path[0]):
        yield from _find(descriptor, child, *path[1:])


def _boxes(descriptor: int, parent: _Box, kind: bytes) -> Iterator[_Box]:
    """The contents of the boxes of a kind right in ``parent``."""
    place = parent.start
    while place + 8 <= parent.end:
        size, name = struct.unpack(">I4s", os.pread(descriptor, 8, place))
        head = 8
        if size == 1:  # a size of 64 bits follows
            (size,) = struct.unpack(">Q", os.pread(descriptor, 8, place + 8))
            head = 16
        if name == kind:
            yield _Box(place + head, place + size)
        place += max(size, head)
