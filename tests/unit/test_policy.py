"""Policies: what is read of a document, what of it covers what, and what is refused with which words."""

import json
import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sordino.domain.patterns import Pattern, PatternError, ResourcePattern, forms
from sordino.domain.policy import MAX_STATEMENTS, PolicyError, PolicyKind, Variables, parse_policy
from sordino.domain.resource import (
    Owner,
    account_resource,
    ci_resource,
    cos_resource,
    role_resource,
)

OWN = Owner(appid="1250000000", uin="100000000001")
OTHER = Owner(appid="1250000009", uin="100000000009")
REGION = "ap-guangzhou"
BUCKET = "examplebucket-1250000000"
OBJECT = cos_resource(BUCKET, REGION, OWN, "in/a.wav")
ROOT_PRINCIPAL = {"qcs": ["qcs::cam::uin/100000000009:root"]}

WORDS = st.text("ab/", max_size=8)


def document(**changes: object) -> str:
    """A policy of one statement, with other elements; None: without it."""
    statement = {"effect": "allow", "action": "cos:GetObject", "resource": "*", **changes}
    return json.dumps({"version": "2.0", "statement": [{k: v for k, v in statement.items() if v is not None}]})


def applies(text: str, action: str = "cos:getobject", resource=OBJECT, **context: str) -> list[int]:
    """Numbers of the statements that are about a call, of an account's own policy."""
    known = {key.replace("__", ":").replace("_", "-"): (value,) for key, value in context.items()}
    policy = parse_policy(text, PolicyKind.IDENTITY)
    return [one.number for one in policy.statements if one.applies(action, resource, forms(resource), OWN, known)]


@settings(max_examples=500)
@given(pieces=st.lists(st.text("ab", max_size=2), min_size=1, max_size=5), text=st.text("ab", max_size=7))
@example(pieces=["", "ab", "ab", ""], text="ab")
@example(pieces=["", "ab", "b"], text="ab")
@example(pieces=["ab", "ba"], text="aba")
def test_a_star_is_any_characters(pieces, text):
    """A pattern covers what the expression covers in which each star is any characters."""
    expected = re.fullmatch(".*".join(map(re.escape, pieces)), text) is not None
    assert Pattern.of("*".join(pieces)).covers(text) is expected


@given(pieces=st.lists(WORDS, min_size=2, max_size=6), fillings=st.lists(WORDS, min_size=6, max_size=6))
def test_what_a_pattern_is_filled_to_is_covered(pieces, fillings):
    """Whatever stands in place of its stars, a pattern covers the text."""
    text = "".join(f"{piece}{filling}" for piece, filling in zip(pieces[:-1], fillings, strict=False)) + pieces[-1]
    assert Pattern.of("*".join(pieces)).covers(text)


@pytest.mark.parametrize("text", ["a?c", "[a-c]", "a.c", "(a+)+$", "{a,b}", "\\", "^"])
def test_nothing_but_the_star_is_special(text):
    """Signs that other languages of patterns know stand for themselves."""
    assert Pattern.of(text).covers(text)
    assert not Pattern.of(text).covers("abc")


