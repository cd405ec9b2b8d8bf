"""Objects in an S3 server: as the blobs of a service, and as the buckets that are mounted."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import obstore
import psycopg
import pytest
from qcloud_cos import CosS3Client
from qcloud_cos.cos_exception import CosServiceError

from people import People
from policies import allow, deny
from raw_http import refusal as told
from raw_http import send
from seaweed import S3Server
from server import Server, new_room
from sordino.adapters.postgres.embedded import find_running
from support import free_port, job_body, start_service, wait_for_jobs

MIB = 1 << 20


@pytest.fixture(scope="module")
def blobs(s3_server: S3Server) -> str:
    """The bucket that the service keeps its blobs in."""
    return s3_server.new_bucket()


@pytest.fixture(scope="module")
def storing(s3_server: S3Server, blobs: str) -> Iterator[Server]:
    """A service whose blobs lie in the S3 server."""
    with new_room() as directory:
        environment = {**s3_server.environment, "SORDINO_BLOBS_URL": f"s3://{blobs}/sordino"}
        running = start_service(directory / "data", **environment)
        yield running
        status = running.stop()
        assert status == 0, running.log_tail(60)
        assert s3_server.secret not in running.log.read_text()


@pytest.fixture(scope="module")
def client(storing: Server) -> CosS3Client:
    """The official SDK."""
    return storing.client()


def admin(storing: Server, *arguments: str, secret: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``sordino admin bucket`` beside the service."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SORDINO_")}
    if secret is not None:
        environment["SORDINO_MOUNT_SECRET"] = secret
    return subprocess.run(
        [sys.executable, "-m", "sordino", "admin", "bucket", *arguments, "--data", storing.data],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


@pytest.fixture(scope="module")
def mounted(storing: Server, s3_server: S3Server) -> Iterator[tuple[str, str]]:
    """A mounted bucket: its name, and that of the one it is mounted on."""
    name, there = f"mounted-{storing.root_key.appid}", s3_server.new_bucket()
    made = admin(
        storing,
        *("mount", name, f"s3://{there}/music", "--endpoint", s3_server.endpoint),
        *("--access-key-id", s3_server.access_key_id),
        secret=s3_server.secret,
    )
    assert (made.returncode, made.stderr) == (0, "")
    yield name, there
    ended = admin(storing, "unmount", name)
    assert (ended.returncode, ended.stderr) == (0, "")


def content_of(s3_server: S3Server, bucket: str, key: str) -> bytes:
    """An object, seen past everything under test."""
    return bytes(obstore.get(s3_server.store(bucket), key).bytes())


def test_a_job_with_blobs_in_s3(
    client: CosS3Client, storing: Server, blobs: str, s3_server: S3Server, recording: bytes
) -> None:
    """The main job is done where the bytes of input and output lie in S3, and there alone."""
    bucket = f"plain-{storing.root_key.appid}"
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="in.wav", Body=recording)
    job = client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, "out.wav"), Lst={})
    job_id = job["JobsDetail"][0]["JobId"]
    assert wait_for_jobs(client, bucket, [job_id])[job_id]["State"] == "Success"
    made = client.get_object(Bucket=bucket, Key="out.wav")["Body"].get_raw_stream().read()
    assert made[:4] == b"RIFF"
    lying = [bytes(obstore.get(s3_server.store(blobs), it["path"]).bytes()) for it in _all(s3_server, blobs)]
    assert sorted(lying) == sorted([recording, made])
    assert not (storing.data / "blobs").exists()


def _all(s3_server: S3Server, bucket: str) -> list[dict[str, object]]:
    return [meta for page in obstore.list(s3_server.store(bucket)) for meta in page]


def test_objects_of_a_mounted_bucket(client: CosS3Client, mounted: tuple[str, str], s3_server: S3Server) -> None:
    """What the SDK writes lies in the other store under its own key, and comes back with all that was said of it."""
    bucket, there = mounted
    client.put_object(
        Bucket=bucket,
        Key="dir/é +%.wav",
        Body=b"hello",
        ContentType="audio/wav",
        CacheControl="no-cache",
        Metadata={"x-cos-meta-name": "value"},
    )
    assert content_of(s3_server, there, "music/dir/é +%.wav") == b"hello"
    head = client.head_object(Bucket=bucket, Key="dir/é +%.wav")
    assert (head["ETag"], head["Content-Length"]) == ('"5d41402abc4b2a76b9719d911017c592"', "5")
    assert (head["Content-Type"], head["Cache-Control"], head["x-cos-meta-name"]) == ("audio/wav", "no-cache", "value")
    assert head["x-cos-hash-crc64ecma"] == "11177612005948864433"
    part = client.get_object(Bucket=bucket, Key="dir/é +%.wav", Range="bytes=1-3")
    assert part["Body"].get_raw_stream().read() == b"ell"
    listed = client.list_objects(Bucket=bucket, Delimiter="/")
    assert [it["Prefix"] for it in listed["CommonPrefixes"]] == ["dir/"]
    assert [it["Key"] for it in client.list_objects(Bucket=bucket, Prefix="dir/")["Contents"]] == ["dir/é +%.wav"]
    client.copy_object(
        Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "dir/é +%.wav", "Region": "ap-guangzhou"}
    )
    assert client.head_object(Bucket=bucket, Key="copy")["x-cos-meta-name"] == "value"
    client.delete_objects(Bucket=bucket, Delete={"Object": [{"Key": "dir/é +%.wav"}, {"Key": "copy"}]})
    assert not client.object_exists(Bucket=bucket, Key="dir/é +%.wav")
    assert _all(s3_server, there) == []


def test_keys_that_the_store_takes_for_others(
    client: CosS3Client, storing: Server, mounted: tuple[str, str], s3_server: S3Server
) -> None:
    """Policies are not got around by slashes that the store folds, nor what is mounted by steps that it may follow."""
    (bucket, there), people = mounted, People(storing)
    root = people.root()
    for key in ("kept/k", "open/k"):
        client.put_object(Bucket=bucket, Key=key, Body=b"hello")
    mine = f"qcs::cos::uid/{root.appid}:{bucket}"
    but_kept = people.user(root, allow("cos:*"), deny("cos:*", f"{mine}/kept/*"))
    only_open = people.user(root, allow("cos:*", [f"{mine}/open/*", f"{mine}//*"]))
    people.bucket_policy(bucket, deny("cos:*", f"{mine}/kept/*", principal="*"))
    for who in (but_kept, only_open, root, None):
        for path in ("/kept/k", "//kept/k", "/./kept/k", "/open/../kept/k", "/../music/kept/k", "///kept//k", "/.."):
            for method in ("GET", "HEAD", "PUT", "DELETE"):
                reply = send(storing, method, path, bucket=bucket, key=who, signed=who is not None, body=b"")
                assert reply[0] == 403, (who, method, path)
        source = {"x-cos-copy-source": f"/{bucket}//kept/k"}
        reply = send(storing, "PUT", "/open/c", bucket=bucket, key=who, signed=who is not None, headers=source)
        assert reply[0] == 403, who
    assert send(storing, "GET", "/open//k", bucket=bucket, key=only_open)[2] == b"hello"
    people.bucket_policy(bucket)
    assert content_of(s3_server, there, "music/kept/k") == b"hello"
    for key in ("kept/k", "open/k"):
        client.delete_object(Bucket=bucket, Key=key)


def test_a_large_file_into_a_mounted_bucket(
    client: CosS3Client, mounted: tuple[str, str], s3_server: S3Server, tmp_path: Path
) -> None:
    """The SDK's upload in parts becomes one object of the other store, and its download gives it back."""
    bucket, there = mounted
    content = os.urandom(19 * MIB + 5)
    (tmp_path / "big").write_bytes(content)
    client.upload_file(Bucket=bucket, Key="big", LocalFilePath=str(tmp_path / "big"), PartSize=2, MAXThread=3)
    assert content_of(s3_server, there, "music/big") == content
    client.download_file(Bucket=bucket, Key="big", DestFilePath=str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content
    assert client.list_multipart_uploads(Bucket=bucket).get("Upload", []) == []
    client.delete_object(Bucket=bucket, Key="big")


def test_a_job_on_a_mounted_bucket(
    client: CosS3Client, mounted: tuple[str, str], s3_server: S3Server, recording: bytes
) -> None:
    """A recording that others wrote into the other store is denoised, and the result lies beside it."""
    bucket, there = mounted
    obstore.put(s3_server.store(there), "music/in.wav", io.BytesIO(recording))
    job = client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, "out.wav"), Lst={})
    job_id = job["JobsDetail"][0]["JobId"]
    detail = wait_for_jobs(client, bucket, [job_id])[job_id]
    assert detail["State"] == "Success", detail
    made = content_of(s3_server, there, "music/out.wav")
    assert made[:4] == b"RIFF"
    assert client.head_object(Bucket=bucket, Key="out.wav")["Content-Type"] == "audio/wav"


