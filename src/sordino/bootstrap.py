"""The only place that builds adapters from settings."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Protocol, TypeVar

import procrastinate
from starlette.types import ASGIApp

from sordino import denoisers
from sordino.adapters.blobs import ObstoreBlobs
from sordino.adapters.clock import SystemClock
from sordino.adapters.embedded_callback import EmbeddedSender
from sordino.adapters.media import ProcessMedia
from sordino.adapters.mounted import OpenMounts, try_mount
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.adapters.postgres.migrate import migrate
from sordino.adapters.senders import RoutedSender
from sordino.adapters.takeover import Takeover
from sordino.adapters.tasks import MEDIA_QUEUE, EngineTasks, engine, run_job
from sordino.adapters.vault import FernetVault
from sordino.adapters.worker import EngineWorker
from sordino.api.app import Application
from sordino.api.call import Services
from sordino.api.cmq import MessageService
from sordino.api.source import Proxies
from sordino.api.visit import Watch
from sordino.cam.accounts import Accounts, ensure_root
from sordino.cam.administration import Administration
from sordino.cam.audit import Audit, AuditReader, AuditRetention
from sordino.cam.bucket_policies import BucketPolicies
from sordino.cam.keys import Keys
from sordino.cam.limits import Rates, SignIns
from sordino.cam.operator import Changes
from sordino.cam.policies import Policies
from sordino.cam.roles import Roles
from sordino.cam.sessions import EndedSessions, Sessions
from sordino.cam.simulate import Simulate
from sordino.cam.sts import Sts
from sordino.cam.tokens import AdminTokens
from sordino.cam.users import Groups, Users
from sordino.domain.addresses import parse_networks
from sordino.domain.callback_url import Allowed
from sordino.domain.cors import Cors
from sordino.domain.identity import AccessKey
from sordino.domain.mq_driver import AmqpDriver, CmqDriver, EmbeddedDriver, MqDriver, NoDriver
from sordino.domain.ports import Blobs, Sender
from sordino.jobs.callbacks import JobCallbacks
from sordino.jobs.losses import Losses
from sordino.jobs.manage import ManageJobs
from sordino.jobs.notify import Notify
from sordino.jobs.operate import OperateJobs
from sordino.jobs.pipeline import Limits, Pipeline
from sordino.jobs.queues import Queues
from sordino.jobs.release import Releaser
from sordino.jobs.retention import Retention
from sordino.jobs.submit import Submit
from sordino.jobs.templates import Templates
from sordino.messages.arrivals import Arrivals
from sordino.messages.queues import MessageQueues
from sordino.messages.topics import MessageTopics
from sordino.settings import Settings
from sordino.storage.bindings import Bindings
from sordino.storage.buckets import BucketStore
from sordino.storage.copy import Copies
from sordino.storage.leftovers import Leftovers
from sordino.storage.lifecycle import Lifecycle
from sordino.storage.mounts import MountStore
from sordino.storage.objects import ObjectStore
from sordino.storage.operate_buckets import OperateBuckets
from sordino.storage.quota import Folding, Quotas
from sordino.storage.sharing import Sharing
from sordino.storage.stale_uploads import StaleUploads
from sordino.storage.sweep import Sweep
from sordino.storage.uploads import UploadStore
from sordino.wire.callbacks import render_callback
from sordino.wire.ids import (
    new_job_id,
    new_message_queue_id,
    new_queue_id,
    new_subscription_id,
    new_template_id,
    new_topic_id,
    new_upload_id,
)

# One for the job, one for each of takeover, sweep, retention and release, which need one now and then; the others are
# quick, and wait for one.
WORKER_CONNECTIONS = 5
# One for the tasks, one for the heartbeat. What the server forgets of the engine's notes the takeover makes good: so no
# job waits for the disk before it begins.
ENGINE_CONNECTIONS = 2


class NoDatabaseError(Exception):
    """A half of the service was started alone without a database to share."""


@dataclass(frozen=True, slots=True)
class Foundation:
    """What both halves of the service stand on."""

    database: PostgresDatabase
    blobs: Blobs
    app: procrastinate.App
    mounts: OpenMounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker process: jobs one at a time, and the upkeep beside them."""

    engine: EngineWorker
    takeover: Takeover
    sweep: Sweep
    retention: Retention
    lifecycle: Lifecycle
    leftovers: Leftovers
    folding: Folding
    stale_uploads: StaleUploads
    ended_sessions: EndedSessions
    audit_retention: AuditRetention
    releaser: Releaser

    def drain(self) -> None:
        """Begin no job any more; ``run`` returns when the one that runs now has ended."""
        self.engine.drain()

    async def run(self) -> None:
        """Work until drained or cancelled."""
        async with asyncio.TaskGroup() as group:
            upkeep = [
                group.create_task(part.run())
                for part in (
                    self.takeover,
                    self.sweep,
                    self.retention,
                    self.lifecycle,
                    self.leftovers,
                    self.stale_uploads,
                    self.ended_sessions,
                    self.folding,
                    self.audit_retention,
                    self.releaser,
                )
            ]
            await self.engine.run()
            for task in upkeep:
                task.cancel()


