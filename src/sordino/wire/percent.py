"""Strict percent-decoding of request targets."""

import re
from urllib.parse import unquote_to_bytes

from sordino.errors import INVALID_URI

_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def decode(raw: bytes) -> str:
    """Decode every escape of ``raw`` once; nothing else changes (no collapsing of ``//``, ``.`` or ``+``).

    Args:
        raw: part of a request target as received; bytes above 0x7F are taken as UTF-8.

    Raises:
        ServiceError: ``InvalidURI`` for a broken escape, text that is not UTF-8, or a NUL.
    """
    if _BROKEN_ESCAPE.search(raw):
        raise INVALID_URI(
            "A '%' in the request target is not followed by two hex digits; send '%25' for a literal one."
        )
    try:
        text = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise INVALID_URI("The request target is not UTF-8.") from None
    if "\0" in text:
        raise INVALID_URI("The request target holds a NUL character.")
    return text
