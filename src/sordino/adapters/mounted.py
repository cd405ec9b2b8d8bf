"""Objects of mounted buckets, in the stores where they lie.

A CRC-64 of bytes that we wrote in one request is kept in the object's metadata, under a name that is not shown; of
bytes that came in parts it is not known before the upload has begun, and metadata cannot be added later. COS tells it.
"""

import asyncio
import hashlib
import math
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote

from fastcrc import crc64

from sordino import errors
from sordino.adapters.s3_client import IN_THREAD_BYTES, RefusedError, S3Client, headers_of, refusal
from sordino.domain.bucket import STORED_HEADERS, Bucket, Listing, StoredObject, common_prefix
from sordino.domain.mount import Mount, NewObject
from sordino.domain.ports import (
    BlobNotFoundError,
    BlobStoreError,
    Database,
    MountedBucket,
    MountedStoreError,
    Vault,
    VaultError,
)
from sordino.wire.s3 import (
    NotS3Error,
    S3Entry,
    S3Listing,
    parse_etag,
    parse_listing,
    parse_upload_id,
    render_parts,
    unquoted,
)

PART_BYTES: Final = 8 * 2**20
"""Part of a multipart upload, if that makes no more than ``MAX_PARTS`` of an object; a smaller one goes up whole."""

MAX_PARTS: Final = 10_000
MAX_PART_BYTES: Final = 64 * 2**20
"""What memory is given to; two of them at a time. 640 GB is the largest object."""

ABORT_SECONDS: Final = 5.0
"""How long an upload that broke waits for the store to forget its parts."""

CRC64: Final = "sordino-crc64"
COS_CRC64: Final = "x-cos-hash-crc64ecma"
METADATA: Final = "x-amz-meta-"
COS_METADATA: Final = "x-cos-meta-"
DEFAULT_CLASS: Final = "STANDARD"

