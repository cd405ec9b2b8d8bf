"""The use cases over a real database: submit, every way an attempt can end, upkeep."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import BinaryIO

import pytest

from policies import allow, deny, document
from rows import OPERATOR, changes, execute, role_may
from sordino.adapters.blobs import ObstoreBlobs
from sordino.adapters.clock import SystemClock
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.domain.acl import Acl
from sordino.domain.audit import AuditSearch
from sordino.domain.bucket import Bucket
from sordino.domain.callback import JobCallback
from sordino.domain.identity import (
    CI_ROLE,
    CI_ROLE_POLICY,
    CI_ROLE_TRUST,
    CI_SERVICE,
    AccessKey,
    Account,
    Role,
    Target,
    TargetKind,
)
from sordino.domain.job import (
    AudioFormat,
    Job,
    JobRequest,
    JobState,
    MediaInfo,
    NoiseReduction,
    OperationRequest,
    Output,
)
from sordino.domain.ports import (
    BlobNotFoundError,
    BlobStoreError,
    Database,
    DatabaseUnavailableError,
    MediaFailedError,
    MediaResult,
)
from sordino.domain.quota import Quota
from sordino.errors import ServiceError
from sordino.jobs.losses import Losses
from sordino.jobs.operate import OperateJobs
from sordino.jobs.pipeline import Limits, Pipeline, TryAgainError
from sordino.jobs.submit import Submit
from sordino.storage.buckets import BucketStore
from sordino.storage.objects import ObjectStore, Upload
from sordino.storage.sweep import GRACE, Sweep
from sordino.storage.writing import AHEAD, UPLOAD_TIME, BlobIds
from sordino.wire.ids import new_job_id, new_queue_id

ACCOUNT = Account(appid="1250000000", uin="100000000001")
REGION = "ap-guangzhou"
INFO = MediaInfo(duration=1.0, sample_rate=16000, channels=1, size=5, format_name="wav", codec_name="pcm_s16le")


def clean(source: BinaryIO, target: BinaryIO) -> None:
    """A sound path that always makes the same."""
    target.write(b"clean")


@dataclass
class StandInMedia:
    """A media process that does what a test needs: ``act`` runs in place of the sound path."""

    act: Callable[[BinaryIO, BinaryIO], None] = clean
    calls: int = 0
    info: MediaInfo = INFO

    async def denoise(
        self, source: BinaryIO, target: BinaryIO, order: NoiseReduction, on_progress: Callable[[int], None]
    ) -> MediaResult:
        """Act, and tell half of the progress on the way."""
        self.calls += 1
        on_progress(50)
        result = self.act(source, target)
        if asyncio.iscoroutine(result):
            await result
        return MediaResult(info=self.info, note="a note")


@dataclass
class World:
    """The use cases over one database and a store in memory."""

    database: PostgresDatabase
    bucket: Bucket
    media: StandInMedia
    blobs: ObstoreBlobs
    objects: ObjectStore
    pipeline: Pipeline

    async def submit(
        self,
        output_bucket: str | None = None,
        order: NoiseReduction | None = None,
        region: str = REGION,
        **changes: object,
    ) -> Job:
        """Submit a job on ``in.wav``, and release it."""
        output = Output(region=region, bucket=output_bucket or self.bucket.name, object="out.wav")
        operation = OperationRequest(noise_reduction=order or NoiseReduction(), output=output)
        request = JobRequest(input_object="in.wav", operations=(operation,), **changes)
        submit = Submit(
            database=self.database, clock=SystemClock(), new_job_id=new_job_id, max_size=100, poke=lambda: None
        )
        (job,) = await submit(self.bucket, request)
        async with self.database.transaction() as tx:
            (released,) = await tx.releases.release({job.queue_id: 1})
        assert released.job_id == job.job_id
        return replace(job, release=released.release)

    async def run(self, job: Job) -> None:
        """Run the job as its task says."""
        await self.pipeline.run(job.job_id, job.release)

    async def job(self, job: Job) -> Job:
        """The job as it is now."""
        async with self.database.transaction() as tx:
            (found,) = await tx.jobs.find(self.bucket.name, [job.job_id])
        return found

    async def put(self, key: str, content: bytes) -> None:
        """Write an object."""
        await self.objects.put(Upload(bucket=self.bucket, key=key), chunks(content))


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    """One chunk."""
    yield content


@pytest.fixture
async def world(empty_database: PostgresDatabase) -> World:
    """An account with one bucket that holds ``in.wav``."""
    clock, blobs, media = SystemClock(), ObstoreBlobs("memory:///"), StandInMedia()
    async with empty_database.transaction() as tx:
        await tx.identities.add_root(AccessKey(secret_id="AKID", secret_key="key", account=ACCOUNT))
    buckets = BucketStore(
        database=empty_database, clock=clock, new_queue_id=new_queue_id, bind_on_create=True, max_buckets=100
    )
    objects = ObjectStore(database=empty_database, blobs=blobs, clock=clock)
    pipeline = Pipeline(
        database=empty_database,
        objects=objects,
        media=media,
        clock=clock,
        limits=Limits(max_input_bytes=100, attempts=3, retry_seconds=2, store_seconds=60.0),
    )
    bucket = await buckets.create("b-1250000000", REGION, ACCOUNT)
    made = World(empty_database, bucket, media, blobs, objects, pipeline)
    await made.put("in.wav", b"noisy")
    return made


async def test_success(world: World) -> None:
    """The output, the terminal state and the note are there together."""
    job = await world.submit()
    assert (job.state, job.started_at) == (JobState.SUBMITTED, None)
    await world.run(job)
    ended = await world.job(job)
    assert (ended.state, ended.code, ended.message) == (JobState.SUCCESS, "Success", "a note")
    assert ended.media_info == replace(INFO, md5=md5(b"clean").hexdigest())
    stored = await world.objects.head(world.bucket, "out.wav")
    assert b"".join([part async for part in world.objects.read(world.bucket, stored, 0, stored.size)]) == b"clean"
    assert stored.content_type == "audio/wav"


@pytest.mark.parametrize(
    ("form", "video", "content_type"),
    [
        (AudioFormat.WAV, False, "audio/wav"),
        (AudioFormat.MP3, False, "audio/mpeg"),
        (AudioFormat.M4A, False, "audio/mp4"),
        (AudioFormat.M4A, True, "video/mp4"),
        (AudioFormat.FLAC, False, "audio/flac"),
        (AudioFormat.OPUS, False, "audio/ogg"),
    ],
)
async def test_content_types(world: World, form: AudioFormat, video: bool, content_type: str) -> None:
    """The output is stored with the type of its format, and of a video when one was carried over."""
    world.media.info = replace(INFO, video=video)
    job = await world.submit(order=NoiseReduction(format=form))
    await world.run(job)
    assert (await world.objects.head(world.bucket, "out.wav")).content_type == content_type


async def test_a_task_of_an_earlier_release_is_void(world: World) -> None:
    """A job that was paused, resumed and released again runs by its new task; the old one does nothing."""
    job = await world.submit()
    async with world.database.transaction() as tx:
        await tx.jobs.pause(job.bucket, job.queue_id)
        await tx.jobs.resume(job.bucket, job.queue_id)
    await world.run(job)
    assert (await world.job(job)).state is JobState.SUBMITTED
    async with world.database.transaction() as tx:
        (again,) = await tx.releases.release({job.queue_id: 1})
    await world.run(job)
    assert world.media.calls == 0
    await world.pipeline.run(again.job_id, again.release)
    assert (await world.job(job)).state is JobState.SUCCESS


async def test_ended_jobs_do_not_run_again(world: World) -> None:
    """A second task for the same job finds nothing to do."""
    job = await world.submit()
    await world.run(job)
    await world.run(job)
    assert world.media.calls == 1


@pytest.mark.parametrize(
    ("prepare", "code", "hint"),
    [
        (lambda world: world.objects.remove(world.bucket, "in.wav"), "ResourceNotFound", "in.wav"),
        (lambda world: world.put("in.wav", b"x" * 101), "ResourceNotSupported", "SORDINO_MAX_INPUT_BYTES"),
    ],
)
async def test_inputs_refused_before_any_work(world: World, prepare, code: str, hint: str) -> None:
    """A missing or too large input ends the job without starting the media process."""
    await prepare(world)
    job = await world.submit()
    await world.run(job)
    ended = await world.job(job)
    assert (ended.state, ended.code) == (JobState.FAILED, code)
    assert hint in ended.message
    assert world.media.calls == 0


async def test_fault_of_the_input(world: World) -> None:
    """What the media process says of the input is the job's end; it is not tried again."""

    def refuse(source: BinaryIO, target: BinaryIO) -> None:
        raise MediaFailedError("ResourceNotSupported", "no audio in it")

    world.media.act = refuse
    job = await world.submit()
    await world.run(job)
    ended = await world.job(job)
    assert (ended.state, ended.code, ended.message) == (JobState.FAILED, "ResourceNotSupported", "no audio in it")


