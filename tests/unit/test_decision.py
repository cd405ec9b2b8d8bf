"""Decisions: whose policies count when, and what no policy can do."""

import json
from dataclasses import replace

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from sordino.domain.decision import Asked, Effect, decide, decide_call, may_take
from sordino.domain.identity import CI_ROLE, CI_ROLE_TRUST, Account, Caller, CallerKind, NamedPolicy, Role
from sordino.domain.resource import Owner, account_resource, cos_resource, role_resource

HOME = Account(appid="1250000000", uin="100000000001")
AWAY = Account(appid="1250000009", uin="100000000009")
OWNER = Owner(appid=HOME.appid, uin=HOME.uin)
REGION = "ap-guangzhou"
BUCKET = "examplebucket-1250000000"
USER = "100000000002"
STRANGER = "100000000010"

GET = Asked(action="cos:GetObject", resource=cos_resource(BUCKET, REGION, OWNER, "in/a.wav"), context={})
EVERYTHING = f"qcs::cos:{REGION}:uid/{HOME.appid}:{BUCKET}/*"


def statement(effect="allow", action="cos:GetObject", resource="*", **more) -> dict:
    """A statement of an account's own policy."""
    return {"effect": effect, "action": action, "resource": resource, **more}


def policy(*statements: dict, name: str = "own") -> NamedPolicy:
    """A policy of such statements."""
    return NamedPolicy(name, json.dumps({"version": "2.0", "statement": list(statements)}))


def bucket(effect="allow", *principals: str, action="cos:*", resource=EVERYTHING, **more) -> NamedPolicy:
    """A bucket's policy of one statement."""
    return policy(
        statement(effect, action, resource, principal={"qcs": list(principals)}, **more),
        name=BUCKET,
    )


def root(account: Account = HOME, session: NamedPolicy | None = None) -> Caller:
    """The root of an account."""
    return Caller(account=account, kind=CallerKind.ROOT, name=account.uin, session=session)


def user(*policies: NamedPolicy, account: Account = HOME, uin: str = USER, session=None) -> Caller:
    """A user of an account."""
    return Caller(account=account, kind=CallerKind.USER, name=uin, policies=policies, session=session)


def role(*policies: NamedPolicy, account: Account = HOME, name: str = "reader", session=None) -> Caller:
    """Somebody who took a role of an account."""
    return Caller(account=account, kind=CallerKind.ROLE, name=name, policies=policies, session=session)


ALLOW, DENY = policy(statement()), policy(statement("deny"), name="not")
ANYONE = "qcs::cam::anyone:anyone"
NAMES_HOME = f"qcs::cam::uin/{HOME.uin}:root"
NAMES_USER = f"qcs::cam::uin/{HOME.uin}:uin/{USER}"
NAMES_ROLE = f"qcs::cam::uin/{HOME.uin}:roleName/reader"
NAMES_AWAY = f"qcs::cam::uin/{AWAY.uin}:uin/{AWAY.uin}"
NAMES_STRANGER = f"qcs::cam::uin/{AWAY.uin}:uin/{STRANGER}"


def stranger(*policies: NamedPolicy, **more) -> Caller:
    """A user of another account."""
    return user(*policies, account=AWAY, uin=STRANGER, **more)


