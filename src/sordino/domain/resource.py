"""Resources in six segments, as policies name them: ``qcs::<service>:<region>:<account>:<resource>``.

https://cloud.tencent.com/document/product/598/10606 ("Resource description")
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Owner:
    """The account that a resource belongs to, by both its numbers."""

    appid: str
    uin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource that a call is about; never a pattern.

    Attributes:
        service: ``cos``, ``ci``, ``cam``, ``sts``, ``cmqqueue`` or ``cmqtopic``.
        region: of the bucket; empty where there is none.
        owner: whose it is.
        path: the last segment: ``<bucket>/<key>``, ``bucket/<bucket>/*``, ``roleName/<name>``; None: the call is about
            nothing in particular, and only ``*`` covers it.
    """

    service: str
    region: str
    owner: Owner
    path: str | None

    def __str__(self) -> str:
        """As a policy would name it."""
        if self.path is None:
            return ANYTHING
        account = f"uin/{self.owner.uin}" if self.service not in BY_APPID else f"uid/{self.owner.appid}"
        return f"qcs::{self.service}:{self.region}:{account}:{self.path}"


ANYTHING: Final = "*"
BY_APPID: Final = frozenset({"cos", "ci"})
"""Services whose resources are written with the APPID of their account; the others with its uin."""


def cos_resource(bucket: str, region: str, owner: Owner, key: str = "") -> Resource:
    """An object, or, without a key, a bucket."""
    return Resource(service="cos", region=region, owner=owner, path=f"{bucket}/{key}")


def ci_resource(bucket: str, region: str, owner: Owner) -> Resource:
    """What CI has of a bucket."""
    return Resource(service="ci", region=region, owner=owner, path=f"bucket/{bucket}/*")


def role_resource(name: str, owner: Owner) -> Resource:
    """A role."""
    return Resource(service="cam", region="", owner=owner, path=f"roleName/{name}")


def account_resource(service: str, owner: Owner) -> Resource:
    """What a call is about that names nothing in particular, such as the list of an account's buckets."""
    return Resource(service=service, region="", owner=owner, path=None)
