"""What a worker does with a job: fetch; decode, denoise, resample, encode (the media process); store; finish.

Exactly one result: every attempt has a number, and the output's row and the job's end are written in one transaction
that only the latest attempt may make. A worker killed at any step leaves a job that another worker begins anew. To a
mounted bucket, whose objects no transaction of ours makes visible, the attempt that still has the job writes the output
before it ends it; whoever runs the job again writes the same object (docs/decisions/0017-mounts.md).
"""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import BinaryIO, Final, NoReturn, TypeVar

import structlog

from sordino import errors
from sordino.domain.bucket import Bucket, StoredObject
from sordino.domain.job import AudioFormat, Job, JobState, MediaInfo, Outcome
from sordino.domain.ports import (
    BlobNotFoundError,
    BlobStoreError,
    Clock,
    Database,
    DatabaseUnavailableError,
    Media,
    MediaFailedError,
    MediaResult,
    Transaction,
)
from sordino.errors import ServiceError
from sordino.jobs.access import access_of, tell_gift, tell_refusal
from sordino.jobs.allowances import count_audio
from sordino.jobs.callbacks import announce
from sordino.storage.objects import ObjectStore, Upload

log = structlog.get_logger(__name__)

T = TypeVar("T")

CONTENT_TYPES = {
    AudioFormat.WAV: "audio/wav",
    AudioFormat.MP3: "audio/mpeg",
    AudioFormat.M4A: "audio/mp4",
    AudioFormat.FLAC: "audio/flac",
    AudioFormat.OPUS: "audio/ogg",
}
VIDEO_CONTENT_TYPE = "video/mp4"
CHUNK = 1 << 20
PROGRESS_SECONDS = 1.0
LOOKS_A_PROGRESS: Final = 2
"""How often a worker looks whether its attempt still counts, for each time that it writes the progress."""
LONGEST_OUTAGE_PAUSE = 60.0
"""Seconds between two looks, at most, at whether the database and the blob store are back."""


