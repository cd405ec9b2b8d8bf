"""The documents of S3-compatible stores that hold the objects of mounted buckets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote_plus

from sordino.errors import ServiceError
from sordino.wire import xml

MAX_REPLY_BYTES: Final = 16 * 2**20
MAX_DEPTH: Final = 8


class NotS3Error(Exception):
    """A reply that is no S3 document."""


@dataclass(frozen=True, slots=True)
class S3Error:
    """What a store says of a request that it refuses; both are empty when it says nothing."""

    code: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Entry:
    """An object of a list."""

    key: str
    size: int
    etag: str
    last_modified: datetime
    storage_class: str


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Listing:
    """A page of a bucket; ``next_marker`` is the last key or prefix of a truncated one, None of the last page."""

    entries: tuple[S3Entry, ...]
    prefixes: tuple[str, ...]
    next_marker: str | None


def parse_error(body: bytes) -> S3Error:
    """Read the body of a refusal, whatever it is."""
    try:
        root = _parse(body)
    except NotS3Error:
        return S3Error()
    if root.name != "Error":
        return S3Error()
    return S3Error(code=_text(root, "Code")[:100], region=_text(root, "Region")[:40])


def parse_listing(body: bytes) -> S3Listing:
    """Read a page of a bucket.

    Raises:
        NotS3Error: it is none.
    """
    root = _parse(body)
    if root.name != "ListBucketResult":
        raise NotS3Error(f"a list of objects was expected, not <{root.name[:40]}>")
    encoded = _text(root, "EncodingType") == "url"
    try:
        entries = tuple(_entry(element, encoded=encoded) for element in root.all("Contents"))
    except ValueError as error:
        raise NotS3Error(f"a list holds what cannot be read: {error}") from error
    prefixes = tuple(_key(element, "Prefix", encoded=encoded) for element in root.all("CommonPrefixes"))
    return S3Listing(
        entries=entries,
        prefixes=prefixes,
        next_marker=_end(root, entries, prefixes) if _text(root, "IsTruncated") == "true" else None,
    )


def parse_upload_id(body: bytes) -> str:
    """Read the id of a multipart upload that was begun.

    Raises:
        NotS3Error: there is none.
    """
    upload_id = _text(_parse(body), "UploadId")
    if not upload_id:
        raise NotS3Error("a multipart upload has no id")
    return upload_id


def parse_etag(body: bytes) -> str:
    """Read the ETag of what a copy or a completed upload made; both may be a refusal in spite of their status 200.

    Raises:
        NotS3Error: there is none; the message says the code of the refusal.
    """
    root = _parse(body)
    if root.name == "Error":
        raise NotS3Error(f"it was refused: {_text(root, 'Code')[:100]}")
    etag = unquoted(_text(root, "ETag"))
    if not etag:
        raise NotS3Error("what was made has no ETag")
    return etag


def render_parts(etags: Sequence[str]) -> bytes:
    """The parts of an upload that is to be completed, 1, 2, ..."""
    parts: list[xml.Node] = [
        ("Part", [("PartNumber", number), ("ETag", f'"{etag}"')]) for number, etag in enumerate(etags, 1)
    ]
    return xml.document("CompleteMultipartUpload", parts)


def unquoted(etag: str) -> str:
    """An ETag without its quotes."""
    return etag.strip().removeprefix("W/").strip('"')


def _parse(body: bytes) -> xml.Element:
    try:
        return xml.parse(body, max_bytes=MAX_REPLY_BYTES, max_depth=MAX_DEPTH)
    except ServiceError as error:
        raise NotS3Error(error.message) from error


def _end(root: xml.Element, entries: Sequence[S3Entry], prefixes: Sequence[str]) -> str:
    """Where a page ends: with its last object or prefix, whichever is named; where none is, the greater one.

    S3 names one only where something folds, and others forget to encode it.
    """
    ends = [*(entry.key for entry in entries[-1:]), *prefixes[-1:]]
    named = _key(root, "NextMarker", encoded=False)
    return next((end for end in ends if end in (named, unquote_plus(named))), max(ends, default=""))


def _entry(element: xml.Element, *, encoded: bool) -> S3Entry:
    return S3Entry(
        key=_key(element, "Key", encoded=encoded),
        size=int(_text(element, "Size")),
        etag=unquoted(_text(element, "ETag")),
        last_modified=datetime.fromisoformat(_text(element, "LastModified")).astimezone(UTC),
        storage_class=_text(element, "StorageClass") or "STANDARD",
    )


def _key(element: xml.Element, name: str, *, encoded: bool) -> str:
    text = next((child.text for child in element.all(name)), "")
    return unquote_plus(text) if encoded else text


def _text(element: xml.Element, name: str) -> str:
    return next((child.text.strip() for child in element.all(name)), "")