def database_url(settings: Settings) -> str:
    """The PostgreSQL server's URL.

    Raises:
        NoDatabaseError: none is set.
    """
    if settings.database_url is None:
        raise NoDatabaseError(
            "Set SORDINO_DATABASE_URL to the PostgreSQL server that API and workers share, "
            "or run `sordino serve`, which brings its own."
        )
    return settings.database_url.get_secret_value()


@asynccontextmanager
async def open_foundation(settings: Settings, connections: int | None = None) -> AsyncIterator[Foundation]:
    """Connect to the database, with at most so many connections, and to the blob store."""
    app = engine()
    database = PostgresDatabase(
        database_url(settings),
        schema=settings.database_schema,
        max_connections=connections or settings.database_connections,
        vault=_vault(settings),
        tasks=lambda connection: EngineTasks(app, connection),
    )
    async with database, aclosing(OpenMounts(database=database, vault=_vault(settings))) as mounts:
        yield Foundation(database, ObstoreBlobs(settings.blobs, fsync=settings.fsync), app, mounts)


async def prepare(settings: Settings, keep: Callable[[AccessKey], None]) -> AccessKey | None:
    """Bring the database to this version's schema and create the root account on an empty one; its key then.

    Raises:
        VaultError: the secrets in the database cannot be read here, or none can be written.
    """
    await migrate(database_url(settings), settings.database_schema)
    async with open_foundation(settings) as foundation:
        async with foundation.database.transaction() as tx:
            await tx.secrets.check()
            sealed = await tx.secrets.seal()
            await tx.secrets.renew()
        if sealed:
            async with foundation.database.statement() as tx:
                await tx.secrets.forget()
        return await ensure_root(foundation.database, keep)


@asynccontextmanager
async def open_mounts(settings: Settings) -> AsyncIterator[MountStore]:
    """The operator's use cases of mounted buckets alone, beside a service that runs.

    Raises:
        NoDatabaseError: its database does not answer, or is another version's.
    """
    async with _open_running(settings) as database:
        yield MountStore(
            database=database,
            clock=SystemClock(),
            vault=_vault(settings),
            buckets=_bucket_store(settings, database),
            region=settings.region,
            try_mount=try_mount,
        )


def _bucket_store(settings: Settings, database: PostgresDatabase) -> BucketStore:
    return BucketStore(
        database=database,
        clock=SystemClock(),
        new_queue_id=new_queue_id,
        bind_on_create=settings.bind_on_create,
        max_buckets=settings.max_buckets,
    )


def _vault(settings: Settings) -> FernetVault:
    return FernetVault(data=settings.data, keys=settings.secrets_keys)


@asynccontextmanager
async def open_queues(settings: Settings) -> AsyncIterator[Queues]:
    """The queue use cases alone, beside a service that runs.

    Raises:
        NoDatabaseError: its database does not answer, or is another version's.
    """
    async with _open_running(settings) as database:
        # Nobody is poked: the service looks by itself.
        yield Queues(
            database=database,
            clock=SystemClock(),
            new_queue_id=new_queue_id,
            max_queues=settings.max_queues,
            poke=lambda: None,
        )


