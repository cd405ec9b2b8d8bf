"""What operators do with accounts, users, groups, keys, policies and roles, and what the audit log tells of it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from policies import allow, document
from rows import BUCKET, OPERATOR, ROOT, bucket, changes
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.cam import keys as keys_module
from sordino.cam import policies as policies_module
from sordino.cam import roles as roles_module
from sordino.cam import users as users_module
from sordino.cam.accounts import Accounts
from sordino.cam.bucket_policies import BucketPolicies
from sordino.cam.keys import MAX_KEYS, Keys
from sordino.cam.operator import change
from sordino.cam.policies import MAX_ATTACHED, Policies
from sordino.cam.roles import Roles
from sordino.cam.users import MAX_GROUPS_OF_USER, Groups, Users
from sordino.domain.allowance import Allowance
from sordino.domain.audit import AuditEntry, AuditSearch
from sordino.domain.identity import CI_ROLE, AccessKey, NamedPolicy, Target, TargetKind
from sordino.domain.release import MAX_WEIGHT
from sordino.errors import LIMIT_EXCEEDED, ServiceError

APPID = ROOT.account.appid
READ = document(allow("cos:GetObject"))
PRESET = "QcloudCOSDataReadOnly"
TRUST = '{"version":"2.0","statement":{"effect":"allow","principal":{"service":["x"]},"action":"sts:AssumeRole"}}'
USER, GROUP, ROLE = (Target(kind, name) for kind, name in zip(TargetKind, ("alice", "readers", "worker"), strict=True))


@dataclass(frozen=True)
class Office:
    """The use cases over one database."""

    database: PostgresDatabase

    def __getattr__(self, name: str) -> Any:
        kinds = {
            "accounts": Accounts,
            "users": Users,
            "groups": Groups,
            "keys": Keys,
            "policies": Policies,
            "roles": Roles,
            "bucket_policies": BucketPolicies,
        }
        return kinds[name](changes(self.database))

    async def log(self) -> Sequence[AuditEntry]:
        """The audit log, the oldest entry first."""
        async with self.database.reading() as tx:
            return [it.entry for it in reversed(await tx.audit.search(AuditSearch(size=1000)))]


@pytest.fixture
async def office(database: PostgresDatabase) -> Office:
    """An account with a user, a group and a role."""
    office = Office(database)
    await office.users.add(OPERATOR, APPID, USER.name)
    await office.groups.add(OPERATOR, APPID, GROUP.name)
    await office.roles.put(OPERATOR, APPID, ROLE.name, TRUST)
    return office


async def refusal(call: Coroutine[Any, Any, object]) -> str:
    """The code of the refusal."""
    with pytest.raises(ServiceError) as caught:
        await call
    assert caught.value.message
    return caught.value.code


CHANGES: dict[str, tuple[str, str, Callable[[Office], Awaitable[object]]]] = {
    "account create": (
        "sordino:CreateAccount",
        "account/1250000009",
        lambda it: it.accounts.create(OPERATOR, "n", appid="1250000009", uin="100000000009"),
    ),
    "account rename": (
        "sordino:UpdateAccount",
        f"account/{APPID}",
        lambda it: it.accounts.change(OPERATOR, APPID, name="n"),
    ),
    "account weight": ("sordino:UpdateAccount", f"account/{APPID}", lambda it: it.accounts.weigh(OPERATOR, APPID, 2)),
    "account allowance": (
        "sordino:UpdateAccount",
        f"account/{APPID}",
        lambda it: it.accounts.allow(OPERATOR, APPID, {"queued_jobs": 5}),
    ),
    "user add": ("cam:AddUser", "user/bob", lambda it: it.users.add(OPERATOR, APPID, "bob")),
    "user disable": (
        "cam:UpdateUser",
        "user/alice",
        lambda it: it.users.enable(OPERATOR, APPID, "alice", enabled=False),
    ),
    "user remove": ("cam:DeleteUser", "user/alice", lambda it: it.users.remove(OPERATOR, APPID, "alice")),
    "group add": ("cam:CreateGroup", "group/g", lambda it: it.groups.add(OPERATOR, APPID, "g")),
    "group join": (
        "cam:AddUserToGroup",
        "group/readers",
        lambda it: it.groups.join(OPERATOR, APPID, "readers", "alice"),
    ),
    "group remove": ("cam:DeleteGroup", "group/readers", lambda it: it.groups.remove(OPERATOR, APPID, "readers")),
    "key add": ("cam:CreateAccessKey", "user/alice", lambda it: it.keys.add(OPERATOR, APPID, "alice")),
    "key add for the root": ("cam:CreateAccessKey", "root", lambda it: it.keys.add(OPERATOR, APPID, None)),
    "key rotate": (
        "cam:CreateAccessKey",
        f"key/{ROOT.secret_id}",
        lambda it: it.keys.rotate(OPERATOR, APPID, ROOT.secret_id),
    ),
    "key limit": (
        "cam:UpdateAccessKey",
        f"key/{ROOT.secret_id}",
        lambda it: it.keys.change(OPERATOR, APPID, ROOT.secret_id, requests_per_second=5),
    ),
    "policy put": ("cam:PutPolicy", "policy/p", lambda it: it.policies.put(OPERATOR, APPID, "p", READ)),
    "policy attach": (
        "cam:AttachUserPolicy",
        "user/alice",
        lambda it: it.policies.attach(OPERATOR, APPID, PRESET, USER),
    ),
    "role put": ("cam:PutRole", "role/r", lambda it: it.roles.put(OPERATOR, APPID, "r", TRUST)),
    "role remove": ("cam:DeleteRole", "role/worker", lambda it: it.roles.remove(OPERATOR, APPID, "worker")),
    "bucket policy": (
        "cos:DeleteBucketPolicy",
        f"bucket/{BUCKET}",
        lambda it: it.bucket_policies.operate(OPERATOR, BUCKET, None),
    ),
}


class TestAudit:
    """Entries of the log."""

    @pytest.mark.parametrize("name", CHANGES)
    async def test_every_change_is_told(self, office: Office, name: str) -> None:
        """Who did what to what, in whose account, once; which key was made, and never a secret."""
        action, resource, do = CHANGES[name]
        before = len(await office.log())
        done = await do(office)
        (entry,) = (await office.log())[before:]
        owner = "1250000009" if name == "account create" else APPID
        assert (entry.action, entry.resource, entry.owner) == (action, resource, owner)
        assert (entry.caller, entry.source, entry.request_id) == ("operator/tester", "local", "r1")
        assert (entry.allowed, entry.code, entry.appid, entry.secret_id) == (True, "", None, None)
        made = done[1] if isinstance(done, tuple) else done
        if isinstance(made, AccessKey):
            assert made.secret_id in entry.reason
            assert made.secret_key not in repr(entry)

    async def test_looking_is_not(self, office: Office) -> None:
        """Whoever changes nothing leaves no entry."""
        before = await office.log()
        await office.accounts.get(APPID)
        await office.users.every(APPID)
        await office.groups.every(APPID)
        await office.keys.every(APPID, "alice")
        await office.policies.get(APPID, PRESET)
        await office.roles.get(APPID, CI_ROLE)
        assert await office.log() == before

    async def test_a_refusal_is_told(self, office: Office) -> None:
        """With its code and message; nothing else of it was done."""
        before = len(await office.log())
        assert await refusal(office.users.add(OPERATOR, APPID, "alice")) == "EntityAlreadyExists"
        (entry,) = (await office.log())[before:]
        assert (entry.allowed, entry.code) == (True, "EntityAlreadyExists")
        assert "alice" in entry.reason

    async def test_what_fails_is_undone(self, database: PostgresDatabase) -> None:
        """Change and entry are one: of a refused change only the entry that tells of the refusal is there."""

        async def fail(error: Exception) -> None:
            async with change(database, changes(database).clock, OPERATOR, "a", "r", APPID, "n") as tx:
                await tx.identities.weigh(APPID, 50)
                raise error

        for error in (LIMIT_EXCEEDED("too many"), ZeroDivisionError()):
            with pytest.raises(type(error)):
                await fail(error)
        (entry,) = await Office(database).log()
        assert (entry.code, entry.reason) == ("LimitExceeded", "too many")
        assert (await Office(database).accounts.get(APPID)).weight == 1

    async def test_what_somebody_typed_can_be_kept_and_shown(self, office: Office) -> None:
        """Control characters, halves of characters and very long texts are told as far as a terminal shows them."""
        before = len(await office.log())
        for name in ("\0", "\ud800", "\x1b[2J", "x" * 10_000):
            assert await refusal(office.users.add(OPERATOR, APPID, name)) == "InvalidArgument"
            assert await refusal(office.users.add(OPERATOR, name, "bob")) == "NoSuchEntity"
        for entry in (await office.log())[before:]:
            assert (entry.resource + entry.reason).isprintable()
            assert len(entry.resource) <= 500


NAMES = ["", "a b", "a/b", "ä", "a:b", "x" * 65, "\0", "\ud800", "a\n"]


@pytest.mark.parametrize("name", NAMES)
async def test_names_that_cannot_be(office: Office, name: str) -> None:
    """Nothing is made, looked up or removed by them."""
    target = replace(USER, name=name)
    for call in (
        office.users.add(OPERATOR, APPID, name),
        office.users.get(APPID, name),
        office.users.enable(OPERATOR, APPID, name, enabled=True),
        office.users.remove(OPERATOR, APPID, name),
        office.groups.add(OPERATOR, APPID, name),
        office.groups.remove(OPERATOR, APPID, name),
        office.groups.join(OPERATOR, APPID, GROUP.name, name),
        office.keys.add(OPERATOR, APPID, name),
        office.keys.every(APPID, name),
        office.policies.put(OPERATOR, APPID, name, READ),
        office.policies.get(APPID, name),
        office.policies.remove(OPERATOR, APPID, name),
        office.policies.targets(APPID, name),
        office.policies.attach(OPERATOR, APPID, name, USER),
        office.policies.attach(OPERATOR, APPID, PRESET, target),
        office.policies.detach(OPERATOR, APPID, name, USER),
        office.policies.attached(APPID, target),
        office.roles.put(OPERATOR, APPID, name, TRUST),
        office.roles.get(APPID, name),
        office.roles.remove(OPERATOR, APPID, name),
    ):
        assert await refusal(call) == "InvalidArgument"


async def test_names_that_can_be(office: Office) -> None:
    """All that the cloud allows."""
    for name in ("x" * 64, "a+b=c,d.e@f_g-h", "7", "Alice"):
        assert (await office.users.add(OPERATOR, APPID, name)).name == name


MISSING: dict[str, Callable[[Office, str], Coroutine[Any, Any, object]]] = {
    "account": lambda it, name: it.accounts.get(name),
    "user": lambda it, name: it.users.get(APPID, name),
    "user to enable": lambda it, name: it.users.enable(OPERATOR, APPID, name, enabled=True),
    "user to remove": lambda it, name: it.users.remove(OPERATOR, APPID, name),
    "user of a key": lambda it, name: it.keys.add(OPERATOR, APPID, name),
    "user to look for keys of": lambda it, name: it.keys.every(APPID, name),
    "group to remove": lambda it, name: it.groups.remove(OPERATOR, APPID, name),
    "group to join": lambda it, name: it.groups.join(OPERATOR, APPID, name, "alice"),
    "user to join": lambda it, name: it.groups.join(OPERATOR, APPID, "readers", name),
    "membership": lambda it, _: it.groups.leave(OPERATOR, APPID, "readers", "alice"),
    "key to change": lambda it, name: it.keys.change(OPERATOR, APPID, name, enabled=True),
    "key to rotate": lambda it, name: it.keys.rotate(OPERATOR, APPID, name),
    "key to remove": lambda it, name: it.keys.remove(OPERATOR, APPID, name),
    "policy": lambda it, name: it.policies.get(APPID, name),
    "policy to remove": lambda it, name: it.policies.remove(OPERATOR, APPID, name),
    "policy to attach": lambda it, name: it.policies.attach(OPERATOR, APPID, name, USER),
    "user to attach to": lambda it, name: it.policies.attach(OPERATOR, APPID, PRESET, replace(USER, name=name)),
    "group to attach to": lambda it, name: it.policies.attach(OPERATOR, APPID, PRESET, replace(GROUP, name=name)),
    "role to attach to": lambda it, name: it.policies.attach(OPERATOR, APPID, PRESET, replace(ROLE, name=name)),
    "attachment": lambda it, _: it.policies.detach(OPERATOR, APPID, PRESET, USER),
    "targets of": lambda it, name: it.policies.targets(APPID, name),
    "role": lambda it, name: it.roles.get(APPID, name),
    "role to remove": lambda it, name: it.roles.remove(OPERATOR, APPID, name),
}


async def test_what_is_not_there(office: Office) -> None:
    """It is told so, also of what another account has of that name."""
    other, _ = await office.accounts.create(OPERATOR, "other")
    await office.users.add(OPERATOR, other.appid, "foreign")
    await office.groups.add(OPERATOR, other.appid, "foreign")
    await office.policies.put(OPERATOR, other.appid, "foreign", READ)
    await office.roles.put(OPERATOR, other.appid, "foreign", TRUST)
    for what, call in MISSING.items():
        for name in ("nobody", "foreign"):
            assert (what, await refusal(call(office, name))) == (what, "NoSuchEntity")


class TestAccounts:
    """Accounts."""

    async def test_one_is_made_ready(self, office: Office) -> None:
        """With its numbers, a key of its root that signs, and the role of jobs."""
        account, key = await office.accounts.create(OPERATOR, "music department")
        assert (account.name, account.enabled) == ("music department", True)
        assert (len(account.appid), len(account.uin)) == (10, 12)
        assert await office.accounts.get(account.appid) == account
        assert [it.appid for it in await office.accounts.every()] == [APPID, account.appid]
        async with office.database.reading() as tx:
            signer, _ = await tx.identities.signer(key.secret_id, "")
        assert (signer.secret_key, signer.account) == (key.secret_key, account)
        assert [role.name for role in await office.roles.every(account.appid)] == [CI_ROLE]

    @pytest.mark.parametrize(
        ("numbers", "code"),
        [
            ({"appid": APPID}, "EntityAlreadyExists"),
            ({"uin": ROOT.account.uin}, "EntityAlreadyExists"),
            ({"appid": "0125000000"}, "InvalidArgument"),
            ({"appid": "1234"}, "InvalidArgument"),
            ({"appid": "1" * 21}, "InvalidArgument"),
            ({"uin": "10000000000a"}, "InvalidArgument"),
            ({"uin": "\uff11\uff12\uff13\uff14\uff15\uff16"}, "InvalidArgument"),
            ({"appid": "\0"}, "InvalidArgument"),
        ],
    )
    async def test_numbers_that_cannot_be(self, office: Office, numbers: dict[str, str], code: str) -> None:
        """Those that others have, and what no client could read."""
        assert await refusal(office.accounts.create(OPERATOR, "n", **numbers)) == code
        assert len(await office.accounts.every()) == 1

    @pytest.mark.parametrize("name", ["x" * 65, "\x1b[2J", "a\nb"])
    async def test_names_that_cannot_be(self, office: Office, name: str) -> None:
        """Those too long, or that a terminal cannot show."""
        assert await refusal(office.accounts.create(OPERATOR, name)) == "InvalidArgument"
        assert await refusal(office.accounts.change(OPERATOR, APPID, name=name)) == "InvalidArgument"

    async def test_allowances(self, office: Office) -> None:
        """What is not named stays; None is the server's setting again."""
        await office.accounts.allow(OPERATOR, APPID, {"requests_per_second": 5, "audio_seconds": 0})
        await office.accounts.allow(OPERATOR, APPID, {"queued_jobs": 7, "audio_seconds": None})
        account = await office.accounts.get(APPID)
        assert account.allowance == Allowance(requests_per_second=5, queued_jobs=7)

    @pytest.mark.parametrize(
        "allowance",
        [
            {"requests_per_second": 0},
            {"requests_per_second": 2**31},
            {"queued_jobs": -1},
            {"queued_jobs": 2**31},
            {"audio_seconds": -1},
            {"audio_seconds": 10**9 + 1},
        ],
        ids=str,
    )
    async def test_allowances_that_are_none(self, office: Office, allowance: dict[str, int]) -> None:
        """Nothing is set."""
        assert (
            await refusal(office.accounts.allow(OPERATOR, APPID, {"queued_jobs": 3} | allowance)) == "InvalidArgument"
        )
        assert (await office.accounts.get(APPID)).allowance == Allowance()

    @pytest.mark.parametrize("weight", [0, MAX_WEIGHT + 1])
    async def test_weights_that_are_none(self, office: Office, weight: int) -> None:
        """Nothing is set."""
        assert await refusal(office.accounts.weigh(OPERATOR, APPID, weight)) == "InvalidArgument"


