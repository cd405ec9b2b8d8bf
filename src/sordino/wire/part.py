"""Request bodies, read element by element; every refusal names the element and what is legal there.

Unknown elements are ignored, the order of elements is free, and an empty element counts as absent.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from sordino.domain.name import is_name
from sordino.errors import (
    INVALID_ARGUMENT,
    INVALID_CONTENT,
    MALFORMED_XML,
    MISSING_CONTENT,
    MISSING_REQUEST_BODY,
    NOT_IMPLEMENTED,
    ServiceError,
)
from sordino.wire import xml
from sordino.wire.words import quote

MAX_BODY_BYTES = 64 * 1024
MAX_BODY_DEPTH = 32

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Part:
    """An element and where it stands in the document."""

    element: xml.Element
    path: str

    def find(self, name: str) -> "Part | None":
        """The child of that name; None when it is absent or empty."""
        part = self.container(name)
        return None if part is None or not (part.element.text or part.element.children) else part

    def container(self, name: str) -> "Part | None":
        """The child of that name, which may be empty; None when it is absent."""
        found = self.element.all(name)
        if len(found) > 1:
            raise INVALID_ARGUMENT(f"{self.path}.{name} is given {len(found)} times; give it once.")
        return Part(found[0], f"{self.path}.{name}") if found else None

    def need_container(self, name: str) -> "Part":
        """The child of that name, which is there and may be empty."""
        part = self.container(name)
        if part is None:
            raise INVALID_ARGUMENT(f"{self.path}.{name} is missing; it may be empty, but has to be there.")
        return part

    def need(self, name: str) -> "Part":
        """The child of that name, which is there and not empty."""
        return self.required(name, self.find(name), "it is required")

    def word(self, name: str) -> str | None:
        """The child's text without the white space around it; None when nothing is left."""
        part = self.find(name)
        return (part.element.text.strip() or None) if part else None

    def checked(self, name: str, valid: Callable[[str], object], legal: str) -> str | None:
        """The child's word, for which ``valid`` must give something true; None when it is absent."""
        word = self.word(name)
        if word is not None and not valid(word):
            raise INVALID_ARGUMENT(f"{self.path}.{name} is {quote(word)}; use {legal}.")
        return word

    def need_checked(self, name: str, valid: Callable[[str], object], legal: str) -> str:
        """The same for a child that must be there."""
        return self.required(name, self.checked(name, valid, legal), f"use {legal}")

    def choice(self, name: str, legal: Iterable[_T]) -> _T | None:
        """The one of ``legal`` whose spelling is the child's word; None when it is absent."""
        options = {str(option): option for option in legal}
        word = self.checked(name, options.__contains__, f"one of {', '.join(options)}")
        return None if word is None else options[word]

    def need_choice(self, name: str, legal: Iterable[_T]) -> _T:
        """The same for a child that must be there."""
        options = tuple(legal)
        return self.required(name, self.choice(name, options), f"use one of {', '.join(map(str, options))}")

    def need_name(self, most: int) -> str:
        """The child Name, of at most so many characters."""
        legal = f"1 to {most} Chinese characters, English letters, digits, '_', '-' and '*'"
        return self.need_checked("Name", lambda word: is_name(word, most), legal)

    def whole(self, name: str, legal: range, unit: str) -> int | None:
        """The child's whole number; None when it is absent."""
        options = frozenset(map(str, legal))
        word = self.checked(name, options.__contains__, f"a whole number from {legal[0]} to {legal[-1]}, {unit}")
        return None if word is None else int(word)

    def refuse(self, name: str, what: str) -> None:
        """Answer NotImplemented when the child is there and not blank."""
        part = self.find(name)
        if part is not None and (part.element.children or part.element.text.strip()):
            raise NOT_IMPLEMENTED(f"{self.path}.{name}: {what} not offered yet by this version; leave it out.")

    def required(self, name: str, value: _T | None, hint: str) -> _T:
        """``value``, read from the child of that name; None is refused with the hint."""
        if value is None:
            raise INVALID_ARGUMENT(f"{self.path}.{name} is missing or empty; {hint}.")
        return value


def read_cos(body: bytes, root: str, most: int = MAX_BODY_BYTES) -> Part:
    """The root of a COS call's body, whose name is ``root``.

    Raises:
        ServiceError: ``MissingRequestBodyError`` without a body, ``MalformedXML`` for what is no XML of that root or
            has more than ``most`` bytes.
    """
    try:
        element = xml.parse(body, max_bytes=most, max_depth=MAX_BODY_DEPTH)
    except ServiceError as refusal:
        kind = MISSING_REQUEST_BODY if refusal.code == MISSING_CONTENT.code else MALFORMED_XML
        raise kind(refusal.message) from None
    if element.name != root:
        raise MALFORMED_XML(f"The body's root element is {quote(element.name)}; use {root}.")
    return Part(element, root)


def read_request(body: bytes) -> Part:
    """The root of a call's body.

    Raises:
        ServiceError: ``MissingContent`` without a body, ``InvalidContent`` for what is no XML of root ``Request`` or
            larger than ``MAX_BODY_BYTES``.
    """
    root = xml.parse(body, max_bytes=MAX_BODY_BYTES, max_depth=MAX_BODY_DEPTH)
    if root.name != "Request":
        raise INVALID_CONTENT(f"The body's root element is {quote(root.name)}; use Request.")
    return Part(root, "Request")