# After every key that begins with what stands before it.
_HIGHEST: Final = "\U0010ffff"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Bucket:
    """``ports.MountedBucket`` in an S3-compatible store.

    Attributes:
        bucket: full name of ours.
    """

    bucket: str
    client: S3Client

    async def check(self) -> None:
        """Ask for a list, which needs all that can be wrong: address, key, bucket.

        Raises:
            RefusedError: the store refuses.
            BlobStoreError: it does not answer.
        """
        await self._page(prefix="", delimiter="", marker="", limit=1)

    async def head(self, key: str) -> StoredObject:
        """What is known of an object.

        Raises:
            ServiceError: NoSuchKey, AccessDenied.
        """
        with self._refusals():
            reply = await self.client.send("HEAD", key)
        return self._found(key, reply.headers)

    async def read(self, stored: StoredObject, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes ``start`` to ``end`` (exclusive) of an object that is the same as it was then.

        Raises:
            BlobNotFoundError: it was replaced or deleted since.
            ServiceError: AccessDenied.
        """
        if start == end:
            return
        headers = {"range": f"bytes={start}-{end - 1}", "if-match": f'"{stored.etag}"'}
        left = end - start
        try:
            async with self.client.stream(stored.key, headers) as response:
                if headers_of(response).get("content-range") is None and (start, end) != (0, stored.size):
                    raise MountedStoreError("the mounted store sends a whole object where a part was asked for")
                async for chunk in response.aiter_stream():
                    left -= len(chunk)
                    yield chunk
        except RefusedError as error:
            if error.status in (404, 412, 416):
                raise BlobNotFoundError(stored.key) from error
            raise refusal(self.bucket, error) from error
        if left:
            raise MountedStoreError(f"the mounted store sends {end - start - left} bytes of {end - start}")

    async def put(self, new: NewObject, chunks: AsyncIterator[bytes]) -> StoredObject:
        """Write an object; it is there whole or not at all, and when ``chunks`` raises, nothing stays.

        Raises:
            ServiceError: BadDigest when the bytes are not those of ``new.md5``, AccessDenied, EntityTooLarge.
        """
        parts = _Parts(chunks, _part_bytes(new.size))
        first = await parts.next()
        if parts.more:
            with self._refusals():
                etag = await self._put_parts(new, first, parts)
        else:
            _check_md5(new, parts)
            headers = _headers(new, parts.crc64) | {"content-md5": b64encode(parts.md5.digest()).decode()}
            with self._refusals():
                etag = unquoted((await self.client.send("PUT", new.key, headers=headers, body=first)).headers["etag"])
        return self._new(new, size=parts.size, etag=etag, crc=parts.crc64)

    async def _put_parts(self, new: NewObject, first: bytes, parts: "_Parts") -> str:
        """Write an object of several parts; the ETag."""
        begun = await self.client.send("POST", new.key, query={"uploads": ""}, headers=_headers(new, None))
        upload = _Upload(self.client, new.key, parse_upload_id(begun.body))
        try:
            await upload.send(first, parts)
            _check_md5(new, parts)
            return await upload.complete()
        except RefusedError as error:
            await upload.abort()
            if error.error.code == "NoSuchUpload":
                # It was complete before, and only the reply was lost, or the store forgot it. Both are mended by doing
                # it all again, which a client, and a job, does after an outage.
                raise MountedStoreError("the mounted store does not know the upload any more") from error
            raise
        except BaseException:
            await upload.abort()
            raise

    async def remove(self, key: str) -> None:
        """Delete the object; quiet when there is none.

        Raises:
            ServiceError: AccessDenied.
        """
        with self._refusals():
            try:
                await self.client.send("DELETE", key)
            except RefusedError as error:
                if error.status != 404 or error.error.code == "NoSuchBucket":
                    raise

    async def copy(self, source: StoredObject, new: NewObject) -> StoredObject:
        """Write the bytes of an object of the mount under another key, or its own, without their coming here.

        Raises:
            ServiceError: NoSuchCopySource when the source is no longer as it was, AccessDenied, EntityTooLarge.
        """
        location = self.client.location
        headers = _headers(new, source.crc64) | {
            "x-amz-copy-source": quote(f"/{location.bucket}/{location.prefix}{source.key}", safe="/~"),
            "x-amz-copy-source-if-match": f'"{source.etag}"',
            "x-amz-metadata-directive": "REPLACE",
        }
        with self._refusals():
            try:
                made = await self.client.send("PUT", new.key, headers=headers)
            except RefusedError as error:
                if error.status == 412:
                    raise errors.NO_SUCH_COPY_SOURCE("The source was replaced meanwhile; try again.") from error
                raise
            etag = parse_etag(made.body)
        return self._new(new, size=source.size, etag=etag, crc=source.crc64)

    async def list(self, *, prefix: str, delimiter: str, marker: str, limit: int) -> Listing:
        """A page of keys strictly after ``marker``; keys sharing prefix..delimiter fold into one.

        ``limit`` (1-1000) counts objects and prefixes together. The order is the store's: that of UTF-8 bytes in COS
        and S3.

        Raises:
            ServiceError: AccessDenied.
        """
        folded = common_prefix(marker, prefix, delimiter)
        with self._refusals():
            page = await self._page(
                prefix=prefix,
                delimiter=delimiter,
                # Stores differ in whether a common prefix that the marker lies in, or is, comes again.
                marker=marker if folded is None else folded + _HIGHEST,
                limit=limit,
            )
        own = self.client.location.prefix
        prefixes = (text.removeprefix(own) for text in page.prefixes)
        return Listing(
            objects=tuple(self._listed(entry) for entry in page.entries),
            prefixes=tuple(text for text in prefixes if text != folded),
            next_marker=page.next_marker.removeprefix(own) if page.next_marker else None,
        )

    async def _page(self, *, prefix: str, delimiter: str, marker: str, limit: int) -> S3Listing:
        own = self.client.location.prefix
        query = {
            "prefix": own + prefix,
            "delimiter": delimiter,
            "marker": own + marker if marker else "",
            "max-keys": str(limit),
            "encoding-type": "url",
        }
        reply = await self.client.send("GET", None, query={name: value for name, value in query.items() if value})
        try:
            return parse_listing(reply.body)
        except NotS3Error as error:
            raise MountedStoreError(f"the mounted store answers strangely: {error}") from error

    def _listed(self, entry: S3Entry) -> StoredObject:
        return StoredObject(
            bucket=self.bucket,
            key=entry.key.removeprefix(self.client.location.prefix),
            size=entry.size,
            etag=entry.etag,
            crc64=None,
            blob_id="",
            last_modified=entry.last_modified,
            storage_class=entry.storage_class,
        )

    def _found(self, key: str, headers: Mapping[str, str]) -> StoredObject:
        metadata = {
            name.removeprefix(prefix): value
            for prefix in (COS_METADATA, METADATA)
            for name, value in headers.items()
            if name.startswith(prefix)
        }
        kept = metadata.pop(CRC64, "")
        return StoredObject(
            bucket=self.bucket,
            key=key,
            size=int(headers.get("content-length", "0")),
            etag=unquoted(headers.get("etag", "")),
            crc64=_number(headers.get(COS_CRC64) or kept),
            blob_id="",
            last_modified=_date(headers.get("last-modified", "")),
            content_type=headers.get("content-type") or "application/octet-stream",
            headers={name: value for name in STORED_HEADERS if (value := headers.get(name.lower()))},
            metadata=metadata,
            storage_class=headers.get("x-amz-storage-class") or headers.get("x-cos-storage-class") or DEFAULT_CLASS,
        )

    def _new(self, new: NewObject, *, size: int, etag: str, crc: int | None) -> StoredObject:
        return StoredObject(
            bucket=self.bucket,
            key=new.key,
            size=size,
            etag=etag,
            crc64=crc,
            blob_id="",
            last_modified=datetime.now(UTC).replace(microsecond=0),
            content_type=new.content_type,
            headers=new.headers,
            metadata=new.metadata,
            storage_class=new.storage_class,
        )

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turn what the store refuses, or says that makes no sense, into what our clients are told."""
        try:
            yield
        except RefusedError as error:
            raise refusal(self.bucket, error) from error
        except NotS3Error as error:
            raise MountedStoreError(f"the mounted store answers strangely: {error}") from error


class _Parts:
    """Bytes in parts of one size, but for the last; counted on the way.

    Attributes:
        more: whether another part follows the one that came last.
    """

    def __init__(self, chunks: AsyncIterator[bytes], size: int) -> None:
        self.size = 0
        self.crc64 = crc64.xz(b"")
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.more = True
        self._chunks = chunks
        self._part_bytes = size
        self._rest = b""

    async def next(self) -> bytes:
        """The next part; the last one of several is not empty."""
        part = bytearray(self._rest)
        async for chunk in self._chunks:
            part += chunk
            if len(part) > self._part_bytes:
                break
        else:
            self.more = False
        taken, self._rest = bytes(part[: self._part_bytes]), bytes(part[self._part_bytes :])
        self.more = self.more or bool(self._rest)
        if len(taken) > IN_THREAD_BYTES:
            await asyncio.to_thread(self._count, taken)
        else:
            self._count(taken)
        return taken

    def _count(self, part: bytes) -> None:
        self.size += len(part)
        self.md5.update(part)
        self.crc64 = crc64.xz(part, self.crc64)


@dataclass(slots=True)
class _Upload:
    """A multipart upload under way: one part is sent while the next one comes."""

    client: S3Client
    key: str
    upload_id: str
    etags: list[str] = field(default_factory=list)

    async def send(self, first: bytes, parts: _Parts) -> None:
        """Send every part."""
        part = first
        while True:
            sending = asyncio.create_task(self._part(len(self.etags) + 1, part))
            try:
                part = await parts.next() if parts.more else b""
                self.etags.append(await sending)
            finally:
                sending.cancel()
                await asyncio.wait([sending])
            if not part:
                return
            if len(self.etags) == MAX_PARTS:
                raise errors.ENTITY_TOO_LARGE("The object is larger than a mounted bucket takes.")

    async def _part(self, number: int, part: bytes) -> str:
        query = {"partNumber": str(number), "uploadId": self.upload_id}
        return unquoted((await self.client.send("PUT", self.key, query=query, body=part)).headers["etag"])

    async def complete(self) -> str:
        """Make the parts an object; its ETag."""
        query = {"uploadId": self.upload_id}
        return parse_etag((await self.client.send("POST", self.key, query=query, body=render_parts(self.etags))).body)

    async def abort(self) -> None:
        """Have the store forget the parts, if it can be done soon."""
        with suppress(TimeoutError, RefusedError, BlobStoreError):
            async with asyncio.timeout(ABORT_SECONDS):
                await self.client.send("DELETE", self.key, query={"uploadId": self.upload_id})


@dataclass(slots=True, kw_only=True)
class OpenMounts:
    """``ports.Mounts``: a client for each mounted bucket, as its row is now."""

    database: Database
    vault: Vault
    _open: dict[str, tuple[Mount, S3Bucket]] = field(default_factory=dict)
    _retired: list[S3Client] = field(default_factory=list)

    async def open(self, bucket: Bucket) -> MountedBucket:
        """The bucket where its objects lie.

        Raises:
            ServiceError: NoSuchBucket: it is not mounted any more.
            BlobStoreError: this machine cannot read the secret.
        """
        async with self.database.reading() as tx:
            mount = await tx.mounts.get(bucket.name)
        known = self._open.get(bucket.name)
        if known is not None and known[0] != mount:
            # Its requests that are under way may end.
            self._retired.append(self._open.pop(bucket.name)[1].client)
            known = None
        await self._close_retired()
        if mount is None:
            raise errors.NO_SUCH_BUCKET()
        if known is not None:
            return known[1]
        return self._opened(mount)

    def _opened(self, mount: Mount) -> S3Bucket:
        # Another call may have opened it meanwhile.
        if mount.bucket in self._open:
            return self._open[mount.bucket][1]
        made = self._make(mount)
        self._open[mount.bucket] = (mount, made)
        return made

    async def _close_retired(self) -> None:
        """Close the clients of mounts that are no more, once their requests have ended."""
        idle = [client for client in self._retired if client.idle]
        self._retired = [client for client in self._retired if client not in idle]
        for client in idle:
            await client.aclose()

    def _make(self, mount: Mount) -> S3Bucket:
        try:
            secret = self.vault.open(mount.sealed)
        except VaultError as error:
            raise BlobStoreError(f"the secret of the mount {mount.bucket} cannot be read: {error}") from error
        return S3Bucket(bucket=mount.bucket, client=S3Client.open(mount.location, mount.access_key_id, secret))

    async def aclose(self) -> None:
        """Close every connection."""
        for client in [*self._retired, *(made.client for _, made in self._open.values())]:
            await client.aclose()


async def try_mount(mount: Mount, secret: str) -> str | None:
    """Whether a mount can be used; what is wrong with it, or None."""
    client = S3Client.open(mount.location, mount.access_key_id, secret)
    try:
        await S3Bucket(bucket=mount.bucket, client=client).check()
    except RefusedError as error:
        return _why(mount, error)
    except BlobStoreError as error:
        return f"{mount.location.endpoint}: {error}. Is the endpoint right?"
    finally:
        await client.aclose()
    return None


def _why(mount: Mount, refused: RefusedError) -> str:
    location, code = mount.location, refused.error.code or str(refused.status)
    match code:
        case "NoSuchBucket" | "404":
            return f"{location.endpoint} has no bucket {location.bucket}."
        case "InvalidAccessKeyId":
            return f"{location.endpoint} has no key of the id {mount.access_key_id}."
        case "SignatureDoesNotMatch":
            return f"{location.endpoint} says that the secret of the key {mount.access_key_id} is another one."
        case "PermanentRedirect" | "AuthorizationHeaderMalformed" | "301" | "307":
            there = refused.error.region or "another region"
            return f"The bucket {location.bucket} is in {there}, not in {location.region}: correct --region."
        case _:
            return f"{location.endpoint} refuses the key {mount.access_key_id} ({code}): it must be allowed to list."


def _headers(new: NewObject, crc: int | None) -> dict[str, str]:
    """The headers that an object is written with."""
    metadata = {name: value for name, value in new.metadata.items() if name != CRC64}
    if crc is not None:
        metadata[CRC64] = str(crc)
    storage_class = {} if new.storage_class == DEFAULT_CLASS else {"x-amz-storage-class": new.storage_class}
    return {
        "content-type": new.content_type,
        **{name.lower(): value for name, value in new.headers.items()},
        **{METADATA + name: value for name, value in metadata.items()},
        **storage_class,
    }


def _part_bytes(size: int | None) -> int:
    least = max(PART_BYTES, math.ceil((size or 0) / MAX_PARTS))
    if least > MAX_PART_BYTES:
        raise errors.ENTITY_TOO_LARGE(f"A mounted bucket takes objects of {MAX_PART_BYTES * MAX_PARTS} bytes at most.")
    return least


def _check_md5(new: NewObject, parts: _Parts) -> None:
    if new.md5 is not None and new.md5 != parts.md5.hexdigest():
        raise errors.BAD_DIGEST()


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and int(text) < 2**64 else None


def _date(text: str) -> datetime:
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
