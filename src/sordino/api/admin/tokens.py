"""Tokens of this very API: for those of all accounts alone, since a token can make another."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from sordino.api.admin.call import Governing, Looking, Overseeing
from sordino.api.admin.fields import NAME, Body, Name, View
from sordino.domain.admin_token import MAX_DAYS

routes = APIRouter(prefix="/v1", tags=["tokens"])


class TokenView(View):
    """A token, but not itself."""

    name: str
    appid: str | None
    """Of the one account that it may see and change; null: all of them, and the server."""
    read_only: bool
    created_at: datetime
    expires_at: datetime | None
    """Null: never."""
    used_at: datetime | None
    """Last, to the minute or so; null: never."""


class NewToken(Body):
    """A token to make."""

    name: Annotated[str, Field(pattern=NAME)]
    appid: Annotated[str, Field(pattern="^[0-9]{1,20}$")] | None = None
    """Of the one account that it may see and change; null: all of them, and the server."""
    read_only: bool = False
    days: Annotated[int, Field(ge=1, le=MAX_DAYS)] | None = None
    """How long it is good; null: for ever."""


class CreatedToken(View):
    """A token that was made."""

    token: TokenView
    bearer: str
    """Itself, which shows this once: `Authorization: Bearer` and it."""


@routes.get("/token")
async def show_own_token(call: Looking) -> TokenView:
    """Show the token that calls."""
    return TokenView.model_validate(call.token)


@routes.get("/tokens")
async def list_tokens(call: Overseeing) -> list[TokenView]:
    """List all tokens, by name, also those whose time is over."""
    return [TokenView.model_validate(token) for token in await call.administration.tokens.every()]


@routes.post("/tokens", status_code=201)
async def create_token(call: Governing, body: NewToken) -> CreatedToken:
    """Make a token."""
    token, bearer = await call.administration.tokens.create(
        call.operator, body.name, appid=body.appid, read_only=body.read_only, days=body.days
    )
    return CreatedToken(token=TokenView.model_validate(token), bearer=bearer)


@routes.delete("/tokens/{name}", status_code=204)
async def remove_token(call: Governing, name: Name) -> None:
    """Remove a token, which is good for nothing from then on."""
    await call.administration.tokens.remove(call.operator, name)
