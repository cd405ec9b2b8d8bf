"""The measurements that the demo prints, and the picture it draws."""

import io
import subprocess
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import comparison
import demo
from server import Server, ServerError
from spectrogram import LOUDEST_DBFS, QUIETEST_DBFS, draw, spectrogram

RATE = 16000
ROOT = Path(__file__).resolve().parents[2]


def sine(frequency: float, amplitude: float, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    """A sine, float32, shape (n,)."""
    time = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def noise(level: float, seconds: float, seed: int = 7) -> np.ndarray:
    """White noise with an RMS of ``level`` dBFS, float32, shape (n,)."""
    samples = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (10 ** (level / 20) * samples).astype(np.float32)


def test_spectrogram_shows_a_sine_at_its_level():
    """A sine at half of full scale stands at -6 dB in its bin, and nowhere else."""
    levels = spectrogram(sine(1000, 0.5), RATE)
    middle = levels[:, levels.shape[1] // 2]
    assert len(middle) == 257
    assert middle.argmax() == 32
    assert middle.max() == pytest.approx(-6.02, abs=0.1)
    assert middle[100:].max() < -80


def test_spectrogram_covers_the_whole_recording():
    """There is a frame every 8 ms from the first sample to the last, and silence is clamped."""
    levels = spectrogram(np.zeros(RATE, np.float32), RATE)
    assert levels.shape == (257, 126)
    assert (levels == QUIETEST_DBFS).all()
    assert QUIETEST_DBFS < LOUDEST_DBFS


def test_picture_is_a_png(tmp_path):
    """Drawing two recordings makes one PNG file."""
    draw(tmp_path / "two.png", {"Before": noise(-30, 0.5), "After": noise(-60, 0.5)}, RATE)
    assert (tmp_path / "two.png").read_bytes().startswith(b"\x89PNG\r\n")


def write_wav(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    """Write float samples as a WAV file of 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.round(samples * 32767).astype("<i2").tobytes())
    return path


def test_comparison_tells_both_sides_and_the_change(tmp_path, monkeypatch):
    """The table has the figures of both files and their difference; without its model DNSMOS is left out."""
    monkeypatch.setattr(comparison.dnsmos, "find_model", lambda: None)
    before = comparison.measure(write_wav(tmp_path / "before.wav", noise(-30, 2)))
    after = comparison.measure(write_wav(tmp_path / "after.wav", noise(-50, 2)))
    out = io.StringIO()
    Console(file=out, width=120).print(comparison.table(before, after))
    floor = next(line for line in out.getvalue().splitlines() if line.startswith("Noise floor"))
    one, other = before.quality.noise_floor, after.quality.noise_floor
    assert floor.split()[-3:] == [f"{one:.1f}", f"{other:.1f}", f"{other - one:+.1f}"]
    assert other == pytest.approx(one - 20, abs=0.11)
    assert before.caption == f"noise floor {one:.1f} dBFS"
    assert "DNSMOS" not in out.getvalue()
    assert before.seconds == 2


def test_comparison_with_digital_silence(tmp_path, monkeypatch):
    """What has no level has a dash in the table, and is told by its name."""
    monkeypatch.setattr(comparison.dnsmos, "find_model", lambda: None)
    before = comparison.measure(write_wav(tmp_path / "before.wav", noise(-30, 2)))
    after = comparison.measure(write_wav(tmp_path / "after.wav", np.zeros(2 * RATE, np.float32)))
    out = io.StringIO()
    Console(file=out, width=120).print(comparison.table(before, after))
    floor = next(line for line in out.getvalue().splitlines() if line.startswith("Noise floor"))
    assert floor.split()[-2:] == ["-", "-"]
    assert after.caption == "digital silence"


def test_less_than_a_second_is_not_scored(tmp_path):
    """A recording shorter than a second has no opinion of listeners and no speed, and the demo says so."""
    short = comparison.measure(write_wav(tmp_path / "short.wav", noise(-30, 0.99)))
    story = Told()
    demo._conclude(story, short, short, 0.5)
    assert short.quality.dnsmos is None
    assert any("DNSMOS and the speed were left out" in text for text in story.texts)
    assert not any("times real time" in text for text in story.texts)


def test_a_second_has_a_speed(tmp_path, monkeypatch):
    """From a second on the demo tells how fast it was, also where it cannot tell the opinion of listeners."""
    monkeypatch.setattr(comparison.dnsmos, "find_model", lambda: None)
    second = comparison.measure(write_wav(tmp_path / "second.wav", noise(-30, 1)))
    story = Told()
    demo._conclude(story, second, second, 0.5)
    assert any("2 times real time" in text for text in story.texts)


class Told(demo.Story):
    """A story that is kept in place of being printed."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def say(self, text: str = "") -> None:
        """Keep a text."""
        self.texts.append(text)

    def show(self, table: object) -> None:
        """Leave tables out."""


def test_comparison_refuses_other_rates(tmp_path):
    """Files of another rate would be measured wrongly and are refused."""
    with pytest.raises(ValueError, match="16000 Hz"):
        comparison.measure(write_wav(tmp_path / "a.wav", noise(-30, 1), rate=8000))


class Process:
    """A child process as far as a server asks it."""

    def __init__(self, status: int | None) -> None:
        self.status = status

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""
        return self.status


KEY = "SORDINO_APPID=1250000001\nSORDINO_UIN=100000000001\nSORDINO_SECRET_ID=AKIDx\nSORDINO_SECRET_KEY=a=b\n"


def server(directory: Path, log: str, status: int | None = None) -> Server:
    """A server that has said ``log`` so far."""
    (directory / "server.log").write_text(log)
    return Server(process=Process(status), data=directory, log=directory / "server.log")


def test_server_tells_its_address(tmp_path):
    """The port that the server chose is read from its own words."""
    said = "The root account was created.\nSordino listens on http://127.0.0.1:40123 with 2 workers.\n"
    assert server(tmp_path, said).url == "http://127.0.0.1:40123"


def test_server_that_says_nothing_is_not_ready(tmp_path):
    """Before it listens a server has no address and is not ready."""
    silent = server(tmp_path, "")
    assert not silent.ready()
    with pytest.raises(ServerError, match="does not listen"):
        _ = silent.url


def test_root_key_is_read_from_its_file(tmp_path):
    """The key that the server keeps in its data directory is found there."""
    (tmp_path / "root-key.env").write_text(KEY)
    key = server(tmp_path, "").root_key
    assert (key.appid, key.secret_id, key.secret_key) == ("1250000001", "AKIDx", "a=b")


def test_waiting_ends_with_the_server(tmp_path):
    """Waiting for something gives up at once when the server has ended, and says how."""
    with pytest.raises(ServerError, match="status 3"):
        server(tmp_path, "", status=3).wait_until(lambda: False, 60, "anything")


def test_waiting_ends_with_the_time(tmp_path):
    """Waiting for something that never comes gives up and says for what."""
    with pytest.raises(ServerError, match="a miracle"):
        server(tmp_path, "").wait_until(lambda: False, 0, "a miracle")


def test_log_tail_is_the_end_of_the_log(tmp_path):
    """Of a long log the last lines are shown."""
    assert server(tmp_path, "".join(f"line {n}\n" for n in range(100))).log_tail(2) == "line 98\nline 99"


def test_log_tail_keeps_the_key_to_itself(tmp_path):
    """The announcement of the root key is in the log of a first start and never in its tail."""
    (tmp_path / "root-key.env").write_text(KEY)
    said = "  SecretId   AKIDx\n  SecretKey  a=b\nSordino listens on http://127.0.0.1:40123 with 2 workers.\n"
    assert server(tmp_path, said).log_tail() == "Sordino listens on http://127.0.0.1:40123 with 2 workers."


def run_demo(monkeypatch, *arguments: object) -> int:
    """The exit status of the demo with command line arguments, without touching this process's signals."""
    monkeypatch.setattr("sys.argv", ["demo.py", *map(str, arguments)])
    monkeypatch.setattr(demo, "exit_on_sigterm", lambda: None)
    return demo.main()


def test_demo_says_that_a_directory_is_no_file(tmp_path, monkeypatch, capsys):
    """A directory in place of a file is called one."""
    assert run_demo(monkeypatch, "--input", tmp_path) == 1
    assert capsys.readouterr().err == f"demo: {tmp_path} is a directory. Name a file: make demo INPUT=file\n"


def test_failed_job_is_told_without_the_log(tmp_path, monkeypatch, capsys):
    """Of a job that failed the demo prints code and message, and nothing of the server's log."""

    @contextmanager
    def start_server() -> Iterator[Server]:
        yield server(tmp_path, "words of the log\n")

    def fail(*_: object) -> float:
        raise demo.DemoError("The job ended as Failed: InvalidMedia: no sound")

    monkeypatch.setattr(demo, "start_server", start_server)
    monkeypatch.setattr(demo, "_job", fail)
    (tmp_path / "text.mp3").write_text("no sound")
    assert run_demo(monkeypatch, "--input", tmp_path / "text.mp3", "--output", tmp_path / "out") == 1
    assert capsys.readouterr().err == "demo: The job ended as Failed: InvalidMedia: no sound\n"


def test_make_takes_names_of_files_as_they_are(tmp_path):
    """Quotes, dollar signs and spaces in INPUT and OUTPUT reach the demo unchanged."""
    (tmp_path / "python").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "installed").touch()
    name = 'it\'s "a" $HOME $(x) `id`.mp3'
    command = ["make", "-s", "-C", ROOT, "demo", f"BIN={tmp_path}", f"STAMP={tmp_path / 'installed'}"]
    told = subprocess.run([*command, f"INPUT={name}", "OUTPUT=o $$"], check=True, capture_output=True, text=True)
    assert told.stdout.splitlines() == ["scripts/demo.py", f"--input={name}", "--output=o $$"]
