"""One run of all that a job may use: what is loaded on first use is loaded before the files are out of reach."""

import io
import pkgutil
import tempfile
import traceback
import wave
from importlib import import_module

import av
import numpy as np

from sordino.audio import dnsmos
from sordino.audio.errors import MediaError
from sordino.audio.formats import DETAILS
from sordino.audio.order import Channels, MediaFormat, MediaOrder
from sordino.audio.process import process

_RATE = 48_000


def rehearse(denoiser: str) -> None:
    """Load the engine and run it, every output format, every option, and a refusal; load what scores long recordings.

    Raises:
        UnknownDenoiserError: there is no engine of that name.
    """
    _import_all_of_av()
    dnsmos.load()
    recording = _recording()
    _perform(recording, MediaOrder(denoiser=denoiser))
    for form in DETAILS:
        _perform(recording, MediaOrder(format=form, denoiser="off"))
    _perform(
        recording,
        MediaOrder(
            format=MediaFormat.M4A,
            rate=None,
            denoiser="off",
            strength=20,
            channels=Channels.KEEP,
            loudness=-20.0,
            video=True,
        ),
    )
    _refuse()


def _import_all_of_av() -> None:
    """PyAV imports the module of a kind of stream when it first meets one."""
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.endswith("__main__"):
            import_module(module.name)


def _recording() -> bytes:
    """A second of stereo noise as a WAV file."""
    noise = np.random.default_rng(1).integers(-8000, 8000, (_RATE, 2), np.int16)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(_RATE)
        writer.writeframes(noise.tobytes())
    return file.getvalue()


def _perform(recording: bytes, order: MediaOrder) -> None:
    with tempfile.TemporaryFile() as target:
        process(io.BytesIO(recording), target, order)


def _refuse() -> None:
    try:
        _perform(b"no media", MediaOrder(denoiser="off"))
    except MediaError as error:
        traceback.print_exception(error, file=io.StringIO())
