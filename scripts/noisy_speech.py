"""``make bench-data``: noisy speech with the clean one beside it, made from packages of Debian.

The speech is that of telephone prompts (asterisk-core-sounds, CC BY-SA 3.0), the noise that of a game (minetest-data,
CC BY-SA 3.0 and CC0; its copyright file names the authors). Nothing of it is part of the project.
"""

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from sordino.bench import recording
from sordino.bench.corpus import MANIFEST
from sordino.bench.scores import RATE

Samples = NDArray[np.float32]

SPEECH: Final = ("asterisk-core-sounds-en-g722", "asterisk-core-sounds-it-g722")
NOISE: Final = "minetest-data"
SNRS: Final = (-5, 0, 5, 10, 15)
OF_EACH: Final = 10
"""Recordings of each package of speech."""
SECONDS: Final = (5.0, 15.0)
"""Prompts shorter or longer are left out."""
BYTES_PER_SECOND: Final = 8000
"""Of G.722 at 64 kbit/s."""
NOISE_BYTES: Final = 50_000
"""Files of noise that are smaller are too short to be heard for long."""
SILENCE: Final = "silence"
"""Where the packages keep prompts that say nothing."""
LEVEL_DBFS: Final = -26.0
PEAK: Final = 0.95


class SetError(Exception):
    """The set cannot be made; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """One recording twice, both float32 of shape (samples,) at `RATE`."""

    noisy: Samples
    clean: Samples


def main() -> int:
    """Make the set; the exit status."""
    parser = argparse.ArgumentParser(description="Make noisy recordings and clean ones from packages of Debian.")
    parser.add_argument("directory", type=Path, help="where to; it is made")
    directory = parser.parse_args().directory
    try:
        with tempfile.TemporaryDirectory() as room:
            packages = {name: _unpacked(name, Path(room)) for name in (*SPEECH, NOISE)}
            count = make(directory, [packages[name] for name in SPEECH], packages[NOISE])
    except (SetError, OSError) as error:
        print(f"noisy_speech: {error}", file=sys.stderr)
        return 1
    print(f"{count} recordings at {RATE} Hz are in {directory}")
    return 0


def _unpacked(package: str, room: Path) -> Path:
    """The files of a package of Debian, in a directory of its own; the system stays as it is."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise SetError("apt-get and dpkg-deb are needed; elsewhere, bring recordings and a manifest.csv of your own")
    directory = room / package
    directory.mkdir()
    done = subprocess.run(
        ["apt-get", "download", "-q", package], check=False, cwd=directory, capture_output=True, text=True
    )
    if done.returncode:
        raise SetError(f"{package} could not be downloaded (is `apt-get update` due?): {done.stderr.strip()}")
    subprocess.run(["dpkg-deb", "-x", *directory.glob("*.deb"), directory / "files"], check=True)
    return directory / "files"


def make(directory: Path, speech: Sequence[Path], noise: Path) -> int:
    """Mix the speech and the noise below some directories, and write the recordings with their manifest.

    Args:
        directory: where to; it is made.
        speech: directories with ``*.g722``, one a speaker.
        noise: a directory with ``*.ogg``.

    Returns:
        The number of recordings.

    Raises:
        SetError: there is too little speech or noise.
    """
    noises = sorted(path for path in noise.rglob("*.ogg") if path.stat().st_size >= NOISE_BYTES)
    spoken = [path for one in speech for path in _spread(one)]
    if not noises or not spoken:
        raise SetError("the packages no longer hold the recordings that are looked for")
    for name in ("noisy", "clean"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    rows = [_write(directory, number, path, noises) for number, path in enumerate(spoken)]
    with (directory / MANIFEST).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def _spread(directory: Path) -> Iterator[Path]:
    """Prompts of the lengths wanted, evenly over their names, which are those of their subjects."""
    least, most = (seconds * BYTES_PER_SECOND for seconds in SECONDS)
    spoken = (path for path in directory.rglob("*.g722") if path.parent.name != SILENCE)
    paths = sorted(path for path in spoken if least <= path.stat().st_size <= most)
    count = min(OF_EACH, len(paths))
    return (paths[number * len(paths) // count] for number in range(count))


def _write(directory: Path, number: int, path: Path, noises: Sequence[Path]) -> Mapping[str, object]:
    # Each round of the SNRs starts with another noise, so that they meet in many ways.
    snr, noise = SNRS[number % len(SNRS)], noises[(number + number // len(SNRS)) % len(noises)]
    found, rate = recording.read(noise)
    mixture = mix(_speech(path), recording.resampled(found, rate, RATE), snr)
    name = f"D{number:02}"
    for kind, samples in (("noisy", mixture.noisy), ("clean", mixture.clean)):
        recording.write(directory / kind / f"{name}.flac", samples, RATE)
    return {
        "file": f"noisy/{name}.flac",
        "clean": f"clean/{name}.flac",
        "id": name,
        "rate": RATE,
        "snr_db": snr,
        "seconds": round(len(mixture.clean) / RATE, 2),
        "noise": noise.stem,
        "speech_source": path.name,
        "noise_source": noise.name,
    }


def _speech(path: Path) -> Samples:
    """The samples of a G.722 file, which has no header that would tell what it is."""
    with av.open(str(path), format="g722") as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return np.concatenate(frames).astype(np.float32) / np.float32(32768)


def mix(speech: Samples, noise: Samples, snr: float) -> Mixture:
    """Speech at `LEVEL_DBFS` in noise, which is repeated; both less loud where they would clip.

    Args:
        speech: float32, shape (samples,).
        noise: float32, shape (others,), not silent.
        snr: level of the speech, without its pauses, over the noise, dB.
    """
    background = np.resize(noise, len(speech))
    spoken = speech * np.float32(10 ** ((LEVEL_DBFS - _level(speech)) / 20))
    noisy = spoken + background * np.float32(10 ** ((LEVEL_DBFS - snr - _level(background)) / 20))
    gain = np.float32(min(1.0, PEAK / max(np.abs(noisy).max(), np.abs(spoken).max())))
    return Mixture(noisy=gain * noisy, clean=gain * spoken)


def _level(samples: Samples) -> float:
    """Mean level of the 20 ms frames within 30 dB of the loudest, dBFS."""
    size = RATE // 50
    frames = samples[: len(samples) // size * size].astype(np.float64).reshape(-1, size)
    power = np.mean(np.square(frames), axis=1)
    return float(10 * np.log10(power[power > power.max() / 1000].mean()))


if __name__ == "__main__":
    sys.exit(main())
