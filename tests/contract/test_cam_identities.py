"""Contract of accounts and of who signs for them."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from policies import allow, document
from rows import (
    BUCKET,
    LATER,
    NOW,
    ROOT,
    add_bucket,
    execute,
    waiting_for_a_lock,
)
from sordino.adapters.postgres.database import PostgresDatabase, PostgresTransaction
from sordino.domain import presets
from sordino.domain.allowance import Allowance
from sordino.domain.identity import (
    CI_ROLE,
    CI_ROLE_POLICY,
    AccessKey,
    Account,
    Caller,
    CallerKind,
    Group,
    NamedPolicy,
    Policy,
    Role,
    Target,
    TargetKind,
    TemporaryKey,
    User,
)
from sordino.domain.token import digest

APPID = ROOT.account.appid
ALICE = User(uin="300000000001", appid=APPID, name="alice", created_at=NOW)
ALICE_KEY = AccessKey(
    secret_id="AKIDalice", secret_key="alice's", account=ROOT.account, uin=ALICE.uin, requests_per_second=7
)
ALICE_TARGET = Target(TargetKind.USER, ALICE.uin)
OTHER = Account(appid="1250000001", uin="100000000002", name="others")
OTHER_KEY = AccessKey(secret_id="AKIDother", secret_key="other's", account=OTHER)
READ = document(allow("cos:GetObject"))
PRESET = "QcloudCOSDataReadOnly"
TRUST = '{"version":"2.0","statement":{"effect":"allow","principal":{"qcs":["qcs::cam::uin/1:root"]},"action":"*"}}'


async def add_alice(tx: PostgresTransaction) -> None:
    """A user with a key."""
    assert await tx.users.add(ALICE)
    await tx.users.add_key(ALICE_KEY)


async def add_other(tx: PostgresTransaction) -> None:
    """Another account with a key of its root."""
    assert await tx.identities.add_account(OTHER)
    await tx.users.add_key(OTHER_KEY)


async def put_policies(tx: PostgresTransaction, *names: str) -> None:
    """Policies of the account."""
    for name in names:
        assert await tx.policies.put(Policy(appid=APPID, name=name, document=READ, changed_at=NOW))


async def add_session(tx: PostgresTransaction, parent: str, **changes: object) -> None:
    """A temporary key ``T`` that a key asked for."""
    plain = TemporaryKey(
        secret_id="T",
        secret_key="temporary",
        token="token",
        appid=APPID,
        parent=parent,
        role=None,
        session_name="s",
        policy=None,
        created_at=NOW,
        expires_at=LATER,
    )
    assert await tx.temporary_keys.add(replace(plain, **changes))


async def found(database: PostgresDatabase, *secret_ids: str) -> Sequence[bool]:
    """Which keys are good for anything."""
    async with database.reading() as tx:
        return [
            (await tx.identities.signer(it, "") or await tx.identities.temporary(it, "")) is not None
            for it in secret_ids
        ]


class TestSigner:
    """Who signs with a permanent key."""

    async def test_a_user(self, database: PostgresDatabase) -> None:
        """Comes as a user of its account, with the key's own limit, and without policies may nothing."""
        async with database.transaction() as tx:
            await add_alice(tx)
            signer, bucket = await tx.identities.signer("AKIDalice", BUCKET)
        assert bucket is not None
        assert (signer.secret_key, signer.token, signer.expires_at) == ("alice's", None, None)
        assert signer.requests_per_second == 7
        assert signer.caller == Caller(account=ROOT.account, kind=CallerKind.USER, name=ALICE.uin)

    async def test_all_that_is_attached(self, database: PostgresDatabase) -> None:
        """Its own policies, those of its groups and presets come, each once, and no other user's or account's."""
        async with database.transaction() as tx:
            await add_alice(tx)
            await put_policies(tx, "own", "shared", "twice", "foreign")
            for name in ("readers", "strangers"):
                await tx.users.add_group(Group(appid=APPID, name=name, created_at=NOW))
            await tx.users.join(APPID, "readers", ALICE.uin)
            readers, strangers = (Target(TargetKind.GROUP, name) for name in ("readers", "strangers"))
            for policy, target in (
                ("own", ALICE_TARGET),
                ("twice", ALICE_TARGET),
                (PRESET, ALICE_TARGET),
                ("shared", readers),
                ("twice", readers),
                ("foreign", strangers),
                ("foreign", Target(TargetKind.ROLE, CI_ROLE)),
            ):
                assert await tx.policies.attach(APPID, policy, target)
            signer, _ = await tx.identities.signer("AKIDalice", "")
            assert await tx.identities.caller(APPID, ALICE.uin) == signer.caller
        policies = {policy.name: policy for policy in signer.caller.policies}
        assert len(policies) == len(signer.caller.policies)
        assert policies == {
            **{name: NamedPolicy(name, READ) for name in ("own", "shared", "twice")},
            PRESET: presets.named(PRESET),
        }

    async def test_a_preset_that_is_no_more(self, database: PostgresDatabase) -> None:
        """One that this version does not know says nothing."""
        async with database.transaction() as tx:
            await add_alice(tx)
            await tx.policies.attach(APPID, "QcloudOfAnotherVersion", ALICE_TARGET)
            signer, _ = await tx.identities.signer("AKIDalice", "")
        assert signer.caller.policies == ()

    @pytest.mark.parametrize(
        "end",
        [
            "UPDATE access_keys SET enabled = false WHERE secret_id = 'AKIDalice'",
            "DELETE FROM access_keys WHERE secret_id = 'AKIDalice'",
            "UPDATE users SET enabled = false",
            "DELETE FROM users",
            "UPDATE accounts SET enabled = false",
        ],
    )
    async def test_what_ends_a_key(self, database: PostgresDatabase, end: str) -> None:
        """A key, its user or its account that is disabled or gone signs nothing, nor do temporary keys of it."""
        async with database.transaction() as tx:
            await add_alice(tx)
            await add_session(tx, "AKIDalice")
        assert await found(database, "AKIDalice", "T") == [True, True]
        await execute(database, end)
        assert await found(database, "AKIDalice", "T") == [False, False]


