"""``sordino denoise``."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import platformdirs
import pytest

import sordino
from audio.sounds import read_media, voice, write_media


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """1.5 s of speech as a WAV file."""
    return write_media(tmp_path_factory.mktemp("command") / "noisy.wav", voice(1.5, 16000), 16000, "pcm_s16le")


def run(*words: object, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the command with the engine that removes nothing."""
    command = [sys.executable, "-m", "sordino", "denoise", "--denoiser", "off", *map(str, words)]
    return subprocess.run(command, input=data, capture_output=True, check=False)


def test_writes_the_file(recording, tmp_path):
    """The file is written as ordered, and nothing is said."""
    ended = run(recording, tmp_path / "clean.m4a", "--rate", 24000)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    samples, rate = read_media(tmp_path / "clean.m4a")
    assert (len(samples), rate) == (36000, 24000)


def test_pipes(recording, tmp_path):
    """Standard input and output work; the output is WAV if nothing else is asked for."""
    ended = run("-", "-", data=recording.read_bytes())
    assert (ended.returncode, ended.stderr) == (0, b"")
    (tmp_path / "out").write_bytes(ended.stdout)
    assert len(read_media(tmp_path / "out")[0]) == 24000
    assert ended.stdout.startswith(b"RIFF")
    assert run(recording, "-", "--format", "mp3").stdout[:3] == b"ID3"


def test_the_rate_of_the_input(recording, tmp_path):
    """--rate 0 keeps the input's band."""
    source = write_media(tmp_path / "a.wav", voice(0.5, 44100), 44100, "pcm_s16le")
    assert run(source, tmp_path / "b.wav", "--rate", 0).returncode == 0
    assert read_media(tmp_path / "b.wav")[1] == 44100


def test_a_note_goes_to_standard_error(recording, tmp_path):
    """What is wrong with an input that can be processed is said in one line."""
    (tmp_path / "cut.wav").write_bytes(recording.read_bytes()[:40001])
    ended = run(tmp_path / "cut.wav", "-")
    assert ended.returncode == 0
    assert b"truncated" in ended.stderr
    assert ended.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["text.mp3", "out.wav"], 1, "not audio"),
        (["missing.wav", "out.wav"], 1, "missing.wav: No such file"),
        ([".", "out.wav"], 1, "Is a directory"),
        (["noisy.wav", "out.aiff"], 2, "cannot write 'aiff'"),
        (["noisy.wav", "out.opus", "--rate", "44100"], 2, "cannot write 44100 Hz as opus"),
        (["noisy.wav", "out.wav", "--strength", "101"], 2, "strength must be"),
        (["noisy.wav", "out.wav", "--loudness", "-3"], 2, "-70 to -5 LUFS, or keep"),
        (["noisy.wav", "out.wav", "--loudness", "loud"], 2, "-70 to -5 LUFS, or keep"),
        (["noisy.wav", "out.wav", "--video"], 2, "m4a only"),
        (["noisy.wav", "-", "--report-json", "-"], 2, "cannot write both"),
        (["noisy.wav", "out.wav", "--report-json", "noisy.wav"], 2, "noisy.wav is the input"),
        (["noisy.wav", "out.wav", "--report-json", "./out.wav"], 2, "./out.wav is the output"),
        (["noisy.wav", "out.wav", "--report-json", "."], 1, ".: Is a directory"),
        (["noisy.wav", "out.wav", "--report-json", "nowhere/r.json"], 1, "nowhere/r.json: No such file"),
        (["noisy.wav", "out"], 2, "cannot write"),
        (["noisy.wav", "out.wav", "--rate", "22050"], 2, "22050"),
        (["noisy.wav", "out.wav", "--format", "ogg"], 2, "ogg"),
        (["noisy.wav", "out.wav", "--denoiser", "nobody"], 2, "nobody"),
        (["noisy.wav", "noisy.wav"], 2, "is the input"),
        (["noisy.wav", "nowhere/out.wav"], 1, "nowhere/out.wav: No such file or directory"),
        (["noisy.wav", "/dev/full", "--format", "wav"], 1, "/dev/full: Not a regular file"),
        (["noisy.wav", "/dev/null"], 1, "/dev/null: Not a regular file"),
        (["noisy.wav", "."], 1, ".: Is a directory"),
        (["noisy.wav", "/proc/out.wav"], 1, "sordino: /proc/out.wav: "),
        (["/dev/zero", "out.wav"], 1, "/dev/zero: Neither a regular file nor a pipe"),
        (["-", "out.wav"], 1, "standard input: The file is empty"),
    ],
)
def test_mistakes_end_with_one_line_and_a_status(words, status, said, recording, tmp_path, monkeypatch):
    """A mistake gives one line on standard error and its exit status, no traceback, and writes nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.mp3").write_text("This is text.\n")
    (tmp_path / "noisy.wav").write_bytes(recording.read_bytes())
    ended = run(*words)
    error = ended.stderr.decode()
    assert (ended.returncode, error.count("\n")) == (status, 1), error
    assert error.startswith("sordino: ")
    assert said in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["noisy.wav", "text.mp3"]
    assert (tmp_path / "noisy.wav").read_bytes() == recording.read_bytes()


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "m4a", "opus"])
def test_a_full_disk(suffix, recording, tmp_path):
    """A result that cannot be written to its end gives one line and leaves no file, whatever the format."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))"
    script = f"{limit}; from sordino.cli import main; main()"
    command = [sys.executable, "-c", script, "denoise", "--denoiser", "off", recording, tmp_path / f"out.{suffix}"]
    ended = subprocess.run(command, capture_output=True, check=False, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})
    assert ended.stderr.decode().splitlines() == [f"sordino: {tmp_path}/out.{suffix}: File too large"]
    assert ended.returncode == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("descriptor", "words"), [(0, ["-", "out.wav"]), (1, ["a.wav", "-"])])
