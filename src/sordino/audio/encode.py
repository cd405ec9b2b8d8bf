"""From blocks of samples to the bytes of a media file, with FFmpeg's libraries through PyAV."""

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from types import MappingProxyType
from typing import BinaryIO

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from sordino.audio.alignment import SKIP, SKIP_LAYOUT
from sordino.audio.blocks import Block
from sordino.audio.edits import trim_late_audio
from sordino.audio.errors import MediaError, MediaReason
from sordino.audio.formats import DETAILS, FormatDetails, channel_layout, holds
from sordino.audio.order import MediaFormat
from sordino.audio.video import (
    DAMAGED_VIDEO,
    VideoCopy,
    VideoReader,
    VideoTrack,
    check_readable,
    refusing_damaged_video,
)

_NO_TAGS: Mapping[str, str] = MappingProxyType({})
_RIFF_BYTES = 2**32 - 2**10
"""Most bytes of samples in a WAV file, whose sizes have 32 bits."""

AAC_PRIMING = 1024
"""Samples that FFmpeg's AAC encoder puts before the first real one: one frame."""


class Sink:
    """A file being written: `write` blocks in order; leaving `open_output` finishes it."""

    def __init__(
        self,
        container: OutputContainer,
        stream: AudioStream,
        *,
        lead: int = 0,
        video: VideoTrack | None = None,
        most_samples: int | None = None,
    ) -> None:
        self._container = container
        self._stream = stream
        self._rate = stream.codec_context.rate
        self._channels = stream.codec_context.layout.nb_channels
        self._layout = stream.codec_context.layout.name
        self._packed = "s16" if stream.codec_context.format.name == "s16" else "flt"
        self._lead = lead
        self._video = video
        self._most_samples = most_samples
        self.samples = 0
        """Samples of each channel written so far."""

    @property
    def note(self) -> str:
        """What the user should know of the video, once all is written; empty when all is well."""
        return DAMAGED_VIDEO if self._video is not None and self._video.damaged else ""

    def write(self, block: Block) -> None:
        """Append ``block`` (samples, channels); samples beyond full scale are clipped.

        Raises:
            ValueError: the block has another number of channels.
            MediaError: RESOURCE: the format holds no more; UNSUPPORTED: the video cannot be carried over.
        """
        if block.ndim != 2 or block.shape[1] != self._channels:
            raise ValueError(f"expected blocks of shape (samples, {self._channels}), got {block.shape}")
        if not len(block):
            return
        if self._most_samples is not None and self.samples + len(block) > self._most_samples:
            raise MediaError(
                MediaReason.RESOURCE,
                "The result is longer than a WAV file may be, 4 GiB; choose flac, m4a, mp3 or opus, or a lower rate.",
            )
        frame = AudioFrame.from_ndarray(self._table(block), format=self._packed, layout=self._layout)
        frame.rate = self._rate
        frame.time_base = Fraction(1, self._rate)
        frame.pts = self._lead + self.samples
        self.samples += len(block)
        self._mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Drain the encoder and carry over the rest of the video; the container is closed by `open_output`."""
        packets = self._stream.encode(None)
        _unite_padding(packets)
        self._mux(packets)
        if self._video is not None:
            self._video.finish()

    def _mux(self, packets: "Sequence[Packet[AudioStream]]") -> None:
        for packet in packets:
            if self._video is not None and packet.dts is not None:
                self._video.until(packet.dts * packet.time_base)
            self._container.mux(packet)

    def _table(self, block: Block) -> np.ndarray:
        """The samples as the encoder takes them, the channels side by side: PyAV itself sorts them into planes."""
        samples = to_int16(block) if self._packed == "s16" else np.clip(block, -1.0, 1.0)
        return np.ascontiguousarray(samples).reshape(1, -1)


@contextmanager
def open_output(
    file: BinaryIO,
    form: MediaFormat,
    rate: int,
    channels: int = 1,
    *,
    layout: str | None = None,
    tags: Mapping[str, str] = _NO_TAGS,
    video: VideoCopy | None = None,
) -> Iterator[Sink]:
    """Start a file of the given format in an empty, real ``file``.

    Decoded again, the file holds exactly the samples written, in place: MP3 carries the encoder's delay and padding in
    its LAME tag, M4A in its edit list and the last packet's duration, Opus in its pre-skip and last granule. Only in an
    MP3 of less than 80 samples FFmpeg cannot tell what is padding.

    Args:
        file: open for reading and writing in binary mode, with a file descriptor; M4A moves its index to the front.
        form: the format.
        rate: one of the format's rates, Hz.
        channels: how many, up to what the format holds.
        layout: FFmpeg's name of the layout of more than two channels; where it does not fit, it does not count.
        tags: what the recording is called, as of `sordino.audio.tags`; WAV has no room for it.
        video: the stream to carry over, M4A only; its offset to the audio is kept.

    Raises:
        ValueError: the rate or number of channels makes no sense.
        MediaError: UNSUPPORTED: the format cannot hold so many channels, or M4A not such a video; the latter may also
            show at the end.
    """
    _check(form, rate, channels, video)
    descriptor = file.fileno()
    with ExitStack() as stack:
        reader = None
        if video is not None:
            reader = stack.enter_context(video.opened())
            stack.enter_context(refusing_damaged_video())
        zero, lead = (Fraction(0), 0) if video is None or reader is None else _start(reader, video, rate)
        muxer = DETAILS[form].muxer if reader is None else "mp4"
        with _container(descriptor, muxer, _options(form, rate, channels)) as container:
            track = None if reader is None else VideoTrack(container, reader, zero)
            stream = _audio_stream(container, DETAILS[form], rate, channels, channel_layout(form, channels, layout))
            _tag(container, stream, form, tags)
            sink = Sink(container, stream, lead=lead, video=track, most_samples=_most_samples(form, channels))
            yield sink
            sink.finish()
        if lead:
            trim_late_audio(descriptor, AAC_PRIMING)
        if reader is not None:
            check_readable(file)


@contextmanager
def _container(descriptor: int, muxer: str, options: dict[str, str]) -> Iterator[OutputContainer]:
    """A container over an open file; one that broke is closed without a word, which would hide what it broke of."""
    container = av.open(
        _View(descriptor),
        "w",
        format=muxer,
        container_options=options,
        io_open=lambda _url, _flags, _options: _View(descriptor),
    )
    try:
        yield container
    except BaseException:
        with suppress(av.error.FFmpegError, OSError):
            container.close()
        raise
    container.close()


def _check(form: MediaFormat, rate: int, channels: int, video: VideoCopy | None) -> None:
    if rate not in form.rates or channels < 1:
        raise ValueError(f"cannot write {channels} channels at {rate} Hz; use 1 or more at one of {form.rates}")
    if video is not None and form is not MediaFormat.M4A:
        raise ValueError(f"cannot write video into {form}; use m4a")
    if not holds(form, channels):
        wider = ", ".join(other for other in MediaFormat if holds(other, channels))
        raise MediaError(
            MediaReason.UNSUPPORTED,
            f"The result would have {channels} channels, which {form} cannot hold; "
            f"mix them to one{f', or choose {wider}' if wider else ''}.",
        )


def _options(form: MediaFormat, rate: int, channels: int) -> dict[str, str]:
    options = dict(DETAILS[form].options)
    if form is MediaFormat.M4A:
        # The edit list counts in this unit: any other would round the end away from the last sample.
        options["movie_timescale"] = str(rate)
        # Audio and video come in order; half a second is all that the muxer needs to hold back.
        options["max_interleave_delta"] = "500000"
    if form is MediaFormat.WAV and channels > 2:
        options["rf64"] = "auto"
    return options


def _most_samples(form: MediaFormat, channels: int) -> int | None:
    """Where RIFF ends: with one or two channels there is no room left in the header to make it RF64."""
    return _RIFF_BYTES // (2 * channels) if form is MediaFormat.WAV and channels <= 2 else None


def _start(reader: VideoReader, video: VideoCopy, rate: int) -> tuple[Fraction, int]:
    """When the file starts, seconds on the input's clock, and after how many samples its audio.

    The earlier of both comes at 0, but audio that is a little later is written later still, and the video is moved with
    it: by more than the encoder's priming, as only an edit list that begins with nothing can be set right afterwards,
    and by a frame more, as FFmpeg 9 else takes the delay from the end of the audio when it reads the file.
    """
    begin = reader.start if video.audio_start is None else video.audio_start
    zero = min(reader.start, begin)
    lead = round((begin - zero) * rate)
    if 0 < lead <= 2 * AAC_PRIMING:
        later = 2 * AAC_PRIMING + 1
        zero, lead = zero - Fraction(later - lead, rate), later
    return zero, lead


def _audio_stream(
    container: OutputContainer, details: FormatDetails, rate: int, channels: int, layout: str
) -> AudioStream:
    stream = container.add_stream(details.encoder, rate=rate, layout=layout)
    assert isinstance(stream, AudioStream)
    stream.codec_context.format = details.sample_format
    stream.time_base = Fraction(1, rate)
    bit_rate = details.bit_rate(rate, channels)
    if bit_rate is not None:
        stream.codec_context.bit_rate = bit_rate
    return stream


def _tag(container: OutputContainer, stream: AudioStream, form: MediaFormat, tags: Mapping[str, str]) -> None:
    """Name the file; in MP4 the language belongs to the stream."""
    if form is MediaFormat.WAV:
        return
    container.metadata.update(tags)
    if form is MediaFormat.M4A and "language" in tags:
        stream.metadata["language"] = tags["language"]


def _unite_padding(packets: "Sequence[Packet[AudioStream]]") -> None:
    """State on the last packet all the padding of the last ones.

    When LAME ends with a frame of nothing but padding, FFmpeg's muxer notes only that frame's in the LAME tag and
    forgets the rest, in the frame before.
    """
    padded = [packet for packet in packets if packet.has_sidedata(SKIP)]
    if len(padded) < 2:
        return
    fields = [struct.unpack(SKIP_LAYOUT, bytes(packet.get_sidedata(SKIP))) for packet in padded]
    start, _, reason, end_reason = fields[-1]
    united = padded[-1].get_sidedata(SKIP)
    united.update(struct.pack(SKIP_LAYOUT, start, sum(end for _, end, _, _ in fields), reason, end_reason))
    padded[-1].set_sidedata(united)


def to_int16(block: np.ndarray) -> np.ndarray:
    """Floating point samples as int16: full scale 1.0 is 32768, rounded to the nearest, clipped."""
    return np.clip(np.rint(block * 32768.0), -32768, 32767).astype(np.int16)


class _View:
    """A position of its own in an open file: while M4A's data is moved, it is read and written in turns."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._position = 0

    def read(self, size: int) -> bytes:
        data = os.pread(self._descriptor, size, self._position)
        self._position += len(data)
        return data

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, self._position)
            self._position += written
            view = view[written:]
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: os.fstat(self._descriptor).st_size}
        self._position = bases[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position
