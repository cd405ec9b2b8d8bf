"""The case in which response header names are sent: official SDKs look some of them up case-sensitively."""

from functools import lru_cache

_IRREGULAR = {b"etag": b"ETag", b"content-md5": b"Content-MD5", b"www-authenticate": b"WWW-Authenticate", b"te": b"TE"}


@lru_cache(maxsize=256)
def canonical(name: bytes) -> bytes:
    """The name as COS and CI send it: ``ETag``, ``Content-Length``, ``x-cos-request-id``.

    Args:
        name: a header name in any case.
    """
    lower = name.lower()
    if lower.startswith((b"x-cos-", b"x-ci-")):
        return lower
    return _IRREGULAR.get(lower) or b"-".join(word.capitalize() for word in lower.split(b"-"))
