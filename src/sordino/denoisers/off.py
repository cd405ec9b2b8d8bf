"""The engine that removes nothing: the same contract, for comparison and for jobs that only convert."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sordino.denoisers import DenoiserInfo
from sordino.denoisers.block import checked, sanitised


@dataclass(frozen=True, slots=True)
class OffStream:
    """Gives back what it is given, broken samples as 0."""

    channels: int

    def push(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `sordino.denoisers.DenoiserStream.push`."""
        return sanitised(block, self.channels)

    def flush(self) -> NDArray[np.float32]:
        """See `sordino.denoisers.DenoiserStream.flush`."""
        return np.zeros((0, self.channels), np.float32)


@dataclass(frozen=True, slots=True)
class Off:
    """The identity."""

    info: DenoiserInfo

    def stream(self, channels: int = 1, *, linked: bool = False) -> OffStream:
        """See `sordino.denoisers.Denoiser.stream`; what is not changed stays where it is."""
        del linked
        return OffStream(checked(channels))


def open_model() -> Off:
    """Make the engine; there is nothing to load."""
    return Off(DenoiserInfo(name="off", licence="Apache-2.0", rate=48_000, delay=0))
