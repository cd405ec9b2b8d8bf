"""What the PostgreSQL database promises as a whole, on the embedded server and on one outside."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from unittest.mock import Mock

import procrastinate
import psycopg
import pytest
from psycopg import sql
from psycopg.pq import TransactionStatus

from rows import (
    BUCKET,
    DONE,
    LATER,
    NOW,
    ROOT,
    ROOT_SIGNER,
    VAULT,
    add_bucket,
    bucket,
    execute,
    job,
    put_object,
    queue,
    stored,
    template,
)
from sordino.adapters.postgres.database import PostgresDatabase, PostgresTransaction
from sordino.adapters.postgres.migrate import MigrationError, is_current, migrate, migrations
from sordino.adapters.postgres.session import conninfo
from sordino.adapters.tasks import EngineTasks
from sordino.domain.identity import AccessKey, Account
from sordino.domain.job import JobFilter, Order
from sordino.domain.page import Page
from sordino.domain.ports import DatabaseUnavailableError
from sordino.domain.service import BindingFilter, ServiceKind

# What the version before queues, templates and services could be set, and lists of jobs, has in its tables.
FIRST_VERSION = f"""
INSERT INTO accounts (appid, uin) VALUES ('1250000000', '100000000001');
INSERT INTO buckets (name, region, appid, created_at)
VALUES ('{BUCKET}', 'ap-guangzhou', '1250000000', '{NOW}'), ('empty-1250000000', 'ap-beijing', '1250000000', '{NOW}');
INSERT INTO queues (queue_id, bucket, name, state, created_at, updated_at)
VALUES ('p1', '{BUCKET}', 'queue-speech', 'Active', '{NOW}', '{LATER}'),
       ('p2', 'empty-1250000000', 'queue-speech', 'Active', '{NOW}', '{LATER}');
INSERT INTO jobs (job_id, bucket, region, queue_id, input_object, operation, state, created_at, started_at, ended_at,
                  code, message, progress, attempt)
SELECT 'j' || lower(state), '{BUCKET}', 'ap-guangzhou', 'p1', 'in.mp3',
       '{{"noise_reduction": {{"format": "wav", "sample_rate": 16000, "spelling": "SampleRate"}},
         "output": {{"region": "ap-guangzhou", "bucket": "{BUCKET}", "object": "out.wav"}},
         "user_data": null, "job_level": null}}',
       state, '{NOW}', CASE WHEN state <> 'Submitted' THEN timestamptz '{NOW}' END,
       CASE WHEN state IN ('Success', 'Failed') THEN timestamptz '{LATER}' END,
       CASE state WHEN 'Failed' THEN 'InternalError' ELSE 'Success' END, '', 0, (state <> 'Submitted')::integer
  FROM unnest(ARRAY['Submitted', 'Running', 'Success', 'Failed']) AS state;
