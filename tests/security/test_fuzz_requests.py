"""Some hundred broken requests of a generator: `make fuzz-requests` sends many more."""

from broken_requests import CALLS, Room, draft
from fuzz_requests import Fuzzer
from server import Server

COUNT = 12 * len(CALLS)


def test_broken_requests_are_refused_properly(service: Server) -> None:
    """No request gets a 5xx, half an error or no answer, and the server outlives them all."""
    tally = Fuzzer(service).run(range(COUNT), seed=1)
    assert tally.faults == []
    assert tally.broke == 0, service.log_tail(60)
    assert tally.alive
    assert tally.requests == COUNT
    assert {"200", "400", "403", "404"} <= set(tally.statuses)


def test_requests_come_from_their_numbers() -> None:
    """The same seed and number make the same request, others make others."""
    room = Room(bucket="fuzz-1250000000", spare="spare-1250000000")
    again = [[_spelt(draft(room, number, seed)) for number in range(200)] for seed in (1, 1, 2)]
    assert again[0] == again[1]
    assert again[0] != again[2]
    assert len({name for name, _ in again[0]}) > 100


def _spelt(made):
    return made.name, (made.method, made.target, made.host, tuple(made.headers), made.body, made.signing)
