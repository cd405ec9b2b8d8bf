"""Rows of objects in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.errors import ForeignKeyViolation
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from sordino.adapters.postgres.folding import HIGHEST, after, common_prefix_of
from sordino.adapters.postgres.session import Connection
from sordino.domain.acl import Acl
from sordino.domain.bucket import Listing, Piece, StoredObject
from sordino.domain.ports import BlobExpiredError
from sordino.errors import FILE_ALREADY_EXISTS, NO_SUCH_BUCKET

_COLUMNS: Final = """
objects.bucket, objects.key, objects.size, objects.etag, objects.crc64, objects.blob_id, objects.last_modified,
objects.content_type, objects.headers, objects.metadata, objects.storage_class, objects.acl, objects.pieces,
objects.job_id
"""
_EXPECT: Final = "INSERT INTO unreferenced_blobs (blob_id, since) SELECT unnest(%(blob_ids)s::text[]), %(until)s"
# Locks the note, so a sweep passes it over; once a sweep has taken it, this waits for that transaction's end and finds
# none. A note whose time has come does not count even before a sweep: one that failed half-way may have put it back.
_ARRIVED: Final = "DELETE FROM unreferenced_blobs WHERE blob_id = ANY(%(blob_ids)s) AND since > clock_timestamp()"
# A trigger notes the blob of a row that is replaced or deleted, see the migrations.
_INSERT: Final = """
INSERT INTO objects (bucket, key, size, etag, crc64, blob_id, last_modified,
                     content_type, headers, metadata, storage_class, acl, pieces, job_id)
SELECT %(bucket)s, %(key)s, %(size)s, %(etag)s, %(crc64)s, %(blob_id)s, %(last_modified)s,
       %(content_type)s, %(headers)s, %(metadata)s, %(storage_class)s, %(acl)s, %(pieces)s, %(job_id)s
"""
_REPLACE: Final = """
    ON CONFLICT (bucket, key) DO UPDATE
   SET size = excluded.size, etag = excluded.etag, crc64 = excluded.crc64, blob_id = excluded.blob_id,
       last_modified = excluded.last_modified, content_type = excluded.content_type,
       headers = excluded.headers, metadata = excluded.metadata, storage_class = excluded.storage_class,
       acl = excluded.acl, pieces = excluded.pieces, job_id = excluded.job_id
"""
_PUT: Final = _INSERT + _REPLACE
_PUT_NEW: Final = _INSERT + "ON CONFLICT (bucket, key) DO NOTHING"
_PUT_WHOLE: Final = f"""
WITH arrived AS (DELETE FROM unreferenced_blobs WHERE blob_id = %(blob_id)s AND since > clock_timestamp() RETURNING 1)
{_INSERT}
  FROM arrived
{_REPLACE}
"""  # noqa: S608 - the only text put in is ours
_GET: Final = f"""
SELECT {_COLUMNS}
  FROM objects
 WHERE bucket = %(bucket)s AND key = %(key)s
"""  # noqa: S608 - the only text put in is ours
_PIECES: Final = "SELECT blob_id, size FROM pieces WHERE object_blob = %(blob_id)s ORDER BY number"
_ADD_PIECES: Final = """
INSERT INTO pieces (object_blob, number, blob_id, size)
SELECT %(object_blob)s, piece.number, piece.blob_id, piece.size
  FROM unnest(%(blob_ids)s::text[], %(sizes)s::bigint[]) WITH ORDINALITY AS piece (blob_id, size, number)
"""
_REMOVE: Final = "DELETE FROM objects WHERE bucket = %(bucket)s AND key = %(key)s"
# In the order of the keys, so that two of these never wait for each other.
_REMOVE_MANY: Final = """
DELETE FROM objects
 WHERE bucket = %(bucket)s
   AND key IN (SELECT key FROM objects WHERE bucket = %(bucket)s AND key = ANY(%(keys)s) ORDER BY key FOR UPDATE)
"""

_LIST: Final = f"""
SELECT NULL AS common_prefix, {_COLUMNS}
  FROM objects
 WHERE bucket = %(bucket)s AND key > %(after)s AND key >= %(prefix)s AND key <= %(last)s
 ORDER BY key
 LIMIT %(limit)s