class TryAgainError(Exception):
    """The attempt failed through no fault of its input; the job waits again and shall run after ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"try again in {seconds:g} s")
        self.seconds = seconds


class SupersededError(Exception):
    """The job was taken over by another attempt, or stopped; this attempt must leave no trace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a job may use.

    Attributes:
        max_input_bytes: of its input.
        attempts: tries when the fault is ours.
        retry_seconds: how long the first of them waits; then doubling.
        store_seconds: how long its input may take to arrive, and its output to be stored.
    """

    max_input_bytes: int
    attempts: int
    retry_seconds: int
    store_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Runs one job from its input object to its end."""

    database: Database
    objects: ObjectStore
    media: Media
    clock: Clock
    limits: Limits
    owed: list[Job] = field(default_factory=list)
    """Jobs that could not be given back, and count as running."""

    async def settle(self) -> None:
        """Give back what could not be given back while the database was away.

        Raises:
            DatabaseUnavailableError: it still is.
        """
        while self.owed:
            job = self.owed[-1]
            async with self.database.transaction() as tx:
                if not await tx.jobs.requeue(job.job_id, job.attempt):
                    await tx.jobs.find_again(job.job_id, job.attempt)
            self.owed.pop()

    async def run(self, job_id: str, release: int) -> None:
        """Run a new attempt of the job if that release is its latest; returns when it has ended or needs no run.

        Raises:
            TryAgainError: the fault was ours; the job is back in the queue, or, while the database is away, still
                counts as running.
            DatabaseUnavailableError: nothing has begun.
            asyncio.CancelledError: the worker stops; the job is back in the queue.
        """
        async with self.database.transaction() as tx:
            job = await tx.jobs.start(job_id, release, self.clock.now())
        if job is None:
            log.info("job needs no run", job_id=job_id)
            return
        with structlog.contextvars.bound_contextvars(job_id=job_id, attempt=job.attempt):
            log.info("job started", bucket=job.bucket, object=job.input_object)
            await self._attempt(job)

    async def _attempt(self, job: Job) -> None:
        try:
            await self._concluded_steps(job)
        except (DatabaseUnavailableError, BlobStoreError) as outage:
            await self._wait(job, outage)

    async def _concluded_steps(self, job: Job) -> None:
        """Run the steps and note how they ended; outages of the stores pass through."""
        note = _Progress()
        try:
            await self._steps(job, note)
        except SupersededError:
            await self._leave(job)
        except asyncio.CancelledError:
            await self._give_back(job)
            raise
        except (DatabaseUnavailableError, BlobStoreError):
            raise
        except ServiceError as refusal:
            await self._fail(job, refusal.code, refusal.message, note.seconds)
        except MediaFailedError as failure:
            await self._fail(job, failure.code, failure.message)
        except Exception as fault:  # noqa: BLE001 - whatever broke, the job must not be lost
            await self._fault(job, fault)

    async def _steps(self, job: Job, note: "_Progress") -> None:
        async with _nameless_file() as source, _nameless_file() as target:
            result, stored = await self._watched(job, note, self._make(job, source, target, note))
            await self.finish(job, stored, result)

    async def _make(
        self, job: Job, source: BinaryIO, target: BinaryIO, note: "_Progress"
    ) -> tuple[MediaResult, StoredObject]:
        async with _in_time(self.limits.store_seconds, "the input did not arrive"):
            bucket = await self.fetch(job, source)
        # Decode, denoise, resample, encode: the media process does these four.
        result = await self.media.denoise(source, target, job.operation.noise_reduction, note)
        note.seconds = result.info.duration
        async with _in_time(self.limits.store_seconds, "the output was not stored"):
            stored, md5 = await self.store(job, bucket, target, result.info)
        return replace(result, info=replace(result.info, md5=md5)), stored

    async def _watched(self, job: Job, note: "_Progress", steps: Coroutine[None, None, T]) -> T:
        """Take the steps while their progress is written.

        Raises:
            SupersededError: the job is no longer this attempt's; the steps were stopped, the media process too.
        """
        work = asyncio.create_task(steps)
        watch = asyncio.create_task(self._watch(job, note))
        try:
            await asyncio.wait([work, watch], return_when=asyncio.FIRST_COMPLETED)
            # The watch ends by an error only, and what was made meanwhile counts more.
            return await (work if work.done() else watch)
        finally:
            work.cancel()
            watch.cancel()
            await asyncio.gather(work, watch, return_exceptions=True)

    async def fetch(self, job: Job, source: BinaryIO) -> Bucket:
        """Copy the input object to a file; the bucket of the output.

        Raises:
            ServiceError: ResourceAccessDenied, WriteTargetBucketDenied, ResourceNotFound, ResourceNotSupported (too
                large); before any work.
        """
        async with self.database.reading() as tx:
            access = await access_of(tx, job, self.clock.now())
        stored = await self.objects.find(access.source, job.input_object)
        access.check_input(stored)
        target = access.output_bucket()
        if stored is None:
            raise errors.RESOURCE_NOT_FOUND(f"There is no object {job.input_object!r} in {job.bucket}.")
        if stored.size > self.limits.max_input_bytes:
            raise errors.RESOURCE_NOT_SUPPORTED(
                f"The input has {stored.size} bytes; the limit is {self.limits.max_input_bytes} "
                "(setting SORDINO_MAX_INPUT_BYTES)."
            )
        async for chunk in self.objects.read(access.source, stored, 0, stored.size):
            await asyncio.to_thread(source.write, chunk)
        await asyncio.to_thread(source.flush)
        return target

    async def store(self, job: Job, bucket: Bucket, target: BinaryIO, info: MediaInfo) -> tuple[StoredObject, str]:
        """Write the result's bytes, and tell their MD5; nobody sees them until ``finish`` writes the row.

        Raises:
            SupersededError: the bucket is mounted, and the job no longer this attempt's; nothing was written.
            ServiceError: ResourceAccessDenied, WriteTargetBucketDenied: it is mounted, and the role may write it no
                longer; the same holds.
        """
        upload = Upload(
            bucket=bucket,
            key=job.operation.output.object,
            content_type=VIDEO_CONTENT_TYPE if info.video else CONTENT_TYPES[job.operation.noise_reduction.format],
        )
        if not bucket.mounted:
            stored = replace(await self.objects.write_blob(upload, _chunks(target)), job_id=job.job_id)
            # The ETag of an object that was written in one piece.
            return stored, stored.etag
        if not await self._still_runs(job, None):
            raise SupersededError
        async with self.database.reading() as tx:
            await self._check_target(tx, job)
        md5 = hashlib.md5(usedforsecurity=False)
        stored = await self.objects.put(upload, _hashed(_chunks(target), md5.update))
        return stored, md5.hexdigest()

    async def finish(self, job: Job, stored: StoredObject, result: MediaResult) -> None:
        """Make the output visible and end the job, in one transaction.

        Raises:
            SupersededError: the job is no longer this attempt's; nothing was written, and the result's bytes are gone.
            ServiceError: ResourceAccessDenied, WriteTargetBucketDenied, QuotaExceeded; the same holds.
        """
        outcome = Outcome(state=JobState.SUCCESS, message=result.note, media_info=result.info)
        try:
            async with self.database.transaction() as tx:
                ended = await self._end(tx, job, outcome)
                if ended and stored.blob_id:
                    await self._check_target(tx, job)
                    await tx.objects.put(stored)
                if ended:
                    await tell_gift(tx, job, self.clock.now())
                    await count_audio(tx, job, result.info.duration, self.clock.now())
        except ServiceError:
            if stored.blob_id:
                await self.objects.discard(stored)
            raise
        if not ended:
            if stored.blob_id:
                await self.objects.discard(stored)
            raise SupersededError
        log.info("job succeeded", seconds=result.info.duration, bytes=stored.size)

    async def _check_target(self, tx: Transaction, job: Job) -> None:
        """See that the output may be written still, for policies, roles and buckets may have changed since ``fetch``.

        Raises:
            ServiceError: ResourceAccessDenied, WriteTargetBucketDenied.
        """
        access = await access_of(tx, job, self.clock.now())
        access.output_bucket()

    async def _end(self, tx: Transaction, job: Job, outcome: Outcome) -> bool:
        """End the job and have that told; False when another attempt runs or has ended it."""
        now = self.clock.now()
        ended = await tx.jobs.finish(job.job_id, job.attempt, outcome, now)
        if ended:
            await announce(tx, job, now)
        return ended

    async def _fail(self, job: Job, code: str, message: str, seconds: float = 0.0) -> None:
        """End the job, which has read so much audio."""
        outcome = Outcome(state=JobState.FAILED, code=code, message=message)
        async with self.database.transaction() as tx:
            written = await self._end(tx, job, outcome)
            if written:
                await tell_refusal(tx, job, code, message, self.clock.now())
                await count_audio(tx, job, seconds, self.clock.now())
        if not written:
            await self._leave(job)
            return
        log.info("job failed", code=code, message=message)

    async def _leave(self, job: Job) -> None:
        """Leave alone a job that is another attempt's, or was stopped: this worker lives, whatever others believed."""
        log.warning("job was stopped, or taken over by another attempt")
        async with self.database.transaction() as tx:
            await tx.jobs.find_again(job.job_id, job.attempt)

    async def _give_back(self, job: Job) -> bool:
        """Put the job back; False when it is no longer this attempt's."""
        try:
            async with self.database.transaction() as tx:
                given = await tx.jobs.requeue(job.job_id, job.attempt)
            if not given:
                await self._leave(job)
                return False
        except DatabaseUnavailableError as error:
            # It still counts as running, and its task makes some worker begin it anew.
            log.warning("job cannot be given back", error=str(error))
            self.owed.append(job)
            return True
        log.info("job goes back to the queue")
        return True

    async def _wait(self, job: Job, outage: Exception) -> None:
        """Put the job back until the stores are there again; that counts against nobody, however long it takes."""
        log.warning("job waits for a store", error=str(outage))
        if not await self._give_back(job):
            return
        # Ten doublings are more than the longest pause needs, and keep the number small for a job tried for days.
        pause = self.limits.retry_seconds * 2 ** min(job.attempt - 1, 10)
        raise TryAgainError(min(pause, LONGEST_OUTAGE_PAUSE)) from outage

    async def _fault(self, job: Job, fault: Exception) -> None:
        """Put the job back, or end it when the server has failed at it often enough."""
        log.error("job attempt broke", exc_info=fault)
        async with self.database.transaction() as tx:
            faults = await tx.jobs.fault(job.job_id, job.attempt)
            if faults is None:
                await tx.jobs.find_again(job.job_id, job.attempt)
                return
            if faults >= self.limits.attempts:
                await self._end(tx, job, _given_up(job, faults, fault))
                return
            await tx.jobs.requeue(job.job_id, job.attempt)
        raise TryAgainError(self.limits.retry_seconds * 2 ** (faults - 1)) from fault

    async def _watch(self, job: Job, note: "_Progress") -> NoReturn:
        """Write the latest percent about once a second, until cancelled or until the job is no longer this attempt's.

        Raises:
            SupersededError: it is not.
        """
        written = look = 0
        while True:
            await asyncio.sleep(PROGRESS_SECONDS / LOOKS_A_PROGRESS)
            look = (look + 1) % LOOKS_A_PROGRESS
            percent = written if look else note.percent
            try:
                if not await self._still_runs(job, None if percent == written else percent):
                    raise SupersededError
            except DatabaseUnavailableError as error:
                log.warning("progress cannot be written", error=str(error))
            else:
                written = percent

    async def _still_runs(self, job: Job, percent: int | None) -> bool:
        """Whether the job is still this attempt's, whose progress is written if there is any."""
        if percent is None:
            async with self.database.reading() as tx:
                return await tx.jobs.runs(job.job_id, job.attempt)
        async with self.database.transaction() as tx:
            return await tx.jobs.progress(job.job_id, job.attempt, percent)


