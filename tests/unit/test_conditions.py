"""Conditions of policies: every operator with what stands before and behind it, and values that cannot be read."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sordino.api.context import HEADERS, PARAMETERS
from sordino.domain.conditions import EXTERNAL_ID, KEYS, NULL_EQUAL, OPERATORS, ConditionError, parse_condition
from sordino.domain.identity import Account, Caller, CallerKind
from sordino.domain.known import of_everyone
from sordino.domain.resource import Owner, Resource

KEY = "qcs:uin"
SOON, LATER = "2026-11-24T08:00:00Z", "2026-11-24T09:00:00Z"


@dataclass(frozen=True)
class Row:
    """An operator, a value of a policy, and values of a request of which one holds and the other does not."""

    operator: str
    wanted: str
    good: str
    bad: str


ROWS = [
    Row("string_equal", "a", "a", "A"),
    Row("string_not_equal", "a", "A", "a"),
    Row("string_equal_ignore_case", "Straße", "STRASSE", "Strase"),
    Row("string_not_equal_ignore_case", "a", "b", "A"),
    Row("string_like", "in/*.wav", "in/x/y.wav", "in/x/y.mp3"),
    Row("string_not_like", "in/*", "out/a", "in/a"),
    Row("ip_equal", "10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
    Row("ip_not_equal", "10.0.0.0/8", "11.0.0.1", "10.0.0.1"),
    Row("numeric_equal", "5", "5.0", "6"),
    Row("numeric_not_equal", "5", "6", "5.00"),
    Row("numeric_greater_than", "5", "5.1", "5"),
    Row("numeric_greater_than_equal", "5", "5", "4.9"),
    Row("numeric_less_than", "5", "-6", "5"),
    Row("numeric_less_than_equal", "5", "5", "10"),
    Row("date_equal", SOON, "2026-11-24T16:00:00+08:00", LATER),
    Row("date_not_equal", SOON, LATER, "2026-11-24 08:00:00"),
    Row("date_greater_than", SOON, LATER, SOON),
    Row("date_greater_than_equal", SOON, SOON, "2026-11-24T07:59:59Z"),
    Row("date_less_than", LATER, SOON, LATER),
    Row("date_less_than_equal", LATER, LATER, "2026-11-24T09:00:00.000001Z"),
    Row("bool_equal", "true", "True", "false"),
    Row("binary_equal", "AQI=", "AQI=", "AQM="),
]
NAMES = [row.operator for row in ROWS]
# Of each operator one that cannot be read by it; texts can always be.
UNREADABLE = {"ip": "10.0.0", "numeric": "many", "date": "noon", "bool": "yes", "binary": "A"}


def holds(operator: str, wanted: list[str], values: tuple[str, ...] | None, *, in_doubt: bool = False) -> bool:
    """Whether a request with these values of a key fulfils a condition; None: it has not the key."""
    context = {} if values is None else {KEY: values}
    return parse_condition(operator, KEY, wanted).holds(context, in_doubt=in_doubt)


def test_every_operator_has_a_row():
    """The table below is about all operators that there are."""
    assert sorted(NAMES) == sorted(OPERATORS)


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_one_value(row):
    """A value that fits holds with every ending and beginning, and one that does not with none."""
    for before, behind in product(("", "for_any_value:", "for_all_value:"), ("", "_if_exist")):
        name = f"{before}{row.operator}{behind}"
        assert holds(name, [row.wanted], (row.good,)), name
        assert not holds(name, [row.wanted], (row.bad,)), name


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_absent_key(row):
    """A request without the key fulfils no operator, also none with not, unless it ends in _if_exist."""
    for before, nothing in product(("", "for_any_value:", "for_all_value:"), (None, ())):
        assert not holds(f"{before}{row.operator}", [row.wanted], nothing)
        assert holds(f"{before}{row.operator}_if_exist", [row.wanted], nothing)


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_several_values_of_a_request(row):
    """One that fits is enough for any, all must fit for all; without either, an operator with not asks all of them."""
    mixed = (row.bad, row.good)
    assert holds(f"for_any_value:{row.operator}", [row.wanted], mixed)
    assert not holds(f"for_any_value:{row.operator}", [row.wanted], (row.bad, row.bad))
    assert holds(f"for_all_value:{row.operator}", [row.wanted], (row.good, row.good))
    assert not holds(f"for_all_value:{row.operator}", [row.wanted], mixed)
    assert holds(row.operator, [row.wanted], mixed) is ("_not_" not in row.operator)


@pytest.mark.parametrize("row", [row for row in ROWS if "_not_" not in row.operator], ids=lambda row: row.operator)
def test_values_of_a_policy_are_alternatives(row):
    """One of a policy's values is enough, wherever it stands among values that fit nothing of the request."""
    others = {"string": "%", "ip": "192.0.2.1", "bool": row.wanted, "binary": "AA=="}
    kind = row.operator.partition("_")[0]
    other = others.get(kind, row.wanted)
    assert holds(row.operator, [row.wanted, other], (row.good,))
    assert holds(row.operator, [other, row.wanted], (row.good,))


