"""What a running service's audit log tells, and the limits of its accounts and keys."""

import time
from collections.abc import Mapping
from typing import Any

from people import Key, People
from sordino.adapters.postgres.database import PostgresTransaction
from sordino.domain.allowance import Allowance
from sordino.domain.audit import AuditEntry, AuditSearch
from sordino.domain.quota import Quota

PATIENCE = 20.0


class Watchers(People):
    """People who may look, and set limits."""

    def log(self, **asked: Any) -> list[AuditEntry]:
        """Entries of the log as it is now, the oldest first."""

        async def search(tx: PostgresTransaction) -> list[AuditEntry]:
            return [it.entry for it in await tx.audit.search(AuditSearch(**{"size": 1000, **asked}))]

        return self._run(search)[::-1]

    def told(self, reply: Mapping[str, str], least: int = 1) -> list[AuditEntry]:
        """The entries of a call, by the head of its reply, once there are so many."""
        request_id, patience = reply["x-cos-request-id"], time.monotonic() + PATIENCE
        while len(found := self.log(request_id=request_id)) < least:
            assert time.monotonic() < patience, f"the log does not tell of {request_id}"
            time.sleep(0.1)
        return found

    def nothing_told(self, reply: Mapping[str, str], after: Mapping[str, str]) -> bool:
        """Whether the log tells nothing of a call, though it tells of a later one."""
        self.told(after)
        return not self.log(request_id=reply["x-cos-request-id"])

    def allow(self, owner: Key, **limits: int) -> None:
        """Give an account limits of its own."""

        async def allow(tx: PostgresTransaction) -> None:
            assert await tx.identities.allow(owner.appid, Allowance(**limits))

        self._run(allow)

    def limit(self, key: Key, requests_per_second: int | None) -> None:
        """Give a key a limit."""

        async def limit(tx: PostgresTransaction) -> None:
            assert await tx.users.change_key(
                key.appid, key.secret_id, enabled=True, requests_per_second=requests_per_second
            )

        self._run(limit)

    def quota(self, bucket: str, max_bytes: int | None) -> None:
        """Bound, or not, what a bucket may hold."""
        self._run(lambda tx: tx.buckets.limit(bucket, Quota(bytes=max_bytes)))

    def everything(self) -> str:
        """All that the log holds, as the database keeps it."""

        async def dump(tx: PostgresTransaction) -> str:
            rows = await (await tx.connection.execute("SELECT to_jsonb(audit)::text AS entry FROM audit")).fetchall()
            return "\n".join(row["entry"] for row in rows)

        return self._run(dump)
