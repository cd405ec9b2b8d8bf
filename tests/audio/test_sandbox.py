"""The media process: what it may do, how it ends, what it leaves behind."""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import platformdirs
import pytest

import sordino
from audio.sounds import read_media, voice, write_media
from sordino.audio import sandbox
from sordino.audio.confinement import active_layers
from sordino.audio.errors import EngineError, MediaCrashedError, MediaError, MediaReason
from sordino.audio.order import Channels, MediaFormat, MediaLimits, MediaOrder, Report
from sordino.audio.request import Request
from sordino.denoisers import names
from sordino.denoisers.prepared import CACHE_DIR

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

OFF = MediaOrder(denoiser="off")
FAST = MediaOrder(denoiser="fast")
LIMITS = MediaLimits()


BROKEN_ENGINES = """
import os, sys, time
from sordino.denoisers.dfn3 import open_model

class Engine:
    def __init__(self, act):
        self.act, self.model, self.pid = act, open_model(), os.getpid()
        self.info = self.model.info

    def stream(self, channels=1):
        if os.getpid() != self.pid:
            self.act()
        return self.model.stream(channels)

def fail():
    raise RuntimeError("broken")

raises = lambda: Engine(fail)
exits = lambda: Engine(lambda: sys.exit(3))
sleeps = lambda: Engine(lambda: time.sleep(3600))
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """Two seconds of speech as a WAV file."""
    return write_media(tmp_path_factory.mktemp("sandbox") / "a.wav", voice(2.0, 16000), 16000, "pcm_s16le")


@pytest.fixture(scope="module")
def long_recording(tmp_path_factory) -> Path:
    """Two hours of silence in a FLAC file of a few kB: seconds of work."""
    path = tmp_path_factory.mktemp("sandbox") / "long.flac"
    return write_media(path, np.zeros(2 * 3600 * 8000, np.float32), 8000, "flac")


def parent_of(pid: int) -> int | None:
    """The parent's process id; None when the process has ended, also if nobody has taken note yet."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[1])


def children(pid: int) -> list[int]:
    """The living children of a process."""
    found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [child for child in found if parent_of(child) == pid]


def proc(pid: int, name: str) -> Path:
    """An entry of a process in /proc."""
    return Path(f"/proc/{pid}", name)


def limits_of(pid: int) -> dict[str, str]:
    """The soft limits of a process by their kernel names."""
    lines = proc(pid, "limits").read_text().splitlines()[1:]
    return {line[:25].strip(): line[25:].split()[0] for line in lines}


def zygotes() -> list[int]:
    """The zygotes of this process."""
    return [pid for pid in children(os.getpid()) if b"sordino.audio.zygote" in proc(pid, "cmdline").read_bytes()]


async def until(condition, seconds: float = 20.0):
    """Wait for ``condition()`` to be true, and return what it gives."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)
    return value


async def run(source: Path, target: Path, *order) -> Report:
    """`sandbox.run` over files with names."""
    with source.open("rb") as read, target.open("w+b") as written:
        return await sandbox.run(read, written, *order)


def jobs() -> list[int]:
    """The media processes at work for this process."""
    return [child for zygote in zygotes() for child in children(zygote)]


async def test_does_what_the_library_does(recording, tmp_path):
    """The sandbox gives the library's result, byte for byte, and its report; progress rises to 100."""
    progress = []
    report = await run(recording, tmp_path / "a.wav", OFF, LIMITS, progress.append)
    assert report == sordino.denoise_file(recording, tmp_path / "b.wav", denoiser="off")
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    assert progress == sorted(set(progress))
    assert progress[-1] == 100
    assert jobs() == []


async def test_denoises_in_a_fork(recording, tmp_path):
    """The speech model, loaded before the fork, gives in the child what it gives here."""
    await run(recording, tmp_path / "a.m4a", MediaOrder(format="m4a"), LIMITS)
    sordino.denoise_file(recording, tmp_path / "b.m4a")
    np.testing.assert_allclose(read_media(tmp_path / "a.m4a")[0], read_media(tmp_path / "b.m4a")[0], atol=1e-4)


