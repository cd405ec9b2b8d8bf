"""Policies of accounts, what they are attached to, roles, and policies of buckets in PostgreSQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.errors import ForeignKeyViolation

from sordino import errors
from sordino.adapters.postgres.identities import ROLE_COLUMNS, role_of
from sordino.adapters.postgres.statements import Statements
from sordino.domain.identity import Policy, Role, Target, TargetKind

_POLICY: Final = "appid, name, document, description, changed_at"
# `xmax` is of who has last locked or removed the row's version: of a new row nobody.
_PUT: Final = f"""
INSERT INTO policies ({_POLICY})
VALUES (%(appid)s, %(name)s, %(document)s, %(description)s, %(changed_at)s)
    ON CONFLICT (appid, name) DO UPDATE
       SET document = excluded.document, description = excluded.description, changed_at = excluded.changed_at
RETURNING xmax = 0 AS new
"""  # noqa: S608 - the only text put in is ours
_GET: Final = f"SELECT {_POLICY} FROM policies WHERE appid = %(appid)s AND name = %(name)s"  # noqa: S608 - as above
_LIST: Final = f"SELECT {_POLICY} FROM policies WHERE appid = %(appid)s ORDER BY name"  # noqa: S608 - as above
_COUNT: Final = "SELECT count(*) AS policies FROM policies WHERE appid = %(appid)s"
_REMOVE: Final = """
DELETE FROM policies
 WHERE appid = %(appid)s AND name = %(name)s
   AND NOT EXISTS (SELECT FROM attachments WHERE appid = %(appid)s AND policy = %(name)s)
"""
_ATTACH: Final = """
INSERT INTO attachments (appid, policy, uin, group_name, role)
VALUES (%(appid)s, %(policy)s, %(user)s, %(group)s, %(role)s)
    ON CONFLICT DO NOTHING
"""
_TARGET: Final = """
appid = %(appid)s AND (uin = %(user)s OR group_name = %(group)s OR role = %(role)s)
"""
_DETACH: Final = f"DELETE FROM attachments WHERE {_TARGET} AND policy = %(policy)s"  # noqa: S608 - as above
_ATTACHED: Final = f"SELECT policy FROM attachments WHERE {_TARGET} ORDER BY policy"  # noqa: S608 - as above
_TARGETS: Final = """
SELECT CASE WHEN uin IS NOT NULL THEN 'user' WHEN group_name IS NOT NULL THEN 'group' ELSE 'role' END AS kind,
       coalesce(uin, group_name, role) AS name
  FROM attachments
 WHERE appid = %(appid)s AND policy = %(policy)s
 ORDER BY kind, name
"""
_PUT_ROLE: Final = """
INSERT INTO roles (appid, name, trust, description, created_at)
VALUES (%(appid)s, %(name)s, %(trust)s, %(description)s, %(created_at)s)
    ON CONFLICT (appid, name) DO UPDATE SET trust = excluded.trust, description = excluded.description
RETURNING xmax = 0 AS new
"""
_ROLES: Final = f"SELECT {ROLE_COLUMNS} FROM roles WHERE appid = %(appid)s ORDER BY name"  # noqa: S608 - as above
_REMOVE_ROLE: Final = "DELETE FROM roles WHERE appid = %(appid)s AND name = %(name)s"
_PUT_BUCKET_POLICY: Final = "UPDATE buckets SET policy = %(document)s WHERE name = %(bucket)s"


@dataclass(frozen=True, slots=True)
class PostgresPolicies(Statements):
    """``cam_ports.Policies`` over one connection."""

    async def put(self, policy: Policy) -> bool:
        """Create a policy or write it anew; whether it is new.

        Raises:
            ServiceError: NoSuchEntity: there is no such account.
        """
        row = {
            "appid": policy.appid,
            "name": policy.name,
            "document": policy.document,
            "description": policy.description,
            "changed_at": policy.changed_at,
        }
        return await self._put(_PUT, row)

    async def get(self, appid: str, name: str) -> Policy | None:
        """The account's own policy of that name, or None."""
        row = await self._row(_GET, {"appid": appid, "name": name})
        return Policy(**row) if row else None

    async def list(self, appid: str) -> Sequence[Policy]:
        """The account's own policies, by name."""
        return [Policy(**row) for row in await self._rows(_LIST, {"appid": appid})]

    async def count(self, appid: str) -> int:
        """How many of its own the account has."""
        row = await self._row(_COUNT, {"appid": appid})
        return row["policies"] if row else 0

    async def remove(self, appid: str, name: str) -> bool:
        """Remove a policy that is attached to nothing; False when there is none or it is."""
        return await self._done(_REMOVE, {"appid": appid, "name": name})

    async def attach(self, appid: str, policy: str, target: Target) -> bool:
        """Attach a policy; False when it is attached.

        Raises:
            ServiceError: NoSuchEntity: the account has no such target.
        """
        try:
            return await self._done(_ATTACH, {"policy": policy, **_target_row(appid, target)})
        except ForeignKeyViolation as error:
            raise errors.NO_SUCH_ENTITY(f"There is no {target.kind} {target.name} in the account.") from error

    async def detach(self, appid: str, policy: str, target: Target) -> bool:
        """Detach it; False when it is not attached."""
        return await self._done(_DETACH, {"policy": policy, **_target_row(appid, target)})

    async def attached(self, appid: str, target: Target) -> Sequence[str]:
        """Names of the policies that are attached to it itself, by name."""
        return [row["policy"] for row in await self._rows(_ATTACHED, _target_row(appid, target))]

    async def targets(self, appid: str, policy: str) -> Sequence[Target]:
        """What a policy is attached to."""
        rows = await self._rows(_TARGETS, {"appid": appid, "policy": policy})
        return [Target(TargetKind(row["kind"]), row["name"]) for row in rows]

    async def put_role(self, role: Role, at: datetime) -> bool:
        """Create a role, or set trust and description of one; whether it is new. Attachments stay.

        Raises:
            ServiceError: NoSuchEntity: there is no such account.
        """
        row = {
            "appid": role.appid,
            "name": role.name,
            "trust": role.trust,
            "description": role.description,
            "created_at": at,
        }
        return await self._put(_PUT_ROLE, row)

    async def roles(self, appid: str) -> Sequence[Role]:
        """Roles of an account with their policies, by name."""
        return [role_of(row) for row in await self._rows(_ROLES, {"appid": appid})]

    async def remove_role(self, appid: str, name: str) -> bool:
        """Remove a role with its attachments and temporary keys; False when there is none."""
        return await self._done(_REMOVE_ROLE, {"appid": appid, "name": name})

    async def put_bucket_policy(self, bucket: str, document: str | None) -> bool:
        """Give a bucket a policy, or None; False when there is no such bucket."""
        return await self._done(_PUT_BUCKET_POLICY, {"bucket": bucket, "document": document})

    async def _put(self, query: str, row: Mapping[str, Any]) -> bool:
        try:
            put = await self._row(query, row)
        except ForeignKeyViolation as error:
            raise errors.NO_SUCH_ENTITY(f"There is no account {row['appid']}.") from error
        return bool(put and put["new"])


def _target_row(appid: str, target: Target) -> dict[str, str | None]:
    """The values that say what a policy is attached to: one of three, the others are null, which equals nothing."""
    named = dict.fromkeys(TargetKind) | {target.kind: target.name}
    return {"appid": appid, **{kind.value: name for kind, name in named.items()}}