class TestTemporary:
    """Who signs with a temporary key."""

    async def test_a_federation_token(self, database: PostgresDatabase) -> None:
        """Acts as whoever asked for it, as that may now, within the policy of its session."""
        async with database.transaction() as tx:
            await add_alice(tx)
            await put_policies(tx, "own")
            await add_session(tx, "AKIDalice", policy=READ)
            await tx.policies.attach(APPID, "own", ALICE_TARGET)
            signer, bucket = await tx.identities.temporary("T", BUCKET)
            assert await tx.identities.temporary("T", "none-1250000000") == (signer, None)
            assert await tx.identities.signer("T", "") is None
            assert await tx.identities.temporary("AKIDalice", "") is None
        assert bucket.name == BUCKET
        assert (signer.secret_key, signer.token, signer.expires_at) == ("temporary", digest("token"), LATER)
        assert (signer.parent, signer.requests_per_second) == ("AKIDalice", 7)
        assert signer.caller == Caller(
            account=ROOT.account,
            kind=CallerKind.USER,
            name=ALICE.uin,
            policies=(NamedPolicy("own", READ),),
            session=NamedPolicy("session", READ),
        )

    async def test_of_a_root(self, database: PostgresDatabase) -> None:
        """One that a root asked for acts as the root."""
        async with database.transaction() as tx:
            await add_session(tx, ROOT.secret_id)
            signer, _ = await tx.identities.temporary("T", "")
        assert signer.caller == Caller(account=ROOT.account, kind=CallerKind.ROOT, name=ROOT.account.uin)

    async def test_of_a_role(self, database: PostgresDatabase) -> None:
        """One of a role acts as the role, in its account, and not as the user of another account who asked."""
        async with database.transaction() as tx:
            await add_alice(tx)
            await put_policies(tx, "own")
            await tx.policies.attach(APPID, "own", ALICE_TARGET)
            await add_other(tx)
            await tx.policies.put_role(Role(appid=OTHER.appid, name="guest", trust=TRUST), NOW)
            await tx.policies.attach(OTHER.appid, PRESET, Target(TargetKind.ROLE, "guest"))
            await add_session(tx, "AKIDalice", appid=OTHER.appid, role="guest", policy=READ)
            signer, _ = await tx.identities.temporary("T", "")
        assert signer.caller == Caller(
            account=OTHER,
            kind=CallerKind.ROLE,
            name="guest",
            policies=(presets.named(PRESET),),
            session=NamedPolicy("session", READ),
        )

    @pytest.mark.parametrize(
        "end",
        [
            f"UPDATE accounts SET enabled = false WHERE appid = '{APPID}'",
            f"UPDATE accounts SET enabled = false WHERE appid = '{OTHER.appid}'",
            "UPDATE users SET enabled = false",
            "UPDATE access_keys SET enabled = false WHERE secret_id = 'AKIDalice'",
            "DELETE FROM users",
            "DELETE FROM roles WHERE name = 'guest'",
        ],
    )
    async def test_what_ends_a_role_session(self, database: PostgresDatabase, end: str) -> None:
        """Whatever happens to either account, to who asked or to the role."""
        async with database.transaction() as tx:
            await add_alice(tx)
            await add_other(tx)
            await tx.policies.put_role(Role(appid=OTHER.appid, name="guest", trust=TRUST), NOW)
            await add_session(tx, "AKIDalice", appid=OTHER.appid, role="guest")
        assert await found(database, "T") == [True]
        await execute(database, end)
        assert await found(database, "T") == [False]


