"""Noise reduction of samples in memory."""

from collections.abc import Iterator
from numbers import Integral
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sordino.audio.blocks import Block
from sordino.audio.encode import to_int16
from sordino.audio.frames import MAX_CHANNELS, RATES
from sordino.audio.resample import Resampler
from sordino.denoisers import load

Sample = TypeVar("Sample", np.float32, np.float64, np.int16)

_DTYPES = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int16))


def denoise(samples: NDArray[Sample], rate: int, *, denoiser: str = "dfn3") -> NDArray[Sample]:
    """Remove the noise of a recording in memory.

    The result is a new array of the same shape and dtype, aligned with the input to the sample. Channels are treated
    each for itself, so a stereo image stays where it is.

    Args:
        samples: float32 or float64, full scale at 1.0, or int16; shape (samples,) or (samples, channels), up to 64
            channels. NaN and infinities count as 0.
        rate: Hz, 100 to 1,000,000.
        denoiser: name of the engine.

    Raises:
        TypeError: ``samples`` is no array of those dtypes, or ``rate`` is no whole number.
        ValueError: the shape, rate or engine is not valid.
    """
    _check(samples, rate)
    table = samples if samples.ndim == 2 else samples[:, None]
    clean = [block for block in _clean(table, int(rate), denoiser) if len(block)]
    result = np.concatenate(clean) if clean else np.zeros(table.shape, np.float32)
    typed = to_int16(result) if samples.dtype == np.int16 else result.astype(samples.dtype, copy=False)
    return typed.reshape(samples.shape)


def _check(samples: Any, rate: Any) -> None:  # noqa: ANN401 (what comes from outside may be anything)
    if not isinstance(samples, np.ndarray) or samples.dtype not in _DTYPES:
        kind = samples.dtype if isinstance(samples, np.ndarray) else type(samples).__name__
        raise TypeError(f"samples must be a NumPy array of float32, float64 or int16, not {kind}")
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and samples.shape[1] == 0):
        raise ValueError(f"samples must have shape (samples,) or (samples, channels), not {samples.shape}")
    if samples.ndim == 2 and samples.shape[1] > MAX_CHANNELS:
        raise ValueError(
            f"samples have {samples.shape[1]} channels and may have {MAX_CHANNELS}; "
            "the shape must be (samples, channels); transpose it"
        )
    if isinstance(rate, bool) or not isinstance(rate, Integral):
        raise TypeError(f"rate must be a whole number of Hz, not {rate!r}")
    if rate not in RATES:
        raise ValueError(f"rate must be {RATES[0]} to {RATES[-1]} Hz, not {rate}")


def _clean(table: NDArray[Any], rate: int, name: str) -> Iterator[Block]:
    """A second at a time: to the engine's rate, through it, back."""
    denoiser = load(name)
    channels = table.shape[1]
    wide = Resampler(rate, denoiser.info.rate, channels)
    stream = denoiser.stream(channels)
    narrow = Resampler(denoiser.info.rate, rate, channels)
    for start in range(0, len(table), rate):
        yield narrow.push(stream.push(wide.push(_block(table[start : start + rate]))))
    yield narrow.push(stream.push(wide.flush()))
    yield narrow.push(stream.flush())
    yield narrow.flush(len(table))


def _block(part: NDArray[Any]) -> Block:
    if part.dtype == np.int16:
        return np.ascontiguousarray(part, np.float32) / np.float32(32768)
    return np.nan_to_num(np.ascontiguousarray(part, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
