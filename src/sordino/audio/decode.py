"""From the bytes of a media file to blocks of samples, with FFmpeg's libraries through PyAV.

Claimed durations decide nothing but the wording of a note.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from functools import cached_property
from itertools import chain
from typing import BinaryIO, Protocol

import av
import av.error
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from sordino.audio.alignment import untold_delay
from sordino.audio.blocks import Block
from sordino.audio.containers import (
    check_head,
    ends,
    ogg_cut_off,
    open_container,
    too_large,
    undecodable,
    unreadable,
    without_sizes,
)
from sordino.audio.errors import MediaError, MediaReason
from sordino.audio.frames import Adapter, Piece, pieces
from sordino.audio.tags import clean_tags
from sordino.audio.video import VideoCopy, find_video

READABLE_SECONDS = 1.0
"""A damaged file must hold more audio than this to be worth processing."""

_EXACT_SECONDS = 0.05
"""Less than a frame of FLAC, which states its exact length and drops damaged frames without a word."""


class Source(Protocol):
    """An opened input: iterate it once for its blocks, (samples, channels) at ``rate``.

    Iterating raises MediaError as `open_input` does.
    """

    @property
    def rate(self) -> int:
        """Sample rate of all blocks, Hz: that of the first decoded frame."""
        ...

    @property
    def channels(self) -> int:
        """Channels of all blocks: those of the first decoded frame."""
        ...

    @property
    def layout(self) -> str:
        """FFmpeg's name of the channel layout of the first decoded frame, such as ``stereo``."""
        ...

    @property
    def tags(self) -> Mapping[str, str]:
        """What the recording is called: title, artist and other names of `sordino.audio.tags`, safe to write."""
        ...

    @property
    def video(self) -> VideoCopy | None:
        """The first video stream, to be given to `sordino.audio.encode.open_output`; covers and stills are none."""
        ...

    @property
    def fraction(self) -> float:
        """Share of the file's bytes consumed so far, 0 to 1, never falling."""
        ...

    @property
    def note(self) -> str:
        """What the user should know of the input's condition, once the iteration has ended; empty when all is well."""
        ...

    def __iter__(self) -> Iterator[Block]: ...


@contextmanager
def open_input(file: BinaryIO, *, max_seconds: float = float("inf")) -> Iterator[Source]:
    """Open the audio of a media file.

    Of several audio streams it takes the one marked as default, else the one FFmpeg holds for the best. The audio
    starts with its own first sample: an encoder's priming is removed, by what the container tells or else by what is
    known of the codec (`sordino.audio.alignment`), and a start later than the video's is not filled with silence. Cover
    pictures and video are never decoded.

    A damaged file yields what can be read when that is more than a second, with a `Source.note`.

    Args:
        file: seekable, open for reading in binary mode; read from its beginning.
        max_seconds: decoded audio allowed.

    Raises:
        MediaError: UNSUPPORTED, REFUSED, NO_AUDIO, EMPTY or RESOURCE at once; also UNSUPPORTED, RESOURCE and TOO_LONG
            while iterating.
    """
    head, tail = ends(file)
    check_head(head)
    with open_container(file) as container:
        yield _Decoder(
            file,
            container,
            _audio_stream(container),
            max_seconds,
            open_ended=without_sizes(head),
            cut_off=ogg_cut_off(head, tail),
        )