@pytest.mark.parametrize(
    ("caller", "by_bucket", "effect"),
    [
        # Nobody signed
        (None, None, "none"),
        (None, bucket("allow", ANYONE), "allow"),
        (None, bucket("allow", "*"), "allow"),
        (None, bucket("allow", NAMES_HOME, NAMES_USER, NAMES_AWAY), "none"),
        (None, bucket("deny", ANYONE), "deny"),
        # The owner's root
        (root(), None, "allow"),
        (root(), bucket("allow", NAMES_AWAY), "allow"),
        (root(), bucket("deny", NAMES_USER), "allow"),
        (root(), bucket("deny", NAMES_HOME), "deny"),
        (root(), bucket("deny", ANYONE), "deny"),
        (root(session=policy(statement(action="cos:PutObject"))), None, "none"),
        (root(session=ALLOW), None, "allow"),
        (root(session=DENY), None, "deny"),
        (root(session=ALLOW), bucket("deny", NAMES_HOME), "deny"),
        # Users and roles of the owner
        (user(), None, "none"),
        (user(ALLOW), None, "allow"),
        (user(DENY), None, "deny"),
        (user(ALLOW, DENY), None, "deny"),
        (user(DENY, ALLOW), None, "deny"),
        (user(policy(statement(action="cos:PutObject"))), None, "none"),
        (user(policy(statement(resource="qcs::cos:::other-1250000000/*"))), None, "none"),
        (user(), bucket("allow", NAMES_USER), "allow"),
        (user(), bucket("allow", ANYONE), "allow"),
        (user(), bucket("allow", NAMES_HOME), "none"),
        (user(), bucket("allow", NAMES_ROLE), "none"),
        (user(), bucket("allow", NAMES_AWAY), "none"),
        (user(DENY), bucket("allow", NAMES_USER), "deny"),
        (user(ALLOW), bucket("deny", NAMES_USER), "deny"),
        (user(ALLOW), bucket("deny", NAMES_HOME), "deny"),
        (user(ALLOW), bucket("deny", NAMES_AWAY), "allow"),
        (user(ALLOW), bucket("deny", f"qcs::cam::uin/{HOME.uin}:uin/100000000003"), "allow"),
        (user(uin="100000000003"), bucket("allow", NAMES_USER), "none"),
        (role(), bucket("allow", NAMES_ROLE), "allow"),
        (role(), bucket("allow", NAMES_USER), "none"),
        (role(name="Reader"), bucket("allow", NAMES_ROLE), "none"),
        (role(ALLOW), None, "allow"),
        (role(ALLOW), bucket("deny", NAMES_HOME), "deny"),
        # A user's number as the name of a role, and the other way round
        (role(name=USER), bucket("allow", NAMES_USER), "none"),
        (user(uin="reader"), bucket("allow", NAMES_ROLE), "none"),
        # Other accounts
        (root(AWAY), None, "none"),
        (root(AWAY), bucket("allow", NAMES_AWAY), "allow"),
        (root(AWAY), bucket("allow", ANYONE), "allow"),
        (root(AWAY), bucket("allow", NAMES_STRANGER), "none"),
        (root(AWAY), bucket("deny", NAMES_AWAY), "deny"),
        (stranger(ALLOW), None, "none"),
        (stranger(), bucket("allow", NAMES_STRANGER), "none"),
        (stranger(), bucket("allow", NAMES_AWAY), "none"),
        (stranger(ALLOW), bucket("allow", NAMES_STRANGER), "allow"),
        (stranger(ALLOW), bucket("allow", NAMES_AWAY), "allow"),
        (stranger(ALLOW), bucket("allow", NAMES_HOME, NAMES_USER), "none"),
        (stranger(DENY), bucket("allow", NAMES_STRANGER), "deny"),
        (stranger(ALLOW), bucket("deny", NAMES_AWAY), "deny"),
        (role(ALLOW, account=AWAY), bucket("allow", NAMES_AWAY), "allow"),
        (role(ALLOW, account=AWAY), bucket("allow", NAMES_ROLE), "none"),
        # Policies of an empty account mean their own
        (stranger(policy(statement(resource="qcs::cos:::*"))), bucket("allow", NAMES_AWAY), "none"),
        (stranger(policy(statement(resource=EVERYTHING))), bucket("allow", NAMES_AWAY), "allow"),
        (root(AWAY), bucket("allow", NAMES_AWAY, resource=f"qcs::cos:::{BUCKET}/*"), "allow"),
        # Sessions take away
        (user(ALLOW, session=policy(statement(resource="qcs::cos:::other-1250000000/*"))), None, "none"),
        (user(ALLOW, session=ALLOW), None, "allow"),
        (user(session=ALLOW), None, "none"),
        (user(DENY, session=ALLOW), None, "deny"),
        (user(session=policy(statement(action="cos:PutObject"))), bucket("allow", NAMES_USER), "none"),
        (role(ALLOW, session=DENY), None, "deny"),
        (stranger(ALLOW, session=policy(statement(action="ci:*"))), bucket("allow", NAMES_AWAY), "none"),
    ],
)
def test_who_may_read(caller, by_bucket, effect):
    """What a caller's, a bucket's and a session's policies come to."""
    decision = decide(caller, GET, by_bucket)
    assert decision.effect == effect
    assert decision.allowed is (effect == "allow")


