"""A worker of the task engine: fetches a task, does it, settles it; one at a time.

procrastinate's own worker loop is not used: it goes on working when its heartbeat has failed, so that others take its
tasks for a dead worker's, and forgets a task whose new state it could not write. Here both end the session: the worker
comes back under a new number, and what the old number still holds is taken over like any dead worker's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import procrastinate
import psycopg
import structlog
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job as Task
from procrastinate.jobs import Status

from sordino.adapters.notices import listen
from sordino.cancelling import mind_cancelling
from sordino.domain.ports import Clock, DatabaseUnavailableError
from sordino.jobs.pipeline import TryAgainError

log = structlog.get_logger(__name__)

# NOTIFY wakes a worker at once; polling finds tasks whose retry time has come, and those whose notice was lost.
POLL_SECONDS: Final = 2.0
LONGEST_PAUSE: Final = 15.0
FAREWELL_SECONDS: Final = 5.0
STEADY_SECONDS: Final = 30.0
BROKEN_SECONDS: Final = 60.0

BEAT: Final = "UPDATE procrastinate_workers SET last_heartbeat = now() WHERE id = %s"
# The row goes with the worker's own.
TAKE_SLOT: Final = "INSERT INTO slots (worker_id) VALUES (%s)"


class SessionLostError(Exception):
    """Others may take this worker for dead: it must stop what it does and begin anew."""


async def _nothing() -> None:
    """Do nothing."""


LOST: Final = (ConnectorException, psycopg.Error, DatabaseUnavailableError, SessionLostError)
"""What ends a session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineWorker:
    """Runs tasks one at a time until drained or cancelled; outlives restarts of the database.

    Attributes:
        app: the engine, open over a pool.
        queue: the engine's queue that it serves.
        act: does a task, given its arguments.
        heartbeat: seconds between signs of life.
        silence: seconds without one after which a worker counts as dead.
        free: called whenever it can take a task more than before: at the beginning, and after each task.
        back: awaited when the database is there, or there again: for what could not be written while it was away.
        slot: whether jobs are released for it to run.
        bell: rings when there may be something to do.
    """

    app: procrastinate.App
    clock: Clock
    queue: str
    act: Callable[[Mapping[str, Any]], Awaitable[None]]
    heartbeat: float
    silence: float
    free: Callable[[], None] = lambda: None
    back: Callable[[], Awaitable[None]] = _nothing
    slot: bool = False
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    bell: asyncio.Event = field(default_factory=asyncio.Event)

    def drain(self) -> None:
        """Take no task any more; ``run`` returns when the one that runs now has ended."""
        self.draining.set()
        self.bell.set()

    async def run(self) -> None:
        """Work until drained, or cancelled: the job that runs then goes back to the queue."""
        loop, pause = asyncio.get_running_loop(), 1.0
        while not self.draining.is_set():
            began = loop.time()
            try:
                await self._session()
            except* LOST as lost:
                log.warning("session lost", errors=[_cause(error) for error in lost.exceptions])
            mind_cancelling()
            pause = 1.0 if loop.time() - began > STEADY_SECONDS else min(pause * 2, LONGEST_PAUSE)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self.draining.wait()

    async def _session(self) -> None:
        """Work under one number of the engine, until drained, the database fails or others may hold us for dead."""
        engine = self.app.job_manager
        await self.back()
        await engine.prune_stalled_workers(self.silence)
        worker_id = await engine.register_worker()
        if self.slot:
            await self._execute(TAKE_SLOT, worker_id)
        self.free()
        try:
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(self._beat(worker_id)), group.create_task(self._listen())]
                await asyncio.wait([group.create_task(self._work(worker_id))])
                for task in beside:
                    task.cancel()
        finally:
            # Our tasks are then free at once; without it they are after ``silence``.
            with suppress(*LOST, TimeoutError):
                async with asyncio.timeout(FAREWELL_SECONDS):
                    await engine.unregister_worker(worker_id)

    async def _beat(self, worker_id: int) -> None:
        """Give signs of life; a failed one is tried again while nobody can have missed it."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            mind_cancelling()
            await asyncio.sleep(self.heartbeat)
            try:
                known = await self._sign_of_life(worker_id)
            except LOST as error:
                log.warning("heartbeat failed", error=_cause(error))
                if loop.time() - last > self.silence:
                    raise SessionLostError("no heartbeat got through") from error
                continue
            if not known or loop.time() - last > self.silence:
                raise SessionLostError("others held this worker for dead")
            last = loop.time()

    async def _sign_of_life(self, worker_id: int) -> bool:
        return bool(await self._execute(BEAT, worker_id))

    async def _execute(self, query: str, worker_id: int) -> int:
        async with _pool(self.app).connection() as connection:
            return int((await connection.execute(query, [worker_id])).rowcount)

    async def _listen(self) -> None:
        """Ring when a task is deferred. Without it polling still finds tasks, so its failures are waited out."""
        while True:
            mind_cancelling()
            try:
                await listen(str(_pool(self.app).conninfo), self.queue, self.bell)
            except LOST as error:
                log.warning("cannot listen for new tasks", error=_cause(error))
            await asyncio.sleep(POLL_SECONDS)

    async def _work(self, worker_id: int) -> None:
        while not self.draining.is_set():
            mind_cancelling()
            self.bell.clear()
            task = await self.app.job_manager.fetch_job(queues=[self.queue], worker_id=worker_id)
            if task is not None:
                await self._run(task)
                self.free()
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self.bell.wait()

    async def _run(self, task: Task) -> None:
        try:
            await self.act(task.task_kwargs)
        except TryAgainError as again:
            await self._defer(task, again.seconds)
        except asyncio.CancelledError:
            await self._defer(task, 0)
            raise
        except LOST:
            raise
        except Exception:
            # Neither this worker nor the tasks behind may suffer from a task that cannot even begin.
            log.exception("task broke", task=task.task_kwargs)
            await self._defer(task, BROKEN_SECONDS)
        else:
            await self.app.job_manager.finish_job(task, status=Status.SUCCEEDED, delete_job=True)

    async def _defer(self, task: Task, seconds: float) -> None:
        await self.app.job_manager.retry_job(task, retry_at=self.clock.now() + timedelta(seconds=seconds))


def _pool(app: procrastinate.App) -> Any:  # noqa: ANN401 - rows differ by pool
    assert isinstance(app.connector, procrastinate.PsycopgConnector)
    return app.connector.pool


def _cause(error: BaseException) -> str:
    """The driver's own words: those of procrastinate's wrapper say nothing."""
    return str(error.__cause__ or error).strip()
