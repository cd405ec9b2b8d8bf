"""What the use cases need of the world.

Every port has its adapters in ``sordino.adapters`` and one contract suite in tests/contract.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO, Protocol

from sordino.domain.acl import Acl
from sordino.domain.bucket import Bucket, Listing, Piece, StoredObject
from sordino.domain.callback import CallbackTarget
from sordino.domain.cam_ports import (
    AdminTokens,
    Allowances,
    AuditLog,
    Identities,
    Policies,
    Secrets,
    TemporaryKeys,
    Users,
)
from sordino.domain.cors import Cors
from sordino.domain.delivery import Callback, Delivery, DeliveryState, DueDelivery, LoggedDelivery, Receipt
from sordino.domain.job import Job, JobCursor, JobFilter, LostAttempt, MediaInfo, NoiseReduction, Order, Outcome
from sordino.domain.message import Found, Message, MessageQueue, QueueCounts, Search, Subscription, Topic
from sordino.domain.message import Receipt as MessageReceipt
from sordino.domain.mount import Mount, NewObject
from sordino.domain.page import Page, Paged
from sordino.domain.queue import Queue, QueueState
from sordino.domain.quota import Quota, Usage
from sordino.domain.release import Candidate, EngineLoad
from sordino.domain.service import Binding, BindingFilter, ServiceKind
from sordino.domain.template import Template
from sordino.domain.upload import MultipartUpload, Part, UploadListing


class Clock(Protocol):
    """The time of day."""

    def now(self) -> datetime:
        """The current time, timezone-aware, UTC."""
        ...


class Buckets(Protocol):
    """Buckets."""

    async def add(self, bucket: Bucket) -> bool:
        """Create the bucket; False when the name is taken."""
        ...

    async def get(self, name: str) -> Bucket | None:
        """The bucket of that full name, or None."""
        ...

    async def find(self, names: Sequence[str]) -> Mapping[str, Bucket]:
        """The buckets of these full names that there are, by name."""
        ...

    async def list(self, appid: str) -> Sequence[Bucket]:
        """The buckets of an account, by name."""
        ...

    async def count(self, appid: str) -> int:
        """How many buckets the account has; no other transaction counts them until this one ends."""
        ...

    async def every(self) -> Sequence[Bucket]:
        """The buckets of all accounts, by name."""
        ...

    async def limit(self, name: str, quota: Quota) -> None:
        """Set how much a bucket may hold. What it holds already stays."""
        ...

    async def keep_results(self, name: str, days: int | None) -> None:
        """Set how long a bucket keeps what jobs wrote, days; 0: for ever, None: as the server is set."""
        ...

    async def remove(self, name: str) -> bool:
        """Delete the bucket with its services, queues, templates and finished jobs.

        False when it still holds objects, uploads or unfinished jobs.
        """
        ...


class Bindings(Protocol):
    """The services that are open on buckets."""

    async def open(self, bucket: str, kind: ServiceKind, at: datetime, *, automatic: bool) -> bool:
        """Open a service; False when it is open already, unless it was so automatically and now is not."""
        ...

    async def close(self, bucket: str, kind: ServiceKind) -> bool:
        """Close a service; False when it is not open. Speech must have no queues any more."""
        ...

    async def is_open(self, bucket: str, kind: ServiceKind) -> bool:
        """Whether the service is open."""
        ...

    async def page(self, appid: str, kind: ServiceKind, wanted: BindingFilter, page: Page) -> Paged[Binding]:
        """A page of an account's buckets that the service is open on, by name."""
        ...


