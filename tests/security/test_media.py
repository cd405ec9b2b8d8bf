"""A media process that a file has taken over: what it can reach."""

import errno
import struct
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest

from audio import takeover
from audio.sounds import write_media
from sordino.audio import landlock, sandbox, seccomp
from sordino.audio.confinement import Layer, active_layers
from sordino.audio.errors import MediaCrashedError, MediaError
from sordino.audio.order import MediaLimits, MediaOrder

needs_seccomp = pytest.mark.skipif(not seccomp.available(), reason="the kernel offers no filter of system calls")
needs_landlock = pytest.mark.skipif(landlock.version() == 0, reason="the kernel offers no Landlock")

DENIED = (
    "read a file",
    "write a file",
    "look at a file",
    "list a directory",
    "read the process's memory",
    "map code",
    "have signals sent",
)
HARMLESS = ("collect garbage", "start a thread", "abort")
NONSENSE = tuple(attempt for attempt in takeover.ATTEMPTS if attempt.startswith("say "))
DEADLY = tuple(attempt for attempt in takeover.ATTEMPTS if attempt not in DENIED + HARMLESS + NONSENSE)


@pytest.fixture(scope="module", autouse=True)
def engine(tmp_path_factory):
    """The engine "takeover", installed for this module."""
    place = tmp_path_factory.mktemp("engines")
    (place / "takeover-1.dist-info").mkdir()
    (place / "takeover-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: takeover\nVersion: 1\n")
    entry = "[sordino.denoisers]\ntakeover = audio.takeover:Engine\n"
    (place / "takeover-1.dist-info/entry_points.txt").write_text(entry)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(place)
        yield
        sandbox.close()


async def attempt(what: str, directory: Path) -> str:
    """Let a file take a media process over and try something; what became of it."""
    samples = takeover.recording(what).astype(np.float32) / 32768
    path = write_media(directory / "a.wav", samples, 48000, "pcm_s16le")
    with path.open("rb") as source, tempfile.TemporaryFile() as target, pytest.raises(MediaError) as raised:
        await sandbox.run(source, target, MediaOrder(denoiser="takeover"), MediaLimits())
    return raised.value.message


@needs_seccomp
@pytest.mark.parametrize("what", DENIED)
async def test_files_and_new_code_are_denied(what, tmp_path):
    """The process opens, finds and lists nothing by name, maps no new code, and lends nobody its signals."""
    assert (await attempt(what, tmp_path)).startswith("PermissionError")


@needs_seccomp
@pytest.mark.parametrize("what", DEADLY)
async def test_what_no_job_needs_is_deadly(what, tmp_path):
    """Asking for a network, another process or a part of the system ends the process, and the error says why."""
    with pytest.raises(MediaCrashedError, match="SIGSYS"):
        await attempt(what, tmp_path)


async def test_threads_are_allowed(tmp_path):
    """FFmpeg's encoders and users' engines may start threads."""
    assert await attempt("start a thread", tmp_path) == "done"


async def test_the_zygotes_remains_are_left_alone(tmp_path):
    """The garbage collector finds nothing of the zygote's to tidy up, whose descriptors are gone or others' by then."""
    assert await attempt("collect garbage", tmp_path) == "done"


async def test_an_abort_is_told_as_one(tmp_path):
    """A library that gives up does not look like an attack."""
    with pytest.raises(MediaCrashedError, match="SIGABRT"):
        await attempt("abort", tmp_path)


@pytest.mark.parametrize("what", NONSENSE)
async def test_nonsense_from_the_process_is_a_crash(what, tmp_path):
    """What a process says that is no event of a job is believed in no part."""
    with pytest.raises(MediaCrashedError, match="nobody understands"):
        await attempt(what, tmp_path)


