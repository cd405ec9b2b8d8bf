"""What every way to the receivers of callbacks promises."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import pytest

from brokers import ACCOUNT, AMQP, BODY, callback, cmq_server, message_service, mq_target, own_database, rabbit
from mended_cable import Cable, cable_to
from receiver import receiving
from rows import ROOT
from sordino.adapters.amqp_callback import AmqpSender
from sordino.adapters.cmq_callback import CmqSender
from sordino.adapters.embedded_callback import EmbeddedSender
from sordino.adapters.http_callback import HttpSender
from sordino.adapters.senders import RoutedSender
from sordino.api.cmq import MessageService
from sordino.domain.callback import CallbackTarget, MqMode, MqTarget
from sordino.domain.callback_url import Allowed
from sordino.domain.delivery import Callback
from sordino.domain.mq_driver import CmqDriver
from sordino.domain.ports import CallbackFailedError, Sender
from sordino.jobs.notify import CONCURRENCY
from support import new_name

TIMEOUT = 5.0


@dataclass
class Way:
    """A way to receivers, each of which has a name.

    Attributes:
        sender: the way.
        target: makes where a callback to a name goes.
        read: the bodies that came to a name so far, taken.
        subscribe: makes a queue that gets what is published to a topic; its name. None where there are no topics.
        cable: what the way leads through; None where there is nothing to cut.
    """

    sender: Sender
    target: Callable[[str], CallbackTarget]
    read: Callable[[str], Awaitable[list[bytes]]]
    subscribe: Callable[[str], Awaitable[str]] | None = None
    cable: Cable | None = None

    async def send(self, name: str, body: bytes = BODY, delivery: str = "d1", mode: MqMode = MqMode.QUEUE) -> None:
        """Send a callback to a name."""
        target = self.target(name)
        if target.mq is not None:
            target = replace(target, mq=replace(target.mq, mode=mode))
        receipt = await self.sender.send(callback(target, body, delivery))
        assert receipt.accepted


@asynccontextmanager
async def http_way(_: str) -> AsyncIterator[Way]:
    """To a receiver of HTTP."""
    with receiving() as receiver:
        async with cable_to(receiver.port) as cable:

            async def read(name: str) -> list[bytes]:
                found = [receiver.requests.get() for _ in range(receiver.requests.qsize())]
                assert all(request.target == f"/{name}" for request in found)
                return [request.body for request in found]

            sender = HttpSender(timeout=TIMEOUT, allowed=Allowed.parse("127.0.0.0/8"))
            yield Way(
                sender, lambda name: CallbackTarget(url=f"http://127.0.0.1:{cable.port}/{name}"), read, cable=cable
            )


@asynccontextmanager
async def amqp_way(_: str) -> AsyncIterator[Way]:
    """To RabbitMQ."""
    broker = urlsplit(AMQP)
    async with AsyncExitStack() as stack:
        consumer = await stack.enter_async_context(rabbit())
        cable = await stack.enter_async_context(cable_to(broker.port or 5672))
        url = broker._replace(netloc=f"{broker.username}:{broker.password}@127.0.0.1:{cable.port}").geturl()
        sender = await stack.enter_async_context(aclosing(AmqpSender(url, TIMEOUT)))

        async def read(name: str) -> list[bytes]:
            consumer.queues.append(name)
            return [message.body for message in await consumer.read(name)]

        async def subscribe(topic: str) -> str:
            consumer.exchanges.append(topic)
            queue = await consumer.channel.declare_queue(consumer.name())
            await queue.bind(topic)
            return queue.name

        yield Way(sender, mq_target, read, subscribe, cable)


def cmq_reader(service: MessageService) -> Callable[[str], Awaitable[list[bytes]]]:
    """Reads queues of our own."""

    async def read(name: str) -> list[bytes]:
        found: list[bytes] = []
        while (await service.queues.describe(ACCOUNT, name))[1].active:
            messages = await service.queues.receive(ACCOUNT, name, 16, 0)
            await service.queues.delete(ACCOUNT, name, [message.receipt for message in messages])
            found += [message.body.encode() for message in messages]
        return found

    return read


def cmq_subscriber(service: MessageService) -> Callable[[str], Awaitable[str]]:
    """Subscribes queues of our own to topics of our own."""

    async def subscribe(topic: str) -> str:
        name = new_name("q")
        async with service.queues.database.transaction() as tx:
            await service.queues.ensure(tx, ACCOUNT, name)
        await service.topics.subscribe(ACCOUNT, topic, "s1", name)
        return name

    return subscribe


@asynccontextmanager
async def embedded_way(dsn: str) -> AsyncIterator[Way]:
    """To queues of our own."""
    async with own_database(dsn) as database, message_service(database) as service:
        sender = EmbeddedSender(database=database, queues=service.queues, topics=service.topics)
        yield Way(sender, mq_target, cmq_reader(service), cmq_subscriber(service))


@asynccontextmanager
async def cmq_way(dsn: str) -> AsyncIterator[Way]:
    """To a CMQ service, which is our own."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(own_database(dsn))
        service = await stack.enter_async_context(message_service(database))
        cable = await stack.enter_async_context(
            cable_to(await stack.enter_async_context(cmq_server(database, service)))
        )
        driver = CmqDriver(
            endpoint=f"http://127.0.0.1:{cable.port}", secret_id=ROOT.secret_id, secret_key=ROOT.secret_key
        )
        sender = await stack.enter_async_context(aclosing(CmqSender(driver, TIMEOUT)))
        yield Way(sender, mq_target, cmq_reader(service), cmq_subscriber(service), cable)


