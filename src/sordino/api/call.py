"""One request on its way through the API."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from sordino import errors
from sordino.api.body import chunks
from sordino.domain.bucket import Bucket
from sordino.domain.identity import AccessKey
from sordino.domain.ports import Clock, Database
from sordino.jobs.manage import ManageJobs
from sordino.jobs.submit import Submit
from sordino.settings import Settings
from sordino.storage.buckets import BucketStore
from sordino.storage.objects import ObjectStore
from sordino.wire.address import Address
from sordino.wire.query import Query
from sordino.wire.requests import MAX_BODY_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The use cases that handlers call, and ``models``, the names of the engines that a job may choose from."""

    settings: Settings
    models: tuple[str, ...]
    database: Database
    clock: Clock
    buckets: BucketStore
    objects: ObjectStore
    submit: Submit
    jobs: ManageJobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request whose address is known and whose signer was verified.

    Attributes:
        query: the decoded parameters.
        key: the signer's access key.
    """

    request: Request
    services: Services
    address: Address
    query: Query
    key: AccessKey

    async def bucket(self) -> Bucket:
        """The bucket of the address, which the signer's account owns.

        Raises:
            ServiceError: InvalidHost, NoSuchBucket, AccessDenied.
        """
        if self.address.bucket is None:
            raise errors.INVALID_HOST()
        bucket = await self.services.buckets.get(self.address.bucket)
        if bucket.appid != self.key.account.appid:
            raise errors.ACCESS_DENIED(f"The bucket {bucket.name} belongs to another account.")
        if self.address.region not in (None, bucket.region):
            raise errors.NO_SUCH_BUCKET(
                f"The bucket {bucket.name} is in {bucket.region}, not in {self.address.region}; correct the region."
            )
        return bucket

    async def body(self) -> bytes:
        """The whole body of a call that takes XML.

        Raises:
            ServiceError: InvalidContent (413) when it has more than ``MAX_BODY_BYTES``, RequestTimeOut, IncompleteBody.
        """
        return b"".join([chunk async for chunk in chunks(self.request, MAX_BODY_BYTES, errors.CONTENT_TOO_LARGE)])


Handler = Callable[[Call], Awaitable[Response]]


def xml(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An XML reply. The type carries no charset: the Python SDK compares it with ``application/xml``."""
    return Response(body, status, {**(headers or {}), "Content-Type": "application/xml"})
