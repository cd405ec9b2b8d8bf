"""Blobs as files of this machine: threads write, count and sync them, a block at a time."""

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from fastcrc import crc64

from sordino.domain.ports import BlobDigest

BLOCK_BYTES: Final = 512 * 2**10
"""What a thread is given to write at a time; with the block that is filling, memory holds two."""


async def write(path: Path, chunks: AsyncIterator[bytes], *, fsync: bool, new_shard: bool) -> BlobDigest:
    """Write a new file, which is there once it is complete; when ``chunks`` raises, nothing stays.

    While a thread writes a block, the next one fills. A killed process leaves at most a file ``<name>#1``.

    Args:
        path: of the file; its directory is made when it is missing.
        chunks: its bytes.
        fsync: whether to wait until it is on the disk.
        new_shard: whether to wait, too, until the name of its directory is.

    Raises:
        OSError: it cannot be written.
    """
    loop, file = asyncio.get_running_loop(), _File(path)
    writing: asyncio.Future[None] | None = None
    block = bytearray()
    try:
        async for chunk in chunks:
            block += chunk
            if len(block) >= BLOCK_BYTES:
                if writing is not None:
                    await writing
                writing, block = loop.run_in_executor(None, file.add, block), bytearray()
        if writing is not None:
            await writing
        return await loop.run_in_executor(None, lambda: file.finish(block, fsync=fsync, new_shard=new_shard))
    except BaseException:
        if writing is not None:
            writing.cancel()
        await asyncio.shield(loop.run_in_executor(None, file.abandon))
        raise


def read(path: Path) -> BinaryIO:
    """Open a file for reading, without a buffer.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read.
    """
    file = path.open("rb", buffering=0)
    if hasattr(os, "posix_fadvise"):
        # So that the system reads further ahead: whoever sends the file waits less for the disk.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
    return file


def sync(path: Path, *, new_shard: bool) -> None:
    """Make a file that is complete survive a power failure: its bytes, its name and, if it may be new, its shard's."""
    _sync(path)
    _sync_name(path, new_shard=new_shard)


class _File:
    """A file on its way.

    Its calls are for threads. They wait for each other: one that was given up by its caller may still be at it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unfinished = path.with_name(f"{path.name}#1")
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._abandoned = False
        self._size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc64 = crc64.xz(b"")

    def add(self, block: bytearray) -> None:
        """Write and count more of it."""
        with self._lock:
            self._add(block)

    def finish(self, block: bytearray, *, fsync: bool, new_shard: bool) -> BlobDigest:
        """Write and count the last of it, and show it."""
        with self._lock:
            descriptor = self._add(block)
            self._unfinished.rename(self._path)
            if fsync:
                # With its new name: journals then have one commit to write, in place of two.
                os.fsync(descriptor)
            self._close()
            if fsync:
                _sync_name(self._path, new_shard=new_shard)
            return BlobDigest(size=self._size, md5=self._md5.hexdigest(), crc64=self._crc64)

    def abandon(self) -> None:
        """Remove what there is of it."""
        with self._lock:
            self._abandoned = True
            self._close()
            for path in (self._unfinished, self._path):
                with suppress(FileNotFoundError, NotADirectoryError):
                    path.unlink()

    def _add(self, block: bytearray) -> int:
        if self._abandoned:
            raise asyncio.CancelledError
        if self._descriptor is None:
            self._descriptor = self._open()
        self._size += len(block)
        self._md5.update(block)
        self._crc64 = crc64.xz(block, self._crc64)
        rest = memoryview(block)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        return self._descriptor

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            return os.open(self._unfinished, flags, 0o666)
        except FileNotFoundError:
            self._path.parent.mkdir(exist_ok=True)
            return os.open(self._unfinished, flags, 0o666)

    def _close(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


def _sync_name(path: Path, *, new_shard: bool) -> None:
    for directory in (path.parent, *((path.parent.parent,) if new_shard else ())):
        _sync(directory)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
