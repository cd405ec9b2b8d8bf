"""URLs that were signed for one call and are to make another: their holder is a stranger who may do this call alone."""

from collections.abc import Callable
from urllib.parse import quote

import pytest
import requests

from forgery import Reply, Signed
from people import Key, People
from policies import allow
from raw_http import host_of, refusal
from server import REGION, Server

POLICY = b'{"version":"2.0","statement":[{"effect":"allow","principal":"*","action":"*","resource":"*"}]}'
RULE = b"<CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>"
CORS = b"<CORSConfiguration>%s</CORSConfiguration>" % RULE
DELETE = b"<Delete><Object><Key>k</Key></Object></Delete>"


@pytest.fixture
def bucket(people: People, owner: Key, service: Server) -> str:
    """A bucket with two objects."""
    name = people.bucket(owner)
    for key in ("k", "secret"):
        assert Signed.of(owner, name, "PUT", f"/{key}").sent(service, body=b"secret")[0] == 200
    return name


@pytest.fixture
def upload(service: Server, owner: Key, bucket: str) -> str:
    """An upload of ``k`` that is under way."""
    reply = Signed.of(owner, bucket, "POST", "/k", query=(("uploads", ""),)).sent(service)
    assert reply[0] == 200
    return reply[2].partition(b"<UploadId>")[2].partition(b"<")[0].decode()


@pytest.fixture
def state(service: Server, owner: Key, bucket: str) -> Callable[[], object]:
    """All that could be changed: objects, who may read them, uploads, rules and policy."""

    def look() -> object:
        gets = [("/", ()), ("/k", ()), ("/secret", ())]
        gets += [("/", ((name, ""),)) for name in ("acl", "cors", "policy", "uploads")] + [("/k", (("acl", ""),))]
        found = [Signed.of(owner, bucket, "GET", path, query=query).sent(service) for path, query in gets]
        return [(status, content) if status == 200 else status for status, _, content in found]

    return look


def refused(reply: Reply, status: int = 403, code: str = "AccessDenied") -> str:
    """The message of a refusal that shows nothing of what is kept."""
    assert reply[0] == status, reply
    told = refusal(reply[2])
    assert told["Code"] == code
    assert b"secret" not in reply[2].replace(b"/secret", b"")
    return told["Message"]


CALLS = [
    ("PUT", "/k", "acl", b""),
    ("PUT", "/k", "uploadId={upload}&partNumber=1", b"mine"),
    ("PUT", "/k", "partNumber=1&uploadId={upload}", b"mine"),
    ("GET", "/k", "acl", b""),
    ("GET", "/k", "uploadId={upload}", b""),
    ("DELETE", "/k", "uploadId={upload}", b""),
    ("POST", "/k", "uploads", b""),
    ("POST", "/k", "uploadId={upload}", b"<CompleteMultipartUpload/>"),
    ("GET", "/", "acl", b""),
    ("GET", "/", "cors", b""),
    ("GET", "/", "policy", b""),
    ("GET", "/", "uploads", b""),
    ("GET", "/", "location", b""),
    ("PUT", "/", "acl", b""),
    ("PUT", "/", "cors", CORS),
    ("PUT", "/", "policy", POLICY),
    ("DELETE", "/", "cors", b""),
    ("DELETE", "/", "policy", b""),
    ("POST", "/", "delete", DELETE),
]


@pytest.mark.parametrize("call", CALLS, ids=[f"{it[0]} {it[1]}?{it[2]}" for it in CALLS])
def test_another_call(service: Server, owner: Key, bucket: str, upload: str, state, call) -> None:
    """A URL for a plain call makes none that a parameter makes of it, however that is written."""
    (method, path, name, body), before = call, state()
    made = Signed.of(owner, bucket, method, path)
    headers = {"x-cos-acl": "public-read"} if name == "acl" and method == "PUT" else {}
    for added in [name.format(upload=upload)] if "=" in name else [name, f"{name}=", f"{name}=1"]:
        for more in (added, f"%{ord(added[0]):02x}{added[1:]}", f"x=1&{added}"):
            assert "sign it, or" in refused(made.sent(service, in_url=True, more=[more], body=body, headers=headers))
    assert state() == before


