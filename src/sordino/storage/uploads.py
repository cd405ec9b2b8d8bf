"""Multipart uploads: begin, add parts, complete, abort, list.

A part is a row and a blob, as an object is. An object that came in parts keeps their blobs as its pieces: completing an
upload moves no byte, and makes the object visible whole or not at all. The upload's row is the lock: whoever adds a
part holds it, whoever completes or aborts has it alone.

Parts for a mounted bucket are kept here, too, until the upload is completed: then they go to its store one after the
other, as one object. No lock is held meanwhile: whoever completes it, too, writes the same object.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise

from sordino import errors
from sordino.domain.bucket import Bucket, StoredObject
from sordino.domain.crc64 import combined
from sordino.domain.ports import BlobNotFoundError, Blobs, Clock, Database, Mounts, Transaction
from sordino.domain.upload import (
    MAX_PARTS,
    MIN_PART_BYTES,
    MultipartUpload,
    NamedPart,
    Part,
    PartListing,
    UploadListing,
    combined_etag,
)
from sordino.errors import ServiceError
from sordino.storage.objects import NO_MOUNTS, Upload, new_object, stored_object
from sordino.storage.writing import BlobIds, arriving, write_blob


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadStore:
    """The use cases of multipart uploads over a database and a blob store.

    Attributes:
        new_upload_id: makes an id that is greater than those of earlier times.
        max_bytes: of a whole object.
        max_uploads: how many of a bucket may be unfinished; a few more, if they begin at once.
        mounts: the stores of mounted buckets.
        ids: of the blobs of parts.
    """

    database: Database
    blobs: Blobs
    clock: Clock
    new_upload_id: Callable[[datetime], str]
    max_bytes: int
    max_uploads: int
    mounts: Mounts = NO_MOUNTS
    ids: BlobIds = field(default_factory=BlobIds)

    async def begin(self, wanted: Upload, initiator: str) -> MultipartUpload:
        """Begin an upload of the object that ``wanted`` describes; ``initiator`` is the uin of who does.

        Raises:
            ServiceError: NoSuchBucket; TooManyUploads; NotImplemented for what a mounted bucket's store does not offer.
        """
        if wanted.bucket.mounted:
            new_object(wanted)
        now = self.clock.now()
        upload = MultipartUpload(
            upload_id=self.new_upload_id(now),
            bucket=wanted.bucket.name,
            key=wanted.key,
            initiator=initiator,
            initiated_at=now,
            content_type=wanted.content_type,
            headers=wanted.headers,
            metadata=wanted.metadata,
            storage_class=wanted.storage_class,
            acl=wanted.acl,
        )
        async with self.database.transaction() as tx:
            if await tx.uploads.count(upload.bucket, self.max_uploads) >= self.max_uploads:
                raise errors.TOO_MANY_UPLOADS(
                    f"The bucket {upload.bucket} has {self.max_uploads} unfinished uploads, as many as it may have; "
                    "complete or abort some of them (GET /?uploads lists them)."
                )
            await tx.uploads.add(upload)
        return upload

    async def put_part(
        self,
        bucket: Bucket,
        key: str,
        upload_id: str,
        number: int,
        chunks: AsyncIterator[bytes],
        *,
        md5: str | None = None,
    ) -> Part:
        """Write a part from a stream of bytes; one of that number that came earlier is replaced.

        Args:
            bucket: of the upload.
            key: of the upload.
            upload_id: as it was given out.
            number: 1 to ``MAX_PARTS``.
            chunks: the bytes.
            md5: in hex, what they must be; None: anything.

        Raises:
            ServiceError: NoSuchUpload, before the first byte is asked for or at the end; BadDigest; QuotaExceeded;
                RequestTimeOut when they took longer than ``UPLOAD_TIME``.
        """
        await self.find(bucket, key, upload_id)
        blob_id, digest = await write_blob(self.ids, self.database, self.blobs, self.clock, chunks, md5=md5)
        part = Part(
            number=number,
            blob_id=blob_id,
            size=digest.size,
            etag=digest.md5,
            crc64=digest.crc64,
            last_modified=self.clock.now(),
        )
        await self.add_part(bucket, key, upload_id, part)
        return part

    async def add_part(self, bucket: Bucket, key: str, upload_id: str, part: Part) -> None:
        """Add a part whose blob was noted and written; where it is refused, its bytes are removed.

        Raises:
            ServiceError: NoSuchUpload, QuotaExceeded, RequestTimeOut.
        """
        try:
            with arriving():
                async with self.database.transaction() as tx:
                    _in_place(await tx.uploads.held(upload_id), bucket, key)
                    await tx.uploads.put_part(upload_id, part)
        except ServiceError:
            # Not left to the sweep, see ``write_blob``.
            await self.blobs.remove(part.blob_id)
            raise

    async def find(self, bucket: Bucket, key: str, upload_id: str) -> MultipartUpload:
        """The upload of that key.

        Raises:
            ServiceError: NoSuchUpload.
        """
        async with self.database.reading() as tx:
            return _in_place(await tx.uploads.get(upload_id), bucket, key)

    async def complete(
        self, bucket: Bucket, key: str, upload_id: str, named: Sequence[NamedPart], *, overwrite: bool = True
    ) -> StoredObject:
        """Make an object of the parts that are named, in ascending order, and end the upload; others are dropped.

        Doing it again, with the same parts, gives the same object while it is there: a client whose reply was lost asks
        again.

        Args:
            bucket: of the upload.
            key: of the upload.
            upload_id: as it was given out.
            named: its parts.
            overwrite: whether it may replace an object of the key.

        Raises:
            ServiceError: NoSuchUpload, InvalidPart, InvalidPartOrder, EntityTooSmall, EntityTooLarge,
                FileAlreadyExists, QuotaExceeded; of a mounted bucket what its store refuses.
        """
        _check_order(named)
        if bucket.mounted:
            return await self._complete_mounted(bucket, key, upload_id, named, overwrite=overwrite)
        async with self.database.transaction() as tx:
            upload = await tx.uploads.locked(upload_id)
            if upload is None:
                return await _completed(tx, bucket, key, upload_id, named)
            _in_place(upload, bucket, key)
            parts = _chosen(await tx.uploads.parts(upload_id, limit=MAX_PARTS), named)
            _check_sizes(parts, self.max_bytes)
            # The CRC of thousands of parts takes seconds at worst, in which others are answered.
            stored = await asyncio.to_thread(_assembled, bucket, upload, parts, self.clock.now())
            await tx.uploads.complete(upload_id, stored, [part.number for part in parts], overwrite=overwrite)
        return stored

    async def _complete_mounted(
        self, bucket: Bucket, key: str, upload_id: str, named: Sequence[NamedPart], *, overwrite: bool
    ) -> StoredObject:
        """Write the parts to a mounted bucket's store; they go only when they are there."""
        async with self.database.reading() as tx:
            upload = _in_place(await tx.uploads.get(upload_id), bucket, key)
            parts = _chosen(await tx.uploads.parts(upload_id, limit=MAX_PARTS), named)
        _check_sizes(parts, self.max_bytes)
        wanted = replace(_wanted(bucket, upload), size=sum(part.size for part in parts), overwrite=overwrite)
        mounted = await self.mounts.open(bucket)
        stored = await mounted.put(new_object(wanted), self._bytes(parts))
        async with self.database.transaction() as tx:
            await tx.uploads.remove(upload_id)
        return stored

    async def _bytes(self, parts: Sequence[Part]) -> AsyncIterator[bytes]:
        try:
            for part in parts:
                async for chunk in self.blobs.get(part.blob_id):
                    yield chunk
        except BlobNotFoundError as error:
            raise errors.INVALID_PART("A part was replaced, or the upload ended, while it was completed.") from error

    async def abort(self, bucket: Bucket, key: str, upload_id: str) -> None:
        """End an upload, and drop its parts.

        Raises:
            ServiceError: NoSuchUpload.
        """
        async with self.database.transaction() as tx:
            _in_place(await tx.uploads.locked(upload_id), bucket, key)
            await tx.uploads.remove(upload_id)

    async def parts(self, bucket: Bucket, key: str, upload_id: str, *, after: int, limit: int) -> PartListing:
        """One page of an upload's parts with numbers above ``after``; ``limit`` is 0 or more.

        Raises:
            ServiceError: NoSuchUpload.
        """
        async with self.database.reading() as tx:
            upload = _in_place(await tx.uploads.get(upload_id), bucket, key)
            parts = await tx.uploads.parts(upload_id, after=after, limit=limit + 1) if limit else []
        page = tuple(parts[:limit])
        return PartListing(upload=upload, parts=page, next_marker=page[-1].number if len(parts) > limit else None)

    async def list(
        self, bucket: Bucket, *, prefix: str, delimiter: str, key_marker: str, upload_id_marker: str, limit: int
    ) -> UploadListing:
        """One page of the bucket's uploads; ``limit`` is 0-1000. Without a key the marker of ids says nothing."""
        if limit == 0:
            return UploadListing(uploads=(), prefixes=())
        async with self.database.reading() as tx:
            return await tx.uploads.page(
                bucket.name,
                prefix=prefix,
                delimiter=delimiter,
                key_marker=key_marker,
                upload_id_marker=upload_id_marker,
                limit=limit,
            )


