"""Cross-origin sharing over HTTP: preflights, replies to pages, the server's own rule."""

from collections.abc import Callable, Iterator

import pytest

from raw_http import refusal, send
from server import Server, new_room
from support import start_service

PAGE = "https://app.example"
RULES = b"""<CORSConfiguration>
<CORSRule><ID>1</ID><AllowedOrigin>https://app.example</AllowedOrigin><AllowedMethod>GET</AllowedMethod>
<AllowedMethod>PUT</AllowedMethod><AllowedHeader>*</AllowedHeader><ExposeHeader>ETag</ExposeHeader>
<ExposeHeader>x-cos-meta-*</ExposeHeader><MaxAgeSeconds>300</MaxAgeSeconds></CORSRule>
<CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>HEAD</AllowedMethod></CORSRule>
</CORSConfiguration>"""


@pytest.fixture(scope="module")
def shared(service: Server) -> str:
    """A bucket with ``RULES`` and an object."""
    bucket = f"pages-{service.root_key.appid}"
    assert send(service, "PUT", "/", bucket=bucket)[0] == 200
    assert send(service, "PUT", "/?cors", bucket=bucket, body=RULES)[0] == 200
    assert send(service, "PUT", "/k", bucket=bucket, body=b"hello", headers={"x-cos-meta-a": "1"})[0] == 200
    return bucket


@pytest.fixture(scope="module")
def open_service() -> Iterator[Server]:
    """A server with a rule of its own."""
    with new_room() as directory:
        running = start_service(directory / "data", SORDINO_CORS_ORIGINS=f"{PAGE}, http://localhost:*")
        yield running
        assert running.stop() == 0


def preflight(service: Server, bucket: str | None, origin: str, method: str, asked: str | None = None, **options):
    """An unsigned OPTIONS request."""
    headers = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": asked}
    path = options.pop("path", "/k")
    return send(service, "OPTIONS", path, bucket=bucket, headers=headers, signed=False, **options)


def allowed(headers: dict[str, str]) -> dict[str, str]:
    """The headers for browsers, without the beginning that they share."""
    begin = "Access-Control-"
    return {name.removeprefix(begin): value for name, value in headers.items() if name.startswith(begin)}


@pytest.mark.parametrize("kind", ["cos", "ci"])
@pytest.mark.parametrize("path", ["/", "/k", "/jobs", "/?cors"])
def test_preflight(service: Server, shared: str, kind: str, path: str) -> None:
    """A browser is told, unsigned, what a page may send to the bucket, to its objects and to its CI host."""
    asked = "authorization,content-type, x-cos-meta-a"
    status, headers, content = preflight(service, shared, PAGE, "PUT", asked, kind=kind, path=path)
    assert (status, content) == (200, b"")
    assert allowed(headers) == {
        "Allow-Origin": PAGE,
        "Allow-Methods": "GET, PUT",
        "Allow-Headers": "authorization, content-type, x-cos-meta-a",
        "Expose-Headers": "ETag, x-cos-meta-*",
        "Max-Age": "300",
    }
    assert headers["Vary"] == "Origin"


def test_preflight_of_any_origin(service: Server, shared: str) -> None:
    """Under a rule for all origins the reply says so; what the rule leaves out is left out."""
    status, headers, _ = preflight(service, shared, "https://other.example", "HEAD")
    assert status == 200
    assert allowed(headers) == {"Allow-Origin": "*", "Allow-Methods": "HEAD"}


@pytest.mark.parametrize(
    ("origin", "method", "asked"),
    [
        ("https://other.example", "PUT", None),
        (PAGE, "DELETE", None),
        ("https://other.example", "HEAD", "authorization"),
        (PAGE, "PUT", ",".join(f"x-{number}" for number in range(101))),
        ("null", "GET", None),
    ],
)
def test_refused_preflight(service: Server, shared: str, origin: str, method: str, asked: str | None) -> None:
    """A request that no rule allows whole is refused in COS's words, without leave for the page."""
    status, headers, content = preflight(service, shared, origin, method, asked)
    told = refusal(content)
    assert (status, told["Code"]) == (403, "AccessForbidden")
    assert told["Message"].startswith("CORSResponse: ")
    assert allowed(headers) == {}


def test_buckets_without_rules_and_none(service: Server, new_bucket: Callable[[], str]) -> None:
    """A bucket without rules, one that does not exist, and the list of buckets are closed to pages alike."""
    told = [preflight(service, bucket, PAGE, "GET") for bucket in (new_bucket(), f"no-{service.root_key.appid}", None)]
    assert {(status, refusal(content)["Message"]) for status, _, content in told} == {
        (403, refusal(told[0][2])["Message"])
    }


@pytest.mark.parametrize("missing", ["Origin", "Access-Control-Request-Method"])
def test_what_is_no_preflight(service: Server, shared: str, missing: str) -> None:
    """OPTIONS without what a browser sends is refused with what it needs."""
    headers = {"Origin": PAGE, "Access-Control-Request-Method": "GET"} | {missing: None}
    status, _, content = send(service, "OPTIONS", "/k", bucket=shared, headers=headers)
    assert (status, refusal(content)["Code"]) == (400, "InvalidArgument")
    assert missing in refusal(content)["Message"]


