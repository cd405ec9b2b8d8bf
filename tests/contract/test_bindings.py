"""What services on buckets promise: their rows in PostgreSQL and their use cases, on both servers."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from rows import BUCKET, DONE, LATER, NOW, QUEUE_ID, ROOT, add_bucket, bucket, execute, found, job, queue, started
from rows import waiting_for_a_lock as blocked
from sordino.adapters.clock import SystemClock
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.domain.page import Page
from sordino.domain.service import Binding, BindingFilter, ServiceKind
from sordino.errors import ServiceError
from sordino.storage.bindings import Bindings
from sordino.storage.buckets import BucketStore
from sordino.wire.ids import new_queue_id

NEW = "new-1250000000"
SPEECH = ServiceKind.SPEECH
TAKEN = {
    ServiceKind.SPEECH: "BucketAlreadyBinded",
    ServiceKind.AI: "BucketAlreadyBinded",
    ServiceKind.MEDIA: "MediaBucketAlreadyBinded",
}


@pytest.fixture
def bindings(database: PostgresDatabase) -> Bindings:
    """The use cases."""
    return Bindings(database=database, clock=SystemClock(), new_queue_id=new_queue_id)


def store(database: PostgresDatabase, *, bind_on_create: bool) -> BucketStore:
    """Makes buckets, with services or without."""
    return BucketStore(
        database=database,
        clock=SystemClock(),
        new_queue_id=new_queue_id,
        bind_on_create=bind_on_create,
        max_buckets=100,
    )


async def refusal(call: Coroutine[Any, Any, object]) -> tuple[int, str]:
    """Status and code of the refusal that a call ends with."""
    with pytest.raises(ServiceError) as refused:
        await call
    return refused.value.status, refused.value.code


async def default_queues(database: PostgresDatabase, name: str) -> list[str]:
    """The ids of the bucket's default queues."""
    rows = await execute(database, "SELECT queue_id FROM queues WHERE bucket = %s AND is_default", name)
    return [str(row["queue_id"]) for row in rows]


class TestRows:
    """The repository."""

    async def test_the_first_opening_takes_over_an_automatic_one(self, database: PostgresDatabase) -> None:
        """What came with the bucket is opened once more, by its user; what the user opened is not."""
        async with database.transaction() as tx:
            assert not await tx.bindings.open(BUCKET, SPEECH, LATER, automatic=True)
            assert await tx.bindings.open(BUCKET, SPEECH, LATER, automatic=False)
            assert not await tx.bindings.open(BUCKET, SPEECH, LATER, automatic=False)
            assert not await tx.bindings.open(BUCKET, SPEECH, LATER, automatic=True)
            paged = await tx.bindings.page("1250000000", SPEECH, BindingFilter(), Page())
        assert paged.items == (Binding(bucket=bucket(), kind=SPEECH, opened_at=LATER),)

    async def test_each_kind_is_its_own(self, database: PostgresDatabase) -> None:
        """Opening and closing one leaves the others."""
        async with database.transaction() as tx:
            assert not await tx.bindings.is_open(BUCKET, ServiceKind.AI)
            assert await tx.bindings.open(BUCKET, ServiceKind.AI, NOW, automatic=False)
            assert await tx.bindings.is_open(BUCKET, ServiceKind.AI)
            assert await tx.bindings.close(BUCKET, ServiceKind.AI)
            assert not await tx.bindings.close(BUCKET, ServiceKind.AI)
            assert await tx.bindings.is_open(BUCKET, SPEECH)

    async def test_lists(self, database: PostgresDatabase) -> None:
        """An account's buckets by name, of regions, names and a prefix if asked, each page with the number of all."""
        async with database.transaction() as tx:
            for number, name in enumerate(("a", "b", "a-1")):
                region = ("ap-beijing", "ap-guangzhou")[number % 2]
                await tx.buckets.add(replace(bucket(f"{name}-1250000000"), region=region))
                await tx.bindings.open(f"{name}-1250000000", SPEECH, NOW, automatic=False)
            await tx.buckets.add(bucket("closed-1250000000"))

        async def page(page: Page | None = None, **wanted: Any) -> tuple[list[str], int]:
            async with database.transaction() as tx:
                paged = await tx.bindings.page("1250000000", SPEECH, BindingFilter(**wanted), page or Page())
            return [it.bucket.name.removesuffix("-1250000000") for it in paged.items], paged.total

        assert await page() == (["a-1", "a", "b", "test"], 4)
        assert await page(Page(number=2, size=3)) == (["test"], 4)
        assert await page(Page(number=3, size=3)) == ([], 4)
        assert await page(regions=frozenset({"ap-beijing", "none"})) == (["a-1", "a"], 2)
        assert await page(names=frozenset({"b-1250000000", "x"})) == (["b"], 1)
        assert await page(prefix="a") == (["a-1", "a"], 2)
        assert await page(prefix="%") == ([], 0)
        assert await page(prefix="a", names=frozenset({"b-1250000000"})) == ([], 0)
        async with database.transaction() as tx:
            assert (await tx.bindings.page("999", SPEECH, BindingFilter(), Page())).items == ()
            assert (await tx.bindings.page("1250000000", ServiceKind.AI, BindingFilter(), Page())).total == 0


