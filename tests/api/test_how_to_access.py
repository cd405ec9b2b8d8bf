"""The commands of the page on access do what it says, one after the other, in a service of their own."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from qcloud_cos import CosS3Client, CosServiceError

from people import Key, People
from server import Server, new_room
from support import clean_environment, job_body, start_service, wait_for_jobs

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "give-others-access.md"
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
LOOK, ORDER, ROLE, ELSEWHERE, OFFICE, LOG, SIMULATE, CHANGE = range(len(BLOCKS))


@dataclass(frozen=True, slots=True)
class Desk:
    """Where an operator types: beside a service, in a directory of his own."""

    service: Server
    directory: Path
    variables: Mapping[str, str]

    def type(self, block: int | str) -> str:
        """Run a block of the page, or a command; what it prints. Any command that fails ends it."""
        text = BLOCKS[block] if isinstance(block, int) else block
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.directory,
            env=clean_environment(**self.variables),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def client(self, secret_id: str, secret_key: str) -> CosS3Client:
        """The SDK with a key."""
        key = Key(appid=self.variables["APPID"], secret_id=secret_id, secret_key=secret_key)
        return People(self.service).client(key)

    def keys(self, printed: str) -> CosS3Client:
        """The SDK with the key that a command printed."""
        found = dict(re.findall(r"^(secret id|secret key) +(\S+)$", printed, re.MULTILINE))
        return self.client(found["secret id"], found["secret key"])


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A service with two accounts, a bucket each, and the variables that the page uses."""
    with new_room() as room:
        service = start_service(room / "data")
        people = People(service)
        other = people.account()
        root = service.root_key
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        (uin,) = re.findall(r"^SORDINO_UIN=(\d+)$", (service.data / "root-key.env").read_text(), re.MULTILINE)
        service.client().create_bucket(Bucket=f"music-{root.appid}")
        people.client(other).create_bucket(Bucket=f"results-{other.appid}")
        variables = {
            "SORDINO_DATA": str(service.data),
            "APPID": root.appid,
            "UIN": uin,
            "OTHER": other.appid,
            "PATH": path,
        }
        yield Desk(service, tmp_path_factory.mktemp("desk"), variables)
        assert service.stop() == 0, service.log_tail(60)


def refused(call: Callable[[], object]) -> str:
    """The code with which the service refuses."""
    with pytest.raises(CosServiceError) as caught:
        call()
    return str(caught.value.get_error_code())


def test_the_page(desk: Desk, recording: bytes) -> None:
    """Whoever follows it gets what each section promises."""
    appid, other = desk.variables["APPID"], desk.variables["OTHER"]
    bucket, root = f"music-{appid}", desk.service.client()
    root.put_object(Bucket=bucket, Key="other/a.wav", Body=recording)

    # With two accounts each command says which is meant; the page begins with one.
    def mine(block: int) -> str:
        return re.sub(
            r"^(sordino admin (?:user|key|policy|group) (?!.*--account).*)$",
            rf"\1 --account {appid}",
            BLOCKS[block],
            flags=re.MULTILINE,
        )

    anna = desk.keys(desk.type(mine(LOOK)))
    assert [item["Key"] for item in anna.list_objects(Bucket=bucket)["Contents"]] == ["other/a.wav"]
    assert refused(lambda: anna.put_object(Bucket=bucket, Key="b", Body=b"b")) == "AccessDenied"

    studio = desk.keys(desk.type(mine(ORDER)))
    studio.put_object(Bucket=bucket, Key="in/a.wav", Body=recording)
    assert refused(lambda: studio.get_object(Bucket=bucket, Key="other/a.wav")) == "AccessDenied"

    def order(source: str, target: str, target_bucket: str = bucket) -> Mapping[str, object]:
        made = studio.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(target_bucket, target, source), Lst={})
        (job,) = wait_for_jobs(root, bucket, [made["JobsDetail"][0]["JobId"]]).values()
        return job

    assert order("in/a.wav", "clean/a.wav")["State"] == "Success"
    assert studio.get_object(Bucket=bucket, Key="clean/a.wav")["Content-Type"] == "audio/wav"
    assert order("other/a.wav", "clean/b.wav")["State"] == "Success"

    desk.type(mine(ROLE))
    assert order("in/a.wav", "clean/c.wav")["State"] == "Success"
    assert order("other/a.wav", "clean/d.wav")["Code"] == "ResourceAccessDenied"
    assert order("in/a.wav", "other/e.wav")["Code"] == "WriteTargetBucketDenied"

    results = f"results-{other}"
    assert order("in/a.wav", "f.wav", results)["Code"] == "WriteTargetBucketDenied"
    desk.type(ELSEWHERE)
    assert order("in/a.wav", "f.wav", results)["State"] == "Success"

    desk.type(OFFICE)
    assert root.head_object(Bucket=bucket, Key="in/a.wav")

    assert "cos:PutObject" in desk.type(LOG)
    assert desk.type(SIMULATE).startswith("allowed: ")

    desk.type(CHANGE)
    assert refused(lambda: anna.list_objects(Bucket=bucket)) == "InvalidAccessKeyId"
