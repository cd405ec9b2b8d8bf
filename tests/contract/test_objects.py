"""What the rows of objects in PostgreSQL promise, on the embedded server and on one outside."""

import asyncio
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rows import BUCKET, LATER, NOW, add_bucket, execute, put, put_object, stored, waiting_for_a_lock
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.domain.bucket import Listing, Piece
from sordino.domain.ports import BlobExpiredError
from sordino.errors import ServiceError


class TestObjects:
    """Rows of objects."""

    async def test_comes_back_equal(self, database: PostgresDatabase) -> None:
        """Every field survives, the largest CRC and text of any kind included."""
        rich = replace(
            stored("dir//ключ %_\\\n'\"😀\U0010ffff"),
            size=5 * 1024**3,
            crc64=2**64 - 1,
            content_type="audio/wav; x=1",
            headers={"Cache-Control": "no-cache", "Content-Disposition": 'attachment; filename="é"'},
            metadata={"k": "v 1*'()~", "empty": ""},
            storage_class="STANDARD_IA",
        )
        async with database.transaction() as tx:
            await put_object(tx, rich)
        async with database.transaction() as tx:
            assert await tx.objects.get(BUCKET, rich.key) == rich

    async def test_an_absent_object_is_none(self, database: PostgresDatabase) -> None:
        """Keys differ by every byte."""
        await put(database, "a")
        async with database.transaction() as tx:
            assert await tx.objects.get(BUCKET, "A") is None
            assert await tx.objects.get(BUCKET, "a/") is None
            assert not await tx.objects.remove(BUCKET, "a/")

    async def test_replaces(self, database: PostgresDatabase) -> None:
        """The last writer's row is the one that is found, once."""
        async with database.transaction() as tx:
            await put_object(tx, stored("a", blob_id="b1"))
            await put_object(tx, replace(stored("a", blob_id="b2"), size=7))
            assert (await tx.objects.get(BUCKET, "a")).size == 7
            assert await tx.objects.take_unreferenced(datetime.now(UTC) + timedelta(hours=1), 10) == ["b1"]

    async def test_removes_once(self, database: PostgresDatabase) -> None:
        """True for the one that deleted it, False afterwards."""
        await put(database, "a")
        async with database.transaction() as tx:
            assert await tx.objects.remove(BUCKET, "a")
            assert not await tx.objects.remove(BUCKET, "a")

    async def test_writers_at_once_leave_one_blob_referenced(self, database: PostgresDatabase) -> None:
        """Of many that write the same new key, all blobs but the winner's are noted."""

        async def write(number: int) -> None:
            async with database.transaction() as tx:
                await put_object(tx, stored("a", blob_id=f"b{number}"))

        await asyncio.gather(*map(write, range(8)))
        async with database.transaction() as tx:
            left = await tx.objects.take_unreferenced(datetime.now(UTC) + timedelta(hours=1), 10)
            kept = await tx.objects.get(BUCKET, "a")
        assert sorted([*left, kept.blob_id]) == [f"b{number}" for number in range(8)]

    async def test_replaces_nothing_when_told_so(self, database: PostgresDatabase) -> None:
        """The object that is there stays; the new one's blob is left with its note."""
        await put(database, "a")
        async with database.transaction() as tx:
            await tx.objects.expect_blob("new", datetime.now(UTC) + timedelta(days=1))
        with pytest.raises(ServiceError) as refusal:
            async with database.transaction() as tx:
                await tx.objects.put(stored("a", blob_id="new"), overwrite=False)
        assert (refusal.value.status, refusal.value.code) == (409, "FileAlreadyExists")
        async with database.transaction() as tx:
            assert await tx.objects.get(BUCKET, "a") == stored("a")
            await tx.objects.expect_blob("other", datetime.now(UTC) + timedelta(days=1))
            await tx.objects.put(stored("b", blob_id="other"), overwrite=False)

    async def test_of_writers_who_may_replace_nothing_one_wins(self, database: PostgresDatabase) -> None:
        """Of two at once one is told that the other was faster."""

        async def write(blob_id: str) -> bool:
            try:
                async with database.transaction() as tx:
                    await tx.objects.expect_blob(blob_id, datetime.now(UTC) + timedelta(days=1))
                    await tx.objects.put(stored("a", blob_id=blob_id), overwrite=False)
            except ServiceError:
                return False
            return True

        assert sorted(await asyncio.gather(write("b1"), write("b2"), write("b3"))) == [False, False, True]

    async def test_comes_in_pieces(self, database: PostgresDatabase) -> None:
        """An object of several blobs has them in their order, and none of them is noted any more."""
        pieces = [Piece("p2", 3), Piece("p1", 2)]
        async with database.transaction() as tx:
            for piece in pieces:
                await tx.objects.expect_blob(piece.blob_id, datetime.now(UTC) + timedelta(days=1))
            await tx.objects.put(replace(stored("a"), pieces=2), pieces)
        async with database.transaction() as tx:
            assert await tx.objects.pieces(stored("a").blob_id) == pieces
            assert await tx.objects.take_unreferenced(datetime.now(UTC) + timedelta(days=2), 10) == []

    async def test_notes_of_several_blobs(self, database: PostgresDatabase) -> None:
        """They are noted at once, each until the same time."""
        until = datetime.now(UTC) + timedelta(days=1)
        async with database.statement() as tx:
            await tx.objects.expect_blobs(["p1", "p2", "p3"], until)
        async with database.transaction() as tx:
            assert await tx.objects.take_unreferenced(until, 10) == []
            assert set(await tx.objects.take_unreferenced(until + timedelta(seconds=1), 10)) == {"p1", "p2", "p3"}

    async def test_no_piece_without_a_note(self, database: PostgresDatabase) -> None:
        """A piece that was not announced, or too long ago, keeps the object from being there."""
        async with database.transaction() as tx:
            await tx.objects.expect_blob("p1", datetime.now(UTC) + timedelta(days=1))
        with pytest.raises(BlobExpiredError):
            async with database.transaction() as tx:
                await tx.objects.put(replace(stored("a"), pieces=2), [Piece("p1", 2), Piece("p2", 3)])
        async with database.transaction() as tx:
            assert await tx.objects.get(BUCKET, "a") is None

    async def test_refuses_an_unknown_bucket(self, database: PostgresDatabase) -> None:
        """An object needs its bucket."""
        with pytest.raises(ServiceError, match="bucket does not exist"):
            async with database.transaction() as tx:
                await put_object(tx, stored("a", bucket="none-1250000000"))


