"""Rows of mounted buckets in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from sordino.adapters.postgres.session import Connection
from sordino.domain.mount import Location, Mount

_PUT: Final = """
INSERT INTO mounts (bucket, url, options, sealed) VALUES (%(bucket)s, %(url)s, %(options)s, %(sealed)s)
    ON CONFLICT (bucket) DO UPDATE SET url = excluded.url, options = excluded.options, sealed = excluded.sealed
"""
_GET: Final = "SELECT bucket, url, options, sealed FROM mounts WHERE bucket = %(bucket)s"
_LIST: Final = "SELECT bucket, url, options, sealed FROM mounts ORDER BY bucket"


@dataclass(frozen=True, slots=True)
class PostgresMounts:
    """``ports.MountRows`` over one connection."""

    connection: Connection

    async def put(self, mount: Mount) -> None:
        """Insert or replace the mount of a bucket that exists."""
        location = mount.location
        options = {
            "bucket": location.bucket,
            "prefix": location.prefix,
            "endpoint": location.endpoint,
            "path_style": location.path_style,
            "region": location.region,
            "access_key_id": mount.access_key_id,
        }
        await self.connection.execute(
            _PUT,
            {"bucket": mount.bucket, "url": location.url, "options": Jsonb(options), "sealed": mount.sealed},
        )

    async def get(self, bucket: str) -> Mount | None:
        """The mount of a bucket, or None."""
        row = await (await self.connection.execute(_GET, {"bucket": bucket})).fetchone()
        return _mount(row) if row else None

    async def list(self) -> Sequence[Mount]:
        """Every mount, by bucket."""
        return [_mount(row) for row in await (await self.connection.execute(_LIST)).fetchall()]


def _mount(row: DictRow) -> Mount:
    options = dict(row["options"])
    access_key_id = options.pop("access_key_id")
    return Mount(
        bucket=row["bucket"],
        location=Location(url=row["url"], **options),
        access_key_id=access_key_id,
        sealed=row["sealed"],
    )
