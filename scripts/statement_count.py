"""How many statements the database runs for a job, by its own count (pg_stat_statements)."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from job_store import JobStore

ENABLE: Final = "ALTER {mark} SYSTEM SET shared_preload_libraries = 'pg_stat_statements'"
INSTALL: Final = "CREATE {mark} EXTENSION IF NOT EXISTS pg_stat_statements"
# Statements of utility without rows are those that begin and end transactions.
_COUNT: Final = """
SELECT {mark} coalesce(sum(calls), 0)::float8,
       coalesce(sum(calls) FILTER (WHERE query ~* '^(BEGIN|COMMIT|ROLLBACK)'), 0)::float8
  FROM pg_stat_statements
 WHERE query NOT LIKE '%%/* bench */%%'
"""
IDLE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """Of the whole path of a job, from POST /jobs to its end, less what the idle service runs in that time.

    Attributes:
        queries: those that read or write.
        transactions: BEGIN and COMMIT.
        idle: of both, a second, while the service has nothing to do.
    """

    queries: float
    transactions: float
    idle: float


def count(store: JobStore, jobs: int, work: Callable[[], None]) -> Statements:
    """The statements a job of some work.

    Args:
        store: of a server whose database counts.
        jobs: how many the work runs.
        work: returns when they have ended.
    """
    idle_seconds, idle_all, idle_ends = _counted(store, lambda: time.sleep(IDLE_SECONDS))
    seconds, everything, ends = _counted(store, work)
    share = seconds / idle_seconds
    transactions = max(0.0, ends - share * idle_ends)
    return Statements(
        queries=round((everything - share * idle_all - transactions) / jobs, 1),
        transactions=round(transactions / jobs, 1),
        idle=round(idle_all / idle_seconds, 1),
    )


def _counted(store: JobStore, work: Callable[[], None]) -> tuple[float, float, float]:
    """Seconds that the work took, all statements meanwhile, and those that begin and end transactions."""
    before, began = store.ask(_COUNT)[0], time.monotonic()
    work()
    after = store.ask(_COUNT)[0]
    return time.monotonic() - began, after[0] - before[0], after[1] - before[1]
