"""Policies of buckets."""

from dataclasses import dataclass
from typing import Final

from sordino import errors
from sordino.cam.documents import read_document
from sordino.cam.operator import Changes, Operator
from sordino.domain.bucket import Bucket
from sordino.domain.patterns import ResourcePattern
from sordino.domain.policy import Policy, PolicyKind
from sordino.domain.ports import Transaction

_SERVICES: Final = {"cos": "{bucket}/", "ci": "bucket/{bucket}/"}
"""How the paths of what is in a bucket begin, by service."""


@dataclass(frozen=True, slots=True)
class BucketPolicies:
    """Policies of buckets, for calls of COS, which the API audits, and for operators."""

    changes: Changes

    async def put(self, bucket: str, document: str) -> None:
        """Give a bucket a policy, in place of the one that it has. It holds for the next call.

        Raises:
            ServiceError: NoSuchBucket, MalformedPolicy: also when a statement is about nothing in the bucket.
        """
        async with self.changes.database.transaction() as tx:
            await _put(tx, bucket, document)

    async def get(self, bucket: str) -> str:
        """The document.

        Raises:
            ServiceError: NoSuchBucket, NoSuchBucketPolicy.
        """
        async with self.changes.database.reading() as tx:
            found = (await _bucket(tx, bucket)).policy
        if found is None:
            raise errors.NO_SUCH_BUCKET_POLICY(f"The bucket {bucket} has no policy.")
        return found

    async def remove(self, bucket: str) -> None:
        """Take its policy from a bucket, if it has one.

        Raises:
            ServiceError: NoSuchBucket.
        """
        async with self.changes.database.transaction() as tx:
            await _put(tx, bucket, None)

    async def operate(self, operator: Operator, bucket: str, document: str | None) -> None:
        """The same for an operator; None takes the policy away.

        Raises:
            ServiceError: NoSuchBucket, MalformedPolicy.
        """
        action = f"cos:{'Delete' if document is None else 'Put'}BucketPolicy"
        async with self.changes.of_bucket(operator, action, bucket) as tx:
            await _put(tx, bucket, document)


async def _bucket(tx: Transaction, name: str) -> Bucket:
    bucket = await tx.buckets.get(name) if name.isprintable() else None
    if bucket is None:
        raise errors.NO_SUCH_BUCKET(f"There is no bucket {name[:80]!r}.")
    return bucket


async def _put(tx: Transaction, name: str, document: str | None) -> None:
    bucket = await _bucket(tx, name)
    if document is not None:
        _check_inside(read_document(document, PolicyKind.BUCKET), bucket)
    await tx.policies.put_bucket_policy(name, document)


def _check_inside(policy: Policy, bucket: Bucket) -> None:
    """Refuse a policy of which a resource is nothing in the bucket: whoever wrote it meant another one."""
    for statement in policy.statements:
        for pattern in statement.resources or ():
            if not any(_may_cover(pattern, service, bucket) for service in _SERVICES):
                raise errors.MALFORMED_POLICY(
                    f"Statement {statement.number}: a resource is nothing in this bucket; write "
                    f"qcs::cos:{bucket.region}:uid/{bucket.appid}:{bucket.name}/*, or a part of it."
                )


def _may_cover(pattern: ResourcePattern, service: str, bucket: Bucket) -> bool:
    if not (
        pattern.service.covers(service)
        and pattern.region.covers(bucket.region)
        and pattern.is_of(bucket.owner, bucket.owner)
    ):
        return False
    inside = _SERVICES[service].format(bucket=bucket.name)
    head, stars = pattern.path.pieces[0], len(pattern.path.pieces) > 1
    return head.startswith(inside) or (stars and inside.startswith(head)) or head == inside[:-1]
