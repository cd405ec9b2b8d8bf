"""The queue calls."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sordino.domain.job import QUEUE_TYPE
from sordino.domain.page import Page, Paged
from sordino.domain.queue import MAX_QUEUE_NAME, Queue, QueueSettings, QueueState
from sordino.errors import INVALID_ARGUMENT
from sordino.wire import xml
from sordino.wire.notify import notify_nodes, parse_notify
from sordino.wire.paging import count_nodes, parse_ids, parse_page
from sordino.wire.part import read_request
from sordino.wire.query import Query
from sordino.wire.times import ci_time
from sordino.wire.words import ALL, quote

_CATEGORY = re.compile(r"[A-Za-z]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueQuery:
    """Which queues are asked for: those of ``ids`` if there are any, else a page of those in ``state`` (None: any)."""

    ids: tuple[str, ...]
    state: QueueState | None
    page: Page


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """The server's limits of queues that have none of their own."""

    max_size: int
    max_concurrent: int


def parse_queue(body: bytes) -> QueueSettings:
    """Read the body of creating and of updating a queue. An id in it does not count: the path decides.

    Raises:
        ServiceError: ``MissingContent``, ``InvalidContent``, ``InvalidArgument``, ``NotImplemented``.
    """
    request = read_request(body)
    notify = request.need_container("NotifyConfig")
    return QueueSettings(
        name=request.need_name(MAX_QUEUE_NAME),
        state=request.need_choice("State", QueueState),
        notify=parse_notify(notify),
    )


def parse_queue_query(query: Query) -> QueueQuery:
    """Read the query of listing queues.

    The parameter ``category`` names one of the vendor's kinds of queues. It does not choose: here one kind does all.

    Raises:
        ServiceError: ``InvalidArgument``.
    """
    category = query.get("category")
    if category is not None and _CATEGORY.fullmatch(category) is None:
        raise INVALID_ARGUMENT(f"The query parameter category is {quote(category)}; use {QUEUE_TYPE}, or leave it out.")
    state = query.choice("state", (*QueueState, ALL))
    return QueueQuery(
        ids=parse_ids(query, "queueIds"),
        state=state if isinstance(state, QueueState) else None,
        page=parse_page(query),
    )


def render_queue(queue: Queue, limits: QueueLimits, request_id: str) -> bytes:
    """The reply of creating and of updating one."""
    return xml.document("Response", [("RequestId", request_id), ("Queue", _nodes(queue, limits))])


def render_queue_page(paged: Paged[Queue], limits: QueueLimits, request_id: str) -> bytes:
    """The reply of listing them."""
    return xml.document("Response", [("RequestId", request_id), *count_nodes(paged), *_list(paged.items, limits)])


def render_found_queues(found: Sequence[Queue], missing: Sequence[str], limits: QueueLimits, request_id: str) -> bytes:
    """The reply of asking for some by their ids: no counts, and one NonExistPIDs an unknown id."""
    unknown: list[xml.Node] = [("NonExistPIDs", queue_id) for queue_id in missing]
    return xml.document("Response", [("RequestId", request_id), *_list(found, limits), *unknown])


def render_removed_queue(queue_id: str, request_id: str) -> bytes:
    """The reply of deleting one."""
    return xml.document("Response", [("RequestId", request_id), ("QueueId", queue_id)])


def _list(queues: Sequence[Queue], limits: QueueLimits) -> list[xml.Node]:
    return [("QueueList", _nodes(queue, limits)) for queue in queues]


def _nodes(queue: Queue, limits: QueueLimits) -> list[xml.Node]:
    return [
        ("QueueId", queue.queue_id),
        ("Name", queue.settings.name),
        ("State", queue.settings.state),
        ("NotifyConfig", notify_nodes(queue.settings.notify)),
        ("MaxSize", queue.max_size or limits.max_size),
        ("MaxConcurrent", queue.max_concurrent or limits.max_concurrent),
        ("UpdateTime", ci_time(queue.updated_at)),
        ("CreateTime", ci_time(queue.created_at)),
        ("Category", QUEUE_TYPE),
        ("BucketId", queue.bucket),
    ]
