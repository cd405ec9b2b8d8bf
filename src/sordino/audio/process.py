"""The sound path: decode, mix, denoise, resample, level, encode; in memory that does not grow with the file."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Literal, cast

from sordino.audio import dnsmos
from sordino.audio.blocks import Block, gather
from sordino.audio.channels import Downmix
from sordino.audio.decode import Source, open_input
from sordino.audio.encode import Sink, open_output
from sordino.audio.errors import MediaError, MediaReason, OrderError
from sordino.audio.formats import DETAILS
from sordino.audio.order import (
    DEFAULT_DENOISER,
    FULL_STRENGTH,
    Channels,
    MediaFormat,
    MediaOrder,
    Report,
    SoundQuality,
)
from sordino.audio.quality import Clipping, QualityMeter
from sordino.audio.spool import open_spool
from sordino.audio.treatment import Treatment, watched
from sordino.audio.video import NO_VIDEO
from sordino.denoisers import Denoiser, load

SECONDS_A_SCORE: Final = 400
"""A recording so long has one window scored with DNSMOS, before and after, one twice as long two, and so on: scoring
then takes less than a tenth of the time even beside the quickest engine."""

Progress = Callable[[float], None]
"""Gets the share of the work done, 0 to 1, never falling; 1 comes last and once all is written."""


def denoise_file(  # noqa: PLR0913 (every control has a name)
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    rate: int | None = 16000,
    format: str | None = None,  # noqa: A002 (the protocol's word)
    denoiser: str = DEFAULT_DENOISER,
    strength: int = FULL_STRENGTH,
    channels: str = Channels.MIX,
    loudness: float | Literal["keep"] | None = None,
    video: bool = False,
    max_seconds: float = float("inf"),
    score: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Remove the noise of a media file.

    The result has the input's duration to the sample, and is aligned with it. It appears under ``target`` whole or not
    at all; a file that is there is replaced.

    Args:
        source: any audio or video file.
        target: the file to write.
        rate: output rate, 8000, 12000, 16000, 24000, 32000, 44100 or 48000 Hz, Opus without 32000 and 44100; None: the
            least of them that keeps all of the input's band, at most 48000.
        format: ``wav``, ``mp3``, ``m4a``, ``flac`` or ``opus``; None: by the suffix of ``target``.
        denoiser: name of the engine.
        strength: most that is taken from any sound, whole dB, 0 to 100; 0 passes all through, 100 sets no limit.
        channels: ``mix`` makes one channel of all, ``keep`` keeps them with one common gain: WAV any number, MP3 two,
            the others eight.
        loudness: integrated loudness of the result, -70 to -5 LUFS (EBU R 128), with a true peak of at most -1 dBTP;
            ``"keep"``: speech as loud as in the input; None: as the engine gives it.
        video: whether the video stream is carried over untouched, into M4A only.
        max_seconds: audio allowed.
        score: whether to score with DNSMOS also a recording of less than seven minutes, which takes half a second or
            more; it needs the extra ``quality``.
        progress: gets the share of the work done, 0 to 1.

    Raises:
        MediaError: the input cannot be processed.
        OrderError: a value is out of its range, values do not go together, or ``target`` is ``source``.
        UnknownDenoiserError: there is no engine of that name.
        WeightsError: the weights of the engine are missing or not the tested ones.
        OSError: a file cannot be read or written.
    """
    order = MediaOrder(
        format=media_format(format, Path(target)),
        rate=rate,
        denoiser=denoiser,
        strength=strength,
        channels=cast("Channels", channels),  # which the order makes it, or refuses
        loudness=loudness,
        video=video,
    )
    with Path(source).open("rb") as read, whole_or_nothing(Path(target), keep=Path(source)) as written:
        return process(read, written, order, max_seconds=max_seconds, progress=progress, score=score)


def media_format(name: str | None, target: Path) -> MediaFormat:
    """The format called ``name``, or the one of the suffix of ``target``.

    Raises:
        OrderError: there is no such format.
        OSError: the format is to be told by ``target``, and that is a directory or a device.
    """
    if name is None:
        _replaceable(target)
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
    spool: BinaryIO | None = None,
    score: bool = False,
) -> Report:
    """Run the sound path from one open file to another.

    Args:
        source: seekable, open for reading in binary mode; read from its beginning.
        target: empty, with a file descriptor, open for reading and writing in binary mode.
        order: what to make.
        max_seconds: audio allowed.
        progress: gets the share of the work done.
        spool: what `sordino.audio.spool.open_spool` gave for the order; None: it is made here when it is needed.
        score: whether to score with DNSMOS also a recording so short that this takes longer than its share.

    Raises:
        MediaError: the input cannot be processed.
        UnknownDenoiserError: there is no engine of that name.
        WeightsError: the weights of the engine are missing or not the tested ones.
        OSError: a file cannot be read or written.
    """
    denoiser = load(order.denoiser)
    with ExitStack() as stack:
        decoded = stack.enter_context(open_input(source, max_seconds=max_seconds))
        if spool is None and (made := open_spool(order)) is not None:
            spool = stack.enter_context(made)
        path = _Path(decoded, denoiser, order, spool)
        with open_output(
            target, order.format, path.rate, path.channels, layout=decoded.layout, tags=decoded.tags, video=path.video
        ) as sink:
            for block in path.blocks():
                sink.write(block)
                if progress is not None:
                    progress(path.fraction())
        if sink.samples == 0:
            raise MediaError(MediaReason.EMPTY, f"The audio is shorter than one sample at {path.rate} Hz.")
        report = path.report(sink, os.fstat(target.fileno()).st_size, score=score)
        if progress is not None:
            progress(1.0)
        return report