class Queues(Protocol):
    """The queues of buckets."""

    async def alone(self, bucket: str) -> None:
        """Keep others from holding, changing, adding or removing queues of the bucket until the transaction ends.

        It comes before whatever else the transaction locks, as do ``held`` and ``locked``.
        """
        ...

    async def add(self, queue: Queue) -> None:
        """Create a queue; the speech service of its bucket is open."""
        ...

    async def count(self, bucket: str) -> int:
        """How many queues the bucket has."""
        ...

    async def held(self, bucket: str, queue_id: str | None) -> Queue | None:
        """The queue, or the default one, kept from being changed or removed until the transaction ends; or None.

        Any number of transactions may hold a queue so.
        """
        ...

    async def locked(self, bucket: str, queue_id: str | None) -> Queue | None:
        """The queue, or the default one, for this transaction alone to change or remove; or None."""
        ...

    async def fill(self, queue_id: str) -> None:
        """Let no other transaction that says so, too, go on until this one ends."""
        ...

    async def find(self, bucket: str, queue_ids: Sequence[str]) -> Sequence[Queue]:
        """The queues of that bucket among ``queue_ids``, in the order asked."""
        ...

    async def page(self, bucket: str, state: QueueState | None, page: Page) -> Paged[Queue]:
        """A page of the bucket's queues, of one state if asked: the default one first, then by age."""
        ...

    async def put(self, queue: Queue) -> None:
        """Write what may change of a queue that exists: its settings, limits, weight and time of update."""
        ...

    async def remove(self, bucket: str, queue_id: str) -> None:
        """Delete a queue; its jobs, which have ended, stay."""
        ...

    async def clear(self, bucket: str) -> None:
        """Delete every queue of the bucket; their jobs, which have ended, stay."""
        ...


class Templates(Protocol):
    """The templates of buckets."""

    async def add(self, template: Template) -> bool:
        """Create a template; False when the bucket has one of that name."""
        ...

    async def count(self, bucket: str) -> int:
        """How many templates the bucket has; no other transaction adds or renames one until this one ends."""
        ...

    async def find(self, bucket: str, template_ids: Sequence[str]) -> Sequence[Template]:
        """The templates of that bucket among ``template_ids``, in the order asked."""
        ...

    async def page(self, bucket: str, prefix: str, page: Page) -> Paged[Template]:
        """A page of the bucket's templates whose names begin so, the newest first."""
        ...

    async def update(self, template: Template) -> bool | None:
        """Write name, order and time of update; None when there is no such template, False when the name is taken."""
        ...

    async def remove(self, bucket: str, template_id: str) -> bool:
        """Delete a template; False when there is none. Jobs keep what they were submitted with."""
        ...


class Objects(Protocol):
    """Rows of objects, and notes of the blobs that have none, for the sweep.

    A blob is noted from before its first byte is written until its object's row is, and again, in the same transaction,
    from when a call leaves it without a row. So whatever is killed when, no blob is without both row and note.
    """

    async def expect_blob(self, blob_id: str, until: datetime) -> None:
        """Note a blob without an object: ``put`` may give it one until ``until``, then the sweep may take it."""
        ...

    async def expect_blobs(self, blob_ids: Sequence[str], until: datetime) -> None:
        """The same of several, at once."""
        ...

    async def put(self, stored: StoredObject, pieces: Sequence[Piece] = (), *, overwrite: bool = True) -> None:
        """Insert or replace the object ``(bucket, key)`` and delete the notes of its blobs; the bucket exists.

        Args:
            stored: the object.
            pieces: as many as ``stored.pieces``; of one that has any, ``blob_id`` is no blob's.
            overwrite: whether another object may be replaced.

        Raises:
            BlobExpiredError: a blob was not expected, or no longer.
            ServiceError: FileAlreadyExists.
        """
        ...

    async def put_whole(self, stored: StoredObject) -> None:
        """The same of an object without pieces, which may replace another, in a single statement.

        Raises:
            BlobExpiredError: the blob was not expected, or no longer.
            ServiceError: NoSuchBucket, when the bucket was removed meanwhile.
        """
        ...

    async def get(self, bucket: str, key: str) -> StoredObject | None:
        """The object, or None."""
        ...

    async def pieces(self, blob_id: str) -> Sequence[Piece]:
        """The pieces of an object that has any, in their order.

        They are fewer than they should be once the object was replaced or deleted and ``take_unreferenced`` took some.
        """
        ...

    async def remove(self, bucket: str, key: str) -> bool:
        """Delete the object; False when there was none."""
        ...

    async def remove_many(self, bucket: str, keys: Sequence[str]) -> None:
        """Delete the objects of these keys that are there."""
        ...

    async def remove_results(self, now: datetime, default_days: int, limit: int) -> int:
        """Delete up to ``limit`` objects that jobs wrote longer ago than their buckets keep them; how many.

        Buckets that say nothing keep them for ``default_days``; 0: for ever. Those that another transaction holds are
        passed over.
        """
        ...

    async def list(self, bucket: str, *, prefix: str, delimiter: str, marker: str, limit: int) -> Listing:
        """A page of keys strictly after ``marker`` in UTF-8 byte order; keys sharing prefix..delimiter fold into one.

        ``limit`` (1-1000) counts objects and prefixes together; an empty ``delimiter`` folds nothing.
        """
        ...

    async def take_unreferenced(self, before: datetime, limit: int) -> Sequence[str]:
        """Take the notes of up to ``limit`` blobs without an object since before ``before``, oldest first.

        Remove the blobs before the commit: a rollback leaves the notes. ``expect_blob`` puts a single one back.
        """
        ...


