"""Access control lists and rules of cross-origin sharing in PostgreSQL."""

from dataclasses import dataclass
from typing import Final

from sordino.adapters.postgres.documents import dump_cors, load_cors
from sordino.adapters.postgres.session import Connection
from sordino.domain.acl import Acl
from sordino.domain.cors import Cors

_SHARE_BUCKET: Final = "UPDATE buckets SET acl = %(acl)s WHERE name = %(name)s"
_SHARE_OBJECT: Final = "UPDATE objects SET acl = %(acl)s WHERE bucket = %(bucket)s AND key = %(key)s"
_CORS: Final = "SELECT cors FROM buckets WHERE name = %(name)s"
_SET_CORS: Final = "UPDATE buckets SET cors = %(cors)s, vary_origin = %(vary)s WHERE name = %(name)s"


@dataclass(frozen=True, slots=True)
class PostgresSharing:
    """``ports.Sharing`` over one connection."""

    connection: Connection

    async def share_bucket(self, name: str, acl: Acl) -> bool:
        """Set a bucket's list; False when there is no such bucket."""
        return (await self.connection.execute(_SHARE_BUCKET, {"name": name, "acl": acl.value})).rowcount > 0

    async def share_object(self, bucket: str, key: str, acl: Acl) -> bool:
        """Set an object's list; False when there is no such object."""
        values = {"bucket": bucket, "key": key, "acl": acl.value}
        return (await self.connection.execute(_SHARE_OBJECT, values)).rowcount > 0

    async def cors(self, name: str) -> Cors | None:
        """The rules of a bucket; None when it has none, or does not exist."""
        row = await (await self.connection.execute(_CORS, {"name": name})).fetchone()
        return None if row is None or row["cors"] is None else load_cors(row["cors"])

    async def set_cors(self, name: str, cors: Cors | None) -> bool:
        """Set a bucket's rules, None: take them away; False when there is no such bucket."""
        values = {"name": name, "cors": dump_cors(cors), "vary": cors is not None and cors.vary}
        return (await self.connection.execute(_SET_CORS, values)).rowcount > 0
