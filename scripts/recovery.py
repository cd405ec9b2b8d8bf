"""How long what was struck took to recover, from what the ledger noted."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ledger import Move
from strikes import Kind

ENDS = frozenset({"Success", "Failed", "Cancel"})
INTERRUPTING = frozenset({Kind.WORKER, Kind.MEDIA, Kind.DATABASE})
"""What stops a job that runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """A strike that hit, and when, seconds since the epoch."""

    kind: Kind
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A distribution of seconds: how many values, their median, the 90th percentile, the largest."""

    count: int
    p50: float
    p90: float
    max: float


def spread(values: Iterable[float]) -> Spread | None:
    """The distribution of values; None without any."""
    found = sorted(values)
    if not found:
        return None
    ninth = found[min(len(found) - 1, round(0.9 * (len(found) - 1)))]
    return Spread(
        count=len(found), p50=round(statistics.median(found), 2), p90=round(ninth, 2), max=round(found[-1], 2)
    )


def next_ends(moves: Sequence[Move], blows: Iterable[Blow]) -> Sequence[float]:
    """Seconds from each blow to the next end of any job; without those that none followed."""
    ends = sorted(move.at for move in moves if move.state in ENDS)
    following = ((blow.at, next((end for end in ends if end > blow.at), None)) for blow in blows)
    return [end - at for at, end in following if end is not None]


def fresh_starts(moves: Sequence[Move], blows: Sequence[Blow]) -> tuple[Sequence[float], int]:
    """Seconds until interrupted attempts were followed by the next one; and how many were without a blow.

    They count from the first blow after the interrupted attempt began, which may not be the one that ended it: the
    figures err on the long side.
    """
    starts: dict[str, Move] = {}
    seconds, unprovoked = [], 0
    for move in moves:
        if move.state != "Running":
            continue
        before = starts.get(move.job_id)
        if before is not None and before.attempt < move.attempt:
            blow = _first_between(blows, before.at, move.at)
            if blow is None:
                unprovoked += 1
            else:
                seconds.append(move.at - blow.at)
        starts[move.job_id] = move
    return seconds, unprovoked


def _first_between(blows: Sequence[Blow], begin: float, end: float) -> Blow | None:
    times = (blow for blow in blows if blow.kind in INTERRUPTING and begin <= blow.at <= end)
    return min(times, key=lambda blow: blow.at, default=None)
