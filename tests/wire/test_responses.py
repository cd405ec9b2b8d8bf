from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qcloud_cos.cos_comm import decode_result, format_dict, xml_to_dict
from qcloud_cos.cos_exception import digest_xml

from sordino import errors
from sordino.domain.bucket import Bucket, Listing, StoredObject
from sordino.domain.identity import Account
from sordino.wire.address import Service
from sordino.wire.responses import render_bucket_list, render_error, render_object_list

CREATED = datetime(2026, 1, 5, 2, 0, 0, 999_000, tzinfo=UTC)
OWNER = Account(appid="1250000000", uin="100000000001")
STORED = StoredObject(
    bucket="test-1250000000",
    key="in/a b+中&.wav",
    size=5,
    etag="5d41402abc4b2a76b9719d911017c592",
    crc64=1,
    blob_id="b",
    last_modified=CREATED,
)


def listing(*objects, prefixes=(), next_marker=None, **asked):
    """A page of a listing as callers of the Python SDK get it."""
    settings = {"prefix": "", "marker": "", "delimiter": "", "max_keys": 1000, "url_encoded": True} | asked
    page = Listing(objects=objects, prefixes=prefixes, next_marker=next_marker)
    data = xml_to_dict(render_object_list(page, bucket="test-1250000000", owner=OWNER.appid, **settings))
    format_dict(data, ["Contents", "CommonPrefixes"])
    if settings["url_encoded"]:
        decode_result(data, ["Prefix", "Marker", "NextMarker"], [["Contents", "Key"], ["CommonPrefixes", "Prefix"]])
    return data


@pytest.mark.parametrize("service", list(Service))
@pytest.mark.parametrize("kind", [errors.NO_SUCH_KEY, errors.INVALID_ARGUMENT, errors.REQUEST_HAS_EXPIRED])
def test_errors_as_the_python_sdk_reads_them(service, kind):
    """Code, message, resource and ids arrive, on either service."""
    body = render_error(service, kind(), "/in/a%20b", "cmVxdWVzdA==", "dHJhY2U=")
    assert digest_xml(body) == {
        "code": kind.code,
        "message": kind.message,
        "resource": "/in/a%20b",
        "requestid": "cmVxdWVzdA==",
        "traceid": "dHJhY2U=",
    }


def test_the_elements_of_an_error():
    """COS's order is the documented one; CI's documented elements come first, then Resource."""
    error = errors.ServiceError(400, "C", "M")
    tags = {service: render_error(service, error, "R", "I", "T").decode().partition("\n")[2] for service in Service}
    ids = "<RequestId>I</RequestId><TraceId>T</TraceId>"
    assert tags == {
        Service.COS: f"<Error><Code>C</Code><Message>M</Message><Resource>R</Resource>{ids}</Error>",
        Service.CI: f"<Error><Code>C</Code><Message>M</Message>{ids}<Resource>R</Resource></Error>",
    }


@given(st.lists(st.text(st.characters()), min_size=5, max_size=5))
def test_no_element_of_an_error_is_empty(texts):
    """Whatever the texts, the Python SDK finds a value in each element: it reports "Unknown" otherwise."""
    code, message, resource, request_id, trace_id = texts
    for service in Service:
        found = digest_xml(
            render_error(service, errors.ServiceError(400, code, message), resource, request_id, trace_id)
        )
        assert found.keys() == {"code", "message", "resource", "requestid", "traceid"}
        assert all(found.values())


def test_a_listing_as_the_python_sdk_reads_it():
    """Keys come back as stored, ETags quoted, sizes and times in COS's form."""
    data = listing(STORED, prefix="in/")
    assert data == {
        "Name": "test-1250000000",
        "Prefix": "in/",
        "Marker": None,
        "MaxKeys": "1000",
        "EncodingType": "url",
        "IsTruncated": "false",
        "Contents": [
            {
                "Key": "in/a b+中&.wav",
                "LastModified": "2026-01-05T02:00:00.999Z",
                "ETag": '"5d41402abc4b2a76b9719d911017c592"',
                "Size": "5",
                "Owner": {"ID": "1250000000", "DisplayName": "1250000000"},
                "StorageClass": "STANDARD",
            }
        ],
    }


def test_an_empty_listing():
    """A listing without objects and prefixes has neither, and ends."""
    data = listing(url_encoded=False)
    assert data.keys() == {"Name", "Prefix", "Marker", "MaxKeys", "IsTruncated"}
    assert data["IsTruncated"] == "false"


def test_a_truncated_listing_with_prefixes():
    """Folded prefixes are listed beside the objects, and the next page's marker is given."""
    data = listing(STORED, prefixes=("p 1/", "中/"), next_marker="中/", delimiter="/", marker="a b", max_keys=3)
    assert [entry["Prefix"] for entry in data["CommonPrefixes"]] == ["p 1/", "中/"]
    assert (data["IsTruncated"], data["NextMarker"], data["Marker"]) == ("true", "中/", "a b")
    assert (data["Delimiter"], data["MaxKeys"]) == ("/", "3")
    assert [entry["Prefix"] for entry in listing(prefixes=("p/",))["CommonPrefixes"]] == ["p/"]


keys = st.text(st.characters(codec="utf-8"), min_size=1)


@given(keys)
def test_any_key_survives_when_url_encoded(key):
    """With encoding-type=url every key, even of control characters, comes back as stored."""
    data = listing(replace(STORED, key=key), prefixes=(key,), next_marker=key, prefix=key, marker=key)
    assert data["Contents"][0]["Key"] == data["CommonPrefixes"][0]["Prefix"] == key
    assert data["NextMarker"] == data["Prefix"] == data["Marker"] == key


@given(keys)
def test_any_key_is_readable_when_not_url_encoded(key):
    """Without it the document stays well-formed; only characters XML cannot carry are replaced."""
    found = listing(replace(STORED, key=key), url_encoded=False)["Contents"][0]["Key"]
    assert len(found) == len(key)
    assert all(b in (a, "\ufffd") for a, b in zip(key, found, strict=True))


def test_url_encoding_as_other_sdks_decode_it():
    """Slashes stay as they are, and neither spaces nor pluses are ambiguous."""
    written = render_object_list(
        Listing(objects=(STORED,), prefixes=(), next_marker=None),
        bucket="test-1250000000",
        prefix="",
        marker="",
        delimiter="/",
        max_keys=1,
        url_encoded=True,
        owner=OWNER.appid,
    ).decode()
    assert "<Key>in/a%20b%2B%E4%B8%AD%26.wav</Key>" in written
    assert "<Delimiter>/</Delimiter>" in written
    assert unquote("in/a%20b%2B%E4%B8%AD%26.wav") == STORED.key


@pytest.mark.parametrize("count", [0, 1, 2])
def test_buckets_as_the_python_sdk_reads_them(count):
    """The buckets have name, region and date; Buckets is there even without any."""
    buckets = [
        Bucket(name=f"b{number}-1250000000", region="ap-x", appid="1250000000", created_at=CREATED)
        for number in range(count)
    ]
    data = xml_to_dict(render_bucket_list(buckets, owner=OWNER))
    uin = OWNER.uin
    assert data["Owner"] == {"ID": f"qcs::cam::uin/{uin}:uin/{uin}", "DisplayName": uin}
    found = [] if data["Buckets"] is None else format_dict(data["Buckets"], ["Bucket"])["Bucket"]
    assert found == [
        {"Name": bucket.name, "Location": "ap-x", "CreationDate": "2026-01-05T02:00:00.999Z"} for bucket in buckets
    ]
