"""Who may do what over HTTP: the one place that decides.

Policies are asked first (``domain.decision``): the caller's, his session's and the bucket's. What they say nothing of
an access control list may open to everybody: reading an object that is public-read or lies, saying nothing itself, in a
public-read bucket; and listing such a bucket. An explicit denial closes that, too. Of what is not open nobody learns
whether it exists, unless he may list it.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from sordino import errors
from sordino.api.auth import unsigned
from sordino.api.call import Call
from sordino.api.context import NOTHING, context_of
from sordino.api.operation import OF_THE_CALLER, About, Operation, resource_of
from sordino.domain.acl import READING, Acl
from sordino.domain.bucket import Bucket, StoredObject
from sordino.domain.conditions import Context
from sordino.domain.decision import Asked, Decision, Effect, decide_call
from sordino.domain.mounted_keys import decide_mounted
from sordino.domain.resource import Resource, cos_resource
from sordino.errors import ServiceError

GET_OBJECT: Final = "cos:GetObject"

OVERRIDES: Final = "response-"


async def authorize(call: Call, operation: Operation) -> Call:
    """The call, once whoever calls may make it.

    Raises:
        ServiceError: AccessDenied, MissingAuthorization; InvalidHost, NoSuchBucket, KeyTooLong; NoSuchKey, to those who
            might list what is not there.
    """
    if operation.about is About.KEYS:
        _refuse_strangers(call)
    else:
        call = await allow(call, operation.action, operation.about)
    if operation.acl_action is not None and call.request.headers.get("x-cos-acl"):
        await allow(call, operation.acl_action, operation.about)
    for twin in operation.twins:
        _refuse_denied(call, twin, operation.about)
    return call


async def allow(call: Call, action: str, about: About, body: Context = NOTHING) -> Call:
    """The call, once whoever calls may do this; with the object, where its access control list was looked at.

    Args:
        call: the request.
        action: what it does.
        about: with what.
        body: condition keys that its body tells rather than its head.

    Raises:
        ServiceError: as ``authorize``.
    """
    resource = resource_of(call, about)
    if about in OF_THE_CALLER:
        require(call, action, resource)
        return call
    bucket = call.any_bucket()
    decision = _decide(call, action, resource, bucket, body)
    if not decision.allowed:
        opened = await _open_to_all(call, about, bucket) if _may_be_open(action, decision) else None
        if opened is None:
            raise _denied(call, action, resource, decision)
        call = opened
    call.in_its_region(bucket)
    call.visit.allow(action, resource, decision.because)
    return call


def require(call: Call, action: str, resource: Resource) -> None:
    """Refuse whoever may not do this as well, with something that is no bucket's.

    Raises:
        ServiceError: AccessDenied, MissingAuthorization.
    """
    decision = _decide(call, action, resource)
    if not decision.allowed:
        raise _denied(call, action, resource, decision)
    call.visit.allow(action, resource, decision.because)


def refused_keys(call: Call, action: str, keys: Iterable[str]) -> dict[str, ServiceError]:
    """Those of the keys of the bucket of the address with which whoever calls may not do this, with the reason."""
    bucket = call.bucket()
    refused = {}
    for key in keys:
        resource = cos_resource(bucket.name, bucket.region, bucket.owner, key)
        decision = _decide(call, action, resource, bucket)
        if decision.allowed:
            call.visit.allow(action, resource, decision.because)
        else:
            refused[key] = _denied(call, action, resource, decision)
    return refused


async def object_to_read(call: Call) -> tuple[Bucket, StoredObject]:
    """The bucket and the object of a call that reads it and was allowed.

    Raises:
        ServiceError: NoSuchKey, AccessDenied.
    """
    if call.caller is None and any(name.startswith(OVERRIDES) for name, _ in call.query):
        raise errors.ACCESS_DENIED(
            "Only signed requests may change headers of the reply; sign it, or leave response-* out."
        )
    bucket = call.bucket()
    return bucket, call.stored or await call.services.objects.head(bucket, call.object_key)


def _decide(
    call: Call, action: str, resource: Resource, bucket: Bucket | None = None, body: Context = NOTHING
) -> Decision:
    asked = Asked(action=action, resource=resource, context=context_of(call, action, resource, body))
    policy = None if bucket is None else bucket.named_policy
    return decide_mounted(lambda it: decide_call(call.caller, it, policy), asked, bucket)


def _denied(call: Call, action: str, resource: Resource, decision: Decision) -> ServiceError:
    """The refusal; who did not sign learns nothing but that."""
    call.visit.deny(action, resource, decision.because)
    if call.caller is None:
        return unsigned(call.address.service)
    return errors.ACCESS_DENIED(f"You may not do this: {decision.because}.")


def _refuse_denied(call: Call, action: str, about: About) -> None:
    """Refuse those whom a policy denies an action, though what they do has another name at this address."""
    resource = resource_of(call, about)
    decision = _decide(call, action, resource, call.any_bucket())
    if decision.effect is Effect.DENY:
        raise _denied(call, action, resource, decision)


def _refuse_strangers(call: Call) -> None:
    """Refuse those to whom no policy can allow anything, before a long body is read."""
    bucket = call.any_bucket()
    account = call.key.account
    if account.appid != bucket.appid and bucket.policy is None:
        raise errors.ACCESS_DENIED(f"You may not do this: the bucket {bucket.name} belongs to another account.")
    call.in_its_region(bucket)


def _may_be_open(action: str, decision: Decision) -> bool:
    return action in READING and decision.effect is Effect.NONE


async def _open_to_all(call: Call, about: About, bucket: Bucket) -> Call | None:
    """The call, with the object that it reads, if access control lists open that to everybody.

    Raises:
        ServiceError: NoSuchKey, to those who may list the bucket.
    """
    if about is not About.OBJECT:
        return call if bucket.acl is Acl.PUBLIC_READ else None
    if bucket.mounted and bucket.acl is not Acl.PUBLIC_READ:
        # Nothing in it is open, and its store need not be asked.
        return None
    stored = await call.services.objects.find(bucket, call.object_key)
    if stored is None:
        if _may_list(call, bucket):
            raise errors.NO_SUCH_KEY()
        return None
    return replace(call, stored=stored) if stored.acl.within(bucket.acl) is Acl.PUBLIC_READ else None


def _may_list(call: Call, bucket: Bucket) -> bool:
    keys = cos_resource(bucket.name, bucket.region, bucket.owner, call.object_key)
    decision = _decide(call, "cos:GetBucket", keys, bucket)
    return decision.allowed or (decision.effect is Effect.NONE and bucket.acl is Acl.PUBLIC_READ)
