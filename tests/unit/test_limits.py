"""How often somebody may ask, on a clock that the tests move."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sordino.cam import limits
from sordino.cam.limits import BURST_SECONDS, KNOWN_SECONDS, Meter, Rates, SignIns, network, slow_down
from sordino.domain.allowance import Allowance
from sordino.domain.identity import Account, Caller, CallerKind, Signer
from sordino.errors import CI_SLOW_DOWN

ACCOUNT = Account(appid="1250000000", uin="1")
SIGNER = Signer(
    secret_id="AKID1", secret_key="s", caller=Caller(account=ACCOUNT, kind=CallerKind.ROOT, name=ACCOUNT.uin)
)


@dataclass
class Ticks:
    """A clock that goes forward when it is told to."""

    time: float = 1000.0

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.time


def signer(secret_id: str = "AKID1", *, own: int | None = None, of_key: int | None = None, **more: object) -> Signer:
    """A key whose account, or which itself, has a limit."""
    account = replace(ACCOUNT, allowance=Allowance(requests_per_second=own))
    caller = replace(SIGNER.caller, account=account)
    return replace(SIGNER, secret_id=secret_id, caller=caller, requests_per_second=of_key, **more)


def passed(rates: Rates, who: Signer, tries: int) -> int:
    """How many of so many requests at once pass."""
    return sum(rates.wait(who) is None for _ in range(tries))


class TestMeter:
    """How much of what comes may happen."""

    @given(
        per_second=st.integers(1, 50),
        pauses=st.lists(st.floats(0, 3, allow_nan=False), max_size=200),
    )
    def test_never_more_than_may(self, per_second: int, pauses: list[float]) -> None:
        """However requests come, in no stretch of time do more happen than its worth and a burst's, and one."""
        meter, now, happened = Meter(BURST_SECONDS), 1000.0, []
        for pause in pauses:
            now += pause
            if meter.wait("a", now) == 0:
                meter.add("a", per_second, now)
                happened.append(now)
        for first, begin in enumerate(happened):
            for last, end in enumerate(happened[first:], first):
                assert last - first + 1 <= (end - begin + BURST_SECONDS) * per_second + 1.001

    @given(per_second=st.integers(1, 50), tries=st.integers(0, 500))
    def test_who_waits_as_long_as_he_is_told_may(self, per_second: int, tries: int) -> None:
        """The time that is told is enough, and nothing less is."""
        meter, now = Meter(BURST_SECONDS), 1000.0
        for _ in range(tries):
            meter.add("a", per_second, now)
        wait = meter.wait("a", now)
        assert meter.wait("a", now + wait + 1e-6) == 0
        if wait > 1e-3:
            assert meter.wait("a", now + wait - 1e-3) > 0

    def test_memory_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of more names than are remembered those go that were quiet for longest."""
        monkeypatch.setattr(limits, "MOST", 3)
        meter = Meter(0.0)
        for name in ("a", "b", "c", "a", "d"):
            meter.add(name, 1, 0.0)
        assert [name for name in "abcd" if meter.wait(name, 0.0)] == ["a", "c", "d"]


class TestRates:
    """Requests of accounts and keys."""

    def test_no_limit(self) -> None:
        """By default there is none."""
        assert passed(Rates(None, Ticks()), SIGNER, 10_000) == 10_000

    def test_of_an_account(self) -> None:
        """All its keys count together; some seconds' worth may come at once, then so many a second."""
        ticks = Ticks()
        rates = Rates(None, ticks)
        assert passed(rates, signer(own=8), 40) + passed(rates, signer("AKID2", own=8), 40) == 41
        ticks.time += 1
        assert passed(rates, signer("AKID2", own=8), 40) == 8
        ticks.time += 3600
        assert passed(rates, signer(own=8), 80) == 41

    def test_the_usual_limit(self) -> None:
        """The server's holds for accounts that have none of their own."""
        rates = Rates(1, Ticks())
        assert passed(rates, SIGNER, 100) == 6
        other = replace(ACCOUNT, appid="1250000001")
        assert passed(rates, replace(SIGNER, caller=replace(SIGNER.caller, account=other)), 100) == 6
        assert passed(Rates(1, Ticks()), signer(own=8), 100) == 41

    def test_of_a_key(self) -> None:
        """A key's own limit holds beside the account's; its other keys go on."""
        rates = Rates(None, Ticks())
        assert passed(rates, signer(own=8, of_key=2), 100) == 11
        assert passed(rates, signer("AKID2", own=8), 100) == 30

    def test_what_is_refused_does_not_count(self) -> None:
        """Neither against the account, when the key's limit refused it, nor against either for being tried again."""
        ticks = Ticks()
        rates = Rates(None, ticks)
        passed(rates, signer(own=8, of_key=1), 1000)
        assert passed(rates, signer("AKID2", own=8), 100) == 35
        ticks.time += 1
        assert passed(rates, signer("AKID2", own=8), 100) == 8

    def test_a_temporary_key_is_its_parents(self) -> None:
        """Whoever asks for many temporary keys may not ask more often for it."""
        rates = Rates(None, Ticks())
        keys = [signer(f"AKIDt{number}", of_key=2, parent="AKID1") for number in range(100)]
        assert sum(passed(rates, key, 1) for key in keys) == 11
        assert passed(rates, signer(of_key=2), 10) == 0

    def test_a_limit_that_changes(self) -> None:
        """A new limit holds at once: nobody waits longer than its own requests take."""
        ticks = Ticks()
        rates = Rates(None, ticks)
        passed(rates, signer(own=1), 100)
        ticks.time += 1
        assert passed(rates, signer(own=1024), 2000) == 1
        ticks.time += 1
        assert passed(rates, signer(own=1024), 2000) == 1024