def test_reply_to_a_page(service: Server, shared: str) -> None:
    """A page that is allowed gets leave to read the reply, and the headers that the rule shows, each by its name."""
    _, headers, content = send(service, "GET", "/k", bucket=shared, headers={"Origin": PAGE})
    assert content == b"hello"
    assert allowed(headers) == {"Allow-Origin": PAGE, "Expose-Headers": "etag, x-cos-meta-a"}
    assert headers["Vary"] == "Origin"


def test_reply_to_another_page(service: Server, shared: str) -> None:
    """A page that is not allowed is answered, as whoever signs is, but its browser keeps the reply from it."""
    status, headers, _ = send(service, "GET", "/k", bucket=shared, headers={"Origin": "https://other.example"})
    assert (status, allowed(headers), headers["Vary"]) == (200, {}, "Origin")


@pytest.mark.parametrize(("path", "signed", "status"), [("/none", True, 404), ("/k", False, 403)])
def test_refusals_reach_the_page(service: Server, shared: str, path: str, signed: bool, status: int) -> None:
    """A page that is allowed sees why it is refused."""
    answer = send(service, "GET", path, bucket=shared, headers={"Origin": PAGE}, signed=signed)
    assert answer[0] == status
    assert allowed(answer[1])["Allow-Origin"] == PAGE


def test_no_origin(service: Server, shared: str) -> None:
    """Clients that are no browsers see nothing of all this."""
    _, headers, _ = send(service, "GET", "/k", bucket=shared)
    assert allowed(headers) == {}
    assert "Vary" not in headers


def test_response_vary(service: Server, new_bucket: Callable[[], str]) -> None:
    """With ResponseVary, replies say to caches that they vary by origin also where there is none."""
    bucket = new_bucket()
    rules = RULES.replace(b"</CORSConfiguration>", b"<ResponseVary>true</ResponseVary></CORSConfiguration>")
    assert send(service, "PUT", "/?cors", bucket=bucket, body=rules)[0] == 200
    assert send(service, "GET", "/", bucket=bucket)[1]["Vary"] == "Origin"
    assert send(service, "DELETE", "/?cors", bucket=bucket)[0] == 204
    assert "Vary" not in send(service, "GET", "/", bucket=bucket)[1]


def test_rules_end(service: Server, new_bucket: Callable[[], str]) -> None:
    """Deleted rules allow nothing any more; there being none is an answer of its own."""
    bucket = new_bucket()
    assert send(service, "PUT", "/?cors", bucket=bucket, body=RULES)[0] == 200
    assert preflight(service, bucket, PAGE, "GET")[0] == 200
    assert send(service, "DELETE", "/?cors", bucket=bucket)[0] == 204
    assert preflight(service, bucket, PAGE, "GET")[0] == 403
    status, _, content = send(service, "GET", "/?cors", bucket=bucket)
    assert (status, refusal(content)["Code"]) == (404, "NoSuchCORSConfiguration")


@pytest.mark.parametrize("origin", [PAGE, "http://localhost:3000"])
def test_the_rule_of_the_server(open_service: Server, origin: str) -> None:
    """Pages of the operator's list may do everything, also before there is a bucket, and see COS's headers."""
    bucket = f"late-{open_service.root_key.appid}"
    status, headers, _ = preflight(open_service, bucket, origin, "PUT", "authorization,x-cos-acl")
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, origin)
    assert headers["Access-Control-Allow-Headers"] == "authorization, x-cos-acl"
    for method, path in (("PUT", "/"), ("PUT", "/k"), ("GET", "/k"), ("HEAD", "/k")):
        _, headers, _ = send(open_service, method, path, bucket=bucket, headers={"Origin": origin})
        shown = headers["Access-Control-Expose-Headers"].split(", ")
        assert headers["Access-Control-Allow-Origin"] == origin
        assert {"x-cos-request-id", "date"} <= set(shown)
    assert {"etag", "content-length", "x-cos-hash-crc64ecma"} <= set(shown)
    _, headers, _ = send(open_service, "GET", "/jobs", bucket=bucket, kind="ci", headers={"Origin": origin})
    assert "x-ci-request-id" in headers["Access-Control-Expose-Headers"]


def test_the_rules_of_a_bucket_win(open_service: Server) -> None:
    """Where a bucket has rules, the server's do not hold beside them."""
    bucket = f"own-{open_service.root_key.appid}"
    assert send(open_service, "PUT", "/", bucket=bucket)[0] == 200
    assert send(open_service, "PUT", "/?cors", bucket=bucket, body=RULES)[0] == 200
    assert preflight(open_service, bucket, "http://localhost:3000", "GET")[0] == 403
    assert preflight(open_service, bucket, PAGE, "DELETE")[0] == 403
