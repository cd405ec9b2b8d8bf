"""What a recording measures before and after: levels of the pauses and the loud parts, DNSMOS.

All functions take one channel of samples, full scale at -1.0 and 1.0. Levels are RMS in dB relative to full scale, so a
sine that touches full scale has -3.0 dBFS.
"""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

Samples = NDArray[np.float32]

FRAME_SECONDS: Final = 0.02
NOISE_PERCENTILE: Final = 10
LOUD_PERCENTILE: Final = 95
SILENCE_DBFS: Final = -100.0
"""Lowest level told, about that of the rounding to 16 bits; digital silence would be minus infinity."""

DNSMOS_RATE: Final = 16000
DNSMOS_WHEEL: Final = "speechmos"
DNSMOS_MODEL: Final = "speechmos/dnsmos_models/sig_bak_ovr.onnx"
_WINDOW_SECONDS: Final = 9.01
_WINDOW: Final = 144_160
# From the model's raw outputs to the scale of the listeners, highest power first: SIG, BAK, OVRL.
_CORRECTIONS: Final = (
    (-0.08397278, 1.22083953, 0.0052439),
    (-0.13166888, 1.60915514, -0.39604546),
    (-0.06766283, 1.11546468, 0.04602535),
)


def frame_levels(samples: Samples, rate: int) -> NDArray[np.float64]:
    """The levels of consecutive 20 ms frames.

    Args:
        samples: float32, shape (n,); not empty.
        rate: Hz.

    Returns:
        dBFS, float64, shape (frames,), not below `SILENCE_DBFS`. A rest shorter than a frame is left out, unless it is
        all there is.
    """
    size = min(round(FRAME_SECONDS * rate), len(samples))
    frames = samples[: len(samples) // size * size].astype(np.float64).reshape(-1, size)
    power = np.mean(np.square(frames), axis=1)
    levels: NDArray[np.float64] = 10 * np.log10(np.maximum(power, 10 ** (SILENCE_DBFS / 10)))
    return levels


def noise_floor(samples: Samples, rate: int) -> float:
    """The level of the noise between the words: the 10th percentile of the frame levels, dBFS.

    It holds for recordings in which at least every tenth frame is a pause, as in any conversation. See `frame_levels`
    for the arguments.
    """
    return float(np.percentile(frame_levels(samples, rate), NOISE_PERCENTILE))


def loud_level(samples: Samples, rate: int) -> float:
    """The level of the loud parts, in a conversation the vowels: the 95th percentile of the frame levels, dBFS."""
    return float(np.percentile(frame_levels(samples, rate), LOUD_PERCENTILE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dnsmos:
    """Predicted opinions of listeners on the scale of ITU-T P.835, 1 (bad) to 5 (excellent).

    Attributes:
        signal: SIG, how natural the speech is.
        background: BAK, how little the background intrudes.
        overall: OVRL.
    """

    signal: float
    background: float
    overall: float


def find_dnsmos_model() -> Path | None:
    """The model file of the installed ``speechmos`` wheel, which is not imported; None without the wheel."""
    try:
        path = Path(str(distribution(DNSMOS_WHEEL).locate_file(DNSMOS_MODEL)))
    except PackageNotFoundError:
        return None
    return path if path.is_file() else None


def dnsmos(samples: Samples, model: Path) -> Dnsmos:
    """Score a recording with DNSMOS P.835.

    Reddy, Gopal, Cutler: "DNSMOS P.835: A non-intrusive perceptual objective speech quality metric to evaluate noise
    suppressors", ICASSP 2022; the mean over windows of 9.01 s every second, a shorter recording repeated, with the
    polynomials its authors publish beside the model.

    Args:
        samples: float32, shape (n,), at 16 kHz; not empty.
        model: path of ``sig_bak_ovr.onnx``.
    """
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    raw = np.array([session.run(None, {name: window[np.newaxis]})[0][0] for window in _windows(samples)])
    scores = [np.polyval(correction, raw[:, column]).mean() for column, correction in enumerate(_CORRECTIONS)]
    return Dnsmos(signal=float(scores[0]), background=float(scores[1]), overall=float(scores[2]))


def _windows(samples: Samples) -> list[Samples]:
    while len(samples) < _WINDOW:
        samples = np.concatenate((samples, samples))
    count = int(len(samples) // DNSMOS_RATE - _WINDOW_SECONDS) + 1
    return [samples[start : start + _WINDOW] for start in range(0, count * DNSMOS_RATE, DNSMOS_RATE)]