class _Decoder:
    """The `Source` over one audio stream of a container."""

    def __init__(
        self,
        file: BinaryIO,
        container: InputContainer,
        stream: AudioStream,
        max_seconds: float,
        *,
        open_ended: bool,
        cut_off: bool,
    ) -> None:
        self._file = file
        self._container = container
        self._stream = stream
        self._max_seconds = max_seconds
        self._open_ended = open_ended
        self._cut_off = cut_off
        self._seconds = Fraction(0)
        self._damaged = False
        self._position = 0
        self._priming: int | None = 0
        self._rest = self._primed(pieces(self._decode(), padded="mov" in container.format.name))
        first = next(self._rest, None)
        if first is None:
            raise self._nothing_decoded()
        self._first = first
        self.rate = first.frame.rate
        self.channels = first.block.shape[1]
        self.layout = first.frame.layout.name

    @cached_property
    def tags(self) -> Mapping[str, str]:
        return clean_tags((self._container.metadata, self._stream.metadata))

    @cached_property
    def video(self) -> VideoCopy | None:
        stream = find_video(self._container)
        return None if stream is None else VideoCopy(self._file, stream, self._first.time)

    @property
    def fraction(self) -> float:
        return min(1.0, self._position / self._container.size) if self._container.size > 0 else 0.0

    @property
    def note(self) -> str:
        read, announced = float(self._seconds), self._announced_seconds()
        if self._damaged or self._cut_off:
            return f"The input is damaged or truncated; the {read:.1f} s that could be read were processed."
        if announced > read + (_EXACT_SECONDS if self._container.format.name == "flac" else 1):
            return f"The input announces {announced:.1f} s but holds {read:.1f} s; it may be truncated."
        return ""

    def __iter__(self) -> Iterator[Block]:
        adapter = Adapter(self.rate, self.channels, self.rate, self.channels)
        for piece in chain((self._first,), self._rest):
            kind = rate, _ = (piece.frame.rate, piece.block.shape[1])
            self._count(Fraction(len(piece.block), rate))
            if kind != adapter.kind:
                yield adapter.flush()
                adapter = Adapter(*kind, self.rate, self.channels)
            yield adapter.push(piece.block)
        yield adapter.flush()
        if self._damaged and self._seconds <= READABLE_SECONDS:
            raise unreadable()

    def _count(self, seconds: Fraction) -> None:
        self._seconds += seconds
        if self._seconds > self._max_seconds:
            raise MediaError(
                MediaReason.TOO_LONG,
                f"The audio is longer than the {self._max_seconds:g} s allowed; split it into shorter files.",
            )

    def _primed(self, all_pieces: Iterator[Piece]) -> Iterator[Piece]:
        """The pieces without the priming, which is known once the first of them is there."""
        for piece in all_pieces:
            dropped = len(piece.block) if self._priming is None else min(self._priming, len(piece.block))
            self._priming = 0 if self._priming is None else self._priming - dropped
            if dropped < len(piece.block):
                yield piece.without(dropped) if dropped else piece

    def _decode(self) -> Iterator[AudioFrame]:
        for number, packet in enumerate(self._demux()):
            if number == 0:
                self._priming = untold_delay(self._stream, packet)
            # FFmpeg marks a packet shorter than asked for; where no size is stated, the last one may be.
            self._damaged |= packet.is_corrupt and not self._open_ended
            self._position = max(self._position, packet.pos or 0)
            try:
                frames = packet.decode()
            except av.error.MemoryError as error:
                raise too_large() from error
            except av.error.FFmpegError:
                self._damaged = True
                continue
            yield from (frame for frame in frames if frame.samples)

    def _demux(self) -> "Iterator[Packet[AudioStream]]":
        index = self._stream.index
        try:
            yield from (packet for packet in self._container.demux(self._stream) if packet.stream_index == index)
        except av.error.MemoryError as error:
            raise too_large() from error
        except av.error.FFmpegError:
            self._damaged = True
        except IndexError:
            # PyAV ends each stream in turn and stumbles over those that appeared while reading; ours came before them.
            return

    def _announced_seconds(self) -> float:
        """The duration the file states, 0 where FFmpeg only estimates one from the bit rate and the file's size."""
        stream, container = self._stream, self._container
        if stream.duration is not None and stream.time_base is not None:
            seconds = float(stream.duration * stream.time_base)
        else:
            seconds = (container.duration or 0) / av.time_base
        fitting = container.size * 8 / stream.bit_rate if stream.bit_rate else 0.0
        estimated = abs(seconds - fitting) < 0.02 * seconds
        return 0.0 if estimated else seconds

    def _nothing_decoded(self) -> MediaError:
        if self._damaged:
            return unreadable()
        return MediaError(MediaReason.EMPTY, "The audio stream holds no samples.")


def _audio_stream(container: InputContainer) -> AudioStream:
    stream = container.streams.best("audio")
    if stream is None:
        raise MediaError(MediaReason.NO_AUDIO, "The file holds no audio stream.")
    if not isinstance(stream, AudioStream) or stream.codec_context is None:
        raise undecodable()
    stream.codec_context.thread_count = 1
    try:
        # Not left to the first packet: PyAV forgets the decoder when it does not start.
        stream.codec_context.open(strict=False)
    except av.error.MemoryError as error:
        raise too_large() from error
    except av.error.FFmpegError as error:
        raise undecodable() from error
    return stream