def test_a_hostile_pattern_costs_its_length():
    """Patterns that make backtracking engines run for ever are through the longest text at once."""
    began = time.perf_counter()
    for pattern in ("*a" * 3000 + "*b", "*aa" * 2000 + "b", "a*" * 3000 + "b"):
        assert not Pattern.of(pattern).covers("a" * 100_000)
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize(
    ("pattern", "resource", "covered"),
    [
        (f"qcs::cos:{REGION}:uid/1250000000:{BUCKET}/*", OBJECT, True),
        (f"qcs::cos:{REGION}:uid/1250000000:{BUCKET}/in/a.wav", OBJECT, True),
        (f"qcs::cos:{REGION}:uid/1250000000:{BUCKET}/in/*", OBJECT, True),
        (f"qcs::cos:{REGION}:uid/1250000000:{BUCKET}/IN/*", OBJECT, False),
        (f"qcs::cos:{REGION}:uid/1250000000:{BUCKET}/out/*", OBJECT, False),
        (f"qcs::cos:{REGION}:uid/1250000000:{BUCKET}", OBJECT, False),
        (f"qcs::cos:{REGION}:uid/1250000000:examplebucket-125000000/*", OBJECT, False),
        (f"qcs::COS:{REGION}:uid/1250000000:{BUCKET}/*", OBJECT, True),
        (f"qcs::cos::uid/1250000000:{BUCKET}/*", OBJECT, True),
        (f"qcs::cos:ap-*:uid/1250000000:{BUCKET}/*", OBJECT, True),
        (f"qcs::cos:ap-beijing:uid/1250000000:{BUCKET}/*", OBJECT, False),
        (f"qcs::cos:{REGION}:uin/100000000001:{BUCKET}/*", OBJECT, True),
        (f"qcs::cos:{REGION}:uin/1250000000:{BUCKET}/*", OBJECT, False),
        (f"qcs::cos:{REGION}:uid/*:{BUCKET}/*", OBJECT, True),
        (f"qcs::cos:{REGION}:*:{BUCKET}/*", OBJECT, True),
        (f"qcs::cos:{REGION}::{BUCKET}/*", OBJECT, True),
        (f"qcs::cos:{REGION}::*", cos_resource("b-1250000009", REGION, OTHER, "k"), False),
        (f"qcs::cos:{REGION}:uid/1250000009:*", cos_resource("b-1250000009", REGION, OTHER, "k"), True),
        ("qcs::cos:::*:*", cos_resource(BUCKET, REGION, OWN, "x:y"), True),
        (f"qcs::cos:::{BUCKET}/*:y", cos_resource(BUCKET, REGION, OWN, "x:z:y"), True),
        (f"qcs::ci:{REGION}:uid/1250000000:{BUCKET}/*", OBJECT, False),
        (f"qcs::*:{REGION}:uid/1250000000:{BUCKET}/*", OBJECT, True),
        ("qcs:0:cos:::*", OBJECT, True),
        ("qcs:id/0:cos:::*", OBJECT, True),
        # Buckets
        (f"qcs::cos:::{BUCKET}", cos_resource(BUCKET, REGION, OWN), True),
        (f"qcs::cos:::{BUCKET}/", cos_resource(BUCKET, REGION, OWN), True),
        (f"qcs::cos:::{BUCKET}/*", cos_resource(BUCKET, REGION, OWN), True),
        (f"qcs::cos:::{BUCKET}/in/*", cos_resource(BUCKET, REGION, OWN), False),
        ("qcs::cos:::*-1250000000", cos_resource(BUCKET, REGION, OWN), True),
        ("qcs::cos:::*-1250000000", OBJECT, False),
        ("qcs::cos:::example*", OBJECT, True),
        (f"qcs::cos:::{BUCKET}/in/", cos_resource(BUCKET, REGION, OWN, "in/"), True),
        (f"qcs::cos:::{BUCKET}/in", cos_resource(BUCKET, REGION, OWN, "in/"), False),
        # As it was written once
        (f"qcs::cos:{REGION}:uid/1250000000:prefix//1250000000/examplebucket/*", OBJECT, True),
        (f"qcs::cos:{REGION}:uid/1250000000:prefix//1250000000/examplebucket/in/a.wav", OBJECT, True),
        (f"qcs::cos:{REGION}:uid/1250000000:prefix//1250000000/examplebucket/out/*", OBJECT, False),
        (f"qcs::cos:{REGION}:uid/1250000000:prefix//1250000000/example/*", OBJECT, False),
        (f"qcs::cos:{REGION}:uid/1250000000:prefix//1250000000/example*", OBJECT, True),
        (f"qcs::cos:{REGION}:uid/1250000000:prefix//1250000000/*", OBJECT, True),
        ("qcs::cos:::prefix//1250000000/*", OBJECT, True),
        ("qcs::cos:::prefix//1250000009/*", OBJECT, False),
        ("qcs::cos:::prefix//1250000000/examplebucket", cos_resource(BUCKET, REGION, OWN), True),
        ("qcs::cos:::prefix//1250000000/examplebucket", OBJECT, False),
        ("qcs::cos:::prefix/*", OBJECT, False),
        ("qcs::cos:::p*", OBJECT, False),
        # Others
        (f"qcs::ci:{REGION}:uid/1250000000:bucket/{BUCKET}/*", ci_resource(BUCKET, REGION, OWN), True),
        (f"qcs::ci:{REGION}:uid/1250000000:bucket/{BUCKET}/in/*", ci_resource(BUCKET, REGION, OWN), False),
        ("qcs::cam::uin/100000000001:roleName/CI_QCSRole", role_resource("CI_QCSRole", OWN), True),
        ("qcs::cam:::roleName/CI_*", role_resource("CI_QCSRole", OWN), True),
        ("qcs::cam::uin/100000000009:roleName/CI_QCSRole", role_resource("CI_QCSRole", OWN), False),
        ("qcs::cam:::roleName", role_resource("", OWN), False),
        ("qcs::cos::uid/1250000000:*", account_resource("cos", OWN), True),
        (f"qcs::cos:{REGION}:uid/1250000000:*", account_resource("cos", OWN), False),
        ("qcs::cos::uid/1250000000:**", account_resource("cos", OWN), False),
        ("qcs::ci::uid/1250000000:*", account_resource("cos", OWN), False),
        ("qcs::cos::uid/1250000000:a*", account_resource("cos", OWN), False),
    ],
)
def test_resources(pattern, resource, covered):
    """Six segments cover what they name; an empty region is all of them, an empty account the policy's own."""
    found = ResourcePattern.parse(pattern)
    assert found is not None
    assert found.covers(resource, forms(resource), OWN) is covered