@pytest.mark.parametrize("action", ["cos:PutBucketPolicy", "cos:GetBucketPolicy", "cos:DeleteBucketPolicy"])
def test_a_root_cannot_lock_itself_out(action):
    """It may mend its bucket's policy, whatever that denies; others may not, and its session's policy still counts."""
    shut = bucket("deny", ANYONE, action="*", resource="*")
    asked = Asked(action=action, resource=cos_resource(BUCKET, REGION, OWNER), context={})
    assert decide(root(), asked, shut).allowed
    assert decide(root(), replace(asked, action=action.upper()), shut).allowed
    for other in (root(AWAY), user(policy(statement(action="*"))), role(policy(statement(action="*"))), None):
        assert decide(other, asked, shut).effect is Effect.DENY
    assert not decide(root(session=ALLOW), asked, shut).allowed
    assert decide(root(), GET, shut).effect is Effect.DENY


@pytest.mark.parametrize(
    ("caller", "by_bucket", "effect"),
    [
        (stranger(), bucket("allow", ANYONE), "allow"),
        (user(), bucket("allow", ANYONE), "allow"),
        (stranger(session=policy(statement(action="ci:*"))), bucket("allow", ANYONE), "allow"),
        (stranger(DENY), bucket("allow", ANYONE), "deny"),
        (stranger(), bucket("allow", NAMES_AWAY), "none"),
        (stranger(), None, "none"),
        (None, bucket("allow", ANYONE), "allow"),
    ],
)
def test_what_is_open_to_everybody(caller, by_bucket, effect):
    """Whoever signs may do what he might do unsigned, unless something denies it to him."""
    assert decide_call(caller, GET, by_bucket).effect == effect


def test_jobs_do_not_write_where_everybody_may():
    """The role of a job needs its own right: whoever may order jobs and not read would read what they write."""
    away = role(account=AWAY)
    assert decide(away, GET, bucket("allow", ANYONE)).effect == "none"
    assert decide_call(away, GET, bucket("allow", ANYONE)).effect == "allow"


def test_a_bucket_open_to_one_network():
    """A bucket's policy can shut everybody out but one network, its owner as well."""
    shut = bucket("deny", ANYONE, condition={"ip_not_equal": {"qcs:ip": ["10.0.0.0/8"]}})
    inside = replace(GET, context={"qcs:ip": ("10.1.2.3",)})
    outside = replace(GET, context={"qcs:ip": ("192.0.2.1",)})
    for caller in (root(), user(ALLOW), role(ALLOW)):
        assert decide(caller, inside, shut).allowed
        assert decide(caller, outside, shut).effect is Effect.DENY


def test_doubt_over_an_address_opens_nothing():
    """An address that cannot be read is in no network that is let in, and in each that is shut out."""
    odd = replace(GET, context={"qcs:ip": ("unix:",)})
    inside = {"ip_equal": {"qcs:ip": ["0.0.0.0/0"]}}
    assert not decide(user(policy(statement(condition=inside))), odd).allowed
    assert decide(root(), odd, bucket("deny", ANYONE, condition=inside)).effect is Effect.DENY


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        ("*", True),
        (f"qcs::cos::uid/{HOME.appid}:*", True),
        (f"qcs::cos::uid/{AWAY.appid}:*", False),
        (EVERYTHING, False),
    ],
)
def test_what_is_about_nothing_in_particular(pattern, allowed):
    """The list of an account's buckets is covered by a star alone."""
    asked = Asked(action="cos:GetService", resource=account_resource("cos", OWNER), context={})
    assert decide(user(policy(statement(action="*", resource=pattern))), asked).allowed is allowed
    assert decide(root(), asked).allowed


