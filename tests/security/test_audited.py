"""Who did what, and who was not let do it: what the audit log tells of calls to a running service."""

import hashlib
import hmac
import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import requests
from tencentcloud.common import credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.sts.v20180813 import models
from tencentcloud.sts.v20180813.sts_client import StsClient

from people import Key
from policies import allow, deny
from raw_http import send
from server import REGION, Server, new_room
from sordino.domain.audit import AuditEntry
from support import start_service
from watching import Watchers

JOB = """<Request><Tag>NoiseReduction</Tag><Input><Object>in.wav</Object></Input><Operation><Output>
<Region>{region}</Region><Bucket>{bucket}</Bucket><Object>out.wav</Object></Output></Operation></Request>"""
DELETE = "<Delete><Quiet>false</Quiet>{}</Delete>"


@pytest.fixture(scope="module")
def service() -> Iterator[Server]:
    """A service of their own: of refusals of strangers ten a minute are told, and others are refused, too."""
    with new_room() as room:
        running = start_service(room / "data")
        yield running
        assert running.stop() == 0, running.log_tail(60)


@pytest.fixture(scope="module")
def people(service: Server) -> Watchers:
    """Whoever has an account there."""
    return Watchers(service)


@pytest.fixture(scope="module")
def owner(people: Watchers) -> Key:
    """The root of an account."""
    return people.account()


@pytest.fixture(scope="module")
def bucket(people: Watchers, owner: Key) -> str:
    """A bucket of it."""
    return people.bucket(owner)


def resource(bucket: str, key: str = "") -> str:
    """As policies name it."""
    return f"qcs::cos:{REGION}:uid/{bucket.rpartition('-')[2]}:{bucket}/{key}"


