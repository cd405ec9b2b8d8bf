"""What anybody may read, unsigned or as a stranger, and what nobody learns without leave."""

from collections.abc import Callable
from xml.etree import ElementTree as ET

import psycopg
import pytest
from qcloud_cos import CosConfig, CosS3Client

from people import Key, People
from raw_http import refusal, send
from server import REGION, RootKey, Server
from sordino.adapters.postgres.embedded import find_running

GUEST = Key(appid="1288888888", secret_id=f"AKID{'g' * 32}", secret_key="k" * 32, uin="100088888888")
PUBLIC = {"x-cos-acl": "public-read"}


@pytest.fixture(scope="module")
def guest(service: Server) -> RootKey:
    """The key of another account."""
    People(service).add(GUEST)
    return GUEST


@pytest.fixture(scope="module")
def private(service: Server, guest: RootKey) -> str:
    """A private bucket with an object of each list, and one that says nothing."""
    return _bucket(service, "closed", {})


@pytest.fixture(scope="module")
def public(service: Server, guest: RootKey) -> str:
    """A public-read bucket with the same."""
    return _bucket(service, "opened", PUBLIC)


def _bucket(service: Server, name: str, headers: dict[str, str | list[str] | None]) -> str:
    bucket = f"{name}-{service.root_key.appid}"
    assert send(service, "PUT", "/", bucket=bucket, headers=headers)[0] == 200
    for acl in ("private", "public-read", "default"):
        assert send(service, "PUT", f"/{acl}", bucket=bucket, body=b"hello", headers={"x-cos-acl": acl})[0] == 200
    assert send(service, "PUT", "/silent", bucket=bucket, body=b"hello")[0] == 200
    return bucket


Asker = dict[str, object]
UNSIGNED: Asker = {"signed": False}
EMPTY: Asker = {"signed": False, "headers": {"Authorization": ""}}
STRANGER: Asker = {"key": GUEST}
ASKERS = [
    pytest.param(UNSIGNED, id="unsigned"),
    pytest.param(EMPTY, id="empty Authorization"),
    pytest.param(STRANGER, id="another account"),
]


@pytest.mark.parametrize("asker", ASKERS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("opened", "key", "status"),
    [
        (False, "public-read", 200),
        (False, "private", 403),
        (False, "default", 403),
        (False, "silent", 403),
        (False, "none", 403),
        (True, "public-read", 200),
        (True, "private", 403),
        (True, "default", 200),
        (True, "silent", 200),
        (True, "none", 404),
    ],
)
def test_objects(service: Server, private: str, public: str, asker, method, opened, key, status) -> None:
    """An object is open if its list says so, or the bucket's where it says nothing."""
    answer = send(service, method, f"/{key}", bucket=public if opened else private, **asker)
    assert answer[0] == status
    if method == "GET" and status == 200:
        assert answer[2] == b"hello"
    if method == "GET" and status == 403:
        assert refusal(answer[2])["Code"] == "AccessDenied"


def test_whether_it_exists_is_not_told(service: Server, private: str) -> None:
    """Unsigned, an object that is not there, one that is, and a bucket that is not there are refused alike."""
    there = refusal(send(service, "GET", "/private", bucket=private, signed=False)[2])
    missing = refusal(send(service, "GET", "/none", bucket=private, signed=False)[2])
    nowhere = refusal(send(service, "GET", "/none", bucket=f"none-{service.root_key.appid}", signed=False)[2])
    told = [(it["Code"], it["Message"]) for it in (there, missing, nowhere)]
    assert told == [told[0]] * 3


@pytest.mark.parametrize("asker", ASKERS)
def test_lists(service: Server, private: str, public: str, asker) -> None:
    """As in COS, who may read a bucket may list it; a private one is closed."""
    status, _, content = send(service, "GET", "/?max-keys=2", bucket=public, **asker)
    assert status == 200
    assert [it.text for it in ET.fromstring(content).iter("Key")] == ["default", "private"]
    assert send(service, "HEAD", "/", bucket=public, **asker)[0] == 200
    assert send(service, "GET", "/", bucket=private, **asker)[0] == 403
    assert send(service, "HEAD", "/", bucket=private, **asker)[0] == 403


@pytest.mark.parametrize("asker", ASKERS)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/public-read"),
        ("DELETE", "/public-read"),
        ("DELETE", "/"),
        ("PUT", "/public-read?acl"),
        ("GET", "/public-read?acl"),
        ("GET", "/?acl"),
        ("PUT", "/?acl"),
        ("GET", "/?cors"),
        ("PUT", "/?cors"),
        ("DELETE", "/?cors"),
        ("GET", "/?uploads"),
    ],
)
def test_nothing_else_is_open(service: Server, public: str, asker, method, path) -> None:
    """A public-read bucket is open to reading objects and to nothing else."""
    status, _, content = send(service, method, path, bucket=public, body=b"x" if method == "PUT" else b"", **asker)
    assert (status, refusal(content)["Code"]) == (403, "AccessDenied")
    assert send(service, "GET", "/public-read", bucket=public)[2] == b"hello"


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/"), ("PATCH", "/k"), ("GET", "/public-read?torrent"), ("POST", "/k?restore")]
)
def test_unsigned_calls_that_are_none(service: Server, public: str, method, path) -> None:
    """Who did not sign is not told which calls there are."""
    status, _, content = send(service, method, path, bucket=public, signed=False)
    assert (status, refusal(content)["Code"]) == (403, "AccessDenied")


