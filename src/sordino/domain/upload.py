"""Multipart uploads: an object that comes in parts."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sordino.domain.acl import Acl

MAX_PARTS = 10_000
MIN_PART_BYTES = 1 << 20
"""Of every part but the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipartUpload:
    """An upload in parts that is under way, and what its object will be besides its bytes.

    Attributes:
        initiator: uin of who began it.
        headers: see ``StoredObject``, as are ``metadata`` and the others.
    """

    upload_id: str
    bucket: str
    key: str
    initiator: str
    initiated_at: datetime
    content_type: str = "application/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = "STANDARD"
    acl: Acl = Acl.DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part that has arrived, whose bytes lie in the blob store.

    Attributes:
        number: 1 to ``MAX_PARTS``.
        size: bytes.
        etag: lower-case hex MD5 of its bytes.
        crc64: CRC-64/XZ of its bytes.
    """

    number: int
    blob_id: str
    size: int
    etag: str
    crc64: int
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class NamedPart:
    """A part as the one who completes an upload names it.

    Attributes:
        number: any whole number that is not negative.
        etag: lower-case hex MD5; None for what is none, and so the ETag of no part.
    """

    number: int
    etag: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartListing:
    """One page of an upload's parts, by number; ``next_marker`` is the last one of a truncated page."""

    upload: MultipartUpload
    parts: tuple[Part, ...]
    next_marker: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadListing:
    """One page of a bucket's uploads, by key and id, and common prefixes; both in UTF-8 byte order.

    ``next_key`` and ``next_upload_id`` are the marks of a truncated page, None when the listing is complete;
    ``next_upload_id`` is empty when the page ends with a common prefix.
    """

    uploads: tuple[MultipartUpload, ...]
    prefixes: tuple[str, ...]
    next_key: str | None = None
    next_upload_id: str | None = None


def combined_etag(etags: Iterable[str]) -> str:
    """The ETag of the object that parts make, from theirs: MD5 of their MD5s, and their number."""
    digests = [bytes.fromhex(etag) for etag in etags]
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"
