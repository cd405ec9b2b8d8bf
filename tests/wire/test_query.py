from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sordino.errors import ServiceError
from sordino.wire.query import MAX_PAIRS, Query


@pytest.mark.parametrize(
    ("raw", "pairs"),
    [
        (b"", ()),
        (b"&&", ()),
        (b"cancel", (("cancel", ""),)),
        (b"cancel=", (("cancel", ""),)),
        (b"a=1;2&b=%3B", (("a", "1;2"), ("b", ";"))),
        (b"a=b=c", (("a", "b=c"),)),
        (b"b=2&a=1&b=1", (("b", "2"), ("a", "1"), ("b", "1"))),
        (b"k=a+b%20c%2Bd", (("k", "a b c+d"),)),
        (b"%E4%B8%AD=%e4%b8%ad", (("中", "中"),)),
        (b"a=%2526", (("a", "%26"),)),
        (b"=x", (("", "x"),)),
    ],
)
def test_parse(raw, pairs):
    """Only ``&`` separates, a plus is a space, and everything is decoded once, in the order received."""
    assert Query.parse(raw).pairs == pairs


@pytest.mark.parametrize("raw", [b"a=%", b"%4=1", b"a=%gg", b"a=%ff", b"%ff", b"a=\xff", b"a=%00"])
def test_broken_escapes_are_refused(raw):
    """Broken escapes, foreign encodings and NUL are refused."""
    with pytest.raises(ServiceError) as refused:
        Query.parse(raw)
    assert refused.value.code == "InvalidURI"


def test_the_number_of_pairs_is_limited():
    """A query of very many parameters is refused before they are decoded."""
    assert len(Query.parse(b"&".join([b"a"] * MAX_PAIRS)).pairs) == MAX_PAIRS
    with pytest.raises(ServiceError) as refused:
        Query.parse(b"&".join([b"a"] * (MAX_PAIRS + 1)))
    assert refused.value.code == "InvalidArgument"


def test_a_flag_is_there_with_or_without_an_equals_sign():
    """``?cancel`` and ``?cancel=`` are the same, and names are case-sensitive."""
    assert "cancel" in Query.parse(b"cancel")
    assert "cancel" in Query.parse(b"x=1&cancel=")
    assert "cancel" not in Query.parse(b"Cancel&xcancel=1")


def test_an_empty_value_is_an_absent_one():
    """The Python SDK sends ``nextToken=`` for no token."""
    query = Query.parse(b"nextToken=&size=10")
    assert (query.get("nextToken"), query.get("size"), query.get("tag")) == (None, "10", None)


def test_a_repeated_parameter_is_refused_when_read():
    """Which of two values would count is not guessed."""
    with pytest.raises(ServiceError, match="'size' is given 2 times") as refused:
        Query.parse(b"size=1&size=1").get("size")
    assert refused.value.code == "InvalidArgument"


plain = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(st.lists(st.tuples(plain, plain)))
def test_what_http_libraries_encode_is_read_back(pairs):
    """Form encoding, as the Python and Go SDKs use it, is undone exactly."""
    assert list(Query.parse(urlencode(pairs).encode())) == pairs


@given(st.binary())
def test_anything_parses_or_is_refused(raw):
    """No bytes raise anything but a refusal."""
    try:
        query = Query.parse(raw)
    except ServiceError:
        return
    assert len(query.pairs) == len([field for field in raw.split(b"&") if field])


def test_a_choice():
    """A value is one of those there are; the refusal names them."""
    query = Query.parse(b"order=Asc&other=up&none=")
    assert query.choice("order", ("Desc", "Asc")) == "Asc"
    assert query.choice("none", ("Desc", "Asc")) is None
    with pytest.raises(ServiceError, match="parameter other is 'up'; use one of Desc, Asc") as refused:
        query.choice("other", ("Desc", "Asc"))
    assert refused.value.code == "InvalidArgument"


@given(st.integers(1, 100))
def test_whole_numbers(number):
    """Every number of the range is read, with zeros before it, too."""
    assert Query.parse(f"size=0{number}".encode()).whole("size", range(1, 101), 10) == number


@given(st.one_of(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), st.integers().map(str)))
def test_other_numbers(text):
    """Whatever else stands there is refused, with the range."""
    query = Query.parse(urlencode({"size": text}).encode())
    try:
        found = str(query.whole("size", range(1, 101), 10))
    except ServiceError as refused:
        found = refused.message
    assert "use a whole number from 1 to 100" in found or found == text.lstrip("0")


def test_an_absent_number():
    """No number, and an empty one, stand for the usual one."""
    assert Query.parse(b"size=").whole("size", range(1, 101), 10) == 10


def test_a_list_of_words():
    """Words between commas come once each, in the order given, without white space; blanks do not count."""
    assert Query.parse(b"ids=+b,a,,b%2C+c+&none=").words("ids") == ("b", "a", "c")
    assert Query.parse(b"none=").words("none") == ()
