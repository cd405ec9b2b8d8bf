"""From the bytes of a media file to blocks of samples, with FFmpeg's libraries through PyAV.

The input is hostile until proven otherwise. FFmpeg sees only a nameless stream of bytes, may choose among the
whitelisted containers and audio decoders, and has no way to open anything else. Claimed durations decide nothing but
the wording of a note.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from itertools import chain
from typing import Any, BinaryIO, NoReturn, Protocol

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame, format_dtypes
from av.audio.stream import AudioStream
from av.codec.codec import UnknownCodecError
from av.container import InputContainer
from av.packet import Packet

from sordino.audio.blocks import Block
from sordino.audio.channels import Downmix
from sordino.audio.errors import MediaError, MediaReason
from sordino.audio.resample import Resampler

CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dts,dtshd,eac3,flac,flv,ircam,loas,matroska,mov,mp3,mpc,mpc8,"
    "mpeg,mpegts,mxf,nistsphere,ogg,oma,rm,sox,tak,tta,voc,w64,wav,wv"
)
"""FFmpeg demuxers that read audio from the file alone; none of them follows references.

CRI ADX is missing because FFmpeg 8.1 divides by zero on damaged files of it.
"""

RATES = range(100, 1_000_001)
"""Sample rates accepted, Hz."""

MAX_CHANNELS = 64
READABLE_SECONDS = 1.0
"""A damaged file must hold more audio than this to be worth processing."""

AMR_LOOK_AHEAD = {"amrnb": 40, "amrwb": 95, "libopencore_amrnb": 40, "libopencore_amrwb": 95}
"""Samples by which a raw AMR stream comes late, as its containers cannot tell: the encoder's look-ahead of 5 ms
(3GPP TS 26.090 and 26.190), for AMR-WB with the delay of its resampling filters."""

_DESCRIPTION = re.compile(
    rb"""\s*( \#EXTM3U | ffconcat\ version | v=0\r?\n | \[playlist\]
        | (<\?xml[^>]*>\s*)? <(MPD|SmoothStreamingMedia|playlist|asx)\b )""",
    re.IGNORECASE | re.VERBOSE,
)
# PyAV before 19 raises on tags that are no UTF-8 unless told otherwise; from 19 on it has no such argument, nor need.
_TOLERANT: Mapping[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
_SCALES: Mapping[str, float] = {"uint8": 2.0**7, "int16": 2.0**15, "int32": 2.0**31}


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
    starts with its own first sample: an encoder's priming is removed as far as the container tells of it, and a start
    later than the video's is not filled with silence. Cover pictures and video are never decoded.

    A damaged file yields what can be read when that is more than a second, with a `Source.note`.

    Args:
        file: seekable, open for reading in binary mode; read from its beginning.
        max_seconds: decoded audio allowed.

    Raises:
        MediaError: UNSUPPORTED, REFUSED, NO_AUDIO, EMPTY or RESOURCE at once; also UNSUPPORTED, RESOURCE and TOO_LONG
            while iterating.
    """
    head, tail = _ends(file)
    _check_head(head)
    try:
        container = av.open(
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
        raise _too_large() from error
    except av.error.FFmpegError as error:
        raise _unreadable() from error
    with container:
        yield _Decoder(
            container,
            _audio_stream(container),
            max_seconds,
            open_ended=_without_sizes(head),
            cut_off=_ogg_cut_off(head, tail),
        )


def _ends(file: BinaryIO) -> tuple[bytes, bytes]:
    """The first KiB and the last 64 KiB, which hold the last page of an Ogg file."""
    file.seek(0)
    head = file.read(1024)
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 2**16))
    tail = file.read()
    file.seek(0)
    return head, tail


class _Nameless:
    """A file without a name: FFmpeg can neither guess by it nor look beside it."""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read
        self.seek = file.seek
        self.tell = file.tell


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """The samples of one frame, and how many there should be by its duration."""

    rate: int
    block: Block
    stated: int

    def cut(self) -> "_Piece":
        return replace(self, block=self.block[: self.stated]) if self.stated > 0 else self