class TestCaller:
    """Somebody as who calls, without a key."""

    async def test_roots_and_users(self, database: PostgresDatabase) -> None:
        """By number, or the root without one, also when disabled; none of another account."""
        root = Caller(account=ROOT.account, kind=CallerKind.ROOT, name=ROOT.account.uin)
        async with database.transaction() as tx:
            await add_alice(tx)
            await add_other(tx)
            await tx.users.enable(APPID, "alice", enabled=False)
            assert await tx.identities.caller(APPID, None) == root
            assert await tx.identities.caller(APPID, ROOT.account.uin) == root
            assert (await tx.identities.caller(APPID, ALICE.uin)).kind is CallerKind.USER
            for appid, uin in ((OTHER.appid, ALICE.uin), (OTHER.appid, ROOT.account.uin), (APPID, "7"), ("7", None)):
                assert await tx.identities.caller(appid, uin) is None


class TestAccounts:
    """Making and changing accounts."""

    async def test_one_has_the_role_of_jobs(self, database: PostgresDatabase) -> None:
        """It is there from the beginning, trusts CI alone and has the preset."""
        async with database.transaction() as tx:
            await add_other(tx)
            role, account = await tx.identities.role(OTHER.appid, CI_ROLE)
            assert await tx.identities.role_of_root(OTHER.uin, CI_ROLE) == (role, account)
            assert await tx.identities.role("7", CI_ROLE) is None
        assert account == OTHER
        assert (role.appid, role.policies) == (OTHER.appid, (presets.named(CI_ROLE_POLICY),))
        assert "ci.qcloud.com" in role.trust

    @pytest.mark.parametrize(
        "taken", [{"appid": APPID}, {"uin": ROOT.account.uin}, {"uin": ALICE.uin}], ids=["appid", "root", "user"]
    )
    async def test_a_number_that_is_taken(self, database: PostgresDatabase, taken: dict[str, str]) -> None:
        """By an account's APPID, by a root or by a user: nothing is written."""
        async with database.transaction() as tx:
            await add_alice(tx)
            assert not await tx.identities.add_account(replace(OTHER, **taken))
            assert await tx.identities.accounts() == [ROOT.account]

    async def test_of_an_account_and_a_user_one_gets_the_number(self, database: PostgresDatabase) -> None:
        """Also when both are made at once."""

        async def add(what: str) -> bool:
            async with database.transaction() as tx:
                if what == "account":
                    added = await tx.identities.add_account(replace(OTHER, uin=ALICE.uin))
                else:
                    added = await tx.users.add(ALICE)
                await asyncio.sleep(0.05)
                return added

        assert sorted(await asyncio.gather(add("account"), add("user"))) == [False, True]

    async def test_changes(self, database: PostgresDatabase) -> None:
        """Name, state and allowance are set apart from each other, and come with the account wherever it comes."""
        allowance = Allowance(requests_per_second=5, queued_jobs=0, audio_seconds=3600)
        changed = replace(ROOT.account, name="n", enabled=True, allowance=allowance)
        async with database.transaction() as tx:
            await tx.identities.change_account(APPID, name="n", enabled=None)
            await tx.identities.change_account(APPID, name=None, enabled=False)
            assert not (await tx.identities.account(APPID)).enabled
            await tx.identities.change_account(APPID, name=None, enabled=True)
            assert await tx.identities.allow(APPID, allowance) == changed
            assert await tx.identities.account(APPID) == changed
            signer, _ = await tx.identities.signer(ROOT.secret_id, "")
            assert signer.account == changed
            assert (await tx.identities.allow(APPID, Allowance())).allowance == Allowance()
            assert await tx.identities.change_account("7", name="n", enabled=None) is None
            assert await tx.identities.allow("7", allowance) is None
            assert await tx.identities.account("7") is None

    async def test_holding(self, database: PostgresDatabase) -> None:
        """Whoever holds an account after another sees what that one did; those who refer to it do not wait."""
        async with database.transaction() as first:
            assert await first.identities.hold(APPID) == ROOT.account

            async def second() -> str:
                async with database.transaction() as tx:
                    return (await tx.identities.hold(APPID)).name

            waiting = asyncio.create_task(second())
            await waiting_for_a_lock(database)
            async with database.transaction() as tx:
                await add_bucket(tx, "more-1250000000", "more")
                assert await tx.identities.hold("7") is None
            await first.identities.change_account(APPID, name="held", enabled=None)
        assert await waiting == "held"


async def test_the_time_of_a_temporary_key_is_told(database: PostgresDatabase) -> None:
    """One whose time is over is found all the same: its owner is told so, and not that there is none."""
    async with database.transaction() as tx:
        await add_session(tx, ROOT.secret_id, expires_at=NOW - timedelta(days=1))
        signer, _ = await tx.identities.temporary("T", "")
    assert signer.expires_at == NOW - timedelta(days=1)
