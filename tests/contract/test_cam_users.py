"""Contract of users, groups and keys."""

import asyncio
from dataclasses import replace

import pytest

from rows import LATER, NOW, ROOT, execute
from sordino.adapters.postgres.database import PostgresDatabase, PostgresTransaction
from sordino.domain.identity import AccessKey, Account, Group, Target, TargetKind, User
from sordino.errors import ServiceError

APPID = ROOT.account.appid
OTHER = Account(appid="1250000001", uin="100000000002")
ALICE = User(uin="300000000001", appid=APPID, name="alice", created_at=NOW)
BOB = User(uin="300000000002", appid=APPID, name="bob", enabled=False, created_at=NOW)
EVE = User(uin="300000000003", appid=OTHER.appid, name="eve", created_at=NOW)
KEY = AccessKey(secret_id="AKIDalice", secret_key="s", account=ROOT.account, uin=ALICE.uin)
READERS = Group(appid=APPID, name="readers", description="d", created_at=NOW)


@pytest.fixture
async def people(database: PostgresDatabase) -> PostgresDatabase:
    """Alice and Bob in one account, Eve in another."""
    async with database.transaction() as tx:
        assert await tx.identities.add_account(OTHER)
        for user in (BOB, ALICE, EVE):
            assert await tx.users.add(user)
    return database


async def joined(tx: PostgresTransaction, appid: str, group: str, uin: str) -> str:
    """Whether a user could join a group, or the refusal's code."""
    try:
        return str(await tx.users.join(appid, group, uin))
    except ServiceError as refusal:
        return refusal.code


class TestUsers:
    """Users."""

    async def test_come_as_they_were_added(self, people: PostgresDatabase) -> None:
        """By name, each in its account alone."""
        async with people.reading() as tx:
            assert await tx.users.list(APPID) == [ALICE, BOB]
            assert await tx.users.list(OTHER.appid) == [EVE]
            assert await tx.users.get(APPID, "bob") == BOB
            for appid, name in ((APPID, "Bob"), (APPID, "eve"), ("7", "bob")):
                assert await tx.users.get(appid, name) is None

    @pytest.mark.parametrize(
        "taken",
        [
            replace(ALICE, uin="300000000009"),
            replace(ALICE, name="alice2"),
            replace(EVE, uin=ALICE.uin, name="alice2"),
            replace(ALICE, name="alice2", uin=OTHER.uin),
        ],
        ids=["name", "uin", "uin in another account", "uin of a root"],
    )
    async def test_what_is_taken(self, people: PostgresDatabase, taken: User) -> None:
        """A name in the account, a number anywhere: nothing is written."""
        async with people.transaction() as tx:
            assert not await tx.users.add(taken)
            assert await tx.users.list(APPID) == [ALICE, BOB]
            assert await tx.users.add(replace(EVE, uin="300000000009", name="alice"))

    async def test_of_no_account(self, people: PostgresDatabase) -> None:
        """There is no user without an account."""
        with pytest.raises(ServiceError, match="There is no account 7"):
            async with people.transaction() as tx:
                await tx.users.add(replace(ALICE, appid="7", uin="7"))

    async def test_enabling(self, people: PostgresDatabase) -> None:
        """It comes back as it is then; of another account there is none."""
        async with people.transaction() as tx:
            assert await tx.users.enable(APPID, "bob", enabled=True) == replace(BOB, enabled=True)
            assert await tx.users.enable(APPID, "alice", enabled=False) == replace(ALICE, enabled=False)
            assert await tx.users.enable(OTHER.appid, "alice", enabled=True) is None

    async def test_removing_takes_all_that_is_the_users(self, people: PostgresDatabase) -> None:
        """Keys, memberships and attachments go, and nothing of others."""
        target = Target(TargetKind.USER, ALICE.uin)
        async with people.transaction() as tx:
            await tx.users.add_key(KEY)
            await tx.users.add_group(READERS)
            await tx.users.join(APPID, "readers", ALICE.uin)
            await tx.users.join(APPID, "readers", BOB.uin)
            await tx.policies.attach(APPID, "ReadOnlyAccess", target)
            await tx.policies.attach(APPID, "ReadOnlyAccess", Target(TargetKind.USER, BOB.uin))
            assert not await tx.users.remove(OTHER.appid, "alice")
            assert await tx.users.remove(APPID, "alice")
            assert not await tx.users.remove(APPID, "alice")
            assert await tx.users.keys(APPID, ALICE.uin) == []
            assert await tx.users.keys(APPID, None) != []
            assert await tx.users.groups(APPID) == [replace(READERS, users=("bob",))]
            assert await tx.policies.targets(APPID, "ReadOnlyAccess") == [Target(TargetKind.USER, BOB.uin)]


