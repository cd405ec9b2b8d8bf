"""The process that media processes are forked from: everything imported, the engine loaded and warm, nothing secret.

Run by `sordino.audio.sandbox` as ``python -m sordino.audio.zygote CONTROL DENOISER``. It is a fresh interpreter with a
short environment rather than a fork of the service: what the service knows (keys, connections, open files) is not there
to be read. Children share the model's pages and start in milliseconds.

Through the stream socket with the file descriptor CONTROL come packed requests, each with three descriptors: the job's
channel, its input and its output. Into the channel the zygote writes a line that tells what confines its children, the
child others, and the zygote one with the child's end; all are JSON objects. A zygote whose engine cannot be loaded
answers with the reason. When the other end of a channel is shut, its child is killed; when the other end of CONTROL is
closed, all are, and the zygote ends.
"""

import errno
import gc
import json
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, NoReturn

from sordino.audio.confinement import active_layers, confine, leave_files, leave_network
from sordino.audio.errors import MediaError, MediaReason
from sordino.audio.order import SAMPLE_RATES, Channels, MediaOrder
from sordino.audio.process import process
from sordino.audio.rehearsal import rehearse
from sordino.audio.request import RECORD, Request
from sordino.audio.spool import open_spool, spool_bytes
from sordino.audio.trial import NOT_LOADED


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A request with its descriptors."""

    request: Request
    channel: socket.socket
    source: int
    target: int

    def run(self, spool: BinaryIO | None) -> None:
        """Do the work and send its outcome.

        Args:
            spool: the temporary file that the order needs, if any.
        """
        try:
            outcome = self._work(spool)
        except MediaError as error:
            outcome = {"error": {"reason": error.reason, "message": error.message}}
        except MemoryError:
            outcome = _used_up("memory")
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            outcome = _used_up("output size")
        self.send(outcome)

    def _work(self, spool: BinaryIO | None) -> Mapping[str, Any]:
        percent = 0
        order, seconds = self.request.order, self.request.limits.seconds

        def progress(fraction: float) -> None:
            nonlocal percent
            if int(fraction * 100) > percent:
                percent = int(fraction * 100)
                self.send({"progress": percent})

        with os.fdopen(self.source, "rb") as source, os.fdopen(self.target, "r+b") as target:
            report = process(source, target, order, max_seconds=seconds, progress=progress, spool=spool)
            return {"report": asdict(report)}

    def send(self, event: Mapping[str, Any]) -> None:
        """Tell the one who waits for the job."""
        self.channel.sendall(json.dumps(event).encode() + b"\n")

    def file_bytes(self) -> int:
        """The greatest file that the job may write."""
        order, seconds = self.request.order, self.request.limits.seconds
        video = os.fstat(self.source).st_size if order.video else 0
        return max(int(seconds * _bytes_per_second(order)) + video, spool_bytes(order, seconds)) + 2**20


def _bytes_per_second(order: MediaOrder) -> int:
    """Of 16 bit PCM, which no other format exceeds by more than the allowance that is added."""
    channels = order.format.max_channels if order.channels is Channels.KEEP else 1
    return 2 * channels * (order.rate or SAMPLE_RATES[-1])


def _used_up(what: str) -> Mapping[str, Any]:
    message = f"Processing the file used up the {what} allowed; split it into shorter files."
    return {"error": {"reason": MediaReason.RESOURCE, "message": message}}


class Zygote:
    """Forks a child for every request, watches over it and tells its end."""

    def __init__(self, control: socket.socket, layers: tuple[str, ...]) -> None:
        self._layers = layers
        self._control = control
        self._children: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()

    def serve(self) -> Job | None:
        """Serve requests until nobody can send them any more.

        Returns:
            The job to run, in a child; None, in the zygote, at the end.
        """
        bell, ringer = socket.socketpair()
        ringer.settimeout(0)
        signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
        signal.set_wakeup_fd(ringer.fileno())
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(bell, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is bell:
                    bell.recv(RECORD)
                    self._reap()
                elif key.fileobj is not self._control:
                    self._abandon(key.data)
                elif (job := _receive(self._control)) is None:
                    self._kill_all()
                    return None
                elif self._fork(job) == 0:
                    return job

    def _fork(self, job: Job) -> int:
        with suppress(BrokenPipeError):  # nobody is waiting for this job any more, which will be noticed in a moment
            job.send({"layers": self._layers})
        pid = os.fork()
        if pid:
            os.close(job.source)
            os.close(job.target)
            self._children[pid] = job.channel
            self._selector.register(job.channel, selectors.EVENT_READ, pid)
        return pid

    def _abandon(self, pid: int) -> None:
        """Kill a child nobody waits for; it may have ended in the same moment."""
        if pid in self._children:
            self._selector.unregister(self._children[pid])
            os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        """Tell the end of every child that has ended; signals may have been merged."""
        for pid in tuple(self._children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._tell_end(self._children.pop(pid), os.waitstatus_to_exitcode(status))

    def _tell_end(self, channel: socket.socket, code: int) -> None:
        if channel in self._selector.get_map():
            self._selector.unregister(channel)
        with closing(channel):
            try:
                channel.sendall(json.dumps({"exit": code}).encode() + b"\n")
            except BrokenPipeError:
                return  # nobody is waiting for this job any more

    def _kill_all(self) -> None:
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
        for pid in self._children:
            os.waitpid(pid, 0)


def _receive(control: socket.socket) -> Job | None:
    packed, descriptors, _, _ = socket.recv_fds(control, RECORD, 3)
    while packed and len(packed) < RECORD:
        more = control.recv(RECORD - len(packed))
        packed = packed + more if more else b""
    if not packed:
        return None
    channel, source, target = descriptors
    return Job(request=Request.unpack(packed), channel=socket.socket(fileno=channel), source=source, target=target)


def main() -> None:
    """Be the zygote, and its children."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    layers = active_layers(apart=leave_network())
    try:
        rehearse(sys.argv[2])
    except NOT_LOADED as error:
        _refuse(control, layers, str(error))
        return
    leave_files()
    gc.collect()
    gc.freeze()
    pid = os.getpid()
    # Named, so that it lives on in the child: its sockets would close descriptors when they are collected, which are
    # no longer theirs by then.
    zygote = Zygote(control, layers)
    job = zygote.serve()
    if job is not None:
        _be_child(job, pid)


def _refuse(control: socket.socket, layers: tuple[str, ...], reason: str) -> None:
    """Answer every request with what the engine lacks, until nobody can send one any more."""
    while (job := _receive(control)) is not None:
        with suppress(BrokenPipeError), job.channel:  # it breaks when nobody is waiting for this job any more
            job.send({"layers": layers})
            job.send({"engine": reason})
        os.close(job.source)
        os.close(job.target)


def _be_child(job: Job, zygote: int) -> NoReturn:
    """Run the job and end, whatever happens, without the interpreter's exit.

    What that would tidy up belongs to the zygote: exit handlers may wait for threads that no fork has.
    """
    status = 1
    try:
        spool = open_spool(job.request.order)
        keep = {job.channel.fileno(), job.source, job.target} | ({spool.fileno()} if spool else set())
        confine(job.request.limits, keep=keep, file_bytes=job.file_bytes(), parent=zygote)
        job.run(spool)
        status = 0
    except BaseException:  # noqa: BLE001 - also SystemExit must not reach the interpreter
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
