import hashlib
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qcloud_cos import CosConfig, CosS3Auth, CosS3Client
from requests import Request

from sordino.wire import signature
from sordino.wire.address import resolve
from sordino.wire.query import Query
from sordino.wire.signature import Authorization, Reason, SignatureError, SignedRequest

SECRET_ID = "AKIDEXAMPLE0000000000000000000000001"
SECRET_KEY = "SecretKeyExample000000000000001"
START, END = datetime.fromtimestamp(1699999940, UTC), datetime.fromtimestamp(1700003600, UTC)
NOW = datetime.fromtimestamp(1700000000, UTC)
CI_HOST = "examplebucket-1250000000.ci.ap-guangzhou.myqcloud.com"
COS_HOST = "examplebucket-1250000000.cos.ap-guangzhou.myqcloud.com"

VECTORS = [
    pytest.param(
        SignedRequest(
            method="POST",
            paths=("/jobs",),
            hosts=(CI_HOST,),
            headers=((b"Content-Type", b"application/xml"), (b"Content-Length", b"166")),
        ),
        f"post\n/jobs\n\ncontent-length=166&content-type=application%2Fxml&host={CI_HOST}\n",
        "33c6e6a01f8a0a16058bbf4c33e9df7033478181",
        "08c06974be4631481fea6ee4bc32f25312f1955a",
        id="submit",
    ),
    pytest.param(
        SignedRequest(
            method="GET",
            paths=("/jobs",),
            hosts=(CI_HOST,),
            query=(
                ("tag", "NoiseReduction"),
                ("orderByTime", "Desc"),
                ("states", "All"),
                ("size", "10"),
                ("nextToken", ""),
                ("startCreationTime", "2001-01-01T00:00:00+0800"),
            ),
        ),
        "get\n/jobs\nnexttoken=&orderbytime=Desc&size=10&startcreationtime=2001-01-01T00%3A00%3A00%2B0800"
        f"&states=All&tag=NoiseReduction\nhost={CI_HOST}\n",
        "e35a179ff5fb6ec8e925388ba0f369b83081d272",
        "5d404561d20c85be2691de1b11d5a685c5bcd7bd",
        id="list",
    ),
    pytest.param(
        SignedRequest(
            method="PUT",
            paths=("/in/a b+中(1)!.wav",),
            hosts=(COS_HOST,),
            headers=((b"Content-Type", b"audio/wav"), (b"Content-Length", b"5"), (b"x-cos-meta-k", b"v 1*'()~")),
        ),
        "put\n/in/a b+中(1)!.wav\n\n"
        f"content-length=5&content-type=audio%2Fwav&host={COS_HOST}&x-cos-meta-k=v%201%2A%27%28%29~\n",
        "ac3d37f2e6d68da81f9332ea8dfebb4a93ba24d2",
        "1036dad7929238134f061f9fbfa8173591643b14",
        id="upload",
    ),
]


def sign(request: SignedRequest) -> Authorization:
    """Sign with the key and in the time of the vectors."""
    return signature.sign(request, secret_id=SECRET_ID, secret_key=SECRET_KEY, start=START, end=END)


def parse_header(value: str) -> Authorization:
    """Parse the value of an Authorization header."""
    parsed = signature.parse([(b"Authorization", value.encode())], [])
    assert parsed is not None
    return parsed


def verify(authorization, request, *, secret_key=SECRET_KEY, now=NOW, skew=0) -> None:
    """Verify with the key and in the time of the vectors."""
    signature.verify(authorization, secret_key, request, now=now, skew=skew)


def reason(authorization, request, **given_) -> Reason:
    """Why ``verify`` refuses."""
    with pytest.raises(SignatureError) as refused:
        verify(authorization, request, **given_)
    return refused.value.reason


def header(**changes: str) -> str:
    """A well-formed Authorization value with some pairs replaced."""
    pairs = {
        "q-sign-algorithm": "sha1",
        "q-ak": SECRET_ID,
        "q-sign-time": "1699999940;1700003600",
        "q-key-time": "1699999940;1700003600",
        "q-header-list": "host",
        "q-url-param-list": "",
        "q-signature": "0" * 40,
    }
    return "&".join(f"{name}={value}" for name, value in (pairs | changes).items())