class TestKeys:
    """Keys of users and roots."""

    async def test_come_without_their_secrets(self, people: PostgresDatabase) -> None:
        """The first one first, each owner's apart, with when they were made."""
        second = replace(KEY, secret_id="AKID0", enabled=False, requests_per_second=3)
        async with people.transaction() as tx:
            await tx.users.add_key(KEY)
            await tx.users.add_key(second)
            uses = await tx.users.keys(APPID, ALICE.uin)
            assert await tx.users.key(APPID, "AKID0") == uses[1]
            assert [use.key.secret_id for use in await tx.users.keys(APPID, None)] == [ROOT.secret_id]
            assert await tx.users.key(OTHER.appid, "AKID0") is None
            assert await tx.users.keys(OTHER.appid, ALICE.uin) == []
        assert [use.key for use in uses] == [replace(KEY, secret_key=""), replace(second, secret_key="")]
        assert all(use.used_at is None and use.created_at.tzinfo is not None for use in uses)

    @pytest.mark.parametrize("owner", [EVE.uin, "7"])
    async def test_of_nobody_in_the_account(self, people: PostgresDatabase, owner: str) -> None:
        """A key belongs to a user of its account."""
        with pytest.raises(ServiceError, match="no such user"):
            async with people.transaction() as tx:
                await tx.users.add_key(replace(KEY, uin=owner))

    async def test_changing(self, people: PostgresDatabase) -> None:
        """State and limit are as they were set last, of that account's key alone."""
        async with people.transaction() as tx:
            await tx.users.add_key(KEY)
            assert await tx.users.change_key(APPID, "AKIDalice", enabled=False, requests_per_second=9)
            use = await tx.users.key(APPID, "AKIDalice")
            assert (use.key.enabled, use.key.requests_per_second) == (False, 9)
            for appid, secret_id in ((OTHER.appid, "AKIDalice"), (APPID, "AKIDnone")):
                assert not await tx.users.change_key(appid, secret_id, enabled=True, requests_per_second=None)
                assert not await tx.users.remove_key(appid, secret_id)
            assert await tx.users.remove_key(APPID, "AKIDalice")
            assert await tx.users.key(APPID, "AKIDalice") is None

    async def test_uses(self, people: PostgresDatabase) -> None:
        """The latest stays, whatever comes late; keys that are gone are passed over."""
        async with people.transaction() as tx:
            await tx.users.add_key(KEY)
        async with people.transaction() as tx:
            await tx.users.note_use(["AKIDalice", "AKIDnone"], LATER)
            await tx.users.note_use(["AKIDalice", ROOT.secret_id], NOW)
            assert (await tx.users.key(APPID, "AKIDalice")).used_at == LATER
            assert (await tx.users.key(APPID, ROOT.secret_id)).used_at == NOW

    async def test_two_note_a_use_at_once(self, people: PostgresDatabase) -> None:
        """Neither waits: whoever comes second leaves the key that the first has."""
        async with people.transaction() as first:
            await first.users.note_use([ROOT.secret_id], NOW)
            async with asyncio.timeout(5), people.transaction() as second:
                await second.users.note_use([ROOT.secret_id], LATER)
        async with people.reading() as tx:
            assert (await tx.users.key(APPID, ROOT.secret_id)).used_at == NOW


class TestGroups:
    """Groups."""

    async def test_members(self, people: PostgresDatabase) -> None:
        """They come by name; joining and leaving twice does nothing."""
        async with people.transaction() as tx:
            assert await tx.users.add_group(replace(READERS, name="z"))
            assert await tx.users.add_group(READERS)
            assert not await tx.users.add_group(replace(READERS, description="other"))
            for uin in (BOB.uin, ALICE.uin):
                assert await tx.users.join(APPID, "readers", uin)
            assert not await tx.users.join(APPID, "readers", BOB.uin)
            full = replace(READERS, users=("alice", "bob"))
            assert await tx.users.groups(APPID) == [full, replace(READERS, name="z")]
            assert await tx.users.groups(OTHER.appid) == []
            assert await tx.users.leave(APPID, "readers", ALICE.uin)
            assert not await tx.users.leave(APPID, "readers", ALICE.uin)
            assert await tx.users.remove_group(APPID, "z")
            assert not await tx.users.remove_group(OTHER.appid, "readers")
            assert await tx.users.groups(APPID) == [replace(READERS, users=("bob",))]

    @pytest.mark.parametrize(
        ("appid", "group", "uin"),
        [(APPID, "readers", EVE.uin), (OTHER.appid, "readers", EVE.uin), (APPID, "none", ALICE.uin)],
        ids=["user of another account", "group of another account", "no group"],
    )
    async def test_nobody_joins_another_accounts(
        self, people: PostgresDatabase, appid: str, group: str, uin: str
    ) -> None:
        """User and group are of the one account that is named."""
        async with people.transaction() as tx:
            await tx.users.add_group(READERS)
        async with people.transaction() as tx:
            assert await joined(tx, appid, group, uin) == "NoSuchEntity"
        assert await execute(people, "SELECT uin FROM group_members") == []

    async def test_removing_one_takes_its_attachments(self, people: PostgresDatabase) -> None:
        """Its users stay."""
        async with people.transaction() as tx:
            await tx.users.add_group(READERS)
            await tx.users.join(APPID, "readers", ALICE.uin)
            await tx.policies.attach(APPID, "ReadOnlyAccess", Target(TargetKind.GROUP, "readers"))
            await tx.users.remove_group(APPID, "readers")
            assert await tx.users.get(APPID, "alice") == ALICE
            assert await tx.policies.targets(APPID, "ReadOnlyAccess") == []
