"""Callbacks to message queues of our own: the account's queue or topic of that name, made when it is missing."""

from dataclasses import dataclass

from sordino.adapters.senders import message_queue
from sordino.domain.callback import MqMode, MqTarget
from sordino.domain.cmq_errors import CmqError
from sordino.domain.delivery import CONFIRMED, Callback, Receipt
from sordino.domain.ports import CallbackFailedError, Database, DatabaseUnavailableError, Transaction
from sordino.messages.queues import MessageQueues
from sordino.messages.topics import MessageTopics


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedSender:
    """``ports.Sender`` into our own database, for message queues."""

    database: Database
    queues: MessageQueues
    topics: MessageTopics

    async def send(self, callback: Callback) -> Receipt:
        """Send a callback, once.

        Raises:
            CallbackFailedError: the queue is full, the message too large, or the database away.
        """
        mq = message_queue(callback)
        try:
            async with self.database.transaction() as tx:
                put = self._to_queue if mq.mode is MqMode.QUEUE else self._to_topic
                arrived = await put(tx, callback.account, mq, callback.body.decode())
        except CmqError as refusal:
            raise CallbackFailedError(refusal.message) from refusal
        except DatabaseUnavailableError as error:
            raise CallbackFailedError("the database cannot be reached") from error
        self.queues.arrivals.ring(arrived)
        return CONFIRMED

    async def _to_queue(self, tx: Transaction, account: str, mq: MqTarget, body: str) -> dict[str, int]:
        queue = await self.queues.ensure(tx, account, mq.name)
        await self.queues.put(tx, queue, [body])
        return {queue.queue_id: 1}

    async def _to_topic(self, tx: Transaction, account: str, mq: MqTarget, body: str) -> dict[str, int]:
        return await self.topics.put(tx, await self.topics.ensure(tx, account, mq.name), [body])