"""  # noqa: S608 - the only text put in is ours
_FOLD: Final = common_prefix_of("objects.key")
# Each step asks the index for the one key after the last entry: after a key, or after all that a common prefix stands
# for. So a prefix with a million keys costs one step. The rows are looked up one by one, too: LIMIT 1 keeps the planner
# from joining with the whole bucket.
_LIST_FOLDED: Final = f"""
WITH RECURSIVE entry (number, key, common_prefix) AS (
    (SELECT 1, objects.key, {_FOLD}
       FROM objects
      WHERE bucket = %(bucket)s AND key > %(after)s AND key >= %(prefix)s AND key <= %(last)s
      ORDER BY key
      LIMIT 1)
    UNION ALL
    SELECT entry.number + 1, following.key, following.common_prefix
      FROM entry CROSS JOIN LATERAL (
           SELECT objects.key, {_FOLD} AS common_prefix
             FROM objects
            WHERE bucket = %(bucket)s AND key <= %(last)s
              AND objects.key > coalesce(entry.common_prefix || %(highest)s, entry.key)
            ORDER BY objects.key
            LIMIT 1) AS following
     WHERE entry.number < %(limit)s
)
SELECT entry.common_prefix, {_COLUMNS}
  FROM entry LEFT JOIN LATERAL (
       SELECT *
         FROM objects
        WHERE bucket = %(bucket)s AND key = entry.key AND entry.common_prefix IS NULL
        LIMIT 1) AS objects ON true
 ORDER BY entry.number
"""  # noqa: S608 - the only text put in is ours
# Bucket by bucket, so that each is found by the index of what its jobs wrote. What another transaction holds is left
# for the next time: so none of these waits for anybody.
_REMOVE_RESULTS: Final = """
DELETE FROM objects
 USING (SELECT old.bucket, old.key
          FROM buckets CROSS JOIN LATERAL (
               SELECT objects.bucket, objects.key
                 FROM objects
                WHERE objects.bucket = buckets.name AND objects.job_id IS NOT NULL
                  AND objects.last_modified
                      < %(now)s - make_interval(days => coalesce(buckets.results_days, %(default)s))
                ORDER BY objects.last_modified
                LIMIT %(limit)s
                  FOR UPDATE SKIP LOCKED) AS old
         WHERE coalesce(buckets.results_days, %(default)s) > 0
         LIMIT %(limit)s) AS old
 WHERE objects.bucket = old.bucket AND objects.key = old.key