class TestUnreferencedBlobs:
    """The list of blobs to sweep."""

    async def removed(self, database: PostgresDatabase, *keys: str) -> datetime:
        """Store and delete objects; a time after that."""
        await put(database, *keys)
        async with database.transaction() as tx:
            for key in keys:
                await tx.objects.remove(BUCKET, key)
        return datetime.now(UTC) + timedelta(hours=1)

    async def test_takes_the_old_ones(self, database: PostgresDatabase) -> None:
        """Younger ones stay on the list."""
        soon = await self.removed(database, "a", "b")
        await execute(database, "UPDATE unreferenced_blobs SET since = %s WHERE blob_id = %s", NOW, f"{BUCKET}/a")
        async with database.transaction() as tx:
            assert await tx.objects.take_unreferenced(LATER, 10) == [f"{BUCKET}/a"]
            assert await tx.objects.take_unreferenced(soon, 10) == [f"{BUCKET}/b"]
            assert await tx.objects.take_unreferenced(soon, 10) == []

    async def test_takes_no_more_than_asked(self, database: PostgresDatabase) -> None:
        """``limit`` bounds one call; the rest comes with the next."""
        soon = await self.removed(database, "a", "b", "c")
        async with database.transaction() as tx:
            assert len(await tx.objects.take_unreferenced(soon, 2)) == 2
            assert len(await tx.objects.take_unreferenced(soon, 2)) == 1

    async def test_is_restored_when_the_sweep_fails(self, database: PostgresDatabase) -> None:
        """What a transaction took and did not commit is taken again."""
        soon = await self.removed(database, "a")

        async def fail() -> None:
            async with database.transaction() as tx:
                await tx.objects.take_unreferenced(soon, 10)
                raise OSError("the blob store does not answer")

        with pytest.raises(OSError, match="store"):
            await fail()
        async with database.transaction() as tx:
            assert await tx.objects.take_unreferenced(soon, 10) == [f"{BUCKET}/a"]

    async def test_sweepers_share_the_work(self, database: PostgresDatabase) -> None:
        """A second sweeper neither waits for the first nor gets its blobs."""
        soon = await self.removed(database, "a", "b", "c")
        async with database.transaction() as first, database.transaction() as second:
            await second.objects.connection.execute("SET LOCAL lock_timeout = '5s'")
            mine, theirs = (
                await first.objects.take_unreferenced(soon, 2),
                await second.objects.take_unreferenced(soon, 9),
            )
        assert len(mine) == 2
        assert {*mine, *theirs} == {f"{BUCKET}/{key}" for key in "abc"}

    async def expect(self, database: PostgresDatabase, until: datetime) -> None:
        """Announce the blob ``b``."""
        async with database.transaction() as tx:
            await tx.objects.expect_blob("b", until)

    async def test_takes_what_was_expected_in_vain(self, database: PostgresDatabase) -> None:
        """A blob whose row never came is taken once its time is over, not before, and only once."""
        until = datetime.now(UTC) + timedelta(hours=1)
        await self.expect(database, until)
        async with database.transaction() as tx:
            assert await tx.objects.take_unreferenced(until, 10) == []
            assert await tx.objects.take_unreferenced(until + timedelta(seconds=1), 10) == ["b"]
            assert await tx.objects.take_unreferenced(until + timedelta(seconds=1), 10) == []

    async def test_never_takes_a_stored_object(self, database: PostgresDatabase) -> None:
        """Storing the row deletes the note in the same transaction; a rollback keeps it."""
        until = datetime.now(UTC) + timedelta(hours=1)
        await self.expect(database, until)
        with pytest.raises(ServiceError, match="bucket does not exist"):
            async with database.transaction() as tx:
                await tx.objects.put(stored("a", blob_id="b", bucket="none-1250000000"))
        assert await execute(database, "SELECT blob_id FROM unreferenced_blobs") == [{"blob_id": "b"}]
        async with database.transaction() as tx:
            await tx.objects.put(stored("a", blob_id="b"))
        assert await execute(database, "SELECT blob_id FROM unreferenced_blobs") == []

    @pytest.mark.parametrize("age", [None, timedelta(0)], ids=["never expected", "expired"])
    async def test_no_row_without_a_valid_note(self, database: PostgresDatabase, age: timedelta | None) -> None:
        """A blob that was not announced, or whose time is over though no sweep came yet, gets no object."""
        if age is not None:
            await self.expect(database, datetime.now(UTC) - age)
        with pytest.raises(BlobExpiredError):
            async with database.transaction() as tx:
                await tx.objects.put(stored("a", blob_id="b"))
        async with database.transaction() as tx:
            assert await tx.objects.get(BUCKET, "a") is None

    async def test_a_sweep_that_was_first_keeps_the_row_out(self, database: PostgresDatabase) -> None:
        """The row waits for a sweep that holds its blob's note, and is refused when that one commits."""

        async def store() -> None:
            async with database.transaction() as tx:
                await tx.objects.put(stored("a", blob_id="b"))

        until = datetime.now(UTC) + timedelta(hours=1)
        await self.expect(database, until)
        async with database.transaction() as sweep:
            assert await sweep.objects.take_unreferenced(until + timedelta(seconds=1), 10) == ["b"]
            storing = asyncio.create_task(store())
            await waiting_for_a_lock(database)
        with pytest.raises(BlobExpiredError):
            await storing

    async def test_a_row_that_was_first_keeps_the_sweep_out(self, database: PostgresDatabase) -> None:
        """The sweep passes over the blob of a row that is not committed yet, without waiting."""
        until = datetime.now(UTC) + timedelta(hours=1)
        await self.expect(database, until)
        async with database.transaction() as storing, database.transaction() as sweep:
            await storing.objects.put(stored("a", blob_id="b"))
            await sweep.objects.connection.execute("SET LOCAL lock_timeout = '5s'")
            assert await sweep.objects.take_unreferenced(until + timedelta(seconds=1), 10) == []

    async def test_writes_in_one_statement(self, database: PostgresDatabase) -> None:
        """An object without pieces is written, and replaced, with a single statement; only the old blob is noted."""
        for blob_id in ("b1", "b2"):
            async with database.statement() as tx:
                await tx.objects.expect_blob(blob_id, datetime.now(UTC) + timedelta(days=1))
            async with database.statement() as tx:
                await tx.objects.put_whole(stored("a", blob_id=blob_id))
            async with database.reading() as tx:
                assert await tx.objects.get(BUCKET, "a") == stored("a", blob_id=blob_id)
        assert await execute(database, "SELECT blob_id FROM unreferenced_blobs") == [{"blob_id": "b1"}]

    async def test_one_statement_writes_all_or_nothing(self, database: PostgresDatabase) -> None:
        """In an unknown bucket, and where the quota is used up, the note stays and the object that was there, too."""
        await put(database, "a")
        await self.expect(database, datetime.now(UTC) + timedelta(hours=1))
        with pytest.raises(ServiceError, match="bucket does not exist"):
            async with database.statement() as tx:
                await tx.objects.put_whole(stored("a", blob_id="b", bucket="none-1250000000"))
        await execute(database, f"UPDATE buckets SET max_bytes = 10 WHERE name = '{BUCKET}'")
        with pytest.raises(ServiceError) as refusal:
            async with database.statement() as tx:
                await tx.objects.put_whole(replace(stored("a", blob_id="b"), size=1000))
        assert refusal.value.code == "QuotaExceeded"
        assert await execute(database, "SELECT blob_id FROM unreferenced_blobs") == [{"blob_id": "b"}]
        async with database.reading() as tx:
            assert await tx.objects.get(BUCKET, "a") == stored("a")

    @pytest.mark.parametrize("age", [None, timedelta(0)], ids=["never expected", "expired"])
    async def test_one_statement_needs_a_valid_note(self, database: PostgresDatabase, age: timedelta | None) -> None:
        """A blob that was not announced, or whose time is over, gets no object there either."""
        if age is not None:
            await self.expect(database, datetime.now(UTC) - age)
        with pytest.raises(BlobExpiredError):
            async with database.statement() as tx:
                await tx.objects.put_whole(stored("a", blob_id="b"))
        async with database.reading() as tx:
            assert await tx.objects.get(BUCKET, "a") is None

    async def test_one_statement_waits_for_a_sweep_that_was_first(self, database: PostgresDatabase) -> None:
        """It waits for a sweep that holds the note, and writes nothing when that one commits."""

        async def store() -> None:
            async with database.statement() as tx:
                await tx.objects.put_whole(stored("a", blob_id="b"))

        until = datetime.now(UTC) + timedelta(hours=1)
        await self.expect(database, until)
        async with database.transaction() as sweep:
            assert await sweep.objects.take_unreferenced(until + timedelta(seconds=1), 10) == ["b"]
            storing = asyncio.create_task(store())
            await waiting_for_a_lock(database)
        with pytest.raises(BlobExpiredError):
            await storing
        async with database.reading() as tx:
            assert await tx.objects.get(BUCKET, "a") is None

    async def test_puts_a_note_back(self, database: PostgresDatabase) -> None:
        """In the transaction that took a note, the blob can be noted again for later."""
        soon = await self.removed(database, "a")
        async with database.transaction() as tx:
            (blob_id,) = await tx.objects.take_unreferenced(soon, 10)
            await tx.objects.expect_blob(blob_id, soon)
        async with database.transaction() as tx:
            assert await tx.objects.take_unreferenced(soon, 10) == []
            assert await tx.objects.take_unreferenced(soon + timedelta(seconds=1), 10) == [blob_id]


