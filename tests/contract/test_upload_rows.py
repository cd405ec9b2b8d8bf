"""What the rows of multipart uploads in PostgreSQL promise, on the embedded server and on one outside."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import md5

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rows import BUCKET, LATER, NOW, execute, put, stored, waiting_for_a_lock
from sordino.adapters.postgres.database import PostgresDatabase, PostgresTransaction
from sordino.domain.acl import Acl
from sordino.domain.bucket import Piece, StoredObject
from sordino.domain.ports import BlobExpiredError
from sordino.domain.upload import MAX_PARTS, MultipartUpload, Part, UploadListing
from sordino.errors import ServiceError

NOTED = "SELECT blob_id FROM unreferenced_blobs ORDER BY blob_id"


def upload(upload_id: str = "u1", key: str = "a", **changes: object) -> MultipartUpload:
    """An upload as it is begun."""
    plain = MultipartUpload(upload_id=upload_id, bucket=BUCKET, key=key, initiator="100000000001", initiated_at=NOW)
    return replace(plain, **changes)


def part(number: int, blob_id: str | None = None, size: int = 5) -> Part:
    """A part."""
    return Part(
        number=number,
        blob_id=blob_id or f"blob{number}",
        size=size,
        etag=md5(b"%d" % number).hexdigest(),
        crc64=2**64 - number,
        last_modified=NOW,
    )


def of_parts(blob_id: str, parts: int, key: str = "a") -> StoredObject:
    """An object of so many parts."""
    return replace(stored(key, blob_id=blob_id), etag=f"{'0' * 32}-{parts}", size=5 * parts, pieces=parts)


async def begin(database: PostgresDatabase, *uploads: MultipartUpload) -> None:
    """Begin uploads."""
    async with database.transaction() as tx:
        for it in uploads:
            await tx.uploads.add(it)


async def put_part(tx: PostgresTransaction, it: Part, upload_id: str = "u1") -> None:
    """Add a part whose blob was announced."""
    await tx.objects.expect_blob(it.blob_id, datetime.now(UTC) + timedelta(days=1))
    assert await tx.uploads.held(upload_id) is not None
    await tx.uploads.put_part(upload_id, it)


async def begun(database: PostgresDatabase, *parts: Part) -> None:
    """Begin ``u1``, with these parts."""
    await begin(database, upload())
    async with database.transaction() as tx:
        for it in parts:
            await put_part(tx, it)


async def noted(database: PostgresDatabase) -> list[object]:
    """The blobs that wait for the sweep."""
    return [row["blob_id"] for row in await execute(database, NOTED)]


class TestUploads:
    """Uploads and their parts."""

    async def test_comes_back_equal(self, database: PostgresDatabase) -> None:
        """Every field survives, text of any kind included, whoever asks for the upload how."""
        rich = upload(
            key="dir//ключ %_\\\n'\"😀\U0010ffff",
            content_type="audio/wav; x=1",
            headers={"Cache-Control": "no-cache", "Content-Disposition": 'attachment; filename="é"'},
            metadata={"k": "v 1*'()~", "empty": ""},
            storage_class="STANDARD_IA",
            acl=Acl.PUBLIC_READ,
        )
        await begin(database, rich)
        async with database.transaction() as tx:
            assert await tx.uploads.get("u1") == rich
            assert await tx.uploads.held("u1") == rich
            assert await tx.uploads.locked("u1") == rich

    async def test_an_unknown_upload_is_none(self, database: PostgresDatabase) -> None:
        """Ids differ by every byte, and what is not there is not removed."""
        await begin(database, upload("u1"))
        async with database.transaction() as tx:
            assert await tx.uploads.get("U1") is None
            assert await tx.uploads.held("") is None
            assert await tx.uploads.locked("u") is None
            assert await tx.uploads.parts("u", limit=1) == []
            assert not await tx.uploads.remove("u")

    async def test_refuses_an_unknown_bucket(self, database: PostgresDatabase) -> None:
        """An upload needs its bucket."""
        with pytest.raises(ServiceError, match="bucket does not exist"):
            await begin(database, upload(bucket="none-1250000000"))

    async def test_keeps_its_bucket(self, database: PostgresDatabase) -> None:
        """A bucket with an upload under way is in use until that ends."""
        await begin(database, upload())
        for removed in (False, True):
            async with database.transaction() as tx:
                assert await tx.buckets.remove(BUCKET) is removed
                await tx.uploads.remove("u1")

    async def test_parts_come_by_number(self, database: PostgresDatabase) -> None:
        """In whatever order they came; a page begins after a number and ends at the limit."""
        parts = [part(number) for number in (1, 2, 10, MAX_PARTS)]
        await begun(database, *reversed(parts))
        async with database.transaction() as tx:
            assert await tx.uploads.parts("u1", limit=MAX_PARTS) == parts
            assert await tx.uploads.parts("u1", after=1, limit=2) == parts[1:3]
            assert await tx.uploads.parts("u1", after=MAX_PARTS, limit=2) == []
        assert await noted(database) == []

    async def test_a_part_is_replaced(self, database: PostgresDatabase) -> None:
        """The last one of a number is the part, and the blob of the one before is noted."""
        again = part(1, "again", size=7)
        await begun(database, part(1), again)
        async with database.transaction() as tx:
            assert await tx.uploads.parts("u1", limit=9) == [again]
        assert await noted(database) == ["blob1"]

    @pytest.mark.parametrize("age", [None, timedelta(0)], ids=["never expected", "expired"])
    async def test_no_part_without_a_valid_note(self, database: PostgresDatabase, age: timedelta | None) -> None:
        """A blob that was not announced, or whose time is over, gets no part."""
        await begin(database, upload())
        if age is not None:
            async with database.transaction() as tx:
                await tx.objects.expect_blob("blob1", datetime.now(UTC) - age)
        with pytest.raises(BlobExpiredError):
            async with database.transaction() as tx:
                await tx.uploads.put_part("u1", part(1))

    async def test_is_removed_once(self, database: PostgresDatabase) -> None:
        """Its parts go with it, and their blobs are noted."""
        await begun(database, part(1), part(2))
        async with database.transaction() as tx:
            assert await tx.uploads.remove("u1")
            assert not await tx.uploads.remove("u1")
            assert await tx.uploads.parts("u1", limit=9) == []
        assert await noted(database) == ["blob1", "blob2"]


class TestCompleting:
    """Parts that become an object."""

    async def complete(self, database: PostgresDatabase, it: StoredObject, *numbers: int) -> None:
        """Complete ``u1``."""
        async with database.transaction() as tx:
            assert await tx.uploads.locked("u1") is not None
            await tx.uploads.complete("u1", it, numbers)

    async def test_parts_become_pieces(self, database: PostgresDatabase) -> None:
        """The object is there with its pieces in order, the upload is gone, and no blob of it is noted."""
        await begun(database, part(10, size=3), part(2, size=1))
        it = of_parts("object", 2)
        await self.complete(database, it, 2, 10)
        async with database.transaction() as tx:
            assert await tx.objects.get(BUCKET, "a") == it
            assert await tx.objects.pieces("object") == [Piece("blob2", 1), Piece("blob10", 3)]
            assert await tx.uploads.get("u1") is None
        assert await noted(database) == []

    async def test_other_parts_are_dropped(self, database: PostgresDatabase) -> None:
        """Those that are not named, and the object that was there."""
        await put(database, "a")
        await begun(database, part(1), part(2), part(3))
        await self.complete(database, of_parts("object", 1), 2)
        assert await noted(database) == ["blob1", "blob3", f"{BUCKET}/a"]

    async def test_an_object_that_may_not_be_replaced_stays(self, database: PostgresDatabase) -> None:
        """Then the upload stays, too."""
        await put(database, "a")
        await begun(database, part(1))
        with pytest.raises(ServiceError) as refusal:
            async with database.transaction() as tx:
                await tx.uploads.complete("u1", of_parts("object", 1), [1], overwrite=False)
        assert refusal.value.code == "FileAlreadyExists"
        async with database.transaction() as tx:
            assert (await tx.objects.get(BUCKET, "a")).pieces == 0
            assert await tx.uploads.parts("u1", limit=9) == [part(1)]

    @pytest.mark.parametrize("how", ["put", "remove", "complete"])
    async def test_all_pieces_go_with_their_object(self, database: PostgresDatabase, how: str) -> None:
        """When it is replaced by one of one blob or of others, or deleted, each of its blobs is noted.

        Who reads it finds its pieces until the sweep takes them.
        """
        await begun(database, part(1), part(2))
        await self.complete(database, of_parts("object", 2), 1, 2)
        if how == "put":
            await put(database, "a")
        elif how == "remove":
            await execute(database, "DELETE FROM objects")
        else:
            await begun(database, part(1, "other"))
            await self.complete(database, of_parts("another", 1), 1)
        assert await noted(database) == ["blob1", "blob2"]
        async with database.transaction() as tx:
            assert await tx.objects.pieces("object") == [Piece("blob1", 5), Piece("blob2", 5)]
            assert len(await tx.objects.take_unreferenced(datetime.now(UTC) + timedelta(hours=1), 1)) == 1
            assert len(await tx.objects.pieces("object")) == 1
            assert len(await tx.objects.take_unreferenced(datetime.now(UTC) + timedelta(hours=1), 9)) == 1
            assert await tx.objects.pieces("object") == []

    async def test_of_as_many_parts_as_there_may_be(self, database: PostgresDatabase) -> None:
        """Ten thousand parts make one object, and all of its blobs are noted when it goes."""
        await begin(database, upload())
        fill = """
        INSERT INTO parts (upload_id, number, blob_id, size, etag, crc64, last_modified)
        SELECT 'u1', n, 'blob' || n, 1048576, md5(n::text), n, %s FROM generate_series(1, %s) AS n
        """
        await execute(database, fill, NOW, MAX_PARTS)
        async with database.transaction() as tx:
            numbers = [it.number for it in await tx.uploads.parts("u1", limit=MAX_PARTS)]
        await self.complete(database, of_parts("object", MAX_PARTS), *numbers)
        async with database.transaction() as tx:
            pieces = await tx.objects.pieces("object")
            assert [piece.blob_id for piece in pieces] == [f"blob{number}" for number in range(1, MAX_PARTS + 1)]
            assert await tx.objects.remove(BUCKET, "a")
        assert len(await noted(database)) == MAX_PARTS


class TestSideBySide:
    """Transactions at once."""

    async def ending(
        self, database: PostgresDatabase, first: Callable[[PostgresTransaction], Awaitable[object]]
    ) -> Sequence[MultipartUpload | None]:
        """What they find who ask for ``u1`` while a transaction ends it: to add a part, and to end it."""

        async def ask(lock: str) -> MultipartUpload | None:
            async with database.transaction() as tx:
                found: MultipartUpload | None = await getattr(tx.uploads, lock)("u1")
                return found

        async with database.transaction() as tx:
            assert await tx.uploads.locked("u1") is not None
            asking = [asyncio.create_task(ask(lock)) for lock in ("held", "locked")]
            await waiting_for_a_lock(database)
            await first(tx)
        return await asyncio.gather(*asking)

    async def test_a_completed_upload_is_over_for_all(self, database: PostgresDatabase) -> None:
        """Who waits to add a part, to complete or to abort finds none afterwards."""
        await begun(database, part(1))
        found = await self.ending(database, lambda tx: tx.uploads.complete("u1", of_parts("object", 1), [1]))
        assert found == [None, None]

    async def test_an_aborted_upload_is_over_for_all(self, database: PostgresDatabase) -> None:
        """As a completed one."""
        await begun(database, part(1))
        assert await self.ending(database, lambda tx: tx.uploads.remove("u1")) == [None, None]

    async def test_a_part_that_is_being_added_is_waited_for(self, database: PostgresDatabase) -> None:
        """Whoever ends the upload sees it; others add theirs meanwhile."""
        await begin(database, upload())

        async def lock() -> Sequence[Part]:
            async with database.transaction() as tx:
                await tx.uploads.locked("u1")
                return await tx.uploads.parts("u1", limit=9)

        async with database.transaction() as first:
            await put_part(first, part(1))
            async with database.transaction() as second:
                await second.uploads.connection.execute("SET LOCAL lock_timeout = '5s'")
                await put_part(second, part(2))
            locking = asyncio.create_task(lock())
            await waiting_for_a_lock(database)
        assert await locking == [part(1), part(2)]

    async def test_one_part_at_once_is_one_part(self, database: PostgresDatabase) -> None:
        """Of many that write the same part, one is it, and all blobs but its are noted."""
        await begin(database, upload())

        async def write(number: int) -> None:
            async with database.transaction() as tx:
                await put_part(tx, part(1, f"b{number}"))

        await asyncio.gather(*map(write, range(8)))
        async with database.transaction() as tx:
            (kept,) = await tx.uploads.parts("u1", limit=9)
        assert sorted([*await noted(database), kept.blob_id]) == [f"b{number}" for number in range(8)]

    async def test_a_bucket_waits_for_an_upload_that_begins(self, database: PostgresDatabase) -> None:
        """Its removal then finds it in use; an upload that comes after the removal is told that there is no bucket."""

        async def remove() -> bool:
            async with database.transaction() as tx:
                return await tx.buckets.remove(BUCKET)

        async with database.transaction() as tx:
            await tx.uploads.add(upload())
            removing = asyncio.create_task(remove())
            await waiting_for_a_lock(database)
        assert not await removing
        async with database.transaction() as tx:
            await tx.uploads.remove("u1")
            assert await tx.buckets.remove(BUCKET)
            beginning = asyncio.create_task(begin(database, upload()))
            await waiting_for_a_lock(database)
        with pytest.raises(ServiceError, match="bucket does not exist"):
            await beginning


class TestStale:
    """Uploads that nobody ends."""

    async def stale(self, database: PostgresDatabase, before: datetime = LATER, limit: int = 9) -> int:
        """End those begun before a time."""
        async with database.transaction() as tx:
            return await tx.uploads.remove_stale(before, limit)

    async def left(self, database: PostgresDatabase) -> list[object]:
        """The ids of those that are there."""
        return [row["upload_id"] for row in await execute(database, "SELECT upload_id FROM uploads ORDER BY upload_id")]

    async def test_the_oldest_end_first(self, database: PostgresDatabase) -> None:
        """As many as asked; younger ones stay, and the parts of those that end are dropped."""
        ages = {"u1": NOW, "u2": NOW - timedelta(hours=1), "u3": LATER}
        await begin(database, *(upload(it, initiated_at=at) for it, at in ages.items()))
        async with database.transaction() as tx:
            await put_part(tx, part(1), "u2")
        assert await self.stale(database, limit=1) == 1
        assert (await self.left(database), await noted(database)) == (["u1", "u3"], ["blob1"])
        assert [await self.stale(database), await self.stale(database)] == [1, 0]
        assert await self.left(database) == ["u3"]

    @pytest.mark.parametrize("lock", ["held", "locked"])
    async def test_one_in_use_is_passed_over(self, database: PostgresDatabase, lock: str) -> None:
        """Without waiting."""
        await begin(database, upload("u1"), upload("u2"))
        async with database.transaction() as tx:
            assert await getattr(tx.uploads, lock)("u1") is not None
            assert await self.stale(database) == 1
        assert await self.left(database) == ["u1"]


AWKWARD = "ab/%_\\\n é\ud7ff\ue000😀\U0010ffff"
TEXT = st.text(AWKWARD, max_size=6)
IDS = ["1", "12", "2", "9"]

Name = tuple[str, str]
"""A key and an id, or a common prefix and nothing."""


def model_listing(
    uploads: Collection[Name], prefix: str, delimiter: str, marker: Name, limit: int
) -> tuple[list[Name], Name | None]:
    """COS's rule, said plainly: fold, sort by UTF-8 bytes, cut at the markers and at ``limit``."""
    entries = set()
    for key, upload_id in uploads:
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        if key.startswith(prefix):
            entries.add((key, upload_id) if end < 0 else (key[: end + len(delimiter)], ""))
    after = sorted((it for it in entries if _is_after(it, *marker)), key=lambda it: (it[0].encode(), it[1]))
    page = after[:limit]
    return page, page[-1] if len(after) > limit else None


