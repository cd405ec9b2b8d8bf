"""Clients that upload until it is acknowledged, and what must then be there; bytes come from a seed."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import md5
from typing import Final

from fastcrc import crc64
from qcloud_cos import CosClientError, CosS3Client, CosServiceError

from server import Server, ServerError

MIN_PART: Final = 2**20
PATIENCE_SECONDS: Final = 240.0
PAUSE_SECONDS: Final = 0.1
TIMEOUT_SECONDS: Final = 60
REPLACED: Final = 0.2
"""Share of the keys that are written anew once they are acknowledged."""

GIVEN_UP: Final = 0.15
"""Share of the failed tries that are not repeated."""


@dataclass(frozen=True, slots=True)
class Content:
    """What is known of the bytes of one try."""

    size: int
    md5: str
    crc64: int

    @classmethod
    def of(cls, content: bytes) -> "Content":
        """Count."""
        return cls(len(content), md5(content, usedforsecurity=False).hexdigest(), crc64.xz(content))


@dataclass(slots=True)
class Key:
    """What was sent under a key, oldest first, and whether the last try was acknowledged."""

    name: str
    tries: list[Content] = field(default_factory=list)
    acknowledged: int | None = None
    """Which try was, last."""

    def allows(self, found: Content | None) -> bool:
        """Whether it may be there: the last acknowledged bytes, or those of a later try that may have come through."""
        if self.acknowledged is None:
            return found is None or found in self.tries
        return found in self.tries[self.acknowledged :]


@dataclass(slots=True)
class Stage:
    """The server that is struck: another process after some blows. ``failed`` counts tries without an answer."""

    server: Server
    bucket: str
    failed: int = 0
    parts: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self) -> CosS3Client:
        """A client of the server as it is now.

        Raises:
            ServerError: it does not listen yet.
        """
        return self.server.client(retry=0, Proxies={"http": self.server.url}, Timeout=TIMEOUT_SECONDS)

    def insist(self, ask: Callable[[CosS3Client], bool | None], *, once: bool = False) -> bool:
        """Ask until there is an answer; whether there was one, which ``once`` leaves open.

        Raises:
            ServerError: the server stays away.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                ask(self.client())
            except (CosClientError, CosServiceError, ServerError) as error:
                check_passing(error)
                with self.lock:
                    self.failed += 1
                if once:
                    return False
                time.sleep(PAUSE_SECONDS)
            else:
                return True
        raise ServerError("The server stays away.")


def check_passing(error: Exception) -> None:
    """Make sure that it is a failure that may pass, not a refusal.

    Raises:
        ServerError: it is one.
    """
    if isinstance(error, CosServiceError) and error.get_status_code() < 500:
        raise ServerError(f"The server refuses: {error}") from error


def upload(stage: Stage, number: int, seed: int, most_bytes: int) -> Key:
    """Write one key, whole or in parts, again after each failure unless it is given up; some are then written anew."""
    chance = random.Random(f"{seed}/{number}")
    # Many small ones, some empty, up to the largest.
    size = round(most_bytes * chance.random() ** 2) if chance.random() > 0.1 else chance.choice([0, 1])
    multipart = chance.random() < 0.5
    key = Key(f"k/{number:04}")
    _write(stage, key, chance, size, multipart=multipart)
    if key.acknowledged is not None and chance.random() < REPLACED:
        _write(stage, key, chance, size // 2, multipart=not multipart)
    return key


def _write(stage: Stage, key: Key, chance: random.Random, size: int, *, multipart: bool) -> None:
    while True:
        content = chance.randbytes(size)
        key.tries.append(Content.of(content))
        put = _put_in_parts if multipart else _put
        if stage.insist(lambda client: put(stage, client, key.name, content), once=True):  # noqa: B023 - called at once
            key.acknowledged = len(key.tries) - 1
            return
        if chance.random() < GIVEN_UP:
            return
        stage.insist(lambda client: client.head_bucket(Bucket=stage.bucket) and None)


def _put(stage: Stage, client: CosS3Client, key: str, content: bytes) -> None:
    client.put_object(Bucket=stage.bucket, Key=key, Body=content)


def _put_in_parts(stage: Stage, client: CosS3Client, key: str, content: bytes) -> None:
    part_size = max(MIN_PART, len(content) // 4 + 1)
    upload_id = client.create_multipart_upload(Bucket=stage.bucket, Key=key)["UploadId"]
    parts = []
    for number, start in enumerate(range(0, max(len(content), 1), part_size), 1):
        body = content[start : start + part_size]
        reply = client.upload_part(Bucket=stage.bucket, Key=key, Body=body, PartNumber=number, UploadId=upload_id)
        parts.append({"PartNumber": number, "ETag": reply["ETag"]})
        with stage.lock:
            stage.parts += 1
    client.complete_multipart_upload(Bucket=stage.bucket, Key=key, UploadId=upload_id, MultipartUpload={"Part": parts})
