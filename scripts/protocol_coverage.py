"""What becomes of each part of the protocol: docs/reference/coverage.toml as values."""

import importlib.util
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
DATA: Final = ROOT / "docs" / "reference" / "coverage.toml"
TESTS: Final = ROOT / "tests"
LATER: Final = ("later", "not offered")
"""How the deed of a row says that the product does not do it; it may stand behind what it does, after a semicolon."""


class Origin(StrEnum):
    """Where a rule comes from."""

    DOCUMENTED = "D"
    SEEN = "S"
    OURS = "U"

    @property
    def words(self) -> str:
        """As the page says it."""
        return {"D": "documented", "S": "seen in an SDK", "U": "our choice"}[self]


@dataclass(frozen=True, slots=True)
class Row:
    """An element, parameter or header.

    Attributes:
        deed: what Sordino does with it.
        test: the one that drives it, ``file::name`` below tests/.
    """

    name: str
    deed: str
    origin: Origin
    test: str

    @property
    def covered(self) -> bool:
        """Whether the product does what the protocol says of it, and all of it."""
        return not any(part.strip().startswith(LATER) for part in self.deed.split(";"))


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one call, or of one side of it."""

    id: str
    title: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Where an error of the catalogue occurs, and the test that meets it."""

    where: str
    test: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """All of it.

    Attributes:
        errors: by the name of the constant.
        unused: codes of the vendor's tables that never occur, with the reason.
    """

    parts: tuple[Part, ...]
    errors: Mapping[str, Occurrence]
    unused: Mapping[str, str]

    @property
    def rows(self) -> tuple[Row, ...]:
        """Those of all parts."""
        return tuple(row for part in self.parts for row in part.rows)

    @property
    def tests(self) -> Iterator[str]:
        """All tests that are named."""
        yield from (row.test for row in self.rows)
        yield from (occurrence.test for occurrence in self.errors.values())

    def part(self, name: str) -> Part:
        """The part of that id."""
        return next(part for part in self.parts if part.id == name)


def load(path: Path = DATA) -> Coverage:
    """Read the data."""
    data = tomllib.loads(path.read_text("utf-8"))
    return Coverage(
        parts=tuple(
            _part(part["id"], part["title"], part["heads"], part["test"], part["rows"]) for part in data["part"]
        ),
        errors={name: Occurrence(*occurrence) for name, occurrence in data["errors"].items()},
        unused=data["unused"],
    )


def _part(name: str, title: str, heads: list[str], test: str, rows: list[list[str]]) -> Part:
    return Part(name, title, tuple(heads), tuple(_row(test, *row) for row in rows))


def _row(standard: str, name: str, deed: str, origin: str, test: str = "") -> Row:
    return Row(name, deed, Origin(origin), test or standard)


def sdk_calls() -> ModuleType:
    """The table of the official SDKs' calls that the tests drive."""
    spec = importlib.util.spec_from_file_location("sdk_calls", TESTS / "sdk" / "calls.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look there
    spec.loader.exec_module(module)
    return module
