"""Noise reduction of samples in memory."""

import io
from collections.abc import Iterator
from numbers import Integral
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from sordino.audio.blocks import Block
from sordino.audio.encode import to_int16
from sordino.audio.frames import MAX_CHANNELS, RATES
from sordino.audio.order import DEFAULT_DENOISER, FULL_STRENGTH, Channels, MediaOrder
from sordino.audio.treatment import Treatment
from sordino.denoisers import load
from sordino.denoisers.block import sanitised

Sample = TypeVar("Sample", np.float32, np.float64, np.int16)

_DTYPES = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int16))


def denoise(
    samples: NDArray[Sample],
    rate: int,
    *,
    denoiser: str = DEFAULT_DENOISER,
    strength: int = FULL_STRENGTH,
    loudness: float | Literal["keep"] | None = None,
) -> NDArray[Sample]:
    """Remove the noise of a recording in memory.

    The result is a new array of the same shape and dtype, aligned with the input to the sample. Several channels get
    one common gain, so that a stereo image stays where it is.

    Args:
        samples: float32 or float64, full scale at 1.0, or int16; shape (samples,) or (samples, channels), up to 64
            channels. NaN and infinities count as 0.
        rate: Hz, 100 to 1,000,000.
        denoiser: name of the engine.
        strength: most that is taken from any sound, whole dB, 0 to 100; 0 passes all through, 100 sets no limit.
        loudness: integrated loudness of the result, -70 to -5 LUFS (EBU R 128), with a true peak of at most -1 dBTP;
            ``"keep"``: speech as loud as in the input; None: as the engine gives it.

    Raises:
        TypeError: ``samples`` is no array of those dtypes, or ``rate`` is no whole number.
        ValueError: the shape, rate, engine, strength or loudness is not valid.
        WeightsError: the weights of the engine are missing or not the tested ones.
    """
    _check(samples, rate)
    order = MediaOrder(rate=None, denoiser=denoiser, strength=strength, channels=Channels.KEEP, loudness=loudness)
    table = samples if samples.ndim == 2 else samples[:, None]
    clean = [block for block in _clean(table, int(rate), order) if len(block)]
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


def _clean(table: NDArray[Any], rate: int, order: MediaOrder) -> Iterator[Block]:
    """A second at a time."""
    blocks = (_block(table[start : start + rate]) for start in range(0, len(table), rate))
    spool = io.BytesIO()
    treatment = Treatment(order, load(order.denoiser), channels=table.shape[1], rate=rate, to_rate=rate, spool=spool)
    return treatment.run(blocks)


def _block(part: NDArray[Any]) -> Block:
    """The samples as the engines take them; a copy, which is the caller's own."""
    if part.dtype == np.int16:
        return np.ascontiguousarray(part, np.float32) / np.float32(32768)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, and then 0
        return sanitised(np.ascontiguousarray(part, np.float32), part.shape[1])
