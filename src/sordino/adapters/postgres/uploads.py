"""Rows of multipart uploads and of their parts in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.errors import ForeignKeyViolation
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from sordino.adapters.postgres.folding import HIGHEST, after, common_prefix_of
from sordino.adapters.postgres.objects import arrive, write
from sordino.adapters.postgres.session import Connection
from sordino.domain.acl import Acl
from sordino.domain.bucket import StoredObject
from sordino.domain.upload import MultipartUpload, Part, UploadListing
from sordino.errors import NO_SUCH_BUCKET

_COLUMNS: Final = """
uploads.upload_id, uploads.bucket, uploads.key, uploads.initiator, uploads.initiated_at, uploads.content_type,
uploads.headers, uploads.metadata, uploads.storage_class, uploads.acl
"""
_ADD: Final = """
INSERT INTO uploads (upload_id, bucket, key, initiator, initiated_at, content_type, headers, metadata,
                     storage_class, acl)
VALUES (%(upload_id)s, %(bucket)s, %(key)s, %(initiator)s, %(initiated_at)s, %(content_type)s, %(headers)s,
        %(metadata)s, %(storage_class)s, %(acl)s)
"""
_GET: Final = f"SELECT {_COLUMNS} FROM uploads WHERE upload_id = %(upload_id)s"  # noqa: S608 - the text put in is ours
_COUNT: Final = """
SELECT count(*) AS uploads FROM (SELECT FROM uploads WHERE bucket = %(bucket)s LIMIT %(most)s) AS counted
"""
# Whoever adds a part holds the row so, and whoever ends the upload waits for it.
_HELD: Final = f"{_GET} FOR KEY SHARE"
_LOCKED: Final = f"{_GET} FOR UPDATE"
# Triggers note the blob of a part that is replaced or deleted without being a piece of an object, see the migrations.
_PUT_PART: Final = """
INSERT INTO parts (upload_id, number, blob_id, size, etag, crc64, last_modified)
VALUES (%(upload_id)s, %(number)s, %(blob_id)s, %(size)s, %(etag)s, %(crc64)s, %(last_modified)s)
    ON CONFLICT (upload_id, number) DO UPDATE
   SET blob_id = excluded.blob_id, size = excluded.size, etag = excluded.etag, crc64 = excluded.crc64,
       last_modified = excluded.last_modified
"""
_PARTS: Final = """
SELECT number, blob_id, size, etag, crc64, last_modified
  FROM parts
 WHERE upload_id = %(upload_id)s AND number > %(after)s
 ORDER BY number
 LIMIT %(limit)s
"""
_ADD_PIECES: Final = """
INSERT INTO pieces (object_blob, number, blob_id, size)
SELECT %(object_blob)s, number, blob_id, size
  FROM parts
 WHERE upload_id = %(upload_id)s AND number = ANY(%(numbers)s)
