"""What submitting and cancelling jobs promises, over PostgreSQL, the embedded server and one outside."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest

from rows import BUCKET, NOW, OPERATOR, QUEUE_ID, add_bucket, bucket, execute, job, release, started, template
from rows import waiting_for_a_lock as blocked
from sordino.adapters.clock import SystemClock
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.domain.bucket import Bucket
from sordino.domain.callback import JobCallback
from sordino.domain.job import (
    Job,
    JobFilter,
    JobRequest,
    JobState,
    NoiseReduction,
    OperationRequest,
    Order,
    Output,
    TemplateRef,
)
from sordino.domain.queue import QueueSettings, QueueState
from sordino.domain.service import ServiceKind
from sordino.errors import ServiceError
from sordino.jobs import room as rooms
from sordino.jobs.counts import Counts
from sordino.jobs.manage import ManageJobs
from sordino.jobs.queues import Queues
from sordino.jobs.submit import Submit
from sordino.jobs.templates import Templates
from sordino.storage.bindings import Bindings
from sordino.wire.ids import new_job_id, new_queue_id, new_template_id

ORDER = NoiseReduction(sample_rate=48000)
PAUSED = QueueSettings(name="n", state=QueueState.PAUSED)


def operation(number: int = 0, **changes: object) -> OperationRequest:
    """An operation whose output differs by its number."""
    output = Output(region="ap-guangzhou", bucket=BUCKET, object=f"out{number}.wav")
    return replace(OperationRequest(noise_reduction=NoiseReduction(), output=output), **changes)


def to(output_bucket: str, region: str = "ap-guangzhou") -> OperationRequest:
    """An operation that writes into a bucket."""
    return operation(output=Output(region=region, bucket=output_bucket, object="out.wav"))


def request(*operations: OperationRequest, **changes: object) -> JobRequest:
    """A request with these operations, or a plain one."""
    plain = JobRequest(input_object="in.mp3", operations=operations or (operation(),))
    return replace(plain, **changes)


@pytest.fixture
def pokes() -> list[None]:
    """One entry for every time something might be released."""
    return []


@pytest.fixture
def submit(database: PostgresDatabase, pokes: list[None]) -> Submit:
    """The use case; five jobs may wait in a queue."""
    return Submit(
        database=database,
        clock=SystemClock(),
        new_job_id=new_job_id,
        max_size=5,
        poke=lambda: pokes.append(None),
    )


@pytest.fixture
def queues(database: PostgresDatabase) -> Queues:
    """The use cases of queues."""
    return Queues(database=database, clock=SystemClock(), new_queue_id=new_queue_id, max_queues=5, poke=lambda: None)


@pytest.fixture
def manage(database: PostgresDatabase, pokes: list[None]) -> ManageJobs:
    """The use cases of jobs that were submitted."""
    return ManageJobs(database=database, clock=SystemClock(), poke=lambda: pokes.append(None))


async def refusal(call: Coroutine[Any, Any, object]) -> ServiceError:
    """The refusal that a call ends with."""
    with pytest.raises(ServiceError) as refused:
        await call
    return refused.value


async def stored(database: PostgresDatabase, name: str = BUCKET) -> Sequence[Job]:
    """All jobs of a bucket, the oldest first."""
    async with database.transaction() as tx:
        return await tx.jobs.list(name, JobFilter(), order=Order.ASCENDING, after=None, limit=1000)


async def fill(database: PostgresDatabase, number: int) -> None:
    """Let so many jobs wait."""
    async with database.transaction() as tx:
        for it in range(number):
            await tx.jobs.add(job(f"w{it}"))


class TestSubmit:
    """From a request to waiting jobs."""

    async def test_stores_what_was_asked(self, database: PostgresDatabase, submit: Submit, pokes: list[None]) -> None:
        """One job in the default queue, as it is returned, and whoever releases is told after the commit."""
        asked = request(operation(user_data="", job_level=2, noise_reduction=ORDER), callback=JobCallback(muted=True))
        (made,) = await submit(bucket(), asked)
        assert (made.bucket, made.region, made.queue_id) == (BUCKET, "ap-guangzhou", QUEUE_ID)
        assert (made.state, made.input_object, made.callback) == (JobState.SUBMITTED, "in.mp3", asked.callback)
        assert (made.operation.noise_reduction, made.operation.template) == (ORDER, None)
        assert (made.operation.user_data, made.level) == ("", 2)
        assert await stored(database) == [made]
        assert len(pokes) == 1

    async def test_a_job_for_each_operation(self, database: PostgresDatabase, submit: Submit) -> None:
        """They have ids of their own and are ordered as the operations are."""
        made = await submit(bucket(), request(*(operation(number) for number in range(5))))
        assert [it.operation.output.object for it in made] == [f"out{number}.wav" for number in range(5)]
        assert len({it.job_id for it in made}) == 5
        assert await stored(database) == made

    async def test_outputs_must_differ(self, database: PostgresDatabase, submit: Submit) -> None:
        """Two results under one key are refused before anything is stored."""
        refused = await refusal(submit(bucket(), request(operation(), operation(1), operation(job_level=1))))
        assert (refused.status, refused.code) == (400, "InvalidArgument")
        assert "'out0.wav'" in refused.message
        assert await stored(database) == []

    async def test_into_a_queue_that_is_named(self, submit: Submit, queues: Queues) -> None:
        """Any queue of the bucket, and no other."""
        made = await queues.create(BUCKET, QueueSettings(name="n"))
        assert [it.queue_id for it in await submit(bucket(), request(queue_id=made.queue_id))] == [made.queue_id]
        refused = await refusal(submit(bucket(), request(queue_id="none")))
        assert (refused.status, refused.code) == (404, "QueueNotFound")
        assert "none" in refused.message

    async def test_needs_the_speech_service(self, database: PostgresDatabase, submit: Submit) -> None:
        """A bucket whose service is closed is told so, and one that is gone, too."""
        async with database.transaction() as tx:
            await tx.queues.clear(BUCKET)
            await tx.bindings.close(BUCKET, ServiceKind.SPEECH)
        assert (await refusal(submit(bucket(), request()))).code == "MediaBucketUnBinded"
        assert (await refusal(submit(bucket(), request(queue_id="p1")))).code == "MediaBucketUnBinded"
        assert (await refusal(submit(bucket("none-1250000000"), request()))).code == "NoSuchBucket"

    async def test_a_paused_queue_takes_jobs(self, database: PostgresDatabase, submit: Submit, queues: Queues) -> None:
        """They wait as paused ones until it goes on."""
        await queues.update(BUCKET, QUEUE_ID, PAUSED)
        (made,) = await submit(bucket(), request())
        assert made.state is JobState.PAUSE
        assert await stored(database) == [made]
        await queues.update(BUCKET, QUEUE_ID, QueueSettings(name="n"))
        assert [it.state for it in await stored(database)] == [JobState.SUBMITTED]

    @pytest.mark.parametrize(
        ("target", "code"),
        [
            (to("mine-1250000000"), None),
            (to("mine-1250000000", "ap-beijing"), "InvalidArgument"),
            (to(BUCKET, "ap-beijing"), "InvalidArgument"),
            (to("theirs-7", "ap-beijing"), None),
            (to("none-1250000000", "ap-beijing"), None),
        ],
        ids=["right", "wrong", "wrong of its own", "of another account", "of none"],
    )
    async def test_checks_the_region_of_the_output(
        self, database: PostgresDatabase, submit: Submit, target: OperationRequest, code: str | None
    ) -> None:
        """Of the caller's buckets only, for every operation; other buckets are left to the job."""
        await execute(database, "INSERT INTO accounts (appid, uin) VALUES ('7', '7')")
        async with database.transaction() as tx:
            await tx.buckets.add(bucket("mine-1250000000"))
            await tx.buckets.add(bucket("theirs-7"))
        asked = submit(bucket(), request(operation(), target))
        assert (code is None and len(await asked) == 2) or (await refusal(asked)).code == code

    async def test_an_id_that_is_taken_stores_nothing(self, database: PostgresDatabase, submit: Submit) -> None:
        """All jobs of a request or none."""
        clumsy = replace(submit, new_job_id=lambda: "j1")
        with pytest.raises(Exception, match="jobs_pkey"):
            await clumsy(bucket(), request(operation(), operation(1)))
        assert await stored(database) == []


