"""The commands of the page on the admin API do what it says, one after the other, in a service of their own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from qcloud_cos import CosServiceError

from admin_http import Admin
from people import Key, People
from server import Server, new_room
from support import clean_environment, start_service

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "use-the-admin-api.md"
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_page(tmp_path: Path) -> None:
    """A customer is made with a user who may read and nothing else, and the log tells of it."""
    with new_room() as room:
        service = start_service(room / "data", SORDINO_ADMIN_PORT="0", SORDINO_WORKERS="1")
        try:
            replies = _typed(service, tmp_path)
            _check_anna(service, tmp_path)
        finally:
            assert service.stop() == 0, service.log_tail(60)
    assert [account["name"] for account in replies[0]] == [""]
    (simulated,) = [reply for reply in replies if "allowed" in reply]
    assert (simulated["allowed"], simulated["effect"]) == (False, "none")
    actions = [entry["action"] for entry in replies[-1]["entries"]]
    assert actions == [
        "cam:CreateAccessKey",
        "cam:AttachUserPolicy",
        "cam:PutPolicy",
        "cam:AddUser",
        "sordino:UpdateAccount",
        "sordino:UpdateAccount",
        "sordino:CreateAccount",
    ]


def _typed(service: Server, directory: Path) -> list[dict[str, object]]:
    """What the page's blocks print, in one shell; any command that fails ends it."""
    environment = clean_environment(
        SORDINO_DATA=str(service.data),
        APPID=service.root_key.appid,
        ADMIN_PORT=Admin(service, None).url.rpartition(":")[2],
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        no_proxy="127.0.0.1",
    )
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(BLOCKS)],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found, decoder, text = [], json.JSONDecoder(), result.stdout
    for start in re.finditer(r"[\[{]", text):
        if found and start.start() < found[-1][1]:
            continue
        try:
            value, end = decoder.raw_decode(text, start.start())
        except ValueError:
            continue
        found.append((value, end))
    return [value for value, _ in found]


def _check_anna(service: Server, directory: Path) -> None:
    account, key = (json.loads((directory / name).read_text()) for name in ("choir.json", "anna.json"))
    people, appid = People(service), account["account"]["appid"]
    root, anna = (Key(appid=appid, **pair) for pair in (account["key"], key))
    bucket = people.bucket(root, "music")
    people.client(root).put_object(Bucket=bucket, Key="a", Body=b"abc")
    people.client(anna).get_object(Bucket=bucket, Key="a")
    with pytest.raises(CosServiceError, match="AccessDenied"):
        people.client(anna).put_object(Bucket=bucket, Key="a", Body=b"abc")