@pytest.fixture
def no_weights(tmp_path, monkeypatch) -> Iterator[None]:
    """Nothing of the model is found, neither weights nor what was made of them; new zygotes see it."""
    sandbox.close()
    for variable in ("SORDINO_MODEL_DIR", CACHE_DIR):
        (tmp_path / variable).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / variable))
    yield
    sandbox.close()


@pytest.mark.usefixtures("no_weights")
async def test_an_engine_without_its_weights(recording, tmp_path, monkeypatch):
    """A job is told what is missing, time after time; once it is there, the next job runs. Other engines do."""
    order = MediaOrder(denoiser="dfn3")
    for _ in range(2):
        with pytest.raises(EngineError, match=r"no model archive .*DeepFilterNet3_onnx"):
            await run(recording, tmp_path / "a.wav", order, LIMITS)
    await run(recording, tmp_path / "a.wav", OFF, LIMITS)
    at_once = (run(recording, tmp_path / f"{number}.wav", order, LIMITS) for number in range(3))
    assert [type(end) for end in await asyncio.gather(*at_once, return_exceptions=True)] == [EngineError] * 3
    monkeypatch.delenv("SORDINO_MODEL_DIR")
    await run(recording, tmp_path / "a.wav", order, LIMITS)


@pytest.mark.usefixtures("no_weights")
def test_a_trial_without_weights(monkeypatch):
    """A trial tells what is missing, without a traceback, and passes when all is there."""
    with sandbox.trial("dfn3") as passed, pytest.raises(EngineError, match=r"^There is no model archive"):
        passed()
    with sandbox.trial("nobody") as passed, pytest.raises(EngineError, match=r"^There is no denoiser 'nobody'"):
        passed()
    monkeypatch.delenv("SORDINO_MODEL_DIR")
    with sandbox.trial("dfn3") as passed:
        passed()


@pytest.mark.parametrize(
    ("denoiser", "form"),
    [
        *((denoiser, MediaFormat.M4A) for denoiser in names() if denoiser != "off"),
        *(("off", form) for form in MediaFormat),
    ],
)
async def test_everything_works_confined(denoiser, form, tmp_path):
    """No engine and no format needs a file or a system call that a media process has not, whatever is ordered."""
    stereo = np.column_stack((voice(3.0, 44100), voice(3.0, 44100)[::-1]))
    source = write_media(tmp_path / "source.wav", stereo, 44100, "pcm_s16le")
    order = MediaOrder(
        format=form,
        denoiser=denoiser,
        rate=None,
        strength=30,
        channels=Channels.KEEP,
        loudness=-20.0,
        video=form is MediaFormat.M4A,
    )
    report = await run(source, tmp_path / f"a.{form}", order, LIMITS)
    assert (report.seconds, report.channels) == (pytest.approx(3.0), 2)


async def test_many_at_once(recording, tmp_path):
    """Jobs side by side do not get into each other's way."""
    targets = [tmp_path / f"{number}.wav" for number in range(8)]
    await asyncio.gather(*(run(recording, target, OFF, LIMITS) for target in targets))
    assert len({target.read_bytes() for target in targets}) == 1


