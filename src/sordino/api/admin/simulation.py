"""Whether somebody may do something, and what says so."""

import json
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from sordino import errors
from sordino.api.admin.call import Looking
from sordino.api.admin.fields import NAME, Appid, Body, Text, View
from sordino.cam.simulate import ANONYMOUS, ROOT, Who
from sordino.domain.decision import Effect
from sordino.domain.identity import CallerKind

routes = APIRouter(prefix="/v1/accounts/{appid}", tags=["policies"])

_Of = Annotated[str, Field(pattern=NAME)] | None
_Values = Annotated[list[Text], Field(min_length=1, max_length=100)]


class Question(Body):
    """A call that nobody makes: by a user or a role, or by neither, which is the account's root."""

    user: _Of = None
    role: _Of = None
    anonymous: bool = False
    """Whether it is not signed."""
    action: Text
    """Such as `cos:GetObject`."""
    resource: Text
    """In six segments, `*`, or `<bucket>` or `<bucket>/<key>`, of a bucket that there is."""
    context: Annotated[dict[Text, _Values], Field(max_length=50, default_factory=dict)]
    """Condition keys, such as `"qcs:ip": ["10.0.0.1"]`."""

    def who(self) -> Who:
        """Who would make it.

        Raises:
            ServiceError: InvalidArgument.
        """
        named = {
            CallerKind.USER: self.user,
            CallerKind.ROLE: self.role,
        }
        callers = [Who(kind, name) for kind, name in named.items() if name is not None]
        callers += [ANONYMOUS] if self.anonymous else []
        if len(callers) > 1:
            raise errors.INVALID_ARGUMENT("Send one of user, role and anonymous, or none: the root.")
        return callers[0] if callers else ROOT


class Answer(View):
    """What would be decided."""

    allowed: bool
    effect: Effect
    """`none`: nothing allows it, and so it is refused."""
    because: str
    policy: str | None
    """Name of the policy that decided; null: none did."""
    statement_number: int | None
    """Of it, from 1."""
    statement: dict[str, Any] | None
    """Itself."""


@routes.post("/simulate")
async def simulate(call: Looking, appid: Appid, body: Question) -> Answer:
    """Tell whether somebody may do something, by the policies as they are now. Nothing is done."""
    found = await call.administration.simulate(
        appid,
        body.who(),
        action=body.action,
        resource=body.resource,
        context={name: tuple(values) for name, values in body.context.items()},
    )
    decision = found.decision
    return Answer(
        allowed=decision.allowed,
        effect=decision.effect,
        because=decision.because,
        policy=decision.policy,
        statement_number=decision.statement,
        statement=None if found.statement is None else json.loads(found.statement),
    )
