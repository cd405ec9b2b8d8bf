"""Sessions: temporary keys that are good yet, as the operator sees and ends them, and the end of those that are not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sordino import errors
from sordino.cam.operator import Changes, Operator
from sordino.chore import Removal
from sordino.domain.identity import TemporaryKey

KEEP: Final = timedelta(days=1)
"""How long a key is known after its end: who uses it is told that it has ended, not that it never was."""

BATCH: Final = 1000
MAX_ID: Final = 128


@dataclass(frozen=True, slots=True)
class Sessions:
    """What the operator of a service does with temporary keys."""

    changes: Changes

    async def every(self, appid: str) -> Sequence[TemporaryKey]:
        """Those that act in the name of an account, or of its roles, the newest first; 1,000 at most, without secrets.

        Raises:
            ServiceError: NoSuchEntity: there is no such account.
        """
        async with self.changes.looking(appid) as it:
            return await it.tx.temporary_keys.list(appid, self.changes.clock.now())

    async def remove(self, operator: Operator, appid: str, secret_id: str) -> None:
        """Have one be good for nothing from now on.

        Raises:
            ServiceError: NoSuchEntity: the account has no such key.
        """
        async with self.changes.of(operator, "sts:EndSession", appid, f"session/{secret_id[:MAX_ID]}") as it:
            known = secret_id.isascii() and secret_id.isprintable()
            if not known or not await it.tx.temporary_keys.remove(appid, secret_id):
                raise errors.NO_SUCH_ENTITY(f"The account has no temporary key {secret_id[:MAX_ID]!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSessions(Removal):
    """Removes temporary keys that ended a day ago."""

    name = "removal of ended temporary keys"

    async def _batch(self) -> int:
        async with self.database.statement() as tx:
            return await tx.temporary_keys.sweep(self.clock.now() - KEEP, BATCH)