"""
_REMOVE: Final = "DELETE FROM uploads WHERE upload_id = %(upload_id)s"
_REMOVE_STALE: Final = """
DELETE FROM uploads
 WHERE upload_id IN (SELECT upload_id FROM uploads
                      WHERE initiated_at < %(before)s ORDER BY initiated_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
"""

_LIST: Final = f"""
SELECT NULL AS common_prefix, {_COLUMNS}
  FROM uploads
 WHERE bucket = %(bucket)s AND (key, upload_id) > (%(after)s, %(after_id)s) AND key >= %(prefix)s AND key <= %(last)s
 ORDER BY key, upload_id
 LIMIT %(limit)s
"""  # noqa: S608 - the only text put in is ours
_FOLD: Final = common_prefix_of("uploads.key")
# As that of objects: a step an entry. A key may have several uploads, one of which follows another.
_LIST_FOLDED: Final = f"""
WITH RECURSIVE entry (number, key, upload_id, common_prefix) AS (
    (SELECT 1, uploads.key, uploads.upload_id, {_FOLD}
       FROM uploads
      WHERE bucket = %(bucket)s AND (key, upload_id) > (%(after)s, %(after_id)s)
        AND key >= %(prefix)s AND key <= %(last)s
      ORDER BY key, upload_id
      LIMIT 1)
    UNION ALL
    SELECT entry.number + 1, following.key, following.upload_id, following.common_prefix
      FROM entry CROSS JOIN LATERAL (
           SELECT uploads.key, uploads.upload_id, {_FOLD} AS common_prefix
             FROM uploads
            WHERE bucket = %(bucket)s AND key <= %(last)s
              AND (uploads.key, uploads.upload_id)
                  > (coalesce(entry.common_prefix || %(highest)s, entry.key), entry.upload_id)
            ORDER BY uploads.key, uploads.upload_id
            LIMIT 1) AS following
     WHERE entry.number < %(limit)s
)
SELECT entry.common_prefix, {_COLUMNS}
  FROM entry LEFT JOIN uploads ON uploads.upload_id = entry.upload_id AND entry.common_prefix IS NULL
 ORDER BY entry.number
"""  # noqa: S608 - the only text put in is ours

# Greater than every id of an upload, and so after all uploads of a key.
_LAST_ID: Final = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class PostgresUploads:
    """``ports.Uploads`` over one connection."""

    connection: Connection

    async def add(self, upload: MultipartUpload) -> None:
        """Begin an upload.

        Raises:
            ServiceError: NoSuchBucket, when the bucket was removed meanwhile.
        """
        try:
            await self.connection.execute(_ADD, _row(upload))
        except ForeignKeyViolation as error:
            raise NO_SUCH_BUCKET() from error

    async def get(self, upload_id: str) -> MultipartUpload | None:
        """The upload, or None when there is none, or none any more."""
        return await self._one(_GET, upload_id)

    async def count(self, bucket: str, most: int) -> int:
        """How many uploads the bucket has, ``most`` at most."""
        row = await (await self.connection.execute(_COUNT, {"bucket": bucket, "most": most})).fetchone()
        return row["uploads"] if row else 0

    async def held(self, upload_id: str) -> MultipartUpload | None:
        """The upload, kept from being completed or aborted until the transaction ends; any number may hold it so."""
        return await self._one(_HELD, upload_id)

    async def locked(self, upload_id: str) -> MultipartUpload | None:
        """The upload, for this transaction alone to complete or abort; or None."""
        return await self._one(_LOCKED, upload_id)

    async def _one(self, statement: str, upload_id: str) -> MultipartUpload | None:
        row = await (await self.connection.execute(statement, {"upload_id": upload_id})).fetchone()
        return _upload(row) if row else None

    async def put_part(self, upload_id: str, part: Part) -> None:
        """Insert or replace a part of an upload that is ``held``, and delete the note of its blob.

        Raises:
            BlobExpiredError: the blob was not expected, or no longer.
        """
        await arrive(self.connection, part.blob_id)
        await self.connection.execute(
            _PUT_PART,
            {
                "upload_id": upload_id,
                "number": part.number,
                "blob_id": part.blob_id,
                "size": part.size,
                "etag": part.etag,
                "crc64": part.crc64,
                "last_modified": part.last_modified,
            },
        )

    async def parts(self, upload_id: str, *, after: int = 0, limit: int) -> Sequence[Part]:
        """Up to ``limit`` parts with numbers above ``after``, by number."""
        found = await self.connection.execute(_PARTS, {"upload_id": upload_id, "after": after, "limit": limit})
        return [Part(**{**row, "crc64": int(row["crc64"])}) for row in await found.fetchall()]

    async def page(
        self, bucket: str, *, prefix: str, delimiter: str, key_marker: str, upload_id_marker: str, limit: int
    ) -> UploadListing:
        """A page of the bucket's uploads, by key and id; keys sharing prefix..delimiter fold into one.

        It begins after ``key_marker``, or, when ``upload_id_marker`` is given, after that upload of the key. A common
        prefix that ``key_marker`` lies in counts as before it. ``limit`` (1-1000) counts uploads and prefixes together;
        an empty ``delimiter`` folds nothing.
        """
        parameters = {
            "bucket": bucket,
            "prefix": prefix,
            "last": prefix + HIGHEST,
            "after": after(key_marker, prefix, delimiter),
            "after_id": upload_id_marker or _LAST_ID,
            "limit": limit + 1,
            "skip": len(prefix),
            "delimiter": delimiter,
            "highest": HIGHEST,
        }
        found = await self.connection.execute(_LIST_FOLDED if delimiter else _LIST, parameters)
        rows = await found.fetchall()
        return _listing(rows[:limit], truncated=len(rows) > limit)

    async def complete(
        self, upload_id: str, stored: StoredObject, numbers: Sequence[int], *, overwrite: bool = True
    ) -> None:
        """Make an object of the parts of these numbers, in their order, and end the upload, which is ``locked``.

        ``stored.blob_id`` is new, and ``stored.pieces`` the number of parts. Other parts are dropped.

        Raises:
            ServiceError: FileAlreadyExists, unless an object of the key may be replaced (``overwrite``).
        """
        pieces = {"object_blob": stored.blob_id, "upload_id": upload_id, "numbers": list(numbers)}
        await self.connection.execute(_ADD_PIECES, pieces)
        await write(self.connection, stored, overwrite=overwrite)
        await self.remove(upload_id)

    async def remove(self, upload_id: str) -> bool:
        """End an upload and drop its parts; False when there is none."""
        return (await self.connection.execute(_REMOVE, {"upload_id": upload_id})).rowcount > 0

    async def remove_stale(self, before: datetime, limit: int) -> int:
        """End up to ``limit`` uploads begun before ``before``, oldest first; how many. Held ones are passed over."""
        return (await self.connection.execute(_REMOVE_STALE, {"before": before, "limit": limit})).rowcount


def _listing(rows: Sequence[DictRow], *, truncated: bool) -> UploadListing:
    uploads = tuple(_upload(row) for row in rows if row["common_prefix"] is None)
    prefixes = tuple(row["common_prefix"] for row in rows if row["common_prefix"] is not None)
    if not truncated:
        return UploadListing(uploads=uploads, prefixes=prefixes)
    key, upload_id = rows[-1]["common_prefix"] or rows[-1]["key"], rows[-1]["upload_id"] or ""
    return UploadListing(uploads=uploads, prefixes=prefixes, next_key=key, next_upload_id=upload_id)


def _row(upload: MultipartUpload) -> dict[str, Any]:
    return {
        "upload_id": upload.upload_id,
        "bucket": upload.bucket,
        "key": upload.key,
        "initiator": upload.initiator,
        "initiated_at": upload.initiated_at,
        "content_type": upload.content_type,
        "headers": Jsonb(dict(upload.headers)),
        "metadata": Jsonb(dict(upload.metadata)),
        "storage_class": upload.storage_class,
        "acl": upload.acl.value,
    }


def _upload(row: DictRow) -> MultipartUpload:
    fields = {name: value for name, value in row.items() if name != "common_prefix"}
    return MultipartUpload(**{**fields, "acl": Acl(row["acl"])})
