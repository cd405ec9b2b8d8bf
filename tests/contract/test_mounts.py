"""Mounting buckets, and jobs on them, over both databases and a real S3 server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from hashlib import md5
from pathlib import Path
from typing import BinaryIO

import pytest
from cryptography.fernet import Fernet

from policies import allow
from rows import BUCKET, OPERATOR, PLAIN_MEDIA_INFO, ROOT, changes, execute, role_may
from seaweed import S3Server
from sordino.adapters.blobs import ObstoreBlobs
from sordino.adapters.clock import SystemClock
from sordino.adapters.mounted import OpenMounts, try_mount
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.adapters.vault import FernetVault
from sordino.domain.bucket import Bucket
from sordino.domain.job import Job, JobRequest, JobState, NoiseReduction, OperationRequest, Output
from sordino.domain.mount import Mount
from sordino.domain.ports import BlobStoreError, MediaResult, VaultError
from sordino.errors import ServiceError
from sordino.jobs.operate import OperateJobs
from sordino.jobs.pipeline import Limits, Pipeline, TryAgainError
from sordino.jobs.submit import Submit
from sordino.storage.buckets import BucketStore
from sordino.storage.mounts import MountStore
from sordino.storage.objects import ObjectStore, Upload
from sordino.wire.ids import new_job_id, new_queue_id

REGION = "ap-guangzhou"
CLOCK = SystemClock()


async def stream(content: bytes) -> AsyncIterator[bytes]:
    """One chunk."""
    yield content


@dataclass
class Media:
    """A sound path that does what a test needs."""

    act: Callable[[], object] = lambda: None

    async def denoise(
        self, source: BinaryIO, target: BinaryIO, order: NoiseReduction, on_progress: Callable[[int], None]
    ) -> MediaResult:
        """Act, then make the same as ever."""
        done = self.act()
        if asyncio.iscoroutine(done):
            await done
        source.seek(0)
        target.write(b"clean " + source.read())
        return MediaResult(info=PLAIN_MEDIA_INFO)


@dataclass
class World:
    """The use cases of one machine."""

    database: PostgresDatabase
    server: S3Server
    there: str
    cases: MountStore
    mounts: OpenMounts
    objects: ObjectStore
    media: Media

    async def mount(self, name: str = BUCKET, **changes: str) -> Mount:
        """Mount a bucket."""
        wanted = {
            "url": f"s3://{self.there}",
            "endpoint": self.server.endpoint,
            "region": None,
            "access_key_id": self.server.access_key_id,
            "secret": self.server.secret,
        } | changes
        return await self.cases.mount(OPERATOR, name, wanted.pop("url"), **wanted)

    async def bucket(self, name: str = BUCKET) -> Bucket:
        """The bucket as it is now."""
        found = await self.cases.buckets.find(name)
        assert found is not None
        return found

    async def content(self, key: str, bucket: Bucket | None = None) -> bytes:
        """The bytes of an object."""
        bucket = bucket or await self.bucket()
        stored = await self.objects.head(bucket, key)
        return b"".join([chunk async for chunk in self.objects.read(bucket, stored, 0, stored.size)])

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline of a worker."""
        limits = Limits(max_input_bytes=100, attempts=3, retry_seconds=2, store_seconds=60.0)
        return Pipeline(database=self.database, objects=self.objects, media=self.media, clock=CLOCK, limits=limits)

    async def submit(self, target: str = BUCKET) -> Job:
        """Write the input, submit a job on it, and release it."""
        bucket = await self.bucket()
        await self.objects.put(Upload(bucket=bucket, key="in.wav"), stream(b"noisy"))
        output = Output(region=REGION, bucket=target, object="out.wav")
        request = JobRequest(
            input_object="in.wav", operations=(OperationRequest(noise_reduction=NoiseReduction(), output=output),)
        )
        submit = Submit(database=self.database, clock=CLOCK, new_job_id=new_job_id, max_size=100, poke=lambda: None)
        (job,) = await submit(bucket, request)
        return await self.release(job)

    async def release(self, job: Job) -> Job:
        """Hand a job to the workers."""
        async with self.database.transaction() as tx:
            (released,) = await tx.releases.release({job.queue_id: 1})
        return replace(job, release=released.release)

    async def job(self, job: Job) -> Job:
        """The job as it is now."""
        async with self.database.reading() as tx:
            (found,) = await tx.jobs.find(job.bucket, [job.job_id])
        return found


