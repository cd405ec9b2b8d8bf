"""What the sound path is asked for and what it answers: plain values, quick to import."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from sordino.audio.errors import OrderError

SAMPLE_RATES = (8000, 12000, 16000, 24000, 32000, 44100, 48000)
"""Sample rates that can be written, Hz."""

DEFAULT_DENOISER = "dfn3"
"""Name of the engine used where none is named."""

FULL_STRENGTH = 100
"""The attenuation limit that is none, dB."""

LOUDNESS_RANGE = (-70.0, -5.0)
"""Target loudness that can be asked for, LUFS (EBU R128)."""


class MediaFormat(StrEnum):
    """Formats that can be written."""

    WAV = "wav"
    MP3 = "mp3"
    M4A = "m4a"
    FLAC = "flac"
    OPUS = "opus"
    """Opus in Ogg."""


class Channels(StrEnum):
    """What becomes of several channels."""

    MIX = "mix"
    """One channel that holds what was heard in any of them."""
    KEEP = "keep"
    """All of them, with one common gain, so that the image stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaOrder:
    """What to make.

    Attributes:
        format: container and codec of the result.
        rate: one of `SAMPLE_RATES`, Hz; None: the least of them that keeps all of the input's band, at most 48000.
        denoiser: name of the engine.
        strength: most that is taken from any sound, whole dB, 0 to 100; 0 passes all through, 100 sets no limit.
        channels: what becomes of several channels.
        loudness: integrated loudness of the result, LUFS, within `LOUDNESS_RANGE`, its true peak at most -1 dBTP;
            ``keep``: speech as loud as in the input; None: as the engine gives it.
        video: whether the video stream is carried over untouched; M4A only.

    Raises:
        OrderError: a value is out of its range, or the values do not go together.
    """

    format: MediaFormat = MediaFormat.WAV
    rate: int | None = 16000
    denoiser: str = DEFAULT_DENOISER
    strength: int = FULL_STRENGTH
    channels: Channels = Channels.MIX
    loudness: float | Literal["keep"] | None = None
    video: bool = False

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
class Dnsmos:
    """DNSMOS P.835 (Reddy et al., 2022): predicted opinion scores, 1 to 5.

    Attributes:
        signal: of the speech.
        background: of what is left of the noise; more is less noise.
        overall: of all.
    """

    signal: float
    background: float
    overall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundQuality:
    """How a recording sounds, as far as it can be measured without a clean one beside it.

    Attributes:
        noise_floor: level of the quietest parts, dBFS; None where all is digital silence.
        snr: level of the speech over the noise floor, dB; None as above.
        loudness: integrated loudness, LUFS (EBU R128); None where nothing passes its gate.
        clipped: share of samples at full scale in runs, 0 to 1.
        dnsmos: None unless the extra ``quality`` is installed.
    """

    noise_floor: float | None
    snr: float | None
    loudness: float | None
    clipped: float
    dnsmos: Dnsmos | None = None


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
        before: quality of what was decoded; None where it was not measured.
        after: quality of what was written.
        video: whether a video stream was carried over.
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
    before: SoundQuality | None = None
    after: SoundQuality | None = None
    video: bool = False