class TestKeys:
    """Keys."""

    @pytest.mark.parametrize("user", [None, "alice"])
    async def test_limit(self, office: Office, user: str | None) -> None:
        """Also when many are added at once there are no more than so many; each owner has its own."""
        others = await office.keys.add(OPERATOR, APPID, "alice" if user is None else None)

        async def add() -> str:
            try:
                return (await office.keys.add(OPERATOR, APPID, user)).secret_id
            except ServiceError as refusal:
                return refusal.code

        added = await asyncio.gather(*(add() for _ in range(MAX_KEYS + 3)))
        uses = await office.keys.every(APPID, user)
        assert len(uses) == MAX_KEYS
        assert added.count("LimitExceeded") == MAX_KEYS + 3 - (MAX_KEYS - (user is None))
        assert others.secret_id not in {use.key.secret_id for use in uses}
        assert await refusal(office.keys.rotate(OPERATOR, APPID, uses[0].key.secret_id)) == "LimitExceeded"

    async def test_rotating(self, office: Office) -> None:
        """The new key is the same user's; the old one is good until it is disabled."""
        old = await office.keys.add(OPERATOR, APPID, "alice")
        new = await office.keys.rotate(OPERATOR, APPID, old.secret_id)
        assert (new.uin, new.account) == (old.uin, old.account)
        assert new.secret_id != old.secret_id
        assert new.secret_key != old.secret_key
        assert [use.key.enabled for use in await office.keys.every(APPID, "alice")] == [True, True]
        assert not (await office.keys.change(OPERATOR, APPID, old.secret_id, enabled=False)).key.enabled
        async with office.database.reading() as tx:
            assert await tx.identities.signer(old.secret_id, "") is None
            assert (await tx.identities.signer(new.secret_id, ""))[0].secret_key == new.secret_key

    async def test_state_and_limit_are_apart(self, office: Office) -> None:
        """What is not named stays."""
        key = await office.keys.add(OPERATOR, APPID, "alice")
        await office.keys.change(OPERATOR, APPID, key.secret_id, requests_per_second=5)
        use = await office.keys.change(OPERATOR, APPID, key.secret_id, enabled=False)
        assert (use.key.enabled, use.key.requests_per_second) == (False, 5)
        use = await office.keys.change(OPERATOR, APPID, key.secret_id, requests_per_second=None)
        assert (use.key.enabled, use.key.requests_per_second) == (False, None)

    @pytest.mark.parametrize("limit", [0, -1, 2**31])
    async def test_limits_that_are_none(self, office: Office, limit: int) -> None:
        """Nothing is set."""
        change = office.keys.change(OPERATOR, APPID, ROOT.secret_id, requests_per_second=limit)
        assert await refusal(change) == "InvalidArgument"

    async def test_the_last_key_of_a_root_stays(self, office: Office) -> None:
        """Neither disabled nor removed, until there is another that is good; of users all may go."""
        assert await refusal(office.keys.change(OPERATOR, APPID, ROOT.secret_id, enabled=False)) == "EntityInUse"
        second = await office.keys.add(OPERATOR, APPID, None)
        await office.keys.change(OPERATOR, APPID, second.secret_id, enabled=False)
        assert await refusal(office.keys.remove(OPERATOR, APPID, ROOT.secret_id)) == "EntityInUse"
        await office.keys.change(OPERATOR, APPID, second.secret_id, enabled=True)
        await office.keys.remove(OPERATOR, APPID, ROOT.secret_id)
        assert await refusal(office.keys.remove(OPERATOR, APPID, second.secret_id)) == "EntityInUse"
        last = await office.keys.add(OPERATOR, APPID, "alice")
        await office.keys.remove(OPERATOR, APPID, last.secret_id)

    async def test_of_two_last_keys_one_stays(self, office: Office) -> None:
        """Also when both are disabled at once."""
        second = await office.keys.add(OPERATOR, APPID, None)
        ended = await asyncio.gather(
            *(
                office.keys.change(OPERATOR, APPID, secret_id, enabled=False)
                for secret_id in (ROOT.secret_id, second.secret_id)
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(it, ServiceError) for it in ended) == 1
        assert sum(use.key.enabled for use in await office.keys.every(APPID, None)) == 1

    async def test_keys_of_other_accounts(self, office: Office) -> None:
        """An account's name does not reach another's keys."""
        other, key = await office.accounts.create(OPERATOR, "other")
        await office.keys.add(OPERATOR, other.appid, None)
        for call in (
            office.keys.change(OPERATOR, APPID, key.secret_id, enabled=False),
            office.keys.rotate(OPERATOR, APPID, key.secret_id),
            office.keys.remove(OPERATOR, APPID, key.secret_id),
            office.keys.remove(OPERATOR, APPID, "\0"),
        ):
            assert await refusal(call) == "NoSuchEntity"


class TestLimits:
    """How many there may be."""

    async def test_of_an_account(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        """Users, groups, policies and roles; what is there is still changed."""
        monkeypatch.setattr(users_module, "MAX_USERS", 1)
        monkeypatch.setattr(users_module, "MAX_GROUPS", 1)
        monkeypatch.setattr(policies_module, "MAX_POLICIES", 1)
        monkeypatch.setattr(roles_module, "MAX_ROLES", 2)
        await office.policies.put(OPERATOR, APPID, "p", READ)
        for call in (
            office.users.add(OPERATOR, APPID, "more"),
            office.groups.add(OPERATOR, APPID, "more"),
            office.policies.put(OPERATOR, APPID, "more", READ),
            office.roles.put(OPERATOR, APPID, "more", TRUST),
        ):
            assert await refusal(call) == "LimitExceeded"
        assert [it.name for it in await office.policies.every(APPID)] == ["p"]
        assert [it.name for it in await office.roles.every(APPID)] == [CI_ROLE, ROLE.name]
        await office.policies.put(OPERATOR, APPID, "p", READ, "changed")
        await office.roles.put(OPERATOR, APPID, ROLE.name, TRUST, "changed")

    @pytest.mark.parametrize("target", [USER, GROUP, ROLE], ids=[it.kind for it in (USER, GROUP, ROLE)])
    async def test_of_attachments(self, office: Office, target: Target) -> None:
        """A target has so many policies; one that it has is attached again without a word."""
        for number in range(MAX_ATTACHED + 1):
            await office.policies.put(OPERATOR, APPID, f"p{number}", READ)
        for number in range(MAX_ATTACHED):
            await office.policies.attach(OPERATOR, APPID, f"p{number}", target)
        await office.policies.attach(OPERATOR, APPID, "p0", target)
        more = f"p{MAX_ATTACHED}"
        assert await refusal(office.policies.attach(OPERATOR, APPID, more, target)) == "LimitExceeded"
        await office.policies.detach(OPERATOR, APPID, "p0", target)
        await office.policies.attach(OPERATOR, APPID, more, target)

    async def test_of_memberships(self, office: Office) -> None:
        """A user is in so many groups, for all their policies are read with each of its calls."""
        for number in range(MAX_GROUPS_OF_USER):
            await office.groups.add(OPERATOR, APPID, f"g{number}")
            await office.groups.join(OPERATOR, APPID, f"g{number}", "alice")
        await office.groups.join(OPERATOR, APPID, "g0", "alice")
        assert await refusal(office.groups.join(OPERATOR, APPID, GROUP.name, "alice")) == "LimitExceeded"
        await office.groups.leave(OPERATOR, APPID, "g0", "alice")
        await office.groups.join(OPERATOR, APPID, GROUP.name, "alice")

    def test_are_the_clouds(self) -> None:
        """Those that operators may know from there."""
        assert (users_module.MAX_USERS, users_module.MAX_GROUPS) == (1_000, 300)
        assert (policies_module.MAX_POLICIES, roles_module.MAX_ROLES, keys_module.MAX_KEYS) == (1_500, 1_000, 5)


class TestPolicies:
    """Policies."""

    async def test_own_ones_and_presets(self, office: Office) -> None:
        """Both are found and attached by name; targets are told by the names that people gave them."""
        mine = await office.policies.put(OPERATOR, APPID, "p", READ, "d")
        assert await office.policies.get(APPID, "p") == mine
        preset = await office.policies.get(APPID, PRESET)
        assert isinstance(preset, NamedPolicy)
        assert preset in office.policies.presets()
        for target in (USER, GROUP, ROLE):
            for name in ("p", PRESET):
                await office.policies.attach(OPERATOR, APPID, name, target)
            assert await office.policies.attached(APPID, target) == [PRESET, "p"]
        assert await office.policies.targets(APPID, PRESET) == [GROUP, ROLE, USER]

    async def test_one_in_use_stays(self, office: Office) -> None:
        """What it is attached to is said; presets stay in any case, and nobody takes their names."""
        await office.policies.put(OPERATOR, APPID, "p", READ)
        await office.policies.attach(OPERATOR, APPID, "p", USER)
        with pytest.raises(ServiceError, match="attached to user alice; detach it first") as caught:
            await office.policies.remove(OPERATOR, APPID, "p")
        assert caught.value.code == "EntityInUse"
        await office.policies.detach(OPERATOR, APPID, "p", USER)
        await office.policies.remove(OPERATOR, APPID, "p")
        assert await refusal(office.policies.remove(OPERATOR, APPID, PRESET)) == "EntityInUse"
        assert await refusal(office.policies.put(OPERATOR, APPID, PRESET, READ)) == "EntityAlreadyExists"

    @pytest.mark.parametrize("document", ["", "{}", "\ud800", '{"version":"2.0","statement":[]}', TRUST, "[" * 10_000])
    async def test_documents_that_are_none(self, office: Office, document: str) -> None:
        """They are refused where they are put, and nothing is written."""
        assert await refusal(office.policies.put(OPERATOR, APPID, "p", document)) == "MalformedPolicy"
        assert await office.policies.every(APPID) == []

    async def test_trusts_that_are_none(self, office: Office) -> None:
        """A role's trust has principals and no resources."""
        assert await refusal(office.roles.put(OPERATOR, APPID, ROLE.name, READ)) == "MalformedPolicy"
        assert (await office.roles.get(APPID, ROLE.name)).trust == TRUST


def of_bucket(resource: object, **more: object) -> str:
    """A bucket's policy about a resource."""
    return document(allow("cos:GetObject", resource, principal={"qcs": ["*"]}, **more))


INSIDE = f"qcs::cos:ap-guangzhou:uid/{APPID}:{BUCKET}"


class TestBucketPolicies:
    """Policies of buckets."""

    @pytest.mark.parametrize(
        "resource",
        [
            "*",
            f"{INSIDE}/*",
            f"{INSIDE}/a/b",
            f"{INSIDE}/",
            INSIDE,
            f"qcs::cos::uid/{APPID}:{BUCKET}/*",
            f"qcs::cos:*:uin/{ROOT.account.uin}:test-*",
            "qcs::cos:::*",
            f"qcs::ci:ap-guangzhou:uid/{APPID}:bucket/{BUCKET}/*",
            f"qcs::cos:ap-guangzhou:uid/{APPID}:prefix//{APPID}/test/*",
            [f"{INSIDE}/a", f"{INSIDE}/b"],
        ],
        ids=str,
    )
    async def test_about_the_bucket(self, office: Office, resource: object) -> None:
        """However it is written; it comes as it was put."""
        document = of_bucket(resource)
        await office.bucket_policies.put(BUCKET, document)
        assert await office.bucket_policies.get(BUCKET) == document

    @pytest.mark.parametrize(
        "resource",
        [
            f"qcs::cos:ap-guangzhou:uid/{APPID}:other-{APPID}/*",
            f"qcs::cos:ap-beijing:uid/{APPID}:{BUCKET}/*",
            f"qcs::cos:ap-guangzhou:uid/1250000001:{BUCKET}/*",
            f"qcs::cam::uin/{ROOT.account.uin}:{BUCKET}/*",
            f"qcs::cos:ap-guangzhou:uid/{APPID}:{BUCKET}0/*",
            [f"{INSIDE}/*", f"qcs::cos:ap-guangzhou:uid/{APPID}:other-{APPID}/*"],
        ],
        ids=str,
    )
    async def test_about_something_else(self, office: Office, resource: object) -> None:
        """It would do nothing, and whoever wrote it believes that it does."""
        assert await refusal(office.bucket_policies.put(BUCKET, of_bucket(resource))) == "MalformedPolicy"
        assert await refusal(office.bucket_policies.get(BUCKET)) == "NoSuchBucketPolicy"

    async def test_taking_it_away(self, office: Office) -> None:
        """Twice is as good as once."""
        await office.bucket_policies.operate(OPERATOR, BUCKET, of_bucket("*"))
        for _ in range(2):
            await office.bucket_policies.remove(BUCKET)
            assert await refusal(office.bucket_policies.get(BUCKET)) == "NoSuchBucketPolicy"

    @pytest.mark.parametrize("name", ["none-1250000000", "\0", "none"])
    async def test_of_no_bucket(self, office: Office, name: str) -> None:
        """It is told so, to operators, too."""
        for call in (
            office.bucket_policies.put(name, of_bucket("*")),
            office.bucket_policies.get(name),
            office.bucket_policies.remove(name),
            office.bucket_policies.operate(OPERATOR, name, None),
        ):
            assert await refusal(call) == "NoSuchBucket"

    async def test_it_goes_with_its_bucket(self, office: Office) -> None:
        """A bucket made anew under that name has none."""
        name = f"short-{APPID}"
        async with office.database.transaction() as tx:
            await tx.buckets.add(bucket(name))
        await office.bucket_policies.put(name, of_bucket("*"))
        async with office.database.transaction() as tx:
            assert await tx.buckets.remove(name)
            await tx.buckets.add(bucket(name))
        assert await refusal(office.bucket_policies.get(name)) == "NoSuchBucketPolicy"


async def test_changes_at_once_do_not_get_in_each_others_way(office: Office) -> None:
    """Many operators change one account, and other accounts, and all of it is done."""
    others = [(await office.accounts.create(OPERATOR, f"n{number}"))[0] for number in range(3)]
    await asyncio.gather(
        *(office.users.add(OPERATOR, APPID, f"u{number}") for number in range(10)),
        *(office.policies.put(OPERATOR, APPID, f"p{number}", READ) for number in range(10)),
        *(office.users.add(OPERATOR, account.appid, "alice") for account in others),
        *(office.accounts.weigh(OPERATOR, APPID, 2) for _ in range(3)),
    )
    assert len(await office.users.every(APPID)) == 11
    assert len(await office.policies.every(APPID)) == 10
    for account in others:
        assert [user.name for user in await office.users.every(account.appid)] == ["alice"]
