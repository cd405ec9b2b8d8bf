"""The query that lists jobs: one page of a bucket, by time of creation, through whichever index fits the filter."""

from typing import Any, Final

from sordino.domain.job import JobCursor, JobFilter, JobState, Order

# The indexes of states and queues have the state before the time: each state gives its first rows in order, and those
# of all states are merged. So a page costs a few rows of each state, however many jobs there are.
_BY_STATE: Final = """
SELECT page.*
  FROM unnest(%(states)s) AS wanted (state) CROSS JOIN LATERAL (
       SELECT {columns}
         FROM jobs
        WHERE bucket = %(bucket)s AND jobs.state = wanted.state {conditions}
        ORDER BY created_at {direction}, job_id {direction}
        LIMIT %(limit)s) AS page
 ORDER BY created_at {direction}, job_id {direction}
 LIMIT %(limit)s
"""
# One input has few jobs: those of other states are passed over.
_BY_INPUT: Final = """
SELECT {columns}
  FROM jobs
 WHERE bucket = %(bucket)s AND input_object = %(input_object)s AND state = ANY(%(states)s) {conditions}
 ORDER BY created_at {direction}, job_id {direction}
 LIMIT %(limit)s
"""
_DIRECTIONS: Final = {Order.ASCENDING: ("ASC", ">"), Order.DESCENDING: ("DESC", "<")}


def listing(
    columns: str, bucket: str, wanted: JobFilter, *, order: Order, after: JobCursor | None, limit: int
) -> tuple[str, dict[str, Any]]:
    """The query of one page and its parameters. ``columns`` is ours; all that a user says is a parameter."""
    direction, beyond = _DIRECTIONS[order]
    query = _BY_STATE if wanted.input_object is None else _BY_INPUT
    conditions = "".join(f" AND {condition}" for condition in _conditions(wanted, after, beyond))
    parameters = {
        "bucket": bucket,
        "states": [state.value for state in wanted.states or JobState],
        "queue_id": wanted.queue_id,
        "input_object": wanted.input_object,
        "created_from": wanted.created_from,
        "created_until": wanted.created_until,
        "after_time": after and after.created_at,
        "after_id": after and after.job_id,
        "limit": limit,
    }
    return query.format(columns=columns, conditions=conditions, direction=direction), parameters


def _conditions(wanted: JobFilter, after: JobCursor | None, beyond: str) -> list[str]:
    """What narrows the page further. Written out for what is asked alone, so that each can be looked up in an index."""
    asked = {
        "queue_id = %(queue_id)s": wanted.queue_id,
        "created_at >= %(created_from)s": wanted.created_from,
        "created_at <= %(created_until)s": wanted.created_until,
        f"(created_at, job_id) {beyond} (%(after_time)s, %(after_id)s)": after,
    }
    return [condition for condition, value in asked.items() if value is not None]
