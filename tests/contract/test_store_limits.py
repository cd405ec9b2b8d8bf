"""What the object store promises where something is at its limit: bytes that come too slowly, stores that go away."""

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rows import bucket
from sordino.adapters.blobs import ObstoreBlobs
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.errors import ServiceError
from sordino.storage.objects import ObjectStore, Upload
from sordino.storage.sweep import GRACE, Sweep
from sordino.storage.uploads import UploadStore
from sordino.storage.writing import AHEAD, UPLOAD_TIME
from sordino.wire.ids import new_upload_id

HOME = bucket()


@dataclass
class Clock:
    """The time of day, and some more."""

    shift: timedelta = timedelta(0)

    def now(self) -> datetime:
        """The time it shows."""
        return datetime.now(UTC) + self.shift


@dataclass
class Store:
    """The use cases over a database and a directory."""

    database: PostgresDatabase
    directory: Path
    clock: Clock = field(default_factory=Clock)

    @property
    def blobs(self) -> ObstoreBlobs:
        """The directory."""
        return ObstoreBlobs(self.directory.as_uri())

    @property
    def objects(self) -> ObjectStore:
        """Of objects."""
        return ObjectStore(database=self.database, blobs=self.blobs, clock=self.clock)

    @property
    def uploads(self) -> UploadStore:
        """Of multipart uploads."""
        return UploadStore(
            database=self.database,
            blobs=self.blobs,
            clock=self.clock,
            new_upload_id=new_upload_id,
            max_bytes=1 << 30,
            max_uploads=100,
        )

    async def too_slow(self) -> AsyncIterator[bytes]:
        """Bytes that take so long that a sweep comes before the last of them."""
        yield b"begins"
        self.clock.shift += UPLOAD_TIME + AHEAD + GRACE + timedelta(minutes=1)
        await Sweep(database=self.database, blobs=self.blobs, clock=self.clock)()
        yield b"and ends"

    def files(self) -> list[str]:
        """What lies in the directory."""
        return [path.name for path in self.directory.rglob("*") if path.is_file()]


@pytest.fixture
def store(database: PostgresDatabase, tmp_path: Path) -> Store:
    """An empty one."""
    return Store(database, tmp_path / "blobs")


async def refused(call: Awaitable[object], code: str) -> None:
    """See that it is refused so."""
    with pytest.raises(ServiceError) as refusal:
        await call
    assert refusal.value.code == code


@pytest.mark.parametrize("part", [False, True])
async def test_bytes_that_come_too_slowly_leave_nothing(store: Store, *, part: bool) -> None:
    """A sweep has taken their note while they came: nobody would ever remove them."""
    if part:
        upload = await store.uploads.begin(Upload(bucket=HOME, key="a"), "100000000001")
        call = store.uploads.put_part(HOME, "a", upload.upload_id, 1, store.too_slow())
    else:
        call = store.objects.put(Upload(bucket=HOME, key="a"), store.too_slow())
    await refused(call, "RequestTimeOut")
    assert store.files() == []
