"""Every call there is, by everybody who may and may not make it.

The table of this file says of each call which actions policies must allow, and on what, as the protocol does (section
10), and not as the program does. A call without a row fails the test.
"""

import json
import random
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import md5
from typing import Any, Final
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import pytest

from people import Key, People
from policies import Statement, allow, deny, document
from raw_http import send
from server import REGION, Server
from sordino.api import cmq, operations, sts
from sordino.wire.cmq import PATH
from sordino.wire.cmq import sign as cmq_sign
from sordino.wire.sts import sign as sts_sign

SETTINGS = "<Request><Name>n</Name><State>Paused</State><NotifyConfig/></Request>"
TEMPLATE = "<Request><Tag>NoiseReduction</Tag><Name>n</Name><NoiseReduction/></Request>"
JOB = (
    "<Request><Tag>NoiseReduction</Tag><Input><Object>in/k</Object></Input><Operation><Output>"
    f"<Region>{REGION}</Region><Bucket>{{bucket}}</Bucket><Object>out/k</Object></Output></Operation></Request>"
)
CORS = (
    "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>"
    "</CORSConfiguration>"
)
POLICY = (
    '{{"version":"2.0","statement":[{{"effect":"allow","action":["cos:GetObject"],"principal":'
    '{{"qcs":["qcs::cam::uin/1:root"]}},"resource":["qcs::cos:{region}:uid/{appid}:{bucket}/none/*"]}}]}}'
)
DELETE = "<Delete><Object><Key>in/gone</Key></Object></Delete>"
PARTS = "<CompleteMultipartUpload><Part><PartNumber>9</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>"
PRIVATE = {"x-cos-acl": "private"}
COPY = {"x-cos-copy-source": "/{bucket}/source/k"}

CI: Final = "qcs::ci:{region}:uid/{appid}:bucket/{bucket}/*"
OPENED: Final = "qcs::ci:{region}:uid/{appid}:bucket/{services}/*"
ROLE: Final = "qcs::cam::uin/{uin}:roleName/CI_QCSRole"
BUCKET: Final = "qcs::cos:{region}:uid/{appid}:{bucket}/"
NEW: Final = "qcs::cos:{region}:uid/{appid}:{new}/"
QUEUE: Final = "qcs::cmqqueue:{region}:uin/{uin}:queueName/uin/{uin}/{name}"
TOPIC: Final = "qcs::cmqtopic:{region}:uin/{uin}:topicName/uin/{uin}/{name}"
ALL: Final = "*"


def key(name: str) -> str:
    """An object of the bucket."""
    return BUCKET + name


@dataclass(frozen=True)
class Row:
    """A call.

    Attributes:
        kind: ``ci``, ``cos``, ``cmq`` or ``sts``.
        target: path and query, of CMQ and STS the Action; braces stand for what the stage has.
        needs: the actions that must be allowed, and on what.
        body: of CMQ and STS the other parameters, as JSON.
        bucket: the stage's word for it; empty: the call names none.
        ends: how it may end for who may make it: codes; empty: it is done.
    """

    kind: str
    method: str
    target: str
    needs: tuple[tuple[str, str], ...]
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    bucket: str = "bucket"
    ends: frozenset[str] = frozenset({""})

    @property
    def name(self) -> str:
        """As tests are called."""
        return " ".join([self.method, self.target, *sorted(self.headers), *([] if self.bucket else ["of nothing"])])


def ci(call: str, *actions: str, body: str = "", ends: str = "", on: str = CI, bucket: str = "bucket") -> Row:
    """A call of CI; ``ends`` are codes with ``|`` between."""
    method, _, target = call.partition(" ")
    needs = tuple((f"ci:{action}", on) for action in actions)
    return Row("ci", method, target, needs, body, bucket=bucket, ends=frozenset(ends.split("|")))


def cos(
    call: str,
    *needs: tuple[str, str],
    body: str = "",
    ends: str = "",
    headers: Mapping[str, str] | None = None,
    bucket: str = "bucket",
) -> Row:
    """A call of COS."""
    method, _, target = call.partition(" ")
    found = tuple((f"cos:{action}", on) for action, on in needs)
    return Row("cos", method, target, found, body, headers or {}, bucket, frozenset(ends.split("|")))


