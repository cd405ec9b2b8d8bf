"""Keys of an account's root and of its users."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import APIRouter
from pydantic import Field

from sordino.api.admin.call import Changing, Looking
from sordino.api.admin.fields import Appid, Changes, Name, SecretId, View, given
from sordino.domain.allowance import MAX_NUMBER
from sordino.domain.identity import KeyUse

if TYPE_CHECKING:
    from sordino.cam.keys import KeySettings

routes = APIRouter(prefix="/v1/accounts/{appid}", tags=["keys"])


class NewKeyView(View):
    """A key that was made; its secret shows this once."""

    secret_id: str
    secret_key: str


class KeyView(View):
    """A key."""

    secret_id: str
    uin: str | None
    """Of the user; null: it is the root's."""
    enabled: bool
    requests_per_second: int | None
    """With this key; null: no more than the account's."""
    created_at: datetime
    used_at: datetime | None
    """Last, to the minute or so; null: never."""


class KeyChanges(Changes):
    """What of a key to set."""

    enabled: bool = True
    requests_per_second: Annotated[int, Field(ge=1, le=MAX_NUMBER)] | None = None
    """Null: no more than the account's."""


def _view(use: KeyUse) -> KeyView:
    key = use.key
    return KeyView(
        secret_id=key.secret_id,
        uin=key.uin,
        enabled=key.enabled,
        requests_per_second=key.requests_per_second,
        created_at=use.created_at,
        used_at=use.used_at,
    )


@routes.get("/keys")
async def list_root_keys(call: Looking, appid: Appid) -> list[KeyView]:
    """List the keys of the account's root, the first one first."""
    return [_view(use) for use in await call.administration.keys.every(appid, None)]


@routes.post("/keys", status_code=201)
async def add_root_key(call: Changing, appid: Appid) -> NewKeyView:
    """Make a key for the account's root."""
    return NewKeyView.model_validate(await call.administration.keys.add(call.operator, appid, None))


@routes.get("/users/{name}/keys")
async def list_keys(call: Looking, appid: Appid, name: Name) -> list[KeyView]:
    """List the keys of a user, the first one first."""
    return [_view(use) for use in await call.administration.keys.every(appid, name)]


@routes.post("/users/{name}/keys", status_code=201)
async def add_key(call: Changing, appid: Appid, name: Name) -> NewKeyView:
    """Make a key for a user."""
    return NewKeyView.model_validate(await call.administration.keys.add(call.operator, appid, name))


@routes.patch("/keys/{secret_id}")
async def change_key(call: Changing, appid: Appid, secret_id: SecretId, body: KeyChanges) -> KeyView:
    """Enable, disable or limit a key, whosever it is; what is not sent stays."""
    changes = cast("KeySettings", given(body))
    return _view(await call.administration.keys.change(call.operator, appid, secret_id, **changes))


@routes.post("/keys/{secret_id}/rotate", status_code=201)
async def rotate_key(call: Changing, appid: Appid, secret_id: SecretId) -> NewKeyView:
    """Make another key for whoever has this one, which stays good until it is disabled."""
    return NewKeyView.model_validate(await call.administration.keys.rotate(call.operator, appid, secret_id))


@routes.delete("/keys/{secret_id}", status_code=204)
async def remove_key(call: Changing, appid: Appid, secret_id: SecretId) -> None:
    """Remove a key, with the temporary keys that it asked for."""
    await call.administration.keys.remove(call.operator, appid, secret_id)