def test_variables_are_the_callers():
    """A policy that many users share opens to each what bears his number, to a role what bears its name."""
    shared = policy(statement(resource=f"qcs::cos:::{BUCKET}/home/${{uin}}/*"))

    def asked(key: str) -> Asked:
        return replace(GET, resource=cos_resource(BUCKET, REGION, OWNER, key))

    assert decide(user(shared), asked(f"home/{USER}/a")).allowed
    assert not decide(user(shared, uin=STRANGER), asked(f"home/{USER}/a")).allowed
    assert decide(role(shared), asked("home/role/reader/a")).allowed
    assert not decide(role(shared, name=USER), asked(f"home/{USER}/a")).allowed
    assert decide(user(ALLOW, session=shared), asked(f"home/{USER}/a")).allowed
    assert not decide(root(session=shared), asked(f"home/{USER}/a")).allowed


@pytest.mark.parametrize(
    ("caller", "by_bucket", "words", "named", "number"),
    [
        (None, None, "no policy allows it", None, None),
        (root(), None, "the root of an account may do all that is the account's", None, None),
        (user(), None, "no policy allows it", None, None),
        (
            user(policy(statement(action="cos:PutObject"), statement(), name="reads")),
            None,
            "statement 2 of policy reads allows it",
            "reads",
            2,
        ),
        (user(ALLOW, DENY), None, "statement 1 of policy not denies it", "not", 1),
        (root(AWAY), None, "it belongs to another account, and no policy of the bucket allows it", None, None),
        (
            stranger(),
            bucket("allow", NAMES_AWAY),
            "the bucket's policy allows it, and no policy of the caller does",
            None,
            None,
        ),
        (user(), bucket("allow", NAMES_USER), f"statement 1 of policy {BUCKET} allows it", BUCKET, 1),
        (
            user(ALLOW, session=policy(statement(action="ci:*"))),
            None,
            "the policy of the session does not allow it",
            None,
            None,
        ),
    ],
)
def test_why(caller, by_bucket, words, named, number):
    """A decision says what it is about, and which statement of which policy made it."""
    decision = decide(caller, GET, by_bucket)
    assert decision.because == f"cos:GetObject on qcs::cos:{REGION}:uid/{HOME.appid}:{BUCKET}/in/a.wav: {words}"
    assert (decision.policy, decision.statement) == (named, number)


def test_a_policy_that_cannot_be_read_denies():
    """What it meant to deny is not known, so nothing is allowed beside it; the root may still replace a bucket's."""
    broken = NamedPolicy("broken", "{")
    decision = decide(user(ALLOW, broken), GET)
    assert (decision.effect, decision.policy, decision.statement) == (Effect.DENY, "broken", None)
    assert "policy broken cannot be read: the policy is no JSON" in decision.because
    assert decide(root(), GET, broken).effect is Effect.DENY
    assert decide(user(ALLOW, session=broken), GET).effect is Effect.DENY
    mend = Asked(action="cos:PutBucketPolicy", resource=cos_resource(BUCKET, REGION, OWNER), context={})
    assert decide(root(), mend, broken).allowed


ASSUME = policy(statement(action="sts:AssumeRole"), name="assumes")


def trust(*, effect: str = "allow", action: str = "name/sts:AssumeRole", **principal: object) -> str:
    """The trust of a role."""
    return json.dumps({"version": "2.0", "statement": [{"effect": effect, "action": action, "principal": principal}]})