def message(action: str, ends: str = "0", on: str = QUEUE, **parameters: str) -> Row:
    """A call of CMQ, whose codes are numbers."""
    service = on.split(":")[2] if on != ALL else "cmqtopic" if "Topic" in action else "cmqqueue"
    name = {} if on == ALL else {"queueName" if on == QUEUE else "topicName": "{name}"}
    body = json.dumps(name | parameters)
    needs = ((f"{service}:{action}", on),)
    return Row("cmq", "POST", action, needs, body, bucket="", ends=frozenset(ends.split("|")))


def _jobs() -> Iterator[Row]:
    create = ci("POST {path}", "CreateAsrJobs", body=JOB)
    for path in ("/jobs", "/asr_jobs", "/ai_jobs"):
        yield Row("ci", "POST", path, (*create.needs, ("cam:PassRole", ROLE)), JOB)
        yield ci(f"GET {path}?tag=NoiseReduction", "DescribeMediaJobs")
        yield ci(f"GET {path}/{{job}}", "DescribeMediaJob")
        yield ci(f"PUT {path}/{{job}}?cancel", "CancelMediaJob", ends="|InvalidArgument|JobNotCancelable")
        yield ci(f"GET {path}/{{job}}?callbacks", "DescribeMediaJobCallbacks")
        yield ci(f"POST {path}/{{job}}?callbacks", "SendMediaJobCallback", ends="InvalidArgument")


QUEUE_KINDS: Final = ("Asr", "Media", "AI", "Pic")
QUEUE_VERBS: Final = ("Describe", "Add", "Update", "Delete")


def _queues() -> Iterator[Row]:
    for path, kind in zip(("asrqueue", "queue", "ai_queue", "picqueue"), QUEUE_KINDS, strict=True):
        yield ci(f"GET /{path}", f"Describe{kind}Queues")
        yield ci(f"POST /{path}", f"Add{kind}Queue", body=SETTINGS, ends="|QueueNumLimit")
        yield ci(f"PUT /{path}/{{queue}}", f"Update{kind}Queue", body=SETTINGS)
        yield ci(f"DELETE /{path}/pnone", f"Delete{kind}Queue", ends="QueueNotFound")


def _services() -> Iterator[Row]:
    opened, closed = "|BucketAlreadyBinded|MediaBucketAlreadyBinded", "|MediaBucketUnBinded"
    for path, kind in (("asrbucket", "Asr"), ("mediabucket", "Media"), ("ai_bucket", "AI")):
        yield ci(f"POST /{path}", f"Create{kind}Bucket", ends=opened, on=OPENED, bucket="services")
        yield ci(f"GET /{path}", f"Describe{kind}Buckets", on=ALL)
        yield ci(f"GET /{path}?pageSize=1", f"Describe{kind}Buckets", on=ALL, bucket="")
        yield ci(f"DELETE /{path}", f"Delete{kind}Bucket", ends=closed, on=OPENED, bucket="services")


def _messages() -> Iterator[Row]:
    one, many = {"msgBody": "x"}, {"msgBody.1": "x"}
    receipt, batch = {"receiptHandle": "999999999.1"}, {"receiptHandle.1": "999999999.1"}
    now = {"pollingWaitSeconds": "0"}
    yield message("CreateQueue", "0|4460")
    yield message("DeleteQueue", "4440", queueName="gone-{name}", on=QUEUE.replace("{name}", "gone-{name}"))
    yield message("ListQueue", on=ALL)
    yield message("GetQueueAttributes")
    yield message("SetQueueAttributes", maxMsgHeapNum="2000")
    yield message("SendMessage", **one)
    yield message("BatchSendMessage", **many)
    yield message("ReceiveMessage", "0|7000", **now)
    yield message("BatchReceiveMessage", "0|7000", numOfMsg="2", **now)
    yield message("DeleteMessage", "4430", **receipt)
    yield message("BatchDeleteMessage", "6010", **batch)
    yield message("CreateTopic", "0|4460", on=TOPIC)
    yield message("DeleteTopic", "4440", topicName="gone-{name}", on=TOPIC.replace("{name}", "gone-{name}"))
    yield message("ListTopic", on=ALL)
    yield message("GetTopicAttributes", on=TOPIC)
    yield message("SetTopicAttributes", on=TOPIC, maxMsgSize="2048")
    yield message("PublishMessage", on=TOPIC, **one)
    yield message("BatchPublishMessage", on=TOPIC, **many)
    named = {"subscriptionName": "s", "protocol": "queue", "endpoint": "{name}", "notifyContentFormat": "SIMPLIFIED"}
    yield message("Subscribe", "0|4490", on=TOPIC, **named)
    yield message("Unsubscribe", "4440", on=TOPIC, subscriptionName="none")
    yield message("ListSubscriptionByTopic", on=TOPIC)