AWKWARD = "ab/%_\\\n é\ud7ff\ue000😀\U0010ffff"
TEXT = st.text(AWKWARD, max_size=6)


def model_listing(
    keys: Collection[str], prefix: str, delimiter: str, marker: str, limit: int
) -> tuple[list[str], list[str], str | None]:
    """COS's rule, said plainly: fold, sort by UTF-8 bytes, cut at ``marker`` and at ``limit``."""
    entries = {}
    for key in keys:
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        if key.startswith(prefix):
            entries[key if end < 0 else key[: end + len(delimiter)]] = end >= 0
    after = sorted((entry for entry in entries if entry.encode() > marker.encode()), key=str.encode)
    page = after[:limit]
    return (
        [entry for entry in page if not entries[entry]],
        [entry for entry in page if entries[entry]],
        page[-1] if len(after) > limit else None,
    )


def entries(page: Listing) -> list[str]:
    """Keys and prefixes of a page in one order."""
    return sorted([*(it.key for it in page.objects), *page.prefixes], key=str.encode)


class TestListing:
    """Listing objects."""

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        keys=st.sets(st.text(AWKWARD, min_size=1, max_size=8), max_size=25),
        prefix=st.sampled_from(["", "a", "a/", "\U0010ffff", "%", "é/"]) | TEXT,
        delimiter=st.sampled_from(["", "/", "/", "//", "a"]) | TEXT,
        marker=st.just("") | TEXT,
        limit=st.integers(1, 8),
    )
    @example(keys={"a/b", "a/c", "b"}, prefix="", delimiter="/", marker="a/b", limit=5)
    @example(keys={"\U0010ffff" * 2, "\U0010ffff/"}, prefix="\U0010ffff", delimiter="\U0010ffff", marker="", limit=5)
    async def test_agrees_with_the_rule(
        self, database: PostgresDatabase, keys: set[str], prefix: str, delimiter: str, marker: str, limit: int
    ) -> None:
        """Any keys, prefix, delimiter, marker and limit give what sorting everything in memory gives."""
        await execute(database, "DELETE FROM objects")
        await execute(database, "DELETE FROM unreferenced_blobs")
        await put(database, *keys)
        async with database.transaction() as tx:
            page = await tx.objects.list(BUCKET, prefix=prefix, delimiter=delimiter, marker=marker, limit=limit)
        expected = model_listing(keys, prefix, delimiter, marker, limit)
        assert ([it.key for it in page.objects], [*page.prefixes], page.next_marker) == expected
        assert all(it == stored(it.key) for it in page.objects)

    @pytest.mark.parametrize("delimiter", ["", "/"])
    async def test_pages_join_without_gap_or_repeat(self, database: PostgresDatabase, delimiter: str) -> None:
        """Following ``next_marker`` visits every entry once, in order."""
        await put(
            database, *(f"{letter}/{number}" for letter in "abc" for number in range(4)), "a", "b-", "\U0010ffff/x"
        )
        pages, marker = [], ""
        while marker is not None:
            async with database.transaction() as tx:
                page = await tx.objects.list(BUCKET, prefix="", delimiter=delimiter, marker=marker, limit=2)
            pages += entries(page)
            marker = page.next_marker
        async with database.transaction() as tx:
            whole = await tx.objects.list(BUCKET, prefix="", delimiter=delimiter, marker="", limit=1000)
        assert pages == entries(whole)
        assert whole.next_marker is None

    async def test_the_longest_keys(self, database: PostgresDatabase) -> None:
        """Keys of 850 bytes of the highest character, and the key that is just their prefix, fold and list."""
        longest = "d/" + "\U0010ffff" * 212
        await put(database, "d/", longest, "e")
        async with database.transaction() as tx:
            folded = await tx.objects.list(BUCKET, prefix="", delimiter="/", marker="", limit=1000)
            inside = await tx.objects.list(BUCKET, prefix="d/", delimiter="/", marker="d/", limit=1000)
        assert entries(folded) == ["d/", "e"]
        assert entries(inside) == [longest]

    async def test_sees_one_bucket_only(self, database: PostgresDatabase) -> None:
        """Neighbouring buckets do not show."""
        other = "test0-1250000000"
        async with database.transaction() as tx:
            await add_bucket(tx, other, "q")
            await put_object(tx, stored("b", bucket=other))
        await put(database, "a")
        async with database.transaction() as tx:
            page = await tx.objects.list(other, prefix="", delimiter="/", marker="", limit=10)
        assert [it.bucket for it in page.objects] == [other]

    async def test_jumps_over_what_it_folds(self, database: PostgresDatabase) -> None:
        """Folding a prefix of 20,000 keys reads a few rows of the table, not all of them."""
        await execute(
            database,
            "INSERT INTO objects SELECT %s, letter || '/' || number, 1, repeat('a', 32), 0, letter || number, now(),"
            " '', '{}', '{}', '' FROM generate_series(1, 10000) AS number, unnest(ARRAY['a', 'b']) AS letter",
            BUCKET,
        )
        async with database.transaction() as tx:
            read = "SELECT idx_tup_fetch + seq_tup_read AS rows FROM pg_stat_xact_user_tables WHERE relname = 'objects'"
            page = await tx.objects.list(BUCKET, prefix="", delimiter="/", marker="", limit=1000)
            fetched = await (await tx.objects.connection.execute(read)).fetchone()
        assert page.prefixes == ("a/", "b/")
        assert fetched["rows"] < 100
