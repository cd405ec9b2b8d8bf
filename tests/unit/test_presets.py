"""Preset policies: what each allows, of the calls that there are."""

import pytest

from sordino.api.operation import Operation
from sordino.api.operations import CALLBACK_OPERATIONS, CI_OPERATIONS, COPIES, COS_OPERATIONS, SUB_OPERATIONS
from sordino.domain.decision import Asked, Effect, decide, may_take
from sordino.domain.identity import (
    CI_ROLE,
    CI_ROLE_POLICY,
    CI_ROLE_TRUST,
    Account,
    Caller,
    CallerKind,
    Role,
    caller_of,
)
from sordino.domain.policy import PolicyKind, parse_policy
from sordino.domain.presets import PRESETS, named
from sordino.domain.resource import Owner, account_resource, ci_resource, cos_resource, role_resource

ACCOUNT = Account(appid="1250000000", uin="100000000001")
OWNER = Owner(appid=ACCOUNT.appid, uin=ACCOUNT.uin)
REGION = "ap-guangzhou"
BUCKET = cos_resource("b-1250000000", REGION, OWNER)
OBJECT = cos_resource("b-1250000000", REGION, OWNER, "in/a.wav")
JOBS = ci_resource("b-1250000000", REGION, OWNER)

CALLS = {
    "cos:GetService": account_resource("cos", OWNER),
    "cos:GetBucket": BUCKET,
    "cos:HeadBucket": BUCKET,
    "cos:PutBucket": BUCKET,
    "cos:DeleteBucket": BUCKET,
    "cos:GetBucketCORS": BUCKET,
    "cos:PutBucketCORS": BUCKET,
    "cos:GetBucketPolicy": BUCKET,
    "cos:PutBucketPolicy": BUCKET,
    "cos:ListMultipartUploads": BUCKET,
    "cos:GetObject": OBJECT,
    "cos:HeadObject": OBJECT,
    "cos:GetObjectACL": OBJECT,
    "cos:PutObject": OBJECT,
    "cos:PutObjectACL": OBJECT,
    "cos:UploadPart": OBJECT,
    "cos:ListParts": OBJECT,
    "cos:DeleteObject": OBJECT,
    "ci:CreateAsrJobs": JOBS,
    "ci:DescribeMediaJob": JOBS,
    "ci:DescribeAsrBuckets": account_resource("ci", OWNER),
    "cam:PassRole": role_resource(CI_ROLE, OWNER),
    "sts:AssumeRole": role_resource("other", OWNER),
    "cmqqueue:SendMessage": account_resource("cmqqueue", OWNER),
    "cmqtopic:PublishMessage": account_resource("cmqtopic", OWNER),
}
COS = {call for call in CALLS if call.startswith("cos:")}
CI = {call for call in CALLS if call.startswith("ci:")}
READS = {"cos:GetObject", "cos:HeadObject", "cos:GetObjectACL"}
WRITES = {"cos:PutObject", "cos:PutObjectACL", "cos:UploadPart", "cos:ListParts"}
LISTS = {"cos:GetService", "cos:GetBucket", "cos:HeadBucket", "cos:ListMultipartUploads", "cos:ListParts"}
LOOKS = {"cos:GetBucket", "cos:HeadBucket", "cos:GetBucketCORS", "cos:GetBucketPolicy"}

ALLOWED = {
    "AdministratorAccess": set(CALLS),
    "ReadOnlyAccess": READS | LISTS | LOOKS | (CI - {"ci:CreateAsrJobs"}),
    "QcloudCIFullAccess": CI | {"cam:PassRole"},
    "QcloudCIReadOnlyAccess": CI - {"ci:CreateAsrJobs"},
    "QcloudCOSFullAccess": COS,
    "QcloudCOSReadOnlyAccess": READS | LISTS | LOOKS,
    "QcloudCOSDataFullControl": READS | WRITES | LISTS | {"cos:DeleteObject"},
    "QcloudCOSDataReadOnly": READS,
    "QcloudCOSDataWriteOnly": WRITES,
    "QcloudCOSListOnly": LISTS,
    "QcloudCOSBucketConfigRead": LOOKS,
    "QcloudCOSBucketConfigWrite": {"cos:PutBucket", "cos:PutBucketCORS", "cos:PutBucketPolicy"},
    CI_ROLE_POLICY: READS | WRITES | LISTS,
    "QcloudSTSFullAccess": {"sts:AssumeRole"},
    "QcloudCamFullAccess": {"cam:PassRole"},
    "QcloudCmqQueueFullAccess": {"cmqqueue:SendMessage"},
    "QcloudCmqTopicFullAccess": {"cmqtopic:PublishMessage"},
}


