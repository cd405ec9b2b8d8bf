from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sordino.wire.times import ci_time, http_date, iso_time, read_ci_time


def test_forms_of_times():
    """Each of the protocol's three forms, from any zone."""
    at = datetime(2020, 12, 10, 4, 37, 30, tzinfo=timezone(timedelta(hours=1)))
    assert ci_time(at) == "2020-12-10T11:37:30+0800"
    assert ci_time(None) == "-"
    assert iso_time(at) == "2020-12-10T03:37:30.000Z"
    assert http_date(at) == "Thu, 10 Dec 2020 03:37:30 GMT"


@pytest.mark.parametrize("zone", ["+0800", "-0330", "+0000", "+1400"])
def test_a_time_is_read(zone):
    """A time of any zone is read, and given in UTC."""
    found = read_ci_time(f"2026-01-05T10:00:00{zone}")
    assert found == datetime.strptime(f"2026-01-05T10:00:00{zone}", "%Y-%m-%dT%H:%M:%S%z")
    assert found.tzinfo is UTC


@given(st.integers(-30_000_000_000, 250_000_000_000), st.integers(-840, 840))
def test_what_is_written_is_read(seconds, zone):
    """Every time of the years 1019 to 9892 is read back as it was told, whatever its zone."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    assert read_ci_time(ci_time(at, timezone(timedelta(minutes=zone)))) == at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "2026-01-05",
        "2026-01-05T10:00:00",
        "2026-01-05T10:00:00Z",
        "2026-01-05T10:00:00+08:00",
        "2026-01-05T10:00:00.5+0800",
        "2026-01-05 10:00:00+0800",
        "2026-02-30T10:00:00+0800",
        "2026-01-05T24:00:00+0800",
        "2026-01-05T10:00:60+0800",
        "2026-01-05T10:00:00+9900",
        "0000-01-05T10:00:00+0800",
        "0001-01-01T00:00:00+0800",
        "9999-12-31T23:59:59-0800",
        "\u0662026-01-05T10:00:00+0800",
    ],
)
def test_what_is_no_time(text):
    """Other forms, days that do not exist and times outside the calendar are none."""
    assert read_ci_time(text) is None


@given(st.text(max_size=30))
def test_no_text_breaks_the_reader(text):
    """Any text is a time or none."""
    read_ci_time(text)
