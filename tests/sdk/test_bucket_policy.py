"""Policies of buckets, put by the official Python SDK: whom they let in, whom they shut out, and what is none."""

import json
from typing import Any

import pytest
from qcloud_cos import CosServiceError

from people import Key, People
from policies import allow, deny
from raw_http import send
from server import REGION

ANYONE = "qcs::cam::anyone:anyone"
READ = "name/cos:GetObject"


@pytest.fixture(scope="module")
def guest(people: People) -> Key:
    """The root of another one."""
    return people.account()


@pytest.fixture
def bucket(people: People, owner: Key) -> str:
    """A bucket of the owner's with an object ``in/k``."""
    name = people.bucket(owner)
    people.client(owner).put_object(Bucket=name, Key="in/k", Body=b"hello")
    return name


def resource(owner: Key, bucket: str, path: str = "*") -> str:
    """What is in a bucket."""
    return f"qcs::cos:{REGION}:uid/{owner.appid}:{bucket}/{path}"


def let(*principals: str) -> dict[str, Any]:
    """Whom a statement is about."""
    return {"principal": {"qcs": list(principals)}}


def put(people: People, owner: Key, bucket: str, *statements: dict[str, object]) -> None:
    """Give a bucket a policy of these statements."""
    policy = {"version": "2.0", "statement": list(statements)}
    people.client(owner).put_bucket_policy(Bucket=bucket, Policy=policy)


def code(people: People, who: Key, method: str, **arguments: object) -> str:
    """How a call of the SDK ends for somebody."""
    try:
        getattr(people.client(who), method)(**arguments)
    except CosServiceError as refusal:
        return str(refusal.get_error_code())
    return "done"


def read(people: People, who: Key, bucket: str, key: str = "in/k") -> str:
    """How reading ends for somebody."""
    return code(people, who, "get_object", Bucket=bucket, Key=key)


def test_another_account(people: People, owner: Key, guest: Key, bucket: str) -> None:
    """It reads what it is let read, and does nothing else; its users do once its root lets them, too."""
    user = people.user(guest)
    assert read(people, guest, bucket) == "AccessDenied"
    put(people, owner, bucket, allow(READ, resource(owner, bucket, "in/*"), **let(guest.principal)))
    assert read(people, guest, bucket) == "done"
    assert read(people, guest, bucket, "out/k") == "AccessDenied"
    assert code(people, guest, "delete_object", Bucket=bucket, Key="in/k") == "AccessDenied"
    assert code(people, guest, "list_objects", Bucket=bucket) == "AccessDenied"
    assert read(people, user, bucket) == "AccessDenied"
    people.may(user, allow("cos:GetObject"))
    assert read(people, user, bucket) == "done"
    people.client(owner).delete_bucket_policy(Bucket=bucket)
    assert {read(people, who, bucket) for who in (guest, user)} == {"AccessDenied"}


def test_writing_for_another_account(people: People, owner: Key, guest: Key, bucket: str) -> None:
    """What another account writes, whole or in parts, is the owner's."""
    put(people, owner, bucket, allow(["cos:*"], resource(owner, bucket, "in/*"), **let(guest.principal)))
    client, place = people.client(guest), {"Bucket": bucket, "Key": "in/parts"}
    client.put_object(Bucket=bucket, Key="in/whole", Body=b"x")
    upload = client.create_multipart_upload(**place)["UploadId"]
    etag = client.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"y")["ETag"]
    listed = client.list_parts(**place, UploadId=upload)
    assert (listed["Owner"]["DisplayName"], listed["Initiator"]["DisplayName"]) == (owner.uin, guest.uin)
    part = {"PartNumber": 1, "ETag": etag}
    client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Part": [part]})
    acl = client.get_object_acl(Bucket=bucket, Key="in/parts")
    assert acl["Owner"]["ID"] == f"qcs::cam::uin/{owner.uin}:uin/{owner.uin}"
    assert read(people, owner, bucket, "in/whole") == "done"
    assert code(people, guest, "put_object", Bucket=bucket, Key="out/k", Body=b"x") == "AccessDenied"


