"""Buckets whose objects lie in a bucket of another store, under their own keys."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

from sordino.domain.bucket import split_bucket

S3_REGION: Final = "us-east-1"
COS_HOST: Final = "myqcloud.com"
HOW_TO_WRITE: Final = "write s3://bucket, s3://bucket/prefix, cos://bucket-appid or cos://bucket-appid/prefix"


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where the objects lie.

    Attributes:
        url: as the operator wrote it.
        bucket: in the other store.
        prefix: what their keys begin with there; empty, or with a slash at its end.
        endpoint: ``http(s)://host[:port]``, the bucket's own unless ``path_style``.
        path_style: whether the bucket's name stands in the path.
        region: that requests are signed for.
    """

    url: str
    bucket: str
    prefix: str
    endpoint: str
    path_style: bool
    region: str

    @property
    def host(self) -> str:
        """Of the endpoint, with the port if it is not the scheme's."""
        return urlsplit(self.endpoint).netloc

    def path(self, key: str | None) -> str:
        """The target of a request about an object, percent-encoded; None: about the bucket."""
        base = f"/{quote(self.bucket, safe='')}" if self.path_style else ""
        return base or "/" if key is None else f"{base}/{quote(self.prefix + key, safe='/~')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A bucket of ours and where its objects lie.

    Attributes:
        bucket: its full name.
        access_key_id: of the key that we sign with there.
        sealed: the secret of that key, as the vault keeps it.
    """

    bucket: str
    location: Location
    access_key_id: str
    sealed: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewObject:
    """What a writer says about an object of a mounted bucket besides its bytes; see ``StoredObject``.

    Attributes:
        size: bytes, None when it is not known before they have come.
        md5: hex, must match the bytes when given.
    """

    key: str
    size: int | None = None
    content_type: str = "application/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = "STANDARD"
    md5: str | None = None


def parse_location(url: str, endpoint: str | None = None, region: str | None = None) -> Location:
    """Read what an operator says about where a bucket's objects lie.

    Args:
        url: ``s3://bucket[/prefix]`` or ``cos://bucket-appid[/prefix]``.
        endpoint: ``http(s)://host[:port]``; by default the cloud's. If its host begins with the bucket's name it is the
            bucket's own, else the name goes into the path.
        region: of the bucket.

    Raises:
        ValueError: with how to write it.
    """
    parts = _split(url, HOW_TO_WRITE)
    bucket, prefix = parts.netloc, parts.path.strip("/")
    if parts.scheme not in ("s3", "cos") or not bucket or "@" in bucket or parts.query or parts.fragment:
        raise ValueError(HOW_TO_WRITE)
    if prefix and {"", ".", ".."} & set(prefix.split("/")):
        raise ValueError("the prefix must not hold //, . or ..")
    if parts.scheme == "cos" and split_bucket(bucket) is None:
        raise ValueError(f"{bucket!r} is no bucket of COS, {HOW_TO_WRITE}")
    region = region or _default_region(parts.scheme)
    origin = _origin(endpoint) if endpoint else _cloud(parts.scheme, bucket, region)
    return Location(
        url=url,
        bucket=bucket,
        prefix=f"{prefix}/" if prefix else "",
        endpoint=origin,
        path_style=not urlsplit(origin).netloc.startswith(f"{bucket}."),
        region=region,
    )


def _default_region(scheme: str) -> str:
    if scheme == "cos":
        raise ValueError("name the region of the bucket: --region ap-guangzhou")
    return S3_REGION


def _cloud(scheme: str, bucket: str, region: str) -> str:
    if scheme == "cos":
        return f"https://{bucket}.cos.{region}.{COS_HOST}"
    # The certificates of S3 vouch for no name with a further dot.
    return f"https://s3.{region}.amazonaws.com" if "." in bucket else f"https://{bucket}.s3.{region}.amazonaws.com"


def _origin(endpoint: str) -> str:
    hint = "write the endpoint as https://host, http://host or with a port, without a path"
    parts = _split(endpoint, hint)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.path.strip("/"):
        raise ValueError(hint)
    if parts.query or parts.fragment:
        raise ValueError(hint)
    default = {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" if parts.port in (None, default) else f"{parts.scheme}://{host}:{parts.port}"


def _split(url: str, hint: str) -> SplitResult:
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise ValueError(hint)
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError(hint) from None
    return parts
