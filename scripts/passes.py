"""How long a release pass takes, with one queue that has jobs waiting and with very many."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, LiteralString

from cryptography.fernet import Fernet

from sordino.adapters.postgres.database import PostgresDatabase
from sordino.adapters.postgres.embedded import EmbeddedPostgres
from sordino.adapters.postgres.migrate import migrate
from sordino.adapters.tasks import EngineTasks, engine
from sordino.adapters.vault import FernetVault
from sordino.bench import turns
from sordino.domain.release import depth
from sordino.jobs.release import Releaser

ONE: Final = "one"
MANY: Final = "many"
SLOTS: Final = 8
SILENCE: Final = 3600.0
"""The slots' workers are rows: they give no sign of life."""

FILL: Final[Sequence[LiteralString]] = (
    """
    INSERT INTO accounts (appid, uin) SELECT a::text, a::text FROM generate_series(1, %(accounts)s) AS a
    """,
    """
    INSERT INTO buckets (name, region, appid, created_at)
    SELECT 'b-' || appid, 'ap-guangzhou', appid, now() FROM accounts
    """,
    """
    INSERT INTO services (bucket, kind, opened_at, automatic) SELECT name, 'speech', now(), true FROM buckets
    """,
    """
    INSERT INTO queues (queue_id, bucket, name, state, created_at, updated_at, is_default)
    SELECT 'p' || md5(q::text), 'b-' || 1 + q %% %(accounts)s, 'q', 'Active', now(), now(), false
      FROM generate_series(1, %(queues)s) AS q
    """,
    # A job of each queue in turn, as they come in when all queues are busy.
    """
    INSERT INTO jobs (job_id, bucket, region, queue_id, input_object, operation, state, created_at, code, message,
                      progress, attempt)
    SELECT 'j' || md5(queue_id || number), bucket, 'ap-guangzhou', queue_id, 'in.wav',
           jsonb_build_object('job_level', 0, 'user_data', repeat('u', 300)), 'Submitted',
           now() + number * interval '1 second', 'Success', '', 0, 0
      FROM generate_series(1, %(waiting)s) AS number CROSS JOIN queues
     ORDER BY number, queue_id
    """,
    """
    WITH workers AS (
        INSERT INTO procrastinate_workers (last_heartbeat) SELECT now() FROM generate_series(1, %(slots)s) RETURNING id)
    INSERT INTO slots SELECT id FROM workers
    """,
)
# As before the pass: its jobs wait, and the engine has none.
BACK: Final = ("UPDATE jobs SET released = false WHERE released", "DELETE FROM procrastinate_jobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """A pass that fills an empty engine, medians.

    Attributes:
        queues: how many are busy in the large database.
        accounts: whose they are.
        waiting: jobs in each of them, and in the one of the small database.
        slots: of workers; the engine gets half as many jobs again.
        one_ms: with one busy queue.
        many_ms: with all of them.
    """

    queues: int
    accounts: int
    waiting: int
    slots: int
    one_ms: float
    many_ms: float


def passes(directory: Path, *, queues: int, accounts: int, waiting: int, rounds: int) -> Passes:
    """Make so many passes on each of two databases in turns, on an embedded server of their own."""
    with EmbeddedPostgres(directory) as server, asyncio.Runner() as runner, ExitStack() as stack:
        one = stack.enter_context(_filled(runner, server.dsn, ONE, queues=1, accounts=1, waiting=waiting))
        many = stack.enter_context(_filled(runner, server.dsn, MANY, queues=queues, accounts=accounts, waiting=waiting))
        ways = {name: partial(_run, runner, it) for name, it in ((ONE, one), (MANY, many))}
        taken = turns.take(ways, rounds)
    return Passes(
        queues=queues,
        accounts=accounts,
        waiting=waiting,
        slots=SLOTS,
        one_ms=round(1000 * taken.median(ONE), 2),
        many_ms=round(1000 * taken.median(MANY), 2),
    )


@contextmanager
def _filled(runner: asyncio.Runner, dsn: str, schema: str, **sizes: int) -> Iterator[PostgresDatabase]:
    """A database with slots, and queues in which jobs wait; open during the block."""
    database = PostgresDatabase(
        dsn,
        schema=schema,
        max_connections=1,
        vault=FernetVault(data=Path(), keys=(Fernet.generate_key().decode(),)),
        tasks=lambda connection: EngineTasks(engine(), connection),
    )
    runner.run(migrate(dsn, schema))
    runner.run(database.open())
    try:
        runner.run(_fill(database, sizes | {"slots": SLOTS}))
        yield database
    finally:
        runner.run(database.close())


async def _fill(database: PostgresDatabase, sizes: dict[str, int]) -> None:
    async with database.transaction() as tx:
        for statement in FILL:
            await tx.connection.execute(statement, sizes)
    async with database.reading() as tx:
        await tx.connection.execute("VACUUM ANALYZE")


def _run(runner: asyncio.Runner, database: PostgresDatabase) -> float:
    return runner.run(_timed(database))


async def _timed(database: PostgresDatabase) -> float:
    """The seconds of a pass that fills an empty engine."""
    releaser = Releaser(database=database, silence=SILENCE, max_concurrent=depth(SLOTS))
    began = time.perf_counter()
    released = await releaser()
    seconds = time.perf_counter() - began
    assert released == depth(SLOTS), f"a pass handed over {released} jobs in place of {depth(SLOTS)}"
    async with database.transaction() as tx:
        for statement in BACK:
            await tx.connection.execute(statement)
    return seconds
