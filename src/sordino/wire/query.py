"""The query of a request: an ordered list of names and values."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from sordino.errors import INVALID_ARGUMENT
from sordino.wire import percent
from sordino.wire.words import comma_list, quote

MAX_PAIRS = 256

_WHOLE = re.compile(r"[0-9]{1,9}")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Query:
    """Decoded pairs in the order received; names are case-sensitive and may repeat.

    ``name in query`` tells whether a flag such as ``?cancel`` (or ``?cancel=``) was sent.
    """

    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, raw: bytes) -> "Query":
        """Split at ``&`` only (presigned URLs of the Node SDK hold raw ``;``) and decode.

        ``+`` is a space: the Python SDK (through requests) and the Go SDK write a space so, and every official SDK
        writes a plus as ``%2B``.

        Args:
            raw: the query as received, without the ``?``.

        Raises:
            ServiceError: ``InvalidURI`` for a broken escape, text that is not UTF-8, or a NUL; ``InvalidArgument`` for
                more than ``MAX_PAIRS``, so that no request costs much before its signature is known to be good.
        """
        if raw.count(b"&") >= MAX_PAIRS:
            raise INVALID_ARGUMENT(f"The query has more than {MAX_PAIRS} parameters.")
        return cls(tuple(_split(field) for field in raw.split(b"&") if field))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    def __contains__(self, name: object) -> bool:
        return any(name == key for key, _ in self.pairs)

    def get(self, name: str) -> str | None:
        """The value of a parameter; None when it is absent or empty, which the protocol takes for the same.

        Raises:
            ServiceError: ``InvalidArgument`` when the parameter is repeated.
        """
        values = [value for key, value in self.pairs if key == name]
        if len(values) > 1:
            raise INVALID_ARGUMENT(f"The query parameter '{name}' is given {len(values)} times; give it once.")
        return values[0] or None if values else None

    def choice(self, name: str, legal: Iterable[_T]) -> _T | None:
        """The one of ``legal`` whose spelling is the parameter's value; None when it is absent or empty.

        Raises:
            ServiceError: ``InvalidArgument``.
        """
        word = self.get(name)
        options = {str(option): option for option in legal}
        if word is not None and word not in options:
            raise INVALID_ARGUMENT(f"The query parameter {name} is {quote(word)}; use one of {', '.join(options)}.")
        return None if word is None else options[word]

    def whole(self, name: str, legal: range, default: int) -> int:
        """The parameter's whole number, ``default`` when it is absent or empty.

        Raises:
            ServiceError: ``InvalidArgument``.
        """
        word = self.get(name)
        if word is None:
            return default
        if _WHOLE.fullmatch(word) is None or int(word) not in legal:
            raise INVALID_ARGUMENT(
                f"The query parameter {name} is {quote(word)}; use a whole number from {legal[0]} to {legal[-1]}."
            )
        return int(word)

    def words(self, name: str) -> tuple[str, ...]:
        """The parts of a comma list, each once, in the order given, without the white space around them.

        Raises:
            ServiceError: ``InvalidArgument``.
        """
        return comma_list(self.get(name) or "")


def _split(field: bytes) -> tuple[str, str]:
    name, _, value = field.replace(b"+", b" ").partition(b"=")
    return percent.decode(name), percent.decode(value)
