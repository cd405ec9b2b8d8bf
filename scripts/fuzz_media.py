"""Break media files in every way a generator can think of, and let the real media process read each of them.

Usage: python scripts/fuzz_media.py [--count 10000] [--first 0] [--seed 0] [--keep DIR] [--more DIR ...]

Small files of many containers and codecs are made with PyAV; those of other directories are used as well. Each of the
broken files is decoded by `sordino.audio.sandbox.run`, confined as in the service, and either becomes sound or is
refused with a reason. The same seed makes the same files. The last line is one JSON object with the counts; a crash or
a hang is an exit status of 1, and its file is left in DIR.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.codec import UnknownCodecError
from numpy.typing import NDArray

from sordino.audio import sandbox
from sordino.audio.errors import MediaCrashedError, MediaError
from sordino.audio.order import MediaLimits, MediaOrder

MOST_BYTES = 200_000
"""Larger files take time and teach little."""

# A child gets less wall time than CPU time, so that every endless loop ends in the same way.
LIMITS = MediaLimits(seconds=300, memory_bytes=2**29, cpu_seconds=60, wall_seconds=30)
ORDER = MediaOrder(denoiser="off")

# Suffix, codec, rate.
KINDS = (
    ("wav", "pcm_s16le", 16000),
    ("wav", "pcm_s24le", 44100),
    ("wav", "pcm_f32le", 48000),
    ("wav", "pcm_u8", 8000),
    ("wav", "pcm_alaw", 8000),
    ("wav", "adpcm_ms", 8000),
    ("wav", "adpcm_ima_wav", 22050),
    ("wav", "adpcm_yamaha", 8000),
    ("wav", "g726", 8000),
    ("wav", "libmp3lame", 44100),
    ("wav", "wmav2", 44100),
    ("wav", "ac3", 44100),
    ("aiff", "pcm_s16be", 16000),
    ("au", "pcm_mulaw", 8000),
    ("caf", "alac", 44100),
    ("caf", "pcm_s16be", 16000),
    ("voc", "pcm_u8", 8000),
    ("w64", "pcm_s16le", 16000),
    ("sox", "pcm_s32le", 16000),
    ("ircam", "pcm_s16le", 16000),
    ("flac", "flac", 44100),
    ("tta", "tta", 16000),
    ("wv", "wavpack", 16000),
    ("mp3", "libmp3lame", 44100),
    ("mp3", "libmp3lame", 16000),
    ("mp2", "mp2", 44100),
    ("aac", "aac", 44100),
    ("latm", "aac", 44100),
    ("ac3", "ac3", 48000),
    ("eac3", "eac3", 48000),
    ("m4a", "aac", 44100),
    ("m4a", "alac", 44100),
    ("mp4", "libmp3lame", 44100),
    ("mov", "pcm_s16be", 16000),
    ("mov", "adpcm_ima_qt", 16000),
    ("3gp", "aac", 16000),
    ("ogg", "vorbis", 44100),
    ("ogg", "libopus", 48000),
    ("ogg", "flac", 16000),
    ("webm", "libopus", 48000),
    ("mka", "aac", 44100),
    ("mka", "vorbis", 44100),
    ("mka", "real_144", 8000),
    ("mka", "pcm_f64le", 16000),
    ("ts", "aac", 44100),
    ("ts", "mp2", 48000),
    ("ts", "ac3", 48000),
    ("mpg", "mp2", 44100),
    ("wma", "wmav2", 44100),
    ("wma", "wmav1", 22050),
    ("flv", "libmp3lame", 44100),
    ("flv", "adpcm_swf", 22050),
    ("flv", "nellymoser", 16000),
    ("avi", "pcm_s16le", 16000),
    ("avi", "libmp3lame", 44100),
    ("avi", "adpcm_ima_wav", 22050),
    ("rm", "ac3", 44100),
    ("rm", "real_144", 8000),
    ("amr", "libopencore_amrnb", 8000),
)
MUXERS = {"wma": "asf", "ircam": "ircam"}
"""FFmpeg's names where the suffix does not tell them."""
OPTIONS = {"wmav1": {"b": "64000"}, "wmav2": {"b": "64000"}, "vorbis": {"strict": "experimental"}}
STEREO = ("vorbis",)

FIELD_VALUES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class Specimen:
    """A file to be read.

    Attributes:
        name: what it was made of.
        data: its bytes.
    """

    name: str
    data: bytes


