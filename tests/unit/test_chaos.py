"""The chaos run's own logic: what it strikes, what it notes, how it judges."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import pytest
from qcloud_cos import CosClientError, CosServiceError

import chaos
import customer
from cable import Cable
from callback_sink import Receipt, Sink
from chaos import judge
from customer import MISSING, SOURCE, Customer, Order
from havoc import Havoc
from ledger import JobRow, Move
from recovery import Blow, fresh_starts, next_ends, spread
from server import ServerError
from strikes import Kind, Strike, strikes
from telling import Told, compare

DETAIL = {
    "JobId": "j1",
    "State": "Success",
    "Message": None,
    "Operation": {"UserData": "chaos-0", "JobLevel": "0"},
}
TOLD = DETAIL | {"Message": "SUCCESS"}
FINE = Told(jobs=1, missing=0, doubled=0, wrong=0, strangers=0)


def receipt(detail: dict[str, Any], delivery: str = "d1") -> Receipt:
    """A callback that tells of a job."""
    return Receipt(delivery=delivery, body={"EventName": "TaskFinish", "JobsDetail": detail}, at=0.0)


def move(state: str, at: float, attempt: int = 1, job_id: str = "j1") -> Move:
    """A change of a job."""
    return Move(job_id=job_id, state=state, attempt=attempt, at=at)


def blow(at: float, kind: Kind = Kind.WORKER) -> Blow:
    """A strike that hit."""
    return Blow(kind=kind, at=at)


@dataclass
class Url:
    """A way of being told."""

    name: str = "url"
    elements: dict[str, object] = field(default_factory=dict)

    def receipts(self) -> list[Receipt]:
        """Nothing came."""
        return []


def order(number: int = 0, source: str = SOURCE) -> Order:
    """A job that is wanted."""
    return Order(number=number, source=source, channel=Url())


def row(job_id: str, state: str, user_data: str) -> JobRow:
    """A job as it stands."""
    return JobRow(job_id=job_id, user_data=user_data, state=state, attempt=1)


def test_seed_decides_the_strikes() -> None:
    """The same seed gives the same blows, another one others."""
    kinds = list(Kind)
    first, again, other = (list(islice(strikes(seed, kinds), 50)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_first_strikes_are_one_of_each_kind() -> None:
    """A short run strikes everything there is, and never what is not there."""
    kinds = [kind for kind in Kind if kind is not Kind.BROKER]
    found = [strike.kind for strike in islice(strikes(3, kinds), 100)]
    assert set(found[: len(kinds)]) == set(found) == set(kinds)


@pytest.mark.parametrize(("share", "struck"), [(0.0, 11), (0.49, 11), (0.5, 22), (1.0, 22)])
def test_share_chooses_among_several(share: float, struck: int) -> None:
    """The share of a strike says which of several processes it hits."""
    assert Strike(kind=Kind.WORKER, pause=0, share=share, outage=0).among([11, 22]) == struck


def test_cable_is_cut_and_mended() -> None:
    """A cut ends connections and refuses new ones; mended, the same port carries again."""
    with socket.create_server(("127.0.0.1", 0)) as far, Cable("127.0.0.1", far.getsockname()[1]) as cable:
        with socket.create_connection(("127.0.0.1", cable.port)) as near, far.accept()[0] as other:
            near.sendall(b"there")
            assert other.recv(5) == b"there"
            other.sendall(b"back")
            assert near.recv(4) == b"back"
            cable.cut()
            assert near.recv(1) == b""
            assert other.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", cable.port))
        cable.mend()
        with socket.create_connection(("127.0.0.1", cable.port)) as near, far.accept()[0] as other:
            near.sendall(b"again")
            assert other.recv(5) == b"again"


def test_killed_sink_keeps_what_it_accepted(tmp_path: Path) -> None:
    """What the receiver said yes to is known after its death, and it comes back at the same address."""
    with Sink(tmp_path / "callbacks.jsonl") as sink:
        url = str(sink.elements["CallBack"])
        tell(url, "d1")
        sink.kill()
        with pytest.raises(urllib.error.URLError):
            tell(url, "d2")
        sink.start()
        tell(url, "d3")
        assert [receipt.delivery for receipt in sink.receipts()] == ["d1", "d3"]


def tell(url: str, delivery: str) -> None:
    """Send a callback."""
    request = urllib.request.Request(url, json.dumps({}).encode(), {"x-sordino-delivery": delivery})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as reply:
        assert reply.status == 204


def test_calm_brings_the_receiver_back(tmp_path: Path) -> None:
    """What was taken away is there again when the striking is over, however long its outage was to be."""
    with Sink(tmp_path / "callbacks.jsonl") as sink:
        havoc = Havoc(None, sink)  # type: ignore[arg-type]
        strike = Strike(kind=Kind.RECEIVER, pause=0, share=0, outage=3600)
        assert havoc.strike(strike)
        assert not havoc.strike(strike)
        havoc.calm()
        assert sink.up


@pytest.mark.parametrize(
    ("receipts", "expected"),
    [
        ([receipt(TOLD)], FINE),
        ([receipt(TOLD), receipt(TOLD)], replace(FINE, doubled=1)),
        ([], replace(FINE, missing=1)),
        ([receipt(TOLD | {"State": "Failed"})], replace(FINE, wrong=1)),
        ([receipt(TOLD), receipt(TOLD, "d2")], replace(FINE, doubled=1, strangers=1)),
        ([receipt(TOLD), receipt(TOLD | {"JobId": "j2"})], replace(FINE, strangers=1)),
    ],
    ids=["told", "told twice", "not told", "told otherwise", "another delivery", "another job"],
)
def test_callbacks_are_held_against_queries(receipts: list[Receipt], expected: Told) -> None:
    """A callback must come, say what the query shows, and come again under the same delivery only."""
    found = compare({"j1": DETAIL}, receipts)
    assert found == expected
    assert found.sound == (expected in (FINE, replace(FINE, doubled=1)))


def judged(*rows: JobRow, **changes: Any) -> chaos.Outcome:
    """Two accepted jobs, of which the second must fail."""
    accepted = {"j0": order(0), "j1": order(1, MISSING)}
    given = {
        "outputs": frozenset({"out/00000.wav"}),
        "writes": {"out/00000.wav": 1},
        "ends_changed": 0,
        "callbacks": {"url": FINE},
    } | changes
    return judge(accepted, rows, **given)


SUCCESS, FAILURE = row("j0", "Success", "chaos-0"), row("j1", "Failed", "chaos-1")


def test_sound_outcome() -> None:
    """Jobs that ended as they must, with one output and everybody told, are a sound outcome."""
    assert judged(SUCCESS, FAILURE).sound


@pytest.mark.parametrize(
    ("outcome", "fault"),
    [
        (judged(FAILURE), "lost"),
        (judged(replace(SUCCESS, state="Running"), FAILURE), "lost"),
        (judged(replace(SUCCESS, state="Failed"), FAILURE), "wrong_ends"),
        (judged(SUCCESS, FAILURE, row("j2", "Success", "chaos-0")), "submitted_twice"),
        (judged(SUCCESS, FAILURE, outputs=frozenset()), "outputs_missing"),
        (judged(SUCCESS, FAILURE, writes={"out/00000.wav": 2}), "outputs_twice"),
        (judged(SUCCESS, FAILURE, writes={"out/00000.wav": 1, "out/00001.wav": 1}), "outputs_twice"),
        (judged(SUCCESS, FAILURE, ends_changed=1), "ends_changed"),
    ],
)
def test_each_fault_counts(outcome: chaos.Outcome, fault: str) -> None:
    """Whatever is not as it must be makes the outcome unsound, and is counted under its name."""
    assert getattr(outcome, fault) == 1
    assert not outcome.sound


def test_untold_job_counts() -> None:
    """A job whose end nobody was told makes the outcome unsound."""
    assert not judged(SUCCESS, FAILURE, callbacks={"url": replace(FINE, missing=1)}).sound


def test_next_end_follows_each_blow() -> None:
    """The next end counts from each blow, of whatever job; a blow after the last end has none."""
    moves = [move("Running", 0), move("Success", 5), move("Failed", 9, job_id="j2")]
    assert next_ends(moves, [blow(1), blow(6), blow(10)]) == [4, 3]


def test_fresh_start_counts_from_the_first_blow() -> None:
    """An interrupted attempt's successor counts from the first blow after the attempt began that can interrupt."""
    moves = [move("Running", 1), move("Submitted", 5), move("Running", 7, attempt=2), move("Success", 9, attempt=2)]
    blows = [blow(0.5), blow(2, Kind.API), blow(3), blow(4, Kind.DATABASE)]
    assert fresh_starts(moves, blows) == ([4], 0)