def _temporary_keys() -> Iterator[Row]:
    policy = json.dumps({"version": "2.0", "statement": [allow("cos:GetObject")]}).replace("{", "{{").replace("}", "}}")
    federate = json.dumps({"Name": "matrix", "Policy": policy})
    yield Row("sts", "POST", "GetFederationToken", (("sts:GetFederationToken", ALL),), federate, bucket="")
    assume = json.dumps({"RoleArn": "qcs::cam::uin/{uin}:roleName/{name}", "RoleSessionName": "matrix"})
    role = "qcs::cam::uin/{uin}:roleName/{name}"
    yield Row("sts", "POST", "AssumeRole", (("sts:AssumeRole", role),), assume, bucket="")


ROWS: Final = (
    *_temporary_keys(),
    *_jobs(),
    ci("POST /template", "CreateMediaTemplate", body=TEMPLATE, ends="|TemplateNameDuplicate"),
    ci("GET /template", "DescribeMediaTemplates"),
    ci("PUT /template/{template}", "UpdateMediaTemplate", body=TEMPLATE.replace("<Name>n", "<Name>m")),
    ci("DELETE /template/tnone", "DeleteMediaTemplate", ends="TemplateNotFound"),
    *_queues(),
    *_services(),
    cos("GET /", ("GetService", ALL), bucket=""),
    cos("PUT /", ("PutBucket", NEW), bucket="new", ends="|BucketAlreadyOwnedByYou"),
    cos(
        "PUT /",
        ("PutBucket", NEW),
        ("PutBucketACL", NEW),
        bucket="new",
        ends="|BucketAlreadyOwnedByYou",
        headers=PRIVATE,
    ),
    cos("GET /?prefix=in/", ("GetBucket", key("in/"))),
    cos("GET /", ("GetBucket", BUCKET)),
    cos("HEAD /", ("HeadBucket", BUCKET)),
    cos("DELETE /", ("DeleteBucket", BUCKET), ends="BucketNotEmpty"),
    cos("POST /", ("PostObject", BUCKET), ends="NotImplemented"),
    cos("GET /?location", ("GetBucketLocation", BUCKET)),
    cos("GET /?uploads", ("ListMultipartUploads", BUCKET)),
    cos("PUT /?acl", ("PutBucketACL", BUCKET), headers=PRIVATE),
    cos("GET /?acl", ("GetBucketACL", BUCKET)),
    cos("PUT /?cors", ("PutBucketCORS", BUCKET), body=CORS),
    cos("GET /?cors", ("GetBucketCORS", BUCKET), ends="|NoSuchCORSConfiguration"),
    cos("DELETE /?cors", ("DeleteBucketCORS", BUCKET)),
    cos("PUT /?policy", ("PutBucketPolicy", BUCKET), body=POLICY),
    cos("GET /?policy", ("GetBucketPolicy", BUCKET), ends="|NoSuchBucketPolicy"),
    cos("DELETE /?policy", ("DeleteBucketPolicy", BUCKET)),
    cos(
        "POST /?delete",
        ("DeleteObject", key("in/gone")),
        body=DELETE,
        headers={"Content-MD5": b64encode(md5(DELETE.encode()).digest()).decode()},
    ),
    cos("PUT /in/new", ("PutObject", key("in/new")), body="x"),
    cos("PUT /in/new", ("PutObject", key("in/new")), ("PutObjectACL", key("in/new")), body="x", headers=PRIVATE),
    cos("GET /in/k", ("GetObject", key("in/k"))),
    cos("HEAD /in/k", ("HeadObject", key("in/k"))),
    cos("GET /in/none", ("GetObject", key("in/none")), ends="NoSuchKey"),
    cos("DELETE /in/gone", ("DeleteObject", key("in/gone"))),
    cos("POST /in/k", ("AppendObject", key("in/k")), ends="NotImplemented"),
    cos("PUT /in/k?acl", ("PutObjectACL", key("in/k")), headers=PRIVATE),
    cos("GET /in/k?acl", ("GetObjectACL", key("in/k"))),
    cos("PUT /in/copy", ("PutObject", key("in/copy")), ("GetObject", key("source/k")), headers=COPY),
    cos(
        "PUT /in/copy",
        ("PutObject", key("in/copy")),
        ("PutObjectACL", key("in/copy")),
        ("GetObject", key("source/k")),
        headers=COPY | PRIVATE,
    ),
    cos("POST /in/parts?uploads", ("InitiateMultipartUpload", key("in/parts"))),
    cos(
        "POST /in/parts?uploads",
        ("InitiateMultipartUpload", key("in/parts")),
        ("PutObjectACL", key("in/parts")),
        headers=PRIVATE,
    ),
    cos("PUT /in/parts?partNumber=1&uploadId={upload}", ("UploadPart", key("in/parts")), body="x"),
    cos(
        "PUT /in/parts?partNumber=2&uploadId={upload}",
        ("UploadPart", key("in/parts")),
        ("GetObject", key("source/k")),
        headers=COPY,
    ),
    cos("GET /in/parts?uploadId={upload}", ("ListParts", key("in/parts"))),
    cos(
        "POST /in/parts?uploadId={upload}",
        ("CompleteMultipartUpload", key("in/parts")),
        body=PARTS,
        ends="InvalidPart",
    ),
    cos("DELETE /in/parts?uploadId=none", ("AbortMultipartUpload", key("in/parts")), ends="NoSuchUpload"),
    *_messages(),
)


