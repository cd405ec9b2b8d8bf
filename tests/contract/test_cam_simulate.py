"""Simulation: what the API would decide, by the policies of the database."""

import json
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from policies import allow, deny, document
from rows import BUCKET, OPERATOR, ROOT, bucket, changes, put, put_object, stored
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.cam.accounts import Accounts
from sordino.cam.bucket_policies import BucketPolicies
from sordino.cam.policies import Policies
from sordino.cam.simulate import ANONYMOUS, Simulate, Simulated, Who
from sordino.cam.simulate import ROOT as THE_ROOT
from sordino.cam.users import Groups, Users
from sordino.domain.acl import Acl
from sordino.domain.identity import CI_ROLE, CallerKind, Target, TargetKind
from sordino.errors import ServiceError

APPID, UIN = ROOT.account.appid, ROOT.account.uin
OTHER, OTHER_UIN = "1250000001", "100000000002"
ALICE = Who(CallerKind.USER, "alice")
JOBS = Who(CallerKind.ROLE, CI_ROLE)
INSIDE = f"qcs::cos:ap-guangzhou:uid/{APPID}:{BUCKET}"
OWN = [
    allow("cos:GetObject", f"{INSIDE}/in/*"),
    deny(["cos:*"], f"{INSIDE}/in/secret*", sid="no"),
    allow("cos:PutObject", "*", condition={"ip_equal": {"qcs:ip": "10.0.0.0/8"}}),
    allow("cos:HeadObject", "*", condition={"string_equal": {"qcs:owner_uin": UIN}}),
    allow("cam:PassRole", f"qcs::cam::uin/{UIN}:roleName/{CI_ROLE}"),
]


@pytest.fixture
async def simulate(database: PostgresDatabase) -> Simulate:
    """Alice, with a policy of five statements and a preset by her group; and another account."""
    its = changes(database)
    await Accounts(its).create(OPERATOR, "other", appid=OTHER, uin=OTHER_UIN)
    await Users(its).add(OPERATOR, APPID, "alice")
    await Groups(its).add(OPERATOR, APPID, "readers")
    await Groups(its).join(OPERATOR, APPID, "readers", "alice")
    await Policies(its).put(OPERATOR, APPID, "own", document(*OWN))
    await Policies(its).attach(OPERATOR, APPID, "own", Target(TargetKind.USER, "alice"))
    await Policies(its).attach(OPERATOR, APPID, "QcloudCIReadOnlyAccess", Target(TargetKind.GROUP, "readers"))
    return Simulate(its)


async def asked(
    simulate: Simulate, who: Who, action: str, resource: str, *, appid: str = APPID, **context: str
) -> Simulated:
    """What is decided, with condition keys ``qcs:<name>``."""
    keys = {f"qcs:{name}": (value,) for name, value in context.items()}
    return await simulate(appid, who, action=action, resource=resource, context=keys)


async def refusal(call: Coroutine[Any, Any, object]) -> str:
    """The code of the refusal."""
    with pytest.raises(ServiceError) as caught:
        await call
    return caught.value.code


def of_bucket(*statements: dict[str, object], **principal: object) -> str:
    """A policy of the bucket."""
    return document(*({**it, "principal": {"qcs": ["*"]}, **principal} for it in statements))


@pytest.mark.parametrize(
    ("who", "action", "resource", "policy", "number"),
    [
        (ALICE, "cos:GetObject", f"{INSIDE}/in/a.wav", "own", 1),
        (ALICE, "name/COS:getobject", f"{BUCKET}/in/a.wav", "own", 1),
        (ALICE, "cos:HeadObject", f"{BUCKET}/any", "own", 4),
        (ALICE, "cam:PassRole", f"qcs::cam::uin/{UIN}:roleName/{CI_ROLE}", "own", 5),
        (ALICE, "cam:PassRole", f"qcs::cam:::roleName/{CI_ROLE}", "own", 5),
        (ALICE, "ci:DescribeMediaJobs", BUCKET, "QcloudCIReadOnlyAccess", 1),
        (
            ALICE,
            "ci:DescribeMediaJobs",
            f"qcs::ci:ap-guangzhou:uid/{APPID}:bucket/{BUCKET}/*",
            "QcloudCIReadOnlyAccess",
            1,
        ),
        (JOBS, "cos:PutObject", f"{BUCKET}/out.wav", "QcloudAccessForCIRole", 1),
        (THE_ROOT, "cos:DeleteBucket", BUCKET, None, None),
        (THE_ROOT, "cos:GetService", "*", None, None),
    ],
)
async def test_allowed(
    simulate: Simulate, who: Who, action: str, resource: str, policy: str | None, number: int | None
) -> None:
    """The policy and the statement that allow it are told."""
    found = await asked(simulate, who, action, resource)
    assert found.decision.allowed
    assert (found.decision.policy, found.decision.statement) == (policy, number)
    if policy == "own":
        assert json.loads(found.statement) == OWN[number - 1]
    assert (found.statement is None) == (policy is None)


