"""What is done to the samples between decoding and encoding, as a chain of streams."""

from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, Protocol

import numpy as np

from sordino.audio.blocks import Block, scaled_length
from sordino.audio.level import Restorer
from sordino.audio.limiter import Limiter
from sordino.audio.loudness import LoudnessMeter
from sordino.audio.order import FULL_STRENGTH, MediaOrder
from sordino.audio.resample import Resampler
from sordino.audio.spool import Spool
from sordino.denoisers import Denoiser, DenoiserStream
from sordino.denoisers.strength import Limited

TRUE_PEAK: Final = 10 ** (-1 / 20)
"""Ceiling of what is brought to a loudness: -1 dBTP."""
FULL_SCALE: Final = 1.0
"""Ceiling of what keeps the loudness of its speech, which may have been that near to full scale before."""
TOLERANCE: Final = 0.1
"""How near a loudness ordered must be reached, LU."""
MOST_MADE_UP: Final = 3.0
"""Most of what the limiter takes that is made up for by more gain, dB; beyond it speech would sound pressed."""
FIRST_PASS: Final = 0.9
"""Share of the work that is done when the loudness is known."""


class Meter(Protocol):
    """Something that looks at blocks as they pass."""

    def push(self, block: Block) -> None:
        """Take (samples, channels)."""
        ...


class Count:
    """Counts samples."""

    def __init__(self) -> None:
        self.samples = 0

    def push(self, block: Block) -> None:
        """Take (samples, channels)."""
        self.samples += len(block)


def watched(blocks: Iterator[Block], *meters: Meter) -> Iterator[Block]:
    """The blocks as they are, shown to the meters."""
    for block in blocks:
        for meter in meters:
            meter.push(block)
        yield block


class Treatment:
    """Noise, rate and loudness as ordered.

    With a strength of 0 no engine is asked: the samples are resampled and no more, and at equal rates left alone.

    Args:
        order: what to make; of it, strength and loudness count here.
        denoiser: the engine.
        channels: number of channels; more than one share one gain.
        rate: of the input, Hz.
        to_rate: of the output, Hz.
        spool: an empty file for what must be known whole; where the order has a loudness.
    """

    def __init__(
        self,
        order: MediaOrder,
        denoiser: Denoiser,
        *,
        channels: int,
        rate: int,
        to_rate: int,
        spool: BinaryIO | None = None,
    ) -> None:
        self._strength = order.strength
        # What no engine has touched is as loud as it was.
        self._loudness = None if order.loudness == "keep" and order.strength == 0 else order.loudness
        self._denoiser = denoiser
        self._channels = channels
        self._rate = rate
        self._to_rate = to_rate
        self._spool = spool
        self._restorer = Restorer() if self._loudness == "keep" else None
        self._written: Spool | None = None

    def run(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """Treat a recording, once.

        Returns:
            Blocks, also empty ones, that together are as long as the input, rounded to the nearest sample, and aligned.
        """
        taken = Count()
        blocks = watched(blocks, taken)
        rate = self._rate
        if self._strength > 0:
            rate = self._denoiser.info.rate
            blocks = self._denoised(self._resampled(blocks, self._rate, rate))
        blocks = self._resampled(blocks, rate, self._to_rate, lambda: taken.samples)
        return blocks if self._loudness is None else self._levelled(blocks)

    def fraction(self, read: float) -> float:
        """The share of the work done when ``read`` of the input has been taken, 0 to 1."""
        if self._loudness is None:
            return read
        return FIRST_PASS * read + (1 - FIRST_PASS) * (0.0 if self._written is None else self._written.share_read)

    def _resampled(
        self, blocks: Iterator[Block], rate: int, to_rate: int, length: Callable[[], int] | None = None
    ) -> Iterator[Block]:
        """Convert the blocks; ``length``, asked once they have ended, tells the samples of the input."""
        resampler = Resampler(rate, to_rate, self._channels)
        for block in blocks:
            yield resampler.push(block)
        yield resampler.flush(None if length is None else scaled_length(length(), self._rate, to_rate))

    def _denoised(self, blocks: Iterator[Block]) -> Iterator[Block]:
        stream = self._stream()
        for block in blocks:
            yield self._compared(block, stream.push(block))
        yield self._compared(np.zeros((0, self._channels), np.float32), stream.flush())

    def _stream(self) -> DenoiserStream:
        many = self._channels > 1
        stream = self._denoiser.stream(self._channels, linked=True) if many else self._denoiser.stream(1)
        return stream if self._strength == FULL_STRENGTH else Limited(stream, self._strength)

    def _compared(self, noisy: Block, clean: Block) -> Block:
        if self._restorer is not None:
            self._restorer.before(noisy)
            self._restorer.after(clean)
        return clean

    def _levelled(self, blocks: Iterator[Block]) -> Iterator[Block]:
        assert self._spool is not None
        spool = Spool(self._spool, self._channels)
        meter = LoudnessMeter(self._to_rate, self._channels)
        for block in watched(blocks, meter, spool):
            yield block[:0]
        if self._restorer is not None:
            gain, ceiling = self._restorer.gain(), FULL_SCALE
        else:
            gain, ceiling = self._target_gain(meter.integrated(), spool), TRUE_PEAK
        self._written = spool
        yield from self._limited(spool, gain, ceiling)

    def _limited(self, spool: Spool, gain: float, ceiling: float) -> Iterator[Block]:
        limiter = Limiter(self._to_rate, self._channels, gain, ceiling)
        for block in spool.blocks(self._to_rate):
            yield limiter.push(block)
        yield limiter.flush()

    def _target_gain(self, loudness: float | None, spool: Spool) -> float:
        """The gain that makes what has this loudness as loud as ordered; 1 for what is so quiet that it has none."""
        assert isinstance(self._loudness, int | float)
        if loudness is None:
            return 1.0
        gain = self._loudness - loudness
        most = gain + MOST_MADE_UP
        while gain < most and (missing := self._loudness - self._reached(spool, gain)) > TOLERANCE:
            gain = min(gain + missing, most)
        return 10 ** (gain / 20)

    def _reached(self, spool: Spool, gain: float) -> float:
        """The loudness that a gain leads to, dB and LUFS: the limiter takes some of it away again."""
        meter = LoudnessMeter(self._to_rate, self._channels)
        for block in self._limited(spool, 10 ** (gain / 20), TRUE_PEAK):
            meter.push(block)
        return meter.integrated() or 0.0
