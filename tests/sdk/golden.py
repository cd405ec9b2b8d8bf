"""How the SDKs that do not run here put a request on the wire, to the byte, and how they read the reply.

What is mirrored, read in their sources (github.com/tencentyun):

- Go, cos-go-sdk-v5: ``Client.newRequest`` (cos.go) gives a body made of a struct Content-Type and Content-MD5;
  ``newAuthorization`` (auth.go) signs Host as it is sent, port and all, and every query parameter; net/http then
  writes Host, User-Agent, Content-Length, the other headers sorted by name, and ``Accept-Encoding: gzip``.
- Java, cos-java-sdk-v5: ``COSClient.createMediaJobs`` and its neighbours; ``COSSigner`` signs Content-Length,
  Content-Type and Host; ``DefaultCosHttpClient.buildHttpRequest`` adds ``x-cos-sdk-log-debug`` after the signature;
  Apache's client adds Content-Length to a PUT without a body, and Connection. The order of its headers is that of a
  HashMap: any.
- PHP, cos-php-sdk-v5: ``Signature::createAuthorization`` signs Content-Length, Content-Type and Host; Guzzle's XML has
  a declaration and a line end, and curl writes Content-Length last.
"""

import re
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any
from urllib.parse import parse_qsl, quote
from xml.etree import ElementTree as ET

from sdk.calls import Sdk
from sdk.signer import authorization
from server import RootKey

XML = "application/xml"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a program asks of its SDK.

    Attributes:
        method: of HTTP.
        path: percent-decoded.
        query: as it stands in the target, without the question mark.
        content: of a struct, or the bytes of an object; None for no body.
        raw_path: as it stands in the target, where it is not ``path`` itself.
        is_object: whether ``content`` is an object, or a part of one.
        is_cos: whether it goes to COS, as an object does.
        headers: more of them, which are signed.
    """

    method: str
    path: str
    query: str = ""
    content: bytes | None = None
    raw_path: str = ""
    is_object: bool = False
    is_cos: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """Path and query as sent."""
        return (self.raw_path or self.path) + (f"?{self.query}" if self.query else "")

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """The query, decoded."""
        return parse_qsl(self.query, keep_blank_values=True)


Writer = Callable[[Request, str, RootKey], bytes]


def go(request: Request, host: str, key: RootKey) -> bytes:
    """As Go writes it: nothing signed beyond its list, no token, its own order of headers."""
    signed, sent = {"host": host}, {}
    if request.content is not None and request.is_object:
        signed["content-length"] = str(len(request.content))
    elif request.content is not None:
        sent = {"Content-MD5": b64encode(md5(request.content).digest()).decode(), "Content-Type": XML}
        signed |= {"content-md5": sent["Content-MD5"], "content-type": XML}
    length = {} if _bodiless(request) else {"Content-Length": str(len(request.content or b""))}
    headers = {"Host": host, "User-Agent": "cos-go-sdk-v5/0.7.75"} | length
    signed |= {name.lower(): value for name, value in request.headers.items()}
    headers |= {"Authorization": _sign(request, signed, key, 0, 3600)} | sent | request.headers
    return _bytes(request, headers | {"Accept-Encoding": "gzip"})


def java(request: Request, host: str, key: RootKey) -> bytes:
    """As Java writes it: a debug header that is not signed, a PUT without a body that still tells its length."""
    signed = {"Host": host}
    if request.content is not None:
        signed |= {"Content-Type": XML, "Content-Length": str(len(request.content))}
    headers = {"Host": host, "User-Agent": "cos-java-sdk-v5.6.269/Linux/5.10/OpenJDK 64-Bit Server VM/17/zh/CN"}
    headers |= {name: value for name, value in signed.items() if name == "Content-Type"}
    headers |= {"Authorization": _sign(request, signed, key, 0, 3600), "x-cos-sdk-log-debug": "off"}
    if not _bodiless(request):
        headers["Content-Length"] = str(len(request.content or b""))
    return _bytes(request, headers | {"Connection": "Keep-Alive"})


def php(request: Request, host: str, key: RootKey) -> bytes:
    """As PHP writes it: valid from a minute ago for half an hour."""
    signed = {"Host": host}
    if request.content is not None:
        signed |= {"Content-Type": XML, "Content-Length": str(len(request.content))}
    headers = {"Host": host, "User-Agent": "cos-php-sdk-v5.2.6.16"}
    headers |= {name: value for name, value in signed.items() if name == "Content-Type"}
    headers["Authorization"] = _sign(request, signed, key, -60, 1800)
    if not _bodiless(request):
        headers["Content-Length"] = str(len(request.content or b""))
    return _bytes(request, headers)


def php_url(path: str, host: str, key: RootKey) -> bytes:
    """As any program gets a URL of PHP's ``getObjectUrl``: all of the signature in one parameter, and a last ``&``."""
    request = Request(method="GET", path=path)
    signature = quote(_sign(request, {"Host": host}, key, -60, 1800), safe="")
    return _bytes(Request(method="GET", path=path, query=f"sign={signature}&"), {"Host": host, "Accept": "*/*"})


