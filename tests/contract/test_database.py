"""What the PostgreSQL adapters promise, on the embedded server and on one outside."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from unittest.mock import Mock

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import sql

from sordino.adapters.postgres.database import PostgresDatabase, PostgresTransaction
from sordino.adapters.postgres.migrate import MigrationError, is_current, migrate, migrations
from sordino.adapters.postgres.session import conninfo
from sordino.domain.bucket import Bucket, Listing, StoredObject
from sordino.domain.identity import AccessKey, Account
from sordino.domain.job import (
    KEEP,
    AudioFormat,
    Channels,
    Dnsmos,
    Job,
    JobState,
    MediaInfo,
    NoiseReduction,
    Operation,
    Outcome,
    Output,
    RateSpelling,
    SoundQuality,
)
from sordino.domain.ports import BlobExpiredError, DatabaseUnavailableError
from sordino.domain.queue import Queue, QueueState
from sordino.errors import ServiceError

NOW = datetime(2026, 1, 5, 10, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(seconds=5)
ROOT = AccessKey(secret_id="AKIDroot", secret_key="secret", account=Account(appid="1250000000", uin="100000000001"))
BUCKET = "test-1250000000"
QUEUE_ID = "p1"
PLAIN_MEDIA_INFO = MediaInfo(
    duration=1 / 3, sample_rate=16000, channels=1, size=10712, format_name="wav", codec_name="pcm_s16le"
)
MEDIA_INFO = replace(
    PLAIN_MEDIA_INFO,
    video=True,
    before=SoundQuality(noise_floor=None, snr=None, loudness=-23.4, clipped=1 / 7),
    after=SoundQuality(
        noise_floor=-80.1,
        snr=40.0,
        loudness=-20.0,
        clipped=0.0,
        dnsmos=Dnsmos(signal=3.5, background=4.1, overall=10 / 3),
    ),
    md5="5d41402abc4b2a76b9719d911017c592",
)
OLD_OPERATION = {
    "noise_reduction": {"format": "wav", "sample_rate": 16000, "spelling": "SampleRate"},
    "output": {"region": "ap-guangzhou", "bucket": BUCKET, "object": "out.wav"},
    "user_data": None,
    "job_level": None,
}
OLD_MEDIA_INFO = {
    "duration": 1 / 3,
    "sample_rate": 16000,
    "channels": 1,
    "size": 10712,
    "format_name": "wav",
    "codec_name": "pcm_s16le",
}
DONE = Outcome(state=JobState.SUCCESS, media_info=MEDIA_INFO)


def bucket(name: str = BUCKET, queue_id: str = QUEUE_ID) -> tuple[Bucket, Queue]:
    """A bucket with its queue, as ``Buckets.add`` takes them."""
    return (
        Bucket(name=name, region="ap-guangzhou", appid=name.rpartition("-")[2], created_at=NOW),
        Queue(queue_id=queue_id, bucket=name, name="speech-queue", created_at=NOW, updated_at=LATER),
    )


def stored(key: str, *, bucket: str = BUCKET, blob_id: str | None = None) -> StoredObject:
    """An object's row."""
    return StoredObject(
        bucket=bucket,
        key=key,
        size=5,
        etag="5d41402abc4b2a76b9719d911017c592",
        crc64=11177612005948864433,
        blob_id=blob_id or f"{bucket}/{key}",
        last_modified=NOW,
    )


def job(job_id: str = "j1", **changes: object) -> Job:
    """A job as it is submitted."""
    plain = Job(
        job_id=job_id,
        bucket=BUCKET,
        region="ap-guangzhou",
        queue_id=QUEUE_ID,
        input_object="in.mp3",
        operation=Operation(
            noise_reduction=NoiseReduction(),
            output=Output(region="ap-guangzhou", bucket=BUCKET, object="out.wav"),
        ),
        created_at=NOW,
    )
    return replace(plain, **changes)


@pytest.fixture
async def database(empty_database: PostgresDatabase) -> PostgresDatabase:
    """An open database with the account ``ROOT`` and its bucket ``BUCKET``."""
    async with empty_database.transaction() as tx:
        assert await tx.identities.add_root(ROOT)
        assert await tx.buckets.add(*bucket())
    return empty_database


async def put_object(tx: PostgresTransaction, it: StoredObject) -> None:
    """Store an object whose blob was announced."""
    await tx.objects.expect_blob(it.blob_id, datetime.now(UTC) + timedelta(days=1))
    await tx.objects.put(it)


async def put(database: PostgresDatabase, *keys: str) -> None:
    """Store objects in a transaction of their own."""
    async with database.transaction() as tx:
        for key in keys:
            await put_object(tx, stored(key))


async def found(database: PostgresDatabase, job_id: str = "j1") -> Job:
    """The job as stored."""
    async with database.transaction() as tx:
        (it,) = await tx.jobs.find(BUCKET, [job_id])
    return it


async def started(database: PostgresDatabase, job_id: str = "j1") -> Job:
    """The job, submitted and begun by a worker, both in transactions of their own."""
    async with database.transaction() as tx:
        await tx.jobs.add(job(job_id))
    async with database.transaction() as tx:
        running = await tx.jobs.start(job_id, NOW)
    assert running is not None
    return running


