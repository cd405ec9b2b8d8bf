"""Paths, keys and names that are to be taken for others: a user who may read one prefix reads nothing else by them."""

import unicodedata
from urllib.parse import quote, unquote_to_bytes

import pytest

from forgery import Reply, Signed
from people import Key, People
from policies import allow, deny
from raw_http import exchange, host_of, refusal, statuses
from server import REGION, Server

SECRET = b"top secret"
OPEN = b"for all users"


@pytest.fixture(scope="module")
def bucket(people: People, owner: Key, service: Server) -> str:
    """A bucket with secrets, and objects below ``open/`` that the user may read."""
    name = people.bucket(owner, "vault")
    for key in ("secret", "Open/k", "open", "OPEN/k", "opener/k", "a/secret", "/secret", "../secret"):
        assert Signed.of(owner, name, "PUT", f"/{key}").sent(service, body=SECRET)[0] == 200
    assert Signed.of(owner, name, "PUT", "/open/k").sent(service, body=OPEN)[0] == 200
    return name


@pytest.fixture(scope="module")
def other(people: People, owner: Key, service: Server) -> str:
    """A bucket of the same account that the user may do nothing with."""
    name = people.bucket(owner, "other")
    for key in ("secret", "open/k"):
        assert Signed.of(owner, name, "PUT", f"/{key}").sent(service, body=SECRET)[0] == 200
    return name


@pytest.fixture(scope="module")
def user(people: People, owner: Key, bucket: str) -> Key:
    """May do everything below ``open/`` and nothing else."""
    return people.user(owner, allow("cos:*", f"qcs::cos:{REGION}:uid/{owner.appid}:{bucket}/open/*"))


DETOURS = [
    "/open/../secret",
    "/open/%2e%2e/secret",
    "/open/.%2e/secret",
    "/open/%2E%2E%2Fsecret",
    "/open%2f..%2fsecret",
    "/open%2F%2E%2E%2Fsecret",
    "/open//../secret",
    "/open/./../secret",
    "/open/../../other/secret",
    "/open/..;/secret",
    "/open;/../secret",
    "/open/..%3b/secret",
    "/open/%252e%252e/secret",
    "/open/%252e%252e%252fsecret",
    "/open/..%5csecret",
    "/open/..%5c..%5csecret",
    "/open/\\..\\secret",
    "/open/k/../../secret",
    "/open/k/..%2f..%2fsecret",
    "/open/%2e%2e/Open/k",
    "/./secret",
    "/%2e/secret",
    "/%2e%2e/secret",
    "/../secret",
    "//secret",
    "/%2fsecret",
    "/%5csecret",
    "/secret%20",
    "/secret/",
    "/secret/.",
    "/secret%3fopen/k",
    "/secret%23open/k",
    "/secret%0d%0aopen/k",
    "/Open/k",
    "/OPEN/k",
    "/open",
    "/opener/k",
    "/%6fpen",
    "/secret",
    "/%73ecret",
    "/a/secret",
    "/%EF%BC%8Fsecret",
    "/open%EF%BC%8F..%EF%BC%8Fsecret",
    "/%EF%BD%93ecret",
    "/o%CC%88pen/k",
    "/%F0%9F%94%93/secret",
]
BROKEN = [
    "/open/%c0%ae%c0%ae/secret",
    "/open/%c0%ae%c0%ae%c0%afsecret",
    "/open/%e0%80%ae%e0%80%ae/secret",
    "/open/k%00/../../secret",
    "/secret%00open/k",
    "/secret%00",
    "/open/%",
    "/open/%2",
    "/open/%u002e%u002e/secret",
    "/open/%ff",
    "/open/%ed%a0%80",
]


def signed(user: Key, bucket: str, method: str, target: str) -> Signed:
    """A request whose path is signed as the server decodes it, once."""
    return Signed.of(user, bucket, method, unquote_to_bytes(target).decode(errors="replace"))


def refused(reply: Reply) -> bool:
    """Whether it is a refusal that carries nothing of what is kept from the user."""
    return reply[0] in (400, 403, 404) and SECRET not in reply[2] and bool(refusal(reply[2])["Code"])


@pytest.mark.parametrize("target", [*DETOURS, *BROKEN])
def test_detours_to_a_secret(service: Server, user: Key, bucket: str, target: str) -> None:
    """No way of writing a path leads out of the prefix: keys are what they say, letter by letter."""
    assert refused(signed(user, bucket, "GET", target).sent(service, target=target))


@pytest.mark.parametrize("target", BROKEN)
def test_what_is_no_text(service: Server, user: Key, bucket: str, target: str) -> None:
    """Overlong UTF-8, surrogates, NULs and broken escapes are refused as such, and no bytes are made of them."""
    reply = signed(user, bucket, "GET", target).sent(service, target=target)
    assert (reply[0], refusal(reply[2])["Code"]) == (400, "InvalidURI")


