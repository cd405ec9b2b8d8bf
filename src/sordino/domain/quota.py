"""What a bucket holds, and may hold."""

from dataclasses import dataclass
from typing import Final, TypedDict

MOST: Final = 2**63 - 1
"""Bytes, or objects, that a quota can say."""

MAX_RESULTS_DAYS: Final = 36500
"""How long a bucket can be told to keep what jobs wrote; longer is for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much a bucket may hold; None: as much as there is room for."""

    bytes: int | None = None
    objects: int | None = None

    @property
    def none(self) -> bool:
        """Whether it limits nothing."""
        return self.bytes is None and self.objects is None


NO_QUOTA = Quota()


class NewQuota(TypedDict, total=False):
    """Limits of a quota to set; None: none."""

    bytes: int | None
    objects: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a bucket holds: bytes of its objects and of the parts of unfinished uploads, and objects."""

    bytes: int = 0
    objects: int = 0


def refusal(bucket: str, unit: str, held: int, most: int) -> str:
    """What is said to whoever would make a bucket hold so many bytes or objects."""
    return (
        f"The bucket {bucket} would hold {held} {unit}; its quota is {most}. "
        "Delete objects or unfinished uploads of it, or have the quota raised (sordino admin bucket quota)."
    )
