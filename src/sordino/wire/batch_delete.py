"""Multiple Delete: the keys that a request names, and what became of each."""

from collections.abc import Mapping
from dataclasses import dataclass

from sordino.domain.bucket import MAX_KEY_BYTES
from sordino.errors import KEY_TOO_LONG, MALFORMED_XML, NOT_IMPLEMENTED, ServiceError
from sordino.wire import xml
from sordino.wire.copy_source import CURRENT
from sordino.wire.part import Part
from sordino.wire.words import quote

ROOT = "Delete"
MAX_KEYS = 1000
MAX_BYTES = 8 << 20
"""Of a body: room for ``MAX_KEYS`` of the longest keys, every character of them escaped."""


@dataclass(frozen=True, slots=True)
class BatchDelete:
    """The keys to delete, in the order given and each once, and those that cannot be, with the reason.

    Attributes:
        quiet: whether only failures are told.
    """

    keys: tuple[str, ...]
    refused: Mapping[str, ServiceError]
    quiet: bool


def parse_batch_delete(request: Part) -> BatchDelete:
    """Read the body. Keys are kept as written, white space at their ends included.

    Raises:
        ServiceError: MalformedXML.
    """
    objects = request.element.all("Object")
    if not 1 <= len(objects) <= MAX_KEYS:
        raise MALFORMED_XML(f"The body names {len(objects)} objects; name 1 to {MAX_KEYS}.")
    refused: dict[str, ServiceError] = {}
    keys: dict[str, None] = {}
    for entry in objects:
        key = _text(entry, "Key")
        if not key:
            raise MALFORMED_XML("An Object has no Key, or an empty one.")
        refusal = _refusal(key, _text(entry, "VersionId"))
        if refusal is None:
            keys[key] = None
        else:
            refused[key] = refusal
    return BatchDelete(tuple(keys), refused, quiet=_quiet(request.element))


def render_batch_delete(request: BatchDelete, failed: Mapping[str, ServiceError]) -> bytes:
    """The reply: what was deleted, unless only failures are to be told, and what was not.

    Args:
        request: what was asked.
        failed: the keys of the request that could not be deleted, with the reason.
    """
    deleted: list[xml.Node] = [("Deleted", [("Key", key)]) for key in request.keys if key not in failed]
    errors: list[xml.Node] = [
        ("Error", [("Key", key), ("Code", refusal.code), ("Message", refusal.message)])
        for key, refusal in {**request.refused, **failed}.items()
    ]
    return xml.document("DeleteResult", [*([] if request.quiet else deleted), *errors])


def _text(entry: xml.Element, name: str) -> str:
    found = entry.all(name)
    if len(found) > 1:
        raise MALFORMED_XML(f"{name} is given {len(found)} times; give it once.")
    if found and found[0].children:
        # Its own text alone would be the key of another object.
        raise MALFORMED_XML(f"{name} holds elements; it is text alone.")
    return found[0].text if found else ""


def _refusal(key: str, version: str) -> ServiceError | None:
    if len(key.encode()) > MAX_KEY_BYTES:
        return KEY_TOO_LONG()
    if version.strip() not in ("", CURRENT):
        return NOT_IMPLEMENTED("Versions are not offered: leave VersionId out.")
    return None


def _quiet(request: xml.Element) -> bool:
    word = _text(request, "Quiet").strip().lower()
    if word not in ("", "true", "false"):
        raise MALFORMED_XML(f"Quiet is {quote(word)}; use true or false.")
    return word == "true"