class TestTemplates:
    """Jobs made from templates."""

    async def test_take_values_and_name_as_they_are_now(self, database: PostgresDatabase, submit: Submit) -> None:
        """A template wins over what the request says; changing or deleting it later changes no job."""
        templates = Templates(database=database, clock=SystemClock(), new_template_id=new_template_id, max_templates=5)
        made = await templates.create(BUCKET, "before", ORDER)
        asked = request(operation(template_id=made.template_id), operation(1))
        first = await submit(bucket(), asked)
        await templates.update(BUCKET, made.template_id, "after", NoiseReduction())
        await templates.remove(BUCKET, made.template_id)
        assert await stored(database) == first
        assert first[0].operation.noise_reduction == ORDER
        assert first[0].operation.template == TemplateRef(template_id=made.template_id, name="before")
        assert first[1].operation.template is None

    async def test_an_unknown_one_stores_nothing(self, database: PostgresDatabase, submit: Submit) -> None:
        """The refusal names it; one of another bucket is unknown."""
        async with database.transaction() as tx:
            await add_bucket(tx, "other-1250000000", "o1")
            await tx.templates.add(template())
            await tx.templates.add(template("t2", bucket="other-1250000000"))
        refused = await refusal(submit(bucket(), request(operation(template_id="t1"), operation(1, template_id="t2"))))
        assert (refused.status, refused.code) == (404, "TemplateNotFound")
        assert "t2" in refused.message
        assert await stored(database) == []


