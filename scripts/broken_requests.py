"""Requests to the service, whole and broken: the calls of CI and COS, and what a generator can do to each of them.

``draft(room, number, seed)`` gives the same request for the same numbers. A mutation changes the draft in place; what
it does not fit (XML that is broken already, a query that is empty) it leaves alone.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from xml.etree import ElementTree as ET

MOST_MUTATIONS: Final = 3
WHOLE_SHARE: Final = 0.1
"""Of the requests, how many are sent as they should be: the service must still answer those."""

REGION: Final = "ap-guangzhou"


class Signing(StrEnum):
    """How a request is signed, which happens after all else."""

    RIGHT = "right"
    QUERY = "query"
    NONE = "none"
    SPOILED = "spoiled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What the requests speak of: things that exist on the server, as far as it has them.

    Attributes:
        bucket: where most happens; it holds the object ``in.wav`` and another that no request deletes.
        spare: a bucket whose services are opened and closed.
        job: id of a job.
        queue: id of the queue that requests change.
        paused: id of a queue that hands out no work, so that accepted jobs wait.
        template: id of a template.
    """

    bucket: str
    spare: str
    job: str = "j0123456789abcdef0123456789abcdef"
    queue: str = "p0123456789abcdef0123456789abcdef"
    paused: str = "p0123456789abcdef0123456789abcdef"
    template: str = "t10123456789abcdef0123456789abcdef"


@dataclass(slots=True, kw_only=True)
class Draft:
    """A request in the making.

    Attributes:
        name: the call, and what was done to it.
        host: of the Host header; None: no such header.
        path: as it stands in the request line, without the query.
        query: fields as they stand there.
        spoil: what is done to the bytes of the finished head, if anything.
    """

    name: str
    method: str
    host: str | None
    path: bytes
    query: list[bytes] = field(default_factory=list)
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    body: bytes = b""
    signing: Signing = Signing.RIGHT
    spoil: Callable[[bytes], bytes] | None = None

    @property
    def target(self) -> bytes:
        """Path and query."""
        return self.path + (b"?" + b"&".join(self.query) if self.query else b"")


Mutation = Callable[[Draft, random.Random], None]

JOB: Final = (
    "<Request><Tag>NoiseReduction</Tag><Input><Object>in.wav</Object></Input><Operation>{operation}<NoiseReduction>"
    "<Format>wav</Format><SampleRate>16000</SampleRate><Model>off</Model><Strength>50</Strength>"
    "<Channels>mix</Channels><Loudness>-23</Loudness></NoiseReduction>"
    "<Output><Region>" + REGION + "</Region><Bucket>{bucket}</Bucket><Object>out.wav</Object></Output>"
    "<UserData>ticket-42</UserData><JobLevel>1</JobLevel></Operation><QueueId>{paused}</QueueId>"
    "<QueueType>Speeching</QueueType><CallBack>http://hooks.invalid/ci</CallBack><CallBackFormat>JSON</CallBackFormat>"
    "<CallBackType>Url</CallBackType></Request>"
)
SEVERAL: Final = (
    "<Request><Input><Object>in.wav</Object></Input><QueueId>{paused}</QueueId><CallBack>no</CallBack>"
    + "".join(
        "<Operation><Tag>NoiseReduction</Tag><Output><Region>" + REGION + "</Region><Bucket>{bucket}</Bucket>"
        f"<Object>out{number}.wav</Object></Output></Operation>"
        for number in range(3)
    )
    + "</Request>"
)
TEMPLATE: Final = (
    "<Request><Tag>NoiseReduction</Tag><Name>template-{number}</Name>"
    "<NoiseReduction><Format>wav</Format><Samplerate>16000</Samplerate></NoiseReduction></Request>"
)
QUEUE: Final = (
    "<Request><Name>queue-{number}</Name><QueueID>{queue}</QueueID><State>Active</State><NotifyConfig>"
    "<State>On</State><Event>TaskFinish,WorkflowFinish</Event><ResultFormat>XML</ResultFormat><Type>Url</Type>"
    "<Url>http://hooks.invalid/queue</Url><MqMode>Queue</MqMode><MqRegion>sh</MqRegion><MqName>ends</MqName>"
    "</NotifyConfig></Request>"
)
DELETE: Final = "<Delete><Quiet>false</Quiet><Object><Key>gone.wav</Key></Object></Delete>"
PARTS: Final = (
    "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
    "<ETag>&quot;5d41402abc4b2a76b9719d911017c592&quot;</ETag></Part></CompleteMultipartUpload>"
)
UPLOADS: Final = "uploads&prefix=big&delimiter=%2F&key-marker=a&upload-id-marker=1&max-uploads=10&encoding-type=url"
ACL: Final = (
    "<AccessControlPolicy><AccessControlList><Grant><Grantee><URI>http://cam.qcloud.com/groups/global/AllUsers</URI>"
    "</Grantee><Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>"
)
CORS: Final = (
    "<CORSConfiguration><CORSRule><ID>{number}</ID><AllowedOrigin>https://*.example</AllowedOrigin>"
    "<AllowedMethod>PUT</AllowedMethod><AllowedHeader>*</AllowedHeader><ExposeHeader>x-cos-*</ExposeHeader>"
    "<MaxAgeSeconds>600</MaxAgeSeconds></CORSRule><ResponseVary>true</ResponseVary></CORSConfiguration>"
)
LIST: Final = (
    "tag=NoiseReduction&queueId={queue}&orderByTime=Desc&nextToken=&size=10&states=Submitted,Pause"
    "&startCreationTime=2026-01-05T10:00:00%2B0800&endCreationTime=2126-01-05T10:00:00%2B0800&inputObject=in.wav"
)

