"""Measurements that take turns, so that what else the machine does meets all of them alike."""

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

Measurement = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Turns:
    """What was measured: for every name its values, one a round, in the order of the rounds."""

    values: Mapping[str, tuple[float, ...]]

    def median(self, name: str) -> float:
        """The median of a name's values."""
        return float(statistics.median(self.values[name]))

    def ratio(self, name: str, over: str) -> float:
        """The median of the ratios within each round."""
        return statistics.median(a / b for a, b in zip(self.values[name], self.values[over], strict=True))

    def ratio_of_least(self, names: Iterable[str], over: str) -> float:
        """The same with the least value of several names in each round."""
        rounds: Iterable[tuple[float, ...]] = zip(*(self.values[name] for name in names), strict=True)
        return statistics.median(min(a) / b for a, b in zip(rounds, self.values[over], strict=True))


def take(measurements: Mapping[str, Measurement], rounds: int) -> Turns:
    """Do every measurement once a round; each round starts with another one.

    Args:
        measurements: at least one.
        rounds: 1 or more.
    """
    names = list(measurements)
    found: list[dict[str, float]] = []
    for number in range(rounds):
        first = number % len(names)
        found.append({name: measurements[name]() for name in names[first:] + names[:first]})
    return Turns({name: tuple(values[name] for values in found) for name in names})
