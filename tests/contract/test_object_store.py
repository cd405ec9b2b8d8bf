"""What the object use cases promise wherever the bytes lie: a directory, an S3 server, a mounted bucket of one."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest

from rows import BUCKET, OPERATOR, ROOT
from seaweed import S3Server
from sordino.adapters.blobs import ObstoreBlobs
from sordino.adapters.clock import SystemClock
from sordino.adapters.mounted import OpenMounts, try_mount
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.adapters.vault import FernetVault
from sordino.domain.bucket import Bucket, StoredObject
from sordino.domain.ports import BlobNotFoundError
from sordino.domain.upload import NamedPart
from sordino.errors import ServiceError
from sordino.storage.buckets import BucketStore
from sordino.storage.copy import Copies
from sordino.storage.mounts import MountStore
from sordino.storage.objects import ObjectStore, Upload
from sordino.storage.uploads import UploadStore
from sordino.wire.ids import new_queue_id, new_upload_id

REGION = "ap-guangzhou"
MIB = 1 << 20


@dataclass
class Place:
    """A bucket, and the use cases on it."""

    bucket: Bucket
    objects: ObjectStore
    copies: Copies
    uploads: UploadStore

    async def put(self, key: str, content: bytes = b"hello", **said: object) -> StoredObject:
        """Write an object."""
        return await self.objects.put(Upload(bucket=self.bucket, key=key, **said), stream(content))

    async def read(self, stored: StoredObject, start: int = 0, end: int | None = None) -> bytes:
        """The bytes of an object."""
        end = stored.size if end is None else end
        return b"".join([chunk async for chunk in self.objects.read(self.bucket, stored, start, end)])

    async def content(self, key: str) -> bytes:
        """The bytes of the object of that key."""
        return await self.read(await self.objects.head(self.bucket, key))

    async def keys(self, prefix: str = "", delimiter: str = "", marker: str = "") -> list[str]:
        """The objects and common prefixes of a page."""
        page = await self.objects.list(self.bucket, prefix=prefix, delimiter=delimiter, marker=marker, limit=1000)
        return sorted([*(stored.key for stored in page.objects), *page.prefixes])


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    """The chunks."""
    for chunk in chunks:
        yield chunk


@pytest.fixture(params=["file", "s3", "mounted"])
async def place(
    request: pytest.FixtureRequest, empty_database: PostgresDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    """An empty bucket whose objects lie in a directory, in a store of S3, or in a bucket that somebody has there."""
    database, clock, vault = empty_database, SystemClock(), FernetVault(data=tmp_path)
    async with database.transaction() as tx:
        await tx.identities.add_root(ROOT)
    buckets = BucketStore(
        database=database, clock=clock, new_queue_id=new_queue_id, bind_on_create=True, max_buckets=100
    )
    blobs = ObstoreBlobs((tmp_path / "blobs").as_uri())
    if request.param == "s3":
        blobs = _s3_blobs(request, monkeypatch)
    if request.param == "mounted":
        bucket = await _mount(request, database, buckets, vault)
    else:
        bucket = await buckets.create(BUCKET, REGION, ROOT.account)
    async with aclosing(OpenMounts(database=database, vault=vault)) as mounts:
        objects = ObjectStore(database=database, blobs=blobs, clock=clock, mounts=mounts)
        yield Place(
            bucket=bucket,
            objects=objects,
            copies=Copies(database=database, blobs=blobs, clock=clock, objects=objects),
            uploads=UploadStore(
                database=database,
                blobs=blobs,
                clock=clock,
                new_upload_id=new_upload_id,
                max_bytes=100 * MIB,
                max_uploads=100,
                mounts=mounts,
            ),
        )


def _s3_blobs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ObstoreBlobs:
    server: S3Server = request.getfixturevalue("s3_server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return ObstoreBlobs(f"s3://{server.new_bucket()}")


async def _mount(
    request: pytest.FixtureRequest, database: PostgresDatabase, buckets: BucketStore, vault: FernetVault
) -> Bucket:
    server: S3Server = request.getfixturevalue("s3_server")
    cases = MountStore(
        database=database, clock=buckets.clock, vault=vault, buckets=buckets, region=REGION, try_mount=try_mount
    )
    await cases.mount(
        OPERATOR,
        BUCKET,
        f"s3://{server.new_bucket()}/part",
        endpoint=server.endpoint,
        region=None,
        access_key_id=server.access_key_id,
        secret=server.secret,
    )
    bucket = await buckets.find(BUCKET)
    assert bucket is not None
    assert bucket.mounted
    return bucket


async def test_put_and_head(place: Place) -> None:
    """An object is what was said of it."""
    headers, metadata = {"Cache-Control": "no-cache", "Expires": "Wed, 21 Oct 2030 07:28:00 GMT"}, {"k": "v"}
    made = await place.put("a/ü +%.wav", content_type="audio/wav", headers=headers, metadata=metadata)
    found = await place.objects.head(place.bucket, "a/ü +%.wav")
    assert (found.size, found.etag, found.crc64) == (5, hashlib.md5(b"hello").hexdigest(), 11177612005948864433)
    assert (found.etag, found.crc64) == (made.etag, made.crc64)
    assert (found.content_type, found.headers, found.metadata) == ("audio/wav", headers, metadata)


async def test_ranges(place: Place) -> None:
    """A range is the slice of the bytes."""
    stored = await place.put("a", b"0123456789")
    assert await place.read(stored, 3, 7) == b"3456"
    assert await place.read(stored, 9) == b"9"
    assert await place.read(stored, 4, 4) == b""


async def test_nothing_comes_of_other_bytes(place: Place) -> None:
    """Bytes that are not those of the MD5 make no object, and leave the one that is there."""
    await place.put("a", b"old")
    with pytest.raises(ServiceError) as refusal:
        await place.put("a", b"new", md5=hashlib.md5(b"others").hexdigest())
    assert refusal.value.code == "BadDigest"
    assert await place.content("a") == b"old"


@pytest.mark.parametrize("key", ["k" * 851, "é" * 426])
async def test_keys_that_are_too_long(place: Place, key: str) -> None:
    """They are refused alike."""
    with pytest.raises(ServiceError) as refusal:
        await place.put(key)
    assert refusal.value.code == "KeyTooLong"


async def test_remove(place: Place) -> None:
    """What was deleted is gone, also among many; what was not there is deleted quietly."""
    for key in ("a", "b", "c"):
        await place.put(key)
    await place.objects.remove(place.bucket, "a")
    await place.objects.remove(place.bucket, "a")
    assert await place.objects.remove_many(place.bucket, ["b", "nothing"]) == {}
    assert await place.keys() == ["c"]
    with pytest.raises(ServiceError) as refusal:
        await place.objects.head(place.bucket, "a")
    assert refusal.value.code == "NoSuchKey"


async def test_list(place: Place) -> None:
    """Prefix, delimiter and marker choose what a page holds."""
    for key in ("a", "b/1", "b/2", "c"):
        await place.put(key)
    assert await place.keys() == ["a", "b/1", "b/2", "c"]
    assert await place.keys(delimiter="/") == ["a", "b/", "c"]
    assert await place.keys(prefix="b/") == ["b/1", "b/2"]
    assert await place.keys(marker="b/1") == ["b/2", "c"]
    assert await place.keys(delimiter="/", marker="b/") == ["c"]
    assert await place.keys(delimiter="/", marker="b/1") == ["c"]


async def test_copy(place: Place) -> None:
    """A copy has the bytes of its source, and what is said of it; it stays when the source goes."""
    source = await place.put("a", metadata={"old": "1"})
    await place.copies.copy(place.bucket, source, Upload(bucket=place.bucket, key="b", metadata={"new": "2"}))
    await place.objects.remove(place.bucket, "a")
    found = await place.objects.head(place.bucket, "b")
    assert (found.metadata, found.crc64) == ({"new": "2"}, source.crc64)
    assert await place.read(found) == b"hello"


async def test_copy_of_what_was_replaced(place: Place) -> None:
    """Copying does not take another object for the source."""
    source = await place.put("a", b"old")
    await place.put("a", b"new")
    try:
        await place.copies.copy(place.bucket, source, Upload(bucket=place.bucket, key="b"))
    except ServiceError as refusal:
        code = refusal.code
    else:
        code = None
    assert code == "NoSuchCopySource" if place.bucket.mounted else await place.content("b") == b"old"


async def test_upload_in_parts(place: Place) -> None:
    """Parts become one object with what was said when they began, and leave no upload."""
    wanted = Upload(bucket=place.bucket, key="big", content_type="audio/wav", metadata={"k": "v"})
    upload = await place.uploads.begin(wanted, "100000000001")
    contents = [bytes([number]) * (5 * MIB) for number in range(3)]
    named = []
    for number, content in enumerate(contents, 1):
        part = await place.uploads.put_part(place.bucket, "big", upload.upload_id, number, stream(content))
        named.append(NamedPart(number, part.etag))
    made = await place.uploads.complete(place.bucket, "big", upload.upload_id, named)
    found = await place.objects.head(place.bucket, "big")
    assert (found.size, found.etag, found.metadata) == (15 * MIB, made.etag, {"k": "v"})
    assert made.crc64 is not None
    assert await place.read(found) == b"".join(contents)
    page = await place.uploads.list(place.bucket, prefix="", delimiter="", key_marker="", upload_id_marker="", limit=10)
    assert page.uploads == ()
    with pytest.raises(ServiceError) as refusal:
        await place.uploads.abort(place.bucket, "big", upload.upload_id)
    assert refusal.value.code == "NoSuchUpload"


async def test_an_object_that_goes_while_it_is_read(place: Place) -> None:
    """A reader who comes too late gets no bytes of another object."""
    stored = await place.put("a", b"old")
    await place.put("a", b"new")
    try:
        content = await place.read(stored)
    except BlobNotFoundError:
        return
    assert content == b"old"
