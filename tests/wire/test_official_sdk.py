"""Whole calls of the official Python SDK, cut off at the socket: addressing, sign-in and bodies together."""

from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from qcloud_cos import CosServiceError

from sordino import errors
from sordino.domain.bucket import Bucket, Listing
from sordino.domain.identity import Account
from sordino.domain.job import Job, Operation
from sordino.wire import signature
from sordino.wire.address import Address, Service, Style, resolve
from sordino.wire.job_query import parse_job_ids
from sordino.wire.job_replies import render_jobs
from sordino.wire.job_request import parse_job
from sordino.wire.query import Query
from sordino.wire.responses import render_bucket_list, render_error, render_object_list

SECRET_KEY = "SecretKeyExample000000000000001"
BUCKET = "examplebucket-1250000000"
OWNER = Account(appid="1250000000", uin="100000000001")
NOW = datetime(2026, 1, 5, 2, tzinfo=UTC)
ORDER = {
    "Tag": "NoiseReduction",
    "Input": {"Object": "input/demo.mp3"},
    "Operation": {
        "NoiseReduction": {"Format": "wav", "SampleRate": "16000"},
        "Output": {"Region": "ap-guangzhou", "Bucket": BUCKET, "Object": "output/out.wav"},
    },
}

# How the SDK can be pointed at a server, and how each shows on the wire.
SETTINGS = [
    pytest.param({}, False, Style.VIRTUAL_HOSTED, id="DNS"),
    pytest.param({}, True, Style.VIRTUAL_HOSTED, id="proxy"),
    pytest.param(
        {"Endpoint": "cos.ap-guangzhou.local:8000", "EndpointCi": "ci.ap-guangzhou.local:8000"},
        False,
        Style.VIRTUAL_HOSTED,
        id="endpoint",
    ),
    pytest.param({"Domain": f"localhost:8000/{BUCKET}"}, False, Style.PATH, id="path-style"),
    pytest.param({"IP": "127.0.0.1", "Port": 8000}, False, Style.VIRTUAL_HOSTED, id="IP"),
    pytest.param({"Domain": "localhost:8000"}, False, Style.DEFAULT, id="bare"),
]


