from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sordino.domain.job import JobCursor, JobFilter, JobState, Order
from sordino.errors import ServiceError
from sordino.wire.job_query import JobListQuery, parse_job_ids, parse_job_list
from sordino.wire.job_token import read_token, write_token
from sordino.wire.query import Query

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TEN = datetime(2026, 1, 5, 2, tzinfo=UTC)
PLAIN = JobListQuery(wanted=JobFilter(), order=Order.DESCENDING, after=None, size=10)
cursors = st.builds(
    JobCursor,
    created_at=st.integers(0, 10**17 - 1).map(lambda count: EPOCH + timedelta(microseconds=count)),
    job_id=st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True),
)


def asked(**parameters):
    """What the parameters beside the tag ask for."""
    return parse_job_list(Query.parse(urlencode({"tag": "NoiseReduction"} | parameters).encode()))


def refusal(**parameters):
    """The message that the parameters are refused with."""
    with pytest.raises(ServiceError) as refused:
        asked(**parameters)
    assert (refused.value.status, refused.value.code) == (400, "InvalidArgument")
    return refused.value.message


@pytest.mark.parametrize(
    ("segment", "ids"),
    [
        ("j1", ("j1",)),
        ("j1,j2", ("j1", "j2")),
        (" j1 ,,j2,", ("j1", "j2")),
        ("j2,j1,j2", ("j2", "j1")),
        (",".join(map(str, range(10))), tuple(map(str, range(10)))),
        ("中/<>", ("中/<>",)),
    ],
)
def test_job_ids(segment, ids):
    """Ids are read in order, once each; what they look like does not matter."""
    assert parse_job_ids(segment) == ids


@pytest.mark.parametrize("segment", ["", ",", " , ", ",".join(map(str, range(11))), "j" * 129])
def test_bad_job_ids(segment):
    """No id, more than ten, and absurdly long ones are refused."""
    with pytest.raises(ServiceError) as refused:
        parse_job_ids(segment)
    assert refused.value.code == "InvalidArgument"


def test_a_plain_list():
    """A tag alone asks for the ten newest jobs."""
    assert asked() == PLAIN


def test_empty_parameters_are_absent():
    """SDKs send the parameters that nobody gave with empty values."""
    names = ("queueId", "orderByTime", "nextToken", "size", "states", "startCreationTime", "endCreationTime")
    others = ("workflowId", "inventoryTriggerJobId", "inputObject")
    assert asked(**dict.fromkeys([*names, *others], "")) == PLAIN


def test_a_full_list():
    """All parameters are read; the last second of creation counts to its end."""
    place = JobCursor(created_at=TEN, job_id="j1")
    found = asked(
        queueId="pabc",
        orderByTime="Asc",
        nextToken=write_token(place),
        size="100",
        states="Success, Failed,Success",
        startCreationTime="2026-01-05T10:00:00+0800",
        endCreationTime="2026-01-05T10:00:00+0800",
        inputObject="in/a b+中.wav",
    )
    assert found == JobListQuery(
        wanted=JobFilter(
            states=frozenset({JobState.SUCCESS, JobState.FAILED}),
            queue_id="pabc",
            input_object="in/a b+中.wav",
            created_from=TEN,
            created_until=TEN + timedelta(microseconds=999_999),
        ),
        order=Order.ASCENDING,
        after=place,
        size=100,
    )


@pytest.mark.parametrize("states", ["All", "All,Success", ",", " All "])
def test_all_states(states):
    """All, alone or beside others, asks for every state, and so do no names at all."""
    assert asked(states=states) == PLAIN


@pytest.mark.parametrize("state", list(JobState))
def test_every_state(state):
    """Each state can be asked for by its name."""
    assert asked(states=state).wanted.states == {state}


def test_a_plus_that_was_not_escaped():
    """A time whose plus arrives as a space is read as it was meant."""
    query = Query.parse(b"tag=NoiseReduction&startCreationTime=2026-01-05T10:00:00+0800")
    assert parse_job_list(query) == JobListQuery(
        wanted=JobFilter(created_from=TEN), order=Order.DESCENDING, after=None, size=10
    )


