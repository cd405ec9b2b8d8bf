"""Ways around policies: through lists, batches, copies, uploads, jobs, keys that ended, and roles of others."""

import json
from base64 import b64encode
from hashlib import md5
from xml.sax.saxutils import escape

import pytest
from qcloud_cos import CosServiceError

from forgery import Reply, Signed
from people import Key, People
from policies import allow, deny
from raw_http import refusal
from server import REGION, Server
from sordino.domain.identity import CI_ROLE, CI_ROLE_TRUST
from support import job_body, wait_for_jobs

SECRET = b"top secret"
OPEN = b"for all users"


@pytest.fixture(scope="module")
def stranger(people: People) -> Key:
    """The root of another account."""
    return people.account()


@pytest.fixture
def bucket(people: People, owner: Key, service: Server) -> str:
    """A bucket with ``secret`` and ``open/k``."""
    name = people.bucket(owner)
    for key, content in (("secret", SECRET), ("open/k", OPEN)):
        assert Signed.of(owner, name, "PUT", f"/{key}").sent(service, body=content)[0] == 200
    return name


@pytest.fixture
def user(people: People, owner: Key, bucket: str) -> Key:
    """May do everything below ``open/`` and nothing else."""
    return people.user(owner, allow("cos:*", f"qcs::cos:{REGION}:uid/{owner.appid}:{bucket}/open/*"))


def denied(reply: Reply) -> bool:
    """Whether it is a refusal for want of rights, and shows nothing of what is kept."""
    return reply[0] == 403 and SECRET not in reply[2] and refusal(reply[2])["Code"] == "AccessDenied"


def keys(service: Server, owner: Key, bucket: str) -> set[str]:
    """The keys of a bucket."""
    listed = People(service).client(owner).list_objects(Bucket=bucket)
    return {it["Key"] for it in listed.get("Contents", ())}


def _batch(body: str) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    content = f"<Delete>{body}</Delete>".encode()
    return content, (("content-md5", b64encode(md5(content).digest()).decode()),)


@pytest.mark.parametrize(
    "key",
    [
        "<Key>secret</Key>",
        "<Key>open/../secret</Key>",
        "<Key>&#115;ecret</Key>",
        "<Key><![CDATA[secret]]></Key>",
        "<Key>sec<!-- open/ -->ret</Key>",
        "<Key>open/k</Key><Key>secret</Key>",
        "<Key>secret</Key><Key>open/k</Key>",
        "<Key>/secret</Key>",
        "<Key>secret</Key><VersionId>null</VersionId>",
        "<key>open/k</key><Key>secret</Key>",
        "<Key xmlns='x'>secret</Key>",
        "<Key>Open/k</Key>",
        "<Key>secret\x00</Key>",
    ],
)
def test_batches_of_keys(service: Server, owner: Key, user: Key, bucket: str, key: str) -> None:
    """Each key of a batch is decided over as it is deleted, however it is written; what may be deleted is."""
    before = keys(service, owner, bucket)
    body, headers = _batch(f"<Object>{key}</Object>")
    reply = Signed.of(user, bucket, "POST", "/", query=(("delete", ""),), headers=headers).sent(service, body=body)
    assert b"<Deleted><Key>secret" not in reply[2]
    assert reply[0] in (200, 400)
    assert "secret" in keys(service, owner, bucket)
    if reply[0] == 200:
        assert keys(service, owner, bucket) == before or key.startswith("<Key>open/../")
        assert b"AccessDenied" in reply[2] or b"open/../" in reply[2]


def test_a_batch_of_both(service: Server, owner: Key, user: Key, stranger: Key, bucket: str) -> None:
    """What a batch may delete goes, the rest stays and says why; to a stranger the whole batch is refused."""
    body, headers = _batch(
        "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in ("secret", "open/k", "open/n"))
    )
    made = Signed.of(stranger, bucket, "POST", "/", query=(("delete", ""),), headers=headers)
    assert denied(made.sent(service, body=body))
    reply = made.but(key=user).sent(service, body=body)
    assert (reply[0], reply[2].count(b"<Deleted>"), reply[2].count(b"AccessDenied")) == (200, 2, 1)
    assert keys(service, owner, bucket) == {"secret"}


