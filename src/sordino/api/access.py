"""Who may do what: the one place that decides.

An account may do everything with its own buckets (``Call.bucket``). Everybody else, signed or not, may read what access
control lists open: an object that is public-read or lies, saying nothing itself, in a public-read bucket; and the list
of such a bucket. Of what is not open nobody learns whether it exists.
"""

from sordino import errors
from sordino.api.call import Call
from sordino.domain.acl import Acl
from sordino.domain.bucket import Bucket, StoredObject

OVERRIDES = "response-"


async def object_to_read(call: Call, key: str) -> tuple[Bucket, StoredObject]:
    """The object, which whoever calls may read, and its bucket.

    Raises:
        ServiceError: InvalidHost, NoSuchBucket, NoSuchKey, AccessDenied.
    """
    bucket = call.named_bucket
    if bucket is None or call.owns(bucket):
        bucket = call.bucket()
        return bucket, await call.services.objects.head(bucket, key)
    stored = await _found(call, bucket, key)
    if stored.acl.within(bucket.acl) is not Acl.PUBLIC_READ:
        raise call.denied(bucket)
    if call.signer is None and any(name.startswith(OVERRIDES) for name, _ in call.query):
        raise errors.ACCESS_DENIED(
            "Only signed requests may change headers of the reply; sign it, or leave response-* out."
        )
    return call.in_its_region(bucket), stored


async def _found(call: Call, bucket: Bucket, key: str) -> StoredObject:
    """The object for one who does not own the bucket: who could not list it does not learn that there is none."""
    if bucket.mounted and bucket.acl is not Acl.PUBLIC_READ:
        # Nothing in it is open, and its store need not be asked.
        raise call.denied(bucket)
    stored = await call.services.objects.find(bucket, key)
    if stored is None:
        raise errors.NO_SUCH_KEY() if bucket.acl is Acl.PUBLIC_READ else call.denied(bucket)
    return stored


def bucket_to_list(call: Call) -> Bucket:
    """The bucket of the address, which whoever calls may list.

    Raises:
        ServiceError: InvalidHost, NoSuchBucket, AccessDenied.
    """
    bucket = call.named_bucket
    if bucket is None or call.owns(bucket) or bucket.acl is not Acl.PUBLIC_READ:
        return call.bucket()
    return call.in_its_region(bucket)
