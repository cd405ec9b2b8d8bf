"""Times in the forms of the protocol."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.utils import format_datetime

CI_ZONE = timezone(timedelta(hours=8))
"""The zone of CI's times; the vendor's samples all show it."""

_CI_FORM = "%Y-%m-%dT%H:%M:%S%z"
_CI_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[+-][0-9]{4}")


def ci_time(at: datetime | None, zone: tzinfo = CI_ZONE) -> str:
    """CI's form, ``2026-01-05T10:00:00+0800``; ``-`` for what has not happened yet."""
    return "-" if at is None else at.astimezone(zone).strftime(_CI_FORM)


def read_ci_time(text: str) -> datetime | None:
    """A time in CI's form, in UTC; None when ``text`` is none."""
    if _CI_TIME.fullmatch(text) is None:
        return None
    try:
        return datetime.strptime(text, _CI_FORM).astimezone(UTC)
    except (ValueError, OverflowError):  # no such day, or one before the first or after the last year
        return None


def iso_time(at: datetime) -> str:
    """COS's form, ``2020-12-10T03:37:30.000Z``."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def http_date(at: datetime) -> str:
    """The form of Date and Last-Modified headers, ``Thu, 10 Dec 2020 03:37:30 GMT``."""
    return format_datetime(at.astimezone(UTC), usegmt=True)