def _in_place(upload: MultipartUpload | None, bucket: Bucket, key: str) -> MultipartUpload:
    """The upload, which is one of that key."""
    if upload is None or (upload.bucket, upload.key) != (bucket.name, key):
        raise errors.NO_SUCH_UPLOAD()
    return upload


async def _completed(
    tx: Transaction, bucket: Bucket, key: str, upload_id: str, named: Sequence[NamedPart]
) -> StoredObject:
    """The object that an upload which is over became, of these parts; an object is known by its upload's id."""
    stored = await tx.objects.get(bucket.name, key)
    etags = [part.etag for part in named if part.etag is not None]
    if stored is None or stored.blob_id != upload_id or stored.etag != combined_etag(etags):
        raise errors.NO_SUCH_UPLOAD()
    return stored


def _check_order(named: Sequence[NamedPart]) -> None:
    for before, after in pairwise(named):
        if before.number >= after.number:
            raise errors.INVALID_PART_ORDER(
                f"Part {after.number} is named after part {before.number}; name them in ascending order, each once."
            )


def _chosen(parts: Sequence[Part], named: Sequence[NamedPart]) -> Sequence[Part]:
    """The parts that are named, which are there and have those ETags."""
    there = {part.number: part for part in parts}
    for it in named:
        if it.number not in there:
            raise errors.INVALID_PART(f"Part {it.number} was not uploaded.")
        if it.etag != there[it.number].etag:
            raise errors.INVALID_PART(
                f'The ETag of part {it.number} is "{there[it.number].etag}"; upload it again, or name that one.'
            )
    return [there[it.number] for it in named]


