"""Memory of the API while objects go in and out."""

from server import new_room
from store_memory import MEGABYTE, Peaks, measure

MOST_MORE = 48
"""Megabytes that large objects may cost beyond small ones: far less than they have, far more than buffers differ by."""


def peaks(megabytes: int) -> Peaks:
    """Those of a server of its own."""
    with new_room() as room:
        return measure(room, megabytes * MEGABYTE)


def test_memory_does_not_grow_with_objects() -> None:
    """An object of 256 MB, whole, in parts, and back, takes hardly more memory than one of 16 MB."""
    small, large = peaks(16), peaks(256)
    assert large.grown - small.grown < MOST_MORE, (small, large)
