"""The denoise engines: what one is, and the registry that finds them.

An engine is an entry point of the group ``sordino.denoisers``: a function without arguments that returns a `Denoiser`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # who only asks for names does without
    import numpy as np
    from numpy.typing import NDArray

# ONNX Runtime's builds report their use to its makers, from a thread that no fork survives and with a database in the
# user's cache directory. It reads this when it is first imported, which the engines do after this package.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

GROUP = "sordino.denoisers"

__all__ = ["Denoiser", "DenoiserInfo", "DenoiserStream", "UnknownDenoiserError", "load", "names"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiserInfo:
    """What a caller must know of an engine.

    Attributes:
        name: name in the registry.
        licence: SPDX expression of the code and weights.
        rate: sample rate the engine takes and gives, Hz.
        delay: samples the engine looks ahead; its streams compensate them.
        flops: floating point operations of its networks for a second of sound of one channel; 0 if it has none.
    """

    name: str
    licence: str
    rate: int
    delay: int
    flops: float = 0.0


class DenoiserStream(Protocol):
    """One recording on its way through an engine.

    Blocks are float32 arrays of shape (samples, channels) at the engine's rate, full scale 1.0, of any length, also 0.
    All blocks returned, put together, are exactly as long as all blocks pushed and aligned with them to the sample.
    Samples that are NaN, infinite or absurdly loud (see `sordino.denoisers.block`) count as 0.
    """

    def push(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take a block and return what is ready, which may be nothing.

        Raises:
            ValueError: the block is not float32 of shape (samples, channels).
        """
        ...

    def flush(self) -> NDArray[np.float32]:
        """Return the rest of the recording; the stream is then as new."""
        ...


class Denoiser(Protocol):
    """An engine, loaded; it may serve any number of streams."""

    @property
    def info(self) -> DenoiserInfo:
        """What the engine is."""
        ...

    def stream(self, channels: int = 1, *, linked: bool = False) -> DenoiserStream:
        """Start a recording.

        Args:
            channels: number of channels.
            linked: whether all get one common gain, so that the image stays where it is; else each is treated as if it
                were alone.

        Raises:
            ValueError: ``channels`` is less than 1.
        """
        ...


class UnknownDenoiserError(ValueError):
    """There is no engine of that name."""


def names() -> tuple[str, ...]:
    """The names of all installed engines, sorted."""
    return tuple(sorted(entry_points(group=GROUP).names))


@cache
def load(name: str) -> Denoiser:
    """Load an engine, once a process.

    Args:
        name: one of `names`.

    Raises:
        UnknownDenoiserError: no engine has this name.
    """
    found = entry_points(group=GROUP, name=name)
    if not found:
        raise UnknownDenoiserError(f"There is no denoiser {name!r}; the installed ones are: {', '.join(names())}.")
    denoiser: Denoiser = next(iter(found)).load()()
    return denoiser
