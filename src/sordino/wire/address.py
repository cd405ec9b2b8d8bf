"""Where a request goes: the service, the bucket and the path that its host and target name."""

import re
from dataclasses import dataclass
from enum import StrEnum

from sordino.domain.bucket import split_bucket
from sordino.errors import INVALID_BUCKET_NAME, INVALID_HOST, INVALID_URI
from sordino.wire import percent


class Service(StrEnum):
    """The two protocols behind one port."""

    COS = "cos"
    CI = "ci"


class Style(StrEnum):
    """How the request names its bucket."""

    VIRTUAL_HOSTED = "virtual-hosted"
    """``<bucket>.cos.<region>.<suffix>``"""
    PATH = "path"
    """``/<bucket>/...`` on a host without a bucket"""
    DEFAULT = "default"
    """not at all, on a bare server name: the configured bucket"""
    BUCKETLESS = "bucketless"
    """not at all: a call of the account, such as the list of its buckets"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A resolved request target.

    Attributes:
        bucket: ``<name>-<APPID>``, or None for a call without a bucket. It may not exist.
        region: as the host names it, or None.
        path: decoded, with its leading ``/``, without a path-style bucket. An object's key is ``path[1:]``.
        style: how the bucket was named.
        signed_paths: the decoded paths a client may have signed, the likeliest first.
        signed_hosts: the Host values a client may have signed (Go and Node sign the port, Python does not).
    """

    service: Service
    bucket: str | None
    region: str | None
    path: str
    style: Style
    signed_paths: tuple[str, ...]
    signed_hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Host:
    """What a host name says; ``bare`` when it is any server's name and says nothing."""

    service: Service = Service.COS
    bucket: str | None = None
    region: str | None = None
    bare: bool = False


_SERVICES = {"cos": Service.COS, "cos-internal": Service.COS, "ci": Service.CI}
_ABSOLUTE_FORM = re.compile(rb"https?://([^/]+)(.*)", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*)(?::[0-9]{0,5})?")
# A region has a hyphen (ap-guangzhou): cos.localhost and cos.accelerate.myqcloud.com name none.
_REGION = re.compile(r"[a-z0-9]+-[a-z0-9-]{1,36}")
# Ids have no dot and no slash: keys such as jobs/talk.wav and queue/2026/talk.wav stay objects.
_CI_PATH = re.compile(
    r"/(?:(?:jobs|asr_jobs|ai_jobs|template|asrqueue|ai_queue|picqueue|queue)(?:/[A-Za-z0-9_,-]+)?"
    r"|asrbucket|ai_bucket|mediabucket)"
)


def resolve(host: str, target: bytes, *, default_bucket: str | None, ci_on_any_host: bool) -> Address:
    """Find service, bucket and path.

    The order is: the host's own bucket label, then a first path segment that has the form of a bucket name, then (on
    a bare server name) the default bucket. A target in absolute form replaces the Host header (RFC 9112, 3.2.2).

    Args:
        host: the Host header, with or without a port; empty when there was none.
        target: the raw request target without its query, in origin or absolute form.
        default_bucket: the bucket of bare hosts, or None.
        ci_on_any_host: whether CI's own paths, with an id or without, are CI calls on COS and bare hosts too.

    Raises:
        ServiceError: ``InvalidURI``, ``InvalidHost`` or ``InvalidBucketName``.
    """
    authority, raw_path = _split_target(host, target)
    named = _parse_host(_hostname(authority))
    full_path = percent.decode(raw_path)
    bucket, path, style = _place(named, full_path, default_bucket)
    ci = named.service is Service.CI or (ci_on_any_host and _CI_PATH.fullmatch(path) is not None)
    return Address(
        service=Service.CI if ci else Service.COS,
        bucket=bucket,
        region=named.region,
        path=path,
        style=style,
        signed_paths=(path, full_path) if style is Style.PATH else (path,),
        signed_hosts=_signed_hosts(authority),
    )


def _split_target(host: str, target: bytes) -> tuple[str, bytes]:
    if target.startswith(b"/"):
        return host, target
    absolute = _ABSOLUTE_FORM.fullmatch(target)
    if absolute is None:
        raise INVALID_URI("The request target is neither a path nor an http URL.")
    return absolute[1].decode("latin-1"), absolute[2] or b"/"


def _hostname(authority: str) -> str:
    """The host without its port, lower-case."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise INVALID_HOST("The host is not a name or an address, with or without a port.")
    return match["name"].lower()


def _parse_host(name: str) -> _Host:
    match name.split("."):
        case ["service", "cos", *_]:
            return _Host()
        case [service, region, *_] if service in _SERVICES:
            return _Host(_SERVICES[service], region=_region(region))
        case [bucket, service, *rest] if service in _SERVICES:
            if split_bucket(bucket) is None:
                raise INVALID_BUCKET_NAME(f"The host names the bucket '{bucket}'; a bucket is named <name>-<APPID>.")
            return _Host(_SERVICES[service], bucket, _region(rest[0]) if rest else None)
    return _Host(bare=True)


def _region(label: str) -> str | None:
    return label if _REGION.fullmatch(label) else None


def _place(host: _Host, path: str, default_bucket: str | None) -> tuple[str | None, str, Style]:
    """The bucket, the path without it, and how it was named."""
    if host.bucket is not None:
        return host.bucket, path, Style.VIRTUAL_HOSTED
    segment, _, rest = path[1:].partition("/")
    if split_bucket(segment) is not None:
        return segment, f"/{rest}", Style.PATH
    if host.bare and default_bucket is not None:
        return default_bucket, path, Style.DEFAULT
    return None, path, Style.BUCKETLESS


def _signed_hosts(authority: str) -> tuple[str, ...]:
    """As received and without the port, each also in lower case, as URL libraries make it before signing."""
    match = _AUTHORITY.fullmatch(authority)
    name = match["name"] if match else authority
    return tuple(dict.fromkeys((authority, name, authority.lower(), name.lower())))
