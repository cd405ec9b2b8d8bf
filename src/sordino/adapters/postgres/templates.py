"""Templates in PostgreSQL.

Whoever adds or renames one locks the bucket's row first: names and numbers are then settled one at a time, and none of
them fails as a deadlock. Jobs and objects, which refer to that row, do not wait for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg.errors import ForeignKeyViolation
from psycopg.rows import DictRow

from sordino.adapters.postgres.documents import dump, load_noise_reduction
from sordino.adapters.postgres.session import Connection
from sordino.domain.page import Page, Paged
from sordino.domain.template import Template
from sordino.errors import NO_SUCH_BUCKET

_COLUMNS: Final = "template_id, bucket, name, noise_reduction, created_at, updated_at"
_LOCK: Final = "SELECT FROM buckets WHERE name = %(bucket)s FOR NO KEY UPDATE"
_ADD: Final = f"""
INSERT INTO templates ({_COLUMNS})
VALUES (%(template_id)s, %(bucket)s, %(name)s, %(noise_reduction)s, %(created_at)s, %(updated_at)s)
    ON CONFLICT (bucket, name) DO NOTHING
"""  # noqa: S608 - the only text put in is ours
_COUNT: Final = "SELECT count(*) AS templates FROM templates WHERE bucket = %(bucket)s"
_FIND: Final = f"""
SELECT {_COLUMNS}
  FROM templates
 WHERE bucket = %(bucket)s AND template_id = ANY(%(template_ids)s)
 ORDER BY array_position(%(template_ids)s, template_id)
"""  # noqa: S608 - the only text put in is ours
_NAMED_SO: Final = "bucket = %(bucket)s AND starts_with(name, %(prefix)s)"
_TOTAL: Final = f"SELECT count(*) AS total FROM templates WHERE {_NAMED_SO}"  # noqa: S608 - the only text put in is ours
_PAGE: Final = f"""
SELECT {_COLUMNS}
  FROM templates
 WHERE {_NAMED_SO}
 ORDER BY created_at DESC, template_id DESC
 LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608 - the only text put in is ours
_TAKEN: Final = """
SELECT EXISTS (SELECT FROM templates WHERE bucket = %(bucket)s AND name = %(name)s
                                       AND template_id <> %(template_id)s) AS taken
"""
_UPDATE: Final = """
UPDATE templates
   SET name = %(name)s, noise_reduction = %(noise_reduction)s, updated_at = %(updated_at)s
 WHERE bucket = %(bucket)s AND template_id = %(template_id)s
"""
_REMOVE: Final = "DELETE FROM templates WHERE bucket = %(bucket)s AND template_id = %(template_id)s"


@dataclass(frozen=True, slots=True)
class PostgresTemplates:
    """``ports.Templates`` over one connection."""

    connection: Connection

    async def add(self, template: Template) -> bool:
        """Create a template; False when the bucket has one of that name.

        Raises:
            ServiceError: NoSuchBucket, when the bucket was removed meanwhile.
        """
        await self.connection.execute(_LOCK, {"bucket": template.bucket})
        try:
            return (await self.connection.execute(_ADD, _row(template))).rowcount > 0
        except ForeignKeyViolation as error:
            raise NO_SUCH_BUCKET() from error

    async def count(self, bucket: str) -> int:
        """How many templates the bucket has; no other transaction adds or renames one until this one ends."""
        await self.connection.execute(_LOCK, {"bucket": bucket})
        row = await (await self.connection.execute(_COUNT, {"bucket": bucket})).fetchone()
        return row["templates"] if row else 0

    async def find(self, bucket: str, template_ids: Sequence[str]) -> Sequence[Template]:
        """The templates of that bucket among ``template_ids``, in the order asked."""
        found = await self.connection.execute(_FIND, {"bucket": bucket, "template_ids": [*template_ids]})
        return [_template(row) for row in await found.fetchall()]

    async def page(self, bucket: str, prefix: str, page: Page) -> Paged[Template]:
        """A page of the bucket's templates whose names begin so, the newest first."""
        wanted = {"bucket": bucket, "prefix": prefix, "limit": page.size, "offset": page.offset}
        total = await (await self.connection.execute(_TOTAL, wanted)).fetchone()
        rows = await (await self.connection.execute(_PAGE, wanted)).fetchall()
        return Paged(items=tuple(map(_template, rows)), total=total["total"] if total else 0, page=page)

    async def update(self, template: Template) -> bool | None:
        """Write name, order and time of update; None when there is no such template, False when the name is taken."""
        row = _row(template)
        await self.connection.execute(_LOCK, row)
        taken = await (await self.connection.execute(_TAKEN, row)).fetchone()
        if taken is None or taken["taken"]:
            return False if await self.find(template.bucket, [template.template_id]) else None
        return (await self.connection.execute(_UPDATE, row)).rowcount > 0 or None

    async def remove(self, bucket: str, template_id: str) -> bool:
        """Delete a template; False when there is none. Jobs keep what they were submitted with."""
        removed = await self.connection.execute(_REMOVE, {"bucket": bucket, "template_id": template_id})
        return removed.rowcount > 0


def _row(template: Template) -> dict[str, Any]:
    return {
        "template_id": template.template_id,
        "bucket": template.bucket,
        "name": template.name,
        "noise_reduction": dump(template.noise_reduction),
        "created_at": template.created_at,
        "updated_at": template.updated_at,
    }


def _template(row: DictRow) -> Template:
    return Template(**{**row, "noise_reduction": load_noise_reduction(row["noise_reduction"])})
