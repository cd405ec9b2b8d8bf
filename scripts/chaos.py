"""Kill what there is at random while jobs run, then count: nothing lost, nothing twice, everybody told.

Usage: python scripts/chaos.py [--jobs 60] [--seconds 8] [--torment-seconds 150] [--seed 0] [--amqp own|URL]

A server of its own gets jobs on a real recording, a few of which must fail. Meanwhile workers, media processes, the
API, PostgreSQL and the receiver of the callbacks are killed with SIGKILL, in an order that the seed decides. Callbacks
go to a URL and to a queue of the server's own in turn; with --amqp also to RabbitMQ: one of our own, which is
killed, too, or the one of a URL, to which only the connection is cut.
The striking stops after so many seconds, and the jobs are let end: what keeps dying is restarted after long pauses.
Triggers in the database note each write of an output and each change of a job, so that "twice" cannot hide behind equal
bytes. The last line is one JSON object with the figures.
"""

import argparse
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from baskets import RABBIT_REGION, OwnBasket, RabbitBasket
from cable import Cable
from callback_sink import Sink
from customer import MISSING, SOURCE, TARGETS, Channel, Customer, Order
from havoc import Breakable, Havoc
from ledger import JobRow, Ledger
from own_broker import OwnBroker
from real_sound import spoken
from recovery import Blow, Spread, fresh_starts, next_ends, spread
from server import START_SECONDS, Server, ServerError, exit_on_sigterm, launch, new_room
from strikes import Kind, Strike, strikes
from telling import Told, compare

REST_SECONDS: Final = 900.0
"""For what is left when the striking is over. The longest pauses are 15 s for a process that keeps dying, and some
minutes for a callback that keeps failing."""

QUICK_RECOVERY: Final = {
    "SORDINO_HEARTBEAT_SECONDS": "0.3",
    "SORDINO_STALLED_SECONDS": "1.5",
    # Whoever kills at random may meet one job again and again.
    "SORDINO_JOB_WORKER_DEATHS": "1000",
}
"""A dead worker is noticed after 1.5 s in place of 10."""

SETTINGS: Final = {
    **QUICK_RECOVERY,
    "SORDINO_CALLBACK_ALLOW": "127.0.0.1",
    # No job is to be taken for the cause of what is done to its processes.
    "SORDINO_JOB_ATTEMPTS": "1000",
}
EVERY: Final = 20
"""One of so many jobs has no input, and must fail."""

WINDOW: Final = 8
"""Jobs that are unfinished at a time, so that some are submitted until the end."""

AIM_SECONDS: Final = 3.0
"""How long a blow to the API or the database waits for the moment at which a job is being accepted."""

SERVING: Final = frozenset({Kind.API, Kind.DATABASE})
"""What customers wait for."""

POLL_SECONDS: Final = 0.2
AMQP_PORT: Final = 5672

OWN: Final = "own"
"""In place of a broker's URL: start one, and kill it with the rest."""

