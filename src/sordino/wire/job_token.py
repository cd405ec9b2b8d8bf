"""The token that a page of a list of jobs ends with: where the next one begins, opaque to clients."""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta

from sordino.domain.job import JobCursor

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# The version of the form, microseconds since the epoch (until the year 5138), the id of a job.
_FORM = re.compile(r"1\.(?P<at>0|[1-9][0-9]{0,16})\.(?P<job_id>[A-Za-z0-9_-]{1,128})")


def write_token(cursor: JobCursor) -> str:
    """The token for a place in a list."""
    text = f"1.{(cursor.created_at - _EPOCH) // _MICROSECOND}.{cursor.job_id}"
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_token(token: str) -> JobCursor | None:
    """The place that a token of ours stands for; None for anything else."""
    try:
        text = urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    cursor = JobCursor(created_at=_EPOCH + int(found["at"]) * _MICROSECOND, job_id=found["job_id"])
    return cursor if write_token(cursor) == token else None
