"""The bytes of objects, in any store that obstore can address: a directory, memory, S3, Azure, GCS."""

import asyncio
import errno
import hashlib
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Self
from urllib.parse import urlsplit
from urllib.request import url2pathname

import obstore
from fastcrc import crc64
from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, from_url

from sordino.adapters import blob_files
from sordino.domain.ports import BlobDigest, BlobNotFoundError, BlobStoreError, BlobStoreFullError

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

PART_BYTES: Final = 8 * 2**20
"""Part of a multipart upload; a smaller blob goes up in one request. 10,000 parts make 80 GB."""

PARTS_AT_ONCE: Final = 2
"""Parts on their way at a time; with the one that is filling, memory holds three."""

READ_BYTES: Final = 256 * 2**10
"""Least size of the chunks a blob is read in, but for the last."""

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_NO_LINK: Final = frozenset({errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV})
"""A file has as many names as it may have (ext4: 65,000), or those of its file system have but one."""

_OS_ERROR: Final = re.compile(r"\(os error (?P<number>[0-9]+)\)")
"""How obstore tells an error of the operating system."""

_CLIENT: Final["ClientConfig"] = {
    # obstore's default bounds a whole transfer by 30 s; a stalled one shows between two reads.
    "timeout": timedelta(days=1),
    "read_timeout": timedelta(seconds=30),
    "connect_timeout": timedelta(seconds=5),
    # Who names an endpoint without TLS means it; those of the clouds have it.
    "allow_http": True,
}

_RETRIES: Final["RetryConfig"] = {
    # obstore's default goes on for three minutes: a client who is told to come back does better, and jobs wait anyway.
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=20),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}


class ObstoreBlobs:
    """``ports.Blobs`` in an obstore store.

    A blob lies at ``<last two characters of its id>/<id>``, so that no directory gets too long. Stores of obstore show
    an object only once it is complete; in a local directory a killed process leaves at most a file ``<id>#<n>``.
    """

    def __init__(self, url: str, *, fsync: bool = True) -> None:
        """Open the store; a local directory is made (mode 0700) when missing.

        Args:
            url: ``file:///absolute/path``, ``memory:///``, ``s3://bucket/prefix``, ``az://...`` or ``gs://...``; what
                else a remote store needs (credentials, endpoint) comes from its usual environment variables.
            fsync: whether a local store waits until a blob is on the disk. If not, a machine that loses its power
                loses blobs of its last moments; a process that dies loses none.

        Raises:
            OSError: the directory cannot be made.
            obstore.exceptions.BaseError: no store has such a URL, or its configuration is incomplete.
        """
        self._directory = _local_directory(url)
        self._store = _open(url, self._directory)
        self._fsync = fsync
        self._known_shards: set[str] = set()
        """Those whose names are on the disk."""

    async def put(self, blob_id: str, chunks: AsyncIterator[bytes]) -> BlobDigest:
        """Write a new blob; when ``chunks`` raises, nothing stays and the error passes through.

        The blob is on disk when a local store returns, unless it shall not wait for that. Memory holds a few parts,
        however long the blob is; of one that goes to a local store, less.

        Raises:
            BlobStoreFullError: there is no room.
            BlobStoreError: the store failed.
        """
        return await (self._put_file(blob_id, chunks) if self._directory else self._put(blob_id, chunks))

    async def _put_file(self, blob_id: str, chunks: AsyncIterator[bytes]) -> BlobDigest:
        """Write it ourselves: obstore's way through a directory takes twice the time, and parts of memory."""
        assert self._directory is not None, "as the caller has seen"
        watched, path = _Watched(chunks), self._directory / _path(blob_id)
        with _store_errors(watched):
            new_shard = path.parent.name not in self._known_shards
            digest = await blob_files.write(path, watched, fsync=self._fsync, new_shard=new_shard)
        self._known_shards.add(path.parent.name)
        return digest

    async def _put(self, blob_id: str, chunks: AsyncIterator[bytes]) -> BlobDigest:
        counted = _Counted(chunks)
        body = await _body(counted)
        with _store_errors(counted):
            await obstore.put_async(
                self._store, _path(blob_id), body, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
            )
        return counted.digest()

    async def get(self, blob_id: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes ``start`` to ``end`` (exclusive; None: the end) in chunks; the range lies inside the blob.

        Raises:
            BlobNotFoundError: there is no such blob.
            BlobStoreError: the store failed.
        """
        with _store_errors():
            try:
                if start == end:
                    await obstore.head_async(self._store, _path(blob_id))
                    return
                result = await obstore.get_async(self._store, _path(blob_id), options=_range(start, end))
            except FileNotFoundError as error:
                raise BlobNotFoundError(blob_id) from error
            async for chunk in result.stream(min_chunk_size=READ_BYTES):
                yield chunk

    @property
    def are_files(self) -> bool:
        """Whether the store is a local directory."""
        return self._directory is not None

    async def open(self, blob_id: str) -> BinaryIO:
        """The file of a blob in a local directory, open for reading and without a buffer.

        Raises:
            BlobNotFoundError: there is no such blob.
            BlobStoreError: the store failed.
        """
        assert self._directory is not None, "the caller asks ``are_files``"
        with _store_errors():
            try:
                return await asyncio.to_thread(blob_files.read, self._directory / _path(blob_id))
            except FileNotFoundError as error:
                raise BlobNotFoundError(blob_id) from error

    async def copy(self, blob_id: str, new_id: str) -> None:
        """Write a new blob of the same bytes; in a local store it takes no room of its own, in a remote one no traffic.

        A local store that cannot give the file another name has its bytes copied.

        Raises:
            BlobNotFoundError: there is no such blob.
            BlobStoreError: the store failed.
        """
        with _store_errors():
            try:
                await obstore.copy_async(self._store, _path(blob_id), _path(new_id))
            except FileNotFoundError as error:
                raise BlobNotFoundError(blob_id) from error
            except BaseError as error:
                if self._directory is None or _os_error(error) not in _NO_LINK:
                    raise
                await self._put_file(new_id, self.get(blob_id))
                return
            await self._settle(new_id)

    async def remove(self, blob_id: str) -> None:
        """Delete the blob; quiet when it is gone already.

        Raises:
            BlobStoreError: the store failed.
        """
        with _store_errors(), suppress(FileNotFoundError):
            await obstore.delete_async(self._store, _path(blob_id))

    async def remove_unfinished(self, before: datetime) -> int:
        """Delete what writers left that were killed, and touched last before ``before``; the number of files.

        Those of a local directory; other stores are told to end uploads that were given up by rules of their own.

        Raises:
            BlobStoreError: the store failed.
        """
        if self._directory is None:
            return 0
        with _store_errors():
            return await asyncio.to_thread(_remove_unfinished, self._directory, before.timestamp())

    async def _settle(self, blob_id: str) -> None:
        """Make a blob that was just copied survive a power failure."""
        if self._directory is not None and self._fsync:
            path = _path(blob_id)
            shard = path.partition("/")[0]
            new_shard = shard not in self._known_shards
            await asyncio.to_thread(blob_files.sync, self._directory / path, new_shard=new_shard)
            self._known_shards.add(shard)


class _Watched:
    """An async iterator that hands ``chunks`` on; ``error`` is what broke it, if any."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self.error: Exception | None = None
        self._chunks = chunks

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._chunks)
        except Exception as error:
            self.error = error
            raise


