"""The official command line, as a program of its own: through a proxy, and with an endpoint of one's own."""

import os
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

import pytest

from sdk.calls import Call, Mode, Sdk, of
from sdk.clients import SUFFIX
from server import REGION, Server

COMMAND = Path(sys.executable).with_name("coscmd")
CALLS = of(Sdk.COSCMD)

# The one thing that has no file to be set in: names of our own suffix lead to this machine.
RESOLVER = f"""
import socket
find = socket.getaddrinfo
def getaddrinfo(host, *arguments, **options):
    return find("127.0.0.1" if str(host).endswith("{SUFFIX}") else host, *arguments, **options)
socket.getaddrinfo = getaddrinfo
"""


@dataclass(frozen=True)
class CommandLine:
    """coscmd with its configuration, a bucket of its own, and a directory to work in."""

    service: Server
    bucket: str
    room: Path
    mode: Mode

    def configure(self) -> None:
        """Write what ``coscmd config`` would write."""
        key = self.service.root_key
        common = {"secret_id": key.secret_id, "secret_key": key.secret_key, "bucket": self.bucket}
        common |= {"region": REGION, "schema": "http", "retry": "1", "timeout": "20"}
        common |= {"multiupload_threshold": "20", "part_size": "10"}
        if self.mode is Mode.DNS:
            common["endpoint"] = f"cos.{REGION}.{SUFFIX}:{self.service.port}"
        config = ConfigParser(interpolation=None)
        config["common"] = common
        with (self.room / "cos.conf").open("w") as file:
            config.write(file)
        (self.room / "sitecustomize.py").write_text(RESOLVER)

    def run(self, *arguments: str) -> str:
        """Run a command to a good end; what it says."""
        options = ["-c", str(self.room / "cos.conf"), "-l", str(self.room / "cos.log")]
        environment = os.environ | {"HOME": str(self.room)}
        if self.mode is Mode.PROXY:
            environment |= {"http_proxy": self.service.url, "no_proxy": ""}
        else:
            environment |= {"PYTHONPATH": str(self.room), "no_proxy": "*"}
        done = subprocess.run(
            [COMMAND, *options, *arguments],
            cwd=self.room,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def put(self, key: str) -> None:
        """Upload ``hello`` by another client."""
        self.service.client().put_object(Bucket=self.bucket, Key=key, Body=b"hello")

    def address(self, key: str) -> str:
        """An object of the bucket as a source."""
        domain = f"{SUFFIX}:{self.service.port}" if self.mode is Mode.DNS else "myqcloud.com"
        return f"{self.bucket}.cos.{REGION}.{domain}/{key}"

    def exists(self, key: str) -> bool:
        """Whether another client sees the object."""
        return bool(self.service.client().object_exists(Bucket=self.bucket, Key=key))


Driver = Callable[[CommandLine], None]
DRIVERS: dict[str, Driver] = {}


def driver(drive: Driver) -> Driver:
    """Note who drives the command of that name; ``_many`` stands for its option ``-r``."""
    DRIVERS[drive.__name__.replace("_many", " -r")] = drive
    return drive


@driver
def createbucket(cos: CommandLine) -> None:
    """A bucket is made."""
    cos.service.client().delete_bucket(Bucket=cos.bucket)
    cos.run("createbucket")
    assert cos.service.client().bucket_exists(Bucket=cos.bucket)


@driver
def deletebucket(cos: CommandLine) -> None:
    """An empty bucket is gone afterwards."""
    cos.run("deletebucket")
    assert not cos.service.client().bucket_exists(Bucket=cos.bucket)


@driver
def upload(cos: CommandLine) -> None:
    """A file, and a directory with what is in it, are uploaded."""
    (cos.room / "files").mkdir()
    for name in ("a b", "声音"):
        (cos.room / "files" / name).write_bytes(b"hello")
    cos.run("upload", "files/a b", "one/a b")
    cos.run("upload", "-r", "files/", "all/")
    assert [cos.exists(key) for key in ("one/a b", "all/a b", "all/声音")] == [True] * 3
    resumed(cos)


def resumed(cos: CommandLine) -> None:
    """A large file is gone on with where another try left off: its first part is there, and is not sent again."""
    size = 10 * 1024**2
    content = os.urandom(2 * size + 5)
    (cos.room / "big").write_bytes(content)
    client, place = cos.service.client(), {"Bucket": cos.bucket, "Key": "big"}
    place["UploadId"] = client.create_multipart_upload(**place)["UploadId"]
    client.upload_part(**place, PartNumber=1, Body=content[:size])
    before = cos.service.log.read_text().count("partNumber=1&")
    cos.run("upload", "big", "big")
    assert cos.service.log.read_text().count("partNumber=1&") == before
    reply = client.get_object(Bucket=cos.bucket, Key="big")
    assert reply["Body"].get_raw_stream().read() == content
    assert reply["ETag"].endswith('-3"')


@driver
def listparts(cos: CommandLine) -> None:
    """Uploads that are under way are listed."""
    client = cos.service.client()
    ids = [client.create_multipart_upload(Bucket=cos.bucket, Key="a b")["UploadId"] for _ in range(12)]
    said = cos.run("listparts", "a")
    assert [upload_id in said for upload_id in ids] == [True] * 12
    assert "Parts num: 12" in said


@driver
def abort(cos: CommandLine) -> None:
    """Uploads that are under way are over."""
    client = cos.service.client()
    for key in ("a b", "c"):
        client.create_multipart_upload(Bucket=cos.bucket, Key=key)
    assert "2 files successful" in cos.run("abort")
    assert "Upload" not in client.list_multipart_uploads(Bucket=cos.bucket)


@driver
def download(cos: CommandLine) -> None:
    """An object is written to a file."""
    cos.put("d/a b")
    cos.run("download", "d/a b", "copy")
    assert (cos.room / "copy").read_bytes() == b"hello"


@driver
def list(cos: CommandLine) -> None:  # noqa: A001  # the command is called so
    """Objects and folders are listed with their size."""
    for key in ("a", "d/b"):
        cos.put(key)
    said = cos.run("list")
    assert re.search(r"\ba\b.*\b5\b", said)
    assert "d/" in said
    assert "d/b" in cos.run("list", "-r")


@driver
def info(cos: CommandLine) -> None:
    """An object tells its size and digest."""
    cos.put("k")
    said = cos.run("info", "k")
    assert re.search(r"Content-Length\s+5\b", said)
    assert "5d41402abc4b2a76b9719d911017c592" in said


@driver
def delete(cos: CommandLine) -> None:
    """An object is gone afterwards."""
    cos.put("k")
    cos.run("delete", "-f", "k")
    assert not cos.exists("k")


@driver
def delete_many(cos: CommandLine) -> None:
    """All objects below a prefix are gone afterwards, others are not."""
    for key in ("d/a b", "d/中", "d/e/f", "other"):
        cos.put(key)
    assert "3 files successful" in cos.run("delete", "-r", "-f", "d/")
    assert [cos.exists(key) for key in ("d/a b", "d/中", "d/e/f", "other")] == [False, False, False, True]


@driver
def copy(cos: CommandLine) -> None:
    """There are two of it afterwards."""
    cos.put("a b/中")
    cos.run("copy", cos.address("a b/中"), "copy")
    assert [cos.exists(key) for key in ("a b/中", "copy")] == [True, True]


@driver
def copy_many(cos: CommandLine) -> None:
    """All objects below a prefix are there below another one."""
    for key in ("d/a b", "d/e/中"):
        cos.put(key)
    assert "2 files copied" in cos.run("copy", "-r", cos.address("d/"), "to/")
    assert [cos.exists(key) for key in ("to/a b", "to/e/中")] == [True, True]


@driver
def move(cos: CommandLine) -> None:
    """There is one of it afterwards, elsewhere."""
    cos.put("a b")
    cos.run("move", cos.address("a b"), "moved")
    assert [cos.exists(key) for key in ("a b", "moved")] == [False, True]


OWNER = r"qcs::cam::uin/(\d+):uin/\1: FULL_CONTROL"


@driver
def putbucketacl(cos: CommandLine) -> None:
    """Everybody may read the bucket afterwards."""
    cos.run("putbucketacl", "--grant-read", "anyone")
    assert cos.service.client().get_bucket_acl(Bucket=cos.bucket)["CannedACL"] == "public-read"


@driver
def getbucketacl(cos: CommandLine) -> None:
    """The owner and what he may do are told."""
    assert re.search(OWNER, cos.run("getbucketacl"))


@driver
def putobjectacl(cos: CommandLine) -> None:
    """Everybody may read the object afterwards."""
    cos.put("k")
    cos.run("putobjectacl", "--grant-read", "anyone", "k")
    assert cos.service.client().get_object_acl(Bucket=cos.bucket, Key="k")["CannedACL"] == "public-read"


@driver
def getobjectacl(cos: CommandLine) -> None:
    """The owner and what he, and everybody, may do are told."""
    cos.service.client().put_object(Bucket=cos.bucket, Key="k", Body=b"hello", ACL="public-read")
    said = cos.run("getobjectacl", "k")
    assert re.search(OWNER, said)
    assert "anyone: READ" in said


@driver
def signurl(cos: CommandLine) -> None:
    """A signed URL downloads without the program."""
    cos.put("a b")
    (url,) = re.findall(r"http://[^\s']+", cos.run("signurl", "a b", "-t", "300"))
    parts = urllib.parse.urlsplit(url)
    request = urllib.request.Request(f"{cos.service.url}{parts.path}?{parts.query}", headers={"Host": parts.netloc})
    with urllib.request.urlopen(request) as reply:
        assert reply.read() == b"hello"


def test_every_command_has_a_driver() -> None:
    """The table and the tests name the same commands."""
    assert {call.name for call in CALLS} == set(DRIVERS)


@pytest.mark.parametrize(
    ("call", "mode"),
    [pytest.param(call, mode, id=f"{call.name} {mode}") for call in CALLS for mode in call.modes if call.works(mode)],
)
def test_command(service: Server, new_bucket: Callable[[], str], tmp_path: Path, call: Call, mode: Mode) -> None:
    """The command does what it is for."""
    cos = CommandLine(service, new_bucket(), tmp_path, mode)
    cos.configure()
    DRIVERS[call.name](cos)
