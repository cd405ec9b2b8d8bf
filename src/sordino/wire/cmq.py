"""The CMQ API's requests and replies: a form that is signed, and JSON.

https://cloud.tencent.com/document/product/406 ("API": common parameters, signature, queues, topics)
"""

import hmac
import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from sordino.domain import cmq_errors
from sordino.domain.cmq_errors import CmqError
from sordino.domain.message import (
    MAX_BATCH,
    MAX_DELAY,
    MAX_MESSAGE_BYTES,
    MAX_MESSAGES,
    MAX_WAIT,
    MESSAGE_NAME,
    Found,
    Message,
    MessageQueue,
    QueueAttributes,
    QueueCounts,
    Receipt,
    Search,
    Subscription,
    Topic,
)
from sordino.errors import ServiceError
from sordino.wire.query import Query
from sordino.wire.words import quote

PATH: Final = "/v2/index.php"
MAX_FORM_BYTES: Final = 4 * 1024**2
"""Room for a batch of the largest messages, every byte of them escaped."""

MAX_SKEW: Final = timedelta(minutes=10)
"""How far a client's clock may be away."""

TOPIC_RETENTION: Final = 86400
"""Seconds; what CMQ says of every topic. Ours keeps nothing: it is the queues that do."""

_DIGESTS: Final[Mapping[str, str]] = MappingProxyType({"HmacSHA1": "sha1", "HmacSHA256": "sha256"})
_ATTRIBUTES: Final[Mapping[str, tuple[str, range]]] = MappingProxyType(
    {
        "polling_wait": ("pollingWaitSeconds", range(MAX_WAIT + 1)),
        "visibility": ("visibilityTimeout", range(1, 43201)),
        "max_size": ("maxMsgSize", range(1024, MAX_MESSAGE_BYTES + 1)),
        "retention": ("msgRetentionSeconds", range(60, 1_296_001)),
        "max_messages": ("maxMsgHeapNum", range(1, MAX_MESSAGES + 1)),
    }
)
_RECEIPT: Final = re.compile(r"(?P<number>[0-9]{1,18})\.(?P<dequeues>[0-9]{1,9})")
_WHOLE: Final = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Form:
    """The parameters of a request. Every call raises ``CmqError`` for what is missing or not legal."""

    values: Mapping[str, str]

    @classmethod
    def parse(cls, raw: bytes) -> "Form":
        """Read ``name=value&...``."""
        try:
            pairs = Query.parse(raw).pairs
        except ServiceError as refusal:
            raise cmq_errors.BAD_PARAMETER(refusal.message) from None
        if len(values := dict(pairs)) < len(pairs):
            raise cmq_errors.BAD_PARAMETER("A parameter is given twice.")
        return cls(values)

    def text(self, name: str) -> str:
        """A parameter that must be there and say something."""
        if not (value := self.values.get(name)):
            raise cmq_errors.BAD_PARAMETER(f"The parameter {name} is missing.")
        return value

    def name(self, parameter: str) -> str:
        """The name of a queue, a topic or a subscription."""
        if MESSAGE_NAME.fullmatch(name := self.text(parameter)) is None:
            raise cmq_errors.BAD_PARAMETER(
                f"{parameter} is {quote(name)}; use 1 to 128 letters, digits, hyphens, dots and underscores."
            )
        return name

    def whole(self, name: str, legal: range) -> int | None:
        """A whole number; None when it is absent or empty."""
        if not (word := self.values.get(name)):
            return None
        if _WHOLE.fullmatch(word) is None or int(word) not in legal:
            raise cmq_errors.BAD_PARAMETER(
                f"{name} is {quote(word)}; use a whole number from {legal[0]} to {legal[-1]}."
            )
        return int(word)

    def choice(self, name: str, legal: Sequence[str]) -> None:
        """Refuse what is given and none of ``legal``."""
        if (word := self.values.get(name)) and word not in legal:
            raise cmq_errors.BAD_PARAMETER(f"{name} is {quote(word)}; use {' or '.join(legal)}.")

    def refuse(self, *names: str) -> None:
        """Refuse parameters, or members of lists, that are not offered, unless they are empty or 0."""
        for name, value in self.values.items():
            if name.partition(".")[0] in names and value not in ("", "0"):
                raise cmq_errors.BAD_PARAMETER(f"{name} is not offered; leave it out.")

    def batch(self, name: str) -> list[str]:
        """The members ``name.1``, ``name.2`` ...: 1 to 16."""
        numbered = {key: value for key, value in self.values.items() if key.partition(".")[0] == name}
        expected = [f"{name}.{number}" for number in range(1, len(numbered) + 1)]
        if not 1 <= len(numbered) <= MAX_BATCH or set(numbered) != set(expected):
            raise cmq_errors.BAD_PARAMETER(f"Give {name}.1, {name}.2 ..., 1 to {MAX_BATCH} of them.")
        if "" in numbered.values():
            raise cmq_errors.BAD_PARAMETER(f"A member of {name} is empty.")
        return [numbered[key] for key in expected]

    def attributes(self, present: QueueAttributes) -> QueueAttributes:
        """The attributes of a queue: those that are given, the others as they are."""
        self.refuse("rewindSeconds", "deadLetterPolicy", "transaction", "trace")
        given = {field: self.whole(name, legal) for field, (name, legal) in _ATTRIBUTES.items()}
        return replace(present, **{field: value for field, value in given.items() if value is not None})

    def topic_size(self) -> int:
        """How many bytes a topic's messages may have."""
        return self.whole("maxMsgSize", _ATTRIBUTES["max_size"][1]) or MAX_MESSAGE_BYTES

    def search(self) -> Search:
        """Which page of a list."""
        limit = self.whole("limit", range(1, 101))
        offset = self.whole("offset", range(10**9))
        return Search(word=self.values.get("searchWord", ""), offset=offset or 0, limit=limit or Search().limit)

    def delay(self) -> int:
        """Seconds that a message stays invisible."""
        return self.whole("delaySeconds", range(MAX_DELAY + 1)) or 0

    def wait(self) -> int | None:
        """Seconds that a receiver waits; None: as the queue says."""
        return self.whole("pollingWaitSeconds", range(MAX_WAIT + 1))

    def number_of_messages(self) -> int:
        """How many messages a receiver takes."""
        self.text("numOfMsg")
        return self.whole("numOfMsg", range(1, MAX_BATCH + 1)) or 1