@pytest.mark.parametrize(("request_", "text", "digest", "expected"), VECTORS)
def test_vectors_of_the_official_signer(request_, text, digest, expected):
    """The signed text, its digest and the signature are those of the official SDK."""
    signed = sign(request_)
    lists = {"header_list": signed.header_list, "param_list": signed.param_list}
    built = signature.http_string(request_, request_.paths[0], request_.hosts[0], **lists)
    assert built == text
    assert hashlib.sha1(built.encode()).hexdigest() == digest
    assert signed.signature == expected


@pytest.mark.parametrize(("request_", "text", "digest", "expected"), VECTORS)
def test_vectors_verify(request_, text, digest, expected):
    """The official signatures are accepted from the header and from the query."""
    signed = sign(request_)
    verify(parse_header(signed.header), request_)
    in_query = signature.parse([], Query.parse(signed.query.encode()))
    assert in_query is not None
    assert in_query.in_query
    verify(in_query, request_)


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("azAZ09-_.~", "azAZ09-_.~"),
        ("a b+c/d", "a%20b%2Bc%2Fd"),
        ("!'()*", "%21%27%28%29%2A"),
        ("中", "%E4%B8%AD"),
        (b"\xff", "%FF"),
    ],
)
def test_encoding_keeps_the_unreserved_only(text, encoded):
    """Everything but the unreserved characters becomes upper-case escapes of its UTF-8."""
    assert signature.encode(text) == encoded


# Header values as an HTTP stack delivers them: no control characters, no white space at the ends.
header_values = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])).map(str.strip)
header_names = st.from_regex(r"(x-cos-meta|x-ci|X-Cos)-[A-Za-z0-9!*'_.~-]{1,12}", fullmatch=True)
parameter_names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
keys = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).map(lambda key: "k" + key)


def unique_ignoring_case(strategy, values):
    """Dictionaries whose keys stay apart when encoded and lower-cased, as the SDK does."""
    pairs = st.lists(st.tuples(strategy, values), unique_by=lambda pair: signature.encode(pair[0]).lower(), max_size=8)
    return pairs.map(dict)


@given(
    key=keys,
    headers=unique_ignoring_case(header_names, header_values),
    params=unique_ignoring_case(parameter_names, st.text(max_size=12)),
    host=st.sampled_from([COS_HOST, f"{COS_HOST}:8000"]),
)
def test_official_header_form_is_accepted(key, headers, params, host):
    """Whatever the official SDK signs in its header form verifies, with the port in Host or not."""
    prepared = Request("PUT", f"http://{host}/", headers=headers, params={})
    conf = CosConfig(Region="ap-guangzhou", SecretId=SECRET_ID, SecretKey=SECRET_KEY)
    value = CosS3Auth(conf, key, params)(prepared).headers.pop("Authorization")
    address = resolve(host, b"/", default_bucket=None, ci_on_any_host=True)
    request = SignedRequest(
        method="put",
        paths=(f"/{key}",),
        hosts=address.signed_hosts,
        headers=[(name.encode(), text.encode()) for name, text in headers.items()],
        query=tuple(params.items()),
    )
    verify(parse_header(value), request, now=datetime.now(UTC))
    assert reason(parse_header(value), request, secret_key="another") is Reason.MISMATCH


@given(
    key=keys,
    params=unique_ignoring_case(st.from_regex(r"response-[A-Za-z-]{1,12}", fullmatch=True), st.text(max_size=12)),
)
def test_official_query_form_is_accepted(key, params):
    """Whatever URL the official SDK presigns verifies after our addressing and query parsing."""
    params = {name: text.replace("\0", "") for name, text in params.items()}
    conf = CosConfig(Region="ap-guangzhou", SecretId=SECRET_ID, SecretKey=SECRET_KEY)
    url = CosS3Client(conf).get_presigned_url("examplebucket-1250000000", key, "GET", Params=params)
    _, host, path, query, _ = urlsplit(url)
    address = resolve(host, path.encode(), default_bucket=None, ci_on_any_host=True)
    parameters = Query.parse(query.encode())
    assert address.path == f"/{key}"
    assert {name: parameters.get(name) or "" for name in params} == params
    parsed = signature.parse([], parameters)
    assert parsed is not None
    request = SignedRequest(
        method="GET", paths=address.signed_paths, hosts=address.signed_hosts, query=parameters.pairs
    )
    verify(parsed, request, now=datetime.now(UTC))


