"""Refusals, and the lists of objects and buckets, as reply bodies."""

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

from sordino.domain.bucket import Bucket, Listing, StoredObject
from sordino.domain.identity import Account
from sordino.domain.upload import Part
from sordino.errors import ServiceError
from sordino.wire import xml
from sordino.wire.address import Service
from sordino.wire.times import iso_time


def render_error(service: Service, error: ServiceError, resource: str, request_id: str, trace_id: str) -> bytes:
    """The body of a refusal. No element is empty: the Python SDK then reports the code "Unknown".

    Args:
        service: decides the order of the elements: CI documents no Resource, so it follows the others there.
        error: what to tell.
        resource: what was asked for, e.g. the path.
        request_id: as in the reply's ``x-c*-request-id``.
        trace_id: as in its ``x-c*-trace-id``.
    """
    head = [("Code", error.code), ("Message", error.message)]
    ids = [("RequestId", request_id), ("TraceId", trace_id)]
    place = [("Resource", resource)]
    elements = [*head, *ids, *place] if service is Service.CI else [*head, *place, *ids]
    return xml.document("Error", [(name, text or "-") for name, text in elements])


def render_object_list(
    listing: Listing,
    *,
    bucket: str,
    prefix: str,
    marker: str,
    delimiter: str,
    max_keys: int,
    url_encoded: bool,
    owner: str,
) -> bytes:
    """The reply of GET Bucket (List Objects).

    Args:
        listing: the page.
        bucket: whose objects are listed.
        prefix: as asked; empty for none.
        marker: as asked; empty for none.
        delimiter: as asked; empty for none.
        max_keys: as asked or defaulted.
        url_encoded: whether ``encoding-type=url`` was asked: keys and prefixes are then percent-encoded, which is
            the only way to show characters that XML cannot carry.
        owner: APPID of the account whose bucket it is.
    """
    text = _url_encode if url_encoded else str
    asked: list[xml.Node] = [
        ("Name", bucket),
        ("Prefix", text(prefix)),
        ("Marker", text(marker)),
        ("MaxKeys", max_keys),
        *([("EncodingType", "url")] if url_encoded else []),
        *([("Delimiter", text(delimiter))] if delimiter else []),
    ]
    objects = [("Contents", _contents(stored, text(stored.key), owner)) for stored in listing.objects]
    prefixes = [("CommonPrefixes", [("Prefix", text(folded))]) for folded in listing.prefixes]
    if listing.next_marker is None:
        page: list[xml.Node] = [("IsTruncated", "false")]
    else:
        page = [("IsTruncated", "true"), ("NextMarker", text(listing.next_marker))]
    return xml.document("ListBucketResult", [*asked, *page, *objects, *prefixes])


def render_location(bucket: Bucket) -> bytes:
    """The reply of GET Bucket Location: the bucket's region, which is all that the root element holds."""
    return xml.document("LocationConstraint", bucket.region)


def render_bucket_list(
    buckets: Sequence[Bucket], *, owner: Account, marker: str = "", next_marker: str | None = None
) -> bytes:
    """The reply of GET Service (List Buckets); ``Buckets`` is there even when empty, the Python SDK needs it.

    Args:
        buckets: in the order to show.
        owner: whose buckets they are.
        marker: as asked; empty for none.
        next_marker: the last name of a page that more buckets follow, else None.
    """
    identity = [("ID", f"qcs::cam::uin/{owner.uin}:uin/{owner.uin}"), ("DisplayName", owner.uin)]
    rows = [
        ("Bucket", [("Name", bucket.name), ("Location", bucket.region), ("CreationDate", iso_time(bucket.created_at))])
        for bucket in buckets
    ]
    page: list[xml.Node] = [("Marker", marker), ("IsTruncated", "false" if next_marker is None else "true")]
    if next_marker is not None:
        page.append(("NextMarker", next_marker))
    return xml.document("ListAllMyBucketsResult", [("Owner", identity), ("Buckets", rows), *page])


def render_copied_object(stored: StoredObject) -> bytes:
    """The reply of PUT Object - Copy: what the copy is like."""
    return xml.document("CopyObjectResult", _copied(stored.etag, stored.crc64, stored.last_modified))


def render_copied_part(part: Part) -> bytes:
    """The reply of Upload Part - Copy: what the part is like."""
    return xml.document("CopyPartResult", _copied(part.etag, part.crc64, part.last_modified))


def _copied(etag: str, crc64: int | None, at: datetime) -> list[xml.Node]:
    return [
        ("ETag", f'"{etag}"'),
        *([("CRC64", str(crc64))] if crc64 is not None else []),
        ("LastModified", iso_time(at)),
    ]


def _contents(stored: StoredObject, key: str, owner: str) -> list[xml.Node]:
    return [
        ("Key", key),
        ("LastModified", iso_time(stored.last_modified)),
        ("ETag", f'"{stored.etag}"'),
        ("Size", stored.size),
        ("Owner", [("ID", owner), ("DisplayName", owner)]),
        ("StorageClass", stored.storage_class),
    ]


def _url_encode(text: str) -> str:
    """Percent-encode all but ``/``, which every client shows and decodes alike."""
    return quote(text, safe="/")