@asynccontextmanager
async def open_administration(settings: Settings) -> AsyncIterator[Administration]:
    """What an operator may do with accounts and who may do what, beside a service that runs.

    Raises:
        NoDatabaseError: its database does not answer, or is another version's.
    """
    async with _open_running(settings) as database:
        yield _administration(database)


def _administration(database: PostgresDatabase) -> Administration:
    changes = Changes(database, SystemClock())
    return Administration(
        accounts=Accounts(changes),
        users=Users(changes),
        groups=Groups(changes),
        keys=Keys(changes),
        policies=Policies(changes),
        bucket_policies=BucketPolicies(changes),
        roles=Roles(changes),
        simulate=Simulate(changes),
        tokens=AdminTokens(changes),
        sessions=Sessions(changes),
        audit=AuditReader(database=database),
    )


@asynccontextmanager
async def open_buckets(settings: Settings) -> AsyncIterator[OperateBuckets]:
    """The operator's use cases of buckets alone, beside a service that runs.

    Raises:
        NoDatabaseError: its database does not answer, or is another version's.
    """
    async with _open_running(settings) as database:
        yield OperateBuckets(Changes(database, SystemClock()))


@asynccontextmanager
async def open_jobs(settings: Settings) -> AsyncIterator[OperateJobs]:
    """The operator's use cases of jobs alone, beside a service that runs.

    Raises:
        NoDatabaseError: its database does not answer, or is another version's.
    """
    async with _open_running(settings) as database:
        yield OperateJobs(Changes(database, SystemClock()))


@asynccontextmanager
async def _open_running(settings: Settings) -> AsyncIterator[PostgresDatabase]:
    """The database of a service that runs.

    Raises:
        NoDatabaseError: its database does not answer, or is another version's.
    """
    database = PostgresDatabase(
        database_url(settings),
        schema=settings.database_schema,
        max_connections=1,
        vault=_vault(settings),
        tasks=lambda connection: EngineTasks(engine(), connection),
    )
    async with database:
        if not await database.ready():
            raise NoDatabaseError(
                "The service's database does not answer, or does not have this version's tables. "
                "Is the service running, and of this version?"
            )
        yield database


@dataclass(frozen=True, slots=True)
class Applications:
    """What answers HTTP.

    Attributes:
        main: on the service's ports.
        admin: on that of the admin API; None: it has none.
    """

    main: Application
    admin: ASGIApp | None


@asynccontextmanager
async def open_application(settings: Settings) -> AsyncIterator[Applications]:
    """The HTTP half."""
    clock = SystemClock()
    async with (
        open_foundation(settings) as base,
        _running(Audit(database=base.database, clock=clock, monotonic=time.monotonic)) as audit,
        _running(_releaser(settings, base.database)) as releaser,
        _open_messages(settings, base.database) as messages,
        _open_sender(settings, base.database, messages) as sender,
        _running(_notify(settings, base.database, sender)) as notify,
    ):
        objects = ObjectStore(database=base.database, blobs=base.blobs, clock=clock, mounts=base.mounts)
        services = Services(
            settings=settings,
            models=denoisers.names(),
            database=base.database,
            clock=clock,
            buckets=_bucket_store(settings, base.database),
            objects=objects,
            copies=Copies(database=base.database, blobs=base.blobs, clock=clock, objects=objects),
            sharing=Sharing(database=base.database, default_cors=Cors.of_origins(settings.cors_origins)),
            uploads=UploadStore(
                database=base.database,
                blobs=base.blobs,
                clock=clock,
                new_upload_id=new_upload_id,
                max_bytes=settings.max_multipart_bytes,
                max_uploads=settings.max_uploads,
                mounts=base.mounts,
            ),
            quotas=Quotas(database=base.database),
            submit=Submit(
                database=base.database,
                clock=clock,
                new_job_id=new_job_id,
                max_size=settings.queue_max_size,
                poke=releaser.poke,
                allowance=settings.allowance,
            ),
            jobs=ManageJobs(database=base.database, clock=clock, poke=releaser.poke),
            queues=Queues(
                database=base.database,
                clock=clock,
                new_queue_id=new_queue_id,
                max_queues=settings.max_queues,
                poke=releaser.poke,
            ),
            templates=Templates(
                database=base.database,
                clock=clock,
                new_template_id=new_template_id,
                max_templates=settings.max_templates,
            ),
            bindings=Bindings(database=base.database, clock=clock, new_queue_id=new_queue_id),
            callbacks=JobCallbacks(
                database=base.database,
                clock=clock,
                allowed=Allowed.parse(settings.callback_allow),
                mq_regions=_mq_regions(settings),
                poke=notify.poke,
            ),
            messages=messages,
            bucket_policies=BucketPolicies(Changes(base.database, clock)),
            sts=Sts(database=base.database, clock=clock, most=settings.max_temporary_keys),
            watch=_watch(settings, audit),
        )
        yield Applications(Application(services), _admin(settings, base.database, services))


