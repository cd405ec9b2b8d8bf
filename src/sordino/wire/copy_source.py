"""What a copy is made of: the header ``x-cos-copy-source``, in the forms in which clients write it."""

import re

from sordino.domain.bucket import split_bucket
from sordino.errors import INVALID_ARGUMENT, NOT_IMPLEMENTED, ServiceError
from sordino.wire.address import Address, resolve
from sordino.wire.query import Query
from sordino.wire.words import quote

HEADER = "x-cos-copy-source"
LEGAL = "<bucket>.cos.<region>.<domain>/<key>, the key percent-encoded"
CURRENT = "null"
"""The id of the only version that an object of a bucket without versions has."""

_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_RANGE = re.compile(r"bytes=(?P<first>[0-9]{1,18})-(?P<last>[0-9]{1,18})", re.IGNORECASE)


def read_copy_source(value: str, default_bucket: str | None) -> Address:
    """The address of the object: of a host and a path as of a request for it, or of ``/<bucket>/<key>``.

    Args:
        value: the header; a scheme, a leading slash and an empty ``?versionId=`` are taken, too.
        default_bucket: the bucket of hosts that name none, or None.

    Raises:
        ServiceError: InvalidArgument when it names no bucket or no key, NotImplemented for an older version.
    """
    place, _, query = value.strip().partition("?")
    _check_version(query)
    host, _, path = _SCHEME.sub("", place, count=1).removeprefix("/").partition("/")
    if split_bucket(host) is not None:
        host, path = "", f"{host}/{path}"
    try:
        address = resolve(host, f"/{path}".encode("latin-1"), default_bucket=default_bucket, ci_on_any_host=False)
    except ServiceError as refusal:
        raise INVALID_ARGUMENT(f"{HEADER}: {refusal.message} Write {LEGAL}.") from None
    if address.bucket is None or address.path == "/":
        raise INVALID_ARGUMENT(f"{HEADER} is {quote(value)}, which names no object; write {LEGAL}.")
    return address


def read_copy_range(value: str, size: int) -> tuple[int, int]:
    """The bytes of the source that ``x-cos-copy-source-range`` asks for: first, and the one after the last.

    Args:
        value: the header; empty for the whole object.
        size: of the source, bytes.

    Raises:
        ServiceError: InvalidArgument when it has another form, or does not lie within the object.
    """
    if not value:
        return 0, size
    match = _RANGE.fullmatch(value.strip())
    if match is None or not int(match["first"]) <= int(match["last"]) < size:
        raise INVALID_ARGUMENT(
            f"{HEADER}-range is {quote(value)}; use bytes=<first>-<last> within the source's {size} bytes."
        )
    return int(match["first"]), int(match["last"]) + 1


def _check_version(query: str) -> None:
    for name, value in Query.parse(query.encode("latin-1")):
        if name.lower() != "versionid":
            raise INVALID_ARGUMENT(f"{HEADER} has a parameter {quote(name)}; write a '?' of the key as %3F.")
        if value not in ("", CURRENT):
            raise NOT_IMPLEMENTED(f"{HEADER} names a version; versions are not offered, leave versionId out.")