def test_fresh_start_without_a_blow() -> None:
    """An attempt that another follows though nothing was struck is counted."""
    assert fresh_starts([move("Running", 1), move("Running", 7, attempt=2)], [blow(0.5)]) == ([], 1)


def test_spread_of_nothing() -> None:
    """Without values there is no distribution; with some, the median, the 90th percentile and the largest."""
    assert spread([]) is None
    found = spread([3, 1, 2])
    assert found is not None
    assert (found.count, found.p50, found.max) == (3, 2, 3)


class Sdk:
    """An SDK whose first answers are lost."""

    def __init__(self, *failures: Exception, heard: bool) -> None:
        self.failures, self.heard, self.created = list(failures), heard, 0

    def ci_create_media_jobs(self, **_: object) -> dict[str, Any]:
        """Accept a job, or fail; a request that fails may have been heard."""
        if self.failures:
            self.created += self.heard
            raise self.failures.pop(0)
        self.created += 1
        return {"JobsDetail": [{"JobId": f"j{self.created}"}]}

    def ci_list_media_jobs(self, **_: object) -> dict[str, Any]:
        """What was accepted."""
        return {"JobsDetail": [{"JobId": "j1", "Operation": {"UserData": "chaos-0"}}] * self.created}


@dataclass
class Host:
    """A server whose client is made here."""

    sdk: Sdk

    url = "http://127.0.0.1:1"

    def client(self, **_: object) -> Sdk:
        """The SDK."""
        return self.sdk

    def check(self) -> None:
        """It runs."""


