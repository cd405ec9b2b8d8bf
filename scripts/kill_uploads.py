"""Kill the server at random while clients upload, then count: what was acknowledged is there, nothing else is left.

Usage: python scripts/kill_uploads.py [--uploads 200] [--clients 8] [--megabytes 20] [--seed 0]

Each upload, plain or in parts, of no to so many megabytes, is sent again until it is acknowledged, or is given up after
a failure. Meanwhile the API, PostgreSQL or the whole server are killed with SIGKILL, in an order that the seed decides,
as soon as the server is ready again. Then every key is read: what was acknowledged last must be there, byte by byte,
and of what was given up all or nothing. At last, as if days had passed, whatever may go is let go, and the store is
compared with the rows. The last line is one JSON object with the figures.
"""

import argparse
import asyncio
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import psutil
from qcloud_cos import CosServiceError

from blob_audit import Audit, audit
from server import START_SECONDS, Server, ServerError, exit_on_sigterm, launch, new_room
from uploader import Content, Key, Stage, upload

PAUSES: Final = (0.2, 2.0)
"""Seconds between the server's being ready and the next blow."""

SETTINGS: Final = {"SORDINO_WORKERS": "1", "SORDINO_LOG_FORMAT": "text"}


class Blow(StrEnum):
    """What is killed."""

    ALL = "all"
    API = "api"
    DATABASE = "database"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do.

    Attributes:
        most_bytes: of an upload.
    """

    uploads: int = 200
    clients: int = 8
    most_bytes: int = 20 * 2**20
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of it.

    Attributes:
        acknowledged: keys whose last write was.
        tries: uploads begun; those that failed were cut off by a blow.
        lost: acknowledged keys that are not there.
        broken: keys that hold other bytes than were sent, or whose checksum is not that of the bytes.
        seconds: in which the server was struck.
    """

    uploads: int
    acknowledged: int
    tries: int
    parts: int
    bytes: int
    blows: dict[str, int]
    lost: int
    broken: int
    audit: Audit
    seconds: int

    @property
    def sound(self) -> bool:
        """Whether all is as it must be."""
        it = self.audit
        left = (it.orphan_blobs, it.orphan_files, it.missing_blobs, it.notes)
        return not (self.lost or self.broken or any(left) or it.counts_wrong)


def torment(room: Path, plan: Plan) -> Result:
    """Start a server in a room, upload while it is killed, and count.

    Raises:
        ServerError: it does not come back.
    """
    stage = _furnished(launch(room / "data", SETTINGS))
    began = time.monotonic()
    try:
        keys, blows = _upload(stage, plan)
        seconds = time.monotonic() - began
        _wait_ready(stage.server)
        lost, broken = _compare(stage, keys)
        found = asyncio.run(audit(stage.server.data, stage.bucket))
    finally:
        stage.server.stop()
    return Result(
        uploads=len(keys),
        acknowledged=sum(key.acknowledged is not None for key in keys),
        tries=sum(len(key.tries) for key in keys),
        parts=stage.parts,
        bytes=sum(content.size for key in keys for content in key.tries),
        blows=dict(blows),
        lost=lost,
        broken=broken,
        audit=found,
        seconds=round(seconds),
    )


def _furnished(server: Server) -> Stage:
    _wait_ready(server)
    stage = Stage(server, f"kills-{server.root_key.appid}")
    stage.client().create_bucket(Bucket=stage.bucket)
    return stage


def _wait_ready(server: Server) -> None:
    server.wait_until(server.ready, START_SECONDS, "being ready")


def _upload(stage: Stage, plan: Plan) -> tuple[Sequence[Key], Counter[str]]:
    """Upload everything, and strike until that is done."""
    blows: Counter[str] = Counter()
    done = threading.Event()
    with ThreadPoolExecutor(plan.clients + 1) as pool:
        striking = pool.submit(_strike, stage, plan.seed, done, blows)
        uploads = [pool.submit(upload, stage, number, plan.seed, plan.most_bytes) for number in range(plan.uploads)]
        try:
            keys = [_outcome(it, striking) for it in uploads]
        finally:
            done.set()
            for it in uploads:
                it.cancel()
        striking.result()
    return keys, blows


def _outcome(upload: Future[Key], striking: Future[None]) -> Key:
    """Of an upload; when the server does not come back after a blow, that is told instead."""
    try:
        return upload.result()
    except ServerError:
        if striking.done():
            striking.result()
        raise


def _strike(stage: Stage, seed: int, done: threading.Event, blows: Counter[str]) -> None:
    chance = random.Random(seed)
    first = chance.sample(list(Blow), len(Blow))
    while not done.wait(chance.uniform(*PAUSES)):
        blow = first.pop() if first else chance.choice(list(Blow))
        _hit(stage, blow)
        blows[blow.value] += 1
        _wait_ready(stage.server)


def _hit(stage: Stage, blow: Blow) -> None:
    server = stage.server
    match blow:
        case Blow.API:
            _kill(server.api)
        case Blow.DATABASE:
            _kill([_postmaster(server.data)])
        case Blow.ALL:
            everybody = [it.pid for it in psutil.Process(server.process.pid).children(recursive=True)]
            server.process.kill()
            _kill([*everybody, _postmaster(server.data)])
            server.process.wait()
            stage.server = launch(server.data, SETTINGS)


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()


def _postmaster(data: Path) -> int:
    return int((data / "postgres" / "postmaster.pid").read_text().splitlines()[0])


def _compare(stage: Stage, keys: Sequence[Key]) -> tuple[int, int]:
    """How many acknowledged keys are lost, and how many hold what they must not."""
    lost = broken = 0
    for key in keys:
        found, told = _read(stage, key.name)
        if found is None and key.acknowledged is not None:
            lost += 1
        elif not key.allows(found) or (found is not None and told != found.crc64):
            broken += 1
    return lost, broken


def _read(stage: Stage, key: str) -> tuple[Content | None, int | None]:
    """The bytes of a key, and the checksum that the server tells."""
    try:
        reply = stage.client().get_object(Bucket=stage.bucket, Key=key)
    except CosServiceError as error:
        if error.get_error_code() == "NoSuchKey":
            return None, None
        raise
    return Content.of(reply["Body"].get_raw_stream().read()), int(reply["x-cos-hash-crc64ecma"])


def _parse() -> Plan:
    plan = Plan()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--uploads", type=int, default=plan.uploads, help="how many keys are written")
    parser.add_argument("--clients", type=int, default=plan.clients, help="how many at a time")
    parser.add_argument("--megabytes", type=int, default=plan.most_bytes >> 20, help="size of the largest upload")
    parser.add_argument("--seed", type=int, default=plan.seed, help="decides sizes and blows")
    given = parser.parse_args()
    return Plan(uploads=given.uploads, clients=given.clients, most_bytes=given.megabytes << 20, seed=given.seed)


def main() -> int:
    """Run it; 0 when all is as it must be."""
    exit_on_sigterm()
    with new_room() as room:
        result = torment(room, _parse())
    print(json.dumps(asdict(result) | {"sound": result.sound}))
    return 0 if result.sound else 1


if __name__ == "__main__":
    sys.exit(main())
