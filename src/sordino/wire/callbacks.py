"""Callbacks on the wire: the body that tells of a job's end, the headers around it, and the log of deliveries.

Source: "Callback content" of Cloud Infinite, whose samples have every element's children in alphabetical order. The
headers are our choice: it documents none.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from operator import itemgetter
from types import MappingProxyType
from typing import Any

from sordino.domain.callback import CallbackEvent, CallbackFormat, CallbackTarget
from sordino.domain.delivery import Attempt, Callback, Delivery, DeliveryState, LoggedDelivery
from sordino.domain.job import Job, JobState
from sordino.version import __version__
from sordino.wire import xml
from sordino.wire.job_detail import job_nodes
from sordino.wire.times import ci_time

CONTENT_TYPES: Mapping[CallbackFormat, str] = MappingProxyType(
    {CallbackFormat.XML: "application/xml", CallbackFormat.JSON: "application/json"}
)
SUCCESS_MESSAGE = "SUCCESS"
"""The Message of a success that has nothing else to say: the callback's sample has it, other replies leave it empty."""


def render_body(job: Job, form: CallbackFormat) -> bytes:
    """The body that tells of a job's end; the same for the same job at any time.

    JSON is the same tree without the root: elements become members, and all values are strings.
    """
    if job.state is JobState.SUCCESS and not job.message:
        job = replace(job, message=SUCCESS_MESSAGE)
    nodes: list[xml.Node] = [("EventName", CallbackEvent.TASK_FINISH), ("JobsDetail", _sorted(job_nodes(job)))]
    if form is CallbackFormat.JSON:
        return json.dumps(_members(nodes), ensure_ascii=False).encode()
    return xml.document("Response", nodes)


def render_callback(job: Job, delivery: Delivery, at: datetime, secret: str | None = None) -> Callback:
    """The request of one try.

    Args:
        job: which has ended.
        delivery: with the try's number as its ``attempts``.
        at: the time of the try.
        secret: what to sign with; None: not at all.
    """
    body = render_body(job, delivery.target.format)
    headers = {
        "Content-Type": CONTENT_TYPES[delivery.target.format],
        "User-Agent": f"Sordino/{__version__}",
        "x-sordino-delivery": delivery.delivery_id,
        "x-sordino-attempt": str(delivery.attempts),
    }
    if secret is not None:
        timestamp = str(int(at.timestamp()))
        headers["x-sordino-timestamp"] = timestamp
        headers["x-sordino-signature"] = f"sha256={sign(secret, delivery.delivery_id, timestamp, body)}"
    return Callback(
        target=delivery.target,
        delivery_id=delivery.delivery_id,
        job_id=job.job_id,
        state=job.state,
        account=job.bucket.rpartition("-")[2],
        headers=tuple(headers.items()),
        body=body,
    )


def sign(secret: str, delivery_id: str, timestamp: str, body: bytes) -> str:
    """The signature: hex HMAC-SHA256 of ``<delivery>.<timestamp>.<body>``."""
    return hmac.new(secret.encode(), f"{delivery_id}.{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def retry_after(value: str, now: datetime) -> float | None:
    """The seconds, not below 0, that a Retry-After header asks to wait; None when it says nothing legible."""
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        return None
    return max(0.0, (moment - now).total_seconds())


def render_deliveries(job_id: str, deliveries: Sequence[LoggedDelivery]) -> bytes:
    """The reply of the log of a job's callbacks.

    Args:
        job_id: of the job.
        deliveries: in the order to show.
    """
    return xml.document("Response", [("JobId", job_id), *(("Delivery", _delivery(it)) for it in deliveries)])


def _delivery(logged: LoggedDelivery) -> list[xml.Node]:
    it = logged.delivery
    nodes: list[xml.Node] = [
        ("DeliveryId", it.delivery_id),
        *_target(it.target),
        ("Format", it.target.format),
        ("State", it.state),
        ("CreationTime", ci_time(it.created_at)),
        ("Attempts", it.attempts),
    ]
    if it.state is DeliveryState.WAITING:
        nodes.append(("NextTime", ci_time(it.next_at)))
    return nodes + [("Attempt", _attempt(attempt)) for attempt in logged.attempts]


def _target(target: CallbackTarget) -> list[xml.Node]:
    if target.mq is None:
        return [("Url", target.url or "")]
    return [("MqRegion", target.mq.region), ("MqMode", target.mq.mode), ("MqName", target.mq.name)]


def _attempt(attempt: Attempt) -> list[xml.Node]:
    nodes: list[xml.Node] = [("Number", attempt.number), ("Time", ci_time(attempt.at))]
    known = {"Status": attempt.status, "Error": attempt.error, "Milliseconds": attempt.milliseconds}
    return nodes + [(name, value) for name, value in known.items() if value is not None]


def _sorted(content: xml.Content) -> xml.Content:
    """The same with the children of every element in alphabetical order."""
    if isinstance(content, str | int):
        return content
    return [(name, _sorted(inner)) for name, inner in sorted(content, key=itemgetter(0))]


def _members(content: xml.Content) -> Any:  # noqa: ANN401 - JSON
    """The same as JSON; of elements that are repeated, a list."""
    if isinstance(content, str | int):
        return str(content)
    members: dict[str, Any] = {}
    for name, inner in content:
        value = _members(inner)
        members[name] = value if name not in members else [*_listed(members[name]), value]
    return members


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 - JSON
    return value if isinstance(value, list) else [value]
