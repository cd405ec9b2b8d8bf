"""What the service does with many jobs, measured: order, fairness, rates, latencies, overhead, pauses."""

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import sordino
from job_store import END_SECONDS, LONG, SHORT, JobStore, Times
from posting import post
from real_sound import RATE
from sordino.audio import sandbox
from sordino.audio.order import MediaLimits, MediaOrder
from sordino.bench import turns
from sordino.domain.release import depth

SMALL: Final = "small"
LARGE: Final = "large"
SERVICE: Final = "service"
MEDIA: Final = "media process"
LIBRARY: Final = "library"
URGENT: Final = 2
MAX_CONCURRENT: Final = 10
"""The server's default (SORDINO_QUEUE_MAX_CONCURRENT)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds."""

    count: int
    p50: float
    p90: float
    p99: float
    max: float


def latency(seconds: Sequence[float]) -> Latency:
    """The distribution of at least two durations."""
    hundredths = statistics.quantiles(seconds, n=100, method="inclusive")
    p50, p90, p99 = (round(1000 * hundredths[number - 1], 2) for number in (50, 90, 99))
    return Latency(count=len(seconds), p50=p50, p90=p90, p99=p99, max=round(1000 * max(seconds), 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Priority:
    """Urgent jobs that come to a queue that works off others.

    Attributes:
        waiting: others in the queue.
        urgent: jobs of the highest level, submitted while it works.
        overtaken_by: others that began between an urgent job's acceptance and its beginning, at most.
        in_engine: that many may, at most: the engine had them before.
        seconds: from the first acceptance to the last beginning.
    """

    waiting: int
    urgent: int
    overtaken_by: int
    in_engine: int
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether the urgent came next."""
        return self.overtaken_by <= self.in_engine


def priority(store: JobStore, *, waiting: int, urgent: int, workers: int) -> Priority:
    """Submit urgent jobs to a queue that has begun to work off very many others."""
    since = store.pour(waiting)
    store.settle()
    with store.open():
        store.await_count(2 * workers, since, level=0)
        for _ in range(urgent):
            store.submit(level=URGENT)
        store.await_count(urgent, since, level=URGENT)
    times = store.times(since)
    store.drop_waiting()
    ours = [it for it in times if it.level == URGENT]
    return Priority(
        waiting=waiting,
        urgent=len(ours),
        overtaken_by=max(begun_while_waiting(it, times, level=0) for it in ours),
        in_engine=depth(workers),
        seconds=round(max(it.started for it in ours) - min(it.created for it in ours), 2),
    )


def begun_while_waiting(job: Times, others: Sequence[Times], level: int) -> int:
    """How many of the others, of a level, began between a job's acceptance and its beginning."""
    return sum(it.level == level and job.created < it.started < job.started for it in others)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fairness:
    """A job of one bucket while another bucket's very many are worked off.

    Attributes:
        waiting: jobs in the other bucket.
        wait: of the one, milliseconds.
        allowed_ms: the time in which as many of the others as may run at a time (MaxConcurrent) were worked off.
        overtaken_by: others that began while one waited, at most.
    """

    waiting: int
    wait: Latency
    allowed_ms: float
    overtaken_by: int

    @property
    def holds(self) -> bool:
        """Whether none waited longer than allowed, nor for more jobs."""
        return self.wait.max <= self.allowed_ms and self.overtaken_by < MAX_CONCURRENT


def fairness(crowd: JobStore, single: JobStore, *, since: float, waiting: int, probes: int, workers: int) -> Fairness:
    """Submit single jobs to one bucket while the other works off those that it got since then."""
    began = crowd.now()
    with crowd.open(), single.open():
        crowd.server.wait_until(
            lambda: len(_begun(crowd, since, began)) > workers, END_SECONDS, "the beginning of the others"
        )
        mine = [_one(single) for _ in range(probes)]
    crowd.await_idle()
    others = _begun(crowd, since, began)
    return Fairness(
        waiting=waiting,
        wait=latency([it.wait for it in mine]),
        allowed_ms=round(1000 * MAX_CONCURRENT / _ends_a_second(others), 1),
        overtaken_by=max(begun_while_waiting(it, others, level=0) for it in mine),
    )


def _begun(store: JobStore, since: float, began: float) -> Sequence[Times]:
    """Jobs accepted since one time that have begun since another."""
    return [it for it in store.times(since) if it.started >= began]


def _ends_a_second(jobs: Sequence[Times]) -> float:
    ends = sorted(it.ended for it in jobs if it.ended is not None)
    return (len(ends) - 1) / (ends[-1] - ends[0])


def _one(store: JobStore, source: str = SHORT) -> Times:
    """Submit a job and wait for its end."""
    job_id = store.submit(source)
    store.await_ends([job_id])
    return store.times_of(job_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Short jobs a second, with few and with very many waiting: medians of the rounds.

    Attributes:
        kept: median of the rounds' ratios; 1 is best.
    """

    small: float
    large: float
    kept: float


def throughput(stores: Mapping[str, JobStore], model: str | None, *, jobs: int, rounds: int) -> Throughput:
    """Let the stores work off as many urgent jobs in turns."""
    taken = turns.take({name: partial(_rate, store, model, jobs) for name, store in stores.items()}, rounds)
    return Throughput(
        small=round(taken.median(SMALL), 2),
        large=round(taken.median(LARGE), 2),
        kept=round(taken.ratio(LARGE, SMALL), 3),
    )


def _rate(store: JobStore, model: str | None, jobs: int) -> float:
    """Jobs a second, from the beginning of the first to the end of the last."""
    since = store.pour(jobs, level=URGENT, model=model)
    with store.open():
        store.await_count(jobs, since, level=URGENT)
    store.await_idle()
    times = [it for it in store.times(since) if it.level == URGENT]
    return jobs / (max(it.started + it.run for it in times) - min(it.started for it in times))


def pickup(store: JobStore, jobs: int) -> Latency:
    """From acceptance to beginning on a service that has nothing else to do."""
    chance = random.Random(0)
    waits = []
    with store.open():
        for _ in range(jobs):
            time.sleep(chance.uniform(0.0, 0.2))
            waits.append(_one(store).wait)
    return latency(waits)


def submission(store: JobStore, clients: int, requests: int) -> Latency:
    """From request to answer of POST /jobs, to a queue that is paused."""
    found = latency(asyncio.run(post(store.server, store.bucket, clients, requests)))
    store.ask("DELETE {mark} FROM sordino.jobs WHERE queue_id = %(id)s AND state = 'Pause'")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Seconds that a queue is paused and resumed in, with all jobs that wait in it: medians of the rounds.

    Attributes:
        waiting: jobs in it.
    """

    waiting: int
    pause: float
    resume: float


def pause(store: JobStore, rounds: int) -> Pause:
    """Pause and resume a queue that has jobs waiting, through the API; no worker takes any meanwhile."""
    waiting = store.ask("SELECT {mark} count(*) FROM sordino.jobs WHERE queue_id = %(id)s AND state = 'Submitted'")
    with store.idle_workers(), store.open():
        taken = [(_turned(store, "Paused"), _turned(store, "Active")) for _ in range(rounds)]
    return Pause(
        waiting=waiting[0][0],
        pause=round(statistics.median(paused for paused, _ in taken), 2),
        resume=round(statistics.median(resumed for _, resumed in taken), 2),
    )


def _turned(store: JobStore, state: str) -> float:
    store.settle()
    began = time.perf_counter()
    store.turn(state)
    return time.perf_counter() - began


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """The whole path beside the bare sound path, on the same recording.

    Attributes:
        audio_seconds: of the recording.
        service_ms: from a job's acceptance to its end, median.
        media_ms: of the media process that the service starts for it, alone, median.
        library_ms: of ``sordino.denoise_file`` in this process, median.
        over_media: the job's time over that of the media process, less 1: median of the rounds' ratios.
        over_library: the same over the library.
    """

    audio_seconds: float
    service_ms: float
    media_ms: float
    library_ms: float
    over_media: float
    over_library: float


def overhead(store: JobStore, audio: bytes, seconds: float, rounds: int) -> Overhead:
    """Clean a recording in the three ways in turns."""
    with tempfile.TemporaryDirectory() as directory, store.open():
        source = Path(directory, LONG)
        source.write_bytes(audio)
        ways: Mapping[str, Callable[[], float]] = {
            SERVICE: lambda: _whole(_one(store, LONG)),
            MEDIA: lambda: asyncio.run(_media(source)),
            LIBRARY: lambda: _library(source),
        }
        for way in ways.values():
            way()  # what is loaded at the first time does not count
        taken = turns.take(ways, rounds)
    return Overhead(
        audio_seconds=seconds,
        service_ms=round(1000 * taken.median(SERVICE), 1),
        media_ms=round(1000 * taken.median(MEDIA), 1),
        library_ms=round(1000 * taken.median(LIBRARY), 1),
        over_media=round(taken.ratio(SERVICE, MEDIA) - 1, 3),
        over_library=round(taken.ratio(SERVICE, LIBRARY) - 1, 3),
    )


def _whole(job: Times) -> float:
    return job.wait + job.run


async def _media(source: Path) -> float:
    with source.open("rb") as noisy, tempfile.TemporaryFile(dir=source.parent) as clean:
        began = time.perf_counter()
        await sandbox.run(noisy, clean, MediaOrder(rate=RATE), MediaLimits())
        return time.perf_counter() - began


def _library(source: Path) -> float:
    began = time.perf_counter()
    sordino.denoise_file(source, source.with_suffix(".wav"), rate=RATE)
    return time.perf_counter() - began