def _admin(settings: Settings, database: PostgresDatabase, services: Services) -> ASGIApp | None:
    if settings.admin_port is None:
        return None
    # Half a second and ten megabytes, for those alone who want it.
    from sordino.api.admin.app import AdminApplication  # noqa: PLC0415
    from sordino.api.admin.call import Cases, Defaults  # noqa: PLC0415

    changes = Changes(database, services.clock)
    return AdminApplication(
        Cases(
            administration=_administration(database),
            buckets=OperateBuckets(changes),
            queues=services.queues,
            jobs=OperateJobs(changes),
            defaults=Defaults(
                results_days=settings.results_days,
                queue_max_size=settings.queue_max_size,
                queue_max_concurrent=settings.queue_max_concurrent,
            ),
            clock=services.clock,
            watch=services.watch,
        )
    )


def _watch(settings: Settings, audit: Audit) -> Watch:
    return Watch(
        audit=audit,
        sign_ins=SignIns(settings.failed_sign_ins, time.monotonic),
        rates=Rates(settings.requests_per_second, time.monotonic),
        proxies=Proxies(parse_networks(settings.trusted_proxies)),
    )


def _mq_regions(settings: Settings) -> tuple[str, ...]:
    """The regions that have a message queue."""
    return tuple(region for region, driver in settings.mq_drivers.items() if driver != NoDriver())


@asynccontextmanager
async def _open_messages(settings: Settings, database: PostgresDatabase) -> AsyncIterator[MessageService | None]:
    """Message queues of our own, and the loop that looks for messages; None when no region has one."""
    if EmbeddedDriver() not in settings.mq_drivers.values():
        yield None
        return
    clock = SystemClock()
    arrivals = Arrivals(database=database, clock=clock)
    queues = MessageQueues(database=database, clock=clock, new_id=new_message_queue_id, arrivals=arrivals)
    topics = MessageTopics(
        database=database,
        clock=clock,
        new_id=new_topic_id,
        new_subscription_id=new_subscription_id,
        queues=queues,
    )
    async with _running(arrivals):
        yield MessageService(queues=queues, topics=topics, region=settings.region)


@asynccontextmanager
async def _open_sender(
    settings: Settings, database: PostgresDatabase, messages: MessageService | None
) -> AsyncIterator[Sender]:
    """The ways to URLs and to the message queue of each region; regions of one and the same share theirs."""
    from sordino.adapters.http_callback import HttpSender  # noqa: PLC0415 - workers send none

    seconds = settings.callback_timeout_seconds
    async with AsyncExitStack() as stack:
        made: dict[MqDriver, Sender] = {}
        for driver in settings.mq_drivers.values():
            if driver not in made and (sender := _mq_sender(driver, seconds, database, messages)) is not None:
                made[driver] = await stack.enter_async_context(sender)
        yield RoutedSender(
            urls=HttpSender(timeout=seconds, allowed=Allowed.parse(settings.callback_allow)),
            regions={region: made[driver] for region, driver in settings.mq_drivers.items() if driver in made},
        )


