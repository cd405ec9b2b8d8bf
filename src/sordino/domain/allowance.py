"""What accounts may ask of the server."""

from dataclasses import dataclass
from typing import Final, TypedDict

MAX_NUMBER: Final = 2**31 - 1
"""Most requests a second, of an account or a key, and most jobs that can be said."""

MAX_SECONDS: Final = 10**9
"""Most seconds of audio a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How much an account may ask of the server; None: as the server is set.

    Attributes:
        requests_per_second: of all its keys together, over a few seconds.
        queued_jobs: jobs that wait at a time, in all its queues.
        audio_seconds: seconds of audio that its jobs may read a day (UTC).
    """

    requests_per_second: int | None = None
    queued_jobs: int | None = None
    audio_seconds: int | None = None


NO_ALLOWANCE: Final = Allowance()


class NewAllowance(TypedDict, total=False):
    """What of an allowance to set; None: as the server is set."""

    requests_per_second: int | None
    queued_jobs: int | None
    audio_seconds: int | None
