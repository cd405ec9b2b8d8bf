"""Blobs on their way: noted for the sweep before their first byte, so that none stays whose writer died."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from sordino import errors
from sordino.domain.ports import BlobDigest, BlobExpiredError, Blobs, Clock, Database

UPLOAD_TIME: Final = timedelta(days=1)
"""How long an object may be on its way; for so long, and ``AHEAD``, the bytes of a writer that died stay."""

AHEAD: Final = timedelta(minutes=10)
"""How long ids that were noted may wait for their blobs."""

MOST_IDS: Final = 64
"""Noted at a time; what a process that ends has not used, the sweep looks for in vain, once."""


class BlobIds:
    """Ids for blobs, noted for the sweep before they are given out.

    A busy server notes several at a time, so that an upload seldom waits for a statement of its own: twice as many
    whenever those of before were used up in time, and one when they were not.
    """

    def __init__(self) -> None:
        self._spare: list[str] = []
        self._good_until = datetime.min.replace(tzinfo=UTC)
        self._count = 0
        self._turn = asyncio.Lock()

    async def take(self, database: Database, until: datetime) -> str:
        """An id, which is nobody else's, of a blob that a row must refer to by ``until``."""
        async with self._turn:
            if not self._spare or until > self._good_until:
                await self._note(database, until)
            return self._spare.pop()

    async def _note(self, database: Database, until: datetime) -> None:
        count = min(2 * self._count, MOST_IDS) if until <= self._good_until else 1
        noted, good_until = [uuid.uuid4().hex for _ in range(count)], until + AHEAD
        async with database.statement() as tx:
            await tx.objects.expect_blobs(noted, good_until)
        self._spare, self._good_until, self._count = noted, good_until, count


async def write_blob(
    ids: BlobIds, database: Database, blobs: Blobs, clock: Clock, chunks: AsyncIterator[bytes], *, md5: str | None
) -> tuple[str, BlobDigest]:
    """Write a new blob, which a row must refer to within ``UPLOAD_TIME``; its id, and what was counted.

    Args:
        ids: where its id comes from.
        database: where it is noted.
        blobs: where it is written.
        clock: tells when it is too late.
        chunks: its bytes.
        md5: in hex, what they must be; None: anything.

    Raises:
        ServiceError: BadDigest; RequestTimeOut: they come for longer than that; nothing stays.
    """
    until = clock.now() + UPLOAD_TIME
    blob_id = await ids.take(database, until)
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