def test_lists_of_a_prefix(service: Server, owner: Key, user: Key, bucket: str) -> None:
    """Who may see one prefix sees no key beyond it, whatever he asks for beside."""
    listed = Signed.of(user, bucket, "GET", "/", query=(("prefix", "open/"),)).sent(service)
    assert listed[0] == 200
    assert b"secret" not in listed[2]
    for query in (
        (),
        (("prefix", ""),),
        (("prefix", "open"),),
        (("prefix", "Open/"),),
        (("prefix", "secret"),),
        (("prefix", "%2Fopen/"),),
        (("prefix", " open/"),),
        (("Prefix", "open/"),),
        (("delimiter", "/"),),
        (("marker", "open/"),),
        (("encoding-type", "url"), ("prefix", "open%2F")),
        (("uploads", ""), ("prefix", "open/")),
        (("acl", ""),),
        (("policy", ""),),
    ):
        assert denied(Signed.of(user, bucket, "GET", "/", query=query).sent(service)), query
    made = Signed.of(user, bucket, "GET", "/", query=(("prefix", "open/"), ("prefix", "")))
    reply = made.sent(service)
    assert reply[0] in (400, 403)
    assert b"secret" not in reply[2]
    beyond = Signed.of(user, bucket, "GET", "/", query=(("prefix", "open/"), ("marker", "p"))).sent(service)
    assert (beyond[0], b"<Contents>" in beyond[2]) == (200, False)


SOURCES = [
    "{bucket}.cos.{region}.myqcloud.com/secret",
    "{bucket}.cos.{region}.myqcloud.com/open/../secret",
    "{bucket}.cos.{region}.myqcloud.com/open%2F..%2Fsecret",
    "{bucket}.cos.{region}.myqcloud.com/%73ecret",
    "{bucket}.cos.{region}.myqcloud.com//secret",
    "/{bucket}/secret",
    "{bucket}/secret",
    "http://{bucket}.cos.{region}.myqcloud.com/secret",
    "http://{bucket}.cos.{region}.myqcloud.com/secret?versionId=",
    "{bucket}.cos.{region}.myqcloud.com/secret?open/k",
    "{bucket}.cos.{region}.myqcloud.com/secret#/open/k",
    "{bucket}.cos.ap-beijing.myqcloud.com/secret",
    "{upper}.cos.{region}.myqcloud.com/secret",
    "x@{bucket}.cos.{region}.myqcloud.com/secret",
    "{bucket}.cos.{region}.myqcloud.com:80/secret",
    "{theirs}.cos.{region}.myqcloud.com/secret",
    "/{theirs}/secret",
    "/{bucket}/../{theirs}/secret",
    "{bucket}.cos.{region}.myqcloud.com/../{theirs}/secret",
    "127.0.0.1/{theirs}/secret",
    "none-{appid}.cos.{region}.myqcloud.com/secret",
]


@pytest.mark.parametrize("in_parts", [False, True], ids=["copy", "part"])
@pytest.mark.parametrize("source", SOURCES)
def test_copies_of_what_is_kept(
    service: Server, people: People, owner: Key, user: Key, bucket: str, stranger: Key, source: str, in_parts: bool
) -> None:
    """Who may write does not thereby read: the source is decided over as what it is, whosever."""
    theirs = f"their-{stranger.appid}"
    if Signed.of(stranger, theirs, "HEAD", "/").sent(service)[0] == 404:
        people.bucket(stranger, "their")
        assert Signed.of(stranger, theirs, "PUT", "/secret").sent(service, body=SECRET)[0] == 200
    value = source.format(bucket=bucket, region=REGION, upper=bucket.upper(), theirs=theirs, appid=owner.appid)
    query: tuple[tuple[str, str], ...] = ()
    if in_parts:
        begun = Signed.of(user, bucket, "POST", "/open/copy", query=(("uploads", ""),)).sent(service)
        query = (("partNumber", "1"), ("uploadId", begun[2].partition(b"<UploadId>")[2].partition(b"<")[0].decode()))
    made = Signed.of(user, bucket, "PUT", "/open/copy", query=query, headers=(("x-cos-copy-source", value),))
    reply = made.sent(service)
    assert reply[0] in (400, 403, 404), reply
    assert b"ETag" not in reply[2]
    if reply[0] == 404:  # below what he may read, where there is nothing; or a bucket that there is not
        assert "/open" in value or "none-" in value or "beijing" in value
    assert "open/copy" not in keys(service, owner, bucket)


