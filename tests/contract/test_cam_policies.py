"""Contract of policies, attachments, roles and policies of buckets."""

from dataclasses import replace

import psycopg
import pytest

from policies import allow, deny, document
from rows import BUCKET, LATER, NOW, ROOT, execute
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.domain import presets
from sordino.domain.identity import (
    CI_ROLE,
    Account,
    Group,
    NamedPolicy,
    Policy,
    Role,
    Target,
    TargetKind,
    TemporaryKey,
    User,
)
from sordino.errors import ServiceError

APPID = ROOT.account.appid
OTHER = Account(appid="1250000001", uin="100000000002")
READ = Policy(appid=APPID, name="read", document=document(allow("cos:GetObject")), description="d", changed_at=NOW)
PRESET = "QcloudCOSDataReadOnly"
USER = Target(TargetKind.USER, "300000000001")
GROUP = Target(TargetKind.GROUP, "readers")
ROLE = Target(TargetKind.ROLE, "worker")
TARGETS = (USER, GROUP, ROLE)
TRUST = '{"version":"2.0","statement":{"effect":"allow","principal":{"service":["x"]},"action":"sts:AssumeRole"}}'


@pytest.fixture
async def people(database: PostgresDatabase) -> PostgresDatabase:
    """An account with a user, a group and a role; and another one."""
    async with database.transaction() as tx:
        await tx.identities.add_account(OTHER)
        await tx.users.add(User(uin=USER.name, appid=APPID, name="alice", created_at=NOW))
        await tx.users.add_group(Group(appid=APPID, name=GROUP.name, created_at=NOW))
        assert await tx.policies.put_role(Role(appid=APPID, name=ROLE.name, trust=TRUST, description="d"), NOW)
    return database


class TestPolicies:
    """Documents."""

    async def test_writing(self, people: PostgresDatabase) -> None:
        """One is new or written anew, in its account alone."""
        changed = replace(READ, document=document(deny("*")), description="", changed_at=LATER)
        async with people.transaction() as tx:
            assert await tx.policies.put(READ)
            assert await tx.policies.put(replace(READ, name="a"))
            assert not await tx.policies.put(changed)
            assert await tx.policies.put(replace(READ, appid=OTHER.appid))
            assert await tx.policies.get(APPID, "read") == changed
            assert await tx.policies.get(OTHER.appid, "read") == replace(READ, appid=OTHER.appid)
            assert await tx.policies.get(APPID, "Read") is None
            assert await tx.policies.get(APPID, PRESET) is None
            assert await tx.policies.list(APPID) == [replace(READ, name="a"), changed]
            assert [await tx.policies.count(appid) for appid in (APPID, OTHER.appid, "7")] == [2, 1, 0]

    async def test_of_no_account(self, people: PostgresDatabase) -> None:
        """Neither a policy nor a role is anywhere but in an account."""
        for put in (
            lambda tx: tx.policies.put(replace(READ, appid="7")),
            lambda tx: tx.policies.put_role(Role(appid="7", name="r", trust=TRUST), NOW),
        ):
            with pytest.raises(ServiceError, match="There is no account 7"):
                async with people.transaction() as tx:
                    await put(tx)

    @pytest.mark.parametrize("target", TARGETS, ids=[target.kind for target in TARGETS])
    async def test_one_in_use_stays(self, people: PostgresDatabase, target: Target) -> None:
        """Only what is attached to nothing is removed; what another account attached does not count."""
        async with people.transaction() as tx:
            await tx.policies.put(READ)
            await tx.policies.attach(APPID, "read", target)
            await tx.policies.attach(OTHER.appid, "read", Target(TargetKind.ROLE, CI_ROLE))
            assert not await tx.policies.remove(APPID, "read")
            assert await tx.policies.get(APPID, "read") == READ
            assert await tx.policies.detach(APPID, "read", target)
            assert not await tx.policies.remove(OTHER.appid, "read")
            assert await tx.policies.remove(APPID, "read")
            assert not await tx.policies.remove(APPID, "read")


class TestAttachments:
    """What policies are attached to."""

    @pytest.mark.parametrize("target", TARGETS, ids=[target.kind for target in TARGETS])
    async def test_attaching(self, people: PostgresDatabase, target: Target) -> None:
        """Once each, to that target alone."""
        others = [it for it in TARGETS if it != target]
        async with people.transaction() as tx:
            assert await tx.policies.attach(APPID, PRESET, target)
            assert await tx.policies.attach(APPID, "A", target)
            assert not await tx.policies.attach(APPID, PRESET, target)
            assert await tx.policies.attached(APPID, target) == ["A", PRESET]
            assert [await tx.policies.attached(APPID, it) for it in others] == [[], []]
            assert await tx.policies.targets(APPID, PRESET) == [target]
            for appid, policy, it in ((APPID, "B", target), (OTHER.appid, "A", target), (APPID, "A", others[0])):
                assert not await tx.policies.detach(appid, policy, it)
            assert await tx.policies.detach(APPID, "A", target)
            assert await tx.policies.attached(APPID, target) == [PRESET]

    async def test_targets(self, people: PostgresDatabase) -> None:
        """Of every kind, in order, of that account."""
        async with people.transaction() as tx:
            for target in reversed(TARGETS):
                await tx.policies.attach(APPID, PRESET, target)
            await tx.policies.attach(OTHER.appid, PRESET, Target(TargetKind.ROLE, CI_ROLE))
            assert await tx.policies.targets(APPID, PRESET) == [GROUP, ROLE, USER]

    @pytest.mark.parametrize("kind", TargetKind)
    @pytest.mark.parametrize("appid", [APPID, OTHER.appid])
    async def test_to_what_is_not_there(self, people: PostgresDatabase, kind: TargetKind, appid: str) -> None:
        """A name that nobody has, or somebody of another account, is refused."""
        name = "nobody" if appid == APPID else next(target.name for target in TARGETS if target.kind is kind)
        with pytest.raises(ServiceError) as refusal:
            async with people.transaction() as tx:
                await tx.policies.attach(appid, PRESET, Target(kind, name))
        assert refusal.value.code == "NoSuchEntity"
        assert kind in refusal.value.message