def test_a_missing_input_in_a_mounted_bucket(client: CosS3Client, mounted: tuple[str, str]) -> None:
    """The job ends as it does in any bucket."""
    bucket, _ = mounted
    job = client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, "out.wav", "nothing.wav"), Lst={})
    job_id = job["JobsDetail"][0]["JobId"]
    detail = wait_for_jobs(client, bucket, [job_id])[job_id]
    assert (detail["State"], detail["Code"]) == ("Failed", "ResourceNotFound")


def test_a_mounted_bucket_is_not_deleted(client: CosS3Client, mounted: tuple[str, str]) -> None:
    """Nobody with a key of ours can delete it; the refusal says who can."""
    with pytest.raises(CosServiceError) as refusal:
        client.delete_bucket(Bucket=mounted[0])
    assert (refusal.value.get_status_code(), refusal.value.get_error_code()) == (403, "AccessDenied")
    assert "unmount" in refusal.value.get_error_msg()


@pytest.mark.parametrize("header", [{"ACL": "public-read"}, {"Metadata": {"x-cos-forbid-overwrite": "true"}}])
def test_what_a_mounted_bucket_does_not_offer(
    client: CosS3Client, mounted: tuple[str, str], header: dict[str, object]
) -> None:
    """Is refused with what to leave out, and nothing is written."""
    with pytest.raises(CosServiceError) as refusal:
        client.put_object(Bucket=mounted[0], Key="a", Body=b"x", **header)
    assert (refusal.value.get_status_code(), refusal.value.get_error_code()) == (501, "NotImplemented")
    assert "mounted bucket" in refusal.value.get_error_msg()
    assert not client.object_exists(Bucket=mounted[0], Key="a")


