"""Signatures that are replayed, stretched, moved, doubled or mixed: each is good for what it was made for alone."""

import time
from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgery import HOUR, Reply, Signed
from people import Key, People
from policies import allow
from raw_http import exchange, host_of, refusal, send, statuses
from server import Server
from sordino.wire.signature import SignedRequest, http_string


@pytest.fixture(scope="module")
def bucket(people: People, owner: Key, service: Server) -> str:
    """Its bucket, with an object ``k``."""
    return _filled(people, owner, service, b"secret")


@pytest.fixture(scope="module")
def second(people: People, owner: Key, service: Server) -> str:
    """Another of its buckets."""
    return _filled(people, owner, service, b"other secret")


def _filled(people: People, owner: Key, service: Server, content: bytes) -> str:
    name = people.bucket(owner)
    for key in ("k", "K", "a/b"):
        assert Signed.of(owner, name, "PUT", f"/{key}").sent(service, body=content)[0] == 200
    return name


def told(reply: Reply) -> tuple[int, str]:
    """Status and code of a refusal, which says nothing of any object."""
    assert b"secret" not in reply[2]
    return reply[0], refusal(reply[2])["Code"]


MISMATCH = (403, "SignatureDoesNotMatch")
MALFORMED = (400, "InvalidArgument")

OUT_OF_TIME = {
    "over a second ago": (-HOUR, -1, (403, "AccessDenied")),
    "over for a year": (-366 * 24 * HOUR, -365 * 24 * HOUR, (403, "AccessDenied")),
    "from the future": (2 * HOUR, 3 * HOUR, (403, "RequestTimeTooSkewed")),
    "beyond the skew": (20 * 60, HOUR, (403, "RequestTimeTooSkewed")),
    "ends before it begins": (60, -60, MALFORMED),
}


@pytest.mark.parametrize("in_url", [False, True], ids=["header", "URL"])
@pytest.mark.parametrize("case", OUT_OF_TIME)
def test_replay_out_of_its_time(service: Server, owner: Key, bucket: str, case: str, in_url: bool) -> None:
    """A signature is good in its time alone, in the header as in a URL."""
    start, end, expected = OUT_OF_TIME[case]
    assert told(Signed.of(owner, bucket, "GET", "/k", start=start, end=end).sent(service, in_url=in_url)) == expected


@pytest.mark.parametrize("kind", ["cos", "ci"])
def test_a_stranger_does_not_learn_of_times(service: Server, owner: Key, bucket: str, kind: str) -> None:
    """Who cannot sign learns that alone: that the signature is wrong, not whether it were in its time."""
    replies = set()
    for start, end in ((-HOUR, -1), (-60, HOUR), (2 * HOUR, 3 * HOUR)):
        wrong = Key(appid=owner.appid, secret_id=owner.secret_id, secret_key="x" * 32)
        replies.add(told(Signed.of(wrong, bucket, "GET", "/k", kind=kind, start=start, end=end).sent(service)))
    assert replies == {MISMATCH if kind == "cos" else (401, "AccessDenied")}


def _times(start: int, end: int) -> str:
    now = int(time.time())
    return f"{now + start};{now + end}"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("q-sign-time",), MALFORMED),
        (("q-key-time",), MALFORMED),
        (("q-sign-time", "q-key-time"), MISMATCH),
    ],
    ids=["sign-time alone", "key-time alone", "both"],
)
@pytest.mark.parametrize("in_url", [False, True], ids=["header", "URL"])
def test_a_stretched_time(service: Server, owner: Key, bucket: str, names, expected, in_url: bool) -> None:
    """An expired signature is not made good by writing later times into it."""
    expired = Signed.of(owner, bucket, "GET", "/k", start=-2 * HOUR, end=-HOUR)
    pairs = [pair.split("=", 1) for pair in expired.authorization.split("&")]
    joined = "&".join(f"{name}={_times(-60, HOUR) if name in names else value}" for name, value in pairs)
    assert told(expired.sent(service, in_url=in_url, signature=joined)) == expected


@pytest.mark.parametrize(
    "times",
    [
        "1;2;3",
        "-1;9",
        "1e3;9999999999",
        " 1;9999999999",
        "1;99999999999999",
        "\u0660;\u0669\u0669\u0669\u0669\u0669\u0669\u0669\u0669\u0669\u0669",
        "0x1;9",
        ";",
        "1",
    ],
)
def test_times_that_are_none(service: Server, owner: Key, bucket: str, times: str) -> None:
    """What is no pair of Unix times is malformed, not forgiven."""
    good = Signed.of(owner, bucket, "GET", "/k").authorization
    pairs = [pair.split("=", 1) for pair in good.split("&")]
    joined = "&".join(f"{name}={times if name.endswith('-time') else value}" for name, value in pairs)
    request = f"GET /k HTTP/1.1\r\nHost: {host_of(bucket)}\r\nConnection: close\r\nAuthorization: {joined}\r\n\r\n"
    reply = exchange(service, request.encode())
    assert statuses(reply) == [400]
    assert b"secret" not in reply


