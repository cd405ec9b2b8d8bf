"""The official Python SDK, unchanged, in each of the ways it can be pointed at a server."""

from collections.abc import Callable

import numpy as np
import pytest
from qcloud_cos import CosServiceError

from server import REGION, Server
from support import job_body, read_wav, wait_for_jobs


def proxy(service: Server, bucket: str) -> dict[str, object]:
    """Real host names, absolute-form targets."""
    return {"Proxies": {"http": service.url}}


def path_style(service: Server, bucket: str) -> dict[str, object]:
    """The bucket as first path segment."""
    return {"Domain": f"127.0.0.1:{service.port}/{bucket}"}


def ip(service: Server, bucket: str) -> dict[str, object]:
    """The server's address with real host names; CI calls then carry the COS host."""
    return {"IP": "127.0.0.1", "Port": service.port}


MODES = [proxy, path_style, ip]


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
def test_main_job(service: Server, new_bucket: Callable[[], str], recording: bytes, mode) -> None:
    """Upload, submit, poll and download work, and the output is the input without its noise."""
    bucket = new_bucket()
    client = service.client(**mode(service, bucket))
    client.put_object(Bucket=bucket, Key="in.wav", Body=recording)
    reply = client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, "out/clean.wav"), Lst={})
    detail = reply["JobsDetail"][0]
    assert detail["State"] == "Submitted"
    assert detail["Operation"]["UserData"] == "ticket-42"
    assert detail["Operation"]["NoiseReduction"] == {"Format": "wav", "SampleRate": "16000"}
    assert detail["StartTime"] == "-"
    ended = wait_for_jobs(client, bucket, [detail["JobId"]])[detail["JobId"]]
    assert (ended["State"], ended["Code"]) == ("Success", "Success"), ended
    output, rate = read_wav(client.get_object(Bucket=bucket, Key="out/clean.wav")["Body"].get_raw_stream().read())
    before, _ = read_wav(recording)
    assert rate == 16000
    assert output.size == before.size
    assert quiet_level(output) < quiet_level(before) - 10


def quiet_level(samples: np.ndarray) -> float:
    """Level of the quietest tenth of 20 ms frames, dB."""
    frames = samples[: samples.size // 320 * 320].reshape(-1, 320)
    return float(10 * np.log10(np.percentile((frames**2).mean(1), 10) + 1e-12))


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
def test_objects(service: Server, new_bucket: Callable[[], str], mode) -> None:
    """Keys of every kind go up, are found, listed, read in parts and deleted."""
    bucket = new_bucket()
    client = service.client(**mode(service, bucket))
    keys = ["a b+c.txt", "d//e", "f/../g", "100%", "中文/声音.wav", "emoji-🎧", "h?i&j=k", "trail/"]
    for key in keys:
        put = client.put_object(Bucket=bucket, Key=key, Body=key.encode(), Metadata={"x-cos-meta-k": "v 1*'()~"})
        assert put["ETag"].startswith('"')
        head = client.head_object(Bucket=bucket, Key=key)
        assert head["Content-Length"] == str(len(key.encode()))
        assert head["x-cos-meta-k"] == "v 1*'()~"
        part = client.get_object(Bucket=bucket, Key=key, Range="bytes=1-2")
        assert part["Content-Range"] == f"bytes 1-2/{len(key.encode())}"
        assert part["Body"].get_raw_stream().read() == key.encode()[1:3]
    listed = client.list_objects(Bucket=bucket)
    assert [entry["Key"] for entry in listed["Contents"]] == sorted(keys, key=str.encode)
    folded = client.list_objects(Bucket=bucket, Delimiter="/")
    assert [entry["Prefix"] for entry in folded["CommonPrefixes"]] == ["d/", "f/", "trail/", "中文/"]
    for key in keys:
        client.delete_object(Bucket=bucket, Key=key)
    assert "Contents" not in client.list_objects(Bucket=bucket)
    client.delete_bucket(Bucket=bucket)
    assert not client.bucket_exists(Bucket=bucket)


def test_list_buckets(service: Server, new_bucket: Callable[[], str]) -> None:
    """The account's buckets are listed with their region."""
    bucket = new_bucket()
    buckets = service.client().list_buckets()["Buckets"]["Bucket"]
    assert (bucket, REGION) in [(entry["Name"], entry["Location"]) for entry in buckets]


def test_unknown_jobs(service: Server, new_bucket: Callable[[], str]) -> None:
    """Ids of no job come back as NonExistJobIds, one element each."""
    bucket = new_bucket()
    reply = service.client().ci_get_media_jobs(Bucket=bucket, JobIDs="jnone1,jnone2")
    assert reply["NonExistJobIds"] == ["jnone1", "jnone2"]


def test_jobs_of_another_bucket_do_not_exist(service: Server, new_bucket: Callable[[], str], recording: bytes) -> None:
    """A job is seen through its own bucket only."""
    client, bucket, other = service.client(), new_bucket(), new_bucket()
    client.put_object(Bucket=bucket, Key="in.wav", Body=recording)
    job = client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, "o.wav"), Lst={})["JobsDetail"][0]["JobId"]
    assert client.ci_get_media_jobs(Bucket=other, JobIDs=job)["NonExistJobIds"] == job
    wait_for_jobs(client, bucket, [job])


