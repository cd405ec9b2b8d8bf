"""What the sound path is asked for and what it answers: plain values, quick to import."""

from dataclasses import dataclass
from enum import StrEnum

from sordino.audio.errors import OrderError

SAMPLE_RATES = (8000, 12000, 16000, 24000, 32000, 44100, 48000)
"""Sample rates that can be written, Hz."""


class MediaFormat(StrEnum):
    """Formats that can be written."""

    WAV = "wav"
    MP3 = "mp3"
    M4A = "m4a"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaOrder:
    """What to make.

    Attributes:
        format: container and codec of the result.
        rate: one of `SAMPLE_RATES`, Hz; None: the least of them that keeps all of the input's band, at most 48000.
        denoiser: name of the engine.

    Raises:
        OrderError: the rate cannot be written.
    """

    format: MediaFormat = MediaFormat.WAV
    rate: int | None = 16000
    denoiser: str = "dfn3"

    def __post_init__(self) -> None:
        if self.rate is not None and self.rate not in SAMPLE_RATES:
            raise OrderError(f"cannot write {self.rate} Hz; use one of {', '.join(map(str, SAMPLE_RATES))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLimits:
    """What one run may use.

    Attributes:
        seconds: decoded audio, seconds.
        memory_bytes: address space beyond what the loaded engine takes, bytes.
        cpu_seconds: CPU time, whole seconds.
        wall_seconds: time from the start to the end, seconds; a run that waits for what never comes uses no CPU time.
    """

    seconds: float = 6 * 3600.0
    memory_bytes: int = 2 * 1024**3
    cpu_seconds: int = 3600
    wall_seconds: float = 7200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was made.

    Attributes:
        seconds: duration, from the number of samples written.
        rate: Hz.
        channels: number of channels.
        size: bytes of the file.
        format_name: container, FFmpeg's name.
        codec_name: codec, FFmpeg's name.
        source_rate: sample rate of the input, Hz.
        source_channels: channels of the input.
        note: what the user should know of the input's condition; empty when all is well.
    """

    seconds: float
    rate: int
    channels: int
    size: int
    format_name: str
    codec_name: str
    source_rate: int
    source_channels: int
    note: str = ""