SECONDS_A_JOB: Final = 2.5
"""For how long the server is struck, unless it is said: longer than jobs take, so that there are strikes to the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do to the server.

    Attributes:
        seconds: length of the recording.
        torment_seconds: for how long it is struck at most.
    """

    jobs: int = 60
    seconds: float = 8.0
    torment_seconds: float = 150.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of the jobs.

    Attributes:
        lost: accepted jobs that are gone or have not ended.
        wrong_ends: jobs that ended in another state than they must.
        submitted_twice: jobs too many for what was wanted.
        outputs_missing: outputs of successes that are not there.
        outputs_twice: outputs written more than once, or of a job that failed.
        ends_changed: changes to jobs that had ended.
        callbacks: by way of telling.
    """

    lost: int
    wrong_ends: int
    submitted_twice: int
    outputs_missing: int
    outputs_twice: int
    ends_changed: int
    callbacks: dict[str, Told]

    @property
    def sound(self) -> bool:
        """Whether all is as it must be."""
        faults = (self.lost, self.wrong_ends, self.submitted_twice, self.outputs_missing, self.outputs_twice)
        return not any(faults) and not self.ends_changed and all(told.sound for told in self.callbacks.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The figures.

    Attributes:
        strikes: that hit, by kind.
        outcome: what came of the jobs.
        requests_again: requests of the client that failed and were made again.
        acceptances_found: jobs whose acceptance was lost on its way, and that were found in the list.
        attempts: jobs by the number of times a worker began them.
        unprovoked: attempts that others followed though nothing was struck.
        begun_again: seconds from the first blow after an attempt began until the next attempt.
        next_end: seconds from a blow to the next end of any job.
        ready: seconds from a blow to the API or the database until the service was ready.
        seconds: of the whole run.
    """

    jobs: int
    seed: int
    strikes: dict[str, int]
    outcome: Outcome
    requests_again: int
    acceptances_found: int
    attempts: dict[int, int]
    unprovoked: int
    begun_again: Spread | None
    next_end: Spread | None
    ready: Spread | None
    seconds: float

    @property
    def hits(self) -> int:
        """Strikes that hit something."""
        return sum(self.strikes.values())


@dataclass(slots=True, kw_only=True)
class Chaos:
    """One run against one server.

    Attributes:
        channels: the ways in which jobs are told in turn, at least one.
    """

    server: Server
    plan: Plan
    havoc: Havoc
    channels: Sequence[Channel]
    customer: Customer = field(init=False)
    ledger: Ledger = field(init=False)
    accepted: dict[str, Order] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)
    _blows: list[Blow] = field(default_factory=list)
    _ready: list["Future[float]"] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.customer = Customer(server=self.server, bucket=f"chaos-{self.server.root_key.appid}")
        self.ledger = Ledger(self.server.data)

    def run(self) -> Result:
        """Submit jobs and strike meanwhile, let all end, and count.

        Raises:
            ServerError: the server has ended, refuses jobs, or does not end them.
        """
        self.customer.furnish(spoken(self.plan.seconds))
        began = time.monotonic()
        with ThreadPoolExecutor() as threads, self._quitting():
            submitting, collecting = threads.submit(self._submit_all), threads.submit(self._collect)
            try:
                self._torment(submitting, threads)
            finally:
                self.havoc.calm()
            submitting.result()
            self._over.set()
            collecting.result()
            _tell(f"the striking is over; {self.ledger.unfinished()} jobs are left")
            self._let_end()
        return self._result(time.monotonic() - began)

    @contextmanager
    def _quitting(self) -> Iterator[None]:
        """Have the threads end when the block fails."""
        try:
            yield
        finally:
            self._over.set()

    def _collect(self) -> None:
        """Take what is told as it comes."""
        while not self._over.wait(POLL_SECONDS):
            for channel in self.channels:
                channel.receipts()

    def _submit_all(self) -> None:
        """Submit job after job while not too many are unfinished."""
        for number in range(self.plan.jobs):
            while self.ledger.unfinished() >= WINDOW:
                if self._over.wait(POLL_SECONDS):
                    return
            source = MISSING if number % EVERY == EVERY - 1 else SOURCE
            order = Order(number=number, source=source, channel=self.channels[number % len(self.channels)])
            self.accepted[self.customer.submit(order)] = order

    def _torment(self, submitting: "Future[None]", threads: ThreadPoolExecutor) -> None:
        """Strike until the time is up or nothing is left to do."""
        began = time.monotonic()
        for strike in strikes(self.plan.seed, self.havoc.kinds):
            time.sleep(strike.pause)
            since = time.monotonic() - began
            left = self.ledger.unfinished()
            if since > self.plan.torment_seconds or (submitting.done() and not left):
                return
            if strike.kind in SERVING:
                self._aim(strike)
            at = time.time()
            if self.havoc.strike(strike):
                self._blows.append(Blow(kind=strike.kind, at=at))
                _tell(f"{since:6.1f} s  {strike.kind:<8}  {len(self.accepted):4} accepted, {left:3} unfinished")
                if strike.kind in SERVING:
                    self._ready.append(threads.submit(self._until_ready))

    def _aim(self, strike: Strike) -> None:
        """Wait for a moment at which the answer to a customer is on its way, if one comes soon."""
        self.customer.asking.wait(AIM_SECONDS)
        time.sleep(strike.share * self.customer.usual)

    def _until_ready(self) -> float:
        began = time.monotonic()
        self.server.wait_until(self.server.ready, START_SECONDS, "being ready again")
        return time.monotonic() - began

    def _let_end(self) -> None:
        self.server.wait_until(lambda: not self.ledger.unfinished(), REST_SECONDS, "the end of all jobs")
        _tell("all jobs have ended; waiting for callbacks")
        deadline = time.monotonic() + REST_SECONDS
        while any(self._untold(channel) for channel in self.channels) and time.monotonic() < deadline:
            self.server.check()
            time.sleep(POLL_SECONDS)

    def _untold(self, channel: Channel) -> bool:
        told = {receipt.body["JobsDetail"]["JobId"] for receipt in channel.receipts()}
        return bool(self._of(channel) - told)

    def _of(self, channel: Channel) -> set[str]:
        return {job_id for job_id, order in self.accepted.items() if order.channel is channel}

    def _result(self, seconds: float) -> Result:
        rows, moves = self.ledger.jobs(), self.ledger.moves()
        again, unprovoked = fresh_starts(moves, self._blows)
        return Result(
            jobs=self.plan.jobs,
            seed=self.plan.seed,
            strikes=dict(Counter(str(blow.kind) for blow in self._blows)),
            outcome=self._outcome(rows),
            requests_again=self.customer.again,
            acceptances_found=self.customer.found,
            attempts=dict(sorted(Counter(row.attempt for row in rows).items())),
            unprovoked=unprovoked,
            begun_again=spread(again),
            next_end=spread(next_ends(moves, self._blows)),
            ready=spread(future.result() for future in self._ready),
            seconds=round(seconds, 1),
        )

    def _outcome(self, rows: Sequence[JobRow]) -> Outcome:
        details = self.customer.details(list(self.accepted))
        callbacks = {
            channel.name: compare(
                {job_id: details[job_id] for job_id in self._of(channel) if job_id in details}, channel.receipts()
            )
            for channel in self.channels
        }
        return judge(
            self.accepted,
            rows,
            outputs=self.customer.outputs(),
            writes=self.ledger.writes(self.customer.bucket, TARGETS),
            ends_changed=self.ledger.changed_ends(),
            callbacks=callbacks,
        )


