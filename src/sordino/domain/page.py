"""Numbered pages of a list."""

from dataclasses import dataclass
from typing import Generic, TypeVar

MAX_PAGE_SIZE = 100

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which page is asked for: ``number`` from 1, ``size`` 1 to ``MAX_PAGE_SIZE``."""

    number: int = 1
    size: int = 10

    @property
    def offset(self) -> int:
        """How many items come before it."""
        return (self.number - 1) * self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Paged(Generic[T]):
    """The items of a page, and how many there are on all pages."""

    items: tuple[T, ...]
    total: int
    page: Page