@given(
    query=st.lists(st.tuples(parameter_names, st.text(max_size=8)), max_size=6),
    headers=st.lists(st.tuples(header_names.map(str.encode), header_values.map(str.encode)), max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_order_and_repetition_do_not_matter(query, headers, order):
    """Names may repeat, once in the list for every value, and may arrive in any order and case."""
    signed = sign(SignedRequest(method="GET", paths=("/k",), hosts=("h",), headers=headers, query=query))
    shuffled = order.sample(query, len(query))
    received = [(name.upper(), value) for name, value in order.sample(headers, len(headers))]
    verify(signed, SignedRequest(method="get", paths=("/k",), hosts=("h",), headers=received, query=shuffled))


def test_repeated_names_as_go_signs_them():
    """Go lists a name once for every value, sorts the values before encoding and keeps the pairs apart."""
    request = SignedRequest(method="GET", paths=("/",), query=(("Tag", "b"), ("tag", "a c"), ("x", "1")))
    text = signature.http_string(request, "/", None, header_list=(), param_list=("tag", "tag", "x"))
    assert text == "get\n/\ntag=a%20c&tag=b&x=1\n\n"


def test_all_values_of_a_listed_name_are_covered():
    """A second value slipped in under a signed name breaks the signature."""
    signed = sign(SignedRequest(method="GET", paths=("/",), query=(("a", "1"),)))
    assert reason(signed, SignedRequest(method="GET", paths=("/",), query=(("a", "1"), ("A", "2")))) is Reason.MISMATCH


def test_what_is_not_listed_is_not_covered():
    """Unlisted headers and parameters may be anything, as with the Python SDK's ``?cancel``."""
    signed = sign(SignedRequest(method="PUT", paths=("/jobs/j1",), hosts=("h",)))
    received = SignedRequest(
        method="PUT", paths=("/jobs/j1",), hosts=("h",), headers=[(b"accept", b"*/*")], query=[("cancel", "")]
    )
    verify(signed, received)


def test_a_listed_name_that_is_missing_is_empty():
    """A parameter signed as empty may be left out; one signed with a value may not."""
    signed = sign(SignedRequest(method="GET", paths=("/",), query=(("a", ""),)))
    verify(signed, SignedRequest(method="GET", paths=("/",)))
    signed = sign(SignedRequest(method="GET", paths=("/",), query=(("a", "1"),)))
    assert reason(signed, SignedRequest(method="GET", paths=("/",))) is Reason.MISMATCH


def test_the_host_may_stay_unsigned():
    """Python's ``SignHost=False`` signs no host, and any host verifies."""
    signed = sign(SignedRequest(method="GET", paths=("/",)))
    assert signed.header_list == ()
    verify(signed, SignedRequest(method="GET", paths=("/",), hosts=("anything:1",), headers=[(b"host", b"anything:1")]))


@pytest.mark.parametrize("host", [f"{COS_HOST}:8000", COS_HOST, f"{COS_HOST.upper()}:8000"])
def test_the_host_may_be_signed_with_or_without_its_port(host):
    """Go and Node sign the port, Python does not, and URL libraries lower-case the name before signing."""
    received = resolve(f"{COS_HOST.upper()}:8000", b"/", default_bucket=None, ci_on_any_host=True)
    request = SignedRequest(method="GET", paths=("/",), hosts=received.signed_hosts)
    verify(sign(SignedRequest(method="GET", paths=("/",), hosts=(host,))), request)


def test_another_host_does_not_verify():
    """A signed host binds the signature to its bucket."""
    signed = sign(SignedRequest(method="GET", paths=("/",), hosts=(COS_HOST,)))
    assert reason(signed, SignedRequest(method="GET", paths=("/",), hosts=(CI_HOST,))) is Reason.MISMATCH


@pytest.mark.parametrize("path", ["/in/a.wav", "/examplebucket-1250000000/in/a.wav"])
def test_a_path_style_bucket_may_be_signed_or_not(path):
    """The SDKs leave the bucket out of the signed path; plain clients sign the whole path."""
    address = resolve("localhost", b"/examplebucket-1250000000/in/a.wav", default_bucket=None, ci_on_any_host=True)
    verify(
        sign(SignedRequest(method="GET", paths=(path,))),
        SignedRequest(method="GET", paths=address.signed_paths, hosts=address.signed_hosts),
    )


def test_the_path_is_bound():
    """A signature for one path is refused on another."""
    signed = sign(SignedRequest(method="GET", paths=("/a",)))
    assert reason(signed, SignedRequest(method="GET", paths=("/b",))) is Reason.MISMATCH


def test_the_method_is_bound():
    """A signature to read does not allow to write."""
    signed = sign(SignedRequest(method="GET", paths=("/a",)))
    assert reason(signed, SignedRequest(method="PUT", paths=("/a",))) is Reason.MISMATCH


def test_times():
    """The signature holds from its first to its last second; the client's clock may be ahead by the skew."""
    request = SignedRequest(method="GET", paths=("/",))
    signed, second = sign(request), timedelta(seconds=1)
    verify(signed, request, now=START)
    verify(signed, request, now=END)
    verify(signed, request, now=START - 300 * second, skew=300)
    assert reason(signed, request, now=START - second) is Reason.NOT_YET_VALID
    assert reason(signed, request, now=START - 301 * second, skew=300) is Reason.NOT_YET_VALID
    assert reason(signed, request, now=END + second, skew=300) is Reason.EXPIRED


def test_a_wrong_key_costs_one_encoding(monkeypatch):
    """However many paths and hosts the client may have signed, each value is encoded once."""
    request = SignedRequest(
        method="GET", paths=("/a", "/b/a"), hosts=("h:1", "h"), headers=[(b"x-a", b"v1")], query=[("p", "v2")]
    )
    signed = sign(request)
    encoded, encode = [], signature.encode
    monkeypatch.setattr(signature, "encode", lambda text: encoded.append(text) or encode(text))
    assert reason(signed, request, secret_key="other") is Reason.MISMATCH
    assert (encoded.count(b"v1"), encoded.count(b"v2")) == (1, 1)


def test_a_wrong_key_learns_nothing_about_the_times():
    """Out of its time and with a wrong key, a signature is called wrong, not expired."""
    request = SignedRequest(method="GET", paths=("/",))
    assert reason(sign(request), request, now=END + timedelta(days=1), secret_key="other") is Reason.MISMATCH


@pytest.mark.parametrize("headers", [[], [(b"authorization", b"")], [(b"Authorization", b"  ")]])
def test_anonymous(headers):
    """No Authorization and an empty one, which Python sends, are anonymous."""
    assert signature.parse(headers, [("prefix", "q-")]) is None


def test_parse_reads_every_pair():
    """The parsed form holds what was sent, and renders back to it."""
    value = header(**{"q-header-list": "content-type;host", "q-url-param-list": "a%2fb"})
    parsed = parse_header(value)
    assert parsed.secret_id == SECRET_ID
    assert (parsed.key_start, parsed.key_end) == (1699999940, 1700003600)
    assert parsed.header_list == ("content-type", "host")
    assert parsed.param_list == ("a%2fb",)
    assert not parsed.in_query
    assert parsed.token is None
    assert parsed.header == value


def test_all_in_one_parameter_as_php_writes_it():
    """The URLs of the PHP SDK carry the whole signature in one parameter; another ``sign`` is none."""
    signed = sign(SignedRequest(method="GET", paths=("/k",), hosts=(COS_HOST,)))
    parsed = signature.parse([], [("sign", signed.header), ("sign", "of-somebody")])
    assert parsed is not None
    assert parsed.in_query
    assert parsed.pairs == signed.pairs
    assert signature.parse([], [("sign", "of-somebody")]) is None
    with pytest.raises(SignatureError, match="more than one"):
        signature.parse([(b"Authorization", signed.header.encode())], [("sign", signed.header)])


def test_pairs_of_others_in_the_header_are_ignored():
    """Clients may append pairs of their own to the Authorization value."""
    assert parse_header(header() + "&x-extra=1").secret_id == SECRET_ID


@pytest.mark.parametrize("separator", [";", "%3B"])
def test_semicolons_of_the_query_form(separator):
    """Node leaves the semicolons raw, the others escape them."""
    raw = header(**{"q-header-list": "a;host"}).replace(";", separator)
    parsed = signature.parse([], Query.parse(raw.encode()))
    assert parsed is not None
    assert parsed.header_list == ("a", "host")


@pytest.mark.parametrize(
    "value",
    [
        "Basic dXNlcjpwYXNz",
        "q-sign-algorithm=sha1",
        header(**{"q-sign-algorithm": "sha256"}),
        header(**{"q-ak": ""}),
        header(**{"q-ak": "a b"}),
        header(**{"q-ak": "a" * 129}),
        header(**{"q-sign-time": "1699999941;1700003600"}),
        header(**{"q-sign-time": "", "q-key-time": ""}),
        header(**{"q-sign-time": "1;2;3", "q-key-time": "1;2;3"}),
        header(**{"q-sign-time": "2;1", "q-key-time": "2;1"}),
        header(**{"q-sign-time": "-1;2", "q-key-time": "-1;2"}),
        header(**{"q-sign-time": "1;\u0662", "q-key-time": "1;\u0662"}),
        header(**{"q-sign-time": "1;" + "9" * 12, "q-key-time": "1;" + "9" * 12}),
        header(**{"q-sign-time": "1;" + "9" * 6000, "q-key-time": "1;2"}),
        header(**{"q-signature": "0" * 39}),
        header(**{"q-signature": "A" * 40}),
        header(**{"q-header-list": ";".join(["a"] * 257)}),
        header(**{"q-url-param-list": ";".join(["a"] * 257)}),
        header(**{"q-header-list": "a" * 9000}),
        header() + "&q-ak=other",
    ],
)
def test_malformed(value):
    """What is no signature of this protocol is called malformed, with a message."""
    with pytest.raises(SignatureError) as refused:
        parse_header(value)
    assert refused.value.reason is Reason.MALFORMED
    assert refused.value.message


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ([(b"Authorization", header().encode())] * 2, []),
        ([(b"Authorization", header().encode())], [pair.split("=", 1) for pair in header().split("&")]),
        ([(b"Authorization", header().encode())], [("q-signature", "")]),
    ],
)
def test_two_signatures_are_refused(headers, query):
    """A request signed twice, in any two places, is malformed."""
    with pytest.raises(SignatureError) as refused:
        signature.parse(headers, [(name, value) for name, value in query])
    assert refused.value.reason is Reason.MALFORMED