class TestCreatedBuckets:
    """New buckets."""

    async def test_have_every_service(self, database: PostgresDatabase, bindings: Bindings) -> None:
        """All are open, speech with its default queue, and the first call that opens each succeeds all the same."""
        made = await store(database, bind_on_create=True).create(NEW, "ap-beijing", ROOT.account)
        (before,) = await default_queues(database, NEW)
        for kind in ServiceKind:
            opened = await bindings.open(made, kind)
            assert (opened.bucket, opened.kind, opened.automatic) == (made, kind, False)
            assert await refusal(bindings.open(made, kind)) == (403, TAKEN[kind])
        assert await default_queues(database, NEW) == [before]

    async def test_or_none(self, database: PostgresDatabase, bindings: Bindings) -> None:
        """With the setting off nothing is open, and opening speech makes the queue."""
        made = await store(database, bind_on_create=False).create(NEW, "ap-beijing", ROOT.account)
        assert await default_queues(database, NEW) == []
        for kind in ServiceKind:
            assert await refusal(bindings.close(made, kind)) == (403, "MediaBucketUnBinded")
            await bindings.open(made, kind)
            assert await refusal(bindings.open(made, kind)) == (403, TAKEN[kind])
        assert len(await default_queues(database, NEW)) == 1


class TestOpen:
    """Opening services."""

    async def test_of_several_at_once_one_succeeds(self, database: PostgresDatabase, bindings: Bindings) -> None:
        """The others are told that it is open, and there is one default queue."""
        made = await store(database, bind_on_create=False).create(NEW, "ap-beijing", ROOT.account)
        ends = await asyncio.gather(*(bindings.open(made, SPEECH) for _ in range(6)), return_exceptions=True)
        assert sum(isinstance(it, Binding) for it in ends) == 1
        assert {it.code for it in ends if isinstance(it, ServiceError)} == {"BucketAlreadyBinded"}
        assert len(await default_queues(database, NEW)) == 1

    async def test_opening_and_closing_at_once(self, database: PostgresDatabase, bindings: Bindings) -> None:
        """However they meet, the queue is there exactly when the service is."""
        for _ in range(10):
            ends = await asyncio.gather(
                bindings.open(bucket(), SPEECH),
                bindings.close(bucket(), SPEECH),
                bindings.open(bucket(), SPEECH),
                return_exceptions=True,
            )
            assert all(it is None or isinstance(it, Binding | ServiceError) for it in ends)
            async with database.transaction() as tx:
                is_open = await tx.bindings.is_open(BUCKET, SPEECH)
            assert len(await default_queues(database, BUCKET)) == int(is_open)

    async def test_needs_its_bucket(self, bindings: Bindings) -> None:
        """A bucket that went away meanwhile is told."""
        for kind in ServiceKind:
            assert await refusal(bindings.open(bucket(NEW), kind)) == (404, "NoSuchBucket")


class TestClose:
    """Closing services."""

    async def test_speech_takes_its_queues_along(self, database: PostgresDatabase, bindings: Bindings) -> None:
        """All queues go, ended jobs stay, and opening it again makes another default queue."""
        await started(database)
        async with database.transaction() as tx:
            await tx.queues.add(queue("p2", is_default=False))
            await tx.jobs.finish("j1", 1, DONE, LATER)
        await bindings.close(bucket(), SPEECH)
        assert await execute(database, "SELECT queue_id FROM queues") == []
        assert (await found(database)).queue_id == QUEUE_ID
        assert await refusal(bindings.close(bucket(), SPEECH)) == (403, "MediaBucketUnBinded")
        await bindings.open(bucket(), SPEECH)
        (new,) = await default_queues(database, BUCKET)
        assert new != QUEUE_ID

    async def test_not_while_jobs_are_unfinished(self, database: PostgresDatabase, bindings: Bindings) -> None:
        """Waiting and running jobs keep speech open, and no other service or bucket."""
        async with database.transaction() as tx:
            await add_bucket(tx, "other-1250000000", "o1")
            await tx.bindings.open(BUCKET, ServiceKind.AI, NOW, automatic=True)
            await tx.jobs.add(job())
        assert await refusal(bindings.close(bucket(), SPEECH)) == (400, "InvalidArgument")
        assert await default_queues(database, BUCKET) == [QUEUE_ID]
        await bindings.close(bucket(), ServiceKind.AI)
        await bindings.close(bucket("other-1250000000"), SPEECH)

    async def test_waits_for_a_submit(self, database: PostgresDatabase, bindings: Bindings) -> None:
        """A job that is on its way keeps the service open."""
        async with database.transaction() as tx:
            await tx.queues.held(BUCKET, None)
            closing = asyncio.create_task(refusal(bindings.close(bucket(), SPEECH)))
            await blocked(database)
            await tx.jobs.add(job())
        assert await closing == (400, "InvalidArgument")
