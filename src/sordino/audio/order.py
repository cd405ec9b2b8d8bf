"""What the sound path is asked for and what it answers: plain values, quick to import."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeVar

from sordino.audio.errors import OrderError
from sordino.denoisers.default import default

SAMPLE_RATES = (8000, 12000, 16000, 24000, 32000, 44100, 48000)
"""Sample rates that can be written, Hz."""

DEFAULT_DENOISER = default()
"""Name of the engine used where none is named."""

FULL_STRENGTH = 100
"""The attenuation limit that is none, dB."""

LOUDNESS_RANGE = (-70.0, -5.0)
"""Target loudness that can be asked for, LUFS (EBU R128)."""

Kind = TypeVar("Kind", bound=StrEnum)


class MediaFormat(StrEnum):
    """Formats that can be written."""

    WAV = "wav"
    MP3 = "mp3"
    M4A = "m4a"
    FLAC = "flac"
    OPUS = "opus"
    """Opus in Ogg."""

    @property
    def rates(self) -> tuple[int, ...]:
        """Sample rates that it takes, Hz, ascending; Opus knows five (RFC 6716, section 2)."""
        return (8000, 12000, 16000, 24000, 48000) if self is MediaFormat.OPUS else SAMPLE_RATES

    @property
    def max_channels(self) -> int:
        """Most channels that are written into it."""
        return {MediaFormat.WAV: 64, MediaFormat.MP3: 2}.get(self, 8)


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
        rate: one of the format's rates, Hz; None: the least of them that keeps all of the input's band, at most 48000.
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
        object.__setattr__(self, "format", _member(MediaFormat, "write", self.format))
        object.__setattr__(self, "channels", _member(Channels, "make channels", self.channels))
        if self.rate is not None and (type(self.rate) is not int or self.rate not in self.format.rates):
            rates = ", ".join(map(str, self.format.rates))
            raise OrderError(f"cannot write {self.rate!r} Hz as {self.format}; use one of {rates}")
        if type(self.strength) is not int or not 0 <= self.strength <= FULL_STRENGTH:
            raise OrderError(f"strength must be a whole number, 0 to {FULL_STRENGTH} dB, not {self.strength!r}")
        if self.loudness is not None and self.loudness != "keep" and not _is_loudness(self.loudness):
            low, high = LOUDNESS_RANGE
            raise OrderError(f"loudness must be {low:g} to {high:g} LUFS, or keep, not {self.loudness!r}")
        if self.video and self.format is not MediaFormat.M4A:
            raise OrderError(f"video can be kept in m4a only, not in {self.format}; choose m4a, or leave the video out")


def _member(kind: type[Kind], verb: str, value: str) -> Kind:
    """The member of ``kind`` that ``value`` is or names, as it does in JSON."""
    if value not in list(kind):
        raise OrderError(f"cannot {verb} {value!r}; use {', '.join(kind)}")
    return kind(value)


def _is_loudness(value: object) -> bool:
    low, high = LOUDNESS_RANGE
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and low <= value <= high


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
        snr: estimate of the level of the speech over that of the noise in its pauses, dB; None as above.
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
