"""An engine for the tests that a file takes over: what the recording's level says is done in the media process.

It stands for a hole in a decoder. What became of the attempt comes back as the job's error.
"""

import ctypes
import fcntl
import gc
import mmap
import os
import signal
import socket
import stat
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np

from sordino.audio.errors import MediaError, MediaReason
from sordino.denoisers.off import open_model as open_off

STEP = 1000
"""Difference in level between one attempt and the next, of 32768."""

_LIBC = ctypes.CDLL(None, use_errno=True)


def _call(name, *arguments):
    """A function of the C library that tells its errors by -1."""
    if getattr(_LIBC, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)


def _spawn_thread():
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


def _lend_signals():
    """Have the kernel send SIGIO to the zygote's parent."""
    fcntl.fcntl(2, fcntl.F_SETOWN, os.getppid())


def _say(*lines: bytes):
    """Speak over the job's channel, and end as if all were well."""
    for descriptor in range(3, 32):
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                for line in lines:
                    os.write(descriptor, line + b"\n")
    os._exit(0)


ATTEMPTS = {
    "say no JSON": lambda: _say(b"{"),
    "say no object": lambda: _say(b"[1]"),
    "say a long line": lambda: _say(b'"' + b"x" * 100_000 + b'"'),
    "say progress in words": lambda: _say(b'{"progress": "much"}'),
    "say what is no report": lambda: _say(b'{"report": {"seconds": 1}}'),
    "say an unknown reason": lambda: _say(b'{"error": {"reason": "whim", "message": ""}}'),
    "read a file": Path("/etc/passwd").read_bytes,
    "write a file": lambda: Path("/tmp/sordino-was-here").write_bytes(b""),
    "look at a file": Path("/etc/passwd").stat,
    "list a directory": lambda: list(Path("/").iterdir()),
    "read the process's memory": Path("/proc/self/mem").read_bytes,
    "map code": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC).close(),
    "have signals sent": _lend_signals,
    "collect garbage": gc.collect,
    "start a thread": _spawn_thread,
    "abort": os.abort,
    "remove a file": Path("/tmp/sordino-was-here").unlink,
    "change the directory": lambda: os.chdir("/"),
    "open a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "open a local socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
    "connect": lambda: _call("connect", 2, bytes(16), 16),
    "fork": os.fork,
    "execute": lambda: os.execv("/bin/true", ["true"]),
    "signal the parent": lambda: os.kill(os.getppid(), signal.SIGTERM),
    "trace": lambda: _call("ptrace", 0, 0, 0, 0),
    "read another's memory": lambda: _call("process_vm_readv", os.getppid(), None, 0, None, 0, 0),
    "limit the parent": lambda: _call("prlimit", os.getppid(), 7, bytes(16), None),
    "mount": lambda: _call("mount", b"none", b"/", b"tmpfs", 0, None),
    "unshare": lambda: _call("unshare", 0x10000000),
    "load a BPF program": lambda: _call("syscall", 321 if os.uname().machine == "x86_64" else 280, 0, bytes(128), 128),
    "use the keyring": lambda: _call("syscall", 250 if os.uname().machine == "x86_64" else 219, 0, 0, 0),
    "use io_uring": lambda: _call("syscall", 425, 1, bytes(128)),
}


def recording(attempt: str) -> np.ndarray:
    """Half a second at 48 kHz that asks for the attempt; int16, shape (samples,)."""
    return np.full(24_000, STEP * (1 + list(ATTEMPTS).index(attempt)), np.int16)


class _Stream:
    """Does at its first block what the block says, and tells what came of it."""

    def __init__(self, act: bool) -> None:
        self._act = act

    def push(self, block):
        number = round(float(block[len(block) // 2, 0]) * 32768 / STEP) if len(block) else 0
        if self._act and number:
            try:
                list(ATTEMPTS.values())[number - 1]()
            except Exception as error:
                raise MediaError(MediaReason.REFUSED, f"{type(error).__name__}: {error}") from error
            raise MediaError(MediaReason.REFUSED, "done")
        return block

    def flush(self):
        return np.zeros((0, 1), np.float32)


class Engine:
    """Denoises nothing; obeys in forks only, so that the zygote's rehearsal passes."""

    def __init__(self) -> None:
        self.info = open_off().info
        self._pid = os.getpid()

    def stream(self, channels: int = 1, *, linked: bool = False) -> _Stream:
        """A stream that obeys."""
        return _Stream(act=os.getpid() != self._pid)
