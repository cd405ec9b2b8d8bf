"""A careful client: it asks again when a request fails, and looks first whether the lost one was heard."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from qcloud_cos import CosClientError, CosS3Client, CosServiceError

from callback_sink import Receipt
from server import REGION, Server, ServerError

T = TypeVar("T")

SOURCE: Final = "in.flac"
MISSING: Final = "missing.flac"
TARGETS: Final = "out/"
PATIENCE_SECONDS: Final = 180.0
PAUSE_SECONDS: Final = 0.3
TIMEOUT_SECONDS: Final = 30
LATEST: Final = 50
"""Jobs to look through for one whose acceptance was not heard: it is among the latest."""

MANY: Final = 10
"""Jobs of one query."""


class Channel(Protocol):
    """A way in which ends of jobs are told.

    Attributes:
        name: what it is called in the figures.
    """

    name: str

    @property
    def elements(self) -> Mapping[str, object]:
        """What a job says to be told in this way."""

    def receipts(self) -> Sequence[Receipt]:
        """What was told so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A job that is wanted, and what must come of it.

    Attributes:
        source: key of its input; `MISSING` lets it fail.
    """

    number: int
    source: str
    channel: Channel

    @property
    def user_data(self) -> str:
        """What tells it from all others."""
        return f"chaos-{self.number}"

    @property
    def target(self) -> str:
        """Key of its output."""
        return f"{TARGETS}{self.number:05}.wav"

    @property
    def end(self) -> str:
        """The state it must end in."""
        return "Failed" if self.source == MISSING else "Success"


@dataclass(slots=True, kw_only=True)
class Customer:
    """The root account, over the official SDK.

    Attributes:
        asking: set while the server is asked to accept a job.
        usual: seconds that this takes of late.
        again: requests that were made again.
        found: jobs whose acceptance was not heard, and that were there.
    """

    server: Server
    bucket: str
    asking: threading.Event = field(default_factory=threading.Event)
    usual: float = 0.02
    again: int = 0
    found: int = 0
    _client: CosS3Client = field(init=False)

    def __post_init__(self) -> None:
        # The SDK's own retries send a job again without a look whether it was accepted, and it is then there twice.
        self._client = self.server.client(retry=0, Proxies={"http": self.server.url}, Timeout=TIMEOUT_SECONDS)

    def furnish(self, recording: bytes) -> None:
        """Make the bucket, and put the jobs' input into it."""
        self._client.create_bucket(Bucket=self.bucket)
        self._client.put_object(Bucket=self.bucket, Key=SOURCE, Body=recording)

    def submit(self, order: Order) -> str:
        """Have a job accepted, once; its id.

        Raises:
            ServerError: the server does not come back, or refuses it.
        """
        return self._insist(lambda: self._create(order), lambda: self._look_for(order))

    def details(self, job_ids: Sequence[str]) -> Mapping[str, dict[str, Any]]:
        """What the server shows of jobs, by id; those that it does not know are not there."""
        pages = [job_ids[start : start + MANY] for start in range(0, len(job_ids), MANY)]
        found = [self._insist(partial(self._details, page)) for page in pages]
        return {detail["JobId"]: detail for details in found for detail in details}

    def outputs(self) -> frozenset[str]:
        """Keys of the outputs that are there."""
        keys: set[str] = set()
        marker = ""
        while True:
            page = self._insist(partial(self._page, marker))
            keys |= {item["Key"] for item in page.get("Contents", [])}
            if page.get("IsTruncated") != "true":
                return frozenset(keys)
            marker = str(page["NextMarker"])

    def _page(self, marker: str) -> dict[str, Any]:
        return dict(self._client.list_objects(Bucket=self.bucket, Prefix=TARGETS, Marker=marker))

    def _details(self, job_ids: Sequence[str]) -> list[dict[str, Any]]:
        reply = self._client.ci_get_media_jobs(Bucket=self.bucket, JobIDs=",".join(job_ids))
        return list(reply.get("JobsDetail") or [])

    def _create(self, order: Order) -> str:
        job = {
            "Tag": "NoiseReduction",
            "Input": {"Object": order.source},
            "Operation": {
                "NoiseReduction": {"Format": "wav", "SampleRate": "16000"},
                "Output": {"Region": REGION, "Bucket": self.bucket, "Object": order.target},
                "UserData": order.user_data,
            },
            **order.channel.elements,
        }
        began = time.monotonic()
        self.asking.set()
        try:
            reply = self._client.ci_create_media_jobs(Bucket=self.bucket, Jobs=job, Lst={})
        finally:
            self.asking.clear()
        self.usual += (time.monotonic() - began - self.usual) / 4
        return str(reply["JobsDetail"][0]["JobId"])

    def _look_for(self, order: Order) -> str | None:
        reply = self._client.ci_list_media_jobs(Bucket=self.bucket, Tag="NoiseReduction", Size=LATEST)
        for detail in reply.get("JobsDetail") or []:
            if detail["Operation"].get("UserData") == order.user_data:
                self.found += 1
                return str(detail["JobId"])
        return None

    def _insist(self, ask: Callable[[], T], look: Callable[[], T | None] = lambda: None) -> T:
        """The answer of ``ask``; after a failure of ``look``, if it has one."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        attempt: Callable[[], T | None] = ask
        while True:
            try:
                answer = attempt()
            except (CosClientError, CosServiceError) as error:
                _check_passing(error)
                self.server.check()
                if time.monotonic() > deadline:
                    raise ServerError(f"The server stays away: {error}") from error
                self.again += 1
                attempt = look
                time.sleep(PAUSE_SECONDS)
                continue
            if answer is not None:
                return answer
            attempt = ask


def _check_passing(error: Exception) -> None:
    """Make sure that it is a failure that may pass, not a refusal.

    Raises:
        ServerError: it is one.
    """
    if isinstance(error, CosServiceError) and error.get_status_code() < 500:
        raise ServerError(f"The server refuses a request: {error}") from error