def refusal(status: int) -> CosServiceError:
    """What the SDK raises for a reply of that status."""
    error = CosServiceError("POST", {"code": "Code", "message": "", "resource": "", "requestid": "", "traceid": ""}, 0)
    error._status_code = status
    return error


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("failure", [CosClientError("lost"), refusal(503)], ids=["lost", "503"])
def test_lost_answer_makes_no_second_job(monkeypatch: pytest.MonkeyPatch, failure: Exception, heard: bool) -> None:
    """After a lost answer the customer finds the job in the list, or submits it again: it is there once."""
    monkeypatch.setattr(customer, "PAUSE_SECONDS", 0)
    sdk = Sdk(failure, heard=heard)
    asking = Customer(server=Host(sdk), bucket="b-1")  # type: ignore[arg-type]
    assert asking.submit(order()) == "j1"
    assert (sdk.created, asking.found, asking.again) == (1, int(heard), 1)


def test_refusal_is_not_asked_again() -> None:
    """A job that the server refuses ends the run with the reason."""
    asking = Customer(server=Host(Sdk(refusal(400), heard=False)), bucket="b-1")  # type: ignore[arg-type]
    with pytest.raises(ServerError, match="refuses"):
        asking.submit(order())


def test_chaos_stops_its_server_on_sigterm(tmp_path):
    """A server that the chaos script started does not outlive the script's end by SIGTERM."""
    script = subprocess.Popen(
        [sys.executable, Path(chaos.__file__), "--jobs", "1"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    children: list[psutil.Process] = []
    while not children:
        assert script.poll() is None
        children = psutil.Process(script.pid).children()
        time.sleep(0.05)
    script.terminate()
    assert script.wait(120) == 128 + signal.SIGTERM
    assert not any(child.is_running() for child in children)
