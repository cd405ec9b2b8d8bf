"""What a worker does with a job: fetch; decode, denoise, resample, encode (the media process); store; finish.

Exactly one result: every attempt has a number, and the output's row and the job's end are written in one transaction
that only the latest attempt may make. A worker killed at any step leaves a job that another worker begins anew.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from sordino import errors
from sordino.domain.bucket import StoredObject
from sordino.domain.job import AudioFormat, Job, JobState, Outcome
from sordino.domain.ports import Clock, Database, Media, MediaFailedError, MediaResult, Transaction
from sordino.errors import ServiceError
from sordino.storage.objects import ObjectStore, Upload

log = structlog.get_logger(__name__)

CONTENT_TYPES = {AudioFormat.WAV: "audio/wav", AudioFormat.MP3: "audio/mpeg", AudioFormat.M4A: "audio/mp4"}
CHUNK = 1 << 20
PROGRESS_SECONDS = 1.0


class TryAgainError(Exception):
    """The attempt failed through a fault of the server; the job waits again and shall run after ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"try again in {seconds:g} s")
        self.seconds = seconds


class SupersededError(Exception):
    """Another attempt has taken the job over; this one must leave no trace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a job: input bytes, tries when the fault is ours, seconds the first of them waits (then doubling)."""

    max_input_bytes: int
    attempts: int
    retry_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Runs one job from its input object to its end."""

    database: Database
    objects: ObjectStore
    media: Media
    clock: Clock
    limits: Limits

    async def run(self, job_id: str) -> None:
        """Run a new attempt of the job; returns when the job has ended or needs no run.

        Raises:
            TryAgainError: the fault was ours; the job is back in the queue.
            asyncio.CancelledError: the worker stops; the job is back in the queue.
        """
        async with self.database.transaction() as tx:
            job = await tx.jobs.start(job_id, self.clock.now())
        if job is None:
            log.info("job needs no run", job_id=job_id)
            return
        with structlog.contextvars.bound_contextvars(job_id=job_id, attempt=job.attempt):
            log.info("job started", bucket=job.bucket, object=job.input_object)
            await self._attempt(job)

    async def _attempt(self, job: Job) -> None:
        try:
            await self._steps(job)
        except SupersededError:
            log.warning("job was taken over by another attempt")
        except asyncio.CancelledError:
            await self._give_back(job)
            raise
        except ServiceError as refusal:
            await self._fail(job, refusal.code, refusal.message)
        except MediaFailedError as failure:
            await self._fail(job, failure.code, failure.message)
        except Exception as fault:  # noqa: BLE001 - whatever broke, the job must not be lost
            await self._fault(job, fault)

    async def _steps(self, job: Job) -> None:
        with tempfile.TemporaryDirectory(prefix="sordino-job-") as room:
            source, target = Path(room, "input"), Path(room, "output")
            await self.fetch(job, source)
            result = await self.convert(job, source, target)
            stored = await self.store(job, target)
            await self.finish(job, stored, result)

    async def fetch(self, job: Job, source: Path) -> None:
        """Copy the input object to a file.

        Raises:
            ServiceError: ResourceNotFound, ResourceNotSupported (too large), WriteTargetBucketDenied; before any work.
        """
        async with self.database.transaction() as tx:
            await _check_target(tx, job)
            stored = await tx.objects.get(job.bucket, job.input_object)
        if stored is None:
            raise errors.RESOURCE_NOT_FOUND(f"There is no object {job.input_object!r} in {job.bucket}.")
        if stored.size > self.limits.max_input_bytes:
            raise errors.RESOURCE_NOT_SUPPORTED(
                f"The input has {stored.size} bytes; the limit is {self.limits.max_input_bytes} "
                "(setting SORDINO_MAX_INPUT_BYTES)."
            )
        with source.open("wb") as file:
            async for chunk in self.objects.read(stored, 0, stored.size):
                await asyncio.to_thread(file.write, chunk)

    async def convert(self, job: Job, source: Path, target: Path) -> MediaResult:
        """Decode, denoise, resample, encode: the media process does these four."""
        async with self._progress(job) as note:
            return await self.media.denoise(source, target, job.operation.noise_reduction, note)

    async def store(self, job: Job, target: Path) -> StoredObject:
        """Write the result's bytes; nobody sees them until ``finish`` writes the row."""
        output = job.operation.output
        upload = Upload(
            bucket=output.bucket,
            key=output.object,
            content_type=CONTENT_TYPES[job.operation.noise_reduction.format],
        )
        return await self.objects.write_blob(upload, _chunks(target))

    async def finish(self, job: Job, stored: StoredObject, result: MediaResult) -> None:
        """Make the output visible and end the job, in one transaction.

        Raises:
            SupersededError: another attempt runs or has ended the job; nothing was written.
        """
        outcome = Outcome(state=JobState.SUCCESS, message=result.note, media_info=result.info)
        try:
            async with self.database.transaction() as tx:
                if not await tx.jobs.finish(job.job_id, job.attempt, outcome, self.clock.now()):
                    raise SupersededError
                await _check_target(tx, job)
                await tx.objects.put(stored)
        except (SupersededError, ServiceError):
            # Surely not committed. After any other error the commit may have happened, and only the sweep may decide.
            await self.objects.blobs.remove(stored.blob_id)
            raise
        log.info("job succeeded", seconds=result.info.duration, bytes=stored.size)

    async def _fail(self, job: Job, code: str, message: str) -> None:
        outcome = Outcome(state=JobState.FAILED, code=code, message=message)
        async with self.database.transaction() as tx:
            written = await tx.jobs.finish(job.job_id, job.attempt, outcome, self.clock.now())
        log.info("job failed" if written else "job was taken over by another attempt", code=code, message=message)

    async def _give_back(self, job: Job) -> None:
        async with self.database.transaction() as tx:
            await tx.jobs.requeue(job.job_id, job.attempt)
        log.info("job goes back to the queue")

    async def _fault(self, job: Job, fault: Exception) -> None:
        """Put the job back, or end it when the server has failed at it often enough."""
        log.error("job attempt broke", exc_info=fault)
        async with self.database.transaction() as tx:
            faults = await tx.jobs.fault(job.job_id, job.attempt)
            if faults is None:
                return
            if faults >= self.limits.attempts:
                message = f"The server failed {faults} times at this job, last with: {fault}"
                outcome = Outcome(state=JobState.FAILED, code=errors.INTERNAL_ERROR.code, message=message)
                await tx.jobs.finish(job.job_id, job.attempt, outcome, self.clock.now())
                return
            await tx.jobs.requeue(job.job_id, job.attempt)
        raise TryAgainError(self.limits.retry_seconds * 2 ** (faults - 1)) from fault

    @asynccontextmanager
    async def _progress(self, job: Job) -> AsyncIterator["_Progress"]:
        """Write the latest percent about once a second while the block runs."""
        note = _Progress()
        writer = asyncio.create_task(self._write_progress(job, note))
        try:
            yield note
        finally:
            writer.cancel()
            await asyncio.wait([writer])

    async def _write_progress(self, job: Job, note: "_Progress") -> None:
        written = 0
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            if note.percent > written:
                written = note.percent
                async with self.database.transaction() as tx:
                    await tx.jobs.progress(job.job_id, job.attempt, written)


class _Progress:
    """The latest percent that the media process told."""

    def __init__(self) -> None:
        self.percent = 0

    def __call__(self, percent: int) -> None:
        self.percent = percent


async def _check_target(tx: Transaction, job: Job) -> None:
    """The output bucket must exist and belong to the account of the job's bucket."""
    output = job.operation.output
    source, target = await tx.buckets.get(job.bucket), await tx.buckets.get(output.bucket)
    if source is None or target is None or target.appid != source.appid or target.region != output.region:
        raise errors.WRITE_TARGET_BUCKET_DENIED(
            f"There is no bucket {output.bucket} in {output.region} that jobs of {job.bucket} may write to."
        )


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield chunk
