"""What the buckets in PostgreSQL promise, on the embedded server and on one outside."""

import asyncio
from dataclasses import replace

import pytest

from rows import (
    BUCKET,
    DONE,
    LATER,
    NOW,
    bucket,
    execute,
    job,
    put,
    put_object,
    queue,
    started,
    stored,
    template,
    waiting_for_a_lock,
)
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.domain.service import ServiceKind
from sordino.errors import ServiceError


class TestBuckets:
    """Buckets and queues."""

    async def test_comes_back_equal(self, database: PostgresDatabase) -> None:
        """A bucket is found as it was added."""
        async with database.transaction() as tx:
            assert await tx.buckets.get(BUCKET) == bucket()

    async def test_unknown_names(self, database: PostgresDatabase) -> None:
        """None for a bucket that does not exist, and no buckets of an unknown account."""
        async with database.transaction() as tx:
            assert await tx.buckets.get("none-1250000000") is None
            assert await tx.buckets.list("999") == []

    async def test_lists_by_name(self, database: PostgresDatabase) -> None:
        """An account's buckets come in the order of their names' bytes."""
        names = ["b-1250000000", "a1-1250000000", "a-1250000000"]
        async with database.transaction() as tx:
            for name in names:
                assert await tx.buckets.add(bucket(name))
            listed = await tx.buckets.list("1250000000")
        assert [it.name for it in listed] == sorted([*names, BUCKET])

    async def test_a_name_is_taken_once(self, database: PostgresDatabase) -> None:
        """Adding it again is False and leaves the transaction usable."""
        async with database.transaction() as tx:
            assert not await tx.buckets.add(replace(bucket(), region="ap-beijing"))
            assert await tx.buckets.get(BUCKET) == bucket()

    async def test_of_two_at_once_one_gets_the_name(self, database: PostgresDatabase) -> None:
        """Concurrent transactions that add the same name: one is True, one False."""

        async def add() -> bool:
            async with database.transaction() as tx:
                added = await tx.buckets.add(bucket("new-1250000000"))
                await asyncio.sleep(0.05)
                return added

        assert sorted(await asyncio.gather(add(), add())) == [False, True]

    async def test_removes_an_empty_bucket_with_all_that_belongs_to_it(self, database: PostgresDatabase) -> None:
        """Bucket, services, queues, templates and ended jobs go together."""
        running = await started(database)
        async with database.transaction() as tx:
            assert await tx.jobs.finish("j1", running.attempt, DONE, LATER)
            assert await tx.templates.add(template())
            await tx.queues.add(queue("p2", is_default=False))
        async with database.transaction() as tx:
            assert await tx.buckets.remove(BUCKET)
        async with database.transaction() as tx:
            assert await tx.buckets.get(BUCKET) is None
        for table in ("jobs", "templates", "queues", "services"):
            assert await execute(database, f"SELECT 1 FROM {table}") == []

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
            assert await tx.queues.count(BUCKET) == 1
            assert await tx.objects.get(BUCKET, "a") is not None

    async def test_keeps_a_bucket_with_an_unfinished_job(self, database: PostgresDatabase) -> None:
        """A job that waits or runs keeps its bucket."""
        async with database.transaction() as tx:
            await tx.jobs.add(job())
        async with database.transaction() as tx:
            assert not await tx.buckets.remove(BUCKET)

    @pytest.mark.parametrize("what", ["object", "job", "submit"])
    async def test_what_is_on_its_way_keeps_the_bucket(self, database: PostgresDatabase, what: str) -> None:
        """Removal waits for a writer that is not done, and then sees what it wrote."""

        async def remove() -> bool:
            async with database.transaction() as tx:
                return await tx.buckets.remove(BUCKET)

        async with database.transaction() as tx:
            if what == "submit":
                await tx.queues.held(BUCKET, None)
                removal = asyncio.create_task(remove())
                await waiting_for_a_lock(database)
                await tx.jobs.add(job())
            else:
                await (put_object(tx, stored("a")) if what == "object" else tx.jobs.add(job()))
                removal = asyncio.create_task(remove())
                await waiting_for_a_lock(database)
        assert not await removal

    @pytest.mark.parametrize("what", ["object", "job", "template", "service", "queue"])
    async def test_a_removed_bucket_takes_nothing_new(self, database: PostgresDatabase, what: str) -> None:
        """Whoever writes into a bucket that goes away meanwhile is told that there is none."""
        write = {
            "object": lambda tx: put_object(tx, stored("a")),
            "job": lambda tx: tx.jobs.add(job()),
            "template": lambda tx: tx.templates.add(template()),
            "service": lambda tx: tx.bindings.open(BUCKET, ServiceKind.AI, NOW, automatic=False),
            "queue": lambda tx: tx.queues.add(queue("p2", is_default=False)),
        }

        async def late() -> None:
            async with database.transaction() as tx:
                await write[what](tx)

        async with database.transaction() as tx:
            assert await tx.buckets.remove(BUCKET)
            writing = asyncio.create_task(late())
            await waiting_for_a_lock(database)
        with pytest.raises(ServiceError) as refusal:
            await writing
        assert (refusal.value.status, refusal.value.code) == (404, "NoSuchBucket")
