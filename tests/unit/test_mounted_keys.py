"""Decisions over keys of mounted buckets."""

from datetime import UTC, datetime

import pytest

from sordino.domain.bucket import Bucket
from sordino.domain.decision import Asked, Decision, Effect
from sordino.domain.mounted_keys import decide_mounted
from sordino.domain.resource import Owner, ci_resource, cos_resource

BUCKET, REGION = "examplebucket-1250000000", "ap-guangzhou"
OWNER = Owner(appid="1250000000", uin="100000000001")


def bucket(*, mounted: bool = True) -> Bucket:
    """A bucket."""
    return Bucket(
        name=BUCKET,
        appid=OWNER.appid,
        uin=OWNER.uin,
        region=REGION,
        created_at=datetime(2026, 11, 24, tzinfo=UTC),
        mounted=mounted,
    )


def decided(key: str, effects: dict[str, Effect], *, mounted: bool = True) -> Effect:
    """What becomes of a key, if these are decided so, and nothing is said of others."""

    def decide(asked: Asked) -> Decision:
        said = effects.get((asked.resource.path or "").removeprefix(f"{BUCKET}/"), Effect.NONE)
        return Decision(effect=said, because="it is so")

    asked = Asked(action="cos:GetObject", resource=cos_resource(BUCKET, REGION, OWNER, key), context={})
    return decide_mounted(decide, asked, bucket(mounted=mounted)).effect


@pytest.mark.parametrize(
    ("named", "folded", "expected"),
    [
        (Effect.ALLOW, Effect.ALLOW, Effect.ALLOW),
        (Effect.ALLOW, Effect.NONE, Effect.NONE),
        (Effect.ALLOW, Effect.DENY, Effect.DENY),
        (Effect.NONE, Effect.ALLOW, Effect.NONE),
        (Effect.NONE, Effect.DENY, Effect.DENY),
        (Effect.DENY, Effect.ALLOW, Effect.DENY),
    ],
)
@pytest.mark.parametrize("key", ["//a///b", "a//b", "/a/b", "a/b//", "a\\b", "\\a/\\b"])
def test_slashes(key: str, named: Effect, folded: Effect, expected: Effect) -> None:
    """What a store takes the key for must be allowed, too; elsewhere a key is what it is."""
    plain = "a/b/" if key.endswith("/") else "a/b"
    assert decided(key, {key: named, plain: folded}) is expected
    assert decided(key, {key: named, plain: folded}, mounted=False) is named


@pytest.mark.parametrize("key", [".", "..", "./a", "a/..", "a/../b", "a/./b", "//../b", "a\\..\\b"])
def test_steps(key: str) -> None:
    """They may lead anywhere; names that only look so are names."""
    assert decided(key, {key: Effect.ALLOW}) is Effect.DENY
    assert decided(key, {key: Effect.ALLOW}, mounted=False) is Effect.ALLOW


@pytest.mark.parametrize("key", ["", "a", "a/b", "dir/", "...", ".a/..b", "a/...", "%2e%2e/a"])
def test_what_is_plain(key: str) -> None:
    """Is decided over once."""
    assert decided(key, {key: Effect.ALLOW}) is Effect.ALLOW


def test_what_has_no_key() -> None:
    """Calls of CI, and those about no bucket, are as they are."""
    allow = Decision(effect=Effect.ALLOW, because="it is so")
    of_ci = Asked(action="ci:DescribeMediaJob", resource=ci_resource(BUCKET, REGION, OWNER), context={})
    assert decide_mounted(lambda _: allow, of_ci, bucket()) is allow
    assert decide_mounted(lambda _: allow, of_ci, None) is allow
