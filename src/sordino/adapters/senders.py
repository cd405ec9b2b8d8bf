"""The choice among the ways to receivers."""

from collections.abc import Mapping
from dataclasses import dataclass

from sordino.domain.callback import MqTarget
from sordino.domain.delivery import Callback, Receipt
from sordino.domain.ports import CallbackFailedError, Sender


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedSender:
    """``ports.Sender``: by the callback's target.

    Attributes:
        urls: for URLs.
        regions: for message queues, by the region's name.
    """

    urls: Sender
    regions: Mapping[str, Sender]

    async def send(self, callback: Callback) -> Receipt:
        """Send a callback, once.

        Raises:
            CallbackFailedError: it did not arrive, as far as is known, or no message queue is configured any more.
        """
        mq = callback.target.mq
        if mq is None:
            return await self.urls.send(callback)
        if mq.region not in self.regions:
            raise CallbackFailedError(f"no message queue is configured for the region {mq.region}")
        return await self.regions[mq.region].send(callback)


def message_queue(callback: Callback) -> MqTarget:
    """The queue or topic that a callback goes to.

    Raises:
        CallbackFailedError: it goes to a URL.
    """
    if callback.target.mq is None:
        raise CallbackFailedError("a URL is no message queue")
    return callback.target.mq
