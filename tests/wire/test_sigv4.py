"""AWS's signature, against the examples that AWS publishes."""

import hashlib
from datetime import UTC, datetime

from sordino.wire.sigv4 import Signer, query_text

# https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
SIGNER = Signer(
    access_key_id="AKIAIOSFODNN7EXAMPLE",
    secret="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    region="us-east-1",
)
AT = datetime(2013, 5, 24, tzinfo=UTC)
HOST = "examplebucket.s3.amazonaws.com"


def signature(method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes = b"") -> str:
    """What the header ends with."""
    payload = hashlib.sha256(body).hexdigest()
    added = SIGNER.sign(method, path, query, {"host": HOST, **headers}, payload=payload, at=AT)
    assert added["x-amz-date"] == "20130524T000000Z"
    return added["authorization"].rpartition("Signature=")[2]


def test_get_of_a_range() -> None:
    """The first example."""
    expected = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    assert signature("GET", "/test.txt", {}, {"range": "bytes=0-9"}) == expected


def test_put() -> None:
    """The second one, of an object with headers and a key that is escaped."""
    headers = {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"}
    expected = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
    assert signature("PUT", "/test%24file.text", {}, headers, b"Welcome to Amazon S3.") == expected


def test_a_parameter_without_a_value() -> None:
    """The third one."""
    expected = "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
    assert signature("GET", "/", {"lifecycle": ""}, {}) == expected


def test_list() -> None:
    """The fourth one."""
    expected = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
    assert signature("GET", "/", {"max-keys": "2", "prefix": "J"}, {}) == expected


def test_parameters_are_escaped() -> None:
    """What is sent is what was signed: sorted, and escaped but for what never needs it."""
    assert query_text({"prefix": "a/ü +~", "marker": ""}) == "marker=&prefix=a%2F%C3%BC%20%2B~"


def test_the_secret_is_not_shown() -> None:
    """Nor can it come into a log by way of the signer."""
    assert SIGNER.secret not in repr(SIGNER)
