"""The noise reduction job: what was asked, how far it is, how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

TAG = "NoiseReduction"
QUEUE_TYPE = "Speeching"
SAMPLE_RATES = (8000, 12000, 16000, 24000, 32000, 44100, 48000)
JOB_LEVELS = (0, 1, 2)
MAX_JOB_IDS_PER_QUERY = 10
MAX_USER_DATA = 1024


class AudioFormat(StrEnum):
    """Containers the job can write."""

    WAV = "wav"
    MP3 = "mp3"
    M4A = "m4a"


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
        JobState.RUNNING: frozenset({JobState.RUNNING, JobState.SUBMITTED, JobState.SUCCESS, JobState.FAILED}),
        JobState.SUCCESS: frozenset(),
        JobState.FAILED: frozenset(),
        JobState.CANCEL: frozenset(),
    }
)


def sources(target: JobState) -> frozenset[JobState]:
    """The states from which a job may go to ``target``."""
    return frozenset(state for state, targets in TRANSITIONS.items() if target in targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseReduction:
    """What the output shall be: container and sample rate in Hz, with the spelling of the rate to echo."""

    format: AudioFormat = AudioFormat.WAV
    sample_rate: int = 16000
    spelling: RateSpelling = RateSpelling.JOB


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where the result goes."""

    region: str
    bucket: str
    object: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One Operation element of a request.

    ``user_data`` and ``job_level`` are None when the request left them out: a reply echoes only what was sent.
    """

    noise_reduction: NoiseReduction
    output: Output
    user_data: str | None = None
    job_level: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """A validated ``POST /jobs`` body."""

    input_object: str
    operation: Operation
    queue_id: str | None = None


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
    """

    duration: float
    sample_rate: int
    channels: int
    size: int
    format_name: str
    codec_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as stored.

    ``attempt`` counts how often a worker began it and fences late writers: only the latest attempt may finish it.
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
    media_info: MediaInfo | None = None

    @property
    def level(self) -> int:
        """Priority, 0-2; larger goes first."""
        return self.operation.job_level or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended: ``Success`` or ``Failed`` with a protocol code and a message that helps."""

    state: JobState
    code: str = "Success"
    message: str = ""
    media_info: MediaInfo | None = None