# Service, method, path, query, body. The parts in braces are those of `Room`, and a number drawn for the request.
CALLS: Final[Sequence[tuple[str, str, str, str, str]]] = (
    ("ci", "POST", "/jobs", "", JOB.replace("{operation}", "")),
    ("ci", "POST", "/jobs", "", JOB.replace("{operation}", "<TemplateId>{template}</TemplateId>")),
    ("ci", "POST", "/jobs", "", SEVERAL),
    ("ci", "GET", "/jobs", LIST, ""),
    ("ci", "GET", "/jobs/{job},j0", "", ""),
    ("ci", "PUT", "/jobs/{job}", "cancel", ""),
    ("ci", "GET", "/jobs/{job}", "callbacks", ""),
    ("ci", "POST", "/jobs/{job}", "callbacks", ""),
    ("ci", "POST", "/template", "", TEMPLATE),
    ("ci", "PUT", "/template/{template}", "", TEMPLATE),
    ("ci", "GET", "/template", "tag=All&category=Custom&name=template&pageNumber=1&pageSize=10", ""),
    ("ci", "GET", "/template", "ids={template},t10", ""),
    ("ci", "DELETE", "/template/t1{number}", "", ""),
    ("ci", "GET", "/asrqueue", "state=Active&pageNumber=1&pageSize=10", ""),
    ("ci", "GET", "/queue", "category=CateAll&queueIds={queue},p0", ""),
    ("ci", "POST", "/queue", "", QUEUE),
    ("ci", "PUT", "/asrqueue/{queue}", "", QUEUE),
    ("ci", "DELETE", "/asrqueue/p1{number}", "", ""),
    ("ci-spare", "POST", "/asrbucket", "", ""),
    ("ci-spare", "DELETE", "/asrbucket", "", ""),
    ("ci", "GET", "/asrbucket", "regions=All&bucketNames=&bucketName=b&pageNumber=1&pageSize=10", ""),
    ("ci-spare", "POST", "/ai_bucket", "", ""),
    ("ci-spare", "DELETE", "/mediabucket", "", ""),
    ("ci-none", "GET", "/mediabucket", "pageNumber=1&pageSize=100", ""),
    ("cos", "PUT", "/in.wav", "", "no sound"),
    ("cos", "GET", "/in.wav", "response-content-type=audio%2Fwav", ""),
    ("cos", "HEAD", "/in.wav", "", ""),
    ("cos", "DELETE", "/gone%20{number}.wav", "", ""),
    ("cos", "POST", "/", "delete", DELETE),
    ("cos", "POST", "/big.wav", "uploads", ""),
    ("cos", "PUT", "/big.wav", "partNumber=1&uploadId=u", "part"),
    ("cos", "POST", "/big.wav", "uploadId=u", PARTS),
    ("cos", "DELETE", "/big.wav", "uploadId=u", ""),
    ("cos", "GET", "/big.wav", "uploadId=u&max-parts=10&part-number-marker=1&encoding-type=url", ""),
    ("cos", "GET", "/", UPLOADS, ""),
    ("cos", "GET", "/", "prefix=in&delimiter=%2F&marker=&max-keys=10&encoding-type=url", ""),
    ("cos", "HEAD", "/", "", ""),
    ("cos-spare", "PUT", "/", "", ""),
    ("cos", "DELETE", "/", "", ""),
    ("cos", "OPTIONS", "/in.wav", "", ""),
    ("cos", "PUT", "/", "acl", ACL),
    ("cos", "GET", "/", "acl", ""),
    ("cos", "PUT", "/in.wav", "acl", ACL),
    ("cos", "GET", "/in.wav", "acl", ""),
    ("cos", "PUT", "/", "cors", CORS),
    ("cos", "GET", "/", "cors", ""),
    ("cos", "DELETE", "/", "cors", ""),
    ("cos-none", "GET", "/", "region=&marker=&max-keys=10", ""),
)

