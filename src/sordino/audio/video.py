"""The video of a recording, carried over packet by packet and never decoded."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from sordino.audio.containers import open_container
from sordino.audio.errors import MediaError, MediaReason
from sordino.audio.timing import TimedPacket, mended, reordered

if TYPE_CHECKING:
    from av.packet import Packet

NO_VIDEO = "The input holds no video; the result has the audio alone."
DAMAGED_VIDEO = "The video is damaged or truncated; what could be read of it was carried over."

_WITH_PARAMETERS = frozenset({"h264", "hevc", "av1"})
"""Codecs whose parameters MP4 keeps in its header; without them nothing plays."""

_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


class VideoCopy:
    """A video stream that a sink may carry over.

    Attributes:
        codec: FFmpeg's name of its codec.
        audio_start: when the first sample of the audio is heard, seconds on the container's clock; None: not stated.
    """

    def __init__(self, file: BinaryIO, stream: Stream, audio_start: Fraction | None) -> None:
        self._file = file
        self._index = stream.index
        self.codec = stream.codec_context.codec.canonical_name
        self.audio_start = audio_start

    @contextmanager
    def opened(self) -> "Iterator[VideoReader]":
        """Open the file once more, with a position of its own, to read the video's packets.

        Raises:
            MediaError: the file cannot be opened any more.
        """
        with open_container(self._file) as container:
            yield VideoReader(container, self._index)


def find_video(container: InputContainer) -> Stream | None:
    """The first stream of moving pictures: covers, thumbnails and stills are none."""
    for stream in container.streams:
        if stream.type == "video" and stream.codec_context is not None and not stream.disposition & _PICTURES:
            return stream
    return None


class VideoReader:
    """The packets of a video stream in the order of decoding, with time stamps that a muxer takes.

    Attributes:
        stream: where they come from.
        unit: of their time stamps, seconds.
        start: when the first picture is shown, seconds on the container's clock.
        next: the packet to be taken; None at the end.
        damaged: whether the video could not be read to its end.
    """

    def __init__(self, container: InputContainer, index: int) -> None:
        stream = container.streams[index]
        assert isinstance(stream, VideoStream)
        self.stream = stream
        self.unit = stream.time_base or Fraction(1, av.time_base)
        self.damaged = False
        self.next: TimedPacket | None = None
        demuxed = self._demux(container)
        matroska = "matroska" in container.format.name
        self._packets = reordered(demuxed) if matroska else mended(demuxed)
        self.advance()
        self.start = self._first_shown() * self.unit

    def _first_shown(self) -> int:
        """FFmpeg states a start where an edit list hides the first pictures; elsewhere it needs a decoder to tell."""
        if self.next is None:
            return 0
        stated = self.stream.start_time
        return stated if self.next.packet.is_discard and stated is not None else self.next.shown

    def advance(self) -> None:
        """Go on to the next packet."""
        self.next = next(self._packets, None)

    def _demux(self, container: InputContainer) -> "Iterator[Packet[VideoStream]]":
        try:
            for packet in container.demux(self.stream):
                if packet.stream_index == self.stream.index and packet.size:
                    self.damaged |= packet.is_corrupt
                    yield packet
        except av.error.FFmpegError:
            self.damaged = True
        except IndexError:
            # As for audio: PyAV stumbles at the end over streams that appeared while reading.
            return


class VideoTrack:
    """The video stream of a file being written, filled as its audio advances."""

    def __init__(self, container: OutputContainer, reader: VideoReader, zero: Fraction) -> None:
        """Add the stream to ``container``, which must be MP4.

        Args:
            container: its header must not have been written.
            reader: where the packets come from.
            zero: what becomes 0 of the reader's clock, seconds.

        Raises:
            MediaError: UNSUPPORTED: MP4 cannot carry this codec.
        """
        self._container = container
        self._reader = reader
        try:
            self._stream = container.add_stream_from_template(reader.stream, opaque=True)
        except ValueError as error:
            raise _not_for_mp4(reader.stream) from error
        self._describe()
        self._shift = round(zero / reader.unit)

    def _describe(self) -> None:
        """Tell the muxer what it writes into the header and FFmpeg learns of a stream only by decoding it."""
        context, codec = self._stream.codec_context, self._reader.stream.codec.canonical_name
        if codec in _WITH_PARAMETERS and not context.extradata:
            raise _unfit()
        if codec == "hevc":
            context.codec_tag = "hvc1"  # the other name, hev1, Apple's players do not know
        if codec == "vp9":
            pixels = None if self._reader.next is None else _vp9_pixels(bytes(self._reader.next.packet))
            if pixels is None:
                raise _unfit()
            context.pix_fmt = pixels

    @property
    def damaged(self) -> bool:
        """Whether the video could not be read to its end."""
        return self._reader.damaged

    def until(self, seconds: Fraction) -> None:
        """Write the packets that are decoded up to a time of the file being written."""
        while self._reader.next is not None and self._at(self._reader.next) <= seconds:
            self._write(self._reader.next)

    def finish(self) -> None:
        """Write the rest."""
        while self._reader.next is not None:
            self._write(self._reader.next)

    def _at(self, timed: TimedPacket) -> Fraction:
        return (timed.decoded - self._shift) * self._reader.unit

    def _write(self, timed: TimedPacket) -> None:
        packet = timed.packet
        packet.dts, packet.pts = timed.decoded - self._shift, timed.shown - self._shift
        packet.stream = self._stream
        self._container.mux(packet)
        self._reader.advance()


def _vp9_pixels(frame: bytes) -> str | None:
    """The pixel format of the key frame that a VP9 stream starts with; None: a rare one, or no such frame.

    The VP9 bitstream specification, 6.2: two bits of marker, profile (low bit, high bit), four flags, a sync code of
    three bytes; in profile 2 then a bit for 12 instead of 10 bits.
    """
    if len(frame) < 5 or frame[1:4] != b"\x49\x83\x42":
        return None
    profile = (frame[0] >> 5 & 1) | (frame[0] >> 3 & 2)
    return {0: "yuv420p", 2: "yuv420p12le" if frame[4] & 0x80 else "yuv420p10le"}.get(profile)


@contextmanager
def refusing_damaged_video() -> Iterator[None]:
    """What the muxer says of packets it cannot take, also later, among those of audio, is told of the video.

    Raises:
        MediaError: UNSUPPORTED.
    """
    try:
        yield
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):  # of the file that is written
            raise
        raise _unfit() from error


def check_readable(file: BinaryIO) -> None:
    """Look whether a finished MP4 file can be read again: its muxer takes what its header then cannot describe.

    The position in the file is at its beginning afterwards.

    Raises:
        MediaError: UNSUPPORTED: it cannot.
    """
    try:
        open_container(file).close()
    except MediaError as error:
        raise _unfit() from error
    file.seek(0)


def _unfit() -> MediaError:
    return MediaError(
        MediaReason.UNSUPPORTED,
        "The video is damaged, or of a kind that cannot be carried over into MP4; leave the video out.",
    )


def _not_for_mp4(stream: VideoStream) -> MediaError:
    return MediaError(
        MediaReason.UNSUPPORTED,
        f"The video is in {stream.codec.canonical_name}, which MP4 cannot carry; "
        "leave the video out, or convert it to H.264, H.265, VP9 or AV1.",
    )