def test_a_closed_standard_stream(descriptor, words, tmp_path):
    """Standard input or output that was closed is told in one line."""
    script = 'exec "$0" -m sordino denoise "$@" ' + ("<&-" if descriptor == 0 else ">&-")
    command = ["sh", "-c", script, sys.executable, *words]
    ended = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path)
    assert ended.stderr.decode() == f"sordino: standard {('input', 'output')[descriptor]}: It is closed\n"
    assert ended.returncode == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_leaves_nothing_behind(number, tmp_path):
    """A command that is stopped ends at once with the signal's status, says nothing and leaves no file."""
    source = write_media(tmp_path / "long.flac", np.zeros(2 * 3600 * 8000, np.float32), 8000, "flac")
    command = [sys.executable, "-m", "sordino", "denoise", "--denoiser", "off", source, tmp_path / "out.wav"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 30
        # Until it is being written: a signal in the very moment it is made is another matter.
        while not any(part.stat().st_size for part in tmp_path.glob(".*.part")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        said = process.communicate(timeout=30)
    assert (process.returncode, *said) == (128 + number, b"", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["long.flac"]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--report-json", "/dev/full"], "/dev/full"),
        (["--report-json", "-"], "standard output"),
        (["--report"], "standard output"),
    ],
)
def test_a_report_that_cannot_be_written(words, name, recording, tmp_path):
    """It is the report's place that is named, not the result's."""
    command = [sys.executable, "-m", "sordino", "denoise", "--denoiser", "off", recording, tmp_path / "out.wav", *words]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert ended.stderr.decode() == f"sordino: {name}: No space left on device\n"
    assert ended.returncode == 1


@pytest.mark.parametrize("words", [["a.wav", "loop.wav"], ["loop.wav", "out.wav"]])
def test_a_loop_of_links(words, recording, tmp_path):
    """A link to itself is told in one line, and stays."""
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    (tmp_path / "a.wav").write_bytes(recording.read_bytes())
    command = [sys.executable, "-m", "sordino", "denoise", "--denoiser", "off", *words]
    ended = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path)
    assert ended.stderr.decode() == "sordino: loop.wav: Too many levels of symbolic links\n"
    assert ended.returncode == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "loop.wav"]


