"""Temporary keys: what is kept of them, when they end, and how many there may be."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from rows import NOW, OPERATOR, ROOT, ROOT_SIGNER
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.cam.operator import Changes
from sordino.cam.sessions import KEEP, EndedSessions, Sessions
from sordino.cam.sts import Arn, Asker, Sts, Wanted
from sordino.domain.audit import AuditSearch
from sordino.domain.identity import AccessKey, Account, Role, Signer, TemporaryKey, User
from sordino.domain.token import digest, token_fault
from sordino.errors import ServiceError

OTHER = AccessKey(secret_id="AKIDother", secret_key="o", account=Account(appid="1250000001", uin="100000000002"))
ALL = '{"version":"2.0","statement":[{"effect":"allow","action":"*","resource":"*"}]}'
TRUST = (
    '{"version":"2.0","statement":[{"effect":"allow","action":"sts:AssumeRole",'
    '"principal":{"qcs":["qcs::cam::uin/100000000001:root"]}}]}'
)
KEY = TemporaryKey(
    secret_id="AKIDtemporary",
    secret_key="its secret",
    token="its token",
    appid=ROOT.account.appid,
    parent=ROOT.secret_id,
    role=None,
    session_name="session",
    policy=ALL,
    created_at=NOW,
    expires_at=NOW + timedelta(minutes=30),
)


class Moved:
    """A clock that stands, and is moved."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        """The time it shows."""
        return self.at


@pytest.fixture
async def rich(database: PostgresDatabase) -> PostgresDatabase:
    """A database with two accounts; each has a role, and the first a user with a key."""
    async with database.transaction() as tx:
        assert await tx.identities.add_account(OTHER.account)
        await tx.users.add_key(OTHER)
        for account in (ROOT.account, OTHER.account):
            await tx.policies.put_role(Role(appid=account.appid, name="role", trust=TRUST), NOW)
        assert await tx.users.add(User(uin="3000", appid=ROOT.account.appid, name="alice", created_at=NOW))
        await tx.users.add_key(AccessKey(secret_id="AKIDalice", secret_key="a", account=ROOT.account, uin="3000"))
    return database


def keys(**changes: Any) -> list[TemporaryKey]:
    """Three keys that differ."""
    return [replace(KEY, secret_id=f"{KEY.secret_id}{number}", **changes) for number in range(3)]


async def add(database: PostgresDatabase, *made: TemporaryKey) -> None:
    """Keep them."""
    async with database.transaction() as tx:
        for key in made:
            assert await tx.temporary_keys.add(key)


async def signer(database: PostgresDatabase, secret_id: str) -> Signer | None:
    """Whose key it is, if it is good."""
    async with database.reading() as tx:
        found = await tx.identities.temporary(secret_id, "")
    return found[0] if found else None


async def test_what_is_kept(rich: PostgresDatabase) -> None:
    """A key signs with its secret and its token; of neither there is a copy in the clear."""
    await add(rich, KEY)
    found = await signer(rich, KEY.secret_id)
    assert found is not None
    assert (found.secret_key, found.parent, found.expires_at) == (KEY.secret_key, ROOT.secret_id, KEY.expires_at)
    assert found.token == digest(KEY.token)
    assert found.caller.session is not None
    assert found.caller.session.document == ALL
    async with rich.reading() as tx:
        rows = await (await tx.connection.execute("SELECT temporary_keys::text AS row FROM temporary_keys")).fetchall()
    assert [text for text in (KEY.secret_key, KEY.token) if text in rows[0]["row"]] == []


@pytest.mark.parametrize(
    ("token", "later", "fault"),
    [
        (KEY.token, 1799, None),
        (KEY.token, 1800, "EXPIRED"),
        (None, 0, "MISSING"),
        ("", 0, "WRONG"),
        ("its token ", 0, "WRONG"),
        (digest(KEY.token), 0, "WRONG"),
        ("wrong", 1800, "WRONG"),
    ],
    ids=["right", "late", "none", "empty", "other", "digest", "wrong and late"],
)
async def test_tokens(rich: PostgresDatabase, token: str | None, later: int, fault: str | None) -> None:
    """The token must be the key's, and the time not over; what is kept of a token is no token."""
    await add(rich, KEY)
    found = await signer(rich, KEY.secret_id)
    assert found is not None
    it = token_fault(found, token, NOW + timedelta(seconds=later))
    assert (it and it.name) == fault


async def test_a_token_with_a_permanent_key() -> None:
    """A token that comes with a permanent key is none of its."""
    it = token_fault(ROOT_SIGNER, "token", NOW)
    assert it is not None
    assert it.name == "NEEDLESS"
    assert token_fault(ROOT_SIGNER, None, NOW) is None