class Usages(Protocol):
    """What buckets hold, counted by the transactions that change it."""

    async def of(self, bucket: str) -> Usage:
        """What the bucket holds."""
        ...

    async def all(self) -> Mapping[str, Usage]:
        """What each bucket holds that holds anything."""
        ...

    async def both(self, bucket: str) -> tuple[Usage, Usage]:
        """``of``, and the same found by reading the rows of all its objects and parts, at the same moment."""
        ...

    async def unfolded(self, limit: int) -> Sequence[str]:
        """Up to ``limit`` buckets whose count lies in many rows."""
        ...

    async def fold(self, bucket: str) -> int:
        """Make one row of the rows of a bucket's count; how many there were. Nobody waits for it, nor it for any."""
        ...


class Uploads(Protocol):
    """Multipart uploads that are under way, and their parts.

    The blob of a part is noted for the sweep as an object's is (``Objects``), until it belongs to the part; and again
    when the part is replaced, or is deleted without having become a piece of an object.
    """

    async def add(self, upload: MultipartUpload) -> None:
        """Begin an upload; the bucket exists."""
        ...

    async def get(self, upload_id: str) -> MultipartUpload | None:
        """The upload, or None when there is none, or none any more."""
        ...

    async def count(self, bucket: str, most: int) -> int:
        """How many uploads the bucket has, ``most`` at most."""
        ...

    async def held(self, upload_id: str) -> MultipartUpload | None:
        """The upload, kept from being completed or aborted until the transaction ends; any number may hold it so."""
        ...

    async def locked(self, upload_id: str) -> MultipartUpload | None:
        """The upload, for this transaction alone to complete or abort; or None."""
        ...

    async def put_part(self, upload_id: str, part: Part) -> None:
        """Insert or replace a part of an upload that is ``held``, and delete the note of its blob.

        Raises:
            BlobExpiredError: the blob was not expected, or no longer.
        """
        ...

    async def parts(self, upload_id: str, *, after: int = 0, limit: int) -> Sequence[Part]:
        """Up to ``limit`` parts with numbers above ``after``, by number."""
        ...

    async def page(
        self, bucket: str, *, prefix: str, delimiter: str, key_marker: str, upload_id_marker: str, limit: int
    ) -> UploadListing:
        """A page of the bucket's uploads, by key and id; keys sharing prefix..delimiter fold into one.

        It begins after ``key_marker``, or, when ``upload_id_marker`` is given, after that upload of the key.
        ``limit`` (1-1000) counts uploads and prefixes together; an empty ``delimiter`` folds nothing.
        """
        ...

    async def complete(
        self, upload_id: str, stored: StoredObject, numbers: Sequence[int], *, overwrite: bool = True
    ) -> None:
        """Make an object of the parts of these numbers, in their order, and end the upload, which is ``locked``.

        ``stored.blob_id`` is new, and ``stored.pieces`` the number of parts. Other parts are dropped.

        Raises:
            ServiceError: FileAlreadyExists, unless an object of the key may be replaced (``overwrite``).
        """
        ...

    async def remove(self, upload_id: str) -> bool:
        """End an upload and drop its parts; False when there is none."""
        ...

    async def remove_stale(self, before: datetime, limit: int) -> int:
        """End up to ``limit`` uploads begun before ``before``, oldest first; how many. Held ones are passed over."""
        ...