MOVED: dict[str, dict[str, object]] = {
    "method": {"method": "HEAD"},
    "another method": {"method": "DELETE"},
    "path": {"target": "/a/b"},
    "key in another case": {"target": "/K"},
    "a slash more": {"target": "//k"},
    "a slash at its end": {"target": "/k/"},
    "a dot segment": {"target": "/./k"},
    "a newline and a parameter": {"target": "/k%0A"},
}


@pytest.mark.parametrize("in_url", [False, True], ids=["header", "URL"])
@pytest.mark.parametrize("case", MOVED)
def test_moved_within_a_bucket(service: Server, owner: Key, bucket: str, case: str, in_url: bool) -> None:
    """A signature is for one method and one path."""
    reply = Signed.of(owner, bucket, "GET", "/k").sent(service, in_url=in_url, **MOVED[case])
    assert reply[0] == 403
    assert b"secret" not in reply[2]
    assert Signed.of(owner, bucket, "GET", "/k").sent(service)[2] == b"secret"


def test_moved_to_another_place(service: Server, owner: Key, bucket: str, second: str) -> None:
    """A signature with its host is for one bucket, one region and one service."""
    made = Signed.of(owner, bucket, "GET", "/k")
    assert told(made.sent(service, host=host_of(second))) == MISMATCH
    assert told(made.sent(service, host=f"{bucket}.cos.ap-beijing.myqcloud.com")) == MISMATCH
    assert told(made.sent(service, host=host_of(bucket, "ci"))) == (401, "AccessDenied")
    job = Signed.of(owner, bucket, "GET", "/jobs/j1", kind="ci")
    assert told(job.sent(service, host=host_of(bucket))) == (401, "AccessDenied")  # a path of CI on any host
    assert told(job.sent(service, host=host_of(second, "ci"))) == (401, "AccessDenied")
    assert told(made.sent(service, host=f"127.0.0.1:{service.port}", target=f"/{bucket}/k")) == MISMATCH


def test_without_its_host(service: Server, people: People, owner: Key, bucket: str, second: str) -> None:
    """A client that leaves the host unsigned gives up the bucket, as the protocol has it, and no more than its own."""
    made = Signed(key=owner, path="/k")
    assert made.sent(service, host=host_of(bucket))[2] == b"secret"
    stranger = people.account()
    for signer in (stranger, people.user(owner), people.user(owner, allow("cos:*", f"qcs::cos:::{bucket}/*"))):
        reply = Signed(key=signer, path="/k").sent(service, host=host_of(second))
        assert told(reply) == (403, "AccessDenied")


def test_the_target_counts_and_not_the_host(service: Server, owner: Key, bucket: str, second: str) -> None:
    """Of a request in absolute form its own host is the bucket, and what must be signed (RFC 9112, 3.2.2)."""
    for in_url in (False, True):
        made = Signed.of(owner, bucket, "GET", "/k")
        theirs = f"http://{host_of(second)}/k"
        assert told(made.sent(service, target=theirs, in_url=in_url)) == MISMATCH
        assert made.sent(service, target=f"http://{host_of(bucket)}/k", host=host_of(second))[2] == b"secret"
        other = Signed.of(owner, second, "GET", "/k")
        assert other.sent(service, target=theirs, host=host_of(bucket))[2] == b"other secret"


def test_user_and_password_in_the_target(service: Server, owner: Key, bucket: str, second: str) -> None:
    """``http://one@other/`` is no way to name two hosts."""
    made = Signed.of(owner, bucket, "GET", "/k")
    for authority in (f"{host_of(bucket)}@{host_of(second)}", f"{host_of(second)}%00.{host_of(bucket)}", ""):
        reply = made.sent(service, target=f"http://{authority}/k")
        assert reply[0] == 400
        assert b"secret" not in reply[2]


def _doubled(name: str, first: str, second: str) -> Callable[[Signed, Server], Reply]:
    return lambda made, service: made.sent(service, headers={name: [first, second]})


@pytest.mark.parametrize("wrong_first", [False, True])
def test_two_headers_of_authorization(service: Server, owner: Key, bucket: str, wrong_first: bool) -> None:
    """Which of two would count is not guessed, whichever is good."""
    made = Signed.of(owner, bucket, "GET", "/k")
    values = [made.authorization, made.but(path="/a/b").authorization]
    for pair in (values[::-1] if wrong_first else values, [values[0]] * 2, [values[0], "Basic YTpi"]):
        assert told(_doubled("Authorization", *pair)(made, service)) == MALFORMED


