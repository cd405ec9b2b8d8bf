"""Policies that are written to break what reads them, to cost whoever decides, or to mean more than they say."""

import json
import time
from base64 import b64encode
from hashlib import md5

import pytest

from forgery import Fields, Pairs, Reply, Signed
from people import Key, People
from policies import allow, deny, document
from raw_http import refusal
from server import Server

SECRET = b"top secret"
QUICK_SECONDS = 2.0
"""Far more than a decision takes, and far less than a pattern that is tried in every way."""


@pytest.fixture(scope="module")
def bucket(people: People, owner: Key, service: Server) -> str:
    """A bucket with an object."""
    name = people.bucket(owner)
    assert Signed.of(owner, name, "PUT", "/k").sent(service, body=SECRET)[0] == 200
    return name


def put(service: Server, owner: Key, bucket: str, body: bytes) -> Reply:
    """Give the bucket a policy."""
    return Signed.of(owner, bucket, "PUT", "/", query=(("policy", ""),)).sent(service, body=body)


def get(service: Server, owner: Key, bucket: str) -> Reply:
    """Its policy."""
    return Signed.of(owner, bucket, "GET", "/", query=(("policy", ""),)).sent(service)


def _one(**changes: object) -> bytes:
    """A policy of one statement, with elements in place of its own; None leaves one out."""
    statement = {"effect": "allow", "principal": "*", "action": "cos:GetObject", "resource": "*"} | changes
    kept = {name: value for name, value in statement.items() if value is not None}
    return json.dumps({"version": "2.0", "statement": [kept]}).encode()


