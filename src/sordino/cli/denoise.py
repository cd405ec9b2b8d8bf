"""``sordino denoise``: remove the noise of one file, without a service."""

import errno
import os
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal, NoReturn, cast

import typer

from sordino.audio.order import DEFAULT_DENOISER, FULL_STRENGTH, Channels

if TYPE_CHECKING:
    from sordino.audio.order import MediaOrder, Report

STANDARD = "-"
CANNOT_PROCESS = 1
USAGE = 2


def denoise(
    source: Annotated[str, typer.Argument(metavar="IN", help="Any audio or video file; `-` reads standard input.")],
    target: Annotated[str, typer.Argument(metavar="OUT", help="The file to write; `-` writes to standard output.")],
    *,
    rate: Annotated[
        int,
        typer.Option(
            help="Sample rate of the result in Hz: 8000, 12000, 16000, 24000, 32000, 44100 or 48000, Opus without "
            "32000 and 44100. 0: the least of them that keeps all of the input's band."
        ),
    ] = 16000,
    format: Annotated[  # noqa: A002 (the option's name)
        str | None,
        typer.Option(
            help="wav, mp3, m4a, flac or opus; by default that of OUT's suffix, and wav for standard output.",
            show_default=False,
        ),
    ] = None,
    denoiser: Annotated[str, typer.Option(help="The engine that removes the noise.")] = DEFAULT_DENOISER,
    strength: Annotated[
        int,
        typer.Option(
            help="Most that is taken from any sound, whole dB, 0 to 100; 0 passes all through, 100 sets no limit."
        ),
    ] = FULL_STRENGTH,
    channels: Annotated[
        Channels,
        typer.Option(
            help="mix: one channel of all; keep: all of them, with one common gain, so that the stereo image stays."
        ),
    ] = Channels.MIX,
    loudness: Annotated[
        str | None,
        typer.Option(
            metavar="LUFS|keep",
            help="Integrated loudness of the result (EBU R 128), -70 to -5 LUFS, with a true peak of at most -1 dBTP; "
            "keep: speech as loud as in the input. By default as the engine gives it.",
            show_default=False,
        ),
    ] = None,
    video: Annotated[bool, typer.Option("--video", help="Carry the video over untouched, into m4a only.")] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Print how it sounds before and after; to standard error when OUT is `-`.")
    ] = False,
    report_json: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Write the report as JSON; `-` writes to standard output.", show_default=False
        ),
    ] = None,
) -> None:
    """Remove the noise of an audio or video file.

    The result is as long as the input, to the sample, and has one channel unless told otherwise. It is written whole or
    not at all.

    Exit status: 0 done, 1 the input cannot be processed or a file (the model's, too) cannot be read or written,
    2 wrong usage.
    """
    from sordino.audio.errors import MediaError, OrderError
    from sordino.denoisers import UnknownDenoiserError
    from sordino.denoisers.weights import WeightsError

    _unwind_when_stopped()
    try:
        order = _order(
            target,
            format,
            rate=rate or None,
            denoiser=denoiser,
            strength=strength,
            channels=channels,
            loudness=_loudness(loudness),
            video=video,
        )
        _check_standard(source, target)
        _check_report(report_json, source, target)
        made = _denoise(source, target, order, score=report or report_json is not None)
        _tell(made, target, table=report, file=report_json)
    except MediaError as error:
        raise _failed(f"{_input_name(source)}: {error}", CANNOT_PROCESS) from error
    except (OrderError, UnknownDenoiserError) as error:
        raise _failed(str(error), USAGE) from error
    except WeightsError as error:
        raise _failed(str(error), CANNOT_PROCESS) from error
    except OSError as error:
        # Without a name it is an error of writing, as of a full disk.
        name = error.filename or ("standard output" if target == STANDARD else target)
        raise _failed(f"{name}: {error.strerror}", CANNOT_PROCESS) from error
    except _StoppedError as stopped:
        # All files are in order. What the interpreter would tear down yet, the resampler's library may call leaked.
        os._exit(128 + stopped.number)
    if made.note:
        _say(f"{_input_name(source)}: {made.note}")


class _StoppedError(Exception):
    """A signal ends the command.

    An Exception, since a signal may come while FFmpeg calls back to have something written: PyAV carries exceptions out
    of such a call, but loses what is none, such as SystemExit and KeyboardInterrupt, and goes on.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _unwind_when_stopped() -> None:
    """Have SIGTERM, a closed terminal and Ctrl-C end the command, with nothing half-written left behind."""

    def leave(number: int, _frame: object) -> NoReturn:
        raise _StoppedError(number)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        # `nohup` has the second ignored, a shell that puts it into the background the third.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)


def _input_name(source: str) -> str:
    return "standard input" if source == STANDARD else source


def _loudness(text: str | None) -> float | Literal["keep"] | None:
    """The loudness as the order takes it; what is no number is the order's to refuse."""
    if text is None:
        return None
    if text == "keep":
        return "keep"
    try:
        return float(text)
    except ValueError:
        return cast("float", text)


