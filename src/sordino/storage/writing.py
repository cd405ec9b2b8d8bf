"""Blobs on their way: noted for the sweep before their first byte, so that none stays whose writer died."""

import uuid
from collections.abc import AsyncIterator
from datetime import datetime

from sordino import errors
from sordino.domain.ports import BlobDigest, Blobs, Database


async def write_blob(
    database: Database, blobs: Blobs, chunks: AsyncIterator[bytes], *, until: datetime, md5: str | None
) -> tuple[str, BlobDigest]:
    """Write a new blob; its id, and what was counted.

    Args:
        database: where it is noted.
        blobs: where it is written.
        chunks: its bytes.
        until: when a row must refer to it.
        md5: in hex, what they must be; None: anything.

    Raises:
        ServiceError: BadDigest; nothing stays.
    """
    blob_id = uuid.uuid4().hex
    async with database.statement() as tx:
        await tx.objects.expect_blob(blob_id, until)
    digest = await blobs.put(blob_id, chunks)
    if md5 is not None and md5 != digest.md5:
        # Not left to the sweep: a client that does it again and again would fill the disk for a day.
        await blobs.remove(blob_id)
        raise errors.BAD_DIGEST()
    return blob_id, digest
