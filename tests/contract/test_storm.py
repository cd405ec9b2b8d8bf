"""Everything that changes jobs, at once, over real databases whose connections break."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import procrastinate
import psycopg
import pytest

from rows import BUCKET, DONE, QUEUE_ID, bucket, execute, queue
from sordino.adapters import takeover as takeover_module
from sordino.adapters import worker as worker_module
from sordino.adapters.clock import SystemClock
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.adapters.takeover import Takeover
from sordino.adapters.tasks import MEDIA_QUEUE, run_job
from sordino.adapters.worker import EngineWorker
from sordino.domain.job import JobRequest, NoiseReduction, OperationRequest, Output
from sordino.domain.ports import DatabaseUnavailableError
from sordino.domain.queue import QueueSettings, QueueState
from sordino.errors import ServiceError
from sordino.jobs.losses import Losses
from sordino.jobs.manage import ManageJobs
from sordino.jobs.pipeline import TryAgainError
from sordino.jobs.queues import Queues
from sordino.jobs.release import Releaser
from sordino.jobs.submit import Submit
from sordino.wire.ids import new_job_id

LIMITS = {QUEUE_ID: 2, "q2": 1}
CLOCK = SystemClock()
IN_ENGINE = """
SELECT queue_id, count(*) AS jobs FROM jobs WHERE released AND state IN ('Submitted', 'Running') GROUP BY queue_id
"""
UNFINISHED = "SELECT job_id, state, released FROM jobs WHERE state IN ('Submitted', 'Running', 'Pause')"
OUR_BACKENDS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@dataclass
class Storm:
    """Who does what, and what came of it.

    Attributes:
        ends: how often each job succeeded.
        peak: the most jobs of each queue that the engine was seen to have.
        faults: what was raised that nobody expects.
    """

    database: PostgresDatabase
    chance: random.Random
    submit: Submit
    queues: Queues
    manage: ManageJobs
    ends: Counter[str] = field(default_factory=Counter)
    peak: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    over: bool = False

    async def again_and_again(self, act: Callable[[], Awaitable[object]]) -> None:
        """Do it until the storm is over; refusals and lost connections belong to it, deadlocks do not."""
        while not self.over:
            try:
                await act()
            except (DatabaseUnavailableError, psycopg.OperationalError) as error:
                if "deadlock" in str(error):
                    self.faults.append(str(error))
            except ServiceError as refusal:
                if refusal.code != "InvalidArgument":
                    self.faults.append(str(refusal))
            await asyncio.sleep(self.chance.uniform(0, 0.05))

    async def send(self) -> None:
        """Submit a few jobs to one of the queues."""
        operations = tuple(
            OperationRequest(
                noise_reduction=NoiseReduction(),
                output=Output(region="ap-guangzhou", bucket=BUCKET, object=f"{number}.wav"),
                job_level=self.chance.choice([None, 0, 1, 2]),
            )
            for number in range(self.chance.randint(1, 4))
        )
        await self.submit(
            bucket(), JobRequest(input_object="i", operations=operations, queue_id=self.one_of_the_queues())
        )

    def one_of_the_queues(self) -> str:
        """Any of them."""
        return self.chance.choice([*LIMITS])

    async def switch(self) -> None:
        """Pause or resume one of the queues."""
        await self.set(self.one_of_the_queues(), self.chance.choice([*QueueState]))

    async def set(self, queue_id: str, state: QueueState) -> None:
        """Give a queue a state."""
        await self.queues.update(BUCKET, queue_id, QueueSettings(name="q", state=state))

    async def cancel(self) -> None:
        """Cancel some job that has not ended."""
        found = await execute(self.database, UNFINISHED)
        if found:
            await self.manage.cancel(BUCKET, str(self.chance.choice(found)["job_id"]))

    async def cut(self) -> None:
        """Break some connection."""
        await asyncio.sleep(0.2)
        found = await execute(self.database, OUR_BACKENDS)
        await execute(self.database, "SELECT pg_terminate_backend(%s)", self.chance.choice(found)["pid"])

    async def watch(self) -> None:
        """See how many jobs the engine has."""
        for row in await execute(self.database, IN_ENGINE):
            queue_id = str(row["queue_id"])
            self.peak[queue_id] = max(self.peak[queue_id], int(str(row["jobs"])))

    async def run(self, job_id: str, release: int) -> None:
        """What a worker does with a job: run it to its end, or give it back."""
        async with self.database.transaction() as tx:
            job = await tx.jobs.start(job_id, release, CLOCK.now())
        if job is None:
            return
        await asyncio.sleep(self.chance.uniform(0, 0.03))
        async with self.database.transaction() as tx:
            again = self.chance.random() < 0.2 and await tx.jobs.requeue(job_id, job.attempt)
            ended = not again and await tx.jobs.finish(job_id, job.attempt, DONE, CLOCK.now())
        self.ends[job_id] += ended
        if again:
            raise TryAgainError(self.chance.uniform(0, 0.1))


@asynccontextmanager
async def _beside(*loops: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Run loops that only a cancelling ends beside the block."""
    async with AsyncExitStack() as stack:
        for loop in loops:
            task = asyncio.ensure_future(loop())
            stack.push_async_callback(_stopped, task)
        yield