def test_everything():
    """A star alone covers everything."""
    assert ResourcePattern.parse("*") is None
    for resource in (OBJECT, account_resource("ci", OTHER), role_resource("r", OTHER)):
        assert applies(document(), resource=resource) == [1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "six segments"),
        ("examplebucket-1250000000/*", "six segments"),
        ("qcs::cos:ap-guangzhou:uid/1", "six segments"),
        ("arn::cos:::b/*", "six segments"),
        ("qcs:5:cos:::b/*", "names a project"),
        ("qcs:::ap-guangzhou:uid/1:b/*", "must name a service"),
        ("qcs::cos:::", "must name a service and a resource"),
        ("qcs::cos::1250000000:b/*", "must name its account as"),
        ("qcs::cos::uid/x:b/*", "must name its account as"),
        ("qcs::cos::uid/1:prefix//2/b/*", "two accounts"),
        ("qcs::cos::uid/*:prefix//2/b/*", "two accounts"),
        ("qcs::cos:::prefix//b/*", "two accounts, or none"),
    ],
)
def test_refused_resources(text, message):
    """What is no resource is refused with how to write one."""
    with pytest.raises(PatternError, match=message):
        ResourcePattern.parse(text)
    with pytest.raises(PolicyError, match="statement 1, resource"):
        parse_policy(document(resource=["*", text]), PolicyKind.IDENTITY)


@pytest.mark.parametrize(
    ("actions", "action", "covered"),
    [
        ("cos:GetObject", "cos:getobject", True),
        ("name/cos:GetObject", "cos:getobject", True),
        ("NAME/COS:GETOBJECT", "cos:getobject", True),
        (["cos:PutObject", "cos:GetObject"], "cos:getobject", True),
        ("cos:GetObjectACL", "cos:getobject", False),
        ("cos:GetObject", "cos:getobjectacl", False),
        ("cos:GetObject*", "cos:getobjectacl", True),
        ("cos:*Object*", "cos:getobjectacl", True),
        ("cos:*Bucket*", "cos:getobject", False),
        ("*", "cos:getobject", True),
        ("name/*", "cos:getobject", True),
        ("cos:*", "ci:getobject", False),
        ("*:Get*", "cos:getobject", True),
        ("name/cos:*", "cos:getobject", True),
    ],
)
def test_actions(actions, action, covered):
    """Actions count in any case, with name/ before them or without."""
    assert applies(document(action=actions), action) == ([1] if covered else [])