class Sharing(Protocol):
    """Who else may use buckets."""

    async def share_bucket(self, name: str, acl: Acl) -> bool:
        """Set a bucket's list; False when there is no such bucket."""
        ...

    async def share_object(self, bucket: str, key: str, acl: Acl) -> bool:
        """Set an object's list; False when there is no such object."""
        ...

    async def cors(self, name: str) -> Cors | None:
        """The rules of a bucket; None when it has none, or does not exist."""
        ...

    async def set_cors(self, name: str, cors: Cors | None) -> bool:
        """Set a bucket's rules, None: take them away; False when there is no such bucket."""
        ...


class MountRows(Protocol):
    """Rows of mounted buckets."""

    async def put(self, mount: Mount) -> None:
        """Insert or replace the mount of a bucket that exists."""
        ...

    async def get(self, bucket: str) -> Mount | None:
        """The mount of a bucket, or None."""
        ...

    async def list(self) -> Sequence[Mount]:
        """Every mount, by bucket."""
        ...


class Jobs(Protocol):
    """Rows of jobs. Every change of state obeys ``domain.job.TRANSITIONS``."""

    async def add(self, job: Job) -> None:
        """Insert a new job."""
        ...

    async def find(self, bucket: str, job_ids: Sequence[str]) -> Sequence[Job]:
        """The jobs of that bucket among ``job_ids``, in the order asked."""
        ...

    async def list(
        self, bucket: str, wanted: JobFilter, *, order: Order, after: JobCursor | None, limit: int
    ) -> Sequence[Job]:
        """Up to ``limit`` jobs of a bucket after ``after``, in ``order`` of their creation."""
        ...

    async def waiting(self, bucket: str, queue_id: str, limit: int) -> int:
        """How many jobs of a queue wait, paused ones too; ``limit`` when there are as many or more."""
        ...

    async def unfinished(self, bucket: str, queue_id: str | None = None) -> bool:
        """Whether the bucket, or one queue of it, has jobs that have not ended."""
        ...

    async def cancel(self, bucket: str, job_id: str, at: datetime) -> bool:
        """End a waiting job as cancelled; False (and nothing written) when there is none that waits."""
        ...

    async def get(self, job_id: str) -> Job | None:
        """The job, of whatever bucket."""
        ...

    async def stop(self, job_id: str, message: str, at: datetime) -> bool:
        """End a job as cancelled, a running one too; False (and nothing written) when none is to be ended."""
        ...

    async def pause(self, bucket: str, queue_id: str) -> int:
        """Pause the waiting jobs of a queue; how many there were."""
        ...

    async def resume(self, bucket: str, queue_id: str) -> int:
        """Let the paused jobs of a queue wait again, in their old order; how many there were."""
        ...

    async def start(self, job_id: str, release: int, at: datetime) -> Job | None:
        """Begin a new attempt of a job's latest release: state Running, attempt + 1, progress 0.

        None when it may not run: it has ended, waits, is unknown, or was released again since.
        """
        ...

    async def runs(self, job_id: str, attempt: int) -> bool:
        """Whether that attempt is the one running."""
        ...

    async def progress(self, job_id: str, attempt: int, percent: int) -> bool:
        """Note the progress (0-100) of a running attempt; False when that attempt is no longer the one running."""
        ...

    async def requeue(self, job_id: str, attempt: int) -> bool:
        """Put a running attempt back to Submitted, without a start time; False when it is no longer the one running.

        It stays released: its task runs it again.
        """
        ...

    async def fault(self, job_id: str, attempt: int) -> int | None:
        """Count a fault of the server against a running attempt; the faults so far, None when it no longer runs."""
        ...

    async def lose(self, job_id: str, release: int) -> LostAttempt | None:
        """Count the running attempt of that release as lost, once; None when none of it runs."""
        ...

    async def find_again(self, job_id: str, attempt: int) -> None:
        """Take an attempt that counted as lost for none: its worker lives."""
        ...

    async def finish(self, job_id: str, attempt: int, outcome: Outcome, at: datetime) -> bool:
        """End a running attempt; False (and nothing written) when it is no longer the one running."""
        ...

    async def unfinished_without_task(self, before: datetime, limit: int) -> Sequence[Job]:
        """Up to ``limit`` released jobs created before ``before``, oldest first, that no task would run."""
        ...

    async def remove_ended(self, before: datetime, limit: int) -> int:
        """Delete up to ``limit`` jobs that ended before ``before``, oldest first, with their deliveries; how many.

        Jobs that another transaction is changing are passed over.
        """
        ...


