"""What tests of every kind use: a server under test, recordings that are made here, jobs."""

import contextlib
import io
import os
import random
import socket
import time
import uuid
import wave
from pathlib import Path

import numpy as np
import pytest
from qcloud_cos import CosS3Client

from server import REGION, START_SECONDS, Server, ServerError, launch

QUICK_TAKEOVER = {"SORDINO_HEARTBEAT_SECONDS": "0.3", "SORDINO_STALLED_SECONDS": "1.5"}
"""Settings with which a dead worker is noticed soon."""


def free_port() -> int:
    """A port nobody listens on at the moment, and that the system gives to nobody who leaves the choice to it."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)  # those that Linux and others give out are above
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def start_service(data: Path, **environment: str) -> Server:
    """Start ``sordino serve`` on a data directory and wait until it is ready."""
    service = launch(data, environment)
    wait_ready(service)
    return service


def wait_ready(service: Server) -> None:
    """Return when the API says that it is ready; fail with what the server said when it does not come to that."""
    try:
        service.wait_until(service.ready, START_SECONDS, "being ready")
    except ServerError as error:
        service.process.kill()
        pytest.fail(f"{error}\n{service.log_tail(60)}")


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment without settings of the person who runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SORDINO_")}
    return kept | extra


def new_name(prefix: str) -> str:
    """A name nobody else uses, good for schemas and databases."""
    return f"{prefix}_{uuid.uuid4().hex}"


def speech_like(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """A harmonic signal with the rhythm of syllables, float64 of shape (samples,), peak about 0.5; 10 s repeat."""
    time_axis = np.arange(round(min(seconds, 10) * rate)) / rate
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * time_axis + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = sum(np.sin(k * phase) / k for k in range(1, 25) if k * 160 < rate / 2)
    rhythm = np.clip(np.sin(2 * np.pi * 2.5 * time_axis + seed), 0, None) ** 0.5
    return np.resize(0.25 * voice * rhythm, round(seconds * rate))


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