@pytest.mark.parametrize("in_url", [True, False], ids=["URL", "header"])
@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("PUT", "/k", "acl"),
        ("GET", "/secret", "acl"),
        ("GET", "/", "acl"),
        ("GET", "/", "policy"),
        ("DELETE", "/", "policy"),
        ("DELETE", "/", "cors"),
        ("PUT", "/", "cors"),
        ("POST", "/", "delete"),
        ("POST", "/k", "uploads"),
    ],
)
def test_the_plain_call(service: Server, owner: Key, bucket: str, state, method, path, name, in_url) -> None:
    """What was signed for a call that a parameter makes is not good for the plain one, which overwrites or deletes."""
    before = state()
    made = Signed.of(owner, bucket, method, path, query=((name, ""),))
    escaped = f"%{ord(name[0]):02x}{name[1:]}"
    for target in (path, f"{path}?{name.upper()}=", f"{path}?x=1"):
        refused(made.sent(service, in_url=in_url, target=target, body=b"mine"), code="SignatureDoesNotMatch")
        signature = made.authorization.replace(f"param-list={name}", f"param-list={escaped}")
        reply = made.sent(service, target=target, body=b"mine", signature=signature)
        refused(reply, code="SignatureDoesNotMatch")
    assert state() == before


def test_a_sub_resource_for_another(service: Server, owner: Key, bucket: str, upload: str, state) -> None:
    """A URL for one such call makes no other one, beside it or in its place."""
    before = state()
    acl = Signed.of(owner, bucket, "GET", "/", query=(("acl", ""),))
    assert acl.sent(service, in_url=True)[0] == 200
    refused(acl.sent(service, in_url=True, more=["policy"]))
    refused(acl.sent(service, in_url=True, target="/?policy"), code="SignatureDoesNotMatch")
    refused(acl.sent(service, in_url=True, target="/"), code="SignatureDoesNotMatch")
    part = Signed.of(owner, bucket, "PUT", "/k", query=(("partNumber", "1"), ("uploadId", upload)))
    for target in (f"/k?partNumber=2&uploadId={upload}", f"/k?partNumber=1&uploadId={upload[:-1]}0", "/k"):
        refused(part.sent(service, in_url=True, target=target, body=b"mine"), code="SignatureDoesNotMatch")
    twice = part.sent(service, in_url=True, more=[f"uploadId={upload}"], body=b"mine")
    refused(twice, code="SignatureDoesNotMatch")
    assert state() == before


HEADERS = [
    {"x-cos-acl": "public-read"},
    {"X-COS-ACL": "public-read"},
    {"x-cos-grant-read": 'id="qcs::cam::anyone:anyone"'},
    {"x-cos-grant-full-control": 'id="100000000001"'},
    {"x-cos-copy-source": "{bucket}.cos.{region}.myqcloud.com/secret"},
    {"X-Cos-Copy-Source": "{bucket}.cos.{region}.myqcloud.com/secret"},
]


@pytest.mark.parametrize("headers", HEADERS, ids=lambda it: next(iter(it)))
@pytest.mark.parametrize("path", ["/k", "/"])
def test_headers_that_open_or_copy(service: Server, owner: Key, bucket: str, state, headers, path) -> None:
    """What was to be uploaded is neither opened to all by a header nor taken from elsewhere."""
    before = state()
    made = Signed.of(owner, bucket, "PUT", path)
    sent = {name: value.format(bucket=bucket, region=REGION) for name, value in headers.items()}
    assert "sign it, or" in refused(made.sent(service, in_url=True, headers=sent))
    assert state() == before


def test_headers_of_the_start_of_an_upload(service: Server, owner: Key, bucket: str, state) -> None:
    """An upload in parts that was signed as such is not opened either."""
    before = state()
    made = Signed.of(owner, bucket, "POST", "/k", query=(("uploads", ""),))
    refused(made.sent(service, in_url=True, headers={"x-cos-acl": "public-read"}))
    assert state() == before


def test_what_was_signed_works(service: Server, owner: Key, bucket: str, people: People) -> None:
    """URLs of the official SDK make the calls that they are signed for, with parameters and headers."""
    client = people.client(owner)
    source = f"{bucket}.cos.{REGION}.myqcloud.com/secret"
    for method, key, params, headers, body, status in (
        ("PUT", "k", {"acl": ""}, {"x-cos-acl": "private"}, b"", 200),
        ("GET", "k", {"acl": ""}, {}, b"", 200),
        ("POST", "k", {"uploads": ""}, {}, b"", 200),
        ("PUT", "copy", {}, {"x-cos-copy-source": source}, b"", 200),
        ("PUT", "open", {}, {"x-cos-acl": "public-read"}, b"x", 200),
        ("GET", "k", {"response-content-type": "text/plain"}, {}, b"", 200),
    ):
        url = client.get_presigned_url(Bucket=bucket, Key=key, Method=method, Params=params, Headers=dict(headers))
        reply = requests.request(method, url, headers=headers, data=body, proxies={"http": service.url}, timeout=30)
        assert reply.status_code == status, reply.text