async def _stopped(task: asyncio.Future[object]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_storm(app: procrastinate.App, database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """No job is lost, stuck or ended twice, no queue has more in the engine than it may, nobody meets a deadlock."""
    monkeypatch.setattr(worker_module, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(takeover_module, "YOUNG", timedelta(0))
    async with database.transaction() as tx:
        await tx.queues.put(queue(max_concurrent=LIMITS[QUEUE_ID]))
        await tx.queues.add(queue("q2", is_default=False, max_concurrent=LIMITS["q2"]))
    releasers = [Releaser(database=database, silence=1.0, max_concurrent=10, interval=0.2) for _ in range(2)]
    poke = releasers[0].poke
    storm = Storm(
        database=database,
        chance=random.Random(1),
        submit=Submit(database=database, clock=CLOCK, new_job_id=new_job_id, max_size=10_000, poke=poke),
        queues=Queues(database=database, clock=CLOCK, new_queue_id=lambda: "new", max_queues=9, poke=poke),
        manage=ManageJobs(database=database, clock=CLOCK, poke=poke),
    )
    workers = [
        EngineWorker(
            app=app,
            clock=CLOCK,
            queue=MEDIA_QUEUE,
            act=partial(run_job, storm.run),
            heartbeat=0.1,
            silence=1.0,
            free=releasers[1].poke,
            slot=True,
        )
        for _ in range(3)
    ]
    losses = Losses(clock=CLOCK, limit=10_000)
    takeover = Takeover(app=app, database=database, clock=CLOCK, losses=losses, silence=1.0, poke=poke)
    async with _beside(takeover.run, *(it.run for it in releasers), *(it.run for it in workers)):
        acts = [storm.send, storm.switch, storm.switch, storm.cancel, storm.cut, storm.watch]
        storming = [asyncio.create_task(storm.again_and_again(act)) for act in acts]
        await asyncio.sleep(6)
        storm.over = True
        await asyncio.gather(*storming)
        for queue_id in LIMITS:
            await storm.set(queue_id, QueueState.ACTIVE)
        async with asyncio.timeout(90):
            while await execute(database, UNFINISHED):
                await storm.watch()
                await asyncio.sleep(0.05)
    assert storm.faults == []
    assert all(storm.peak[queue_id] <= most for queue_id, most in LIMITS.items()), storm.peak
    ended = await execute(database, "SELECT job_id, state FROM jobs")
    assert {row["state"] for row in ended} <= {"Success", "Cancel"}
    assert {str(row["job_id"]) for row in ended if row["state"] == "Success"} >= {*+storm.ends}
    assert max(storm.ends.values()) == 1
    assert len(ended) > 20
