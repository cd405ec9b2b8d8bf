"""Which jobs a query asks for: those of some ids, or a page of a list."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sordino.domain.job import (
    MAX_JOB_IDS_PER_QUERY,
    MAX_JOBS_PER_PAGE,
    TAG,
    JobCursor,
    JobFilter,
    JobState,
    Order,
)
from sordino.errors import INVALID_ARGUMENT
from sordino.wire.job_token import read_token
from sordino.wire.query import Query
from sordino.wire.times import read_ci_time
from sordino.wire.words import ALL, comma_list, quote

MAX_JOB_ID = 128
JOBS_PER_PAGE = 10

_TAG = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_TO_THE_END_OF_A_SECOND = timedelta(microseconds=999_999)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobListQuery:
    """A page of a list: at most ``size`` jobs that come after ``after`` in ``order``."""

    wanted: JobFilter
    order: Order
    after: JobCursor | None
    size: int


def parse_job_ids(segment: str) -> tuple[str, ...]:
    """Read the ids of ``GET /jobs/<id>[,<id>...]``, each once, in the order given.

    Ids are not checked for their form: one that cannot exist is simply not found.

    Args:
        segment: what follows ``/jobs/`` in the decoded path.

    Raises:
        ServiceError: ``InvalidArgument`` for no id, more than ten, or one longer than ``MAX_JOB_ID``.
    """
    job_ids = comma_list(segment)
    if not 1 <= len(job_ids) <= MAX_JOB_IDS_PER_QUERY:
        raise INVALID_ARGUMENT(f"{len(job_ids)} job ids are given; give 1 to {MAX_JOB_IDS_PER_QUERY}, comma separated.")
    if any(len(job_id) > MAX_JOB_ID for job_id in job_ids):
        raise INVALID_ARGUMENT(f"A job id is longer than {MAX_JOB_ID} characters.")
    return job_ids


def parse_job_list(query: Query) -> JobListQuery | None:
    """Read the query of ``GET /jobs``.

    Returns:
        The page asked for; None when no job here can match: all are of one tag, and none comes from a workflow or an
        inventory.

    Raises:
        ServiceError: ``InvalidArgument``.
    """
    asked = JobListQuery(
        wanted=_filter(query),
        order=query.choice("orderByTime", Order) or Order.DESCENDING,
        after=_cursor(query),
        size=query.whole("size", range(1, MAX_JOBS_PER_PAGE + 1), JOBS_PER_PAGE),
    )
    foreign = query.get("workflowId") or query.get("inventoryTriggerJobId")
    return asked if is_ours(parse_tag(query)) and not foreign else None


def parse_tag(query: Query, default: str | None = None) -> str:
    """The parameter ``tag``: ours, or any other kind of job that the protocol may know.

    Raises:
        ServiceError: ``InvalidArgument``, also where it is absent without a ``default``.
    """
    tag = query.get("tag") or default
    if tag is None:
        raise INVALID_ARGUMENT(f"The query parameter tag is missing or empty; use {TAG}.")
    if _TAG.fullmatch(tag) is None:
        raise INVALID_ARGUMENT(f"The query parameter tag is {quote(tag)}; use {TAG}.")
    return tag


def is_ours(tag: str) -> bool:
    """Whether anything here has that tag."""
    return tag == TAG


def _filter(query: Query) -> JobFilter:
    begin, end = _time(query, "startCreationTime"), _time(query, "endCreationTime")
    if begin is not None and end is not None and begin > end:
        raise INVALID_ARGUMENT("startCreationTime is later than endCreationTime; exchange them.")
    return JobFilter(
        states=_states(query.words("states")),
        queue_id=query.get("queueId"),
        input_object=query.get("inputObject"),
        created_from=begin,
        # Times are told in whole seconds: the last one counts to its end.
        created_until=None if end is None else end + _TO_THE_END_OF_A_SECOND,
    )


def _states(names: Iterable[str]) -> frozenset[JobState]:
    """The states; none for ``All``, which asks for every one."""
    legal = {state.value: state for state in JobState}
    given = set(names)
    for name in sorted(given - {ALL}):
        if name not in legal:
            raise INVALID_ARGUMENT(f"states has {quote(name)}; use {ALL} or a comma list of {', '.join(legal)}.")
    return frozenset() if ALL in given else frozenset(legal[name] for name in given)


def _time(query: Query, name: str) -> datetime | None:
    text = query.get(name)
    if text is None:
        return None
    # A plus that was not escaped arrives as a space.
    at = read_ci_time(text.replace(" ", "+"))
    if at is None:
        raise INVALID_ARGUMENT(f"{name} is {quote(text)}; use the form 2026-01-05T10:00:00+0800, with + sent as %2B.")
    return at


def _cursor(query: Query) -> JobCursor | None:
    token = query.get("nextToken")
    if token is None:
        return None
    cursor = read_token(token)
    if cursor is None:
        raise INVALID_ARGUMENT(f"nextToken is {quote(token)}; use the NextToken of the last page, or leave it out.")
    return cursor