def test_parameters_that_make_no_call(service: Server, owner: Key, bucket: str) -> None:
    """Headers of the reply may be asked for unsigned, as the protocol has it; they are these six and hold no more."""
    made = Signed.of(owner, bucket, "GET", "/k")
    status, headers, _ = made.sent(service, in_url=True, more=["response-content-disposition=attachment", "t=1"])
    assert (status, headers["Content-Disposition"]) == (200, "attachment")
    for value in ("a%0d%0aSet-Cookie:%20x=y", "a%0aSet-Cookie:x", "a%00", "%20a"):
        reply = made.sent(service, in_url=True, more=[f"response-content-disposition={value}"])
        assert (reply[0], refusal(reply[2])["Code"]) == (400, "InvalidArgument") or refusal(reply[2])[
            "Code"
        ] == "InvalidURI"
    _, headers, _ = made.sent(service, in_url=True, more=["response-set-cookie=x", "response-x-cos-acl=y"])
    assert "Set-Cookie" not in headers


def test_parameters_in_another_case(service: Server, owner: Key, bucket: str, state) -> None:
    """Names of calls count with case: what is not one of them changes nothing."""
    before = state()
    for more in ("ACL", "Policy", "UPLOADS", "UploadId=1", "acl%20", "%20acl", "acl;policy", "acl%00"):
        status, _, content = Signed.of(owner, bucket, "GET", "/k").sent(service, in_url=True, more=[more])
        assert (status, content) == (200, b"secret") or refusal(content)["Code"] == "InvalidURI"
    assert state() == before


def test_the_lists_of_names(service: Server, owner: Key, bucket: str, state) -> None:
    """What is signed is what was listed when it was: a holder cannot list more, nor less."""
    before = state()
    made = Signed.of(owner, bucket, "PUT", "/")
    for old, new in (
        ("q-url-param-list=", "q-url-param-list=policy"),
        ("q-header-list=host", "q-header-list=host%3Bx-cos-acl"),
        ("q-header-list=host", "q-header-list="),
    ):
        assert old in made.parameters
        target = f"/?policy&{made.parameters.replace(old, new, 1)}"
        reply = made.sent(service, signature="", target=target, headers={"x-cos-acl": "public-read"}, body=POLICY)
        refused(reply, code="SignatureDoesNotMatch")
    assert state() == before


def test_a_job_of_a_url(service: Server, owner: Key, bucket: str, people: People) -> None:
    """A URL to look at a job neither shows its callbacks nor has them sent again."""
    made = Signed.of(owner, bucket, "GET", f"/jobs/j{'0' * 32}", kind="ci")
    assert made.sent(service, in_url=True)[0] == 200
    reply = made.sent(service, in_url=True, more=["callbacks"])
    refused(reply)
    refused(made.but(method="POST").sent(service, in_url=True, more=["callbacks"]))


def test_urls_of_users(service: Server, people: People, owner: Key, bucket: str) -> None:
    """A URL is worth what its signer may do when it is used: less when he lost it, nothing when it is his no more."""
    mine = f"qcs::cos::uid/{owner.appid}:{bucket}"
    user = people.user(owner, allow("cos:GetObject", f"{mine}/k"))
    made = Signed.of(user, bucket, "GET", "/k")
    assert made.sent(service, in_url=True)[2] == b"secret"
    refused(Signed.of(user, bucket, "GET", "/secret").sent(service, in_url=True))
    refused(Signed.of(user, bucket, "PUT", "/k").sent(service, in_url=True, body=b"mine"))
    people.may(user)
    refused(made.sent(service, in_url=True))


def test_a_url_with_a_token_of_its_own(service: Server, people: People, owner: Key, bucket: str) -> None:
    """The token of a temporary key may follow unsigned; another's in its place is refused."""
    key, other = people.temporary(owner), people.temporary(owner)
    url = Signed.of(key, bucket, "GET", "/k")
    without = {"x-cos-security-token": None}
    token = f"x-cos-security-token={quote(key.token or '')}"
    assert url.sent(service, in_url=True, more=[token], headers=without)[2] == b"secret"
    for more in ([], [f"x-cos-security-token={quote(other.token or '')}"]):
        refused(url.sent(service, in_url=True, more=more, headers=without), code="InvalidAccessKeyId")


def test_methods_of_other_headers(service: Server, owner: Key, bucket: str, state) -> None:
    """No header makes another method, path or host of a request."""
    before = state()
    for method in ("GET", "HEAD", "POST"):
        for headers in (
            {"X-HTTP-Method-Override": "DELETE"},
            {"X-HTTP-Method": "DELETE"},
            {"X-Method-Override": "DELETE"},
            {"X-Original-URL": "/secret", "X-Rewrite-URL": "/secret"},
            {"X-Forwarded-Host": host_of("other-1"), "Forwarded": "host=other"},
            {"X-Forwarded-Prefix": "/secret", "X-Original-Method": "DELETE"},
        ):
            reply = Signed.of(owner, bucket, method, "/k").sent(
                service, in_url=True, headers=headers, more=["_method=DELETE"]
            )
            assert reply[0] == (200 if method != "POST" else 501)
    assert state() == before