async def test_fault_of_ours_is_tried_again_and_given_up(world: World) -> None:
    """A broken attempt waits longer each time; the third ends the job with InternalError."""

    def break_down(source: BinaryIO, target: BinaryIO) -> None:
        raise RuntimeError("disk on fire")

    world.media.act = break_down
    job = await world.submit()
    waits = []
    for _ in range(2):
        with pytest.raises(TryAgainError) as again:
            await world.run(job)
        waits.append(again.value.seconds)
        waiting = await world.job(job)
        assert (waiting.state, waiting.started_at) == (JobState.SUBMITTED, None)
    await world.run(job)
    ended = await world.job(job)
    assert waits == [2, 4]
    assert (ended.state, ended.code) == (JobState.FAILED, "InternalError")
    assert job.job_id in ended.message
    assert "disk on fire" not in ended.message


async def test_a_lost_input_is_told_after_the_tries(world: World) -> None:
    """When the bytes of the input are gone for good, the job ends with ResourceDownloadFailed."""
    await world.blobs.remove((await world.objects.head(world.bucket, "in.wav")).blob_id)
    job = await world.submit()
    for _ in range(2):
        with pytest.raises(TryAgainError):
            await world.run(job)
    await world.run(job)
    ended = await world.job(job)
    assert (ended.state, ended.code) == (JobState.FAILED, "ResourceDownloadFailed")
    assert job.job_id in ended.message


@pytest.mark.parametrize("outage", [BlobStoreError, DatabaseUnavailableError])
async def test_an_outage_fails_no_job(world: World, outage: type[Exception]) -> None:
    """However often a store is away, the job waits, longer each time up to a minute, and succeeds afterwards."""

    def go_away(source: BinaryIO, target: BinaryIO) -> None:
        raise outage("away")

    world.media.act = go_away
    job = await world.submit()
    waits = []
    for _ in range(7):
        with pytest.raises(TryAgainError) as again:
            await world.run(job)
        waits.append(again.value.seconds)
        assert (await world.job(job)).state is JobState.SUBMITTED
    assert waits == [2, 4, 8, 16, 32, 60, 60]
    world.media.act = clean
    await world.run(job)
    assert (await world.job(job)).state is JobState.SUCCESS


@dataclass
class Interruptible:
    """A database that can be made to go away."""

    database: Database
    away: bool = False
    refused: int = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[object]:
        """One of the database's, unless it is away."""
        if self.away:
            self.refused += 1
            raise DatabaseUnavailableError("away")
        async with self.database.transaction() as tx:
            yield tx

    reading = transaction


