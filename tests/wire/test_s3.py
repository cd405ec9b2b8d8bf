"""Documents of S3-compatible stores."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sordino.wire.s3 import (
    NotS3Error,
    S3Entry,
    S3Error,
    parse_error,
    parse_etag,
    parse_listing,
    parse_upload_id,
    render_parts,
)

# As AWS's documents show it, with keys that are escaped.
LISTING = b"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
  <Name>bucket</Name><Prefix/><Marker/><MaxKeys>2</MaxKeys><EncodingType>url</EncodingType>
  <IsTruncated>true</IsTruncated><NextMarker>my+photos%2F</NextMarker>
  <Contents><Key>a%2Bb+c.jpg</Key><LastModified>2009-10-12T17:50:30.000Z</LastModified>
    <ETag>&quot;fba9dede5f27731c9771645a39863328&quot;</ETag><Size>434234</Size><StorageClass>STANDARD_IA</StorageClass>
  </Contents>
  <CommonPrefixes><Prefix>my+photos%2F</Prefix></CommonPrefixes>
</ListBucketResult>"""


def test_listing() -> None:
    """Keys and prefixes are unescaped where the store says that it escaped them."""
    page = parse_listing(LISTING)
    assert page.entries == (
        S3Entry(
            key="a+b c.jpg",
            size=434234,
            etag="fba9dede5f27731c9771645a39863328",
            last_modified=datetime(2009, 10, 12, 17, 50, 30, tzinfo=UTC),
            storage_class="STANDARD_IA",
        ),
    )
    assert (page.prefixes, page.next_marker) == (("my photos/",), "my photos/")


def test_listing_as_it_is() -> None:
    """A store that escapes nothing is believed, too."""
    page = parse_listing(LISTING.replace(b"<EncodingType>url</EncodingType>", b""))
    assert (page.entries[0].key, page.prefixes) == ("a%2Bb+c.jpg", ("my+photos%2F",))


@pytest.mark.parametrize(
    ("change", "end"),
    [
        ((b"<NextMarker>my+photos%2F</NextMarker>", b""), "my photos/"),
        ((b"<NextMarker>my+photos%2F", b"<NextMarker>a+b c.jpg"), "a+b c.jpg"),
        ((b"<NextMarker>my+photos%2F", b"<NextMarker>nothing of it"), "my photos/"),
        ((b"<IsTruncated>true", b"<IsTruncated>false"), None),
    ],
)
def test_where_a_page_ends(change: tuple[bytes, bytes], end: str | None) -> None:
    """With what the store names, escaped or not; else with the greater one of what it ends with."""
    assert parse_listing(LISTING.replace(*change)).next_marker == end


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"<Other/>", LISTING.replace(b"434234", b"many"), LISTING.replace(b"2009-10-12T", b"yesterday")],
)
def test_what_is_no_listing(body: bytes) -> None:
    """It is told as such."""
    with pytest.raises(NotS3Error):
        parse_listing(body)


@given(st.binary(max_size=200))
def test_errors_are_read_whatever_they_are(body: bytes) -> None:
    """A refusal without a document, or with one that is none, is a refusal without a code."""
    assert parse_error(body) == S3Error()


def test_errors() -> None:
    """The code, and the region where the bucket is."""
    body = b"<Error><Code>PermanentRedirect</Code><Message>m</Message><Region>eu-west-1</Region></Error>"
    assert parse_error(body) == S3Error(code="PermanentRedirect", region="eu-west-1")


def test_an_error_in_place_of_a_copy() -> None:
    """A copy or a completed upload may be refused in spite of its status."""
    assert parse_etag(b'<CopyObjectResult><ETag>"abc"</ETag></CopyObjectResult>') == "abc"
    with pytest.raises(NotS3Error, match="InternalError"):
        parse_etag(b"<Error><Code>InternalError</Code></Error>")
    with pytest.raises(NotS3Error):
        parse_upload_id(b"<InitiateMultipartUploadResult/>")


def test_parts() -> None:
    """They are numbered from one."""
    body = render_parts(["a", "b"])
    assert b"<Part><PartNumber>2</PartNumber><ETag>&quot;b&quot;</ETag></Part>" in body.replace(
        b'"b"', b"&quot;b&quot;"
    )
