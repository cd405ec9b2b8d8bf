"""What an operation is: a documented call, who handles it, and how policies speak of it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sordino.api.call import Call, Handler
from sordino.domain.resource import Resource, account_resource, ci_resource, cos_resource


class About(StrEnum):
    """What an operation is about; policies name it as the resource."""

    ACCOUNT = "account"
    """All that the caller's account has of a service; only ``*`` covers it."""
    NEW_BUCKET = "new bucket"
    """A bucket of the caller's account that need not be there yet."""
    BUCKET = "bucket"
    LIST = "list"
    """The keys of a bucket that begin as is asked."""
    OBJECT = "object"
    KEYS = "keys"
    """Objects that the body names; each is decided for itself, by the handler."""
    CI = "ci"
    """What CI has of a bucket."""


OF_THE_CALLER: Final = frozenset({About.ACCOUNT, About.NEW_BUCKET})
"""What belongs to the caller's account, whatever the address names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A documented call.

    Attributes:
        name: as the service documents it.
        method: of HTTP.
        handler: makes the reply once ``access.authorize`` has let the call pass.
        action: which policies must allow.
        about: with what.
        acl_action: which they must allow as well when the header ``x-cos-acl`` says who may read what is made.
        twins: actions of the calls that do the same at other addresses; none of them may be denied.
    """

    name: str
    method: str
    handler: Handler
    action: str
    about: About
    acl_action: str | None = None
    twins: tuple[str, ...] = ()


def resource_of(call: Call, about: About) -> Resource:
    """What a call is about.

    Raises:
        ServiceError: AccessDenied or MissingAuthorization: it needs a caller, and nobody signed; InvalidHost,
            NoSuchBucket: it needs a bucket, and there is none.
    """
    if about is About.ACCOUNT:
        return account_resource(call.address.service.value, call.key.account.owner)
    if about is About.NEW_BUCKET:
        region = call.address.region or call.services.settings.region
        return cos_resource(call.bucket_name, region, call.key.account.owner)
    bucket = call.any_bucket()
    match about:
        case About.CI:
            return ci_resource(bucket.name, bucket.region, bucket.owner)
        case About.OBJECT:
            return cos_resource(bucket.name, bucket.region, bucket.owner, call.object_key)
        case About.LIST:
            return cos_resource(bucket.name, bucket.region, bucket.owner, _prefix(call))
    return cos_resource(bucket.name, bucket.region, bucket.owner)


def _prefix(call: Call) -> str:
    """The prefix that is asked for; a list that gives two is refused by its handler."""
    return next((value for name, value in call.query if name == "prefix"), "")