@pytest.mark.parametrize(
    "parameters",
    [
        {"tag": "Transcode"},
        {"tag": "SpeechRecognition"},
        {"tag": "Some-New_Tag2"},
        {"workflowId": "w1"},
        {"inventoryTriggerJobId": "b1"},
    ],
)
def test_lists_that_are_empty_here(parameters):
    """Jobs of other kinds, of workflows and of inventories are asked for rightly; there are none."""
    assert asked(**parameters) is None


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({"tag": ""}, ["tag", "missing", "NoiseReduction"]),
        ({"tag": "Noise Reduction"}, ["tag", "'Noise Reduction'", "NoiseReduction"]),
        ({"tag": "x" * 65}, ["tag"]),
        ({"orderByTime": "Down"}, ["orderByTime", "'Down'", "Desc, Asc"]),
        ({"size": "0"}, ["size", "'0'", "1 to 100"]),
        ({"size": "101"}, ["size", "1 to 100"]),
        ({"size": "ten"}, ["size", "'ten'"]),
        ({"size": "+5"}, ["size"]),
        ({"size": "\u0665"}, ["size"]),
        ({"size": "9" * 5000}, ["size"]),
        ({"states": "Success,Done"}, ["states", "'Done'", "All", "Submitted, Running, Success, Failed, Pause, Cancel"]),
        ({"states": "success"}, ["states", "'success'"]),
        ({"startCreationTime": "yesterday"}, ["startCreationTime", "'yesterday'", "2026-01-05T10:00:00+0800", "%2B"]),
        ({"endCreationTime": "2026-01-05"}, ["endCreationTime", "'2026-01-05'"]),
        (
            {"startCreationTime": "2026-01-05T10:00:01+0800", "endCreationTime": "2026-01-05T10:00:00+0800"},
            ["startCreationTime", "later", "endCreationTime"],
        ),
        ({"nextToken": "225508"}, ["nextToken", "'225508'", "NextToken"]),
        ({"tag": "Transcode", "size": "0"}, ["size"]),
    ],
)
def test_refused_lists(parameters, names):
    """Each refusal names the parameter and what is legal there, also where the list would be empty."""
    message = refusal(**parameters)
    assert all(name in message for name in names)


@given(cursors)
def test_tokens_are_read_back(cursor):
    """A token stands for exactly one place, and needs no escaping in a query."""
    token = write_token(cursor)
    assert read_token(token) == cursor
    assert token.replace("-", "").replace("_", "").isalnum()


@given(st.one_of(st.text(), st.binary().map(lambda raw: urlsafe_b64encode(raw).decode())))
def test_other_tokens_are_none(token):
    """What was not made here is no token, whatever it is."""
    cursor = read_token(token)
    assert cursor is None or write_token(cursor) == token


@pytest.mark.parametrize(
    "text",
    ["", "1.5", "2.5.j1", "1.5.", "1.-5.j1", "1.05.j1", "1.5.j 1", "1.5.j\x001", "1.999999999999999999.j1", "1.5.j1\n"],
)
def test_broken_tokens(text):
    """A token of another version, or with anything changed in it, is refused."""
    token = urlsafe_b64encode(text.encode()).decode().rstrip("=")
    assert read_token(token) is None
    if token:
        assert "nextToken" in refusal(nextToken=token)


def test_a_padded_token_is_another():
    """A token has one spelling."""
    token = write_token(JobCursor(created_at=TEN, job_id="j1"))
    assert read_token(token + "=") is None
    assert read_token(token) is not None


def outcome(**parameters):
    """What the parameters ask for, or the code of the refusal."""
    try:
        return asked(**parameters)
    except ServiceError as refused:
        return refused.code


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(st.dictionaries(st.sampled_from(["tag", "size", "states", "startCreationTime", "nextToken"]), words))
def test_no_query_breaks_the_reader(parameters):
    """Whatever the parameters hold, they ask for a list, for one that is empty, or are refused as an argument."""
    found = outcome(**parameters)
    assert found is None or found == "InvalidArgument" or isinstance(found, JobListQuery)
