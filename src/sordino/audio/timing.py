"""When the pictures of a video are decoded and shown, where the container tells only half of it."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from typing import TYPE_CHECKING

from av.video.stream import VideoStream

if TYPE_CHECKING:
    from av.packet import Packet

_LOOK_AHEAD = 20
"""Packets looked at to learn how far pictures are reordered; H.264 and H.265 hold at most 16 back."""


@dataclass(frozen=True, slots=True)
class TimedPacket:
    """A packet with the time stamps that it shall have, in the units of its stream."""

    packet: "Packet[VideoStream]"
    decoded: int
    shown: int


def mended(packets: "Iterable[Packet[VideoStream]]") -> Iterator[TimedPacket]:
    """The packets with the time stamps they have: made up where there is none, put right where they go back.

    FFmpeg's own tool does the same before a muxer that refuses anything else.
    """
    before = None
    for packet in packets:
        stamp = packet.pts if packet.dts is None else packet.dts
        if stamp is None:
            stamp = 0 if before is None else before + max(1, packet.duration or 0)
        before = stamp if before is None else max(stamp, before + 1)
        yield TimedPacket(packet, before, before if packet.pts is None else max(packet.pts, before))


def reordered(packets: "Iterator[Packet[VideoStream]]") -> Iterator[TimedPacket]:
    """The packets with times of decoding that follow from those of showing, of which alone Matroska tells.

    FFmpeg guesses them too, but needs a decoder to guess right. A picture is decoded when the one is shown that many
    pictures before it in the order of showing, as are held back at most to bring them into that order.
    """
    ahead = list(islice(packets, _LOOK_AHEAD))
    stamps = [packet.pts for packet in ahead if packet.pts is not None]
    depth = _held_back(stamps)
    step = min((later - earlier for earlier, later in pairwise(sorted(set(stamps)))), default=1)
    first = min(stamps, default=0)
    waiting = [first - step * number for number in range(1, depth + 1)]
    heapq.heapify(waiting)
    before = first - step * (depth + 1)
    for packet in chain(ahead, packets):
        shown = before + step if packet.pts is None else packet.pts
        before = max(before + 1, min(heapq.heappushpop(waiting, shown), shown))
        yield TimedPacket(packet, before, max(shown, before))


def _held_back(shown: Sequence[int]) -> int:
    """How many pictures at most come in the file before one that is shown before them."""
    return max((sum(other > stamp for other in shown[:place]) for place, stamp in enumerate(shown)), default=0)
