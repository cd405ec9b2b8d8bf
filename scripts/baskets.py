"""Consumers of callbacks that go to message queues: one reads RabbitMQ, the other the server's own queues."""

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from http.client import HTTPException
from typing import Any, Final, Self

import aio_pika
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity

from callback_sink import Receipt
from official_cmq import Account, CMQExceptionBase
from server import Server

RABBIT_REGION: Final = "sh"
OWN_REGION: Final = "bj"
OWN_QUEUE: Final = "chaos"
BATCH: Final = 16


class RabbitBasket:
    """What lies in a queue of RabbitMQ; a context manager that removes the queue.

    Args:
        url: of the broker itself, ``amqp://...``: it is read past any cut cable.
    """

    def __init__(self, url: str) -> None:
        self._url, self._queue = url, f"chaos-{uuid.uuid4().hex}"
        self._receipts: list[Receipt] = []
        self.name = "rabbitmq"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run(self._remove())

    @property
    def elements(self) -> Mapping[str, object]:
        """What a job says to be told in this way."""
        return _elements(RABBIT_REGION, self._queue)

    def receipts(self) -> Sequence[Receipt]:
        """All that came so far, the first one first."""
        # The first callback makes the queue. While the broker is away, what it has comes with the next look.
        with suppress(ChannelNotFoundEntity, AMQPError, ConnectionError):
            asyncio.run(self._drain())
        return self._receipts

    async def _drain(self) -> None:
        async with await aio_pika.connect(self._url) as connection, connection.channel() as channel:
            queue = await channel.get_queue(self._queue)
            while (message := await queue.get(fail=False)) is not None:
                self._receipts.append(_receipt(str(message.message_id), message.body))
                await message.ack()

    async def _remove(self) -> None:
        async with await aio_pika.connect(self._url) as connection, connection.channel() as channel:
            await channel.queue_delete(self._queue)


class OwnBasket:
    """What lies in one of the server's own queues, read with the official SDK of CMQ."""

    def __init__(self, server: Server) -> None:
        # Without a handler of ours the SDK would write a file into the current directory.
        logging.getLogger("CMQ_python_sdk").addHandler(logging.NullHandler())
        key = server.root_key
        self._account = partial(Account, server.url, key.secret_id, key.secret_key)
        self._receipts: list[Receipt] = []
        self.name = "own queue"

    @property
    def elements(self) -> Mapping[str, object]:
        """What a job says to be told in this way."""
        return _elements(OWN_REGION, OWN_QUEUE)

    def receipts(self) -> Sequence[Receipt]:
        """All that came so far, the first one first; what is lost on its way is shown again after a while."""
        account = self._account()
        try:
            self._drain(account.get_queue(OWN_QUEUE))
        except (CMQExceptionBase, HTTPException, OSError):
            # No message, no queue before the first one, or no server: the next look tells.
            return self._receipts
        finally:
            account.get_client().close_connection()
        return self._receipts

    def _drain(self, queue: Any) -> None:  # noqa: ANN401 - the SDK has no types
        while messages := queue.batch_receive_message(BATCH, 0):
            # They carry no delivery: messages of this kind have no headers.
            self._receipts += [_receipt("", message.msgBody) for message in messages]
            queue.batch_delete_message([message.receiptHandle for message in messages])


def _elements(region: str, queue: str) -> Mapping[str, object]:
    target = {"MqRegion": region, "MqMode": "Queue", "MqName": queue}
    return {"CallBackType": "TDMQ", "CallBackFormat": "JSON", "CallBackMqConfig": target}


def _receipt(delivery: str, body: Any) -> Receipt:  # noqa: ANN401 - text or bytes
    return Receipt(delivery=delivery, body=json.loads(body), at=time.time())
