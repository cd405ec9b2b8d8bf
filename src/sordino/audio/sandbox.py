"""Runs the sound path of one job in a process of its own, where hostile media can do no harm.

One `sordino.audio.zygote` for each engine in use is started on first use and lives as long as this process, or until
others are wanted more. What a child says is trusted as little as the file that it reads.
"""

import asyncio
import atexit
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import Any, BinaryIO

from sordino.audio.confinement import Layer
from sordino.audio.errors import EngineError, MediaCrashedError, MediaError, MediaReason
from sordino.audio.order import Dnsmos, MediaLimits, MediaOrder, Report, SoundQuality
from sordino.audio.request import Request

_log = logging.getLogger(__name__)

_OUTCOMES = ("report", "error", "engine", "exit")
"""What an event may say of a job's end."""

_NONSENSE = "The media process said what nobody understands."

_ENVIRONMENT = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "PATH",
    "SORDINO_CACHE_DIR",
    "SORDINO_MODEL_DIR",
    "TMPDIR",
    "TZ",
    "XDG_CACHE_HOME",
)
"""Variables the media processes may see."""

_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}
"""A zygote must have one thread; these keep libraries from starting others."""


_MOST_ZYGOTES = 3
"""How many engines stay loaded; one more needs an idle one to go, and is loaded in any case."""

_PATIENCE_SECONDS = 60.0
"""How long a zygote may take to kill a child; it may have to load its engine before."""


async def run(
    source: BinaryIO,
    target: BinaryIO,
    order: MediaOrder,
    limits: MediaLimits,
    on_progress: Callable[[int], None] | None = None,
) -> Report:
    """Remove the noise of ``source`` and write ``target``, in a child process.

    Cancelling kills the child, and returns once it is gone. Of ``target`` only a returned report promises anything.

    The child works on the open files themselves, which need no name, and shares their offsets: until the end they are
    its alone, and afterwards their offsets are anywhere.

    Args:
        source: any audio or video file, with a file descriptor, open for reading; read from its beginning.
        target: the file to write, empty, with a file descriptor, open for reading and writing in binary mode.
        order: what to make.
        limits: what the child may use.
        on_progress: gets whole percents, rising.

    Raises:
        MediaError: the input cannot be processed within the limits; trying again would not help.
        EngineError: the order's engine cannot be loaded.
        MediaCrashedError: the process died of something else.
    """
    outcome: dict[str, Any] = {}
    try:
        async with asyncio.timeout(limits.wall_seconds) as clock, _job(source, target, order, limits) as reader:
            async for event in _events(reader):
                if "progress" in event and on_progress is not None:
                    on_progress(event["progress"])
                outcome.update((word, event[word]) for word in _OUTCOMES if word in event)
    except TimeoutError as error:
        if not clock.expired():  # it is the error of ``on_progress``
            raise
        raise MediaError(
            MediaReason.RESOURCE,
            f"Processing the file took longer than the {limits.wall_seconds:g} s allowed; split it into shorter files.",
        ) from error
    try:
        return _report(outcome)
    except EngineError:
        if (zygote := _zygotes.pop(order.denoiser, None)) is not None:  # the next one may find what this one missed
            zygote.close()
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise MediaCrashedError(_NONSENSE) from error


async def _events(reader: asyncio.StreamReader) -> AsyncIterator[Mapping[str, Any]]:
    """The objects on the lines, each with whole percents under "progress", if any.

    Raises:
        MediaCrashedError: a line is something else.
    """
    try:
        async for line in reader:
            event = json.loads(line)
            if not isinstance(event, dict) or type(event.get("progress", 0)) is not int:
                raise MediaCrashedError(_NONSENSE)
            yield event
    except ValueError as error:  # also when a line is longer than the reader's buffer
        raise MediaCrashedError(_NONSENSE) from error


@cache
def _note_layers(layers: tuple[str, ...]) -> None:
    """Tell the log, once, what lies between a stranger's file and the system."""
    missing = ", ".join(layer for layer in Layer if layer not in layers)
    # The filter of system calls keeps what the other two keep; they do not replace it.
    level = logging.INFO if Layer.CALLS in layers else logging.WARNING
    there = ", ".join(("limits", *layers))
    _log.log(level, "media processes are confined by: %s%s", there, f"; not here: {missing}" if missing else "")


def warm(denoiser: str) -> None:
    """Start the engine's zygote now rather than with the first job; returns at once."""
    _zygote(denoiser)


@contextmanager
def trial(denoiser: str) -> Iterator[Callable[[], None]]:
    """Load an engine in a process of its own, meanwhile; leaving the block ends it.

    Returns:
        What waits for its end, and raises `EngineError` if the engine cannot be loaded.
    """
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "sordino.audio.trial", denoiser],
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield lambda: _check_passed(process)
        finally:
            process.kill()