@pytest.mark.parametrize(
    ("who", "action", "resource", "number"),
    [
        (ALICE, "cos:GetObject", f"{BUCKET}/in/secret.wav", 2),
        (ALICE, "cos:GetObject", f"{BUCKET}/out/a.wav", None),
        (ALICE, "cos:PutObject", f"{BUCKET}/in/a.wav", None),
        (ALICE, "cos:GetService", "*", None),
        (ALICE, "cam:PassRole", f"qcs::cam::uin/{OTHER_UIN}:roleName/{CI_ROLE}", None),
        (JOBS, "ci:CreateAsrJobs", BUCKET, None),
        (ANONYMOUS, "cos:GetObject", f"{BUCKET}/in/a.wav", None),
    ],
)
async def test_denied(simulate: Simulate, who: Who, action: str, resource: str, number: int | None) -> None:
    """The statement that denies it is told; or that none is there that allows it."""
    found = await asked(simulate, who, action, resource)
    assert not found.decision.allowed
    assert found.decision.statement == number
    assert action in found.decision.because
    assert (None if found.statement is None else json.loads(found.statement)) == (number and OWN[number - 1])


async def test_conditions(simulate: Simulate) -> None:
    """What is typed counts, in any case, and in place of what is known without."""
    assert (await asked(simulate, ALICE, "cos:PutObject", f"{BUCKET}/a", ip="10.1.2.3")).decision.allowed
    assert (await asked(simulate, ALICE, "cos:PutObject", f"{BUCKET}/a", IP="10.1.2.3")).decision.allowed
    assert not (await asked(simulate, ALICE, "cos:PutObject", f"{BUCKET}/a", ip="11.1.2.3")).decision.allowed
    assert not (await asked(simulate, ALICE, "cos:HeadObject", f"{BUCKET}/a", owner_uin="1")).decision.allowed


async def test_policies_of_buckets(simulate: Simulate, database: PostgresDatabase) -> None:
    """They count for everybody: here, elsewhere, unsigned, and against the root."""
    only = deny("cos:DeleteObject", f"{INSIDE}/*", condition={"ip_not_equal": {"qcs:ip": "10.0.0.0/8"}})
    document = of_bucket(allow("cos:GetObject", f"{INSIDE}/open/*"), only)
    await BucketPolicies(changes(database)).put(BUCKET, document)
    for who in (ANONYMOUS, ALICE):
        found = await asked(simulate, who, "cos:GetObject", f"{BUCKET}/open/a")
        assert (found.decision.allowed, found.decision.policy, found.decision.statement) == (True, BUCKET, 1)
        assert json.loads(found.statement)["principal"] == {"qcs": ["*"]}
    assert (await asked(simulate, THE_ROOT, "cos:GetObject", f"{BUCKET}/open/a", appid=OTHER)).decision.allowed
    assert not (await asked(simulate, THE_ROOT, "cos:GetObject", f"{BUCKET}/a", appid=OTHER)).decision.allowed
    found = await asked(simulate, THE_ROOT, "cos:DeleteObject", f"{BUCKET}/a", ip="11.0.0.1")
    assert (found.decision.allowed, found.decision.statement) == (False, 2)
    assert (await asked(simulate, THE_ROOT, "cos:DeleteObject", f"{BUCKET}/a", ip="10.0.0.1")).decision.allowed


async def test_one_statement_without_a_list(simulate: Simulate, database: PostgresDatabase) -> None:
    """It is found as well, under whatever case its element is written in."""
    document = json.dumps({"Version": "2.0", "Statement": allow("cos:GetObject")})
    await Policies(changes(database)).put(OPERATOR, APPID, "own", document)
    found = await asked(simulate, ALICE, "cos:GetObject", f"{BUCKET}/a")
    assert json.loads(found.statement) == allow("cos:GetObject")


