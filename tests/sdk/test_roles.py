"""What jobs may read and write: as the role that CI takes in the bucket's account, by the official Python SDK."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from qcloud_cos import CosServiceError

from people import Key, People
from policies import allow, deny
from receiver import receiving
from server import REGION
from sordino.domain.identity import CI_ROLE, CI_ROLE_TRUST, CI_SERVICE
from support import job_body, wait_for_jobs

READ, WRITE = allow("cos:GetObject"), allow("cos:PutObject")


@pytest.fixture
def owner(people: People) -> Key:
    """The root of a fresh account."""
    return people.account()


@pytest.fixture
def bucket(people: People, owner: Key, recording: bytes) -> str:
    """Its bucket, with a recording under ``in/a.wav``."""
    name = people.bucket(owner)
    people.client(owner).put_object(Bucket=name, Key="in/a.wav", Body=recording)
    return name


@pytest.fixture
def submit(people: People, owner: Key, bucket: str) -> Callable[..., str]:
    """Submits a job that writes there, or into another bucket; its id."""

    def submit(target: str | None = None, key: str = "out/a.wav", **more: Any) -> str:
        body = job_body(target or bucket, key, source="in/a.wav") | more
        reply = people.client(owner).ci_create_media_jobs(Bucket=bucket, Jobs=body, Lst={})
        return reply["JobsDetail"][0]["JobId"]

    return submit


@pytest.fixture
def end(people: People, owner: Key, bucket: str) -> Callable[[str], dict[str, Any]]:
    """What a job says when it has ended."""
    return lambda job_id: wait_for_jobs(people.client(owner), bucket, [job_id])[job_id]


def _pause(people: People, owner: Key, bucket: str, state: str) -> None:
    client = people.client(owner)
    (queue,) = client.ci_get_asr_queue(Bucket=bucket)["QueueList"]
    request = {"Name": "q", "State": state, "NotifyConfig": ""}
    client.ci_update_asr_queue(Bucket=bucket, QueueId=queue["QueueId"], Request=request)


def test_a_role_of_a_prefix(people: People, owner: Key, bucket: str, submit, end) -> None:
    """Narrowed to what it needs, it works; the job is refused whatever lies outside."""
    mine = f"qcs::cos::uid/{owner.appid}:{bucket}"
    people.jobs_may(owner, allow("cos:GetObject", f"{mine}/in/*"), allow("cos:PutObject", f"{mine}/out/*"))
    assert end(submit())["Code"] == "Success"
    outside = end(submit(key="else/a.wav"))
    assert (outside["State"], outside["Code"]) == ("Failed", "WriteTargetBucketDenied")
    assert "cos:PutObject" in outside["Message"]
    assert f"{bucket}/else/a.wav: no policy allows it" in outside["Message"]
    people.jobs_may(owner, allow("cos:GetObject", f"{mine}/elsewhere/*"), WRITE)
    unread = end(submit())
    assert (unread["State"], unread["Code"]) == ("Failed", "ResourceAccessDenied")
    assert f"{bucket}/in/a.wav: no policy allows it" in unread["Message"]
    assert not people.client(owner).object_exists(Bucket=bucket, Key="else/a.wav")


def test_rights_as_they_are_when_it_runs(people: People, owner: Key, bucket: str, submit, end) -> None:
    """What was lost between submit and run counts, as does what was gained."""
    _pause(people, owner, bucket, "Paused")
    lost = submit(key="out/lost.wav")
    people.jobs_may(owner)
    _pause(people, owner, bucket, "Active")
    assert end(lost)["Code"] == "ResourceAccessDenied"
    _pause(people, owner, bucket, "Paused")
    gained = submit(key="out/gained.wav")
    people.jobs_may_all(owner)
    _pause(people, owner, bucket, "Active")
    assert end(gained)["Code"] == "Success"


def test_an_explicit_deny(people: People, owner: Key, bucket: str, submit, end) -> None:
    """It wins over what is allowed, in the role's policy and in the bucket's; the message names the statement."""
    people.jobs_may(owner, READ, WRITE, deny("cos:*", f"qcs::cos::uid/{owner.appid}:{bucket}/out/*"))
    ended = end(submit())
    assert ended["Code"] == "WriteTargetBucketDenied"
    assert "statement 3 of policy" in ended["Message"]
    people.jobs_may_all(owner)
    role = f"qcs::cam::uin/{owner.uin}:roleName/{CI_ROLE}"
    closed = f"qcs::cos::uid/{owner.appid}:{bucket}/in/*"
    people.bucket_policy(bucket, deny("cos:GetObject", closed, principal={"qcs": [role]}))
    ended = end(submit())
    assert ended["Code"] == "ResourceAccessDenied"
    assert f"statement 1 of policy {bucket}" in ended["Message"]
    people.bucket_policy(bucket)
    assert end(submit())["Code"] == "Success"


def test_a_second_bucket_of_ones_own(people: People, owner: Key, submit, end) -> None:
    """It needs no bucket policy; the role's own counts there, too."""
    second = people.bucket(owner)
    assert end(submit(second))["Code"] == "Success"
    assert people.client(owner).object_exists(Bucket=second, Key="out/a.wav")
    people.jobs_may(owner, READ, allow("cos:PutObject", f"qcs::cos::uid/{owner.appid}:bucket*/in/*"))
    assert end(submit(second))["Code"] == "WriteTargetBucketDenied"


