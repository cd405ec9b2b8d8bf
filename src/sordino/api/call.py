"""One request on its way through the API."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from sordino import errors
from sordino.api.auth import unsigned
from sordino.api.body import cos_body, document
from sordino.api.cmq import MessageService
from sordino.api.visit import Visit, Watch
from sordino.cam.bucket_policies import BucketPolicies
from sordino.cam.sts import Sts
from sordino.domain.bucket import MAX_KEY_BYTES, Bucket, StoredObject
from sordino.domain.identity import Caller, Signer
from sordino.domain.ports import Clock, Database
from sordino.jobs.callbacks import JobCallbacks
from sordino.jobs.manage import ManageJobs
from sordino.jobs.queues import Queues
from sordino.jobs.submit import Submit
from sordino.jobs.templates import Templates
from sordino.settings import Settings
from sordino.storage.bindings import Bindings
from sordino.storage.buckets import BucketStore
from sordino.storage.copy import Copies
from sordino.storage.objects import ObjectStore
from sordino.storage.quota import Quotas
from sordino.storage.sharing import Sharing
from sordino.storage.uploads import UploadStore
from sordino.wire.address import Address
from sordino.wire.paging import MAX_ID
from sordino.wire.part import MAX_BODY_BYTES, Part, read_cos
from sordino.wire.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The use cases that handlers call, and ``models``, the names of the engines that a job may choose from.

    ``messages`` is None when no region's message queue is our own.
    """

    settings: Settings
    models: tuple[str, ...]
    database: Database
    clock: Clock
    buckets: BucketStore
    objects: ObjectStore
    uploads: UploadStore
    sharing: Sharing
    copies: Copies
    quotas: Quotas
    submit: Submit
    jobs: ManageJobs
    queues: Queues
    templates: Templates
    bindings: Bindings
    callbacks: JobCallbacks
    messages: MessageService | None
    bucket_policies: BucketPolicies
    sts: Sts
    watch: Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request whose address is known and whose signer, if it has one, was verified.

    Attributes:
        request_id: as in the reply's header.
        visit: the call as limits and the audit log see it.
        query: the decoded parameters.
        signer: the access key that signed; None: nobody did. Handlers ask ``key``.
        named_bucket: of the address, whoever owns it; None when there is none of that name. Handlers ask ``bucket``.
        stored: the object of the address, if it was looked up to see who may read it.
    """

    request: Request
    request_id: str
    visit: Visit
    services: Services
    address: Address
    query: Query
    signer: Signer | None
    named_bucket: Bucket | None
    stored: StoredObject | None = None

    @property
    def key(self) -> Signer:
        """The access key that signed.

        Raises:
            ServiceError: AccessDenied, of CI MissingAuthorization: nobody did.
        """
        if self.signer is None:
            raise unsigned(self.address.service)
        return self.signer

    @property
    def last_segment(self) -> str:
        """What the path ends with: the id, or ids, of a call that takes one."""
        return self.address.path.rpartition("/")[2]

    @property
    def last_id(self) -> str:
        """The one id that the path ends with; whether there is anything of that id is another question.

        Raises:
            ServiceError: InvalidArgument when it is longer than ids are.
        """
        if len(self.last_segment) > MAX_ID:
            raise errors.INVALID_ARGUMENT(f"The id in the path is longer than {MAX_ID} characters.")
        return self.last_segment

    @property
    def object_key(self) -> str:
        """The key of the address.

        Raises:
            ServiceError: KeyTooLong.
        """
        key = self.address.path[1:]
        if len(key.encode()) > MAX_KEY_BYTES:
            raise errors.KEY_TOO_LONG()
        return key

    @property
    def caller(self) -> Caller | None:
        """Who calls; None: nobody signed."""
        return None if self.signer is None else self.signer.caller

    @property
    def source(self) -> str:
        """The client's address."""
        return self.visit.source.address

    @property
    def secure(self) -> bool:
        """Whether it came by TLS."""
        return self.visit.source.secure

    @property
    def bucket_name(self) -> str:
        """The name of the bucket of the address, whether there is one.

        Raises:
            ServiceError: InvalidHost.
        """
        if self.address.bucket is None:
            raise errors.INVALID_HOST()
        return self.address.bucket

    def any_bucket(self) -> Bucket:
        """The bucket of the address, whoever may do what with it.

        Raises:
            ServiceError: InvalidHost, NoSuchBucket; AccessDenied, which tells those who did not sign nothing.
        """
        if self.address.bucket is None:
            raise errors.INVALID_HOST()
        if self.named_bucket is None:
            raise errors.NO_SUCH_BUCKET() if self.signer else unsigned(self.address.service)
        return self.named_bucket

    def bucket(self) -> Bucket:
        """The bucket of the address. Handlers are called once whoever calls was let do what the call does.

        Raises:
            ServiceError: as ``any_bucket``; NoSuchBucket when the address names another region.
        """
        return self.in_its_region(self.any_bucket())

    def in_its_region(self, bucket: Bucket) -> Bucket:
        """The bucket, if the address names no other region.

        Raises:
            ServiceError: NoSuchBucket.
        """
        if self.address.region not in (None, bucket.region):
            raise errors.NO_SUCH_BUCKET(
                f"The bucket {bucket.name} is in {bucket.region}, not in {self.address.region}; correct the region."
            )
        return bucket

    async def check_room(self, *, key: str | None = None, part: tuple[str, int] | None = None) -> None:
        """Refuse a body whose length says that the bucket has no room for it, as an object or a part of an upload.

        Raises:
            ServiceError: QuotaExceeded.
        """
        if (length := self.request.headers.get("content-length")) is not None:
            await self.services.quotas.check(self.bucket(), int(length), key=key, part=part)

    async def document(self) -> bytes:
        """The body of a call that takes XML.

        Raises:
            ServiceError: InvalidContentType, MissingContentLength, InvalidContent, RequestTimeOut, IncompleteBody.
        """
        return await document(self.request)

    async def cos_document(self, root: str, most: int = MAX_BODY_BYTES) -> Part:
        """The body of a COS call that takes XML with that root element.

        Raises:
            ServiceError: MissingContentLength, EntityTooLarge when it has more than ``most`` bytes, BadDigest,
                InvalidDigest, MissingRequestBodyError, MalformedXML, RequestTimeOut, IncompleteBody.
        """
        body = await cos_body(self.request, most)
        # A long one takes tenths of a second, in which others are answered.
        return await asyncio.to_thread(read_cos, body, root, most)


Handler = Callable[[Call], Awaitable[Response]]


def xml(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An XML reply. The type carries no charset: the Python SDK compares it with ``application/xml``."""
    return Response(body, status, {**(headers or {}), "Content-Type": "application/xml"})
