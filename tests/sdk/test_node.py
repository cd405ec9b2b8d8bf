"""The official Node SDK, run by Node in each of its ways to be pointed at a server."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import md5
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from fastcrc import crc64

from sdk.calls import MODES, Call, Mode, Sdk, of
from server import REGION, Server
from support import new_name

HERE = Path(__file__).with_name("node")
MANIFESTS = ("package.json", "package-lock.json", ".npmrc")
CALLS = of(Sdk.NODE)
COPIED = (b"abc" * (1 << 20) + b"abcab")[: (3 << 20) + 5]
"""What is copied there."""

Run = Callable[[Mode], Mapping[str, Any]]


@pytest.fixture(scope="session")
def modules() -> Path:
    """The SDK with what it needs, installed once for each lock file from the registry that npm is set up with."""
    npm = shutil.which("npm")
    if not shutil.which("node") or not npm:
        pytest.skip("node and npm are not installed")
    lock = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    target = platformdirs.user_cache_path("sordino-tests") / "node" / lock[:16]
    if not target.exists():
        _install(npm, target)
    return target / "node_modules"


def _install(npm: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, ignore_cleanup_errors=True) as name:
        room = Path(name) / "new"
        room.mkdir()
        for manifest in MANIFESTS:
            shutil.copy(HERE / manifest, room)
        command = [npm, "ci", "--ignore-scripts", "--prefer-offline", "--fetch-retries=1", "--fetch-timeout=60000"]
        try:
            subprocess.run(command, cwd=room, capture_output=True, text=True, timeout=240, check=True)
        except subprocess.TimeoutExpired:
            pytest.skip("npm cannot fetch the SDK within four minutes")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"npm cannot fetch the SDK: {error.stderr.strip()[-500:]}")
        try:
            room.rename(target)
        except OSError:  # another run of the tests was faster
            if not target.exists():
                raise


@pytest.fixture(scope="session")
def run(service: Server, modules: Path) -> Run:
    """Runs the program in a mode, once; what each call of it said."""

    @cache
    def run_in(mode: Mode) -> Mapping[str, Any]:
        bucket = f"{new_name('node').replace('_', '-')[:30]}-{service.root_key.appid}"
        environment = {
            "PATH": os.environ["PATH"],
            "NODE_PATH": str(modules),
            "SDK_HOST": f"127.0.0.1:{service.port}",
            "SDK_MODE": mode,
            "SDK_BUCKET": bucket,
            "SDK_REGION": REGION,
            "SDK_SECRET_ID": service.root_key.secret_id,
            "SDK_SECRET_KEY": service.root_key.secret_key,
        }
        command = ["node", HERE / "calls.js"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
        said = {line["call"]: line for line in map(json.loads, done.stdout.splitlines())}
        return said | {"bucket": bucket, "complaints": done.stderr}

    return run_in


Check = Callable[[dict[str, Any], str], None]
CHECKS: dict[str, Check] = {}


def check(*names: str) -> Callable[[Check], Check]:
    """Note who looks at the replies of the calls of these names."""

    def note(look: Check) -> Check:
        CHECKS.update(dict.fromkeys(names, look))
        return look

    return note


@check(
    "putBucket",
    "headBucket",
    "deleteBucket",
    "deleteObject",
    "multipartAbort",
    "putBucketAcl",
    "putObjectAcl",
    "putBucketCors",
    "deleteBucketCors",
    "putBucketPolicy",
    "deleteBucketPolicy",
)
def _nothing_but_a_status(reply: dict[str, Any], bucket: str) -> None:
    assert reply["statusCode"] in (200, 204)


@check("getService")
def _buckets(reply: dict[str, Any], bucket: str) -> None:
    assert (bucket, REGION) in [(entry["Name"], entry["Location"]) for entry in reply["Buckets"]]


@check("putObject", "uploadFile")
def _etag(reply: dict[str, Any], bucket: str) -> None:
    assert reply["ETag"].startswith('"')
    assert "in/a b" in urllib.parse.unquote(reply["Location"]) or "program" in reply["Location"]


@check("multipartInit")
def _begun(reply: dict[str, Any], bucket: str) -> None:
    assert (reply["Bucket"], reply["Key"]) == (bucket, "parts/a b+中")
    assert len(reply["UploadId"]) == 77


@check("multipartUpload")
def _digest(reply: dict[str, Any], bucket: str) -> None:
    assert reply["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'


@check("multipartListPart")
def _parts(reply: dict[str, Any], bucket: str) -> None:
    assert [(part["PartNumber"], part["Size"]) for part in reply["Part"]] == [("2", "5")]
    assert reply["IsTruncated"] == "false"


@check("multipartList")
def _uploads(reply: dict[str, Any], bucket: str) -> None:
    assert [urllib.parse.unquote(entry["Key"]) for entry in reply["Upload"]] == ["parts/a b+中"]
    assert (reply["Prefix"], reply["IsTruncated"]) == ("parts/", "false")


@check("multipartComplete")
def _completed(reply: dict[str, Any], bucket: str) -> None:
    assert reply["ETag"].endswith('-1"')
    assert reply["headers"]["x-cos-hash-crc64ecma"] == "11177612005948864433"


@check("sliceUploadFile")
def _resumed(reply: dict[str, Any], bucket: str) -> None:
    assert reply["ETag"].endswith('-4"')
    assert (sorted(reply["sent"]), reply["whole"]) == ([1, 3, 4], True)


@check("uploadFiles")
def _all_files(reply: dict[str, Any], bucket: str) -> None:
    assert [file["error"] for file in reply["files"]] == [None, None]
    assert all(file["data"]["ETag"].endswith('-2"') for file in reply["files"])


@check("putObjectCopy")
def _copied(reply: dict[str, Any], bucket: str) -> None:
    assert reply["ETag"] == f'"{md5(COPIED).hexdigest()}"'
    assert reply["CRC64"] == str(crc64.xz(COPIED))
    assert reply["LastModified"].endswith("Z")


@check("uploadPartCopy")
def _copied_part(reply: dict[str, Any], bucket: str) -> None:
    assert reply["ETag"] == f'"{md5(b"abc").hexdigest()}"'


@check("sliceCopyFile")
def _copied_in_parts(reply: dict[str, Any], bucket: str) -> None:
    assert reply["ETag"].endswith('-4"')
    assert (reply["whole"], reply["meta"]) == (True, "v")


@check("getBucketLocation")
def _location(reply: dict[str, Any], bucket: str) -> None:
    assert reply["LocationConstraint"] == REGION


@check("getObjectUrl PUT")
def _put_by_url(reply: dict[str, Any], bucket: str) -> None:
    assert (reply["status"], reply["text"]) == (200, "")


@check("deleteMultipleObject")
def _deleted_at_once(reply: dict[str, Any], bucket: str) -> None:
    assert len(reply["Deleted"]) == 5
    assert reply["Error"] == []


@check("headObject")
def _head(reply: dict[str, Any], bucket: str) -> None:
    assert reply["headers"]["content-length"] == "5"
    assert reply["headers"]["x-cos-meta-k"] == "v"
    assert reply["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'


@check("getObject")
def _part(reply: dict[str, Any], bucket: str) -> None:
    assert reply["Body"] == "ell"
    assert reply["headers"]["content-range"] == "bytes 1-3/5"


@check("getBucket")
def _keys(reply: dict[str, Any], bucket: str) -> None:
    assert [urllib.parse.unquote(entry["Key"]) for entry in reply["Contents"]] == ["in/a b+中(1)!.txt"]
    assert reply["IsTruncated"] == "false"


@check("getBucketAcl")
def _public(reply: dict[str, Any], bucket: str) -> None:
    assert reply["ACL"] == "public-read"
    everybody, owner = reply["Grants"]
    assert everybody["Grantee"]["URI"].endswith("/AllUsers")
    assert (owner["Grantee"]["ID"], owner["Permission"]) == (reply["Owner"]["ID"], "FULL_CONTROL")


@check("getObjectAcl")
def _as_its_bucket(reply: dict[str, Any], bucket: str) -> None:
    assert reply["ACL"] == "default"
    assert len(reply["Grants"]) == 2


@check("getBucketCors")
def _rules(reply: dict[str, Any], bucket: str) -> None:
    (rule,) = reply["CORSRules"]
    assert (rule["AllowedOrigins"], rule["AllowedMethods"]) == (["https://*.example.org"], ["GET", "PUT"])
    assert (rule["AllowedHeaders"], rule["ExposeHeaders"], rule["MaxAgeSeconds"]) == (["*"], ["ETag"], "500")
    assert reply["ResponseVary"] == "true"


@check("getBucketPolicy")
def _policy(reply: dict[str, Any], bucket: str) -> None:
    (statement,) = reply["Policy"]["statement"]
    assert (statement["effect"], statement["action"]) == ("allow", ["name/cos:GetObject"])
    assert statement["resource"][0].endswith(f":{bucket}/open/*")


@check("optionsObject")
def _allowed(reply: dict[str, Any], bucket: str) -> None:
    assert reply["AccessControlAllowOrigin"] == "https://a.example.org"
    assert reply["AccessControlAllowHeaders"] == "authorization, x-cos-acl"
    assert (reply["AccessControlAllowMethods"], reply["AccessControlMaxAge"]) == ("GET, PUT", "500")


@check("getObjectUrl")
def _url(reply: dict[str, Any], bucket: str) -> None:
    assert reply == {"status": 200, "type": "text/plain", "text": "hello"}


@check("request createJob")
def _job(reply: dict[str, Any], bucket: str) -> None:
    job = reply["Response"]["JobsDetail"]
    assert (job["State"], job["Tag"]) == ("Pause", "NoiseReduction")
    assert job["Input"] == {"BucketId": bucket, "Object": "in/a b.wav", "Region": REGION}
    assert (job["Operation"]["UserData"], job["Operation"]["JobLevel"]) == ("ticket-42", "1")


@check("request describeJob")
def _two_jobs(reply: dict[str, Any], bucket: str) -> None:
    outputs = [job["Operation"]["Output"]["Object"] for job in reply["Response"]["JobsDetail"]]
    assert outputs == ["out/1.wav", "out/2.wav"]


@check("request listJobs")
def _page_of_jobs(reply: dict[str, Any], bucket: str) -> None:
    assert reply["Response"]["JobsDetail"]["Operation"]["Output"]["Object"] == "out/2.wav"
    assert reply["Response"]["NextToken"]


@check("request cancelJob")
def _empty(reply: dict[str, Any], bucket: str) -> None:
    assert reply["statusCode"] == 200
    assert reply["headers"]["content-length"] == "0"


@check("request createTemplate", "request updateTemplate")
def _template(reply: dict[str, Any], bucket: str) -> None:
    template = reply["Response"]["Template"]
    assert (template["Name"], template["BucketId"]) == ("模板_1", bucket)
    assert template["NoiseReduction"]["Format"] in ("mp3", "m4a")
    assert template["NoiseReduction"]["Samplerate"] == "48000"


@check("request describeTemplates")
def _templates(reply: dict[str, Any], bucket: str) -> None:
    assert reply["Response"]["TotalCount"] == "1"
    assert reply["Response"]["TemplateList"]["NoiseReduction"]["Format"] == "m4a"


@check("request deleteTemplate")
def _deleted(reply: dict[str, Any], bucket: str) -> None:
    assert reply["Response"]["TemplateId"].startswith("t1")


@check("request describeQueues")
def _queues(reply: dict[str, Any], bucket: str) -> None:
    queue = reply["Response"]["QueueList"]
    assert (queue["BucketId"], queue["Category"], queue["State"]) == (bucket, "Speeching", "Active")


@check("request updateQueue")
def _queue(reply: dict[str, Any], bucket: str) -> None:
    assert (reply["Response"]["Queue"]["Name"], reply["Response"]["Queue"]["State"]) == ("node", "Paused")


@check("request describeServices")
def _services(reply: dict[str, Any], bucket: str) -> None:
    assert reply["Response"]["AsrBucketList"]["BucketId"] == bucket


@check("request openService")
def _opened(reply: dict[str, Any], bucket: str) -> None:
    assert reply["Response"]["AsrBucket"]["BucketId"] == bucket


@check("request closeService")
def _closed(reply: dict[str, Any], bucket: str) -> None:
    assert reply["Response"]["BucketName"] == bucket


def test_every_call_has_a_check() -> None:
    """The table and the tests name the same calls."""
    assert {call.name for call in CALLS} == set(CHECKS)


def test_the_lock_file_names_no_registry() -> None:
    """The modules are known by their digests, wherever npm gets them."""
    packages = json.loads((HERE / "package-lock.json").read_text())["packages"]
    modules = [package for name, package in packages.items() if name]
    assert modules
    assert all(package["integrity"].startswith("sha512-") for package in modules)
    assert not [package for package in modules if "resolved" in package]


@pytest.mark.parametrize("mode", MODES[Sdk.NODE])
def test_keys(run: Run, mode: Mode) -> None:
    """Objects of keys of every kind are put, read, listed and deleted."""
    reply = run(mode)["keys"]["reply"]
    assert (reply["same"], reply["listed"], reply["left"]) == ([True] * len(reply["same"]), True, 0)


@pytest.mark.parametrize(
    ("call", "mode"),
    [pytest.param(call, mode, id=f"{call.name} {mode}") for call in CALLS for mode in call.modes if call.works(mode)],
)
def test_call(run: Run, call: Call, mode: Mode) -> None:
    """The call does what it is for."""
    said = run(mode)
    line = said.get(call.name, {"error": f"was not reached: {said['complaints']}"})
    assert "reply" in line, line["error"]
    CHECKS[call.name](line["reply"], said["bucket"])