async def test_access_control_lists(simulate: Simulate, database: PostgresDatabase) -> None:
    """What one opens to everybody is open, unless something denies it."""
    open_bucket = f"open-{APPID}"
    await put(database, "closed")
    async with database.transaction() as tx:
        await put_object(tx, replace(stored("open"), acl=Acl.PUBLIC_READ))
        await tx.buckets.add(replace(bucket(open_bucket), acl=Acl.PUBLIC_READ))
        await put_object(tx, replace(stored("closed", bucket=open_bucket), acl=Acl.PRIVATE))
    for action, resource, allowed in (
        ("cos:GetObject", f"{BUCKET}/open", True),
        ("cos:GetObject", f"{BUCKET}/closed", False),
        ("cos:PutObject", f"{BUCKET}/open", False),
        ("cos:GetBucket", BUCKET, False),
        ("cos:GetObject", f"{open_bucket}/any", True),
        ("cos:headobject", f"{open_bucket}/any", True),
        ("cos:GetObject", f"{open_bucket}/closed", False),
        ("cos:GetBucket", f"{open_bucket}/prefix", True),
        ("cos:DeleteBucket", open_bucket, False),
    ):
        found = await asked(simulate, ANONYMOUS, action, resource)
        assert (action, resource, found.decision.allowed) == (action, resource, allowed)
    assert (
        "access control list" in (await asked(simulate, ANONYMOUS, "cos:GetObject", f"{BUCKET}/open")).decision.because
    )
    await BucketPolicies(changes(database)).put(BUCKET, of_bucket(deny("cos:GetObject", f"{INSIDE}/open")))
    assert not (await asked(simulate, ANONYMOUS, "cos:GetObject", f"{BUCKET}/open")).decision.allowed


async def test_who_is_disabled(simulate: Simulate, database: PostgresDatabase) -> None:
    """May nothing, whatever his policies say, and that is told; who does not sign is not concerned."""
    its = changes(database)
    await Users(its).enable(OPERATOR, APPID, "alice", enabled=False)
    found = await asked(simulate, ALICE, "cos:GetObject", f"{BUCKET}/in/a.wav")
    assert not found.decision.allowed
    assert "user alice is disabled" in found.decision.because
    await Accounts(its).change(OPERATOR, APPID, enabled=False)
    found = await asked(simulate, THE_ROOT, "cos:GetObject", f"{BUCKET}/in/a.wav")
    assert f"account {APPID} is disabled" in found.decision.because
    found = await asked(simulate, ANONYMOUS, "cos:GetObject", f"{BUCKET}/in/a.wav")
    assert "disabled" not in found.decision.because


@pytest.mark.parametrize(
    ("who", "action", "resource", "code"),
    [
        (Who(CallerKind.USER, "nobody"), "cos:GetObject", BUCKET, "NoSuchEntity"),
        (Who(CallerKind.ROLE, "nobody"), "cos:GetObject", BUCKET, "NoSuchEntity"),
        (Who(CallerKind.USER, "\0"), "cos:GetObject", BUCKET, "InvalidArgument"),
        (ALICE, "GetObject", BUCKET, "InvalidArgument"),
        (ALICE, "cos:*", BUCKET, "InvalidArgument"),
        (ALICE, "cos:GetObject", f"none-{APPID}/a", "NoSuchBucket"),
        (ALICE, "cos:GetObject", "", "NoSuchBucket"),
        (ALICE, "cos:GetObject", "\0", "InvalidArgument"),
        (ALICE, "cos:GetObject", f"qcs::cos:ap-guangzhou:uid/7:{BUCKET}/a", "NoSuchEntity"),
        (ALICE, "cos:GetObject", f"qcs::cos:ap-guangzhou:uid/{OTHER}:{BUCKET}/a", "InvalidArgument"),
        (ALICE, "cos:GetObject", f"qcs::cos:ap-beijing:uid/{APPID}:{BUCKET}/a", "InvalidArgument"),
        (ALICE, "cos:GetObject", "qcs::cos:ap-guangzhou", "NoSuchBucket"),
    ],
)
async def test_what_cannot_be_asked(simulate: Simulate, who: Who, action: str, resource: str, code: str) -> None:
    """It is told what is wrong."""
    assert await refusal(asked(simulate, who, action, resource)) == code
    assert await refusal(asked(simulate, THE_ROOT, "cos:GetObject", "*", appid="7")) == "NoSuchEntity"


async def test_a_bucket_that_is_yet_to_be(simulate: Simulate) -> None:
    """In six segments it need not be there: whoever writes policies may ask before."""
    resource = f"qcs::cos:ap-guangzhou:uid/{APPID}:none-{APPID}/a"
    assert (await asked(simulate, THE_ROOT, "cos:PutObject", resource)).decision.allowed
    assert not (await asked(simulate, ALICE, "cos:GetObject", resource)).decision.allowed
