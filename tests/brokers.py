"""Message queues for tests: RabbitMQ beside us, and our own CMQ API over a database of its own."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from rows import ROOT, VAULT
from server import REGION
from sordino.adapters.clock import SystemClock
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.adapters.postgres.migrate import migrate
from sordino.adapters.tasks import EngineTasks, engine
from sordino.api import cmq
from sordino.api.cmq import MessageService
from sordino.api.server import Server
from sordino.api.source import Proxies
from sordino.api.visit import Watch
from sordino.cam.audit import Audit
from sordino.cam.limits import Rates, SignIns
from sordino.domain.callback import CallbackFormat, CallbackTarget, MqMode, MqTarget
from sordino.domain.delivery import Callback
from sordino.messages.arrivals import Arrivals
from sordino.messages.queues import MessageQueues
from sordino.messages.topics import MessageTopics
from sordino.wire.address import resolve
from sordino.wire.ids import new_message_queue_id, new_subscription_id, new_topic_id
from support import new_name

ACCOUNT = ROOT.account.appid
BODY = "<Response>你好 & @&lt;</Response>".encode()
AMQP = os.environ.get("SORDINO_TEST_AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")


def callback(target: CallbackTarget, body: bytes = BODY, delivery: str = "d1") -> Callback:
    """A callback of a job that succeeded."""
    return Callback(
        target=target,
        delivery_id=delivery,
        job_id="j1",
        state="Success",
        account=ACCOUNT,
        headers=(("Content-Type", "application/xml"), ("x-sordino-delivery", delivery)),
        body=body,
    )


def mq_target(name: str) -> CallbackTarget:
    """A queue of a region."""
    return CallbackTarget(mq=MqTarget(region="sh", mode=MqMode.QUEUE, name=name), format=CallbackFormat.JSON)


@dataclass
class Rabbit:
    """A channel of a consumer, who makes and deletes what the tests name."""

    channel: AbstractChannel
    queues: list[str] = field(default_factory=list)
    exchanges: list[str] = field(default_factory=list)

    def name(self, *, topic: bool = False) -> str:
        """A name nobody else uses; what has it is deleted in the end."""
        name = new_name("sordino-test")
        (self.exchanges if topic else self.queues).append(name)
        return name

    async def read(self, queue: str) -> list[aio_pika.abc.AbstractIncomingMessage]:
        """All messages of a queue, taken."""
        messages = []
        while (message := await (await self.channel.get_queue(queue)).get(no_ack=True, fail=False)) is not None:
            messages.append(message)
        return messages

    async def clear(self) -> None:
        """Delete all that was named."""
        for name in self.queues:
            await self.channel.queue_delete(name)
        for name in self.exchanges:
            await self.channel.exchange_delete(name)


@asynccontextmanager
async def rabbit() -> AsyncIterator[Rabbit]:
    """A consumer at the broker outside."""
    try:
        connection = await aio_pika.connect(AMQP, timeout=5)
    except (OSError, TimeoutError) as error:
        pytest.skip(f"no RabbitMQ outside (SORDINO_TEST_AMQP_URL): {error}")
    async with connection:
        consumer = Rabbit(await connection.channel())
        yield consumer
        await consumer.clear()


@asynccontextmanager
async def own_database(dsn: str) -> AsyncIterator[PostgresDatabase]:
    """A database without a row but those of the account ``ROOT``."""
    app, schema = engine(), new_name("s")
    await migrate(dsn, schema)
    async with (
        PostgresDatabase(
            dsn, schema=schema, max_connections=4, vault=VAULT, tasks=lambda it: EngineTasks(app, it)
        ) as database,
        app.open_async(database.pool),
    ):
        async with database.transaction() as tx:
            assert await tx.identities.add_root(ROOT)
        yield database


@asynccontextmanager
async def message_service(database: PostgresDatabase) -> AsyncIterator[MessageService]:
    """The use cases of messages, with the loop that looks for them."""
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
    loop = asyncio.create_task(arrivals.run())
    try:
        yield MessageService(queues=queues, topics=topics, region=REGION)
    finally:
        loop.cancel()
        await asyncio.wait([loop])


@asynccontextmanager
async def cmq_server(database: PostgresDatabase, service: MessageService) -> AsyncIterator[int]:
    """The CMQ API alone, on a port of 127.0.0.1; nobody reads its audit log."""
    clock = SystemClock()
    watch = Watch(
        audit=Audit(database=database, clock=clock, monotonic=time.monotonic),
        sign_ins=SignIns(0, time.monotonic),
        rates=Rates(None, time.monotonic),
        proxies=Proxies(),
    )

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        address = resolve(request.headers["host"], scope["raw_path"], default_bucket=None, ci_on_any_host=True)
        assert cmq.is_call(address, request)
        visit = watch.visit(request, "request-1")
        reply = await cmq.answer(request, address, service, database=database, clock=clock, visit=visit)
        await reply(scope, receive, send)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(application, on_stop=service.queues.arrivals.stop)
        with server.capture_signals():
            running = asyncio.create_task(server._serve([listener]))
            yield int(listener.getsockname()[1])
            server.should_exit = True
            await running
