"""Blobs on their way: noted for the sweep before their first byte, so that none stays whose writer died."""

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import datetime

from sordino import errors
from sordino.domain.ports import BlobDigest, BlobExpiredError, Blobs, Clock, Database


async def write_blob(
    database: Database, blobs: Blobs, clock: Clock, chunks: AsyncIterator[bytes], *, until: datetime, md5: str | None
) -> tuple[str, BlobDigest]:
    """Write a new blob; its id, and what was counted.

    Args:
        database: where it is noted.
        blobs: where it is written.
        clock: tells when it is too late.
        chunks: its bytes.
        until: when a row must refer to it.
        md5: in hex, what they must be; None: anything.

    Raises:
        ServiceError: BadDigest; RequestTimeOut: they come for longer than that; nothing stays.
    """
    blob_id = uuid.uuid4().hex
    async with database.statement() as tx:
        await tx.objects.expect_blob(blob_id, until)
    digest = await blobs.put(blob_id, _in_time(chunks, clock, until))
    if md5 is not None and md5 != digest.md5:
        # Not left to the sweep: a client that does it again and again would fill the disk for a day.
        await blobs.remove(blob_id)
        raise errors.BAD_DIGEST()
    return blob_id, digest


@contextmanager
def arriving() -> Iterator[None]:
    """Refuse a row whose blob came too late.

    Raises:
        ServiceError: RequestTimeOut.
    """
    try:
        yield
    except BlobExpiredError as error:
        raise errors.REQUEST_TIMEOUT() from error


async def _in_time(chunks: AsyncIterator[bytes], clock: Clock, until: datetime) -> AsyncIterator[bytes]:
    # A blob that is complete only after a sweep took its note would never be removed.
    async for chunk in chunks:
        if clock.now() > until:
            raise errors.REQUEST_TIMEOUT()
        yield chunk