def test_the_controls(recording, tmp_path):
    """Strength, channels and loudness do what the library's do; a negative number needs no equals sign."""
    stereo = np.stack((voice(1.5, 16000), 0.5 * voice(1.5, 16000)), axis=1)
    source = write_media(tmp_path / "a.wav", stereo, 16000, "pcm_s16le")
    ended = run(source, tmp_path / "b.flac", "--strength", 0, "--channels", "keep", "--loudness", "-23.5")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    sordino.denoise_file(source, tmp_path / "c.flac", strength=0, channels="keep", loudness=-23.5)
    assert (tmp_path / "b.flac").read_bytes() == (tmp_path / "c.flac").read_bytes()
    assert run(source, tmp_path / "b.flac", "--loudness", "keep", "--strength", 0).returncode == 0


def test_the_report_as_a_table(recording, tmp_path):
    """--report prints a line a value, before and after, to standard output, or beside audio that goes there."""
    ended = run(recording, tmp_path / "out.wav", "--report")
    lines = ended.stdout.decode().splitlines()
    assert ended.stderr == b""
    assert lines[0].split() == ["before", "after"]
    assert [line.split(",")[0] for line in lines[1:3]] == ["noise floor", "SNR (estimate)"]
    assert all(len(line) == len(lines[0]) for line in lines)
    assert run(recording, "-", "--report").stderr == ended.stdout


def test_the_report_as_json(recording, tmp_path):
    """--report-json writes one JSON object with all that is known of the run, to a file or to standard output."""
    ended = run(recording, tmp_path / "out.wav", "--report-json", "-")
    report = json.loads(ended.stdout)
    assert ended.stderr == b""
    assert (report["seconds"], report["rate"], report["channels"], report["source_rate"]) == (1.5, 16000, 1, 16000)
    assert set(report["before"]) == {"noise_floor", "snr", "loudness", "clipped", "dnsmos"}
    assert run(recording, tmp_path / "out.wav", "--report-json", tmp_path / "report.json").stdout == b""
    assert (tmp_path / "report.json").read_bytes() == ended.stdout


def test_a_replaced_output_keeps_its_permissions(recording, tmp_path):
    """An output that was readable by its owner only still is."""
    target = tmp_path / "out.wav"
    target.touch(0o600)
    assert run(recording, target).returncode == 0
    assert target.stat().st_size > 44
    assert target.stat().st_mode & 0o777 == 0o600


def test_leaves_nothing_in_the_home(recording, tmp_path):
    """The speech model runs without a trace in the user's directories but its own cache: nothing reports its use."""
    cache = os.environ.get("SORDINO_CACHE_DIR") or str(platformdirs.user_cache_path("sordino"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_"))}
    environment |= {"HOME": str(tmp_path / "home"), "SORDINO_CACHE_DIR": cache}
    (tmp_path / "home").mkdir()
    command = [sys.executable, "-m", "sordino", "denoise", str(recording), str(tmp_path / "out.wav")]
    subprocess.run(command, env=environment, check=True)
    assert list((tmp_path / "home").rglob("*")) == []


def test_missing_arguments_are_wrong_usage():
    """Without arguments the command says how it is used and ends with 2."""
    assert run().returncode == 2


def test_a_model_that_is_not_there(recording, tmp_path, monkeypatch):
    """A directory of models without the model, of which nothing is in the cache, is told in one line."""
    monkeypatch.setenv("SORDINO_MODEL_DIR", str(tmp_path))
    monkeypatch.setenv("SORDINO_CACHE_DIR", str(tmp_path))
    ended = run(recording, tmp_path / "out.wav", "--denoiser", "dfn3")
    assert ended.returncode == 1
    assert ended.stderr.count(b"\n") == 1
    assert str(tmp_path).encode() in ended.stderr
    assert not (tmp_path / "out.wav").exists()


def test_a_named_pipe_is_read_like_standard_input(recording, tmp_path):
    """What another program writes into a pipe, as the shell's process substitution does, is denoised."""
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(recording.read_bytes()))
    writer.start()
    ended = run(tmp_path / "pipe", tmp_path / "out.wav")
    writer.join()
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "out.wav").stat().st_size > 0