class Asker(StrEnum):
    """Who calls."""

    NOBODY = "anonymous"
    STRANGER = "another account"
    ITS_USER = "a user of another account who may do everything"
    POWERLESS = "a user without a policy"
    EXACT = "a user with exactly the actions"
    ELSEWHERE = "a user with the actions on another resource"
    DENIED = "a user who may do everything but this"
    ENDED = "a temporary key whose time is over"
    ROLE = "a role with exactly the actions"
    IDLE_ROLE = "a role with the actions on another resource"
    SESSION = "a temporary key of the root"
    BOUND = "a temporary key of the root that is bound to something else"
    ROOT = "the root"


MAY: Final = frozenset({Asker.EXACT, Asker.ROLE, Asker.SESSION, Asker.ROOT})
TEMPORARY: Final = frozenset({Asker.ROLE, Asker.IDLE_ROLE, Asker.SESSION, Asker.BOUND})
"""Who signs with a temporary key, which gets no other one."""

MISSING: Final = [(row, number) for row in ROWS if len(row.needs) > 1 for number in range(len(row.needs))]
"""Calls that need several actions, and the one that is left out."""


@dataclass(frozen=True)
class Stage:
    """A bucket in use, and everybody.

    Attributes:
        words: what stands for the braces of rows.
        keys: by asker, of those who are the same to every call.
        by_call: by asker and row, of the others.
        without: by row and number, of users who have all but one action.
        twins: by verb and kind, of users who may do everything but this with queues of that kind.
    """

    service: Server
    words: Mapping[str, str]
    keys: Mapping[Asker, Key]
    by_call: Mapping[tuple[Asker, str], Key]
    without: Mapping[tuple[str, int], Key]
    twins: Mapping[tuple[str, str], Key]

    def key_of(self, asker: Asker, row: Row) -> Key | None:
        """With what he signs."""
        return None if asker is Asker.NOBODY else self.keys.get(asker) or self.by_call[asker, row.name]

    def fill(self, text: str) -> str:
        """The text with what the stage has."""
        return text.format_map(self.words)

    def ask(self, row: Row, key: Key | None) -> str:
        """How the call ends: the code; empty: it is done."""
        match row.kind:
            case "cmq":
                return str(self._form(row, key, PATH, cmq_sign)["code"])
            case "sts":
                return str(self._form(row, key, "/", sts_sign)["Response"].get("Error", {}).get("Code", ""))
        return self._request(row, key)

    def _request(self, row: Row, key: Key | None) -> str:
        headers = {name: self.fill(value) for name, value in row.headers.items()}
        if key is not None and key.token is not None:
            headers["x-cos-security-token"] = key.token
        if row.kind == "ci" and not row.bucket:
            headers["Host"] = f"ci.{REGION}.myqcloud.com"
        status, _, content = send(
            self.service,
            row.method,
            self.fill(row.target),
            bucket=self.words[row.bucket] if row.bucket else None,
            kind=row.kind,
            body=self.fill(row.body).encode() if "{" in row.body else row.body.encode(),
            headers=headers,
            signed=key is not None,
            key=key,
        )
        if row.method == "HEAD":
            return "" if status < 400 else {403: "AccessDenied", 400: "ExpiredToken"}[status]
        if status < 400:
            code = ET.fromstring(content).find("Error/Code") if "?delete" in row.target else None
            return "" if code is None else str(code.text)
        return _code(content, status)

    def _form(self, row: Row, key: Key | None, path: str, sign: Callable[..., str]) -> Mapping[str, Any]:
        """What a call that is a signed form gets."""
        values = {
            "Action": row.target,
            "Nonce": str(random.SystemRandom().randrange(10**9)),
            "Timestamp": str(int(time.time())),
            "Version": VERSION,
        } | {name: self.fill(value) for name, value in json.loads(row.body).items()}
        if key is not None:
            values |= {"SecretId": key.secret_id} | ({"Token": key.token} if key.token else {})
            values["Signature"] = sign("POST", f"127.0.0.1:{self.service.port}", values, key.secret_key)
        body, kind = urlencode(values).encode(), {"Content-Type": "application/x-www-form-urlencoded"}
        return json.loads(send(self.service, "POST", path, body=body, headers=kind, signed=False)[2])