class TestCos:
    """Calls of COS."""

    def test_a_change(self, service: Server, people: Watchers, owner: Key, bucket: str) -> None:
        """Who put an object, where, from where, and with which key, stands in the log."""
        _, head, _ = send(service, "PUT", "/a.wav", bucket=bucket, key=owner, body=b"a")
        (entry,) = people.told(head)
        assert entry == AuditEntry(
            at=entry.at,
            appid=owner.appid,
            caller=f"uin/{owner.uin}",
            secret_id=owner.secret_id,
            source="127.0.0.1",
            request_id=head["x-cos-request-id"],
            action="cos:PutObject",
            resource=resource(bucket, "a.wav"),
            owner=owner.appid,
            allowed=True,
            code="",
            reason=entry.reason,
        )
        assert abs(entry.at.timestamp() - time.time()) < 60

    def test_what_is_read_is_not_told(self, service: Server, people: Watchers, owner: Key, bucket: str) -> None:
        """Of reading that was allowed there is nothing, also of what is not there."""
        replies = [
            send(service, method, path, bucket=bucket, key=owner)[1]
            for method, path in (("GET", "/"), ("HEAD", "/none.wav"), ("GET", "/none.wav"))
        ]
        _, last, _ = send(service, "PUT", "/b.wav", bucket=bucket, key=owner, body=b"b")
        assert all(people.nothing_told(reply, last) for reply in replies)

    def test_a_change_that_failed(self, service: Server, people: Watchers, owner: Key, bucket: str) -> None:
        """He might, but it was not done: the code says why."""
        headers = {"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
        status, head, _ = send(service, "PUT", "/c.wav", bucket=bucket, key=owner, body=b"c", headers=headers)
        (entry,) = people.told(head)
        assert (status, entry.allowed, entry.code) == (400, True, "BadDigest")

    def test_a_refusal(self, service: Server, people: Watchers, owner: Key, bucket: str) -> None:
        """Reading that no policy allows is told, with the decision."""
        user = people.user(owner, allow("cos:PutObject"))
        status, head, _ = send(service, "GET", "/a.wav", bucket=bucket, key=user)
        (entry,) = people.told(head)
        assert (status, entry.caller, entry.allowed, entry.code) == (403, f"uin/{user.user}", False, "AccessDenied")
        assert (entry.action, entry.resource) == ("cos:GetObject", resource(bucket, "a.wav"))
        assert entry.reason.endswith("no policy allows it")

    def test_a_policy_that_denies(self, service: Server, people: Watchers, owner: Key, bucket: str) -> None:
        """The reason names the policy and the statement that decided."""
        user = people.user(owner, allow("cos:*"), deny("cos:DeleteObject"))
        _, head, _ = send(service, "DELETE", "/a.wav", bucket=bucket, key=user)
        (entry,) = people.told(head)
        assert not entry.allowed
        assert f"user-{user.user}" in entry.reason
        assert "statement 2" in entry.reason

    def test_a_stranger_of_another_account(self, service: Server, people: Watchers, owner: Key, bucket: str) -> None:
        """The owner of the bucket finds in the log who tried, and so does the other account."""
        other = people.account()
        _, head, _ = send(service, "PUT", "/a.wav", bucket=bucket, key=other, body=b"a")
        (entry,) = people.told(head)
        assert (entry.appid, entry.owner, entry.allowed) == (other.appid, owner.appid, False)
        assert entry in people.log(account=owner.appid)
        assert entry in people.log(account=other.appid)

    def test_nobody(self, service: Server, people: Watchers, owner: Key, bucket: str) -> None:
        """Who does not sign is anonymous."""
        status, head, _ = send(service, "PUT", "/a.wav", bucket=bucket, signed=False, body=b"a")
        (entry,) = people.told(head)
        assert (status, entry.caller, entry.secret_id, entry.appid) == (403, "anonymous", None, None)
        assert (entry.action, entry.owner, entry.allowed) == ("cos:PutObject", owner.appid, False)

    def test_nobody_who_may(self, service: Server, people: Watchers, owner: Key) -> None:
        """What a bucket's policy lets everybody change is told of everybody."""
        open_bucket = people.bucket(owner)
        everybody = {"principal": {"qcs": ["qcs::cam::anyone:anyone"]}}
        people.bucket_policy(open_bucket, allow("cos:PutObject", resource(open_bucket, "*"), **everybody))
        status, head, _ = send(service, "PUT", "/a.wav", bucket=open_bucket, signed=False, body=b"a")
        (entry,) = people.told(head)
        assert (status, entry.caller, entry.allowed, entry.code) == (200, "anonymous", True, "")

    @pytest.mark.parametrize("what", ["unknown key", "wrong secret", "expired"])
    def test_a_sign_in_that_failed(self, service: Server, people: Watchers, owner: Key, bucket: str, what: str) -> None:
        """The key stands there as it was sent, whose it is does not: nobody has shown that he has it."""
        options: dict[str, dict[str, Any]] = {
            "unknown key": {"key": Key(appid="1", secret_id="AKIDnobody", secret_key="x")},
            "wrong secret": {"key": owner, "secret_key": "x"},
            "expired": {"key": owner, "shift": timedelta(hours=-2)},
        }
        status, head, _ = send(service, "GET", "/a.wav", bucket=bucket, query=(), **options[what])
        (entry,) = people.told(head)
        assert (status, entry.allowed, entry.caller, entry.appid) == (403, False, "unknown", None)
        assert entry.secret_id == options[what]["key"].secret_id
        assert (entry.action, entry.resource) == ("GET", f"{bucket}.cos.{REGION}.myqcloud.com/a.wav")

    def test_a_sign_in_by_proxy(self, service: Server, people: Watchers, bucket: str) -> None:
        """The address stands there once, also when the client takes the server for its proxy."""
        place = f"{bucket}.cos.{REGION}.myqcloud.com/a.wav"
        nobody = Key(appid="1", secret_id="AKIDnobody", secret_key="x")
        _, head, _ = send(service, "GET", f"http://{place}", bucket=bucket, key=nobody)
        (entry,) = people.told(head)
        assert entry.resource == f"http://{place}"

    def test_many_keys_at_once(self, service: Server, people: Watchers, owner: Key, bucket: str) -> None:
        """Of a batch each key is told, those that were refused, too."""
        user = people.user(owner, allow("cos:DeleteObject", resource(bucket, "mine/*")))
        keys = ("mine/1", "other/2", "mine/3")
        body = DELETE.format("".join(f"<Object><Key>{key}</Key></Object>" for key in keys)).encode()
        _, head, _ = send(
            service,
            "POST",
            "/?delete",
            bucket=bucket,
            key=user,
            body=body,
            headers={"Content-MD5": md5(body), "Content-Type": "application/xml"},
        )
        told = people.told(head, 3)
        assert {it.action for it in told} == {"cos:DeleteObject"}
        decisions = {it.resource.rpartition(f"{bucket}/")[2]: (it.allowed, it.code) for it in told}
        assert decisions == {"mine/1": (True, ""), "other/2": (False, "AccessDenied"), "mine/3": (True, "")}

    def test_a_thousand_keys_at_once(self, service: Server, people: Watchers, owner: Key, bucket: str) -> None:
        """Who may delete nothing fills the log with no thousand entries a call; how many there were is told."""
        keys = "".join(f"<Object><Key>{number}</Key></Object>" for number in range(1000))
        body = DELETE.format(keys).encode()
        headers = {"Content-MD5": md5(body), "Content-Type": "application/xml"}
        user = people.user(owner)
        status, head, reply = send(service, "POST", "/?delete", bucket=bucket, key=user, body=body, headers=headers)
        assert (status, reply.count(b"<Code>AccessDenied</Code>")) == (200, 1000)
        told = people.told(head, 50)
        send(service, "PUT", "/a.wav", bucket=bucket, key=owner, body=b"a")
        assert len(people.told(head)) == 50
        assert [it.reason for it in told if "950 more refusals of the same call" in it.reason] == [told[-1].reason]

    def test_a_copy(self, service: Server, people: Watchers, owner: Key, bucket: str) -> None:
        """A copy is told by what it writes; when its source may not be read, by that."""
        send(service, "PUT", "/source.wav", bucket=bucket, key=owner, body=b"a")
        source = {"x-cos-copy-source": f"{bucket}.cos.{REGION}.myqcloud.com/source.wav"}
        user = people.user(owner, allow("cos:PutObject"))
        told = [
            people.told(send(service, "PUT", "/copy.wav", bucket=bucket, key=key, headers=source)[1])
            for key in (owner, user)
        ]
        seen = [[(it.action, it.allowed) for it in entries] for entries in told]
        assert seen == [[("cos:PutObject", True)], [("cos:GetObject", False)]]

    def test_temporary_keys(self, service: Server, people: Watchers, owner: Key, bucket: str) -> None:
        """A federation token's call is its issuer's, a role's is the role's; the key tells them apart."""
        people.role(owner, "Auditor", "{}", allow("cos:*"))
        for key, caller in (
            (people.temporary(owner), f"uin/{owner.uin}"),
            (people.temporary(owner, role="Auditor"), "roleName/Auditor"),
        ):
            token = {"x-cos-security-token": key.token}
            status, head, _ = send(service, "PUT", "/t.wav", bucket=bucket, key=key, body=b"a", headers=token)
            (entry,) = people.told(head)
            assert (status, entry.caller, entry.secret_id) == (200, caller, key.secret_id)


def md5(body: bytes) -> str:
    """As ``Content-MD5`` has it."""
    return b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


class TestCi:
    """Calls of CI."""

    def test_a_job(self, service: Server, people: Watchers, owner: Key, bucket: str) -> None:
        """A job is told as its submission; without PassRole, as that."""
        send(service, "PUT", "/in.wav", bucket=bucket, key=owner, body=b"a")
        user = people.user(owner, allow("ci:CreateAsrJobs"))
        body = JOB.format(region=REGION, bucket=bucket).encode()
        told = [
            people.told(
                send(
                    service,
                    "POST",
                    "/jobs",
                    bucket=bucket,
                    kind="ci",
                    key=key,
                    body=body,
                    headers={"Content-Type": "application/xml"},
                )[1]
            )
            for key in (owner, user)
        ]
        seen = [[(it.action, it.resource, it.allowed, it.code) for it in entries] for entries in told]
        jobs = f"qcs::ci:{REGION}:uid/{owner.appid}:bucket/{bucket}/*"
        role = f"qcs::cam::uin/{owner.uin}:roleName/CI_QCSRole"
        assert seen == [
            [("ci:CreateAsrJobs", jobs, True, "")],
            [("cam:PassRole", role, False, "AccessDenied")],
        ]

    def test_an_unsigned_call(self, service: Server, people: Watchers, bucket: str) -> None:
        """CI asks for a signature before it knows the call."""
        status, head, _ = send(service, "GET", "/asrqueue", bucket=bucket, kind="ci", signed=False)
        (entry,) = people.told(head)
        assert (status, entry.code, entry.caller, entry.allowed) == (401, "MissingAuthorization", "anonymous", False)


class TestMessages:
    """Calls of the message queues."""

    def call(self, service: Server, key: Key, **parameters: str) -> Mapping[str, str]:
        """A call; the head of its reply."""
        fields = {
            "SecretId": key.secret_id,
            "Timestamp": str(int(time.time())),
            "Nonce": "1",
            "SignatureMethod": "HmacSHA256",
            **parameters,
        }
        text = "&".join(f"{name}={fields[name]}" for name in sorted(fields))
        host = urlsplit(service.url).netloc
        digest = hmac.new(key.secret_key.encode(), f"POST{host}/v2/index.php?{text}".encode(), hashlib.sha256)
        fields["Signature"] = b64encode(digest.digest()).decode()
        reply = requests.post(f"{service.url}/v2/index.php", data=urlencode(fields), timeout=20)
        return {**reply.headers, "reply": reply.text}

    def test_calls(self, service: Server, people: Watchers, owner: Key) -> None:
        """Changes and refusals are told under CMQ's codes, reading is not."""
        made = self.call(service, owner, Action="CreateQueue", queueName="q1")
        listed = self.call(service, owner, Action="ListQueue")
        refused = self.call(service, people.user(owner), Action="DeleteQueue", queueName="q1")
        wrong = self.call(
            service, Key(appid="1", secret_id=owner.secret_id, secret_key="x"), Action="DeleteQueue", queueName="q1"
        )
        (entry,) = people.told(made)
        queue = f"qcs::cmqqueue:{REGION}:uin/{owner.uin}:queueName/uin/{owner.uin}/q1"
        assert (entry.action, entry.resource, entry.allowed) == ("cmqqueue:CreateQueue", queue, True)
        (entry,) = people.told(refused)
        assert (entry.action, entry.resource, entry.allowed) == ("cmqqueue:DeleteQueue", queue, False)
        assert entry.code == str(json.loads(refused["reply"])["code"])
        (entry,) = people.told(wrong)
        assert (entry.caller, entry.secret_id, entry.allowed) == ("unknown", owner.secret_id, False)
        assert people.nothing_told(listed, made)


class TestSts:
    """Calls of STS."""

    def client(self, service: Server, key: Key) -> StsClient:
        """The official client."""
        profile = ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=urlsplit(service.url).netloc))
        return StsClient(credential.Credential(key.secret_id, key.secret_key), REGION, profile)

    def test_calls(self, service: Server, people: Watchers, owner: Key) -> None:
        """Keys that are given out are told, and those that are not."""
        request = models.GetFederationTokenRequest()
        request.Name, request.Policy = "guest", json.dumps({"version": "2.0", "statement": [allow("cos:GetObject")]})
        reply = self.client(service, owner).GetFederationToken(request)
        (entry,) = people.told({"x-cos-request-id": reply.RequestId})
        assert (entry.action, entry.allowed, entry.code) == ("sts:GetFederationToken", True, "")
        with pytest.raises(TencentCloudSDKException) as caught:
            self.client(service, people.user(owner)).GetFederationToken(request)
        (entry,) = people.told({"x-cos-request-id": caught.value.get_request_id()})
        assert (entry.action, entry.allowed, entry.code) == ("sts:GetFederationToken", False, "UnauthorizedOperation")


