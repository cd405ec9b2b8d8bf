"""What is known of a request that conditions of policies ask for (``conditions.KEYS``).

A key is known of those actions alone that read what it tells: nobody fulfils a condition by a header or a parameter
that the call does not look at.

https://cloud.tencent.com/document/product/436/71307 ("Condition keys")
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from sordino.api.call import Call
from sordino.domain.conditions import Context
from sordino.domain.known import of_everyone
from sordino.domain.resource import Resource

_ACL, _CLASS, _FORBID, _SOURCE = "x-cos-acl", "x-cos-storage-class", "x-cos-forbid-overwrite", "x-cos-copy-source"
_LENGTH, _TYPE = "content-length", "content-type"

HEADERS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "cos:PutBucket": (_ACL,),
        "cos:PutBucketACL": (_ACL,),
        "cos:PutObjectACL": (_ACL,),
        "cos:PutObject": (_ACL, _CLASS, _FORBID, _SOURCE, _LENGTH, _TYPE),
        "cos:InitiateMultipartUpload": (_ACL, _CLASS, _FORBID, _TYPE),
        "cos:UploadPart": (_SOURCE, _LENGTH),
        "cos:CompleteMultipartUpload": (_FORBID,),
    }
)
"""The headers that are known of an action, as ``cos:<header>``."""

PARAMETERS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"cos:GetBucket": ("prefix", "delimiter", "max-keys"), "cos:GetObject": ("response-content-type",)}
)
"""The parameters that are, as ``cos:<parameter>``."""

# As the handlers read them.
_READ: Final[Mapping[str, Callable[[str], str]]] = MappingProxyType(
    {_CLASS: str.upper, _FORBID: str.lower, _SOURCE: unquote}
)


UNKNOWN: Final = "unknown"
"""The length of a body in chunks: it leaves conditions on numbers in doubt; absent it would escape denials."""


class LazyContext(Mapping[str, tuple[str, ...]]):
    """What is known, found out when a condition asks for the first time: most decisions ask for nothing."""

    def __init__(self, find_out: Callable[[], Context]) -> None:
        self._find_out = find_out

    @cached_property
    def _known(self) -> Context:
        return self._find_out()

    def __getitem__(self, key: str) -> tuple[str, ...]:
        return self._known[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


NOTHING: Final[Context] = MappingProxyType({})


def context_of(call: Call, action: str, resource: Resource, body: Context = NOTHING) -> Context:
    """What is known of a request of COS or CI.

    Args:
        call: the request.
        action: that is decided over.
        resource: with what.
        body: what its body tells of it.
    """
    return LazyContext(lambda: {**_known(call, action, resource), **body})


def _known(call: Call, action: str, resource: Resource) -> Context:
    known = of_everyone(call.caller, call.source, call.services.clock.now(), resource)
    if resource.service == "cos":
        known["cos:secure-transport"] = (str(call.secure).lower(),)
    for name in HEADERS.get(action, ()):
        if value := call.request.headers.get(name):
            known[f"cos:{name}"] = (_READ.get(name, str)(value),)
        elif name == _LENGTH and "transfer-encoding" in call.request.headers:
            known[f"cos:{name}"] = (UNKNOWN,)
    for name in PARAMETERS.get(action, ()):
        if values := tuple(value for key, value in call.query if key == name and value):
            known[f"cos:{name}"] = values
    return known
