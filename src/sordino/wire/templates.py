"""The template calls."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sordino.domain.job import TAG, NoiseReduction, RateSpelling
from sordino.domain.page import Page, Paged
from sordino.domain.template import MAX_TEMPLATE_NAME, Template
from sordino.wire import xml
from sordino.wire.job_query import is_ours, parse_tag
from sordino.wire.order import order_nodes, parse_order
from sordino.wire.paging import count_nodes, parse_ids, parse_page
from sordino.wire.part import read_request
from sordino.wire.query import Query
from sordino.wire.times import ci_time
from sordino.wire.words import ALL

CUSTOM = "Custom"
OFFICIAL = "Official"


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateQuery:
    """Which templates are asked for: those of ``ids`` if there are any, else a page of those whose names begin so.

    ``ours`` is False when none here can match: all are of one tag, and made by users.
    """

    ids: tuple[str, ...]
    prefix: str
    page: Page
    ours: bool


def parse_template(body: bytes, models: Collection[str]) -> tuple[str, NoiseReduction]:
    """Read the body of creating and of updating a template: its name and its order.

    Args:
        body: the document.
        models: names of the engines that an order may choose from.

    Raises:
        ServiceError: ``MissingContent``, ``InvalidContent``, ``InvalidArgument``, ``NotImplemented``.
    """
    request = read_request(body)
    request.need_checked("Tag", TAG.__eq__, TAG)
    name = request.need_name(MAX_TEMPLATE_NAME)
    order = request.need_container("NoiseReduction")
    return name, parse_order(order, models, RateSpelling.TEMPLATE)


def parse_template_query(query: Query) -> TemplateQuery:
    """Read the query of ``GET /template``.

    Raises:
        ServiceError: ``InvalidArgument``.
    """
    tag = parse_tag(query, ALL)
    custom = query.choice("category", (CUSTOM, OFFICIAL)) != OFFICIAL
    return TemplateQuery(
        ids=parse_ids(query, "ids"),
        prefix=query.get("name") or "",
        page=parse_page(query),
        ours=custom and (tag == ALL or is_ours(tag)),
    )


def render_template(template: Template, request_id: str) -> bytes:
    """The reply of creating and of updating one."""
    return xml.document("Response", [("RequestId", request_id), ("Template", _nodes(template))])


def render_template_page(paged: Paged[Template], request_id: str) -> bytes:
    """The reply of listing them."""
    return xml.document("Response", [("RequestId", request_id), *count_nodes(paged), *_list(paged.items)])


def render_found_templates(found: Sequence[Template], missing: Sequence[str], request_id: str) -> bytes:
    """The reply of asking for some by their ids; it has no counts."""
    unknown: list[xml.Node] = [("NonExistTIDs", [("TemplateId", one) for one in missing])] if missing else []
    return xml.document("Response", [("RequestId", request_id), *_list(found), *unknown])


def render_removed_template(template_id: str, request_id: str) -> bytes:
    """The reply of deleting one."""
    return xml.document("Response", [("RequestId", request_id), ("TemplateId", template_id)])


def _list(templates: Sequence[Template]) -> list[xml.Node]:
    return [("TemplateList", _nodes(template)) for template in templates]


def _nodes(template: Template) -> list[xml.Node]:
    return [
        ("TemplateId", template.template_id),
        ("Name", template.name),
        ("State", "Normal"),
        ("Tag", TAG),
        ("CreateTime", ci_time(template.created_at)),
        ("UpdateTime", ci_time(template.updated_at)),
        ("BucketId", template.bucket),
        ("Category", CUSTOM),
        (TAG, order_nodes(template.noise_reduction)),
    ]
