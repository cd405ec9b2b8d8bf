"""Buckets in PostgreSQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from psycopg.rows import DictRow

from sordino.adapters.postgres.queues import PostgresQueues
from sordino.adapters.postgres.session import Connection
from sordino.domain.acl import Acl
from sordino.domain.bucket import Bucket
from sordino.domain.job import JobState
from sordino.domain.quota import Quota

_ADD_BUCKET: Final = """
INSERT INTO buckets (name, region, appid, created_at, acl)
VALUES (%(name)s, %(region)s, %(appid)s, %(created_at)s, %(acl)s)
    ON CONFLICT (name) DO NOTHING
"""
_COLUMNS: Final = """
name, region, appid, created_at, acl, vary_origin, max_bytes, max_objects, results_days, policy,
(SELECT uin FROM accounts WHERE accounts.appid = buckets.appid) AS uin,
EXISTS (SELECT FROM mounts WHERE mounts.bucket = buckets.name) AS mounted
"""
GET: Final = f"SELECT {_COLUMNS} FROM buckets WHERE name = %(name)s"  # noqa: S608 - the only text put in is ours
_FIND: Final = f"SELECT {_COLUMNS} FROM buckets WHERE name = ANY(%(names)s)"  # noqa: S608 - as above
_LIST: Final = f"""
SELECT {_COLUMNS}
  FROM buckets
 WHERE appid = %(appid)s
 ORDER BY name
"""  # noqa: S608 - the only text put in is ours
_ALL: Final = f"SELECT {_COLUMNS} FROM buckets ORDER BY name"  # noqa: S608 - as above
_SET_QUOTA: Final = "UPDATE buckets SET max_bytes = %(bytes)s, max_objects = %(objects)s WHERE name = %(name)s"
_SET_RESULTS_DAYS: Final = "UPDATE buckets SET results_days = %(days)s WHERE name = %(name)s"
# Does not keep those waiting who add what refers to the account.
_LOCK_ACCOUNT: Final = "SELECT FROM accounts WHERE appid = %(appid)s FOR NO KEY UPDATE"
_COUNT: Final = "SELECT count(*) AS buckets FROM buckets WHERE appid = %(appid)s"
# Excludes who is adding an object, a service, a template or a job: all hold the row they refer to until they commit.
_LOCK: Final = "SELECT FROM buckets WHERE name = %(name)s FOR UPDATE"
_IN_USE: Final = """
SELECT EXISTS (SELECT FROM objects WHERE bucket = %(name)s)
    OR EXISTS (SELECT FROM uploads WHERE bucket = %(name)s)
    OR EXISTS (SELECT FROM jobs WHERE bucket = %(name)s AND state = ANY(%(unfinished)s)) AS in_use
"""
_REMOVE: Final = (
    "DELETE FROM jobs WHERE bucket = %(name)s",
    "DELETE FROM templates WHERE bucket = %(name)s",
    "DELETE FROM queues WHERE bucket = %(name)s",
    "DELETE FROM services WHERE bucket = %(name)s",
    "DELETE FROM mounts WHERE bucket = %(name)s",
    "DELETE FROM buckets WHERE name = %(name)s",
)
_UNFINISHED: Final = [state.value for state in JobState if not state.terminal]


@dataclass(frozen=True, slots=True)
class PostgresBuckets:
    """``ports.Buckets`` over one connection."""

    connection: Connection

    async def add(self, bucket: Bucket) -> bool:
        """Create the bucket; False when the name is taken."""
        added = await self.connection.execute(
            _ADD_BUCKET,
            {
                "name": bucket.name,
                "region": bucket.region,
                "appid": bucket.appid,
                "created_at": bucket.created_at,
                "acl": bucket.acl.value,
            },
        )
        return added.rowcount > 0

    async def get(self, name: str) -> Bucket | None:
        """The bucket of that full name, or None."""
        row = await (await self.connection.execute(GET, {"name": name})).fetchone()
        return bucket_of(row) if row else None

    async def find(self, names: Sequence[str]) -> Mapping[str, Bucket]:
        """The buckets of these full names that there are, by name."""
        rows = await (await self.connection.execute(_FIND, {"names": list(names)})).fetchall()
        return {row["name"]: bucket_of(row) for row in rows}

    async def count(self, appid: str) -> int:
        """How many buckets the account has; no other transaction counts them until this one ends."""
        await self.connection.execute(_LOCK_ACCOUNT, {"appid": appid})
        row = await (await self.connection.execute(_COUNT, {"appid": appid})).fetchone()
        return row["buckets"] if row else 0

    async def list(self, appid: str) -> Sequence[Bucket]:
        """The buckets of an account, by name."""
        rows = await (await self.connection.execute(_LIST, {"appid": appid})).fetchall()
        return [bucket_of(row) for row in rows]

    async def every(self) -> Sequence[Bucket]:
        """The buckets of all accounts, by name."""
        rows = await (await self.connection.execute(_ALL)).fetchall()
        return [bucket_of(row) for row in rows]

    async def limit(self, name: str, quota: Quota) -> None:
        """Set how much a bucket may hold. What it holds already stays."""
        await self.connection.execute(_SET_QUOTA, {"name": name, "bytes": quota.bytes, "objects": quota.objects})

    async def keep_results(self, name: str, days: int | None) -> None:
        """Set how long a bucket keeps what jobs wrote, days; 0: for ever, None: as the server is set."""
        await self.connection.execute(_SET_RESULTS_DAYS, {"name": name, "days": days})

    async def remove(self, name: str) -> bool:
        """Delete the bucket with its services, queues, templates and finished jobs.

        False when it still holds objects, uploads or unfinished jobs. True also when there is no such bucket (any
        more): of two that remove it, neither is told that it is in use.
        """
        await PostgresQueues(self.connection).alone(name)
        await self.connection.execute(_LOCK, {"name": name})
        row = await (await self.connection.execute(_IN_USE, {"name": name, "unfinished": _UNFINISHED})).fetchone()
        if row is None or row["in_use"]:
            return False
        for removal in _REMOVE:
            await self.connection.execute(removal, {"name": name})
        return True


def bucket_of(row: DictRow) -> Bucket:
    """The bucket of a row of ``GET``."""
    quota = Quota(bytes=row.pop("max_bytes"), objects=row.pop("max_objects"))
    return Bucket(**{**row, "acl": Acl(row["acl"]), "quota": quota})