@pytest.mark.parametrize(
    ("content", "code", "hint"),
    [
        (None, "ResourceNotFound", "in.wav"),
        (b"", "ResourceNotSupported", ""),
        (b"just text, no sound", "ResourceNotSupported", ""),
        (b"x" * (10 * 1024**2 + 1), "ResourceNotSupported", "10485760"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "ResourceNotSupported", ""),
    ],
    ids=["missing", "empty", "text", "too large", "playlist"],
)
def test_input_that_cannot_be_processed(
    service: Server, new_bucket: Callable[[], str], content: bytes | None, code: str, hint: str
) -> None:
    """The job fails with a fitting Code and a Message that helps."""
    client, bucket = service.client(), new_bucket()
    if content is not None:
        client.put_object(Bucket=bucket, Key="in.wav", Body=content)
    job = client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, "o.wav"), Lst={})["JobsDetail"][0]["JobId"]
    ended = wait_for_jobs(client, bucket, [job])[job]
    assert (ended["State"], ended["Code"]) == ("Failed", code)
    assert hint in ended["Message"]
    assert len(ended["Message"]) > 20
    assert not client.object_exists(Bucket=bucket, Key="o.wav")


def test_output_to_a_bucket_that_is_not_there(service: Server, new_bucket: Callable[[], str], recording: bytes) -> None:
    """The job fails with WriteTargetBucketDenied."""
    client, bucket = service.client(), new_bucket()
    client.put_object(Bucket=bucket, Key="in.wav", Body=recording)
    body = job_body(f"nowhere-{service.root_key.appid}", "o.wav")
    job = client.ci_create_media_jobs(Bucket=bucket, Jobs=body, Lst={})["JobsDetail"][0]["JobId"]
    assert wait_for_jobs(client, bucket, [job])[job]["Code"] == "WriteTargetBucketDenied"


def test_output_to_another_bucket(service: Server, new_bucket: Callable[[], str], recording: bytes) -> None:
    """The result lands in the bucket that Output names."""
    client, bucket, other = service.client(), new_bucket(), new_bucket()
    client.put_object(Bucket=bucket, Key="in.wav", Body=recording)
    body = job_body(other, "deep/er/o.mp3", Format="mp3", SampleRate="44100")
    job = client.ci_create_media_jobs(Bucket=bucket, Jobs=body, Lst={})["JobsDetail"][0]["JobId"]
    assert wait_for_jobs(client, bucket, [job])[job]["State"] == "Success"
    assert client.head_object(Bucket=other, Key="deep/er/o.mp3")["Content-Type"] == "audio/mpeg"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"Tag": "Transcode"}, 400, "InvalidArgument"),
        ({"Input": {"Object": ""}}, 400, "InvalidArgument"),
        ({"Input": {"Object": "live.m3u8"}}, 400, "InvalidArgument"),
        ({"QueueId": "p00000000000000000000000000000000"}, 404, "QueueNotFound"),
        ({"CallBack": "http://192.168.0.1/hook"}, 400, "InvalidArgument"),
    ],
)
def test_refused_submissions(service: Server, new_bucket: Callable[[], str], change, status, code) -> None:
    """A job that cannot be accepted is refused at once, with the code and complete error XML."""
    bucket = new_bucket()
    with pytest.raises(CosServiceError) as refusal:
        service.client().ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, "o.wav") | change, Lst={})
    assert (refusal.value.get_status_code(), refusal.value.get_error_code()) == (status, code)
    assert refusal.value.get_request_id() not in ("", "Unknown")
    assert refusal.value.get_trace_id() not in ("", "Unknown")
    assert refusal.value.get_resource_location() == "/jobs" or "/jobs" in refusal.value.get_resource_location()


