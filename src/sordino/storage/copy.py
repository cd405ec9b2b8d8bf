"""Copies: the bytes of an object under another name, without passing through this process where that can be.

A copy has blobs of its own, which in a local store are other names of the same files. They are noted for the sweep as
those of an upload are, see ``ObjectStore``.
"""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sordino import errors
from sordino.domain.bucket import Bucket, Piece, StoredObject
from sordino.domain.ports import BlobNotFoundError, Blobs, Clock, Database
from sordino.errors import ServiceError
from sordino.storage.objects import ObjectStore, Upload, new_object, stored_object
from sordino.storage.writing import UPLOAD_TIME, arriving

AT_ONCE = 8
"""Pieces on their way at a time: a remote store takes a while for each."""

MAX_MOVED_BYTES = 5 << 30
"""Of one copy whose bytes do pass through this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """The use case of copying over a database and a blob store."""

    database: Database
    blobs: Blobs
    clock: Clock
    objects: ObjectStore

    async def copy(self, bucket: Bucket, stored: StoredObject, target: Upload) -> StoredObject:
        """Make the object that ``target`` describes of the bytes of another one; it becomes visible whole.

        Args:
            bucket: of the source.
            stored: the source.
            target: what the copy is besides its bytes.

        Raises:
            ServiceError: EntityTooLarge, NoSuchCopySource when it was replaced or deleted meanwhile, NoSuchBucket,
                FileAlreadyExists, QuotaExceeded, RequestTimeOut when it took longer than ``UPLOAD_TIME``.
        """
        if bucket.mounted or target.bucket.mounted:
            return await self._move(bucket, stored, target)
        until = self.clock.now() + UPLOAD_TIME
        pieces = await self._pieces(stored)
        copies = [Piece(uuid.uuid4().hex, piece.size) for piece in pieces]
        async with self.database.statement() as tx:
            await tx.objects.expect_blobs([copy.blob_id for copy in copies], until)
        try:
            await self._copy(pieces, copies)
            return await self._put(self._row(stored, target, copies), copies, target)
        except ServiceError:
            # Not left to the sweep: a client that does it again and again would fill the store for a day.
            for copy in copies:
                await self.blobs.remove(copy.blob_id)
            raise

    async def _move(self, bucket: Bucket, stored: StoredObject, target: Upload) -> StoredObject:
        if bucket.name == target.bucket.name:
            mounted = await self.objects.mounts.open(bucket)
            return await mounted.copy(stored, new_object(target))
        if stored.size > MAX_MOVED_BYTES:
            raise errors.ENTITY_TOO_LARGE(
                f"The source has {stored.size} bytes; copy more than {MAX_MOVED_BYTES} of a mounted bucket in parts."
            )
        try:
            body = self.objects.read(bucket, stored, 0, stored.size)
            return await self.objects.put(replace(target, size=stored.size), body)
        except BlobNotFoundError as error:
            raise replaced() from error

    async def _pieces(self, stored: StoredObject) -> Sequence[Piece]:
        """The blobs that hold the object's bytes, in their order."""
        if not stored.pieces:
            return [Piece(stored.blob_id, stored.size)]
        async with self.database.reading() as tx:
            pieces = await tx.objects.pieces(stored.blob_id)
        if len(pieces) < stored.pieces:
            raise replaced()
        return pieces

    async def _copy(self, pieces: Sequence[Piece], copies: Sequence[Piece]) -> None:
        pairs = list(zip(pieces, copies, strict=True))
        try:
            for at in range(0, len(pairs), AT_ONCE):
                batch = [self.blobs.copy(piece.blob_id, copy.blob_id) for piece, copy in pairs[at : at + AT_ONCE]]
                # All of them come to an end before one that failed is told: what they wrote may be removed then.
                for outcome in await asyncio.gather(*batch, return_exceptions=True):
                    if isinstance(outcome, BaseException):
                        raise outcome
        except BlobNotFoundError as error:
            raise replaced() from error

    def _row(self, stored: StoredObject, target: Upload, copies: Sequence[Piece]) -> StoredObject:
        return stored_object(
            target,
            size=stored.size,
            etag=stored.etag,
            crc64=stored.crc64,
            blob_id=uuid.uuid4().hex if stored.pieces else copies[0].blob_id,
            at=self.clock.now(),
            pieces=stored.pieces,
        )

    async def _put(self, row: StoredObject, copies: Sequence[Piece], target: Upload) -> StoredObject:
        with arriving():
            async with self.database.transaction() as tx:
                await tx.objects.put(row, copies if row.pieces else (), overwrite=target.overwrite)
        return row


def replaced() -> ServiceError:
    """The refusal of a copy whose source is not there any more."""
    return errors.NO_SUCH_COPY_SOURCE("The source was replaced or deleted while it was copied; try again.")
