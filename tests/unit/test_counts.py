"""Counts of waiting jobs that are still fresh."""

from datetime import UTC, datetime, timedelta

from sordino.jobs.counts import FRESH, MOST, Counts

NOW = datetime(2026, 1, 5, tzinfo=UTC)
LATER = NOW + FRESH + timedelta(milliseconds=1)


def test_an_unknown_queue_is_counted_by_everybody() -> None:
    """As long as nobody has counted a queue, nobody is told a number."""
    counts = Counts()
    assert [counts.fresh("p1", NOW), counts.fresh("p1", NOW)] == [None, None]


def test_a_fresh_count_holds() -> None:
    """What was counted is told for a while, with what was added since."""
    counts = Counts()
    counts.note("p1", NOW, 7)
    counts.add("p1", 2)
    assert [counts.fresh("p1", NOW + FRESH), counts.fresh("p2", NOW)] == [9, None]


def test_of_a_crowd_one_counts() -> None:
    """An old count sends one caller to count anew, and serves the others until that is done."""
    counts = Counts()
    counts.note("p1", NOW, 7)
    assert [counts.fresh("p1", LATER) for _ in range(3)] == [None, 7, 7]
    counts.note("p1", LATER, 8)
    assert counts.fresh("p1", LATER) == 8


def test_a_count_from_the_future_is_not_trusted() -> None:
    """A clock that was set back has the queue counted again."""
    counts = Counts()
    counts.note("p1", LATER, 7)
    assert counts.fresh("p1", NOW) is None


def test_queues_that_nobody_counted_get_no_number() -> None:
    """Jobs that are added to an uncounted queue are left to its first count."""
    counts = Counts()
    counts.add("p1", 3)
    assert counts.fresh("p1", NOW) is None


def test_only_so_many_queues_are_remembered() -> None:
    """A client that fills queue after queue does not fill the memory."""
    counts = Counts()
    counts.note("p", NOW, 7)
    for number in range(MOST):
        counts.note(f"q{number}", NOW, 1)
    assert counts.fresh("p", NOW) is None