class _Counted(_Watched):
    """The same, which counts what passes."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        super().__init__(chunks)
        self._size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc64 = crc64.xz(b"")

    async def __anext__(self) -> bytes:
        chunk = await super().__anext__()
        self._size += len(chunk)
        self._md5.update(chunk)
        self._crc64 = crc64.xz(chunk, self._crc64)
        return chunk

    def digest(self) -> BlobDigest:
        return BlobDigest(size=self._size, md5=self._md5.hexdigest(), crc64=self._crc64)


@contextmanager
def _store_errors(stream: _Watched | None = None) -> Iterator[None]:
    """Turn obstore's errors, and the operating system's, into the port's; an error of ``stream`` itself passes through.

    obstore's own are no ``OSError``, though a full disk is one of them.
    """
    try:
        yield
    except (BaseError, OSError) as error:
        if stream is not None and error is stream.error:
            raise
        raise (BlobStoreFullError if _is_no_room(error) else BlobStoreError)(str(error)) from error


def _is_no_room(error: Exception) -> bool:
    return _os_error(error) in _NO_ROOM


def _os_error(error: Exception) -> int | None:
    """The number of the operating system's error that it is, or that obstore tells of."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (told := _OS_ERROR.search(str(error))):
        number = int(told["number"])
    return number


async def _read_part(chunks: AsyncIterator[bytes]) -> bytes:
    """Chunks until they fill a part or end."""
    part = bytearray()
    async for chunk in chunks:
        part += chunk
        if len(part) >= PART_BYTES:
            break
    return bytes(part)


async def _body(chunks: AsyncIterator[bytes]) -> bytes | AsyncIterator[bytes]:
    """All of it when it is less than a part, and else a stream."""
    head = await _read_part(chunks)
    return _joined([head], chunks) if len(head) >= PART_BYTES else head


async def _joined(head: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    # obstore leaves the stream in a cycle of references. The head is taken out of it, or hundreds of megabytes of heads
    # could wait for the garbage collector.
    yield head.pop()
    async for chunk in rest:
        yield chunk


def _path(blob_id: str) -> str:
    return f"{blob_id[-2:]}/{blob_id}"


def _range(start: int, end: int | None) -> "GetOptions":
    if end is not None:
        return {"range": (start, end)}
    # A range of an empty blob is an error, the whole of it is not.
    return {"range": {"offset": start}} if start else {}


def _local_directory(url: str) -> Path | None:
    parts = urlsplit(url)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def _open(url: str, directory: Path | None) -> "ObjectStore":
    if directory is not None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return LocalStore(directory)
    if urlsplit(url).scheme == "memory":
        return MemoryStore()
    return from_url(url, client_options=_CLIENT, retry_config=_RETRIES)


def _remove_unfinished(directory: Path, before: float) -> int:
    removed = 0
    for shard in os.scandir(directory):
        if shard.is_dir(follow_symlinks=False):
            for file in os.scandir(shard):
                if "#" in file.name and _touched(file) < before:
                    Path(file).unlink(missing_ok=True)
                    removed += 1
    return removed


def _touched(file: "os.DirEntry[str]") -> float:
    """When a file was last written or got its name; a copy's is as old as what it was copied from, but for its name."""
    try:
        return file.stat(follow_symlinks=False).st_ctime
    except FileNotFoundError:  # its writer was quicker
        return float("inf")
