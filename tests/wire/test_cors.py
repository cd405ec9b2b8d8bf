"""Rules of cross-origin sharing: bodies as clients send them, replies as they read them."""

import pytest
from qcloud_cos.cos_comm import format_xml, xml_to_dict

from sordino.domain.cors import MAX_RULES, Cors, CorsMethod, CorsRule
from sordino.errors import ServiceError
from sordino.wire.cors import ROOT, parse_cors, render_cors
from sordino.wire.part import read_cos

WRITTEN = {
    "ID": "1234",
    "AllowedOrigin": ["http://www.example.com", "https://*.example.org"],
    "AllowedMethod": ["GET", "PUT"],
    "AllowedHeader": ["x-cos-meta-test", "Authorization"],
    "ExposeHeader": ["ETag", "x-cos-meta-*"],
    "MaxAgeSeconds": "500",
}
RULE = CorsRule(
    rule_id="1234",
    origins=("http://www.example.com", "https://*.example.org"),
    methods=(CorsMethod.GET, CorsMethod.PUT),
    headers=("x-cos-meta-test", "Authorization"),
    exposed=("ETag", "x-cos-meta-*"),
    max_age=500,
)
LEAST = {"AllowedOrigin": "*", "AllowedMethod": "GET"}


def read(*rules: object, **others: object) -> Cors:
    """What a body of these rules says."""
    return parse_cors(read_cos(format_xml({"CORSRule": list(rules), **others}, ROOT), ROOT))


def test_rules_as_the_sdks_send_them():
    """Every element of a rule is read, and the order of the rules is kept."""
    other = CorsRule(origins=("*",), methods=(CorsMethod.GET,))
    assert read(WRITTEN, LEAST) == Cors(rules=(RULE, other))


@pytest.mark.parametrize(("word", "vary"), [("true", True), ("false", False), ("", False)])
def test_response_vary(word, vary):
    """Left out, it is false."""
    assert read(LEAST, ResponseVary=word).vary is vary


def test_empty_elements_count_as_absent():
    """A list of no headers is what an SDK writes as an empty element."""
    assert read(LEAST | {"AllowedHeader": None, "ExposeHeader": "", "MaxAgeSeconds": "", "ID": None}) == read(LEAST)


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"AllowedOrigin": "http://www.example.com/"}, "without a path"),
        ({"AllowedOrigin": "https://*.*.example"}, "at most one"),
        ({"AllowedOrigin": None}, "AllowedOrigin is missing"),
        ({"AllowedMethod": "OPTIONS"}, "GET, PUT, POST, DELETE, HEAD"),
        ({"AllowedMethod": "get"}, "GET, PUT, POST, DELETE, HEAD"),
        ({"AllowedMethod": None}, "AllowedMethod is missing"),
        ({"AllowedHeader": "x cos"}, "name of a header"),
        ({"ExposeHeader": "x-*-*"}, "at most one"),
        ({"MaxAgeSeconds": "-1"}, "whole number"),
        ({"MaxAgeSeconds": "1e3"}, "whole number"),
        ({"ID": "x" * 256}, "255"),
    ],
)
def test_rules_that_are_none(changes, hint):
    """The refusal names the element and what is legal."""
    with pytest.raises(ServiceError, match=hint) as refused:
        read(LEAST | changes)
    assert refused.value.code == "InvalidArgument"


@pytest.mark.parametrize("number", [0, MAX_RULES + 1])
def test_the_number_of_rules(number):
    """One rule to a hundred."""
    assert len(read(*[LEAST] * MAX_RULES).rules) == MAX_RULES
    with pytest.raises(ServiceError, match=f"has {number} CORSRule") as refused:
        read(*[LEAST] * number)
    assert refused.value.code == "InvalidArgument"


def test_a_reply_as_the_python_sdk_reads_it():
    """The SDK finds in the reply what it sent."""
    data = xml_to_dict(render_cors(Cors(rules=(RULE,), vary=True)))
    assert data == {"CORSRule": WRITTEN, "ResponseVary": "true"}


def test_what_is_shown_can_be_put_again():
    """A reply is a legal body that says the same."""
    cors = Cors(rules=(RULE, CorsRule(origins=("*",), methods=(CorsMethod.HEAD,))), vary=True)
    assert parse_cors(read_cos(render_cors(cors), ROOT)) == cors
