"""Rules of cross-origin sharing: what they match, and how a list of origins is read."""

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sordino.domain.cors import (
    MAX_ASKED_HEADERS,
    Cors,
    CorsMethod,
    CorsRule,
    is_header,
    is_origin,
    matches_any,
)

WORDS = st.text("ab.-", max_size=8)


def rule(*origins: str, **changes: object) -> CorsRule:
    """A rule that allows GET, with other values."""
    return CorsRule(**{"origins": origins, "methods": (CorsMethod.GET,), **changes})


@given(before=WORDS, after=WORDS, middle=WORDS)
def test_a_star_is_any_characters(before, after, middle):
    """What lies between the ends of a pattern may be anything, and nothing."""
    assert matches_any([f"{before}*{after}"], before + middle + after)


@given(pattern=st.tuples(WORDS, st.sampled_from(["", "*"]), WORDS).map("".join), text=WORDS)
def test_matches_are_those_of_the_shell(pattern, text):
    """Patterns match what those of the shell do, and the ends of one never overlap."""
    assert matches_any([pattern], text) is fnmatch.fnmatchcase(text, pattern)


@given(origin=st.text(max_size=30), method=st.sampled_from(CorsMethod), headers=st.lists(st.text(max_size=9)))
def test_the_first_rule_that_allows_a_request_counts(origin, method, headers):
    """Whatever a browser may send, a rule counts that allows all of it, the first of several."""
    narrow, first, second = rule("https://a.example"), rule("*", headers=("*",)), rule("*", headers=("*",))
    found = Cors(rules=(narrow, first, second)).rule_for(origin, method, headers)
    assert found is (first if method is CorsMethod.GET else None)


@pytest.mark.parametrize(
    ("origin", "method", "headers", "allowed"),
    [
        ("https://app.example", "GET", (), True),
        ("https://APP.example", "GET", ("X-Cos-Meta-A", "authorization"), True),
        ("https://app.example", "PUT", (), False),
        ("https://app.example", "GET", ("x-other",), False),
        ("https://app.example.evil", "GET", (), False),
        ("http://app.example", "GET", (), False),
        ("https://app.example:8443", "GET", (), False),
        ("null", "GET", (), False),
    ],
)
def test_origin_method_and_every_header_must_match(origin, method, headers, allowed):
    """A rule allows what matches it in everything, in any case of letters."""
    only = rule("https://app.example", headers=("x-cos-meta-*", "Authorization"))
    assert (Cors(rules=(only,)).rule_for(origin, method, headers) is only) is allowed


def test_more_headers_than_a_page_needs():
    """A preflight that asks for very many headers is refused before any is compared."""
    cors = Cors(rules=(rule("*", headers=("*",)),))
    assert cors.rule_for("https://a.example", "GET", ["x"] * MAX_ASKED_HEADERS)
    assert cors.rule_for("https://a.example", "GET", ["x"] * (MAX_ASKED_HEADERS + 1)) is None


@pytest.mark.parametrize(
    "origin",
    [
        *("*", "https://a.example", "http://localhost:3000", "https://*.a.example", "http*://a.example"),
        *("*.a.example", "http://a.example:*", "http://[::1]:8000", "app://local"),
    ],
)
def test_legal_origins(origin):
    """Scheme, host and port, with one star anywhere."""
    assert is_origin(origin)


@pytest.mark.parametrize(
    "origin",
    [
        *("", "a.example", "https://a.example/", "https://a.example/b", "https://*.*.example", "https://", "**"),
        *("https://a b", "https://a,b", "https://ä.example", "https://a?b", "null", "https://" + "a" * 250),
    ],
)
def test_illegal_origins(origin):
    """A path, a second star, or anything that browsers never send is no origin."""
    assert not is_origin(origin)


@pytest.mark.parametrize(
    ("name", "legal"), [("*", True), ("x-cos-meta-*", True), ("ETag", True), ("a b", False), ("", False), ("**", False)]
)
def test_names_of_headers(name, legal):
    """A token of HTTP, with one star."""
    assert is_header(name) is legal


def test_a_list_of_origins():
    """The operator's list becomes one rule for everything; an empty one none."""
    cors = Cors.of_origins(" https://a.example, ,https://*.b.example,https://a.example")
    (only,) = cors.rules
    assert only.origins == ("https://a.example", "https://*.b.example")
    assert cors.rule_for("https://x.b.example", "DELETE", ["authorization", "x-cos-acl"]) is only
    assert Cors.of_origins(" , ").rules == ()


def test_a_list_with_what_is_no_origin():
    """The operator learns which one it is, and the form."""
    with pytest.raises(ValueError, match=r"'https://b\.example/' is no origin"):
        Cors.of_origins("https://a.example, https://b.example/")
