"""What lies in the store of a server beside what its rows refer to, once everything that may go was let go."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from sordino.adapters.blobs import ObstoreBlobs
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.adapters.postgres.embedded import find_running
from sordino.adapters.tasks import EngineTasks, engine
from sordino.adapters.vault import FernetVault
from sordino.storage.leftovers import Leftovers
from sordino.storage.stale_uploads import StaleUploads
from sordino.storage.sweep import Sweep

KEEP: Final = timedelta(days=7)
AHEAD: Final = timedelta(days=9)
"""Longer than uploads, writers of blobs and readers of old ones may take."""

REFERRED: Final = """
SELECT blob_id, size FROM objects WHERE pieces = 0
UNION ALL SELECT blob_id, size FROM pieces
UNION ALL SELECT blob_id, size FROM parts
"""
NOTES: Final = "SELECT count(*) AS notes FROM unreferenced_blobs"


@dataclass(frozen=True, slots=True)
class LaterClock:
    """A clock that goes before: what waits for its time is done now."""

    def now(self) -> datetime:
        """Days from now."""
        return datetime.now(UTC) + AHEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What was found.

    Attributes:
        swept: blobs removed, for which a row never came, or whose row is gone.
        unfinished: files of killed writers, removed.
        stale_uploads: uploads ended that nobody completed.
        orphan_blobs: blobs that no row refers to; none may be left.
        orphan_files: other files in the store; none may be left.
        missing_blobs: rows without their blob, or with one of another size; there may be none.
        notes: blobs that are still to go; none may be left.
        counts_wrong: whether a bucket is known to hold what it does not.
    """

    swept: int
    unfinished: int
    stale_uploads: int
    orphan_blobs: int
    orphan_files: int
    missing_blobs: int
    notes: int
    counts_wrong: bool


async def audit(data: Path, bucket: str) -> Audit:
    """Let everything go that may, as if days had passed, and look what is left; nobody may be writing."""
    dsn = find_running(data)
    if dsn is None:
        raise RuntimeError(f"No database runs on {data}.")
    blobs, clock = ObstoreBlobs((data / "blobs").as_uri()), LaterClock()
    app = engine()
    async with PostgresDatabase(
        dsn,
        schema="sordino",
        max_connections=4,
        vault=FernetVault(data=data),
        tasks=lambda connection: EngineTasks(app, connection),
    ) as database:
        stale = await StaleUploads(database=database, clock=clock, keep=KEEP)()
        swept = await Sweep(database=database, blobs=blobs, clock=clock)()
        unfinished = await Leftovers(blobs=blobs, clock=clock)()
        async with database.pool.connection() as connection:
            rows = await (await connection.execute(REFERRED)).fetchall()
            found = await (await connection.execute(NOTES)).fetchone()
        async with database.reading() as tx:
            known, counted = await tx.usages.both(bucket)
    files = {path.name: path.stat().st_size for path in (data / "blobs").rglob("*") if path.is_file()}
    referred = {row["blob_id"]: row["size"] for row in rows}
    orphans = files.keys() - referred.keys()
    return Audit(
        swept=swept,
        unfinished=unfinished,
        stale_uploads=stale,
        orphan_blobs=sum("#" not in name for name in orphans),
        orphan_files=sum("#" in name for name in orphans),
        missing_blobs=sum(files.get(blob_id) != size for blob_id, size in referred.items()),
        notes=found["notes"] if found else 0,
        counts_wrong=known != counted,
    )
