"""The checksum of bytes that came in parts."""

from fastcrc import crc64
from hypothesis import given
from hypothesis import strategies as st

from sordino.domain.crc64 import combine, combined


@given(first=st.binary(max_size=300), second=st.binary(max_size=300))
def test_of_two_parts_is_that_of_the_whole(first: bytes, second: bytes) -> None:
    """Also when one or both are empty."""
    assert combine(crc64.xz(first), crc64.xz(second), len(second)) == crc64.xz(first + second)


@given(st.lists(st.binary(max_size=50), max_size=8))
def test_of_any_number_of_parts_is_that_of_the_whole(parts: list[bytes]) -> None:
    """No part at all is an empty object."""
    assert combined((crc64.xz(part), len(part)) for part in parts) == crc64.xz(b"".join(parts))


def test_counts_zeros_of_parts_too_long_to_make() -> None:
    """Five gigabytes after a byte: the factors of their powers of two give the same."""
    tail, size = crc64.xz(b"tail"), 5 * 2**30
    halves = combine(combine(crc64.xz(b"x"), 0, size // 2), 0, size - size // 2)
    assert combine(crc64.xz(b"x"), tail, size) == halves ^ tail
