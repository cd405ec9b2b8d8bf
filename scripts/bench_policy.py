"""Decisions per second of policies, and their share of a request.

Usage: python scripts/bench_policy.py [--rounds 5] [--seconds 1] [--no-server]

Callers with few and with many statements are decided over, in turns; the policies have been read, as those of whoever
called lately have. Then a server is started and asked for the head of a small object, over one connection that stays
open, signed by its root: the share is the time of a decision over that which the API's process spends on a request.
Both are times of the processor, so that other work on the machine does not count. The last line is one JSON object with
the figures.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import psutil
from rich.console import Console
from rich.table import Table

from server import REGION, START_SECONDS, ServerError, exit_on_sigterm, launch, new_room
from sordino.bench import machine, turns
from sordino.domain.decision import Asked, decide
from sordino.domain.identity import Account, Caller, CallerKind, NamedPolicy
from sordino.domain.resource import Owner, cos_resource
from sordino.wire.signature import SignedRequest, sign

BATCH: Final = 500
"""Decisions between two looks at the clock."""

HOME: Final = Account(appid="1250000000", uin="100000000001")
AWAY: Final = Account(appid="1250000009", uin="100000000009")
BUCKET: Final = f"examplebucket-{HOME.appid}"
OBJECT: Final = f"qcs::cos:{REGION}:uid/{HOME.appid}:{BUCKET}/in/*"
GET: Final = Asked(
    action="cos:GetObject",
    resource=cos_resource(BUCKET, REGION, Owner(appid=HOME.appid, uin=HOME.uin), "in/2026/11/24/call.wav"),
    context={"qcs:ip": ("10.1.2.3",), "qcs:current_time": ("2026-11-24T08:00:00Z",)},
)
TYPICAL: Final = "user, 3 policies of 5"
"""What a user usually has; the statement that allows is the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Somebody who reads an object.

    Attributes:
        allowed: whether he may.
    """

    caller: Caller | None
    bucket_policy: NamedPolicy | None = None
    allowed: bool = True

    def rate(self, seconds: float) -> float:
        """Decisions per second of processor time, for a while.

        Raises:
            AssertionError: one is not as it should be.
        """
        count, spent = 0, 0.0
        while spent < seconds:
            batch = [self._fetched() for _ in range(BATCH)]
            began = time.process_time()
            decisions = [decide(one.caller, GET, one.bucket_policy) for one in batch]
            spent += time.process_time() - began
            if any(decision.allowed is not self.allowed for decision in decisions):
                raise AssertionError(decisions[0].because)
            count += BATCH
        return count / spent

    def _fetched(self) -> "Case":
        """The same with documents that are new strings, as those that come from a database: none has a hash yet."""
        caller = self.caller
        if caller is not None:
            session = None if caller.session is None else _again(caller.session)
            caller = replace(caller, policies=tuple(map(_again, caller.policies)), session=session)
        return replace(self, caller=caller, bucket_policy=self.bucket_policy and _again(self.bucket_policy))


def _again(named: NamedPolicy) -> NamedPolicy:
    return NamedPolicy(named.name, named.document.encode().decode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured.

    Attributes:
        decisions: per second of processor time, medians of the rounds.
        request_ms: milliseconds of the API's processor time that the ``HEAD`` of an object takes; None: no server was
            asked.
        shares: the time of a decision over that.
    """

    decisions: dict[str, float]
    request_ms: float | None
    shares: dict[str, float]


def statements(count: int, *, allow: bool = True) -> list[dict[str, object]]:
    """So many statements about other buckets and other actions, of which the last allows what is asked."""
    others: list[dict[str, object]] = [
        {
            "effect": "allow",
            "action": ["name/cos:PutObject", "name/cos:InitiateMultipartUpload", "name/cos:UploadPart"],
            "resource": [f"qcs::cos:{REGION}:uid/{HOME.appid}:other{number}-{HOME.appid}/*"],
        }
        for number in range(count - allow)
    ]
    condition = {"ip_equal": {"qcs:ip": ["10.0.0.0/8"]}}
    reads: dict[str, object] = {
        "effect": "allow",
        "action": ["name/cos:GetObject"],
        "resource": [OBJECT],
        "condition": condition,
    }
    return [*others, reads] if allow else others


def policy(name: str, found: list[dict[str, object]]) -> NamedPolicy:
    """A policy of these statements."""
    return NamedPolicy(name, json.dumps({"version": "2.0", "statement": found}))


def user(*policies: NamedPolicy, account: Account = HOME, session: NamedPolicy | None = None) -> Caller:
    """A user who has these policies."""
    return Caller(account=account, kind=CallerKind.USER, name="100000000002", policies=policies, session=session)