class TestRoom:
    """How many jobs may wait."""

    async def test_up_to_the_limit_of_all_queues(self, database: PostgresDatabase, submit: Submit) -> None:
        """As many as fit, all of a request or none; running and ended ones do not count."""
        await started(database, "running")
        await fill(database, 4)
        refused = await refusal(submit(bucket(), request(operation(), operation(1))))
        assert (refused.status, refused.code) == (403, "QueueSaturated")
        assert len(await stored(database)) == 5
        await submit(bucket(), request())
        assert (await refusal(submit(bucket(), request()))).code == "QueueSaturated"

    async def test_or_of_the_queue(self, database: PostgresDatabase, submit: Submit, queues: Queues) -> None:
        """Its own limit is instead of the server's, smaller or larger; more than it now allows may wait already."""
        await fill(database, 5)
        await queues.limit(OPERATOR, BUCKET, None, {"max_size": 6})
        await submit(bucket(), request())
        await queues.limit(OPERATOR, BUCKET, None, {"max_size": 1})
        assert (await refusal(submit(bucket(), request()))).code == "QueueSaturated"

    async def test_paused_and_released_jobs_wait_too(
        self, database: PostgresDatabase, submit: Submit, queues: Queues
    ) -> None:
        """Neither pausing a queue nor handing jobs to the engine makes room."""
        await fill(database, 5)
        async with database.transaction() as tx:
            await release(tx)
        assert (await refusal(submit(bucket(), request()))).code == "QueueSaturated"
        await queues.update(BUCKET, QUEUE_ID, PAUSED)
        assert (await refusal(submit(bucket(), request()))).code == "QueueSaturated"

    async def test_cancelling_makes_room(self, database: PostgresDatabase, submit: Submit, manage: ManageJobs) -> None:
        """A cancelled job waits no longer."""
        await fill(database, 5)
        await manage.cancel(BUCKET, "w3")
        assert len(await submit(bucket(), request())) == 1

    async def test_many_at_the_limit(self, database: PostgresDatabase, submit: Submit) -> None:
        """Of submits at once, just as many succeed as there is room for."""
        ends = await asyncio.gather(*(submit(bucket(), request()) for _ in range(12)), return_exceptions=True)
        assert sum(not isinstance(it, Exception) for it in ends) == 5
        assert {it.code for it in ends if isinstance(it, ServiceError)} == {"QueueSaturated"}
        assert len(await stored(database)) == 5

    async def test_a_long_queue_is_not_counted_by_every_submit(
        self, database: PostgresDatabase, submit: Submit
    ) -> None:
        """A fresh count is enough while there is room by far, and is not when there is not."""
        counts = Counts()
        roomy = replace(submit, max_size=10_000, counts=counts, clock=Mock(now=lambda: NOW))
        await roomy(bucket(), request())
        await execute(database, "DELETE FROM jobs")
        await roomy(bucket(), request())
        assert counts.fresh(QUEUE_ID, NOW) == 2
        counts.note(QUEUE_ID, NOW, 8000)
        await roomy(bucket(), request())
        assert counts.fresh(QUEUE_ID, NOW) == 2

    async def test_a_burst_within_a_fresh_count(
        self, database: PostgresDatabase, submit: Submit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However many submits come in the second after a count, no more jobs wait than may."""
        monkeypatch.setattr(rooms, "CROWD", 4)
        roomy = replace(submit, max_size=20, clock=Mock(now=lambda: NOW))
        ends = [await asyncio.gather(roomy(bucket(), request()), return_exceptions=True) for _ in range(30)]
        assert sum(isinstance(it, ServiceError) for (it,) in ends) == 10
        assert len(await stored(database)) == 20

    async def test_with_much_room_nobody_takes_turns(self, database: PostgresDatabase, submit: Submit) -> None:
        """A submit that is not done keeps no other waiting, as long as there is room for a crowd."""
        roomy = replace(submit, max_size=rooms.CROWD + 10)
        async with database.transaction() as tx:
            await tx.queues.held(BUCKET, None)
            await tx.queues.fill(QUEUE_ID)
            assert len(await asyncio.wait_for(roomy(bucket(), request()), 10)) == 1


class TestRaces:
    """Submits beside what changes their queue."""

    async def test_against_pausing(self, database: PostgresDatabase, submit: Submit, queues: Queues) -> None:
        """However they meet, no job of a paused queue is left waiting for a worker."""
        roomy = replace(submit, max_size=1000)
        await asyncio.gather(
            *(roomy(bucket(), request(operation(), operation(1))) for _ in range(10)),
            queues.update(BUCKET, QUEUE_ID, PAUSED),
            *(roomy(bucket(), request()) for _ in range(10)),
        )
        jobs = await stored(database)
        assert len(jobs) == 30
        assert {it.state for it in jobs} == {JobState.PAUSE}

    async def test_pausing_is_not_put_off_by_a_stream_of_submits(
        self, database: PostgresDatabase, submit: Submit, queues: Queues
    ) -> None:
        """While submits never end, a pause gets through."""
        roomy = replace(submit, max_size=100_000)
        paused, flowing = False, asyncio.Barrier(4)

        async def stream() -> None:
            await roomy(bucket(), request())
            await flowing.wait()
            while not paused:
                await roomy(bucket(), request())

        streams = [asyncio.create_task(stream()) for _ in range(3)]
        await flowing.wait()
        await asyncio.wait_for(queues.update(BUCKET, QUEUE_ID, PAUSED), 30)
        paused = True
        await asyncio.gather(*streams)
        assert {it.state for it in await stored(database)} == {JobState.PAUSE}

    async def test_against_removal_of_the_queue(
        self, database: PostgresDatabase, submit: Submit, queues: Queues
    ) -> None:
        """Either the job is refused or the queue stays."""
        for _ in range(5):
            made = await queues.create(BUCKET, QueueSettings(name="n"))
            submitted, removed = await asyncio.gather(
                replace(submit, max_size=1000)(bucket(), request(queue_id=made.queue_id)),
                queues.remove(BUCKET, made.queue_id),
                return_exceptions=True,
            )
            if removed is None:
                assert submitted.code == "QueueNotFound"
            else:
                assert removed.code == "InvalidArgument"
                await execute(database, "DELETE FROM jobs")
                await queues.remove(BUCKET, made.queue_id)

    async def test_against_closing_the_service(self, database: PostgresDatabase, submit: Submit) -> None:
        """Either the job is refused or the service stays open."""
        bindings = Bindings(database=database, clock=SystemClock(), new_queue_id=new_queue_id)
        submitted, closed = await asyncio.gather(
            submit(bucket(), request()), bindings.close(bucket(), ServiceKind.SPEECH), return_exceptions=True
        )
        assert (getattr(submitted, "code", None), getattr(closed, "code", None)) in (
            ("MediaBucketUnBinded", None),
            (None, "InvalidArgument"),
        )

    async def test_against_removal_of_the_bucket(self, database: PostgresDatabase, submit: Submit) -> None:
        """Either the job is refused or the bucket stays; nobody hangs."""

        async def remove(it: Bucket) -> bool:
            async with database.transaction() as tx:
                return await tx.buckets.remove(it.name)

        for number in range(5):
            name = f"brief{number}-1250000000"
            async with database.transaction() as tx:
                await add_bucket(tx, name, f"q{number}")
            submitted, removed = await asyncio.gather(
                submit(bucket(name), request()), remove(bucket(name)), return_exceptions=True
            )
            assert (getattr(submitted, "code", None), removed) in (("NoSuchBucket", True), (None, False))

    async def test_takes_the_queue_as_a_change_leaves_it(self, database: PostgresDatabase, submit: Submit) -> None:
        """A submit that waited for a change sees it, limit and state."""
        async with database.transaction() as tx:
            it = await tx.queues.locked(BUCKET, None)
            made = asyncio.create_task(submit(bucket(), request()))
            await blocked(database)
            await tx.queues.put(replace(it, settings=PAUSED, max_size=1))
        assert [it.state for it in await made] == [JobState.PAUSE]
        assert (await refusal(submit(bucket(), request()))).code == "QueueSaturated"


class TestCancel:
    """Cancelling jobs."""

    async def test_a_job_that_waits(self, database: PostgresDatabase, manage: ManageJobs, pokes: list[None]) -> None:
        """It has ended, asking again is quiet, and whoever releases is told."""
        await fill(database, 1)
        await manage.cancel(BUCKET, "w0")
        ((ended,), _) = await manage.query(BUCKET, ["w0"])
        assert (ended.state, ended.ended_at is not None) == (JobState.CANCEL, True)
        await manage.cancel(BUCKET, "w0")
        assert await manage.query(BUCKET, ["w0"]) == ([ended], [])
        assert pokes

    async def test_refuses_what_no_longer_waits(self, database: PostgresDatabase, manage: ManageJobs) -> None:
        """The message tells the state."""
        await started(database)
        refused = await refusal(manage.cancel(BUCKET, "j1"))
        assert (refused.status, refused.code) == (400, "InvalidArgument")
        assert "Running" in refused.message

    async def test_refuses_unknown_jobs(self, database: PostgresDatabase, manage: ManageJobs) -> None:
        """One of another bucket is unknown, and stays."""
        await fill(database, 1)
        for place in ((BUCKET, "none"), ("other-1250000000", "w0")):
            assert (await refusal(manage.cancel(*place))).code == "InvalidArgument"
        assert [it.state for it in await stored(database)] == [JobState.SUBMITTED]
