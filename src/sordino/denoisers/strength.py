"""A limit to what an engine takes."""

import numpy as np
from numpy.typing import NDArray

from sordino.denoisers import DenoiserStream
from sordino.denoisers.block import sanitised


class Limited:
    """A stream that attenuates nothing by more than a limit, by mixing the input back in.

    The output is k * input + (1 - k) * clean with k = 10 ** (-limit_db / 20): what the engine takes wholly stays at
    -limit_db, what it leaves alone is left alone. It keeps the contract of `sordino.denoisers.DenoiserStream`.

    Args:
        stream: the engine's.
        limit_db: most that is taken from any sound, dB; 0 passes the input through bit by bit.
    """

    def __init__(self, stream: DenoiserStream, limit_db: float) -> None:
        self._stream = stream
        self._kept = np.float32(10 ** (-limit_db / 20))
        self._waiting: list[NDArray[np.float32]] = []

    def push(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `sordino.denoisers.DenoiserStream.push`."""
        clean = self._stream.push(block)  # which refuses what is no block
        self._waiting.append(sanitised(block, block.shape[1]))
        return self._mixed(clean)

    def flush(self) -> NDArray[np.float32]:
        """See `sordino.denoisers.DenoiserStream.flush`."""
        return self._mixed(self._stream.flush())

    def _mixed(self, clean: NDArray[np.float32]) -> NDArray[np.float32]:
        if not len(clean):
            return clean
        noisy = np.concatenate(self._waiting)
        self._waiting = [noisy[len(clean) :].copy()]
        mixed: NDArray[np.float32] = clean + self._kept * (noisy[: len(clean)] - clean)
        return noisy[: len(clean)] if self._kept == 1 else mixed
