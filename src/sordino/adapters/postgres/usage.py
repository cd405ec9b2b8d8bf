"""What buckets hold, in PostgreSQL: counted by triggers, see the migrations."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg.rows import DictRow

from sordino.adapters.postgres.session import Connection
from sordino.domain.quota import Usage, refusal
from sordino.errors import QUOTA_EXCEEDED

QUOTA_STATE: Final = "SQ001"
"""SQLSTATE that the trigger of quotas raises."""

FOLD_ROWS: Final = 10_000

_SUM: Final = "coalesce(sum(bytes), 0)::bigint AS bytes, coalesce(sum(objects), 0)::bigint AS objects"
_OF: Final = f"SELECT {_SUM} FROM bucket_usage WHERE bucket = %(bucket)s"  # noqa: S608 - the only text put in is ours
_ALL: Final = f"SELECT bucket, {_SUM} FROM bucket_usage GROUP BY bucket"  # noqa: S608 - as above
_COUNTED: Final = f"""
SELECT {_SUM}
  FROM (SELECT size AS bytes, 1 AS objects FROM objects WHERE bucket = %(bucket)s
        UNION ALL
        SELECT size, 0 FROM parts WHERE bucket = %(bucket)s) AS held
"""  # noqa: S608 - as above
_BOTH: Final = f"""
SELECT known.bytes, known.objects, counted.bytes AS counted_bytes, counted.objects AS counted_objects
  FROM ({_OF}) AS known CROSS JOIN ({_COUNTED}) AS counted
"""  # noqa: S608 - as above
_UNFOLDED: Final = "SELECT DISTINCT bucket FROM bucket_usage WHERE NOT folded LIMIT %(limit)s"
# One statement, so whoever reads sees all of the old rows or the new one. Nothing else locks a row, and another fold
# passes these over: then there are two folded rows until the next time.
_FOLD: Final = """
WITH gone AS (
    DELETE FROM bucket_usage
     WHERE ctid IN (SELECT ctid FROM bucket_usage WHERE bucket = %(bucket)s LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
    RETURNING bytes, objects
), kept AS (
    INSERT INTO bucket_usage (bucket, bytes, objects, folded)
    SELECT %(bucket)s, sum(bytes), sum(objects), true FROM gone
    HAVING sum(bytes) <> 0 OR sum(objects) <> 0
)
SELECT count(*) AS rows FROM gone
"""


@dataclass(frozen=True, slots=True)
class PostgresUsages:
    """``ports.Usages`` over one connection."""

    connection: Connection

    async def of(self, bucket: str) -> Usage:
        """What the bucket holds."""
        return await self._one(_OF, bucket)

    async def all(self) -> Mapping[str, Usage]:
        """What each bucket holds that holds anything."""
        rows = await (await self.connection.execute(_ALL)).fetchall()
        return {row["bucket"]: _usage(row) for row in rows}

    async def both(self, bucket: str) -> tuple[Usage, Usage]:
        """``of``, and the same found by reading the rows of all its objects and parts, at the same moment."""
        row = await (await self.connection.execute(_BOTH, {"bucket": bucket})).fetchone()
        if row is None:
            return Usage(), Usage()
        counted = Usage(bytes=row["counted_bytes"], objects=row["counted_objects"])
        return _usage(row), counted

    async def unfolded(self, limit: int) -> Sequence[str]:
        """Up to ``limit`` buckets whose count lies in many rows."""
        rows = await (await self.connection.execute(_UNFOLDED, {"limit": limit})).fetchall()
        return [row["bucket"] for row in rows]

    async def fold(self, bucket: str) -> int:
        """Make one row of the rows of a bucket's count; how many there were. Nobody waits for it, nor it for any."""
        found = await self.connection.execute(_FOLD, {"bucket": bucket, "limit": FOLD_ROWS})
        row = await found.fetchone()
        return row["rows"] if row else 0

    async def _one(self, query: str, bucket: str) -> Usage:
        row = await (await self.connection.execute(query, {"bucket": bucket})).fetchone()
        return _usage(row) if row else Usage()


def _usage(row: DictRow) -> Usage:
    return Usage(bytes=row["bytes"], objects=row["objects"])


@contextmanager
def refused_over_quota() -> Iterator[None]:
    """Turn the error of the trigger of quotas into the refusal.

    Raises:
        ServiceError: QuotaExceeded.
    """
    try:
        yield
    except psycopg.DatabaseError as error:
        if error.sqlstate != QUOTA_STATE:
            raise
        bucket, unit, held, most = (error.diag.message_detail or "").split()
        raise QUOTA_EXCEEDED(refusal(bucket, unit, int(held), int(most))) from error
