"""What memory a long recording takes, against a short one, on its way through the whole path."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sordino.bench import child, recording

RATE: Final = 16_000
PIECE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What two files of the same sound took.

    Attributes:
        seconds: duration of the short and of the long one.
        peak: most memory resident in the process that cleaned each, bytes.
        ratio: of the long one's to the short one's.
    """

    seconds: tuple[float, float]
    peak: tuple[int, int]
    ratio: float


def measure(samples: NDArray[np.float32], denoiser: str, *, short: float, long: float) -> Memory:
    """Clean an MP3 file of each length, to MP3, each in a process of its own.

    Args:
        samples: float32, shape (samples,), at `RATE`; repeated as often as needed.
        denoiser: name of the engine.
        short: seconds, rounded up to whole minutes.
        long: the same.

    Raises:
        BenchError: a process failed.
    """
    with tempfile.TemporaryDirectory() as directory:
        piece = Path(directory, "minute.mp3")
        recording.write(piece, recording.repeated(samples, RATE, PIECE_SECONDS), RATE)
        first, second = (_clean(piece, denoiser, seconds) for seconds in (short, long))
    return Memory(
        seconds=(first["seconds"], second["seconds"]),
        peak=(int(first["peak"]), int(second["peak"])),
        ratio=second["peak"] / first["peak"],
    )


def _clean(piece: Path, denoiser: str, seconds: float) -> dict[str, float]:
    source, target = piece.with_name("long.mp3"), piece.with_name("clean.mp3")
    _repeat(piece, source, -int(-seconds // PIECE_SECONDS))
    found: dict[str, float] = child.ask("path", str(source), str(target), denoiser)
    return found


def _repeat(piece: Path, target: Path, times: int) -> None:
    """Put copies of an MP3 file one after the other, which makes an MP3 file: ten hours cost as much as a minute."""
    with target.open("wb") as whole:
        for _ in range(times):
            with piece.open("rb") as part:
                shutil.copyfileobj(part, whole)