def _check_passed(process: "subprocess.Popen[str]") -> None:
    _, said = process.communicate()
    if process.returncode:
        lines = said.strip().splitlines() or [f"it ended with status {process.returncode}"]
        raise EngineError(lines[-1])


@asynccontextmanager
async def _job(
    source: BinaryIO, target: BinaryIO, order: MediaOrder, limits: MediaLimits
) -> AsyncIterator[asyncio.StreamReader]:
    """The events of a new child, as lines; leaving the block kills the child if it is alive, and waits for its end."""
    zygote, channel = _start(source, target, Request(order=order, limits=limits))
    with zygote.at_work():
        reader, writer = await asyncio.open_connection(sock=channel)
        try:
            if line := await reader.readline():  # the zygote's own; nothing comes when it cannot start
                _note_layers(tuple(json.loads(line)["layers"]))
            yield reader
        finally:
            writer.write_eof()
            # The end of the stream is the end of the child: nobody else holds the channel.
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await reader.read()
            except TimeoutError:  # the zygote, whose task the killing is, does nothing any more
                zygote.kill()
                await reader.read()
            writer.close()
            await writer.wait_closed()


def _start(source: BinaryIO, target: BinaryIO, request: Request) -> "tuple[_Zygote, socket.socket]":
    """Have a child forked for the request; its zygote and our end of its channel."""
    packed = request.pack()
    # The child sees what is in the files, not what waits in a buffer here.
    source.flush()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        descriptors = [theirs.fileno(), source.fileno(), target.fileno()]
        zygote = _zygote(request.order.denoiser)
        try:
            zygote.send(packed, descriptors)
        except BrokenPipeError:  # it was killed; the next one is as good
            zygote.kill()
            zygote = _zygote(request.order.denoiser)
            zygote.send(packed, descriptors)
        return zygote, ours.dup()


def _report(outcome: Mapping[str, Any]) -> Report:
    if "error" in outcome:
        error = outcome["error"]
        raise MediaError(MediaReason(error["reason"]), error["message"])
    if "report" in outcome:
        report = outcome["report"]
        return Report(**report | {when: _quality(report[when]) for when in ("before", "after")})
    if "engine" in outcome:
        raise EngineError(outcome["engine"])
    code = outcome.get("exit")
    if code == -signal.SIGXCPU:
        raise MediaError(
            MediaReason.RESOURCE, "Processing the file used up the CPU time allowed; split it into shorter files."
        )
    if code == -signal.SIGSYS:
        raise MediaCrashedError("The media process asked the system for what no job needs, and was killed (SIGSYS).")
    if code is None:
        raise MediaCrashedError("The media server ended; its own output says why.")
    ending = f"with status {code}" if code >= 0 else f"of {signal.Signals(-code).name}"
    raise MediaCrashedError(f"The media process ended {ending} before its work was done.")


def _quality(fields: Mapping[str, Any] | None) -> SoundQuality | None:
    if fields is None:
        return None
    scores = fields["dnsmos"]
    return SoundQuality(**dict(fields) | {"dnsmos": None if scores is None else Dnsmos(**scores)})


class _Zygote:
    """The parent's side of a `sordino.audio.zygote`."""

    def __init__(self, denoiser: str) -> None:
        self._jobs = 0
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "sordino.audio.zygote", str(theirs.fileno()), denoiser],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    @property
    def idle(self) -> bool:
        return self._jobs == 0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        self._jobs += 1
        try:
            yield
        finally:
            self._jobs -= 1

    def send(self, packed: bytes, descriptors: list[int]) -> None:
        socket.send_fds(self._control, [packed], descriptors)

    def close(self) -> None:
        self._control.close()
        self._process.wait()

    def kill(self) -> None:
        """End it at once, and forget it; its children die with it."""
        self._process.kill()
        self.close()
        for denoiser in [name for name, zygote in _zygotes.items() if zygote is self]:
            del _zygotes[denoiser]


_zygotes: dict[str, _Zygote] = {}
"""By engine, the one used last at the end."""


def _zygote(denoiser: str) -> _Zygote:
    if denoiser not in _zygotes:
        _make_room()
    zygote = _zygotes.pop(denoiser, None) or _Zygote(denoiser)
    _zygotes[denoiser] = zygote
    return zygote


def _make_room() -> None:
    """End the idle zygotes that were not used for longest, until there may be one more."""
    idle = [zygote for zygote in _zygotes.values() if zygote.idle]
    for zygote in idle[: max(0, len(_zygotes) + 1 - _MOST_ZYGOTES)]:
        zygote.kill()


@atexit.register
def close() -> None:
    """End the zygotes and all their children."""
    while _zygotes:
        _zygotes.popitem()[1].close()


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    return kept | _ONE_THREAD | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
