"""What tests of every kind use: a service under test, recordings that are made here, jobs."""

import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from qcloud_cos import CosConfig, CosS3Client

REGION = "ap-guangzhou"
START_SECONDS = 120


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass
class Service:
    """A running ``sordino serve`` with its root key."""

    process: subprocess.Popen[bytes]
    data: Path
    port: int
    log: Path

    @property
    def key(self) -> dict[str, str]:
        """The lines of the root key's file."""
        lines = (self.data / "root-key.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def appid(self) -> str:
        """The root account's APPID."""
        return self.key["SORDINO_APPID"]

    def client(self, **options: object) -> CosS3Client:
        """The official SDK in its proxy mode, or with the options given instead."""
        options = options or {"Proxies": {"http": self.url}}
        return CosS3Client(
            CosConfig(
                Region=REGION,
                SecretId=self.key["SORDINO_SECRET_ID"],
                SecretKey=self.key["SORDINO_SECRET_KEY"],
                Scheme="http",
                **options,
            ),
            retry=1,
        )

    def children(self) -> dict[int, str]:
        """Process ids of the service's own processes (api, worker) and their command lines."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                parent = int(re.search(r"^PPid:\s*(\d+)", (entry / "status").read_text(), re.MULTILINE)[1])
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (OSError, TypeError):
                continue  # it ended while we looked
            if parent == self.process.pid and "-m sordino" in command:
                found[int(entry.name)] = command
        return found

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        return [pid for pid, command in self.children().items() if "sordino worker" in command]

    def wait_ready(self) -> None:
        """Return when the API says that it is ready."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as reply:
                    if reply.status == 200:
                        return
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(
                    f"sordino serve did not get ready (exit {self.process.poll()}):\n{self.log.read_text()[-4000:]}"
                )
            time.sleep(0.1)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)


def start_service(data: Path, port: int | None = None, **environment: str) -> Service:
    """Start ``sordino serve`` on a data directory and wait until it is ready."""
    port = port or free_port()
    log = data.parent / f"{data.name}.log"
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "sordino", "serve", "--data", str(data), "--port", str(port)],
            env=clean_environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    service = Service(process, data, port, log)
    service.wait_ready()
    return service


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment without settings of the person who runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SORDINO_")}
    return kept | extra


def reachable(directory: Path) -> Path:
    """Let the embedded database's account pass through pytest's private directories when the tests run as root."""
    if os.geteuid() == 0:
        for path in (directory, *directory.parents):
            if path.owner() != "root" or path.stat().st_mode & 0o001:
                continue
            path.chmod(path.stat().st_mode | 0o011)
    return directory


def speech_like(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """A harmonic signal with the rhythm of syllables, float64 of shape (samples,), peak about 0.5."""
    time_axis = np.arange(round(seconds * rate)) / rate
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * time_axis + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = sum(np.sin(k * phase) / k for k in range(1, 25) if k * 160 < rate / 2)
    rhythm = np.clip(np.sin(2 * np.pi * 2.5 * time_axis + seed), 0, None) ** 0.5
    return 0.25 * voice * rhythm


def noisy_speech(seconds: float, rate: int = 16000, seed: int = 0) -> np.ndarray:
    """The same in white noise at about 15 dB."""
    noise = np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return speech_like(seconds, rate, seed) + 0.02 * noise


def wav_bytes(samples: np.ndarray, rate: int) -> bytes:
    """A 16-bit mono WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def read_wav(content: bytes) -> tuple[np.ndarray, int]:
    """Samples of a 16-bit mono WAV file and its rate."""
    with wave.open(io.BytesIO(content)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
        return samples, file.getframerate()


def job_body(target_bucket: str, target: str, source: str = "in.wav", **noise_reduction: str) -> dict[str, object]:
    """A job as the SDK's dictionaries write it."""
    return {
        "Tag": "NoiseReduction",
        "Input": {"Object": source},
        "Operation": {
            "NoiseReduction": {"Format": "wav", "SampleRate": "16000"} | noise_reduction,
            "Output": {"Region": REGION, "Bucket": target_bucket, "Object": target},
            "UserData": "ticket-42",
            "JobLevel": "1",
        },
    }


def wait_for_jobs(
    client: CosS3Client, bucket: str, job_ids: list[str], seconds: float = 120
) -> dict[str, dict[str, object]]:
    """Poll until all jobs have ended; the JobsDetail of each by id."""
    deadline = time.monotonic() + seconds
    details: dict[str, dict[str, object]] = {}
    while time.monotonic() < deadline:
        for start in range(0, len(job_ids), 10):
            reply = client.ci_get_media_jobs(Bucket=bucket, JobIDs=",".join(job_ids[start : start + 10]))
            details |= {detail["JobId"]: detail for detail in reply["JobsDetail"]}
        if all(details[job]["State"] in ("Success", "Failed", "Cancel") for job in job_ids):
            return details
        time.sleep(0.3)
    pytest.fail(f"jobs did not end within {seconds} s: {[(d['JobId'], d['State']) for d in details.values()]}")
