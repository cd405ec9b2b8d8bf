"""The examples of the page on temporary keys do what they say."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from qcloud_cos import CosServiceError

from people import Key, People
from policies import allow
from server import REGION, Server
from support import clean_environment

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "use-temporary-keys.md"
TEXT = PAGE.read_text("utf-8")

Functions = Mapping[str, Callable[..., object]]


@pytest.fixture(scope="module")
def page() -> Functions:
    """The functions that the page defines."""
    names: dict[str, Callable[..., object]] = {}
    for text in re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
        exec(compile(text, PAGE.name, "exec"), names)
    return names


@pytest.fixture
def type_(service: Server, tmp_path: Path) -> Callable[..., str]:
    """Types a block of commands of the page as the operator does; what they print."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)

    def run(number: int, account: Key, **variables: str) -> str:
        text = re.sub(r"^(sordino admin .*)$", rf"\1 --account {account.appid}", blocks[number], flags=re.MULTILINE)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text.replace("AKID...", variables.pop("session", ""))],
            cwd=tmp_path,
            env=clean_environment(SORDINO_DATA=str(service.data), PATH=path, **variables),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def of(key: Key) -> dict[str, str]:
    """A key as the page has it."""
    return {"SecretId": key.secret_id, "SecretKey": key.secret_key}


def test_uploading(service: Server, people: People, page: Functions, type_: Callable[..., str]) -> None:
    """A user with the two presets hands a key out that uploads below its prefix, until the operator ends it."""
    owner = people.account()
    bucket, anna = people.bucket(owner), people.user(owner, name="anna")
    type_(0, owner)
    credential = page["upload_key"](service.url, of(anna), bucket, REGION, "phone/")
    client = page["client_of"](credential, REGION, Scheme="http", Proxies={"http": service.url})
    client.put_object(Bucket=bucket, Key="phone/a", Body=b"a")
    upload = client.create_multipart_upload(Bucket=bucket, Key="phone/b")["UploadId"]
    part = client.upload_part(Bucket=bucket, Key="phone/b", Body=b"b", PartNumber=1, UploadId=upload)
    parts = {"Part": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    client.complete_multipart_upload(Bucket=bucket, Key="phone/b", UploadId=upload, MultipartUpload=parts)
    for refused in (
        lambda: client.put_object(Bucket=bucket, Key="other/a", Body=b"a"),
        lambda: client.get_object(Bucket=bucket, Key="phone/a"),
    ):
        with pytest.raises(CosServiceError) as refusal:
            refused()
        assert refusal.value.get_error_code() == "AccessDenied"
    secret_id = credential["credentials"]["tmpSecretId"]
    assert secret_id in type_(2, owner, session=secret_id).replace("\n", "")
    with pytest.raises(CosServiceError) as refusal:
        client.put_object(Bucket=bucket, Key="phone/a", Body=b"a")
    assert refusal.value.get_error_code() == "InvalidAccessKeyId"


def test_a_role_of_another_account(service: Server, people: People, page: Functions, type_: Callable[..., str]) -> None:
    """The role that the page makes is taken by a user of the other account, and reads; a policy narrows it."""
    owner, other = people.account(), people.account()
    bucket = people.bucket(owner)
    for key in ("a", "b"):
        people.client(owner).put_object(Bucket=bucket, Key=key, Body=b"x")
    type_(1, owner, OTHER_UIN=other.uin)
    user = people.user(other, allow("sts:AssumeRole"))
    arn = f"qcs::cam::uin/{owner.uin}:roleName/archive"
    policy = {"version": "2.0", "statement": [allow("cos:GetObject", f"qcs::cos::uid/{owner.appid}:{bucket}/a")]}
    for narrow, readable in ((None, ["a", "b"]), (json.dumps(policy), ["a"])):
        got = page["take_role"](f"127.0.0.1:{service.port}", of(user), REGION, arn, narrow)
        taken = Key(appid=owner.appid, secret_id=got.TmpSecretId, secret_key=got.TmpSecretKey, token=got.Token)
        client = people.client(taken)
        for key in ("a", "b"):
            if key in readable:
                client.get_object(Bucket=bucket, Key=key)
            else:
                with pytest.raises(CosServiceError, match="AccessDenied"):
                    client.get_object(Bucket=bucket, Key=key)
