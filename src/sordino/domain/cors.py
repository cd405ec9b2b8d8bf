"""Cross-origin resource sharing: which web pages of other origins may use a bucket, and what of its replies they see.

Browsers ask before requests that a page could not make by a form (a preflight), and keep replies from pages that are
not allowed. The rules protect the users of browsers alone: whoever speaks HTTP by himself is held by his signature.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

MAX_RULES = 100
MAX_ASKED_HEADERS = 100
"""Headers that a preflight may ask for: each is compared with every rule, before anybody has signed anything."""

_ORIGIN = re.compile(r"\*|[a-z0-9+.*-]+://[a-z0-9.:*\[\]_-]+|\*[a-z0-9.:*_-]+", re.IGNORECASE)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")


class CorsMethod(StrEnum):
    """The methods that rules can name; OPTIONS is the browser's own."""

    GET = "GET"
    PUT = "PUT"
    POST = "POST"
    DELETE = "DELETE"
    HEAD = "HEAD"


@dataclass(frozen=True, slots=True, kw_only=True)
class CorsRule:
    """Pages of which origins may send which requests, and see what of the replies.

    Attributes:
        origins: ``<scheme>://<host>[:<port>]``, with one ``*`` at most, which stands for any characters.
        methods: of the requests.
        headers: names of request headers, in any case, with one ``*`` at most each.
        exposed: names of reply headers that pages see, likewise.
        max_age: how long browsers may remember the answer to a preflight, seconds; None: as they like.
        rule_id: what the client calls it; it decides nothing.
    """

    origins: tuple[str, ...]
    methods: tuple[CorsMethod, ...]
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    max_age: int | None = None
    rule_id: str | None = None

    def allows(self, origin: str, method: str, headers: Iterable[str] = ()) -> bool:
        """Whether a page of that origin may send such a request."""
        return (
            method in self.methods
            and matches_any(self.origins, origin)
            and all(matches_any(self.headers, header) for header in headers)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors:
    """The rules of a bucket, the first of which that allows a request counts.

    Attributes:
        vary: whether replies to requests without an origin say, too, that they differ by it (``Vary: Origin``).
    """

    rules: tuple[CorsRule, ...]
    vary: bool = False

    def rule_for(self, origin: str, method: str, headers: Sequence[str] = ()) -> CorsRule | None:
        """The rule that allows a page of that origin to send such a request, or None."""
        if len(headers) > MAX_ASKED_HEADERS:
            return None
        return next((rule for rule in self.rules if rule.allows(origin, method, headers)), None)

    @classmethod
    def of_origins(cls, text: str) -> Self:
        """What a comma list of origins comes to, whose pages may do and see everything; empty: no rule.

        Raises:
            ValueError: with what is wrong.
        """
        origins = tuple(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))
        for origin in origins:
            if not is_origin(origin):
                raise ValueError(f"{origin!r} is no origin; {ORIGIN_FORM}")
        rule = CorsRule(origins=origins, methods=tuple(CorsMethod), headers=("*",), exposed=ALL_HEADERS, max_age=600)
        return cls(rules=(rule,) if origins else ())


ORIGIN_FORM = "write <scheme>://<host>[:<port>] without a path, with at most one *, or * alone"

ALL_HEADERS = (
    "ETag",
    "Content-Length",
    "Content-Range",
    "Content-Disposition",
    "Content-Encoding",
    "Accept-Ranges",
    "Date",
    "x-cos-*",
    "x-ci-*",
)
"""What a page sees of replies under the server's own rule, beside what browsers show to every page."""

NO_CORS = Cors(rules=())


def is_origin(text: str) -> bool:
    """Whether it can stand for origins in a rule."""
    return _ORIGIN.fullmatch(text) is not None and text.count("*") <= 1 and len(text) <= 255


def is_header(text: str) -> bool:
    """Whether it can stand for names of headers in a rule."""
    return _HEADER.fullmatch(text) is not None and text.count("*") <= 1


def matches_any(patterns: Iterable[str], text: str) -> bool:
    """Whether one of the patterns stands for the text, in any case; the first ``*`` of each is any characters."""
    lower = text.lower()
    return any(_matches(pattern.lower(), lower) for pattern in patterns)


def _matches(pattern: str, text: str) -> bool:
    before, star, after = pattern.partition("*")
    if not star:
        return pattern == text
    return len(text) >= len(before) + len(after) and text.startswith(before) and text.endswith(after)
