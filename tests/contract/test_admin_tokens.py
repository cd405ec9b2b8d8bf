"""Tokens of the admin API are kept as their digests alone, and are good for as long and as much as was said."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from rows import LATER, NOW, ROOT
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.cam.operator import Changes, Operator
from sordino.cam.tokens import PREFIX, AdminTokens
from sordino.domain.admin_token import AdminToken
from sordino.domain.audit import AuditSearch
from sordino.errors import ServiceError

OPERATOR = Operator(name="ops", source="local", request_id="r1")


@dataclass
class Clock:
    """A clock that stands until it is set."""

    time: datetime = NOW

    def now(self) -> datetime:
        """The time it was set to."""
        return self.time


@pytest.fixture
def clock() -> Clock:
    """The time of the tokens under test."""
    return Clock()


@pytest.fixture
def tokens(database: PostgresDatabase, clock: Clock) -> AdminTokens:
    """The use cases under test."""
    return AdminTokens(Changes(database, clock))


async def test_token_is_found_by_itself_alone_and_only_its_digest_is_kept(
    tokens: AdminTokens, database: PostgresDatabase
) -> None:
    """What was given out is good, and stands nowhere in the database; no other text is a token."""
    token, bearer = await tokens.create(OPERATOR, "ops")
    assert token == AdminToken(name="ops", created_at=NOW)
    assert bearer.startswith(PREFIX)
    assert len(bearer) == len(PREFIX) + 43
    assert await tokens.who(bearer) == token
    for other in ("", "ops", PREFIX, bearer[:-1], bearer + "=", bearer.upper(), bearer.removeprefix(PREFIX)):
        assert await tokens.who(other) is None
    async with database.transaction() as tx:
        kept = await (await tx.connection.execute("SELECT admin_tokens::text AS row FROM admin_tokens")).fetchall()
        told = await (await tx.connection.execute("SELECT audit::text AS row FROM audit")).fetchall()
    assert not any(bearer.removeprefix(PREFIX) in row["row"] for row in [*kept, *told])


async def test_token_ends_with_its_time(tokens: AdminTokens, clock: Clock) -> None:
    """A token of one day is good for less than a day, and stays in the list afterwards."""
    token, bearer = await tokens.create(OPERATOR, "short", days=1)
    clock.time = NOW + timedelta(days=1, microseconds=-1)
    assert await tokens.who(bearer) == token
    clock.time = NOW + timedelta(days=1)
    assert await tokens.who(bearer) is None
    assert [one.name for one in await tokens.every()] == ["short"]


async def test_token_ends_when_it_is_removed_or_its_account_is_disabled(
    tokens: AdminTokens, database: PostgresDatabase
) -> None:
    """Tokens of a disabled account are good for nothing until it is enabled; a removed token never again."""
    appid = ROOT.account.appid
    _, scoped = await tokens.create(OPERATOR, "scoped", appid=appid, read_only=True)
    _, free = await tokens.create(OPERATOR, "free")
    for enabled in (False, True):
        async with database.transaction() as tx:
            await tx.identities.change_account(appid, name=None, enabled=enabled)
        assert (await tokens.who(scoped) is not None) == enabled
        assert await tokens.who(free) is not None
    await tokens.remove(OPERATOR, "scoped")
    assert await tokens.who(scoped) is None


async def test_use_is_noted_once_a_minute(tokens: AdminTokens, clock: Clock) -> None:
    """When a token was used is known to the minute."""
    _, bearer = await tokens.create(OPERATOR, "ops")
    noted = []
    for seconds in (0, 30, 60, 61):
        clock.time = LATER + timedelta(seconds=seconds)
        await tokens.who(bearer)
        noted.append((await tokens.every())[0].used_at)
    assert noted == [LATER, LATER, LATER, LATER + timedelta(seconds=61)]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"name": "taken"}, "EntityAlreadyExists"),
        ({"name": "a b"}, "InvalidArgument"),
        ({"name": ""}, "InvalidArgument"),
        ({"name": "x", "days": 0}, "InvalidArgument"),
        ({"name": "x", "days": 3651}, "InvalidArgument"),
        ({"name": "x", "appid": "1259999999"}, "NoSuchEntity"),
    ],
    ids=["taken", "space", "nameless", "no-days", "too-long", "no-account"],
)
async def test_token_is_refused(
    tokens: AdminTokens, database: PostgresDatabase, options: dict[str, object], code: str
) -> None:
    """A token that cannot be is refused, the audit log says so, and there is none more than before."""
    await tokens.create(OPERATOR, "taken")
    with pytest.raises(ServiceError) as refused:
        await tokens.create(OPERATOR, **options)
    assert refused.value.code == code
    async with database.reading() as tx:
        (entry, _) = await tx.audit.search(AuditSearch())
    assert (entry.entry.caller, entry.entry.action, entry.entry.code) == ("operator/ops", "sordino:CreateToken", code)
    assert [one.name for one in await tokens.every()] == ["taken"]


async def test_removing_what_is_not_there_is_refused(tokens: AdminTokens) -> None:
    """There is nothing to remove twice."""
    await tokens.create(OPERATOR, "ops")
    await tokens.remove(OPERATOR, "ops")
    with pytest.raises(ServiceError, match="no token ops"):
        await tokens.remove(OPERATOR, "ops")


async def test_of_two_at_once_one_has_the_name(tokens: AdminTokens) -> None:
    """A name is one token's, however close together two are made."""
    results = await asyncio.gather(*(tokens.create(OPERATOR, "same") for _ in range(3)), return_exceptions=True)
    assert sum(isinstance(result, ServiceError) for result in results) == 2
    assert len(await tokens.every()) == 1