@pytest.mark.parametrize(
    "source",
    [
        "{bucket}.cos.{region}.myqcloud.com/secret",
        "{bucket}.cos.{region}.myqcloud.com/%73ecret",
        "{upper}.COS.{region}.myqcloud.com/secret",
        "{bucket}.cos.{region}.myqcloud.com:443/secret",
        "{bucket}.cos.{region}.example/secret",
        "https://{bucket}.cos.{region}.myqcloud.com/secret",
        "/{bucket}/secret",
        "{bucket}/secret",
        "127.0.0.1/{bucket}/secret",
    ],
)
def test_copies_against_a_denial(service: Server, people: People, owner: Key, bucket: str, source: str) -> None:
    """A policy that denies copies of an object denies them however the header spells it, and no others."""
    secret = f"{bucket}.cos.{REGION}.myqcloud.com/secret"
    condition = {"string_equal": {"cos:x-cos-copy-source": secret}}
    clerk = people.user(owner, allow("cos:*"), deny(["cos:PutObject", "cos:UploadPart"], condition=condition))
    begun = Signed.of(clerk, bucket, "POST", "/copy", query=(("uploads", ""),)).sent(service)
    upload = begun[2].partition(b"<UploadId>")[2].partition(b"<")[0].decode()
    for query in ((), (("partNumber", "1"), ("uploadId", upload))):
        made = Signed.of(clerk, bucket, "PUT", "/copy", query=query)
        value = source.format(bucket=bucket, region=REGION, upper=bucket.upper())
        assert denied(made.but(headers=(("x-cos-copy-source", value),)).sent(service))
        other = value.replace("%73ecret", "secret").replace("/secret", "/open/k")
        assert made.but(headers=(("x-cos-copy-source", other),)).sent(service)[0] == 200


def test_uploads_of_others(service: Server, owner: Key, user: Key, bucket: str) -> None:
    """The id of an upload is of no use with another key: neither to add to it, nor to see, end or complete it."""
    begun = Signed.of(owner, bucket, "POST", "/secret", query=(("uploads", ""),)).sent(service)
    upload = begun[2].partition(b"<UploadId>")[2].partition(b"<")[0].decode()
    part = Signed.of(owner, bucket, "PUT", "/secret", query=(("partNumber", "1"), ("uploadId", upload)))
    etag = part.sent(service, body=b"part")[1]["ETag"]
    for path in ("/open/k", "/open/../secret", "/secret"):
        for method, query, body in (
            ("PUT", (("partNumber", "1"), ("uploadId", upload)), b"mine"),
            ("GET", (("uploadId", upload),), b""),
            ("DELETE", (("uploadId", upload),), b""),
            ("POST", (("uploadId", upload),), b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"
             + etag.encode() + b"</ETag></Part></CompleteMultipartUpload>"),
        ):  # fmt: skip
            reply = Signed.of(user, bucket, method, path, query=query).sent(service, body=body)
            assert (reply[0], refusal(reply[2])["Code"]) in ((404, "NoSuchUpload"), (403, "AccessDenied"))
    listed = Signed.of(owner, bucket, "GET", "/secret", query=(("uploadId", upload),)).sent(service)
    assert etag.strip('"').encode() in listed[2]
    assert Signed.of(owner, bucket, "GET", "/open/k").sent(service)[2] == OPEN


def test_opening_what_one_may_write(service: Server, people: People, owner: Key, bucket: str) -> None:
    """Who may upload may not thereby say who reads: that is an action of its own, by header, call or upload."""
    writer = people.user(owner, allow(["cos:PutObject", "cos:InitiateMultipartUpload"], f"qcs::cos:::{bucket}/*"))
    acl = (("x-cos-acl", "public-read"),)
    source = (("x-cos-copy-source", f"{bucket}.cos.{REGION}.myqcloud.com/open/k"),)
    for method, query, headers in (
        ("PUT", (), acl),
        ("POST", (("uploads", ""),), acl),
        ("PUT", (("acl", ""),), acl),
        ("PUT", (), acl + source),
    ):
        assert denied(Signed.of(writer, bucket, method, "/secret", query=query, headers=headers).sent(service))
    assert Signed.of(writer, bucket, "PUT", "/new").sent(service, body=b"x")[0] == 200
    assert denied(Signed.of(writer, bucket, "PUT", "/", headers=acl).sent(service))
    assert Signed.of(owner, bucket, "GET", "/secret").sent(service)[2] == SECRET


