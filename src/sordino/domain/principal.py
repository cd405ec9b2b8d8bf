"""Principals: whom a statement of a bucket's or of a role's policy is about.

https://cloud.tencent.com/document/product/598/10603 ("Element reference"), COS: document 436/12469
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from sordino.domain.identity import Caller, CallerKind

ANYONE: Final = "qcs::cam::anyone:anyone"


class PrincipalKind(StrEnum):
    """What a principal is."""

    ANYONE = "anyone"
    ACCOUNT = "account"
    USER = "user"
    ROLE = "role"
    SERVICE = "service"


class PrincipalError(ValueError):
    """It is no principal; the message says why, as the end of "the principal ..."."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a statement is about.

    Attributes:
        kind: an account is named by its root.
        account: uin of the account; empty of anyone and of services.
        name: of a user its uin, of a role its name, of a service its host; else empty.
    """

    kind: PrincipalKind
    account: str = ""
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what stands in the list ``qcs``: ``*``, everybody, or an account's root, a user or a role.

        Raises:
            PrincipalError: it is none of them.
        """
        if text in {"*", ANYONE}:
            return cls(PrincipalKind.ANYONE)
        match = _PRINCIPAL.fullmatch(text)
        if match is None:
            raise PrincipalError(
                f"{text!r} is not known; write qcs::cam::uin/<uin>:root, ...:uin/<user's uin>, ...:roleName/<role> or "
                f"{ANYONE}"
            )
        account, user, role = match["account"], match["user"], match["role"]
        if role is not None:
            return cls(PrincipalKind.ROLE, account, role)
        if user is None or user == account:
            return cls(PrincipalKind.ACCOUNT, account)
        return cls(PrincipalKind.USER, account, user)

    def names(self, caller: Caller | None) -> bool:
        """Whether it is the caller himself, or everybody; an account's root is that root alone."""
        if self.kind is PrincipalKind.ANYONE:
            return True
        if caller is None or self.account != caller.account.uin:
            return False
        if self.kind is PrincipalKind.ACCOUNT:
            return caller.kind is CallerKind.ROOT
        return _KINDS.get(self.kind) is caller.kind and self.name == caller.name

    def covers(self, caller: Caller | None) -> bool:
        """Whether it is the caller himself, his account, or everybody."""
        if self.kind is PrincipalKind.ACCOUNT:
            return caller is not None and self.account == caller.account.uin
        return self.names(caller)


_PRINCIPAL: Final = re.compile(
    r"qcs::cam::uin/(?P<account>[0-9]{1,20}):(?:root|uin/(?P<user>[0-9]{1,20})|roleName/(?P<role>[\w+=,.@-]{1,128}))",
    re.ASCII,
)
_KINDS: Final = {PrincipalKind.USER: CallerKind.USER, PrincipalKind.ROLE: CallerKind.ROLE}