@dataclass(kw_only=True)
class Tally:
    """What became of the files.

    Attributes:
        refused: files by the reason of their refusal.
        crashed: files by how their process ended.
        hung: names of files that were still being read when their time was over.
        kinds: intact files they were made of.
    """

    files: int = 0
    processed: int = 0
    noted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    crashed: Counter[str] = field(default_factory=Counter)
    hung: list[str] = field(default_factory=list)
    kinds: int = 0
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether every file became sound or a refusal."""
        return not self.crashed and not self.hung


def intact(others: Sequence[Path] = ()) -> list[Specimen]:
    """Small files of many kinds, and those small ones that lie under other directories, in one order."""
    with tempfile.TemporaryDirectory() as place:
        made = [specimen for kind in KINDS if (specimen := _made(Path(place), *kind)) is not None]
    paths = sorted(path for other in others for path in other.rglob("*") if path.is_file())
    small = [path for path in paths if 0 < path.stat().st_size <= MOST_BYTES and path.suffix != ".csv"]
    return made + [Specimen(name=f"{path.parent.name}/{path.name}", data=path.read_bytes()) for path in small]


def _made(place: Path, suffix: str, codec: str, rate: int) -> Specimen | None:
    """Half a second of sound; None where this build of FFmpeg cannot write it."""
    path = place / f"a.{suffix}"
    try:
        _write(path, suffix, codec, rate)
    except (av.error.FFmpegError, UnknownCodecError) as error:
        print(f"no {codec} in {suffix}: {error}")
        return None
    return Specimen(name=f"{codec}.{suffix}", data=path.read_bytes())


def _write(path: Path, suffix: str, codec: str, rate: int) -> None:
    layout = "stereo" if codec in STEREO else "mono"
    with av.open(path, "w", format=MUXERS.get(suffix)) as output:
        stream = output.add_stream(codec, rate=rate, options=OPTIONS.get(codec), layout=layout)
        assert isinstance(stream, AudioStream)
        for start, block in _blocks(rate):
            samples = np.repeat(block, 2) if codec in STEREO else block
            frame = AudioFrame.from_ndarray(samples[None], format="flt", layout=layout)
            frame.rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def _blocks(rate: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """A gliding tone with overtones that swells and fades in a little noise, and where each block of it begins."""
    time = np.arange(rate // 2) / rate
    phase = 2 * np.pi * (150 * time + 60 * time**2)
    tone = sum(np.sin(k * phase) / k for k in range(1, 14)) * np.sin(2 * np.pi * 2.3 * time)
    noise = np.random.default_rng(3).standard_normal(len(time))
    sound = (0.25 * tone + 0.01 * noise).astype(np.float32)
    yield from ((start, sound[start : start + 4096]) for start in range(0, len(sound), 4096))


def broken(specimens: Sequence[Specimen], number: int, seed: int) -> Specimen:
    """The file of that number: one specimen after one to three mutations."""
    chance = random.Random(f"{seed}/{number}")
    first = chance.choice(specimens)
    data, steps = bytearray(first.data), []
    for _ in range(chance.choice((1, 1, 2, 3))):
        name = chance.choice(list(MUTATIONS))
        steps.append(name)
        data = MUTATIONS[name](data, chance, chance.choice(specimens).data) or data
    return Specimen(name=f"{number} {first.name} {'+'.join(steps)}", data=bytes(data))


Mutation = Callable[[bytearray, random.Random, bytes], bytearray]
"""Takes the bytes, chance, and another file's bytes."""


