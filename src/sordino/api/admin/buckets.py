"""Buckets, whosever they are, and their queues."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

from fastapi import APIRouter, Query
from pydantic import Field

from sordino.api.admin.call import Changing, Defaults, Governing, Looking
from sordino.api.admin.fields import OF_DOCUMENT, Body, BucketName, Changes, Document, Id, View, given, parsed
from sordino.domain.acl import Acl
from sordino.domain.queue import MAX_LIMIT, Queue, QueueState
from sordino.domain.quota import MAX_RESULTS_DAYS, MOST
from sordino.domain.release import MAX_WEIGHT
from sordino.storage.operate_buckets import HeldBucket

if TYPE_CHECKING:
    from sordino.domain.queue import NewLimits
    from sordino.domain.quota import NewQuota

routes = APIRouter(prefix="/v1/buckets")

DEFAULT: Final = "default"

_BUCKETS: Final = "buckets"
_QUEUES: Final = "queues"
_Most = Annotated[int, Field(ge=0, le=MOST)] | None
_Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT)] | None


class BucketView(View):
    """A bucket."""

    name: str
    appid: str
    region: str
    created_at: datetime
    acl: Acl
    mounted: bool
    """Whether its objects lie in another store."""
    objects: int | None
    """Null: it is mounted, and nobody counts them here."""
    bytes: int | None
    """Of objects and of parts of unfinished uploads."""
    max_objects: int | None
    """Null: no limit."""
    max_bytes: int | None
    results_days: int
    """How long objects that jobs wrote are kept; 0: for ever."""
    results_days_is_own: bool
    """Or the server's setting."""
    has_policy: bool


class QuotaChanges(Changes):
    """What of a quota to set; null: no limit."""

    max_objects: _Most = None
    max_bytes: _Most = None


class LifecycleChanges(Body):
    """How long a bucket keeps what jobs wrote."""

    results_days: Annotated[int, Field(ge=0, le=MAX_RESULTS_DAYS)] | None
    """0: for ever, null: as the server is set."""


class QueueView(View):
    """A queue."""

    queue_id: str
    name: str
    state: QueueState
    is_default: bool
    max_size: int
    """Jobs that may wait."""
    max_size_is_own: bool
    max_concurrent: int
    """Jobs that may run at a time."""
    max_concurrent_is_own: bool
    weight: int


class QueueChanges(Changes):
    """What of a queue to set; null: the server's setting."""

    max_size: _Limit = None
    max_concurrent: _Limit = None
    weight: Annotated[int, Field(ge=1, le=MAX_WEIGHT)] = 1


def _bucket(held: HeldBucket, defaults: Defaults) -> BucketView:
    bucket, usage = held.bucket, held.usage
    own = bucket.results_days
    return BucketView(
        name=bucket.name,
        appid=bucket.appid,
        region=bucket.region,
        created_at=bucket.created_at,
        acl=bucket.acl,
        mounted=bucket.mounted,
        objects=usage.objects if usage else None,
        bytes=usage.bytes if usage else None,
        max_objects=bucket.quota.objects,
        max_bytes=bucket.quota.bytes,
        results_days=defaults.results_days if own is None else own,
        results_days_is_own=own is not None,
        has_policy=bucket.policy is not None,
    )


def _queue(queue: Queue, defaults: Defaults) -> QueueView:
    return QueueView(
        queue_id=queue.queue_id,
        name=queue.settings.name,
        state=queue.settings.state,
        is_default=queue.is_default,
        max_size=queue.max_size or defaults.queue_max_size,
        max_size_is_own=queue.max_size is not None,
        max_concurrent=queue.max_concurrent or defaults.queue_max_concurrent,
        max_concurrent_is_own=queue.max_concurrent is not None,
        weight=queue.weight,
    )


@routes.get("", tags=[_BUCKETS])
async def list_buckets(
    call: Looking, appid: Annotated[str | None, Query(pattern="^[0-9]{1,20}$", description="Of this account.")] = None
) -> list[BucketView]:
    """List the buckets that the token is for, by name, with what they hold and may hold."""
    wanted = [held for held in await call.cases.buckets.every() if appid in (None, held.bucket.appid)]
    return [_bucket(held, call.cases.defaults) for held in wanted if call.sees(held.bucket.appid)]


@routes.get("/{bucket}", tags=[_BUCKETS])
async def show_bucket(call: Looking, bucket: BucketName) -> BucketView:
    """Show a bucket."""
    return _bucket(await call.cases.buckets.show(bucket), call.cases.defaults)


@routes.patch("/{bucket}/quota", tags=[_BUCKETS])
async def limit_bucket(call: Governing, bucket: BucketName, body: QuotaChanges) -> BucketView:
    """Set how much a bucket may hold; what is not sent stays, and so does what it holds already."""
    quota = cast("NewQuota", {name.removeprefix("max_"): most for name, most in given(body).items()})
    return _bucket(await call.cases.buckets.limit(call.operator, bucket, quota), call.cases.defaults)


@routes.patch("/{bucket}/lifecycle", tags=[_BUCKETS])
async def keep_results(call: Changing, bucket: BucketName, body: LifecycleChanges) -> BucketView:
    """Set how long a bucket keeps the objects that jobs wrote. Others, also copies of these, stay."""
    held = await call.cases.buckets.keep_results(call.operator, bucket, body.results_days)
    return _bucket(held, call.cases.defaults)


@routes.get("/{bucket}/policy", tags=[_BUCKETS])
async def show_bucket_policy(call: Looking, bucket: BucketName) -> dict[str, Any]:
    """Show the policy of a bucket."""
    return parsed(await call.administration.bucket_policies.get(bucket))


@routes.put("/{bucket}/policy", tags=[_BUCKETS], status_code=204, openapi_extra=OF_DOCUMENT)
async def put_bucket_policy(call: Changing, bucket: BucketName, document: Document) -> None:
    """Give a bucket a policy, in place of the one that it has. It holds for the next call."""
    await call.administration.bucket_policies.operate(call.operator, bucket, document)


@routes.delete("/{bucket}/policy", tags=[_BUCKETS], status_code=204)
async def remove_bucket_policy(call: Changing, bucket: BucketName) -> None:
    """Take its policy from a bucket, if it has one."""
    await call.administration.bucket_policies.operate(call.operator, bucket, None)


@routes.get("/{bucket}/queues", tags=[_QUEUES])
async def list_queues(call: Looking, bucket: BucketName) -> list[QueueView]:
    """List the queues of a bucket, the default one first, with their limits and weights."""
    await call.cases.buckets.show(bucket)
    return [_queue(queue, call.cases.defaults) for queue in await call.cases.queues.every(bucket)]


@routes.patch("/{bucket}/queues/{queue_id}", tags=[_QUEUES])
async def limit_queue(call: Governing, bucket: BucketName, queue_id: Id, body: QueueChanges) -> QueueView:
    """Set how many jobs of a queue, or of the one that is `default`, may wait and run, and what it weighs.

    What is not sent stays. It holds within seconds; jobs that wait or run already stay.
    """
    wanted = None if queue_id == DEFAULT else queue_id
    limits = cast("NewLimits", given(body))
    return _queue(await call.cases.queues.limit(call.operator, bucket, wanted, limits), call.cases.defaults)
