"""What the database itself saw of jobs and outputs: triggers note every change."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

from server import ServerError

PATIENCE_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.2

SETUP: Final = """
CREATE SCHEMA chaos;
CREATE TABLE chaos.writes (bucket text, key text, at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION chaos.note_write() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN INSERT INTO chaos.writes (bucket, key) VALUES (NEW.bucket, NEW.key); RETURN NULL; END';
CREATE TRIGGER note_write AFTER INSERT OR UPDATE ON sordino.objects
  FOR EACH ROW EXECUTE FUNCTION chaos.note_write();

CREATE TABLE chaos.moves (
  number bigint GENERATED ALWAYS AS IDENTITY, job_id text, state text, attempt integer,
  at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION chaos.note_move() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN INSERT INTO chaos.moves (job_id, state, attempt) VALUES (NEW.job_id, NEW.state, NEW.attempt);
         RETURN NULL; END';
CREATE TRIGGER note_birth AFTER INSERT ON sordino.jobs FOR EACH ROW EXECUTE FUNCTION chaos.note_move();
CREATE TRIGGER note_move AFTER UPDATE ON sordino.jobs FOR EACH ROW
  WHEN (OLD.state <> NEW.state OR OLD.attempt <> NEW.attempt) EXECUTE FUNCTION chaos.note_move();

CREATE TABLE chaos.changed_ends (job_id text, at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION chaos.note_changed_end() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN INSERT INTO chaos.changed_ends (job_id) VALUES (OLD.job_id); RETURN NULL; END';
CREATE TRIGGER note_changed_end AFTER UPDATE ON sordino.jobs FOR EACH ROW
  WHEN (OLD.ended_at IS NOT NULL AND OLD IS DISTINCT FROM NEW) EXECUTE FUNCTION chaos.note_changed_end();
CREATE TRIGGER note_deletion AFTER DELETE ON sordino.jobs FOR EACH ROW EXECUTE FUNCTION chaos.note_changed_end();
"""
JOBS: Final = "SELECT job_id, operation ->> 'user_data', state, attempt FROM sordino.jobs ORDER BY created_at"
MOVES: Final = "SELECT job_id, state, attempt, extract(epoch FROM at)::float8 FROM chaos.moves ORDER BY number"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A job as it stands."""

    job_id: str
    user_data: str
    state: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A change of a job's state or attempt: what they became, and when, seconds since the epoch."""

    job_id: str
    state: str
    attempt: int
    at: float


class Ledger:
    """Reads the triggers' notes, through restarts of the database.

    Args:
        data: the server's data directory.
    """

    def __init__(self, data: Path) -> None:
        self._host = str(data / "postgres")
        self.ask(SETUP)

    def unfinished(self) -> int:
        """How many jobs have not ended."""
        return int(self.ask("SELECT count(*) FROM sordino.jobs WHERE ended_at IS NULL")[0][0])

    def jobs(self) -> Sequence[JobRow]:
        """All jobs, the oldest first."""
        return [JobRow(job_id=a, user_data=b, state=c, attempt=d) for a, b, c, d in self.ask(JOBS)]

    def moves(self) -> Sequence[Move]:
        """All changes, in their order."""
        return [Move(job_id=a, state=b, attempt=c, at=d) for a, b, c, d in self.ask(MOVES)]

    def changed_ends(self) -> int:
        """How often a job that had ended was changed or deleted."""
        return int(self.ask("SELECT count(*) FROM chaos.changed_ends")[0][0])

    def writes(self, bucket: str, prefix: str) -> Mapping[str, int]:
        """How often each object was written."""
        query = "SELECT key, count(*) FROM chaos.writes WHERE bucket = %s AND key LIKE %s GROUP BY key"
        return {str(key): int(count) for key, count in self.ask(query, [bucket, f"{prefix}%"])}

    def ask(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query; asked again while the database is away.

        Raises:
            ServerError: it stays away.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._asked(query, parameters)
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise ServerError(f"The database stays away: {error}") from error
                time.sleep(POLL_SECONDS)

    def _asked(self, query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        with psycopg.connect(host=self._host, user="sordino", dbname="sordino", autocommit=True) as db:
            # Without parameters the text may hold several statements.
            found = db.execute(query.encode(), list(parameters) or None)
            return found.fetchall() if found.description else []
