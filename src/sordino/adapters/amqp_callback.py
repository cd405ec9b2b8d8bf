"""Callbacks to RabbitMQ: a durable quorum queue for each Queue, a durable fanout exchange for each Topic.

A queue or an exchange that is there is taken as it is, whoever made it; only one that is missing is declared. So it is
published to first, and declared when that shows that it is missing.
"""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, FieldValue
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity, PublishError

from sordino.adapters.senders import message_queue
from sordino.domain.callback import MqMode, MqTarget
from sordino.domain.delivery import CONFIRMED, Callback, Receipt
from sordino.domain.ports import CallbackFailedError

log = structlog.get_logger(__name__)

CLOSE_SECONDS: Final = 1.0
"""How long a broker may take to say goodbye."""

QUORUM: Final[dict[str, FieldValue]] = {"x-queue-type": "quorum"}


class AmqpSender:
    """``ports.Sender`` over AMQP 0-9-1, for message queues.

    One connection serves all callbacks, each in a channel of its own: what the broker refuses closes the channel. It is
    opened for the first callback, and again for the next one when it was lost.
    """

    def __init__(self, url: str, timeout: float) -> None:
        """Prepare; nothing is connected before the first callback.

        Args:
            url: ``amqp://`` or ``amqps://``, with user, password and virtual host.
            timeout: seconds for everything: connecting, publishing, and the broker's confirmation.
        """
        self._url = url
        self._timeout = timeout
        self._connection: AbstractConnection | None = None
        self._lock = asyncio.Lock()

    async def aclose(self) -> None:
        """Close what is open."""
        await self._hang_up()

    async def send(self, callback: Callback) -> Receipt:
        """Send a callback, once.

        Raises:
            CallbackFailedError: the broker did not confirm it; it may have it all the same.
        """
        mq = message_queue(callback)
        try:
            async with asyncio.timeout(self._timeout):
                await self._deliver(mq, callback)
        except TimeoutError as error:
            # Whatever it waits for, nothing tells whether the connection still lives.
            await self._hang_up()
            raise CallbackFailedError(f"the message queue did not confirm within {self._timeout:g} s") from error
        except (AMQPError, OSError, RuntimeError) as error:
            log.warning("RabbitMQ failed", error=f"{type(error).__name__}: {error}", region=mq.region)
            raise CallbackFailedError(_reason(error)) from error
        return CONFIRMED

    async def _deliver(self, mq: MqTarget, callback: Callback) -> None:
        try:
            await self._publish(mq, callback)
        except (PublishError, ChannelNotFoundEntity):
            await self._declare(mq)
            await self._publish(mq, callback)

    async def _publish(self, mq: MqTarget, callback: Callback) -> None:
        async with await self._channel() as channel:
            if mq.mode is MqMode.QUEUE:
                # Without `mandatory` the broker confirms, and drops, what has no queue.
                await channel.default_exchange.publish(_message(callback), mq.name, mandatory=True)
            else:
                # A topic without subscribers drops its messages, as it does in the cloud.
                exchange = await channel.get_exchange(mq.name, ensure=False)
                await exchange.publish(_message(callback), callback.state, mandatory=False)

    async def _declare(self, mq: MqTarget) -> None:
        async with await self._channel() as channel:
            if mq.mode is MqMode.QUEUE:
                await channel.declare_queue(mq.name, durable=True, arguments=QUORUM)
            else:
                await channel.declare_exchange(mq.name, aio_pika.ExchangeType.FANOUT, durable=True)

    async def _channel(self) -> AbstractChannel:
        """A new channel; its publisher learns of each message whether the broker has it, or has no queue for it."""
        async with self._lock:
            if self._connection is None or not self._connection.connected.is_set():
                await self._hang_up()
                self._connection = await aio_pika.connect(self._url, client_properties={"connection_name": "sordino"})
        return self._connection.channel(publisher_confirms=True, on_return_raises=True)

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(TimeoutError, AMQPError, OSError, RuntimeError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await connection.close()


def _message(callback: Callback) -> aio_pika.Message:
    headers = {name: value for name, value in callback.headers if name.startswith("x-sordino-")}
    content_type = next((value for name, value in callback.headers if name.lower() == "content-type"), None)
    return aio_pika.Message(
        callback.body,
        headers={**headers, "x-sordino-job": callback.job_id, "x-sordino-state": callback.state},
        message_id=callback.delivery_id,
        content_type=content_type,
        content_encoding="utf-8",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        timestamp=datetime.now(UTC),
        app_id="sordino",
    )


def _reason(error: Exception) -> str:
    """What went wrong, without the broker's address, which is none of the user's business."""
    if isinstance(error, PublishError):
        return "the message queue has no queue of that name"
    if isinstance(error, AMQPError) and not isinstance(error, OSError):
        return f"the message queue refuses the message ({type(error).__name__})"
    return "the message queue cannot be reached"
