"""Tokens of the admin API."""

import secrets
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sordino import errors
from sordino.cam.names import check_name
from sordino.cam.operator import Changes, Operator, change, no_account
from sordino.domain.admin_token import MAX_DAYS, AdminToken
from sordino.domain.ports import Transaction
from sordino.domain.token import digest

PREFIX: Final = "sordino_"
"""What tokens begin with, by which those who look for secrets in repositories know them."""

_RANDOM_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class AdminTokens:
    """What the operator of a service does with tokens of its admin API."""

    changes: Changes

    async def create(
        self,
        operator: Operator,
        name: str,
        *,
        appid: str | None = None,
        read_only: bool = False,
        days: int | None = None,
    ) -> tuple[AdminToken, str]:
        """Make a token; and itself, ``PREFIX`` and 43 URL-safe characters, which shows this once.

        Args:
            operator: who does it.
            name: unique.
            appid: of the one account that it may see and change; None: all of them, and the server.
            read_only: whether it may only look.
            days: how long it is good, 1 to ``MAX_DAYS``; None: for ever.

        Raises:
            ServiceError: InvalidArgument; NoSuchEntity: there is no such account; EntityAlreadyExists.
        """
        bearer, now = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES), self.changes.clock.now()
        async with self._change(operator, "sordino:CreateToken", name, appid) as tx:
            check_name("token", name)
            _check_days(days)
            if appid is not None and await tx.identities.hold(appid) is None:
                raise no_account(appid)
            token = AdminToken(
                name=name,
                appid=appid,
                read_only=read_only,
                created_at=now,
                expires_at=None if days is None else now + timedelta(days=days),
            )
            if not await tx.admin_tokens.add(token, digest(bearer)):
                raise errors.ENTITY_ALREADY_EXISTS(f"There is a token {name} already.")
        return token, bearer

    async def every(self) -> Sequence[AdminToken]:
        """All, by name, also those whose time is over."""
        async with self.changes.database.reading() as tx:
            return await tx.admin_tokens.list()

    async def remove(self, operator: Operator, name: str) -> None:
        """Remove a token, which is good for nothing from then on.

        Raises:
            ServiceError: NoSuchEntity.
        """
        async with self._change(operator, "sordino:DeleteToken", name, None) as tx:
            if not await tx.admin_tokens.remove(name):
                raise errors.NO_SUCH_ENTITY(f"There is no token {name}.")

    async def who(self, bearer: str) -> AdminToken | None:
        """The token, which was sent, or None: it is none, its time is over, or its account is disabled.

        It is looked up by its digest, so that how long that takes tells nothing of it.
        """
        if not bearer.startswith(PREFIX):
            return None
        async with self.changes.database.statement() as tx:
            return await tx.admin_tokens.find(digest(bearer), self.changes.clock.now())

    def _change(
        self, operator: Operator, action: str, name: str, owner: str | None
    ) -> AbstractAsyncContextManager[Transaction]:
        return change(self.changes.database, self.changes.clock, operator, action, f"token/{name}", owner)


def _check_days(days: int | None) -> None:
    if days is not None and not 1 <= days <= MAX_DAYS:
        raise errors.INVALID_ARGUMENT(f"A token shall be good for {days} days; use 1 to {MAX_DAYS}, or none: for ever.")
