"""Runs the sound path of one job in a process of its own, where hostile media can do no harm.

One `sordino.audio.zygote` for each engine in use is started on first use and lives as long as this process.
"""

import asyncio
import atexit
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from sordino.audio.errors import MediaCrashedError, MediaError, MediaReason
from sordino.audio.order import MediaLimits, MediaOrder, Report
from sordino.audio.request import Request

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

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


async def run(
    source: Path,
    target: Path,
    order: MediaOrder,
    limits: MediaLimits,
    on_progress: Callable[[int], None] | None = None,
) -> Report:
    """Remove the noise of ``source`` and write ``target``, in a child process.

    Cancelling kills the child, and returns once it is gone. Of ``target``, which is replaced, only a returned report
    promises anything.

    Args:
        source: any audio or video file.
        target: the file to write.
        order: what to make.
        limits: what the child may use.
        on_progress: gets whole percents, rising.

    Raises:
        MediaError: the input cannot be processed within the limits; trying again would not help.
        MediaCrashedError: the process died of something else.
        OSError: a file cannot be opened.
    """
    outcome: dict[str, Any] = {}
    async with _job(source, target, Request(order=order, limits=limits)) as reader:
        async for line in reader:
            event = json.loads(line)
            if "progress" in event and on_progress is not None:
                on_progress(event["progress"])
            outcome.update(event)
    return _report(outcome)


def warm(denoiser: str) -> None:
    """Start the engine's zygote now rather than with the first job; returns at once."""
    _zygote(denoiser)


@asynccontextmanager
async def _job(source: Path, target: Path, request: Request) -> AsyncIterator[asyncio.StreamReader]:
    """The events of a new child, as lines; leaving the block kills the child if it is alive, and waits for its end."""
    reader, writer = await asyncio.open_connection(sock=_start(source, target, request))
    try:
        yield reader
    finally:
        writer.write_eof()
        # The end of the stream is the end of the child: nobody else holds the channel.
        await reader.read()
        writer.close()
        await writer.wait_closed()


def _start(source: Path, target: Path, request: Request) -> socket.socket:
    """Have a child forked for the request; our end of its channel."""
    packed = request.pack()
    with ExitStack() as opened:
        ours, theirs = map(opened.enter_context, socket.socketpair())
        files = opened.enter_context(source.open("rb")), opened.enter_context(target.open("w+b"))
        descriptors = [theirs.fileno(), *(file.fileno() for file in files)]
        try:
            _zygote(request.order.denoiser).send(packed, descriptors)
        except BrokenPipeError:  # it was killed; the next one is as good
            _zygotes.pop(request.order.denoiser).close()
            _zygote(request.order.denoiser).send(packed, descriptors)
        return ours.dup()


def _report(outcome: Mapping[str, Any]) -> Report:
    if "error" in outcome:
        error = outcome["error"]
        raise MediaError(MediaReason(error["reason"]), error["message"])
    if "report" in outcome:
        return Report(**outcome["report"])
    code = outcome.get("exit")
    if code == -signal.SIGXCPU:
        raise MediaError(
            MediaReason.RESOURCE, "Processing the file used up the CPU time allowed; split it into shorter files."
        )
    if code is None:
        raise MediaCrashedError("The media server ended; its own output says why.")
    ending = f"with status {code}" if code >= 0 else f"of {signal.Signals(-code).name}"
    raise MediaCrashedError(f"The media process ended {ending} before its work was done.")


class _Zygote:
    """The parent's side of a `sordino.audio.zygote`."""

    def __init__(self, denoiser: str) -> None:
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

    def send(self, packed: bytes, descriptors: list[int]) -> None:
        socket.send_fds(self._control, [packed], descriptors)

    def close(self) -> None:
        self._control.close()
        self._process.wait()


_zygotes: dict[str, _Zygote] = {}


def _zygote(denoiser: str) -> _Zygote:
    if denoiser not in _zygotes:
        _zygotes[denoiser] = _Zygote(denoiser)
    return _zygotes[denoiser]


@atexit.register
def close() -> None:
    """End the zygotes and all their children."""
    while _zygotes:
        _zygotes.popitem()[1].close()


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    return kept | _ONE_THREAD | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
