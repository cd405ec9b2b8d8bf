"""What operators set for buckets, as their users meet it: quotas, the lifecycle of results, a full disk."""

import asyncio
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from qcloud_cos import CosS3Client, CosServiceError

from disks import mounted_disk
from raw_http import authorization, host_of, refusal
from rows import VAULT
from server import Server
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.adapters.postgres.embedded import find_running
from sordino.adapters.tasks import EngineTasks, engine
from sordino.storage.lifecycle import Lifecycle
from support import clean_environment, job_body, start_service, wait_for_jobs

MIB = 2**20
FILL_UPLOADS = """
INSERT INTO sordino.uploads
SELECT 'filling ' || n, %s, 'k', '1', now(), 'text/plain', '{}', '{}', 'STANDARD', 'default'
  FROM generate_series(1, %s) AS n
"""


class LaterClock:
    """A clock that goes before."""

    def now(self) -> datetime:
        """In two days."""
        return datetime.now(UTC) + timedelta(days=2)


def admin(service: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``sordino admin bucket`` beside the service."""
    command = [sys.executable, "-m", "sordino", "admin", "bucket", *arguments, "--data", str(service.data)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=clean_environment())


def shown(service: Server, *arguments: str) -> Any:
    """What it says in JSON."""
    result = admin(service, *arguments, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def held(service: Server, bucket: str) -> tuple[int, int]:
    """Objects and bytes that the bucket holds, counted anew as well."""
    row = shown(service, "show", bucket, "--count")
    return row["objects"], row["bytes"]


def blobs(service: Server) -> set[Path]:
    """Every file of the store."""
    return {path for path in (service.data / "blobs").rglob("*") if path.is_file()}


def database(service: Server) -> psycopg.Connection:
    """A connection to the service's own."""
    dsn = find_running(service.data)
    assert dsn is not None
    return psycopg.connect(dsn, autocommit=True)


def over(bucket: str, use: Callable[[], object]) -> None:
    """What is done is refused for its quota."""
    with pytest.raises(CosServiceError) as raised:
        use()
    assert (raised.value.get_status_code(), raised.value.get_error_code()) == (403, "QuotaExceeded")
    assert f"The bucket {bucket} would hold" in raised.value.get_error_msg()


def test_a_quota_of_bytes(service: Server, new_bucket: Callable[[], str]) -> None:
    """What does not fit is refused and leaves nothing; what is replaced or deleted makes room."""
    client, bucket = service.client(), new_bucket()
    assert shown(service, "quota", bucket, "--bytes", "1KiB")["max_bytes"] == 1024
    client.put_object(Bucket=bucket, Key="a", Body=b"x" * 1000)
    over(bucket, lambda: client.put_object(Bucket=bucket, Key="b", Body=b"x" * 25))
    client.put_object(Bucket=bucket, Key="a", Body=b"x" * 1024)
    over(bucket, lambda: client.put_object(Bucket=bucket, Key="a", Body=b"x" * 1025))
    client.delete_object(Bucket=bucket, Key="a")
    client.put_object(Bucket=bucket, Key="b", Body=b"x" * 25)
    assert held(service, bucket) == (1, 25)


def test_a_quota_of_objects(service: Server, new_bucket: Callable[[], str]) -> None:
    """One more object than there may be is refused; one that is there may be written anew."""
    client, bucket = service.client(), new_bucket()
    shown(service, "quota", bucket, "--objects", "1")
    for _ in range(2):
        client.put_object(Bucket=bucket, Key="a", Body=b"")
    over(bucket, lambda: client.put_object(Bucket=bucket, Key="b", Body=b""))
    shown(service, "quota", bucket, "--objects", "none")
    client.put_object(Bucket=bucket, Key="b", Body=b"")


def test_a_body_of_unknown_length(service: Server, new_bucket: Callable[[], str]) -> None:
    """A chunked body that turns out not to fit is refused at its end, and its bytes are gone at once."""
    bucket, before = new_bucket(), blobs(service)
    shown(service, "quota", bucket, "--bytes", "1MiB")
    over(
        bucket,
        lambda: service.client().put_object(Bucket=bucket, Key="a", Body=(b"x" * MIB for _ in range(3))),
    )
    assert blobs(service) <= before
    assert held(service, bucket) == (0, 0)


def test_refused_before_the_body(service: Server, new_bucket: Callable[[], str]) -> None:
    """Who asks first whether to send a body that does not fit is refused without sending it."""
    bucket = new_bucket()
    shown(service, "quota", bucket, "--bytes", "1MiB")
    host = host_of(bucket, "cos")
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    connection.putrequest("PUT", "/a", skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", host)
    connection.putheader("Content-Length", str(2 * MIB))
    connection.putheader("Expect", "100-continue")
    connection.putheader("Authorization", authorization(service, "PUT", "/a", host, ()))
    connection.endheaders()
    reply = connection.getresponse()
    assert (reply.status, refusal(reply.read())["Code"]) == (403, "QuotaExceeded")
    connection.close()


def test_parts_within_a_quota(service: Server, new_bucket: Callable[[], str]) -> None:
    """Parts count as they come, also when one comes again; completing adds nothing, and aborting makes room."""
    client, bucket = service.client(), new_bucket()
    shown(service, "quota", bucket, "--bytes", "3MiB")
    upload_id = client.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    parts = [{"PartNumber": number, "ETag": _part(client, bucket, upload_id, number, MIB)} for number in (1, 2, 3)]
    assert held(service, bucket) == (0, 3 * MIB)
    over(bucket, lambda: _part(client, bucket, upload_id, 4, 1))
    assert _part(client, bucket, upload_id, 2, MIB) == parts[1]["ETag"]
    over(bucket, lambda: _part(client, bucket, upload_id, 2, MIB + 1))
    client.complete_multipart_upload(Bucket=bucket, Key="a", UploadId=upload_id, MultipartUpload={"Part": parts[:2]})
    assert held(service, bucket) == (1, 2 * MIB)
    upload_id = client.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    _part(client, bucket, upload_id, 1, MIB)
    client.abort_multipart_upload(Bucket=bucket, Key="a", UploadId=upload_id)
    assert held(service, bucket) == (1, 2 * MIB)


def _part(client: CosS3Client, bucket: str, upload_id: str, number: int, size: int) -> str:
    reply = client.upload_part(
        Bucket=bucket, Key="a", Body=b"x" * size, PartNumber=number, UploadId=upload_id, EnableMD5=False
    )
    return str(reply["ETag"])


def test_unfinished_uploads_are_limited(service: Server, new_bucket: Callable[[], str]) -> None:
    """Whoever has begun as many uploads as may be unfinished is told what to do; other buckets do not notice."""
    client, bucket, other = service.client(), new_bucket(), new_bucket()
    with database(service) as connection:
        connection.execute(FILL_UPLOADS, [bucket, 9_999])
    upload_id = client.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    with pytest.raises(CosServiceError) as raised:
        client.create_multipart_upload(Bucket=bucket, Key="b")
    assert (raised.value.get_status_code(), raised.value.get_error_code()) == (400, "TooManyUploads")
    assert f"{bucket} has 10000 unfinished uploads" in raised.value.get_error_msg()
    assert "complete or abort some" in raised.value.get_error_msg()
    client.create_multipart_upload(Bucket=other, Key="a")
    client.abort_multipart_upload(Bucket=bucket, Key="a", UploadId=upload_id)
    client.create_multipart_upload(Bucket=bucket, Key="b")


def test_copies_within_a_quota(service: Server, new_bucket: Callable[[], str]) -> None:
    """A copy counts like any other object or part, also when a part is copied again."""
    client, source, bucket = service.client(), new_bucket(), new_bucket()
    client.put_object(Bucket=source, Key="a", Body=b"hello")
    shown(service, "quota", bucket, "--bytes", "5")
    origin = {"Bucket": source, "Key": "a", "Region": "ap-guangzhou"}
    client.copy_object(Bucket=bucket, Key="b", CopySource=origin)
    over(bucket, lambda: client.copy_object(Bucket=bucket, Key="c", CopySource=origin))
    assert held(service, bucket) == (1, 5)
    client.delete_object(Bucket=bucket, Key="b")
    part = {"Bucket": bucket, "Key": "c", "CopySource": origin, "PartNumber": 1}
    part["UploadId"] = client.create_multipart_upload(Bucket=bucket, Key="c")["UploadId"]
    for _ in range(2):
        client.upload_part_copy(**part)
    over(bucket, lambda: client.upload_part_copy(**(part | {"PartNumber": 2})))
    assert held(service, bucket) == (0, 5)


def _denoise(service: Server, source: str, target: str) -> dict[str, Any]:
    """How a job ended whose output goes to another bucket."""
    client = service.client()
    reply = client.ci_create_media_jobs(Bucket=source, Jobs=job_body(target, "out.wav"), Lst={})
    job_id = reply["JobsDetail"][0]["JobId"]
    return dict(wait_for_jobs(client, source, [job_id])[job_id])


def test_a_job_over_a_quota(service: Server, new_bucket: Callable[[], str], recording: bytes) -> None:
    """A job whose output does not fit fails with a code and a message, once, and writes nothing."""
    client, source, target, before = service.client(), new_bucket(), new_bucket(), blobs(service)
    client.put_object(Bucket=source, Key="in.wav", Body=recording)
    shown(service, "quota", target, "--bytes", "10kB")
    detail = _denoise(service, source, target)
    assert (detail["State"], detail["Code"]) == ("Failed", "QuotaExceeded")
    assert f"The bucket {target} would hold" in detail["Message"]
    assert not client.object_exists(Bucket=target, Key="out.wav")
    assert held(service, target) == (0, 0)
    assert len(blobs(service) - before) == 1


def test_old_results_go(service: Server, new_bucket: Callable[[], str], recording: bytes) -> None:
    """What a job wrote goes after the bucket's days; its input and a copy of its output stay."""
    client, bucket = service.client(), new_bucket()
    client.put_object(Bucket=bucket, Key="in.wav", Body=recording)
    assert _denoise(service, bucket, bucket)["State"] == "Success"
    origin = {"Bucket": bucket, "Key": "out.wav", "Region": "ap-guangzhou"}
    client.copy_object(Bucket=bucket, Key="copy.wav", CopySource=origin)
    row = shown(service, "lifecycle", bucket, "--results-days", "1")
    assert (row["results_days"], row["results_days_is_own"]) == (1, True)
    assert asyncio.run(_let_go(service)) == 1
    assert [item["Key"] for item in client.list_objects(Bucket=bucket)["Contents"]] == ["copy.wav", "in.wav"]
    row = shown(service, "lifecycle", bucket, "--results-days", "default")
    assert (row["results_days"], row["results_days_is_own"]) == (0, False)


async def _let_go(service: Server) -> int:
    """Delete old results as if it were two days later."""
    dsn, app = find_running(service.data), engine()
    assert dsn is not None
    async with PostgresDatabase(
        dsn, schema="sordino", max_connections=1, vault=VAULT, tasks=lambda connection: EngineTasks(app, connection)
    ) as database:
        return await Lifecycle(database=database, clock=LaterClock(), default_days=0)()


def test_what_the_operator_sees(service: Server, new_bucket: Callable[[], str]) -> None:
    """Buckets are listed with all that is set for them, for people and for programs."""
    bucket = new_bucket()
    service.client().put_object(Bucket=bucket, Key="a", Body=b"hello")
    admin(service, "quota", bucket, "--bytes", "1GiB", "--objects", "10")
    (row,) = [row for row in shown(service, "list") if row["bucket"] == bucket]
    assert row == shown(service, "show", bucket)
    assert {name: row[name] for name in ("objects", "bytes", "max_objects", "max_bytes", "acl", "mounted")} == {
        "objects": 1,
        "bytes": 5,
        "max_objects": 10,
        "max_bytes": 2**30,
        "acl": "private",
        "mounted": False,
    }
    told = admin(service, "list").stdout
    (line,) = [line for line in told.splitlines() if bucket in line]
    expected = f"{bucket} ap-guangzhou 1 5 10 {2**30} for ever (default) private no"
    assert " ".join(line.split()) == expected
    assert "results days  for ever (default)" in admin(service, "show", bucket).stdout
    missing = admin(service, "show", "none-1250000000")
    assert missing.returncode == 1
    assert "There is no bucket none-1250000000" in missing.stderr


def test_a_count_that_is_wrong(service: Server, new_bucket: Callable[[], str]) -> None:
    """Counting anew tells a bucket whose count is not what it holds, which no call can bring about."""
    bucket = new_bucket()
    with database(service) as connection:
        connection.execute("INSERT INTO sordino.bucket_usage VALUES (%s, 1, 1)", [bucket])
    result = admin(service, "show", bucket, "--count")
    assert result.returncode == 1
    assert "is known to hold 1 objects, 1 bytes, and holds 0 objects, 0 bytes" in result.stderr
    with database(service) as connection:
        connection.execute("DELETE FROM sordino.bucket_usage WHERE bucket = %s", [bucket])


def test_counts_are_folded_in_time(service: Server, new_bucket: Callable[[], str]) -> None:
    """The rows that writes add to a bucket's count become one while the service runs."""
    client, bucket = service.client(), new_bucket()
    for key in ("a", "b", "c"):
        client.put_object(Bucket=bucket, Key=key, Body=b"hello")
    query = "SELECT folded, objects FROM sordino.bucket_usage WHERE bucket = %s"
    deadline = time.monotonic() + 60
    with database(service) as connection:
        while (rows := connection.execute(query, [bucket]).fetchall()) != [(True, 3)]:
            assert time.monotonic() < deadline, rows
            time.sleep(0.2)


def test_a_full_disk(room: Path) -> None:
    """An upload that the disk has no room for is told so as a fault of the server, and leaves nothing; others go on."""
    with mounted_disk(room / "small", 16 * MIB) as disk:
        service = start_service(room / "data", SORDINO_WORKERS="1", SORDINO_BLOBS_URL=disk.as_uri())
        try:
            client, bucket = service.client(), f"full-{service.root_key.appid}"
            client.create_bucket(Bucket=bucket)
            with pytest.raises(CosServiceError) as raised:
                client.put_object(Bucket=bucket, Key="large", Body=b"x" * (20 * MIB))
            assert (raised.value.get_status_code(), raised.value.get_error_code()) == (503, "ServiceUnavailable")
            assert "has no room for objects" in raised.value.get_error_msg()
            assert [path for path in disk.rglob("*") if path.is_file()] == []
            client.put_object(Bucket=bucket, Key="small", Body=b"x" * MIB)
            assert [item["Key"] for item in client.list_objects(Bucket=bucket)["Contents"]] == ["small"]
        finally:
            service.stop()
