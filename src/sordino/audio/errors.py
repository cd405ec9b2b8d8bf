"""Why a media file could not be processed."""

from enum import StrEnum


class MediaReason(StrEnum):
    """Kinds of fault of an input or of its order; none of them is cured by trying again."""

    UNSUPPORTED = "unsupported"
    """Not media, of an unknown kind, or too damaged to read."""
    NO_AUDIO = "no-audio"
    """Media without an audio stream."""
    EMPTY = "empty"
    """An audio stream without a sample."""
    TOO_LONG = "too-long"
    """More audio than the limit allows."""
    REFUSED = "refused"
    """A playlist or description that points at other resources."""
    RESOURCE = "resource"
    """The memory, CPU time or output size allowed was used up."""


class MediaError(Exception):
    """The input cannot be processed.

    Attributes:
        reason: the kind of fault.
        message: what went wrong and what to do, for the user.
    """

    def __init__(self, reason: MediaReason, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message


class MediaCrashedError(Exception):
    """The media process died by no limit of its own: the server's fault, and worth another try."""


class EngineError(Exception):
    """The engine cannot be loaded on this machine; trying again does not help until someone mends it."""


class OrderError(ValueError):
    """The order is wrong, whatever the input: an unknown format or rate, or a target that must not be written."""