def test_opening_against_a_denial(service: Server, people: People, owner: Key, bucket: str) -> None:
    """A policy that denies public lists denies them in the header and in the body, however they are written."""
    closed = deny(
        ["cos:PutObjectACL", "cos:PutBucketACL"], condition={"string_equal": {"cos:x-cos-acl": "public-read"}}
    )
    clerk = people.user(owner, allow("cos:*"), closed)
    grant = (
        f"<AccessControlPolicy><Owner><ID>qcs::cam::uin/{owner.uin}:uin/{owner.uin}</ID></Owner>"
        "<AccessControlList><Grant><Grantee "
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group"><URI>'
        "http://cam.qcloud.com/groups/global/AllUsers</URI></Grantee><Permission>READ</Permission></Grant>"
        "</AccessControlList></AccessControlPolicy>"
    )
    for path in ("/secret", "/"):
        made = Signed.of(clerk, bucket, "PUT", path, query=(("acl", ""),))
        assert made.but(headers=(("x-cos-acl", "private"),)).sent(service)[0] == 200
        for value in ("public-read", "Public-Read", " public-read", "public-read,private"):
            assert made.but(headers=(("x-cos-acl", value.strip()),)).sent(service)[0] in (400, 403)
        assert denied(made.sent(service, body=grant.encode()))
    assert denied(Signed.of(owner, bucket, "GET", "/secret").sent(service, headers={"Authorization": ""}))


def test_policies_of_others_buckets(
    service: Server, people: People, owner: Key, user: Key, stranger: Key, bucket: str
) -> None:
    """A bucket's policy is its account's: nobody else reads, puts or removes it, not even whom it lets do the rest."""
    role = {"qcs": [stranger.principal, user.principal]}
    everything = [f"qcs::cos::uid/{owner.appid}:{bucket}/*"]
    people.bucket_policy(bucket, allow(["cos:GetObject", "cos:PutObject"], everything, principal=role))
    mine = {"version": "2.0", "statement": [allow("*", everything, principal="*")]}
    for key in (stranger, user, people.user(owner), people.user(stranger, allow("*"))):
        made = Signed.of(key, bucket, "PUT", "/", query=(("policy", ""),))
        assert denied(made.sent(service, body=json.dumps(mine).encode()))
        assert denied(made.but(method="GET").sent(service))
        assert denied(made.but(method="DELETE").sent(service))
    assert Signed.of(stranger, bucket, "GET", "/secret").sent(service)[2] == SECRET
    assert denied(Signed.of(people.account(), bucket, "GET", "/secret").sent(service))


def test_nobody_locks_himself_out(service: Server, people: People, owner: Key, bucket: str) -> None:
    """A policy that denies everybody everything holds, and the root can still take it back."""
    people.bucket_policy(bucket, deny("*", principal="*"))
    for method, path in (("GET", "/secret"), ("PUT", "/secret"), ("GET", "/"), ("DELETE", "/secret")):
        assert denied(Signed.of(owner, bucket, method, path).sent(service))
    user = people.user(owner, allow("*"))
    policy = Signed.of(user, bucket, "DELETE", "/", query=(("policy", ""),))
    assert denied(policy.sent(service))
    assert policy.but(key=owner).sent(service)[0] == 204
    assert Signed.of(owner, bucket, "GET", "/secret").sent(service)[2] == SECRET


def test_buckets_in_the_name_of_others(service: Server, people: People, owner: Key, stranger: Key) -> None:
    """Nobody makes a bucket that carries another account's number, nor may a user make any."""
    for key, name in ((stranger, f"new-{owner.appid}"), (people.user(owner), f"new-{owner.appid}")):
        assert Signed.of(key, name, "PUT", "/").sent(service)[0] in (400, 403)
        assert Signed.of(owner, name, "HEAD", "/").sent(service)[0] == 404


@pytest.mark.parametrize("what", ["key", "user", "account", "remove"])
@pytest.mark.parametrize("temporary", [False, True], ids=["permanent", "temporary"])
def test_keys_of_those_who_went(service: Server, people: People, what: str, temporary: bool) -> None:
    """A key, and each temporary one that it asked for, ends at once with its user, its account or itself."""
    owner = people.account()
    bucket = people.bucket(owner)
    user = people.user(owner, allow("cos:*"))
    key = people.temporary(user) if temporary else user
    made = Signed.of(key, bucket, "PUT", "/k")
    assert made.sent(service, body=b"x")[0] == 200
    people.disable(user, what=what)
    reply = made.sent(service, body=b"y")
    assert (reply[0], refusal(reply[2])["Code"]) == (403, "InvalidAccessKeyId")
    job = Signed.of(key, bucket, "GET", "/jobs/j1", kind="ci").sent(service)
    assert (job[0], refusal(job[2])["Code"]) == (401, "SecretidNotExist")


