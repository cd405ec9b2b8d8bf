"""Processes that ask an object store with the official Python SDK, each a client with connections of its own.

They are processes, not threads: the SDK takes as much of a core as a store does, and threads would wait for each other.
"""

import filecmp
import logging
import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, Final

from qcloud_cos import CosConfig, CosS3Client
from requests.structures import CaseInsensitiveDict

READ_BYTES: Final = 2**20
PATIENCE_SECONDS: Final = 120.0


class Deed(StrEnum):
    """What a client does to objects."""

    PUT = "put"
    GET = "get"
    UPLOAD = "upload"
    DOWNLOAD = "download"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A deed, done to each key in turn.

    Attributes:
        options: of ``PathStyle``.
        file: what is sent, and what comes back must be like.
        part_megabytes: of the SDK's ``upload_file`` and ``download_file``.
        threads: of the same.
        compare: whether what came back is compared byte by byte, after the time.
    """

    deed: Deed
    options: Mapping[str, Any]
    bucket: str
    keys: Sequence[str]
    file: Path
    part_megabytes: int = 8
    threads: int = 4
    compare: bool = False


class PathStyle(CosConfig):  # type: ignore[misc]  # the SDK has no types
    """Addresses of the form ``http://host/bucket/key``: the one that every store here understands without DNS."""

    def uri(self, bucket: str | None = None, path: str | None = None, *args: Any, **options: Any) -> str:  # noqa: ANN401
        """The URL of a request."""
        place = "/".join(part for part in (bucket, path) if part)
        return str(super().uri(None, place, *args, **options))


class Client(CosS3Client):  # type: ignore[misc]  # the SDK has no types
    """The SDK; its ``download_file`` looks for ``ETag`` in this very case, which SeaweedFS does not send."""

    def head_object(self, *args: Any, **options: Any) -> Mapping[str, str]:  # noqa: ANN401
        """The headers of an object, found in any case."""
        return CaseInsensitiveDict(super().head_object(*args, **options))


class Clients:
    """So many processes; a task is shared out among all of them, and they begin it together."""

    def __init__(self, pool: ProcessPoolExecutor, count: int) -> None:
        self._pool = pool
        self.count = count

    def seconds(self, tasks: Sequence[Task]) -> float:
        """How long tasks take, one for each client, from the first one's beginning to the last one's end."""
        assert len(tasks) == self.count
        spans = list(self._pool.map(_work, tasks))
        return max(end for _, end in spans) - min(begin for begin, _ in spans)


@contextmanager
def clients(count: int) -> Iterator[Clients]:
    """Start client processes; they are gone when the block ends."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(count)
    with ProcessPoolExecutor(count, context, initializer=_prepare, initargs=(barrier,)) as pool:
        yield Clients(pool, count)


_barrier: Barrier
_known: Final[dict[str, Client]] = {}


def _prepare(barrier: Barrier) -> None:
    global _barrier  # noqa: PLW0603 - what a process of the pool is given once
    _barrier = barrier
    logging.disable(logging.CRITICAL)
    # An HTTP proxy is none of what is measured.
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        os.environ.pop(name, None)


def _work(task: Task) -> tuple[float, float]:
    """Do a task; when it began and ended, on the clock that all processes share."""
    client = _client(task.options)
    # So that each process has one task, and that they begin together.
    _barrier.wait(PATIENCE_SECONDS)
    began = time.monotonic()
    for key in task.keys:
        _DEEDS[task.deed](client, task, key)
    ended = time.monotonic()
    if task.deed is Deed.DOWNLOAD:
        _look_at(task)
    return began, ended


def _client(options: Mapping[str, Any]) -> Client:
    return _known.setdefault(str(options["Domain"]), Client(PathStyle(**options), retry=0))


def _put(client: Client, task: Task, key: str) -> None:
    with task.file.open("rb") as body:
        client.put_object(task.bucket, body, key)


def _get(client: Client, task: Task, key: str) -> None:
    body = client.get_object(task.bucket, key)["Body"]
    received = sum(len(chunk) for chunk in body.get_stream(READ_BYTES))
    if received != task.file.stat().st_size:
        raise ValueError(f"{received} bytes of {key} came back.")


def _upload(client: Client, task: Task, key: str) -> None:
    client.upload_file(task.bucket, key, str(task.file), PartSize=task.part_megabytes, MAXThread=task.threads)


def _download(client: Client, task: Task, key: str) -> None:
    client.download_file(
        task.bucket,
        key,
        str(_copy(task)),
        PartSize=task.part_megabytes,
        MAXThread=task.threads,
        DumpRecordDir=str(task.file.parent),
    )


def _remove(client: Client, task: Task, key: str) -> None:
    client.delete_object(task.bucket, key)


def _look_at(task: Task) -> None:
    copy = _copy(task)
    if task.compare and not filecmp.cmp(task.file, copy, shallow=False):
        raise ValueError("What came back is not what was sent.")
    copy.unlink()


def _copy(task: Task) -> Path:
    return task.file.with_suffix(".copy")


_DEEDS: Final = {
    Deed.PUT: _put,
    Deed.GET: _get,
    Deed.UPLOAD: _upload,
    Deed.DOWNLOAD: _download,
    Deed.REMOVE: _remove,
}
