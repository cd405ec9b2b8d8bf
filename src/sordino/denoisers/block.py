"""The door of every engine: what may come in as a block of samples."""

import numpy as np
from numpy.typing import NDArray

# 120 dB over full scale: no recording has it, so that a sample beyond it is damage, as NaN is. Squared spectra of all
# that is left stay far from where float32 overflows.
LIMIT = np.float32(1e6)


def checked(channels: int) -> int:
    """The number of channels of a stream.

    Raises:
        ValueError: it is less than 1.
    """
    if channels < 1:
        raise ValueError(f"A stream has 1 channel or more, not {channels}.")
    return channels


def sanitised(block: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """Check a block and make its samples finite.

    Args:
        block: float32, shape (samples, channels), full scale 1.0.
        channels: how many channels the stream has.

    Returns:
        A copy with 0 for NaN, infinities and whatever is beyond +-`LIMIT`.

    Raises:
        ValueError: the dtype or the shape is another.
    """
    if block.dtype != np.float32 or block.ndim != 2 or block.shape[1] != channels:
        raise ValueError(f"Push float32 of shape (samples, {channels}), not {block.dtype} of shape {block.shape}.")
    return np.where(np.abs(block) <= LIMIT, block, np.float32(0))
