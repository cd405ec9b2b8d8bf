"""From decoded frames of any kind to blocks of samples of one rate and number of channels."""

from collections.abc import Iterator
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
from sordino.denoisers.block import sanitised

RATES = range(100, 1_000_001)
"""Sample rates accepted, Hz."""

MAX_CHANNELS = 64

_SCALES = {"uint8": np.float32(2**7), "int16": np.float32(2**15), "int32": np.float32(2**31)}
"""Full scale by dtype; division by a power of two is exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The samples of one frame.

    Attributes:
        frame: as it was decoded.
        block: its samples, or what is left of them.
        dropped: how many went from the start of the block.
    """

    frame: AudioFrame
    block: Block
    dropped: int = 0

    @property
    def time(self) -> Fraction | None:
        """When the first sample is heard, seconds on the container's clock; None: not stated."""
        if self.frame.pts is None:
            return None
        return self.frame.pts * self._unit + Fraction(self.dropped, self.frame.rate)

    @property
    def _unit(self) -> Fraction:
        return self.frame.time_base or Fraction(0)

    def cut(self) -> "Piece":
        """Without what goes beyond the frame's duration, where that is stated."""
        stated = round(self.frame.duration * self._unit * self.frame.rate)
        return replace(self, block=self.block[:stated]) if stated > 0 else self

    def without(self, samples: int) -> "Piece":
        """Without its first ``samples``."""
        return replace(self, block=self.block[samples:], dropped=self.dropped + samples)


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
        held = Piece(frame=frame, block=packer.samples(frame))
    if held is not None:
        yield held.cut() if padded else held


def _check_kind(rate: int, channels: int) -> None:
    if rate not in RATES or channels > MAX_CHANNELS:
        raise MediaError(
            MediaReason.UNSUPPORTED,
            f"The audio has {channels} channels at {rate} Hz; "
            f"up to {MAX_CHANNELS} channels at {RATES[0]} to {RATES[-1]} Hz can be read.",
        )


class _Packer:
    """Turns frames into blocks: integers scaled by their full scale; as 0 what engines take for damage.

    That is NaN, infinities and absurd values, which must not reach the meters or a loudness either.
    """

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
    with np.errstate(over="ignore", invalid="ignore"):  # doubles beyond the range of floats are infinities
        block: Block = np.ascontiguousarray(table, np.float32)
    scale = _SCALES.get(table.dtype.name)
    if scale is None:
        return sanitised(block, block.shape[1])
    return (block - scale if table.dtype == np.uint8 else block) / scale


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