def receive(request, *, proxied=False) -> tuple[Address, Query]:
    """What the server makes of a sent request: its address and query, with the signature verified."""
    url = urlsplit(request.url)
    path = url.path.encode()
    headers = [
        (name.encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in request.headers.items()
    ]
    host = dict(headers).get(b"Host", url.netloc.encode()).decode()
    target = f"http://{host}".encode() + path if proxied else path
    address = resolve(host, target, default_bucket=BUCKET, ci_on_any_host=True)
    query = Query.parse(url.query.encode())
    authorization = signature.parse(headers, query)
    assert authorization is not None
    received = signature.SignedRequest(
        method=request.method,
        paths=address.signed_paths,
        hosts=address.signed_hosts,
        headers=headers,
        query=query.pairs,
    )
    signature.verify(authorization, SECRET_KEY, received, now=datetime.now(UTC), skew=0)
    return address, query


def stored(request) -> Job:
    """The job a submission makes."""
    asked = parse_job(request.body, ("dfn3", "off"))
    (wanted,) = asked.operations
    return Job(
        job_id="j1",
        bucket=BUCKET,
        region="ap-guangzhou",
        queue_id="p1",
        input_object=asked.input_object,
        operation=Operation(
            noise_reduction=wanted.noise_reduction,
            output=wanted.output,
            user_data=wanted.user_data,
            job_level=wanted.job_level,
        ),
        created_at=NOW,
    )


@pytest.mark.parametrize(("config", "proxied", "style"), SETTINGS)
def test_submit(sdk, config, proxied, style):
    """A submission reaches the right bucket as a signed CI call, and its reply is read, in every setting."""
    api = sdk(**config)
    api.wire.body = render_jobs([])
    api.client.ci_create_media_jobs(Bucket=BUCKET, Jobs=ORDER)
    address, _ = receive(api.wire.sent[0], proxied=proxied)
    assert (address.service, address.bucket, address.path, address.style) == (Service.CI, BUCKET, "/jobs", style)
    api.wire.body = render_jobs([stored(api.wire.sent[0])])
    (job,) = api.client.ci_create_media_jobs(Bucket=BUCKET, Jobs=ORDER)["JobsDetail"]
    assert (job["JobId"], job["State"]) == ("j1", "Submitted")
    assert job["Operation"] == ORDER["Operation"]


@pytest.mark.parametrize(("config", "proxied", "style"), SETTINGS)
@pytest.mark.parametrize("key", ["in/a.wav", "in/a b+中(1)!.wav", "./a/../b", "a//b/", "/twice", "%41;&=?#"])
def test_upload(sdk, config, proxied, style, key):
    """Any key arrives as it was given (the SDK drops one leading slash), signed, in every setting."""
    api = sdk(**config)
    api.client.put_object(Bucket=BUCKET, Key=key, Body=b"hello", Metadata={"x-cos-meta-k": "v 1*'()~"})
    address, _ = receive(api.wire.sent[0], proxied=proxied)
    assert (address.service, address.bucket, address.style) == (Service.COS, BUCKET, style)
    assert address.path[1:] == key.removeprefix("/")


def test_query_of_several_jobs(sdk):
    """Ids joined by a comma, which the SDK escapes, are found again."""
    api = sdk()
    api.wire.body = render_jobs([], ["j1", "j2"])
    reply = api.client.ci_get_media_jobs(Bucket=BUCKET, JobIDs="j1,j2")
    address, _ = receive(api.wire.sent[0])
    assert "%2C" in api.wire.sent[0].url
    assert parse_job_ids(address.path.removeprefix("/jobs/")) == ("j1", "j2")
    assert reply["NonExistJobIds"] == ["j1", "j2"]


def test_cancel(sdk):
    """The flag of a cancellation is seen though it is not signed."""
    api = sdk()
    api.client.ci_cancel_jobs(Bucket=BUCKET, JobID="j1")
    address, query = receive(api.wire.sent[0])
    assert (address.path, "cancel" in query) == ("/jobs/j1", True)


def test_list_objects(sdk):
    """Spaces and pluses of a prefix arrive, signed, and a page is read."""
    api = sdk()
    prefix = "in/a b+中&"
    page = Listing(objects=(), prefixes=("in/a b+中&/",), next_marker=None)
    api.wire.body = render_object_list(
        page,
        bucket=BUCKET,
        prefix=prefix,
        marker="",
        delimiter="/",
        max_keys=1000,
        url_encoded=True,
        owner=OWNER.appid,
    )
    reply = api.client.list_objects(Bucket=BUCKET, Prefix=prefix, Delimiter="/")
    _, query = receive(api.wire.sent[0])
    assert (query.get("prefix"), query.get("marker"), query.get("encoding-type")) == (prefix, None, "url")
    assert (reply["Prefix"], reply["CommonPrefixes"]) == (prefix, [{"Prefix": "in/a b+中&/"}])


@pytest.mark.parametrize("count", [0, 1, 2])
def test_list_buckets(sdk, count):
    """The account's buckets are asked for on the service host and read, however many there are."""
    api = sdk()
    bucket = Bucket(name=BUCKET, region="ap-guangzhou", appid="1250000000", created_at=NOW)
    api.wire.body = render_bucket_list([bucket] * count, owner=OWNER)
    reply = api.client.list_buckets()
    address, _ = receive(api.wire.sent[0])
    assert (address.service, address.bucket, address.style) == (Service.COS, None, Style.BUCKETLESS)
    assert count == 0 or [found["Name"] for found in reply["Buckets"]["Bucket"]] == [BUCKET] * count


def test_temporary_keys(sdk):
    """The token of temporary keys is found beside the signature."""
    api = sdk(Token="tok/en+=")
    api.client.put_object(Bucket=BUCKET, Key="k", Body=b"")
    request = api.wire.sent[0]
    headers = [(name.encode(), value) for name, value in request.headers.items() if isinstance(value, bytes)]
    parsed = signature.parse([*headers, (b"authorization", request.headers["Authorization"].encode())], [])
    assert parsed is not None
    assert parsed.token == "tok/en+="
    assert "x-cos-security-token" in parsed.header_list


def test_refusals_are_read(sdk):
    """The SDK raises our code and message."""
    api = sdk()
    api.wire.status, api.wire.body = 404, render_error(Service.COS, errors.NO_SUCH_KEY(), "/k", "cmlk", "dGlk")
    with pytest.raises(CosServiceError) as refused:
        api.client.get_object(Bucket=BUCKET, Key="k")
    assert refused.value.get_error_code() == "NoSuchKey"
    assert refused.value.get_error_msg() == errors.NO_SUCH_KEY.message
    assert (refused.value.get_request_id(), refused.value.get_resource_location()) == ("cmlk", "/k")
