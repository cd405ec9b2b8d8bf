"""What the tests of the sound path share: signals, media files that PyAV writes, and measures."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from sordino.audio.decode import open_input


def voice(seconds: float, rate: int) -> np.ndarray:
    """Syllables of a gliding harmonic tone in a little noise; float32, shape (samples,), peak 0.5."""
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(150 + 60 * np.sin(2 * np.pi * 0.9 * time)) / rate
    tone = sum(np.sin(k * phase) / k for k in range(1, 14))
    signal = tone * np.clip(np.sin(2 * np.pi * 2.3 * time), 0, None)
    signal += 0.02 * np.random.default_rng(3).standard_normal(len(time))
    return (0.5 * signal / np.abs(signal).max()).astype(np.float32)


def write_media(
    path: Path,
    samples: np.ndarray,
    rate: int,
    codec: str,
    *,
    container: str | None = None,
    video: bool = False,
) -> Path:
    """Write float32 ``samples``, (samples,) or (samples, channels), with PyAV alone."""
    table = samples.reshape(len(samples), -1)
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[table.shape[1]]
    with av.open(path, "w", format=container) as output:
        pictures = output.add_stream("mpeg4", rate=10) if video else None
        stream = output.add_stream(codec, rate=rate, layout=layout)
        if "amr" in codec:
            stream.bit_rate = 12_200
        if pictures is not None:
            pictures.width, pictures.height = 32, 32
            for number in range(round(len(table) / rate * 10)):
                frame = av.VideoFrame(32, 32, "yuv420p")
                frame.pts = number
                output.mux(pictures.encode(frame))
            output.mux(pictures.encode(None))
        for start in range(0, len(table), 4096):
            block = table[start : start + 4096].reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, format="flt", layout=layout)
            frame.rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def read_media(path: Path) -> tuple[np.ndarray, int]:
    """All samples by our decoder, float32 of shape (samples, channels), and their rate."""
    with path.open("rb") as file, open_input(file) as source:
        return np.concatenate(list(source)), source.rate


def lag(later: np.ndarray, reference: np.ndarray) -> int:
    """By how many samples ``later`` comes after ``reference``, by the peak of their cross-correlation."""
    size = len(later) + len(reference)
    spectrum = np.fft.rfft(later, size) * np.fft.rfft(reference, size).conj()
    peak = int(np.argmax(np.fft.irfft(spectrum, size)))
    return peak if peak < len(later) else peak - size


def error_db(wanted: np.ndarray, got: np.ndarray) -> float:
    """Energy of the difference relative to ``wanted``, dB; both of the same length."""
    difference = np.sum((wanted.astype(np.float64) - got) ** 2)
    return float(10 * np.log10(difference / np.sum(wanted.astype(np.float64) ** 2) + 1e-30))
