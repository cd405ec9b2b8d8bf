"""Callbacks to RabbitMQ: what the messages are, and what becomes of queues and exchanges that are there already."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit

import aio_pika
import pytest

from brokers import AMQP, Rabbit, callback, mq_target, rabbit
from hand import Hand
from mended_cable import cable_to
from rows import NOW, job
from sordino.adapters.amqp_callback import AmqpSender
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.domain.callback import CallbackTarget, MqMode
from sordino.domain.delivery import DeliveryState
from sordino.domain.job import JobState
from sordino.domain.ports import CallbackFailedError
from sordino.jobs.notify import Notify
from sordino.wire.callbacks import render_callback


@pytest.fixture
async def consumer() -> AsyncIterator[Rabbit]:
    """A consumer at the broker outside."""
    async with rabbit() as one:
        yield one


@pytest.fixture
async def sender() -> AsyncIterator[AmqpSender]:
    """The way there."""
    async with aclosing(AmqpSender(AMQP, 20.0)) as one:
        yield one


def topic(name: str) -> CallbackTarget:
    """A topic of a region."""
    target = mq_target(name)
    assert target.mq is not None
    return replace(target, mq=replace(target.mq, mode=MqMode.TOPIC))


async def test_message(consumer: Rabbit, sender: AmqpSender) -> None:
    """A message outlives the broker, and tells delivery, job, type and time."""
    name = consumer.name()
    await sender.send(callback(mq_target(name), delivery="d7"))
    (message,) = await consumer.read(name)
    assert (message.message_id, message.content_type, message.app_id) == ("d7", "application/xml", "sordino")
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert message.timestamp is not None
    told = {"x-sordino-delivery": "d7", "x-sordino-job": "j1", "x-sordino-state": "Success"}
    assert told.items() <= dict(message.headers).items()


async def test_missing_queue(consumer: Rabbit, sender: AmqpSender) -> None:
    """A queue that is missing is made as a durable quorum queue, again when it was deleted meanwhile."""
    name = consumer.name()
    for _ in range(2):
        await sender.send(callback(mq_target(name)))
        await consumer.channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
        assert len(await consumer.read(name)) == 1
        await consumer.channel.queue_delete(name)


async def test_missing_topic(consumer: Rabbit, sender: AmqpSender) -> None:
    """A topic that is missing is made as a durable fanout exchange."""
    name = consumer.name(topic=True)
    await sender.send(callback(topic(name)))
    await consumer.channel.declare_exchange(name, aio_pika.ExchangeType.FANOUT, durable=True)


async def test_queue_that_is_there(consumer: Rabbit, sender: AmqpSender) -> None:
    """A queue of another kind is taken as it is."""
    name = consumer.name()
    await consumer.channel.declare_queue(name, durable=False)
    await sender.send(callback(mq_target(name)))
    assert len(await consumer.read(name)) == 1


async def test_exchange_that_is_there(consumer: Rabbit, sender: AmqpSender) -> None:
    """An exchange of another kind is taken as it is; the routing key is the state in which the job has ended."""
    name = consumer.name(topic=True)
    exchange = await consumer.channel.declare_exchange(name, aio_pika.ExchangeType.DIRECT)
    failures, successes = [await consumer.channel.declare_queue(consumer.name()) for _ in range(2)]
    await failures.bind(exchange, "Failed")
    await successes.bind(exchange, "Success")
    await sender.send(callback(topic(name)))
    await sender.send(replace(callback(topic(name)), state="Failed", body=b"failed"))
    assert [message.body for message in await consumer.read(failures.name)] == [b"failed"]
    assert len(await consumer.read(successes.name)) == 1


async def test_full_queue(consumer: Rabbit, sender: AmqpSender) -> None:
    """A queue that refuses a message fails the callback, and the next one is sent all the same."""
    full, other = consumer.name(), consumer.name()
    await consumer.channel.declare_queue(full, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    await sender.send(callback(mq_target(full)))
    with pytest.raises(CallbackFailedError, match="refuses the message"):
        await sender.send(callback(mq_target(full)))
    await sender.send(callback(mq_target(other)))


async def test_wrong_password() -> None:
    """A login that is refused fails the callback, and shows neither the password nor the broker's address."""
    broker = urlsplit(AMQP)
    url = broker._replace(netloc=f"guest:hunter2@{broker.hostname}:{broker.port or 5672}").geturl()
    async with rabbit(), aclosing(AmqpSender(url, 20.0)) as refused:
        with pytest.raises(CallbackFailedError) as failure:
            await refused.send(callback(mq_target("sordino-test")))
    assert "hunter2" not in str(failure.value)
    assert str(failure.value) == "the message queue cannot be reached"


async def test_nothing_is_lost_in_an_outage(consumer: Rabbit, database: PostgresDatabase) -> None:
    """Callbacks of a time without a broker wait in the database, and all arrive once it is back."""
    name, number = consumer.name(), 20
    async with database.transaction() as tx:
        for index in range(number):
            ended = job(f"j{index}", state=JobState.FAILED, ended_at=NOW, code="ResourceNotFound")
            await tx.jobs.add(ended)
            await tx.deliveries.add(ended.job_id, mq_target(name), NOW)
    broker, clock = urlsplit(AMQP), Hand()
    async with cable_to(broker.port or 5672) as cable:
        url = broker._replace(netloc=f"{broker.username}:{broker.password}@127.0.0.1:{cable.port}").geturl()
        async with aclosing(AmqpSender(url, 20.0)) as sender:
            notify = Notify(
                database=database,
                clock=clock,
                sender=sender,
                render=partial(render_callback, secret=None),
                timeout=20.0,
                retry_for=timedelta(days=1),
            )
            await rounds(notify, clock, 5)
            assert await consumer.channel.get_queue(name)
            await cable.cut()
            await rounds(notify, clock, 20)
            await cable.mend()
            await rounds(notify, clock, 40)
    bodies = {message.headers["x-sordino-job"] for message in await consumer.read(name)}
    assert bodies == {f"j{index}" for index in range(number)}
    async with database.transaction() as tx:
        states = {(await tx.deliveries.of_job(f"j{index}"))[0].delivery.state for index in range(number)}
    assert states == {DeliveryState.DELIVERED}


async def rounds(notify: Notify, clock: Hand, number: int) -> None:
    """See so many rounds of tries through, half a minute from one to the next."""
    for _ in range(number):
        await notify.begin_due()
        while notify._tries:
            await asyncio.wait([*notify._tries])
            await asyncio.sleep(0)
        clock.at += timedelta(seconds=30)
