"""Operators: who administers a service, without a key of it, and what the audit log tells of that."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from sordino import errors
from sordino.cam.names import is_number
from sordino.domain.audit import AuditEntry
from sordino.domain.bucket import appid_of
from sordino.domain.identity import Account
from sordino.domain.ports import Clock, Database, Transaction
from sordino.errors import ServiceError

MAX_TEXT: Final = 500
"""Characters of what an operator typed that the audit log keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Somebody who administers.

    Attributes:
        name: of the person or of the token of the admin API.
        source: where the call came from: an address, or what the command line says of its machine.
        request_id: names the call in logs.
    """

    name: str
    source: str
    request_id: str

    @property
    def caller(self) -> str:
        """As the audit log names him."""
        return f"operator/{self.name}"


@asynccontextmanager
async def change(
    database: Database, clock: Clock, operator: Operator, action: str, resource: str, owner: str | None, note: str = ""
) -> AsyncIterator[Transaction]:
    """A transaction of an operator's, and its entry in the audit log: there is none of the two without the other.

    A refusal inside is noted, too, in a transaction of its own.

    Args:
        database: where.
        clock: when.
        operator: who.
        action: what is done, e.g. ``cam:AddUser``.
        resource: to what, e.g. ``user/alice``.
        owner: APPID of the account whose it is; None: nobody's.
        note: with what, e.g. ``policy QcloudCOSDataReadOnly``; never a secret.

    Raises:
        DatabaseUnavailableError: as ``Database.transaction``.
    """
    entry = AuditEntry(
        at=clock.now(),
        appid=None,
        caller=operator.caller,
        secret_id=None,
        source=operator.source,
        request_id=operator.request_id,
        action=action,
        resource=_shown(resource),
        owner=owner if owner is None or is_number(owner) else None,
        allowed=True,
        reason=_shown(note),
    )
    try:
        async with database.transaction() as tx:
            yield tx
            await tx.audit.add([entry])
    except ServiceError as refusal:
        async with database.transaction() as tx:
            await tx.audit.add([replace(entry, code=refusal.code, reason=_shown(refusal.message))])
        raise


@dataclass(frozen=True, slots=True)
class Change:
    """An operator's transaction that changes what is an account's.

    Attributes:
        tx: the transaction.
        account: held until it ends, so that limits hold, and what was looked up is so.
    """

    tx: Transaction
    account: Account


@dataclass(frozen=True, slots=True)
class Changes:
    """Makes them."""

    database: Database
    clock: Clock

    @asynccontextmanager
    async def of(
        self, operator: Operator, action: str, appid: str, resource: str, note: str = ""
    ) -> AsyncIterator[Change]:
        """A change of an account's; ``change`` says more.

        Raises:
            ServiceError: NoSuchEntity: there is no such account.
        """
        async with change(self.database, self.clock, operator, action, resource, appid, note) as tx:
            account = await tx.identities.hold(appid) if is_number(appid) else None
            if account is None:
                raise no_account(appid)
            yield Change(tx, account)

    def of_bucket(
        self, operator: Operator, action: str, bucket: str, note: str = ""
    ) -> AbstractAsyncContextManager[Transaction]:
        """A change of a bucket, or of what is in it; ``change`` says more."""
        return change(self.database, self.clock, operator, action, f"bucket/{bucket}", appid_of(bucket), note)

    @asynccontextmanager
    async def looking(self, appid: str) -> AsyncIterator[Change]:
        """The same for whoever changes nothing: in no transaction, and with no entry.

        Raises:
            ServiceError: NoSuchEntity: there is no such account.
        """
        async with self.database.reading() as tx:
            account = await tx.identities.account(appid) if is_number(appid) else None
            if account is None:
                raise no_account(appid)
            yield Change(tx, account)


def no_account(appid: str) -> ServiceError:
    """There is no such account."""
    return errors.NO_SUCH_ENTITY(f"There is no account {appid[:80]!r}.")


def _shown(text: str) -> str:
    """What can be kept and printed of a text that somebody typed."""
    return "".join(character if character.isprintable() else "?" for character in text[:MAX_TEXT])
