"""What is done to a server under chaos, and in which order: a seed gives the same list again."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What is struck."""

    WORKER = "worker"
    MEDIA = "media"
    API = "api"
    DATABASE = "database"
    RECEIVER = "receiver"
    BROKER = "broker"


WEIGHTS: Final = {
    Kind.WORKER: 6,
    Kind.MEDIA: 5,
    Kind.API: 3,
    Kind.DATABASE: 3,
    Kind.RECEIVER: 3,
    Kind.BROKER: 3,
}
"""How often each kind comes, next to the others."""

PAUSES: Final = (0.5, 6.0)
"""Seconds between two strikes."""

OUTAGES: Final = (1.0, 6.0)
"""Seconds that a receiver or a broker is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One blow.

    Attributes:
        pause: seconds to wait before it.
        share: from 0 to 1, which of several alike is struck.
        outage: seconds until what nobody restarts is started again.
    """

    kind: Kind
    pause: float
    share: float
    outage: float

    def among(self, alike: Sequence[int]) -> int:
        """The one that is struck; there must be one."""
        return alike[min(int(self.share * len(alike)), len(alike) - 1)]


def strikes(seed: int, kinds: Sequence[Kind]) -> Iterator[Strike]:
    """Blows without end, the same for the same seed and kinds.

    The first ones are one of each kind, so that a short run has them all.
    """
    chance = random.Random(seed)
    weights = [WEIGHTS[kind] for kind in kinds]
    for kind in chance.sample(kinds, len(kinds)):
        yield _strike(chance, kind)
    while True:
        yield _strike(chance, chance.choices(kinds, weights)[0])


def _strike(chance: random.Random, kind: Kind) -> Strike:
    pause, share, outage = chance.uniform(*PAUSES), chance.random(), chance.uniform(*OUTAGES)
    return Strike(kind=kind, pause=pause, share=share, outage=outage)
