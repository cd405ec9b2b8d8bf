"""The unit of the sound path: blocks of float32 samples."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_ONE_THREAD = 2**18
"""Multiplications up to which OpenBLAS keeps to one thread."""

Block = NDArray[np.float32]
"""float32, shape (samples, channels), full scale at -1.0 and 1.0, C order."""


def gather(blocks: Iterator[Block], size: int) -> Iterator[Block]:
    """Join ``blocks`` of one channel count until each holds at least ``size`` samples; the last may hold fewer."""
    waiting: list[Block] = []
    length = 0
    for block in blocks:
        waiting.append(block)
        length += len(block)
        if length >= size:
            yield np.concatenate(waiting)
            waiting, length = [], 0
    if length:
        yield np.concatenate(waiting)


def product(rows: Block, matrix: NDArray[np.float32]) -> Block:
    """``rows @ matrix`` in pieces so small that NumPy's OpenBLAS computes each on one thread.

    On several it wins little here and burns the time of all of them, wherever nobody set OMP_NUM_THREADS.
    """
    piece = max(1, _ONE_THREAD // matrix.size)
    whole = len(rows) // piece * piece
    pieces = rows[:whole].reshape(-1, piece, len(matrix)) @ matrix
    return np.concatenate((pieces.reshape(whole, matrix.shape[1]), rows[whole:] @ matrix))


def scaled_length(samples: int, rate: int, to_rate: int) -> int:
    """``samples`` at ``rate`` Hz counted at ``to_rate`` Hz, rounded to the nearest, halves up."""
    return (2 * samples * to_rate + rate) // (2 * rate)