WORDS: Final = (
    *(
        "",
        " ",
        "0",
        "-1",
        "00",
        "1e9",
        "0x10",
        "1_0",
        "9" * 400,
        "NaN",
        "true",
        "null",
        "no",
        "yes",
        "\u0663",
        "\uff11",
    ),
    *("..", "../../etc/passwd", "/", "//", "a/" * 400, "%00", "%", "%zz", "\\", "'", '"', ";", "`id`", "$(id)"),
    *("' OR 1=1 --", "\t", "\r\n", "\u00e9", "\u4e2d\u6587", "\U0001f50a", "\u202e", "\ufeff", "\ufffe", "x" * 5000),
    *(
        "http://127.0.0.1/",
        "http://[::1]/",
        "file:///etc/passwd",
        "https://user:secret@host/",
        "http://",
        "http://x:y/",
    ),
    *("TDMQ", "Url", "Paused", "Pause", "All", "Asc", "On", "TaskFinish", "Official", "a,b,,c", ",", "," * 200),
    *("2026-01-05T10:00:00+0800", "0001-01-01T00:00:00+1400", "9999-12-31T23:59:59-2359", "2026-02-30T00:00:00Z"),
    *("wav", "opus", "44100", "48000", "keep", "-70.001", "off", "NoiseReduction", "Speeching", "{job}", "%s", "${x}"),
)
NUMBERS: Final = (
    *("0", "1", "-1", "+1", "100", "101", "1000000", "1000001", "9223372036854775807", "9223372036854775808", "1.0"),
    *("9" * 400, "1e3", " 1", "01", "0x1", "\u0661", "\u00b2", "NaN", "-0", "-70", "-70.01", "1_0"),
)
TIMES: Final = (
    *("2026-01-05T10:00:00+0800", "0001-01-01T00:00:00+1400", "0001-01-01T00:00:00+2359", "9999-12-31T23:59:59-2359"),
    *("9999-12-31T23:59:59+0000", "2026-02-30T00:00:00+0000", "2026-01-05T10:00:00Z", "2026-01-05T24:00:00+0800"),
    *("2026-01-05T10:00:60+0800", "2026-01-05 10:00:00 0800", "2026-01-05", "1767600000", "-2026-01-05T10:00:00+0800"),
)
LISTS: Final = ("a,b,,c", ",", "," * 200, ",".join(f"t{number}" for number in range(101)), "All", "a" * 200, "All,x")
METHODS: Final = ("GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "get", "X")
PLACES: Final = (
    *("/", "/jobs", "/jobs/", "/jobs/a/b", "/jobs/,", "/jobs/%2C", "/asr_jobs", "/ai_jobs", "/template/", "/queue/x"),
    *("/asrqueue", "/ai_queue/x", "/picqueue", "/asrbucket/x", "/mediabucket", "/healthz", "/readyz", "/nothing", "*"),
    *("http://other.example/jobs", "HTTP://x/", "http://", "/b-1250000000/jobs", "/..", "/.", "//", "/%2e%2e/x"),
)
HEADERS: Final[Mapping[str, Sequence[bytes]]] = MappingProxyType(
    {
        "Content-Type": (b"", b"application/xml", b"text/plain; charset=utf-16", b"a/b" * 500, b"\xff\xfe"),
        "Content-MD5": (b"", b"AAAAAAAAAAAAAAAAAAAAAA==", b"zz", b"=", b"\xe4"),
        "Range": (b"bytes=0-", b"bytes=-1", b"bytes=9-1", b"bytes=" + b"9" * 5000 + b"-", b"bytes=0-1,3-4", b"x"),
        "If-Match": (b"*", b'"x"', b"", b"W/"),
        "If-None-Match": (b"*", b"," * 900),
        "If-Modified-Since": (b"yesterday", b"Fri, 01 Jan 2100 00:00:00 GMT", b"Fri, 99 Jan 99999 99:99:99 +9999"),
        "If-Range": (b'"x"', b"Fri, 01 Jan 2100 00:00:00 GMT"),
        "Expect": (b"100-continue", b"200-ok"),
        "Date": (b"", b"never"),
        "x-cos-acl": (b"private", b"public-read", b"\xe9"),
        "Origin": (b"https://a.example", b"null", b"\xff", b"https://" + b"a" * 5000 + b".example"),
        "Access-Control-Request-Method": (b"PUT", b"\xe9"),
        "Access-Control-Request-Headers": (b"authorization, \xff", b"a," * 5000),
        "x-cos-meta-k": (b"v", b"\xff" * 100, b"x" * 3000),
        "x-cos-storage-class": (b"ARCHIVE", b"gold"),
        "x-cos-copy-source": (b"b-1250000000.cos.ap-guangzhou.myqcloud.com/k",),
        "x-cos-security-token": (b"", b"t" * 5000),
        "x-ci-security-token": (b"t",),
        "Cookie": (b"a=b" * 1000,),
        "Connection": (b"close", b"upgrade"),
        "Upgrade": (b"websocket", b"h2c"),
        "X-Forwarded-For": (b"127.0.0.1",),
    }
)
HOSTS: Final = (
    *(None, "", "localhost", "a b", "x" * 300, "-.ci.r-1.example", "b-1.ci", "ci.ap-guangzhou.myqcloud.com", "[::1]"),
    *("b-1250000000.ci.ap-guangzhou.myqcloud.com", "127.0.0.1:99999", "b-1250000000.cos.other-region.myqcloud.com"),
)
DOCTYPES: Final = (
    b'<!DOCTYPE Request [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>',
    b'<!DOCTYPE Request [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    b'<!DOCTYPE Request SYSTEM "http://127.0.0.1:1/x.dtd">',
    b'<!DOCTYPE Request [<!ENTITY % p SYSTEM "file:///dev/zero">%p;]>',
)
SNIPPETS: Final = (
    *(
        b"\x00",
        b"\x01",
        b"\x1b",
        b"&#0;",
        b"&#x1;",
        b"&#xD800;",
        b"\xed\xa0\x80",
        b"\xff",
        b"\xc0\xaf",
        b"\xf4\x90\x80\x80",
    ),
    *(
        b"&lt;",
        b"&x;",
        b"<![CDATA[x]]>",
        b"<!-- x -->",
        b"<?x y?>",
        b"</",
        b"<",
        b"]]>",
        b"\xef\xbf\xbe",
        b"\xef\xbb\xbf",
    ),
)
ENCODINGS: Final = ("utf-16", "utf-16-le", "utf-32", "latin-1", "utf-7", "cp500", "utf-8-sig")


def draft(room: Room, number: int, seed: int) -> Draft:
    """The request of that number: a call, and what is done to it."""
    chance = random.Random(f"{seed}-{number}")
    made = whole(room, number % len(CALLS), chance)
    if chance.random() >= WHOLE_SHARE:
        for mutation in chance.choices(MUTATIONS, k=chance.randint(1, MOST_MUTATIONS)):
            mutation(made, chance)
            made.name += f" {mutation.__name__.strip('_')}"
    return made


def whole(room: Room, index: int, chance: random.Random) -> Draft:
    """The call as it should be; ``index`` is that of ``CALLS``."""
    kind, method, path, query, body = (_fill(part, room, chance) for part in CALLS[index])
    service, _, place = kind.partition("-")
    bucket = {"none": None, "spare": room.spare}.get(place, room.bucket)
    host = f"{service}.{REGION}.myqcloud.com"
    return Draft(
        name=f"{method} {service} {CALLS[index][2]}",
        method=method,
        host=host if bucket is None else f"{bucket}.{host}",
        path=path.encode(),
        query=query.encode().split(b"&") if query else [],
        headers=[("Content-Type", b"application/xml")] if service == "ci" and body else [],
        body=body.encode(),
    )


def _fill(text: str, room: Room, chance: random.Random) -> str:
    names = {name: getattr(room, name) for name in Room.__slots__} | {"number": str(chance.randrange(300))}
    return re.sub(r"\{(\w+)\}", lambda match: str(names[match[1]]), text)


def _on_elements(change: Callable[[ET.Element, random.Random], None]) -> Mutation:
    """A mutation of the body's tree."""

    def mutation(made: Draft, chance: random.Random) -> None:
        try:
            root = ET.fromstring(made.body)
        except (ET.ParseError, ValueError, LookupError):
            return
        change(root, chance)
        made.body = ET.tostring(root, "utf-8")

    mutation.__name__ = change.__name__
    return mutation


def _parent(root: ET.Element, chance: random.Random) -> ET.Element:
    """An element that has children; the root when none has."""
    return chance.choice([element for element in root.iter() if len(element)] or [root])


def _child(parent: ET.Element, chance: random.Random) -> ET.Element:
    return chance.choice(list(parent) or [parent])


def _copy(element: ET.Element) -> ET.Element:
    return deepcopy(element)


def _drop_element(root: ET.Element, chance: random.Random) -> None:
    parent = _parent(root, chance)
    if len(parent):
        parent.remove(_child(parent, chance))


def _repeat_element(root: ET.Element, chance: random.Random) -> None:
    parent = _parent(root, chance)
    copies = [_copy(_child(parent, chance)) for _ in range(chance.choice((1, 1, 2, 9)))]
    parent.extend(copies)


def _reorder(root: ET.Element, chance: random.Random) -> None:
    parent = _parent(root, chance)
    parent[:] = chance.sample(list(parent), len(parent))


def _nest(root: ET.Element, chance: random.Random) -> None:
    inner = _parent(root, chance)
    for _ in range(chance.choice((1, 3, 40, 300))):
        inner = ET.SubElement(inner, inner.tag)
    inner.text = "deep"


def _move(root: ET.Element, chance: random.Random) -> None:
    _parent(root, chance).append(_copy(_child(_parent(root, chance), chance)))


def _rename(root: ET.Element, chance: random.Random) -> None:
    element = chance.choice(list(root.iter()))
    element.tag = chance.choice((element.tag.lower(), "X", "Tag", "Operation", "Request", "\u4e2d", "a" * 3000))


def _rename_root(root: ET.Element, chance: random.Random) -> None:
    root.tag = chance.choice(("Response", "request", "Error", "Delete", "html"))


def _namespace(root: ET.Element, chance: random.Random) -> None:
    element = chance.choice(list(root.iter()))
    element.tag = f"{{http://www.qcloud.com/document/product/{chance.randrange(999)}}}{element.tag}"


def _attributes(root: ET.Element, chance: random.Random) -> None:
    for number in range(chance.choice((1, 50))):
        chance.choice(list(root.iter())).set(f"a{number}", _xml_safe(chance.choice(WORDS)))


def _text(root: ET.Element, chance: random.Random) -> None:
    element = chance.choice(list(root.iter()))
    element.text = _xml_safe(_word(element.text or "", chance))


def _tail(root: ET.Element, chance: random.Random) -> None:
    chance.choice(list(root.iter())).tail = _xml_safe(chance.choice(WORDS))


def _huge_text(root: ET.Element, chance: random.Random) -> None:
    chance.choice(list(root.iter())).text = chance.choice("x\u4e2d") * chance.choice((1025, 30_000, 100_000))


def _word(value: str, chance: random.Random) -> str:
    """Something to put in the place of a value: often of its kind, so that it gets further."""
    if chance.random() < 0.5:
        if re.fullmatch(r"-?[0-9]+", value):
            return chance.choice(NUMBERS)
        if re.match(r"[0-9]{4}-", value):
            return chance.choice(TIMES)
        if "," in value or re.fullmatch(r"[a-z][0-9a-f]{20,}", value):
            return chance.choice(LISTS)
    return chance.choice(WORDS)


def _xml_safe(text: str) -> str:
    """What ElementTree writes as well-formed XML."""
    return text.replace("\ufffe", "\ufffd")


def _insert_bytes(made: Draft, chance: random.Random) -> None:
    place = chance.randint(0, len(made.body))
    made.body = made.body[:place] + chance.choice(SNIPPETS) * chance.choice((1, 1, 50)) + made.body[place:]


def _flip_bytes(made: Draft, chance: random.Random) -> None:
    data = bytearray(made.body)
    for _ in range(chance.randint(1, 8) if data else 0):
        data[chance.randrange(len(data))] = chance.randrange(256)
    made.body = bytes(data)


def _cut_body(made: Draft, chance: random.Random) -> None:
    made.body = made.body[: chance.randint(0, len(made.body))]


def _doctype(made: Draft, chance: random.Random) -> None:
    made.body = chance.choice(DOCTYPES) + made.body.replace(b"</", b"&b;&x;</", 1)


def _encode(made: Draft, chance: random.Random) -> None:
    encoding = chance.choice(ENCODINGS)
    declared = f'<?xml version="1.0" encoding="{chance.choice((encoding, "utf-8", "x-none"))}"?>'
    made.body = (declared + made.body.decode(errors="replace")).encode(encoding, "replace")


def _other_body(made: Draft, chance: random.Random) -> None:
    made.body = chance.choice((b"", b" ", b"{}", JOB.encode(), TEMPLATE.encode(), QUEUE.encode(), b"\x00" * 70_000))


def _change_value(made: Draft, chance: random.Random) -> None:
    if made.query:
        index = chance.randrange(len(made.query))
        name, _, value = made.query[index].partition(b"=")
        made.query[index] = name + b"=" + _quoted(_word(value.decode(errors="replace"), chance))


def _repeat_parameter(made: Draft, chance: random.Random) -> None:
    if made.query:
        made.query += [chance.choice(made.query)] * chance.choice((1, 2, 300))


def _add_parameter(made: Draft, chance: random.Random) -> None:
    name = chance.choice(
        (
            b"acl",
            b"cancel",
            b"versionId",
            b"tag",
            b"sign",
            b"callbacks",
            b"size",
            b"pageSize",
            b"pageNumber",
            b"ids",
            b"x",
            b"",
        )
    )
    made.query.append(name + chance.choice((b"", b"=", b"=" + _quoted(chance.choice(WORDS)))))


def _spoil_escape(made: Draft, chance: random.Random) -> None:
    junk = chance.choice((b"%", b"%0", b"%zz", b"%00", b"%ff", b"%ED%A0%80", b"+", b";", b"=", b"%C0%AF"))
    made.query.append(chance.choice((b"tag=", b"marker=", b"q-ak=", b"")) + junk)


def _huge_query(made: Draft, chance: random.Random) -> None:
    made.query += [b"a" * chance.choice((10, 3000))] * chance.choice((1, 5, 300))


def _drop_parameter(made: Draft, chance: random.Random) -> None:
    if made.query:
        made.query.pop(chance.randrange(len(made.query)))


def _other_place(made: Draft, chance: random.Random) -> None:
    made.path = chance.choice(PLACES).encode()


def _append_path(made: Draft, chance: random.Random) -> None:
    made.path += _quoted(chance.choice(WORDS))


def _spoil_path(made: Draft, chance: random.Random) -> None:
    place = chance.randint(1, max(1, len(made.path)))
    junk = chance.choice((b"%", b"%2F", b"%00", b"%ff", b"//", b"/./", b"/../", b"%25", b"%2C", b"k" * 900))
    made.path = made.path[:place] + junk + made.path[place:]


def _other_method(made: Draft, chance: random.Random) -> None:
    made.method = chance.choice(METHODS)


def _other_host(made: Draft, chance: random.Random) -> None:
    made.host = chance.choice(HOSTS)


def _other_service(made: Draft, chance: random.Random) -> None:  # noqa: ARG001 - all mutations are called alike
    if made.host:
        made.host = made.host.replace(".ci.", ".x.").replace(".cos.", ".ci.").replace(".x.", ".cos.")


def _add_header(made: Draft, chance: random.Random) -> None:
    name = chance.choice(list(HEADERS))
    made.headers += [(name, chance.choice(HEADERS[name]))] * chance.choice((1, 1, 1, 2))


def _many_headers(made: Draft, chance: random.Random) -> None:
    made.headers += [(f"x-{number}", b"v") for number in range(chance.choice((20, 200)))]


def _sign_otherwise(made: Draft, chance: random.Random) -> None:
    made.signing = chance.choice((Signing.QUERY, Signing.NONE, Signing.SPOILED))


def _spoil_head(made: Draft, chance: random.Random) -> None:
    """Change bytes of the finished head, but not the empty line at its end: a head without one never ends."""
    seed = chance.random()

    def spoil(head: bytes) -> bytes:
        draw = random.Random(seed)
        data = bytearray(head[:-4])
        for _ in range(draw.randint(1, 4)):
            place = draw.randrange(len(data))
            data[place : place + draw.randint(0, 2)] = draw.choice(
                (b"\x00", b"\r", b"\n", b" ", b":", b"\xff", b"HTTP/9.9", b"\t", b"\r\n ", bytes([draw.randrange(256)]))
            )
        return bytes(data) + b"\r\n\r\n"

    made.spoil = spoil


def _other_length(made: Draft, chance: random.Random) -> None:
    """Announce another body than the one that comes."""
    field_line = chance.choice(
        (
            *(b"Content-Length: 0", b"Content-Length: 1", b"Content-Length: 9999999", b"Content-Length: -1"),
            *(b"Content-Length: ", b"Content-Length: 1e3", b"Content-Length: " + b"9" * 40, b"X: 1"),
            *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: identity"),
            b"Content-Length: 4\r\nTransfer-Encoding: chunked",
        )
    )
    made.spoil = lambda head: re.sub(rb"Content-Length: \d+", field_line, head, count=1)


def _quoted(text: str) -> bytes:
    """Percent-encoded, but for what a broken client would leave as it is."""
    return "".join(
        letter if 0x20 < ord(letter) < 0x7F and letter not in "&#?" else _escape(letter) for letter in text
    ).encode()


def _escape(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "surrogatepass"))


ON_ELEMENTS: Final = (
    *(_drop_element, _repeat_element, _reorder, _nest, _move, _rename, _rename_root, _namespace, _attributes),
    *(_text, _text, _text, _tail, _huge_text),
)
MUTATIONS: Final[Sequence[Mutation]] = (
    *map(_on_elements, ON_ELEMENTS),
    *(_insert_bytes, _flip_bytes, _cut_body, _doctype, _encode, _other_body),
    *(_change_value, _change_value, _change_value, _repeat_parameter, _add_parameter, _drop_parameter),
    *(_spoil_escape, _huge_query),
    *(_other_place, _append_path, _spoil_path, _other_method, _other_host, _other_service),
    *(_add_header, _add_header, _many_headers, _sign_otherwise, _spoil_head, _other_length),
)