class Deliveries(Protocol):
    """Ends of jobs on their way to URLs and message queues."""

    async def add(self, job_id: str, target: CallbackTarget, at: datetime) -> None:
        """Have the end of a job told, from ``at`` on; a URL is http or https and has a host."""
        ...

    async def waiting(self, job_id: str) -> int:
        """How many deliveries of a job wait; who else asks waits until this transaction ends."""
        ...

    async def take(
        self, at: datetime, *, until: datetime, limit: int, per_host: int, per_account: int, held: Mapping[str, int]
    ) -> Sequence[DueDelivery]:
        """Begin the next try of deliveries that are due at ``at``.

        Accounts take turns, that with the fewest tries first. Of an account's deliveries first tries go before others,
        and hosts take turns; those of each host go in their order. If more wait than a look can consider, each comes
        into one sooner or later, whatever waits beside it.

        Nobody else takes them until ``until``, when a try that was not settled counts as lost.

        Args:
            at: now.
            until: when the try counts as lost.
            limit: tries to begin at most.
            per_host: tries that are under way to one host at most, or a few more when several ask at once.
            per_account: tries that an account has at most while another one has a delivery that could be taken.
            held: tries that the asking process has under way, by account.
        """
        ...

    async def settle(
        self,
        delivery: Delivery,
        outcome: Receipt | str,
        *,
        milliseconds: int,
        state: DeliveryState,
        next_at: datetime | None = None,
    ) -> bool:
        """Note how the try ``delivery.attempts`` ended, and what becomes of the delivery.

        Args:
            delivery: as it was taken.
            outcome: the reply, or why there was none.
            milliseconds: how long the try took.
            state: of the delivery now.
            next_at: when its next try is due, if it waits.

        Returns:
            False when the try counted as lost already: the delivery is then another's, and stays as it is.
        """
        ...

    async def of_job(self, job_id: str) -> Sequence[LoggedDelivery]:
        """The latest deliveries of a job, the last one first, each with its latest tries."""
        ...


class MessageQueues(Protocol):
    """Message queues of our own, and their messages."""

    async def add(self, queue: MessageQueue) -> bool:
        """Create a queue; False when the account has one of that name."""
        ...

    async def find(self, account: str, name: str) -> MessageQueue | None:
        """The account's queue of that name, or None."""
        ...

    async def held(self, queue_ids: Sequence[str]) -> Sequence[MessageQueue]:
        """The queues of these ids that are there; none of them ends before this transaction does."""
        ...

    async def page(self, account: str, search: Search) -> Found[MessageQueue]:
        """A page of the account's queues, by name."""
        ...

    async def put(self, queue: MessageQueue) -> None:
        """Write the attributes of a queue and its time of update."""
        ...

    async def remove(self, account: str, name: str) -> bool:
        """Delete a queue with its messages and subscriptions; False when there is none."""
        ...

    async def number(self, queue_id: str, limit: int) -> int:
        """How many messages the queue holds; ``limit`` when there are as many or more."""
        ...

    async def counts(self, queue: MessageQueue, at: datetime) -> QueueCounts:
        """How many messages of each kind there are."""
        ...

    async def send(
        self, queue_id: str, bodies: Sequence[str], at: datetime, delay: timedelta = timedelta()
    ) -> Sequence[int]:
        """Add messages to a queue that is held; their numbers."""
        ...

    async def receive(self, queue: MessageQueue, at: datetime, limit: int) -> Sequence[Message]:
        """Up to ``limit`` messages, those first that have been visible for longest, hidden from now on for a while."""
        ...

    async def delete(
        self, queue_id: str, receipts: Sequence[MessageReceipt], at: datetime
    ) -> Collection[MessageReceipt]:
        """Delete the messages that are hidden by these receipts; whose they were."""
        ...

    async def ready(self, wanted: Mapping[str, int], at: datetime) -> Mapping[str, int]:
        """How many messages can be received from each queue, up to the number wanted; those with none are left out."""
        ...

    async def forget(self, at: datetime, limit: int) -> int:
        """Delete up to ``limit`` messages that are kept no longer; how many."""
        ...


