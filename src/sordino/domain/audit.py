"""What the audit log tells: who was let do what, and who was not."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One call.

    Attributes:
        at: when it was decided.
        appid: of the caller's account; None: nobody known, or an operator.
        caller: ``uin/<uin>``, ``roleName/<name>``, ``operator/<name>``, ``anonymous``, or ``unknown`` with a key that
            there is not or a wrong signature.
        secret_id: of the key, as it was sent; None: there was none.
        source: the client's address.
        request_id: as in the reply.
        action: as policies name it, or of an operator what was done.
        resource: as policies name it.
        owner: APPID of the account whose resource it is; None: nobody's.
        allowed: whether the caller might do it; how it went on is told by ``code``.
        code: the error code of the reply; empty: it was done.
        reason: the policy and statement that decided, or the refusal's message.
    """

    at: datetime
    appid: str | None
    caller: str
    secret_id: str | None
    source: str
    request_id: str
    action: str
    resource: str
    owner: str | None
    allowed: bool
    code: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSearch:
    """Which entries are asked for; None: whatever it is there.

    Attributes:
        account: of the caller or the owner.
        since: not before.
        until: before.
        before: only entries with a smaller number, for the next page.
        size: at most so many, the newest first.
    """

    account: str | None = None
    caller: str | None = None
    secret_id: str | None = None
    source: str | None = None
    action: str | None = None
    request_id: str | None = None
    allowed: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    size: int = 100


@dataclass(frozen=True, slots=True)
class NumberedEntry:
    """An entry of the log, with its number."""

    number: int
    entry: AuditEntry