class _Decoder:
    """The `Source` over one audio stream of a container."""

    def __init__(
        self,
        container: InputContainer,
        stream: AudioStream,
        max_seconds: float,
        *,
        open_ended: bool,
        cut_off: bool,
    ) -> None:
        self._container = container
        self._stream = stream
        self._max_seconds = max_seconds
        self._open_ended = open_ended
        self._cut_off = cut_off
        self._seconds = Fraction(0)
        self._damaged = False
        self._position = 0
        self._rest = _primed(
            _pieces(self._decode(), padded="mov" in container.format.name),
            AMR_LOOK_AHEAD.get(stream.codec.name, 0) if container.format.name == "amr" else 0,
        )
        first = next(self._rest, None)
        if first is None:
            raise self._nothing_decoded()
        self._first = first
        self.rate = first.rate
        self.channels = first.block.shape[1]

    @property
    def fraction(self) -> float:
        return min(1.0, self._position / self._container.size) if self._container.size > 0 else 0.0

    @property
    def note(self) -> str:
        read, announced = float(self._seconds), self._announced_seconds()
        if self._damaged or self._cut_off:
            return f"The input is damaged or truncated; the {read:.1f} s that could be read were processed."
        if announced > read + 1:
            return f"The input announces {announced:.1f} s but holds {read:.1f} s; it may be truncated."
        return ""

    def __iter__(self) -> Iterator[Block]:
        adapter = _Adapter(self.rate, self.channels, self.rate, self.channels)
        for piece in chain((self._first,), self._rest):
            self._count(Fraction(len(piece.block), piece.rate))
            kind = (piece.rate, piece.block.shape[1])
            if kind != adapter.kind:
                yield adapter.flush()
                adapter = _Adapter(*kind, self.rate, self.channels)
            yield adapter.push(piece.block)
        yield adapter.flush()
        if self._damaged and self._seconds <= READABLE_SECONDS:
            raise _unreadable()

    def _count(self, seconds: Fraction) -> None:
        self._seconds += seconds
        if self._seconds > self._max_seconds:
            raise MediaError(
                MediaReason.TOO_LONG,
                f"The audio is longer than the {self._max_seconds:g} s allowed; split it into shorter files.",
            )

    def _decode(self) -> Iterator[AudioFrame]:
        for packet in self._demux():
            # FFmpeg marks a packet shorter than asked for; where no size is stated, the last one may be.
            self._damaged |= packet.is_corrupt and not self._open_ended
            self._position = max(self._position, packet.pos or 0)
            try:
                frames = packet.decode()
            except av.error.MemoryError as error:
                raise _too_large() from error
            except av.error.FFmpegError:
                self._damaged = True
                continue
            yield from (frame for frame in frames if frame.samples)

    def _demux(self) -> "Iterator[Packet[AudioStream]]":
        index = self._stream.index
        try:
            yield from (packet for packet in self._container.demux(self._stream) if packet.stream_index == index)
        except av.error.MemoryError as error:
            raise _too_large() from error
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
            return _unreadable()
        return MediaError(MediaReason.EMPTY, "The audio stream holds no samples.")


class _Adapter:
    """Brings frames of one kind to the rate and channels of the stream's first frame."""

    def __init__(self, rate: int, channels: int, to_rate: int, to_channels: int) -> None:
        self.kind = (rate, channels)
        self._resampler = Resampler(rate, to_rate, channels)
        self._downmix = None if channels == to_channels else Downmix(channels, to_rate)
        self._to_channels = to_channels

    def push(self, block: Block) -> Block:
        return self._layout(self._resampler.push(block))

    def flush(self) -> Block:
        rest = self._layout(self._resampler.flush())
        if self._downmix is None:
            return rest
        return np.concatenate((rest, self._spread(self._downmix.flush())))

    def _layout(self, block: Block) -> Block:
        return block if self._downmix is None else self._spread(self._downmix.push(block))

    def _spread(self, mono: Block) -> Block:
        return np.repeat(mono, self._to_channels, axis=1)


def _audio_stream(container: InputContainer) -> AudioStream:
    stream = container.streams.best("audio")
    if stream is None:
        raise MediaError(MediaReason.NO_AUDIO, "The file holds no audio stream.")
    if not isinstance(stream, AudioStream) or stream.codec_context is None:
        raise _undecodable()
    stream.codec_context.thread_count = 1
    try:
        # Not left to the first packet: PyAV forgets the decoder when it does not start.
        stream.codec_context.open(strict=False)
    except av.error.MemoryError as error:
        raise _too_large() from error
    except av.error.FFmpegError as error:
        raise _undecodable() from error
    return stream


def _pieces(frames: Iterator[AudioFrame], *, padded: bool) -> Iterator[_Piece]:
    """The frames as samples; of a ``padded`` stream the last one ends where its duration says.

    MP4 states by the duration of the last packet how much of it is not padding; FFmpeg leaves the cut to the caller.
    """
    packer = _Packer()
    held = None
    for frame in frames:
        _check_kind(frame.rate, frame.layout.nb_channels)
        if held is not None:
            yield held
        held = _Piece(rate=frame.rate, block=packer.samples(frame), stated=_stated_samples(frame))
    if held is not None:
        yield held.cut() if padded else held


