"""Objects: write, look up, read, delete, list.

An object is a row and a blob. The blob is written first, the row makes it visible, so a reader sees an object whole or
not at all. Before its first byte a blob is noted for the sweep, and the row's transaction deletes that note: however a
writer ends, a blob whose row never came is removed once no writer can be at it any more.

The objects of a mounted bucket have neither: its store is asked for everything.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sordino import errors
from sordino.domain.acl import Acl
from sordino.domain.bucket import MAX_KEY_BYTES, Bucket, Listing, Piece, StoredObject
from sordino.domain.mount import NewObject
from sordino.domain.ports import (
    BlobNotFoundError,
    Blobs,
    Clock,
    Database,
    FileRun,
    MountedBucket,
    Mounts,
)
from sordino.errors import ServiceError
from sordino.storage.writing import BlobIds, arriving, write_blob

REMOVALS_AT_ONCE = 16
"""From a mounted bucket, in one call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What a writer says about an object besides its bytes; ``md5`` (hex), when given, must match them.

    ``size`` is None when it is not known before the bytes have come; ``overwrite``: whether an object may be replaced.
    """

    bucket: Bucket
    key: str
    content_type: str = "application/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = "STANDARD"
    acl: Acl = Acl.DEFAULT
    md5: str | None = None
    size: int | None = None
    overwrite: bool = True


@dataclass(frozen=True, slots=True)
class NoMounts:
    """``ports.Mounts`` where there are none."""

    async def open(self, bucket: Bucket) -> MountedBucket:
        """Refuse.

        Raises:
            ServiceError: NoSuchBucket.
        """
        raise errors.NO_SUCH_BUCKET(f"The bucket {bucket.name} is not mounted here.")


NO_MOUNTS = NoMounts()


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectStore:
    """The object use cases over a database, a blob store, ids for its blobs, and the stores of mounted buckets.

    Whatever is said about a mounted bucket may be refused as its store refuses it: AccessDenied, NoSuchBucket.
    """

    database: Database
    blobs: Blobs
    clock: Clock
    mounts: Mounts = NO_MOUNTS
    ids: BlobIds = field(default_factory=BlobIds)

    async def put(self, upload: Upload, chunks: AsyncIterator[bytes]) -> StoredObject:
        """Write an object from a stream of bytes; it becomes visible whole or not at all.

        Raises:
            ServiceError: BadDigest when the bytes are not those of ``upload.md5``, KeyTooLong, NoSuchBucket,
                FileAlreadyExists, QuotaExceeded, RequestTimeOut when they took longer than ``UPLOAD_TIME``; of a
                mounted bucket also EntityTooLarge, and NotImplemented for what its store does not offer.
        """
        if upload.bucket.mounted:
            _check_key(upload.key)
            mounted = await self.mounts.open(upload.bucket)
            return await mounted.put(new_object(upload), chunks)
        stored = await self.write_blob(upload, chunks)
        try:
            with arriving():
                await self._put_row(stored, overwrite=upload.overwrite)
        except ServiceError:
            # Not left to the sweep, see ``write_blob``.
            await self.discard(stored)
            raise
        return stored

    async def _put_row(self, stored: StoredObject, *, overwrite: bool) -> None:
        if overwrite:
            async with self.database.statement() as tx:
                await tx.objects.put_whole(stored)
        else:
            async with self.database.transaction() as tx:
                await tx.objects.put(stored, overwrite=False)

    async def write_blob(self, upload: Upload, chunks: AsyncIterator[bytes]) -> StoredObject:
        """Write the bytes alone and return the row that makes them an object when put within ``UPLOAD_TIME``.

        The bucket is not mounted.
        """
        _check_key(upload.key)
        blob_id, digest = await write_blob(self.ids, self.database, self.blobs, self.clock, chunks, md5=upload.md5)
        return stored_object(
            upload, size=digest.size, etag=digest.md5, crc64=digest.crc64, blob_id=blob_id, at=self.clock.now()
        )

    async def discard(self, stored: StoredObject) -> None:
        """Remove the bytes of ``write_blob`` that became no object; their note goes with the next sweep after its time.

        Raises:
            BlobStoreError: they stay until then.
        """
        await self.blobs.remove(stored.blob_id)

    async def head(self, bucket: Bucket, key: str) -> StoredObject:
        """The object's row.

        Raises:
            ServiceError: NoSuchKey.
        """
        stored = await self.find(bucket, key)
        if stored is None:
            raise errors.NO_SUCH_KEY()
        return stored

    async def find(self, bucket: Bucket, key: str) -> StoredObject | None:
        """The object's row; None when there is none."""
        if not bucket.mounted:
            async with self.database.reading() as tx:
                return await tx.objects.get(bucket.name, key)
        try:
            return await (await self.mounts.open(bucket)).head(key)
        except ServiceError as refusal:
            if refusal.code != errors.NO_SUCH_KEY.code:
                raise
            return None

    async def read(self, bucket: Bucket, stored: StoredObject, start: int, end: int) -> AsyncIterator[bytes]:
        """The object's bytes ``start`` to ``end`` (exclusive).

        Raises:
            BlobNotFoundError: they are gone: the object was replaced or deleted since.
        """
        if bucket.mounted:
            async for chunk in (await self.mounts.open(bucket)).read(stored, start, end):
                yield chunk
            return
        for blob_id, first, last in await self._spans(stored, start, end):
            async for chunk in self.blobs.get(blob_id, first, last):
                yield chunk

    def in_files(self, bucket: Bucket) -> bool:
        """Whether the objects of a bucket lie in files of this machine, which ``files`` opens."""
        return self.blobs.are_files and not bucket.mounted

    async def files(self, stored: StoredObject, start: int, end: int) -> AsyncGenerator[FileRun, None]:
        """The files that hold the object's bytes ``start`` to ``end`` (exclusive), for buckets that are ``in_files``.

        Each is opened when it is asked for; whoever gets it closes it.

        Raises:
            BlobNotFoundError: they are gone: the object was replaced or deleted since.
        """
        for blob_id, first, last in await self._spans(stored, start, end):
            yield FileRun(await self.blobs.open(blob_id), first, last)

    async def _spans(self, stored: StoredObject, start: int, end: int) -> Sequence[tuple[str, int, int]]:
        """The blobs that hold a run of the object's bytes, and from where to where in each."""
        if not stored.pieces:
            return [(stored.blob_id, start, end)]
        async with self.database.reading() as tx:
            pieces = await tx.objects.pieces(stored.blob_id)
        if len(pieces) < stored.pieces:
            raise BlobNotFoundError(stored.blob_id)
        return list(_within(pieces, start, end))

    async def remove(self, bucket: Bucket, key: str) -> None:
        """Delete the object; quiet when there is none."""
        if bucket.mounted:
            await (await self.mounts.open(bucket)).remove(key)
            return
        async with self.database.transaction() as tx:
            await tx.objects.remove(bucket.name, key)

    async def remove_many(self, bucket: Bucket, keys: Sequence[str]) -> Mapping[str, ServiceError]:
        """Delete the objects of these keys that are there; those that could not be deleted, with the reason.

        Those of a bucket that is not mounted go all at once, or none does.
        """
        if not bucket.mounted:
            async with self.database.transaction() as tx:
                await tx.objects.remove_many(bucket.name, keys)
            return {}
        return await self._remove_mounted(await self.mounts.open(bucket), keys)

    async def _remove_mounted(self, mounted: MountedBucket, keys: Sequence[str]) -> Mapping[str, ServiceError]:
        failed: dict[str, ServiceError] = {}
        some = asyncio.Semaphore(REMOVALS_AT_ONCE)

        async def remove(key: str) -> None:
            async with some:
                try:
                    await mounted.remove(key)
                except ServiceError as refusal:
                    failed[key] = refusal

        try:
            async with asyncio.TaskGroup() as group:
                for key in keys:
                    group.create_task(remove(key))
        except ExceptionGroup as outages:
            # One is as good as all: the others were stopped, or broke for the same reason.
            raise outages.exceptions[0] from outages
        return failed

    async def list(self, bucket: Bucket, *, prefix: str, delimiter: str, marker: str, limit: int) -> Listing:
        """One page of the bucket; ``limit`` is 0-1000."""
        if limit == 0:
            return Listing(objects=(), prefixes=(), next_marker=None)
        if bucket.mounted:
            mounted = await self.mounts.open(bucket)
            return await mounted.list(prefix=prefix, delimiter=delimiter, marker=marker, limit=limit)
        async with self.database.transaction() as tx:
            return await tx.objects.list(bucket.name, prefix=prefix, delimiter=delimiter, marker=marker, limit=limit)