class TestSecrets:
    """What must not be told."""

    def test_no_secret_is_in_the_log(self, service: Server, people: Watchers, owner: Key, bucket: str) -> None:
        """Neither secrets nor tokens nor signatures are kept, whatever became of the calls that had them."""
        temporary = people.temporary(owner)
        assert temporary.token is not None
        client = people.client(temporary)
        url = client.get_presigned_url(
            Bucket=bucket, Key="u.wav", Method="PUT", Params={"x-cos-security-token": temporary.token}
        )
        signature = url.partition("q-signature=")[2].partition("&")[0]
        assert len(signature) == 40
        proxies = {"http": service.url}
        last: Mapping[str, str] = {}
        calls: list[Callable[[], requests.Response]] = [
            lambda: requests.put(url, data=b"u", proxies=proxies, timeout=20),
            lambda: requests.delete(url, proxies=proxies, timeout=20),
            lambda: requests.put(url.replace("u.wav", "v.wav"), data=b"u", proxies=proxies, timeout=20),
            lambda: requests.put(url.replace(temporary.token or "", "wrong"), data=b"u", proxies=proxies, timeout=20),
        ]
        codes = []
        for call in calls:
            reply = call()
            last = reply.headers
            codes.append(reply.status_code)
            people.told(last)
        assert codes[0] == 200
        assert all(code == 403 for code in codes[1:])
        told = people.everything()
        assert temporary.secret_id in told
        for secret in (signature, temporary.token, temporary.secret_key, owner.secret_key):
            assert secret not in told