@pytest.mark.parametrize(
    "text",
    [
        '{"version":"2.0","statement":{"effect":"Allow","action":"*","resource":"*"}}',
        '{"statement":[{"effect":"DENY","action":["*"],"resource":["*"]}]}',
        '{"Version":"2.0","Statement":[{"Effect":"Allow","Action":["*"],"Resource":["*"],"Sid":"costs-1"}]}',
        '{"version":"2.0","statement":[{"effect":"allow","action":"*","resource":"*","principal":{"qcs":["*"]}}]}',
        '{"version":"2.0","principal":"*","statement":[{"effect":"allow","action":"*","resource":"*"}]}',
        '{"version":"2.0","statement":[{"effect":"allow","action":"*","resource":"*","condition":{}}]}',
        '\n { "version" : "2.0" , "statement" : [ { "effect":"allow","action":"*","resource":"*" } ] } \t',
    ],
    ids=[
        "one statement",
        "no version",
        "as COS writes it",
        "as STS clients do",
        "principal outside",
        "empty",
        "spaces",
    ],
)
def test_forms_of_documents(text):
    """Documents in all the forms that the vendor's pages and clients have are read."""
    assert applies(text) == [1]


@pytest.mark.parametrize(
    ("principal", "kinds"),
    [
        ("*", ["anyone"]),
        ({"qcs": "*"}, ["anyone"]),
        ({"qcs": ["qcs::cam::anyone:anyone"]}, ["anyone"]),
        ({"qcs": ["qcs::cam::uin/100000000001:root"]}, ["account"]),
        ({"qcs": ["qcs::cam::uin/100000000001:uin/100000000001"]}, ["account"]),
        ({"qcs": ["qcs::cam::uin/100000000001:uin/100000000002"]}, ["user"]),
        ({"qcs": ["qcs::cam::uin/100000000001:roleName/A_b.c"]}, ["role"]),
        ({"QCS": ["qcs::cam::uin/1:root", "qcs::cam::uin/2:uin/3"]}, ["account", "user"]),
    ],
)
def test_principals(principal, kinds):
    """A bucket's policy names everybody, accounts, users and roles, beside a statement or for all of them."""
    for text in (
        document(principal=principal),
        json.dumps({"principal": principal, "statement": json.loads(document())["statement"]}),
    ):
        (statement,) = parse_policy(text, PolicyKind.BUCKET).statements
        assert [str(one.kind) for one in statement.principals] == kinds


def test_a_statement_names_others_than_all_do():
    """Its own principal counts in place of the one for all statements."""
    shared = {"qcs": "qcs::cam::uin/1:root"}
    text = json.dumps({"principal": shared, "statement": json.loads(document(principal=ROOT_PRINCIPAL))["statement"]})
    (statement,) = parse_policy(text, PolicyKind.BUCKET).statements
    assert [one.account for one in statement.principals] == ["100000000009"]


