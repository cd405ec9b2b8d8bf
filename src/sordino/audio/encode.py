"""From blocks of samples to the bytes of a media file, with FFmpeg's libraries through PyAV."""

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import BinaryIO, Final

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from sordino.audio.blocks import Block
from sordino.audio.order import SAMPLE_RATES, MediaFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatDetails:
    """How FFmpeg writes a format.

    Attributes:
        muxer: FFmpeg's name of the container to write.
        codec_name: FFmpeg's name of the codec.
        format_name: FFmpeg's name of the container when it is read.
        encoder: FFmpeg's name of the encoder.
        sample_format: FFmpeg's name of the samples the encoder takes.
        options: options of the muxer.
        bit_rates: bit/s for each channel by sample rate; empty where the format has none.
    """

    muxer: str
    codec_name: str
    format_name: str
    encoder: str
    sample_format: str
    options: Mapping[str, str]
    bit_rates: Mapping[int, int] = field(default_factory=dict)


# Transparent for speech and about what the formats' own tools choose; MPEG-2.5 (8 and 12 kHz) allows no more in MP3.
_BIT_RATES = MappingProxyType(
    {8000: 32_000, 12000: 48_000, 16000: 64_000, 24000: 80_000, 32000: 96_000, 44100: 128_000, 48000: 128_000}
)

DETAILS: Mapping[MediaFormat, FormatDetails] = MappingProxyType(
    {
        # bitexact leaves the header at its 44 bytes, which is all that simple readers skip.
        MediaFormat.WAV: FormatDetails(
            muxer="wav",
            codec_name="pcm_s16le",
            format_name="wav",
            encoder="pcm_s16le",
            sample_format="s16",
            options={"fflags": "+bitexact"},
        ),
        MediaFormat.MP3: FormatDetails(
            muxer="mp3",
            codec_name="mp3",
            format_name="mp3",
            encoder="libmp3lame",
            sample_format="fltp",
            options={},
            bit_rates=_BIT_RATES,
        ),
        MediaFormat.M4A: FormatDetails(
            muxer="ipod",
            codec_name="aac",
            format_name="mov,mp4,m4a,3gp,3g2,mj2",
            encoder="aac",
            sample_format="fltp",
            options={"movflags": "+faststart"},
            bit_rates=_BIT_RATES,
        ),
    }
)


_SKIP: Final = "skip_samples"
_SKIP_LAYOUT = "<IIBB"
"""FFmpeg's AV_PKT_DATA_SKIP_SAMPLES: samples to drop at the start and at the end, and why."""


class Sink:
    """A file being written: `write` blocks in order; leaving `open_output` finishes it."""

    def __init__(self, container: OutputContainer, stream: AudioStream, rate: int, channels: int) -> None:
        self._container = container
        self._stream = stream
        self._rate = rate
        self._channels = channels
        self._layout = stream.codec_context.layout.name
        self._format = stream.codec_context.format.name
        self.samples = 0
        """Samples of each channel written so far."""

    def write(self, block: Block) -> None:
        """Append ``block`` (samples, channels); samples beyond full scale are clipped.

        Raises:
            ValueError: the block has another number of channels.
        """
        if block.ndim != 2 or block.shape[1] != self._channels:
            raise ValueError(f"expected blocks of shape (samples, {self._channels}), got {block.shape}")
        if not len(block):
            return
        frame = AudioFrame.from_ndarray(self._table(block), format=self._format, layout=self._layout)
        frame.rate = self._rate
        frame.time_base = Fraction(1, self._rate)
        frame.pts = self.samples
        self.samples += len(block)
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Drain the encoder; the container is closed by `open_output`."""
        packets = self._stream.encode(None)
        _unite_padding(packets)
        self._container.mux(packets)

    def _table(self, block: Block) -> np.ndarray:
        if self._format == "s16":
            return to_int16(block).reshape(1, -1)
        return np.ascontiguousarray(np.clip(block, -1.0, 1.0).T)


@contextmanager
def open_output(file: BinaryIO, form: MediaFormat, rate: int, channels: int = 1) -> Iterator[Sink]:
    """Start a file of the given format in an empty, real ``file``.

    Decoded again, the file holds exactly the samples written, in place: MP3 carries the encoder's delay and padding in
    its LAME tag, M4A in its edit list and the last packet's duration. Only in an MP3 of less than 80 samples
    FFmpeg cannot tell what is padding.

    Args:
        file: open for reading and writing in binary mode, with a file descriptor; M4A moves its index to the front.
        form: the format.
        rate: one of `SAMPLE_RATES`, Hz.
        channels: 1 or 2.

    Raises:
        ValueError: the rate or number of channels cannot be written.
    """
    if rate not in SAMPLE_RATES or channels not in (1, 2):
        raise ValueError(f"cannot write {channels} channels at {rate} Hz; use 1 or 2 at one of {SAMPLE_RATES}")
    details = DETAILS[form]
    options = dict(details.options)
    if form is MediaFormat.M4A:
        # The edit list counts in this unit: any other would round the end away from the last sample.
        options["movie_timescale"] = str(rate)
    descriptor = file.fileno()
    with av.open(
        _View(descriptor),
        "w",
        format=details.muxer,
        container_options=options,
        io_open=lambda _url, _flags, _options: _View(descriptor),
    ) as container:
        stream = container.add_stream(details.encoder, rate=rate, layout="mono" if channels == 1 else "stereo")
        assert isinstance(stream, AudioStream)
        stream.codec_context.format = details.sample_format
        stream.time_base = Fraction(1, rate)
        if details.bit_rates:
            stream.codec_context.bit_rate = details.bit_rates[rate] * channels
        sink = Sink(container, stream, rate, channels)
        yield sink
        sink.finish()


def _unite_padding(packets: "Sequence[Packet[AudioStream]]") -> None:
    """State on the last packet all the padding of the last ones.

    When LAME ends with a frame of nothing but padding, FFmpeg's muxer notes only that frame's in the LAME tag and
    forgets the rest, in the frame before.
    """
    padded = [packet for packet in packets if packet.has_sidedata(_SKIP)]
    if len(padded) < 2:
        return
    fields = [struct.unpack(_SKIP_LAYOUT, bytes(packet.get_sidedata(_SKIP))) for packet in padded]
    start, _, reason, end_reason = fields[-1]
    united = padded[-1].get_sidedata(_SKIP)
    united.update(struct.pack(_SKIP_LAYOUT, start, sum(end for _, end, _, _ in fields), reason, end_reason))
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