def _code(content: bytes, status: int) -> str:
    """The code of a refusal, whose status goes with it."""
    code = ET.fromstring(content).findtext("Code") or ""
    assert (status == 403) == (code in FORBIDDEN), (status, code)
    return code


VERSION: Final = "2018-08-13"
FORBIDDEN: Final = frozenset({"AccessDenied", "BucketAlreadyBinded", "MediaBucketAlreadyBinded", "MediaBucketUnBinded"})
REFUSED: Final = {"ci": "AccessDenied", "cos": "AccessDenied", "cmq": "4103", "sts": "UnauthorizedOperation"}
UNSIGNED: Final = {"ci": "MissingAuthorization", "cos": "AccessDenied", "cmq": "4000", "sts": "MissingParameter"}
OVER: Final = {"ci": "SignatureExpired", "cos": "ExpiredToken", "cmq": "4105", "sts": "AuthFailure.TokenFailure"}


@pytest.fixture(scope="module")
def stage(service: Server) -> Stage:
    """All of it, in an account of its own."""
    people = People(service)
    owner, stranger = people.account(), people.account()
    words = _furnish(people, owner)
    trust = {"effect": "allow", "action": "sts:AssumeRole", "principal": {"qcs": [owner.principal]}}
    people.role(owner, words["name"], document(trust))
    keys = {
        Asker.STRANGER: stranger,
        Asker.ITS_USER: people.user(stranger, allow("*")),
        Asker.POWERLESS: people.user(owner),
        Asker.ENDED: people.temporary(owner, minutes=-1),
        Asker.SESSION: people.temporary(owner),
        Asker.BOUND: people.temporary(owner, allow("cos:OptionsObject")),
        Asker.ROOT: owner,
    }

    def those(row: Row, **more: str) -> list[Statement]:
        return [allow(action, on.format_map(words | more)) for action, on in row.needs]

    elsewhere = {"bucket": words["services"], "services": words["bucket"], "new": words["bucket"], "name": "other"}
    elsewhere |= {"uin": stranger.uin}
    users = {
        Asker.EXACT: {row.name: those(row) for row in ROWS},
        Asker.ELSEWHERE: {row.name: [_away(it, words) for it in those(row, **elsewhere)] for row in ROWS},
        Asker.DENIED: {row.name: [allow("*"), deny(row.needs[-1][0])] for row in ROWS},
    }
    by_call: dict[tuple[Asker, str], Key] = {}
    for asker, policies in users.items():
        found = people.users(owner, {f"{asker.name} {name}": them for name, them in policies.items()})
        by_call |= {(asker, name): found[f"{asker.name} {name}"] for name in policies}
    for asker, like in ((Asker.ROLE, Asker.EXACT), (Asker.IDLE_ROLE, Asker.ELSEWHERE)):
        found = people.sessions(owner, {f"{asker.name} {name}": them for name, them in users[like].items()})
        by_call |= {(asker, name): found[f"{asker.name} {name}"] for name in users[like]}
    less = {f"{row.name} {number}": those(row)[:number] + those(row)[number + 1 :] for row, number in MISSING}
    found = people.users(owner, less)
    without = {(row.name, number): found[f"{row.name} {number}"] for row, number in MISSING}
    names = {f"{verb} {kind}": (verb, kind) for verb in QUEUE_VERBS for kind in QUEUE_KINDS}
    found = people.users(
        owner, {name: [allow("*"), deny(f"ci:{verb}{kind}Queue*")] for name, (verb, kind) in names.items()}
    )
    twins = {names[name]: key for name, key in found.items()}
    made = Stage(service, words, keys, by_call, without, twins)
    # Tests come in any order: what calls of queues and topics are about is there before them.
    for row in ROWS:
        if row.target in {"CreateQueue", "CreateTopic"}:
            assert made.ask(row, owner) == "0"
    return made