def test_trust():
    """The policy of a role names services, too."""
    text = document(resource=None, action="name/sts:AssumeRole", principal={"service": ["ci.qcloud.com"]})
    (statement,) = parse_policy(text, PolicyKind.TRUST).statements
    assert [(str(one.kind), one.name) for one in statement.principals] == [("service", "ci.qcloud.com")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("// a comment\n{}", "no JSON .*comments are not allowed"),
        ("[]", "the policy must be an object"),
        ('"x"', "the policy must be an object"),
        ("{}", "has no statement"),
        ('{"statement":[]}', "has 0 statements"),
        ('{"statement":null}', "statement 1 must be an object"),
        ('{"statement":[5]}', "statement 1 must be an object"),
        ('{"version":"3.0","statement":[]}', 'version must be "2.0"'),
        ('{"version":2.0,"statement":[]}', 'version must be "2.0"'),
        ('{"version":"2.0","statment":[]}', "'statment', which is not known; elements are"),
        ('{"version":"2.0","version":"2.0"}', "'version' stands twice"),
        ('{"version":"2.0","Version":"2.0"}', "has 'version' twice"),
        ('{"statement":NaN}', "holds NaN"),
        ("[" * 30_000, "nested too deeply|too long"),
        ("[" * 6_000, "nested too deeply"),
        ('{"a":' * 1_200, "nested too deeply|no JSON"),
        ('{"statement":' + "9" * 6_000 + "}", "statement 1 must be an object"),
    ],
)
def test_refused_documents(text, message):
    """What is no policy is refused with what is wrong."""
    with pytest.raises(PolicyError, match=message):
        parse_policy(text, PolicyKind.IDENTITY)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"effect": None}, "statement 1: effect must be allow or deny"),
        ({"effect": "permit"}, "statement 1: effect must be allow or deny"),
        ({"effect": ["allow"]}, "statement 1: effect must be allow or deny"),
        ({"action": None}, "statement 1 has no action"),
        ({"action": []}, "statement 1, action is empty"),
        ({"action": [""]}, "statement 1, action holds ''"),
        ({"action": {"cos": "*"}}, "statement 1, action must be a string or a list"),
        ({"action": [["*"]]}, "statement 1, action must be a string or a list"),
        ({"action": 5}, "statement 1, action must be a string or a list"),
        ({"action": "GetObject"}, "statement 1, action 'GetObject': write <service>:<name>"),
        ({"action": "permid/280649"}, "statement 1, action 'permid/280649': write"),
        ({"action": "cos:"}, "statement 1, action 'cos:': write"),
        ({"action": "${uin}:x"}, "statement 1, action holds a variable"),
        ({"resource": None}, "statement 1 has no resource"),
        ({"resource": []}, "statement 1, resource is empty"),
        ({"resource": [True]}, "statement 1, resource must be a string"),
        ({"resource": "qcs::cos:::a\x00b"}, "empty or not printable"),
        ({"resource": "qcs::cos:::a\ud800b"}, "empty or not printable"),
        ({"resource": "qcs::cos:::a/${qcs:user}"}, "statement 1, resource holds a variable"),
        ({"not_action": "*"}, "'not_action', which is not known; name the actions in action, or deny them"),
        ({"NotResource": "*"}, "'NotResource', which is not known; name the resources"),
        ({"not_principal": "*"}, "'not_principal', which is not known; name the principals"),
        ({"conditions": {}}, "'conditions', which is not known"),
        ({"Effect": "deny"}, "statement 1 has 'effect' twice"),
        ({"sid": 5}, "sid must be a string"),
        ({"principal": ROOT_PRINCIPAL}, "statement 1: principal belongs in policies of buckets and roles"),
        ({"condition": []}, "statement 1, condition must be an object"),
        ({"condition": {"string_equal": {}}}, "operator 'string_equal' must be an object that is not empty"),
        ({"condition": {"string_equal": "a"}}, "operator 'string_equal' must be an object"),
        ({"condition": {"string_equals": {"qcs:uin": "1"}}}, "operator 'string_equals': there is no such operator"),
        ({"condition": {"ip_equal": {"qcs:ip": "x"}}}, "operator 'ip_equal': value 'x' of key 'qcs:ip' is no address"),
        ({"condition": {"ip_equal": {"qcs:ip": []}}}, "key 'qcs:ip' is empty"),
        ({"condition": {"ip_equal": {"qcs:ip": {}}}}, "key 'qcs:ip' must be a string or a list"),
        ({"condition": {"ip_equal": {"qcs:ip": None}}}, "key 'qcs:ip' must be a string or a list"),
        ({"condition": {"ip_equal": {"qcs:vpc": "x"}}}, "key 'qcs:vpc' is not known here"),
    ],
)
def test_refused_statements(changes, message):
    """The place is named, and what to write there."""
    with pytest.raises(PolicyError, match=re.escape(message)):
        parse_policy(document(**changes), PolicyKind.IDENTITY)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (PolicyKind.BUCKET, {}, "statement 1 has no principal"),
        (PolicyKind.BUCKET, {"principal": {}}, "principal is empty"),
        (PolicyKind.BUCKET, {"principal": {"qcs": []}}, "principal is empty"),
        (PolicyKind.BUCKET, {"principal": ["*"]}, "principal must be an object"),
        (PolicyKind.BUCKET, {"principal": {"qcs": "qcs::cam::uin/1:group/2"}}, "is not known; write"),
        (PolicyKind.BUCKET, {"principal": {"qcs": "qcs::cam::uin/1:uin/*"}}, "is not known; write"),
        (PolicyKind.BUCKET, {"principal": {"service": "ci.qcloud.com"}}, "'service', which is not known"),
        (PolicyKind.BUCKET, {"principal": {"federated": "x"}}, "'federated', which is not known"),
        (PolicyKind.BUCKET, {"principal": "*", "resource": "qcs::cos:::b/${uin}"}, "holds a variable"),
        (PolicyKind.TRUST, {"principal": ROOT_PRINCIPAL}, "names no resource"),
        (PolicyKind.TRUST, {"resource": None, "principal": "*"}, "cannot be open to everybody"),
        (PolicyKind.TRUST, {"resource": None, "principal": {"qcs": ["*"]}}, "cannot be open to everybody"),
        (PolicyKind.TRUST, {"resource": None, "principal": {"service": "*"}}, "name the service"),
        (PolicyKind.TRUST, {"resource": None, "principal": {"federated": "x"}}, "'federated', which is not known"),
    ],
)
def test_refused_principals(kind, changes, message):
    """Policies of buckets and roles name principals, of known kinds."""
    with pytest.raises(PolicyError, match=re.escape(message)):
        parse_policy(document(**changes), kind)


