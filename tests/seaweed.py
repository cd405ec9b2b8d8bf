"""An S3 server of one's own: SeaweedFS, from its wheel, in a directory that goes with it."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import obstore
from obstore.store import S3Store

from sordino.adapters.s3_client import S3Client
from sordino.domain.mount import parse_location
from support import free_port, new_name

START_SECONDS: Final = 60.0
ACCESS_KEY_ID: Final = "a-test"
SECRET: Final = "kept by the test alone"
READER: Final = "a-reader"
"""A key of the same secret that may read and list, and not write."""

_IDENTITIES: Final = {
    "identities": [
        {
            "name": name,
            "credentials": [{"accessKey": name, "secretKey": SECRET}],
            "actions": actions,
        }
        for name, actions in ((ACCESS_KEY_ID, ["Admin"]), (READER, ["Read", "List"]))
    ]
}
# Whatever kills the tests takes the server along, where there is such a program (util-linux).
_WITH_US: Final = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
_PORTS: Final = (
    "-master.port",
    "-master.port.grpc",
    "-volume.port",
    "-volume.port.grpc",
    "-filer.port",
    "-filer.port.grpc",
    "-s3.port.grpc",
)


def program() -> Path | None:
    """The program of the wheel, or None when it is not installed."""
    found = shutil.which("weed", path=str(Path(sys.executable).parent))
    return Path(found) if found else None


@dataclass(frozen=True, slots=True)
class S3Server:
    """A server that runs."""

    port: int
    process: subprocess.Popen[bytes]
    access_key_id: str = ACCESS_KEY_ID
    reader_key_id: str = READER
    secret: str = SECRET

    @property
    def endpoint(self) -> str:
        """Its address; requests are path-style."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a store of ``s3://...`` is this server's."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    def new_bucket(self) -> str:
        """A bucket that nobody else uses, empty."""
        name = new_name("b").replace("_", "-")
        store = self.store(name)
        # It makes the bucket of the first object that is put.
        obstore.put(store, "first", b"")
        obstore.delete(store, "first")
        return name

    async def unfinished(self, bucket: str) -> int:
        """How many uploads in parts there are that were neither completed nor aborted."""
        location = parse_location(f"s3://{bucket}", self.endpoint)
        async with aclosing(S3Client.open(location, self.access_key_id, self.secret)) as client:
            reply = await client.send("GET", None, query={"uploads": ""})
        return reply.body.count(b"<UploadId>")

    def store(self, bucket: str) -> S3Store:
        """A bucket, seen past everything under test."""
        return S3Store(
            bucket,
            endpoint=self.endpoint,
            access_key_id=ACCESS_KEY_ID,
            secret_access_key=SECRET,
            region="us-east-1",
            client_options={"allow_http": True},
        )


@contextmanager
def running(weed: Path) -> Iterator[S3Server]:
    """Run it with an empty store, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="seaweed-", ignore_cleanup_errors=True) as name:
        room = Path(name)
        (room / "identities.json").write_text(json.dumps(_IDENTITIES))
        (room / "data").mkdir()
        port = free_port()
        ports = [f"{option}={free_port()}" for option in _PORTS]
        with (room / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *_WITH_US,
                    weed,
                    f"-logdir={room}",
                    "server",
                    f"-dir={room / 'data'}",
                    "-ip=127.0.0.1",
                    "-ip.bind=127.0.0.1",
                    "-master.telemetry=false",
                    "-master.volumeSizeLimitMB=64",
                    "-volume.max=10000",
                    "-filer",
                    "-s3",
                    f"-s3.port={port}",
                    f"-s3.config={room / 'identities.json'}",
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    "-s3.iam=false",
                    *ports,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=room,
                start_new_session=True,
            )
        try:
            server = S3Server(port, process)
            _wait(server, room / "log")
            yield server
        finally:
            process.kill()
            process.wait()


def _wait(server: S3Server, log: Path) -> None:
    """Return once it keeps a bucket; the last of its parts to come is the one that keeps bytes."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            _NO_PROXY.open(f"{server.endpoint}/healthz", timeout=2).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"SeaweedFS does not start:\n{log.read_text(errors='replace')[-4000:]}")


_NO_PROXY: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