def judge(
    accepted: Mapping[str, Order],
    rows: Sequence[JobRow],
    *,
    outputs: frozenset[str],
    writes: Mapping[str, int],
    ends_changed: int,
    callbacks: dict[str, Told],
) -> Outcome:
    """Count what is not as it must be.

    Args:
        accepted: what each accepted job is for, by its id.
        rows: all jobs.
        outputs: keys of the outputs that are there.
        writes: how often each was written.
        ends_changed: how often a job that had ended was changed.
        callbacks: what came of them.
    """
    states = {row.job_id: row.state for row in rows}
    ended = {job_id: states[job_id] for job_id in accepted if states.get(job_id) in ("Success", "Failed", "Cancel")}
    wanted = {order.target for order in accepted.values() if order.end == "Success"}
    return Outcome(
        lost=len(accepted) - len(ended),
        wrong_ends=sum(state != accepted[job_id].end for job_id, state in ended.items()),
        submitted_twice=len(rows) - len({row.user_data for row in rows}),
        outputs_missing=len(wanted - outputs),
        outputs_twice=sum(count > 1 or key not in wanted for key, count in writes.items()),
        ends_changed=ends_changed,
        callbacks=callbacks,
    )


def torment(server: Server, plan: Plan, room: Path, broker: "Broker | None" = None) -> Result:
    """Put a server that runs with `SETTINGS` through it.

    Args:
        server: ready, and new.
        plan: what to do.
        room: a directory for the receiver of callbacks.
        broker: what the server's settings name as the message queue of `RABBIT_REGION`.

    Raises:
        ServerError: the server has ended, refuses jobs, or does not end them.
    """
    with ExitStack() as stack:
        sink = stack.enter_context(Sink(room / "callbacks.jsonl"))
        channels: list[Channel] = [sink, OwnBasket(server)]
        if broker is not None:
            channels.append(stack.enter_context(RabbitBasket(broker.url)))
        havoc = Havoc(server, sink, None if broker is None else broker.victim)
        return Chaos(server=server, plan=plan, havoc=havoc, channels=channels).run()


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """RabbitMQ.

    Attributes:
        url: of the broker itself.
        way: the URL by which the server reaches it.
        victim: what is struck.
    """

    url: str
    way: str
    victim: Breakable

    @property
    def settings(self) -> Mapping[str, str]:
        """What the server must know."""
        return {f"SORDINO_MQ_{RABBIT_REGION.upper()}": self.way}