def test_output_region_must_be_the_buckets(service: Server, new_bucket: Callable[[], str]) -> None:
    """A wrong Output.Region of one's own bucket is told at once."""
    bucket = new_bucket()
    body = job_body(bucket, "o.wav")
    body["Operation"]["Output"]["Region"] = "ap-beijing"
    with pytest.raises(CosServiceError, match="ap-beijing"):
        service.client().ci_create_media_jobs(Bucket=bucket, Jobs=body, Lst={})


def test_calls_that_are_left_out(service: Server, new_bucket: Callable[[], str]) -> None:
    """Documented calls that are not offered say so, instead of pretending."""
    client, bucket = service.client(), new_bucket()
    calls = [
        lambda: client.get_bucket_lifecycle(Bucket=bucket),
        lambda: client.get_bucket_versioning(Bucket=bucket),
    ]
    for call in calls:
        with pytest.raises(CosServiceError) as refusal:
            call()
        assert (refusal.value.get_status_code(), refusal.value.get_error_code()) == (501, "NotImplemented")


def test_bucket_life(service: Server, new_bucket: Callable[[], str]) -> None:
    """Creating twice, deleting while full and other accounts' names are refused with COS's codes."""
    client, bucket = service.client(), new_bucket()
    with pytest.raises(CosServiceError) as refusal:
        client.create_bucket(Bucket=bucket)
    assert refusal.value.get_error_code() == "BucketAlreadyOwnedByYou"
    client.put_object(Bucket=bucket, Key="k", Body=b"v")
    with pytest.raises(CosServiceError) as refusal:
        client.delete_bucket(Bucket=bucket)
    assert refusal.value.get_error_code() == "BucketNotEmpty"
    with pytest.raises(CosServiceError) as refusal:
        client.create_bucket(Bucket="mine-1111111111")
    assert refusal.value.get_error_code() == "AccessDenied"
    with pytest.raises(CosServiceError) as refusal:
        client.get_object(Bucket=f"ghost-{service.root_key.appid}", Key="k")
    assert refusal.value.get_error_code() == "NoSuchBucket"
    with pytest.raises(CosServiceError) as refusal:
        client.get_object(Bucket=bucket, Key="ghost")
    assert (refusal.value.get_status_code(), refusal.value.get_error_code()) == (404, "NoSuchKey")


def test_presigned_url(service: Server, new_bucket: Callable[[], str]) -> None:
    """A URL signed in its query downloads without headers, with the reply headers it asks for."""
    import urllib.parse
    import urllib.request

    client, bucket = service.client(), new_bucket()
    client.put_object(Bucket=bucket, Key="a b.txt", Body=b"hello")
    url = client.get_presigned_url(bucket, "a b.txt", "GET", Params={"response-content-type": "text/plain"})
    parts = urllib.parse.urlsplit(url)
    local = urllib.request.Request(f"{service.url}{parts.path}?{parts.query}", headers={"Host": parts.netloc})
    with urllib.request.urlopen(local) as reply:
        assert reply.read() == b"hello"
        assert reply.headers["Content-Type"] == "text/plain"
        assert reply.headers["x-cos-hash-crc64ecma"] == "11177612005948864433"
