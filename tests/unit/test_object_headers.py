"""Ranges of object requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sordino.api.object_headers import Span, span_of
from sordino.errors import ServiceError


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
    ],
)
def test_forms(header: str | None, span: Span) -> None:
    """Each form of RFC 9110 14.1.2 gives its bytes; other headers are ignored."""
    assert span_of(header, 10) == span


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=10-", 10), ("bytes=99-100", 10), ("bytes=-0", 10), ("bytes=0-0", 0)]
)
def test_outside(header: str, size: int) -> None:
    """A range with no byte of the object is InvalidRange."""
    with pytest.raises(ServiceError) as refusal:
        span_of(header, size)
    assert refusal.value.code == "InvalidRange"


@given(first=st.integers(0, 50), last=st.integers(0, 50), size=st.integers(1, 40))
def test_like_slices(first: int, last: int, size: int) -> None:
    """A satisfiable range is the slice that Python would take."""
    content = bytes(range(size))
    if first < size and first <= last:
        span = span_of(f"bytes={first}-{last}", size)
        assert content[span.start : span.end] == content[first : last + 1]
