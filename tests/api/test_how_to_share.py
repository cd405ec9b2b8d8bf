"""The examples of the pages on sharing objects and on browsers do what they say."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import requests

from server import Server

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to"
PAGE = "https://app.example"

Functions = Mapping[str, Callable[..., object]]


@pytest.fixture(scope="module")
def pages() -> Functions:
    """The functions that the pages define."""
    names: dict[str, Callable[..., object]] = {}
    for name in ("share-objects.md", "use-from-a-browser.md"):
        for text in re.findall(r"^```python\n(.*?)^```$", (HOW_TO / name).read_text("utf-8"), re.MULTILINE | re.DOTALL):
            exec(compile(text, name, "exec"), names)
    return names


def test_publishing(service: Server, new_bucket: Callable[[], str], pages: Functions) -> None:
    """An object is opened to everybody at its plain address, and closed again."""
    client, bucket = service.client(), new_bucket()
    address = f"{service.url}/{bucket}/talk.wav"
    pages["publish"](client, bucket, "talk.wav", b"hello")
    reply = requests.get(address, timeout=30)
    assert (reply.content, reply.headers["Content-Type"]) == (b"hello", "audio/wav")
    pages["unpublish"](client, bucket, "talk.wav")
    assert requests.get(address, timeout=30).status_code == 403


def test_publishing_a_bucket(service: Server, new_bucket: Callable[[], str], pages: Functions) -> None:
    """Objects that say nothing are open with their bucket."""
    client, bucket = service.client(), new_bucket()
    client.put_object(Bucket=bucket, Key="k", Body=b"hello")
    pages["publish_all"](client, bucket)
    assert requests.get(f"{service.url}/{bucket}/k", timeout=30).content == b"hello"


def test_a_page_uploads_and_downloads(service: Server, new_bucket: Callable[[], str], pages: Functions) -> None:
    """With a rule and signed URLs a browser's requests, preflight included, go through, and the page sees the ETag."""
    bucket = new_bucket()
    client = service.client(Domain=f"127.0.0.1:{service.port}/{bucket}")
    pages["allow_page"](client, bucket, PAGE)
    put, get = (str(pages[name](client, bucket, "talk.wav")) for name in ("upload_url", "download_url"))
    asks = {"Origin": PAGE, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type"}
    preflight = requests.options(put, headers=asks, timeout=30)
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Headers"] == "content-type"
    uploaded = requests.put(put, data=b"hello", headers={"Origin": PAGE, "Content-Type": "audio/wav"}, timeout=30)
    assert {"etag", "x-cos-request-id"} <= set(uploaded.headers["Access-Control-Expose-Headers"].split(", "))
    downloaded = requests.get(get, headers={"Origin": PAGE}, timeout=30)
    assert downloaded.content == b"hello"
    assert downloaded.headers["Access-Control-Allow-Origin"] == PAGE