DEEP = b"[" * 30_000
BROKEN: dict[str, bytes] = {
    "no JSON": b"not json",
    "no object": b"[]",
    "a string": b'"allow"',
    "null": b"null",
    "white space": b"  \n ",
    "not UTF-8": b'{"version":"\xff"}',
    "UTF-16": _one().decode().encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + _one(),
    "two documents": _one() + _one(),
    "comments": b"/* */" + _one(),
    "deep": b'{"version":"2.0","statement":' + DEEP,
    "deep and closed": b'{"version":"2.0","statement":%s%s}' % (DEEP, b"]" * 30_000),
    "deep objects": b'{"a":' * 9_000 + b"1" + b"}" * 9_000,
    "a huge number": b'{"version":"2.0","statement":%s}' % (b"9" * 20_000),
    "a huge exponent": b'{"version":1e999999999,"statement":[]}',
    "NaN": b'{"version":NaN,"statement":[]}',
    "a key twice": b'{"version":"2.0","version":"2.0","statement":[]}',
    "an effect twice": _one().replace(b'"effect": "allow"', b'"effect": "deny", "effect": "allow"'),
    "an effect twice, in another case": _one().replace(b'"effect": "allow"', b'"effect": "deny", "Effect": "allow"'),
    "statements twice": b'{"version":"2.0","statement":[],"Statement":[]}',
    "NUL": _one(resource="a\0b"),
    "NUL in the text": _one().replace(b"cos:GetObject", b"cos:GetObject\0"),
    "half a surrogate": _one().replace(b"cos:GetObject", b"cos:Get\\ud800Object"),
    "too long": _one(resource=["qcs::cos:::" + "x" * 900] * 30),
    "much white space": b" " * 300_000 + _one(),
    "too many statements": json.dumps({"version": "2.0", "statement": [{}] * 201}).encode(),
    "no statement": b'{"version":"2.0","statement":[]}',
    "an old version": _one().replace(b'"2.0"', b'"1.0"'),
    "a version that is a number": _one().replace(b'"2.0"', b"2.0"),
    "no effect": _one(effect=None),
    "another effect": _one(effect="allow "),
    "an effect that is a list": _one(effect=["allow"]),
    "no action": _one(action=None),
    "no actions": _one(action=[]),
    "an empty action": _one(action=""),
    "an action that is an object": _one(action={"cos": "*"}),
    "all actions but one": _one(action=None, notAction="cos:PutObject"),
    "all actions but one, otherwise": _one(not_action="cos:PutObject"),
    "an element that is unknown": _one(conditions={}),
    "no principal": _one(principal=None),
    "no principals": _one(principal={"qcs": []}),
    "a principal that is no one": _one(principal={"qcs": ["qcs::cam::uin/*:uin/*"]}),
    "a principal of another service": _one(principal={"service": ["ci.qcloud.com"]}),
    "everybody but one": _one(principal=None, notPrincipal={"qcs": ["*"]}),
    "a resource of another bucket": _one(resource="qcs::cos:::other-1250000000/*"),
    "a resource of another bucket, too": _one(resource=["qcs::cos:::{bucket}/*", "qcs::cos:::other-1250000000/*"]),
    "a resource that is a name": _one(resource="k"),
    "a condition that is a list": _one(condition=[]),
    "an operator that is unknown": _one(condition={"string_matches": {"qcs:uin": "1"}}),
    "an operator of Python": _one(condition={"__class__": {"qcs:uin": "1"}}),
    "an operator with a prefix twice": _one(
        condition={"for_any_value:for_any_value:string_equal": {"qcs:uin": "1"}}
    ),
    "a key that is unknown": _one(condition={"string_equal": {"cos:secret": "1"}}),
    "no network": _one(condition={"ip_equal": {"qcs:ip": ["10.0.0.0/33"]}}),
    "no time": _one(condition={"date_less_than": {"qcs:current_time": ["tomorrow"]}}),
    "an infinite number": _one(condition={"numeric_less_than": {"cos:content-length": ["Infinity"]}}),
    "a number of other digits": _one(condition={"numeric_less_than": {"cos:content-length": ["\u0661"]}}),
    "values that are objects": _one(condition={"string_equal": {"qcs:uin": {"a": 1}}}),
    "no values": _one(condition={"string_equal": {"qcs:uin": []}}),
    "a variable of no kind": _one(resource="qcs::cos:::${__import__('os')}/*"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_policy(service: Server, people: People, owner: Key, bucket: str, case: str) -> None:
    """It is refused at once, with what is wrong with it, and the policy that there was still holds."""
    before = document(deny("cos:DeleteObject", f"qcs::cos:::{bucket}/*", principal="*"))
    assert put(service, owner, bucket, before.encode())[0] == 204
    began = time.monotonic()
    status, _, content = put(service, owner, bucket, BROKEN[case].replace(b"{bucket}", bucket.encode()))
    assert time.monotonic() - began < QUICK_SECONDS
    told = refusal(content)
    assert (status, told["Code"]) in ((400, "MalformedPolicy"), (400, "EntityTooLarge")), told
    assert len(told["Message"]) < 1000
    assert json.loads(get(service, owner, bucket)[2]) == json.loads(before)
    assert Signed.of(owner, bucket, "DELETE", "/k").sent(service)[0] == 403
    people.bucket_policy(bucket)


COSTLY = {
    "many stars": ["*".join("a" * 300)] * 30,
    "stars in a row": ["*" * 9000],
    "a star and a letter": ["*a" * 4500 + "b"],
    "pieces that almost fit": ["*aaaaaaaaaaaaaaaaaaaaaaaaaaaaaab" * 280],
    "many patterns": ["*a*b"] * 400,
}


@pytest.mark.parametrize("what", ["resource", "condition", "action"])
@pytest.mark.parametrize("case", COSTLY)
def test_patterns_that_cost(service: Server, people: People, owner: Key, bucket: str, case: str, what: str) -> None:
    """The costliest pattern on the longest key is decided over as fast as any, so nobody else waits for it."""
    paths = COSTLY[case]
    statement = allow("cos:GetObject", principal="*")
    if what == "resource":
        statement["resource"] = [f"qcs::cos:::{bucket}/{path}" for path in paths]
    elif what == "action":
        statement["action"] = [f"cos:{path}" for path in paths]
    else:
        statement["condition"] = {"string_like": {"cos:prefix": paths}}
        statement["action"] = "cos:GetBucket"
    body = json.dumps({"version": "2.0", "statement": [statement]}).encode()
    assert put(service, owner, bucket, body)[0] == 204
    stranger = people.account()
    key, query = ("/", (("prefix", "a" * 850),)) if what == "condition" else (f"/{'a' * 850}", ())
    began = time.monotonic()
    replies = [Signed.of(stranger, bucket, "GET", key, query=query).sent(service)[0] for _ in range(5)]
    assert time.monotonic() - began < QUICK_SECONDS
    assert set(replies) <= {403, 404, 200}
    people.bucket_policy(bucket)


def test_a_large_policy_of_a_batch(service: Server, people: People, owner: Key, bucket: str) -> None:
    """A thousand decisions over the longest policy hold nobody else up."""
    statements = [deny("cos:DeleteObject", f"qcs::cos:::{bucket}/*{at}*x*y*z", principal="*") for at in range(170)]
    assert len("".join(document(*statements).split())) > 15_000
    assert put(service, owner, bucket, document(*statements).encode())[0] == 204
    keys = "".join(f"<Object><Key>{'xyz' * 250}{at}</Key></Object>" for at in range(1000))
    body = f"<Delete><Quiet>true</Quiet>{keys}</Delete>".encode()
    headers = (("content-md5", b64encode(md5(body).digest()).decode()),)
    made = Signed.of(owner, bucket, "POST", "/", query=(("delete", ""),), headers=headers)
    began = time.monotonic()
    assert made.sent(service, body=body)[0] == 200
    assert time.monotonic() - began < 10 * QUICK_SECONDS
    people.bucket_policy(bucket)


def test_conditions_that_a_client_fills(service: Server, people: People, owner: Key, bucket: str) -> None:
    """No header or parameter makes a condition hold that a call does not read it for."""
    mine = f"qcs::cos:::{bucket}/*"
    user = people.user(
        owner,
        allow("cos:GetObject", mine, condition={"string_equal": {"cos:prefix": "k"}}),
        allow("cos:HeadObject", mine, condition={"string_equal": {"cos:content-type": "audio/wav"}}),
        allow("cos:DeleteObject", mine, condition={"string_equal": {"cos:x-cos-acl": "private"}}),
    )
    for method in ("GET", "HEAD", "DELETE"):
        made = Signed.of(user, bucket, method, "/k", query=(("prefix", "k"),))
        headers: Fields = {"Content-Type": "audio/wav", "x-cos-acl": "private", "qcs-uin": "1", "cos-prefix": "k"}
        reply = made.sent(service, headers=headers, more=["qcs:ip=10.0.0.1", "cos:prefix=k", "cos%3Aprefix=k"])
        assert reply[0] == 403
    assert Signed.of(owner, bucket, "GET", "/k").sent(service)[2] == SECRET


CHUNKED: Fields = {"Content-Length": None, "Transfer-Encoding": "chunked"}


@pytest.mark.parametrize("in_parts", [False, True], ids=["object", "part"])
def test_lengths_that_are_not_told(service: Server, people: People, owner: Key, bucket: str, in_parts: bool) -> None:
    """A body in chunks, whose length nobody knows beforehand, is neither short enough nor escapes as not too long."""
    actions = ["cos:PutObject", "cos:UploadPart"]
    query: Pairs = ()
    if in_parts:
        begun = Signed.of(owner, bucket, "POST", "/long", query=(("uploads", ""),)).sent(service)
        query = (("partNumber", "1"), ("uploadId", begun[2].partition(b"<UploadId>")[2].partition(b"<")[0].decode()))
    long, short = ({f"numeric_{word}_than": {"cos:content-length": "10"}} for word in ("greater", "less"))
    for user in (
        people.user(owner, allow(actions), deny(actions, condition=long)),
        people.user(owner, allow(actions, condition=short)),
    ):
        made = Signed.of(user, bucket, "PUT", "/long", query=query)
        assert made.sent(service, body=b"12345")[0] == 200
        assert made.sent(service, body=b"1234567890123")[0] == 403
        for body in (b"d\r\n1234567890123\r\n0\r\n\r\n", b"1\r\n1\r\n0\r\n\r\n"):
            assert made.sent(service, body=body, headers=CHUNKED)[0] == 403
    free = Signed.of(people.user(owner, allow(actions)), bucket, "PUT", "/long", query=query)
    assert free.sent(service, body=b"1\r\n1\r\n0\r\n\r\n", headers=CHUNKED)[0] == 200


def test_stars_of_principals(service: Server, people: People, owner: Key, bucket: str) -> None:
    """``*`` is everybody; there is no pattern of some, so no account of a number that begins alike is let in."""
    for principal in ("qcs::cam::uin/1*:root", "qcs::cam::*:*", "qcs::cam::uin/100000000001:*", "**", "root", ""):
        reply = put(service, owner, bucket, _one(principal={"qcs": [principal]}))
        assert (reply[0], refusal(reply[2])["Code"]) == (400, "MalformedPolicy")
    uin = people.account().uin
    longer = f"qcs::cam::uin/{uin}0:root"
    people.bucket_policy(bucket, allow("*", principal={"qcs": [longer, f"qcs::cam::uin/{uin[:-1]}:root"]}))
    assert Signed.of(people.account(), bucket, "GET", "/k").sent(service)[0] == 403
    people.bucket_policy(bucket)


def test_users_who_bear_anothers_number(service: Server, people: People, owner: Key, bucket: str) -> None:
    """A user is one of his account: the same number under another account is nobody."""
    other = people.account()
    user = people.user(owner)
    people.bucket_policy(
        bucket, allow("cos:GetObject", principal={"qcs": [f"qcs::cam::uin/{other.uin}:uin/{user.user}"]})
    )
    assert Signed.of(user, bucket, "GET", "/k").sent(service)[0] == 403
    people.bucket_policy(bucket, allow("cos:GetObject", principal={"qcs": [user.principal]}))
    assert Signed.of(user, bucket, "GET", "/k").sent(service)[2] == SECRET
    people.bucket_policy(bucket)
