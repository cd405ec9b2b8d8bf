"""Objects: write, look up, read, delete, list.

An object is a row and a blob. The blob is written first, the row makes it visible, so a reader sees an object whole or
not at all. Before its first byte a blob is noted for the sweep, and the row's transaction deletes that note: however a
writer ends, a blob whose row never came is removed once no writer can be at it any more.
"""

import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sordino import errors
from sordino.domain.acl import Acl
from sordino.domain.bucket import MAX_KEY_BYTES, Bucket, Listing, Piece, StoredObject
from sordino.domain.ports import BlobDigest, BlobExpiredError, BlobNotFoundError, Blobs, Clock, Database

UPLOAD_TIME = timedelta(days=1)
"""How long an object may be on its way; for so long the bytes of a writer that died stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What a writer says about an object besides its bytes; ``md5`` (hex), when given, must match them."""

    bucket: str
    key: str
    content_type: str = "application/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = "STANDARD"
    acl: Acl = Acl.DEFAULT
    md5: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectStore:
    """The object use cases over a database and a blob store."""

    database: Database
    blobs: Blobs
    clock: Clock

    async def put(self, upload: Upload, chunks: AsyncIterator[bytes]) -> StoredObject:
        """Write an object from a stream of bytes; it becomes visible whole or not at all.

        Raises:
            ServiceError: BadDigest when the bytes are not those of ``upload.md5``, KeyTooLong, NoSuchBucket,
                RequestTimeOut when they took longer than ``UPLOAD_TIME``.
        """
        stored = await self.write_blob(upload, chunks)
        async with self.database.transaction() as tx:
            if await tx.buckets.get(upload.bucket) is None:
                raise errors.NO_SUCH_BUCKET()
            try:
                await tx.objects.put(stored)
            except BlobExpiredError as error:
                raise errors.REQUEST_TIMEOUT() from error
        return stored

    async def write_blob(self, upload: Upload, chunks: AsyncIterator[bytes]) -> StoredObject:
        """Write the bytes alone and return the row that makes them an object when put within ``UPLOAD_TIME``."""
        if len(upload.key.encode()) > MAX_KEY_BYTES:
            raise errors.KEY_TOO_LONG()
        blob_id = uuid.uuid4().hex
        async with self.database.transaction() as tx:
            await tx.objects.expect_blob(blob_id, self.clock.now() + UPLOAD_TIME)
        digest = await self.blobs.put(blob_id, chunks)
        if upload.md5 is not None and upload.md5 != digest.md5:
            # Not left to the sweep: a client that does it again and again would fill the disk for a day.
            await self.blobs.remove(blob_id)
            raise errors.BAD_DIGEST()
        return self._row(upload, blob_id, digest)

    async def discard(self, stored: StoredObject) -> None:
        """Remove the bytes of ``write_blob`` that became no object; their note goes with the next sweep after its time.

        Raises:
            BlobStoreError: they stay until then.
        """
        await self.blobs.remove(stored.blob_id)

    def _row(self, upload: Upload, blob_id: str, digest: BlobDigest) -> StoredObject:
        return StoredObject(
            bucket=upload.bucket,
            key=upload.key,
            size=digest.size,
            etag=digest.md5,
            crc64=digest.crc64,
            blob_id=blob_id,
            last_modified=self.clock.now(),
            content_type=upload.content_type,
            headers=upload.headers,
            metadata=upload.metadata,
            storage_class=upload.storage_class,
            acl=upload.acl,
        )

    async def head(self, bucket: Bucket, key: str) -> StoredObject:
        """The object's row.

        Raises:
            ServiceError: NoSuchKey.
        """
        async with self.database.reading() as tx:
            stored = await tx.objects.get(bucket.name, key)
        if stored is None:
            raise errors.NO_SUCH_KEY()
        return stored

    async def read(self, bucket: Bucket, stored: StoredObject, start: int, end: int) -> AsyncIterator[bytes]:  # noqa: ARG002
        """The object's bytes ``start`` to ``end`` (exclusive).

        Raises:
            BlobNotFoundError: they are gone: the object was replaced or deleted since.
        """
        for blob_id, first, last in await self._spans(stored, start, end):
            async for chunk in self.blobs.get(blob_id, first, last):
                yield chunk

    async def _spans(self, stored: StoredObject, start: int, end: int) -> Sequence[tuple[str, int, int]]:
        """The blobs that hold a run of the object's bytes, and from where to where in each."""
        if not stored.pieces:
            return [(stored.blob_id, start, end)]
        async with self.database.reading() as tx:
            pieces = await tx.objects.pieces(stored.blob_id)
        if not pieces:
            raise BlobNotFoundError(stored.blob_id)
        return list(_within(pieces, start, end))

    async def remove(self, bucket: Bucket, key: str) -> None:
        """Delete the object; quiet when there is none."""
        async with self.database.transaction() as tx:
            await tx.objects.remove(bucket.name, key)

    async def list(self, bucket: Bucket, *, prefix: str, delimiter: str, marker: str, limit: int) -> Listing:
        """One page of the bucket; ``limit`` is 0-1000."""
        if limit == 0:
            return Listing(objects=(), prefixes=(), next_marker=None)
        async with self.database.transaction() as tx:
            return await tx.objects.list(bucket.name, prefix=prefix, delimiter=delimiter, marker=marker, limit=limit)


def _within(pieces: Iterable[Piece], start: int, end: int) -> Iterator[tuple[str, int, int]]:
    """What of each piece lies within ``start`` to ``end`` (exclusive) of them all."""
    offset = 0
    for piece in pieces:
        first, last = max(start - offset, 0), min(end - offset, piece.size)
        if first < last:
            yield piece.blob_id, first, last
        offset += piece.size
