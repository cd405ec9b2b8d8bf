"""The receiver in docs/how-to/receive-callbacks.md runs, and tells genuine callbacks from others."""

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rows import NOW, job
from sordino.domain.callback import CallbackFormat, CallbackTarget
from sordino.domain.delivery import Delivery
from sordino.domain.job import JobState
from sordino.wire.callbacks import render_callback
from support import free_port

GUIDE = Path(__file__).resolve().parents[2] / "docs/how-to/receive-callbacks.md"
KEY = "s3cret"
JOB = job(state=JobState.FAILED, code="ResourceNotFound", ended_at=NOW)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Its URL and process."""
    script = tmp_path / "receiver.py"
    script.write_text(re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)[0])
    port = free_port()
    with subprocess.Popen(
        [sys.executable, script],
        env=os.environ | {"CALLBACK_SECRET": KEY, "PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield f"http://127.0.0.1:{port}/", process
        process.kill()


def post(url: str, *, at: datetime | None = None, key: str = KEY, change: bytes = b"") -> int:
    """Send a callback as the server would; the status."""
    target = CallbackTarget(url=url, format=CallbackFormat.JSON)
    delivery = Delivery(delivery_id="d1", job_id=JOB.job_id, target=target, created_at=NOW, attempts=1)
    callback = render_callback(JOB, delivery, at or datetime.now(UTC), key)
    callback = replace(callback, body=callback.body.replace(b"ResourceNotFound", change or b"ResourceNotFound"))
    request = urllib.request.Request(url, callback.body, dict(callback.headers), method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            with opener.open(request, timeout=10) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code
        except urllib.error.URLError:
            time.sleep(0.05)  # it does not listen yet


def test_receiver_of_the_guide(receiver: tuple[str, subprocess.Popen[str]]) -> None:
    """It takes what is signed and fresh, once, and refuses other keys, old times and changed bodies."""
    url, process = receiver
    assert post(url, key="other") == 403
    assert post(url, at=datetime.now(UTC) - timedelta(minutes=10)) == 403
    assert post(url, change=b"Success") == 403
    assert [post(url), post(url)] == [204, 204]
    process.terminate()
    assert process.communicate()[0] == "j1 Failed\n"
