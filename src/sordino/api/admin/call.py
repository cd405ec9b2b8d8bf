"""A call of the admin API: who makes it, what he may see, and the use cases that answer it."""

from dataclasses import dataclass, replace
from typing import Annotated, Final, cast

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from sordino import errors
from sordino.api.visit import Watch
from sordino.cam.administration import Administration
from sordino.cam.operator import Operator, no_account
from sordino.domain.admin_token import AdminToken
from sordino.domain.audit import AuditEntry
from sordino.domain.bucket import appid_of
from sordino.domain.ports import Clock
from sordino.errors import ServiceError
from sordino.jobs.operate import OperateJobs
from sordino.jobs.queues import Queues
from sordino.storage.operate_buckets import OperateBuckets

CALL: Final = "sordino.admin_call"
"""The key of a scope under which a call is kept from sign-in on."""

_BEARER: Final = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description=(
        "A token that `sordino admin token create` made. Calls of the role `change` need one that may do more than "
        "look, those of `all accounts` one that is for all accounts."
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What holds where a bucket or a queue has nothing of its own: of the server's settings."""

    results_days: int
    queue_max_size: int
    queue_max_concurrent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """What answers calls, and what judges who makes them."""

    administration: Administration
    buckets: OperateBuckets
    queues: Queues
    jobs: OperateJobs
    defaults: Defaults
    clock: Clock
    watch: Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call whose token is good.

    Attributes:
        operator: as whom its use cases know its bearer.
        entry: what the audit log would tell of it, if it were refused.
    """

    cases: Cases
    token: AdminToken
    operator: Operator
    entry: AuditEntry

    @property
    def administration(self) -> Administration:
        """The use cases of who may do what."""
        return self.cases.administration

    def sees(self, appid: str | None) -> bool:
        """Whether the token is for that account; None: for what is no account's."""
        return self.token.appid in (None, appid)

    def refuse(self, refusal: ServiceError) -> ServiceError:
        """The refusal, of which the audit log is told: the token is not for this."""
        self.cases.watch.audit.note(replace(self.entry, code=refusal.code, reason=refusal.message))
        return refusal

    def deny(self, why: str) -> ServiceError:
        """The refusal of a token that may not do this."""
        return self.refuse(errors.ACCESS_DENIED(f"The token {self.token.name} {why}."))


def _seen(request: Request, _: Annotated[object, Security(_BEARER)]) -> Call:
    """Refuse what the path names of other accounts as if there were none of it, whether there is or not."""
    call = cast("Call", request.scope[CALL])
    appid = request.path_params.get("appid")
    if appid is not None and not call.sees(appid):
        raise call.refuse(no_account(appid))
    bucket = request.path_params.get("bucket")
    if bucket is not None and not call.sees(appid_of(bucket)):
        raise call.refuse(errors.NO_SUCH_BUCKET(f"There is no bucket {bucket[:80]!r}."))
    return call


Looking = Annotated[Call, Depends(_seen)]
"""Of whoever may see what the path names."""


def _changes(call: Looking) -> Call:
    if call.token.read_only:
        raise call.deny("may only look")
    return call


Changing = Annotated[Call, Security(_changes, scopes=["change"])]
"""Of whoever may change it, too."""


def _oversees(call: Looking) -> Call:
    if call.token.appid is not None:
        raise call.deny(f"is for the account {call.token.appid} alone")
    return call


Overseeing = Annotated[Call, Security(_oversees, scopes=["all accounts"])]
"""Of whoever may see what is of no one account."""


def _governs(call: Changing, _: Overseeing) -> Call:
    return call


Governing = Annotated[Call, Security(_governs, scopes=["change", "all accounts"])]
"""Of whoever may change what accounts have from the server, such as limits, which they do not set themselves."""
