"""Access control lists, as far as they are offered: the owner's alone, or readable by anybody."""

from enum import StrEnum
from typing import Final

READING: Final = frozenset({"cos:GetObject", "cos:HeadObject", "cos:GetBucket", "cos:HeadBucket"})
"""What access control lists can open to everybody."""


class Acl(StrEnum):
    """Who may read an object, or every object of a bucket that says nothing else.

    Attributes:
        DEFAULT: as the bucket says; of objects only.
        PRIVATE: whom policies allow.
        PUBLIC_READ: anybody, unsigned.
    """

    DEFAULT = "default"
    PRIVATE = "private"
    PUBLIC_READ = "public-read"

    def within(self, bucket: "Acl") -> "Acl":
        """What the list of an object comes to in a bucket of that list."""
        return bucket if self is Acl.DEFAULT else self
