"""A temporary file for the samples of a recording that is needed twice: bounded memory, a file without a name."""

import os
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, Final

import numpy as np

from sordino.audio.blocks import Block
from sordino.audio.order import SAMPLE_RATES, Channels, MediaOrder

MOST_CHANNELS: Final = 8
"""Channels that `spool_bytes` reckons with."""

_SAMPLE_BYTES: Final = 4


def open_spool(order: MediaOrder) -> BinaryIO | None:
    """The file that `sordino.audio.process.process` needs for the order, in ``TMPDIR``; None if it needs none.

    Raises:
        OSError: it cannot be made.
    """
    return None if order.loudness is None else tempfile.TemporaryFile()


def spool_bytes(order: MediaOrder, seconds: float) -> int:
    """The greatest size of that file for ``seconds`` of audio of up to MOST_CHANNELS channels; 0 if there is none."""
    if order.loudness is None:
        return 0
    channels = min(order.format.max_channels, MOST_CHANNELS) if order.channels is Channels.KEEP else 1
    return int(seconds * (order.rate or SAMPLE_RATES[-1]) + 1) * channels * _SAMPLE_BYTES


class Spool:
    """Blocks of samples in a file, written once and then read as often as needed.

    Args:
        file: empty, open for reading and writing in binary mode.
        channels: number of channels.
    """

    def __init__(self, file: BinaryIO, channels: int) -> None:
        self._file = file
        self._frame = channels * _SAMPLE_BYTES
        self._channels = channels
        self._samples = 0
        self._read = 0

    @property
    def share_read(self) -> float:
        """Share of what was written that the latest reader has read, 0 to 1."""
        return self._read / self._samples if self._samples else 1.0

    def push(self, block: Block) -> None:
        """Append (samples, channels).

        Raises:
            OSError: the disk is full or the file larger than allowed.
        """
        self._file.write(np.ascontiguousarray(block).data)
        self._samples += len(block)

    def blocks(self, size: int) -> Iterator[Block]:
        """All that was written, ``size`` samples at a time; one reader at once."""
        self._file.seek(0, os.SEEK_SET)
        self._read = 0
        for start in range(0, self._samples, size):
            count = min(size, self._samples - start)
            data = self._file.read(count * self._frame)
            self._read += count
            yield np.frombuffer(data, np.float32).reshape(-1, self._channels)