def run_alone(layer: str, act: str) -> str:
    """What becomes of an attempt in a process under one layer alone: the name of Python's error, or "done"."""
    code = f"""
        import ctypes, pathlib, socket
        from sordino.audio import confinement, landlock
        ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
        {layer}
        try:
            {act}
        except OSError as error:
            print(type(error).__name__)
        else:
            print("done")
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


CONNECT = "socket.create_connection(('127.0.0.1', 1), 1)"


@needs_landlock
@pytest.mark.parametrize("act", ["read_bytes()", "write_bytes(b'')", "unlink()", "rename('b')"])
def test_landlock_alone_keeps_files(act, tmp_path):
    """Without the filter of system calls no file can be opened, changed or removed either."""
    (tmp_path / "a").write_bytes(b"kept")
    assert run_alone("landlock.forbid()", f"pathlib.Path({str(tmp_path / 'a')!r}).{act}") == "PermissionError"
    assert (tmp_path / "a").read_bytes() == b"kept"


@pytest.mark.skipif(landlock.version() < 4, reason="the kernel's Landlock knows no network")
def test_landlock_alone_keeps_tcp():
    """Without the other layers no connection can be made either."""
    assert run_alone("landlock.forbid()", CONNECT) == "PermissionError"


def test_the_network_namespace_alone_keeps_the_network():
    """Without the other layers nothing can be reached either, not even this machine."""
    if (became := run_alone("print(confinement.leave_network())", CONNECT)).startswith("False"):
        pytest.skip("this system forbids network namespaces")
    assert became.split() == ["True", "OSError"]


def test_every_version_of_landlock_gets_its_own_rules():
    """A kernel is asked to handle the accesses that its version knows, and no others."""
    files, network, scope = zip(*(struct.unpack("=QQQ", landlock.rule_set(each)) for each in range(1, 8)), strict=True)
    assert [mask.bit_length() for mask in files] == [13, 14, 15, 15, 16, 16, 16]
    assert network == (0, 0, 0, 3, 3, 3, 3)
    assert scope == (0, 0, 0, 0, 0, 3, 3)


def test_layers_are_named():
    """What a system lacks is missing from the list."""
    assert Layer.NETWORK not in active_layers(apart=False)
    assert (Layer.FILES in active_layers(apart=True)) == (landlock.version() > 0)
    assert (Layer.CALLS in active_layers(apart=True)) == seccomp.available()


def decide(machine: str, arch: int, number: int, *arguments: int) -> int:
    """What the filter answers, by running its code as the kernel does."""
    code = np.frombuffer(seccomp.program(machine, 77), np.dtype("u2,u1,u1,u4"))
    data = np.zeros(16, np.uint32)
    data[:2] = number, arch
    for position, argument in enumerate(arguments):
        data[4 + 2 * position : 6 + 2 * position] = argument & 0xFFFFFFFF, argument >> 32
    at = value = 0
    while True:
        operation, if_true, if_false, constant = (int(part) for part in code[at])
        at += 1
        match operation:
            case 0x20:
                value = int(data[constant // 4])
            case 0x54:
                value &= constant
            case 0x15:
                at += if_true if value == constant else if_false
            case 0x06:
                return constant


ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000
MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
ANSWERS = {
    "read": ((0, 63), (), ALLOW),
    "openat": ((257, 56), (), ERROR | errno.EACCES),
    "clone3": ((435, 435), (), ERROR | errno.ENOSYS),
    "a thread": ((56, 220), (0x3D0F00,), ALLOW),
    "a fork": ((56, 220), (0x1200011,), KILL),
    "a map": ((9, 222), (0, 4096, 3), ALLOW),
    "a map of code": ((9, 222), (0, 4096, 5), ERROR | errno.EACCES),
    "protection as code": ((10, 226), (0, 4096, 7), ERROR | errno.EACCES),
    "fstat by the other name": ((262, 79), (3, 0, 0, 0x1000), ALLOW),
    "stat": ((262, 79), (0xFFFFFF9C, 0, 0, 0), ERROR | errno.EACCES),
    "F_DUPFD_CLOEXEC": ((72, 25), (3, 1030), ALLOW),
    "F_SETOWN": ((72, 25), (3, 8), ERROR | errno.EPERM),
    "own limits": ((302, 261), (0, 7), ALLOW),
    "another's limits": ((302, 261), (78, 7), KILL),
    "a signal to itself": ((234, 131), (77, 77, 6), ALLOW),
    "a signal to another": ((234, 131), (78, 78, 6), KILL),
    "execve": ((59, 221), (), KILL),
    "socket": ((41, 198), (), KILL),
    "ptrace": ((101, 117), (), KILL),
    "mount": ((165, 40), (), KILL),
    "io_uring_setup": ((425, 425), (), KILL),
    "of the x32 interface": ((0x40000000, 0x40000000), (), KILL),
    "a call of the future": ((5000, 5000), (), KILL),
}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("call", ANSWERS)
def test_the_filter_decides(call, machine):
    """The filter answers as it should on both architectures, whichever this one is."""
    arch, column = MACHINES[machine]
    numbers, arguments, answer = ANSWERS[call]
    assert decide(machine, arch, numbers[column], *arguments) == answer


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_of_other_architectures_are_deadly(machine):
    """A 32 bit call, whose numbers mean other things, ends the process."""
    assert decide(machine, 0x40000003, MACHINES[machine][1]) == KILL