@pytest.mark.parametrize("name", ["Content-Type", "Content-Disposition", "x-cos-meta-a"])
@pytest.mark.parametrize("value", ["caf\xe9", "a\tb"])
def test_headers_that_a_mounted_bucket_cannot_keep(
    client: CosS3Client, storing: Server, mounted: tuple[str, str], name: str, value: str
) -> None:
    """They are the client's mistake, whatever makes the object, and nothing is written."""
    client.put_object(Bucket=mounted[0], Key="source", Body=b"x")
    copy = {"x-cos-copy-source": f"/{mounted[0]}/source", "x-cos-metadata-directive": "Replaced"}
    for method, target, more in [("PUT", "/a", {}), ("POST", "/a?uploads", {}), ("PUT", "/a", copy)]:
        status, _, body = send(storing, method, target, bucket=mounted[0], headers={name: value, **more})
        assert (status, told(body)["Code"]) == (400, "InvalidArgument")
        assert told(body)["Message"].lower().startswith(f"{name.lower()} must be printable ASCII".lower())
    assert not client.object_exists(Bucket=mounted[0], Key="a")


def test_an_upload_to_a_mounted_bucket_ends_once(client: CosS3Client, mounted: tuple[str, str]) -> None:
    """What was completed is not known any more when it is asked for again, and the object is there."""
    upload_id = client.create_multipart_upload(Bucket=mounted[0], Key="once")["UploadId"]
    etag = client.upload_part(Bucket=mounted[0], Key="once", Body=b"x", PartNumber=1, UploadId=upload_id)["ETag"]
    parts = {"Part": [{"PartNumber": 1, "ETag": etag}]}
    client.complete_multipart_upload(Bucket=mounted[0], Key="once", UploadId=upload_id, MultipartUpload=parts)
    with pytest.raises(CosServiceError) as refusal:
        client.complete_multipart_upload(Bucket=mounted[0], Key="once", UploadId=upload_id, MultipartUpload=parts)
    assert (refusal.value.get_status_code(), refusal.value.get_error_code()) == (404, "NoSuchUpload")
    assert client.object_exists(Bucket=mounted[0], Key="once")


