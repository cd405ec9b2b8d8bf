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
from contextlib import asynccontextmanager
from typing import Any, BinaryIO

from sordino.audio.errors import MediaCrashedError, MediaError, MediaReason
from sordino.audio.order import Dnsmos, MediaLimits, MediaOrder, Report, SoundQuality
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

_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}
"""A zygote must have one thread; these keep libraries from starting others."""


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
        MediaCrashedError: the process died of something else.
    """
    outcome: dict[str, Any] = {}
    try:
        async with asyncio.timeout(limits.wall_seconds) as clock, _job(source, target, order, limits) as reader:
            async for line in reader:
                event = json.loads(line)
                if "progress" in event and on_progress is not None:
                    on_progress(event["progress"])
                outcome.update(event)
    except TimeoutError as error:
        if not clock.expired():  # it is the error of ``on_progress``
            raise
        raise MediaError(
            MediaReason.RESOURCE,
            f"Processing the file took longer than the {limits.wall_seconds:g} s allowed; split it into shorter files.",
        ) from error
    return _report(outcome)


def warm(denoiser: str) -> None:
    """Start the engine's zygote now rather than with the first job; returns at once."""
    _zygote(denoiser)


@asynccontextmanager
async def _job(
    source: BinaryIO, target: BinaryIO, order: MediaOrder, limits: MediaLimits
) -> AsyncIterator[asyncio.StreamReader]:
    """The events of a new child, as lines; leaving the block kills the child if it is alive, and waits for its end."""
    reader, writer = await asyncio.open_connection(sock=_start(source, target, Request(order=order, limits=limits)))
    try:
        yield reader
    finally:
        writer.write_eof()
        # The end of the stream is the end of the child: nobody else holds the channel.
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await reader.read()
        except TimeoutError:  # the zygote, whose task the killing is, does nothing any more
            _zygotes.pop(order.denoiser).kill()
            await reader.read()
        writer.close()
        await writer.wait_closed()


def _start(source: BinaryIO, target: BinaryIO, request: Request) -> socket.socket:
    """Have a child forked for the request; our end of its channel."""
    packed = request.pack()
    # The child sees what is in the files, not what waits in a buffer here.
    source.flush()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        descriptors = [theirs.fileno(), source.fileno(), target.fileno()]
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
        report = outcome["report"]
        return Report(**report | {when: _quality(report[when]) for when in ("before", "after")})
    code = outcome.get("exit")
    if code == -signal.SIGXCPU:
        raise MediaError(
            MediaReason.RESOURCE, "Processing the file used up the CPU time allowed; split it into shorter files."
        )
    if code is None:
        raise MediaCrashedError("The media server ended; its own output says why.")
    ending = f"with status {code}" if code >= 0 else f"of {signal.Signals(-code).name}"
    raise MediaCrashedError(f"The media process ended {ending} before its work was done.")


def _quality(fields: Mapping[str, Any] | None) -> SoundQuality | None:
    if fields is None:
        return None
    scores = fields["dnsmos"]
    return SoundQuality(**fields | {"dnsmos": None if scores is None else Dnsmos(**scores)})


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

    def kill(self) -> None:
        self._process.kill()
        self.close()


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