async def test_a_job_waits_for_the_database_itself(world: World) -> None:
    """When the job cannot even be put back, it stays Running, waits, and the next attempt ends it."""
    database = Interruptible(world.database)

    def go_away(source: BinaryIO, target: BinaryIO) -> None:
        database.away = True
        raise RuntimeError("cut")

    world.media.act = go_away
    pipeline = replace(world.pipeline, database=database)
    job = await world.submit()
    with pytest.raises(TryAgainError):
        await pipeline.run(job.job_id, job.release)
    assert (await world.job(job)).state is JobState.RUNNING
    database.away, world.media.act = False, clean
    await pipeline.run(job.job_id, job.release)
    assert (await world.job(job)).state is JobState.SUCCESS


async def test_stopped_without_the_database(world: World) -> None:
    """A worker that stops while the database is away stops all the same."""
    database = Interruptible(world.database)
    world.media.act = lambda source, target: asyncio.sleep(60)
    job = await world.submit()
    attempt = asyncio.create_task(replace(world.pipeline, database=database).run(job.job_id, job.release))
    while world.media.calls == 0:
        await asyncio.sleep(0.01)
    database.away = True
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt


async def test_progress_survives_the_database(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A percent that cannot be written is written once the database is back."""
    monkeypatch.setattr("sordino.jobs.pipeline.PROGRESS_SECONDS", 0.01)
    database, release = Interruptible(world.database), asyncio.Event()

    async def wait(target: BinaryIO) -> None:
        database.away = True
        await release.wait()
        target.write(b"clean")

    world.media.act = lambda source, target: wait(target)
    job = await world.submit()
    attempt = asyncio.create_task(replace(world.pipeline, database=database).run(job.job_id, job.release))
    while database.refused < 2:
        await asyncio.sleep(0.01)
    database.away = False
    while (await world.job(job)).progress != 50:
        await asyncio.sleep(0.01)
    release.set()
    await attempt
    assert (await world.job(job)).state is JobState.SUCCESS


async def test_a_superseded_attempt_is_stopped_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """When another attempt took the job over, the media process of this one is cancelled, and the job left alone."""
    monkeypatch.setattr("sordino.jobs.pipeline.PROGRESS_SECONDS", 0.01)
    stopped = asyncio.Event()

    async def overtaken(job: Job) -> None:
        async with world.database.transaction() as tx:
            await tx.jobs.start(job.job_id, job.release, datetime.now(UTC))
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    job = await world.submit()
    world.media.act = lambda source, target: overtaken(job)
    async with asyncio.timeout(10):
        await world.run(job)
    assert stopped.is_set()
    left = await world.job(job)
    assert (left.state, left.attempt) == (JobState.RUNNING, 2)


@pytest.mark.parametrize("stage", ["fetch", "convert", "store"])
async def test_a_stopped_job_ends_at_once(world: World, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    """Whatever a worker does for a job that the operator stops, it ends it, and leaves no output and no callback."""
    monkeypatch.setattr("sordino.jobs.pipeline.PROGRESS_SECONDS", 0.02)
    entered, stopped = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        entered.set()
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    async def waiting_chunks(*_: object) -> AsyncIterator[bytes]:
        await wait()
        yield b""

    if stage == "fetch":
        monkeypatch.setattr(ObstoreBlobs, "get", waiting_chunks)
    elif stage == "convert":
        world.media.act = lambda source, target: wait()
    else:
        monkeypatch.setattr("sordino.jobs.pipeline._chunks", waiting_chunks)
    job = await world.submit(callback=CALLBACK)
    attempt = asyncio.create_task(world.run(job))
    operator = OperateJobs(changes(world.database))
    async with asyncio.timeout(20):
        await entered.wait()
        shown = await operator.stop(OPERATOR, job.job_id)
        await attempt
    assert stopped.is_set()
    assert (shown.state, shown.attempt) == (JobState.CANCEL, 1)
    assert await world.job(job) == shown
    assert "operator" in shown.message
    with pytest.raises(ServiceError):
        await world.objects.head(world.bucket, "out.wav")
    async with world.database.transaction() as tx:
        assert await tx.deliveries.of_job(job.job_id) == []


async def test_a_job_stopped_at_the_very_end(world: World) -> None:
    """A job that is stopped when its output is stored already stays cancelled, and the output's bytes are removed."""
    operator = OperateJobs(changes(world.database))
    removed: list[str] = []
    original = world.blobs.remove

    async def remove(blob_id: str) -> None:
        removed.append(blob_id)
        await original(blob_id)

    async def stop(target: BinaryIO) -> None:
        target.write(b"clean")
        await operator.stop(OPERATOR, job.job_id)

    world.blobs.remove = remove  # type: ignore[method-assign]
    world.media.act = lambda source, target: stop(target)
    job = await world.submit()
    await world.run(job)
    assert (await world.job(job)).state is JobState.CANCEL
    with pytest.raises(ServiceError):
        await world.objects.head(world.bucket, "out.wav")
    (blob_id,) = removed
    with pytest.raises(BlobNotFoundError):
        _ = [part async for part in world.blobs.get(blob_id)]


async def test_what_an_operator_may_stop(world: World) -> None:
    """A waiting job is stopped and never runs; twice is quiet; what ended otherwise, or is not there, is refused."""
    operator = OperateJobs(changes(world.database))
    waiting, done = await world.submit(), await world.submit()
    await world.run(done)
    stopped = await operator.stop(OPERATOR, waiting.job_id)
    assert await operator.stop(OPERATOR, waiting.job_id) == stopped == await operator.show(waiting.job_id)
    await world.run(waiting)
    assert (await world.job(waiting)).state is JobState.CANCEL
    for job_id, code, hint in ((done.job_id, "InvalidArgument", "Success"), ("j0", "NoSuchEntity", "no job j0")):
        with pytest.raises(ServiceError) as refusal:
            await operator.stop(OPERATOR, job_id)
        assert refusal.value.code == code
        assert hint in refusal.value.message
    assert (await world.job(done)).state is JobState.SUCCESS


async def test_users_cancel_no_running_job(world: World) -> None:
    """What the operator may stop, a user may not: the running job goes on."""
    async with world.database.transaction() as tx:
        job = await world.submit()
        assert await tx.jobs.start(job.job_id, job.release, datetime.now(UTC))
        assert not await tx.jobs.cancel(world.bucket.name, job.job_id, datetime.now(UTC))


async def test_a_store_that_stands_still(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blob store that neither answers nor fails holds a worker up for so long, then the job waits for it."""
    pipeline = replace(world.pipeline, limits=replace(world.pipeline.limits, store_seconds=0.05))

    async def stuck(*_: object) -> AsyncIterator[bytes]:
        await asyncio.sleep(60)
        yield b""

    job = await world.submit()
    with monkeypatch.context() as patch:
        patch.setattr(ObstoreBlobs, "get", stuck)
        async with asyncio.timeout(20):
            with pytest.raises(TryAgainError):
                await pipeline.run(job.job_id, job.release)
    assert (await world.job(job)).state is JobState.SUBMITTED
    await world.run(job)
    assert (await world.job(job)).state is JobState.SUCCESS


async def lost_attempts(world: World) -> object:
    """Those that count against the only job."""
    (row,) = await execute(world.database, "SELECT lost_attempts FROM jobs")
    return row["lost_attempts"]


async def test_a_worker_that_was_only_asleep_counts_for_no_loss(world: World) -> None:
    """An attempt that was taken over while its worker slept is taken from the job's account when the worker wakes."""
    losses = Losses(clock=SystemClock(), limit=3)

    async def sleep_through_a_takeover() -> None:
        async with world.database.transaction() as tx:
            assert await losses.count(tx, job.job_id, job.release)
        assert await lost_attempts(world) == [1]
        async with world.database.transaction() as tx:
            assert await tx.jobs.start(job.job_id, job.release, datetime.now(UTC))

    job = await world.submit()
    world.media.act = lambda source, target: sleep_through_a_takeover()
    await world.run(job)
    assert await lost_attempts(world) == []
    assert (await world.job(job)).attempt == 2


@pytest.mark.parametrize("taken_over", [False, True])
async def test_what_could_not_be_given_back_is_later(world: World, taken_over: bool) -> None:
    """A job that was cut off by an outage is given back after it, or, if others took it over, not held against it."""
    database = Interruptible(world.database)
    pipeline = replace(world.pipeline, database=database)

    def go_away(source: BinaryIO, target: BinaryIO) -> None:
        database.away = True
        raise RuntimeError("cut")

    world.media.act = go_away
    job = await world.submit()
    with pytest.raises(TryAgainError):
        await pipeline.run(job.job_id, job.release)
    with pytest.raises(DatabaseUnavailableError):
        await pipeline.settle()
    if taken_over:
        async with world.database.transaction() as tx:
            await Losses(clock=SystemClock(), limit=3).count(tx, job.job_id, job.release)
            await tx.jobs.start(job.job_id, job.release, datetime.now(UTC))
    database.away = False
    await pipeline.settle()
    left = await world.job(job)
    assert (left.state, left.attempt) == ((JobState.RUNNING, 2) if taken_over else (JobState.SUBMITTED, 1))
    assert await lost_attempts(world) == []
    assert pipeline.owed == []


async def test_recordings_have_no_name(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a job runs, no directory holds its files: a killed worker leaves nothing behind."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen = []

    def look(source: BinaryIO, target: BinaryIO) -> None:
        with Path(f"/dev/fd/{source.fileno()}").open("rb") as again:
            seen.append(again.read())
        seen.extend(tmp_path.iterdir())
        target.write(b"clean")

    world.media.act = look
    job = await world.submit()
    await world.run(job)
    assert (await world.job(job)).state is JobState.SUCCESS
    assert seen == [b"noisy"]


async def test_stopped_worker_gives_the_job_back(world: World) -> None:
    """Cancelling an attempt puts the job back, and the next attempt ends it."""
    world.media.act = lambda source, target: asyncio.sleep(60)
    job = await world.submit()
    attempt = asyncio.create_task(world.run(job))
    while world.media.calls == 0:
        await asyncio.sleep(0.01)
    assert (await world.job(job)).state is JobState.RUNNING
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert (await world.job(job)).state is JobState.SUBMITTED
    world.media.act = clean
    await world.run(job)
    assert (await world.job(job)).state is JobState.SUCCESS


async def test_superseded_attempt_leaves_no_trace(world: World) -> None:
    """Of two attempts that both reach the end, the later one's output is the output."""
    entered, release = asyncio.Event(), asyncio.Event()

    async def slow(target: BinaryIO) -> None:
        entered.set()
        await release.wait()
        target.write(b"late")

    world.media.act = lambda source, target: slow(target)
    job = await world.submit()
    first = asyncio.create_task(world.run(job))
    await entered.wait()
    world.media.act = clean
    await world.run(job)
    written = await world.objects.head(world.bucket, "out.wav")
    release.set()
    await first
    assert await world.objects.head(world.bucket, "out.wav") == written
    assert (await world.job(job)).attempt == 2


async def test_output_bucket_vanishes_meanwhile(world: World) -> None:
    """When the output bucket is deleted while the job runs, the job fails with WriteTargetBucketDenied."""
    buckets = BucketStore(
        database=world.database, clock=SystemClock(), new_queue_id=new_queue_id, bind_on_create=True, max_buckets=100
    )
    other = await buckets.create("other-1250000000", REGION, ACCOUNT)

    async def remove_bucket(target: BinaryIO) -> None:
        target.write(b"clean")
        await buckets.remove(other.name)

    world.media.act = lambda source, target: remove_bucket(target)
    job = await world.submit(output_bucket=other.name)
    await world.run(job)
    assert (await world.job(job)).code == "WriteTargetBucketDenied"


READ, WRITE = allow("cos:GetObject"), allow("cos:PutObject")
MINE, THEIRS = "qcs::cos::uid/1250000000:b-1250000000", "theirs-7"
CI_OF_MINE = "qcs::cam::uin/100000000001:roleName/CI_QCSRole"


@pytest.mark.parametrize(
    ("statements", "code", "hints"),
    [
        ([], "ResourceAccessDenied", ["cos:GetObject", "b-1250000000/in.wav", "no policy allows it"]),
        ([WRITE], "ResourceAccessDenied", ["cos:GetObject"]),
        ([READ], "WriteTargetBucketDenied", ["cos:PutObject", "b-1250000000/out.wav", "no policy allows it"]),
        ([READ, WRITE], None, []),
        ([allow("cos:*", f"{MINE}/in*"), WRITE], None, []),
        ([allow("cos:*", f"{MINE}/input/*"), WRITE], "ResourceAccessDenied", []),
        ([READ, allow("cos:*", f"{MINE}/output/*")], "WriteTargetBucketDenied", []),
        (
            [READ, WRITE, deny("cos:*", f"{MINE}/in.wav")],
            "ResourceAccessDenied",
            ["statement 3 of policy role denies it"],
        ),
        (
            [READ, WRITE, deny("cos:PutObject", f"{MINE}/*")],
            "WriteTargetBucketDenied",
            ["statement 3 of policy role denies it"],
        ),
        ([READ, allow("name/COS:putobject", "qcs::cos:ap-guangzhou::*")], None, []),
        ([READ, allow("cos:PutObject", "qcs::cos:ap-beijing::*")], "WriteTargetBucketDenied", []),
        ([READ, allow("cos:PutObject", "qcs::cos::uid/7:*")], "WriteTargetBucketDenied", []),
    ],
    ids=[
        "nothing",
        "writing alone",
        "reading alone",
        "both",
        "reading a prefix",
        "reading another",
        "writing another",
        "denied reading",
        "denied writing",
        "other spelling",
        "other region",
        "other account",
    ],
)
async def test_what_the_role_may(world: World, statements, code: str | None, hints: list[str]) -> None:
    """A job does what its role may; what it may not ends it before any work, and the message says why."""
    await role_may(world.database, *statements)
    job = await world.submit()
    await world.run(job)
    ended = await world.job(job)
    assert (ended.state is JobState.SUCCESS) == (code is None)
    assert ended.code == (code or "Success")
    assert all(hint in ended.message for hint in hints), ended.message
    assert world.media.calls == (code is None)
    assert (await world.objects.find(world.bucket, "out.wav") is None) == (code is not None)


async def test_the_role_comes_before_the_input(world: World) -> None:
    """Whether there is an input is not told where the role may not read it."""
    await role_may(world.database, WRITE)
    await world.objects.remove(world.bucket, "in.wav")
    job = await world.submit()
    await world.run(job)
    assert (await world.job(job)).code == "ResourceAccessDenied"


@pytest.mark.parametrize("denied", [False, True])
async def test_what_is_open_to_all_is_open_to_the_role(world: World, denied: bool) -> None:
    """It reads a public-read object without a policy, and not against one."""
    await role_may(world.database, WRITE, *[deny("cos:GetObject")] * denied)
    async with world.database.transaction() as tx:
        await tx.sharing.share_object(world.bucket.name, "in.wav", Acl.PUBLIC_READ)
    job = await world.submit()
    await world.run(job)
    assert (await world.job(job)).code == ("ResourceAccessDenied" if denied else "Success")


@pytest.mark.parametrize(
    ("lost", "code"),
    [
        ("policies", "WriteTargetBucketDenied"),
        ("role", "ResourceAccessDenied"),
        ("trust", "ResourceAccessDenied"),
        ("bucket", "WriteTargetBucketDenied"),
    ],
)
async def test_rights_that_are_lost_meanwhile(world: World, lost: str, code: str) -> None:
    """A result that may be written no longer when it is made is not: its bytes go, and the job says why."""

    async def lose(target: BinaryIO) -> None:
        target.write(b"clean")
        if lost == "policies":
            await role_may(world.database, READ)
        async with world.database.transaction() as tx:
            if lost == "role":
                await tx.policies.remove_role(ACCOUNT.appid, CI_ROLE)
            if lost == "trust":
                role = Role(appid=ACCOUNT.appid, name=CI_ROLE, trust=CI_ROLE_TRUST.replace(CI_SERVICE, "no.qcloud.com"))
                await tx.policies.put_role(role, datetime.now(UTC))
            if lost == "bucket":
                await tx.policies.put_bucket_policy(world.bucket.name, document(_about(CI_OF_MINE, "deny")))

    world.media.act = lambda source, target: lose(target)
    job = await world.submit(callback=CALLBACK)
    await world.run(job)
    assert (await world.job(job)).code == code
    assert await world.objects.find(world.bucket, "out.wav") is None
    await check_told_once(world, job)
    sweep = Sweep(
        database=world.database,
        blobs=world.blobs,
        clock=ShiftedClock(UPLOAD_TIME + AHEAD + GRACE + timedelta(minutes=1)),
    )
    await sweep()
    stored = await world.objects.head(world.bucket, "in.wav")
    assert await execute(world.database, "SELECT blob_id FROM unreferenced_blobs") == []
    assert [part async for part in world.blobs.get(stored.blob_id)] == [b"noisy"]


@pytest.mark.parametrize("lost", ["role", "trust", "account's policies"])
async def test_rights_that_are_lost_before(world: World, lost: str) -> None:
    """A job that waited while its role lost its rights ends without any work."""
    job = await world.submit()
    async with world.database.transaction() as tx:
        if lost == "role":
            await tx.policies.remove_role(ACCOUNT.appid, CI_ROLE)
        elif lost == "trust":
            role = Role(appid=ACCOUNT.appid, name=CI_ROLE, trust=CI_ROLE_TRUST.replace(CI_SERVICE, "no.qcloud.com"))
            await tx.policies.put_role(role, datetime.now(UTC))
        else:
            await tx.policies.detach(ACCOUNT.appid, CI_ROLE_POLICY, Target(TargetKind.ROLE, CI_ROLE))
    await world.run(job)
    ended = await world.job(job)
    assert (ended.code, world.media.calls) == ("ResourceAccessDenied", 0)
    assert CI_ROLE in ended.message


def _about(principal: str, effect: str = "allow", action: str = "cos:PutObject", resource: str = "*") -> dict:
    return {**allow(action, resource, principal={"qcs": [principal]}), "effect": effect}


async def _other_account(world: World, *statements: dict[str, object]) -> Bucket:
    """Another account with a bucket of such a policy."""
    other = Account(appid="7", uin="100000000007")
    async with world.database.transaction() as tx:
        assert await tx.identities.add_account(other)
    buckets = BucketStore(
        database=world.database, clock=SystemClock(), new_queue_id=new_queue_id, bind_on_create=True, max_buckets=100
    )
    made = await buckets.create(THEIRS, REGION, other)
    if statements:
        async with world.database.transaction() as tx:
            await tx.policies.put_bucket_policy(THEIRS, document(*statements))
    return made


@pytest.mark.parametrize(
    ("role", "theirs", "code"),
    [
        (None, [], "WriteTargetBucketDenied"),
        (None, [_about(CI_OF_MINE)], None),
        (None, [_about("qcs::cam::uin/100000000001:root")], None),
        (None, [_about("qcs::cam::uin/100000000001:uin/100000000001")], None),
        (None, [_about("qcs::cam::anyone:anyone")], None),
        (None, [_about(CI_OF_MINE, resource="qcs::cos:ap-guangzhou:uid/7:theirs-7/out*")], None),
        (None, [_about(CI_OF_MINE, resource="qcs::cos::uid/7:theirs-7/drop/*")], "WriteTargetBucketDenied"),
        (None, [_about(CI_OF_MINE, action="cos:GetObject")], "WriteTargetBucketDenied"),
        (None, [_about("qcs::cam::uin/100000000007:root")], "WriteTargetBucketDenied"),
        (None, [_about("qcs::cam::uin/100000000001:roleName/Other")], "WriteTargetBucketDenied"),
        (None, [_about("qcs::cam::uin/100000000007:roleName/CI_QCSRole")], "WriteTargetBucketDenied"),
        (None, [_about("qcs::cam::uin/100000000001:uin/100000000002")], "WriteTargetBucketDenied"),
        (
            None,
            [_about(CI_OF_MINE), _about("qcs::cam::uin/100000000001:root", "deny")],
            "WriteTargetBucketDenied",
        ),
        ([READ], [_about(CI_OF_MINE)], "WriteTargetBucketDenied"),
        ([READ, allow("cos:PutObject", f"{MINE}/*")], [_about(CI_OF_MINE)], "WriteTargetBucketDenied"),
        ([READ, allow("cos:*", "qcs::cos:::*")], [_about(CI_OF_MINE)], "WriteTargetBucketDenied"),
        ([READ, allow("cos:*", "qcs::cos::uid/7:theirs-7/*")], [_about(CI_OF_MINE)], None),
    ],
    ids=[
        "no policy",
        "the role",
        "the account's root",
        "the same, as its uin",
        "anyone",
        "these keys",
        "other keys",
        "other action",
        "its own root",
        "another role",
        "the same role of its own",
        "a user",
        "denied as well",
        "but not the role's own",
        "but the role's own of its buckets only",
        "but the role's own of its account only",
        "and the role's own by name",
    ],
)
async def test_output_into_another_account(world: World, role, theirs, code: str | None) -> None:
    """Both sides must allow it: the policy of the other's bucket and those of the role."""
    other = await _other_account(world, *theirs)
    if role is not None:
        await role_may(world.database, *role)
    job = await world.submit(output_bucket=THEIRS)
    await world.run(job)
    assert (await world.job(job)).code == (code or "Success")
    assert world.media.calls == (code is None)
    assert (await world.objects.find(other, "out.wav") is None) == (code is not None)


async def test_output_into_another_account_counts_there(world: World) -> None:
    """The result is the other bucket's: its quota bounds it, and its owner has it."""
    other = await _other_account(world, _about(CI_OF_MINE))
    async with world.database.transaction() as tx:
        await tx.buckets.limit(THEIRS, Quota(bytes=4, objects=None))
    job = await world.submit(output_bucket=THEIRS)
    await world.run(job)
    assert (await world.job(job)).code == "QuotaExceeded"
    async with world.database.transaction() as tx:
        await tx.buckets.limit(THEIRS, Quota(bytes=5, objects=None))
    job = await world.submit(output_bucket=THEIRS)
    await world.run(job)
    assert (await world.job(job)).code == "Success"
    async with world.database.transaction() as tx:
        assert (await tx.usages.of(THEIRS)).bytes == 5
    assert (await world.objects.head(other, "out.wav")).job_id == job.job_id


async def test_whether_another_accounts_bucket_exists_is_not_told(world: World) -> None:
    """One that is not there, one in another region, and one that refuses for whatever reason, look the same."""
    told = set()
    for statements, region in (
        (None, REGION),
        ([], REGION),
        ([_about("*", "deny")], REGION),
        ([_about(CI_OF_MINE)], "ap-beijing"),
    ):
        if statements is not None:
            async with world.database.transaction() as tx:
                there = await tx.buckets.get(THEIRS)
            if there is None:
                await _other_account(world)
            async with world.database.transaction() as tx:
                await tx.policies.put_bucket_policy(THEIRS, document(*statements) if statements else None)
        job = await world.submit(output_bucket=THEIRS, region=region)
        await world.run(job)
        ended = await world.job(job)
        told.add((ended.code, ended.message.replace(region, "R")))
    ((code, message),) = told
    assert code == "WriteTargetBucketDenied"
    assert all(hint in message for hint in ("cos:PutObject", CI_ROLE, "100000000001", THEIRS)), message


async def _told(world: World) -> list[tuple[str, str, str | None, bool, str]]:
    """What the audit log tells of jobs."""
    async with world.database.transaction() as tx:
        entries = [it.entry for it in await tx.audit.search(AuditSearch(caller=f"roleName/{CI_ROLE}"))]
    assert {(it.appid, it.source, it.secret_id) for it in entries} <= {(ACCOUNT.appid, CI_SERVICE, None)}
    return [(it.action, it.resource, it.owner, it.allowed, it.code) for it in entries]


async def test_what_a_job_was_not_let_is_audited(world: World) -> None:
    """Each refusal is told once, when the job has ended; what it may do at home is told by its submission."""
    await world.run(await world.submit())
    assert await _told(world) == []
    await role_may(world.database, READ)
    await world.run(await world.submit())
    written = ("cos:PutObject", f"qcs::cos:{REGION}:uid/1250000000:b-1250000000/out.wav", "1250000000")
    assert await _told(world) == [(*written, False, "WriteTargetBucketDenied")]
    await role_may(world.database)
    await world.run(await world.submit())
    read = ("cos:GetObject", f"qcs::cos:{REGION}:uid/1250000000:b-1250000000/in.wav", "1250000000")
    assert (await _told(world))[0] == (*read, False, "ResourceAccessDenied")


async def test_what_a_job_writes_elsewhere_is_audited(world: World) -> None:
    """The owner of another account's bucket sees what came into it, and what was kept out."""
    await _other_account(world, _about(CI_OF_MINE))
    await world.run(await world.submit(output_bucket=THEIRS))
    written = ("cos:PutObject", f"qcs::cos:{REGION}:uid/7:{THEIRS}/out.wav", "7")
    assert await _told(world) == [(*written, True, "")]
    async with world.database.transaction() as tx:
        await tx.policies.put_bucket_policy(THEIRS, None)
    await world.run(await world.submit(output_bucket=THEIRS))
    assert (await _told(world))[0] == (*written, False, "WriteTargetBucketDenied")


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ({"ip_equal": {"qcs:ip": "0.0.0.0/0"}}, "WriteTargetBucketDenied"),
        ({"string_equal": {"qcs:uin": "100000000001"}}, "WriteTargetBucketDenied"),
        ({"string_equal": {"qcs:owner_uin": "100000000001"}}, "Success"),
        ({"string_equal": {"cos:region": REGION}}, "Success"),
        ({"date_greater_than": {"qcs:current_time": "2026-01-01T00:00:00Z"}}, "Success"),
        ({"date_less_than": {"qcs:current_time": "2026-01-01T00:00:00Z"}}, "WriteTargetBucketDenied"),
        ({"ip_equal_if_exist": {"qcs:ip": "10.0.0.0/8"}}, "Success"),
    ],
    ids=["address", "user", "account", "region", "later", "earlier", "address, if any"],
)
async def test_what_is_known_of_a_job(world: World, condition: dict[str, object], code: str) -> None:
    """Time, region and account are; an address and a user it has not, so conditions on these do not hold."""
    await role_may(world.database, READ, allow("cos:PutObject", condition=condition))
    job = await world.submit()
    await world.run(job)
    assert (await world.job(job)).code == code


@pytest.mark.parametrize("lost", ["role", "trust"])
async def test_submit_needs_the_role(world: World, lost: str) -> None:
    """Without a role that CI may take nothing is accepted, and the refusal says what to make."""
    async with world.database.transaction() as tx:
        if lost == "role":
            await tx.policies.remove_role(ACCOUNT.appid, CI_ROLE)
        else:
            role = Role(appid=ACCOUNT.appid, name=CI_ROLE, trust=CI_ROLE_TRUST.replace(CI_SERVICE, "no.qcloud.com"))
            await tx.policies.put_role(role, datetime.now(UTC))
    with pytest.raises(ServiceError) as refusal:
        await world.submit()
    assert (refusal.value.status, refusal.value.code) == (400, "CIRoleNotExist")
    assert all(hint in refusal.value.message for hint in (CI_ROLE, CI_SERVICE, CI_ROLE_POLICY))
    assert await execute(world.database, "SELECT 1 FROM jobs") == []


CALLBACK = JobCallback(url="http://hooks.example/")


async def check_told_once(world: World, job: Job) -> None:
    """The end of the job, whatever it is, was noted for its callback once, at its very time."""
    ended = await world.job(job)
    async with world.database.transaction() as tx:
        told = [logged.delivery for logged in await tx.deliveries.of_job(job.job_id)]
    assert ended.state.terminal
    assert [(delivery.target.url, delivery.created_at) for delivery in told] == [(CALLBACK.url, ended.ended_at)]


@pytest.mark.parametrize(
    "fault", [None, MediaFailedError("ResourceNotSupported", "no audio in it"), RuntimeError("disk on fire")]
)
async def test_every_end_is_told(world: World, fault: Exception | None) -> None:
    """A success, a fault of the input and one of ours that was given up are told once, and nothing before the end."""

    def act(source: BinaryIO, target: BinaryIO) -> None:
        if fault is not None:
            raise fault
        target.write(b"clean")

    world.media.act = act
    job = await world.submit(callback=CALLBACK)
    while not (await world.job(job)).state.terminal:
        async with world.database.transaction() as tx:
            assert await tx.deliveries.of_job(job.job_id) == []
        with suppress(TryAgainError):
            await world.run(job)
    await check_told_once(world, job)


async def test_an_end_that_is_taken_back_is_not_told(world: World) -> None:
    """A success that cannot be written after all is told as the failure that it becomes, and as nothing else."""
    buckets = BucketStore(
        database=world.database, clock=SystemClock(), new_queue_id=new_queue_id, bind_on_create=True, max_buckets=100
    )
    other = await buckets.create("other-1250000000", REGION, ACCOUNT)
    world.media.act = lambda source, target: buckets.remove(other.name)
    job = await world.submit(output_bucket=other.name, callback=CALLBACK)
    await world.run(job)
    assert (await world.job(job)).state is JobState.FAILED
    await check_told_once(world, job)


async def test_a_superseded_attempt_tells_nothing(world: World) -> None:
    """Of two attempts that both reach the end, one is told."""
    entered, release = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        entered.set()
        await release.wait()

    world.media.act = lambda source, target: slow()
    job = await world.submit(callback=CALLBACK)
    first = asyncio.create_task(world.run(job))
    await entered.wait()
    world.media.act = clean
    await world.run(job)
    release.set()
    await first
    await check_told_once(world, job)


async def test_submit_checks_queue_and_region(world: World) -> None:
    """A queue of another bucket and a wrong region of one's own bucket are refused; nothing is stored."""
    with pytest.raises(ServiceError) as refusal:
        await world.submit(queue_id="p1")
    assert refusal.value.code == "QueueNotFound"
    async with world.database.transaction() as tx:
        queue = await tx.queues.held(world.bucket.name, None)
    assert queue is not None
    assert (await world.submit(queue_id=queue.queue_id)).queue_id == queue.queue_id


@dataclass(frozen=True)
class ShiftedClock:
    """A clock that is ahead."""

    by: timedelta

    def now(self) -> datetime:
        """The time it shows."""
        return datetime.now(UTC) + self.by


async def test_sweep(world: World) -> None:
    """The bytes of a replaced object stay for its readers a while, then go; those of the new one stay."""
    replaced = await world.objects.head(world.bucket, "in.wav")
    await world.put("in.wav", b"newer")
    current = await world.objects.head(world.bucket, "in.wav")
    early = Sweep(database=world.database, blobs=world.blobs, clock=SystemClock())
    late = Sweep(database=world.database, blobs=world.blobs, clock=ShiftedClock(GRACE + timedelta(minutes=1)))
    assert await early() == 0
    assert await late() == 1
    with pytest.raises(BlobNotFoundError):
        _ = [part async for part in world.blobs.get(replaced.blob_id)]
    assert [part async for part in world.blobs.get(current.blob_id)] == [b"newer"]


@dataclass
class StuckBlobs:
    """A blob store that cannot remove some blobs."""

    blobs: ObstoreBlobs
    stuck: set[str]
    error: type[Exception] = BlobStoreError

    async def remove(self, blob_id: str) -> None:
        """Remove, or fail."""
        if blob_id in self.stuck:
            raise self.error(blob_id)
        await self.blobs.remove(blob_id)


async def test_sweep_passes_over_a_stuck_blob(world: World) -> None:
    """A blob that cannot be removed keeps no other, and goes when it can, after a while."""
    stuck = (await world.objects.head(world.bucket, "in.wav")).blob_id
    for content in (b"second", b"third"):
        await world.put("in.wav", content)
    blobs, shift = StuckBlobs(world.blobs, {stuck}), GRACE + timedelta(minutes=1)
    sweep = Sweep(database=world.database, blobs=blobs, clock=ShiftedClock(shift))
    assert await sweep() == 1
    blobs.stuck.clear()
    assert await sweep() == 0
    assert await replace(sweep, clock=ShiftedClock(2 * shift))() == 1
    with pytest.raises(BlobNotFoundError):
        _ = [part async for part in world.blobs.get(stuck)]


@pytest.mark.parametrize("error", [BlobStoreError, DatabaseUnavailableError, RuntimeError])
async def test_nothing_ends_the_sweep(world: World, error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a removal raises, the sweep goes on, and stops when it is told to."""
    monkeypatch.setattr("sordino.storage.sweep.PAUSE_SECONDS", 0.01)
    stuck = (await world.objects.head(world.bucket, "in.wav")).blob_id
    await world.put("in.wav", b"newer")
    blobs = StuckBlobs(world.blobs, {stuck}, error)
    clock = ShiftedClock(GRACE + timedelta(minutes=1))
    sweeping = asyncio.create_task(Sweep(database=world.database, blobs=blobs, clock=clock).run())
    await asyncio.sleep(0.2)
    assert not sweeping.done()
    sweeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sweeping


async def test_sweep_finds_uploads_whose_writer_died(world: World) -> None:
    """Bytes without a row go after the time an upload may take, not before; those of a stored object never."""
    objects = replace(world.objects, ids=BlobIds())
    orphan = await objects.write_blob(Upload(bucket=world.bucket, key="a"), chunks(b"never stored"))
    kept = await world.objects.head(world.bucket, "in.wav")
    early, late = (
        Sweep(database=world.database, blobs=world.blobs, clock=ShiftedClock(UPLOAD_TIME + by))
        for by in (timedelta(0), AHEAD + GRACE + timedelta(minutes=1))
    )
    assert await early() == 0
    assert [part async for part in world.blobs.get(orphan.blob_id)] == [b"never stored"]
    assert await late() == 1
    with pytest.raises(BlobNotFoundError):
        _ = [part async for part in world.blobs.get(orphan.blob_id)]
    assert [part async for part in world.blobs.get(kept.blob_id)] == [b"noisy"]


async def test_sweep_finds_an_upload_killed_while_it_writes(world: World) -> None:
    """The blob is on the sweep's list before its first byte is taken."""
    noted = []

    async def watched() -> AsyncIterator[bytes]:
        async with world.database.pool.connection() as connection:
            rows = await (await connection.execute("SELECT blob_id FROM unreferenced_blobs")).fetchall()
        noted.extend(row["blob_id"] for row in rows)
        yield b"x"

    stored = await world.objects.put(Upload(bucket=world.bucket, key="a"), watched())
    assert stored.blob_id in noted


async def test_an_upload_that_took_too_long_is_refused(world: World) -> None:
    """An object whose blob is due for the sweep does not appear; the client is told that it was too slow."""
    slow = replace(world.objects, clock=ShiftedClock(-UPLOAD_TIME - AHEAD), ids=BlobIds())
    with pytest.raises(ServiceError) as refusal:
        await slow.put(Upload(bucket=world.bucket, key="a"), chunks(b"late"))
    assert refusal.value.code == "RequestTimeOut"
    with pytest.raises(ServiceError, match="object does not exist"):
        await world.objects.head(world.bucket, "a")
