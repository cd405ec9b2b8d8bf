"""The rule by which waiting jobs go to the engine."""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sordino.domain.release import MAX_WEIGHT, Candidate, EngineLoad, depth, load, shares

BEGINNING = datetime(2026, 11, 24, tzinfo=UTC)
WEIGHTS = st.one_of(st.integers(1, 4), st.integers(1, MAX_WEIGHT))


def candidate(
    account: str,
    queue_id: str,
    *,
    account_weight: int = 1,
    weight: int = 1,
    held: int = 0,
    available: int = 1,
    age: int = 0,
) -> Candidate:
    """A queue whose head is so many seconds old, of an account that has nothing else in the engine."""
    return Candidate(
        account=account,
        queue_id=queue_id,
        account_weight=account_weight,
        held_by_account=held,
        weight=weight,
        held=held,
        available=available,
        head_at=BEGINNING - timedelta(seconds=age),
    )


@st.composite
def candidates(draw: st.DrawFn) -> Sequence[Candidate]:
    """Queues of a few accounts, with more or less in the engine; accounts may have other, idle queues there, too."""
    found = []
    queue = st.tuples(st.integers(0, 5), st.integers(1, 8), st.integers(0, 3), WEIGHTS)
    for account in range(draw(st.integers(0, 4))):
        queues = draw(st.lists(queue, max_size=4))
        held_by_account = sum(held for held, *_ in queues) + draw(st.integers(0, 3))
        account_weight = draw(WEIGHTS)
        for number, (held, available, age, weight) in enumerate(queues):
            found.append(
                Candidate(
                    account=f"a{account}",
                    queue_id=f"a{account}q{number}",
                    account_weight=account_weight,
                    held_by_account=held_by_account,
                    weight=weight,
                    held=held,
                    available=available,
                    head_at=BEGINNING - timedelta(seconds=age),
                )
            )
    return found


@pytest.mark.parametrize(("slots", "jobs"), [(0, 0), (1, 2), (2, 3), (3, 5), (4, 6), (10, 15), (11, 17)])
def test_the_engine_is_shallow(slots: int, jobs: int) -> None:
    """The engine has half as many jobs again as can run, one more than those at the least, and none for nobody."""
    assert depth(slots) == jobs


@pytest.mark.parametrize(
    ("load", "room"),
    [
        (EngineLoad(slots=2, jobs=1, waiting=True), 2),
        (EngineLoad(slots=2, jobs=1, waiting=False), 0),
        (EngineLoad(slots=2, jobs=9, waiting=True), 0),
        (EngineLoad(slots=0, jobs=0, waiting=True), 0),
        (EngineLoad(slots=1, jobs=1, waiting=True), 1),
        (EngineLoad(slots=8, jobs=11, waiting=True), 0),
        (EngineLoad(slots=8, jobs=10, waiting=True), 2),
    ],
)
def test_room(load: EngineLoad, room: int) -> None:
    """There is room up to the depth once half of the reserve is used, and none that nobody asks for."""
    assert load.room == room


@given(slots=st.integers(0, 200), jobs=st.integers(0, 400))
def test_room_for_every_idle_worker(slots: int, jobs: int) -> None:
    """The room never leads beyond the depth, and is there whenever a worker has nothing to do."""
    room = EngineLoad(slots=slots, jobs=jobs, waiting=True).room
    assert room == 0 or jobs + room == depth(slots)
    assert room > 0 or jobs >= slots


@given(room=st.integers(0, 30), queues=candidates())
def test_no_limit_is_exceeded(room: int, queues: Sequence[Candidate]) -> None:
    """No queue gives more than it may, and all together no more than there is room for."""
    given_now = shares(room, queues)
    available = {queue.queue_id: queue.available for queue in queues}
    assert all(0 < count <= available[queue_id] for queue_id, count in given_now.items())
    assert sum(given_now.values()) <= room


@given(room=st.integers(0, 30), queues=candidates())
def test_no_room_stays_while_jobs_wait(room: int, queues: Sequence[Candidate]) -> None:
    """Either the room is used up or everything available is given."""
    assert sum(shares(room, queues).values()) == min(room, sum(queue.available for queue in queues))


@given(room=st.integers(0, 30), queues=candidates(), chance=st.randoms(use_true_random=False))
def test_the_order_of_the_queues_means_nothing(room: int, queues: Sequence[Candidate], chance: random.Random) -> None:
    """The same queues in another order give the same."""
    shuffled = list(queues)
    chance.shuffle(shuffled)
    assert shares(room, shuffled) == shares(room, queues)