async def test_lists(rich: PostgresDatabase) -> None:
    """The operator sees what is good yet of the account that it acts for, the newest first, without secrets."""
    old, middle, new = keys()
    foreign = replace(KEY, secret_id="AKIDforeign", appid=OTHER.account.appid, role="role")
    over = replace(KEY, secret_id="AKIDover", expires_at=NOW)
    await add(
        rich,
        replace(middle, created_at=NOW + timedelta(seconds=1)),
        replace(new, created_at=NOW + timedelta(seconds=2)),
        old,
        foreign,
        over,
    )
    async with rich.reading() as tx:
        mine = await tx.temporary_keys.list(ROOT.account.appid, NOW)
        theirs = await tx.temporary_keys.list(OTHER.account.appid, NOW)
    assert [key.secret_id for key in mine] == [new.secret_id, middle.secret_id, old.secret_id]
    assert {(key.secret_key, key.token) for key in mine} == {("", "")}
    assert [(key.secret_id, key.role, key.parent) for key in theirs] == [("AKIDforeign", "role", ROOT.secret_id)]


async def test_counts(rich: PostgresDatabase) -> None:
    """Those that an account asked for count, wherever they act, while they are good, and no further than asked."""
    first, second, third = keys()
    await add(
        rich,
        first,
        replace(second, appid=OTHER.account.appid, role="role"),
        replace(third, expires_at=NOW),
    )
    async with rich.reading() as tx:
        count = tx.temporary_keys.count
        assert await count(ROOT.account.appid, NOW, 10) == 2
        assert await count(ROOT.account.appid, NOW, 1) == 1
        assert await count(OTHER.account.appid, NOW, 10) == 0


async def test_whose_session_it_is(rich: PostgresDatabase) -> None:
    """The name of a session comes with the number of who asked for it, a user or a root."""
    first, second, _ = keys()
    await add(rich, first, replace(second, parent="AKIDalice", session_name="hers"))
    async with rich.reading() as tx:
        assert await tx.temporary_keys.session(first.secret_id) == ("session", ROOT.account.uin)
        assert await tx.temporary_keys.session(second.secret_id) == ("hers", "3000")
        assert await tx.temporary_keys.session("AKIDnone") is None


@pytest.mark.parametrize("change", [{"parent": "AKIDnone"}, {"role": "none"}], ids=["key", "role"])
async def test_what_went_meanwhile(rich: PostgresDatabase, change: dict[str, str]) -> None:
    """Nothing is kept for a key or a role that is gone by then."""
    async with rich.reading() as tx:
        assert not await tx.temporary_keys.add(replace(KEY, **change))
        assert not await tx.temporary_keys.list(ROOT.account.appid, NOW)


async def test_sweep(rich: PostgresDatabase) -> None:
    """Keys that ended a day ago go, in batches; those that ended since are known as ended."""
    await add(
        rich,
        *(replace(key, expires_at=NOW - KEEP) for key in keys()),
        replace(KEY, secret_id="AKIDsince", expires_at=NOW - KEEP + timedelta(seconds=1)),
    )
    async with rich.statement() as tx:
        assert await tx.temporary_keys.sweep(NOW - KEEP, 2) == 2
    assert await EndedSessions(database=rich, clock=Moved())() == 1
    assert await EndedSessions(database=rich, clock=Moved())() == 0
    assert await signer(rich, "AKIDsince")


async def test_the_operator_ends_a_session(rich: PostgresDatabase) -> None:
    """A key is ended at once, by its account alone, and the log tells who did it."""
    sessions = Sessions(Changes(rich, Moved()))
    await add(rich, KEY)
    assert [key.secret_id for key in await sessions.every(ROOT.account.appid)] == [KEY.secret_id]
    for appid, secret_id in (
        (OTHER.account.appid, KEY.secret_id),
        (ROOT.account.appid, "AKIDnone"),
        (ROOT.account.appid, "\ud800"),
        (ROOT.account.appid, "\0"),
        ("none", KEY.secret_id),
    ):
        with pytest.raises(ServiceError) as refusal:
            await sessions.remove(OPERATOR, appid, secret_id)
        assert refusal.value.code == "NoSuchEntity"
    assert await signer(rich, KEY.secret_id)
    await sessions.remove(OPERATOR, ROOT.account.appid, KEY.secret_id)
    assert await signer(rich, KEY.secret_id) is None
    async with rich.reading() as tx:
        log = [it.entry for it in await tx.audit.search(AuditSearch(action="sts:EndSession"))]
    assert (log[0].resource, log[0].code) == (f"session/{KEY.secret_id}", "")
    assert {entry.code for entry in log[1:]} == {"NoSuchEntity"}