def test_a_user_of_the_account(people: People, owner: Key, bucket: str) -> None:
    """A policy that names him lets him in; one that names the root does not; one that denies shuts him out."""
    user = people.user(owner)
    put(people, owner, bucket, allow(READ, resource(owner, bucket), **let(owner.principal)))
    assert read(people, user, bucket) == "AccessDenied"
    put(people, owner, bucket, allow(READ, resource(owner, bucket), **let(user.principal)))
    assert read(people, user, bucket) == "done"
    people.may(user, allow("cos:*"))
    put(people, owner, bucket, deny(READ, resource(owner, bucket), **let(user.principal)))
    assert read(people, user, bucket) == "AccessDenied"
    assert code(people, user, "head_object", Bucket=bucket, Key="in/k") == "done"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/in/k", b"", 200),
        ("PUT", "/in/new", b"x", 200),
        ("POST", "/in/parts?uploads", b"", 200),
        ("GET", "/?prefix=in/", b"", 200),
        ("GET", "/", b"", 403),
        ("GET", "/in/none", b"", 404),
        ("GET", "/out/none", b"", 403),
        ("DELETE", "/in/k", b"", 403),
        ("POST", "/?delete", b"<Delete><Object><Key>in/k</Key></Object></Delete>", 403),
        ("GET", "/?policy", b"", 403),
        ("GET", "/in/k?response-content-type=text/html", b"", 403),
    ],
)
def test_everybody(people: People, owner: Key, bucket: str, method, path, body, status) -> None:
    """Who does not sign may do what a policy lets everybody do."""
    actions = ["cos:GetObject", "cos:PutObject", "cos:GetBucket", "cos:InitiateMultipartUpload"]
    put(people, owner, bucket, allow(actions, resource(owner, bucket, "in/*"), **let(ANYONE)))
    answer = send(people.service, method, path, bucket=bucket, body=body, signed=False)
    assert answer[0] == status


def test_denial_wins_over_lists(people: People, owner: Key, guest: Key, bucket: str) -> None:
    """What is public-read is closed by a policy that denies it; the rest stays open."""
    people.client(owner).put_bucket_acl(Bucket=bucket, ACL="public-read")
    put(people, owner, bucket, deny(READ, resource(owner, bucket, "in/*"), **let(ANYONE)))
    people.client(owner).put_object(Bucket=bucket, Key="k", Body=b"x")
    assert [read(people, guest, bucket, key) for key in ("in/k", "k")] == ["AccessDenied", "done"]
    assert send(people.service, "GET", "/in/k", bucket=bucket, signed=False)[0] == 403
    assert send(people.service, "GET", "/k", bucket=bucket, signed=False)[0] == 200
    assert read(people, owner, bucket) == "AccessDenied"


def test_closed_lists_tell_nothing(people: People, owner: Key, guest: Key, bucket: str) -> None:
    """Of a public-read bucket whose list is denied, nobody learns which closed objects there are."""
    people.client(owner).put_bucket_acl(Bucket=bucket, ACL="public-read")
    people.client(owner).put_object(Bucket=bucket, Key="closed", Body=b"x", ACL="private")
    assert [read(people, guest, bucket, key) for key in ("closed", "none")] == ["AccessDenied", "NoSuchKey"]
    put(people, owner, bucket, deny("cos:GetBucket", resource(owner, bucket), **let(ANYONE)))
    assert [read(people, guest, bucket, key) for key in ("closed", "none")] == ["AccessDenied", "AccessDenied"]


def test_the_owner_cannot_lock_himself_out(people: People, owner: Key, bucket: str) -> None:
    """A policy that denies everybody everything denies the root all but to mend it."""
    user = people.user(owner, allow("cos:*"))
    put(people, owner, bucket, deny("*", "*", **let("*")))
    for who in (owner, user):
        assert code(people, who, "list_objects", Bucket=bucket) == "AccessDenied"
        assert read(people, who, bucket) == "AccessDenied"
    assert code(people, user, "delete_bucket_policy", Bucket=bucket) == "AccessDenied"
    assert "deny" in people.client(owner).get_bucket_policy(Bucket=bucket)["Policy"]
    people.client(owner).delete_bucket_policy(Bucket=bucket)
    assert read(people, owner, bucket) == "done"


def test_networks(people: People, owner: Key, bucket: str) -> None:
    """Everybody, the owner too, is shut out but from one network."""
    elsewhere = {"condition": {"ip_not_equal": {"qcs:ip": ["10.1.0.0/16"]}}}
    here = {"condition": {"ip_not_equal": {"qcs:ip": ["127.0.0.0/8", "::1"]}}}
    put(people, owner, bucket, deny("cos:*", resource(owner, bucket), **let("*"), **here))
    assert read(people, owner, bucket) == "done"
    put(people, owner, bucket, deny("cos:*", resource(owner, bucket), **let("*"), **elsewhere))
    assert read(people, owner, bucket) == "AccessDenied"