async def test_errors_come_across(tmp_path):
    """An input that cannot be processed raises here with its reason and message."""
    (tmp_path / "a.mp3").write_bytes(b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n")
    with pytest.raises(MediaError, match="playlist") as raised:
        await run(tmp_path / "a.mp3", tmp_path / "a.wav", OFF, LIMITS)
    assert raised.value.reason is MediaReason.REFUSED


async def test_works_on_files_without_a_name(recording, tmp_path):
    """Temporary files serve as input and output; what is in a buffer counts, and where the offset is does not."""
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        source.write(recording.read_bytes())
        report = await sandbox.run(source, target, OFF, LIMITS)
        target.seek(0)
        made = target.read()
    assert report == sordino.denoise_file(recording, tmp_path / "a.wav", denoiser="off")
    assert made == (tmp_path / "a.wav").read_bytes()


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (MediaLimits(seconds=60), MediaReason.TOO_LONG),
        (MediaLimits(cpu_seconds=1), MediaReason.RESOURCE),
        (MediaLimits(wall_seconds=0.5), MediaReason.RESOURCE),
    ],
    ids=["seconds", "cpu", "wall"],
)
async def test_limits_hold(limits, reason, long_recording, tmp_path):
    """A job that uses up a limit is refused with the reason, and its process is gone."""
    with pytest.raises(MediaError) as raised:
        await run(long_recording, tmp_path / "a.wav", OFF, limits)
    assert raised.value.reason is reason
    assert jobs() == []


async def test_the_memory_limit_holds(tmp_path):
    """A job whose blocks do not fit into the memory allowed is refused with that reason."""
    samples = np.zeros((4 * 48000, 8), np.float32)
    wide = write_media(tmp_path / "a.wav", samples, 48000, "pcm_s16le")
    with pytest.raises(MediaError, match="memory") as raised:
        await run(wide, tmp_path / "b.wav", OFF, MediaLimits(memory_bytes=2**21))
    assert raised.value.reason is MediaReason.RESOURCE


@pytest.mark.parametrize("megabytes", [1, 4, 8])
async def test_the_memory_limit_holds_in_the_network(recording, tmp_path, megabytes):
    """A job whose network finds no memory is refused with that reason, too: trying again would not help."""
    with pytest.raises(MediaError, match="memory") as raised:
        await run(recording, tmp_path / "b.wav", FAST, MediaLimits(memory_bytes=megabytes * 2**20))
    assert raised.value.reason is MediaReason.RESOURCE


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_killed_child_is_our_fault(number, long_recording, tmp_path):
    """A child that dies of a signal from outside raises MediaCrashedError, and the next job runs."""
    work = asyncio.create_task(run(long_recording, tmp_path / "a.wav", OFF, LIMITS))
    (job,) = await until(jobs)
    os.kill(job, number)
    with pytest.raises(MediaCrashedError, match=number.name):
        await work
    assert jobs() == []