def _away(statement: Statement, words: Mapping[str, str]) -> Statement:
    """Of what only ``*`` covers nothing else is another resource than something that has a name."""
    if statement["resource"] != ALL:
        return statement
    service = str(statement["action"]).partition(":")[0]
    account = f"uid/{words['appid']}" if service in ("cos", "ci") else f"uin/{words['uin']}"
    return {**statement, "resource": f"qcs::{service}::{account}:bucket/*"}


def _furnish(people: People, owner: Key) -> dict[str, str]:
    client = people.client(owner)
    bucket = people.bucket(owner, "matrix")
    for name in ("in/k", "source/k"):
        client.put_object(Bucket=bucket, Key=name, Body=b"hello")

    def found(method: str, path: str, body: str, name: str) -> str:
        status, _, content = send(people.service, method, path, bucket=bucket, kind="ci", body=body.encode(), key=owner)
        assert status == 200, content
        return ET.fromstring(content).findtext(f".//{name}") or ""

    words = {
        "region": REGION,
        "appid": owner.appid,
        "uin": owner.uin,
        "bucket": bucket,
        "services": people.bucket(owner, "services"),
        "new": f"new-{owner.appid}",
        "name": "matrix",
        "queue": found("GET", "/asrqueue", "", "QueueId"),
        "upload": client.create_multipart_upload(Bucket=bucket, Key="in/parts")["UploadId"],
    }
    found("PUT", f"/asrqueue/{words['queue']}", SETTINGS, "QueueId")
    words["job"] = found("POST", "/jobs", JOB.replace("{bucket}", bucket), "JobId")
    words["template"] = found("POST", "/template", TEMPLATE, "TemplateId")
    return words


def _expected(row: Row, asker: Asker) -> frozenset[str]:
    if row.kind == "sts" and asker in TEMPORARY:
        return frozenset({"FailedOperation.TempKeyNotAllowed"})
    if asker in MAY:
        return row.ends
    if asker is Asker.NOBODY:
        return frozenset({UNSIGNED[row.kind]})
    if asker is Asker.ENDED:
        return frozenset({OVER[row.kind]})
    if asker in (Asker.STRANGER, Asker.ITS_USER) and (row.kind == "cmq" or row.needs[0][1] == ALL):
        # They ask for what is their own, where nothing is of what is here.
        return row.ends | {"4440"}
    return frozenset({REFUSED[row.kind]})