def _mq_sender(
    driver: MqDriver, seconds: float, database: PostgresDatabase, messages: MessageService | None
) -> AbstractAsyncContextManager[Sender] | None:
    """The way to a message queue; None where there is none."""
    match driver:
        case AmqpDriver(url=url):
            from sordino.adapters.amqp_callback import AmqpSender  # noqa: PLC0415 - a quarter of a second

            return aclosing(AmqpSender(url, seconds))
        case CmqDriver():
            from sordino.adapters.cmq_callback import CmqSender  # noqa: PLC0415 - as above

            return aclosing(CmqSender(driver, seconds))
        case EmbeddedDriver() if messages is not None:
            return nullcontext(EmbeddedSender(database=database, queues=messages.queues, topics=messages.topics))
        case _:
            return None


def _notify(settings: Settings, database: PostgresDatabase, sender: Sender) -> Notify:
    secret = settings.callback_secret.get_secret_value() if settings.callback_secret else None
    return Notify(
        database=database,
        clock=SystemClock(),
        sender=sender,
        render=partial(render_callback, secret=secret),
        timeout=settings.callback_timeout_seconds,
        retry_for=timedelta(seconds=settings.callback_retry_seconds),
    )


class _Loop(Protocol):
    async def run(self) -> None: ...


_L = TypeVar("_L", bound=_Loop)


@asynccontextmanager
async def _running(loop: _L) -> AsyncIterator[_L]:
    """Run it beside the block; what it does at its end is waited for."""
    task = asyncio.create_task(loop.run())
    try:
        yield loop
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def open_worker(settings: Settings) -> AsyncIterator[Worker]:
    """The working half."""
    clock = SystemClock()
    media = ProcessMedia(
        denoiser=settings.denoiser,
        max_seconds=settings.max_input_seconds,
        memory_bytes=settings.media_memory_bytes,
        cpu_seconds=settings.media_cpu_seconds,
        wall_seconds=settings.job_wall_seconds,
    )
    media.warm()
    async with (
        open_foundation(settings, min(settings.database_connections, WORKER_CONNECTIONS)) as base,
        base.database.lazy_pool(ENGINE_CONNECTIONS) as pool,
        base.app.open_async(pool),
    ):
        pipeline = Pipeline(
            database=base.database,
            objects=ObjectStore(database=base.database, blobs=base.blobs, clock=clock, mounts=base.mounts),
            media=media,
            clock=clock,
            limits=Limits(
                max_input_bytes=settings.max_input_bytes,
                attempts=settings.job_attempts,
                retry_seconds=settings.job_retry_seconds,
                store_seconds=settings.job_wall_seconds,
            ),
        )
        releaser = _releaser(settings, base.database)
        yield Worker(
            engine=EngineWorker(
                app=base.app,
                clock=clock,
                queue=MEDIA_QUEUE,
                act=partial(run_job, pipeline.run),
                heartbeat=settings.heartbeat_seconds,
                silence=settings.stalled_seconds,
                free=releaser.poke,
                back=pipeline.settle,
                slot=True,
            ),
            takeover=Takeover(
                app=base.app,
                database=base.database,
                clock=clock,
                losses=Losses(clock=clock, limit=settings.job_worker_deaths),
                silence=settings.stalled_seconds,
                poke=releaser.poke,
            ),
            sweep=Sweep(database=base.database, blobs=base.blobs, clock=clock),
            lifecycle=Lifecycle(database=base.database, clock=clock, default_days=settings.results_days),
            leftovers=Leftovers(blobs=base.blobs, clock=clock),
            stale_uploads=StaleUploads(
                database=base.database,
                clock=clock,
                keep=timedelta(days=settings.upload_days) if settings.upload_days else None,
            ),
            ended_sessions=EndedSessions(database=base.database, clock=clock),
            folding=Folding(database=base.database),
            audit_retention=AuditRetention(
                database=base.database,
                clock=clock,
                keep=timedelta(days=settings.audit_days) if settings.audit_days else None,
            ),
            retention=Retention(
                database=base.database,
                clock=clock,
                keep=timedelta(days=settings.retention_days) if settings.retention_days else None,
            ),
            releaser=releaser,
        )


def _releaser(settings: Settings, database: PostgresDatabase) -> Releaser:
    return Releaser(
        database=database,
        silence=settings.stalled_seconds,
        max_concurrent=settings.queue_max_concurrent,
    )
