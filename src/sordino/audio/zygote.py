"""The process that media processes are forked from: everything imported, the engine loaded and warm, nothing secret.

Run by `sordino.audio.sandbox` as ``python -m sordino.audio.zygote CONTROL DENOISER``. It is a fresh interpreter with a
short environment rather than a fork of the service: what the service knows (keys, connections, open files) is not there
to be read. Children share the model's pages and start in milliseconds.

Through the stream socket with the file descriptor CONTROL come packed requests, each with three descriptors: the job's
channel, its input and its output. The child writes JSON lines into the channel; the zygote adds the line with the
child's end and closes it. When the other end of a channel is shut, its child is killed; when the other end of CONTROL
is closed, all are, and the zygote ends.
"""

import ctypes
import errno
import gc
import json
import os
import resource
import selectors
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from sordino.audio.errors import MediaError, MediaReason
from sordino.audio.order import MediaLimits
from sordino.audio.process import process
from sordino.audio.request import RECORD, Request
from sordino.denoisers import load

_OPEN_FILES = 32
_OUTPUT_BYTES_PER_SECOND = 48_000 * 2
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_LINUX = sys.platform == "linux"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A request with its descriptors."""

    request: Request
    channel: socket.socket
    source: int
    target: int

    def run(self) -> None:
        """Do the work and send its outcome."""
        try:
            outcome = self._work()
        except MediaError as error:
            outcome = {"error": {"reason": error.reason, "message": error.message}}
        except MemoryError:
            outcome = _used_up("memory")
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            outcome = _used_up("output size")
        self._send(outcome)

    def _work(self) -> Mapping[str, Any]:
        percent = 0

        def progress(fraction: float) -> None:
            nonlocal percent
            if int(fraction * 100) > percent:
                percent = int(fraction * 100)
                self._send({"progress": percent})

        seconds = self.request.limits.seconds
        with os.fdopen(self.source, "rb") as source, os.fdopen(self.target, "r+b") as target:
            return {
                "report": asdict(process(source, target, self.request.order, max_seconds=seconds, progress=progress))
            }

    def _send(self, event: Mapping[str, Any]) -> None:
        self.channel.sendall(json.dumps(event).encode() + b"\n")


def _used_up(what: str) -> Mapping[str, Any]:
    message = f"Processing the file used up the {what} allowed; split it into shorter files."
    return {"error": {"reason": MediaReason.RESOURCE, "message": message}}


class Zygote:
    """Forks a child for every request, watches over it and tells its end."""

    def __init__(self, control: socket.socket) -> None:
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


def confine(limits: MediaLimits, keep: set[int], parent: int) -> None:
    """Take from this process what a job does not need, for good.

    It gets a session of its own, dies with its parent, gains no privileges, keeps no open file but ``keep``, and is
    limited in CPU time, address space, size and number of files. Where the platform is not Linux, the kernel offers
    less: the zygote still kills its children.

    Args:
        limits: what the job may use.
        keep: descriptors that stay open.
        parent: process id of the zygote.
    """
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if _LINUX:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if os.getppid() != parent:  # it died before the first call above
            os._exit(1)
        used = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
        _limit(resource.RLIMIT_AS, used + limits.memory_bytes)
    _close_but(keep)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(resource.RLIMIT_FSIZE, int(limits.seconds * _OUTPUT_BYTES_PER_SECOND) + 2**20)
    # At the first the kernel sends SIGXCPU, which says why; at the second SIGKILL, which does not.
    _limit(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1)


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
    """Set a limit and its ceiling, by default the same, without raising a ceiling that is lower."""
    ceiling = resource.getrlimit(kind)[1]
    lowest = min(soft if hard is None else hard, sys.maxsize if ceiling == resource.RLIM_INFINITY else ceiling)
    resource.setrlimit(kind, (min(soft, lowest), lowest))


def _close_but(keep: set[int]) -> None:
    borders = [2, *sorted(keep), resource.getrlimit(resource.RLIMIT_NOFILE)[0]]
    for low, high in pairwise(borders):
        os.closerange(low + 1, high)


def leave_network() -> None:
    """Move this process, which must have one thread, into a network namespace without any interface.

    Root may at once; others need a user namespace of their own, which some systems forbid: nothing changes then.
    """
    if not _LINUX:
        return
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0 and libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        # Without these the process would be nobody there, and could not keep a prepared model in the cache.
        with suppress(PermissionError):
            Path("/proc/self/setgroups").write_text("deny", encoding="utf-8")
            Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1", encoding="utf-8")
            Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1", encoding="utf-8")


def leave_files() -> None:
    """Make a directory that is gone already the working directory: no relative name leads anywhere."""
    nowhere = tempfile.mkdtemp()
    os.chdir(nowhere)
    Path(nowhere).rmdir()


def _warm(denoiser: str) -> None:
    """Load the engine and run it once, so that its first-time work is done before the first job."""
    loaded = load(denoiser)
    stream = loaded.stream(channels=1)
    stream.push(np.zeros((loaded.info.rate, 1), np.float32))
    stream.flush()


def main() -> None:
    """Be the zygote, and its children."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    leave_network()
    _warm(sys.argv[2])
    leave_files()
    gc.collect()
    gc.freeze()
    zygote = os.getpid()
    job = Zygote(control).serve()
    if job is not None:
        _be_child(job, zygote)


def _be_child(job: Job, zygote: int) -> NoReturn:
    """Run the job and end, whatever happens, without the interpreter's exit.

    What that would tidy up belongs to the zygote: exit handlers may wait for threads that no fork has.
    """
    status = 1
    try:
        confine(job.request.limits, {job.channel.fileno(), job.source, job.target}, parent=zygote)
        job.run()
        status = 0
    except BaseException:  # noqa: BLE001 - also SystemExit must not reach the interpreter
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
