"""Replies of the calls of multipart uploads."""

from urllib.parse import quote

from sordino.domain.bucket import StoredObject
from sordino.domain.upload import MultipartUpload, Part, PartListing, UploadListing
from sordino.wire import xml
from sordino.wire.times import iso_time
from sordino.wire.upload_requests import PartsQuery, UploadsQuery


def render_begun(upload: MultipartUpload) -> bytes:
    """The reply of Initiate Multipart Upload."""
    return xml.document(
        "InitiateMultipartUploadResult",
        [("Bucket", upload.bucket), ("Key", upload.key), ("UploadId", upload.upload_id)],
    )


def render_completed(stored: StoredObject, location: str) -> bytes:
    """The reply of Complete Multipart Upload; ``location`` is the object's URL."""
    return xml.document(
        "CompleteMultipartUploadResult",
        [("Location", location), ("Bucket", stored.bucket), ("Key", stored.key), ("ETag", f'"{stored.etag}"')],
    )


def render_part_list(listing: PartListing, asked: PartsQuery, owner: str) -> bytes:
    """The reply of List Parts.

    Args:
        listing: the page.
        asked: what was asked.
        owner: uin of whose bucket it is.
    """
    upload = listing.upload
    head: list[xml.Node] = [
        ("Bucket", upload.bucket),
        *_encoding(url_encoded=asked.url_encoded),
        ("Key", _text(upload.key, url_encoded=asked.url_encoded)),
        ("UploadId", upload.upload_id),
        ("Initiator", _account(upload.initiator)),
        ("Owner", _account(owner)),
        ("StorageClass", upload.storage_class),
        ("PartNumberMarker", asked.after),
        ("MaxParts", asked.limit),
    ]
    if listing.next_marker is not None:
        head.append(("NextPartNumberMarker", listing.next_marker))
    truncated = "false" if listing.next_marker is None else "true"
    return xml.document(
        "ListPartsResult", [*head, ("IsTruncated", truncated), *(("Part", _part(part)) for part in listing.parts)]
    )


def render_upload_list(listing: UploadListing, asked: UploadsQuery, *, bucket: str, owner: str) -> bytes:
    """The reply of List Multipart Uploads.

    Args:
        listing: the page.
        asked: what was asked.
        bucket: whose uploads are listed.
        owner: uin of whose bucket it is.
    """
    encoded = asked.url_encoded
    head: list[xml.Node] = [
        ("Bucket", bucket),
        *_encoding(url_encoded=encoded),
        ("KeyMarker", _text(asked.key_marker, url_encoded=encoded)),
        ("UploadIdMarker", _text(asked.upload_id_marker, url_encoded=encoded)),
        ("MaxUploads", asked.limit),
        ("Prefix", _text(asked.prefix, url_encoded=encoded)),
        *([("Delimiter", _text(asked.delimiter, url_encoded=encoded))] if asked.delimiter else []),
        ("IsTruncated", "false" if listing.next_key is None else "true"),
    ]
    if listing.next_key is not None:
        head.append(("NextKeyMarker", _text(listing.next_key, url_encoded=encoded)))
    if listing.next_upload_id:
        head.append(("NextUploadIdMarker", listing.next_upload_id))
    uploads = [("Upload", _upload(upload, owner, url_encoded=encoded)) for upload in listing.uploads]
    prefixes = [("CommonPrefixes", [("Prefix", _text(it, url_encoded=encoded))]) for it in listing.prefixes]
    return xml.document("ListMultipartUploadsResult", [*head, *uploads, *prefixes])


def _part(part: Part) -> list[xml.Node]:
    return [
        ("PartNumber", part.number),
        ("LastModified", iso_time(part.last_modified)),
        ("ETag", f'"{part.etag}"'),
        ("Size", part.size),
    ]


def _upload(upload: MultipartUpload, owner: str, *, url_encoded: bool) -> list[xml.Node]:
    return [
        ("Key", _text(upload.key, url_encoded=url_encoded)),
        ("UploadId", upload.upload_id),
        ("StorageClass", upload.storage_class),
        ("Initiator", _account(upload.initiator)),
        ("Owner", _account(owner)),
        ("Initiated", iso_time(upload.initiated_at)),
    ]


def _account(uin: str) -> list[xml.Node]:
    return [("ID", f"qcs::cam::uin/{uin}:uin/{uin}"), ("DisplayName", uin)]


def _encoding(*, url_encoded: bool) -> list[xml.Node]:
    return [("EncodingType", "url")] if url_encoded else []


def _text(text: str, *, url_encoded: bool) -> str:
    """Percent-encoded all but ``/`` if asked, which is the only way to show characters that XML cannot carry."""
    return quote(text, safe="/") if url_encoded else text
