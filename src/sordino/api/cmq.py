"""The CMQ API: how consumers that were written with the CMQ SDK read the messages of our own queues.

Every reply is JSON of status 200, refusals too.

https://cloud.tencent.com/document/product/406 ("API")
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from sordino.api.body import chunks
from sordino.api.limits import TOO_MANY_FAILURES, TOO_MANY_REQUESTS
from sordino.api.visit import Visit
from sordino.cam.limits import told_when
from sordino.cam.signers import find_signer
from sordino.domain import cmq_errors
from sordino.domain.cmq_errors import CmqError
from sordino.domain.decision import Asked, decide
from sordino.domain.identity import Caller
from sordino.domain.known import of_everyone
from sordino.domain.message import QueueAttributes
from sordino.domain.ports import Clock, Database, DatabaseUnavailableError
from sordino.domain.resource import Resource
from sordino.domain.token import token_fault
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

OK: Final = 200
BROKEN: Final = 500
"""Which no client is told."""

Members = Mapping[str, Any]
_NOTHING: Final[Members] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageService:
    """The use cases behind the API.

    Attributes:
        region: in which policies have the queues and topics lie.
    """

    queues: MessageQueues
    topics: MessageTopics
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CmqCall:
    """A request whose signer was verified.

    Attributes:
        caller: who signed.
        visit: the call as limits and the audit log see it.
        at: when it came.
        gone: whether the client has left.
    """

    caller: Caller
    visit: Visit
    at: datetime
    form: Form
    service: MessageService
    gone: Callable[[], Awaitable[bool]]

    @property
    def account(self) -> str:
        """APPID of the caller."""
        return self.caller.account.appid


@dataclass(frozen=True, slots=True)
class CmqAction:
    """What an ``Action`` of the form asks for.

    Attributes:
        handler: does it.
        service: ``cmqqueue`` or ``cmqtopic``; policies name the action ``<service>:<Action>``.
        about: the parameter that names the queue or topic; None: it is about all of them, which only ``*`` covers.
    """

    handler: Callable[[CmqCall], Awaitable[Members]]
    service: str
    about: str | None


def is_call(address: Address, request: Request) -> bool:
    """Whether a request is one of the CMQ API: of its path, on a host that names no bucket, and a form or a POST."""
    bare = address.style in (Style.BUCKETLESS, Style.DEFAULT) and address.path == PATH
    return bare and (request.method == "POST" or (request.method == "GET" and "Action" in request.query_params))


async def answer(
    request: Request, address: Address, service: MessageService, *, database: Database, clock: Clock, visit: Visit
) -> Response:
    """The reply of a call."""
    form = Form({})
    try:
        form = Form.parse(await _raw_form(request))
        members = await _act(await _sign_in(form, request, address, service, database, clock.now(), visit))
    except CmqError as error:
        refusal = error
        if refusal.code != cmq_errors.NO_MESSAGE.code:
            log.info("refused", code=refusal.code, message=refusal.message)
    except DatabaseUnavailableError as error:
        log.warning("a store does not answer", error=str(error))
        refusal = cmq_errors.SERVER_FAILED()
    except Exception:
        log.exception("request broke")
        refusal = cmq_errors.SERVER_FAILED()
    else:
        visit.end(clock.now(), writes=_writes(form), status=OK)
        return _json(render(members, visit.request_id))
    status = BROKEN if refusal.code == cmq_errors.SERVER_FAILED.code else OK
    visit.end(clock.now(), writes=_writes(form), status=status, code=str(refusal.code), reason=refusal.message)
    return _json(render_refusal(refusal, visit.request_id))


def _writes(form: Form) -> bool:
    """Whether calls of that action change something; receiving only hides messages for a while."""
    return not form.values.get("Action", "").startswith(("Get", "List", "Receive", "BatchReceive"))


async def _act(call: CmqCall) -> Members:
    action = call.form.text("Action")
    if action not in ACTIONS:
        raise cmq_errors.BAD_PARAMETER(f"There is no Action {action}; the actions are {', '.join(ACTIONS)}.")
    _allow(call, action)
    return await ACTIONS[action].handler(call)


async def _sign_in(
    form: Form,
    request: Request,
    address: Address,
    service: MessageService,
    database: Database,
    now: datetime,
    visit: Visit,
) -> CmqCall:
    secret_id, token = form.text("SecretId"), form.values.get("Token") or None
    if wait := visit.knock(secret_id):
        raise _slow_down(wait, TOO_MANY_FAILURES)
    async with database.reading() as tx:
        found = await find_signer(tx, secret_id, token)
    if found is None:
        visit.guessed()
        raise cmq_errors.NOT_SIGNED_IN(f"There is no SecretId {secret_id}, or it is disabled.")
    signer = found[0]
    try:
        verify(form, request.method, address.signed_hosts, signer.secret_key, now)
    except CmqError as refusal:
        if refusal.code == cmq_errors.NOT_SIGNED_IN.code:
            visit.guessed()
        raise
    if fault := token_fault(signer, token, now):
        raise cmq_errors.BAD_TOKEN(f"The key {secret_id} {fault}.")
    if wait := visit.enter(signer):
        raise _slow_down(wait, TOO_MANY_REQUESTS)
    return CmqCall(
        caller=signer.caller,
        visit=visit,
        at=now,
        form=form,
        service=service,
        gone=request.is_disconnected,
    )


def _slow_down(wait: float, message: str) -> CmqError:
    return cmq_errors.TOO_MANY_REQUESTS(told_when(wait, message))


def _allow(call: CmqCall, action: str) -> None:
    """See that policies allow a call.

    Raises:
        CmqError: they do not, or the call does not say what it is about.
    """
    kind, account = ACTIONS[action], call.caller.account
    resource = Resource(
        service=kind.service,
        region=call.service.region,
        owner=account.owner,
        path=None if kind.about is None else f"{kind.about}/uin/{account.uin}/{call.form.name(kind.about)}",
    )
    context = of_everyone(call.caller, call.visit.source.address, call.at, resource)
    asked = Asked(action=f"{kind.service}:{action}", resource=resource, context=context)
    decision = decide(call.caller, asked)
    call.visit.decided(asked.action, resource, decision)
    if not decision.allowed:
        raise cmq_errors.NOT_ALLOWED(f"You may not do this: {decision.because}.")


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


def _on_queue(handler: Callable[[CmqCall], Awaitable[Members]]) -> CmqAction:
    return CmqAction(handler, "cmqqueue", "queueName")


def _on_topic(handler: Callable[[CmqCall], Awaitable[Members]]) -> CmqAction:
    return CmqAction(handler, "cmqtopic", "topicName")


ACTIONS: Final[Mapping[str, CmqAction]] = MappingProxyType(
    {
        "CreateQueue": _on_queue(create_queue),
        "DeleteQueue": _on_queue(delete_queue),
        "ListQueue": CmqAction(list_queue, "cmqqueue", None),
        "GetQueueAttributes": _on_queue(get_queue_attributes),
        "SetQueueAttributes": _on_queue(set_queue_attributes),
        "SendMessage": _on_queue(send_message),
        "BatchSendMessage": _on_queue(batch_send_message),
        "ReceiveMessage": _on_queue(receive_message),
        "BatchReceiveMessage": _on_queue(batch_receive_message),
        "DeleteMessage": _on_queue(delete_message),
        "BatchDeleteMessage": _on_queue(batch_delete_message),
        "CreateTopic": _on_topic(create_topic),
        "DeleteTopic": _on_topic(delete_topic),
        "ListTopic": CmqAction(list_topic, "cmqtopic", None),
        "GetTopicAttributes": _on_topic(get_topic_attributes),
        "SetTopicAttributes": _on_topic(set_topic_attributes),
        "PublishMessage": _on_topic(publish_message),
        "BatchPublishMessage": _on_topic(batch_publish_message),
        "Subscribe": _on_topic(subscribe),
        "Unsubscribe": _on_topic(unsubscribe),
        "ListSubscriptionByTopic": _on_topic(list_subscription_by_topic),
    }
)
"""Every action, and what it is about."""