class _Path:
    """All that happens between a decoder and an encoder."""

    def __init__(self, decoded: Source, denoiser: Denoiser, order: MediaOrder, spool: BinaryIO | None) -> None:
        self._decoded = decoded
        self._order = order
        self._keep = order.channels is Channels.KEEP
        self.video = decoded.video if order.video else None
        self.rate = order.rate or _covering_rate(order.format, decoded.rate)
        self.channels = decoded.channels if self._keep else 1
        self._treatment = Treatment(
            order, denoiser, channels=self.channels, rate=decoded.rate, to_rate=self.rate, spool=spool
        )
        self._clipping = Clipping(decoded.channels), Clipping(self.channels)
        self._quality = QualityMeter(decoded.rate, self.channels), QualityMeter(self.rate, self.channels)
        self._excerpts = dnsmos.Excerpts(decoded.rate), dnsmos.Excerpts(self.rate)

    def blocks(self) -> Iterator[Block]:
        """The samples to write; once."""
        read = watched(gather(iter(self._decoded), size=self._decoded.rate), self._clipping[0])
        mixed = read if self._keep else _mixed(read, self._decoded.channels, self._decoded.rate)
        treated = self._treatment.run(watched(mixed, self._quality[0], *self._listeners(0)))
        return watched(treated, self._clipping[1], self._quality[1], *self._listeners(1))

    def _listeners(self, side: int) -> tuple[dnsmos.Excerpts, ...]:
        return () if dnsmos.find_model() is None else (self._excerpts[side],)

    def fraction(self) -> float:
        """The share of the work done."""
        return self._treatment.fraction(self._decoded.fraction)

    def report(self, sink: Sink, size: int, *, score: bool) -> Report:
        """What was made, once all is written to ``sink``, a file of ``size`` bytes."""
        seconds = sink.samples / self.rate
        before, after = self._measured(max(int(score), min(dnsmos.KEPT, int(seconds / SECONDS_A_SCORE))))
        no_video = NO_VIDEO if self._order.video and self.video is None else ""
        details = DETAILS[self._order.format]
        return Report(
            seconds=seconds,
            rate=self.rate,
            channels=self.channels,
            size=size,
            format_name=details.format_name,
            codec_name=details.codec_name,
            source_rate=self._decoded.rate,
            source_channels=self._decoded.channels,
            note=" ".join(filter(None, (self._decoded.note, sink.note, no_video))),
            before=before,
            after=after,
            video=self.video is not None,
        )

    def _measured(self, windows: int) -> tuple[SoundQuality, SoundQuality]:
        """How it sounded before and after; ``windows`` of each are scored with DNSMOS."""
        scores = dnsmos.compare(*self._excerpts, windows)
        sides = zip(self._quality, self._clipping, scores, strict=True)
        before, after = (meter.quality(clipping.share(), score) for meter, clipping, score in sides)
        return before, after


def _mixed(blocks: Iterator[Block], channels: int, rate: int) -> Iterator[Block]:
    downmix = Downmix(channels, rate)
    for block in blocks:
        yield downmix.push(block)
    yield downmix.flush()


def _covering_rate(form: MediaFormat, rate: int) -> int:
    return next((candidate for candidate in form.rates if candidate >= rate), form.rates[-1])


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
    place = _replaceable(target)
    if keep is not None and place.exists() and place.samefile(keep):
        raise OrderError(f"{target} is the input; choose another name for the output")
    part = place.with_name(f".{os.urandom(8).hex()}.part")
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


def _replaceable(target: Path) -> Path:
    """Where the file called ``target`` is or would be, behind all links; refuses directories, devices and loops."""
    # Unlike Path.resolve, it does not raise for a loop of links: it gives one of them.
    place = Path(os.path.realpath(target))
    if place.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if place.exists() and not place.is_file():
        raise OSError(errno.EINVAL, "Not a regular file", str(target))
    if place.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(target))
    return place
