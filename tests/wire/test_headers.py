import pytest

from sordino.wire.headers import canonical


@pytest.mark.parametrize(
    "name",
    [
        b"ETag",
        b"Content-MD5",
        b"Content-Length",
        b"Content-Type",
        b"Content-Range",
        b"Last-Modified",
        b"Accept-Ranges",
        b"Date",
        b"Server",
        b"Connection",
        b"WWW-Authenticate",
        b"Access-Control-Expose-Headers",
        b"x-cos-hash-crc64ecma",
        b"x-cos-request-id",
        b"x-ci-request-id",
        b"x-cos-meta-my-key",
    ],
)
def test_canonical_case(name):
    """Every case of a name gives the one the SDKs look up."""
    assert canonical(name) == canonical(name.lower()) == canonical(name.upper()) == name