class _Progress:
    """The latest percent that the media process told, and, when it is done, how much audio it has read."""

    def __init__(self) -> None:
        self.percent = 0
        self.seconds = 0.0

    def __call__(self, percent: int) -> None:
        self.percent = percent


def _given_up(job: Job, faults: int, fault: Exception) -> Outcome:
    """The end of a job that the server failed at too often; what exactly broke is for the log, not for clients."""
    if isinstance(fault, BlobNotFoundError):
        code, what = errors.RESOURCE_DOWNLOAD_FAILED.code, f"The server could not read the input in {faults} tries"
    else:
        code, what = errors.INTERNAL_ERROR.code, f"The server failed {faults} times at this job"
    return Outcome(state=JobState.FAILED, code=code, message=f"{what}; its log tells why under {job.job_id}.")


@asynccontextmanager
async def _in_time(seconds: float, failure: str) -> AsyncIterator[None]:
    """Stop a block that takes longer.

    Raises:
        BlobStoreError: it did.
    """
    try:
        async with asyncio.timeout(seconds) as clock:
            yield
    except TimeoutError as error:
        if not clock.expired():  # it is the block's own
            raise
        raise BlobStoreError(f"{failure} within {seconds:g} s") from error


@asynccontextmanager
async def _nameless_file() -> AsyncIterator[BinaryIO]:
    """A file that is gone with the process, however that ends: no recording is left lying about."""
    file = await asyncio.to_thread(tempfile.TemporaryFile)
    try:
        yield file
    finally:
        await asyncio.to_thread(file.close)


async def _hashed(chunks: AsyncIterator[bytes], update: Callable[[bytes], None]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        await asyncio.to_thread(update, chunk)
        yield chunk


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    """The whole file, wherever its offset is."""
    await asyncio.to_thread(file.seek, 0)
    while chunk := await asyncio.to_thread(file.read, CHUNK):
        yield chunk
