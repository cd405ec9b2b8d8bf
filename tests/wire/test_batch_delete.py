"""The body and the reply of Multiple Delete."""

from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qcloud_cos.cos_comm import format_xml, xml_to_dict

from sordino.errors import ACCESS_DENIED, ServiceError
from sordino.wire.batch_delete import MAX_BYTES, BatchDelete, parse_batch_delete, render_batch_delete
from sordino.wire.part import read_cos

LEGAL = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")


def parse(body: bytes) -> BatchDelete:
    """Read a body as the call does."""
    return parse_batch_delete(read_cos(body, "Delete", MAX_BYTES))


def body_of(*objects: str, quiet: str = "") -> bytes:
    """A body of these inner texts of Object."""
    inner = "".join(f"<Object>{text}</Object>" for text in objects)
    return f"<Delete>{quiet}{inner}</Delete>".encode()


@given(keys=st.lists(st.text(LEGAL, min_size=1, max_size=20), min_size=1, max_size=5, unique=True), quiet=st.booleans())
def test_what_the_python_sdk_writes(keys: list[str], quiet: bool) -> None:
    """Keys come out as they went in, white space at their ends included, and in the same order."""
    word = "true" if quiet else "false"
    text = format_xml({"Quiet": word, "Object": [{"Key": key} for key in keys]}, "Delete")
    assert parse(text) == BatchDelete(tuple(keys), {}, quiet=quiet)


@pytest.mark.parametrize(("word", "quiet"), [("", False), ("<Quiet/>", False), ("<Quiet>True</Quiet>", True)])
def test_quiet(word: str, quiet: bool) -> None:
    """Left out, everything is told."""
    assert parse(body_of("<Key>k</Key>", quiet=word)).quiet is quiet


def test_a_key_that_is_named_twice() -> None:
    """It is deleted, and told, once."""
    assert parse(body_of("<Key>k</Key>", "<Key>k</Key>")).keys == ("k",)


@pytest.mark.parametrize(
    "body",
    [
        b"<Delete/>",
        body_of(*["<Key>k</Key>"] * 1001),
        body_of(""),
        body_of("<Key/>"),
        body_of("<Key>a</Key><Key>b</Key>"),
        body_of("<Key>a<b/>c</Key>"),
        body_of("<Key>a</Key><VersionId><b/></VersionId>"),
        body_of("<Key>a</Key>", quiet="<Quiet>yes</Quiet>"),
        body_of("<Key>&#1;</Key>"),
        b"<Delete><Object><Key>\x01</Key></Object></Delete>",
    ],
    ids=lambda body: repr(body[:48]),
)
def test_refused_bodies(body: bytes) -> None:
    """What names no keys, too many, or such as are no text that XML can carry, deletes nothing."""
    with pytest.raises(ServiceError) as refusal:
        parse(body)
    assert (refusal.value.status, refusal.value.code) == (400, "MalformedXML")


def test_keys_that_cannot_be_deleted() -> None:
    """A key that is too long, or a version, fails alone."""
    long = "k" * 851
    asked = parse(body_of(f"<Key>{long}</Key>", "<Key>a</Key><VersionId>x</VersionId>", "<Key>b</Key><VersionId/>"))
    assert asked.keys == ("b",)
    assert {key: refusal.code for key, refusal in asked.refused.items()} == {long: "KeyTooLong", "a": "NotImplemented"}


def test_a_thousand_of_the_longest_keys_fit() -> None:
    """The largest legal request is smaller than the limit of its body."""
    keys = [f"{number:04}" + "&" * 846 for number in range(1000)]
    body = body_of(*(f"<Key>{escape(key)}</Key>" for key in keys))
    assert len(body) < MAX_BYTES
    assert parse(body).keys == tuple(keys)


def test_the_reply_as_the_python_sdk_reads_it() -> None:
    """Each key has its result."""
    asked = parse(body_of("<Key> a&amp;</Key>", "<Key>b</Key>", "<Key>c</Key><VersionId>x</VersionId>"))
    reply = xml_to_dict(render_batch_delete(asked, {"b": ACCESS_DENIED()}))
    assert reply["Deleted"] == {"Key": " a&"}
    assert [(error["Key"], error["Code"]) for error in reply["Error"]] == [
        ("c", "NotImplemented"),
        ("b", "AccessDenied"),
    ]
    assert all(error["Message"] for error in reply["Error"])


def test_a_quiet_reply() -> None:
    """Only failures are told."""
    asked = parse(body_of("<Key>a</Key>", "<Key>b</Key>", quiet="<Quiet>true</Quiet>"))
    assert b"Deleted" not in render_batch_delete(asked, {"b": ACCESS_DENIED()})
    assert xml_to_dict(render_batch_delete(asked, {"b": ACCESS_DENIED()}))["Error"]["Key"] == "b"
