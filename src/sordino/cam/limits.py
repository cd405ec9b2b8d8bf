"""How often accounts and keys may ask, and how often a stranger may try to sign in: counted in memory, by each process.

Times are those of a clock that only goes forward, in seconds.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_network
from typing import Final

from sordino.domain.addresses import parse_address
from sordino.domain.identity import Signer
from sordino.errors import ErrorKind, ServiceError

BURST_SECONDS: Final = 5.0
"""Requests of so long may come at once, when there were none for as long."""

MINUTE: Final = 60.0

MOST: Final = 20_000
"""Names that are remembered at most; then whoever was quiet for longest is forgotten."""

RETRY_AFTER: Final = "Retry-After"

KNOWN_SECONDS: Final = 3600.0
"""How long a key that signed from an address is known there."""

Monotonic = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Meter:
    """Lets things happen so often, by name: of each only the time is kept by which what happened is made good (GCRA).

    Attributes:
        burst: seconds whose worth may happen at once.
    """

    burst: float
    _due: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def wait(self, name: str, now: float) -> float:
        """Seconds until another may happen; 0: now."""
        return max(0.0, self._due.get(name, now) - now - self.burst)

    def add(self, name: str, per_second: float, now: float) -> None:
        """Note that one happened."""
        self._due[name] = max(self._due.get(name, now), now) + 1 / per_second
        self._due.move_to_end(name)
        if len(self._due) > MOST:
            self._due.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests a second of accounts, and of keys that have a limit of their own.

    A temporary key counts as the permanent one that asked for it. What is refused does not count.

    Attributes:
        usual: of accounts that have no limit of their own; None: none.
        monotonic: the clock.
    """

    usual: int | None
    monotonic: Monotonic
    _meter: Meter = field(default_factory=lambda: Meter(BURST_SECONDS))

    def wait(self, signer: Signer) -> float | None:
        """Seconds until the signer may ask again; None: it may now, and has."""
        limits = self._limits(signer)
        if not limits:
            return None
        now = self.monotonic()
        wait = max(self._meter.wait(name, now) for name in limits)
        if wait > 0:
            return wait
        for name, per_second in limits.items():
            self._meter.add(name, per_second, now)
        return None

    def _limits(self, signer: Signer) -> Mapping[str, int]:
        own = signer.account.allowance.requests_per_second
        limits = {
            f"account {signer.account.appid}": self.usual if own is None else own,
            f"key {signer.permanent}": signer.requests_per_second,
        }
        return {name: limit for name, limit in limits.items() if limit is not None}


@dataclass(frozen=True, slots=True)
class SignIns:
    """Keeps those who guess away from the database.

    Failures are counted by address, of IPv6 by the network of 64 bits that one client has. Beyond ``most`` a minute
    only keys that signed from there of late are looked at: whoever shares an address with a guesser, behind NAT, goes
    on. Nothing is counted by key: ids are no secret, and whoever knows one could lock its owner out; a secret of 32
    random characters is not guessed.

    Attributes:
        most: failures a minute of an address; 0: any number.
        monotonic: the clock.
    """

    most: int
    monotonic: Monotonic
    _failures: Meter = field(default_factory=lambda: Meter(MINUTE))
    _known: OrderedDict[tuple[str, str], float] = field(default_factory=OrderedDict)

    def wait(self, source: str, secret_id: str) -> float | None:
        """Seconds until somebody at an address may try with that key; None: now."""
        now, place = self.monotonic(), network(source)
        wait = self._failures.wait(place, now)
        if not wait or now < self._known.get((place, secret_id), now):
            return None
        return wait

    def failed(self, source: str) -> None:
        """Note that somebody there named an unknown key, or signed wrongly."""
        if self.most:
            self._failures.add(network(source), self.most / MINUTE, self.monotonic())

    def passed(self, source: str, secret_id: str) -> None:
        """Note that the key signed there."""
        known = network(source), secret_id
        self._known[known] = self.monotonic() + KNOWN_SECONDS
        self._known.move_to_end(known)
        if len(self._known) > MOST:
            self._known.popitem(last=False)


def slow_down(kind: ErrorKind, wait: float, message: str) -> ServiceError:
    """The refusal of too much, which says after how many whole seconds it may be worth trying again."""
    return kind(message, {RETRY_AFTER: str(_whole_seconds(wait))})


def told_when(wait: float, message: str) -> str:
    """The message of such a refusal where no header says when to try again."""
    return f"{message} Try again in {_whole_seconds(wait)} s."


def _whole_seconds(wait: float) -> int:
    return max(1, math.ceil(wait))


def network(source: str) -> str:
    """What one client has of addresses: an IPv4 address, or a network of IPv6."""
    if ":" not in source:
        return source
    address = parse_address(source)
    return str(ip_network((int(address) >> 64 << 64, 64))) if isinstance(address, IPv6Address) else source
