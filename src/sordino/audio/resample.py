"""Sample rate conversion of a stream."""

import numpy as np
import soxr

from sordino.audio.blocks import Block, scaled_length


class Resampler:
    """Converts blocks from one rate to another with the SoX resampler (libsoxr) at very high quality.

    Linear phase, its delay removed: output sample k lies at the time of input sample k * in_rate / out_rate.
    """

    def __init__(self, in_rate: int, out_rate: int, channels: int) -> None:
        self._in_rate = in_rate
        self._out_rate = out_rate
        self._channels = channels
        self._taken = 0
        self._given = 0
        self._stream = (
            None
            if in_rate == out_rate
            else soxr.ResampleStream(in_rate, out_rate, channels, dtype="float32", quality="VHQ")
        )

    def push(self, block: Block) -> Block:
        """Take ``block`` (samples, channels), give what is ready at the new rate; may be empty."""
        self._taken += len(block)
        return self._count(self._convert(block, last=False))

    def flush(self, length: int | None = None) -> Block:
        """Give the rest, cut or filled with zeros so that the stream's output holds ``length`` samples in all.

        None: the input's length at the new rate, rounded to the nearest sample.
        """
        total = scaled_length(self._taken, self._in_rate, self._out_rate) if length is None else length
        rest = self._convert(np.zeros((0, self._channels), np.float32), last=True)
        return self._count(fit(rest, total - self._given))

    def _convert(self, block: Block, *, last: bool) -> Block:
        if self._stream is None:
            return block
        converted: Block = self._stream.resample_chunk(block, last=last)
        return converted.reshape(-1, self._channels)

    def _count(self, block: Block) -> Block:
        self._given += len(block)
        return block


def fit(block: Block, length: int) -> Block:
    """``block`` cut or filled with zeros at its end to hold ``length`` samples."""
    missing = length - len(block)
    return np.pad(block, ((0, missing), (0, 0))) if missing > 0 else block[:length]
