"""What accounts may have done: jobs that wait at a time, and audio that jobs read a day."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from sordino.cam.limits import slow_down
from sordino.domain.allowance import Allowance
from sordino.domain.bucket import appid_of
from sordino.domain.identity import Account
from sordino.domain.job import Job
from sordino.domain.ports import Transaction
from sordino.errors import CI_SLOW_DOWN
from sordino.jobs.counts import Counts
from sordino.jobs.room import Room

PAUSE_SECONDS: Final = 10.0
"""After which it may be worth trying again when too many jobs wait."""

HOUR: Final = 3600


async def check_allowance(
    tx: Transaction, account: Account, usual: Allowance, more: int, counts: Counts, now: datetime
) -> None:
    """See that so many more jobs of an account may be accepted.

    The limit of jobs that wait is exact. That of audio is one of what was read: jobs that were accepted before it was
    reached run, so it may be exceeded by as much as waits.

    Args:
        tx: the transaction that adds the jobs.
        account: of the jobs' bucket.
        usual: what accounts may that have no limits of their own.
        more: jobs.
        counts: what this process has counted of late.
        now: aware.

    Raises:
        ServiceError: SlowDown.
    """
    own = account.allowance
    seconds = usual.audio_seconds if own.audio_seconds is None else own.audio_seconds
    if seconds is not None:
        await _check_audio(tx, account.appid, seconds, now)
    most = usual.queued_jobs if own.queued_jobs is None else own.queued_jobs
    if most is not None:
        await _check_queued(tx, account.appid, most, more, counts, now)


async def count_audio(tx: Transaction, job: Job, seconds: float, now: datetime) -> None:
    """Count what a job has read, for the account of its bucket; the last thing its transaction does."""
    appid = appid_of(job.bucket)
    if appid is not None and seconds > 0:
        await tx.allowances.add_audio(appid, _day(now).date(), seconds)


async def _check_audio(tx: Transaction, appid: str, most: int, now: datetime) -> None:
    day = _day(now)
    read = await tx.allowances.audio(appid, day.date())
    if read >= most:
        raise slow_down(
            CI_SLOW_DOWN,
            (day + timedelta(days=1) - now).total_seconds(),
            f"Jobs of the account {appid} have read {read / HOUR:.2f} hours of audio today, of {most / HOUR:.2f} that "
            "they may read a day (UTC); try again tomorrow, or ask for a higher limit.",
        )


async def _check_queued(tx: Transaction, appid: str, most: int, more: int, counts: Counts, now: datetime) -> None:
    room = Room(
        name=f"account {appid}",
        most=most,
        count=partial(tx.allowances.queued, appid, most),
        fill=partial(tx.allowances.fill, appid),
    )
    waiting = await room.take(more, counts, now)
    if waiting is not None:
        raise slow_down(
            CI_SLOW_DOWN,
            PAUSE_SECONDS,
            f"{waiting} jobs of the account {appid} wait, of at most {most}, and the request has {more}; try again "
            "when some have ended, or ask for a higher limit.",
        )


def _day(now: datetime) -> datetime:
    """Its beginning."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