@pytest.fixture
async def world(
    empty_database: PostgresDatabase, s3_server: S3Server, s3_bucket: str, tmp_path: Path
) -> AsyncIterator[World]:
    """A machine with an account, and no buckets."""
    database, vault = empty_database, FernetVault(data=tmp_path)
    async with database.transaction() as tx:
        await tx.identities.add_root(ROOT)
    buckets = BucketStore(
        database=database, clock=CLOCK, new_queue_id=new_queue_id, bind_on_create=True, max_buckets=100
    )
    async with aclosing(OpenMounts(database=database, vault=vault)) as mounts:
        blobs = ObstoreBlobs((tmp_path / "blobs").as_uri())
        yield World(
            database=database,
            server=s3_server,
            there=s3_bucket,
            cases=MountStore(
                database=database, clock=CLOCK, vault=vault, buckets=buckets, region=REGION, try_mount=try_mount
            ),
            mounts=mounts,
            objects=ObjectStore(database=database, blobs=blobs, clock=CLOCK, mounts=mounts),
            media=Media(),
        )


async def _refused(doing: object, code: str, hint: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        await doing
    assert refusal.value.code == code
    assert hint in refusal.value.message


async def test_a_mount_comes_back_equal(world: World) -> None:
    """What is known of a mount is listed; its secret is in no column of the database."""
    made = await world.mount(url=f"s3://{world.there}/a/b/")
    assert await world.cases.list() == [made]
    (row,) = await execute(world.database, "SELECT mounts::text FROM mounts")
    assert world.server.secret not in str(row)
    assert world.server.secret not in repr(made)
    bucket = await world.bucket()
    assert (bucket.mounted, bucket.region, bucket.appid) == (True, REGION, ROOT.account.appid)


async def test_a_bucket_is_mounted_anew(world: World) -> None:
    """Another key, or another place, holds from the next call on, in processes that have it open already."""
    await world.mount(access_key_id=world.server.reader_key_id)
    bucket = await world.bucket()
    await _refused(world.objects.put(Upload(bucket=bucket, key="a"), stream(b"x")), "AccessDenied", "operator")
    await world.mount()
    await world.objects.put(Upload(bucket=bucket, key="a"), stream(b"x"))
    assert await world.content("a") == b"x"
    await world.mount(url=f"s3://{world.there}/elsewhere")
    await _refused(world.objects.head(bucket, "a"), "NoSuchKey", "")


async def test_a_bucket_of_ones_own_is_not_mounted(world: World) -> None:
    """Its objects would be hidden."""
    await world.cases.buckets.create(BUCKET, REGION, ROOT.account)
    await _refused(world.mount(), "BucketAlreadyOwnedByYou", "another name")
    assert not (await world.bucket()).mounted
    await _refused(world.cases.unmount(OPERATOR, BUCKET), "InvalidArgument", "not mounted")


async def test_unmounting(world: World) -> None:
    """It leaves the objects where they are, and goes when no job is at them."""
    await world.mount()
    job = await world.submit()
    await _refused(world.cases.unmount(OPERATOR, BUCKET), "BucketNotEmpty", "jobs")
    await world.pipeline.run(job.job_id, job.release)
    bucket = await world.bucket()
    await world.cases.unmount(OPERATOR, BUCKET)
    assert await world.cases.list() == []
    await _refused(world.objects.head(bucket, "in.wav"), "NoSuchBucket", "")
    await _refused(world.cases.unmount(OPERATOR, BUCKET), "NoSuchBucket", BUCKET)
    await world.mount()
    assert await world.content("in.wav") == b"noisy"


async def test_it_is_not_deleted_as_other_buckets_are(world: World) -> None:
    """Even when nothing is in it."""
    await world.mount()
    await _refused(world.cases.buckets.remove(BUCKET), "AccessDenied", "unmount")


async def test_another_machine(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Without the key it can neither read nor add secrets, and says what it needs; with the key it can."""
    await world.mount()
    bare = FernetVault(data=tmp_path_factory.mktemp("other"))
    other = replace(world.cases, vault=bare)
    with pytest.raises(VaultError, match=r"secrets\.key"):
        await other.mount(
            OPERATOR,
            "more-1250000000",
            f"s3://{world.there}",
            endpoint=world.server.endpoint,
            region=None,
            access_key_id=world.server.access_key_id,
            secret=world.server.secret,
        )
    async with aclosing(OpenMounts(database=world.database, vault=bare)) as mounts:
        with pytest.raises(BlobStoreError, match=r"secrets\.key"):
            await mounts.open(await world.bucket())
    wrong = FernetVault(data=bare.data, keys=(Fernet.generate_key().decode(),))
    with pytest.raises(VaultError, match="SORDINO_SECRETS_KEY"):
        await replace(world.cases, vault=wrong)._check_vault()
    (bare.data / "secrets.key").write_text((world.cases.vault.data / "secrets.key").read_text())
    async with aclosing(OpenMounts(database=world.database, vault=bare)) as mounts:
        await mounts.open(await world.bucket())


async def test_a_job(world: World) -> None:
    """Input and output lie in the mounted bucket; the job says the MD5 of what it made."""
    await world.mount()
    job = await world.submit()
    await world.pipeline.run(job.job_id, job.release)
    ended = await world.job(job)
    assert (ended.state, ended.media_info.md5) == (JobState.SUCCESS, md5(b"clean noisy").hexdigest())
    assert await world.content("out.wav") == b"clean noisy"
    assert await execute(world.database, "SELECT 1 FROM objects") == []
    assert await execute(world.database, "SELECT 1 FROM unreferenced_blobs") == []


@pytest.mark.parametrize("mounted_is", ["source", "target"])
async def test_a_job_from_one_kind_of_bucket_to_the_other(world: World, mounted_is: str) -> None:
    """A job may read from a mounted bucket and write to one of our own, and the other way round."""
    mounted, own = (BUCKET, "other-1250000000") if mounted_is == "source" else ("other-1250000000", BUCKET)
    await world.mount(mounted)
    await world.cases.buckets.create(own, REGION, ROOT.account)
    job = await world.submit("other-1250000000")
    await world.pipeline.run(job.job_id, job.release)
    assert (await world.job(job)).state is JobState.SUCCESS
    assert await world.content("out.wav", await world.bucket("other-1250000000")) == b"clean noisy"


async def test_a_job_whose_input_is_missing(world: World) -> None:
    """It ends as in any bucket."""
    await world.mount()
    job = await world.submit()
    await world.objects.remove(await world.bucket(), "in.wav")
    await world.pipeline.run(job.job_id, job.release)
    ended = await world.job(job)
    assert (ended.state, ended.code) == (JobState.FAILED, "ResourceNotFound")


async def test_a_job_that_was_stopped_writes_nothing(world: World) -> None:
    """An attempt that has lost its job before it writes the output leaves the other store as it was."""
    await world.mount()
    job = await world.submit()
    operate = OperateJobs(changes(world.database))
    world.media.act = lambda: operate.stop(OPERATOR, job.job_id)
    await world.pipeline.run(job.job_id, job.release)
    assert (await world.job(job)).state is JobState.CANCEL
    await _refused(world.objects.head(await world.bucket(), "out.wav"), "NoSuchKey", "")


@pytest.mark.parametrize("moment", ["before", "meanwhile"])
async def test_a_job_whose_role_may_not_write(world: World, moment: str) -> None:
    """Policies bound what is written to the other store, as they are when it is."""
    await world.mount()
    lose = partial(role_may, world.database, allow("cos:GetObject"))
    if moment == "before":
        await lose()
    else:
        world.media.act = lose
    job = await world.submit()
    await world.pipeline.run(job.job_id, job.release)
    assert (await world.job(job)).code == "WriteTargetBucketDenied"
    await _refused(world.objects.head(await world.bucket(), "out.wav"), "NoSuchKey", "")


async def test_a_worker_that_dies_between_output_and_end(world: World) -> None:
    """The job is run again and writes the same object: there is one, whole, and the job ends once."""
    await world.mount()
    job = await world.submit()
    async with world.database.transaction() as tx:
        attempt = await tx.jobs.start(job.job_id, job.release, CLOCK.now())
    assert attempt is not None
    bucket = await world.bucket()
    await world.objects.put(Upload(bucket=bucket, key="out.wav"), stream(b"clean noisy"))  # and dies
    before = await world.objects.head(bucket, "out.wav")
    assert (await world.job(job)).state is JobState.RUNNING
    await world.pipeline.run(job.job_id, job.release)
    assert (await world.job(job)).state is JobState.SUCCESS
    page = await world.objects.list(bucket, prefix="", delimiter="", marker="", limit=10)
    assert [stored.key for stored in page.objects] == ["in.wav", "out.wav"]
    assert page.objects[1].etag == before.etag


async def test_a_job_waits_for_the_store(world: World) -> None:
    """While the other store is away the job waits; its key's rights are told as the job's end."""
    await world.mount()
    job = await world.submit()
    place = (await world.cases.list())[0]
    gone = replace(place, location=replace(place.location, endpoint="http://127.0.0.1:9"))
    async with world.database.transaction() as tx:
        await tx.mounts.put(gone)
    with pytest.raises(TryAgainError):
        await world.pipeline.run(job.job_id, job.release)
    await world.mount(access_key_id=world.server.reader_key_id)
    await world.pipeline.run(job.job_id, job.release)
    ended = await world.job(job)
    assert (ended.state, ended.code) == (JobState.FAILED, "AccessDenied")
    assert "operator" in ended.message


async def test_what_is_mounted_anew_leaves_no_connection(world: World) -> None:
    """The client of a mount that is no more is closed, when the requests that it had have ended."""
    await world.mount()
    bucket = await world.bucket()
    await world.objects.put(Upload(bucket=bucket, key="a"), stream(bytes(1 << 22)))
    client = (await world.mounts.open(bucket)).client
    reading = world.objects.read(bucket, await world.objects.head(bucket, "a"), 0, 1 << 22)
    await anext(reading)
    await world.mount()  # its secret is sealed anew
    assert (await world.mounts.open(bucket)).client is not client
    assert client.pool.connections
    assert sum([len(chunk) async for chunk in reading]) > 0
    await world.mounts.open(bucket)
    assert not client.pool.connections