def one_by_one(room: int, queues: Sequence[Candidate]) -> Counter[str]:
    """What the rule says, step by step: the account with the least for its weight, then its queue, then the older."""
    given_now: Counter[str] = Counter()
    held = {queue.account: queue.held_by_account for queue in queues}

    def place(queue: Candidate) -> tuple[Fraction, datetime, str]:
        return Fraction(queue.held + given_now[queue.queue_id], queue.weight), queue.head_at, queue.queue_id

    def place_of_account(queue: Candidate) -> tuple[Fraction, datetime, str]:
        return Fraction(held[queue.account], queue.account_weight), queue.head_at, queue.queue_id

    for _ in range(room):
        ready = [queue for queue in queues if given_now[queue.queue_id] < queue.available]
        heads = [
            min((it for it in ready if it.account == account), key=place) for account in {q.account for q in ready}
        ]
        if not heads:
            break
        chosen = min(heads, key=place_of_account)
        given_now[chosen.queue_id] += 1
        held[chosen.account] += 1
    return given_now


@given(room=st.integers(0, 30), queues=candidates())
def test_as_if_given_one_by_one(room: int, queues: Sequence[Candidate]) -> None:
    """All at once give what they would if each job were chosen by itself, with fractions."""
    assert shares(room, queues) == +one_by_one(room, queues)


@given(st.integers(0, 10**9), WEIGHTS, st.integers(0, 10**9), WEIGHTS)
def test_loads_are_exact(held: int, weight: int, other: int, other_weight: int) -> None:
    """Loads stand in the order of the fractions, and are equal when those are."""
    one, two = Fraction(held, weight), Fraction(other, other_weight)
    assert (load(held, weight) < load(other, other_weight), load(held, weight) == load(other, other_weight)) == (
        one < two,
        one == two,
    )


@given(room=st.integers(0, 30), queues=candidates())
def test_fair_to_within_one(room: int, queues: Sequence[Candidate]) -> None:
    """Whoever was given a job had, before the last one, no more for its weight than any other that could still give.

    That holds among the accounts, and among the queues of each.
    """
    given_now = Counter(shares(room, queues))
    hungry = [queue for queue in queues if given_now[queue.queue_id] < queue.available]
    accounts = Counter({queue.account: queue.held_by_account for queue in queues})
    for queue in queues:
        accounts[queue.account] += given_now[queue.queue_id]
    fed = [queue for queue in queues if given_now[queue.queue_id]]
    for one in fed:
        for other in hungry:
            if one.account == other.account:
                before = load(one.held + given_now[one.queue_id] - 1, one.weight)
                assert before <= load(other.held + given_now[other.queue_id], other.weight)
            else:
                before = load(accounts[one.account] - 1, one.account_weight)
                assert before <= load(accounts[other.account], other.account_weight)


def test_a_busy_account_waits_for_an_idle_one() -> None:
    """Thousands of waiting jobs of one account do not delay the one job of another."""
    assert shares(1, [candidate("a", "a1", held=5, available=9, age=99), candidate("b", "b1")]) == {"b1": 1}


def test_many_queues_give_no_more_than_one_does() -> None:
    """An account with two queues gets as much as one with a single queue."""
    queues = [candidate("a", "a1", available=9), candidate("a", "a2", available=9), candidate("b", "b1", available=9)]
    assert shares(4, queues) == {"a1": 1, "a2": 1, "b1": 2}


def test_of_equals_the_older_head_goes_first() -> None:
    """Between queues of which the engine has the same number, age decides; between those of one age, their ids."""
    queues = [candidate("a", "a1", age=1), candidate("b", "b1", age=3), candidate("c", "c1", age=2)]
    assert shares(2, queues) == {"b1": 1, "c1": 1}
    assert shares(1, [candidate("b", "b1"), candidate("a", "a1")]) == {"a1": 1}


def test_weights_share_the_room() -> None:
    """Of accounts that weigh 1 and 3 the heavier gets three in four jobs, and so do queues of one account."""
    accounts = [candidate("a", "a1", available=9, age=1), candidate("b", "b1", account_weight=3, available=9)]
    queues = [candidate("a", "a1", available=9, age=1), candidate("a", "a2", weight=3, available=9)]
    assert shares(8, accounts) == {"a1": 2, "b1": 6}
    assert shares(8, queues) == {"a1": 2, "a2": 6}