class TestRoles:
    """Roles."""

    async def test_writing(self, people: PostgresDatabase) -> None:
        """Who may take it and what it is for change; what is attached stays, and comes resolved."""
        trust = TRUST.replace('"x"', '"y"')
        async with people.transaction() as tx:
            await tx.policies.put(READ)
            await tx.policies.attach(APPID, "read", ROLE)
            await tx.policies.attach(APPID, PRESET, ROLE)
            assert not await tx.policies.put_role(Role(appid=APPID, name="worker", trust=trust), LATER)
            ci, worker = await tx.policies.roles(APPID)
            assert await tx.identities.role(APPID, "worker") == (worker, ROOT.account)
            assert [role.name for role in await tx.policies.roles(OTHER.appid)] == [CI_ROLE]
        assert ci.name == CI_ROLE
        policies = {NamedPolicy("read", READ.document), presets.named(PRESET)}
        assert set(worker.policies) == policies
        assert replace(worker, policies=()) == Role(appid=APPID, name="worker", trust=trust)

    async def test_removing(self, people: PostgresDatabase) -> None:
        """Its attachments and temporary keys go."""
        key = TemporaryKey(
            secret_id="T",
            secret_key="s",
            token="t",
            appid=APPID,
            parent=ROOT.secret_id,
            role="worker",
            session_name="s",
            policy=None,
            created_at=NOW,
            expires_at=LATER,
        )
        async with people.transaction() as tx:
            await tx.policies.attach(APPID, PRESET, ROLE)
            assert await tx.temporary_keys.add(key)
            assert not await tx.policies.remove_role(OTHER.appid, "worker")
            assert await tx.policies.remove_role(APPID, "worker")
            assert not await tx.policies.remove_role(APPID, "worker")
            assert await tx.identities.temporary("T", "") is None
            assert await tx.policies.targets(APPID, PRESET) == []
            assert await tx.identities.role(APPID, "worker") is None


async def test_policies_of_buckets(people: PostgresDatabase) -> None:
    """A bucket has one or none; it comes with the bucket."""
    async with people.transaction() as tx:
        assert (await tx.buckets.get(BUCKET)).policy is None
        assert await tx.policies.put_bucket_policy(BUCKET, READ.document)
        assert (await tx.buckets.get(BUCKET)).policy == READ.document
        assert await tx.policies.put_bucket_policy(BUCKET, None)
        assert (await tx.buckets.get(BUCKET)).policy is None
        assert not await tx.policies.put_bucket_policy("none-1250000000", READ.document)


WRONG_STATES = {
    "a user without a name": "UPDATE users SET name = ''",
    "a user of no account": "UPDATE users SET appid = '7'",
    "two users of one number": f"INSERT INTO users (uin, appid, name, created_at) VALUES ('{USER.name}',"
    f" '{OTHER.appid}', 'n', now())",
    "a membership across accounts": f"INSERT INTO group_members VALUES ('{OTHER.appid}', 'readers', '{USER.name}')",
    "an attachment to nothing": f"INSERT INTO attachments (appid, policy) VALUES ('{APPID}', 'p')",
    "an attachment to two": f"INSERT INTO attachments (appid, policy, uin, role) VALUES ('{APPID}', 'p', '{USER.name}',"
    " 'worker')",
    "an attachment across accounts": f"INSERT INTO attachments (appid, policy, uin) VALUES ('{OTHER.appid}', 'p',"
    f" '{USER.name}')",
    "a key of another account's user": f"UPDATE access_keys SET appid = '{OTHER.appid}', uin = '{USER.name}'",
    "a key that may ask nothing": "UPDATE access_keys SET requests_per_second = 0",
    "an account that may ask nothing": "UPDATE accounts SET requests_per_second = 0",
    "an allowance below nothing": "UPDATE accounts SET queued_jobs = -1",
}


@pytest.mark.parametrize("wrong", WRONG_STATES)
async def test_the_tables_refuse_wrong_states(people: PostgresDatabase, wrong: str) -> None:
    """Whatever the code does, the tables hold none of these."""
    with pytest.raises(psycopg.IntegrityError):
        await execute(people, WRONG_STATES[wrong])
