"""The CMQ API: how consumers that were written with the CMQ SDK read the messages of our own queues.

Every reply is JSON of status 200, refusals too.

https://cloud.tencent.com/document/product/406 ("API")
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from sordino.api.body import chunks
from sordino.domain import cmq_errors
from sordino.domain.cmq_errors import CmqError
from sordino.domain.message import QueueAttributes
from sordino.domain.ports import Clock, Database, DatabaseUnavailableError
from sordino.errors import CONTENT_TOO_LARGE, ServiceError
from sordino.messages.queues import MessageQueues
from sordino.messages.topics import MessageTopics
from sordino.wire.address import Address, Style
from sordino.wire.cmq import (
    MAX_FORM_BYTES,
    PATH,
    Form,
    message_members,
    parse_receipt,
    queue_list,
    queue_members,
    render,
    render_refusal,
    subscription_list,
    topic_list,
    topic_members,
    verify,
)
from sordino.wire.ids import new_published_id

log = structlog.get_logger(__name__)

Members = Mapping[str, Any]
_NOTHING: Final[Members] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageService:
    """The use cases behind the API."""

    queues: MessageQueues
    topics: MessageTopics


@dataclass(frozen=True, slots=True, kw_only=True)
class CmqCall:
    """A request whose signer was verified.

    Attributes:
        account: APPID of the signer.
        gone: whether the client has left.
    """

    account: str
    form: Form
    service: MessageService
    gone: Callable[[], Awaitable[bool]]


def is_call(address: Address, request: Request) -> bool:
    """Whether a request is one of the CMQ API: of its path, on a host that names no bucket, and a form or a POST."""
    bare = address.style in (Style.BUCKETLESS, Style.DEFAULT) and address.path == PATH
    return bare and (request.method == "POST" or (request.method == "GET" and "Action" in request.query_params))


async def answer(
    request: Request, address: Address, service: MessageService, *, database: Database, clock: Clock, request_id: str
) -> Response:
    """The reply of a call."""
    try:
        call = await _sign_in(request, address, service, database, clock)
        action = call.form.text("Action")
        if action not in ACTIONS:
            raise cmq_errors.BAD_PARAMETER(f"There is no Action {action}; the actions are {', '.join(ACTIONS)}.")
        return _json(render(await ACTIONS[action](call), request_id))
    except CmqError as refusal:
        if refusal.code != cmq_errors.NO_MESSAGE.code:
            log.info("refused", code=refusal.code, message=refusal.message)
        return _json(render_refusal(refusal, request_id))
    except DatabaseUnavailableError as error:
        log.warning("a store does not answer", error=str(error))
    except Exception:
        log.exception("request broke")
    return _json(render_refusal(cmq_errors.SERVER_FAILED(), request_id))


async def _sign_in(
    request: Request, address: Address, service: MessageService, database: Database, clock: Clock
) -> CmqCall:
    form = Form.parse(await _raw_form(request))
    async with database.reading() as tx:
        found = await tx.identities.signer(form.text("SecretId"), "")
    if found is None:
        raise cmq_errors.NOT_SIGNED_IN(f"There is no SecretId {form.text('SecretId')}.")
    key, _ = found
    verify(form, request.method, address.signed_hosts, key.secret_key, clock.now())
    return CmqCall(account=key.account.appid, form=form, service=service, gone=request.is_disconnected)


async def _raw_form(request: Request) -> bytes:
    if request.method == "GET":
        return bytes(request.scope["query_string"])
    try:
        return b"".join([chunk async for chunk in chunks(request, MAX_FORM_BYTES, CONTENT_TOO_LARGE)])
    except ServiceError as refusal:
        raise cmq_errors.BAD_PARAMETER(refusal.message) from None


def _json(body: bytes) -> Response:
    return Response(body, 200, {"Content-Type": "application/json; charset=utf-8"})


async def create_queue(call: CmqCall) -> Members:
    """``CreateQueue``."""
    attributes = call.form.attributes(QueueAttributes())
    queue = await call.service.queues.create(call.account, call.form.name("queueName"), attributes)
    return {"queueId": queue.queue_id}


async def delete_queue(call: CmqCall) -> Members:
    """``DeleteQueue``."""
    await call.service.queues.remove(call.account, call.form.name("queueName"))
    return _NOTHING


async def list_queue(call: CmqCall) -> Members:
    """``ListQueue``."""
    return queue_list(await call.service.queues.list(call.account, call.form.search()))


async def get_queue_attributes(call: CmqCall) -> Members:
    """``GetQueueAttributes``."""
    return queue_members(*await call.service.queues.describe(call.account, call.form.name("queueName")))


async def set_queue_attributes(call: CmqCall) -> Members:
    """``SetQueueAttributes``."""
    await call.service.queues.change(call.account, call.form.name("queueName"), call.form.attributes)
    return _NOTHING


async def send_message(call: CmqCall) -> Members:
    """``SendMessage``."""
    form = call.form
    (number,) = await call.service.queues.send(
        call.account, form.name("queueName"), [form.text("msgBody")], form.delay()
    )
    return {"msgId": str(number)}


async def batch_send_message(call: CmqCall) -> Members:
    """``BatchSendMessage``."""
    form = call.form
    numbers = await call.service.queues.send(call.account, form.name("queueName"), form.batch("msgBody"), form.delay())
    return {"msgList": [{"msgId": str(number)} for number in numbers]}


async def receive_message(call: CmqCall) -> Members:
    """``ReceiveMessage``."""
    form = call.form
    (message,) = await call.service.queues.receive(call.account, form.name("queueName"), 1, form.wait(), call.gone)
    return message_members(message)


async def batch_receive_message(call: CmqCall) -> Members:
    """``BatchReceiveMessage``."""
    form = call.form
    messages = await call.service.queues.receive(
        call.account, form.name("queueName"), form.number_of_messages(), form.wait(), call.gone
    )
    return {"msgInfoList": [message_members(message) for message in messages]}


async def delete_message(call: CmqCall) -> Members:
    """``DeleteMessage``."""
    receipt = parse_receipt(call.form.text("receiptHandle"))
    if await call.service.queues.delete(call.account, call.form.name("queueName"), [receipt]):
        raise cmq_errors.BAD_RECEIPT()
    return _NOTHING


async def batch_delete_message(call: CmqCall) -> Members:
    """``BatchDeleteMessage``."""
    receipts = [parse_receipt(handle) for handle in call.form.batch("receiptHandle")]
    bad = await call.service.queues.delete(call.account, call.form.name("queueName"), receipts)
    if bad:
        raise cmq_errors.NOT_ALL_DELETED(parts=[(cmq_errors.BAD_RECEIPT(), str(receipt)) for receipt in bad])
    return _NOTHING


async def create_topic(call: CmqCall) -> Members:
    """``CreateTopic``."""
    call.form.choice("filterType", ("1",))
    topic = await call.service.topics.create(call.account, call.form.name("topicName"), call.form.topic_size())
    return {"topicId": topic.topic_id}


async def delete_topic(call: CmqCall) -> Members:
    """``DeleteTopic``."""
    await call.service.topics.remove(call.account, call.form.name("topicName"))
    return _NOTHING


async def list_topic(call: CmqCall) -> Members:
    """``ListTopic``."""
    return topic_list(await call.service.topics.list(call.account, call.form.search()))


async def get_topic_attributes(call: CmqCall) -> Members:
    """``GetTopicAttributes``."""
    return topic_members(await call.service.topics.describe(call.account, call.form.name("topicName")))


async def set_topic_attributes(call: CmqCall) -> Members:
    """``SetTopicAttributes``."""
    await call.service.topics.change(call.account, call.form.name("topicName"), call.form.topic_size())
    return _NOTHING


async def publish_message(call: CmqCall) -> Members:
    """``PublishMessage``."""
    call.form.refuse("msgTag", "routingKey")
    await call.service.topics.publish(call.account, call.form.name("topicName"), [call.form.text("msgBody")])
    return {"msgId": new_published_id()}


async def batch_publish_message(call: CmqCall) -> Members:
    """``BatchPublishMessage``."""
    call.form.refuse("msgTag", "routingKey")
    bodies = call.form.batch("msgBody")
    await call.service.topics.publish(call.account, call.form.name("topicName"), bodies)
    return {"msgList": [{"msgId": new_published_id()} for _ in bodies]}


async def subscribe(call: CmqCall) -> Members:
    """``Subscribe``; a queue gets each message as it was published, which CMQ calls SIMPLIFIED."""
    form = call.form
    form.text("protocol")
    form.choice("protocol", ("queue",))
    form.text("notifyContentFormat")
    form.choice("notifyContentFormat", ("SIMPLIFIED",))
    form.choice("notifyStrategy", ("BACKOFF_RETRY", "EXPONENTIAL_DECAY_RETRY"))
    form.refuse("filterTag", "bindingKey")
    subscription = await call.service.topics.subscribe(
        call.account, form.name("topicName"), form.name("subscriptionName"), form.name("endpoint")
    )
    return {"subscriptionId": subscription.subscription_id}


async def unsubscribe(call: CmqCall) -> Members:
    """``Unsubscribe``."""
    await call.service.topics.unsubscribe(call.account, call.form.name("topicName"), call.form.name("subscriptionName"))
    return _NOTHING


async def list_subscription_by_topic(call: CmqCall) -> Members:
    """``ListSubscriptionByTopic``."""
    found = await call.service.topics.subscriptions(call.account, call.form.name("topicName"), call.form.search())
    return subscription_list(found)


ACTIONS: Final[Mapping[str, Callable[[CmqCall], Awaitable[Members]]]] = MappingProxyType(
    {
        "CreateQueue": create_queue,
        "DeleteQueue": delete_queue,
        "ListQueue": list_queue,
        "GetQueueAttributes": get_queue_attributes,
        "SetQueueAttributes": set_queue_attributes,
        "SendMessage": send_message,
        "BatchSendMessage": batch_send_message,
        "ReceiveMessage": receive_message,
        "BatchReceiveMessage": batch_receive_message,
        "DeleteMessage": delete_message,
        "BatchDeleteMessage": batch_delete_message,
        "CreateTopic": create_topic,
        "DeleteTopic": delete_topic,
        "ListTopic": list_topic,
        "GetTopicAttributes": get_topic_attributes,
        "SetTopicAttributes": set_topic_attributes,
        "PublishMessage": publish_message,
        "BatchPublishMessage": batch_publish_message,
        "Subscribe": subscribe,
        "Unsubscribe": unsubscribe,
        "ListSubscriptionByTopic": list_subscription_by_topic,
    }
)
