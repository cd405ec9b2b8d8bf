"""Memory does not grow with the recording."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from audio.sounds import voice, write_media

RATE = 48000  # the engine's, so that four minutes are as many samples as twelve of most recordings
CODE = """
import resource, sys
import sordino
sordino.denoise_file(
    sys.argv[1], sys.argv[2], denoiser="dfn3", channels="keep", loudness=-20.0, strength=30, score=True
)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_memory(source: Path, target: Path) -> int:
    """The peak resident memory of a process that denoises the file with every control."""
    command = [sys.executable, "-c", CODE, str(source), str(target)]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def test_four_minutes_take_what_one_takes(tmp_path):
    """Four minutes of stereo, denoised, mixed back, spooled, levelled and scored, peak within 10 % of one minute."""
    minute = np.stack([np.tile(voice(20.0, RATE), 3)] * 2, axis=1)
    short = write_media(tmp_path / "short.wav", minute, RATE, "pcm_s16le")
    long = write_media(tmp_path / "long.wav", np.tile(minute, (4, 1)), RATE, "pcm_s16le")
    one = peak_memory(short, tmp_path / "a.wav")
    assert peak_memory(long, tmp_path / "b.wav") < 1.1 * one
