"""``/v1/accounts``."""

from collections.abc import Sequence
from typing import Annotated, cast

from fastapi import APIRouter
from pydantic import Field

from sordino.api.admin.call import Call, Governing, Looking
from sordino.api.admin.fields import Appid, Body, Changes, Text, View, given
from sordino.api.admin.keys import NewKeyView
from sordino.cam.names import MAX_NAME
from sordino.domain.allowance import MAX_NUMBER, MAX_SECONDS, NewAllowance
from sordino.domain.identity import Account
from sordino.domain.release import MAX_WEIGHT

routes = APIRouter(prefix="/v1/accounts", tags=["accounts"])

_Name = Annotated[Text, Field(max_length=MAX_NAME)]
_Number = Annotated[str, Field(pattern="^[1-9][0-9]{4,19}$")]
_Weight = Annotated[int, Field(ge=1, le=MAX_WEIGHT)]


class AllowanceView(View):
    """How much an account may ask of the server; null: as the server is set."""

    requests_per_second: int | None
    queued_jobs: int | None
    audio_seconds: int | None
    """Of audio that its jobs may read a day (UTC)."""


class AccountView(View):
    """An account."""

    appid: str
    uin: str
    """Number of its root user."""
    name: str
    enabled: bool
    """Whether its keys are good for anything."""
    weight: int
    """Its share of the workers beside other accounts."""
    allowance: AllowanceView


class NewAccount(Body):
    """An account to make."""

    name: _Name = ""
    appid: _Number | None = None
    """Null: a random one."""
    uin: _Number | None = None
    """The same."""


class CreatedAccount(View):
    """An account that was made."""

    account: AccountView
    key: NewKeyView
    """The first key of its root."""


class AllowanceChanges(Changes):
    """What of an allowance to set; null: as the server is set."""

    requests_per_second: Annotated[int, Field(ge=1, le=MAX_NUMBER)] | None = None
    queued_jobs: Annotated[int, Field(ge=0, le=MAX_NUMBER)] | None = None
    audio_seconds: Annotated[int, Field(ge=0, le=MAX_SECONDS)] | None = None


class AccountChanges(Changes):
    """What of an account to set."""

    name: _Name = ""
    enabled: bool = True
    weight: _Weight = 1
    allowance: AllowanceChanges = AllowanceChanges()


def _view(account: Account) -> AccountView:
    return AccountView.model_validate(account)


@routes.get("")
async def list_accounts(call: Looking) -> list[AccountView]:
    """List the accounts that the token is for, the first one first."""
    return [_view(account) for account in await _visible(call)]


async def _visible(call: Call) -> Sequence[Account]:
    accounts = call.administration.accounts
    return await accounts.every() if call.token.appid is None else [await accounts.get(call.token.appid)]


@routes.post("", status_code=201)
async def create_account(call: Governing, body: NewAccount) -> CreatedAccount:
    """Create an account with its CI role, and the first key of its root, whose secret shows this once."""
    account, key = await call.administration.accounts.create(call.operator, body.name, appid=body.appid, uin=body.uin)
    return CreatedAccount(account=_view(account), key=NewKeyView.model_validate(key))


@routes.get("/{appid}")
async def show_account(call: Looking, appid: Appid) -> AccountView:
    """Show an account."""
    return _view(await call.administration.accounts.get(appid))


@routes.patch("/{appid}")
async def change_account(call: Governing, appid: Appid, body: AccountChanges) -> AccountView:
    """Rename, enable, disable, weigh or limit an account; what is not sent stays.

    Of an account that is disabled no key and no token is good for anything.
    """
    accounts, changes = call.administration.accounts, given(body)
    account = await accounts.get(appid)
    if named := {name: changes[name] for name in ("name", "enabled") if name in changes}:
        account = await accounts.change(call.operator, appid, **named)
    if "weight" in changes:
        account = await accounts.weigh(call.operator, appid, body.weight)
    if "allowance" in changes:
        account = await accounts.allow(call.operator, appid, cast("NewAllowance", given(body.allowance)))
    return _view(account)
