"""CRC-64/XZ of bytes that came in parts, from the checksums of the parts.

The product of a checksum's polynomial and x^(8n) stands for the same bytes before n zeros; Mark Adler, "CRC polynomial
multiplication" (crc32_combine of zlib), is where the method comes from.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

_POLYNOMIAL: Final = 0xC96C5795D7870F42
"""ECMA-182's, bits reversed: the lowest bit is the coefficient of x^63."""

_ONE: Final = 1 << 63
_X_TO_8: Final = _ONE >> 8


def combine(first: int, second: int, second_size: int) -> int:
    """The checksum of two runs of bytes, one after the other.

    Args:
        first: checksum of the first, 0 to 2**64-1.
        second: checksum of the second.
        second_size: bytes of the second.
    """
    return _product(first, _shift(second_size)) ^ second


def combined(parts: Iterable[tuple[int, int]]) -> int:
    """The checksum of any number of runs of bytes, each given by its checksum and its size in bytes."""
    total = 0
    for crc64, size in parts:
        total = combine(total, crc64, size)
    return total


@lru_cache(maxsize=64)
def _shift(size: int) -> int:
    """x^(8 * size) modulo the polynomial."""
    power = _ONE
    for exponent in range(size.bit_length()):
        if size >> exponent & 1:
            power = _product(power, _square(exponent))
    return power


@lru_cache(maxsize=64)
def _square(exponent: int) -> int:
    """x^(8 * 2^exponent) modulo the polynomial."""
    if exponent == 0:
        return _X_TO_8
    root = _square(exponent - 1)
    return _product(root, root)


def _product(a: int, b: int) -> int:
    """The product of two polynomials modulo the polynomial."""
    product = 0
    while a:
        if a & _ONE:
            product ^= b
        a = (a << 1) & (2**64 - 1)
        b = (b >> 1) ^ (_POLYNOMIAL if b & 1 else 0)
    return product