def test_a_bucket_of_another_account(people: People, owner: Key, bucket: str, submit, end) -> None:
    """With the other side's bucket policy, put by its owner through the SDK, and only as long as it is there."""
    other = people.account()
    theirs = people.bucket(other)
    before = end(submit(theirs))
    assert (before["State"], before["Code"]) == ("Failed", "WriteTargetBucketDenied")
    missing = end(submit(f"nothing-{other.appid}"))
    assert missing["Message"].replace(f"nothing-{other.appid}", theirs) == before["Message"]
    role = f"qcs::cam::uin/{owner.uin}:roleName/{CI_ROLE}"
    allowed = {
        "Effect": "allow",
        "Principal": {"qcs": [role]},
        "Action": ["name/cos:PutObject"],
        "Resource": [f"qcs::cos:{REGION}:uid/{other.appid}:{theirs}/out/*"],
    }
    policy = {"version": "2.0", "Statement": [allowed]}
    people.client(other).put_bucket_policy(Bucket=theirs, Policy=policy)
    assert end(submit(theirs))["Code"] == "Success"
    assert people.client(other).head_object(Bucket=theirs, Key="out/a.wav")["Content-Type"] == "audio/wav"
    assert end(submit(theirs, key="in/a.wav"))["Code"] == "WriteTargetBucketDenied"
    with pytest.raises(CosServiceError) as refusal:
        people.client(owner).get_object(Bucket=theirs, Key="out/a.wav")
    assert refusal.value.get_status_code() == 403
    people.client(other).delete_bucket_policy(Bucket=theirs)
    assert end(submit(theirs))["Message"] == before["Message"]


def test_without_the_role(people: People, owner: Key, submit) -> None:
    """Nothing is accepted that could not run: CIRoleNotExist, also when the role trusts another service alone."""
    people.role(owner, CI_ROLE, CI_ROLE_TRUST.replace(CI_SERVICE, "cvm.qcloud.com"), READ, WRITE)
    with pytest.raises(CosServiceError) as refusal:
        submit()
    assert (refusal.value.get_status_code(), refusal.value.get_error_code()) == (400, "CIRoleNotExist")
    assert CI_SERVICE in refusal.value.get_error_msg()


def test_the_callback_tells_why(people: People, owner: Key, submit) -> None:
    """Code and message of a job that was not let are told as those of any other."""
    people.jobs_may(owner, WRITE)
    with receiving() as receiver:
        submit(CallBack=receiver.url(), CallBackFormat="JSON")
        told = json.loads(receiver.next().body)["JobsDetail"]
    assert (told["State"], told["Code"]) == ("Failed", "ResourceAccessDenied")
    assert "cos:GetObject" in told["Message"]