def _is_after(entry: Name, key_marker: str, id_marker: str) -> bool:
    key, upload_id = entry
    if key == key_marker and upload_id:
        return bool(id_marker) and upload_id > id_marker
    return key.encode() > key_marker.encode()


def entries(page: UploadListing) -> list[Name]:
    """Uploads and prefixes of a page in one order."""
    named = [*((it.key, it.upload_id) for it in page.uploads), *((prefix, "") for prefix in page.prefixes)]
    return sorted(named, key=lambda it: (it[0].encode(), it[1]))


def fresh_ids(uploads: Collection[Name]) -> dict[str, Name]:
    """Ids of their own for uploads whose ids may be those of other keys; they sort alike within a key."""
    return {f"{upload_id}-{key.encode().hex()}": (key, upload_id) for key, upload_id in uploads}


class TestListing:
    """Listing uploads."""

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        uploads=st.sets(st.tuples(st.text(AWKWARD, min_size=1, max_size=8), st.sampled_from(IDS)), max_size=25),
        prefix=st.sampled_from(["", "a", "a/", "\U0010ffff", "%", "é/"]) | TEXT,
        delimiter=st.sampled_from(["", "/", "/", "//", "a"]) | TEXT,
        marker=st.tuples(st.just("") | TEXT, st.just("") | st.sampled_from(IDS)),
        limit=st.integers(1, 8),
    )
    @example(uploads={("a/b", "1"), ("a/c", "1"), ("b", "1")}, prefix="", delimiter="/", marker=("a/b", ""), limit=5)
    @example(uploads={("a", "1"), ("a", "2"), ("b", "1")}, prefix="a", delimiter="", marker=("a", "1"), limit=1)
    @example(uploads={("a", "1"), ("a", "2"), ("a/b", "1")}, prefix="", delimiter="/", marker=("a", "1"), limit=5)
    async def test_agrees_with_the_rule(
        self,
        database: PostgresDatabase,
        uploads: set[Name],
        prefix: str,
        delimiter: str,
        marker: Name,
        limit: int,
    ) -> None:
        """Pages are those of the rule, whatever keys, prefix, delimiter and markers are."""
        # A key marker inside a common prefix stands behind all of that; so does it in the rule for objects.
        end = marker[0].find(delimiter, len(prefix)) if delimiter and marker[0].startswith(prefix) else -1
        if end >= 0:
            marker = (marker[0][: end + len(delimiter)], "")
        names = fresh_ids(uploads)
        id_marker = f"{marker[1]}-{marker[0].encode().hex()}" if marker[1] else ""
        await execute(database, "DELETE FROM uploads")
        await begin(database, *(upload(it, key) for it, (key, _) in names.items()))
        async with database.transaction() as tx:
            page = await tx.uploads.page(
                BUCKET,
                prefix=prefix,
                delimiter=delimiter,
                key_marker=marker[0],
                upload_id_marker=id_marker,
                limit=limit,
            )
        expected, last = model_listing(uploads, prefix, delimiter, marker, limit)
        found = [(key, names[it][1] if it else "") for key, it in entries(page)]
        assert found == expected
        following = None if page.next_key is None else (page.next_key, page.next_upload_id)
        assert following == (last and (last[0], f"{last[1]}-{last[0].encode().hex()}" if last[1] else ""))

    @pytest.mark.parametrize("delimiter", ["", "/"])
    async def test_pages_follow_one_another(self, database: PostgresDatabase, delimiter: str) -> None:
        """The marks of each page begin the next, through several uploads of a key, and end when all have come."""
        keys = ["a", "a", "a", "b/1", "b/2", "b/2", "c"]
        await begin(database, *(upload(f"u{number}", key) for number, key in enumerate(keys)))
        seen: list[Name] = []
        key_marker: str | None = ""
        id_marker: str | None = ""
        while key_marker is not None:
            async with database.transaction() as tx:
                page = await tx.uploads.page(
                    BUCKET,
                    prefix="",
                    delimiter=delimiter,
                    key_marker=key_marker,
                    upload_id_marker=id_marker or "",
                    limit=2,
                )
            seen += entries(page)
            key_marker, id_marker = page.next_key, page.next_upload_id
        folded = [("b/", "")] if delimiter else [("b/1", "u3"), ("b/2", "u4"), ("b/2", "u5")]
        assert seen == [("a", "u0"), ("a", "u1"), ("a", "u2"), *folded, ("c", "u6")]

    async def test_shows_its_bucket_alone(self, database: PostgresDatabase) -> None:
        """Other buckets' uploads are not listed."""
        await begin(database, upload())
        async with database.transaction() as tx:
            for delimiter in ("", "/"):
                page = await tx.uploads.page(
                    "none-1250000000", prefix="", delimiter=delimiter, key_marker="", upload_id_marker="", limit=9
                )
                assert entries(page) == []