class TestSignIns:
    """Those who guess."""

    def guess(self, sign_ins: SignIns, source: str, tries: int, secret_id: str = "AKIDguess") -> int:
        """How many of so many guesses at once are looked at."""
        looked_at = 0
        for _ in range(tries):
            if sign_ins.wait(source, secret_id) is None:
                looked_at += 1
                sign_ins.failed(source)
        return looked_at

    def test_so_many_a_minute(self) -> None:
        """Of endless guesses so many are looked at a minute; the time that is told is enough."""
        ticks = Ticks()
        sign_ins = SignIns(60, ticks)
        assert self.guess(sign_ins, "192.0.2.1", 1000) == 61
        wait = sign_ins.wait("192.0.2.1", "AKIDguess")
        assert wait is not None
        ticks.time += wait + 0.001
        assert self.guess(sign_ins, "192.0.2.1", 1000) == 1
        ticks.time += 60
        assert self.guess(sign_ins, "192.0.2.1", 1000) == 60

    def test_others_go_on(self) -> None:
        """Nobody elsewhere is kept from signing in, whichever key he uses: knowing an id locks nobody out."""
        sign_ins = SignIns(60, Ticks())
        self.guess(sign_ins, "192.0.2.1", 1000, "AKID1")
        assert sign_ins.wait("192.0.2.2", "AKID1") is None

    def test_who_is_known_goes_on(self) -> None:
        """Behind one address with a guesser keys that signed there of late go on; others are refused meanwhile."""
        ticks = Ticks()
        sign_ins = SignIns(60, ticks)
        sign_ins.passed("192.0.2.1", "AKID1")
        ticks.time += KNOWN_SECONDS - 1
        self.guess(sign_ins, "192.0.2.1", 1000)
        assert sign_ins.wait("192.0.2.1", "AKID1") is None
        assert sign_ins.wait("192.0.2.1", "AKID2") is not None
        assert sign_ins.wait("192.0.2.1", "AKIDguess") is not None
        ticks.time += 1
        self.guess(sign_ins, "192.0.2.1", 1000)
        assert sign_ins.wait("192.0.2.1", "AKID1") is not None

    def test_a_clients_network(self) -> None:
        """Who has a network of IPv6 is one, another network another."""
        sign_ins = SignIns(60, Ticks())
        assert sum(self.guess(sign_ins, f"2001:db8:1:2::{number:x}", 1) for number in range(1000)) == 61
        assert sign_ins.wait("2001:db8:1:3::1", "AKIDguess") is None

    def test_no_limit(self) -> None:
        """0 sets none."""
        assert self.guess(SignIns(0, Ticks()), "192.0.2.1", 1000) == 1000

    def test_memory_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of more keys and addresses than are remembered those are forgotten that were quiet for longest."""
        monkeypatch.setattr(limits, "MOST", 100)
        sign_ins = SignIns(1, Ticks())
        for number in range(1000):
            source = f"198.51.{number // 250}.{number % 250}"
            sign_ins.passed(source, "AKID1")
            sign_ins.failed(source)
        # What is known here is seen by what a guesser at the same address keeps from whom.
        for number in (500, 999):
            self.guess(sign_ins, f"198.51.{number // 250}.{number % 250}", 10)
        assert sign_ins.wait("198.51.2.0", "AKID1") is not None
        assert sign_ins.wait("198.51.3.249", "AKID1") is None


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_network(source: str, place: str) -> None:
    """An address of IPv4 is itself, one of IPv6 its network."""
    assert network(source) == place


@pytest.mark.parametrize(("wait", "seconds"), [(0.01, "1"), (1.0, "1"), (1.2, "2"), (86399.5, "86400")])
def test_retry_after(wait: float, seconds: str) -> None:
    """Who is refused is told whole seconds, never too few and at least one."""
    refusal = slow_down(CI_SLOW_DOWN, wait, "Wait.")
    assert (refusal.status, refusal.code, refusal.headers) == (429, "SlowDown", {"Retry-After": seconds})
