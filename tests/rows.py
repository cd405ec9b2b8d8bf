"""Rows as the tests of the database want them, and ways to look at what a repository does not show."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from cryptography.fernet import Fernet
from psycopg.pq import ExecStatus

from policies import Statement, document
from sordino.adapters.clock import SystemClock
from sordino.adapters.postgres.database import PostgresDatabase, PostgresTransaction
from sordino.adapters.vault import FernetVault
from sordino.cam.operator import Changes, Operator
from sordino.domain.bucket import Bucket, StoredObject
from sordino.domain.callback import CallbackTarget
from sordino.domain.identity import (
    CI_ROLE,
    AccessKey,
    Account,
    Caller,
    CallerKind,
    Policy,
    Signer,
    Target,
    TargetKind,
)
from sordino.domain.job import (
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
from sordino.domain.ports import ReleasedJob
from sordino.domain.queue import Queue, QueueSettings
from sordino.domain.service import ServiceKind
from sordino.domain.template import Template

NOW = datetime(2026, 1, 5, 10, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(seconds=5)
ROOT = AccessKey(secret_id="AKIDroot", secret_key="secret", account=Account(appid="1250000000", uin="100000000001"))
ROOT_SIGNER = Signer(
    secret_id=ROOT.secret_id,
    secret_key=ROOT.secret_key,
    caller=Caller(account=ROOT.account, kind=CallerKind.ROOT, name=ROOT.account.uin),
)
OPERATOR = Operator(name="tester", source="local", request_id="r1")
VAULT = FernetVault(data=Path("nowhere"), keys=(Fernet.generate_key().decode(),))
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
RICH_ORDER = NoiseReduction(
    format=AudioFormat.M4A,
    sample_rate=44100,
    spelling=RateSpelling.TEMPLATE,
    model="best",
    strength=0,
    channels=Channels.KEEP,
    loudness=Decimal("-20.50"),
    video=True,
)
DONE = Outcome(state=JobState.SUCCESS, media_info=MEDIA_INFO)


def bucket(name: str = BUCKET) -> Bucket:
    """A bucket of the account that its name ends with."""
    return Bucket(name=name, region="ap-guangzhou", appid=name.rpartition("-")[2], created_at=NOW)


def queue(queue_id: str = QUEUE_ID, **changes: object) -> Queue:
    """A default queue as it is made with its bucket."""
    plain = Queue(
        queue_id=queue_id, bucket=BUCKET, settings=QueueSettings(name="queue-speech"), created_at=NOW, updated_at=LATER
    )
    return replace(plain, **changes)


def template(template_id: str = "t1", **changes: object) -> Template:
    """A template of its defaults, named after its id."""
    plain = Template(
        template_id=template_id,
        bucket=BUCKET,
        name=template_id,
        noise_reduction=NoiseReduction(),
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(plain, **changes)


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


async def add_bucket(tx: PostgresTransaction, name: str = BUCKET, queue_id: str = QUEUE_ID) -> None:
    """Create a bucket with an open speech service and its default queue."""
    assert await tx.buckets.add(bucket(name))
    assert await tx.bindings.open(name, ServiceKind.SPEECH, NOW, automatic=True)
    await tx.queues.add(queue(queue_id, bucket=name))


async def put_object(tx: PostgresTransaction, it: StoredObject) -> None:
    """Store an object whose blob was announced."""
    await tx.objects.expect_blob(it.blob_id, datetime.now(UTC) + timedelta(days=1))
    await tx.objects.put(it)


async def put(database: PostgresDatabase, *keys: str) -> None:
    """Store objects in a transaction of their own."""
    async with database.transaction() as tx:
        for key in keys:
            await put_object(tx, stored(key))


def changes(database: PostgresDatabase) -> Changes:
    """What an operator changes a database with."""
    return Changes(database, SystemClock())


async def deliveries_of_others(
    database: PostgresDatabase, appid: str, count: int, *, url: str | None = None, at: datetime = NOW
) -> None:
    """Have the end of a job of another account told to so many hosts, or as often to ``url``; it is made if missing."""
    name = f"other-{appid}"
    await execute(database, "INSERT INTO accounts (appid, uin) VALUES (%s, %s) ON CONFLICT DO NOTHING", appid, appid)
    async with database.transaction() as tx:
        if await tx.buckets.add(bucket(name)):
            await tx.jobs.add(job(name, bucket=name, state=JobState.FAILED, ended_at=NOW, code="ResourceNotFound"))
        for number in range(count):
            target = CallbackTarget(url=url or f"http://host{number}.of{appid}.example/")
            await tx.deliveries.add(name, target, at)


async def role_may(database: PostgresDatabase, *statements: Statement) -> None:
    """Let the role of jobs in the account ``ROOT`` do what these statements say, and nothing else."""
    appid, role = ROOT.account.appid, Target(TargetKind.ROLE, CI_ROLE)
    async with database.transaction() as tx:
        for name in await tx.policies.attached(appid, role):
            await tx.policies.detach(appid, name, role)
        if statements:
            await tx.policies.put(Policy(appid=appid, name="role", document=document(*statements), changed_at=NOW))
            await tx.policies.attach(appid, "role", role)


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
        (it,) = await release(tx)
        running = await tx.jobs.start(job_id, it.release, NOW)
    assert running is not None
    return running


async def release(tx: PostgresTransaction, queue_id: str = QUEUE_ID) -> Sequence[ReleasedJob]:
    """Hand every waiting job of a queue to the engine, as its rows tell it."""
    return await tx.releases.release({queue_id: 1000})


async def execute(database: PostgresDatabase, statement: str, *parameters: object) -> list[dict[str, object]]:
    """Run SQL that no repository offers, in a transaction of its own."""
    async with database.pool.connection() as connection:
        cursor = await connection.execute(statement, parameters)
        # Not by its description: rows without columns have none.
        return await cursor.fetchall() if cursor.pgresult.status == ExecStatus.TUPLES_OK else []


async def waiting_for_a_lock(database: PostgresDatabase) -> None:
    """Return once some session of this database waits for a lock."""
    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while not await execute(database, query):
        await asyncio.sleep(0.01)
