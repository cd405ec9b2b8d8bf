"""Ranges, conditions and reply headers of object requests."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sordino.api.object_headers import Span, not_modified, overrides, range_of, span_of
from sordino.domain.bucket import StoredObject
from sordino.errors import ServiceError
from sordino.wire.query import Query

STORED = StoredObject(
    bucket="b-1",
    key="k",
    size=5,
    etag="0123",
    crc64=0,
    blob_id="x",
    last_modified=datetime(2026, 1, 5, 10, 0, 0, 123, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, Span(0, 10, partial=False)),
        ("bytes=0-0", Span(0, 1, partial=True)),
        ("bytes=2-", Span(2, 10, partial=True)),
        ("bytes=-3", Span(7, 10, partial=True)),
        ("bytes=-30", Span(0, 10, partial=True)),
        ("bytes=5-99", Span(5, 10, partial=True)),
        ("bytes=0-1,3-4", Span(0, 10, partial=False)),
        ("bytes=-", Span(0, 10, partial=False)),
        ("bytes=5-2", Span(0, 10, partial=False)),
        ("items=0-1", Span(0, 10, partial=False)),
        ("Bytes=0-1", Span(0, 2, partial=True)),
        ("bytes=2-" + "9" * 19, Span(2, 10, partial=True)),
        ("bytes=-" + "9" * 5000, Span(0, 10, partial=True)),
        ("bytes=" + "0" * 30 + "2-3", Span(2, 4, partial=True)),
    ],
)
def test_forms(header: str | None, span: Span) -> None:
    """Each form of RFC 9110 14.1.2 gives its bytes; other headers are ignored."""
    assert span_of(header, 10) == span


@pytest.mark.parametrize(
    ("header", "size"),
    [("bytes=10-", 10), ("bytes=99-100", 10), ("bytes=-0", 10), ("bytes=0-0", 0), (f"bytes={'9' * 19}-", 10)],
)
def test_outside(header: str, size: int) -> None:
    """A range with no byte of the object is InvalidRange, and tells how long the object is."""
    with pytest.raises(ServiceError) as refusal:
        span_of(header, size)
    assert refusal.value.code == "InvalidRange"
    assert refusal.value.headers == {"Content-Range": f"bytes */{size}"}


@given(first=st.integers(0, 50), last=st.integers(0, 50), size=st.integers(1, 40))
def test_like_slices(first: int, last: int, size: int) -> None:
    """A satisfiable range is the slice that Python would take."""
    content = bytes(range(size))
    if first < size and first <= last:
        span = span_of(f"bytes={first}-{last}", size)
        assert content[span.start : span.end] == content[first : last + 1]


@pytest.mark.parametrize(
    ("state", "applies"),
    [
        (None, True),
        ('"0123"', True),
        ('W/"0123"', False),
        ('"other"', False),
        ("Mon, 05 Jan 2026 10:00:00 GMT", True),
        ("Mon, 05 Jan 2026 10:00:01 GMT", False),
        ("nonsense", False),
    ],
)
def test_if_range(state: str | None, applies: bool) -> None:
    """A Range counts only while the object is in the state that If-Range names."""
    headers = {"range": "bytes=0-1"} | ({"if-range": state} if state else {})
    assert range_of(headers, STORED) == ("bytes=0-1" if applies else None)


@pytest.mark.parametrize("name", ["if-modified-since", "if-unmodified-since"])
@pytest.mark.parametrize(
    "date",
    [
        f"Mon, 05 Jan {'9' * 30} 10:00:00 GMT",
        f"Mon, {'9' * 30} Jan 2026 10:00:00 GMT",
        f"Mon, 05 Jan 2026 10:00:00 +{'9' * 30}",
        "",
        "x",
    ],
)
def test_absurd_dates(name: str, date: str) -> None:
    """A condition on what is no date, or on one beyond all calendars, is passed over."""
    assert not not_modified({name: date}, STORED)


@pytest.mark.parametrize("value", ["%20a", "a%20", "a%0D%0Ab", "%E4%B8%AD", "a%09"])
def test_reply_headers_that_http_cannot_carry(value: str) -> None:
    """A ``response-*`` value that cannot stand in a header is refused before anything is sent."""
    with pytest.raises(ServiceError) as refusal:
        overrides(Query.parse(f"response-cache-control={value}".encode()))
    assert refusal.value.code == "InvalidArgument"


@pytest.mark.parametrize("second", ["text%2Fhtml", "text%2Fplain", ""])
def test_reply_headers_that_are_asked_for_twice(second: str) -> None:
    """Which of two ``response-*`` values would count is not guessed."""
    with pytest.raises(ServiceError) as refusal:
        overrides(Query.parse(f"response-content-type=text%2Fplain&response-content-type={second}".encode()))
    assert (refusal.value.status, refusal.value.code) == (400, "InvalidArgument")