def _order(target: str, form: str | None, **controls: Any) -> "MediaOrder":  # noqa: ANN401 (the order's own values)
    from sordino.audio.order import MediaOrder
    from sordino.audio.process import media_format

    wanted = form or ("wav" if target == STANDARD else None)
    return MediaOrder(format=media_format(wanted, Path(target)), **controls)


def _check_standard(source: str, target: str) -> None:
    """Refuse standard input and output that are not there, and a terminal as the place of audio."""
    from sordino.audio.errors import OrderError

    # Python has none for a descriptor that was closed before it started.
    if source == STANDARD and sys.stdin is None:
        raise OSError(errno.EBADF, "It is closed", "standard input")
    if target == STANDARD and sys.stdout is None:
        raise OSError(errno.EBADF, "It is closed", "standard output")
    if target == STANDARD and sys.stdout.isatty():
        raise OrderError("will not write audio to a terminal; name a file or redirect standard output")


def _check_report(file: str | None, source: str, target: str) -> None:
    """Refuse a report's place that cannot be written, or holds the audio, before the work rather than after it."""
    from sordino.audio.errors import OrderError

    if file is None:
        return
    if file == STANDARD:
        if target == STANDARD:
            raise OrderError(
                "cannot write both the audio and the report to standard output; name a file for one of them"
            )
        return
    for name, what in ((source, "input"), (target, "output")):
        if name != STANDARD and _same(Path(file), Path(name)):
            raise OrderError(f"{file} is the {what}; choose another name for the report")
    if Path(file).is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), file)
    if not Path(file).parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), file)


def _same(one: Path, other: Path) -> bool:
    """Whether both names are, or would be, those of one file."""
    if one.exists() and other.exists():
        return one.samefile(other)
    return os.path.realpath(one) == os.path.realpath(other)


def _denoise(source: str, target: str, order: "MediaOrder", *, score: bool) -> "Report":
    from sordino.audio.process import process

    with _input(source) as read, _output(target, source) as written, _progress() as progress:
        return process(read, written, order, progress=progress, score=score)


def _tell(made: "Report", target: str, *, table: bool, file: str | None) -> None:
    """Print and write the report where it is wanted."""
    from sordino.cli.report import as_json, as_table

    if table:
        aside = target == STANDARD
        with _errors_naming("standard error" if aside else "standard output"):
            typer.echo(as_table(made), nl=False, err=aside)
    if file == STANDARD:
        with _errors_naming("standard output"):
            typer.echo(as_json(made), nl=False)
    elif file is not None:
        with _errors_naming(file):
            Path(file).write_text(as_json(made), encoding="utf-8")


@contextmanager
def _errors_naming(name: str) -> Iterator[None]:
    """Errors of writing have no name."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from error


@contextmanager
def _input(source: str) -> Iterator[BinaryIO]:
    """The input as a seekable file; what comes through a pipe is copied.

    Raises:
        OSError: it cannot be opened, or is a device, which may never end.
    """
    with nullcontext(sys.stdin.buffer) if source == STANDARD else Path(source).open("rb") as file:
        kind = os.fstat(file.fileno()).st_mode
        if source != STANDARD and stat.S_ISCHR(kind):
            raise OSError(errno.EINVAL, "Neither a regular file nor a pipe", source)
        if source != STANDARD and stat.S_ISREG(kind):
            yield file
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(file, copy)
            copy.seek(0)
            yield copy


@contextmanager
def _output(target: str, source: str) -> Iterator[BinaryIO]:
    """A file whose content goes to ``target`` at the end, and nowhere when the block raises."""
    from sordino.audio.process import whole_or_nothing

    if target != STANDARD:
        with whole_or_nothing(Path(target), keep=None if source == STANDARD else Path(source)) as file:
            yield file
        return
    with tempfile.TemporaryFile() as whole:
        yield whole
        whole.seek(0)
        shutil.copyfileobj(whole, sys.stdout.buffer)
        sys.stdout.buffer.flush()


@contextmanager
def _progress() -> Iterator[Callable[[float], None] | None]:
    """A progress bar on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Removing noise", total=1.0)
        yield lambda fraction: bar.update(task, completed=fraction)


def _failed(message: str, code: int) -> typer.Exit:
    _say(message)
    return typer.Exit(code)


def _say(message: str) -> None:
    typer.echo(f"sordino: {message}", err=True)
