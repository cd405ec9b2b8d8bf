"""Buckets and objects: names, their rules and what is known of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sordino.domain.acl import Acl
from sordino.domain.identity import NamedPolicy
from sordino.domain.quota import NO_QUOTA, Quota
from sordino.domain.resource import Owner

MAX_KEY_BYTES = 850
MAX_METADATA_BYTES = 2048
MAX_HOST_LABEL = 60
STORED_HEADERS = ("Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires")
"""Headers, beside Content-Type, that are kept with an object and given back with it."""

_BUCKET = re.compile(r"(?P<name>[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)-(?P<appid>[0-9]+)")


def split_bucket(bucket: str) -> tuple[str, str] | None:
    """Split ``<name>-<APPID>`` into its halves, or None when ``bucket`` is not a legal bucket name."""
    match = _BUCKET.fullmatch(bucket)
    if match is None or len(bucket) > MAX_HOST_LABEL:
        return None
    return match["name"], match["appid"]


def appid_of(bucket: str) -> str | None:
    """APPID of the account whose a bucket of that name is, or would be; None when no bucket can have it."""
    parts = split_bucket(bucket)
    return None if parts is None else parts[1]


def common_prefix(key: str, prefix: str, delimiter: str) -> str | None:
    """What a list of keys below ``prefix`` folds ``key`` into; None when it stands for itself, or elsewhere."""
    if not delimiter or not key.startswith(prefix):
        return None
    found = key.find(delimiter, len(prefix))
    return None if found < 0 else key[: found + len(delimiter)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket: ``name`` is the whole ``<name>-<APPID>``.

    Attributes:
        acl: who may read objects that say nothing else; never ``Acl.DEFAULT``.
        vary_origin: as ``Cors.vary`` of its rules.
        mounted: whether its objects lie in a bucket of another store, under their own names.
        quota: how much it may hold.
        results_days: how long objects that jobs wrote are kept, days; 0: for ever, None: as the server is set.
        policy: document of the bucket policy; None: none.
        uin: number of its account's root, empty where nobody looked it up.
    """

    name: str
    region: str
    appid: str
    created_at: datetime
    acl: Acl = Acl.PRIVATE
    vary_origin: bool = False
    mounted: bool = False
    quota: Quota = NO_QUOTA
    results_days: int | None = None
    policy: str | None = None
    uin: str = field(default="", compare=False)  # it follows from the APPID

    @property
    def owner(self) -> Owner:
        """The account that it belongs to."""
        return Owner(appid=self.appid, uin=self.uin)

    @property
    def named_policy(self) -> NamedPolicy | None:
        """Its policy, under its name, as decisions ask for it; None: it has none."""
        return None if self.policy is None else NamedPolicy(self.name, self.policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """What is known of an object: everything but its bytes, which lie in the blob store under ``blob_id``.

    Attributes:
        size: bytes.
        etag: without quotes: lower-case hex MD5 of the bytes, or, if they came in parts, ``<hex>-<number of parts>``;
            in a mounted bucket what its store says.
        crc64: CRC-64/XZ of the bytes, 0 to 2**64-1; None where a mounted bucket's store does not know it.
        blob_id: empty in a mounted bucket.
        content_type: the Content-Type to answer with.
        headers: other stored response headers (Cache-Control, ...), canonical names.
        metadata: ``x-cos-meta-*`` without the prefix, lower-case names.
        pieces: how many blobs hold the bytes, those of the object's pieces; 0: the one of ``blob_id`` does.
        job_id: the job that wrote it, if one did.
    """

    bucket: str
    key: str
    size: int
    etag: str
    crc64: int | None
    blob_id: str
    last_modified: datetime
    content_type: str = "application/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = "STANDARD"
    acl: Acl = Acl.DEFAULT
    pieces: int = 0
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """A blob that holds a run of an object's bytes, and how many."""

    blob_id: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One page of a bucket: objects and common prefixes in UTF-8 byte order.

    ``next_marker`` is the last key or prefix of a truncated page, None when the listing is complete.
    """

    objects: tuple[StoredObject, ...]
    prefixes: tuple[str, ...]
    next_marker: str | None
