"""Kill workers at random while jobs run, then count: every job once Success, every output written once.

Usage: python scripts/chaos.py [--jobs 50] [--workers 2] [--seconds 20] [--seed 0]

A trigger in the database counts each write of an output's row, so that "written twice" cannot hide behind equal bytes.
The last line is one JSON object with the figures.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from server import Server, new_room
from support import job_body, noisy_speech, start_service, wav_bytes

COUNT_WRITES = """
CREATE TABLE sordino.object_writes (bucket text, key text, at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION sordino.count_object_write() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN INSERT INTO sordino.object_writes (bucket, key) VALUES (NEW.bucket, NEW.key); RETURN NULL; END';
CREATE TRIGGER count_writes AFTER INSERT OR UPDATE ON sordino.objects
  FOR EACH ROW EXECUTE FUNCTION sordino.count_object_write();
"""
ATTEMPTS = "SELECT attempt, count(*) FROM sordino.jobs GROUP BY attempt ORDER BY attempt"
QUICK_RECOVERY = {"SORDINO_HEARTBEAT_SECONDS": "0.3", "SORDINO_STALLED_SECONDS": "1.5"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of the jobs.

    Attributes:
        kills: workers killed with SIGKILL while jobs ran.
        attempts: jobs by the number of times a worker began them.
        written_more_than_once: outputs whose row was written more than once.
    """

    jobs: int
    kills: int
    success: int
    outputs: int
    written_more_than_once: int
    attempts: dict[int, int]
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether every job succeeded and every output was written exactly once."""
        return self.success == self.outputs == self.jobs and self.written_more_than_once == 0


def torment(service: Server, *, jobs: int, seconds: float, seed: int) -> Result:
    """Submit jobs of ``seconds`` of sound each and kill a random worker now and then until they have ended."""
    chance = random.Random(seed)
    client, bucket = service.client(), f"chaos-{service.root_key.appid}"
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="in.wav", Body=wav_bytes(noisy_speech(seconds), 16000))
    with psycopg.connect(host=str(service.data / "postgres"), user="sordino", dbname="sordino", autocommit=True) as db:
        db.execute(COUNT_WRITES)
        began = time.monotonic()
        ids = [
            client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, f"out/{n:03}.wav"), Lst={})["JobsDetail"][
                0
            ]["JobId"]
            for n in range(jobs)
        ]
        kills = _kill_until_done(service, db, chance)
        elapsed = time.monotonic() - began
        states = Counter(_state(client, bucket, job_id) for job_id in ids)
        writes = Counter(key for (key,) in db.execute("SELECT key FROM sordino.object_writes WHERE key LIKE 'out/%'"))
        attempts = {int(number): int(count) for number, count in db.execute(ATTEMPTS)}
    return Result(
        jobs=jobs,
        kills=kills,
        success=states["Success"],
        outputs=len(client.list_objects(Bucket=bucket, Prefix="out/").get("Contents", [])),
        written_more_than_once=sum(count > 1 for count in writes.values()),
        attempts=attempts,
        seconds=round(elapsed, 1),
    )


def _kill_until_done(service: Server, db: psycopg.Connection, chance: random.Random) -> int:
    kills = 0
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline and _unfinished(db):
        time.sleep(chance.uniform(0.3, 2.5))
        if (workers := service.workers) and _unfinished(db):
            os.kill(chance.choice(workers), signal.SIGKILL)
            kills += 1
    return kills


def _unfinished(db: psycopg.Connection) -> int:
    row = db.execute("SELECT count(*) FROM sordino.jobs WHERE ended_at IS NULL").fetchone()
    assert row is not None
    return int(row[0])


def _state(client: object, bucket: str, job_id: str) -> str:
    return str(client.ci_get_media_jobs(Bucket=bucket, JobIDs=job_id)["JobsDetail"][0]["State"])  # type: ignore[attr-defined]


def main() -> None:
    """Run it and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the recording")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with new_room() as directory:
        service = start_service(directory / "data", SORDINO_WORKERS=str(options.workers), **QUICK_RECOVERY)
        try:
            result = torment(service, jobs=options.jobs, seconds=options.seconds, seed=options.seed)
        finally:
            service.stop()
    for name, value in asdict(result).items():
        print(f"{name.replace('_', ' '):>24}  {value}")
    print(json.dumps({"chaos": asdict(result), "sound": result.sound}))
    sys.exit(0 if result.sound else 1)


if __name__ == "__main__":
    main()