WRITERS: Mapping[Sdk, Writer] = {Sdk.GO: go, Sdk.JAVA: java, Sdk.PHP: php}


def _bodiless(request: Request) -> bool:
    """Whether clients leave Content-Length out."""
    return request.content is None and request.method in ("GET", "DELETE")


def _sign(request: Request, headers: Mapping[str, str], key: RootKey, start: int, end: int) -> str:
    now = int(time.time())
    return authorization(
        key.secret_id,
        key.secret_key,
        method=request.method,
        path=request.path,
        query=request.parameters,
        headers=headers.items(),
        start=now + start,
        end=now + end,
    )


def _bytes(request: Request, headers: Mapping[str, str]) -> bytes:
    lines = [f"{request.method} {request.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + (request.content or b"")


def declared(xml: str) -> bytes:
    """A body as PHP's XMLWriter ends it."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{xml}\n'.encode()


def go_query(**values: str | int) -> str:
    """A query as Go's url.Values encodes it: sorted, without what is empty."""
    return "&".join(f"{name}={quote(str(value), safe='')}" for name, value in sorted(values.items()) if value)


# Fields of type int in the structs of ci_media.go, and those that are slices there.
_GO_INTS = frozenset({"JobLevel", "MaxSize", "MaxConcurrent", "TotalCount", "PageNumber", "PageSize"})
_GO_INT = re.compile(r"[+-]?[0-9]+")


def go_reads(content: bytes) -> Any:
    """What encoding/xml makes of a reply: the root must be Response, and an int field must hold one.

    Raises:
        ValueError: Go's parser would report an error.
    """
    root = ET.fromstring(content)
    if root.tag != "Response":
        raise ValueError(f"expected element type <Response> but have <{root.tag}>")
    for element in root.iter():
        if element.tag in _GO_INTS and not _GO_INT.fullmatch((element.text or "").strip()):
            raise ValueError(f"{element.tag}: strconv.ParseInt: parsing {element.text!r}: invalid syntax")
    return _tree(root)


def java_reads(content: bytes) -> Any:
    """What MediaJobResponseHandler and its like make of it: texts by their path, of which a later one wins."""
    texts: dict[str, str] = {}

    def walk(element: ET.Element, path: str) -> None:
        for child in element:
            walk(child, f"{path}/{child.tag}")
        texts[path] = (element.text or "").strip()

    root = ET.fromstring(content)
    walk(root, root.tag)
    return texts


def php_reads(content: bytes) -> Any:
    """What Guzzle's deserialiser makes of it: an array without the root, a single element being no list."""
    return _tree(ET.fromstring(content))


def _tree(element: ET.Element) -> Any:
    if not len(element):
        return element.text or ""
    tree: dict[str, Any] = {}
    for child in element:
        value = _tree(child)
        if child.tag not in tree:
            tree[child.tag] = value
        elif isinstance(tree[child.tag], list):
            tree[child.tag].append(value)
        else:
            tree[child.tag] = [tree[child.tag], value]
    return tree


READERS: Mapping[Sdk, Callable[[bytes], Any]] = {Sdk.GO: go_reads, Sdk.JAVA: java_reads, Sdk.PHP: php_reads}
