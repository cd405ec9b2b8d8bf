"""Mounting buckets: what the operator of a service does, and nobody else."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sordino import errors
from sordino.cam.operator import Changes, Operator
from sordino.domain.bucket import Bucket, split_bucket
from sordino.domain.mount import Location, Mount, parse_location
from sordino.domain.ports import Clock, Database, Transaction, Vault
from sordino.storage.buckets import BucketStore

TryMount = Callable[[Mount, str], Awaitable[str | None]]
"""Whether a mount can be used with that secret; what is wrong with it, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MountStore:
    """The use cases of mounts; ``region`` is that of buckets that are mounted on no bucket of COS."""

    database: Database
    clock: Clock
    vault: Vault
    buckets: BucketStore
    region: str
    try_mount: TryMount

    async def mount(
        self,
        operator: Operator,
        name: str,
        url: str,
        *,
        endpoint: str | None,
        region: str | None,
        access_key_id: str,
        secret: str,
    ) -> Mount:
        """Make a bucket whose objects lie elsewhere, or mount one that is mounted already anew, with another key, say.

        Args:
            operator: who does it.
            name: full name of the bucket, ``<name>-<APPID>``.
            url: see ``parse_location``, as are ``endpoint`` and ``region``.
            endpoint: of the store.
            region: of the bucket there.
            access_key_id: of the key to sign with.
            secret: of that key.

        Raises:
            ServiceError: InvalidArgument when something is written wrong or the store cannot be used so,
                InvalidBucketName, BucketAlreadyOwnedByYou: there is such a bucket, and it is not mounted.
            VaultError: the secret cannot be kept.
        """
        location = _location(url, endpoint, region)
        parts = split_bucket(name)
        if parts is None:
            raise errors.INVALID_BUCKET_NAME()
        await self._check_vault()
        mount = Mount(bucket=name, location=location, access_key_id=access_key_id, sealed=self.vault.seal(secret))
        fault = await self.try_mount(mount, secret)
        if fault is not None:
            raise errors.INVALID_ARGUMENT(f"{url} cannot be mounted: {fault}")
        bucket = Bucket(
            name=name,
            region=location.region if url.startswith("cos:") else self.region,
            appid=parts[1],
            created_at=self.clock.now(),
        )
        async with self._changes().of_bucket(
            operator, "sordino:MountBucket", name, f"{url}, key {access_key_id}"
        ) as tx:
            await self._add(tx, bucket, mount)
        return mount

    async def _check_vault(self) -> None:
        """See that what others have sealed can be opened here: else the next secret could not be opened there."""
        async with self.database.reading() as tx:
            mounts = await tx.mounts.list()
        if mounts:
            self.vault.open(mounts[0].sealed)

    async def _add(self, tx: Transaction, bucket: Bucket, mount: Mount) -> None:
        if await tx.identities.account(bucket.appid) is None:
            raise errors.INVALID_ARGUMENT(f"There is no account {bucket.appid}: name the bucket <name>-<APPID>.")
        existing = await tx.buckets.get(bucket.name)
        if existing is None:
            if not await self.buckets.add(tx, bucket):
                raise errors.BUCKET_ALREADY_OWNED_BY_YOU(f"The bucket {bucket.name} has just been made by another.")
        elif not existing.mounted:
            raise errors.BUCKET_ALREADY_OWNED_BY_YOU(
                f"There is a bucket {bucket.name}, which keeps its objects here: delete it, or take another name."
            )
        await tx.mounts.put(mount)

    async def unmount(self, operator: Operator, name: str) -> None:
        """Forget a bucket that is mounted; its objects stay where they are.

        Raises:
            ServiceError: NoSuchBucket, InvalidArgument: it is not mounted; BucketNotEmpty: its jobs have not ended, or
                uploads in parts.
        """
        async with self._changes().of_bucket(operator, "sordino:UnmountBucket", name) as tx:
            bucket = await tx.buckets.get(name)
            if bucket is None:
                raise errors.NO_SUCH_BUCKET(f"There is no bucket {name}.")
            if not bucket.mounted:
                raise errors.INVALID_ARGUMENT(f"The bucket {name} is not mounted.")
            if not await tx.buckets.remove(name):
                raise errors.BUCKET_NOT_EMPTY(
                    f"The bucket {name} has jobs, or uploads in parts, that have not ended: await or end them first."
                )

    def _changes(self) -> Changes:
        return Changes(self.database, self.clock)

    async def list(self) -> Sequence[Mount]:
        """Every mount, by bucket."""
        async with self.database.reading() as tx:
            return await tx.mounts.list()


def _location(url: str, endpoint: str | None, region: str | None) -> Location:
    try:
        return parse_location(url, endpoint, region)
    except ValueError as error:
        raise errors.INVALID_ARGUMENT(f"{error}") from None
