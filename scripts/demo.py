"""``make demo``: the main job end to end, by the official SDK, against a server of its own.

Bucket, upload, job, poll, download; then what the noise measured before and after, and a picture of both.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from qcloud_cos import CosClientError, CosS3Client, CosServiceError
from rich.console import Console
from rich.table import Table

import sordino
from comparison import RATE, SHORTEST_SECONDS, Findings, measure, table
from server import REGION, START_SECONDS, Server, ServerError, exit_on_sigterm, start_server
from sordino.bench.errors import BenchError
from sordino.bench.recording import sample_file
from spectrogram import draw

JOB_SECONDS: Final = 3600.0
ENDED: Final = ("Success", "Failed", "Cancel")


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


ABOUT: Final = (
    "a man counts from one to six in Arabic in a humming room; "
    "shipped by auditok 0.2.0, copyright Amine Sehili, MIT licence"
)


class Story:
    """Tells the steps on the terminal, readable also through a pipe."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._number = 0

    def step(self, title: str, text: str) -> None:
        """Tell a step that was done."""
        self._number += 1
        self._console.print(f"[dim]{self._number}[/] [bold]{title:<10}[/]", end="")
        self.say(text)

    def say(self, text: str = "") -> None:
        """Tell text as it is."""
        self._console.print(text, markup=False)

    def show(self, table: Table) -> None:
        """Show a table."""
        self._console.print(table, soft_wrap=False)


def main() -> int:
    """Run the demo; the exit status."""
    options = _options()
    exit_on_sigterm()
    try:
        source = options.input or sample_file()
        _check(source)
        options.output.mkdir(parents=True, exist_ok=True)
        _run(source, options.output, about=None if options.input else ABOUT)
    except KeyboardInterrupt:
        return 130
    except (DemoError, BenchError, OSError, sordino.MediaError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run Sordino's main job end to end with the official SDK.")
    parser.add_argument("--input", type=Path, help="audio or video file; without it, a recording that a wheel ships")
    parser.add_argument("--output", type=Path, default=Path("demo"), help="directory of the results (default: demo)")
    return parser.parse_args()


def _check(source: Path) -> None:
    if source.is_dir():
        raise DemoError(f"{source} is a directory. Name a file: make demo INPUT=file")
    if not source.is_file():
        raise DemoError(f"There is no file {source}. Name one: make demo INPUT=file")


def _run(source: Path, output: Path, about: str | None) -> None:
    story = Story()
    story.say(f"Recording: {source.name}" + (f" ({about})" if about else ""))
    noisy, clean = output / "noisy.wav", output / "clean.wav"
    with start_server() as server:
        try:
            seconds = _job(story, server, source, clean)
        except (CosClientError, CosServiceError, ServerError) as error:
            raise DemoError(f"{error}\nThe last lines of the server's log:\n{server.log_tail()}") from error
    story.step("Stop", "the server has stopped and its data are gone")
    # The same path with the engine that removes nothing: what the job heard, one channel at 16 kHz.
    sordino.denoise_file(source, noisy, rate=RATE, denoiser="off")
    before, after = measure(noisy), measure(clean)
    picture = output / "spectrograms.png"
    draw(picture, {f"Before: {before.caption}": before.samples, f"After: {after.caption}": after.samples}, RATE)
    _conclude(story, before, after, seconds)
    story.say("Listen and look: " + ", ".join(str(path) for path in (noisy, clean, picture)))


def _job(story: Story, server: Server, source: Path, target: Path) -> float:
    """The main job as a user's program runs it; the seconds from submission to Success."""
    began = time.monotonic()
    server.wait_until(server.ready, START_SECONDS, "being ready")
    story.step("Server", f"ready at {server.url} after {time.monotonic() - began:.1f} s")
    client, key = server.client(), server.root_key
    bucket, upload, result = f"demo-{key.appid}", f"noisy/{source.name}", f"clean/{source.stem}.wav"

    client.create_bucket(Bucket=bucket)
    story.step("Bucket", f"{bucket} in {REGION}")
    with source.open("rb") as body:
        etag = client.put_object(Bucket=bucket, Body=body, Key=upload)["ETag"]
    story.step("Upload", f"{upload}, {source.stat().st_size:,} bytes, ETag {etag}")
    began = time.monotonic()
    job_id = _submit(client, bucket, upload, result)
    story.step("Job", f"{job_id}: NoiseReduction to wav at {RATE} Hz")
    _await_success(story, server, client, bucket, job_id)
    seconds = time.monotonic() - began
    client.get_object(Bucket=bucket, Key=result)["Body"].get_stream_to_file(str(target))
    story.step("Download", f"{result}, {target.stat().st_size:,} bytes")
    return seconds


def _submit(client: CosS3Client, bucket: str, upload: str, result: str) -> str:
    job = {
        "Tag": "NoiseReduction",
        "Input": {"Object": upload},
        "Operation": {
            "NoiseReduction": {"Format": "wav", "SampleRate": str(RATE)},
            "Output": {"Region": REGION, "Bucket": bucket, "Object": result},
            "UserData": "make demo",
            "JobLevel": "0",
        },
    }
    reply = client.ci_create_media_jobs(Bucket=bucket, Jobs=job, Lst={}, ContentType="application/xml")
    return str(_details(reply)["JobId"])


def _await_success(story: Story, server: Server, client: CosS3Client, bucket: str, job_id: str) -> None:
    """Poll until the job has ended.

    Raises:
        DemoError: it has not succeeded.
        ServerError: the server has ended, or the job does not.
    """
    states: list[str] = []
    last: dict[str, Any] = {}

    def ended() -> bool:
        last.update(_details(client.ci_get_media_jobs(Bucket=bucket, JobIDs=job_id, ContentType="application/xml")))
        if last["State"] not in states:
            states.append(last["State"])
        return last["State"] in ENDED

    server.wait_until(ended, JOB_SECONDS, "the end of the job")
    if last["State"] != "Success":
        raise DemoError(f"The job ended as {last['State']}: {last['Code']}: {last['Message']}")
    story.step("Poll", " → ".join(states))


def _details(reply: dict[str, Any]) -> dict[str, Any]:
    """The one job of a reply; the SDK gives a list or, for a single element, what is in it."""
    details = reply["JobsDetail"]
    return dict(details[0] if isinstance(details, Sequence) else details)


def _conclude(story: Story, before: Findings, after: Findings, seconds: float) -> None:
    story.say()
    story.show(table(before, after))
    story.say()
    if before.seconds < SHORTEST_SECONDS:
        story.say(
            f"DNSMOS and the speed were left out: for less than {SHORTEST_SECONDS:g} s of sound they mean nothing."
        )
        return
    if before.quality.dnsmos is None:
        story.say("DNSMOS was left out: its model comes with the wheel speechmos, which `make setup` installs.")
    story.say(
        f"Speed: {before.seconds:.1f} s of sound in {seconds:.1f} s from submission to Success, "
        f"{before.seconds / seconds:.0f} times real time."
    )


if __name__ == "__main__":
    sys.exit(main())