@pytest.mark.parametrize(("kind", "most"), [(PolicyKind.IDENTITY, 6144), (PolicyKind.BUCKET, 20_480)])
def test_length(kind, most):
    """A document has so many characters at most; white space does not count."""
    text = document(principal="*", sid="")
    room = most - len(text.replace(" ", ""))
    parse_policy(document(principal="*", sid="x" * room) + " " * 9_000, kind)
    with pytest.raises(PolicyError, match=f"at most {most} characters"):
        parse_policy(document(principal="*", sid="x" * (room + 1)), kind)
    with pytest.raises(PolicyError, match="too long"):
        parse_policy(text + " " * 70_000, kind)


def test_number_of_statements():
    """There are so many statements at most."""
    statement = {"effect": "deny", "principal": "*", "action": "*", "resource": "*"}
    parse_policy(json.dumps({"statement": [statement] * MAX_STATEMENTS}), PolicyKind.BUCKET)
    with pytest.raises(PolicyError, match=f"1 to {MAX_STATEMENTS}"):
        parse_policy(json.dumps({"statement": [statement] * (MAX_STATEMENTS + 1)}), PolicyKind.BUCKET)


def test_values_of_conditions():
    """Numbers and truth may be written without quotes, and all of a statement's conditions must hold."""
    condition = {"bool_equal": {"cos:secure-transport": True}, "numeric_less_than": {"cos:content-length": 1.5e1}}
    text = document(condition=condition)
    assert applies(text, cos__secure_transport="true", cos__content_length="14") == [1]
    assert applies(text, cos__secure_transport="false", cos__content_length="14") == []
    assert applies(text, cos__secure_transport="true", cos__content_length="15") == []
    assert applies(text, cos__secure_transport="true") == []


def test_keys_of_one_operator_must_all_hold():
    """Keys are no alternatives, as values are."""
    text = document(condition={"string_equal": {"cos:prefix": ["a", "b"], "cos:delimiter": "%2F"}})
    assert applies(text, cos__prefix="b", cos__delimiter="/") == [1]
    assert applies(text, cos__prefix="b", cos__delimiter="-") == []