"""
_TAKE_UNREFERENCED: Final = """
WITH taken AS (
    DELETE FROM unreferenced_blobs
     WHERE blob_id IN (SELECT blob_id FROM unreferenced_blobs
                        WHERE since < %(before)s ORDER BY since LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
    RETURNING blob_id
), gone AS (DELETE FROM pieces USING taken WHERE pieces.blob_id = taken.blob_id)
SELECT blob_id FROM taken
"""


@dataclass(frozen=True, slots=True)
class PostgresObjects:
    """``ports.Objects`` over one connection."""

    connection: Connection

    async def expect_blob(self, blob_id: str, until: datetime) -> None:
        """Note a blob without an object: ``put`` may give it one until ``until``, then the sweep may take it."""
        await self.expect_blobs([blob_id], until)

    async def expect_blobs(self, blob_ids: Sequence[str], until: datetime) -> None:
        """The same of several, in one statement."""
        await self.connection.execute(_EXPECT, {"blob_ids": list(blob_ids), "until": until})

    async def put(self, stored: StoredObject, pieces: Sequence[Piece] = (), *, overwrite: bool = True) -> None:
        """Insert or replace the object ``(bucket, key)`` and delete the notes of its blobs.

        Args:
            stored: the object.
            pieces: as many as ``stored.pieces``; of one that has any, ``blob_id`` is no blob's.
            overwrite: whether another object may be replaced.

        Raises:
            BlobExpiredError: a blob was not expected, or no longer.
            ServiceError: FileAlreadyExists; NoSuchBucket, when the bucket was removed meanwhile.
        """
        await arrive(self.connection, *([piece.blob_id for piece in pieces] or [stored.blob_id]))
        if pieces:
            await self._add_pieces(stored.blob_id, pieces)
        await write(self.connection, stored, overwrite=overwrite)

    async def put_whole(self, stored: StoredObject) -> None:
        """The same of an object without pieces, which may replace another, in a single statement.

        Raises:
            BlobExpiredError: the blob was not expected, or no longer.
            ServiceError: NoSuchBucket, when the bucket was removed meanwhile.
        """
        try:
            written = await self.connection.execute(_PUT_WHOLE, _row(stored))
        except ForeignKeyViolation as error:
            raise NO_SUCH_BUCKET() from error
        if written.rowcount == 0:
            raise BlobExpiredError(stored.blob_id)

    async def _add_pieces(self, object_blob: str, pieces: Sequence[Piece]) -> None:
        blob_ids, sizes = [piece.blob_id for piece in pieces], [piece.size for piece in pieces]
        parameters = {"object_blob": object_blob, "blob_ids": blob_ids, "sizes": sizes}
        await self.connection.execute(_ADD_PIECES, parameters)

    async def get(self, bucket: str, key: str) -> StoredObject | None:
        """The object, or None."""
        row = await (await self.connection.execute(_GET, {"bucket": bucket, "key": key})).fetchone()
        return _stored(row) if row else None

    async def pieces(self, blob_id: str) -> Sequence[Piece]:
        """The pieces of an object that has any, in their order; fewer when it is gone and the sweep has come."""
        found = await self.connection.execute(_PIECES, {"blob_id": blob_id})
        return [Piece(**row) for row in await found.fetchall()]

    async def remove(self, bucket: str, key: str) -> bool:
        """Delete the object; False when there was none."""
        return (await self.connection.execute(_REMOVE, {"bucket": bucket, "key": key})).rowcount > 0

    async def remove_many(self, bucket: str, keys: Sequence[str]) -> None:
        """Delete the objects of these keys that are there."""
        await self.connection.execute(_REMOVE_MANY, {"bucket": bucket, "keys": list(keys)})

    async def remove_results(self, now: datetime, default_days: int, limit: int) -> int:
        """Delete up to ``limit`` objects that jobs wrote longer ago than their buckets keep them; how many.

        Buckets that say nothing keep them for ``default_days``; 0: for ever. Those that another transaction holds are
        passed over.
        """
        parameters = {"now": now, "default": default_days, "limit": limit}
        return (await self.connection.execute(_REMOVE_RESULTS, parameters)).rowcount

    async def list(self, bucket: str, *, prefix: str, delimiter: str, marker: str, limit: int) -> Listing:
        """A page of keys strictly after ``marker`` in UTF-8 byte order; keys sharing prefix..delimiter fold into one.

        A common prefix that ``marker`` lies in counts as before it. ``limit`` (1-1000) counts objects and prefixes
        together; an empty ``delimiter`` folds nothing.
        """
        parameters = {
            "bucket": bucket,
            "prefix": prefix,
            "last": prefix + HIGHEST,
            "after": after(marker, prefix, delimiter),
            "limit": limit + 1,
            "skip": len(prefix),
            "delimiter": delimiter,
            "highest": HIGHEST,
        }
        found = await self.connection.execute(_LIST_FOLDED if delimiter else _LIST, parameters)
        rows = await found.fetchall()
        return _listing(rows[:limit], truncated=len(rows) > limit)

    async def take_unreferenced(self, before: datetime, limit: int) -> Sequence[str]:
        """Take the notes of up to ``limit`` blobs without an object since before ``before``, oldest first.

        Remove the blobs before the commit: a rollback leaves the notes. ``expect_blob`` puts a single one back. Notes
        that another transaction holds are passed over.
        """
        taken = await self.connection.execute(_TAKE_UNREFERENCED, {"before": before, "limit": limit})
        return [row["blob_id"] for row in await taken.fetchall()]


async def arrive(connection: Connection, *blob_ids: str) -> None:
    """Delete the notes of blobs that rows refer to from now on.

    Raises:
        BlobExpiredError: a blob was not expected, or no longer.
    """
    if (await connection.execute(_ARRIVED, {"blob_ids": list(blob_ids)})).rowcount < len(blob_ids):
        raise BlobExpiredError(*blob_ids[:1])


async def write(connection: Connection, stored: StoredObject, *, overwrite: bool = True) -> None:
    """Insert or, if ``overwrite``, replace an object, whose bytes have no note.

    Raises:
        ServiceError: FileAlreadyExists; NoSuchBucket, when the bucket was removed meanwhile.
    """
    try:
        written = await connection.execute(_PUT if overwrite else _PUT_NEW, _row(stored))
    except ForeignKeyViolation as error:
        raise NO_SUCH_BUCKET() from error
    if written.rowcount == 0:
        raise FILE_ALREADY_EXISTS()


def _listing(rows: Sequence[DictRow], *, truncated: bool) -> Listing:
    last = rows[-1] if truncated else None
    return Listing(
        objects=tuple(_stored(row) for row in rows if row["common_prefix"] is None),
        prefixes=tuple(row["common_prefix"] for row in rows if row["common_prefix"] is not None),
        next_marker=(last["common_prefix"] or last["key"]) if last else None,
    )


def _row(stored: StoredObject) -> dict[str, Any]:
    return {
        "bucket": stored.bucket,
        "key": stored.key,
        "size": stored.size,
        "etag": stored.etag,
        "crc64": stored.crc64,
        "blob_id": stored.blob_id,
        "last_modified": stored.last_modified,
        "content_type": stored.content_type,
        "headers": Jsonb(dict(stored.headers)),
        "metadata": Jsonb(dict(stored.metadata)),
        "storage_class": stored.storage_class,
        "acl": stored.acl.value,
        "pieces": stored.pieces,
        "job_id": stored.job_id,
    }


def _stored(row: DictRow) -> StoredObject:
    return StoredObject(
        bucket=row["bucket"],
        key=row["key"],
        size=row["size"],
        etag=row["etag"],
        crc64=int(row["crc64"]),
        blob_id=row["blob_id"],
        last_modified=row["last_modified"],
        content_type=row["content_type"],
        headers=row["headers"],
        metadata=row["metadata"],
        storage_class=row["storage_class"],
        acl=Acl(row["acl"]),
        pieces=row["pieces"],
        job_id=row["job_id"],
    )
