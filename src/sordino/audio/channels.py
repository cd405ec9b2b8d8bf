"""One channel out of many."""

import numpy as np
from numpy.typing import NDArray

from sordino.audio.blocks import Block

LOOK_AHEAD_SECONDS = 2.0
QUIET = 1e-4
"""Power relative to the loudest channel (-40 dB) at which a channel counts half."""
OPPOSED = -0.3
"""Correlation with the reference channel below which a channel's sign is turned."""


class Downmix:
    """Mixes the channels of a stream to one such that nothing heard in any of them is lost.

    The mix is a mean, with two corrections drawn from the powers and correlations summed from the start of the stream:

    - A channel more than about 40 dB below the loudest so far fades out of the mean (weight p / (p + 1e-4 p_max)), so
      that speech in one channel of many keeps its level. Once it has been loud it stays in.
    - A channel in opposite phase (correlation under -0.3 with the reference, the loudest channel of the beginning) is
      turned, so that a pair wired in anti-phase does not cancel; over +0.3 it is turned back.

    The first two seconds are held back to decide on; afterwards the weights may move, and then slide linearly over one
    block. Memory is those two seconds and one covariance matrix.
    """

    def __init__(self, channels: int, rate: int) -> None:
        self._channels = channels
        self._look_ahead = int(LOOK_AHEAD_SECONDS * rate)
        self._waiting: list[Block] = []
        self._covariance: NDArray[np.float64] = np.zeros((channels, channels))
        self._activity: NDArray[np.float64] = np.zeros(channels)
        self._signs: NDArray[np.float64] = np.ones(channels)
        self._reference = 0
        self._weights: NDArray[np.float64] | None = None

    def push(self, block: Block) -> Block:
        """Take ``block`` (samples, channels), give what is ready, (samples, 1); may be empty."""
        if self._channels == 1:
            return block
        self._learn(block)
        if self._weights is not None:
            return self._mix(block)
        self._waiting.append(block)
        return self.flush() if sum(map(len, self._waiting)) >= self._look_ahead else block[:0, :1]

    def flush(self) -> Block:
        """Give what is held back."""
        if not self._waiting:
            return np.zeros((0, 1), np.float32)
        block = np.concatenate(self._waiting)
        self._waiting = []
        self._weights = self._target()
        return self._mix(block)

    def _learn(self, block: Block) -> None:
        wide = block.astype(np.float64)
        self._covariance += wide.T @ wide
        power = np.diag(self._covariance)
        loudest = power.max()
        if loudest == 0:
            return
        activity = power / (power + QUIET * loudest)
        if self._weights is None:
            self._reference = int(power.argmax())
            self._activity = activity
        else:
            self._activity = np.maximum(self._activity, activity)
        self._turn(power)

    def _turn(self, power: NDArray[np.float64]) -> None:
        scale = np.sqrt(power * power[self._reference])
        correlation = np.divide(self._covariance[self._reference], scale, out=np.zeros_like(power), where=scale > 0)
        self._signs[correlation < OPPOSED] = -1.0
        self._signs[correlation > -OPPOSED] = 1.0

    def _target(self) -> NDArray[np.float64]:
        total = self._activity.sum()
        return self._signs * self._activity / total if total > 0 else np.full(self._channels, 1 / self._channels)

    def _mix(self, block: Block) -> Block:
        before, self._weights = self._weights, self._target()
        assert before is not None
        if np.allclose(before, self._weights, rtol=0, atol=1e-4):
            return (block @ self._weights.astype(np.float32))[:, None]
        ramp = np.linspace(0, 1, len(block), dtype=np.float32)[:, None]
        old = block @ before.astype(np.float32)[:, None]
        new = block @ self._weights.astype(np.float32)[:, None]
        mixed: Block = old + ramp * (new - old)
        return mixed