def test_every_preset_has_a_row():
    """The table above is about all presets that there are."""
    assert sorted(ALLOWED) == sorted(PRESETS)


@pytest.mark.parametrize("name", ALLOWED)
def test_what_a_preset_allows(name):
    """A user with one preset may do what its name says, and nothing else."""
    preset = named(name)
    assert preset is not None
    user = Caller(account=ACCOUNT, kind=CallerKind.USER, name="100000000002", policies=(preset,))
    allowed = {
        action
        for action, resource in CALLS.items()
        if decide(user, Asked(action=action, resource=resource, context={})).allowed
    }
    assert allowed == ALLOWED[name]


def test_ci_passes_its_own_role_only():
    """Whoever may submit jobs hands CI no other role than CI's."""
    user = Caller(account=ACCOUNT, kind=CallerKind.USER, name="1", policies=(PRESETS["QcloudCIFullAccess"],))
    for role in ("other", CI_ROLE.lower(), f"{CI_ROLE}2"):
        asked = Asked(action="cam:PassRole", resource=role_resource(role, OWNER), context={})
        assert decide(user, asked).effect is Effect.NONE


def test_the_role_of_ci():
    """CI alone may take it, and it reads and writes what jobs need."""
    role = Role(appid=ACCOUNT.appid, name=CI_ROLE, trust=CI_ROLE_TRUST, policies=(PRESETS[CI_ROLE_POLICY],))
    assert may_take(role, OWNER, None, "ci.qcloud.com", {}).allowed
    caller = caller_of(role, ACCOUNT)
    for action in ("cos:GetObject", "cos:HeadObject", "cos:PutObject"):
        assert decide(caller, Asked(action=action, resource=OBJECT, context={})).allowed
    assert not decide(caller, Asked(action="cos:DeleteObject", resource=OBJECT, context={})).allowed


def test_presets_are_policies():
    """Each is written in the language, and shorter than an account's own may be."""
    for preset in PRESETS.values():
        assert all(not one.denies for one in parse_policy(preset.document, PolicyKind.IDENTITY).statements)


def test_a_name_that_is_none():
    """There is no preset of another name, also not in another case."""
    assert named("qcloudcosfullaccess") is None


def operations() -> dict[str, Operation]:
    """Every call of CI and COS, by action."""
    tables = [
        *(found for _, found in CI_OPERATIONS),
        *COS_OPERATIONS.values(),
        *(found for by_query in SUB_OPERATIONS.values() for found in by_query.values()),
        COPIES.values(),
        CALLBACK_OPERATIONS,
    ]
    return {operation.action: operation for table in tables for operation in table}


@pytest.mark.parametrize("operation", operations().values(), ids=lambda operation: operation.action)
def test_who_may_only_look_changes_nothing(operation):
    """The presets that read allow the calls that read, all of them, and no other."""
    service = operation.action.partition(":")[0]
    asked = Asked(action=operation.action, resource=account_resource(service, OWNER), context={})
    for name in ("ReadOnlyAccess", {"ci": "QcloudCIReadOnlyAccess", "cos": "QcloudCOSReadOnlyAccess"}[service]):
        user = Caller(account=ACCOUNT, kind=CallerKind.USER, name="1", policies=(PRESETS[name],))
        assert decide(user, asked).allowed is (operation.method in {"GET", "HEAD", "OPTIONS"})