class MessageTopics(Protocol):
    """Topics of our own, and their subscriptions."""

    async def add(self, topic: Topic) -> bool:
        """Create a topic; False when the account has one of that name."""
        ...

    async def find(self, account: str, name: str) -> Topic | None:
        """The account's topic of that name, or None."""
        ...

    async def page(self, account: str, search: Search) -> Found[Topic]:
        """A page of the account's topics, by name."""
        ...

    async def put(self, topic: Topic) -> None:
        """Write the size of a topic's messages and its time of update."""
        ...

    async def remove(self, account: str, name: str) -> bool:
        """Delete a topic with its subscriptions; False when there is none."""
        ...

    async def subscribe(self, subscription: Subscription) -> bool:
        """Add a subscription; False when the topic has one of that name."""
        ...

    async def unsubscribe(self, topic_id: str, name: str) -> bool:
        """Delete a subscription; False when there is none."""
        ...

    async def subscriptions(self, topic_id: str, search: Search) -> Found[Subscription]:
        """A page of a topic's subscriptions, by name."""
        ...

    async def subscribed(self, topic_id: str) -> Sequence[str]:
        """The ids of the queues that get what is published, once for each subscription."""
        ...


class Tasks(Protocol):
    """The task engine's door: what is deferred here is committed with the rows of the same transaction."""

    async def run_job(self, job_id: str, release: int) -> None:
        """Have some worker run the job if that release is still its latest; the tasks that were first go first."""
        ...

    async def run_jobs(self, jobs: "Sequence[ReleasedJob]") -> None:
        """Have some workers run the jobs, the first one first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedJob:
    """A job that has just been released, and which of its releases this is."""

    job_id: str
    release: int


class Releases(Protocol):
    """The hand-over of waiting jobs to the task engine."""

    async def load(self, silence: float) -> EngineLoad:
        """How busy the engine is; workers without a sign of life for ``silence`` seconds count as dead."""
        ...

    async def turn(self, silence: float, most: int, max_concurrent: int) -> tuple[EngineLoad, Sequence[Candidate]]:
        """Wait until no other transaction has its turn, and keep it until this one ends.

        Jobs that are due for their next try are taken back from the engine first, and wait like all others.

        Returns:
            How busy the engine is then, as ``load`` tells it, and the queues that can give some of ``most`` jobs;
            ``max_concurrent`` holds for those without a limit.
        """
        ...

    async def release(self, shares: Mapping[str, int]) -> Sequence[ReleasedJob]:
        """Mark so many waiting jobs of each queue as released, the highest level first, then the oldest; which.

        Jobs that another transaction is changing are passed over.
        """
        ...


class Transaction(Protocol):
    """The repositories over one database transaction."""

    @property
    def identities(self) -> Identities:
        """Accounts and who signs for them."""
        ...

    @property
    def secrets(self) -> Secrets:
        """Secrets of every kind."""
        ...

    @property
    def users(self) -> Users:
        """Users, groups and keys."""
        ...

    @property
    def policies(self) -> Policies:
        """Policies and roles."""
        ...

    @property
    def temporary_keys(self) -> TemporaryKeys:
        """Keys that end by themselves."""
        ...

    @property
    def audit(self) -> AuditLog:
        """The audit log."""
        ...

    @property
    def allowances(self) -> Allowances:
        """What accounts have used of what they may."""
        ...

    @property
    def admin_tokens(self) -> AdminTokens:
        """Tokens of the admin API."""
        ...

    @property
    def buckets(self) -> Buckets:
        """Buckets."""
        ...

    @property
    def bindings(self) -> Bindings:
        """The services that are open on buckets."""
        ...

    @property
    def queues(self) -> Queues:
        """Queues."""
        ...

    @property
    def templates(self) -> Templates:
        """Templates."""
        ...

    @property
    def objects(self) -> Objects:
        """Objects."""
        ...

    @property
    def uploads(self) -> Uploads:
        """Multipart uploads."""
        ...

    @property
    def sharing(self) -> Sharing:
        """Who else may use buckets."""
        ...

    @property
    def mounts(self) -> MountRows:
        """Mounted buckets."""
        ...

    @property
    def jobs(self) -> Jobs:
        """Jobs."""
        ...

    @property
    def deliveries(self) -> Deliveries:
        """Callbacks on their way."""
        ...

    @property
    def message_queues(self) -> MessageQueues:
        """Message queues of our own."""
        ...

    @property
    def message_topics(self) -> MessageTopics:
        """Topics of our own."""
        ...

    @property
    def tasks(self) -> Tasks:
        """The task engine."""
        ...

    @property
    def releases(self) -> Releases:
        """The hand-over to it."""
        ...

    @property
    def usages(self) -> Usages:
        """What buckets hold."""
        ...


class DatabaseUnavailableError(Exception):
    """The database does not answer, or the connection broke; whether a commit under way happened is unknown."""


class Database(Protocol):
    """Opens transactions."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Commits when the block ends, rolls back when it raises.

        Raises:
            DatabaseUnavailableError: on entering, inside, or on leaving the block.
            ServiceError: QuotaExceeded, on leaving the block: what it did would leave a bucket with more than it may
                hold, and was rolled back.
        """
        ...

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        """For blocks that only read, and whose statements need not agree with each other; cheaper than a transaction.

        Raises:
            DatabaseUnavailableError: on entering, inside, or on leaving the block.
        """
        ...

    def statement(self) -> AbstractAsyncContextManager[Transaction]:
        """For blocks that write with a single statement, which is a transaction of its own; cheaper than another.

        Raises:
            DatabaseUnavailableError: on entering, inside, or on leaving the block.
            ServiceError: QuotaExceeded, as ``transaction``.
        """
        ...

    async def ready(self) -> bool:
        """Whether the database answers and its schema is this version's."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobDigest:
    """What was counted while a blob was written: bytes, hex MD5, CRC-64/XZ."""

    size: int
    md5: str
    crc64: int