def _flip_bits(data: bytearray, chance: random.Random, _other: bytes) -> bytearray:
    for _ in range(chance.choice((1, 2, 8, 32))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def _spoil_head(data: bytearray, chance: random.Random, _other: bytes) -> bytearray:
    for _ in range(chance.choice((1, 2, 4))):
        data[chance.randrange(min(len(data), 512))] = chance.randrange(256)
    return data


def _edit_field(data: bytearray, chance: random.Random, _other: bytes) -> bytearray:
    """Set a number of the header, or anywhere, to what programs forget about."""
    for _ in range(chance.choice((1, 1, 3))):
        size = chance.choice((1, 2, 4, 4, 8))
        place = chance.randrange(min(len(data), chance.choice((64, 512, len(data)))))
        value = chance.choice((*FIELD_VALUES, len(data), len(data) + 1, chance.getrandbits(32)))
        field_bytes = (value & (256**size - 1)).to_bytes(size, chance.choice(("big", "little")))
        data[place : place + size] = field_bytes
    return data


def _truncate(data: bytearray, chance: random.Random, _other: bytes) -> bytearray:
    return data[: chance.randrange(1, len(data) + 1)]


def _behead(data: bytearray, chance: random.Random, _other: bytes) -> bytearray:
    return data[chance.randrange(len(data)) :]


def _span(length: int, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(length)
    return start, min(length, start + 1 + chance.randrange(chance.choice((4, 64, 4096))))


def _swap(data: bytearray, chance: random.Random, _other: bytes) -> bytearray:
    (a, b), (c, d) = sorted((_span(len(data), chance), _span(len(data), chance)))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:] if b <= c else data


def _cut_out(data: bytearray, chance: random.Random, _other: bytes) -> bytearray:
    start, end = _span(len(data), chance)
    return data[:start] + data[end:]


def _repeat(data: bytearray, chance: random.Random, _other: bytes) -> bytearray:
    start, end = _span(len(data), chance)
    return data[:end] + data[start:end] * chance.choice((1, 2, 16)) + data[end:]


def _blank(data: bytearray, chance: random.Random, _other: bytes) -> bytearray:
    start, end = _span(len(data), chance)
    data[start:end] = bytes([chance.choice((0, 255))]) * (end - start)
    return data


def _splice(data: bytearray, chance: random.Random, other: bytes) -> bytearray:
    """The head of one file and the tail of another."""
    return data[: chance.randrange(1, len(data) + 1)] + other[chance.randrange(len(other)) :]


def _graft(data: bytearray, chance: random.Random, other: bytes) -> bytearray:
    """A piece of another file somewhere inside."""
    start, end = _span(len(other), chance)
    place = chance.randrange(len(data))
    return data[:place] + other[start:end] + data[place:]


MUTATIONS: Mapping[str, Mutation] = {
    "flip": _flip_bits,
    "head": _spoil_head,
    "field": _edit_field,
    "truncate": _truncate,
    "behead": _behead,
    "swap": _swap,
    "cut": _cut_out,
    "repeat": _repeat,
    "blank": _blank,
    "splice": _splice,
    "graft": _graft,
}


async def read(specimen: Specimen, tally: Tally, limits: MediaLimits = LIMITS) -> bool:
    """Have the media process read the file, and count what becomes of it; whether it did so in good order."""
    began = time.monotonic()
    tally.files += 1
    try:
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
            source.write(specimen.data)
            report = await sandbox.run(source, target, ORDER, limits)
    except MediaError as error:
        if time.monotonic() - began >= limits.wall_seconds:
            tally.hung.append(specimen.name)
            return False
        tally.refused[error.reason.value] += 1
    except MediaCrashedError as error:
        tally.crashed[str(error)] += 1
        return False
    else:
        tally.processed += 1
        tally.noted += bool(report.note)
    return True


async def fuzz(numbers: range, seed: int, others: Sequence[Path], keep: Path) -> Tally:
    """Make and read the files of those numbers."""
    specimens = intact(others)
    tally = Tally(kinds=len(specimens))
    began = time.monotonic()
    for number in numbers:
        specimen = broken(specimens, number, seed)
        if not await read(specimen, tally):
            _leave(specimen, keep / f"{seed}-{number}")
        if tally.files % 500 == 0:
            print(f"{tally.files} files: {tally.processed} processed, {dict(tally.refused)}", flush=True)
    tally.seconds = round(time.monotonic() - began, 1)
    return tally


def _leave(specimen: Specimen, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(specimen.data)
    print(f"{specimen.name} crashed or hung; the file is {path}", flush=True)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz"), help="where files are left that do harm")
    parser.add_argument(
        "--more", type=Path, nargs="*", default=[Path("../shared/formats")], help="directories of files"
    )
    return parser.parse_args()


def main() -> int:
    """Fuzz, print what came of it, and tell by the exit status whether it was all in good order."""
    chosen = arguments()
    numbers = range(chosen.first, chosen.first + chosen.count)
    tally = asyncio.run(fuzz(numbers, chosen.seed, chosen.more, chosen.keep))
    print(json.dumps(vars(tally)))
    return 0 if tally.sound else 1


if __name__ == "__main__":
    sys.exit(main())