@given(st.text(), st.binary())
def test_parse_raises_nothing_else(pair, raw):
    """Any bytes in the header and any pairs in the query are anonymous or refused, never a crash."""
    for headers, query in (([(b"authorization", raw)], []), ([], [("q-ak", pair)]), ([], [(pair, pair)])):
        with suppress(SignatureError):
            assert signature.parse(headers, query) is None


TOKEN = "token/+="


@pytest.mark.parametrize("name", ["x-cos-security-token", "x-ci-security-token", "X-COS-Security-Token"])
def test_token_in_a_header(name):
    """Both names of the token header are read, on either service."""
    headers = [(b"authorization", header().encode()), (name.encode(), TOKEN.encode())]
    parsed = signature.parse(headers, [])
    assert parsed is not None
    assert parsed.token == TOKEN


def test_token_in_the_query():
    """The token may come as a query parameter; an empty one counts as none."""
    headers = [(b"authorization", header().encode())]
    with_token = signature.parse(headers, [("x-cos-security-token", TOKEN)])
    without = signature.parse(headers, [("x-cos-security-token", "")])
    assert with_token is not None
    assert without is not None
    assert (with_token.token, without.token) == (TOKEN, None)


@pytest.mark.parametrize("tokens", [("a", "b"), ("a" * 4097,)])
def test_bad_tokens(tokens):
    """Two different tokens, or an absurdly long one, are malformed."""
    headers = [(b"authorization", header().encode()), *((b"x-cos-security-token", t.encode()) for t in tokens)]
    with pytest.raises(SignatureError) as refused:
        signature.parse(headers, [])
    assert refused.value.reason is Reason.MALFORMED


def test_the_token_stays_out_of_the_repr():
    """Logging a parsed signature does not log the token."""
    parsed = signature.parse([(b"authorization", header().encode()), (b"x-ci-security-token", b"tok3n")], [])
    assert "tok3n" not in repr(parsed)
