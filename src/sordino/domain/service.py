"""The services that are open on a bucket."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sordino.domain.bucket import Bucket


class ServiceKind(StrEnum):
    """The switches of CI. Noise reduction belongs to speech; the others are kept for programs that set them."""

    SPEECH = "speech"
    AI = "ai"
    MEDIA = "media"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A service that is open on a bucket.

    ``automatic`` says that it came with the bucket: the first call that opens it then succeeds, as it would on a
    bucket that nobody has opened it on, and makes it the user's.
    """

    bucket: Bucket
    kind: ServiceKind
    opened_at: datetime
    automatic: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BindingFilter:
    """Which open services to list; an empty value asks for all."""

    regions: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    prefix: str = ""
