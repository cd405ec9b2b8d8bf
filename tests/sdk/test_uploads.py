"""Multipart uploads through the official Python SDK against a running server, and through plain HTTP."""

import random
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from fastcrc import crc64
from qcloud_cos import CosClientError, CosS3Client, CosServiceError

from raw_http import refusal, send
from server import REGION, Server

MEGABYTE = 1024**2
ROOT = "CompleteMultipartUpload"


@dataclass(frozen=True)
class Bench:
    """The SDK, and a bucket of its own."""

    service: Server
    client: CosS3Client
    bucket: str

    def begin(self, key: str = "k", **headers: Any) -> str:
        """The id of a new upload."""
        return str(self.client.create_multipart_upload(Bucket=self.bucket, Key=key, **headers)["UploadId"])

    def put(self, upload_id: str, number: int, content: bytes, key: str = "k", **more: Any) -> dict[str, Any]:
        """Upload a part; what names it."""
        reply = self.client.upload_part(
            Bucket=self.bucket, Key=key, Body=content, PartNumber=number, UploadId=upload_id, **more
        )
        assert reply["x-cos-hash-crc64ecma"] == str(crc64.xz(content))
        return {"PartNumber": number, "ETag": reply["ETag"]}

    def complete(self, upload_id: str, *parts: dict[str, Any], key: str = "k", **more: Any) -> dict[str, Any]:
        """Complete an upload."""
        return dict(
            self.client.complete_multipart_upload(
                Bucket=self.bucket, Key=key, UploadId=upload_id, MultipartUpload={"Part": list(parts)}, **more
            )
        )

    def read(self, key: str = "k", **more: str) -> bytes:
        """An object's bytes."""
        reply = self.client.get_object(Bucket=self.bucket, Key=key, **more)
        return bytes(reply["Body"].get_raw_stream().read())

    def raw(self, method: str, query: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
        """Status and code of a call of the key that the SDK would not send; the code is empty where it succeeds."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        status, _, content = send(
            self.service, method, f"/k?{query}", bucket=self.bucket, body=body, headers=fields or None
        )
        return status, refusal(content)["Code"] if status >= 400 else ""


@pytest.fixture
def bench(service: Server, new_bucket: Callable[[], str]) -> Bench:
    """A fresh bucket."""
    return Bench(service, service.client(), new_bucket())


def content_of(size: int, seed: int = 0) -> bytes:
    """Bytes that are nowhere the same."""
    return random.Random(seed).randbytes(size)


def code_of(call: Callable[[], object]) -> tuple[int, str]:
    """Status and code with which the SDK's call is refused."""
    with pytest.raises(CosServiceError) as refused:
        call()
    return refused.value.get_status_code(), refused.value.get_error_code()


def test_an_upload_from_begin_to_end(bench: Bench) -> None:
    """Parts in any order make one object, with the headers of its beginning, and ranges across their border."""
    first, last = content_of(MEGABYTE + 1), b"the end"
    key = "in/a b+中(1)!.wav"
    upload_id = bench.begin(
        key,
        ContentType="audio/wav",
        CacheControl="no-cache",
        ACL="public-read",
        StorageClass="STANDARD_IA",
        Metadata={"x-cos-meta-k": "v"},
    )
    end = bench.put(upload_id, 9, last, key)
    begin = bench.put(upload_id, 3, first, key, EnableMD5=True)
    made = bench.complete(upload_id, begin, end, key=key)
    etag = md5(md5(first).digest() + md5(last).digest()).hexdigest()
    assert made["ETag"] == f'"{etag}-2"'
    assert made["x-cos-hash-crc64ecma"] == str(crc64.xz(first + last))
    assert (made["Bucket"], made["Key"]) == (bench.bucket, key)
    assert made["Location"].endswith("/in/a%20b%2B%E4%B8%AD%281%29%21.wav")
    head = bench.client.head_object(Bucket=bench.bucket, Key=key)
    assert (head["Content-Type"], head["Cache-Control"], head["x-cos-meta-k"]) == ("audio/wav", "no-cache", "v")
    assert (head["x-cos-storage-class"], head["ETag"]) == ("STANDARD_IA", made["ETag"])
    assert head["Content-Length"] == str(len(first + last))
    assert bench.read(key) == first + last
    assert bench.read(key, Range=f"bytes={MEGABYTE - 5}-{MEGABYTE + 4}") == (first + last)[MEGABYTE - 5 : MEGABYTE + 5]
    acl = bench.client.get_object_acl(Bucket=bench.bucket, Key=key)
    assert "READ" in str(acl)
    listed = bench.client.list_objects(Bucket=bench.bucket)["Contents"]
    assert [(it["Key"], it["ETag"]) for it in listed] == [(key, made["ETag"])]


def test_the_url_of_the_object(bench: Bench) -> None:
    """Location leads to it as the client came: by host or by path."""
    for query in ("", f"/{bench.bucket}"):
        upload_id = bench.begin()
        bench.put(upload_id, 1, b"x")
        host = f"127.0.0.1:{bench.service.port}" if query else None
        body = f"<{ROOT}><Part><PartNumber>1</PartNumber><ETag>{md5(b'x').hexdigest()}</ETag></Part></{ROOT}>".encode()
        path = f"{query}/k?uploadId={upload_id}"
        status, _, content = send(bench.service, "POST", path, bucket=None if query else bench.bucket, body=body)
        assert status == 200
        location = ET.fromstring(content).findtext("Location")
        assert location == f"http://{host or f'{bench.bucket}.cos.{REGION}.myqcloud.com'}{query}/k"


def test_a_file_is_resumed(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload that broke off is gone on with: only the missing parts are sent, and the object is the file."""
    content = content_of(5 * MEGABYTE + 123)
    file = tmp_path / "file"
    file.write_bytes(content)
    send_part, sent = bench.client.upload_part, []

    def upload_part(*arguments: Any, **more: Any) -> Any:
        number = arguments[3]
        if number in broken:
            raise CosClientError("the line is cut")
        sent.append(number)
        return send_part(*arguments, **more)

    def upload() -> Any:
        return bench.client.upload_file(
            Bucket=bench.bucket, Key="k", LocalFilePath=str(file), PartSize=1, MAXThread=2, EnableMD5=True
        )

    monkeypatch.setattr(bench.client, "upload_part", upload_part)
    broken = {2, 5}
    with pytest.raises(CosClientError):
        upload()
    assert sorted(sent) == [1, 3, 4, 6]
    sent.clear()
    broken = set()
    assert upload()["ETag"].endswith('-6"')
    assert sorted(sent) == [2, 5]
    copy = tmp_path / "copy"
    bench.client.download_file(
        Bucket=bench.bucket, Key="k", DestFilePath=str(copy), PartSize=1, EnableCRC=True, MAXThread=2
    )
    assert copy.read_bytes() == content
    assert "Upload" not in bench.client.list_multipart_uploads(Bucket=bench.bucket)


def test_another_file_is_not_mixed_in(bench: Bench, tmp_path: Path) -> None:
    """An upload of another file under the key is left alone: the SDK compares the parts it finds."""
    old = bench.begin()
    bench.put(old, 1, b"x" * MEGABYTE)
    file = tmp_path / "file"
    file.write_bytes(content_of(2 * MEGABYTE + 1))
    bench.client.upload_file(Bucket=bench.bucket, Key="k", LocalFilePath=str(file), PartSize=1)
    assert bench.read() == file.read_bytes()
    (left,) = bench.client.list_multipart_uploads(Bucket=bench.bucket)["Upload"]
    assert left["UploadId"] == old


def test_lists_of_uploads(bench: Bench) -> None:
    """By key and time, page by page, with prefix and delimiter, as the SDK reads them."""
    keys = ["a", "a", "dir/a b+中", "dir/b", "z"]
    ids = [bench.begin(key) for key in keys]
    page = bench.client.list_multipart_uploads(Bucket=bench.bucket, MaxUploads=2)
    assert (page["IsTruncated"], page["MaxUploads"], page["NextKeyMarker"]) == ("true", "2", "a")
    first = [(it["Key"], it["UploadId"]) for it in page["Upload"]]
    rest = bench.client.list_multipart_uploads(
        Bucket=bench.bucket, KeyMarker=page["NextKeyMarker"], UploadIdMarker=page["NextUploadIdMarker"]
    )
    assert rest["IsTruncated"] == "false"
    following = [(it["Key"], it["UploadId"]) for it in rest["Upload"]]
    assert sorted([*first, *following]) == sorted(zip(keys, ids, strict=True))
    assert [key for key, _ in (*first, *following)] == keys
    folded = bench.client.list_multipart_uploads(Bucket=bench.bucket, Delimiter="/", Prefix="")
    assert [it["Prefix"] for it in folded["CommonPrefixes"]] == ["dir/"]
    assert len(folded["Upload"]) == 3
    inside = bench.client.list_multipart_uploads(Bucket=bench.bucket, Prefix="dir/a")
    (entry,) = inside["Upload"]
    identity = bench.client.list_buckets()["Owner"]["ID"]
    assert entry["Key"] == "dir/a b+中"
    assert (entry["StorageClass"], entry["Initiator"]["ID"], entry["Owner"]["ID"]) == ("STANDARD", identity, identity)


def test_lists_of_parts(bench: Bench) -> None:
    """By number, page by page, with size and ETag, as the SDK reads them."""
    upload_id = bench.begin("a b+中")
    named = [bench.put(upload_id, number, b"x" * number, "a b+中") for number in (7, 1, 3)]
    page = bench.client.list_parts(Bucket=bench.bucket, Key="a b+中", UploadId=upload_id, MaxParts=2)
    assert (page["Key"], page["UploadId"], page["IsTruncated"]) == ("a b+中", upload_id, "true")
    assert [(it["PartNumber"], it["Size"]) for it in page["Part"]] == [("1", "1"), ("3", "3")]
    rest = bench.client.list_parts(
        Bucket=bench.bucket, Key="a b+中", UploadId=upload_id, PartNumberMarker=page["NextPartNumberMarker"]
    )
    assert [it["ETag"] for it in rest["Part"]] == [named[0]["ETag"]]
    assert (rest["IsTruncated"], rest["PartNumberMarker"]) == ("false", "3")


def test_an_upload_is_aborted(bench: Bench) -> None:
    """It is not listed any more, takes no part, and cannot be completed; its bucket can be deleted again."""
    upload_id = bench.begin()
    named = bench.put(upload_id, 1, b"x")
    assert code_of(lambda: bench.client.delete_bucket(Bucket=bench.bucket)) == (409, "BucketNotEmpty")
    bench.client.abort_multipart_upload(Bucket=bench.bucket, Key="k", UploadId=upload_id)
    assert "Upload" not in bench.client.list_multipart_uploads(Bucket=bench.bucket)
    for call in (
        lambda: bench.put(upload_id, 1, b"x"),
        lambda: bench.complete(upload_id, named),
        lambda: bench.client.abort_multipart_upload(Bucket=bench.bucket, Key="k", UploadId=upload_id),
        lambda: bench.client.list_parts(Bucket=bench.bucket, Key="k", UploadId=upload_id),
    ):
        assert code_of(call) == (404, "NoSuchUpload")
    bench.client.delete_bucket(Bucket=bench.bucket)


def test_completing_is_asked_for_again(bench: Bench) -> None:
    """A client whose reply was lost is told the same once more."""
    upload_id = bench.begin()
    named = bench.put(upload_id, 1, b"x")
    made, again = bench.complete(upload_id, named), bench.complete(upload_id, named)
    assert (made["ETag"], made["x-cos-hash-crc64ecma"]) == (again["ETag"], again["x-cos-hash-crc64ecma"])
    assert code_of(lambda: bench.complete(upload_id, {"PartNumber": 1, "ETag": "0" * 32})) == (404, "NoSuchUpload")


def test_what_cannot_be_completed(bench: Bench) -> None:
    """Each fault has its code, and the upload goes on."""
    upload_id = bench.begin()
    one, two = bench.put(upload_id, 1, b"small"), bench.put(upload_id, 2, b"end")
    assert code_of(lambda: bench.complete(upload_id, two, one)) == (400, "InvalidPartOrder")
    assert code_of(lambda: bench.complete(upload_id, one, two)) == (400, "EntityTooSmall")
    assert code_of(lambda: bench.complete(upload_id, one | {"ETag": two["ETag"]})) == (400, "InvalidPart")
    assert code_of(lambda: bench.complete(upload_id, one | {"PartNumber": 3})) == (400, "InvalidPart")
    assert code_of(lambda: bench.complete(upload_id)) == (400, "MalformedXML")
    bench.complete(upload_id, two)


def test_nothing_is_overwritten_where_that_is_forbidden(bench: Bench) -> None:
    """Neither begun nor completed over an object that is there; without one it is."""
    forbid = {"Metadata": {"x-cos-forbid-overwrite": "true"}}
    upload_id = bench.begin(**forbid)
    named = bench.put(upload_id, 1, b"parts")
    bench.client.put_object(Bucket=bench.bucket, Key="k", Body=b"first")
    assert code_of(lambda: bench.begin(**forbid)) == (409, "FileAlreadyExists")
    assert code_of(lambda: bench.complete(upload_id, named, **forbid)) == (409, "FileAlreadyExists")
    assert bench.read() == b"first"
    bench.client.delete_object(Bucket=bench.bucket, Key="k")
    bench.complete(upload_id, named, **forbid)
    assert bench.read() == b"parts"


@pytest.mark.parametrize(
    "query",
    [
        "partNumber=1",
        "uploadId={id}",
        "uploadId=",
        "uploadId=&partNumber=1",
        "partNumber=&uploadId={id}",
        "partNumber=0&uploadId={id}",
        "partNumber=10001&uploadId={id}",
        "partNumber=%D9%A1&uploadId={id}",
        "partNumber=1e3&uploadId={id}",
        "partNumber=1&partNumber=2&uploadId={id}",
        "partNumber=1&uploadId={id}&uploadId={id}",
        "partNumber=1&uploadId={id}&uploads",
        "partNumber=1&uploadId={id}&acl",
        "partNumber=1&uploadId=%F0%9F%98%80",
        "uploads",
    ],
)
def test_odd_parts(bench: Bench, query: str) -> None:
    """What names no part of the upload is refused, and is not taken for the whole object."""
    upload_id = bench.begin()
    bench.client.put_object(Bucket=bench.bucket, Key="k", Body=b"as it was")
    status, code = bench.raw("PUT", query.format(id=upload_id), b"part")
    assert (status, code) in [
        (400, "InvalidArgument"),
        (404, "NoSuchUpload"),
        (405, "MethodNotAllowed"),
        (501, "NotImplemented"),
    ]
    assert bench.read() == b"as it was"
    assert "Part" not in bench.client.list_parts(Bucket=bench.bucket, Key="k", UploadId=upload_id)


def test_numbers_from_the_first_to_the_last(bench: Bench) -> None:
    """1 and 10000 are numbers of parts."""
    upload_id = bench.begin()
    bench.complete(upload_id, bench.put(upload_id, 1, b"x" * MEGABYTE), bench.put(upload_id, 10_000, b""))
    assert len(bench.read()) == MEGABYTE


@pytest.mark.parametrize(
    "query",
    [
        "uploadId={id}&max-parts=-1",
        "uploadId={id}&max-parts=x",
        "uploadId={id}&part-number-marker=x",
        "uploadId={id}&encoding-type=base64",
    ],
)
def test_odd_pages(bench: Bench, query: str) -> None:
    """Pages that cannot be are refused; a page of more than there may be is one of a thousand."""
    upload_id = bench.begin()
    assert bench.raw("GET", query.format(id=upload_id)) == (400, "InvalidArgument")
    assert bench.raw("GET", f"uploadId={upload_id}&max-parts=5000") == (200, "")


def test_parts_are_checked(bench: Bench) -> None:
    """A wrong MD5, none that is one, a header that is not offered, and no length are refused; no part is kept."""
    upload_id = bench.begin()
    query = f"partNumber=1&uploadId={upload_id}"
    wrong = b64encode(md5(b"other").digest()).decode()
    assert bench.raw("PUT", query, b"x", Content_MD5=wrong) == (400, "BadDigest")
    assert bench.raw("PUT", query, b"x", Content_MD5="nonsense") == (400, "InvalidDigest")
    assert bench.raw("PUT", query, b"x", x_cos_server_side_encryption="AES256") == (501, "NotImplemented")
    assert "Part" not in bench.client.list_parts(Bucket=bench.bucket, Key="k", UploadId=upload_id)


def body_of(*etags: str) -> bytes:
    """The body that completes an upload of parts with these ETags, as they are written."""
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in enumerate(etags, 1)
    )
    return f"<{ROOT}>{parts}</{ROOT}>".encode()


@pytest.mark.parametrize(
    "write",
    [
        str,
        str.upper,
        '"{}"'.format,
        "&quot;{}&quot;".format,
        "&#34;{}&#34;".format,
        "&amp;quot;{}&amp;quot;".format,
        " \n{}\n ".format,
    ],
    ids=["bare", "upper-case", "quoted", "escaped", "by number", "escaped twice", "white space"],
)
def test_ways_to_write_an_etag(bench: Bench, write: Callable[[str], str]) -> None:
    """Clients name parts with quotes and without, escaped or not."""
    upload_id = bench.begin()
    bench.put(upload_id, 1, b"x")
    assert bench.raw("POST", f"uploadId={upload_id}", body_of(write(md5(b"x").hexdigest()))) == (200, "")


def test_documents_of_other_clients(bench: Bench) -> None:
    """Namespaces, a declaration, elements that are not known and any Content-Type are taken."""
    upload_id = bench.begin()
    bench.put(upload_id, 1, b"x")
    body = body_of(md5(b"x").hexdigest()).replace(b"<Part>", b"<Part><ChecksumCRC32>AAAA</ChecksumCRC32>")
    name = b'<%s xmlns="http://www.qcloud.com/document/product/436/7751">' % ROOT.encode()
    body = b'<?xml version="1.0" encoding="UTF-8"?>\n' + body.replace(b"<%s>" % ROOT.encode(), name)
    assert bench.raw("POST", f"uploadId={upload_id}", body, Content_Type="text/plain") == (200, "")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "MissingRequestBodyError"),
        (b"<CompleteMultipartUpload>", "MalformedXML"),
        (b"<Delete/>", "MalformedXML"),
        (b"<CompleteMultipartUpload/>", "MalformedXML"),
        (b"<!DOCTYPE x [<!ENTITY e 'x'>]>" + body_of("&e;"), "MalformedXML"),
        (body_of(""), "MalformedXML"),
        (body_of("nonsense"), "InvalidPart"),
        (body_of("0" * 33), "InvalidPart"),
        (body_of("0" * 32).replace(b">1<", b">one<"), "MalformedXML"),
        (body_of("0" * 32).replace(b">1<", b">-1<"), "MalformedXML"),
        (body_of("0" * 32).replace(b">1<", b">0<"), "InvalidPart"),
        (body_of("0" * 32).replace(b">1<", b">" + b"9" * 5000 + b"<"), "MalformedXML"),
        (body_of("0" * 32).replace(b"<ETag>", b"<ETag/><ETag>"), "InvalidArgument"),
        (body_of(*["0" * 32] * 10_001), "MalformedXML"),
        (b"<CompleteMultipartUpload>" + b"<a/>" * 200_000 + b"</CompleteMultipartUpload>", "MalformedXML"),
        (b"<CompleteMultipartUpload>" + b" " * 2 * MEGABYTE + b"</CompleteMultipartUpload>", "EntityTooLarge"),
    ],
    ids=lambda it: it if isinstance(it, str) else repr(it[:30]),
)
def test_refused_documents(bench: Bench, body: bytes, code: str) -> None:
    """What is no list of this upload's parts is refused in COS's words, and the upload goes on."""
    upload_id = bench.begin()
    named = bench.put(upload_id, 1, b"x")
    assert bench.raw("POST", f"uploadId={upload_id}", body) == (400, code)
    bench.complete(upload_id, named)


def test_as_many_parts_as_there_may_be(bench: Bench) -> None:
    """The list of ten thousand parts is read, with ETags as long as they get, and the missing one is named."""
    upload_id = bench.begin()
    bench.put(upload_id, 1, b"x")
    etags = [md5(b"x").hexdigest(), *["0" * 32] * 9_999]
    body = body_of(*(f"&amp;quot;{etag}&amp;quot;" for etag in etags))
    status, _, content = send(bench.service, "POST", f"/k?uploadId={upload_id}", bucket=bench.bucket, body=body)
    assert (status, refusal(content)["Code"]) == (400, "InvalidPart")
    assert b"Part 2 was not uploaded" in content


@pytest.mark.parametrize("seed", range(4))
def test_broken_documents(bench: Bench, seed: int) -> None:
    """Whatever is done to the list of parts, the client is told of it, or the object is whole."""
    chance = random.Random(seed)
    good = body_of(f'"{md5(b"x").hexdigest()}"')
    upload_id = bench.begin()
    bench.put(upload_id, 1, b"x")
    for _ in range(60):
        body = bytearray(good)
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(body))
            what = chance.choice([b"", b"<", b"&", b"\0", b"\xff", b"]]>", b"<ETag>", b"9" * 30, bytes([body[at]]) * 3])
            body[at : at + chance.randint(0, 4)] = what
        status, _ = bench.raw("POST", f"uploadId={upload_id}", bytes(body))
        assert status in (200, 400, 404)
        if status == 200:
            assert bench.read() == b"x"
            upload_id = bench.begin()
            bench.put(upload_id, 1, b"x")
