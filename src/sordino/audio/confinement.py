"""What is taken from the process of a job, and from the one that it is forked from, before it reads a stranger's file.

Limits, descriptors and privileges go on every system that Sordino runs on. The layers do where the kernel has them:
each alone would keep a taken-over decoder from the network, from files and from other processes, and they fail in
different ways.
"""

import ctypes
import os
import resource
import signal
import struct
import sys
import tempfile
from contextlib import suppress
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

from sordino.audio import landlock, seccomp
from sordino.audio.order import MediaLimits

_OPEN_FILES = 32
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION = 0x20080522
_LINUX = sys.platform == "linux"


class Layer(StrEnum):
    """A way to take something from a process for good, which not every kernel has or allows."""

    NETWORK = "network namespace"
    """There is no network interface."""
    FILES = "Landlock"
    """No file can be opened by its name."""
    CALLS = "seccomp"
    """Of the kernel's system calls only those that a job needs are left."""


def active_layers(*, apart: bool) -> tuple[Layer, ...]:
    """The layers that lie over this process's jobs.

    Args:
        apart: whether `leave_network` succeeded.
    """
    there = {Layer.NETWORK: apart, Layer.FILES: landlock.version() > 0, Layer.CALLS: seccomp.available()}
    return tuple(layer for layer, active in there.items() if active)


def leave_network() -> bool:
    """Move this process, which must have one thread, into a network namespace without any interface that is up.

    Root may at once; others need a user namespace of their own, which some systems forbid: nothing changes then.

    Returns:
        Whether it moved.
    """
    if not _LINUX:
        return False
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) == 0:
        return True
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return False
    # Without these the process would be nobody there, and could not keep a prepared model in the cache.
    with suppress(PermissionError):
        Path("/proc/self/setgroups").write_text("deny", encoding="utf-8")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1", encoding="utf-8")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1", encoding="utf-8")
    return True


def leave_files() -> None:
    """Make a directory that is gone already the working directory: no relative name leads anywhere."""
    nowhere = tempfile.mkdtemp()
    os.chdir(nowhere)
    Path(nowhere).rmdir()


def confine(limits: MediaLimits, *, keep: set[int], file_bytes: int, parent: int) -> None:
    """Take from this process what a job does not need, for good.

    It gets a session of its own, dies with its parent, has no privileges and gains none, keeps no open file but
    ``keep``, and is limited in CPU time, address space, size and number of files. Then come the layers of
    `active_layers`. Where the platform is not Linux there is less: the zygote still kills its children.

    Args:
        limits: what the job may use.
        keep: descriptors that stay open.
        file_bytes: greatest size of a file that is written.
        parent: process id of the zygote.

    Raises:
        OSError: a layer that the kernel has cannot be laid over this process, which must not go on then.
    """
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if _LINUX:
        _bind_to(parent)
        _limit(resource.RLIMIT_AS, _address_space() + limits.memory_bytes)
    _close_but(keep)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(resource.RLIMIT_FSIZE, file_bytes)
    # At the first the kernel sends SIGXCPU, which says why; at the second SIGKILL, which does not.
    _limit(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1)
    if _LINUX:
        _lay_over()


def _bind_to(parent: int) -> None:
    """Die with the parent, and gain no privileges by starting other programs."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:  # it died before the first call above
        os._exit(1)


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()


def _lay_over() -> None:
    """The filter comes last: it would not let the others through."""
    _drop_capabilities()
    if landlock.version() > 0:
        landlock.forbid()
    if seccomp.available():
        seccomp.install()


def _drop_capabilities() -> None:
    """Make root here a user like others."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(struct.pack("=Ii", _CAPABILITY_VERSION, 0), bytes(24)) != 0:
        raise OSError(ctypes.get_errno(), "capabilities cannot be dropped")


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
    """Set a limit and its ceiling, by default the same, without raising a ceiling that is lower."""
    ceiling = resource.getrlimit(kind)[1]
    lowest = min(soft if hard is None else hard, sys.maxsize if ceiling == resource.RLIM_INFINITY else ceiling)
    resource.setrlimit(kind, (min(soft, lowest), lowest))


def _close_but(keep: set[int]) -> None:
    borders = [2, *sorted(keep), resource.getrlimit(resource.RLIMIT_NOFILE)[0]]
    for low, high in pairwise(borders):
        os.closerange(low + 1, high)
