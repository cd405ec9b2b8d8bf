"""The use cases of buckets, over real databases."""

import asyncio

import pytest

from rows import BUCKET, ROOT
from sordino.adapters.clock import SystemClock
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.errors import ServiceError
from sordino.storage.buckets import BucketStore
from sordino.wire.ids import new_queue_id

OTHERS = [f"b{number}-{ROOT.account.appid}" for number in range(6)]


@pytest.fixture
def buckets(database: PostgresDatabase) -> BucketStore:
    """Of a server where an account may have three buckets; it has one."""
    return BucketStore(
        database=database, clock=SystemClock(), new_queue_id=new_queue_id, bind_on_create=True, max_buckets=3
    )


async def test_up_to_the_limit(buckets: BucketStore) -> None:
    """One more is refused and not there; in place of a deleted one there may be another."""
    for name in OTHERS[:2]:
        await buckets.create(name, "r", ROOT.account)
    with pytest.raises(ServiceError, match="has 3 buckets") as refused:
        await buckets.create(OTHERS[2], "r", ROOT.account)
    assert (refused.value.status, refused.value.code) == (400, "TooManyBuckets")
    assert [it.name for it in await buckets.list(ROOT.account)] == [*OTHERS[:2], BUCKET]
    await buckets.remove(OTHERS[0])
    await buckets.create(OTHERS[2], "r", ROOT.account)


async def test_one_that_is_there_is_told_first(buckets: BucketStore) -> None:
    """Whoever makes a bucket again learns that he has it, also at the limit."""
    for name in OTHERS[:2]:
        await buckets.create(name, "r", ROOT.account)
    with pytest.raises(ServiceError, match="already") as refused:
        await buckets.create(OTHERS[0], "r", ROOT.account)
    assert refused.value.code == "BucketAlreadyOwnedByYou"


async def test_of_many_at_once_as_many_as_may_be(buckets: BucketStore) -> None:
    """The limit is exact, whoever asks when."""
    made = await asyncio.gather(*(buckets.create(name, "r", ROOT.account) for name in OTHERS), return_exceptions=True)
    assert [it for it in made if isinstance(it, BaseException) and getattr(it, "code", None) != "TooManyBuckets"] == []
    assert len(await buckets.list(ROOT.account)) == 3
