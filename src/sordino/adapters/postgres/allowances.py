"""What accounts have used of what they may, in PostgreSQL."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from sordino.adapters.postgres.statements import Statements

# A bucket's jobs of a state lie together in the index jobs_by_state: no more is read than is counted. The order, which
# nobody needs, keeps the planner to it: it would look for jobs that wait among all that have ended.
_QUEUED: Final = """
SELECT count(*) AS queued
  FROM (SELECT
          FROM buckets
         CROSS JOIN (VALUES ('Submitted'), ('Pause')) AS waits (state)
         CROSS JOIN LATERAL (
               SELECT
                 FROM jobs
                WHERE jobs.bucket = buckets.name AND jobs.state = waits.state
                ORDER BY jobs.created_at, jobs.job_id
                LIMIT %(most)s) AS waiting
         WHERE buckets.appid = %(appid)s
         LIMIT %(most)s) AS found
"""
# Until the transaction ends: submits that might together go beyond the limit take turns.
_TAKE_TURN: Final = """
SELECT pg_advisory_xact_lock(hashtextextended('sordino jobs of ' || %(appid)s::text || ' in ' || current_schema(), 0))
"""
_AUDIO: Final = "SELECT seconds FROM audio_usage WHERE appid = %(appid)s AND day = %(day)s"
_ADD_AUDIO: Final = """
INSERT INTO audio_usage (appid, day, seconds) VALUES (%(appid)s, %(day)s, %(seconds)s)
    ON CONFLICT (appid, day) DO UPDATE SET seconds = audio_usage.seconds + excluded.seconds
"""


@dataclass(frozen=True, slots=True)
class PostgresAllowances(Statements):
    """``cam_ports.Allowances`` over one connection."""

    async def queued(self, appid: str, most: int) -> int:
        """How many jobs of an account wait, in all its queues; ``most`` when there are as many or more."""
        row = await self._row(_QUEUED, {"appid": appid, "most": most})
        return row["queued"] if row else 0

    async def fill(self, appid: str) -> None:
        """Wait until no other transaction fills the account's queues, which holds until this one ends."""
        await self.connection.execute(_TAKE_TURN, {"appid": appid})

    async def audio(self, appid: str, day: date) -> float:
        """Seconds of audio that the account's jobs have read of a day (UTC)."""
        row = await self._row(_AUDIO, {"appid": appid, "day": day})
        return row["seconds"] if row else 0.0

    async def add_audio(self, appid: str, day: date, seconds: float) -> None:
        """Count audio that a job has read; jobs of the account that end wait for each other's commit."""
        await self.connection.execute(_ADD_AUDIO, {"appid": appid, "day": day, "seconds": seconds})