async def ask(sts: Sts, asker: Signer = ROOT_SIGNER, **wanted: Any) -> TemporaryKey:
    """Ask for a key that acts as the asker."""
    given = {"name": "session", "policy": ALL, "seconds": None} | wanted
    return await sts.federation_token(Asker(asker, {}, lambda *_: None), Wanted(**given))


async def test_no_more_than_so_many(rich: PostgresDatabase) -> None:
    """An account has so many at a time; a few more, if they are asked for at once; ended ones make room."""
    clock = Moved()
    sts = Sts(database=rich, clock=clock, most=3)
    asked = await asyncio.gather(*(ask(sts) for _ in range(8)), return_exceptions=True)
    made = [it for it in asked if isinstance(it, TemporaryKey)]
    assert 3 <= len(made) <= 6
    with pytest.raises(ServiceError) as refusal:
        await ask(sts)
    assert refusal.value.code == "LimitExceeded"
    clock.at += timedelta(seconds=1800)
    assert (await ask(sts)).expires_at == clock.at + timedelta(seconds=1800)


async def test_what_is_given(rich: PostgresDatabase) -> None:
    """Ids and tokens are long, random, and in letters that URLs and headers take."""
    sts = Sts(database=rich, clock=Moved(), most=10)
    one, other = await ask(sts), await ask(sts)
    assert (len(one.secret_id), len(one.secret_key), len(one.token)) == (68, 44, 128)
    assert one.secret_id.startswith("AKID")
    assert (one.token + one.secret_id + one.secret_key).replace("-", "").replace("_", "").isalnum()
    assert not {one.secret_id, one.secret_key, one.token} & {other.secret_id, other.secret_key, other.token}
    assert repr(one).count(one.token) == repr(one).count(one.secret_key) == 0


async def test_the_removed_key_asks(rich: PostgresDatabase) -> None:
    """A key that was removed while it asked gets none."""
    sts = Sts(database=rich, clock=Moved(), most=10)
    with pytest.raises(ServiceError) as refusal:
        await ask(sts, replace(ROOT_SIGNER, secret_id="AKIDgone"))
    assert refusal.value.code == "AuthFailure.SecretIdNotFound"


async def test_disabled_account_of_a_role(rich: PostgresDatabase) -> None:
    """A role of an account that is disabled is taken by nobody, in the words of one that there is not."""
    sts = Sts(database=rich, clock=Moved(), most=10)
    asker, wanted = Asker(ROOT_SIGNER, {}, lambda *_: None), Wanted(name="session", policy=None, seconds=None)
    arn = Arn(OTHER.account.uin, "role")
    assert (await sts.assume_role(asker, arn, wanted)).appid == OTHER.account.appid
    async with rich.transaction() as tx:
        await tx.identities.change_account(OTHER.account.appid, name=None, enabled=False)
    messages = []
    for named in (arn, Arn(OTHER.account.uin, "none"), Arn("9", "role")):
        with pytest.raises(ServiceError) as refusal:
            await sts.assume_role(asker, named, wanted)
        assert refusal.value.code == "UnauthorizedOperation"
        messages.append(refusal.value.message.replace(f"uin/{named.uin}:roleName/{named.name}", "it"))
    assert len(set(messages)) == 1


@pytest.mark.parametrize(
    ("text", "uin", "name"),
    [
        ("qcs::cam::uin/1:roleName/a+=,.@_-b", "1", "a+=,.@_-b"),
        ("qcs::cam::uin/1:role/a", "1", "a"),
        ("qcs::cam::uin/1:role/tencentcloudServiceRoleName/CI_QCSRole", None, None),
        ("qcs::cam::uin/1:tencentcloudServiceRoleName/CI_QCSRole", "1", "CI_QCSRole"),
        ("qcs::cam::uin/:roleName/a", None, None),
        ("qcs::cam::uin/1:roleName/", None, None),
        ("qcs::cam::uin/1:roleName/a b", None, None),
        ("qcs::cam::uin/1:roleName/a\n", None, None),
        ("qcs::cam::uin/1:roleName/*", None, None),
        ("qcs::cam::uin/\u0661:roleName/a", None, None),
        ("", None, None),
    ],
)
def test_names_of_roles(text: str, uin: str | None, name: str | None) -> None:
    """A role is named by its account's root and its own name; nothing else is taken for one."""
    if uin is not None:
        arn = Arn.parse(text)
        assert (arn.uin, arn.name) == (uin, name)
        return
    with pytest.raises(ServiceError) as refusal:
        Arn.parse(text)
    assert refusal.value.code == "InvalidParameter.ParamError"
