"""What of COS is left out: docs/reference/left_out.toml as values."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DATA: Final = Path(__file__).resolve().parent.parent / "docs" / "reference" / "left_out.toml"


@dataclass(frozen=True, slots=True)
class Row:
    """A request, ``<method> <target>``, or a header, ``<name>: <value>``, that is refused.

    Attributes:
        purpose: what it is for.
        instead: what to do.
        status: of the refusal.
        code: of the refusal.
    """

    name: str
    purpose: str
    instead: str
    status: int
    code: str

    @property
    def is_header(self) -> bool:
        """Whether it is one."""
        return ": " in self.name


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one kind."""

    title: str
    rows: tuple[Row, ...]


def _part(data: dict[str, object]) -> Part:
    rows, status, code = data["rows"], data["status"], data["code"]
    assert isinstance(rows, list)
    assert isinstance(status, int)
    return Part(
        str(data["title"]), tuple(Row(name, purpose, instead, status, str(code)) for name, purpose, instead in rows)
    )


PARTS: Final = tuple(_part(part) for part in tomllib.loads(DATA.read_text("utf-8"))["part"])