def parse_receipt(handle: str) -> Receipt:
    """The inverse of a receipt's text.

    Raises:
        CmqError: it is none.
    """
    found = _RECEIPT.fullmatch(handle)
    if found is None or int(found["dequeues"]) >= 2**31:
        raise cmq_errors.BAD_PARAMETER(f"receiptHandle is {quote(handle)}; give the one that came with the message.")
    return Receipt(number=int(found["number"]), dequeues=int(found["dequeues"]))


def sign(method: str, host: str, values: Mapping[str, str], secret_key: str) -> str:
    """The signature of a request, base64.

    Args:
        method: of HTTP, upper-case.
        host: as the Host header has it.
        values: all parameters but Signature. Those of a POST whose value begins with an @ are left out, as SDKs do.
        secret_key: what to sign with.
    """
    signed = [
        f"{name.replace('_', '.')}={values[name]}"
        for name in sorted(values)
        if not (method == "POST" and values[name].startswith("@"))
    ]
    text = f"{method}{host}{PATH}?{'&'.join(signed)}"
    digest = _DIGESTS[values.get("SignatureMethod") or "HmacSHA1"]
    return b64encode(hmac.digest(secret_key.encode(), text.encode(), digest)).decode()


def verify(form: Form, method: str, hosts: Sequence[str], secret_key: str, now: datetime) -> None:
    """Check who sent a request, and when.

    Raises:
        CmqError: the signature is not right, or not of now.
    """
    form.choice("SignatureMethod", tuple(_DIGESTS))
    if form.whole("Nonce", range(2**63)) is None:
        raise cmq_errors.BAD_PARAMETER("The parameter Nonce is missing.")
    values = {name: value for name, value in form.values.items() if name != "Signature"}
    given = form.text("Signature").encode()
    if not any(hmac.compare_digest(sign(method, host, values, secret_key).encode(), given) for host in hosts):
        raise cmq_errors.NOT_SIGNED_IN()
    timestamp = form.whole("Timestamp", range(10**10))
    if timestamp is None or abs(now.timestamp() - timestamp) > MAX_SKEW.total_seconds():
        raise cmq_errors.EXPIRED()