@pytest.mark.parametrize(
    ("text", "caller", "effect"),
    [
        (trust(qcs=NAMES_HOME), root(), "allow"),
        (trust(qcs=NAMES_HOME), user(ASSUME), "allow"),
        (trust(qcs=NAMES_HOME), user(), "none"),
        (trust(qcs=NAMES_USER), user(ASSUME), "allow"),
        (trust(qcs=NAMES_USER), user(), "none"),
        (trust(qcs=NAMES_USER), user(ASSUME, uin="100000000003"), "none"),
        (trust(qcs=NAMES_USER), root(), "none"),
        (trust(qcs=NAMES_USER), user(ASSUME, policy(statement("deny", "sts:*"))), "deny"),
        (trust(qcs=NAMES_USER, effect="deny"), user(ASSUME), "deny"),
        (trust(qcs=NAMES_USER, action="sts:GetFederationToken"), user(ASSUME), "none"),
        (trust(qcs=NAMES_USER), user(ASSUME, session=ASSUME), "allow"),
        (trust(qcs=NAMES_USER), user(ASSUME, session=ALLOW), "none"),
        (trust(qcs=NAMES_AWAY), root(AWAY), "allow"),
        (trust(qcs=NAMES_AWAY), stranger(ASSUME), "allow"),
        (trust(qcs=NAMES_AWAY), stranger(), "none"),
        (trust(qcs=NAMES_HOME), root(AWAY), "none"),
        (trust(qcs=NAMES_AWAY), stranger(policy(statement(action="*", resource="qcs::cam:::*"))), "none"),
        (CI_ROLE_TRUST, root(), "none"),
        (CI_ROLE_TRUST, user(ASSUME), "none"),
        ("{", root(), "deny"),
    ],
)
def test_who_may_take_a_role(text, caller, effect):
    """The role must trust the caller, and his own policies must allow it."""
    taken = Role(appid=HOME.appid, name="reader", trust=text)
    assert may_take(taken, OWNER, caller, None, {}).effect == effect


@pytest.mark.parametrize(
    ("service", "effect"), [("ci.qcloud.com", "allow"), ("cos.qcloud.com", "none"), ("", "none"), (None, "none")]
)
def test_which_service_may_take_a_role(service, effect):
    """The one that it trusts."""
    taken = Role(appid=HOME.appid, name=CI_ROLE, trust=CI_ROLE_TRUST)
    decision = may_take(taken, OWNER, None, service, {})
    assert decision.effect == effect
    assert decision.because.startswith(f"sts:AssumeRole on {role_resource(CI_ROLE, OWNER)}: ")


def test_conditions_of_trust():
    """A role may be open to one network only."""
    text = json.loads(trust(qcs=NAMES_HOME))
    text["statement"][0]["condition"] = {"ip_equal": {"qcs:ip": "10.0.0.0/8"}}
    taken = Role(appid=HOME.appid, name="reader", trust=json.dumps(text))
    assert may_take(taken, OWNER, root(), None, {"qcs:ip": ("10.0.0.1",)}).allowed
    assert not may_take(taken, OWNER, root(), None, {"qcs:ip": ("192.0.2.1",)}).allowed
    assert not may_take(taken, OWNER, root(), None, {}).allowed