@contextmanager
def brought(amqp: str, room: Path) -> Iterator[Broker]:
    """A broker of our own, or the one of a URL: others may use that one, so only the way to it is struck."""
    if amqp == OWN:
        with OwnBroker(room / "rabbitmq") as own:
            yield Broker(url=own.url, way=own.url, victim=own)
        return
    parts = urlsplit(amqp)
    with Cable(parts.hostname or "127.0.0.1", parts.port or AMQP_PORT) as cable:
        user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        way = parts._replace(netloc=f"{user}127.0.0.1:{cable.port}")
        yield Broker(url=amqp, way=way.geturl(), victim=cable)


@contextmanager
def served(room: Path, settings: Mapping[str, str]) -> Iterator[Server]:
    """A server that is ready."""
    server = launch(room / "data", settings)
    try:
        server.wait_until(server.ready, START_SECONDS, "being ready")
        yield server
    except ServerError:
        print(server.log_tail(), file=sys.stderr)
        raise
    finally:
        server.stop()


def _tell(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    """Run it and print what came of it; the exit status."""
    workers, amqp, plan = _options()
    exit_on_sigterm()
    settings = {"SORDINO_WORKERS": str(workers), **SETTINGS}
    try:
        with ExitStack() as stack:
            room = stack.enter_context(new_room())
            broker = stack.enter_context(brought(amqp, room)) if amqp else None
            if broker is not None:
                settings |= broker.settings
            server = stack.enter_context(served(room, settings))
            result = torment(server, plan, room, broker)
    except ServerError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    _show(asdict(result))
    print(json.dumps({"chaos": asdict(result), "sound": result.outcome.sound}))
    return 0 if result.outcome.sound else 1


def _show(figures: Mapping[str, Any]) -> None:
    for name, value in figures.items():
        if isinstance(value, Mapping) and name == "outcome":
            _show(value)
        else:
            _tell(f"{name.replace('_', ' '):>20}  {value}")


def _options() -> tuple[int, str | None, Plan]:
    plan = Plan()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=plan.jobs)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=plan.seconds, help="length of the recording")
    parser.add_argument("--torment-seconds", type=float, help=f"strike so long at most; {SECONDS_A_JOB:g} s a job")
    parser.add_argument("--seed", type=int, default=plan.seed)
    parser.add_argument("--amqp", help=f"send callbacks to RabbitMQ, too: {OWN}, or amqp://user:password@host:5672/")
    chosen = vars(parser.parse_args())
    if chosen["torment_seconds"] is None:
        chosen["torment_seconds"] = SECONDS_A_JOB * chosen["jobs"]
    return chosen.pop("workers"), chosen.pop("amqp"), Plan(**chosen)


if __name__ == "__main__":
    sys.exit(main())
