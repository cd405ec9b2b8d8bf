"""The system calls that a media process may still make: a filter of the Linux kernel, seccomp.

A list of what decoding, NumPy, ONNX Runtime and the interpreter need once everything is loaded. What looks at file
names gets an error, as it would where there are no files; anything else kills the process.
"""

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

_SECCOMP = {"x86_64": 317, "aarch64": 277}
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SET_MODE_FILTER = 1
_GET_ACTION_AVAIL = 2

_KILL = 0x80000000
_ERROR = 0x00050000
_ALLOW = 0x7FFF0000

_LOAD, _AND, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16
"""Offsets in the kernel's struct seccomp_data."""

_CLONE_THREAD = 0x00010000
_PROT_EXEC = 4
_AT_EMPTY_PATH = 0x1000
_FCNTL_COMMANDS = (0, 1, 2, 3, 1030)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC."""
_WORD = 2**32 - 1

# Numbers on x86_64 and aarch64; None where the call is not there.
_ALLOWED: dict[str, tuple[int | None, int | None]] = {
    "brk": (12, 214),
    "clock_getres": (229, 114),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "close": (3, 57),
    "dup": (32, 23),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "fstat": (5, 80),
    "ftruncate": (77, 46),
    "futex": (202, 98),
    "getcpu": (309, 168),
    "getegid": (108, 177),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "getrandom": (318, 278),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "gettid": (186, 178),
    "gettimeofday": (96, 169),
    "getuid": (102, 174),
    "lseek": (8, 62),
    "madvise": (28, 233),
    "membarrier": (324, 283),
    "mremap": (25, 216),
    "munmap": (11, 215),
    "nanosleep": (35, 101),
    "poll": (7, None),
    "ppoll": (271, 73),
    "pread64": (17, 67),
    "pselect6": (270, 72),
    "pwrite64": (18, 68),
    "read": (0, 63),
    "readv": (19, 65),
    "restart_syscall": (219, 128),
    "rseq": (334, 293),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_getaffinity": (204, 123),
    "sched_yield": (24, 124),
    "select": (23, None),
    "sendto": (44, 206),  # the channel is a socket; there is no other, nor a way to make one
    "set_robust_list": (273, 99),
    "sigaltstack": (131, 132),
    "sysinfo": (99, 179),
    "time": (201, None),
    "times": (100, 153),
    "uname": (63, 160),
    "write": (1, 64),
    "writev": (20, 66),
}

# The C library and the interpreter ask these as a matter of course and live with a no.
_REFUSED: dict[int, dict[str, tuple[int | None, int | None]]] = {
    errno.EACCES: {
        "access": (21, None),
        "faccessat": (269, 48),
        "faccessat2": (439, 439),
        "getcwd": (79, 17),
        "lstat": (6, None),
        "open": (2, None),
        "openat": (257, 56),
        "openat2": (437, 437),
        "readlink": (89, None),
        "readlinkat": (267, 78),
        "stat": (4, None),
        "statx": (332, 291),
    },
    errno.ENOTTY: {"ioctl": (16, 29)},
    # Its flags lie in memory, where a filter cannot see them; the C library then takes clone.
    errno.ENOSYS: {"clone3": (435, 435)},
    errno.EPERM: {"prctl": (157, 167)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Condition:
    """A call that may be made when one of its arguments fits.

    Attributes:
        name: what it is called.
        call: its numbers, as above.
        argument: which one, from 0; of its 64 bits, the lower 32.
        mask: the bits that are compared.
        values: what they may be.
        otherwise: what the filter returns when they are not.
    """

    name: str
    call: tuple[int, int]
    argument: int
    mask: int = _WORD
    values: tuple[int, ...]
    otherwise: int = _KILL


_NO_ACCESS = _ERROR | errno.EACCES
_NO_PERMISSION = _ERROR | errno.EPERM


def _conditions(pid: int) -> tuple[_Condition, ...]:
    return (
        # No code but what was there at the start.
        _Condition(name="mmap", call=(9, 222), argument=2, mask=_PROT_EXEC, values=(0,), otherwise=_NO_ACCESS),
        _Condition(name="mprotect", call=(10, 226), argument=2, mask=_PROT_EXEC, values=(0,), otherwise=_NO_ACCESS),
        # Threads, which some encoders start, but no processes.
        _Condition(name="clone", call=(56, 220), argument=0, mask=_CLONE_THREAD, values=(_CLONE_THREAD,)),
        # Of an open file, which is how the C library may ask for fstat.
        _Condition(
            name="newfstatat",
            call=(262, 79),
            argument=3,
            mask=_AT_EMPTY_PATH,
            values=(_AT_EMPTY_PATH,),
            otherwise=_NO_ACCESS,
        ),
        # Other commands lock, or have signals sent to other processes.
        _Condition(name="fcntl", call=(72, 25), argument=1, values=_FCNTL_COMMANDS, otherwise=_NO_PERMISSION),
        # Its own limits, which it cannot raise.
        _Condition(name="prlimit64", call=(302, 261), argument=0, values=(0,)),
        # abort() ends by a signal to its own process.
        _Condition(name="tgkill", call=(234, 131), argument=0, values=(pid,)),
    )


def _machine() -> str:
    return os.uname().machine


@cache
def available() -> bool:
    """Whether this kernel has filters that kill the process (Linux 4.14), and this architecture has a list here."""
    if sys.platform != "linux" or _machine() not in _SECCOMP:
        return False
    wanted = ctypes.c_uint32(_KILL)
    answer: int = ctypes.CDLL(None).syscall(_SECCOMP[_machine()], _GET_ACTION_AVAIL, 0, ctypes.byref(wanted))
    return answer == 0


def install() -> None:
    """Put the filter over this thread, the only one of its process, for good; needs the "no new privileges" flag.

    Raises:
        OSError: the kernel refuses.
    """
    code = program(_machine(), os.getpid())
    instructions = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(instructions)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_SECCOMP[_machine()], _SET_MODE_FILTER, 0, header) != 0:
        raise OSError(ctypes.get_errno(), "the filter of system calls was not accepted")


def program(machine: str, pid: int) -> bytes:
    """The filter in the kernel's classic BPF.

    Args:
        machine: ``x86_64`` or ``aarch64``.
        pid: process that may be sent signals.
    """
    column = list(_SECCOMP).index(machine)
    parts = [
        *_start(machine),
        *_returns(_ALLOWED, column, _ALLOW),
        *(part for error, calls in _REFUSED.items() for part in _returns(calls, column, _ERROR | error)),
        *(part for condition in _conditions(pid) for part in _decides(condition, column)),
        _instruction(_RETURN, _KILL),
    ]
    return b"".join(parts)


def _instruction(code: int, value: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    """The kernel's struct sock_filter; jumps count the instructions that are passed over."""
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _start(machine: str) -> Iterator[bytes]:
    """Numbers mean what they say on their own architecture only."""
    yield _instruction(_LOAD, _ARCH)
    yield _instruction(_JUMP_IF_EQUAL, _AUDIT_ARCH[machine], if_true=1)
    yield _instruction(_RETURN, _KILL)
    yield _instruction(_LOAD, _NUMBER)


def _returns(calls: dict[str, tuple[int | None, int | None]], column: int, answer: int) -> Iterator[bytes]:
    for numbers in calls.values():
        number = numbers[column]
        if number is not None:
            yield _instruction(_JUMP_IF_EQUAL, number, if_false=1)
            yield _instruction(_RETURN, answer)


def _decides(condition: _Condition, column: int) -> Iterator[bytes]:
    values = condition.values
    yield _instruction(_JUMP_IF_EQUAL, condition.call[column], if_false=len(values) + 4)
    yield _instruction(_LOAD, _FIRST_ARGUMENT + 8 * condition.argument)
    yield _instruction(_AND, condition.mask)
    for position, value in enumerate(values):
        yield _instruction(_JUMP_IF_EQUAL, value, if_true=len(values) - position)
    yield _instruction(_RETURN, condition.otherwise)
    yield _instruction(_RETURN, _ALLOW)