@dataclass(frozen=True, slots=True)
class FileRun:
    """The bytes ``start`` to ``end`` (exclusive) of an open file, which whoever gets it closes."""

    file: BinaryIO
    start: int
    end: int


class Blobs(Protocol):
    """Bytes under ids that never repeat; a blob is whole or absent.

    Every call raises ``BlobStoreError`` when the store itself fails.
    """

    @property
    def are_files(self) -> bool:
        """Whether blobs are files of this machine, which ``open`` opens."""
        ...

    async def open(self, blob_id: str) -> BinaryIO:
        """A blob that is a file, open for reading; it stays whole while it is open, even if it is removed.

        Raises:
            BlobNotFoundError: there is no such blob.
        """
        ...

    async def put(self, blob_id: str, chunks: AsyncIterator[bytes]) -> BlobDigest:
        """Write a new blob; when ``chunks`` raises, nothing stays and the error passes through."""
        ...

    def get(self, blob_id: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes ``start`` to ``end`` (exclusive; None: the end) in chunks.

        Raises:
            BlobNotFoundError: there is no such blob.
        """
        ...

    async def copy(self, blob_id: str, new_id: str) -> None:
        """Write a new blob of the same bytes, without their passing through this process where the store can do it.

        Raises:
            BlobNotFoundError: there is no such blob.
        """
        ...

    async def remove(self, blob_id: str) -> None:
        """Delete the blob; quiet when it is gone already."""
        ...

    async def remove_unfinished(self, before: datetime) -> int:
        """Delete what writers left that were killed, and touched last before ``before``; how much there was."""
        ...


class MountedBucket(Protocol):
    """A bucket of another store, whose objects have no rows of ours.

    Calls raise ``MountedStoreError`` when the store does not answer, and ``ServiceError`` AccessDenied or NoSuchBucket
    when it refuses: that is no fault of this server's, nor of its client's.
    """

    async def head(self, key: str) -> StoredObject:
        """What is known of an object.

        Raises:
            ServiceError: NoSuchKey.
        """
        ...

    def read(self, stored: StoredObject, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes ``start`` to ``end`` (exclusive) of an object that is the same as it was then.

        Raises:
            BlobNotFoundError: it was replaced or deleted since.
        """
        ...

    async def put(self, new: NewObject, chunks: AsyncIterator[bytes]) -> StoredObject:
        """Write an object; it is there whole or not at all, and when ``chunks`` raises, nothing stays.

        Raises:
            ServiceError: BadDigest when the bytes are not those of ``new.md5``, EntityTooLarge.
        """
        ...

    async def remove(self, key: str) -> None:
        """Delete the object; quiet when there is none."""
        ...

    async def copy(self, source: StoredObject, new: NewObject) -> StoredObject:
        """Write the bytes of an object of this bucket under another key, or its own, without their coming here.

        Raises:
            ServiceError: NoSuchCopySource when the source is no longer as it was, EntityTooLarge.
        """
        ...

    async def list(self, *, prefix: str, delimiter: str, marker: str, limit: int) -> Listing:
        """As ``Objects.list``, in the store's order, and without the CRC, headers and metadata of objects."""
        ...


class Mounts(Protocol):
    """The way to mounted buckets."""

    async def open(self, bucket: Bucket) -> MountedBucket:
        """The bucket where its objects lie.

        Raises:
            ServiceError: NoSuchBucket: it is not mounted any more.
            BlobStoreError: its secret cannot be read here.
        """
        ...


class VaultError(Exception):
    """A secret cannot be sealed or opened here; the message says why and what to do."""


class Vault(Protocol):
    """Keeps secrets of the database from whoever has the database alone."""

    def seal(self, secret: str) -> str:
        """Encrypt.

        Raises:
            VaultError: there is no key, and none can be made.
        """
        ...

    def open(self, sealed: str) -> str:
        """Decrypt.

        Raises:
            VaultError: it was sealed with a key that is not here.
        """
        ...

    def is_newest(self, sealed: str) -> bool:
        """Whether it was sealed with the key that seals now.

        Raises:
            VaultError: there is no key.
        """
        ...


class BlobNotFoundError(Exception):
    """The blob store has no blob of that id."""


class BlobStoreError(Exception):
    """The blob store does not answer, refuses, or has no room: all that may pass. It may have done what was asked."""


class BlobStoreFullError(BlobStoreError):
    """The blob store has no room; nothing was written."""


class MountedStoreError(BlobStoreError):
    """The same of the store that a bucket is mounted on, which is not the server's."""


class BlobExpiredError(Exception):
    """An object's row came too late, or its blob was never announced: the bytes are gone, or going."""


class MediaFailedError(Exception):
    """The input's own fault: the job ends as Failed with this protocol code and message, and is not tried again."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaResult:
    """What the media process made, with a note for the job's Message (empty: nothing to say)."""

    info: MediaInfo
    note: str = ""


class Media(Protocol):
    """The sound path: decode, denoise, resample, encode, in a process of its own."""

    async def denoise(
        self, source: BinaryIO, target: BinaryIO, order: NoiseReduction, on_progress: Callable[[int], None]
    ) -> MediaResult:
        """Read ``source``, write ``target``; ``on_progress`` gets whole percents, rising.

        Both are open files with descriptors, and need no name. ``source`` is read from its beginning, wherever its
        offset is; ``target`` is empty and open for reading and writing. Afterwards their offsets are anywhere.
        Cancelling the call kills the process.

        Raises:
            MediaFailedError: the input cannot be processed; trying again would not help.
        """
        ...


class CallbackFailedError(Exception):
    """The receiver gave no reply, or may not be called; the message says why, and names nothing of our network."""


class Sender(Protocol):
    """A way to the receivers of callbacks."""

    async def send(self, callback: Callback) -> Receipt:
        """Send a callback, once.

        Raises:
            CallbackFailedError: there was no reply in time, or the receiver may not be called.
        """
        ...
