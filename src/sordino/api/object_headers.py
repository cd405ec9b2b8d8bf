"""The headers of object requests: what to store, what part to send, under which conditions."""

import base64
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from starlette.requests import Request

from sordino import errors
from sordino.domain.acl import Acl
from sordino.domain.bucket import MAX_METADATA_BYTES, STORED_HEADERS, StoredObject
from sordino.wire.query import Query
from sordino.wire.words import quote

STORAGE_CLASSES = (
    "STANDARD",
    "STANDARD_IA",
    "INTELLIGENT_TIERING",
    "ARCHIVE",
    "DEEP_ARCHIVE",
    "MAZ_STANDARD",
    "MAZ_STANDARD_IA",
    "MAZ_INTELLIGENT_TIERING",
    "MAZ_ARCHIVE",
)
METADATA_PREFIX = "x-cos-meta-"
OBJECT_ACLS = (Acl.DEFAULT, Acl.PRIVATE, Acl.PUBLIC_READ)
BUCKET_ACLS = (Acl.PRIVATE, Acl.PUBLIC_READ)
OTHER_ACLS = ("public-read-write", "authenticated-read", "bucket-owner-read", "bucket-owner-full-control")
"""What COS knows beside them."""
NOT_YET = (
    "x-cos-server-side-encryption",
    "x-cos-server-side-encryption-cos-kms-key-id",
    "x-cos-server-side-encryption-context",
    "x-cos-server-side-encryption-customer-algorithm",
    "x-cos-server-side-encryption-customer-key",
    "x-cos-server-side-encryption-customer-key-md5",
    "x-cos-copy-source-server-side-encryption-customer-algorithm",
    "x-cos-copy-source-server-side-encryption-customer-key",
    "x-cos-copy-source-server-side-encryption-customer-key-md5",
    "x-cos-tagging",
    "x-cos-tagging-directive",
    "x-cos-object-lock-mode",
    "x-cos-object-lock-retain-until-date",
    "x-cos-mime-limit",
    "x-cos-callback",
    "x-cos-callback-var",
    "pic-operations",
)
"""Headers that would change what is stored, and are not offered."""
CONDITIONS = ("if-match", "if-none-match", "if-unmodified-since")
"""Of RFC 9110, for calls that store something; If-Modified-Since is for those that read alone."""
KNOWN = frozenset(
    {
        "x-cos-acl",
        "x-cos-storage-class",
        "x-cos-forbid-overwrite",
        "x-cos-metadata-directive",
        "x-cos-copy-source",
        "x-cos-copy-source-range",
        "x-cos-copy-source-if-match",
        "x-cos-copy-source-if-none-match",
        "x-cos-copy-source-if-modified-since",
        "x-cos-copy-source-if-unmodified-since",
        "x-cos-security-token",
        "x-cos-traffic-limit",
        "x-cos-mfa",
    }
)
"""COS's own headers that a call which stores something may have: they are read, or of no effect on what is stored."""
KNOWN_PREFIXES = (METADATA_PREFIX, "x-cos-grant-", "x-cos-sdk-")
_RANGE = re.compile(r"bytes=(?P<first>[0-9]*)-(?P<last>[0-9]*)", re.IGNORECASE)
_READ_PREFIXES = ("x-cos-", "x-ci-", "content-", "if-")
_READ = ("cache-control", "expires", "origin", "pic-operations", "range")


def refuse_repeated(request: Request) -> None:
    """Refuse a second header of a name the service reads: which of two values would count is not guessed.

    Raises:
        ServiceError: InvalidArgument.
    """
    seen: set[str] = set()
    for name in request.headers:
        if name in seen and (name in _READ or name.startswith(_READ_PREFIXES)):
            raise errors.INVALID_ARGUMENT(f"The header {name} is given more than once; give it once.")
        seen.add(name)


def acl_of(request: Request) -> Acl:
    """Who may read the object that the request makes; ``Acl.DEFAULT``, as the bucket says, if it says nothing.

    Raises:
        ServiceError: NotImplemented for lists that are not offered and for grants, InvalidArgument for no list at all.
    """
    return asked_acl(request, OBJECT_ACLS) or Acl.DEFAULT


