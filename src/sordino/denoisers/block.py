"""The door of every engine: what may come in as a block of samples."""

import numpy as np
from numpy.typing import NDArray

# 120 dB over full scale: no recording has it, so that a sample beyond it is damage, as NaN is. Squared spectra of all
# that is left stay far from where float32 overflows.
LIMIT = np.float32(1e6)


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