def test_sessions_of_a_role_that_went(service: Server, people: People, owner: Key, bucket: str) -> None:
    """A role takes its sessions with it; a new one of its name does not bring them back."""
    people.role(owner, "Reader", CI_ROLE_TRUST, allow("cos:GetObject"))
    key = people.temporary(owner, role="Reader")
    made = Signed.of(key, bucket, "GET", "/secret")
    assert made.sent(service)[2] == SECRET
    assert denied(Signed.of(key, bucket, "PUT", "/secret").sent(service, body=b"x"))
    people.remove_role(owner, "Reader")
    people.role(owner, "Reader", CI_ROLE_TRUST, allow("*"))
    assert refusal(made.sent(service)[2])["Code"] == "InvalidAccessKeyId"


def test_a_session_is_never_more(service: Server, people: People, owner: Key, user: Key, bucket: str) -> None:
    """A temporary key does what its owner may and its policy says, never the one without the other."""
    wide = people.temporary(user, allow("*"))
    narrow = people.temporary(owner, allow("cos:GetObject", f"qcs::cos:::{bucket}/open/*"))
    other = people.temporary(user, allow("cos:GetObject", f"qcs::cos:::{bucket}/secret"))
    for key, method, path in (
        (wide, "GET", "/secret"),
        (narrow, "GET", "/secret"),
        (narrow, "PUT", "/open/k"),
        (other, "GET", "/secret"),
        (other, "GET", "/open/k"),
    ):
        assert denied(Signed.of(key, bucket, method, path).sent(service, body=b"x"))
    assert Signed.of(wide, bucket, "GET", "/open/k").sent(service)[2] == OPEN
    assert Signed.of(narrow, bucket, "GET", "/open/k").sent(service)[2] == OPEN
    people.may(user)
    assert denied(Signed.of(wide, bucket, "GET", "/open/k").sent(service))


def test_jobs_of_others(service: Server, people: People, owner: Key, user: Key, stranger: Key, bucket: str) -> None:
    """Nobody submits in another's bucket, nor without the right to pass the role on, though he may do all else."""
    body = job_body(bucket, "open/out.wav", source="secret")
    clerks = {
        "stranger": stranger,
        "stranger's user": people.user(stranger, allow("*")),
        "no policy": people.user(owner),
        "no job": people.user(owner, allow(["cos:*", "cam:PassRole"])),
        "no role": people.user(owner, allow(["ci:*", "cos:*"])),
        "another role": people.user(owner, allow("ci:*"), allow("cam:PassRole", "qcs::cam:::roleName/Other")),
        "another's role": people.user(
            owner, allow("ci:*"), allow("cam:PassRole", f"qcs::cam::uin/{stranger.uin}:roleName/{CI_ROLE}")
        ),
        "another bucket": people.user(owner, allow("cam:PassRole"), allow("ci:*", "qcs::ci:::bucket/other-1/*")),
        "denied": people.user(owner, allow("*"), deny("cam:PassRole")),
    }
    for who, key in clerks.items():
        with pytest.raises(CosServiceError) as refused:
            people.client(key).ci_create_media_jobs(Bucket=bucket, Jobs=body, Lst={})
        assert (refused.value.get_status_code(), refused.value.get_error_code()) == (403, "AccessDenied"), who
    role = {"qcs": [stranger.principal]}
    people.bucket_policy(bucket, allow("*", principal=role))
    with pytest.raises(CosServiceError) as refused:
        people.client(stranger).ci_create_media_jobs(Bucket=bucket, Jobs=body, Lst={})
    assert refused.value.get_error_code() == "AccessDenied"
    listed = Signed.of(owner, bucket, "GET", "/jobs", kind="ci", query=(("tag", "NoiseReduction"),)).sent(service)
    assert b"<JobId>" not in listed[2]


def test_jobs_into_buckets_of_others(service: Server, people: People, owner: Key, stranger: Key, bucket: str) -> None:
    """What another account's bucket lets the submitter himself write, his jobs may not, and the other way round."""
    theirs = people.bucket(stranger)
    people.bucket_policy(theirs, allow("cos:*", principal={"qcs": [f"qcs::cam::uin/{owner.uin}:uin/100"]}))
    reply = people.client(owner).ci_create_media_jobs(
        Bucket=bucket, Jobs=job_body(theirs, "o", source="open/k"), Lst={}
    )
    job = reply["JobsDetail"][0]["JobId"]
    detail = wait_for_jobs(people.client(owner), bucket, [job])[job]
    assert (detail["State"], detail["Code"]) == ("Failed", "WriteTargetBucketDenied")
    people.bucket_policy(
        theirs, allow("cos:PutObject", principal={"qcs": [f"qcs::cam::uin/{owner.uin}:roleName/{CI_ROLE}"]})
    )
    assert denied(Signed.of(owner, theirs, "PUT", "/o").sent(service, body=b"x"))
