"""Numbered pages: what a query asks for, and the counts of a reply."""

from typing import Any

from sordino.domain.page import MAX_PAGE_SIZE, Page, Paged
from sordino.errors import INVALID_ARGUMENT
from sordino.wire import xml
from sordino.wire.query import Query

MAX_PAGE_NUMBER = 1_000_000
MAX_IDS = 100
MAX_ID = 128


def parse_page(query: Query) -> Page:
    """Read ``pageNumber`` and ``pageSize``.

    Raises:
        ServiceError: ``InvalidArgument``.
    """
    standard = Page()
    return Page(
        number=query.whole("pageNumber", range(1, MAX_PAGE_NUMBER + 1), standard.number),
        size=query.whole("pageSize", range(1, MAX_PAGE_SIZE + 1), standard.size),
    )


def parse_ids(query: Query, name: str) -> tuple[str, ...]:
    """Read a comma list of ids, each once; one that cannot exist is simply not found.

    Raises:
        ServiceError: ``InvalidArgument`` for more than ``MAX_IDS``, or one longer than ``MAX_ID``.
    """
    ids = query.words(name)
    if len(ids) > MAX_IDS or any(len(one) > MAX_ID for one in ids):
        raise INVALID_ARGUMENT(
            f"The query parameter {name} has {len(ids)} ids; give at most {MAX_IDS}, of at most {MAX_ID} characters."
        )
    return ids


def count_nodes(paged: Paged[Any]) -> list[xml.Node]:
    """TotalCount, PageNumber and PageSize."""
    return [("TotalCount", paged.total), ("PageNumber", paged.page.number), ("PageSize", paged.page.size)]
