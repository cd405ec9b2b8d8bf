"""The query that lists jobs: one page of a bucket, by time of creation, through whichever index fits the filter."""

from typing import Any, Final

from sordino.domain.job import JobCursor, JobFilter, JobState, Order

# Every index has a key with the state in it before the time: each state gives its first rows in order, and those of all
# states are merged. So a page costs a few rows of each state, however many jobs there are.
_PAGE: Final = """
SELECT page.*
  FROM unnest(%(keys)s::text[]) AS wanted (key) CROSS JOIN LATERAL (
       SELECT {columns}
         FROM jobs
        WHERE bucket = %(bucket)s AND {key} = wanted.key {conditions}
        ORDER BY created_at {direction}, job_id {direction}
        LIMIT %(limit)s) AS page
 ORDER BY created_at {direction}, job_id {direction}
 LIMIT %(limit)s
"""
_DIRECTIONS: Final = {Order.ASCENDING: ("ASC", ">"), Order.DESCENDING: ("DESC", "<")}


def listing(
    columns: str, bucket: str, wanted: JobFilter, *, order: Order, after: JobCursor | None, limit: int
) -> tuple[str, dict[str, Any]]:
    """The query of one page and its parameters. ``columns`` is ours; all that a user says is a parameter."""
    direction, beyond = _DIRECTIONS[order]
    key, rest = _key(wanted)
    conditions = "".join(f" AND {condition}" for condition in _conditions(wanted, after, beyond))
    parameters = {
        "bucket": bucket,
        "keys": [f"{state}{rest}" for state in wanted.states or JobState],
        "queue_id": wanted.queue_id,
        "created_from": wanted.created_from,
        "created_until": wanted.created_until,
        "after_time": after and after.created_at,
        "after_id": after and after.job_id,
        "limit": limit,
    }
    return _PAGE.format(columns=columns, key=key, conditions=conditions, direction=direction), parameters


def _key(wanted: JobFilter) -> tuple[str, str]:
    """The key of the index to use, as the migrations spell it, and what follows the state in its values."""
    if wanted.input_object is not None:
        return "(state || ' ' || input_object)", f" {wanted.input_object}"
    if wanted.queue_id is not None:
        return "(state || ' ' || queue_id)", f" {wanted.queue_id}"
    return "state", ""


def _conditions(wanted: JobFilter, after: JobCursor | None, beyond: str) -> list[str]:
    """What narrows the page further. Written out for what is asked alone, so that each can be looked up in an index."""
    asked = {
        "queue_id = %(queue_id)s": wanted.queue_id,
        "created_at >= %(created_from)s": wanted.created_from,
        "created_at <= %(created_until)s": wanted.created_until,
        f"(created_at, job_id) {beyond} (%(after_time)s, %(after_id)s)": after,
    }
    return [condition for condition, value in asked.items() if value is not None]