@pytest.mark.parametrize("target", [target for target in DETOURS if "secret" in target])
def test_detours_overwrite_nothing(service: Server, user: Key, owner: Key, bucket: str, target: str) -> None:
    """What may be written below the prefix is written there, under the very key, and replaces nothing else."""
    before = _everything(service, owner, bucket)
    reply = signed(user, bucket, "PUT", target).sent(service, target=target, body=b"mine")
    path = unquote_to_bytes(target).decode()
    after = _everything(service, owner, bucket)
    if path.startswith("/open/"):
        assert reply[0] == 200
        assert after == before | {path[1:]: b"mine"}
        assert signed(user, bucket, "DELETE", target).sent(service, target=target)[0] == 204
    else:
        assert refused(reply)
    assert _everything(service, owner, bucket) == before


def _everything(service: Server, owner: Key, bucket: str) -> dict[str, bytes]:
    """Keys and contents of a bucket."""
    client = People(service).client(owner)
    keys = [it["Key"] for it in client.list_objects(Bucket=bucket).get("Contents", ())]
    return {key: Signed.of(owner, bucket, "GET", f"/{key}").sent(service)[2] for key in keys}


@pytest.mark.parametrize(
    "target",
    [
        "/{bucket}/../{other}/secret",
        "/{bucket}/%2e%2e/{other}/secret",
        "/{bucket}%2f..%2f{other}%2fsecret",
        "/{bucket}/open/../../{other}/secret",
        "/{bucket}/open/..%2f..%2f{other}%2fopen%2fk",
        "/{bucket};/{other}/secret",
        "/{bucket}%3b/../{other}/secret",
        "/./{other}/open/k",
        "//{other}/open/k",
        "/%2f{other}/open/k",
        "/{other}/open/k",
        "/{other}%2fopen%2fk",
        "/%6fther-{appid}/open/k",
        "/{bucket}%20/../{other}/open/k",
        "/{upper}/open/k",
        "/{bucket}./../{other}/open/k",
        "/open/../{other}/open/k",
    ],
)
def test_detours_to_another_bucket(
    service: Server, user: Key, owner: Key, bucket: str, other: str, target: str
) -> None:
    """Between bucket and key of a path nothing is turned into another bucket."""
    target = target.format(bucket=bucket, other=other, appid=owner.appid, upper=bucket.upper())
    path = unquote_to_bytes(target).decode()
    host = f"127.0.0.1:{service.port}"
    for text in (path, "/open/k", path.partition("/" + bucket)[2] or path):
        reply = Signed(key=user, method="GET", path=text, host=host).sent(service, target=target)
        assert refused(reply)


def test_a_bucket_in_the_path_of_a_buckets_host(
    service: Server, owner: Key, user: Key, bucket: str, other: str
) -> None:
    """Where the host names the bucket, the path is a key whatever it looks like."""
    for signer in (owner, user):
        made = Signed.of(signer, bucket, "GET", f"/{other}/secret")
        reply = made.sent(service)
        assert (reply[0], SECRET in reply[2]) == (404 if signer is owner else 403, False)
    assert Signed.of(user, bucket, "PUT", f"/{other}/open/k").sent(service, body=b"mine")[0] == 403
    assert Signed.of(owner, other, "GET", "/open/k").sent(service)[2] == SECRET


def test_path_style_signatures_of_users(service: Server, user: Key, bucket: str, other: str) -> None:
    """What a user signs for the path of a bucket is good for the same path of those alone that he may use."""
    made = Signed(key=user, path="/open/k", host=f"127.0.0.1:{service.port}")
    assert made.sent(service, target=f"/{bucket}/open/k")[2] == OPEN
    assert refused(made.sent(service, target=f"/{other}/open/k"))


@pytest.mark.parametrize(
    "host",
    [
        "{bucket}.cos.{region}.myqcloud.com.",
        "{bucket}.cos.{region}.myqcloud.com:80:80",
        "{bucket}.cos.{region}.myqcloud.com, {other}.cos.{region}.myqcloud.com",
        "{bucket}.cos.{region}.myqcloud.com/../{other}",
        "{other}%2ecos.{region}.myqcloud.com",
        "{other}.{bucket}.cos.{region}.myqcloud.com",
        "{bucket}.{other}.cos.{region}.myqcloud.com",
        "[{other}.cos.{region}.myqcloud.com]",
        "{other}\t.cos.{region}.myqcloud.com",
        "{other}@{bucket}.cos.{region}.myqcloud.com",
    ],
)
def test_hosts_that_name_two(service: Server, user: Key, bucket: str, other: str, host: str) -> None:
    """A host that is no plain name, or more than one, leads to no bucket that the signer may not use."""
    host = host.format(bucket=bucket, other=other, region=REGION)
    made = Signed(key=user, path="/open/k", host=host).authorization
    request = f"GET /open/k HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: {made}\r\n\r\n"
    reply = exchange(service, request.encode())
    assert SECRET not in reply
    assert statuses(reply)[0] in (200, 400, 403)
    assert (statuses(reply)[0] == 200) == (OPEN in reply) == (host.endswith("com.") and host.startswith(bucket))