def stored_object(
    upload: Upload, *, size: int, etag: str, crc64: int | None, blob_id: str, at: datetime, pieces: int = 0
) -> StoredObject:
    """The row of the object that ``upload`` describes, made ``at`` of these bytes (see ``StoredObject``)."""
    return StoredObject(
        bucket=upload.bucket.name,
        key=upload.key,
        size=size,
        etag=etag,
        crc64=crc64,
        blob_id=blob_id,
        last_modified=at,
        content_type=upload.content_type,
        headers=upload.headers,
        metadata=upload.metadata,
        storage_class=upload.storage_class,
        acl=upload.acl,
        pieces=pieces,
    )


def new_object(upload: Upload) -> NewObject:
    """What the store of a mounted bucket is told about an object.

    Raises:
        ServiceError: NotImplemented for an access control list that is not the bucket's, and for a condition;
            InvalidArgument for what cannot be sent and signed as it is.
    """
    _check_texts(upload)
    if not upload.overwrite:
        raise errors.NOT_IMPLEMENTED("x-cos-forbid-overwrite is not offered for a mounted bucket; leave it out.")
    if upload.acl not in (Acl.DEFAULT, upload.bucket.acl):
        raise errors.NOT_IMPLEMENTED(
            "Objects of a mounted bucket have no access control lists of their own; leave out x-cos-acl."
        )
    return NewObject(
        key=upload.key,
        size=upload.size,
        content_type=upload.content_type,
        headers=upload.headers,
        metadata=upload.metadata,
        storage_class=upload.storage_class,
        md5=upload.md5,
    )


def _check_texts(upload: Upload) -> None:
    texts = {"Content-Type": upload.content_type, **upload.headers}
    texts |= {f"x-cos-meta-{name}": value for name, value in upload.metadata.items()}
    for name, text in texts.items():
        if not (text.isascii() and text.isprintable()):
            raise errors.INVALID_ARGUMENT(
                f"{name} must be printable ASCII in a mounted bucket; write other characters percent-encoded."
            )


def _check_key(key: str) -> None:
    if len(key.encode()) > MAX_KEY_BYTES:
        raise errors.KEY_TOO_LONG()


def _within(pieces: Iterable[Piece], start: int, end: int) -> Iterator[tuple[str, int, int]]:
    """What of each piece lies within ``start`` to ``end`` (exclusive) of them all."""
    offset = 0
    for piece in pieces:
        first, last = max(start - offset, 0), min(end - offset, piece.size)
        if first < last:
            yield piece.blob_id, first, last
        offset += piece.size