def bucket_acl_of(request: Request) -> Acl:
    """The same of a bucket that the request makes, which is private if it says nothing.

    Raises:
        ServiceError: as ``acl_of``.
    """
    return asked_acl(request, BUCKET_ACLS) or Acl.PRIVATE


def asked_acl(request: Request, legal: Sequence[Acl]) -> Acl | None:
    """The one of ``legal`` that the header x-cos-acl names, None without one.

    Raises:
        ServiceError: as ``acl_of``.
    """
    for name in request.headers:
        if name.startswith("x-cos-grant-") and request.headers[name]:
            raise errors.NOT_IMPLEMENTED(f"{name} is not offered; use x-cos-acl: {_either(legal)}.")
    word = request.headers.get("x-cos-acl")
    if not word:
        return None
    if word in OTHER_ACLS:
        raise errors.NOT_IMPLEMENTED(f"x-cos-acl {word} is not offered; use {_either(legal)}.")
    if word not in legal:
        raise errors.INVALID_ARGUMENT(f"x-cos-acl is {quote(word)}; use {_either(legal)}.")
    return Acl(word)


def _either(acls: Sequence[Acl]) -> str:
    return " or ".join(acls)


def refuse_not_yet(request: Request) -> None:
    """Refuse headers that would change what is stored and are not offered, and those of which that is not known.

    Raises:
        ServiceError: NotImplemented.
    """
    for name, value in request.headers.items():
        if value and name in CONDITIONS:
            raise errors.NOT_IMPLEMENTED(
                f"The header {name} is not offered by calls that store something; "
                "use x-cos-forbid-overwrite: true, which replaces no object."
            )
        if value and (name in NOT_YET or (name.startswith("x-cos-") and not _is_known(name))):
            raise errors.NOT_IMPLEMENTED(
                f"The header {quote(name)} is not offered; leave it out: what is stored would not be what it asks for."
            )
    if "aws-chunked" in request.headers.get("content-encoding", "").lower():
        raise errors.NOT_IMPLEMENTED("Content-Encoding aws-chunked is not offered; send the bytes as they are.")


def _is_known(name: str) -> bool:
    return name in KNOWN or name.startswith(KNOWN_PREFIXES)


def overwrite_of(request: Request) -> bool:
    """Whether an object of the key may be replaced: unless x-cos-forbid-overwrite says ``true``.

    Raises:
        ServiceError: InvalidArgument.
    """
    word = request.headers.get("x-cos-forbid-overwrite", "").lower()
    if word not in ("", "true", "false"):
        raise errors.INVALID_ARGUMENT(f"x-cos-forbid-overwrite is {quote(word)}; use true or false.")
    return word != "true"


def md5_of(request: Request) -> str | None:
    """The hex digest of the Content-MD5 header, None without one.

    Raises:
        ServiceError: InvalidDigest.
    """
    value = request.headers.get("content-md5")
    if not value:
        return None
    try:
        digest = base64.b64decode(value, validate=True)
    except ValueError:
        raise errors.INVALID_DIGEST() from None
    if len(digest) != 16:
        raise errors.INVALID_DIGEST()
    return digest.hex()


def metadata_of(request: Request) -> dict[str, str]:
    """The ``x-cos-meta-*`` headers, names without the prefix.

    Raises:
        ServiceError: InvalidArgument when they have more than 2 KB.
    """
    metadata = {
        name.removeprefix(METADATA_PREFIX): value
        for name, value in request.headers.items()
        if name.startswith(METADATA_PREFIX) and value
    }
    size = sum(len(name) + len(value) for name, value in metadata.items())
    if size > MAX_METADATA_BYTES:
        raise errors.INVALID_ARGUMENT(f"The x-cos-meta-* headers have {size} bytes; at most {MAX_METADATA_BYTES}.")
    return metadata


def stored_headers_of(request: Request) -> dict[str, str]:
    """The headers to give back with the object."""
    return {name: value for name in STORED_HEADERS if (value := request.headers.get(name))}