@pytest.fixture
def engines(tmp_path, monkeypatch) -> None:
    """Engines that need a fork's child to show what they are: "raises", "exits" and "sleeps"; with ONNX Runtime in."""
    (tmp_path / "broken_engines.py").write_text(BROKEN_ENGINES)
    (tmp_path / "broken-1.dist-info").mkdir()
    points = "".join(f"{name} = broken_engines:{name}\n" for name in ("raises", "exits", "sleeps"))
    (tmp_path / "broken-1.dist-info/entry_points.txt").write_text(f"[sordino.denoisers]\n{points}")
    (tmp_path / "broken-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


@pytest.mark.parametrize(("denoiser", "said"), [("raises", "RuntimeError: broken"), ("exits", "SystemExit: 3")])
async def test_an_error_in_the_child_ends_it_at_once(denoiser, said, engines, recording, tmp_path, capfd):
    """An engine's own error is told as a crash within seconds, with a traceback on standard error."""
    async with asyncio.timeout(20):
        with pytest.raises(MediaCrashedError, match="status 1"):
            await run(recording, tmp_path / "a.wav", MediaOrder(denoiser=denoiser), LIMITS)
    assert jobs() == []
    assert said in capfd.readouterr().err


async def test_a_child_that_waits_for_ever_is_killed(engines, recording, tmp_path):
    """A child that makes no progress and uses no CPU time is refused when its time is over, and gone."""
    with pytest.raises(MediaError, match="longer than the 3 s") as raised:
        await run(recording, tmp_path / "a.wav", MediaOrder(denoiser="sleeps"), MediaLimits(wall_seconds=3))
    assert raised.value.reason is MediaReason.RESOURCE
    assert jobs() == []


async def test_a_zygote_that_stands_still_is_replaced(recording, tmp_path, monkeypatch):
    """When the zygote itself does nothing any more, the call ends all the same, and the next job works."""
    monkeypatch.setattr(sandbox, "_PATIENCE_SECONDS", 0.5)
    sandbox.close()
    await run(recording, tmp_path / "a.wav", OFF, LIMITS)
    (zygote,) = zygotes()
    os.kill(zygote, signal.SIGSTOP)
    with pytest.raises(MediaError, match=r"longer than the 0\.5 s"):
        await run(recording, tmp_path / "a.wav", OFF, MediaLimits(wall_seconds=0.5))
    assert parent_of(zygote) is None
    assert (await run(recording, tmp_path / "a.wav", OFF, LIMITS)).seconds == 2


async def test_the_model_brings_no_thread_and_leaves_no_trace(recording, tmp_path, monkeypatch):
    """The zygote has one thread with the model loaded, and nothing appears in the home directory."""
    sandbox.close()
    cache = os.environ.get(CACHE_DIR) or str(platformdirs.user_cache_path("sordino"))
    monkeypatch.setenv(CACHE_DIR, cache)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    await run(recording, tmp_path / "a.wav", MediaOrder(), LIMITS)
    (zygote,) = zygotes()
    assert "\nThreads:\t1\n" in proc(zygote, "status").read_text()
    sandbox.close()
    assert list((tmp_path / "home").rglob("*")) == []


async def test_cancelling_kills(long_recording, tmp_path):
    """When the call is cancelled, the child is gone by the time it returns."""
    work = asyncio.create_task(run(long_recording, tmp_path / "a.wav", OFF, LIMITS))
    (job,) = await until(jobs)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert parent_of(job) is None


async def test_an_error_in_the_progress_kills(long_recording, tmp_path):
    """When the caller's own function raises, its error comes out and the child is gone."""

    def fail(percent: int) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        await run(long_recording, tmp_path / "a.wav", OFF, LIMITS, fail)
    assert jobs() == []


async def test_a_killed_zygote_is_replaced(recording, long_recording, tmp_path):
    """When the zygote dies, its children die, the running job raises MediaCrashedError, and the next one works."""
    work = asyncio.create_task(run(long_recording, tmp_path / "a.wav", OFF, LIMITS))
    (job,) = await until(jobs)
    zygote = parent_of(job)
    os.kill(zygote, signal.SIGKILL)
    with pytest.raises(MediaCrashedError):
        await work
    await until(lambda: parent_of(job) is None)
    assert (await run(recording, tmp_path / "b.wav", OFF, LIMITS)).seconds == 2


async def test_an_engine_that_nobody_knows(recording, tmp_path):
    """It cannot be loaded, which no second try would change."""
    with pytest.raises(EngineError, match="There is no denoiser 'nobody'"):
        await run(recording, tmp_path / "a.wav", MediaOrder(denoiser="nobody"), LIMITS)


async def test_the_child_is_confined(long_recording, tmp_path, monkeypatch):
    """The child has no secrets, no network, no directory, few descriptors, and limits that hold."""
    sandbox.close()
    monkeypatch.setenv("SORDINO_DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    work = asyncio.create_task(run(long_recording, tmp_path / "a.wav", OFF, MediaLimits(cpu_seconds=77)))
    (job,) = await until(jobs)
    await until(lambda: limits_of(job)["Max cpu time"] == "77")
    assert limits_of(job)["Max core file size"] == "0"
    assert limits_of(job)["Max open files"] == "32"
    assert b"secret" not in proc(job, "environ").read_bytes()
    assert proc(job, "cwd").readlink().name.endswith("(deleted)")
    opened = {str(path.readlink()) for path in proc(job, "fd").iterdir()}
    assert {str(long_recording), str(tmp_path / "a.wav")} <= opened
    assert len(opened) <= 6
    assert os.getsid(job) == job
    assert "NoNewPrivs:\t1" in proc(job, "status").read_text()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may always leave the network")
async def test_the_child_has_no_network(recording, long_recording, tmp_path):
    """The child lives in a network namespace with nothing but a loopback that is down."""
    work = asyncio.create_task(run(long_recording, tmp_path / "a.wav", OFF, LIMITS))
    (job,) = await until(jobs)
    assert proc(job, "ns/net").readlink() != proc(os.getpid(), "ns/net").readlink()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


async def test_nothing_survives_a_killed_parent(long_recording, tmp_path):
    """When the process that asked is killed, its zygote and media processes vanish."""
    code = (
        "import asyncio, sys; from sordino.audio import sandbox;"
        "from sordino.audio.order import MediaLimits, MediaOrder;"
        "source, target = open(sys.argv[1], 'rb'), open(sys.argv[2], 'w+b');"
        "asyncio.run(sandbox.run(source, target, MediaOrder(denoiser='off'), MediaLimits()))"
    )
    command = [sys.executable, "-c", code, str(long_recording), str(tmp_path / "a.wav")]
    parent = await asyncio.create_subprocess_exec(*command)
    (zygote,) = await until(lambda: children(parent.pid))
    (job,) = await until(lambda: children(zygote))
    parent.kill()
    await parent.wait()
    await until(lambda: parent_of(job) is None and parent_of(zygote) is None)


async def test_few_engines_stay_loaded(engines, recording, long_recording, tmp_path, monkeypatch):
    """An engine that was not used for long makes room for another, but never one that has a job."""
    monkeypatch.setattr(sandbox, "_MOST_ZYGOTES", 1)
    sandbox.close()
    await run(recording, tmp_path / "a.wav", MediaOrder(), LIMITS)
    work = asyncio.create_task(run(long_recording, tmp_path / "b.wav", OFF, LIMITS))
    await until(jobs)
    assert len(zygotes()) == 1
    await run(recording, tmp_path / "c.wav", MediaOrder(), LIMITS)
    assert len(zygotes()) == 2
    assert len(jobs()) == 1
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    sandbox.warm("sleeps")
    assert len(zygotes()) == 1


async def test_an_order_that_does_not_fit_the_input_is_refused(tmp_path):
    """More channels than the format holds is told with what to do instead, and is not tried again as a crash."""
    wide = write_media(tmp_path / "a.wav", np.zeros((16000, 6), np.float32), 16000, "pcm_s16le")
    with pytest.raises(MediaError, match="6 channels"):
        await run(wide, tmp_path / "a.mp3", MediaOrder(format="mp3", channels="keep", denoiser="off"), LIMITS)


async def test_the_log_tells_once_what_confines(recording, tmp_path, caplog):
    """The worker's log names the layers that this kernel offers."""
    sandbox._note_layers.cache_clear()
    with caplog.at_level("INFO", "sordino.audio.sandbox"):
        await run(recording, tmp_path / "a.wav", OFF, LIMITS)
        await run(recording, tmp_path / "a.wav", OFF, LIMITS)
    (message,) = [record.message for record in caplog.records]
    assert message.startswith("media processes are confined by: limits")
    for layer in active_layers(apart=False):
        assert layer in message


async def test_no_zygote_outlives_its_use(recording, tmp_path):
    """Closing ends the zygotes; the next job starts anew."""
    await run(recording, tmp_path / "a.wav", OFF, LIMITS)
    assert zygotes()
    sandbox.close()
    assert zygotes() == []


async def test_warming_starts_the_zygote():
    """A zygote can be had before the first job."""
    sandbox.close()
    sandbox.warm("off")
    assert len(zygotes()) == 1


def test_requests_survive_the_way():
    """A packed request has its fixed size and is the same when unpacked."""
    request = Request(order=MediaOrder(rate=None, denoiser="x" * 100), limits=MediaLimits(seconds=1.5))
    assert len(request.pack()) == 1024
    assert Request.unpack(request.pack()) == request
    with pytest.raises(ValueError, match="1024"):
        Request(order=MediaOrder(denoiser="x" * 1000), limits=LIMITS).pack()