def _check_sizes(parts: Sequence[Part], most: int) -> None:
    for part in parts[:-1]:
        if part.size < MIN_PART_BYTES:
            raise errors.ENTITY_TOO_SMALL(
                f"Part {part.number} has {part.size} bytes; every part but the last has at least {MIN_PART_BYTES}."
            )
    size = sum(part.size for part in parts)
    if size > most:
        raise errors.ENTITY_TOO_LARGE(f"The parts have {size} bytes together; an object has at most {most}.")


def _wanted(bucket: Bucket, upload: MultipartUpload) -> Upload:
    """The object as it was described when its upload began."""
    return Upload(
        bucket=bucket,
        key=upload.key,
        content_type=upload.content_type,
        headers=upload.headers,
        metadata=upload.metadata,
        storage_class=upload.storage_class,
        acl=upload.acl,
    )


def _assembled(bucket: Bucket, upload: MultipartUpload, parts: Sequence[Part], now: datetime) -> StoredObject:
    """The object of these parts."""
    return stored_object(
        _wanted(bucket, upload),
        size=sum(part.size for part in parts),
        etag=combined_etag(part.etag for part in parts),
        crc64=combined((part.crc64, part.size) for part in parts),
        blob_id=upload.upload_id,
        at=now,
        pieces=len(parts),
    )