async def execute(database: PostgresDatabase, statement: str, *parameters: object) -> list[dict[str, object]]:
    """Run SQL that no repository offers, in a transaction of its own."""
    async with database.pool.connection() as connection:
        cursor = await connection.execute(statement, parameters)
        return await cursor.fetchall() if cursor.description else []


async def waiting_for_a_lock(database: PostgresDatabase) -> None:
    """Return once some session of this database waits for a lock."""
    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while not await execute(database, query):
        await asyncio.sleep(0.01)


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
            await tx.tasks.run_job("j1", 2)
            assert await execute(database, "SELECT id FROM procrastinate_jobs") == []
        assert await execute(database, "SELECT priority, args FROM procrastinate_jobs") == [
            {"priority": 2, "args": {"job_id": "j1"}}
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

    async def test_tells_when_nothing_listens(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a server a transaction fails with the port's error, and the database is not ready."""
        monkeypatch.setattr("sordino.adapters.postgres.database.WAIT_SECONDS", 0.1)
        monkeypatch.setattr("sordino.adapters.postgres.database.READY_SECONDS", 0.1)
        nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
        async with PostgresDatabase(nowhere, schema="s", max_connections=1, tasks=Mock()) as database:
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
        async with PostgresDatabase(dsn, schema=schema, max_connections=1, tasks=Mock()) as database:
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

    async def test_tells_when_nothing_listens(self) -> None:
        """Without a server it raises the port's error."""
        with pytest.raises(DatabaseUnavailableError):
            await migrate("postgresql://nobody@127.0.0.1:1/nothing", "s")


class TestIdentities:
    """Accounts and keys."""

    async def test_an_empty_database_has_no_root(self, empty_database: PostgresDatabase) -> None:
        """Neither a root nor the key of any id."""
        async with empty_database.transaction() as tx:
            assert await tx.identities.root() is None
            assert await tx.identities.key("AKIDroot") is None

    async def test_finds_the_root_by_its_id(self, database: PostgresDatabase) -> None:
        """What was added comes back equal, secret included."""
        async with database.transaction() as tx:
            assert await tx.identities.root() == ROOT
            assert await tx.identities.key(ROOT.secret_id) == ROOT
            assert await tx.identities.key("akidroot") is None

    async def test_adds_one_root_only(self, database: PostgresDatabase) -> None:
        """A second root is refused and nothing of it is written."""
        second = AccessKey(secret_id="AKID2", secret_key="s", account=Account(appid="2", uin="2"))
        async with database.transaction() as tx:
            assert not await tx.identities.add_root(second)
            assert await tx.identities.root() == ROOT
            assert await tx.identities.key("AKID2") is None

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

    async def test_a_disabled_key_is_none(self, database: PostgresDatabase) -> None:
        """Only enabled keys are found."""
        await execute(database, "UPDATE access_keys SET enabled = false")
        async with database.transaction() as tx:
            assert await tx.identities.key(ROOT.secret_id) is None


class TestBuckets:
    """Buckets and queues."""

    async def test_keeps_bucket_and_queue(self, database: PostgresDatabase) -> None:
        """Both come back equal to what was added."""
        expected, queue = bucket()
        async with database.transaction() as tx:
            assert await tx.buckets.get(BUCKET) == expected
            assert await tx.buckets.queue(BUCKET) == queue
            assert (await tx.buckets.queue(BUCKET)).state is QueueState.ACTIVE

    async def test_unknown_names(self, database: PostgresDatabase) -> None:
        """None for a bucket that does not exist, and for its queue."""
        async with database.transaction() as tx:
            assert await tx.buckets.get("none-1250000000") is None
            assert await tx.buckets.queue("none-1250000000") is None
            assert await tx.buckets.list("999") == []

    async def test_lists_by_name(self, database: PostgresDatabase) -> None:
        """An account's buckets come in the order of their names' bytes."""
        names = ["b-1250000000", "a1-1250000000", "a-1250000000"]
        async with database.transaction() as tx:
            for number, name in enumerate(names):
                assert await tx.buckets.add(*bucket(name, f"q{number}"))
            listed = await tx.buckets.list("1250000000")
        assert [it.name for it in listed] == sorted([*names, BUCKET])

    async def test_a_name_is_taken_once(self, database: PostgresDatabase) -> None:
        """Adding it again is False and leaves the transaction usable."""
        async with database.transaction() as tx:
            assert not await tx.buckets.add(*bucket(queue_id="p2"))
            assert (await tx.buckets.queue(BUCKET)).queue_id == QUEUE_ID

    async def test_of_two_at_once_one_gets_the_name(self, database: PostgresDatabase) -> None:
        """Concurrent transactions that add the same name: one is True, one False."""

        async def add(queue_id: str) -> bool:
            async with database.transaction() as tx:
                added = await tx.buckets.add(*bucket("new-1250000000", queue_id))
                await asyncio.sleep(0.05)
                return added

        assert sorted(await asyncio.gather(add("q1"), add("q2"))) == [False, True]

    async def test_removes_an_empty_bucket_with_its_finished_jobs(self, database: PostgresDatabase) -> None:
        """Bucket, queue and ended jobs go together."""
        running = await started(database)
        async with database.transaction() as tx:
            assert await tx.jobs.finish("j1", running.attempt, DONE, LATER)
        async with database.transaction() as tx:
            assert await tx.buckets.remove(BUCKET)
        async with database.transaction() as tx:
            assert await tx.buckets.get(BUCKET) is None
            assert await tx.buckets.queue(BUCKET) is None
            assert await tx.jobs.find(BUCKET, ["j1"]) == []

    async def test_removing_an_unknown_bucket_is_quiet(self, database: PostgresDatabase) -> None:
        """It is not there, which is what was asked for."""
        async with database.transaction() as tx:
            assert await tx.buckets.remove("none-1250000000")

    async def test_keeps_a_bucket_with_objects(self, database: PostgresDatabase) -> None:
        """A bucket that holds an object stays, with all that is in it."""
        await put(database, "a")
        async with database.transaction() as tx:
            assert not await tx.buckets.remove(BUCKET)
        async with database.transaction() as tx:
            assert await tx.buckets.queue(BUCKET) is not None
            assert await tx.objects.get(BUCKET, "a") is not None

    async def test_keeps_a_bucket_with_an_unfinished_job(self, database: PostgresDatabase) -> None:
        """A job that waits or runs keeps its bucket."""
        async with database.transaction() as tx:
            await tx.jobs.add(job())
        async with database.transaction() as tx:
            assert not await tx.buckets.remove(BUCKET)

    @pytest.mark.parametrize("what", ["object", "job"])
    async def test_what_is_on_its_way_keeps_the_bucket(self, database: PostgresDatabase, what: str) -> None:
        """Removal waits for a writer that is not done, and then sees what it wrote."""

        async def remove() -> bool:
            async with database.transaction() as tx:
                return await tx.buckets.remove(BUCKET)

        async with database.transaction() as tx:
            await (put_object(tx, stored("a")) if what == "object" else tx.jobs.add(job()))
            removal = asyncio.create_task(remove())
            await waiting_for_a_lock(database)
        assert not await removal

    @pytest.mark.parametrize("what", ["object", "job"])
    async def test_a_removed_bucket_takes_nothing_new(self, database: PostgresDatabase, what: str) -> None:
        """Whoever writes into a bucket that goes away meanwhile is told that there is none."""

        async def write() -> None:
            async with database.transaction() as tx:
                await (put_object(tx, stored("a")) if what == "object" else tx.jobs.add(job()))

        async with database.transaction() as tx:
            assert await tx.buckets.remove(BUCKET)
            writing = asyncio.create_task(write())
            await waiting_for_a_lock(database)
        with pytest.raises(ServiceError) as refusal:
            await writing
        assert (refusal.value.status, refusal.value.code) == (404, "NoSuchBucket")


class TestObjects:
    """Rows of objects."""

    async def test_comes_back_equal(self, database: PostgresDatabase) -> None:
        """Every field survives, the largest CRC and text of any kind included."""
        rich = replace(
            stored("dir//ключ %_\\\n'\"😀\U0010ffff"),
            size=5 * 1024**3,
            crc64=2**64 - 1,
            content_type="audio/wav; x=1",
            headers={"Cache-Control": "no-cache", "Content-Disposition": 'attachment; filename="é"'},
            metadata={"k": "v 1*'()~", "empty": ""},
            storage_class="STANDARD_IA",
        )
        async with database.transaction() as tx:
            await put_object(tx, rich)
        async with database.transaction() as tx:
            assert await tx.objects.get(BUCKET, rich.key) == rich

    async def test_an_absent_object_is_none(self, database: PostgresDatabase) -> None:
        """Keys differ by every byte."""
        await put(database, "a")
        async with database.transaction() as tx:
            assert await tx.objects.get(BUCKET, "A") is None
            assert await tx.objects.get(BUCKET, "a/") is None
            assert not await tx.objects.remove(BUCKET, "a/")

    async def test_replaces(self, database: PostgresDatabase) -> None:
        """The last writer's row is the one that is found, once."""
        async with database.transaction() as tx:
            await put_object(tx, stored("a", blob_id="b1"))
            await put_object(tx, replace(stored("a", blob_id="b2"), size=7))
            assert (await tx.objects.get(BUCKET, "a")).size == 7
            assert await tx.objects.take_unreferenced(datetime.now(UTC) + timedelta(hours=1), 10) == ["b1"]

    async def test_removes_once(self, database: PostgresDatabase) -> None:
        """True for the one that deleted it, False afterwards."""
        await put(database, "a")
        async with database.transaction() as tx:
            assert await tx.objects.remove(BUCKET, "a")
            assert not await tx.objects.remove(BUCKET, "a")

    async def test_writers_at_once_leave_one_blob_referenced(self, database: PostgresDatabase) -> None:
        """Of many that write the same new key, all blobs but the winner's are noted."""

        async def write(number: int) -> None:
            async with database.transaction() as tx:
                await put_object(tx, stored("a", blob_id=f"b{number}"))

        await asyncio.gather(*map(write, range(8)))
        async with database.transaction() as tx:
            left = await tx.objects.take_unreferenced(datetime.now(UTC) + timedelta(hours=1), 10)
            kept = await tx.objects.get(BUCKET, "a")
        assert sorted([*left, kept.blob_id]) == [f"b{number}" for number in range(8)]

    async def test_refuses_an_unknown_bucket(self, database: PostgresDatabase) -> None:
        """An object needs its bucket."""
        with pytest.raises(ServiceError, match="bucket does not exist"):
            async with database.transaction() as tx:
                await put_object(tx, stored("a", bucket="none-1250000000"))


class TestUnreferencedBlobs:
    """The list of blobs to sweep."""

    async def removed(self, database: PostgresDatabase, *keys: str) -> datetime:
        """Store and delete objects; a time after that."""
        await put(database, *keys)
        async with database.transaction() as tx:
            for key in keys:
                await tx.objects.remove(BUCKET, key)
        return datetime.now(UTC) + timedelta(hours=1)

    async def test_takes_the_old_ones(self, database: PostgresDatabase) -> None:
        """Younger ones stay on the list."""
        soon = await self.removed(database, "a", "b")
        await execute(database, "UPDATE unreferenced_blobs SET since = %s WHERE blob_id = %s", NOW, f"{BUCKET}/a")
        async with database.transaction() as tx:
            assert await tx.objects.take_unreferenced(LATER, 10) == [f"{BUCKET}/a"]
            assert await tx.objects.take_unreferenced(soon, 10) == [f"{BUCKET}/b"]
            assert await tx.objects.take_unreferenced(soon, 10) == []

    async def test_takes_no_more_than_asked(self, database: PostgresDatabase) -> None:
        """``limit`` bounds one call; the rest comes with the next."""
        soon = await self.removed(database, "a", "b", "c")
        async with database.transaction() as tx:
            assert len(await tx.objects.take_unreferenced(soon, 2)) == 2
            assert len(await tx.objects.take_unreferenced(soon, 2)) == 1

    async def test_is_restored_when_the_sweep_fails(self, database: PostgresDatabase) -> None:
        """What a transaction took and did not commit is taken again."""
        soon = await self.removed(database, "a")

        async def fail() -> None:
            async with database.transaction() as tx:
                await tx.objects.take_unreferenced(soon, 10)
                raise OSError("the blob store does not answer")

        with pytest.raises(OSError, match="store"):
            await fail()
        async with database.transaction() as tx:
            assert await tx.objects.take_unreferenced(soon, 10) == [f"{BUCKET}/a"]

    async def test_sweepers_share_the_work(self, database: PostgresDatabase) -> None:
        """A second sweeper neither waits for the first nor gets its blobs."""
        soon = await self.removed(database, "a", "b", "c")
        async with database.transaction() as first, database.transaction() as second:
            await second.objects.connection.execute("SET LOCAL lock_timeout = '5s'")
            mine, theirs = (
                await first.objects.take_unreferenced(soon, 2),
                await second.objects.take_unreferenced(soon, 9),
            )
        assert len(mine) == 2
        assert {*mine, *theirs} == {f"{BUCKET}/{key}" for key in "abc"}

    async def expect(self, database: PostgresDatabase, until: datetime) -> None:
        """Announce the blob ``b``."""
        async with database.transaction() as tx:
            await tx.objects.expect_blob("b", until)

    async def test_takes_what_was_expected_in_vain(self, database: PostgresDatabase) -> None:
        """A blob whose row never came is taken once its time is over, not before, and only once."""
        until = datetime.now(UTC) + timedelta(hours=1)
        await self.expect(database, until)
        async with database.transaction() as tx:
            assert await tx.objects.take_unreferenced(until, 10) == []
            assert await tx.objects.take_unreferenced(until + timedelta(seconds=1), 10) == ["b"]
            assert await tx.objects.take_unreferenced(until + timedelta(seconds=1), 10) == []

    async def test_never_takes_a_stored_object(self, database: PostgresDatabase) -> None:
        """Storing the row deletes the note in the same transaction; a rollback keeps it."""
        until = datetime.now(UTC) + timedelta(hours=1)
        await self.expect(database, until)
        with pytest.raises(ServiceError, match="bucket does not exist"):
            async with database.transaction() as tx:
                await tx.objects.put(stored("a", blob_id="b", bucket="none-1250000000"))
        assert await execute(database, "SELECT blob_id FROM unreferenced_blobs") == [{"blob_id": "b"}]
        async with database.transaction() as tx:
            await tx.objects.put(stored("a", blob_id="b"))
        assert await execute(database, "SELECT blob_id FROM unreferenced_blobs") == []

    @pytest.mark.parametrize("age", [None, timedelta(0)], ids=["never expected", "expired"])
    async def test_no_row_without_a_valid_note(self, database: PostgresDatabase, age: timedelta | None) -> None:
        """A blob that was not announced, or whose time is over though no sweep came yet, gets no object."""
        if age is not None:
            await self.expect(database, datetime.now(UTC) - age)
        with pytest.raises(BlobExpiredError):
            async with database.transaction() as tx:
                await tx.objects.put(stored("a", blob_id="b"))
        async with database.transaction() as tx:
            assert await tx.objects.get(BUCKET, "a") is None

    async def test_a_sweep_that_was_first_keeps_the_row_out(self, database: PostgresDatabase) -> None:
        """The row waits for a sweep that holds its blob's note, and is refused when that one commits."""

        async def store() -> None:
            async with database.transaction() as tx:
                await tx.objects.put(stored("a", blob_id="b"))

        until = datetime.now(UTC) + timedelta(hours=1)
        await self.expect(database, until)
        async with database.transaction() as sweep:
            assert await sweep.objects.take_unreferenced(until + timedelta(seconds=1), 10) == ["b"]
            storing = asyncio.create_task(store())
            await waiting_for_a_lock(database)
        with pytest.raises(BlobExpiredError):
            await storing

    async def test_a_row_that_was_first_keeps_the_sweep_out(self, database: PostgresDatabase) -> None:
        """The sweep passes over the blob of a row that is not committed yet, without waiting."""
        until = datetime.now(UTC) + timedelta(hours=1)
        await self.expect(database, until)
        async with database.transaction() as storing, database.transaction() as sweep:
            await storing.objects.put(stored("a", blob_id="b"))
            await sweep.objects.connection.execute("SET LOCAL lock_timeout = '5s'")
            assert await sweep.objects.take_unreferenced(until + timedelta(seconds=1), 10) == []

    async def test_puts_a_note_back(self, database: PostgresDatabase) -> None:
        """In the transaction that took a note, the blob can be noted again for later."""
        soon = await self.removed(database, "a")
        async with database.transaction() as tx:
            (blob_id,) = await tx.objects.take_unreferenced(soon, 10)
            await tx.objects.expect_blob(blob_id, soon)
        async with database.transaction() as tx:
            assert await tx.objects.take_unreferenced(soon, 10) == []
            assert await tx.objects.take_unreferenced(soon + timedelta(seconds=1), 10) == [blob_id]


AWKWARD = "ab/%_\\\n é\ud7ff\ue000😀\U0010ffff"
TEXT = st.text(AWKWARD, max_size=6)


def model_listing(
    keys: Collection[str], prefix: str, delimiter: str, marker: str, limit: int
) -> tuple[list[str], list[str], str | None]:
    """COS's rule, said plainly: fold, sort by UTF-8 bytes, cut at ``marker`` and at ``limit``."""
    entries = {}
    for key in keys:
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        if key.startswith(prefix):
            entries[key if end < 0 else key[: end + len(delimiter)]] = end >= 0
    after = sorted((entry for entry in entries if entry.encode() > marker.encode()), key=str.encode)
    page = after[:limit]
    return (
        [entry for entry in page if not entries[entry]],
        [entry for entry in page if entries[entry]],
        page[-1] if len(after) > limit else None,
    )


def entries(page: Listing) -> list[str]:
    """Keys and prefixes of a page in one order."""
    return sorted([*(it.key for it in page.objects), *page.prefixes], key=str.encode)


class TestListing:
    """Listing objects."""

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        keys=st.sets(st.text(AWKWARD, min_size=1, max_size=8), max_size=25),
        prefix=st.sampled_from(["", "a", "a/", "\U0010ffff", "%", "é/"]) | TEXT,
        delimiter=st.sampled_from(["", "/", "/", "//", "a"]) | TEXT,
        marker=st.just("") | TEXT,
        limit=st.integers(1, 8),
    )
    @example(keys={"a/b", "a/c", "b"}, prefix="", delimiter="/", marker="a/b", limit=5)
    @example(keys={"\U0010ffff" * 2, "\U0010ffff/"}, prefix="\U0010ffff", delimiter="\U0010ffff", marker="", limit=5)
    async def test_agrees_with_the_rule(
        self, database: PostgresDatabase, keys: set[str], prefix: str, delimiter: str, marker: str, limit: int
    ) -> None:
        """Any keys, prefix, delimiter, marker and limit give what sorting everything in memory gives."""
        await execute(database, "DELETE FROM objects")
        await execute(database, "DELETE FROM unreferenced_blobs")
        await put(database, *keys)
        async with database.transaction() as tx:
            page = await tx.objects.list(BUCKET, prefix=prefix, delimiter=delimiter, marker=marker, limit=limit)
        expected = model_listing(keys, prefix, delimiter, marker, limit)
        assert ([it.key for it in page.objects], [*page.prefixes], page.next_marker) == expected
        assert all(it == stored(it.key) for it in page.objects)

    @pytest.mark.parametrize("delimiter", ["", "/"])
    async def test_pages_join_without_gap_or_repeat(self, database: PostgresDatabase, delimiter: str) -> None:
        """Following ``next_marker`` visits every entry once, in order."""
        await put(
            database, *(f"{letter}/{number}" for letter in "abc" for number in range(4)), "a", "b-", "\U0010ffff/x"
        )
        pages, marker = [], ""
        while marker is not None:
            async with database.transaction() as tx:
                page = await tx.objects.list(BUCKET, prefix="", delimiter=delimiter, marker=marker, limit=2)
            pages += entries(page)
            marker = page.next_marker
        async with database.transaction() as tx:
            whole = await tx.objects.list(BUCKET, prefix="", delimiter=delimiter, marker="", limit=1000)
        assert pages == entries(whole)
        assert whole.next_marker is None

    async def test_the_longest_keys(self, database: PostgresDatabase) -> None:
        """Keys of 850 bytes of the highest character, and the key that is just their prefix, fold and list."""
        longest = "d/" + "\U0010ffff" * 212
        await put(database, "d/", longest, "e")
        async with database.transaction() as tx:
            folded = await tx.objects.list(BUCKET, prefix="", delimiter="/", marker="", limit=1000)
            inside = await tx.objects.list(BUCKET, prefix="d/", delimiter="/", marker="d/", limit=1000)
        assert entries(folded) == ["d/", "e"]
        assert entries(inside) == [longest]

    async def test_sees_one_bucket_only(self, database: PostgresDatabase) -> None:
        """Neighbouring buckets do not show."""
        other = "test0-1250000000"
        async with database.transaction() as tx:
            await tx.buckets.add(*bucket(other, "q"))
            await put_object(tx, stored("b", bucket=other))
        await put(database, "a")
        async with database.transaction() as tx:
            page = await tx.objects.list(other, prefix="", delimiter="/", marker="", limit=10)
        assert [it.bucket for it in page.objects] == [other]

    async def test_jumps_over_what_it_folds(self, database: PostgresDatabase) -> None:
        """Folding a prefix of 20,000 keys reads a few rows of the table, not all of them."""
        await execute(
            database,
            "INSERT INTO objects SELECT %s, letter || '/' || number, 1, repeat('a', 32), 0, letter || number, now(),"
            " '', '{}', '{}', '' FROM generate_series(1, 10000) AS number, unnest(ARRAY['a', 'b']) AS letter",
            BUCKET,
        )
        async with database.transaction() as tx:
            read = "SELECT idx_tup_fetch + seq_tup_read AS rows FROM pg_stat_xact_user_tables WHERE relname = 'objects'"
            page = await tx.objects.list(BUCKET, prefix="", delimiter="/", marker="", limit=1000)
            fetched = await (await tx.objects.connection.execute(read)).fetchone()
        assert page.prefixes == ("a/", "b/")
        assert fetched["rows"] < 100


class TestJobs:
    """Rows of jobs."""

    async def test_comes_back_equal(self, database: PostgresDatabase) -> None:
        """Every field of a submitted job survives, and what was left out stays left out."""
        plain = job("plain")
        rich = job(
            "rich",
            operation=Operation(
                noise_reduction=NoiseReduction(
                    format=AudioFormat.M4A,
                    sample_rate=44100,
                    spelling=RateSpelling.TEMPLATE,
                    model="best",
                    strength=0,
                    channels=Channels.KEEP,
                    loudness=Decimal("-20.50"),
                    video=True,
                ),
                output=Output(region="ap-beijing", bucket="other-1250000000", object="out/é\\😀.m4a"),
                user_data="",
                job_level=2,
            ),
        )
        async with database.transaction() as tx:
            await tx.jobs.add(plain)
            await tx.jobs.add(rich)
        async with database.transaction() as tx:
            assert await tx.jobs.find(BUCKET, ["rich", "plain"]) == [rich, plain]

    async def test_loudness_that_is_kept(self, database: PostgresDatabase) -> None:
        """The word comes back as the word."""
        order = NoiseReduction(loudness=KEEP)
        kept = job(operation=replace(job().operation, noise_reduction=order))
        async with database.transaction() as tx:
            await tx.jobs.add(kept)
        assert await found(database) == kept

    async def test_loads_jobs_of_earlier_versions(self, database: PostgresDatabase) -> None:
        """A row as the version before the extensions wrote it is a job that has none of them."""
        await started(database)
        async with database.transaction() as tx:
            await tx.jobs.finish("j1", 1, DONE, LATER)
        operation, info = (json.dumps(value) for value in (OLD_OPERATION, OLD_MEDIA_INFO))
        await execute(database, "UPDATE jobs SET operation = %s::jsonb, media_info = %s::jsonb", operation, info)
        ended = await found(database)
        assert ended.operation == job().operation
        assert ended.media_info == PLAIN_MEDIA_INFO

    async def test_finds_in_the_order_asked(self, database: PostgresDatabase) -> None:
        """Unknown ids and those of other buckets are left out."""
        async with database.transaction() as tx:
            for job_id in "abc":
                await tx.jobs.add(job(job_id))
            assert [it.job_id for it in await tx.jobs.find(BUCKET, ["c", "x", "a"])] == ["c", "a"]
            assert await tx.jobs.find("other-1250000000", ["a"]) == []
            assert await tx.jobs.find(BUCKET, []) == []

    async def test_starts_and_finishes(self, database: PostgresDatabase) -> None:
        """The states, times and counters of a job that succeeds, as the rows tell them."""
        running = await started(database)
        assert running == job(state=JobState.RUNNING, started_at=NOW, attempt=1)
        async with database.transaction() as tx:
            assert await tx.jobs.progress("j1", 1, 40)
        assert await found(database) == replace(running, progress=40)
        async with database.transaction() as tx:
            assert await tx.jobs.finish("j1", 1, replace(DONE, message="cut short"), LATER)
        assert await found(database) == replace(
            running,
            state=JobState.SUCCESS,
            ended_at=LATER,
            message="cut short",
            progress=100,
            media_info=MEDIA_INFO,
        )

    async def test_fails(self, database: PostgresDatabase) -> None:
        """A failed job keeps its code and how far it was."""
        running = await started(database)
        failure = Outcome(state=JobState.FAILED, code="ResourceNotSupported", message="no audio")
        async with database.transaction() as tx:
            await tx.jobs.progress("j1", 1, 40)
            assert await tx.jobs.finish("j1", 1, failure, LATER)
        assert await found(database) == replace(
            running, state=JobState.FAILED, ended_at=LATER, code="ResourceNotSupported", message="no audio", progress=40
        )

    async def test_of_two_attempts_the_later_one_counts(self, database: PostgresDatabase) -> None:
        """Two workers start the job at once: both run, and whatever the earlier one says is refused."""

        async def start() -> Job | None:
            async with database.transaction() as tx:
                return await tx.jobs.start("j1", LATER)

        async with database.transaction() as tx:
            await tx.jobs.add(job())
        async with database.transaction() as tx:
            first = await tx.jobs.start("j1", NOW)
            second_start = asyncio.create_task(start())
            await waiting_for_a_lock(database)
        second = await second_start
        assert (first.attempt, second.attempt) == (1, 2)
        async with database.transaction() as tx:
            assert not await tx.jobs.progress("j1", 1, 50)
            assert not await tx.jobs.requeue("j1", 1)
            assert await tx.jobs.fault("j1", 1) is None
            assert not await tx.jobs.finish("j1", 1, DONE, LATER)
        assert await found(database) == second
        async with database.transaction() as tx:
            assert await tx.jobs.finish("j1", 2, DONE, LATER)

    async def test_another_worker_begins_from_the_start(self, database: PostgresDatabase) -> None:
        """A job taken over while it runs has a new attempt, a new start time and no progress."""
        running = await started(database)
        async with database.transaction() as tx:
            await tx.jobs.progress("j1", 1, 40)
            taken = await tx.jobs.start("j1", LATER)
        assert taken == replace(running, started_at=LATER, attempt=2, progress=0)

    async def test_ends_once(self, database: PostgresDatabase) -> None:
        """Two that end the same attempt at once: one is told True, and its outcome stays."""
        await started(database)

        async def finish(outcome: Outcome) -> bool:
            async with database.transaction() as tx:
                return await tx.jobs.finish("j1", 1, outcome, LATER)

        failure = Outcome(state=JobState.FAILED, code="InternalError")
        succeeded, failed = await asyncio.gather(finish(DONE), finish(failure))
        assert succeeded != failed
        assert (await found(database)).state == (JobState.SUCCESS if succeeded else JobState.FAILED)

    @pytest.mark.parametrize("state", ["Success", "Failed", "Cancel", "Pause"])
    async def test_does_not_start_what_may_not_run(self, database: PostgresDatabase, state: str) -> None:
        """Ended and paused jobs are left as they are."""
        async with database.transaction() as tx:
            await tx.jobs.add(job())
        await execute(
            database,
            "UPDATE jobs SET state = %s, started_at = %s, ended_at = %s, code = %s, attempt = 1",
            state,
            None if state == "Pause" else NOW,
            None if state == "Pause" else LATER,
            "InternalError" if state == "Failed" else "Success",
        )
        before = await found(database)
        async with database.transaction() as tx:
            assert await tx.jobs.start("j1", LATER) is None
            assert not await tx.jobs.requeue("j1", 1)
            assert not await tx.jobs.finish("j1", 1, DONE, LATER)
        assert await found(database) == before

    async def test_an_unknown_job_does_not_start(self, database: PostgresDatabase) -> None:
        """None, nothing raised."""
        async with database.transaction() as tx:
            assert await tx.jobs.start("none", NOW) is None

    async def test_requeues(self, database: PostgresDatabase) -> None:
        """A job given back waits as if it had not run, but its attempt counts, and it can start again."""
        await started(database)
        async with database.transaction() as tx:
            await tx.jobs.progress("j1", 1, 40)
            assert await tx.jobs.requeue("j1", 1)
            assert not await tx.jobs.requeue("j1", 1)
        assert await found(database) == job(attempt=1)
        async with database.transaction() as tx:
            assert (await tx.jobs.start("j1", LATER)).attempt == 2

    async def test_a_waiting_job_cannot_finish(self, database: PostgresDatabase) -> None:
        """Only a running attempt ends; a job that never ran has none."""
        async with database.transaction() as tx:
            await tx.jobs.add(job())
            assert not await tx.jobs.finish("j1", 0, DONE, LATER)
            assert not await tx.jobs.progress("j1", 0, 1)

    async def test_counts_faults_across_attempts(self, database: PostgresDatabase) -> None:
        """Faults add up over the attempts of a job."""
        await started(database)
        async with database.transaction() as tx:
            assert await tx.jobs.fault("j1", 1) == 1
            await tx.jobs.requeue("j1", 1)
            await tx.jobs.start("j1", LATER)
            assert await tx.jobs.fault("j1", 2) == 2

    async def test_finds_unfinished_jobs_without_a_task(self, database: PostgresDatabase) -> None:
        """Jobs that wait or run and that no waiting or running task of theirs would run, the oldest first."""
        async with database.transaction() as tx:
            for number, job_id in enumerate(("running", "lost", "doing", "todo", "ended", "young")):
                await tx.jobs.add(job(job_id, created_at=NOW + timedelta(seconds=number)))
                await tx.tasks.run_job(job_id, 0)
            for job_id in ("running", "ended"):
                await tx.jobs.start(job_id, NOW)
            await tx.jobs.finish("ended", 1, DONE, LATER)
        gone = "DELETE FROM procrastinate_jobs WHERE args ->> 'job_id' = ANY(%s)"
        await execute(database, gone, ["running", "ended", "young"])
        for status, job_id in (("doing", "doing"), ("failed", "lost")):
            change = "UPDATE procrastinate_jobs SET status = %s WHERE args ->> 'job_id' = %s"
            await execute(database, change, status, job_id)
        async with database.transaction() as tx:
            assert [it.job_id for it in await tx.jobs.unfinished_without_task(LATER, 10)] == ["running", "lost"]
            assert [it.job_id for it in await tx.jobs.unfinished_without_task(LATER, 1)] == ["running"]
            assert await tx.jobs.unfinished_without_task(NOW, 10) == []
            await tx.tasks.run_job("lost", 0)
            assert [it.job_id for it in await tx.jobs.unfinished_without_task(LATER, 10)] == ["running"]

    async def test_finds_them_among_many(self, database: PostgresDatabase) -> None:
        """One lost job among 20,000 with a task is found quickly, though no statistics tell of them yet."""
        async with database.transaction() as tx:
            await tx.jobs.add(job("lost"))
        columns = (
            "bucket, region, queue_id, input_object, operation, state, created_at, code, message, progress, attempt"
        )
        await execute(
            database,
            f"INSERT INTO jobs (job_id, {columns}) SELECT 'j' || n, {columns} FROM jobs, generate_series(1, 20000) n",
        )
        await execute(
            database,
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args)"
            " SELECT 'media', 'run_job', jsonb_build_object('job_id', 'j' || n) FROM generate_series(1, 20000) AS n",
        )
        async with database.transaction() as tx:
            await tx.jobs.connection.execute("SET LOCAL statement_timeout = '2s'")
            assert [it.job_id for it in await tx.jobs.unfinished_without_task(LATER, 10)] == ["lost"]

    async def test_an_id_is_used_once(self, database: PostgresDatabase) -> None:
        """A second job of the same id is an error, not a replacement."""
        async with database.transaction() as tx:
            await tx.jobs.add(job())
        with pytest.raises(psycopg.errors.UniqueViolation):
            async with database.transaction() as tx:
                await tx.jobs.add(job(input_object="other.mp3"))


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
    "a job in another bucket's queue": "UPDATE jobs SET queue_id = 'p2'",
    "a bucket without an account": "INSERT INTO buckets VALUES ('b-7', 'r', '7', now())",
    "a bucket that another account's number ends": "INSERT INTO buckets VALUES ('b-7', 'r', '1250000000', now())",
    "two queues of one bucket": f"INSERT INTO queues VALUES ('p3', '{BUCKET}', 'n', 'Active', now(), now())",
    "a bucket deleted under its objects": "DELETE FROM queues; DELETE FROM buckets",
    "an object without a key": "UPDATE objects SET key = ''",
    "a key that is too long": "UPDATE objects SET key = repeat('é', 426)",
    "a negative size": "UPDATE objects SET size = -1",
    "a checksum of 65 bits": "UPDATE objects SET crc64 = 18446744073709551616",
    "two objects of one blob": "INSERT INTO objects SELECT bucket, 'b', size, etag, crc64, blob_id, last_modified,"
    " content_type, headers, metadata, storage_class FROM objects",
    "a second account of the same root user": "INSERT INTO accounts (appid, uin) VALUES ('7', '100000000001')",
    "a key of no account": "INSERT INTO access_keys (secret_id, secret_key, appid) VALUES ('a', 'b', '7')",
}


@pytest.mark.parametrize("wrong", WRONG_STATES)
async def test_the_tables_refuse_wrong_states(database: PostgresDatabase, wrong: str) -> None:
    """Whatever the code does, the tables hold none of these."""
    async with database.transaction() as tx:
        await tx.buckets.add(*bucket("other-1250000000", "p2"))
        await tx.jobs.add(job())
        await put_object(tx, stored("a"))
    with pytest.raises((psycopg.IntegrityError, psycopg.DataError)):
        async with database.pool.connection() as connection:
            await connection.execute(sql.SQL(WRONG_STATES[wrong]))