def test_a_signature_in_header_and_url(service: Server, people: People, owner: Key, bucket: str) -> None:
    """Two signatures are one too many: neither counts, be both good and of the same key."""
    made, other = Signed.of(owner, bucket, "GET", "/k"), Signed.of(people.account(), bucket, "GET", "/k")
    for one, two in product((made, other), repeat=2):
        assert told(one.sent(service, more=[two.parameters])) == MALFORMED
    sign = f"sign={made.parameters.replace('%', '%25').replace('=', '%3D').replace('&', '%26')}"
    assert told(made.sent(service, more=[sign])) == MALFORMED
    assert told(made.sent(service, more=[sign], in_url=True)) == MALFORMED


def test_pairs_given_twice(service: Server, owner: Key, bucket: str, people: People) -> None:
    """A second ``q-ak`` or ``q-signature`` is refused wherever it is written."""
    made, other = Signed.of(owner, bucket, "GET", "/k"), people.account()
    assert told(made.sent(service, in_url=True, more=[f"q-ak={other.secret_id}"])) == MALFORMED
    assert told(made.sent(service, in_url=True, more=[f"q-signature={'0' * 40}"])) == MALFORMED
    assert told(made.sent(service, signature=f"{made.authorization}&q-ak={other.secret_id}")) == MALFORMED
    assert told(made.sent(service, more=[f"q-ak={other.secret_id}"])) == MALFORMED


@pytest.mark.parametrize(
    "change",
    [
        ("sha1", "none"),
        ("sha1", "SHA1"),
        ("sha1", "sha256"),
        ("q-sign-algorithm=sha1&", ""),
        ("q-signature=", "q-signature=0"),
        ("q-signature=", "Q-Signature="),
        ("q-header-list=host", "q-header-list="),
        ("q-header-list=host", "q-header-list=host;range"),
        ("q-header-list=host", "q-header-list=range"),
        ("q-url-param-list=", "q-url-param-list=x"),
    ],
    ids="=>".join,
)
def test_a_changed_signature(service: Server, owner: Key, bucket: str, change: tuple[str, str]) -> None:
    """No algorithm but one, and no list but the one that was signed."""
    made = Signed.of(owner, bucket, "GET", "/k")
    assert made.sent(service)[2] == b"secret"
    reply = made.sent(service, signature=made.authorization.replace(*change, 1))
    assert told(reply) in (MALFORMED, MISMATCH)


def test_a_signature_in_capitals(service: Server, owner: Key, bucket: str) -> None:
    """Hex is compared as the protocol writes it: one request has one signature."""
    made = Signed.of(owner, bucket, "GET", "/k")
    head, _, hexed = made.authorization.rpartition("=")
    assert told(made.sent(service, signature=f"{head}={hexed.upper()}")) == MALFORMED


def test_signed_headers_that_are_gone_or_changed(service: Server, owner: Key, bucket: str) -> None:
    """A header that was signed must be there, once, as it was; one that was not signed there cannot be listed later."""
    made = Signed.of(owner, bucket, "PUT", "/new", headers=(("x-cos-forbid-overwrite", "true"),))
    changes: list[dict[str, object]] = [{"x-cos-forbid-overwrite": value} for value in (None, "false", "true ,true")]
    for headers in changes:
        assert told(made.sent(service, headers=headers, body=b"x")) == MISMATCH
    twice = made.sent(service, headers={"x-cos-forbid-overwrite": ["true", "true"]}, body=b"x")
    assert told(twice) == MALFORMED
    assert Signed.of(owner, bucket, "HEAD", "/new").sent(service)[0] == 404
    assert made.sent(service, body=b"x")[0] == 200


def test_signed_parameters_that_are_gone_or_changed(service: Server, owner: Key, bucket: str) -> None:
    """The same of parameters, also when the signed one is kept and another of its name added."""
    made = Signed.of(owner, bucket, "GET", "/", query=(("prefix", "a/"),))
    assert made.sent(service)[0] == 200
    for target in (
        "/",
        "/?prefix=",
        "/?prefix=k",
        "/?prefix=a/&prefix=",
        "/?prefix=&prefix=a/",
        "/?Prefix=a/&prefix=k",
    ):
        assert told(made.sent(service, target=target)) == MISMATCH


def test_keys_that_there_are_not(service: Server, owner: Key, bucket: str) -> None:
    """The id of a key counts with case, and whole; what looks like SQL or a pattern is no id."""
    ids = (
        owner.secret_id.lower(),
        owner.secret_id[:-1],
        f"{owner.secret_id}x",
        "*",
        "%",
        "AKID' OR '1'='1",
        f"{owner.secret_id}%00",
        "",
    )
    for secret_id in ids:
        forged = Key(appid=owner.appid, secret_id=secret_id, secret_key=owner.secret_key)
        assert told(Signed.of(forged, bucket, "GET", "/k").sent(service)) in ((403, "InvalidAccessKeyId"), MALFORMED)


