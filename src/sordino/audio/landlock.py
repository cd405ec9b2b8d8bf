"""No files at all: a rule set of the Linux kernel's Landlock that handles every access and allows none."""

import ctypes
import errno
import os
import struct
import sys
from functools import cache

_CREATE_RULESET, _RESTRICT_SELF = 444, 446
"""Numbers of the system calls, the same on all architectures that Landlock knows."""

_VERSION = 1
"""Flag that asks for the version instead of making rules."""


@cache
def version() -> int:
    """The version of Landlock's interface that this kernel has; 0 where there is none (before Linux 5.13)."""
    return 0 if sys.platform != "linux" else max(0, ctypes.CDLL(None).syscall(_CREATE_RULESET, None, 0, _VERSION))


def forbid() -> None:
    """Take from this thread, for good, the opening, making and removing of files by name; open ones stay usable.

    Where the kernel can it goes with TCP (version 4), signals to other processes and abstract sockets (version 6). It
    needs the "no new privileges" flag.

    Raises:
        OSError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    rules = _call(libc, _CREATE_RULESET, rule_set(version()), ctypes.c_size_t(24), 0)
    try:
        _call(libc, _RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def rule_set(version: int) -> bytes:
    """The kernel's struct landlock_ruleset_attr with all that is handled by a version of the interface."""
    files = 13 + (version >= 2) + (version >= 3) + (version >= 5)  # one bit an access
    return struct.pack("=QQQ", 2**files - 1, 0b11 if version >= 4 else 0, 0b11 if version >= 6 else 0)


def _call(libc: ctypes.CDLL, *arguments: object) -> int:
    result = int(libc.syscall(*arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"Landlock: {errno.errorcode.get(number, number)}")
    return result
