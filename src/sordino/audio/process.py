"""The sound path: decode, one channel, denoise, resample, encode; in memory that does not grow with the file."""

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sordino.audio.blocks import Block, gather, scaled_length
from sordino.audio.channels import Downmix
from sordino.audio.decode import Source, open_input
from sordino.audio.encode import open_output
from sordino.audio.errors import MediaError, MediaReason, OrderError
from sordino.audio.formats import DETAILS
from sordino.audio.order import SAMPLE_RATES, MediaFormat, MediaOrder, Report
from sordino.audio.resample import Resampler
from sordino.denoisers import Denoiser, load

Progress = Callable[[float], None]
"""Gets the share of the work done, 0 to 1, never falling; 1 comes last and once all is written."""


def denoise_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    rate: int | None = 16000,
    format: str | None = None,  # noqa: A002 (the protocol's word)
    denoiser: str = "dfn3",
    max_seconds: float = float("inf"),
    progress: Progress | None = None,
) -> Report:
    """Remove the noise of a media file.

    The result has one channel, the input's duration to the sample, and is aligned with it. It appears under ``target``
    whole or not at all; a file that is there is replaced.

    Args:
        source: any audio or video file.
        target: the file to write.
        rate: output rate, 8000, 12000, 16000, 24000, 32000, 44100 or 48000 Hz; None: the least of them that keeps all
            of the input's band, at most 48000.
        format: ``wav``, ``mp3`` or ``m4a``; None: by the suffix of ``target``.
        denoiser: name of the engine.
        max_seconds: audio allowed.
        progress: gets the share of the work done, 0 to 1.

    Raises:
        MediaError: the input cannot be processed.
        OrderError: the format or rate is unknown, or ``target`` is ``source``.
        UnknownDenoiserError: there is no engine of that name.
        OSError: a file cannot be read or written.
    """
    order = MediaOrder(format=media_format(format, Path(target)), rate=rate, denoiser=denoiser)
    with Path(source).open("rb") as read, whole_or_nothing(Path(target), keep=Path(source)) as written:
        return process(read, written, order, max_seconds=max_seconds, progress=progress)


def media_format(name: str | None, target: Path) -> MediaFormat:
    """The format called ``name``, or the one of the suffix of ``target``.

    Raises:
        OrderError: there is no such format.
        OSError: the format is to be told by ``target``, and that is a directory or a device.
    """
    if name is None:
        _check_replaceable(target)
    wanted = target.suffix.removeprefix(".").lower() if name is None else name
    if wanted not in list(MediaFormat):
        what = repr(wanted) if wanted else f"{target.name!r}, whose suffix tells no format"
        raise OrderError(f"cannot write {what}; use {', '.join(MediaFormat)}")
    return MediaFormat(wanted)


def process(
    source: BinaryIO,
    target: BinaryIO,
    order: MediaOrder,
    *,
    max_seconds: float = float("inf"),
    progress: Progress | None = None,
) -> Report:
    """Run the sound path from one open file to another.

    Args:
        source: seekable, open for reading in binary mode; read from its beginning.
        target: empty, with a file descriptor, open for reading and writing in binary mode.
        order: what to make.
        max_seconds: audio allowed.
        progress: gets the share of the work done.

    Raises:
        MediaError: the input cannot be processed.
        UnknownDenoiserError: there is no engine of that name.
    """
    denoiser = load(order.denoiser)
    with open_input(source, max_seconds=max_seconds) as decoded:
        rate = order.rate or _covering_rate(decoded.rate)
        with open_output(target, order.format, rate) as sink:
            for block in _path(decoded, denoiser, rate):
                sink.write(block)
                if progress is not None:
                    progress(decoded.fraction)
        if sink.samples == 0:
            raise MediaError(MediaReason.EMPTY, f"The audio is shorter than one sample at {rate} Hz.")
        if progress is not None:
            progress(1.0)
        details = DETAILS[order.format]
        return Report(
            seconds=sink.samples / rate,
            rate=rate,
            channels=1,
            size=os.fstat(target.fileno()).st_size,
            format_name=details.format_name,
            codec_name=details.codec_name,
            source_rate=decoded.rate,
            source_channels=decoded.channels,
            note=decoded.note,
        )


def _path(decoded: Source, denoiser: Denoiser, rate: int) -> Iterator[Block]:
    mono = _Meter(_mixed(gather(iter(decoded), size=decoded.rate), decoded.channels, decoded.rate))
    wide = _resampled(mono, decoded.rate, denoiser.info.rate)
    clean = _denoised(wide, denoiser)
    return _resampled(clean, denoiser.info.rate, rate, lambda: scaled_length(mono.samples, decoded.rate, rate))


class _Meter:
    """Passes blocks on and counts their samples."""

    def __init__(self, blocks: Iterator[Block]) -> None:
        self._blocks = blocks
        self.samples = 0

    def __iter__(self) -> Iterator[Block]:
        for block in self._blocks:
            self.samples += len(block)
            yield block


def _mixed(blocks: Iterator[Block], channels: int, rate: int) -> Iterator[Block]:
    downmix = Downmix(channels, rate)
    for block in blocks:
        yield downmix.push(block)
    yield downmix.flush()


def _denoised(blocks: Iterator[Block], denoiser: Denoiser) -> Iterator[Block]:
    stream = denoiser.stream(channels=1)
    for block in blocks:
        yield stream.push(block)
    yield stream.flush()


def _resampled(
    blocks: "Iterator[Block] | _Meter", rate: int, to_rate: int, length: Callable[[], int] | None = None
) -> Iterator[Block]:
    """Convert the blocks; ``length``, asked once they have ended, is how many samples there shall be in all."""
    resampler = Resampler(rate, to_rate, channels=1)
    for block in blocks:
        yield resampler.push(block)
    yield resampler.flush(None if length is None else length())


def _covering_rate(rate: int) -> int:
    return next((candidate for candidate in SAMPLE_RATES if candidate >= rate), SAMPLE_RATES[-1])


@contextmanager
def whole_or_nothing(target: Path, *, keep: Path | None = None) -> Iterator[BinaryIO]:
    """A new file that takes the name ``target`` when the block ends, and vanishes when it raises.

    Args:
        target: its name; a regular file of that name is replaced, and leaves its permissions.
        keep: a file that must not be replaced.

    Raises:
        OrderError: ``target`` is ``keep``.
        OSError: ``target`` is there and no regular file, or cannot be written.
    """
    place = target.resolve()
    _check_replaceable(target)
    if keep is not None and place.exists() and place.samefile(keep):
        raise OrderError(f"{target} is the input; choose another name for the output")
    part = place.with_name(f".{secrets.token_hex(8)}.part")
    with _errors_naming(part, target):
        try:
            with part.open("x+b") as file:
                if place.exists():
                    os.fchmod(file.fileno(), place.stat().st_mode & 0o777)
                yield file
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def _errors_naming(part: Path, target: Path) -> Iterator[None]:
    """Errors of the temporary file are told with the name that the user gave."""
    try:
        yield
    except OSError as error:
        if error.filename != str(part):
            raise
        raise OSError(error.errno, error.strerror, str(target)) from error


def _check_replaceable(target: Path) -> None:
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "Not a regular file", str(target))
