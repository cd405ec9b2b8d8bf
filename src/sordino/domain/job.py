"""The noise reduction job: what was asked, how far it is, how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from sordino.domain.callback import QUEUE_DECIDES, JobCallback

TAG = "NoiseReduction"
QUEUE_TYPE = "Speeching"
SAMPLE_RATES = (8000, 12000, 16000, 24000, 32000, 44100, 48000)
JOB_LEVELS = (0, 1, 2)
MAX_JOB_IDS_PER_QUERY = 10
MAX_OPERATIONS = 6
MAX_JOBS_PER_PAGE = 100
MAX_USER_DATA = 1024

KEEP: Final = "keep"
"""The word by which an order leaves something as it is in the input."""

STRENGTHS = range(101)
"""Attenuation limits that can be asked for, whole dB; the last one sets no limit."""

LOUDNESS_RANGE = (Decimal(-70), Decimal(-5))
"""Loudness that can be asked for, LUFS."""


class AudioFormat(StrEnum):
    """What the job can write."""

    WAV = "wav"
    MP3 = "mp3"
    M4A = "m4a"
    FLAC = "flac"
    OPUS = "opus"
    """Opus in Ogg."""

    @property
    def sample_rates(self) -> tuple[int, ...]:
        """The rates of it, Hz. Opus knows five and no others (RFC 6716)."""
        return (8000, 12000, 16000, 24000, 48000) if self is AudioFormat.OPUS else SAMPLE_RATES

    @property
    def takes_video(self) -> bool:
        """Whether a video stream can be carried over into it."""
        return self is AudioFormat.M4A


class Channels(StrEnum):
    """What becomes of several channels."""

    MIX = "mix"
    KEEP = "keep"


class RateSpelling(StrEnum):
    """The two spellings of the rate element on the wire; a reply echoes the one it was asked with."""

    JOB = "SampleRate"
    TEMPLATE = "Samplerate"


class JobState(StrEnum):
    """States of a job as the protocol names them."""

    SUBMITTED = "Submitted"
    RUNNING = "Running"
    SUCCESS = "Success"
    FAILED = "Failed"
    PAUSE = "Pause"
    CANCEL = "Cancel"

    @property
    def terminal(self) -> bool:
        """Whether nothing can follow this state."""
        return not TRANSITIONS[self]


TRANSITIONS: Mapping[JobState, frozenset[JobState]] = MappingProxyType(
    {
        JobState.SUBMITTED: frozenset({JobState.RUNNING, JobState.PAUSE, JobState.CANCEL, JobState.FAILED}),
        JobState.PAUSE: frozenset({JobState.SUBMITTED, JobState.CANCEL}),
        # Running → Submitted: the worker stopped or died, the job waits again.
        # Running → Running: another worker took it over.
        # Running → Cancel: the operator of the service stopped it.
        JobState.RUNNING: frozenset(
            {JobState.RUNNING, JobState.SUBMITTED, JobState.SUCCESS, JobState.FAILED, JobState.CANCEL}
        ),
        JobState.SUCCESS: frozenset(),
        JobState.FAILED: frozenset(),
        JobState.CANCEL: frozenset(),
    }
)


WAITING: Final = frozenset({JobState.SUBMITTED, JobState.PAUSE})
"""States of a job that waits: only such a one can its user cancel."""


def sources(target: JobState) -> frozenset[JobState]:
    """The states from which a job may go to ``target``."""
    return frozenset(state for state, targets in TRANSITIONS.items() if target in targets)


Loudness: TypeAlias = Decimal | Literal["keep"]
"""LUFS, with the decimals they were given with, or ``keep``: speech as loud as in the input."""


def loudness(word: str) -> Loudness:
    """The loudness that a word stands for."""
    return KEEP if word == KEEP else Decimal(word)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseReduction:
    """What the output shall be.

    Beyond the first three, which are the protocol's, all are extensions of ours, and None says that the request left
    them out: it then gets what the protocol promises, and no reply shows them.

    Attributes:
        format: container and codec.
        sample_rate: Hz, one of the format's.
        spelling: how a reply spells the rate's element.
        model: name of an engine; None: the server's choice.
        strength: one of `STRENGTHS`, the most that is taken from any sound, dB; None: no limit.
        channels: None: `Channels.MIX`.
        loudness: of the result, within `LOUDNESS_RANGE` where it is a number; None: as the engine gives it.
        video: whether the video stream is carried over untouched.
    """

    format: AudioFormat = AudioFormat.WAV
    sample_rate: int = 16000
    spelling: RateSpelling = RateSpelling.JOB
    model: str | None = None
    strength: int | None = None
    channels: Channels | None = None
    loudness: Loudness | None = None
    video: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where the result goes."""

    region: str
    bucket: str
    object: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateRef:
    """The template that a job was submitted with, as it was called then."""

    template_id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRequest:
    """One Operation element of a request.

    Attributes:
        template_id: of the template to take the order from; it wins over ``noise_reduction``.
        user_data: None when the request left it out: a reply echoes only what was sent.
        job_level: as ``user_data``.
    """

    noise_reduction: NoiseReduction
    output: Output
    template_id: str | None = None
    user_data: str | None = None
    job_level: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """A validated ``POST /jobs`` body: 1 to ``MAX_OPERATIONS`` operations, each of which becomes a job."""

    input_object: str
    operations: tuple[OperationRequest, ...]
    queue_id: str | None = None
    callback: JobCallback = QUEUE_DECIDES


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a job does: ``noise_reduction`` holds the values that the template, if there is one, had at its submission.

    ``user_data`` and ``job_level`` are None when the request left them out.
    """

    noise_reduction: NoiseReduction
    output: Output
    template: TemplateRef | None = None
    user_data: str | None = None
    job_level: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dnsmos:
    """DNSMOS P.835: predicted opinion scores of the speech, of what is left of the noise, and of all; 1 to 5."""

    signal: float
    background: float
    overall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundQuality:
    """How a recording sounds, as far as it can be measured without a clean one beside it; None: it cannot.

    Attributes:
        noise_floor: level of the quietest parts, dBFS.
        snr: level of the speech over the noise floor, dB.
        loudness: integrated loudness, LUFS.
        clipped: share of samples at full scale in runs, 0 to 1.
        dnsmos: None unless the server measures it.
    """

    noise_floor: float | None
    snr: float | None
    loudness: float | None
    clipped: float
    dnsmos: Dnsmos | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """True values of the file that was written.

    Attributes:
        duration: seconds, from the number of samples.
        sample_rate: Hz.
        channels: number of channels.
        size: bytes of the file.
        format_name: container, FFmpeg's name.
        codec_name: codec, FFmpeg's name.
        video: whether it has a video stream beside the audio.
        before: quality of the input; None where it was not measured.
        after: quality of the result; None as above.
        md5: of the file's bytes, hex; None until it is stored, and for jobs of versions that did not note it.
    """

    duration: float
    sample_rate: int
    channels: int
    size: int
    format_name: str
    codec_name: str
    video: bool = False
    before: SoundQuality | None = None
    after: SoundQuality | None = None
    md5: str | None = None

    @property
    def bitrate(self) -> float:
        """Of the whole file, bits per second."""
        return self.size * 8 / self.duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as stored.

    ``attempt`` counts how often a worker began it and fences late writers: only the latest attempt may finish it.
    ``release`` counts how often it was handed to the task engine: a task of an earlier release is void.
    ``code`` and ``message`` mean something once ``state`` is terminal; ``message`` may carry a note on success.
    """

    job_id: str
    bucket: str
    region: str
    queue_id: str
    input_object: str
    operation: Operation
    created_at: datetime
    state: JobState = JobState.SUBMITTED
    started_at: datetime | None = None
    ended_at: datetime | None = None
    code: str = "Success"
    message: str = ""
    progress: int = 0
    attempt: int = 0
    release: int = 0
    media_info: MediaInfo | None = None
    callback: JobCallback = QUEUE_DECIDES

    @property
    def level(self) -> int:
        """Priority, 0-2; larger goes first."""
        return self.operation.job_level or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LostAttempt:
    """A running attempt whose worker vanished, and how many of the job's attempts were lost so by now."""

    job: Job
    losses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended: ``Success`` or ``Failed`` with a protocol code and a message that helps."""

    state: JobState
    code: str = "Success"
    message: str = ""
    media_info: MediaInfo | None = None


class Order(StrEnum):
    """By time of creation."""

    DESCENDING = "Desc"
    ASCENDING = "Asc"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs of a bucket to list; None, and no states, ask for all. The times are inclusive."""

    states: frozenset[JobState] = frozenset()
    queue_id: str | None = None
    input_object: str | None = None
    created_from: datetime | None = None
    created_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCursor:
    """The place in a list after one job."""

    created_at: datetime
    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobListing:
    """One page of a list of jobs; ``next`` is where the following one begins, None at the end."""

    jobs: tuple[Job, ...]
    next: JobCursor | None