# Small worlds in which statements often meet what is asked.
ACTIONS = ["cos:GetObject", "name/cos:PutObject", "cos:*", "*", "ci:CreateAsrJobs", "cos:Get*"]
RESOURCES = ["*", EVERYTHING, f"qcs::cos:::{BUCKET}/in/*", f"qcs::cos:::{BUCKET}", "qcs::cos::uid/1250000009:*"]
CONDITIONS = [
    {},
    {},
    {},
    {"ip_equal": {"qcs:ip": ["10.0.0.0/8"]}},
    {"ip_not_equal_if_exist": {"qcs:ip": ["10.0.0.0/8"]}},
    {"for_all_value:string_like": {"cos:prefix": "in/*"}},
    {"numeric_less_than": {"cos:max-keys": 10}},
]
PRINCIPALS = [ANYONE, ANYONE, NAMES_HOME, NAMES_USER, NAMES_ROLE, NAMES_AWAY, NAMES_STRANGER]
EFFECTS = st.sampled_from(["allow", "deny"])
OWN = st.fixed_dictionaries(
    {
        "effect": EFFECTS,
        "action": st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=2),
        "resource": st.lists(st.sampled_from(RESOURCES), min_size=1, max_size=2),
        "condition": st.sampled_from(CONDITIONS),
    }
)
OF_BUCKET = st.tuples(OWN, st.lists(st.sampled_from(PRINCIPALS), min_size=1, max_size=2)).map(
    lambda both: {**both[0], "principal": {"qcs": both[1]}}
)
POLICIES = st.lists(st.lists(OWN, min_size=1, max_size=3), max_size=3)
BUCKET_POLICIES = st.one_of(st.none(), st.lists(OF_BUCKET, min_size=1, max_size=3))
SESSIONS = st.one_of(st.none(), st.lists(OWN, min_size=1, max_size=2))
KINDS = ["root", "user", "role", "away", "stranger", "nobody"]
ASKED = st.builds(
    Asked,
    action=st.sampled_from(["cos:GetObject", "cos:PutObject", "cos:GetBucket", "ci:CreateAsrJobs"]),
    resource=st.sampled_from(["in/a.wav", "out/a.wav", "", "IN/a.wav"]).map(
        lambda key: cos_resource(BUCKET, REGION, OWNER, key)
    ),
    context=st.fixed_dictionaries(
        {},
        optional={
            "qcs:ip": st.sampled_from([("10.0.0.1",), ("192.0.2.1",), ("?",)]),
            "cos:prefix": st.sampled_from([("in/",), ("in/", "out/")]),
            "cos:max-keys": st.sampled_from([("5",), ("many",)]),
        },
    ),
)


def named(found: list[list[dict]]) -> tuple[NamedPolicy, ...]:
    """Policies of these statements."""
    return tuple(policy(*statements, name=f"p{number}") for number, statements in enumerate(found))


def asking(kind: str, policies: list[list[dict]], session: list[dict] | None) -> Caller | None:
    """A caller of one of the kinds."""
    bound = None if session is None else policy(*session, name="session")
    own = named(policies)
    return {
        "root": root(session=bound),
        "user": user(*own, session=bound),
        "role": role(*own, session=bound),
        "away": root(AWAY, session=bound),
        "stranger": stranger(*own, session=bound),
        "nobody": None,
    }[kind]


def decided(kind, policies, session, by_bucket, asked) -> Effect:
    """What comes of it all."""
    of_bucket = None if by_bucket is None else policy(*by_bucket, name=BUCKET)
    return decide(asking(kind, policies, session), asked, of_bucket).effect


