"""Kill workers at random while jobs run, then count: every job once Success, every output written once.

Usage: python scripts/chaos.py [--jobs 50] [--workers 2] [--seconds 20] [--kills 40] [--torment-seconds 60] [--seed 0]

The killing stops after so many kills or seconds, and the jobs are let end: a worker that keeps dying is restarted after
ever longer pauses, and the run would measure those.
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
from qcloud_cos import CosS3Client

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from server import START_SECONDS, Server, ServerError, exit_on_sigterm, launch, new_room
from support import job_body, noisy_speech, wav_bytes

COUNT_WRITES = """
CREATE TABLE sordino.object_writes (bucket text, key text, at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION sordino.count_object_write() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN INSERT INTO sordino.object_writes (bucket, key) VALUES (NEW.bucket, NEW.key); RETURN NULL; END';
CREATE TRIGGER count_writes AFTER INSERT OR UPDATE ON sordino.objects
  FOR EACH ROW EXECUTE FUNCTION sordino.count_object_write();
"""
ATTEMPTS = "SELECT attempt, count(*) FROM sordino.jobs GROUP BY attempt ORDER BY attempt"
REST_SECONDS = 600.0  # for the jobs that are left when the killing is over; the next restart may be 15 s away
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do to the server.

    Attributes:
        seconds: length of the recording.
        kills: how many workers are killed at most.
        torment_seconds: for how long workers are killed at most.
    """

    jobs: int = 50
    seconds: float = 20.0
    kills: int = 40
    torment_seconds: float = 60.0
    seed: int = 0


def torment(
    service: Server, plan: Plan | None = None, *, jobs: int = 50, seconds: float = 20.0, seed: int = 0
) -> Result:
    """Submit the jobs, kill a random worker now and then for a while, and let the jobs end.

    Without a plan, the number of jobs, the length of the recording and the seed make one.

    Raises:
        ServerError: the server has ended, or the jobs do not.
    """
    plan = plan or Plan(jobs=jobs, seconds=seconds, seed=seed)
    client, bucket = service.client(), f"chaos-{service.root_key.appid}"
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="in.wav", Body=wav_bytes(noisy_speech(plan.seconds), 16000))
    with psycopg.connect(host=str(service.data / "postgres"), user="sordino", dbname="sordino", autocommit=True) as db:
        db.execute(COUNT_WRITES)
        began = time.monotonic()
        ids = [_submit(client, bucket, f"out/{n:03}.wav") for n in range(plan.jobs)]
        _tell(f"{plan.jobs} jobs of {plan.seconds:g} s of sound are submitted")
        kills = _kill(service, db, plan)
        _tell(f"{kills} workers were killed; {_unfinished(db)} jobs are left")
        service.wait_until(lambda: not _unfinished(db), REST_SECONDS, "the end of all jobs")
        elapsed = time.monotonic() - began
        states = Counter(_state(client, bucket, job_id) for job_id in ids)
        writes = Counter(key for (key,) in db.execute("SELECT key FROM sordino.object_writes WHERE key LIKE 'out/%'"))
        attempts = {int(number): int(count) for number, count in db.execute(ATTEMPTS)}
    return Result(
        jobs=plan.jobs,
        kills=kills,
        success=states["Success"],
        outputs=len(client.list_objects(Bucket=bucket, Prefix="out/").get("Contents", [])),
        written_more_than_once=sum(count > 1 for count in writes.values()),
        attempts=attempts,
        seconds=round(elapsed, 1),
    )


def _submit(client: CosS3Client, bucket: str, target: str) -> str:
    reply = client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, target), Lst={})
    return str(reply["JobsDetail"][0]["JobId"])


def _kill(service: Server, db: psycopg.Connection, plan: Plan) -> int:
    """Kill workers until the plan's kills or seconds are used up, or no job is left; the number of kills."""
    chance, kills = random.Random(plan.seed), 0
    deadline = time.monotonic() + plan.torment_seconds
    while kills < plan.kills and time.monotonic() < deadline:
        time.sleep(chance.uniform(0.3, 2.5))
        left = _unfinished(db)
        if not left:
            break
        if workers := service.workers:
            os.kill(chance.choice(workers), signal.SIGKILL)
            kills += 1
            _tell(f"kill {kills}, {left} jobs left")
    return kills


def _tell(text: str) -> None:
    print(text, flush=True)


def _unfinished(db: psycopg.Connection) -> int:
    row = db.execute("SELECT count(*) FROM sordino.jobs WHERE ended_at IS NULL").fetchone()
    assert row is not None
    return int(row[0])


def _state(client: CosS3Client, bucket: str, job_id: str) -> str:
    return str(client.ci_get_media_jobs(Bucket=bucket, JobIDs=job_id)["JobsDetail"][0]["State"])


def main() -> int:
    """Run it and print what came of it; the exit status."""
    workers, plan = _options()
    exit_on_sigterm()
    with new_room() as directory:
        service = launch(directory / "data", {"SORDINO_WORKERS": str(workers), **QUICK_RECOVERY})
        try:
            service.wait_until(service.ready, START_SECONDS, "being ready")
            result = torment(service, plan)
        except ServerError as error:
            print(f"chaos: {error}\n{service.log_tail()}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
        finally:
            service.stop()
    for name, value in asdict(result).items():
        print(f"{name.replace('_', ' '):>24}  {value}")
    print(json.dumps({"chaos": asdict(result), "sound": result.sound}))
    return 0 if result.sound else 1


def _options() -> tuple[int, Plan]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the recording")
    parser.add_argument("--kills", type=int, default=40, help="kill so many workers at most")
    parser.add_argument("--torment-seconds", type=float, default=60.0, help="kill for so long at most")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    return options.workers, Plan(
        jobs=options.jobs,
        seconds=options.seconds,
        kills=options.kills,
        torment_seconds=options.torment_seconds,
        seed=options.seed,
    )


if __name__ == "__main__":
    sys.exit(main())
