"""Release: which waiting jobs go to the task engine next.

The engine is kept shallow, so that pauses, limits and fairness hold until shortly before a job begins: it has what the
workers run, and a reserve that keeps them busy until the next pass.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import heapify, heappop, heapreplace
from math import ceil, lcm
from typing import Final, TypeAlias

RESERVE: Final = 1.5
"""Jobs in the engine for each one that can run."""

MAX_WEIGHT: Final = 100
"""What an account or a queue may weigh at most; at least, and unless somebody says otherwise, it is 1."""

WHOLE: Final = lcm(*range(1, MAX_WEIGHT + 1))
"""Every weight divides it."""


def load(held: int, weight: int) -> int:
    """Jobs in proportion to a weight, in parts of ``WHOLE``: an exact fraction, and quicker to compare than one."""
    return held * (WHOLE // weight)


def depth(slots: int) -> int:
    """How many jobs the engine may have for so many jobs that can run at a time: one in reserve at the least."""
    return max(slots + 1, ceil(RESERVE * slots)) if slots else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLoad:
    """How busy the engine is.

    Attributes:
        slots: jobs that living workers can run at a time.
        jobs: jobs it has, without those that wait for their next try: a store that is away must not hold up the others.
        waiting: whether any queue has jobs for it.
        due: whether jobs are due for their next try: they queue up again, else they would go before all others.
    """

    slots: int
    jobs: int
    waiting: bool
    due: bool = False

    @property
    def room(self) -> int:
        """How many jobs to give it: none before half of the reserve is used, so that a pass serves several workers."""
        full = depth(self.slots)
        enough = self.slots + (full - self.slots) // 2
        return full - self.jobs if self.waiting and self.jobs <= enough else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A queue that has jobs to give and may give some.

    Attributes:
        account: whose it is.
        account_weight: what the account weighs beside others.
        held_by_account: jobs of the account that the engine has, those of all its queues.
        weight: what this queue weighs beside others of its account.
        held: jobs of this queue that the engine has.
        available: how many it can give, at least 1: they wait, and its limit allows them.
        head_at: when the job that is next in it was created.
    """

    account: str
    queue_id: str
    account_weight: int
    held_by_account: int
    weight: int
    held: int
    available: int
    head_at: datetime


_Place: TypeAlias = tuple[int, datetime, str]


def shares(room: int, candidates: Sequence[Candidate]) -> Mapping[str, int]:
    """How many jobs each queue gives, by its id: ``room`` in all, or everything available.

    Next comes the account, then its queue, of which the engine has the least in proportion to its weight; of several
    the one whose head is older. The order of ``candidates`` does not matter.
    """
    accounts = [_Account(queues) for queues in _by_account(candidates)]
    heap = [(account.place, account) for account in accounts]
    heapify(heap)
    given: Counter[str] = Counter()
    while heap and given.total() < room:
        account = heap[0][1]
        given[account.give()] += 1
        if account.empty:
            heappop(heap)
        else:
            heapreplace(heap, (account.place, account))
    return given


def _by_account(candidates: Sequence[Candidate]) -> Sequence[Sequence[Candidate]]:
    grouped: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        grouped.setdefault(candidate.account, []).append(candidate)
    return list(grouped.values())


def _place(queue: Candidate) -> _Place:
    return load(queue.held, queue.weight), queue.head_at, queue.queue_id


class _Account:
    """The queues of one account, the next one first."""

    def __init__(self, queues: Sequence[Candidate]) -> None:
        first = queues[0]
        self._load = load(first.held_by_account, first.account_weight)
        self._job = load(1, first.account_weight)
        self._queues = [(_place(queue), load(1, queue.weight), queue.available) for queue in queues]
        heapify(self._queues)

    @property
    def empty(self) -> bool:
        return not self._queues

    @property
    def place(self) -> _Place:
        """Where it stands among the accounts; no two have the same, as no two queues have the same id."""
        _, head_at, queue_id = self._queues[0][0]
        return self._load, head_at, queue_id

    def give(self) -> str:
        """Take one job; of which queue."""
        (carried, head_at, queue_id), job, available = self._queues[0]
        if available > 1:
            heapreplace(self._queues, ((carried + job, head_at, queue_id), job, available - 1))
        else:
            heappop(self._queues)
        self._load += self._job
        return queue_id
