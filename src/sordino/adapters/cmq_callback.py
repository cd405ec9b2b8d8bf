"""Callbacks to a service that speaks CMQ, such as TDMQ for CMQ: its owner is ours, so its address is not checked."""

import asyncio
import json
import secrets
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import httpcore
import structlog

from sordino.adapters.senders import message_queue
from sordino.domain import cmq_errors
from sordino.domain.callback import MqMode, MqTarget
from sordino.domain.delivery import CONFIRMED, Callback, Receipt
from sordino.domain.mq_driver import CmqDriver
from sordino.domain.ports import CallbackFailedError
from sordino.wire.cmq import PATH, sign

log = structlog.get_logger(__name__)

CONNECTIONS: Final = 8
IDLE_SECONDS: Final = 4.0
"""How long a connection is kept for the next callback: less than servers keep it."""

_CALLS: Final = {MqMode.QUEUE: ("SendMessage", "queueName"), MqMode.TOPIC: ("PublishMessage", "topicName")}
_CREATE: Final = {MqMode.QUEUE: "CreateQueue", MqMode.TOPIC: "CreateTopic"}


class CmqSender:
    """``ports.Sender`` over the CMQ API, for message queues.

    A queue or topic that is missing is created, where the service lets us.
    """

    def __init__(self, driver: CmqDriver, timeout: float) -> None:
        """Prepare; nothing is connected before the first callback.

        Args:
            driver: where the service is, and the key to sign with.
            timeout: seconds for a callback, all its calls together.
        """
        self._driver = driver
        self._timeout = timeout
        self._host = urlsplit(driver.endpoint).netloc
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(), max_connections=CONNECTIONS, keepalive_expiry=IDLE_SECONDS
        )

    async def aclose(self) -> None:
        """Close what is open."""
        await self._pool.aclose()

    async def send(self, callback: Callback) -> Receipt:
        """Send a callback, once.

        Raises:
            CallbackFailedError: the service did not confirm it; it may have it all the same.
        """
        mq = message_queue(callback)
        try:
            async with asyncio.timeout(self._timeout):
                await self._deliver(mq, callback.body.decode())
        except (TimeoutError, httpcore.TimeoutException) as error:
            raise CallbackFailedError(f"the message queue did not confirm within {self._timeout:g} s") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError) as error:
            log.warning("the CMQ service failed", error=f"{type(error).__name__}: {error}", region=mq.region)
            raise CallbackFailedError("the message queue cannot be reached") from error
        return CONFIRMED

    async def _deliver(self, mq: MqTarget, body: str) -> None:
        action, name = _CALLS[mq.mode]
        reply = await self._call(action, {name: mq.name, "msgBody": body})
        if reply["code"] == cmq_errors.NOT_FOUND.code:
            await self._call(_CREATE[mq.mode], {name: mq.name})
            reply = await self._call(action, {name: mq.name, "msgBody": body})
        if reply["code"] != 0:
            raise CallbackFailedError(f"the message queue refuses the message: {reply['code']} {reply.get('message')}")

    async def _call(self, action: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        values = {
            **parameters,
            "Action": action,
            "SecretId": self._driver.secret_id,
            "Nonce": str(secrets.randbelow(2**31) + 1),
            "Timestamp": str(int(datetime.now(UTC).timestamp())),
            "SignatureMethod": "HmacSHA256",
        }
        signature = sign("POST", self._host, values, self._driver.secret_key)
        response = await self._pool.request(
            "POST",
            self._driver.endpoint + PATH,
            headers={"Host": self._host, "Content-Type": "application/x-www-form-urlencoded"},
            content=urlencode({**values, "Signature": signature}).encode(),
        )
        if response.status != 200:
            raise ValueError(f"status {response.status}")
        reply = json.loads(response.content)
        if not isinstance(reply, dict) or not isinstance(reply.get("code"), int):
            raise ValueError("the reply has no code")  # noqa: TRY004 - of what was received, not of a call of ours
        return reply