CELLS: Final = [(row, asker) for row in ROWS for asker in Asker]


@pytest.mark.parametrize(("row", "asker"), CELLS, ids=lambda it: it.name)
def test_cell(stage: Stage, row: Row, asker: Asker) -> None:
    """Those who may are let in, and nobody else."""
    assert stage.ask(row, stage.key_of(asker, row)) in _expected(row, asker)


@pytest.mark.parametrize(
    ("row", "number"), MISSING, ids=[f"{row.name} without {row.needs[number][0]}" for row, number in MISSING]
)
def test_all_actions_are_needed(stage: Stage, row: Row, number: int) -> None:
    """Of several actions none is enough without the others."""
    assert stage.ask(row, stage.without[row.name, number]) == "AccessDenied"


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.method == "GET" and row.needs[0][1] == ALL], ids=lambda it: it.name
)
def test_lists_of_strangers(stage: Stage, row: Row) -> None:
    """Lists of an account show what is that account's."""
    for asker, shown in ((Asker.ROOT, True), (Asker.STRANGER, False)):
        host = {} if row.kind == "cos" else {"Host": f"ci.{REGION}.myqcloud.com"}
        content = send(
            stage.service,
            "GET",
            row.target.replace("pageSize=1", ""),
            kind=row.kind,
            headers=host,
            key=stage.keys[asker],
        )[2]
        assert (stage.words["bucket"] in content.decode()) == shown


@pytest.mark.parametrize(
    "row", [row for row in ROWS if "queue" in row.target and row.kind == "ci"], ids=lambda it: it.name
)
@pytest.mark.parametrize("kind", QUEUE_KINDS)
def test_queues_by_other_names(stage: Stage, row: Row, kind: str) -> None:
    """The queues are the same at each of their paths: who is denied them under one name is under the others, too."""
    (verb,) = [verb for verb in QUEUE_VERBS if row.needs[0][0].startswith(f"ci:{verb}")]
    assert stage.ask(row, stage.twins[verb, kind]) == "AccessDenied"


def test_names_differ() -> None:
    """No row hides another one."""
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)


def test_no_call_is_missing() -> None:
    """Each call of the program's tables has a row."""
    asked = {(row.kind, row.method, *row.target.partition("?")[::2]) for row in ROWS}
    ci_calls = {
        (operation.method, pattern.pattern, bool(callbacks))
        for callbacks, table in (
            (False, operations.CI_OPERATIONS),
            (True, [(operations.CALLBACK_PATH, operations.CALLBACK_OPERATIONS)]),
        )
        for pattern, found in table
        for operation in found
        if not any(
            kind == "ci"
            and method == operation.method
            and (query == "callbacks") == callbacks
            and pattern.fullmatch(path)
            for kind, method, path, query in asked
        )
    }
    assert ci_calls == set()
    rows = [row for row in ROWS if row.kind == "cos"]
    missing = [
        f"{operation.name} ?{name}"
        for place, names in {
            place: {"": found, **operations.SUB_OPERATIONS[place]} for place, found in operations.COS_OPERATIONS.items()
        }.items()
        for name, found in names.items()
        for operation in (*found, *(operations.COPIES[it.name] for it in found if it.name in operations.COPIES))
        if not any(_is_of(row, place, name, operation.method, operation.name.endswith("Copy")) for row in rows)
    ]
    assert missing == []
    assert {row.target for row in ROWS if row.kind == "cmq"} == set(cmq.ACTIONS)
    # Everybody may ask who he is.
    assert {row.target for row in ROWS if row.kind == "sts"} == set(sts.ACTIONS) - {"GetCallerIdentity"}


def _is_of(row: Row, place: operations.Resource, name: str, method: str, copies: bool) -> bool:
    path, _, query = row.target.partition("?")
    names = {part.partition("=")[0] for part in query.split("&")} & set(operations.SUBRESOURCES) - {"partNumber"}
    where = operations.Resource.SERVICE if not row.bucket else "bucket" if path == "/" else "object"
    return (
        where == place
        and method == row.method
        and names == ({name} if name else set())
        and copies == ("x-cos-copy-source" in row.headers)
    )
