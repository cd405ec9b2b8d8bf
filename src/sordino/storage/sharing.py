"""Who else may use a bucket: access control lists, and the web pages of other origins."""

from dataclasses import dataclass

from sordino import errors
from sordino.domain.acl import Acl
from sordino.domain.bucket import Bucket
from sordino.domain.cors import Cors
from sordino.domain.ports import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """The use cases of sharing; ``default_cors`` holds for buckets without rules of their own."""

    database: Database
    default_cors: Cors

    async def share_bucket(self, bucket: Bucket, acl: Acl) -> None:
        """Set who may read objects of the bucket that say nothing else, and list them.

        Raises:
            ServiceError: NoSuchBucket, when it was removed meanwhile.
        """
        async with self.database.transaction() as tx:
            if not await tx.sharing.share_bucket(bucket.name, acl):
                raise errors.NO_SUCH_BUCKET()

    async def share_object(self, bucket: Bucket, key: str, acl: Acl) -> None:
        """Set who may read the object.

        Raises:
            ServiceError: NoSuchKey; NotImplemented in a mounted bucket.
        """
        if bucket.mounted:
            raise errors.NOT_IMPLEMENTED(
                "Objects of a mounted bucket have no access control lists of their own; set the bucket's."
            )
        async with self.database.transaction() as tx:
            if not await tx.sharing.share_object(bucket.name, key, acl):
                raise errors.NO_SUCH_KEY()

    async def cors_of(self, bucket: Bucket) -> Cors:
        """The rules that the bucket has itself.

        Raises:
            ServiceError: NoSuchCORSConfiguration.
        """
        async with self.database.reading() as tx:
            cors = await tx.sharing.cors(bucket.name)
        if cors is None:
            raise errors.NO_SUCH_CORS()
        return cors

    async def cors_in_force(self, name: str | None) -> Cors:
        """The rules that hold for requests that name this bucket, whether it exists or not, or none."""
        if name is None:
            return self.default_cors
        async with self.database.reading() as tx:
            return await tx.sharing.cors(name) or self.default_cors

    async def set_cors(self, bucket: Bucket, cors: Cors | None) -> None:
        """Give the bucket rules of its own; None: have the server's rules hold again.

        Raises:
            ServiceError: NoSuchBucket, when it was removed meanwhile.
        """
        async with self.database.transaction() as tx:
            if not await tx.sharing.set_cors(bucket.name, cors):
                raise errors.NO_SUCH_BUCKET()