def test_copies(people: People, owner: Key, guest: Key, bucket: str) -> None:
    """A copy needs the right to read its source, of which a bucket's policy decides."""
    target = people.bucket(guest)
    source = {"Bucket": bucket, "Key": "in/k", "Region": REGION}
    copy = {"Bucket": target, "Key": "copy", "CopySource": source}
    assert code(people, guest, "copy_object", **copy) == "AccessDenied"
    put(people, owner, bucket, allow(READ, resource(owner, bucket), **let(guest.principal)))
    assert code(people, guest, "copy_object", **copy) == "done"
    user = people.user(guest, allow("cos:PutObject"))
    assert code(people, user, "copy_object", **copy) == "AccessDenied"
    people.may(user, allow(["cos:PutObject", "cos:GetObject"]))
    assert code(people, user, "copy_object", **copy) == "done"


def test_batch_delete(people: People, owner: Key, guest: Key, bucket: str) -> None:
    """Each key is decided for itself, and what may not be deleted stays."""
    people.client(owner).put_object(Bucket=bucket, Key="out/k", Body=b"x")
    put(people, owner, bucket, allow("cos:DeleteObject", resource(owner, bucket, "in/*"), **let(guest.principal)))
    keys = {"Object": [{"Key": "in/k"}, {"Key": "out/k"}, {"Key": "in/none"}]}
    reply = people.client(guest).delete_objects(Bucket=bucket, Delete=keys)
    assert [entry["Key"] for entry in reply["Deleted"]] == ["in/k", "in/none"]
    (refused,) = reply["Error"]
    assert (refused["Key"], refused["Code"]) == ("out/k", "AccessDenied")
    assert f"cos:DeleteObject on {resource(owner, bucket, 'out/k')}" in refused["Message"]
    assert [read(people, owner, bucket, key) for key in ("in/k", "out/k")] == ["NoSuchKey", "done"]


def test_lists_of_access_need_their_own_action(people: People, owner: Key, guest: Key, bucket: str) -> None:
    """``x-cos-acl`` on what writes an object takes ``cos:PutObjectACL`` as well."""
    rules = [allow("cos:PutObject", resource(owner, bucket), **let(guest.principal))]
    place = {"Bucket": bucket, "Key": "in/new", "Body": b"x"}
    put(people, owner, bucket, *rules)
    assert code(people, guest, "put_object", **place) == "done"
    assert code(people, guest, "put_object", **place, ACL="public-read") == "AccessDenied"
    put(people, owner, bucket, *rules, allow("cos:PutObjectACL", resource(owner, bucket), **let(guest.principal)))
    assert code(people, guest, "put_object", **place, ACL="public-read") == "done"


def test_buckets_need_it_as_well(people: People, owner: Key) -> None:
    """So does a bucket that is created with a list."""
    user = people.user(owner, allow("cos:PutBucket"))
    name = f"opened-{owner.appid}"
    assert code(people, user, "create_bucket", Bucket=name, ACL="public-read") == "AccessDenied"
    people.may(user, allow(["cos:PutBucket", "cos:PutBucketACL"]))
    assert code(people, user, "create_bucket", Bucket=name, ACL="public-read") == "done"


CONDITIONS = [
    ("put_object", {"Key": "in/a", "Body": b"x"}, {"ContentType": "audio/wav"}, "cos:content-type", "audio/wav"),
    (
        "put_object",
        {"Key": "in/a", "Body": b"x"},
        {"StorageClass": "standard_ia"},
        "cos:x-cos-storage-class",
        "STANDARD_IA",
    ),
    ("list_objects", {}, {"Prefix": "in/"}, "cos:prefix", "in/"),
    ("list_objects", {}, {"Delimiter": "/"}, "cos:delimiter", "%2F"),
    ("get_object", {"Key": "in/k"}, {"ResponseContentType": "text/plain"}, "cos:response-content-type", "text/plain"),
]


