"""Open services in PostgreSQL."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.errors import ForeignKeyViolation
from psycopg.rows import DictRow

from sordino.adapters.postgres.session import Connection
from sordino.domain.bucket import Bucket
from sordino.domain.page import Page, Paged
from sordino.domain.service import Binding, BindingFilter, ServiceKind
from sordino.errors import NO_SUCH_BUCKET

_OPEN: Final = """
INSERT INTO services (bucket, kind, opened_at, automatic)
VALUES (%(bucket)s, %(kind)s, %(at)s, %(automatic)s)
    ON CONFLICT (bucket, kind) DO UPDATE
   SET automatic = false, opened_at = excluded.opened_at
 WHERE services.automatic AND NOT excluded.automatic
"""
_CLOSE: Final = "DELETE FROM services WHERE bucket = %(bucket)s AND kind = %(kind)s"
_IS_OPEN: Final = "SELECT FROM services WHERE bucket = %(bucket)s AND kind = %(kind)s"
# Empty arrays ask for all.
_WANTED: Final = """
  FROM services JOIN buckets ON buckets.name = services.bucket
 WHERE appid = %(appid)s AND kind = %(kind)s AND starts_with(name, %(prefix)s)
   AND (region = ANY(%(regions)s) OR %(regions)s::text[] = '{}')
   AND (name = ANY(%(names)s) OR %(names)s::text[] = '{}')
"""
_TOTAL: Final = f"SELECT count(*) AS total {_WANTED}"
_PAGE: Final = f"""
SELECT name, region, appid, created_at, opened_at, automatic {_WANTED}
 ORDER BY name
 LIMIT %(limit)s OFFSET %(offset)s
"""


@dataclass(frozen=True, slots=True)
class PostgresBindings:
    """``ports.Bindings`` over one connection."""

    connection: Connection

    async def open(self, bucket: str, kind: ServiceKind, at: datetime, *, automatic: bool) -> bool:
        """Open a service; False when it is open already, unless it was so automatically and now is not.

        Raises:
            ServiceError: NoSuchBucket, when the bucket was removed meanwhile.
        """
        service = {"bucket": bucket, "kind": kind.value, "at": at, "automatic": automatic}
        try:
            return (await self.connection.execute(_OPEN, service)).rowcount > 0
        except ForeignKeyViolation as error:
            raise NO_SUCH_BUCKET() from error

    async def close(self, bucket: str, kind: ServiceKind) -> bool:
        """Close a service; False when it is not open. Speech has no queues any more."""
        return (await self.connection.execute(_CLOSE, {"bucket": bucket, "kind": kind.value})).rowcount > 0

    async def is_open(self, bucket: str, kind: ServiceKind) -> bool:
        """Whether the service is open."""
        found = await self.connection.execute(_IS_OPEN, {"bucket": bucket, "kind": kind.value})
        return await found.fetchone() is not None

    async def page(self, appid: str, kind: ServiceKind, wanted: BindingFilter, page: Page) -> Paged[Binding]:
        """A page of an account's buckets that the service is open on, by name."""
        parameters: dict[str, Any] = {
            "appid": appid,
            "kind": kind.value,
            "prefix": wanted.prefix,
            "regions": sorted(wanted.regions),
            "names": sorted(wanted.names),
            "limit": page.size,
            "offset": page.offset,
        }
        total = await (await self.connection.execute(_TOTAL, parameters)).fetchone()
        rows = await (await self.connection.execute(_PAGE, parameters)).fetchall()
        items = tuple(_binding(kind, row) for row in rows)
        return Paged(items=items, total=total["total"] if total else 0, page=page)


def _binding(kind: ServiceKind, row: DictRow) -> Binding:
    bucket = Bucket(name=row["name"], region=row["region"], appid=row["appid"], created_at=row["created_at"])
    return Binding(bucket=bucket, kind=kind, opened_at=row["opened_at"], automatic=row["automatic"])