@pytest.mark.parametrize("row", [row for row in ROWS if "_not_" in row.operator], ids=lambda row: row.operator)
def test_not_means_none_of_the_values(row):
    """An operator with not holds of what fits none of a policy's values."""
    assert not holds(row.operator, [row.wanted, row.good], (row.good,))
    assert not holds(row.operator, [row.good, row.wanted], (row.good,))


@pytest.mark.parametrize("name", [name for name in NAMES if name.partition("_")[0] in UNREADABLE])
def test_values_that_cannot_be_read(name):
    """A request's value that is none of the operator's leaves it in doubt; a policy's is refused and named."""
    row = ROWS[NAMES.index(name)]
    unreadable = UNREADABLE[name.partition("_")[0]]
    for values in ((unreadable,), (row.good, unreadable), (row.bad, unreadable)):
        assert holds(name, [row.wanted], values, in_doubt=True)
        assert not holds(name, [row.wanted], values, in_doubt=False)
    with pytest.raises(ConditionError, match=f"value '{unreadable}' of key '{KEY}' is"):
        parse_condition(name, KEY, [row.wanted, unreadable])


@pytest.mark.parametrize(
    ("wanted", "values", "expected"),
    [
        (["true"], None, True),
        (["true"], (), True),
        (["true"], ("1",), False),
        (["false"], None, False),
        (["false"], ("1",), True),
        (["true", "false"], None, True),
        (["true", "false"], ("1",), True),
    ],
)
def test_null_equal(wanted, values, expected):
    """It compares whether the key is absent."""
    assert holds(NULL_EQUAL, wanted, values) is expected


@pytest.mark.parametrize(
    ("wanted", "asked", "expected"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("10.217.182.3/24", "10.217.182.250", True),
        ("0.0.0.0/0", "203.0.113.9", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("::/0", "203.0.113.9", False),
        ("2001:db8::/32", "2001:DB8:0::1", True),
        ("2001:db8::/32", "2001:db9::1", False),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "::ffff:a01:203", True),
        ("::ffff:10.0.0.0/104", "10.1.2.3", True),
        ("::ffff:10.0.0.0/104", "11.1.2.3", False),
        ("::/0", "::ffff:10.1.2.3", False),
        ("::ffff:0:0/95", "10.1.2.3", False),
        ("::ffff:0:0/96", "10.1.2.3", True),
        ("fe80::/10", "fe80::1%eth0", True),
    ],
)
def test_networks(wanted, asked, expected):
    """Addresses lie in networks of their own kind, and IPv4 that is written as IPv6 is IPv4."""
    assert holds("ip_equal", [wanted], (asked,)) is expected
    assert holds("ip_not_equal", [wanted], (asked,)) is not expected