def test_names_of_buckets_in_capitals(service: Server, owner: Key, user: Key, bucket: str, other: str) -> None:
    """Host names have no case, so a bucket's does not either, and its policies hold; there is no second bucket."""
    for signer, name, content in ((user, bucket, OPEN), (owner, other, SECRET)):
        host = host_of(name).upper()
        assert Signed(key=signer, path="/open/k", host=host).sent(service)[2] == content
    assert refused(Signed(key=user, path="/open/k", host=host_of(other).upper()).sent(service))
    new = Signed(key=owner, method="PUT", path="/", host=host_of(bucket).upper()).sent(service)
    assert (new[0], refusal(new[2])["Code"]) == (409, "BucketAlreadyOwnedByYou")


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_keys_are_not_normalised(service: Server, people: People, owner: Key, bucket: str, form: str) -> None:
    """What looks alike is not the same key: to policies, to signatures, and to the store."""
    key = unicodedata.normalize("NFC" if form in ("NFD", "NFKD") else "NFD", "\u00e9\ufb01\u212a")
    twin = unicodedata.normalize(form, key)
    assert twin != key
    assert Signed.of(owner, bucket, "PUT", f"/{key}").sent(service, body=SECRET)[0] == 200
    resource = f"qcs::cos::uid/{owner.appid}:{bucket}/{twin}"
    user = people.user(owner, allow("cos:*", resource))
    assert refused(Signed.of(user, bucket, "GET", f"/{key}").sent(service))
    assert refused(Signed.of(user, bucket, "GET", f"/{twin}").sent(service, target=f"/{quote(key)}"))
    assert Signed.of(user, bucket, "GET", f"/{twin}").sent(service)[0] == 404
    assert Signed.of(owner, bucket, "DELETE", f"/{key}").sent(service)[0] == 204


@pytest.mark.parametrize(
    "action", ["cos:getobject", "COS:GETOBJECT", "name/cos:GetObject", "Name/Cos:getObject", "cos:g*"]
)
def test_a_denial_has_no_case(service: Server, people: People, owner: Key, bucket: str, action: str) -> None:
    """However an action is written, denying it denies it."""
    user = people.user(owner, allow("*"), deny(action, f"qcs::cos:::{bucket}/open/*"))
    assert refused(Signed.of(user, bucket, "GET", "/open/k").sent(service))
    assert Signed.of(user, bucket, "HEAD", "/open/k").sent(service)[0] == 200


def test_resources_have_case(service: Server, people: People, owner: Key, bucket: str) -> None:
    """A denial of one key leaves the key in another case alone, as an allowance does."""
    user = people.user(owner, allow("cos:GetObject", f"qcs::cos:::{bucket}/Open/*"))
    assert Signed.of(user, bucket, "GET", "/Open/k").sent(service)[2] == SECRET
    for key in ("open/k", "OPEN/k"):
        assert refused(Signed.of(user, bucket, "GET", f"/{key}").sent(service))


@pytest.mark.parametrize(
    ("resource", "key"),
    [
        ("open/", "open/k"),
        ("open/*k", "open/k/secret"),
        ("*/k", "open/k/x"),
        ("open/?", "open/k"),
        ("open/[a-z]", "open/k"),
        ("open/.*", "open/k"),
        ("open/%6b", "open/k"),
        ("open/../open/k", "open/k"),
    ],
)
def test_patterns_know_stars_alone(service: Server, people: People, owner: Key, bucket: str, resource, key) -> None:
    """Nothing else of a pattern stands for more than itself, and a pattern is for the whole key."""
    user = people.user(owner, allow("cos:*", f"qcs::cos:::{bucket}/{resource}"))
    assert refused(Signed.of(user, bucket, "GET", f"/{key}").sent(service))
    assert Signed.of(user, bucket, "PUT", f"/{key}").sent(service, body=b"mine")[0] == 403


def test_a_bucket_whose_name_begins_alike(service: Server, people: People, owner: Key, bucket: str) -> None:
    """What is allowed in a bucket is not in one whose name goes on, nor in another account's of the same name."""
    longer = people.bucket(owner, f"{bucket.rpartition('-')[0]}-2")
    user = people.user(owner, allow("cos:*", [f"qcs::cos:::{bucket}/*", f"qcs::cos:::{bucket}"]))
    stranger = people.account()
    theirs = people.bucket(stranger, "vault")
    for name, signer in ((longer, owner), (theirs, stranger)):
        assert Signed.of(signer, name, "PUT", "/k").sent(service, body=SECRET)[0] == 200
        for method, path in (("GET", "/k"), ("PUT", "/k"), ("GET", "/"), ("DELETE", "/k")):
            assert refused(Signed.of(user, name, method, path).sent(service))


def test_keys_of_a_list_that_look_like_markup(service: Server, owner: Key, people: People) -> None:
    """A key cannot add an element to a list: it is text there, whatever it holds."""
    name = people.bucket(owner)
    evil = "a</Key></Contents><Contents><Key>forged"
    assert Signed.of(owner, name, "PUT", f"/{evil}").sent(service, body=b"x")[0] == 200
    listed = Signed.of(owner, name, "GET", "/").sent(service)[2]
    assert listed.count(b"<Contents>") == 1
    assert b"<Key>forged" not in listed