WAYS = {"http": http_way, "amqp": amqp_way, "embedded": embedded_way, "cmq": cmq_way}
QUEUES = ["amqp", "embedded", "cmq"]


@pytest.fixture
async def way(request: pytest.FixtureRequest, embedded: str) -> AsyncIterator[Way]:
    """Each way in turn."""
    async with WAYS[request.param](embedded) as found:
        yield found


@pytest.mark.parametrize("way", WAYS, indirect=True)
async def test_arrives(way: Way) -> None:
    """What was confirmed has arrived, the same bytes, once; a queue that was missing has been made."""
    name = new_name("q")
    await way.send(name)
    assert await way.read(name) == [BODY]
    await way.send(name, b"{}", "d2")
    assert await way.read(name) == [b"{}"]


@pytest.mark.parametrize("way", WAYS, indirect=True)
async def test_many_at_once(way: Way) -> None:
    """Callbacks that are sent at the same time, the first of which make the queue, all arrive."""
    name = new_name("q")
    bodies = [b'{"n": "%d"}' % number for number in range(CONCURRENCY)]
    await asyncio.gather(*(way.send(name, body, f"d{number}") for number, body in enumerate(bodies)))
    assert sorted(await way.read(name)) == sorted(bodies)


@pytest.mark.parametrize("way", QUEUES, indirect=True)
async def test_topic(way: Way) -> None:
    """A topic is made when it is missing; it drops what nobody is subscribed to, and all subscribers get the rest."""
    topic = new_name("t")
    await way.send(topic, b"lost", mode=MqMode.TOPIC)
    assert way.subscribe is not None
    name = await way.subscribe(topic)
    await way.send(topic, mode=MqMode.TOPIC)
    assert await way.read(name) == [BODY]


@pytest.mark.parametrize("way", ["http", "amqp", "cmq"], indirect=True)
async def test_outage(way: Way) -> None:
    """While the receiver is away a callback fails, and says nothing of our network; afterwards the next one arrives."""
    assert way.cable is not None
    name = new_name("q")
    await way.send(name, b"1")
    for _ in range(2):
        await way.cable.cut()
        for _ in range(2):
            with pytest.raises(CallbackFailedError) as failure:
                await way.send(name, b"2")
            if way.target(name).mq is not None:
                assert str(way.cable.port) not in str(failure.value)
        await way.cable.mend()
        await way.send(name, b"3")
    assert (await way.read(name)).count(b"3") == 2


@pytest.mark.parametrize("way", ["http", "amqp", "cmq"], indirect=True)
async def test_silence(way: Way) -> None:
    """A receiver that says nothing fails the callback in time; once it speaks, the next one arrives."""
    assert way.cable is not None
    name = new_name("q")
    await way.send(name, b"1")
    way.cable.freeze()
    with pytest.raises(CallbackFailedError, match=f"within {TIMEOUT:g} s"):
        await way.send(name, b"2")
    await way.cable.mend()
    await way.send(name, b"3")
    assert (await way.read(name))[-1] == b"3"


@pytest.mark.parametrize("way", QUEUES, indirect=True)
async def test_url_is_no_message_queue(way: Way) -> None:
    """A way to message queues does not take what goes to a URL."""
    with pytest.raises(CallbackFailedError, match="no message queue"):
        await way.sender.send(callback(CallbackTarget(url="http://hooks.example/")))


async def test_routes() -> None:
    """URLs go one way, each region another; a region without a message queue fails, and says so."""

    class Named:
        def __init__(self) -> None:
            self.got: list[Callback] = []

        async def send(self, it: Callback) -> None:
            self.got.append(it)

    urls, shanghai = Named(), Named()
    sender = RoutedSender(urls=urls, regions={"sh": shanghai})
    await sender.send(callback(CallbackTarget(url="http://hooks.example/")))
    await sender.send(callback(mq_target("q")))
    assert (len(urls.got), len(shanghai.got)) == (1, 1)
    with pytest.raises(CallbackFailedError, match="region gz"):
        await sender.send(callback(CallbackTarget(mq=MqTarget(region="gz", mode=MqMode.QUEUE, name="q"))))