@pytest.mark.parametrize(
    ("key", "wanted", "asked"),
    [
        ("cos:prefix", "releases%2Fstaging%2F*", "releases/staging/a"),
        ("COS:Prefix", "releases/*", "releases/staging/a"),
        ("cos:response-content-type", "image%2Fjpeg", "image/jpeg"),
        ("cos:prefix", "%E4%B8%AD*", "中文"),
    ],
)
def test_values_of_cos_are_written_as_in_urls(key, wanted, asked):
    """COS documents values of its keys percent-encoded; keys count in any case."""
    assert parse_condition("string_like", key, [wanted]).holds({key.lower(): (asked,)}, in_doubt=False)


def test_operators_count_in_any_case():
    """As elements do."""
    assert holds("For_Any_Value:String_Equal_If_Exist", ["a"], ("a",))


@pytest.mark.parametrize(
    ("operator", "key", "values", "message"),
    [
        ("string_equals", KEY, ["a"], "no such operator"),
        ("", KEY, ["a"], "no such operator"),
        ("for_some_value:string_equal", KEY, ["a"], "no such operator"),
        ("for_any_value:for_all_value:string_equal", KEY, ["a"], "no such operator"),
        ("string_equal_if_exist_if_exist", KEY, ["a"], "no such operator"),
        ("null_equal_if_exist", KEY, ["true"], "takes nothing before or behind"),
        ("for_any_value:null_equal", KEY, ["true"], "takes nothing before or behind"),
        ("null_equal", KEY, ["yes"], "is neither true nor false"),
        ("string_equal", "qcs:resource_tag", ["a"], "key 'qcs:resource_tag' is not known here"),
        ("string_equal", KEY, [], "has no value"),
        ("ip_equal", KEY, ["10.*.*.1"], "is no address"),
        ("ip_equal", KEY, ["10.0.0.0/33"], "is no address"),
        ("numeric_equal", KEY, ["1e9"], "is no number"),
        ("numeric_equal", KEY, ["9" * 31], "is no number"),
        ("numeric_equal", KEY, ["٣"], "is no number"),
        ("date_equal", KEY, ["2026-13-01"], "is no time"),
        ("date_equal", KEY, ["0000-01-01"], "is no time"),
        ("date_equal", KEY, ["2026-W48-2"], "is no time"),
        ("binary_equal", KEY, ["ä"], "is no base64"),
        ("binary_equal", KEY, ["AQ*I="], "is no base64"),
    ],
)
def test_refusals(operator, key, values, message):
    """What is no condition is refused with what is wrong."""
    with pytest.raises(ConditionError, match=message):
        parse_condition(operator, key, values)


def test_requests_have_these_keys():
    """Every key that a policy may name is one that some request gives a value to, and the other way round."""
    account = Account(appid="1250000000", uin="100000000001")
    caller = Caller(account=account, kind=CallerKind.ROOT, name=account.uin)
    owner = Owner(appid=account.appid, uin=account.uin)
    given_by_all = {
        key
        for service in ("ci", "cos", "cmqqueue", "cmqtopic")
        for key in of_everyone(
            caller,
            "192.0.2.1",
            datetime(2026, 11, 24, tzinfo=UTC),
            Resource(service=service, region="ap-guangzhou", owner=owner, path="a"),
        )
    }
    given_by_some = {f"cos:{name}" for table in (HEADERS, PARAMETERS) for names in table.values() for name in names}
    assert {*given_by_all, *given_by_some, "cos:secure-transport", EXTERNAL_ID} == set(KEYS)


def test_keys_are_in_lower_case():
    """Requests give their values under these very names."""
    assert [key for key in KEYS if key != key.lower()] == []


@given(operator=st.sampled_from(NAMES), value=st.text(max_size=40))
def test_nothing_that_is_asked_breaks_an_operator(operator, value):
    """Whatever a client sends, an operator holds, or does not, or is in doubt."""
    row = ROWS[NAMES.index(operator)]
    assert holds(operator, [row.wanted], (value,), in_doubt=True) in (True, False)