def test_a_mounted_store_that_is_away(client: CosS3Client, storing: Server, mounted: tuple[str, str]) -> None:
    """Who asks is told that it is the bucket's own store which does not answer, and not where that lies."""
    away = f"127.0.0.1:{free_port()}"
    dsn = find_running(storing.data)
    assert dsn is not None
    with psycopg.connect(dsn, autocommit=True) as connection:
        change = "UPDATE mounts SET options = options || jsonb_build_object('endpoint', %s::text) WHERE bucket = %s"
        (before,) = connection.execute(
            "SELECT options ->> 'endpoint' FROM mounts WHERE bucket = %s", [mounted[0]]
        ).fetchone()
        connection.execute(change, [f"http://{away}", mounted[0]])
        try:
            for method, body in [("GET", b""), ("PUT", b"x")]:
                status, _, reply = send(storing, method, "/a", bucket=mounted[0], body=body)
                assert (status, told(reply)["Code"]) == (503, "ServiceUnavailable")
                assert "store that the bucket is mounted on does not answer" in told(reply)["Message"]
                assert away not in reply.decode()
        finally:
            connection.execute(change, [before, mounted[0]])
    client.list_objects(Bucket=mounted[0])


def test_a_key_that_may_only_read(client: CosS3Client, storing: Server, s3_server: S3Server) -> None:
    """A bucket that is mounted with such a key can be read; writing is refused with AccessDenied, not with a 5xx."""
    name, there = f"readonly-{storing.root_key.appid}", s3_server.new_bucket()
    obstore.put(s3_server.store(there), "theirs", b"hello")
    made = admin(
        storing,
        *("mount", name, f"s3://{there}", "--endpoint", s3_server.endpoint, "--access-key-id", s3_server.reader_key_id),
        secret=s3_server.secret,
    )
    assert made.returncode == 0, made.stderr
    assert client.get_object(Bucket=name, Key="theirs")["Body"].get_raw_stream().read() == b"hello"
    with pytest.raises(CosServiceError) as refusal:
        client.put_object(Bucket=name, Key="a", Body=b"x")
    assert (refusal.value.get_status_code(), refusal.value.get_error_code()) == (403, "AccessDenied")
    assert admin(storing, "unmount", name).returncode == 0
    assert content_of(s3_server, there, "theirs") == b"hello"
    with pytest.raises(CosServiceError, match="NoSuchBucket"):
        client.list_objects(Bucket=name)


def test_mounts_are_listed(storing: Server, mounted: tuple[str, str], s3_server: S3Server) -> None:
    """The operator sees where the objects lie, and no secret; the secret is not in the database's text either."""
    rows = json.loads(admin(storing, "mounts", "--json").stdout)
    (row,) = [row for row in rows if row["bucket"] == mounted[0]]
    assert row == {
        "bucket": mounted[0],
        "url": f"s3://{mounted[1]}/music",
        "endpoint": s3_server.endpoint,
        "region": "us-east-1",
        "access_key_id": s3_server.access_key_id,
    }
    (shown,) = [row for row in json.loads(admin(storing, "list", "--json").stdout) if row["bucket"] == mounted[0]]
    assert shown["mounted"] is True
    assert (storing.data / "secrets.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("name", "url", "key", "hint"),
    [
        ("new-{appid}", "s3://no-such-bucket", None, "no bucket no-such-bucket"),
        ("new-{appid}", "s3://{there}", "nobody", "no key of the id nobody"),
        ("new-{appid}", "https://{there}", None, "write s3://bucket"),
        ("new-{appid}", "cos://{there}", None, "no bucket of COS"),
        ("new-1", "s3://{there}", None, "There is no account 1"),
        ("new", "s3://{there}", None, "<name>-<APPID>"),
    ],
)
def test_mounts_that_are_refused(
    storing: Server, mounted: tuple[str, str], s3_server: S3Server, name: str, url: str, key: str | None, hint: str
) -> None:
    """A mount that would not work is not made; the message says what is wrong, and no secret."""
    refused = admin(
        storing,
        *("mount", name.format(appid=storing.root_key.appid), url.format(there=mounted[1])),
        *("--endpoint", s3_server.endpoint, "--access-key-id", key or s3_server.access_key_id),
        secret=s3_server.secret,
    )
    assert refused.returncode == 1
    assert hint in refused.stderr
    assert s3_server.secret not in refused.stderr + refused.stdout
    assert all(row["bucket"] == mounted[0] for row in json.loads(admin(storing, "mounts", "--json").stdout))
