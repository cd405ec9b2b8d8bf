"""From decoded frames of any kind to blocks of samples of one rate and number of channels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame, format_dtypes

from sordino.audio.blocks import Block
from sordino.audio.channels import Downmix
from sordino.audio.containers import undecodable
from sordino.audio.errors import MediaError, MediaReason
from sordino.audio.resample import Resampler

RATES = range(100, 1_000_001)
"""Sample rates accepted, Hz."""

MAX_CHANNELS = 64

_SCALES: Mapping[str, float] = {"uint8": 2.0**7, "int16": 2.0**15, "int32": 2.0**31}


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The samples of one frame.

    Attributes:
        rate: Hz.
        layout: FFmpeg's name of the channel layout.
        block: the samples.
        stated: how many samples there should be by the frame's duration; 0 or less: not stated.
        time: when the first sample is heard, seconds on the container's clock; None: not stated.
    """

    rate: int
    layout: str
    block: Block
    stated: int
    time: Fraction | None

    def cut(self) -> "Piece":
        """Without what goes beyond its stated duration."""
        return replace(self, block=self.block[: self.stated]) if self.stated > 0 else self

    def without(self, samples: int) -> "Piece":
        """Without its first ``samples``."""
        time = None if self.time is None else self.time + Fraction(samples, self.rate)
        return replace(self, block=self.block[samples:], time=time)


def pieces(frames: Iterator[AudioFrame], *, padded: bool) -> Iterator[Piece]:
    """The frames as samples; of a ``padded`` stream the last one ends where its duration says.

    MP4 states by the duration of the last packet how much of it is not padding; FFmpeg leaves the cut to the caller.

    Raises:
        MediaError: UNSUPPORTED: a rate or number of channels beyond what is read.
    """
    packer = _Packer()
    held = None
    for frame in frames:
        _check_kind(frame.rate, frame.layout.nb_channels)
        if held is not None:
            yield held
        held = _piece(frame, packer)
    if held is not None:
        yield held.cut() if padded else held


def _piece(frame: AudioFrame, packer: "_Packer") -> Piece:
    unit = frame.time_base or Fraction(0)
    return Piece(
        rate=frame.rate,
        layout=frame.layout.name,
        block=packer.samples(frame),
        stated=round(frame.duration * unit * frame.rate),
        time=None if frame.pts is None else frame.pts * unit,
    )


def _check_kind(rate: int, channels: int) -> None:
    if rate not in RATES or channels > MAX_CHANNELS:
        raise MediaError(
            MediaReason.UNSUPPORTED,
            f"The audio has {channels} channels at {rate} Hz; "
            f"up to {MAX_CHANNELS} channels at {RATES[0]} to {RATES[-1]} Hz can be read.",
        )


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
            raise undecodable() from error


def _samples(frame: AudioFrame) -> Block:
    array = frame.to_ndarray()
    table = array.T if frame.format.is_planar else array.reshape(-1, frame.layout.nb_channels)
    scale = _SCALES.get(table.dtype.name)
    if scale is None:
        with np.errstate(over="ignore", invalid="ignore"):  # doubles beyond the range of floats are infinities
            narrow = np.ascontiguousarray(table, np.float32)
        return np.nan_to_num(narrow, copy=True, nan=0.0, posinf=0.0, neginf=0.0)
    offset = scale if table.dtype == np.uint8 else 0.0
    return ((np.ascontiguousarray(table).astype(np.float64) - offset) / scale).astype(np.float32)


class Adapter:
    """Brings frames of one kind to the rate and channels of the stream's first frame."""

    def __init__(self, rate: int, channels: int, to_rate: int, to_channels: int) -> None:
        self.kind = (rate, channels)
        self._resampler = Resampler(rate, to_rate, channels)
        self._downmix = None if channels == to_channels else Downmix(channels, to_rate)
        self._to_channels = to_channels

    def push(self, block: Block) -> Block:
        """Take a block of the one kind, give what is ready of the other."""
        return self._layout(self._resampler.push(block))

    def flush(self) -> Block:
        """Give the rest."""
        rest = self._layout(self._resampler.flush())
        if self._downmix is None:
            return rest
        return np.concatenate((rest, self._spread(self._downmix.flush())))

    def _layout(self, block: Block) -> Block:
        return block if self._downmix is None else self._spread(self._downmix.push(block))

    def _spread(self, mono: Block) -> Block:
        return np.repeat(mono, self._to_channels, axis=1)