WORLD = {
    "kind": st.sampled_from(KINDS),
    "policies": POLICIES,
    "session": SESSIONS,
    "by_bucket": BUCKET_POLICIES,
    "asked": ASKED,
}
WIDE = settings(max_examples=200)
ANY_EXAMPLE = settings(max_examples=5000, phases=[Phase.generate], derandomize=True, database=None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("effect", Effect)
def test_there_are_worlds_of_every_kind(kind, effect):
    """The properties below are about callers who are allowed, denied, and neither."""
    worlds = st.fixed_dictionaries({**WORLD, "kind": st.just(kind)})
    found = find(worlds, lambda world: decided(**world) is effect, settings=ANY_EXAMPLE)
    assert decided(**found) is effect


@WIDE
@given(**WORLD, more=OWN, at=st.integers(0, 3))
def test_another_deny_opens_nothing(kind, policies, session, by_bucket, asked, more, at):
    """A statement that denies turns no refusal into an allowance, wherever it is put."""
    before = decided(kind, policies, session, by_bucket, asked)
    denying = {**more, "effect": "deny"}
    longer = [[*policies[0][:at], denying, *policies[0][at:]], *policies[1:]] if policies else [[denying]]
    after = decided(kind, longer, session, by_bucket, asked)
    assert before is Effect.ALLOW or after is not Effect.ALLOW
    assert before is not Effect.DENY or after is Effect.DENY


@WIDE
@given(**WORLD, more=OWN)
def test_another_allow_shuts_nothing(kind, policies, session, by_bucket, asked, more):
    """A policy that allows turns no allowance into a refusal, and no denial into anything."""
    before = decided(kind, policies, session, by_bucket, asked)
    after = decided(kind, [*policies, [{**more, "effect": "allow"}]], session, by_bucket, asked)
    assert before is not Effect.ALLOW or after is Effect.ALLOW
    assert (before is Effect.DENY) is (after is Effect.DENY)


@WIDE
@given(**WORLD, more=OF_BUCKET)
def test_a_buckets_statements_do_as_they_say(kind, policies, session, by_bucket, asked, more):
    """A statement of the bucket's policy that denies opens nothing, and one that allows shuts nothing."""
    before = decided(kind, policies, session, by_bucket, asked)
    denying = decided(kind, policies, session, [*(by_bucket or []), {**more, "effect": "deny"}], asked)
    allowing = decided(kind, policies, session, [*(by_bucket or []), {**more, "effect": "allow"}], asked)
    assert before is Effect.ALLOW or denying is not Effect.ALLOW
    assert before is not Effect.ALLOW or allowing is Effect.ALLOW


@WIDE
@given(**{**WORLD, "kind": st.sampled_from(["user", "role", "stranger"])})
def test_what_denies_wins(kind, policies, session, by_bucket, asked):
    """Whoever has policies is denied what one of their statements denies by itself."""
    denies = Effect.DENY in [decided(kind, [[one]], None, None, asked) for found in policies for one in found]
    assert not denies or decided(kind, policies, session, by_bucket, asked) is Effect.DENY


@WIDE
@given(**WORLD, chance=st.randoms(use_true_random=False))
def test_order_means_nothing(kind, policies, session, by_bucket, asked, chance):
    """Statements and policies in another order come to the same."""
    before = decided(kind, policies, session, by_bucket, asked)
    shuffled = [chance.sample(found, len(found)) for found in chance.sample(policies, len(policies))]
    of_bucket = None if by_bucket is None else chance.sample(by_bucket, len(by_bucket))
    assert decided(kind, shuffled, session, of_bucket, asked) is before


@WIDE
@given(**WORLD)
def test_a_session_only_takes_away(kind, policies, session, by_bucket, asked):
    """Nobody may with temporary keys what he may not without."""
    free = decided(kind, policies, None, by_bucket, asked)
    bound = decided(kind, policies, session, by_bucket, asked)
    assert free is Effect.ALLOW or bound is not Effect.ALLOW
    assert free is not Effect.DENY or bound is Effect.DENY


@WIDE
@given(**WORLD)
def test_case_of_actions_means_nothing(kind, policies, session, by_bucket, asked):
    """Neither in policies nor in what is asked."""

    def louder(found: list[dict]) -> list[dict]:
        return [{**one, "action": [action.upper() for action in one["action"]]} for one in found]

    before = decided(kind, policies, session, by_bucket, asked)
    loud = replace(asked, action=asked.action.swapcase())
    own = [louder(found) for found in policies]
    bound, of_bucket = (None if found is None else louder(found) for found in (session, by_bucket))
    assert decided(kind, own, bound, of_bucket, loud) is before


@WIDE
@given(key=st.text("abAB/", min_size=1, max_size=8), other=st.text("abAB/", min_size=1, max_size=8))
def test_case_of_resources_counts(key, other):
    """A key that differs from that of a policy, be it in case alone, is another."""
    own = policy(statement(resource=f"qcs::cos:::{BUCKET}/{key}"))
    asked = replace(GET, resource=cos_resource(BUCKET, REGION, OWNER, other))
    assert decide(user(own), asked).allowed is (key == other)
