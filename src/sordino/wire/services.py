"""The service switches: open, list, close."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sordino.domain.page import Page, Paged
from sordino.domain.service import Binding, BindingFilter, ServiceKind
from sordino.wire import xml
from sordino.wire.paging import count_nodes, parse_page
from sordino.wire.query import Query
from sordino.wire.times import ci_time
from sordino.wire.words import ALL

ELEMENTS: Mapping[ServiceKind, str] = MappingProxyType(
    {ServiceKind.SPEECH: "AsrBucket", ServiceKind.AI: "AiBucket", ServiceKind.MEDIA: "MediaBucket"}
)
"""How replies name a bucket that a service is open on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BindingQuery:
    """A page of the buckets that a service is open on."""

    wanted: BindingFilter
    page: Page


def parse_binding_query(query: Query) -> BindingQuery:
    """Read the query of listing the buckets of a service.

    Raises:
        ServiceError: ``InvalidArgument``.
    """
    regions = frozenset(query.words("regions"))
    wanted = BindingFilter(
        regions=frozenset() if ALL in regions else regions,
        names=frozenset(query.words("bucketNames")),
        prefix=query.get("bucketName") or "",
    )
    return BindingQuery(wanted=wanted, page=parse_page(query))


def render_binding(binding: Binding, request_id: str) -> bytes:
    """The reply of opening a service."""
    return xml.document("Response", [("RequestId", request_id), (ELEMENTS[binding.kind], _nodes(binding))])


def render_binding_page(kind: ServiceKind, paged: Paged[Binding], request_id: str) -> bytes:
    """The reply of listing the buckets of a service."""
    found: list[xml.Node] = [(f"{ELEMENTS[kind]}List", _nodes(binding)) for binding in paged.items]
    return xml.document("Response", [("RequestId", request_id), *count_nodes(paged), *found])


def render_closed(bucket: str, request_id: str) -> bytes:
    """The reply of closing a service."""
    return xml.document("Response", [("RequestId", request_id), ("BucketName", bucket)])


def _nodes(binding: Binding) -> list[xml.Node]:
    bucket = binding.bucket
    return [
        ("Name", bucket.name),
        ("BucketId", bucket.name),
        ("Region", bucket.region),
        ("CreateTime", ci_time(binding.opened_at)),
        ("AliasBucketId", ""),
    ]