def storage_class_of(request: Request) -> str:
    """The storage class: accepted and told again, though all lie on the same store.

    Raises:
        ServiceError: InvalidArgument.
    """
    name = (request.headers.get("x-cos-storage-class") or STORAGE_CLASSES[0]).upper()
    if name not in STORAGE_CLASSES:
        raise errors.INVALID_ARGUMENT(f"x-cos-storage-class is {quote(name)}; use one of {', '.join(STORAGE_CLASSES)}.")
    return name


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes ``start`` to ``end`` (exclusive) of an object, ``partial`` when a Range asked for them."""

    start: int
    end: int
    partial: bool


def span_of(header: str | None, size: int) -> Span:
    """The part a Range header asks for; a header of another form is ignored, as RFC 9110 14.2 allows.

    Raises:
        ServiceError: InvalidRange when the part lies outside the object.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not (match["first"] or match["last"]):
        return Span(0, size, partial=False)
    if not match["first"]:
        start, end = max(size - _number(match["last"]), 0), size
    else:
        start, end = _number(match["first"]), size
        if match["last"]:
            if _number(match["last"]) < start:
                return Span(0, size, partial=False)
            end = min(_number(match["last"]) + 1, size)
    if start >= end:
        raise errors.INVALID_RANGE(
            f"The object has {size} bytes; the range lies outside.", {"Content-Range": f"bytes */{size}"}
        )
    return Span(start, end, partial=True)


def _number(digits: str) -> int:
    """The number, or one larger than any object: Python refuses to read thousands of digits."""
    significant = digits.lstrip("0") or "0"
    return int(significant) if len(significant) <= 18 else sys.maxsize


def range_of(headers: Mapping[str, str], stored: StoredObject) -> str | None:
    """The Range header; None when there is none, or If-Range names another state of the object (RFC 9110 13.1.5)."""
    state = headers.get("if-range")
    if state and state != f'"{stored.etag}"' and _date(state) != _modified(stored):
        return None
    return headers.get("range")


def not_modified(headers: Mapping[str, str], stored: StoredObject) -> bool:
    """Evaluate the conditions in the order of RFC 9110 13.2.2; True means 304.

    Raises:
        ServiceError: PreconditionFailed.
    """
    if tags := headers.get("if-match"):
        if not _matches(tags, stored.etag):
            raise errors.PRECONDITION_FAILED("If-Match does not name the object's ETag.")
    elif (date := _date(headers.get("if-unmodified-since"))) and _modified(stored) > date:
        raise errors.PRECONDITION_FAILED("The object was modified after If-Unmodified-Since.")
    if tags := headers.get("if-none-match"):
        return _matches(tags, stored.etag)
    date = _date(headers.get("if-modified-since"))
    return date is not None and _modified(stored) <= date


def _matches(tags: str, etag: str) -> bool:
    return tags.strip() == "*" or etag in [tag.strip().removeprefix("W/").strip('"') for tag in tags.split(",")]


def _modified(stored: StoredObject) -> datetime:
    return stored.last_modified.replace(microsecond=0)


def _date(value: str | None) -> datetime | None:
    if not value:
        return None
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # the latter for a year or zone that has too many digits
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def digests(etag: str, crc64: int | None) -> dict[str, str]:
    """The reply headers by which clients check the bytes of an object or of a part."""
    return {"ETag": f'"{etag}"', **crc_of(crc64)}


def crc_of(crc64: int | None) -> dict[str, str]:
    """The one that the Go SDK requires; none where a mounted bucket's store does not know it."""
    return {} if crc64 is None else {"x-cos-hash-crc64ecma": str(crc64)}


def overrides(query: Query) -> dict[str, str]:
    """The reply headers that ``response-*`` parameters replace.

    Raises:
        ServiceError: InvalidArgument when a value cannot stand in a header, or a parameter is given twice.
    """
    names = ("Content-Type", "Content-Language", "Expires", "Cache-Control", "Content-Disposition", "Content-Encoding")
    found = {name: value for name in names if (value := query.get(f"response-{name.lower()}"))}
    for name, value in found.items():
        if not value.isprintable() or not value.isascii() or value != value.strip():
            raise errors.INVALID_ARGUMENT(
                f"response-{name.lower()} must be printable ASCII without white space around it."
            )
    return found