"""

WAITING_CALLBACK = f"""
INSERT INTO deliveries (job_id, url, host, format, created_at, next_at)
VALUES ('jfailed', 'http://hooks.example/', 'hooks.example', 'XML', '{NOW}', '{NOW}');
"""


async def check_the_first_version(database: PostgresDatabase) -> None:
    """What ``FIRST_VERSION`` had is what this version makes of it, and can be worked with."""
    async with database.transaction() as tx:
        for kind in ServiceKind:
            opened = await tx.bindings.page("1250000000", kind, BindingFilter(), Page())
            assert [(it.bucket.name, it.automatic) for it in opened.items] == [
                ("empty-1250000000", True),
                (BUCKET, True),
            ]
        assert await tx.queues.held(BUCKET, None) == queue("p1")
        assert await tx.queues.held("empty-1250000000", None) == queue("p2", bucket="empty-1250000000")
        jobs = await tx.jobs.list(BUCKET, JobFilter(), order=Order.ASCENDING, after=None, limit=10)
        assert [it.job_id for it in jobs] == ["jfailed", "jrunning", "jsubmitted", "jsuccess"]
        assert jobs[2] == job("jsubmitted")
        # Its task has been in the engine since before there were releases.
        assert await tx.jobs.start("jsubmitted", 0, LATER) is not None
        await tx.jobs.finish("jsubmitted", 1, DONE, LATER)
        await tx.jobs.finish("jrunning", 1, DONE, LATER)
        assert await tx.buckets.remove(BUCKET)


class TestReading:
    """Blocks that only read."""

    async def test_each_statement_sees_what_is_committed(self, database: PostgresDatabase) -> None:
        """What another transaction commits meanwhile is seen; nothing is held open on the server in between."""
        async with database.reading() as tx:
            assert await tx.objects.get(BUCKET, "a") is None
            async with database.transaction() as other:
                await put_object(other, stored("a"))
            assert await tx.objects.get(BUCKET, "a") == stored("a")
            assert tx.objects.connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE

    async def test_the_connection_is_as_before(self, database: PostgresDatabase) -> None:
        """After it, also when the block raised or was cancelled, no connection is in the midst of anything."""
        used = []

        async def read(statement: str) -> None:
            async with database.reading() as tx:
                used.append(tx.objects.connection)
                await tx.objects.connection.execute(statement)

        await read("SELECT 1")
        with pytest.raises(psycopg.errors.DivisionByZero):
            await read("SELECT 1 / 0")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(read("SELECT pg_sleep(60)"), 0.2)
        assert all(it.closed or it.info.transaction_status is TransactionStatus.IDLE for it in used)


class TestTransaction:
    """Transactions as a whole."""

    async def test_rolls_back_everything_when_the_block_raises(self, database: PostgresDatabase) -> None:
        """Rows of several repositories and deferred tasks vanish together."""

        async def fail() -> None:
            async with database.transaction() as tx:
                await put_object(tx, stored("a"))
                await tx.jobs.add(job())
                await tx.tasks.run_job("j1", 0)
                raise KeyError

        with pytest.raises(KeyError):
            await fail()
        async with database.transaction() as tx:
            assert await tx.objects.get(BUCKET, "a") is None
            assert await tx.jobs.find(BUCKET, ["j1"]) == []
        assert await execute(database, "SELECT id FROM procrastinate_jobs") == []

    async def test_commits_tasks_with_rows(self, database: PostgresDatabase) -> None:
        """A deferred task is there once the block has ended, and not seen before."""
        async with database.transaction() as tx:
            await tx.jobs.add(job())
            await tx.tasks.run_job("j1", 1)
            assert await execute(database, "SELECT id FROM procrastinate_jobs") == []
        assert await execute(database, "SELECT args FROM procrastinate_jobs") == [
            {"args": {"job_id": "j1", "release": 1}}
        ]

    @pytest.mark.parametrize(
        "use",
        [lambda tx: tx.jobs.add(job()), lambda tx: tx.tasks.run_job("j1", 0), lambda _: asyncio.sleep(0)],
        ids=["row", "task", "commit"],
    )
    async def test_tells_a_lost_connection(
        self, database: PostgresDatabase, use: Callable[[PostgresTransaction], Awaitable[None]]
    ) -> None:
        """A session ended by the server surfaces as the port's error, and the next transaction works."""

        async def lose() -> None:
            async with database.transaction() as tx:
                await put_object(tx, stored("a"))
                await execute(database, "SELECT pg_terminate_backend(%s)", tx.jobs.connection.info.backend_pid)
                await use(tx)

        with pytest.raises(DatabaseUnavailableError):
            await lose()
        async with database.transaction() as tx:
            assert await tx.objects.get(BUCKET, "a") is None

    async def test_a_session_that_ended_while_nobody_used_it(self, database: PostgresDatabase) -> None:
        """It is not handed out: what comes after a restart of the server succeeds."""
        async with database.transaction() as tx:
            pid = tx.jobs.connection.info.backend_pid
        async with await psycopg.AsyncConnection.connect(database.conninfo) as other:
            await other.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        async with database.reading() as tx:
            assert await tx.objects.get(BUCKET, "a") is None
            assert tx.jobs.connection.info.backend_pid != pid

    @pytest.mark.parametrize("use", [lambda tx: tx.jobs.get("j1"), lambda tx: tx.tasks.run_job("j1", 1), None])
    async def test_a_process_that_was_stopped_in_its_turn(
        self, database: PostgresDatabase, use: Callable[[PostgresTransaction], Awaitable[object]] | None
    ) -> None:
        """A session that the server ended for its silence is a lost one, whoever speaks next in it, the commit too."""

        async def sleep() -> None:
            async with database.transaction() as tx:
                pid = tx.connection.info.backend_pid
                await tx.connection.execute("SELECT set_config('idle_in_transaction_session_timeout', '1ms', true)")
                while await execute(database, "SELECT FROM pg_stat_activity WHERE pid = %s", pid):
                    await asyncio.sleep(0.01)
                if use is not None:
                    await use(tx)

        with pytest.raises(DatabaseUnavailableError):
            await sleep()

    async def test_callbacks_that_wait_come_through(
        self, dsn: str, schema: str, app: procrastinate.App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A delivery from before deliveries had accounts is its job's account's, and is sent."""
        for steps, rows in ((2, FIRST_VERSION), (8, WAITING_CALLBACK)):
            monkeypatch.setattr("sordino.adapters.postgres.migrate.migrations", lambda: migrations()[:steps])  # noqa: B023
            await migrate(dsn, schema)
            async with await psycopg.AsyncConnection.connect(conninfo(dsn, schema)) as connection:
                await connection.execute(rows)
        monkeypatch.undo()
        await migrate(dsn, schema)
        async with (
            PostgresDatabase(
                dsn, schema=schema, max_connections=2, vault=VAULT, tasks=lambda it: EngineTasks(app, it)
            ) as database,
            database.transaction() as tx,
        ):
            (due,) = await tx.deliveries.take(LATER, until=LATER, limit=9, per_host=9, per_account=9, held={})
            assert (due.account, due.delivery.target.url) == ("1250000000", "http://hooks.example/")
            assert await execute(database, "SELECT account FROM deliveries") == [{"account": "1250000000"}]

    async def test_tells_when_nothing_listens(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a server a transaction fails with the port's error, and the database is not ready."""
        monkeypatch.setattr("sordino.adapters.postgres.database.WAIT_SECONDS", 0.1)
        monkeypatch.setattr("sordino.adapters.postgres.database.READY_SECONDS", 0.1)
        nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
        async with PostgresDatabase(nowhere, schema="s", max_connections=1, vault=VAULT, tasks=Mock()) as database:
            assert not await database.ready()
            with pytest.raises(DatabaseUnavailableError):
                async with database.transaction():
                    pytest.fail("there is no database")

    async def test_sessions_look_into_their_schema_only(self, database: PostgresDatabase) -> None:
        """The search path is the schema alone and times come back in UTC."""
        (row,) = await execute(database, "SELECT current_setting('search_path') AS path, now() AS now")
        assert row["path"] == database.schema
        assert row["now"].utcoffset() == timedelta(0)


class TestMigrations:
    """Bringing a schema up to date."""

    async def test_can_run_again(self, dsn: str, schema: str) -> None:
        """The second run changes nothing and records nothing."""
        await migrate(dsn, schema)
        await migrate(dsn, schema)
        async with await psycopg.AsyncConnection.connect(conninfo(dsn, schema)) as connection:
            assert await is_current(connection)
            rows = await (await connection.execute("SELECT number FROM migrations ORDER BY number")).fetchall()
        assert [number for (number,) in rows] == [step.number for step in migrations()]

    async def test_processes_take_turns(self, dsn: str, schema: str) -> None:
        """Several that start on an empty database at once all succeed."""
        await asyncio.gather(*(migrate(dsn, schema) for _ in range(4)))
        async with await psycopg.AsyncConnection.connect(conninfo(dsn, schema)) as connection:
            assert await is_current(connection)

    async def test_schemas_live_side_by_side(self, empty_database: PostgresDatabase, dsn: str) -> None:
        """A second schema in the same database gets tables and engine of its own."""
        other = f"{empty_database.schema}_2"
        await migrate(dsn, other)
        tables = await execute(
            empty_database,
            "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename LIKE 'procrastinate%%'",
            other,
        )
        await execute(empty_database, f"SET client_min_messages = warning; DROP SCHEMA {other} CASCADE")
        assert len(tables) == 4

    async def test_an_empty_schema_is_not_current(self, dsn: str, schema: str) -> None:
        """Readiness is false before the first migration."""
        async with PostgresDatabase(dsn, schema=schema, max_connections=1, vault=VAULT, tasks=Mock()) as database:
            assert not await database.ready()
            await migrate(dsn, schema)
            assert await database.ready()

    async def test_refuses_a_newer_schema(self, empty_database: PostgresDatabase, dsn: str) -> None:
        """A migration that this version does not know stops it with advice."""
        await execute(empty_database, "INSERT INTO migrations VALUES (9999, 'tomorrow', 'x')")
        assert not await empty_database.ready()
        with pytest.raises(MigrationError, match=r"newer version of Sordino \(migration 9999"):
            await migrate(dsn, empty_database.schema)

    async def test_refuses_an_altered_migration(self, empty_database: PostgresDatabase, dsn: str) -> None:
        """A step whose text was another one when it was applied stops it."""
        await execute(empty_database, "UPDATE migrations SET checksum = 'x' WHERE number = 2")
        with pytest.raises(MigrationError, match="not the one this version applies"):
            await migrate(dsn, empty_database.schema)

    async def test_a_step_that_fails_leaves_nothing(
        self, dsn: str, schema: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A step that breaks in the middle is rolled back whole, those before it stay."""
        broken = replace(migrations()[1], text="CREATE TABLE half (); SELECT 1 / 0")
        monkeypatch.setattr("sordino.adapters.postgres.migrate.migrations", lambda: [migrations()[0], broken])
        with pytest.raises(psycopg.errors.DivisionByZero):
            await migrate(dsn, schema)
        async with await psycopg.AsyncConnection.connect(conninfo(dsn, schema)) as connection:
            row = await (await connection.execute("SELECT max(number), to_regclass('half') FROM migrations")).fetchone()
        assert row == (1, None)

    async def test_refuses_a_database_that_is_not_utf8(self, embedded: str) -> None:
        """Keys are Unicode: another encoding is refused with advice."""
        async with await psycopg.AsyncConnection.connect(embedded, autocommit=True) as connection:
            await connection.execute(
                "CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' LOCALE_PROVIDER 'libc' TEMPLATE template0"
            )
            try:
                with pytest.raises(MigrationError, match="SQL_ASCII"):
                    await migrate(psycopg.conninfo.make_conninfo(embedded, dbname="ascii"), "s")
            finally:
                await connection.execute("DROP DATABASE ascii")

    async def test_a_database_of_the_first_version_comes_through(
        self, dsn: str, schema: str, app: procrastinate.App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Buckets have all services, their queue is the default one, jobs of every state are found and go on."""
        monkeypatch.setattr("sordino.adapters.postgres.migrate.migrations", lambda: migrations()[:2])
        await migrate(dsn, schema)
        async with await psycopg.AsyncConnection.connect(conninfo(dsn, schema)) as connection:
            await connection.execute(FIRST_VERSION)
        monkeypatch.undo()
        await migrate(dsn, schema)
        async with (
            PostgresDatabase(
                dsn, schema=schema, max_connections=2, vault=VAULT, tasks=lambda it: EngineTasks(app, it)
            ) as database,
            app.open_async(database.pool),
        ):
            assert await database.ready()
            await check_the_first_version(database)

    async def test_tells_when_nothing_listens(self) -> None:
        """Without a server it raises the port's error."""
        with pytest.raises(DatabaseUnavailableError):
            await migrate("postgresql://nobody@127.0.0.1:1/nothing", "s")


class TestIdentities:
    """Accounts and keys."""

    async def test_an_empty_database_has_no_root(self, empty_database: PostgresDatabase) -> None:
        """Neither a root nor the key of any id."""
        async with empty_database.transaction() as tx:
            assert not await tx.identities.accounts()
            assert await tx.identities.signer("AKIDroot", "") is None

    async def test_finds_the_root_by_its_id(self, database: PostgresDatabase) -> None:
        """What was added comes back equal, secret included."""
        async with database.transaction() as tx:
            assert await tx.identities.signer(ROOT.secret_id, "") == (ROOT_SIGNER, None)
            assert await tx.identities.signer("akidroot", "") is None

    async def test_finds_the_signer_with_a_bucket(self, database: PostgresDatabase) -> None:
        """Key and bucket are as they come one by one; a bucket that is not there is None, and all without the key."""
        async with database.transaction() as tx:
            await tx.buckets.add(bucket("other-1250000000"))
            found = await tx.buckets.get("other-1250000000")
        async with database.reading() as tx:
            assert await tx.identities.signer(ROOT.secret_id, "other-1250000000") == (ROOT_SIGNER, found)
            assert await tx.identities.signer(ROOT.secret_id, "none-1250000000") == (ROOT_SIGNER, None)
            assert await tx.identities.signer(ROOT.secret_id, "") == (ROOT_SIGNER, None)
            assert await tx.identities.signer("AKIDnone", "other-1250000000") is None

    async def test_adds_one_root_only(self, database: PostgresDatabase) -> None:
        """A second root is refused and nothing of it is written."""
        second = AccessKey(secret_id="AKID2", secret_key="s", account=Account(appid="2", uin="2"))
        async with database.transaction() as tx:
            assert not await tx.identities.add_root(second)
            assert await tx.identities.accounts() == [ROOT.account]
            assert await tx.identities.signer("AKID2", "") is None

    async def test_of_two_processes_one_adds_the_root(self, empty_database: PostgresDatabase) -> None:
        """Two that find the database empty at once end with one account."""

        async def add(number: int) -> bool:
            key = AccessKey(
                secret_id=f"AKID{number}", secret_key="s", account=Account(appid=f"{number}", uin=f"{number}")
            )
            async with empty_database.transaction() as tx:
                added = await tx.identities.add_root(key)
                await asyncio.sleep(0.05)
                return added

        assert sorted(await asyncio.gather(*map(add, range(3)))) == [False, False, True]

    async def test_accounts_and_their_weights(self, database: PostgresDatabase) -> None:
        """Accounts come in the order of their making; one weighs 1 until it is given another weight, which stays."""
        await execute(database, "INSERT INTO accounts (appid, uin) VALUES ('1', '2')")
        heavy = replace(ROOT.account, weight=7)
        async with database.transaction() as tx:
            assert await tx.identities.accounts() == [ROOT.account, Account(appid="1", uin="2", weight=1)]
            assert await tx.identities.weigh(ROOT.account.appid, 7) == heavy
            assert await tx.identities.weigh("2", 7) is None
            assert await tx.identities.accounts() == [heavy, Account(appid="1", uin="2")]
            signer, _ = await tx.identities.signer(ROOT.secret_id, "")
            assert signer.account == heavy

    async def test_a_disabled_key_is_none(self, database: PostgresDatabase) -> None:
        """Only enabled keys are found."""
        await execute(database, "UPDATE access_keys SET enabled = false")
        async with database.transaction() as tx:
            assert await tx.identities.signer(ROOT.secret_id, "") is None


WRONG_STATES = {
    "a running job without a start": "UPDATE jobs SET state = 'Running', attempt = 1",
    "a running job without an attempt": "UPDATE jobs SET state = 'Running', started_at = now()",
    "an ended job without an end": "UPDATE jobs SET state = 'Cancel'",
    "a waiting job with an end": "UPDATE jobs SET ended_at = now()",
    "a waiting job with a start": "UPDATE jobs SET started_at = now()",
    "a failure that says Success": "UPDATE jobs SET state = 'Failed', ended_at = now()",
    "an unknown state": "UPDATE jobs SET state = 'Done'",
    "more than all of it done": "UPDATE jobs SET progress = 101",
    "a level that is none": """UPDATE jobs SET operation = '{"job_level": 3}'""",
    "a paused job that is released": "UPDATE jobs SET state = 'Pause', released = true",
    "a job without a bucket": "UPDATE jobs SET bucket = 'none-1250000000'",
    "a bucket without an account": "INSERT INTO buckets VALUES ('b-7', 'r', '7', now())",
    "a bucket that another account's number ends": "INSERT INTO buckets VALUES ('b-7', 'r', '1250000000', now())",
    "two default queues of one bucket": f"INSERT INTO queues VALUES ('p3', '{BUCKET}', 'n', 'Active', now(), now())",
    "a queue without the speech service": "DELETE FROM services",
    "a queue of no size": "UPDATE queues SET max_size = 0",
    "a queue that runs nothing": "UPDATE queues SET max_concurrent = 0",
    "a queue without weight": "UPDATE queues SET weight = 0",
    "an account that is too heavy": "UPDATE accounts SET weight = 101",
    "a service that is none": f"INSERT INTO services VALUES ('{BUCKET}', 'video', now(), false)",
    "two templates of one name": "INSERT INTO templates SELECT 't2', bucket, name, noise_reduction, now(), now()"
    " FROM templates",
    "a bucket deleted under its objects": "DELETE FROM queues; DELETE FROM services; DELETE FROM templates;"
    " DELETE FROM buckets",
    "an object without a key": "UPDATE objects SET key = ''",
    "a key that is too long": "UPDATE objects SET key = repeat('é', 426)",
    "a negative size": "UPDATE objects SET size = -1",
    "a checksum of 65 bits": "UPDATE objects SET crc64 = 18446744073709551616",
    "two objects of one blob": "INSERT INTO objects SELECT bucket, 'b', size, etag, crc64, blob_id, last_modified,"
    " content_type, headers, metadata, storage_class FROM objects",
    "a second account of the same root user": "INSERT INTO accounts (appid, uin) VALUES ('7', '100000000001')",
    "a key of no account": "INSERT INTO access_keys (secret_id, secret, sealed, appid) VALUES ('a', 'b', true, '7')",
}


@pytest.mark.parametrize("wrong", WRONG_STATES)
async def test_the_tables_refuse_wrong_states(database: PostgresDatabase, wrong: str) -> None:
    """Whatever the code does, the tables hold none of these."""
    async with database.transaction() as tx:
        await add_bucket(tx, "other-1250000000", "p2")
        await tx.templates.add(template())
        await tx.jobs.add(job())
        await put_object(tx, stored("a"))
    with pytest.raises((psycopg.IntegrityError, psycopg.DataError)):
        async with database.pool.connection() as connection:
            await connection.execute(sql.SQL(WRONG_STATES[wrong]))


async def test_a_lazy_pool(database: PostgresDatabase) -> None:
    """Its commits do not wait for the disk, and each statement is one; all else is as in the other pool."""
    query = "SELECT current_schema() AS schema, current_setting('synchronous_commit') AS waits"
    async with database.lazy_pool(1) as pool, pool.connection() as connection:
        assert await (await connection.execute(query)).fetchone() == {"schema": database.schema, "waits": "off"}
        assert connection.info.transaction_status is TransactionStatus.IDLE
    assert await execute(database, query) == [{"schema": database.schema, "waits": "on"}]