def bucket_policy(principal: str) -> NamedPolicy:
    """A bucket's policy of five statements, of which the last opens it to somebody."""
    return policy(BUCKET, [{**one, "principal": {"qcs": [principal]}} for one in statements(5)])


def cases() -> Mapping[str, Case]:
    """Whom is decided over."""
    few = [policy(f"p{number}", statements(5, allow=number == 2)) for number in range(3)]
    return {
        "root": Case(caller=Caller(account=HOME, kind=CallerKind.ROOT, name=HOME.uin)),
        "user, 1 statement": Case(caller=user(policy("p", statements(1)))),
        "user, 10 statements": Case(caller=user(policy("p", statements(10)))),
        "user, 50 statements": Case(
            caller=user(*(policy(f"p{number}", statements(10, allow=number == 4)) for number in range(5)))
        ),
        TYPICAL: Case(caller=user(*few)),
        "the same, refused": Case(caller=user(*few[:2], policy("p", statements(5, allow=False))), allowed=False),
        "the same, with a session": Case(caller=user(*few, session=policy("session", statements(2)))),
        "other account, bucket policy of 5": Case(
            caller=user(policy("p", statements(5)), account=AWAY),
            bucket_policy=bucket_policy(f"qcs::cam::uin/{AWAY.uin}:root"),
        ),
        "unsigned, bucket policy of 5": Case(caller=None, bucket_policy=bucket_policy("*")),
    }


def heads(seconds: float, rounds: int) -> Iterator[float]:
    """Seconds of the API's processor time that the head of an object takes, a value a round.

    Raises:
        ServerError: the server does not start, or does not answer.
    """
    with new_room() as room:
        server = launch(room / "data", {"SORDINO_WORKERS": "1", "SORDINO_LOG_FORMAT": "text"})
        try:
            server.wait_until(server.ready, START_SECONDS, "being ready")
            key = server.root_key
            bucket = f"bench-{key.appid}"
            server.client().create_bucket(Bucket=bucket)
            server.client().put_object(Bucket=bucket, Key="in/a.wav", Body=b"RIFF")
            host = f"{bucket}.cos.{REGION}.myqcloud.com"
            now = datetime.now(UTC)
            authorization = sign(
                SignedRequest(method="HEAD", paths=["/in/a.wav"], hosts=[host]),
                secret_id=key.secret_id,
                secret_key=key.secret_key,
                start=now - timedelta(minutes=1),
                end=now + timedelta(days=1),
            ).header
            request = f"HEAD /in/a.wav HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n\r\n".encode()
            api = psutil.Process(server.api[0])
            for _ in range(rounds):
                began = _spent(api)
                count = asyncio.run(_ask_for_a_while(server.port, request, seconds))
                yield (_spent(api) - began) / count
        finally:
            server.stop()


def _spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def _ask_for_a_while(port: int, request: bytes, seconds: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count, deadline = 0, time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head[:16]:
            raise ServerError(f"A request was refused: {head.decode()}")
        count += 1
    writer.close()
    return count


def measure(rounds: int, seconds: float, *, server: bool) -> Figures:
    """Decide in turns, then ask the server."""
    asked: dict[str, Callable[[], float]] = {name: partial(case.rate, seconds) for name, case in cases().items()}
    taken = turns.take(asked, rounds)
    decisions = {name: round(taken.median(name), 1) for name in asked}
    if not server:
        return Figures(decisions=decisions, request_ms=None, shares={})
    request = statistics.median(heads(seconds, rounds))
    return Figures(
        decisions=decisions,
        request_ms=round(1e3 * request, 3),
        shares={name: round(1 / rate / request, 5) for name, rate in decisions.items()},
    )


def table(found: Figures) -> Table:
    """The figures, a line for each caller."""
    shown = Table(title="Decisions, median of the rounds")
    for heading in ("caller", "a second", "microseconds", "share of a HEAD"):
        shown.add_column(heading, justify="left" if heading == "caller" else "right")
    for name, rate in found.decisions.items():
        share = f"{found.shares[name]:.2%}" if name in found.shares else "-"
        shown.add_row(name, f"{rate:,.0f}", f"{1e6 / rate:.1f}", share)
    return shown


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each is measured in a round")
    parser.add_argument("--no-server", action="store_true", help="measure decisions alone")
    return parser.parse_args()


def main() -> int:
    """Measure, and print table, machine and figures."""
    exit_on_sigterm()
    chosen = arguments()
    found = measure(chosen.rounds, chosen.seconds, server=not chosen.no_server)
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=120)
    console.print(table(found))
    if found.request_ms is not None:
        console.print(f"HEAD of an object: {found.request_ms:.2f} ms of the API's processor time")
    console.print(str(machine.describe()), soft_wrap=True)
    print(json.dumps({"bench": "policy", **asdict(found), "machine": asdict(machine.describe())}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