def test_the_store_of_a_private_mount_is_not_asked(
    service: Server, guest: RootKey, new_bucket: Callable[[], str]
) -> None:
    """A stranger's request does not become one to the store of a bucket that is closed: here there is none to ask."""
    bucket = new_bucket()
    dsn = find_running(service.data)
    assert dsn is not None
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO sordino.mounts (bucket, url, options, sealed) VALUES (%s, 's3://there', '{}', 'none')",
            [bucket],
        )
    for asker in (UNSIGNED, {"key": guest}):
        status, _, content = send(service, "GET", "/k", bucket=bucket, **asker)
        assert (status, refusal(content)["Code"]) == (403, "AccessDenied")


def test_anonymous_python_sdk(service: Server, public: str) -> None:
    """The official SDK without keys reads and lists what is open."""
    client = CosS3Client(
        CosConfig(Region=REGION, Anonymous=True, Scheme="http", Proxies={"http": service.url}), retry=0
    )
    assert client.get_object(Bucket=public, Key="default")["Body"].get_raw_stream().read() == b"hello"
    assert client.list_objects(Bucket=public, MaxKeys=1)["Contents"][0]["Key"] == "default"


@pytest.mark.parametrize("path", ["/jobs/j1", "/queue", "/template"])
def test_jobs_are_never_open(service: Server, public: str, path) -> None:
    """CI answers signed requests alone."""
    status, _, content = send(service, "GET", path, bucket=public, kind="ci", signed=False)
    assert (status, refusal(content)["Code"]) == (401, "MissingAuthorization")


def test_a_wrong_signature_is_refused(service: Server, public: str) -> None:
    """A signature that does not match is refused though nobody would have needed one."""
    status, _, content = send(service, "GET", "/public-read", bucket=public, secret_key="x" * 32)
    assert (status, refusal(content)["Code"]) == (403, "SignatureDoesNotMatch")


def test_reply_headers_need_a_signature(service: Server, public: str, guest: RootKey) -> None:
    """``response-*`` of an unsigned request is refused: a link could make a page of any object."""
    path = "/public-read?response-content-type=text/html"
    status, _, content = send(service, "GET", path, bucket=public, signed=False)
    assert (status, refusal(content)["Code"]) == (403, "AccessDenied")
    assert "response-*" in refusal(content)["Message"]
    assert send(service, "GET", path, bucket=public, key=guest)[1]["Content-Type"] == "text/html"


def test_ranges_and_conditions(service: Server, public: str) -> None:
    """Whoever may read may read a part, and ask whether it changed."""
    status, headers, content = send(
        service, "GET", "/public-read", bucket=public, signed=False, headers={"Range": "bytes=1-3"}
    )
    assert (status, content) == (206, b"ell")
    same = {"If-None-Match": headers["ETag"]}
    assert send(service, "GET", "/public-read", bucket=public, signed=False, headers=same)[0] == 304


def test_closing_again(service: Server, new_bucket: Callable[[], str]) -> None:
    """What is made private is closed at once, and what is written anew says nothing again."""
    bucket = new_bucket()
    for acl, status in (("public-read", 200), ("private", 403), ("public-read", 200), ("default", 403)):
        send(service, "PUT", "/k", bucket=bucket, body=b"hello")
        assert send(service, "GET", "/k", bucket=bucket, signed=False)[0] == 403
        assert send(service, "PUT", "/k?acl", bucket=bucket, headers={"x-cos-acl": acl})[0] == 200
        assert send(service, "GET", "/k", bucket=bucket, signed=False)[0] == status


@pytest.mark.parametrize(
    ("path", "headers", "code"),
    [
        ("/", {"x-cos-acl": "public-read-write"}, "NotImplemented"),
        ("/", {"x-cos-acl": "default"}, "InvalidArgument"),
        ("/?acl", {"x-cos-acl": "authenticated-read"}, "NotImplemented"),
        ("/k", {"x-cos-acl": "bucket-owner-read"}, "NotImplemented"),
        ("/k", {"x-cos-acl": "everybody"}, "InvalidArgument"),
        ("/k", {"x-cos-grant-read": 'id="1"'}, "NotImplemented"),
        ("/k?acl", {"x-cos-grant-full-control": 'id="1"'}, "NotImplemented"),
        ("/k?acl", {}, "MissingRequestBodyError"),
    ],
)
def test_lists_that_are_not_offered(service: Server, new_bucket: Callable[[], str], path, headers, code) -> None:
    """The refusal says which lists are."""
    content = send(service, "PUT", path, bucket=new_bucket(), headers=headers)[2]
    assert refusal(content)["Code"] == code
    if headers:
        assert "private or public-read" in refusal(content)["Message"]


def test_a_list_is_given_once(service: Server, new_bucket: Callable[[], str]) -> None:
    """Which of a header and a body would count is not guessed."""
    content = send(service, "PUT", "/?acl", bucket=new_bucket(), headers=PUBLIC, body=b"<AccessControlPolicy/>")[2]
    assert refusal(content)["Code"] == "InvalidArgument"