def _check_kind(rate: int, channels: int) -> None:
    if rate not in RATES or channels > MAX_CHANNELS:
        raise MediaError(
            MediaReason.UNSUPPORTED,
            f"The audio has {channels} channels at {rate} Hz; "
            f"up to {MAX_CHANNELS} channels at {RATES[0]} to {RATES[-1]} Hz can be read.",
        )


def _primed(pieces: Iterator[_Piece], priming: int) -> Iterator[_Piece]:
    """The pieces without the first ``priming`` samples."""
    for piece in pieces:
        dropped = min(priming, len(piece.block))
        priming -= dropped
        if dropped < len(piece.block):
            yield replace(piece, block=piece.block[dropped:]) if dropped else piece


def _stated_samples(frame: AudioFrame) -> int:
    return round(frame.duration * (frame.time_base or Fraction(0)) * frame.rate)


class _Packer:
    """Turns frames into blocks: integers scaled by their full scale, NaN and infinities as 0."""

    def __init__(self) -> None:
        self._kind: tuple[str, str, int] | None = None
        self._converter = av.AudioResampler()

    def samples(self, frame: AudioFrame) -> Block:
        return np.concatenate([_samples(packed) for packed in self._packed(frame)])

    def _packed(self, frame: AudioFrame) -> list[AudioFrame]:
        """The frame, converted to packed floats where PyAV cannot hand its samples to NumPy.

        PyAV knows no 64-bit integers, and looks for the end of the list of planes in a null that is not there when the
        planes are eight or more: it then reads memory that is not its own.
        """
        planes = frame.layout.nb_channels if frame.format.is_planar else 1
        if frame.format.name in format_dtypes and planes < 8:
            return [frame]
        kind = (frame.format.name, frame.layout.name, frame.rate)
        if kind != self._kind:
            self._kind, self._converter = kind, av.AudioResampler(format="flt")
        try:
            return self._converter.resample(frame)
        except av.error.FFmpegError as error:
            raise _undecodable() from error


def _samples(frame: AudioFrame) -> Block:
    array = frame.to_ndarray()
    table = array.T if frame.format.is_planar else array.reshape(-1, frame.layout.nb_channels)
    scale = _SCALES.get(table.dtype.name)
    if scale is None:
        return np.nan_to_num(np.ascontiguousarray(table, np.float32), copy=True, nan=0.0, posinf=0.0, neginf=0.0)
    offset = scale if table.dtype == np.uint8 else 0.0
    return ((np.ascontiguousarray(table).astype(np.float64) - offset) / scale).astype(np.float32)


@cache
def _audio_decoders() -> str:
    return ",".join(name for name in sorted(av.codecs_available) if _decodes_audio(name))


def _decodes_audio(name: str) -> bool:
    try:
        return av.Codec(name, "r").type == "audio"
    except UnknownCodecError:  # known to FFmpeg as an encoder only
        return False


def _check_head(head: bytes) -> None:
    """Name for what it is what FFmpeg could not open either, or what it may not."""
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


def _without_sizes(head: bytes) -> bool:
    """Whether a WAV file leaves its length open, as programs that write into a pipe do: it then ends where it ends."""
    size = int.from_bytes(head[4:8], "little")
    return head.startswith(b"RIFF") and not 0 < size < 0x7FFFFF00


def _ogg_cut_off(head: bytes, tail: bytes) -> bool:
    """Whether the last page of an Ogg file (RFC 3533, section 6) lacks the mark that ends a stream."""
    last = tail.rfind(b"OggS")
    return head.startswith(b"OggS") and not (last >= 0 and tail[last + 5 : last + 6] >= b"\x04")


def _refuse_resource(url: str, flags: int, options: Mapping[str, str]) -> NoReturn:
    raise PermissionError(f"a media file asked for another resource (flags {flags}, {len(options)} options): {url!r}")


def _too_large() -> MediaError:
    return MediaError(
        MediaReason.RESOURCE, "The file asks for more memory than there is; convert it to WAV, MP3 or M4A."
    )


def _undecodable() -> MediaError:
    return MediaError(
        MediaReason.UNSUPPORTED, "The audio is in a codec that cannot be decoded; convert it to WAV, MP3 or M4A."
    )


def _unreadable() -> MediaError:
    return MediaError(
        MediaReason.UNSUPPORTED,
        "The file is not audio or video of a known format, or is too damaged to read; convert it to WAV, MP3 or M4A.",
    )
