"""What access control lists and rules of cross-origin sharing in PostgreSQL promise, on both servers."""

from dataclasses import replace

import pytest

from rows import BUCKET, LATER, bucket, put, put_object, stored
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.domain.acl import Acl
from sordino.domain.cors import Cors, CorsMethod, CorsRule
from sordino.errors import ServiceError
from sordino.storage.sharing import Sharing

RULE = CorsRule(
    origins=("https://*.example",),
    methods=(CorsMethod.GET, CorsMethod.PUT),
    headers=("*",),
    exposed=("ETag",),
    max_age=600,
    rule_id="声",
)
CORS = Cors(rules=(RULE, CorsRule(origins=("*",), methods=(CorsMethod.HEAD,))), vary=True)
DEFAULT = Cors.of_origins("https://default.example")
GONE = replace(bucket(), name="gone-1250000000")


@pytest.fixture
def sharing(database: PostgresDatabase) -> Sharing:
    """The use cases over a database with ``BUCKET``."""
    return Sharing(database=database, default_cors=DEFAULT)


async def test_the_list_of_a_bucket(database: PostgresDatabase, sharing: Sharing) -> None:
    """A bucket comes back with the list it was given last."""
    for acl in (Acl.PUBLIC_READ, Acl.PRIVATE):
        await sharing.share_bucket(bucket(), acl)
        async with database.reading() as tx:
            assert await tx.buckets.get(BUCKET) == replace(bucket(), acl=acl)


async def test_the_list_of_an_object(database: PostgresDatabase, sharing: Sharing) -> None:
    """An object gets a list of its own, and all else of it stays."""
    await put(database, "k")
    await sharing.share_object(bucket(), "k", Acl.PUBLIC_READ)
    async with database.reading() as tx:
        found = await tx.objects.get(BUCKET, "k")
    assert found is not None
    assert found == replace(found, acl=Acl.PUBLIC_READ, blob_id=found.blob_id)
    assert (found.etag, found.last_modified) == (stored("k").etag, stored("k").last_modified)
    async with database.transaction() as tx:
        assert found.blob_id not in await tx.objects.take_unreferenced(LATER, 10)


async def test_a_new_object_begins_anew(database: PostgresDatabase, sharing: Sharing) -> None:
    """An object that replaces another has the list it says, not that of the other."""
    await put(database, "k")
    await sharing.share_object(bucket(), "k", Acl.PUBLIC_READ)
    async with database.transaction() as tx:
        await put_object(tx, stored("k", blob_id="b" * 32))
    async with database.reading() as tx:
        found = await tx.objects.get(BUCKET, "k")
    assert found is not None
    assert found.acl is Acl.DEFAULT


async def test_what_is_not_there(sharing: Sharing) -> None:
    """Lists and rules of a bucket or an object that is gone are refused."""
    for attempt, code in (
        (sharing.share_object(bucket(), "none", Acl.PRIVATE), "NoSuchKey"),
        (sharing.share_bucket(GONE, Acl.PRIVATE), "NoSuchBucket"),
        (sharing.set_cors(GONE, CORS), "NoSuchBucket"),
        (sharing.cors_of(bucket()), "NoSuchCORSConfiguration"),
    ):
        with pytest.raises(ServiceError) as refused:
            await attempt
        assert refused.value.code == code


async def test_objects_of_a_mounted_bucket(sharing: Sharing) -> None:
    """They have no lists of their own."""
    with pytest.raises(ServiceError) as refused:
        await sharing.share_object(replace(bucket(), mounted=True), "k", Acl.PUBLIC_READ)
    assert refused.value.code == "NotImplemented"


async def test_rules_come_back_equal(database: PostgresDatabase, sharing: Sharing) -> None:
    """Rules are found as they were put, and the bucket says whether replies vary."""
    await sharing.set_cors(bucket(), CORS)
    assert await sharing.cors_of(bucket()) == CORS
    async with database.reading() as tx:
        assert await tx.buckets.get(BUCKET) == replace(bucket(), vary_origin=True)


async def test_the_rules_in_force(sharing: Sharing) -> None:
    """Those of the bucket, else, as for every name without a bucket, the server's; never both."""
    assert await sharing.cors_in_force(BUCKET) == DEFAULT
    await sharing.set_cors(bucket(), CORS)
    assert await sharing.cors_in_force(BUCKET) == CORS
    assert await sharing.cors_in_force(GONE.name) == DEFAULT
    assert await sharing.cors_in_force(None) == DEFAULT
    await sharing.set_cors(bucket(), None)
    assert await sharing.cors_in_force(BUCKET) == DEFAULT
