"""The audit log."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from sordino.api.admin.call import Call, Looking
from sordino.api.admin.fields import Text, View
from sordino.cam.operator import no_account
from sordino.domain.audit import AuditSearch, NumberedEntry

routes = APIRouter(prefix="/v1/audit", tags=["audit log"])

MAX_PAGE: Final = 1000
MAX_NUMBER: Final = 2**63 - 1


class EntryView(View):
    """A call, as the log tells of it."""

    number: int
    at: datetime
    appid: str | None
    """Of the caller's account; null: nobody known, or an operator."""
    caller: str
    secret_id: str | None
    source: str
    """The client's address."""
    request_id: str
    action: str
    resource: str
    owner: str | None
    """APPID of the account whose resource it is; null: nobody's."""
    allowed: bool
    """Whether the caller might do it; how it went on is told by `code`."""
    code: str
    """The error code of the reply; empty: it was done."""
    reason: str
    """What decided, or the refusal's message."""


class EntriesView(View):
    """A page of the log, the newest first."""

    entries: list[EntryView]
    before: int | None
    """What to send as `before` for the next page; null: this is the last one."""


class Search(BaseModel):
    """Which entries are asked for; what is not sent may be as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    account: Annotated[str, Field(pattern="^[0-9]{1,20}$")] | None = None
    """APPID of the caller's account or the owner's."""
    caller: Text | None = None
    """Such as `uin/100000000001` or `operator/token/ops`."""
    secret_id: Text | None = None
    source: Text | None = None
    action: Text | None = None
    request_id: Text | None = None
    allowed: bool | None = None
    since: AwareDatetime | None = None
    """Not before, with its time zone."""
    until: AwareDatetime | None = None
    """Before."""
    before: Annotated[int, Field(ge=0, le=MAX_NUMBER)] | None = None
    """Only entries with a smaller number: of the page before this one."""
    size: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100


@routes.get("")
async def search_audit(call: Looking, search: Annotated[Search, Query()]) -> EntriesView:
    """Search the log for what the accounts that the token is for did, and for what was done with theirs.

    What happened within the last second may not be there yet.
    """
    found = await call.administration.audit.search(_search(call, search))
    last = found[-1].number if len(found) == search.size else None
    return EntriesView(entries=[_view(one) for one in found], before=last)


def _search(call: Call, search: Search) -> AuditSearch:
    account = search.account or call.token.appid
    if account is not None and not call.sees(account):
        raise call.refuse(no_account(account))
    return AuditSearch(**{**search.model_dump(), "account": account})


def _view(numbered: NumberedEntry) -> EntryView:
    return EntryView(number=numbered.number, **asdict(numbered.entry))
