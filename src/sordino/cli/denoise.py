"""``sordino denoise``: remove the noise of one file, without a service."""

import errno
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

STANDARD = "-"
CANNOT_PROCESS = 1
USAGE = 2


def denoise(
    source: Annotated[str, typer.Argument(metavar="IN", help="Any audio or video file; `-` reads standard input.")],
    target: Annotated[str, typer.Argument(metavar="OUT", help="The file to write; `-` writes to standard output.")],
    rate: Annotated[
        int,
        typer.Option(
            help="Sample rate of the result in Hz: 8000, 12000, 16000, 24000, 32000, 44100 or 48000. "
            "0: the least of them that keeps all of the input's band."
        ),
    ] = 16000,
    format: Annotated[  # noqa: A002 (the option's name)
        str | None,
        typer.Option(
            help="wav, mp3 or m4a; by default that of OUT's suffix, and wav for standard output.", show_default=False
        ),
    ] = None,
    denoiser: Annotated[str, typer.Option(help="The engine that removes the noise.")] = "dfn3",
) -> None:
    """Remove the noise of an audio or video file.

    The result has one channel and is as long as the input, to the sample. It is written whole or not at all.

    Exit status: 0 done, 1 the input cannot be processed or a file (the model's, too) cannot be read or written,
    2 wrong usage.
    """
    from sordino.audio.errors import MediaError, OrderError
    from sordino.denoisers import UnknownDenoiserError
    from sordino.denoisers.weights import WeightsError

    try:
        note = _denoise(source, target, rate or None, format, denoiser)
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
    if note:
        _say(f"{_input_name(source)}: {note}")


def _input_name(source: str) -> str:
    return "standard input" if source == STANDARD else source


def _denoise(source: str, target: str, rate: int | None, form: str | None, denoiser: str) -> str:
    from sordino.audio.errors import OrderError
    from sordino.audio.order import MediaOrder
    from sordino.audio.process import media_format, process

    if target == STANDARD and sys.stdout.isatty():
        raise OrderError("will not write audio to a terminal; name a file or redirect standard output")
    wanted = form or ("wav" if target == STANDARD else None)
    order = MediaOrder(format=media_format(wanted, Path(target)), rate=rate, denoiser=denoiser)
    with _input(source) as read, _output(target, source) as written, _progress() as progress:
        return process(read, written, order, progress=progress).note


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
