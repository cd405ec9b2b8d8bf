"""Measure the memory of the API while objects go in and out, small ones beside large ones: it must not grow with them.

Usage: python scripts/store_memory.py [--megabytes 64 --megabytes 2048]

For each size a server of its own takes an object in one piece, then one in parts of 16 MB, and gives the latter back.
The bytes are made as they are sent, and compared by their CRC-64. After each step the peak of the API's resident memory
is read, which grows from step to step or stays. The last line is one JSON object: peaks in megabytes, by size.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from fastcrc import crc64
from qcloud_cos import CosS3Client

from server import START_SECONDS, Server, ServerError, exit_on_sigterm, launch, new_room

MEGABYTE: Final = 2**20
PART: Final = 16 * MEGABYTE
BLOCK: Final = bytes(range(256)) * 4096
"""A megabyte."""

SETTINGS: Final = {"SORDINO_WORKERS": "1", "SORDINO_LOG_FORMAT": "text"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """Most resident memory of the API, MB: of the idle one, and after each step."""

    idle: float
    put: float
    parts: float
    get: float

    @property
    def grown(self) -> float:
        """By how much it grew in all."""
        return self.get - self.idle


class Generated:
    """A body of so many bytes that are made as they are read; ``len`` tells HTTP clients how many are left."""

    def __init__(self, size: int) -> None:
        self.len = size

    def read(self, size: int = -1) -> bytes:
        """Up to so many of the bytes."""
        wanted = min(self.len, len(BLOCK) if size < 0 else size)
        self.len -= wanted
        return BLOCK[:wanted]

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read():
            yield block


def measure(room: Path, size: int) -> Peaks:
    """The peaks of a new server with objects of so many bytes.

    Raises:
        ServerError: bytes came back that were not sent.
    """
    server = launch(room / "data", SETTINGS)
    try:
        server.wait_until(server.ready, START_SECONDS, "being ready")
        client, bucket = server.client(retry=0), f"memory-{server.root_key.appid}"
        client.create_bucket(Bucket=bucket)
        idle = _peak(server)
        client.put_object(Bucket=bucket, Key="whole", Body=Generated(size))
        put = _peak(server)
        sent = _put_in_parts(client, bucket, size)
        parts = _peak(server)
        if _received(client, bucket, "parts") != sent:
            raise ServerError("The bytes that came back are not those that were sent.")
        return Peaks(idle=idle, put=put, parts=parts, get=_peak(server))
    finally:
        server.stop()


def _put_in_parts(client: CosS3Client, bucket: str, size: int) -> int:
    """Upload in parts; the CRC-64 of all."""
    upload_id = client.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    parts, crc = [], crc64.xz(b"")
    for number, start in enumerate(range(0, size, PART), 1):
        length = min(PART, size - start)
        reply = client.upload_part(
            Bucket=bucket, Key="parts", Body=Generated(length), PartNumber=number, UploadId=upload_id
        )
        parts.append({"PartNumber": number, "ETag": reply["ETag"]})
        for block in Generated(length):
            crc = crc64.xz(block, crc)
    client.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload_id, MultipartUpload={"Part": parts})
    return crc


def _received(client: CosS3Client, bucket: str, key: str) -> int:
    """The CRC-64 of what comes back."""
    crc = crc64.xz(b"")
    for block in client.get_object(Bucket=bucket, Key=key)["Body"].get_stream(MEGABYTE):
        crc = crc64.xz(block, crc)
    return crc


def _peak(server: Server) -> float:
    """Most memory that its API has had so far, MB."""
    (api,) = server.api
    lines = Path(f"/proc/{api}/status").read_text().splitlines()
    (told,) = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(told) / 1024


def _parse(arguments: Sequence[str] | None = None) -> Sequence[int]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=int, action="append", help="size of an object; repeatable (64 and 2048)")
    return parser.parse_args(arguments).megabytes or [64, 2048]


def main() -> int:
    """Measure each size."""
    exit_on_sigterm()
    found = {}
    for megabytes in _parse():
        with new_room() as room:
            peaks = measure(room, megabytes * MEGABYTE)
        found[megabytes] = asdict(peaks)
        told = "  ".join(f"{name} {peak:6.1f}" for name, peak in asdict(peaks).items())
        print(f"{megabytes:6} MB  {told}")
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
