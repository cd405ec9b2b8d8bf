"""XML in, hardened, and XML out, always well-formed."""

import codecs
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from lxml import etree

from sordino.errors import CONTENT_TOO_LARGE, INVALID_CONTENT, MISSING_CONTENT

Content: TypeAlias = "str | int | Sequence[Node]"
"""What a written element holds: text, a whole number, or further elements."""
Node: TypeAlias = "tuple[str, Content]"
"""An element to write: its name and content."""

TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
"""The name of a node that becomes the attribute ``xsi:type`` of the element it stands in."""

MAX_ELEMENTS = 100_000
"""More than any document of the protocol has; one that is written in four bytes takes a hundred times their room."""

_DECLARED_ENCODING = re.compile(rb"""<\?xml\s[^>]*?\bencoding\s*=\s*["']([^"'>]*)""")
_UTF_8 = frozenset({b"utf-8", b"utf8"})
# The complement of XML 1.0's Char production.
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Element:
    """A read element, without attributes, comments and namespaces.

    Attributes:
        name: local name.
        text: the characters directly inside, as written.
        children: the elements directly inside, in document order.
    """

    name: str
    text: str
    children: tuple["Element", ...]

    def all(self, name: str) -> tuple["Element", ...]:
        """The children of that name."""
        return tuple(child for child in self.children if child.name == name)


def parse(body: bytes, *, max_bytes: int, max_depth: int) -> Element:
    """Read a document and return its root.

    Only what the protocol needs is accepted: UTF-8 (with or without a byte order mark and declaration), no DOCTYPE and
    so no entities of the document's own, nothing fetched. Reading stops at the first offence, so hostile documents
    cost no more than the bytes before it.

    Args:
        body: the document.
        max_bytes: largest accepted body, bytes.
        max_depth: deepest accepted nesting; the root alone is 1.

    Raises:
        ServiceError: ``MissingContent`` when there is no body, ``InvalidContent`` when it is too large (413), too
            deep, of too many elements, no well-formed XML or uses what is refused above.
    """
    if len(body) > max_bytes:
        raise CONTENT_TOO_LARGE(f"The body has {len(body)} bytes; this call accepts {max_bytes}.")
    text = body.removeprefix(codecs.BOM_UTF8)
    if not text.strip():
        raise MISSING_CONTENT()
    declared = _DECLARED_ENCODING.match(text)
    if declared is not None and declared[1].lower() not in _UTF_8:
        raise INVALID_CONTENT("The body declares another encoding; send UTF-8.")
    builder = _Builder(max_depth)
    parser = etree.XMLParser(
        target=builder,  # type: ignore[arg-type]  # the stubs ask for more than lxml does, and for bytes
        encoding="utf-8",
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
    )
    try:
        etree.fromstring(text, parser)
    except etree.XMLSyntaxError as error:
        reason = " ".join(str(error.msg).split())[:200]
        raise INVALID_CONTENT(f"The body is not well-formed XML: {reason}.") from None
    return builder.root()


@dataclass(slots=True)
class _Open:
    """An element whose end has not come yet."""

    name: str
    text: list[str] = field(default_factory=list)
    children: list[Element] = field(default_factory=list)


class _Builder:
    """The parser's target: receives its events and refuses while they come."""

    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth
        self._left = MAX_ELEMENTS
        self._open = [_Open("")]

    def root(self) -> Element:
        return self._open[0].children[0]

    def doctype(self, name: str | None, public_id: str | None, system_url: str | None) -> None:  # noqa: ARG002
        raise INVALID_CONTENT("The body has a DOCTYPE; leave it out.")

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:  # noqa: ARG002
        if len(self._open) > self._max_depth:
            raise INVALID_CONTENT(f"The body nests elements deeper than {self._max_depth}.")
        self._left -= 1
        if self._left < 0:
            raise INVALID_CONTENT(f"The body has more than {MAX_ELEMENTS} elements.")
        self._open.append(_Open(tag.rpartition("}")[2]))

    def data(self, text: str) -> None:
        self._open[-1].text.append(text)

    def end(self, tag: str) -> None:  # noqa: ARG002
        done = self._open.pop()
        self._open[-1].children.append(Element(done.name, "".join(done.text), tuple(done.children)))

    def close(self) -> None:
        """Called by the parser at the end; the elements wait in ``root``."""


def document(name: str, content: Content) -> bytes:
    """Write a document of root ``name``, UTF-8, with an XML declaration.

    Characters that XML cannot carry (control characters, lone surrogates) become U+FFFD.

    Args:
        name: the root element.
        content: its elements, in order, or its text.
    """
    root = etree.Element(name)
    _fill(root, content)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)


def known(children: "Mapping[str, Content | None]") -> "list[Node]":
    """The children that have a value."""
    return [(name, content) for name, content in children.items() if content is not None]


def _fill(parent: etree._Element, content: Content) -> None:
    if isinstance(content, str | int):
        parent.text = _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", str(content)) or None
        return
    for name, inner in content:
        if name == TYPE:
            parent.set(TYPE, str(inner))
        else:
            _fill(etree.SubElement(parent, name), inner)