@pytest.mark.parametrize("effect", ["allow", "deny"])
def test_doubt_opens_nothing(effect):
    """A value of a request that cannot be read makes an allow not apply, and a deny apply."""
    text = document(effect=effect, condition={"numeric_less_than": {"cos:content-length": 5}})
    assert applies(text, cos__content_length="many") == ([1] if effect == "deny" else [])


@pytest.mark.parametrize("dollar", ["$", "\\u0024"])
def test_variables(dollar):
    """They stand for the caller's numbers, in resources and in values, however JSON writes them."""
    text = document(
        resource="qcs::cos::uid/${app_id}:b-${app_id}/${uin}/*",
        condition={"string_equal": {"qcs:owner_uin": "${owner_uin}"}},
    ).replace("$", dollar)
    assert parse_policy(text, PolicyKind.IDENTITY).varies
    variables = Variables(uin="100000000002", owner_uin="100000000001", app_id="1250000000")
    (statement,) = parse_policy(text, PolicyKind.IDENTITY, variables).statements
    context = {"qcs:owner_uin": ("100000000001",)}
    for key, expected in (("100000000002/a", True), ("100000000003/a", False), ("${uin}/a", False)):
        resource = cos_resource("b-1250000000", REGION, OWN, key)
        assert statement.applies("cos:getobject", resource, forms(resource), OWN, context) is expected


def test_documents_are_kept_read():
    """The same document is read once."""
    assert parse_policy(document(sid="kept"), PolicyKind.IDENTITY) is parse_policy(
        document(sid="kept"), PolicyKind.IDENTITY
    )


def test_a_hostile_policy_costs_little():
    """The longest policies of the dearest parts are asked in a moment."""
    many = {
        "action": ["cos:" + "*a" * 60 + "b"] * 150,
        "resource": [f"qcs::cos:::*{'*a' * 100}b{number}" for number in range(80)],
        "condition": {"ip_equal": {"qcs:ip": [f"10.0.{number // 250}.{number % 250}" for number in range(1200)]}},
    }
    key = cos_resource(BUCKET, REGION, OWN, "a" * 850)
    began = time.perf_counter()
    for name, value in many.items():
        text = document(principal="*", effect="deny", **{name: value})
        (statement,) = parse_policy(text, PolicyKind.BUCKET).statements
        for _ in range(20):
            assert not statement.applies("cos:" + "a" * 60 + "c", key, forms(key), OWN, {"qcs:ip": ("192.0.2.1",)})
    assert time.perf_counter() - began < 2


NAMES = st.sampled_from(
    ["version", "statement", "effect", "action", "resource", "condition", "principal", "qcs", "sid", "Effect",
     "string_equal", "for_any_value:ip_equal", "null_equal", "date_less_than_if_exist", "qcs:ip", "qcs:uin"]
)  # fmt: skip
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["2.0", "allow", "deny", "*", "cos:GetObject", "qcs::cos:::b/*", "10.0.0.0/8", "${uin}", "true"]),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=5)),
    max_leaves=20,
)
STATEMENTS = st.fixed_dictionaries(
    {"effect": st.sampled_from(["allow", "deny"]), "action": TREES, "resource": TREES},
    optional={"condition": TREES, "principal": TREES},
)


@settings(max_examples=300)
@given(
    text=st.one_of(
        st.text(max_size=200),
        TREES.map(json.dumps),
        st.lists(STATEMENTS, max_size=3).map(lambda found: json.dumps({"version": "2.0", "statement": found})),
    ),
    kind=st.sampled_from(PolicyKind),
)
def test_any_document_is_read_or_refused(text, kind):
    """Whatever is written, it is a policy that can be asked, or is refused as none."""
    try:
        policy = parse_policy(text, kind)
    except PolicyError:
        return
    for statement in policy.statements:
        assert statement.applies("cos:getobject", OBJECT, forms(OBJECT), OWN, {"qcs:ip": ("x",)}) in (True, False)