TOKENS = ["none", "of another key", "its own, cut", "its own, twice over", "two different"]


@pytest.mark.parametrize("case", TOKENS)
@pytest.mark.parametrize("place", ["header", "CI's header", "parameter"])
def test_tokens_that_are_not_the_keys(service: Server, people: People, owner: Key, bucket: str, case, place) -> None:
    """A temporary key is good with its own token alone, wherever that comes."""
    key, other = people.temporary(owner), people.temporary(owner)
    assert Signed.of(key, bucket, "GET", "/k").sent(service)[2] == b"secret"
    assert key.token is not None
    token = {
        "none": None,
        "of another key": other.token,
        "its own, cut": key.token[:-1],
        "its own, twice over": key.token * 2,
        "two different": key.token,
    }[case]
    name = "x-ci-security-token" if place == "CI's header" else "x-cos-security-token"
    headers: dict[str, object] = {"x-cos-security-token": None}
    more = []
    if place == "parameter":
        more = [f"x-cos-security-token={token}"] if token else []
    else:
        headers |= {name: token}
    if case == "two different":
        if place == "parameter":
            headers[name] = other.token
        else:
            more.append(f"x-cos-security-token={other.token}")
    reply = Signed.of(key, bucket, "GET", "/k").sent(service, headers=headers, more=more)
    assert told(reply) == (MALFORMED if case == "two different" else (403, "InvalidAccessKeyId"))


def test_tokens_with_keys_that_need_none(service: Server, people: People, owner: Key, bucket: str) -> None:
    """A permanent key with a token is not what anybody was given, nor does a token come with another's rights."""
    key = people.temporary(owner)
    made = Signed.of(owner, bucket, "GET", "/k")
    for headers in ({"x-cos-security-token": key.token or ""}, {"x-ci-security-token": "nonsense"}):
        assert told(made.sent(service, headers=headers)) == (403, "InvalidAccessKeyId")
    stranger = people.account()
    reply = Signed.of(stranger, bucket, "GET", "/k").sent(service, headers={"x-cos-security-token": key.token or ""})
    assert told(reply)[0] == 403
    unsigned = send(service, "GET", "/k", bucket=bucket, signed=False, headers={"x-cos-security-token": key.token})
    assert told(unsigned) == (403, "AccessDenied")


def test_tokens_that_have_ended(service: Server, people: People, owner: Key, bucket: str) -> None:
    """A signature that is in its time does not keep a key alive whose own is over."""
    key = people.temporary(owner, minutes=-0.1)
    for in_url in (False, True):
        assert told(Signed.of(key, bucket, "GET", "/k").sent(service, in_url=in_url)) == (400, "ExpiredToken")
    job = Signed.of(key, bucket, "GET", "/jobs/j1", kind="ci").sent(service)
    assert told(job) == (401, "SignatureExpired")


_names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6)
_pairs = st.lists(st.tuples(st.from_regex(r"[a-z&=\n%-]{1,4}", fullmatch=True), _names), max_size=2).map(
    lambda pairs: tuple(dict(pairs).items())
)
_requests = st.tuples(
    st.sampled_from(["GET", "PUT"]),
    st.text(alphabet="a\n=&/%k", max_size=8).map("/{}".format),
    _pairs,
    _pairs.filter(lambda pairs: all(name != "host" for name, _ in pairs)),
)


@given(_requests, _requests)
def test_no_two_requests_are_signed_alike(one, two) -> None:
    """Newlines, ``&`` and ``=`` in paths, names and values make no request's text that of another."""

    def text(request) -> str:
        method, path, query, headers = request
        raw = tuple((name.encode(), value.encode()) for name, value in headers)
        made = SignedRequest(method=method, paths=[path], headers=raw, query=query)
        lists = {"header_list": [name for name, _ in headers], "param_list": [name for name, _ in query]}
        return http_string(made, path, None, **{it: [name.replace("%", "%25") for name in lists[it]] for it in lists})

    def content(request) -> object:
        method, path, query, headers = request
        return method, path, frozenset(query), frozenset(headers)

    assert (text(one) == text(two)) == (content(one) == content(two))


def test_signatures_are_not_in_the_log(service: Server, owner: Key, bucket: str) -> None:
    """Who reads the log learns which keys were read, and no signature that would still be good."""
    made = Signed.of(owner, bucket, "GET", "/a/b")
    for in_url in (False, True):
        assert made.sent(service, in_url=in_url)[0] == 200
    said = service.log.read_text()
    assert "/a/b" in said
    assert made.authorization.rpartition("=")[2] not in said
