"""Rules of cross-origin sharing: the body that sets them, and the reply that shows them."""

import re
from collections.abc import Callable

from sordino.domain.cors import MAX_RULES, ORIGIN_FORM, Cors, CorsMethod, CorsRule, is_header, is_origin
from sordino.errors import INVALID_ARGUMENT
from sordino.wire import xml
from sordino.wire.part import Part
from sordino.wire.words import quote

ROOT = "CORSConfiguration"
MAX_RULE_ID = 255

_SECONDS = re.compile(r"[0-9]{1,9}")
_METHODS = frozenset(CorsMethod)
_METHOD_FORM = f"use one of {', '.join(CorsMethod)}"
_HEADER_FORM = "use the name of a header, with at most one *"


def parse_cors(config: Part) -> Cors:
    """Read the body of PUT ``?cors``.

    Raises:
        ServiceError: InvalidArgument.
    """
    rules = config.element.all("CORSRule")
    if not 1 <= len(rules) <= MAX_RULES:
        raise INVALID_ARGUMENT(
            f"{ROOT} has {len(rules)} CORSRule elements; use 1 to {MAX_RULES}, and DELETE /?cors to have none."
        )
    return Cors(
        rules=tuple(_rule(Part(rule, f"{ROOT}.CORSRule")) for rule in rules),
        vary=config.choice("ResponseVary", ("true", "false")) == "true",
    )


def _rule(rule: Part) -> CorsRule:
    max_age = rule.checked("MaxAgeSeconds", _SECONDS.fullmatch, "a whole number of seconds, of up to 9 digits")
    return CorsRule(
        origins=_some(rule, "AllowedOrigin", is_origin, ORIGIN_FORM),
        methods=tuple(map(CorsMethod, _some(rule, "AllowedMethod", _METHODS.__contains__, _METHOD_FORM))),
        headers=_any(rule, "AllowedHeader", is_header, _HEADER_FORM),
        exposed=_any(rule, "ExposeHeader", is_header, _HEADER_FORM),
        max_age=None if max_age is None else int(max_age),
        rule_id=rule.checked("ID", lambda word: len(word) <= MAX_RULE_ID, f"at most {MAX_RULE_ID} characters"),
    )


def _some(rule: Part, name: str, valid: Callable[[str], bool], form: str) -> tuple[str, ...]:
    """The same as ``_any``, of which there must be one."""
    found = _any(rule, name, valid, form)
    if not found:
        raise INVALID_ARGUMENT(f"{rule.path}.{name} is missing or empty; {form}.")
    return found


def _any(rule: Part, name: str, valid: Callable[[str], bool], form: str) -> tuple[str, ...]:
    """The words of the children of that name that are not empty, each once."""
    words = tuple(dict.fromkeys(filter(None, (child.text.strip() for child in rule.element.all(name)))))
    for word in words:
        if not valid(word):
            raise INVALID_ARGUMENT(f"{rule.path}.{name} is {quote(word)}; {form}.")
    return words


def render_cors(cors: Cors) -> bytes:
    """The reply of GET ``?cors``."""
    rules: list[xml.Node] = [("CORSRule", _nodes(rule)) for rule in cors.rules]
    return xml.document(ROOT, [*rules, ("ResponseVary", "true" if cors.vary else "false")])


def _nodes(rule: CorsRule) -> list[xml.Node]:
    return [
        *xml.known({"ID": rule.rule_id}),
        *(("AllowedOrigin", origin) for origin in rule.origins),
        *(("AllowedMethod", method) for method in rule.methods),
        *(("AllowedHeader", header) for header in rule.headers),
        *(("ExposeHeader", header) for header in rule.exposed),
        *xml.known({"MaxAgeSeconds": rule.max_age}),
    ]