@pytest.mark.parametrize(
    ("method", "plain", "more", "key", "value"), CONDITIONS, ids=[f"{it[0]} {it[3]}" for it in CONDITIONS]
)
def test_conditions(people: People, owner: Key, guest: Key, bucket: str, *, method, plain, more, key, value) -> None:
    """What a header or a parameter says is a condition's matter, of the calls that read it alone."""
    condition = {"condition": {"string_equal": {key: [value]}}}
    put(people, owner, bucket, allow("cos:*", resource(owner, bucket), **let(guest.principal), **condition))
    assert code(people, guest, method, Bucket=bucket, **plain) == "AccessDenied"
    assert code(people, guest, method, Bucket=bucket, **plain, **more) == "done"
    said = {"x-cos-storage-class": "STANDARD_IA", "content-type": "audio/wav"}
    tricks = "/in/k?prefix=in/&delimiter=/&response-content-type=text/plain"
    assert send(people.service, "DELETE", tricks, bucket=bucket, key=guest, headers=said)[0] == 403


def test_transport(people: People, owner: Key, guest: Key, bucket: str) -> None:
    """A policy may ask for TLS, which this request does not come by."""
    plain = {"condition": {"bool_equal": {"cos:secure-transport": "false"}}}
    rule = allow(READ, resource(owner, bucket), **let(guest.principal))
    put(people, owner, bucket, rule)
    assert read(people, guest, bucket) == "done"
    put(people, owner, bucket, rule, deny("*", "*", **let("*"), **plain))
    assert read(people, guest, bucket) == "AccessDenied"


@pytest.mark.parametrize(
    ("document", "code", "word"),
    [
        ("", "MissingRequestBodyError", "JSON"),
        ("{", "MalformedPolicy", "JSON"),
        ("[]", "MalformedPolicy", "object"),
        ('{"statement": [], "version": "2.0"}', "MalformedPolicy", "statements"),
        (b"\xff".decode("latin-1"), "MalformedPolicy", "JSON"),
        ({"action": ["cos:GetObject"], "resource": ["*"]}, "MalformedPolicy", "principal"),
        ({"action": ["cos:GetObject"], "principal": {"qcs": ["*"]}}, "MalformedPolicy", "resource"),
        (
            {
                "action": ["cos:GetObject"],
                "principal": {"qcs": ["*"]},
                "resource": ["qcs::cos:ap-guangzhou:uid/1:other-1/*"],
            },
            "MalformedPolicy",
            "nothing in this bucket",
        ),
        (
            {
                "action": ["cos:GetObject"],
                "principal": {"qcs": ["*"]},
                "resource": ["*"],
                "condition": {"ip_equals": {"qcs:ip": "10.0.0.1"}},
            },
            "MalformedPolicy",
            "operator",
        ),
    ],
)
def test_what_is_no_policy(people: People, owner: Key, bucket: str, document, code: str, word: str) -> None:
    """The refusal says where and why, and the policy that there is stays."""
    put(people, owner, bucket, allow(READ, resource(owner, bucket), **let(ANYONE)))
    if isinstance(document, dict):
        document = json.dumps({"version": "2.0", "statement": [{"effect": "allow", **document}]})
    with pytest.raises(CosServiceError) as refusal:
        people.client(owner).put_bucket_policy(Bucket=bucket, Policy=document)
    assert (refusal.value.get_status_code(), refusal.value.get_error_code()) == (400, code)
    assert word in refusal.value.get_error_msg()
    assert "allow" in people.client(owner).get_bucket_policy(Bucket=bucket)["Policy"]


def test_long_policies(people: People, owner: Key, bucket: str) -> None:
    """A body that is larger than any policy is refused before it is read."""
    with pytest.raises(CosServiceError) as refusal:
        people.client(owner).put_bucket_policy(Bucket=bucket, Policy=" " * (1 << 20))
    assert refusal.value.get_error_code() == "EntityTooLarge"
    with pytest.raises(CosServiceError) as refusal:
        put(people, owner, bucket, allow([f"cos:A{number}" for number in range(3000)], "*", **let("*")))
    assert refusal.value.get_error_code() == "MalformedPolicy"


def test_refusals_say_what_is_missing(people: People, owner: Key, bucket: str) -> None:
    """The message names the action and the resource, and the statement that denies."""
    user = people.user(owner)
    client = people.client(user)
    with pytest.raises(CosServiceError) as refusal:
        client.get_object(Bucket=bucket, Key="in/k")
    assert f"cos:GetObject on {resource(owner, bucket, 'in/k')}: no policy allows it" in refusal.value.get_error_msg()
    put(people, owner, bucket, deny(READ, resource(owner, bucket), **let(user.principal)))
    with pytest.raises(CosServiceError) as refusal:
        client.get_object(Bucket=bucket, Key="in/k")
    assert f"statement 1 of policy {bucket} denies it" in refusal.value.get_error_msg()