def render(members: Mapping[str, Any], request_id: str) -> bytes:
    """The reply of a call that was done."""
    return json.dumps({"code": 0, "message": "", "requestId": request_id, **members}, ensure_ascii=False).encode()


def render_refusal(refusal: CmqError, request_id: str) -> bytes:
    """The reply of a call that was not, or not wholly, done."""
    members: dict[str, Any] = {"code": refusal.code, "message": refusal.message, "requestId": request_id}
    if refusal.parts:
        members["errorList"] = [
            {"code": part.code, "message": part.message, "receiptHandle": handle} for part, handle in refusal.parts
        ]
    return json.dumps(members, ensure_ascii=False).encode()


def message_members(message: Message) -> dict[str, Any]:
    """A message as it is received."""
    return {
        "msgBody": message.body,
        "msgId": str(message.receipt.number),
        "receiptHandle": str(message.receipt),
        "enqueueTime": int(message.sent_at.timestamp()),
        "firstDequeueTime": int(message.first_received_at.timestamp()),
        "nextVisibleTime": int(message.visible_at.timestamp()),
        "dequeueCount": message.receipt.dequeues,
    }


def queue_members(queue: MessageQueue, counts: QueueCounts) -> dict[str, Any]:
    """The attributes of a queue."""
    return {
        **{name: getattr(queue.attributes, field) for field, (name, _) in _ATTRIBUTES.items()},
        "queueName": queue.name,
        "queueId": queue.queue_id,
        "createTime": int(queue.created_at.timestamp()),
        "lastModifyTime": int(queue.updated_at.timestamp()),
        "activeMsgNum": counts.active,
        "inactiveMsgNum": counts.hidden,
        "delayMsgNum": counts.delayed,
        "rewindSeconds": 0,
        "rewindmsgNum": 0,
        "minMsgTime": int(counts.first_sent_at.timestamp()) if counts.first_sent_at else 0,
    }


def topic_members(topic: Topic) -> dict[str, Any]:
    """The attributes of a topic; it holds no message."""
    return {
        "msgCount": 0,
        "maxMsgSize": topic.max_size,
        "msgRetentionSeconds": TOPIC_RETENTION,
        "createTime": int(topic.created_at.timestamp()),
        "lastModifyTime": int(topic.updated_at.timestamp()),
        "filterType": 1,
    }


def queue_list(found: Found[MessageQueue]) -> dict[str, Any]:
    """A page of queues."""
    items = [{"queueId": queue.queue_id, "queueName": queue.name} for queue in found.items]
    return {"totalCount": found.total, "queueList": items}


def topic_list(found: Found[Topic]) -> dict[str, Any]:
    """A page of topics."""
    items = [{"topicId": topic.topic_id, "topicName": topic.name} for topic in found.items]
    return {"totalCount": found.total, "topicList": items}


def subscription_list(found: Found[Subscription]) -> dict[str, Any]:
    """A page of subscriptions."""
    items = [
        {
            "subscriptionId": subscription.subscription_id,
            "subscriptionName": subscription.name,
            "protocol": "queue",
            "endpoint": subscription.queue_name,
        }
        for subscription in found.items
    ]
    return {"totalCount": found.total, "subscriptionList": items}
