"""The commands of the page on limits do what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

from people import People
from server import Server
from support import clean_environment

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "limit-accounts.md"
LIMIT, PROXIES, LOG = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_page(service: Server) -> None:
    """An account and its key are limited, and the log tells of it and of nobody else."""
    key = People(service).account()
    environment = clean_environment(
        SORDINO_DATA=str(service.data),
        APPID=key.appid,
        SECRET_ID=key.secret_id,
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    )
    # Read by `sordino serve`, and not by what follows.
    assert PROXIES.startswith("export SORDINO_TRUSTED_PROXIES=")
    told = []
    for text in (LIMIT, LOG, "sordino admin audit --account $APPID --limit 9"):
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        told.append(result.stdout)
    assert key.appid in told[0]
    assert [line.split()[5] for line in told[2].splitlines()[1:]] == [
        "cam:UpdateAccessKey",
        "sordino:UpdateAccount",
        "sordino:UpdateAccount",
    ]
